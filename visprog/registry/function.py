"""Reading a tool from a Python function, and calling the function in the forms that it wants."""

from __future__ import annotations

import contextvars
import functools
import inspect
import keyword
import threading
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from visprog.sandbox import BUILTIN_NAMES, REFUSED_NAMES

from ..errors import ToolDefinitionError
from ..values.codec import KINDS
from ..values.image import Image
from .records import as_plain, plain_type, rebuilt, told_keys, typed_dict
from .types import Type, Unfit, coerce, is_union, keys_of, render, supported

REQUIRED: Any = inspect.Parameter.empty

_ALLOWED = (
    "Image, Region, Box, Mask, Point, shapes, bool, int, float, str, Literal, list, tuple, dict with str keys, or a "
    "union of these"
)

_TAKEN = {
    *BUILTIN_NAMES,
    *REFUSED_NAMES,
    *KINDS,
    "answer",
    "image",
    "images",
    "result",
}
"""Names that mean something else in programs."""


@dataclass(frozen=True)
class Read:
    """What a function says of itself; `parameters` are (name, type, default, form)."""

    name: str
    function: Callable[..., Any]
    doc: str
    parameters: tuple[tuple[str, Type, Any, str], ...]
    returns: Type
    method: bool


def read(function: Callable[..., Any], name: str = "") -> Read:
    """The declaration of a tool. Raises `ToolDefinitionError` as `visprog.tool` does."""
    if isinstance(function, staticmethod):
        function = function.__func__
    if isinstance(function, classmethod):
        raise ToolDefinitionError(
            f"a class method becomes a tool outside of its class: tool(TheClass.{function.__name__})"
        )
    inner = innermost(function)
    name = name or getattr(inner, "__name__", "")
    where = f"tool '{name}'"
    if inspect.isclass(function) or not callable(function):
        what = f"the class {name}" if inspect.isclass(function) else repr(function)
        raise ToolDefinitionError(f"a tool is made from a function, not from {what}")
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise ToolDefinitionError(
            f"{where}: the name must be a Python identifier without a leading underscore; pass name=…"
        )
    if name in _TAKEN:
        raise ToolDefinitionError(f"{where}: '{name}' means something else in programs; pass name=…")
    doc = _doc(function, inner)
    if not doc:
        raise ToolDefinitionError(
            f"{where}: write a docstring; the planner reads it to know when to call the tool"
        )
    if inspect.isasyncgenfunction(inner):
        raise ToolDefinitionError(f"{where}: return a list instead of yielding from an async function")
    hints = _hints(inner, where)
    if "return" not in hints:
        raise ToolDefinitionError(f"{where}: annotate its result, for example '-> float'")
    signature = list(inspect.signature(function).parameters.values())
    method = bool(signature) and signature[0].name in ("self", "cls") and signature[0].name not in hints
    preset = _preset(function)
    parameters = [
        _parameter(p, hints, where) for p in signature[1 if method else 0 :] if p.name not in preset
    ]
    returns, keys = _result(hints["return"], where)
    if not supported(returns):
        raise ToolDefinitionError(f"{where}: its result has the type {_said(returns)}")
    doc += "".join(told_keys(f"'{parameter}'", keys_of(kind)) for parameter, kind, _, _ in parameters) + keys
    return Read(name, function, doc, tuple(parameters), returns, method)


