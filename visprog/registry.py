"""Tools, and the registry that is the one source of everything said about them.

The planner's prompt, the static check, the validation of arguments, the JSON schemas, the LangChain and
OpenAI descriptions and the `visprog tools` page are all made from what is declared here.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import keyword
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, get_type_hints, overload

from .errors import ConfigError, ToolDefinitionError, ToolError, VisprogError
from .sees import NOT_SAID, Sees
from .types import Type, accepts, as_declared, describe, is_union, json_schema, render, supported

if TYPE_CHECKING:
    from .config import Config

ENTRY_POINTS = "visprog.tools"
"""Entry points through which an installed package adds tools: each is a Tool, or a module of them."""

BUILTIN_MODULES = (
    "visprog.tools.detect",
    "visprog.tools.faces",
    "visprog.tools.segment",
    "visprog.tools.classify",
    "visprog.tools.cupl",
    "visprog.tools.caption",
    "visprog.tools.vqa",
    "visprog.tools.text",
    "visprog.tools.crop",
    "visprog.tools.color",
    "visprog.tools.shapes",
    "visprog.tools.edit",
)
"""Listed by name: the core imports none of them before they are needed, and a bare checkout works."""

REQUIRED: Any = inspect.Parameter.empty


class Backend(Protocol):
    """What does the work of a model-backed tool: a class built once from configuration, called with batches.

    `__init__(self, model: str | None = None, **options)` must be quick; weights are loaded at the first call.
    One that cannot see everything says so in its attribute `sees`, a `visprog.sees.Sees`.
    """

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        """Results, in order, for a batch of calls (arguments by name). A call that fails alone returns its
        exception in its place."""
        ...


@dataclass(frozen=True)
class Parameter:
    """One parameter of a tool."""

    name: str
    type: Type
    default: Any = REQUIRED

    @property
    def required(self) -> bool:
        return self.default is REQUIRED

    def __str__(self) -> str:
        text = f"{self.name}: {render(self.type)}"
        if self.required:
            return text
        return f"{text} = " + (f'"{self.default}"' if isinstance(self.default, str) else repr(self.default))


@dataclass(frozen=True, eq=False)
class Tool:
    """A typed function that programs may call.

    Attributes:
        name: what programs call it.
        function: the Python function; for a model-backed tool only its signature and docstring count.
        doc: its docstring.
        parameters: in order.
        returns: the type of its result.
        limits: what it cannot do, told to the planner.
        backends: name → "module:Class" of each `Backend`; empty for a plain function.
        default_backend: the one in force where the configuration names none.
        pure: runs inside the sandbox, on values alone, with no call out.
        sees: what it can see. Of a model-backed tool it is known where a configuration is: in `Host.in_force`.
    """

    name: str
    function: Callable[..., Any]
    doc: str
    parameters: tuple[Parameter, ...]
    returns: Type
    limits: str = ""
    backends: Mapping[str, str] = field(default_factory=dict)
    default_backend: str = ""
    pure: bool = False
    sees: Sees = NOT_SAID

    @property
    def summary(self) -> str:
        """First sentence of the docstring, on one line."""
        paragraph = " ".join(self.doc.split("\n\n")[0].split())
        return re.split(r"(?<=[.!?])\s", paragraph, maxsplit=1)[0]

    @property
    def signature(self) -> str:
        """`detect(image: Image, what: str) -> list[Region]`"""
        return f"{self.name}({', '.join(map(str, self.parameters))}) -> {render(self.returns)}"

    def bind(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Arguments by name, defaults filled in, each checked against its type.

        Raises:
            ToolError: too many, missing or unknown arguments, or one of the wrong type.
        """
        names = [p.name for p in self.parameters]
        if len(args) > len(names):
            raise ToolError(f"{self.name} takes {len(names)} arguments, not {len(args)}: {self.signature}")
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names:
                close = difflib.get_close_matches(name, names, 1)
                hint = f"; did you mean '{close[0]}'?" if close else f": {self.signature}"
                raise ToolError(f"{self.name} has no argument '{name}'{hint}")
            if name in given:
                raise ToolError(f"{self.name} got the argument '{name}' twice")
            given[name] = value
        bound = {}
        for parameter in self.parameters:
            if parameter.name not in given and parameter.required:
                raise ToolError(f"{self.name} needs the argument '{parameter.name}': {self.signature}")
            value = given.get(parameter.name, parameter.default)
            if parameter.name in given and not accepts(parameter.type, value):
                raise ToolError(
                    f"{self.name}: '{parameter.name}' must be {render(parameter.type)}, not {describe(value)}"
                )
            given_value = parameter.name in given
            bound[parameter.name] = as_declared(parameter.type, value) if given_value else value
        return bound

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the tool directly, with its default backend, outside of any program."""
        (result,) = self.load()([self.bind(*args, **kwargs)])
        if isinstance(result, Exception):
            raise result
        return result

    def load(self, backend: str = "", options: tuple[tuple[str, Any], ...] = ()) -> Backend:
        """The backend of that name (the default where empty), built once for each set of options.

        Raises:
            ToolError: no such backend.
        """
        if not self.backends:
            return _Plain(self.function)
        name = backend or self.default_backend
        if name not in self.backends:
            raise ToolError(f"{self.name} has no backend '{name}'; it has {', '.join(self.backends)}")
        return _build(self.backends[name], options)

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


class _Plain:
    """A plain function as a backend: one call after another, an exception in the place of its result."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        results: list[Any] = []
        for arguments in calls:
            try:
                results.append(self.function(**arguments))
            except Exception as error:  # handed to the one caller that it concerns
                results.append(error)
        return results


