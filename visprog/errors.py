"""The errors that users meet. Each message is one sentence: the problem and the way out."""

from __future__ import annotations

import threading
from collections.abc import Iterable

MAX_MESSAGE = 500
"""Maximum number of characters of a message within a sentence; a longer one is cut in the middle."""


MAX_ERROR = 1000
"""Maximum number of characters of the text of an error or an answer, which may hold the message of another error."""


class VisprogError(Exception):
    """Base of every error that visprog raises on purpose. Its text can be printed and encoded, whatever it is made of,
    and is cut in the middle if it is very long."""

    def __str__(self) -> str:
        return readable(super().__str__(), MAX_ERROR)


class ImageError(VisprogError):
    """An input that is not a usable image: missing, broken, too large, or in an unknown format."""


class ToolDefinitionError(VisprogError):
    """A function that `@tool` cannot accept; raised when it is decorated."""


class ConfigError(VisprogError):
    """A configuration file, variable or argument that cannot be used; the message names the key."""


class PlannerError(VisprogError):
    """The planner produced no program: endpoint down, key missing, no such model, or no code in the reply."""


class MissingExtra(VisprogError):
    """A part of visprog that is not installed; the message holds the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}': pip install 'visprog[{extra}]'")


class ToolError(VisprogError):
    """A tool that failed though its call was correct: its backend broke, or an argument makes no sense."""


class Refused(ToolError):
    """A question that the backends in force cannot answer; the message names a backend that can.

    A refusal that the program does not catch ends the program: no answer is better than a wrong one.
    """


class BudgetExceeded(VisprogError):
    """A run that used up its budget of tool calls, of seconds, or of pixels of new images."""


class NotRecorded(VisprogError):
    """A call that a replay needs and its recording does not hold; the message names the call."""


def contained(error: BaseException) -> Exception:
    """Turn what a tool raised into an error that ends its call only, also if a library calls `sys.exit()`.

    Raises:
        KeyboardInterrupt: The error is one, in the main thread, and may be the user's Ctrl-C.
    """
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error
    return (
        error if isinstance(error, Exception) else type(type(error).__name__, (Exception,), {})(*error.args)
    )


def readable(text: str, limit: int = MAX_MESSAGE) -> str:
    """Make a text safe for a message: escape control characters and lone surrogates, and cut it to `limit`.

    What it returns, it leaves as it is.
    """
    if len(text) > 2 * limit:
        text = text[:limit] + text[-limit:]
    text = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
    half = (limit - 3) // 2
    return text if len(text) <= limit else f"{text[:half]} … {text[-half:]}"


def close_match(name: str, names: Iterable[str]) -> str | None:
    """The name that is most like `name`, ignoring case and underscores, for "did you mean …?"; None if none is."""
    import difflib

    plain = {each.lower().replace("_", ""): each for each in sorted(names, reverse=True)}
    found = difflib.get_close_matches(name.lower().replace("_", ""), plain, 1)
    return plain[found[0]] if found else None


def first_line(error: BaseException, limit: int = 200) -> str:
    """The first line of the message of an error, cut to `limit`, without its full stop; its type if it has none."""
    lines = str(error).strip().splitlines()
    line = lines[0].strip().rstrip(".") if lines else type(error).__name__
    return line if len(line) <= limit else line[: limit - 1] + "…"
