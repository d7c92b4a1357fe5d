"""A tool: a typed function that programs may call, and everything that is made from its declaration."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
import re
import types
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, overload

from ..errors import ToolDefinitionError, ToolError, close_match
from ..report import markup
from ..values import Region, Span, Track
from ..values.image import Image
from ..values.video import Video
from . import function as _function
from .function import REQUIRED
from .loader import BACKENDS, Backend, BackendLoader, Options
from .results import MAKE_REGION, Metered, alone, images_of, placed
from .sees import NOT_SAID, Sees
from .types import Type, Unfit, coerce, json_schema, mentions, render

if TYPE_CHECKING:  # with defaults, so that `Tool` alone is a tool of any signature
    from typing_extensions import ParamSpec, TypeVar

    P = ParamSpec("P", default=...)
    R = TypeVar("R", default=Any)
else:
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

through_host: ContextVar[Callable[..., Any] | None] = ContextVar("visprog_through_host", default=None)
"""How a tool that runs calls another: through the host that called it, with its configuration, cache and trace."""

batch_through_host: ContextVar[Callable[..., list[Any]] | None] = ContextVar(
    "visprog_batch_through_host", default=None
)
"""How a tool that runs makes many calls of another at once: `Tool.batch`."""

Spread: TypeAlias = Callable[..., tuple[list[dict[str, Any]], Callable[[list[Any]], Any]]]
"""The arguments of a call → those of several, and the function that makes one result of theirs."""

in_use: weakref.WeakSet[Tool] = weakref.WeakSet()
"""The tools in registries."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a tool.

    Attributes:
        form: what the function wants instead of an `Image`: "pil" or "array"; empty if it takes an `Image`.
    """

    name: str
    type: Type
    default: Any = REQUIRED
    form: str = ""

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    def __str__(self) -> str:
        text = f"{self.name}: {render(self.type)}"
        if self.required:
            return text
        return f"{text} = " + (f'"{self.default}"' if isinstance(self.default, str) else repr(self.default))


@dataclass(frozen=True, eq=False, repr=False)
class Tool(Generic[P, R]):
    """A typed function that programs may call. It can still be called as the function that it was.

    Attributes:
        name: what programs call it.
        function: the Python function; for a model-backed tool only its signature and docstring count.
        doc: its docstring.
        parameters: in order.
        returns: the type of its result.
        limits: what it cannot do, for the planner.
        backends: name → "module:Class", or the class itself, of each `Backend`; empty for a plain function.
        default_backend: the one in force if the configuration names none.
        pure: runs inside the sandbox, on values alone, with no call out.
        sees: what it can see. Of a model-backed tool it is known if a configuration is: in `Host.in_force`.
        phrases: of a tool that calls another, its parameter → "TOOL.PARAMETER" of the other that it hands on. In
            `Host.in_force` the tool sees what the other does.
        cache: whether equal calls are answered from memory.
        alone: whether a plain function is called one call at a time; others are called from several threads.
        replaces: takes the place of another tool of its name in a registry.
        method: made from a function in a class; `object.name` is the tool that can be called.
        spread: of a model-backed tool, the arguments of a call → those of the calls of its backend, and the function
            that makes one result of theirs; None if the backend takes the call itself.
    """

    name: str
    function: Callable[..., Any]
    doc: str
    parameters: tuple[Parameter, ...]
    returns: Type
    limits: str = ""
    backends: Mapping[str, str | Callable[..., Backend]] = field(default_factory=dict)
    default_backend: str = ""
    pure: bool = False
    sees: Sees = NOT_SAID
    phrases: Mapping[str, str] = field(default_factory=dict)
    cache: bool = True
    alone: bool = False
    replaces: bool = False
    method: bool = False
    spread: Spread | None = None

    def __post_init__(self) -> None:
        # What `help`, `inspect.signature`, IDEs and notebooks look for: those of the function.
        inner = _function.innermost(self.function)
        module = getattr(inner, "__module__", type(inner).__module__)
        qualname = getattr(inner, "__qualname__", self.name)
        about = {"__name__": self.name, "__qualname__": qualname, "__doc__": self.doc, "__module__": module}
        for name, value in {**about, "__wrapped__": self.function}.items():
            object.__setattr__(self, name, value)

    def __get__(self, instance: object, owner: type | None = None) -> Tool[..., R]:
        """As an attribute of an object: the tool bound to it, if it was made from a method."""
        if instance is None or not self.method:
            return self
        return dataclasses.replace(self, function=types.MethodType(self.function, instance), method=False)

    def __repr__(self) -> str:
        return f"<tool {self.signature}>" if len(self.signature) < 100 else f"<tool {self.signature:.99}…>"

    def _repr_html_(self) -> str:
        rows = [("limits", self.limits)] if self.limits else []
        backends = ", ".join(f"{n} (default)" if n == self.default_backend else n for n in self.backends)
        rows += [("backends", backends)] if backends else []
        return markup.card(
            markup.tag("code", markup.tag("b", self.signature, style=markup.PLAIN), style=markup.CODE),
            markup.tag("div", self.doc, style=markup.MESSAGE),
            *([markup.table(rows)] if rows else []),
        )

    def getdoc(self) -> str:
        """What a notebook shows for `tool?`."""
        return self.description

    @property
    def summary(self) -> str:
        """First sentence of the docstring, on one line."""
        paragraph = " ".join(self.doc.split("\n\n")[0].split())
        return re.split(r"(?<=[.!?])\s", paragraph, maxsplit=1)[0]

    @property
    def signature(self) -> str:
        """`detect(image: Image, what: str) -> list[Region]`"""
        return f"{self.name}({', '.join(map(str, self.parameters))}) -> {render(self.returns)}"

    def bind(self, /, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Arguments by name, defaults filled in, each as its type declares it.

        Raises:
            ToolError: too many, missing or unknown arguments, or one of the wrong type.
        """
        bound = self._named(args, kwargs)
        for parameter in self.parameters:
            if parameter.name not in bound:
                bound[parameter.name] = parameter.default
                continue
            try:
                bound[parameter.name] = coerce(parameter.type, bound[parameter.name])
            except Unfit as error:
                raise ToolError(
                    f"{self.name}: '{parameter.name}' must be {render(parameter.type)}, not {error}"
                ) from None
        return {p.name: bound[p.name] for p in self.parameters}

    def _named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        names = [p.name for p in self.parameters]
        if len(args) > len(names):
            raise ToolError(f"{self.name} takes {len(names)} arguments, not {len(args)}: {self.signature}")
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names:
                close = close_match(name, names)
                hint = f"; did you mean '{close}'?" if close else f": {self.signature}"
                raise ToolError(f"{self.name} has no argument '{name}'{hint}")
            if name in given:
                raise ToolError(f"{self.name} got the argument '{name}' twice")
            given[name] = value
        for parameter in self.parameters:
            if parameter.name not in given and parameter.required:
                raise ToolError(f"{self.name} needs the argument '{parameter.name}': {self.signature}")
        return given

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the tool directly: inside another tool through its host, elsewhere with the default backend.

        An image may be anything that `Image.open` reads, a path among them.

        Raises:
            ToolError: the arguments or the result are of the wrong type.
            ImageError: an image cannot be read.
        """
        if self.method:
            raise ToolError(f"{self.name} is a method: call it as an attribute of an object")
        types = {p.name: p.type for p in self.parameters}
        given = {name: _opened(types[name], value) for name, value in self._named(args, kwargs).items()}
        caller = through_host.get()
        if caller is not None and not self.pure:
            result: R = caller(self, **given)
            return result
        arguments = self.bind(**given)
        backend = self.load()

        def answer(call: dict[str, Any]) -> Any:
            (value,) = backend([call])
            if isinstance(value, Metered):
                value = value.value
            if isinstance(value, Exception):
                raise value
            return value

        result = self.result(self.work(arguments, answer), arguments)
        return result

    def batch(self, calls: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Results of many calls, the error in the place of one that failed: for tools that look at frame after frame.

        Inside another tool they go through its host, which counts them as frames, and records none of them.
        """
        caller = batch_through_host.get()
        if caller is not None:
            return caller(self, calls)
        results: list[Any] = []
        answer: Callable[..., Any] = self
        for call in calls:
            try:
                results.append(answer(**call))
            except Exception as error:  # handed over, as a host does
                results.append(error)
        return results

    @property
    def about_video(self) -> bool:
        """Whether it takes a video, or what is found in one: programs about images have no use for it."""
        return any(mentions(p.type, kind) for p in self.parameters for kind in (Video, Track, Span)) or any(
            mentions(self.returns, kind) for kind in (Track, Span)
        )

    def work(self, arguments: dict[str, Any], answer: Callable[[dict[str, Any]], Any]) -> Any:
        """The result of a call as its backend gives it, or of several of them if the call is spread.

        Args:
            answer: calls the backend.
        """
        if self.spread is None:
            return answer(arguments)
        calls, join = self.spread(**arguments)
        return join([self.result(answer(call), call) for call in calls])

    def result(self, value: Any, arguments: Mapping[str, Any]) -> Any:
        """What a backend or the function returned, as the type of the result declares it, in the frame of the root.

        Raises:
            ToolError: it is of another type, or nobody can tell where in the image it lies.
        """
        images = images_of(list(arguments.values()))
        image = images[0] if len(images) == 1 else None
        own_pixels = any(p.form for p in self.parameters)
        seen = alone(image) if image is not None and own_pixels else image
        try:
            made = coerce(self.returns, value, seen)
        except Unfit as error:
            numbers = mentions(self.returns, Region) and isinstance(value, list | tuple | dict)
            hint = f"; {MAKE_REGION}" if numbers and not error.why else ""
            raise ToolError(f"{self.name} must return {render(self.returns)}, not {error}{hint}") from None
        return placed(made, images, own_pixels=own_pixels, tool=self.name)

    def load(self, backend: str = "", options: Options = (), loader: BackendLoader = BACKENDS) -> Backend:
        """The backend of that name (the default if empty), built once per set of options.

        Args:
            backend: a name among `backends`, or "module:Class".
            loader: what builds and holds it.

        Raises:
            ToolError: no such backend.
            TypeError: it takes no such options.
        """
        if not self.backends:
            return loader.plain(self)
        return loader.get(
            self.backend_class(backend), options, f"{self.name}:{backend or self.default_backend}"
        )

    def backend_class(self, backend: str = "") -> Callable[..., Backend]:
        """The class of a backend, imported.

        Raises:
            ToolError: no such backend.
            ImportError: its module, or what that needs, is not installed.
        """
        name = backend or self.default_backend
        found = self.backends.get(name, name)
        if not isinstance(found, str):
            _check_backend(found, f"{self.name}: the backend '{name}'")
            return found
        module, colon, attribute = found.partition(":")
        if not colon:
            raise ToolError(f"{self.name} has no backend '{name}'; it has {', '.join(self.backends)}")
        made: Any = getattr(importlib.import_module(module), attribute, None)
        if made is None:
            raise ToolError(f"{self.name}: the module '{module}' has no backend '{attribute}'")
        _check_backend(made, f"{self.name}: the backend '{found}'")
        ready = not inspect.isclass(made) and not inspect.isroutine(made)
        return (lambda: made) if ready else made

    @property
    def backend_paths(self) -> dict[str, str]:
        """Name → "module:Class" of each backend."""
        return {
            name: each
            if isinstance(each, str)
            else f"{each.__module__}:{getattr(each, '__qualname__', each)}"
            for name, each in self.backends.items()
        }

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        properties = {p.name: json_schema(p.type) for p in self.parameters}
        for parameter in self.parameters:
            if not parameter.required:
                properties[parameter.name]["default"] = parameter.default
        required = [p.name for p in self.parameters if p.required]
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def openai(self) -> dict[str, Any]:
        """The description that OpenAI-compatible chat endpoints take in `tools`."""
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": self.schema()},
        }

    @property
    def description(self) -> str:
        limits = f"\nLimits: {self.limits}" if self.limits else ""
        return self.doc + limits + (f"\nSees: {self.sees.summary}" if self.sees.summary else "")