@cache
def _build(path: str, options: tuple[tuple[str, Any], ...]) -> Backend:
    module, _, name = path.partition(":")
    backend: Backend = getattr(importlib.import_module(module), name)(**dict(options))
    return backend


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str = "",
    limits: str = "",
    backends: Mapping[str, str] | None = None,
    default: str = "",
    sees: Sees = NOT_SAID,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    limits: str = "",
    backends: Mapping[str, str] | None = None,
    default: str = "",
    sees: Sees = NOT_SAID,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a typed function a tool.

        @tool
        def sharpness(image: Image) -> float:
            \"\"\"Focus measure: variance of the Laplacian. Higher is sharper.\"\"\"

    Args:
        name: what programs call it; the function's own name where empty.
        limits: one sentence on what it cannot do; the planner reads it.
        backends: for a model-backed tool, name → "module:Class"; the function's body is then not used.
        default: the backend in force where the configuration names none; the first, where empty.
        sees: for a plain function, what it can see; a backend says it itself.

    Raises:
        ToolDefinitionError: no docstring, an unannotated parameter, a type that programs cannot use, a
            default that is not of its type, or a name that cannot be used.
    """

    def decorate(f: Callable[..., Any]) -> Tool:
        made = describe_function(f, name=name, limits=limits)
        names = dict(backends or {})
        if default and default not in names:
            raise ToolDefinitionError(
                f"{made.name}: its default backend '{default}' is not among its backends"
            )
        return replace(made, backends=names, default_backend=default or next(iter(names), ""), sees=sees)

    return decorate if function is None else decorate(function)


def describe_function(
    function: Callable[..., Any], *, name: str = "", limits: str = "", pure: bool = False
) -> Tool:
    """Read a tool from a function's name, annotations and docstring. Raises as `tool` does."""
    name = name or getattr(function, "__name__", "")
    where = f"tool '{name}'"
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise ToolDefinitionError(
            f"{where}: the name must be a Python identifier without a leading underscore; pass name=…"
        )
    doc = inspect.getdoc(function)
    if not doc:
        raise ToolDefinitionError(
            f"{where}: write a docstring; the planner reads it to know when to call the tool"
        )
    try:
        hints = get_type_hints(function)
    except (NameError, AttributeError) as error:
        raise ToolDefinitionError(
            f"{where}: its annotations name something that is not imported: {error}"
        ) from None
    except (TypeError, SyntaxError) as error:
        raise ToolDefinitionError(f"{where}: its annotations are not types: {error}") from None
    if inspect.iscoroutinefunction(function):
        raise ToolDefinitionError(f"{where}: make it a plain function, not an async one")
    if "return" not in hints:
        raise ToolDefinitionError(f"{where}: annotate its result, for example '-> float'")
    parameters = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ToolDefinitionError(
                f"{where}: '{parameter}' cannot be described to a planner; name each parameter plainly"
            )
        if parameter.name not in hints:
            raise ToolDefinitionError(
                f"{where}: annotate the parameter '{parameter.name}', for example '{parameter.name}: Image'"
            )
        parameters.append(Parameter(parameter.name, hints[parameter.name], parameter.default))
    for label, annotation in [(p.name, p.type) for p in parameters] + [("its result", hints["return"])]:
        if not supported(annotation):
            raise ToolDefinitionError(
                f"{where}: {label} has the type {render(annotation)}; use Image, Region, Box, Mask, Point, "
                "shapes, bool, int, float, str, Literal, list, tuple, dict with str keys, or a union of these"
            )
    for p in parameters:
        if not p.required and not accepts(p.type, p.default):
            raise ToolDefinitionError(
                f"{where}: the default {p.default!r} of '{p.name}' is not {render(p.type)}"
                + ("; write '| None'" if p.default is None and not is_union(p.type) else "")
            )
    return Tool(name, function, doc, tuple(parameters), hints["return"], limits, pure=pure)


