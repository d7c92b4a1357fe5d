"""What a program's operations become at run time, and the builtins it finds.

There is one place where an attribute is read, `Guards.getattr`, for `o.n`, `getattr` and
`hasattr` alike; it knows, for the exact type of every value, which names are open. A limit ends the run
inside `stop`, so there is nothing left that a program could catch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from sys import exception
from types import MethodType
from typing import Any

from . import policy
from .formatting import Formatting
from .limits import Limits
from .sizes import Sizes, Stop, public

_MISSING = object()


class ToolError(Exception):
    """A tool failed; programs see the message alone.

    Attributes:
        call: number of the call, if a call raised it.
    """

    __slots__ = ("call",)

    def __init__(self, message: str = "", call: int | None = None) -> None:
        super().__init__(message)
        self.call = call if type(call) is int and 0 < call < 1 << 31 else None  # programs make them, too


ToolError.__module__ = "builtins"  # as its repr says


class MathModule:
    """What `math` and `import math` give: the functions that the policy lists."""

    def __init__(self, sizes: Sizes) -> None:
        names = [name for name in policy.MATH_NAMES if hasattr(math, name)]  # some are newer than Python 3.11
        vars(self).update({name: getattr(math, name) for name in names})
        vars(self).update(sizes.math())

    def __repr__(self) -> str:
        return "<module 'math' (built-in)>"


MathModule.__name__ = "module"  # as messages about it say


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
        self._stop = stop
        self._write = write
        self._sizes = Sizes(limits, stop)
        self._formatting = Formatting(self._sizes)
        self._math = MathModule(self._sizes)
        special = self._formatting.methods()
        table: dict[type, Iterable[str]] = {**policy.TYPE_ATTRIBUTES, **attributes, ToolError: ("args",)}
        table[MathModule] = vars(self._math)
        self._open: dict[type, dict[str, Callable[..., Any] | None]] = {
            kind: {name: special.get(name) if kind is str else None for name in names}
            for kind, names in table.items()
        }

    # --- attributes ---

    def getattr(self, value: Any, name: str) -> Any:
        """`value.name`, if the exact type of the value opens that name.

        Raises:
            AttributeError: it does not, or the value has no such attribute.
        """
        try:
            special = self._open[type(value)][name]
        except KeyError:
            return self._type_attribute(value, name)
        return getattr(value, name) if special is None else MethodType(special, value)

    def _type_attribute(self, value: Any, name: str) -> Any:
        """`str.lower` and `dict.fromkeys`: methods of builtin types as functions."""
        if type(value) is type and value in policy.TYPES and name in self._open[value]:
            return self._open[value][name] or getattr(value, name)
        raise AttributeError(f"{type(value).__name__!r} object has no attribute {name!r}")

    # --- items ---

    @staticmethod
    def getitem(value: Any, key: Any) -> Any:
        if type(value) in policy.SUBSCRIPTABLE or (type(value) is type and value in policy.GENERIC):
            return value[key]
        raise TypeError(f"{type(value).__name__!r} object is not subscriptable")

    @staticmethod
    def write(value: Any) -> Any:
        if type(value) in policy.WRITABLE:
            return value
        raise TypeError(f"{type(value).__name__!r} object does not support item assignment")

    # --- exceptions ---

    def caught(self) -> None:
        """Called first in every handler and `finally`: what the interpreter raised for a limit ends here."""
        self.check_limit(exception())

    def check_limit(self, error: BaseException | None) -> None:
        """End the run if an exception is the interpreter's word for a limit."""
        if isinstance(error, MemoryError):
            self._stop("memory", "the program used up its memory")
        if isinstance(error, RecursionError):
            self._stop("recursion", "calls are nested too deeply")

    # --- builtins ---

    def builtins(self) -> dict[str, Any]:
        """The names that every program finds."""

        def getattr(value: Any, name: str, default: Any = _MISSING, /) -> Any:
            if type(name) is not str:
                raise TypeError("attribute name must be string")
            try:
                return self.getattr(value, name)
            except AttributeError:
                if default is _MISSING:
                    raise
                return default

        def hasattr(value: Any, name: str, /) -> bool:
            absent = object()
            return getattr(value, name, absent) is not absent

        def format(value: Any, format_spec: str = "", /) -> str:
            return self._formatting.format(value, format_spec)

        def pow(base: Any, exp: Any, mod: Any = None) -> Any:
            return self._sizes.pow(base, exp, mod)

        def round(number: Any, ndigits: Any = None) -> Any:
            return self._sizes.round(number, ndigits)

        def print(*values: Any, sep: str | None = " ", end: str | None = "\n", flush: bool = False) -> None:
            for name, text in (("sep", sep), ("end", end)):
                if text is not None and type(text) is not str:
                    raise TypeError(f"{name} must be None or a string, not {type(text).__name__}")
            self._write((" " if sep is None else sep).join(map(str, values)) + ("\n" if end is None else end))

        return {
            **{builtin.__name__: builtin for builtin in policy.PLAIN_BUILTINS},
            **{error.__name__: error for error in (*policy.EXCEPTIONS, ToolError)},
            **public("", getattr, hasattr, format, pow, round, print),
            "math": self._math,
        }

    def names(self) -> dict[str, Any]:
        """The names that the rewritten program calls; no program can spell them."""
        return {
            "_getattr_": self.getattr,
            "_getitem_": self.getitem,
            "_write_": self.write,
            "_mul_": self._sizes.mul,
            "_imul_": self._sizes.imul,
            "_pow_": self._sizes.pow,
            "_ipow_": self._sizes.pow,
            "_lshift_": self._sizes.lshift,
            "_ilshift_": self._sizes.lshift,
            "_mod_": self._formatting.mod,
            "_imod_": self._formatting.mod,
            "_format_": self._formatting.format,
            "_caught_": self.caught,
            "_math_": self._math,
            "_Exception_": Exception,
        }
