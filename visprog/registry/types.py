"""The types that a tool may use, and what follows from them: text for prompts, JSON schema, checks.

A type is the Python annotation itself: `list[Region]`, `Literal["left", "right"]`, `Image | Region`.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import types
from collections.abc import Iterable, Mapping, Sequence, Set
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from ..errors import ConfigError, ImageError
from ..values import Box, Mask, Point, Region
from ..values.codec import KINDS, is_kind, kind_of, type_name
from ..values.image import Image

Type: TypeAlias = Any
"""An annotation. Python has no one static type for `list[int] | None`."""

AnswerType: TypeAlias = type | types.UnionType | types.GenericAlias | str
"""What a user asks an answer to be: a type, such as `int` or `list[Region]`, or its name; see `answer_type`."""

SCALARS: tuple[type, ...] = (bool, int, float, str)

SHAPES: tuple[Any, ...] = tuple(kind.cls for kind in KINDS.values() if kind.is_shape)
"""Objects found by their outline. Where a tool takes a region, it takes one of these."""

_COORDINATES: dict[type, int] = {Box: 4, Point: 2}
"""Values for which a tuple of so many numbers can stand."""

_JSON = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def is_union(annotation: Type) -> bool:
    origin: Any = get_origin(annotation)
    return origin in (Union, types.UnionType)


def keys_of(annotation: Type) -> Mapping[str, Type]:
    """Types of the values of a `TypedDict` by key, which may be missing; nothing for another type."""
    typed = isinstance(annotation, type) and hasattr(annotation, "__required_keys__")
    return _hints(annotation) if typed else {}


@functools.cache
def _hints(annotation: type) -> Mapping[str, Type]:
    return get_type_hints(annotation)


def as_dict(keys: Mapping[str, Type]) -> Type:
    """The type of a dict with these keys as one that says nothing of single keys: `dict[str, int | str]`."""
    kinds = tuple(dict.fromkeys(keys.values()))
    return types.GenericAlias(dict, (str, Union[kinds]))  # noqa: UP007  (of a tuple that is known when this runs)


def supported(annotation: Type) -> bool:
    """True for what a tool's parameter or result may be."""
    origin: Any = get_origin(annotation)
    args = get_args(annotation)
    if annotation in SCALARS or is_kind(annotation) or annotation is type(None) or annotation is None:
        return True
    if isinstance(annotation, TypeVar):
        return True
    if keys := keys_of(annotation):
        return all(map(supported, keys.values()))
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
    if isinstance(annotation, TypeVar):
        return "T"  # a signature has one at most
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
    if keys := keys_of(annotation):
        return render(as_dict(keys))
    return type_name(annotation)


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
    if keys := keys_of(annotation):
        return isinstance(value, dict) and all(k in keys and accepts(keys[k], v) for k, v in value.items())
    return isinstance(annotation, type) and isinstance(value, annotation)


def annotation_of(value: object) -> Type:
    """The type of a value, as an annotation: `list[Region]`, `dict[str, int]`; of an empty list `list[Any]`."""
    if value is None or type(value) in SCALARS:
        return type(value)
    kind = kind_of(type(value))
    if kind is not None:
        return kind.cls
    if isinstance(value, tuple):
        return types.GenericAlias(tuple, tuple(map(annotation_of, value)) or ((),))
    if isinstance(value, list | set | frozenset):
        return types.GenericAlias(type(value), (_one_of(value),))
    if isinstance(value, Mapping):
        return types.GenericAlias(dict, (_one_of(value), _one_of(value.values())))
    return Any


def _one_of(values: Iterable[object]) -> Type:
    found = tuple(dict.fromkeys(map(annotation_of, values)))
    return Union[found] if found else Any  # noqa: UP007  (of a tuple that is known when this runs)


class Unfit(ValueError):
    """A value that is not of a type, and cannot be turned into it; the text describes the value.

    Attributes:
        why: what is wrong with it, apart from its type.
    """

    def __init__(self, value: object, why: str = "") -> None:
        super().__init__(describe(value) + (f": {why}" if why else ""))
        self.why = why


def coerce(annotation: Type, value: Any, image: Image | None = None) -> Any:
    """A value as the type declares it, if it can be turned into that without loss.

    Python and NumPy scalars, tensors of one element, PIL images, arrays, tuples of coordinates and iterators become the
    values that they stand for; a shape becomes the region that it covers.

    Args:
        image: the image that the value was found in: an array of its size can then be a mask, and if it is a crop,
            bare numbers cannot be a box or a point.

    Raises:
        Unfit: it cannot; the text describes the value, with the module of a foreign type.
    """
    try:
        return _coerced(annotation, value, image)
    except Unfit as error:
        raise Unfit(value, error.why) from None


