"""One finding of the static check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Diagnostic:
    """Why a program is refused, and what to write instead.

    ``line`` counts from 1 and ``column`` from 0, as in ``ast``; ``code`` is stable and meant for programs.
    """

    code: str
    line: int
    column: int
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.code} {self.message}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
