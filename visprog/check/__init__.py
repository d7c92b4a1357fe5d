"""What is wrong with a program, found before it runs: by its types, and by a dry run on stub tools."""

from __future__ import annotations

from .diagnostics import Diagnostic, Severity
from .dry_run import dry_run
from .program import check
from .render import format, to_json

__all__ = ["Diagnostic", "Severity", "check", "dry_run", "format", "to_json"]
