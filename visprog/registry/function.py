"""Reading a tool from a Python function, and calling the function in the forms that it wants."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
import inspect
import keyword
import threading
import types
import typing
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from ..errors import ToolDefinitionError
from ..types import VALUES, Type, Unfit, coerce, is_union, render, supported
from ..values.image import Image

REQUIRED: Any = inspect.Parameter.empty

_ALLOWED = (
    "Image, Region, Box, Mask, Point, shapes, bool, int, float, str, Literal, list, tuple, dict with str keys, or a "
    "union of these"
)


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
    returns, keys = _result(hints["return"])
    if not supported(returns):
        raise ToolDefinitionError(f"{where}: its result has the type {_said(returns)}")
    return Read(name, function, doc + keys, tuple(parameters), returns, method)


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
        return value.to_pil() if form == "pil" else value.pixels
    return value


def finished(value: Any) -> Any:
    """A result: awaited if it is to be awaited, and records (dataclasses, models) as dicts by field name."""
    if isinstance(value, Awaitable):
        value = _awaited(value)
    return _plain_records(value)


def _plain_records(value: Any) -> Any:
    if isinstance(value, VALUES):
        return value
    if isinstance(value, list):
        return [_plain_records(v) for v in value]
    fields = None if isinstance(value, type) else _fields(type(value))
    if fields is None or isinstance(value, Mapping | tuple):
        return value
    return {name: _plain_records(getattr(value, name)) for name in fields}


def _awaited(value: Awaitable[Any]) -> Any:
    """Run a coroutine to its end, in a thread if an event loop (a notebook's) already runs in this one."""

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
        return get_type_hints(inner)
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
            f"{where}: '{parameter}' cannot be described to a planner; name each parameter plainly"
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


def _said(annotation: Type) -> str:
    if annotation in (list, tuple, dict):
        inner = "str, float" if annotation is dict else "Region"
        return f"{annotation.__name__}: say of what, for example {annotation.__name__}[{inner}]"
    return f"{render(annotation)}; use {_ALLOWED}"


def _own(annotation: Type) -> tuple[Type, str]:
    """An annotation with `Image` for each foreign type of image, and the form that the function wants."""
    form = _form(annotation)
    if form:
        return Image, form
    origin: Any = get_origin(annotation)
    args = get_args(annotation)
    if not args or origin is typing.Literal:
        return annotation, ""
    inner = [_own(a) if a is not Ellipsis else (a, "") for a in args]
    forms = {f for _, f in inner} - {""}
    return _rebuilt(annotation, tuple(a for a, _ in inner)), next(iter(forms), "")


def _form(annotation: Type) -> str:
    origin: Any = get_origin(annotation) or annotation
    if origin is np.ndarray:
        return "array"
    module = getattr(origin, "__module__", "")
    return "pil" if module.startswith("PIL.") and getattr(origin, "__name__", "") == "Image" else ""


def _rebuilt(annotation: Type, args: tuple[Any, ...]) -> Type:
    if args == get_args(annotation):
        return annotation
    if is_union(annotation):
        return Union[args]  # noqa: UP007  (of a tuple that is known when this runs)
    origin: Any = get_origin(annotation)
    return types.GenericAlias(origin, args)


def _result(annotation: Type) -> tuple[Type, str]:
    """The type of a result as programs see it, and a sentence on the keys if it is a record."""
    origin: Any = get_origin(annotation)
    args = get_args(annotation)
    fields = _fields(annotation)
    if fields:
        inner = {name: _result(hint)[0] for name, hint in fields.items()}
        kinds = tuple(dict.fromkeys(inner.values()))
        told = ", ".join(f"{name} ({render(hint)})" for name, hint in inner.items())
        union = kinds[0] if len(kinds) == 1 else Union[kinds]  # noqa: UP007
        return types.GenericAlias(dict, (str, union)), f"\n\nKeys of the result: {told}."
    if isinstance(annotation, type) and issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        hints = get_type_hints(annotation)
        return types.GenericAlias(tuple, tuple(_own(hints[f])[0] for f in annotation._fields)), ""
    if origin in (Iterable, Iterator) or (
        origin is not None and origin is getattr(types, "GeneratorType", 0)
    ):
        return _result(types.GenericAlias(list, args[:1]))
    if origin in (list, Sequence) and args:
        inner_type, keys = _result(args[0])
        return _rebuilt(annotation, (inner_type,)), keys
    return _own(annotation)[0], ""


def _fields(annotation: Type) -> dict[str, Type] | None:
    """Names and types of the fields of a dataclass, a TypedDict or a pydantic model; None for another type."""
    if not isinstance(annotation, type) or annotation in VALUES:
        return None
    if typing.is_typeddict(annotation):
        return get_type_hints(annotation)
    if dataclasses.is_dataclass(annotation):
        hints = get_type_hints(annotation)
        return {f.name: hints[f.name] for f in dataclasses.fields(annotation)}
    model = getattr(annotation, "model_fields", None)
    if isinstance(model, Mapping):
        return {name: each.annotation for name, each in model.items()}
    return None
