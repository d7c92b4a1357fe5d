"""What a program's operations become at run time, and the builtins it finds.

There is one place where an attribute is read, :func:`Guards.getattr`, for ``o.n``, ``getattr`` and
``hasattr`` alike; it knows, for the exact type of every value, which names are open. Sizes are judged
before the operation that would make them. A limit ends the run inside ``stop``, so there is nothing left
that a program could catch.
"""

from __future__ import annotations

import math
import re
from _string import formatter_parser  # type: ignore[import-not-found]
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from sys import exception
from types import FunctionType, MethodType
from typing import Any, NoReturn

from . import policy
from .limits import Limits

Stop = Callable[[str, str], NoReturn]
"""Ends the run: the name of the limit, and a sentence."""

_MISSING = object()
_CONVERSIONS: dict[str, Callable[[Any], str]] = {"r": repr, "s": str, "a": ascii}
_SPEC_NUMBER = re.compile(r"\d{5,}")
_PERCENT_NUMBER = re.compile(r"%(?:\([^()]*\))?[-#0 +]*(?:\d*\.)?(\d{5,}|\*|\d+\.\*)")
_PERCENT_NESTED = re.compile(r"%\([^()]*\(")


class ToolError(Exception):
    """A tool failed. ``call`` is the number of the call; programs see the message alone."""

    __slots__ = ("call",)

    def __init__(self, message: str = "", call: int | None = None) -> None:
        super().__init__(message)
        self.call = call


class MathModule:
    """What ``math`` and ``import math`` give: the functions that the policy lists."""

    __slots__ = ("__dict__",)

    def __repr__(self) -> str:
        return "<module 'math'>"


