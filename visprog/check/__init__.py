"""What is wrong with a program, found before it runs: by its types, and by a dry run on stub tools."""

from __future__ import annotations

from visprog.sandbox import Severity

from .diagnostics import Diagnostic
from .dry_run import dry_run
from .program import check
from .render import render_diagnostics

__all__ = ["Diagnostic", "Severity", "check", "dry_run", "render_diagnostics"]