def innermost(function: Callable[..., Any]) -> Any:
    """The function that does the work: of a partial, of a bound method, of an object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    return type(function).__call__ if callable(function) else function


def as_form(value: Any, form: str) -> Any:
    """An argument as the function wants it: images as PIL images or as arrays (H, W, 3) of uint8, RGB."""
    if not form:
        return value
    if isinstance(value, list | tuple):
        return type(value)(as_form(v, form) for v in value)
    if isinstance(value, Image):
        # A copy: those who take arrays draw on them, and torch warns of what is read-only.
        return value.to_pil() if form == "pil" else value.pixels.copy()
    return value


def finished(value: Any) -> Any:
    """A result: awaited if it is to be awaited, and records (dataclasses, models) as dicts by field name."""
    return as_plain(_awaited(value) if isinstance(value, Awaitable) else value)


def _awaited(value: Awaitable[Any]) -> Any:
    """Run a coroutine to its end, in a thread if an event loop (a notebook's) already runs in this one."""
    import asyncio  # here alone: it is slow to import

    async def wait() -> Any:
        return await value

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    outcome: list[Any] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(asyncio.run(wait()))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return outcome[0]


def _doc(function: Callable[..., Any], inner: Any) -> str:
    doc = inspect.getdoc(inner)
    if (
        not inspect.isroutine(function) and inner is type(function).__call__
    ):  # an object: its class may say it
        own = type(function).__doc__
        doc = inner.__doc__ or (inspect.cleandoc(own) if own else "")
    return doc or ""


def _hints(inner: Any, where: str) -> dict[str, Any]:
    try:
        try:
            return get_type_hints(inner)
        except NameError:  # of a value that its module imports for type checkers only
            return get_type_hints(inner, localns={name: kind.cls for name, kind in KINDS.items()})
    except (NameError, AttributeError) as error:
        raise ToolDefinitionError(
            f"{where}: its annotations name something that is not imported: {error}"
        ) from None
    except (TypeError, SyntaxError) as error:
        raise ToolDefinitionError(f"{where}: its annotations are not types: {error}") from None


def _preset(function: Callable[..., Any]) -> set[str]:
    """Parameters that a partial has filled in by name."""
    names: set[str] = set()
    while isinstance(function, functools.partial):
        names |= set(function.keywords)
        function = function.func
    return names


def _parameter(
    parameter: inspect.Parameter, hints: Mapping[str, Any], where: str
) -> tuple[str, Type, Any, str]:
    name, default = parameter.name, parameter.default
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
        raise ToolDefinitionError(
            f"{where}: '{_stars(parameter)}' cannot be described to a planner; name each parameter plainly"
        )
    if name not in hints:
        raise ToolDefinitionError(f"{where}: annotate the parameter '{name}', for example '{name}: Image'")
    annotation, form = _own(hints[name])
    if not supported(annotation):
        raise ToolDefinitionError(f"{where}: {name} has the type {_said(annotation)}")
    if default is not REQUIRED:
        try:
            default = coerce(annotation, default)
        except Unfit:
            hint = "; write '| None'" if default is None and not is_union(annotation) else ""
            raise ToolDefinitionError(
                f"{where}: the default {default!r} of '{name}' is not {render(annotation)}{hint}"
            ) from None
    return name, annotation, default, form


def _stars(parameter: inspect.Parameter) -> str:
    stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
    return ("**" if parameter.kind is parameter.VAR_KEYWORD else stars) + parameter.name


def _said(annotation: Type) -> str:
    if annotation in (list, tuple, dict):
        inner = "str, float" if annotation is dict else "Region"
        return f"{annotation.__name__}: say of what, for example {annotation.__name__}[{inner}]"
    if getattr(annotation, "__name__", "") == "Tensor":
        return (
            f"{render(annotation)}: write Image if it is an image (image.pixels is its array, and a tensor can be "
            "returned for one), else list[float]"
        )
    return f"{render(annotation)}; use {_ALLOWED}"


def _own(annotation: Type) -> tuple[Type, str]:
    """An annotation with `Image` for each foreign type of image, and the form that the function wants."""
    form = _form(annotation)
    if form:
        return Image, form
    if keys := keys_of(annotation):
        return typed_dict(annotation.__name__, {name: _own(kind)[0] for name, kind in keys.items()}), ""
    origin: Any = get_origin(annotation)
    args = get_args(annotation)
    if not args or origin is typing.Literal:
        return annotation, ""
    inner = [_own(a) if a is not Ellipsis else (a, "") for a in args]
    own = tuple(a for a, _ in inner)
    return annotation if own == args else rebuilt(origin, own), next((f for _, f in inner if f), "")


def _form(annotation: Type) -> str:
    origin: Any = get_origin(annotation) or annotation
    if origin is np.ndarray:
        return "array"
    module = getattr(origin, "__module__", "")
    return "pil" if module.startswith("PIL.") and getattr(origin, "__name__", "") == "Image" else ""


def _result(annotation: Type, where: str) -> tuple[Type, str]:
    """The type of a result as programs see it, and the keys of the records in it."""
    try:
        plain, keys = plain_type(annotation)
    except (NameError, TypeError) as error:
        raise ToolDefinitionError(f"{where}: the fields of its result cannot be read: {error}") from None
    return _own(plain)[0], keys