def _coerced(annotation: Type, value: Any, image: Image | None) -> Any:
    origin: Any = get_origin(annotation)
    args = get_args(annotation)
    if annotation is Any or isinstance(annotation, TypeVar):
        return plain(value)
    if is_union(annotation):
        exact = [a for a in args if accepts(a, value)]  # a shape is accepted as a region, but stays a shape
        exact.sort(key=lambda a: not (is_kind(a) and isinstance(value, a)))
        for option in exact or args:
            with contextlib.suppress(Unfit):
                return _coerced(option, value, image)
    elif origin is Literal:
        value = plain(value)
        if accepts(annotation, value):
            return value
    elif annotation in SCALARS or annotation is type(None) or annotation is None:
        value = plain(value)
        if accepts(annotation, value):
            return value
        if annotation is float and isinstance(value, Decimal | Fraction):
            return float(value)
    elif origin in (list, Sequence):
        return [_coerced(args[0], v, image) for v in _items(value)]
    elif origin is tuple:
        items = _items(value)
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_coerced(args[0], v, image) for v in items)
        if len(items) == len(args):
            return tuple(_coerced(a, v, image) for a, v in zip(args, items, strict=True))
    elif origin is dict:
        if isinstance(value, Mapping):
            return {_coerced(args[0], k, None): _coerced(args[1], v, image) for k, v in value.items()}
    elif keys := keys_of(annotation):
        if isinstance(value, Mapping):
            if unknown := [k for k in value if k not in keys]:
                raise Unfit(value, f"its type has no key {unknown[0]!r}")
            return {k: _coerced(keys[k], v, image) for k, v in value.items()}
    elif isinstance(annotation, type):
        return _value(annotation, value, image)
    raise Unfit(value)


def plain(value: Any) -> Any:
    """A scalar of NumPy, torch or an enumeration as the Python scalar that it is; anything else unchanged."""
    if type(value) in SCALARS:
        return value
    size = value.numel() if hasattr(value, "numel") else getattr(value, "size", None)
    if isinstance(size, int) and size == 1 and hasattr(value, "item") and not isinstance(value, Image):
        value = value.item()
    for kind in SCALARS:  # bool before int, of which it is a subclass
        if isinstance(value, kind):
            return kind(value.value if isinstance(value, enum.Enum) else value)
    return float(value) if isinstance(value, np.floating) else value  # long doubles stay NumPy's


def _items(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return list(value)
    if hasattr(value, "tolist") and getattr(value, "ndim", 0) > 0:  # an array or a tensor
        return list(value.tolist())
    if isinstance(value, str | bytes | Mapping | Set) or not isinstance(value, Iterable):
        raise Unfit(value)
    if hasattr(value, "ndim") or type(value).__module__.startswith("PIL."):
        raise Unfit(value)
    return list(value)


def _value(annotation: type, value: Any, image: Image | None) -> Any:
    """A value of visprog's own, or what stands for it."""
    if annotation is Region and isinstance(value, SHAPES):
        return Region(value.box, type(value).__name__.lower(), image=value.image)
    if isinstance(value, annotation):
        return value
    try:
        if annotation is Image and _is_pixels(value):
            return Image.open(value)
        if annotation is Mask and image is not None and _is_pixels(value):
            return image.to_mask(value)
        if annotation in _COORDINATES and len(items := _items(value)) == _COORDINATES[annotation]:
            made = annotation(*items)
            if image is not None and image.parent is not None:
                raise ValueError(f"numbers found in a crop have no frame: return image.to_root({made})")
            return made
    except (ImageError, ValueError) as error:
        raise Unfit(value, getattr(error, "why", str(error))) from None
    raise Unfit(value)


def _is_pixels(value: object) -> bool:
    """Whether a value is an array, a tensor or a PIL image: never a path, which a program must not open."""
    return hasattr(value, "__array_interface__") or (hasattr(value, "numpy") and hasattr(value, "ndim"))


def describe(value: object) -> str:
    """The type of a value in the same words: `list[Region]`, `int`, `list[int | str]`."""
    if value is None:
        return "None"
    if isinstance(value, list | tuple):
        inner = sorted({describe(v) for v in value})
        return f"{type(value).__name__}[{' | '.join(inner)}]" if inner else f"empty {type(value).__name__}"
    name = type_name(type(value))
    shape = getattr(value, "shape", ())
    return f"{name} of shape {tuple(shape)}" if isinstance(shape, tuple) and shape else name


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
    if keys := keys_of(annotation):
        return {"type": "object", "properties": {k: json_schema(v) for k, v in keys.items()}}
    return {"type": "string", "description": f"id of a value of type {render(annotation)}"}


def mentions(annotation: Type, kind: type) -> bool:
    """Whether a type is `kind`, or has it among its parts."""
    parts = get_args(annotation) or tuple(keys_of(annotation).values())
    return annotation is kind or any(mentions(part, kind) for part in parts)


def answer_type(wanted: Any) -> Type:
    """The type that an answer must have, given as a type or by its name; None for any.

    Raises:
        ConfigError: it is neither.
    """
    if wanted is None or wanted in (list, dict, tuple) or (not isinstance(wanted, str) and supported(wanted)):
        return wanted
    named = {cls.__name__: cls for cls in (*SCALARS, list, dict, *(kind.cls for kind in KINDS.values()))}
    if isinstance(wanted, str) and wanted.strip() in named:
        return named[wanted.strip()]
    raise ConfigError(f"returns must be a type, or one of {', '.join(named)}, not {wanted!r:.80}")
