"""What was tried to answer a question: one step per program, with its outcome and what was observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..errors import MAX_ERROR, readable

if TYPE_CHECKING:
    from ..check import Diagnostic
    from ..llm.chat import Tokens
    from .call import Call


@dataclass(frozen=True)
class Step:
    """One program, and what came of it.

    Attributes:
        program: Its source; empty if its planner wrote none.
        diagnostics: What the check found in it.
        feedback: What its planner needs to know to write a better one, in one sentence: what stopped the run, or
            that a reply held no program. Empty if the diagnostics say it, or if no other program would do better.
        planner: Who wrote it.
        status: "answered"; "refused", if no installed tool can see what it asks for, or nothing was found; "error".
        value: What it answered; None if it did not.
        message: Why there is no answer, in one sentence; empty if there is one.
        trace: Its calls of tools, in order.
        stdout: What it printed.
        level: How far it was confined: "kernel" or "process"; empty if it did not run.
        cautions: What to know before relying on the value, in whole sentences.
        probability: Of the program, if the planner knows it.
        tokens: Number of tokens that its planner read and wrote for it; None if the planner does not say.
        seconds: For planning and running it.
        kept_as: The name by which later programs take its value, if a planner takes turns.
    """

    program: str
    diagnostics: tuple[Diagnostic, ...] = ()
    feedback: str = ""
    planner: str = ""
    status: Literal["answered", "refused", "error"] = "error"
    value: Any = None
    message: str = ""
    trace: tuple[Call, ...] = ()
    stdout: str = ""
    level: str = ""
    cautions: tuple[str, ...] = ()
    probability: float | None = None
    tokens: Tokens | None = None
    seconds: float = 0.0
    kept_as: str = ""

    def __post_init__(self) -> None:
        for name in ("message", "feedback"):
            object.__setattr__(self, name, readable(getattr(self, name), MAX_ERROR))
