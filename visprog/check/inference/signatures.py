"""What can be called, in one form: tools, pure functions, methods of values, built-ins of the language.

All are read from annotations: those of the registry, of the value classes themselves, and of `stubs`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, get_type_hints

from ... import values
from ...registry import Tool
from ..fakes import documented_values
from . import stubs
from .types import (
    NEVER,
    UNKNOWN,
    Callback,
    Const,
    Either,
    Fixed,
    Function,
    Instance,
    StaticType,
    Variable,
    element,
    from_annotation,
    iterable,
    join,
    members,
)

if TYPE_CHECKING:
    import ast

    from .scope import Scope

CLASSES: Mapping[str, type] = {name: getattr(values, name) for name in values.__all__}


@dataclass(frozen=True)
class Formal:
    """One parameter. `default` is the type of what stands where no argument is given."""

    name: str
    type: StaticType
    required: bool = True
    by_position: bool = True
    by_name: bool = True
    default: StaticType = UNKNOWN
    repeated: bool = False


@dataclass(frozen=True, eq=False)
class Signature(Function):
    """A function with declared types.

    Attributes:
        known: what the type variables stand for already, through the value that a method belongs to.
        strict: arguments are checked as tools check them at run time.
        tool: the tool that it was read from, if any.
        owner: the type whose method it is, as it is written in messages.
    """

    name: str
    formals: tuple[Formal, ...]
    result: StaticType
    known: Mapping[str, StaticType] | None = None
    strict: bool = False
    tool: Tool | None = None
    owner: str = ""

    @property
    def text(self) -> str:
        """How to call it, in a message."""
        if self.tool is not None:
            return self.tool.signature
        shown = [f.name if f.required else f"{f.name}=…" for f in self.formals if not f.repeated]
        return f"{self.owner + '.' if self.owner else ''}{self.name}({', '.join(shown)})"


@dataclass(frozen=True)
class Builtin(Function):
    """A function or type of the language, by name."""

    name: str


@dataclass(frozen=True, eq=False)
class Class(Function):
    """A class that a program can name: to call it, or for `isinstance`."""

    cls: type
    constructor: Signature | None

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.cls.__name__


@dataclass(frozen=True, eq=False)
class Closure(Function):
    """A function of the program itself: `def` or `lambda`, and the scope that it was made in."""

    node: ast.FunctionDef | ast.Lambda
    scope: Scope
    defaults: Mapping[str, StaticType]

    @property
    def name(self) -> str:  # type: ignore[override]
        return getattr(self.node, "name", "")


@cache
def from_tool(tool: Tool) -> Signature:
    formals = tuple(
        Formal(p.name, from_annotation(p.type), p.required, default=UNKNOWN) for p in tool.parameters
    )
    told = documented_values(tool) if tool.returns is str else []
    result = Either(tuple(Const(v, told=True) for v in told)) if told else from_annotation(tool.returns)
    # A pure function runs inside the sandbox as plain Python, where an iterator does for a sequence.
    return Signature(tool.name, formals, result, strict=not tool.pure, tool=tool)


def from_function(function: Callable[..., Any], name: str, *, drop_self: bool = False) -> Signature:
    """Read a stub, a method, or the constructor of a value class (whose result is then `function`)."""
    hints = _hints(getattr(function, "__init__") if isinstance(function, type) else function)  # noqa: B009
    formals = []
    for p in list(inspect.signature(function).parameters.values())[1 if drop_self else 0 :]:
        default: StaticType = UNKNOWN
        if p.default is None:
            default = from_annotation(None)
        elif p.default is Ellipsis:
            default = NEVER
        elif p.default == ():
            default = Fixed(())
        formals.append(
            Formal(
                p.name,
                from_annotation(hints.get(p.name, Any)),
                p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD),
                p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD),
                p.kind not in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL),
                default,
                p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD),
            )
        )
    result = Instance(function) if isinstance(function, type) else from_annotation(hints.get("return", Any))
    return Signature(name, tuple(formals), result)


def _hints(function: Any) -> dict[str, Any]:
    # Names that a module imports for type checkers only (Image, in region.py) are found among the values.
    return get_type_hints(function, localns=dict(CLASSES))


@cache
def builtin(name: str) -> Signature | None:
    """The built-in function of that name, where it is written down in `stubs`."""
    stub = getattr(stubs, name + "_", None)
    return None if stub is None else from_function(stub, name)


@cache
def constructor(cls: type) -> Signature:
    """The constructor of a value class, from the fields of its dataclass."""
    made = from_function(cls, cls.__name__)
    fields = _hints(cls)
    return replace(
        made, formals=tuple(replace(f, type=from_annotation(fields.get(f.name, Any))) for f in made.formals)
    )


@cache
def math_member(name: str) -> StaticType:
    """A function or constant of `math`; UNKNOWN if it is not written down."""
    found = vars(stubs.math_functions).get(name)
    if found is not None:
        return from_function(found, f"math.{name}")
    return from_annotation(get_type_hints(stubs.math_functions).get(name, Any))


@cache
def method(cls: type, name: str) -> Signature | None:
    """A method of a built-in class, where it is written down in `stubs`."""
    stub = vars(stubs.METHODS.get(cls, object)).get(name)
    if cls not in stubs.METHODS or not callable(stub):
        return None
    return replace(from_function(stub, name, drop_self=True), owner=cls.__name__)


@cache
def value_member(cls: type, name: str) -> StaticType:
    """The type of an attribute or method of a value class, read from the class itself."""
    found = inspect.getattr_static(cls, name, None)  # none: of a field without a slot
    if isinstance(found, property) and found.fget is not None:
        return from_annotation(_hints(found.fget).get("return", Any))
    if inspect.isfunction(found):
        return replace(from_function(found, name, drop_self=True), owner=cls.__name__)
    return from_annotation(_hints(cls).get(name, Any))


def substitute(type_: StaticType, known: Mapping[str, StaticType]) -> StaticType:
    """The type with its variables replaced; UNKNOWN for a variable that nothing is known of."""
    if isinstance(type_, Variable):
        return known.get(type_.name, UNKNOWN)
    if isinstance(type_, Instance) and type_.args:
        return Instance(type_.cls, tuple(substitute(a, known) for a in type_.args), type_.note)
    if isinstance(type_, Fixed):
        return Fixed(tuple(substitute(i, known) for i in type_.items))
    if isinstance(type_, Either):
        return join(*(substitute(m, known) for m in type_.members))
    if isinstance(type_, Callback):
        return Callback(tuple(substitute(a, known) for a in type_.arguments), type_.result)
    return type_


def unify(wanted: StaticType, given: StaticType, known: dict[str, StaticType]) -> None:
    """Learn what the type variables in `wanted` stand for from an argument of the type `given`."""
    if isinstance(wanted, Variable):
        known[wanted.name] = join(known.get(wanted.name, NEVER), given)
    elif isinstance(wanted, Either):
        for member in wanted.members:
            if any(_fits(member, g) for g in members(given)):
                unify(member, given, known)
    elif isinstance(wanted, Instance) and wanted.args:
        if len(wanted.args) == 1 and iterable(given):
            unify(wanted.args[0], element(given), known)
        elif isinstance(given, Instance) and len(given.args) == len(wanted.args):
            for w, g in zip(wanted.args, given.args, strict=True):
                unify(w, g, known)
    elif isinstance(wanted, Fixed) and isinstance(given, Fixed):
        for w, g in zip(wanted.items, given.items, strict=False):
            unify(w, g, known)


def _fits(wanted: StaticType, given: StaticType) -> bool:
    return isinstance(wanted, Variable) or (isinstance(wanted, Instance) and iterable(given))