def _check_backend(made: Any, what: str) -> None:
    called = any("__call__" in c.__dict__ for c in made.__mro__) if inspect.isclass(made) else callable(made)
    if not called:
        raise ToolError(f"{what} has no method __call__(self, calls), which returns the result of each call")


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    name: str = "",
    limits: str = "",
    backends: Mapping[str, str | Callable[..., Backend]] | None = None,
    default: str = "",
    sees: Sees = NOT_SAID,
    phrases: Mapping[str, str] | None = None,
    cache: bool = True,
    alone: bool = False,
    replace: bool = False,
    spread: Spread | None = None,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    limits: str = "",
    backends: Mapping[str, str | Callable[..., Backend]] | None = None,
    default: str = "",
    sees: Sees = NOT_SAID,
    phrases: Mapping[str, str] | None = None,
    cache: bool = True,
    alone: bool = False,
    replace: bool = False,
    spread: Spread | None = None,
) -> Any:
    """Make a typed function a tool.

        @tool
        def sharpness(image: Image) -> float:
            \"\"\"Focus measure: variance of the Laplacian. Higher is sharper.\"\"\"

    The function may be async, a method, a bound method, a partial or a callable object. It may take a
    `PIL.Image.Image` or a NumPy array (H, W, 3) instead of an `Image`, and return those, NumPy and torch scalars,
    a dataclass or a TypedDict (programs get a dict).

    Args:
        name: what programs call it; the function's own name if empty.
        limits: one sentence on what it cannot do; the planner reads it.
        backends: for a model-backed tool, name → "module:Class" or class; the function's body is then not used.
        default: the backend in force if the configuration names none; the first, if empty.
        sees: for a plain function, what it can see; a backend says it itself.
        phrases: for a function that calls another tool, each parameter that it hands on → "TOOL.PARAMETER":
            `{"what": "detect.what"}`. It then sees what the other does.
        cache: whether equal calls may be answered from memory; False for a tool that counts, reads a clock, or asks
            something that changes.
        alone: for a plain function that must not work on two calls at the same time.
        replace: take the place of the built-in tool of that name.
        spread: for a model-backed tool, makes of the arguments of a call those of several calls of the backend, which
            may have fewer parameters, and the function that makes one result of theirs.

    Raises:
        ToolDefinitionError: no docstring, an unannotated parameter, a type that programs cannot use, a
            default that is not of its type, or a name that cannot be used.
    """

    def decorate(f: Callable[..., Any]) -> Tool:
        made = describe_function(f, name=name, limits=limits)
        _say_if_anew(made, stacklevel=3 if function is None else 4)
        names = dict(backends or {})
        if default and default not in names:
            raise ToolDefinitionError(
                f"{made.name}: its default backend '{default}' is not among its backends"
            )
        unknown = set(phrases or {}) - {p.name for p in made.parameters}
        if unknown:
            raise ToolDefinitionError(f"{made.name}: phrases= names no parameter of it: {', '.join(unknown)}")
        return dataclasses.replace(
            made,
            backends=names,
            default_backend=default or next(iter(names), ""),
            sees=sees,
            phrases=dict(phrases or {}),
            cache=cache,
            alone=alone,
            replaces=replace,
            spread=spread,
        )

    return decorate if function is None else decorate(function)


