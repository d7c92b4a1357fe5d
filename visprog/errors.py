"""What can go wrong, as a person meets it: each error is one sentence that says what to do."""

from __future__ import annotations

import threading
from collections.abc import Iterable

MAX_MESSAGE = 500
"""Characters of a message; a longer one is cut in its middle."""


class VisprogError(Exception):
    """Base of every error that visprog raises on purpose."""


class ImageError(VisprogError):
    """An input that is not a picture that can be used: missing, broken, too large, or of an unknown kind."""


class ToolDefinitionError(VisprogError):
    """A function that `@tool` cannot accept; raised where it is decorated."""


class ConfigError(VisprogError):
    """A configuration file, variable or argument that cannot be used; the message names the key."""


class PlannerError(VisprogError):
    """The planner produced no program: endpoint down, key missing, no such model, or no code in the reply."""


class MissingExtra(VisprogError):
    """A part of visprog that is not installed; the message holds the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}': pip install 'visprog[{extra}]'")


class ToolError(VisprogError):
    """A tool that was called rightly but failed: its backend broke, or an argument has no meaning."""


class Refused(ToolError):
    """The installed backends cannot see what is asked. The message names what would.

    A refusal that the program does not catch ends it: no answer is better than a silent wrong one.
    """


class BudgetExceeded(VisprogError):
    """A run that used up its tool calls or its seconds."""


class NotRecorded(VisprogError):
    """A replay came to a call that its recording does not hold; the message names the call."""


def contained(error: BaseException) -> Exception:
    """What a tool raised, as an error that ends its call and no more: also `sys.exit()` in somebody's library.

    Raises:
        KeyboardInterrupt: the error is one, in the main thread, where it can be the user's Ctrl-C.
    """
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error
    return (
        error if isinstance(error, Exception) else type(type(error).__name__, (Exception,), {})(*error.args)
    )


def readable(text: str, limit: int = MAX_MESSAGE) -> str:
    """A text as it can stand in a message: control characters and half characters escaped, cut to `limit`."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]} … {text[-half:]}"
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def close_match(name: str, names: Iterable[str]) -> str | None:
    """The name that is most like `name`, ignoring case and underscores, for "did you mean …?"; None if none is."""
    import difflib

    plain = {each.lower().replace("_", ""): each for each in sorted(names, reverse=True)}
    found = difflib.get_close_matches(name.lower().replace("_", ""), plain, 1)
    return plain[found[0]] if found else None
