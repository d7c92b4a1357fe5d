"""What a command gives back, and how a command line is refused. Nothing heavy is imported here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

USAGE = {
    "visprog": 'visprog ask IMAGE... "QUESTION", or see visprog --help',
    "visprog ask": 'visprog ask IMAGE... "QUESTION"',
    "visprog chat": "visprog chat IMAGE...",
    "visprog run": "visprog run PROGRAM.py IMAGE...",
    "visprog plan": 'visprog plan "QUESTION"',
    "visprog check": "visprog check PROGRAM.py...",
}
"""Usage line per command with arguments, for error messages."""


INTERRUPTED = 130
"""Exit code of a command that was interrupted."""


class UsageError(Exception):
    """A command line that cannot be understood; the message holds the usage."""


@dataclass(frozen=True)
class Result:
    """Result of a command: the object that `--json` prints, and the exit code."""

    data: Mapping[str, Any]
    code: int = 0


def leave(code: int) -> None:
    """End a process that torchrun started for a training; see `visprog.training.distributed.failures.leave`."""
    if "visprog.training.distributed.failures" in sys.modules:
        from visprog.training.distributed.failures import leave as end

        end(code)
