"""What a planner is: a question goes in, a program comes out. Nothing else decides what runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ..errors import PlannerError

if TYPE_CHECKING:
    from ..check import Diagnostic
    from ..llm.chat import Tokens
    from ..registry import Registry


def _default_registry() -> Registry:
    from ..registry import default_registry

    return default_registry()


@dataclass(frozen=True)
class Task:
    """What a program is wanted for.

    Attributes:
        question: in plain language.
        images: how many pictures the program is given.
        returns: the type that the answer must have (`bool`, `list[Region]`, …); None where any will do.
        registry: the tools that the program may call; the default ones where none are given.
    """

    question: str
    images: int = 1
    returns: Any = None
    registry: Registry = field(default_factory=_default_registry, repr=False)

    @property
    def header(self) -> str:
        """The first line of the program: `def answer(image):`, or `images` where there are several."""
        return "def answer(image):" if self.images == 1 else "def answer(images):"


@dataclass(frozen=True)
class Feedback:
    """A program that did not do, and why: what its author needs to write a better one.

    Attributes:
        program: its source; empty where the reply held none.
        diagnostics: what the check found in it.
        error: what stopped it when it ran, in one sentence; empty where it did not get that far.
    """

    program: str
    diagnostics: tuple[Diagnostic, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Plan:
    """A program, and how it came about.

    Attributes:
        program: Python source.
        planner: who wrote it, for example "openai:MODEL".
        probability: of the whole program, where the planner knows it.
        tokens: spent on it, failed attempts included; None where the planner does not say.
        seconds: likewise.
        diagnostics: what the check found in it, warnings included.
        attempts: the programs that were tried before it, oldest first.
        note: anything that the reader of the answer should know.
    """

    program: str
    planner: str
    probability: float | None = None
    tokens: Tokens | None = None
    seconds: float = 0.0
    diagnostics: tuple[Diagnostic, ...] = ()
    attempts: tuple[Feedback, ...] = ()
    note: str = ""


class NoProgram(PlannerError):
    """A reply in which no program could be found. `reply` is its text."""

    def __init__(self, message: str, reply: str) -> None:
        super().__init__(message)
        self.reply = reply


@runtime_checkable
class Planner(Protocol):
    """Anything that writes programs. Its own `aplan`, with the same arguments, is used where it has one.

    One that knows no better than its first program sets `mends_refusals = False`: it is then not asked for
    another where a tool refused, or found nothing to choose from; see `mends_refusals`.
    """

    @property
    def name(self) -> str: ...

    def plan(self, task: Task, *, feedback: Feedback | None = None, n: int = 1) -> list[Plan]:
        """Between one and `n` programs for the task, the best first.

        Args:
            feedback: the latest program and what was wrong with it; the new ones should mend that.

        Raises:
            PlannerError: none could be written.
            Refused: the planner says that the tools cannot answer the question.
        """
        ...


def mends_refusals(planner: Planner) -> bool:
    """Whether a planner can read why a tool refused, and so write another program rather than guess one."""
    return bool(getattr(planner, "mends_refusals", True))


async def aplan(
    planner: Planner, task: Task, *, feedback: Feedback | None = None, n: int = 1
) -> Sequence[Plan]:
    """`planner.plan` without blocking the event loop: its own `aplan`, or a thread."""
    own = getattr(planner, "aplan", None)
    if own is not None:
        plans: list[Plan] = await own(task, feedback=feedback, n=n)
        return plans
    import asyncio  # slow to import, and only needed here

    return await asyncio.to_thread(planner.plan, task, feedback=feedback, n=n)