def _say_if_anew(made: Tool, stacklevel: int) -> None:
    """A cell of a notebook that is run again makes another tool, and agents keep the one that they were given."""
    inner = _function.innermost(made.function)
    known = getattr(inner, "__module__", ""), getattr(inner, "__qualname__", "<locals>")
    others = (_function.innermost(t.function) for t in in_use)
    if "<locals>" not in known[1] and any(
        (getattr(o, "__module__", ""), getattr(o, "__qualname__", "")) == known and o is not inner
        for o in others
    ):
        warnings.warn(
            f"the tool '{made.name}' is defined anew: agents made before keep the old one, so make a new Agent",
            stacklevel=stacklevel,
        )


def describe_function(
    function: Callable[..., Any], *, name: str = "", limits: str = "", pure: bool = False
) -> Tool:
    """Read a tool from a function's name, annotations and docstring. Raises as `tool` does."""
    read = _function.read(function, name)
    parameters = tuple(Parameter(*each) for each in read.parameters)
    return Tool(
        read.name, read.function, read.doc, parameters, read.returns, limits, pure=pure, method=read.method
    )


def _opened(annotation: Type, value: Any) -> Any:
    """An image file that is named where an image is wanted, read. A program's arguments never come here."""
    if not mentions(annotation, Image) or mentions(annotation, str):
        return value
    if isinstance(value, list | tuple):
        return [_opened(annotation, v) for v in value]
    readable = isinstance(value, str | bytes | os.PathLike) or hasattr(value, "read")
    return Image.open(value) if readable else value
