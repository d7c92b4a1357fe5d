"""Text: formatting that reads no attribute and no index, and string methods that cannot explode."""

from __future__ import annotations

import re
from _string import formatter_parser  # type: ignore[import-not-found]
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from .sizes import Sizes

_CONVERSIONS: dict[str, Callable[[Any], str]] = {"r": repr, "s": str, "a": ascii}
_LONG_NUMBER = re.compile(r"\d{5,}")
_LONG_PERCENT = re.compile(r"%(?:\([^()]*\))?[-#0 +]*(?:\d*\.)?(\d{5,}|\*|\d+\.\*)")
_NESTED_PERCENT = re.compile(r"%\([^()]*\(")


class Formatting:
    """What replaces ``format``, ``%`` and some methods of ``str``.

    Args:
        sizes: ends the run for a width or a result over the limits.
    """

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes

    def methods(self) -> dict[str, Callable[..., Any]]:
        """The methods of ``str`` that are replaced; each takes the string first."""
        padding = {name: partial(self._pad, name) for name in ("center", "ljust", "rjust", "zfill")}
        return {
            "expandtabs": self._expandtabs,
            "format": self._format,
            "join": self._join,
            "replace": self._replace,
            **padding,
        }

    def format(self, value: Any, spec: str = "", conversion: str = "") -> str:
        """``f"{value!conversion:spec}"``."""
        if conversion:
            value = _CONVERSIONS[conversion](value)
        if type(spec) is str and _LONG_NUMBER.search(spec):
            self._sizes.too_long()
        return format(value, spec)

    def mod(self, left: Any, right: Any) -> Any:
        """``left % right``, of numbers or of a template and values."""
        if type(left) is str:
            found = _LONG_PERCENT.search(left)
            if found and "*" in found[1]:
                raise ValueError("'*' as a width is not available: write the width into an f-string")
            if found or _NESTED_PERCENT.search(left):
                self._sizes.too_long()
        return left % right

    def _format(self, template: str, /, *args: Any, **kwargs: Any) -> str:
        if type(template) is not str:
            raise TypeError("descriptor 'format' for 'str' objects needs a string")
        return "".join(self._parts(template, args, kwargs, _Counter(), 2))

    def _parts(
        self, template: str, args: tuple[Any, ...], kwargs: dict[str, Any], counter: _Counter, depth: int
    ) -> Iterable[str]:
        if depth == 0:
            raise ValueError("Max string recursion exceeded")
        for literal, field, spec, conversion in formatter_parser(template):
            yield literal
            if field is None:
                continue
            if "." in field or "[" in field:
                raise ValueError("str.format with attributes or indices is not available: write an f-string")
            key = counter.key(field)
            if isinstance(key, str):
                value = kwargs[key]
            elif key < len(args):
                value = args[key]
            else:
                raise IndexError(f"Replacement index {key} out of range for positional args tuple")
            if spec:
                spec = "".join(self._parts(spec, args, kwargs, counter, depth - 1))
            if conversion and conversion not in _CONVERSIONS:
                raise ValueError(f"Unknown conversion specifier {conversion!r}")
            yield self.format(value, spec, conversion or "")

    def _join(self, separator: str, items: Iterable[Any], /) -> str:
        if type(items) not in (list, tuple):
            items = list(items)
        texts: Any = items
        if all(type(item) is str for item in texts):
            total = sum(map(len, texts)) + len(separator) * len(texts)
            if total > self._sizes.length:
                self._sizes.too_long()
        return str.join(separator, texts)

    def _replace(self, text: str, old: str, new: str, count: int = -1, /) -> str:
        if type(text) is str and type(old) is str and type(new) is str:
            found = text.count(old)
            times = found if type(count) is not int or count < 0 else min(found, count)
            if len(text) + times * len(new) > self._sizes.length:
                self._sizes.too_long()
        return str.replace(text, old, new, count)

    def _expandtabs(self, text: str, tabsize: int = 8) -> str:
        if type(text) is str and type(tabsize) is int and text.count("\t") * tabsize > self._sizes.length:
            self._sizes.too_long()
        return str.expandtabs(text, tabsize)

    def _pad(self, name: str, text: str, width: int, /, *fill: str) -> str:
        if type(width) is int and width > self._sizes.length:
            self._sizes.too_long()
        padded: str = getattr(str, name)(text, width, *fill)
        return padded


class _Counter:
    """Numbers the fields of a format string: all by position, or all counted."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._manual = False

    def key(self, field: str) -> int | str:
        if field == "":
            if self._manual:
                raise ValueError("cannot switch from manual field specification to automatic field numbering")
            self._next = 0 if self._next is None else self._next + 1
            return self._next
        if field.isdecimal():
            if self._next is not None:
                raise ValueError("cannot switch from automatic field numbering to manual field specification")
            self._manual = True
            return int(field)
        return field
