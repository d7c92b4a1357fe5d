"""Diagnostics as a compiler prints them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from visprog.sandbox import Diagnostic

_RED, _YELLOW, _CYAN, _BOLD, _RESET = "\x1b[31m", "\x1b[33m", "\x1b[36m", "\x1b[1m", "\x1b[0m"


def render_diagnostics(
    diagnostics: Sequence[Diagnostic], source: str, path: str = "program.py", *, color: bool = False
) -> str:
    """Each diagnostic with its line, a caret under its place and what to write instead; then their number.

    Args:
        diagnostics: what `check` or `dry_run` found.
        source: the program that they are about.
        path: of the program, as it is shown.
        color: whether to use ANSI colours.
    """
    lines = source.split("\n")
    blocks = [_block(d, lines, path, color) for d in diagnostics]
    return "\n\n".join([*blocks, _summary(diagnostics)]) + "\n" if blocks else ""


def _block(found: Diagnostic, lines: list[str], path: str, color: bool) -> str:
    tint = _RED if found.severity == "error" else _YELLOW

    def paint(text: str, code: str) -> str:
        return f"{code}{text}{_RESET}" if color else text

    line = lines[found.line - 1] if 0 < found.line <= len(lines) else ""
    # Columns count bytes of UTF-8, as Python's parser does.
    column = found.column
    if line:
        column = len(line.encode("utf-8", "replace")[: found.column].decode("utf-8", "ignore"))
    name = re.match(r"\w+", line[column:])
    number = str(found.line)
    margin = " " * len(number)
    bar = paint("|", _CYAN)
    caret = paint("^" * _width(name.group() if name else "^"), tint)
    where, what = f"{path}:{found.line}:{column + 1}", paint(_plain(found.message), _BOLD)
    parts = [f"{where}: {paint(found.severity, tint)}: {what} [{found.code}]"]
    if line.strip():
        parts.append(f" {paint(number, _CYAN)} {bar} {_plain(line)}")
        parts.append(f" {margin} {bar} {' ' * _width(line[:column])}{caret}")
    if found.suggestion:
        parts.append(f" {margin} {paint('= help:', _CYAN)} {_plain(found.suggestion)}")
    return "\n".join(parts)


def _plain(text: str) -> str:
    """The text without characters that would move the cursor or change the terminal."""
    return "".join(
        c if c.isprintable() else " " * 4 if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def _width(text: str) -> int:
    """Columns of the terminal that the text takes."""
    return sum(4 if c == "\t" else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _summary(diagnostics: Sequence[Diagnostic]) -> str:
    warnings = sum(d.severity == "warning" for d in diagnostics)
    counts = [(len(diagnostics) - warnings, "error"), (warnings, "warning")]
    return ", ".join(f"{n} {word}{'s' * (n != 1)}" for n, word in counts if n)
