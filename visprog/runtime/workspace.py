"""Values that outlive one program, under short names: of a conversation, a page, or a planner that takes turns."""

from __future__ import annotations

import math
import threading
from collections.abc import Container, Mapping, Sequence
from typing import Any, get_args, get_origin

from ..errors import ToolError, close_match
from ..registry.types import Type, accepts, describe, is_union, render
from ..values.codec import is_kind, is_value, show

_MAX_IDS = 20
"""Bound of the ids that an error message lists."""


class Workspace:
    """Values by id ("image1", "region3"). Safe to use from several threads.

    Args:
        values: The first ones, by ids that are known elsewhere.
        taken: Further names that are no ids, such as those of tools.
    """

    def __init__(self, values: Mapping[str, Any] | None = None, taken: Container[str] = ()) -> None:
        self._values: dict[str, Any] = dict(values or {})
        self._taken = taken
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, value: Any) -> str:
        """Keep a value; its id, which is also a name that a program can use."""
        kind = _stem(value)
        with self._lock:
            name = ""
            while not name or name in self._values or name in self._taken:
                self._counts[kind] = self._counts.get(kind, 0) + 1
                name = f"{kind}{self._counts[kind]}"
            self._values[name] = value
        return name

    @property
    def ids(self) -> list[str]:
        """The ids that name a value, the oldest first."""
        with self._lock:
            return list(self._values)

    def __getitem__(self, name: str) -> Any:
        """The value of an id.

        Raises:
            ToolError: There is no such id; the message names the nearest, or those that there are.
        """
        with self._lock:
            if name in self._values:
                return self._values[name]
        raise _UnknownId(self._unknown(name))

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __len__(self) -> int:
        return len(self._values)

    def describe(self, name: str) -> str:
        """The value of an id, in words on one line. Raises as `workspace[name]` does."""
        return " ".join(show(self[name]).split())

    def resolve(self, annotation: Type, given: Any) -> Any:
        """A JSON argument as the value that a tool wants: ids become what they name.

        Raises:
            ToolError: It is not of the type, or names no value of it.
        """
        failures = []
        options = get_args(annotation) if is_union(annotation) else (annotation,)
        for option in sorted(options, key=lambda o: o is str):  # text that is an id means what it names
            try:
                return self._resolve(option, given)
            except ToolError as error:
                failures.append(error)
        unknown = next((e for e in failures if isinstance(e, _UnknownId)), None)
        if unknown is not None or len(failures) == 1:
            raise unknown or failures[0]
        raise _wrong(annotation, given)

    def to_json(self, value: Any) -> Any:
        """A result as JSON: plain data as it is, other values under a new id and in words."""
        if is_value(value):
            return {"id": self.add(value), "what": show(value)}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.to_json(v) for v in value]
        if isinstance(value, Mapping):
            return {k if isinstance(k, str) else show(k): self.to_json(v) for k, v in value.items()}
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)  # JSON has no number for it
        return value

    def _resolve(self, annotation: Type, given: Any) -> Any:
        origin: Any = get_origin(annotation)
        args = get_args(annotation)
        if is_kind(annotation):
            if not isinstance(given, str):
                raise ToolError(
                    f"must be the id of a value of type {render(annotation)}, not {describe(given)}"
                )
            value = self[given]
            if not accepts(annotation, value):
                raise ToolError(f"must be {render(annotation)}, and '{given}' is {describe(value)}")
            return value
        if origin in (list, Sequence, tuple) and isinstance(given, str) and given in self:
            value = self[given]
            if accepts(annotation, value):
                return value
        if origin in (list, Sequence, tuple) and isinstance(given, list):
            if origin is tuple and args[-1] is not Ellipsis:
                if len(args) != len(given):
                    raise _wrong(annotation, given)
                return tuple(map(self.resolve, args, given))
            return [self.resolve(args[0], g) for g in given]
        if origin is dict and isinstance(given, Mapping):
            return {self.resolve(args[0], k): self.resolve(args[1], g) for k, g in given.items()}
        if origin in (list, Sequence, tuple, dict) or not accepts(annotation, given):
            raise _wrong(annotation, given)
        return given

    def _unknown(self, name: str) -> str:
        ids = self.ids
        close = close_match(name, ids)
        listed = ", ".join(ids[:_MAX_IDS]) + (" …" if len(ids) > _MAX_IDS else "")
        hint = f"did you mean '{close}'?" if close else f"there are {listed or 'none yet'}"
        return f"there is no value {name[:100]!r}; {hint}"


def _stem(value: Any) -> str:
    """The name of the type of a value, in the plural for a list of values of one kind: "region", "regions"."""
    kinds = {type(v).__name__.lower() for v in value if is_value(v)} if isinstance(value, list) else set()
    if len(kinds) == 1 and all(map(is_value, value)):
        kind = kinds.pop()
        return kind + ("es" if kind.endswith("x") else "s")
    return type(value).__name__.lower()


class _UnknownId(ToolError):
    """An id that names nothing."""


def _wrong(annotation: Type, given: Any) -> ToolError:
    return ToolError(f"must be {render(annotation)}, not {describe(given)}")
