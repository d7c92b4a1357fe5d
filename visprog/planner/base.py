"""What a planner is: a question goes in, a program comes out. Nothing else decides what runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from ..errors import PlannerError

if TYPE_CHECKING:
    from ..check import Diagnostic
    from ..llm.chat import ChatModel, Tokens
    from ..program import Inputs
    from ..registry import Registry
    from ..runtime.steps import Step


def _default_registry() -> Registry:
    from ..registry import default_registry

    return default_registry()


@dataclass(frozen=True)
class PlanRequest:
    """What a planner is asked for: a program that answers a question.

    Attributes:
        question: In plain language.
        images: Number of images that the program is given; 1 for a video.
        returns: Type that the answer must have (`bool`, `list[Region]`, …); None for any.
        registry: The tools that the program may call; by default the installed ones.
        expect: Called with the name of a tool as soon as the program will probably call it, which may then get ready.
        video: Whether it is given a video.
    """

    question: str
    images: int = 1
    returns: Any = None
    registry: Registry = field(default_factory=_default_registry, repr=False)
    expect: Callable[[str], None] = field(default=lambda name: None, repr=False, compare=False)
    video: bool = False

    @property
    def inputs(self) -> Inputs:
        """Types of the inputs of the program, by name."""
        from ..program import image_inputs, video_inputs  # slow to import: it knows the values

        return video_inputs() if self.video else image_inputs(self.images)

    @property
    def header(self) -> str:
        """The first line of the program: `def answer(image):`, or `images` if there are several."""
        from ..program import header

        return header(self.inputs)


@dataclass(frozen=True)
class Plan:
    """A program, and how it came about.

    Attributes:
        program: Python source.
        planner: Who wrote it, for example "openai:MODEL".
        probability: Of the whole program, if the planner knows it.
        tokens: Spent on it; None if the planner does not say.
        seconds: Spent on it.
        diagnostics: What the check found in it, warnings included.
        steps: The programs that were tried before it, the oldest first.
        note: Anything that the reader of the answer should know.
    """

    program: str
    planner: str
    probability: float | None = None
    tokens: Tokens | None = None
    seconds: float = 0.0
    diagnostics: tuple[Diagnostic, ...] = ()
    steps: tuple[Step, ...] = ()
    note: str = ""

    @property
    def errors(self) -> list[Diagnostic]:
        """What the check found that keeps it from running. What a tool will refuse, the tool refuses itself."""
        return [d for d in self.diagnostics if d.severity == "error" and not d.refusal]

    @property
    def error_message(self) -> str:
        """The same in one sentence; empty if it may run."""
        errors = self.errors
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return f"the program fails its check: {errors[0]}{more}" if errors else ""

    @property
    def total_tokens(self) -> Tokens | None:
        """Tokens spent on it and on the steps before it; None if the planner does not say."""
        return total_tokens((*self.steps, self))

    @property
    def total_seconds(self) -> float:
        """Seconds spent on it and on the steps before it."""
        return self.seconds + sum(step.seconds for step in self.steps)


def total_tokens(spent: Iterable[Plan | Step]) -> Tokens | None:
    """Tokens of several programs together; None if no planner says."""
    known = [each.tokens for each in spent if each.tokens is not None]
    return sum(known[1:], known[0]) if known else None


class NoProgram(PlannerError):
    """A reply in which no program could be found. `reply` is its text."""

    def __init__(self, message: str, reply: str) -> None:
        super().__init__(message)
        self.reply = reply


@runtime_checkable
class Planner(Protocol):
    """Anything that writes programs.

    `plan` may be called from several threads at once. A planner that knows no better than its first program sets
    `mends_refusals = False`: it is then not asked for another if a tool refused, or found nothing to choose from;
    see `mends_refusals`. Optional are `load()`, which loads what the first plan needs, and `likely(question)`, which
    names tools that a question may need before there is a program; both are called once, before the first plan.
    """

    @property
    def name(self) -> str: ...

    def plan(self, request: PlanRequest, *, failed: Step | None = None, n: int = 1) -> list[Plan]:
        """Between one and `n` programs for the request, the best first.

        Args:
            failed: The latest program, and what was wrong with it: its `diagnostics` and `feedback`. The new
                programs should do better.

        Raises:
            PlannerError: None could be written.
            Refused: The planner says that the tools cannot answer the question.
        """
        ...


class LangChainModel(Protocol):
    """A chat model of LangChain, by what tells it from others."""

    def invoke(self, input: Any, /) -> Any: ...

    def batch(self, inputs: Any, /) -> Any: ...

    def ainvoke(self, input: Any, /) -> Any: ...


PlannerLike: TypeAlias = "str | Planner | ChatModel | LangChainModel"
"""What can be made a planner: its name, a planner, or a chat model; see `visprog.planner.factory`."""


def mends_refusals(planner: Planner) -> bool:
    """Whether a planner can read why a tool refused, and so write another program rather than guess one."""
    return bool(getattr(planner, "mends_refusals", True))