class Guards:
    """The guards of one run.

    Args:
        limits: integer bits and sequence lengths.
        stop: ends the run when a limit is reached.
        attributes: what is open on further types, by exact type.
        write: receives what the program prints.
    """

    def __init__(
        self,
        limits: Limits,
        stop: Stop,
        attributes: Mapping[type, Iterable[str]],
        write: Callable[[str], None],
    ) -> None:
        self._bits = limits.integer
        self._length = limits.sequence
        self._stop = stop
        self._write = write
        self._math = self._make_math()
        special: dict[tuple[type, str], Any] = {
            (str, "format"): self._str_format,
            (str, "join"): self._str_join,
            (str, "replace"): self._str_replace,
            (str, "expandtabs"): self._str_expandtabs,
            **{(str, name): partial(self._str_pad, name) for name in ("ljust", "rjust", "center", "zfill")},
            (dict, "fromkeys"): None,
        }
        table: dict[type, Iterable[str]] = {**policy.ATTRIBUTES, **attributes, ToolError: ("args",)}
        table[MathModule] = vars(self._math)
        self._open = {
            kind: {name: special.get((kind, name)) for name in names} for kind, names in table.items()
        }
        self._types = self._make_types()

    # --- attributes ---

    def getattr(self, value: Any, name: str) -> Any:
        """``value.name``, where the exact type of the value opens that name.

        Raises:
            AttributeError: it does not, or the value has no such attribute.
        """
        try:
            special = self._open[type(value)][name]
        except KeyError:
            return self._type_attribute(value, name)
        return getattr(value, name) if special is None else partial(special, value)

    def _type_attribute(self, value: Any, name: str) -> Any:
        """``str.lower`` and ``dict.fromkeys``: methods of builtin types as functions."""
        kind = self._types.get(value) if _can_be_type(value) else None
        if kind is dict and name == "fromkeys":
            return self._dict_fromkeys
        if kind is not None and name in self._open.get(kind, ()):
            return self._open[kind][name] or getattr(kind, name)
        kind_name = type(value).__name__
        raise AttributeError(f"{kind_name!r} object has no attribute {name!r}")

    def _builtin_getattr(self, value: Any, name: str, default: Any = _MISSING, /) -> Any:
        if type(name) is not str:
            raise TypeError("attribute name must be string")
        try:
            return self.getattr(value, name)
        except AttributeError:
            if default is _MISSING:
                raise
            return default

    def _builtin_hasattr(self, value: Any, name: str, /) -> bool:
        return self._builtin_getattr(value, name, _MISSING_TO_PROGRAM) is not _MISSING_TO_PROGRAM

    # --- arithmetic ---

    def mul(self, left: Any, right: Any) -> Any:
        self._check_mul(left, right)
        return left * right

    def imul(self, left: Any, right: Any) -> Any:
        self._check_mul(left, right)
        left *= right
        return left

    def _check_mul(self, left: Any, right: Any) -> None:
        kind, other = type(left), type(right)
        if kind is float or other is float:
            return
        if kind is int and other is int:
            if left.bit_length() + right.bit_length() > self._bits:
                self._too_big()
        elif kind in _SIZED and other is int:
            if len(left) * right > self._length:
                self._too_long()
        elif other in _SIZED and kind is int and len(right) * left > self._length:
            self._too_long()

    def pow(self, base: Any, exponent: Any, modulus: Any = None, /) -> Any:
        if modulus is None:
            self._check_pow(base, exponent)
            return base**exponent
        return pow(base, exponent, modulus)

    def ipow(self, base: Any, exponent: Any) -> Any:
        return self.pow(base, exponent)

    def _check_pow(self, base: Any, exponent: Any) -> None:
        integers = isinstance(base, int) and isinstance(exponent, int)
        if integers and abs(base) > 1 and exponent * (abs(base).bit_length() - 1) > self._bits:
            self._too_big()

    def lshift(self, value: Any, count: Any) -> Any:
        if isinstance(value, int) and isinstance(count, int) and value.bit_length() + count > self._bits:
            self._too_big()
        return value << count

    def mod(self, left: Any, right: Any) -> Any:
        if type(left) is str:
            self._check_percent(left)
        return left % right

    def _check_percent(self, template: str) -> None:
        found = _PERCENT_NUMBER.search(template)
        if found and "*" in found[1]:
            raise ValueError("'*' as a width is not available: write the width into an f-string")
        if found or _PERCENT_NESTED.search(template):
            self._too_long()

    def _too_big(self) -> NoReturn:
        self._stop("integer", f"an integer of more than {self._bits} bits")

    def _too_long(self) -> NoReturn:
        self._stop("sequence", f"a sequence of more than {self._length} elements")

    # --- items ---

    @staticmethod
    def getitem(value: Any, key: Any) -> Any:
        if type(value) in policy.SUBSCRIPTABLE:
            return value[key]
        raise TypeError(f"{type(value).__name__!r} object is not subscriptable")

    @staticmethod
    def write(value: Any) -> Any:
        if type(value) in policy.WRITABLE:
            return value
        raise TypeError(f"{type(value).__name__!r} object does not support item assignment")

    # --- exceptions ---

    def caught(self) -> None:
        """Runs first in every handler and ``finally``: what the interpreter raised for a limit ends here."""
        self.check_limit(exception())

    def check_limit(self, error: BaseException | None) -> None:
        """Ends the run if an exception is the interpreter's word for a limit."""
        if isinstance(error, MemoryError):
            self._stop("memory", "the program used up its memory")
        if isinstance(error, RecursionError):
            self._stop("recursion", "calls are nested too deeply")

    # --- strings ---

    def format(self, value: Any, spec: str = "", conversion: str = "") -> str:
        if conversion:
            value = _CONVERSIONS[conversion](value)
        if type(spec) is str and _SPEC_NUMBER.search(spec):
            self._too_long()
        return format(value, spec)

    def _builtin_format(self, value: Any, spec: str = "", /) -> str:
        return self.format(value, spec)

    def _str_format(self, template: str, /, *args: Any, **kwargs: Any) -> str:
        if type(template) is not str:
            raise TypeError("descriptor 'format' for 'str' objects needs a string")
        return "".join(self._format_parts(template, args, kwargs, _Counter(), 2))

    def _format_parts(
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
            if isinstance(key, int):
                if key >= len(args):
                    raise IndexError(f"Replacement index {key} out of range for positional args tuple")
                value = args[key]
            else:
                value = kwargs[key]
            if spec:
                spec = "".join(self._format_parts(spec, args, kwargs, counter, depth - 1))
            if conversion and conversion not in _CONVERSIONS:
                raise ValueError(f"Unknown conversion specifier {conversion!r}")
            yield self.format(value, spec, conversion or "")

    def _str_join(self, separator: str, items: Iterable[Any], /) -> str:
        if type(items) not in (list, tuple):
            items = list(items)
        if all(type(item) is str for item in items):
            total = sum(map(len, items)) + len(separator) * len(items)  # type: ignore[arg-type]
            if total > self._length:
                self._too_long()
        return str.join(separator, items)

    def _str_replace(self, text: str, old: str, new: str, count: int = -1, /) -> str:
        if type(text) is str and type(old) is str and type(new) is str:
            found = text.count(old)
            if min(found, count) < 0 or count > found:
                count = -1
            if len(text) + (found if count < 0 else count) * len(new) > self._length:
                self._too_long()
        return str.replace(text, old, new, count)

    def _str_expandtabs(self, text: str, tabsize: int = 8) -> str:
        if type(text) is str and type(tabsize) is int and text.count("\t") * tabsize > self._length:
            self._too_long()
        return str.expandtabs(text, tabsize)

    def _str_pad(self, name: str, text: str, width: int, /, *fill: str) -> str:
        if type(width) is int and width > self._length:
            self._too_long()
        padded: str = getattr(str, name)(text, width, *fill)
        return padded

    # --- builtins ---

    def _sized(self, items: Any) -> Any:
        """The items, when they are not a range that is too long to be listed."""
        if (
            type(items) is range
            and len(range(0, abs(items.stop - items.start), abs(items.step))) > self._length
        ):
            self._too_long()
        return items

    def _builtin_list(self, items: Iterable[Any] = (), /) -> list[Any]:
        return list(self._sized(items))

    def _builtin_tuple(self, items: Iterable[Any] = (), /) -> tuple[Any, ...]:
        return tuple(self._sized(items))

    def _builtin_set(self, items: Iterable[Any] = (), /) -> set[Any]:
        return set(self._sized(items))

    def _builtin_frozenset(self, items: Iterable[Any] = (), /) -> frozenset[Any]:
        return frozenset(self._sized(items))

    @staticmethod
    def _builtin_dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def _dict_fromkeys(self, keys: Iterable[Any], value: Any = None, /) -> dict[Any, Any]:
        return dict.fromkeys(self._sized(keys), value)

    def _builtin_isinstance(self, value: Any, kind: Any, /) -> bool:
        if type(kind) is tuple:
            return any([self._builtin_isinstance(value, one) for one in kind])
        known = self._types.get(kind) if _can_be_type(kind) else None
        return isinstance(value, known or kind)

    @staticmethod
    def _builtin_iter(items: Any, /) -> Any:
        return iter(items)

    @staticmethod
    def _builtin_next(items: Any, default: Any = _MISSING, /) -> Any:
        return next(items) if default is _MISSING else next(items, default)

    def _builtin_round(self, number: Any, ndigits: Any = None) -> Any:
        if type(ndigits) is int and abs(ndigits) > self._bits:
            self._too_big()
        return round(number, ndigits)

    def _builtin_print(
        self, *values: Any, sep: str | None = " ", end: str | None = "\n", flush: bool = False
    ) -> None:
        self._write((" " if sep is None else sep).join(map(str, values)) + ("\n" if end is None else end))

    # --- math ---

    def _make_math(self) -> MathModule:
        module = MathModule()
        for name in policy.MATH:
            if hasattr(math, name):
                setattr(module, name, getattr(math, name))
        for name, function in {
            "factorial": self._factorial,
            "comb": self._comb,
            "perm": self._perm,
            "prod": self._prod,
            "lcm": self._lcm,
        }.items():
            setattr(module, name, function)
        return module

    def _bounded(self, count: Any, top: Any) -> None:
        """Judges a product of `count` factors, none above `top`."""
        if (
            isinstance(count, int)
            and isinstance(top, int)
            and count * (top.bit_length() - 1) > 2 * self._bits
        ):
            self._too_big()

    def _factorial(self, n: Any, /) -> int:
        self._bounded(n, n)
        return self._judged(math.factorial(n))

    def _comb(self, n: Any, k: Any, /) -> int:
        if isinstance(n, int) and isinstance(k, int):
            self._bounded(min(k, n - k), n // max(1, min(k, n - k)))
        return self._judged(math.comb(n, k))

    def _perm(self, n: Any, k: Any = None, /) -> int:
        if isinstance(n, int):
            self._bounded(n if k is None else k, n)
        return self._judged(math.perm(n, k))

    def _judged(self, value: int) -> int:
        if value.bit_length() > self._bits:
            self._too_big()
        return value

    def _prod(self, items: Iterable[Any], /, *, start: Any = 1) -> Any:
        for item in items:
            start = self.mul(start, item)
        return start

    def _lcm(self, *integers: Any) -> int:
        result = 1
        for integer in integers:
            result = self._judged(math.lcm(result, integer))
        return result

    # --- assembly ---

    def _make_types(self) -> dict[Any, type]:
        """What programs call ``list`` and so on, to the types they stand for."""
        return {
            self._builtin_list: list,
            self._builtin_tuple: tuple,
            self._builtin_set: set,
            self._builtin_frozenset: frozenset,
            self._builtin_dict: dict,
            **{kind: kind for kind in (str, int, float, bool)},
        }

    def builtins(self) -> dict[str, Any]:
        """The names that every program finds."""
        table: dict[str, Any] = {builtin.__name__: builtin for builtin in policy.PLAIN_BUILTINS}
        table.update({error.__name__: error for error in policy.EXCEPTIONS})
        for name in policy.GUARDED_BUILTINS:
            table[name] = getattr(self, f"_builtin_{name}", None)
        table.update(math=self._math, pow=self.pow, ToolError=ToolError)
        return table

    def names(self) -> dict[str, Any]:
        """The names that the rewritten program calls; no program can spell them."""
        return {
            "_getattr_": self.getattr,
            "_getitem_": self.getitem,
            "_write_": self.write,
            "_mul_": self.mul,
            "_imul_": self.imul,
            "_pow_": self.pow,
            "_ipow_": self.ipow,
            "_lshift_": self.lshift,
            "_ilshift_": self.lshift,
            "_mod_": self.mod,
            "_imod_": self.mod,
            "_format_": self.format,
            "_caught_": self.caught,
            "_math_": self._math,
            "_Exception_": Exception,
        }


_SIZED = frozenset({str, list, tuple})
_MISSING_TO_PROGRAM = object()


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


def _can_be_type(value: Any) -> bool:
    return type(value) in (type, FunctionType, MethodType)