class Registry(Mapping[str, Tool]):
    """The tools that a program may call, by name.

    Raises:
        ToolDefinitionError: two different tools of one name.
    """

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for each in tools:
            self.add(each)

    def add(self, item: Tool) -> Registry:
        """Add one tool; returns the registry, so that calls chain."""
        if not isinstance(item, Tool):
            raise ToolDefinitionError(f"{item!r} is not a tool: decorate the function with @tool")
        present = self._tools.get(item.name)
        if present is not None and present is not item:
            raise ToolDefinitionError(
                f"two tools are called '{item.name}' ({present.function.__module__} and "
                f"{item.function.__module__}): rename one with @tool(name=…)"
            )
        self._tools[item.name] = item
        return self

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def __or__(self, others: Iterable[Tool] | Registry) -> Registry:
        """A new registry with more tools."""
        return Registry([*self.values(), *(others.values() if isinstance(others, Registry) else others)])

    @property
    def offered(self) -> Registry:
        """Without the tools that cannot answer, since no backend that could is in force."""
        return Registry(t for t in self.values() if not t.sees.nothing)

    @property
    def called(self) -> dict[str, Tool]:
        """The tools that are called out of the sandbox."""
        return {name: t for name, t in self.items() if not t.pure}

    def nearest(self, name: str) -> str | None:
        """The tool whose name is most like `name`, for error messages."""
        return next(iter(difflib.get_close_matches(name, list(self), 1, 0.6)), None)

    def find(self, name: str) -> Tool:
        """The tool of that name.

        Raises:
            ToolError: there is none; the message names the nearest.
        """
        if name in self:
            return self[name]
        close = self.nearest(name)
        raise ToolError(f"there is no tool '{name}'" + (f"; did you mean '{close}'?" if close else ""))

    def prompt(self) -> str:
        """Every tool that can answer as a Python stub: what a planner is shown."""
        stubs = []
        for each in self.offered.values():
            lines = each.description.strip().splitlines()
            if len(lines) == 1:
                body = f'    """{lines[0]}"""'
            else:
                body = "\n".join(
                    ['    """' + lines[0], *("    " + x if x else "" for x in lines[1:]), '    """']
                )
            stubs.append(f"def {each.signature}:\n{body}")
        return "\n\n".join(stubs)

    def openai(self) -> list[dict[str, Any]]:
        """All called tools as OpenAI tool descriptions."""
        return [t.openai() for t in self.called.values()]


def load_tools(reference: str) -> list[Tool]:
    """Tools named by "module" (all in it) or "module:attribute" (a Tool, or a list or Registry of them).

    Raises:
        ToolDefinitionError: the module or attribute cannot be found, or holds no tool.
    """
    module_name, _, attribute = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except VisprogError:
        raise
    except Exception as error:  # another's module may fail in any way
        what = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise ToolDefinitionError(f"cannot import tools from '{module_name}': {what}") from None
    found: Any = vars(module) if not attribute else getattr(module, attribute, None)
    if isinstance(found, Tool):
        return [found]
    candidates = found.values() if isinstance(found, Mapping) else found
    tools = [t for t in candidates if isinstance(t, Tool)] if isinstance(candidates, Iterable) else []
    if attribute == "":
        tools = [t for t in tools if t.function.__module__ == module_name]
    if not tools:
        raise ToolDefinitionError(f"'{reference}' holds no tool: decorate a function there with @tool")
    return tools


@cache
def default_registry() -> Registry:
    """The built-in tools, the pure helpers, and what installed packages add through the entry points."""
    from importlib.metadata import entry_points

    from .values import helpers

    registry = Registry(t for module in BUILTIN_MODULES for t in load_tools(module))
    for helper in helpers.FUNCTIONS:
        registry.add(describe_function(helper, pure=True))
    for entry in entry_points(group=ENTRY_POINTS):
        for each in load_tools(entry.value):
            registry.add(each)
    return registry


def chosen_registry(config: Config) -> Registry:
    """The default registry with the `extra_tools` of the settings, and without their `without_tools`.

    Raises:
        VisprogError: extra tools cannot be loaded.
        ConfigError: there is no tool to leave out by that name.
    """
    registry = default_registry() | [t for reference in config.extra_tools for t in load_tools(reference)]
    for name in config.without_tools:
        if name not in registry:
            close = difflib.get_close_matches(name, registry, 1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise ConfigError(f"without_tools: there is no tool '{name}'{hint}")
    return Registry(t for name, t in registry.items() if name not in config.without_tools)
