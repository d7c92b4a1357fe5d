"""What a program's operations become at run time, and the builtins it finds.

There is one place where an attribute is read, :meth:`Guards.getattr`, for ``o.n``, ``getattr`` and
``hasattr`` alike; it knows, for the exact type of every value, which names are open. A limit ends the run
inside ``stop``, so there is nothing left that a program could catch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from sys import exception
from types import FunctionType, MethodType
from typing import Any

from . import policy
from .formatting import Formatting
from .limits import Limits
from .sizes import Sizes, Stop

_MISSING = object()


class ToolError(Exception):
    """A tool failed. ``call`` is the number of the call; programs see the message alone."""

    __slots__ = ("call",)

    def __init__(self, message: str = "", call: int | None = None) -> None:
        super().__init__(message)
        self.call = call


class MathModule:
    """What ``math`` and ``import math`` give: the functions that the policy lists."""

    def __init__(self, sizes: Sizes) -> None:
        names = [name for name in policy.MATH if hasattr(math, name)]  # some are newer than Python 3.11
        vars(self).update({name: getattr(math, name) for name in names})
        vars(self).update(
            {name: getattr(sizes, name) for name in ("comb", "factorial", "lcm", "perm", "prod")}
        )

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
        self._stop = stop
        self._write = write
        self._sizes = Sizes(limits, stop)
        self._formatting = Formatting(self._sizes)
        self._math = MathModule(self._sizes)
        special = self._formatting.methods()
        table: dict[type, Iterable[str]] = {**policy.ATTRIBUTES, **attributes, ToolError: ("args",)}
        table[MathModule] = vars(self._math)
        self._open: dict[type, dict[str, Callable[..., Any] | None]] = {
            kind: {name: special.get(name) if kind is str else None for name in names}
            for kind, names in table.items()
        }
        # What programs call list, and so on, to the types that they mean by it.
        self._types: dict[Any, type] = {kind: kind for kind in (str, int, float, bool)}
        self._types.update({self._list: list, self._tuple: tuple, self._set: set, self._frozenset: frozenset})
        self._types[self._dict] = dict

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
        kind = self._type(value)
        if kind is dict and name == "fromkeys":
            return self._fromkeys
        if kind is not None and name in self._open.get(kind, ()):
            return self._open[kind][name] or getattr(kind, name)
        raise AttributeError(f"{type(value).__name__!r} object has no attribute {name!r}")

    def _type(self, value: Any) -> type | None:
        return self._types.get(value) if type(value) in (type, FunctionType, MethodType) else None

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

    # --- builtins ---

    def _getattr(self, value: Any, name: str, default: Any = _MISSING, /) -> Any:
        if type(name) is not str:
            raise TypeError("attribute name must be string")
        try:
            return self.getattr(value, name)
        except AttributeError:
            if default is _MISSING:
                raise
            return default

    def _hasattr(self, value: Any, name: str, /) -> bool:
        absent = object()
        return self._getattr(value, name, absent) is not absent

    def _isinstance(self, value: Any, kind: Any, /) -> bool:
        if type(kind) is tuple:
            return any([self._isinstance(value, one) for one in kind])
        return isinstance(value, self._type(kind) or kind)

    def _list(self, items: Iterable[Any] = (), /) -> list[Any]:
        return list(self._sizes.listable(items))

    def _tuple(self, items: Iterable[Any] = (), /) -> tuple[Any, ...]:
        return tuple(self._sizes.listable(items))

    def _set(self, items: Iterable[Any] = (), /) -> set[Any]:
        return set(self._sizes.listable(items))

    def _frozenset(self, items: Iterable[Any] = (), /) -> frozenset[Any]:
        return frozenset(self._sizes.listable(items))

    @staticmethod
    def _dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def _fromkeys(self, keys: Iterable[Any], value: Any = None, /) -> dict[Any, Any]:
        return dict.fromkeys(self._sizes.listable(keys), value)

    def _format(self, value: Any, spec: str = "", /) -> str:
        return self._formatting.format(value, spec)

    @staticmethod
    def _iter(items: Any, /) -> Any:
        return iter(items)

    @staticmethod
    def _next(items: Any, default: Any = _MISSING, /) -> Any:
        return next(items) if default is _MISSING else next(items, default)

    def _print(
        self, *values: Any, sep: str | None = " ", end: str | None = "\n", flush: bool = False
    ) -> None:
        self._write((" " if sep is None else sep).join(map(str, values)) + ("\n" if end is None else end))

    def builtins(self) -> dict[str, Any]:
        """The names that every program finds."""
        plain = {builtin.__name__: builtin for builtin in policy.PLAIN_BUILTINS}
        errors = {error.__name__: error for error in (*policy.EXCEPTIONS, ToolError)}
        return {
            **plain,
            **errors,
            "dict": self._dict,
            "format": self._format,
            "frozenset": self._frozenset,
            "getattr": self._getattr,
            "hasattr": self._hasattr,
            "isinstance": self._isinstance,
            "iter": self._iter,
            "list": self._list,
            "math": self._math,
            "next": self._next,
            "pow": self._sizes.pow,
            "print": self._print,
            "round": self._sizes.round,
            "set": self._set,
            "tuple": self._tuple,
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
