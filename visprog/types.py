"""The types that a tool may use, and what follows from them: text for prompts, JSON schema, checks.

A type is the Python annotation itself: `list[Region]`, `Literal["left", "right"]`, `Image | Region`.
"""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

from .values import Box, Circle, Grid, Line, Located, Mask, Point, Polygon, Region
from .values.image import Image

Type: TypeAlias = Any
"""An annotation. Python has no one static type for `list[int] | None`."""

SCALARS: tuple[type, ...] = (bool, int, float, str)
VALUES: tuple[type, ...] = (Image, Mask, Region, Box, Point, Circle, Line, Polygon, Grid, Located)

SHAPES = (Circle, Line, Polygon)
"""Things found by their outline. Where a tool takes a region, it takes one of these."""

_JSON = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def is_union(annotation: Type) -> bool:
    origin: Any = get_origin(annotation)
    return origin in (Union, types.UnionType)


def supported(annotation: Type) -> bool:
    """True for what a tool's parameter or result may be."""
    origin: Any = get_origin(annotation)
    args = get_args(annotation)
    if annotation in SCALARS or annotation in VALUES or annotation is type(None) or annotation is None:
        return True
    if isinstance(annotation, TypeVar):
        return True
    if origin is Literal:
        return all(isinstance(a, str | int | bool) or a is None for a in args)
    if is_union(annotation) or origin in (list, Sequence):
        return bool(args) and all(supported(a) for a in args)
    if origin is tuple:
        return bool(args) and all(supported(a) for a in args if a is not Ellipsis)
    if origin is dict:
        return len(args) == 2 and args[0] is str and supported(args[1])
    return False


def render(annotation: Type) -> str:
    """The type as it is written in Python: `list[Region]`, `Image | Region`, `Literal["left", "right"]`."""
    origin: Any = get_origin(annotation)
    args = get_args(annotation)
    if annotation is None or annotation is type(None):
        return "None"
    if origin is Literal:
        return "Literal[" + ", ".join(f'"{a}"' if isinstance(a, str) else repr(a) for a in args) + "]"
    if is_union(annotation):
        return " | ".join(render(a) for a in args)
    if origin in (list, Sequence):
        return f"list[{render(args[0])}]"
    if origin is tuple:
        return "tuple[" + ", ".join("..." if a is Ellipsis else render(a) for a in args) + "]"
    if origin is dict:
        return f"dict[{render(args[0])}, {render(args[1])}]"
    return str(getattr(annotation, "__name__", annotation))


def accepts(annotation: Type, value: object) -> bool:
    """True if `value` is of this type. An int passes as a float, a shape as a region; a bool is no number."""
    origin: Any = get_origin(annotation)
    args = get_args(annotation)
    if annotation is Any or isinstance(annotation, TypeVar):
        return True
    if annotation is None or annotation is type(None):
        return value is None
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if origin is Literal:
        return any(value == a and type(value) is type(a) for a in args)
    if is_union(annotation):
        return any(accepts(a, value) for a in args)
    if origin in (list, Sequence):
        return isinstance(value, list | tuple) and all(accepts(args[0], v) for v in value)
    if origin is tuple:
        if not isinstance(value, tuple | list):
            return False
        if len(args) == 2 and args[1] is Ellipsis:
            return all(accepts(args[0], v) for v in value)
        return len(args) == len(value) and all(accepts(a, v) for a, v in zip(args, value, strict=True))
    if origin is dict:
        return isinstance(value, dict) and all(
            accepts(args[0], k) and accepts(args[1], v) for k, v in value.items()
        )
    if annotation is Region and isinstance(value, SHAPES):
        return True
    return isinstance(annotation, type) and isinstance(value, annotation)


def as_declared(annotation: Type, value: Any) -> Any:
    """A value that `accepts` took, as the tool declares it: a shape becomes the region that it covers."""
    origin: Any = get_origin(annotation)
    args = get_args(annotation)
    if isinstance(value, SHAPES):
        options = args if is_union(annotation) else (annotation,)
        if Region in options and type(value) not in options and Located not in options:
            return Region(value.box, type(value).__name__.lower(), image=value.image)
    elif is_union(annotation):
        return next((as_declared(a, value) for a in args if accepts(a, value)), value)
    elif origin in (list, Sequence) and args:
        return [as_declared(args[0], v) for v in value]
    return value


def describe(value: object) -> str:
    """The type of a value in the same words: `list[Region]`, `int`, `list[int | str]`."""
    if value is None:
        return "None"
    if isinstance(value, list | tuple):
        inner = sorted({describe(v) for v in value})
        return f"{type(value).__name__}[{' | '.join(inner)}]" if inner else f"empty {type(value).__name__}"
    return type(value).__name__


def json_schema(annotation: Type) -> dict[str, Any]:
    """JSON Schema of the type. Images, regions and the like are named by a string, their id in the run."""
    origin: Any = get_origin(annotation)
    args = get_args(annotation)
    if annotation in _JSON or annotation is None:
        return {"type": _JSON[type(None) if annotation is None else annotation]}
    if origin is Literal:
        return {"enum": list(args)}
    if is_union(annotation):
        return {"anyOf": [json_schema(a) for a in args]}
    if origin in (list, Sequence):
        return {"type": "array", "items": json_schema(args[0])}
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return {"type": "array", "items": json_schema(args[0])}
        return {"type": "array", "prefixItems": [json_schema(a) for a in args], "minItems": len(args)}
    if origin is dict:
        return {"type": "object", "additionalProperties": json_schema(args[1])}
    if isinstance(annotation, TypeVar):
        return {}
    return {"type": "string", "description": f"id of a value of type {render(annotation)}"}
