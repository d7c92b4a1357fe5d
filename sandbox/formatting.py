"""Text: formatting that reads no attribute and no index, and string methods that cannot explode."""

from __future__ import annotations

import re
from _string import formatter_parser  # type: ignore[import-not-found]
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .sizes import Sizes, public

_CONVERSIONS: dict[str, Callable[[Any], str]] = {"r": repr, "s": str, "a": ascii}
_LONG_NUMBER = re.compile(r"\d{5,}")
_LONG_PERCENT = re.compile(r"%(?:\([^()]*\))?[-#0 +]*(?:\d*\.)?(\d{5,}|\*|\d+\.\*)")
_PERCENT = re.compile(r"%(?:\([^()]*\))?[-#0 +]*(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.?)", re.DOTALL)
_NESTED_PERCENT = re.compile(r"%\([^()]*\(")


class Formatting:
    """What replaces `format`, `%` and some methods of `str`.

    Args:
        sizes: ends the run for a width or a result over the limits.
    """

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes

    def methods(self) -> dict[str, Callable[..., Any]]:
        """The methods of `str` that are replaced; each takes the string first."""

        def format(template: str, /, *args: Any, **kwargs: Any) -> str:
            if type(template) is not str:
                raise _not_a_string("format", template)
            return "".join(self._parts(template, args, kwargs, _Counter(), 2))

        def join(separator: str, iterable: Iterable[Any], /) -> str:
            if type(separator) is not str:
                raise _not_a_string("join", separator)
            items: Any = iterable if type(iterable) in (list, tuple) else list(iterable)
            if all(type(item) is str for item in items):
                self._judge(sum(map(len, items)) + len(separator) * len(items))
            return separator.join(items)

        def replace(text: str, old: str, new: str, count: int = -1, /) -> str:
            if type(text) is str and type(old) is str and type(new) is str:
                found = text.count(old)
                times = found if type(count) is not int or count < 0 else min(found, count)
                self._judge(len(text) + times * len(new))
            return str.replace(text, old, new, count)

        def expandtabs(text: str, tabsize: int = 8) -> str:
            if type(text) is str and type(tabsize) is int:
                self._judge(text.count("\t") * tabsize)
            return str.expandtabs(text, tabsize)

        def center(text: str, width: int, fillchar: str = " ", /) -> str:
            self._judge(width)
            return str.center(text, width, fillchar)

        def ljust(text: str, width: int, fillchar: str = " ", /) -> str:
            self._judge(width)
            return str.ljust(text, width, fillchar)

        def rjust(text: str, width: int, fillchar: str = " ", /) -> str:
            self._judge(width)
            return str.rjust(text, width, fillchar)

        def zfill(text: str, width: int, /) -> str:
            self._judge(width)
            return str.zfill(text, width)

        return public("str.", format, join, replace, expandtabs, center, ljust, rjust, zfill)

    def _judge(self, length: Any) -> None:
        if type(length) is int and length > self._sizes.length:
            self._sizes.too_long()

    def format(self, value: Any, spec: str = "", conversion: str = "") -> str:
        """`f"{value!conversion:spec}"`."""
        if conversion:
            value = _CONVERSIONS[conversion](value)
        if type(spec) is str and _LONG_NUMBER.search(spec):
            self._sizes.too_long()
        return format(value, spec)

    def mod(self, left: Any, right: Any) -> Any:
        """`left % right`, of numbers or of a template and values."""
        if type(left) is str:
            found = _LONG_PERCENT.search(left)
            if (found and any(_widths(left, right))) or _NESTED_PERCENT.search(left):
                self._sizes.too_long()
        return left % right

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
                raise ValueError(f"Unknown conversion specifier {conversion}")
            yield self.format(value, spec, conversion or "")


def _not_a_string(method: str, value: Any) -> TypeError:
    return TypeError(
        f"descriptor {method!r} for 'str' objects doesn't apply to a {type(value).__name__!r} object"
    )


def _widths(template: str, values: Any) -> Iterator[bool]:
    """For each width and precision of a `%` template: whether it has more than four digits."""
    values = values if type(values) is tuple else (values,)
    used = 0
    for width, precision, kind in _PERCENT.findall(template):
        for digits in (width, precision):
            if digits == "*":
                yield used < len(values) and type(values[used]) is int and abs(values[used]) > 9999
                used += 1
            else:
                yield len(digits) > 4
        used += kind != "%"


class _Counter:
    """Number the fields of a format string: all by position, or all counted."""

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
