"""What an endpoint says if it refuses a request, in whatever shape, and which part of the request it refuses."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from typing import Any

_SYSTEM = re.compile(
    r"system.{0,20}\b(?:role|message|prompt|instruction)|role.{0,20}\bsystem|developer instruction"
    r"|roles? must alternate|\b(?:user|assistant)\W+(?:(?:and|or)\W+)?(?:user|assistant)\b"
    r"|messages\W{0,3}0\W{0,3}role|\b(?:invalid|unknown|unsupported|unexpected) role",
    re.IGNORECASE,
)
"""How endpoints say that their chat template knows no system role."""

_SEVERAL = re.compile(
    r"(?:one|single|multiple|several|number of) (?:completion )?(?:choice|completion|candidate)|best_of"
    r"|candidate_?count",
    re.IGNORECASE,
)
"""How endpoints say that they give one reply a request."""

_VISION = r"(?:image|multi-?modal|vision|mmproj)"
_IMAGES = re.compile(
    rf"(?:\bnot?\b|n't\b|\bonly\b|\bwithout\b|\b0\b|unknown|unsupported|missing).{{0,60}}{_VISION}"
    rf"|{_VISION}.{{0,60}}(?:\bnot\b|n't\b|unsupported|only supported)"
    rf"|\bcontent\b.{{0,60}}\bstring\b|\bvalid string\b",
    re.IGNORECASE | re.DOTALL,
)
"""How endpoints say that their model takes no images."""

_ONE_IMAGE = re.compile(
    r"too (?:large|big|many|small)|exceed|at most [1-9]|(?:not|to) process|decode|download|fetch|corrupt|base64|format",
    re.IGNORECASE,
)
"""How they say that it is this image that they do not take."""

_TOOLS = re.compile(
    r"(?:\bnot?\b|n't\b|unsupported|unknown|invalid).{0,60}\b(?:tools?|tool_choice|function.?call)"
    r"|\b(?:tools?|tool_choice|function.?call)\w*\b.{0,60}(?:\bnot\b|n't\b|unsupported|requires)",
    re.IGNORECASE | re.DOTALL,
)
"""How endpoints say that their model calls no tools."""

_SAMPLING = re.compile(r"sampling (?:parameter|option|setting|argument)", re.IGNORECASE)

_NAMES = ("error", "errors", "message", "msg", "detail", "reason")
_ECHOES = ("input", "body", "request")
"""Where an error repeats what it was sent, in which every option is mentioned."""


def field(value: Any, name: str) -> Any:
    """A field of a mapping or an object, or None."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def error_in(body: Any) -> Any:
    """The error that a body without choices holds, or None."""
    for name in _NAMES:
        found = field(body, name)
        if found and (name in ("error", "errors") or isinstance(found, str | list)):
            return found
    return None


def said_in(error: Any) -> str:
    """What an error says, whatever its shape."""
    if isinstance(error, str):
        return error
    if isinstance(error, list) and error:
        return said_in(error[0])
    for name in _NAMES:
        found = field(error, name)
        if found:
            return said_in(found)
    return str(error)


def refuses_system(error: Any) -> bool:
    """Whether it is a system message that the endpoint does not take."""
    return _SYSTEM.search(_text(error)) is not None


def refuses_images(error: Any) -> bool:
    """Whether it is images that the endpoint does not take, rather than one of them."""
    text = _text(error)
    return _IMAGES.search(text) is not None and _ONE_IMAGE.search(text) is None


def refuses_tools(error: Any) -> bool:
    """Whether it is calls of tools that the endpoint does not take."""
    return _TOOLS.search(_text(error)) is not None


def refused_option(error: Any, options: Container[str]) -> str | None:
    """The option of a request that the endpoint does not take; None if it names none of these."""
    words = list(_words(error))
    exact = next((w for w in words if w in options), None)
    if exact is not None:
        return exact
    message = " ".join(words)
    named = (o for o in ("temperature", "seed", "n", "max_tokens", "max_completion_tokens") if o in options)
    found = next((o for o in named if _mentions(message, o)), None)
    return (
        "temperature" if found is None and "temperature" in options and _SAMPLING.search(message) else found
    )


def names(error: Any, option: str) -> bool:
    """Whether an error has the name of an option in it."""
    return option in _text(error)


def _mentions(message: str, option: str) -> bool:
    if option == "n" and _SEVERAL.search(message):
        return True
    pattern = r"['\"`]n['\"`]|\bn\s*(?:>|=|must|is not)" if option == "n" else rf"\b{option}\b"
    return re.search(pattern, message, re.IGNORECASE) is not None


def _text(error: Any) -> str:
    return " ".join(_words(error))


def _words(error: Any) -> Iterator[str]:
    """All texts of an error; a path such as ["body", "messages", 0, "role"] also as one."""
    if isinstance(error, str):
        yield error
    elif isinstance(error, Mapping):
        for name, value in error.items():
            if name not in _ECHOES:
                yield from _words(value)
    elif isinstance(error, list):
        if error and all(isinstance(e, str | int) for e in error):
            yield ".".join(map(str, error))
        for each in error:
            yield from _words(each)
    elif hasattr(error, "__dict__"):
        yield from _words(vars(error))
