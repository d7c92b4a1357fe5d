"""One call: its arguments against a signature, and the type of its result."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field

from ...errors import close_match
from ..diagnostics import Diagnostics
from ..hints import conversion
from .signatures import Formal, Signature, substitute, unify
from .types import (
    NEVER,
    UNKNOWN,
    Callback,
    Const,
    Either,
    Function,
    Instance,
    StaticType,
    Variable,
    could_be,
    members,
    show,
)

Invoke = Callable[[StaticType, list[StaticType], ast.expr], StaticType]
"""Calls a function that was given as an argument, on arguments of these types."""


@dataclass
class Argument:
    node: ast.expr
    type: StaticType


@dataclass
class Arguments:
    """The arguments of a call. The `more_…` are set where `*` or `**` bring some that cannot be counted."""

    by_position: list[Argument] = field(default_factory=list)
    by_name: dict[str, Argument] = field(default_factory=dict)
    keywords: dict[str, ast.keyword] = field(default_factory=dict)
    more_by_position: bool = False
    more_by_name: bool = False

    @property
    def plain(self) -> bool:
        return not (self.more_by_position or self.more_by_name)

    @property
    def types(self) -> list[StaticType]:
        return [a.type for a in self.by_position]

    def named(self, name: str) -> StaticType | None:
        return self.by_name[name].type if name in self.by_name else None


@dataclass(frozen=True)
class Caller:
    """Calls of signatures.

    Attributes:
        diagnostics: where wrong arguments are reported.
        invoke: calls a function that is an argument.
    """

    diagnostics: Diagnostics
    invoke: Invoke

    def call(self, signature: Signature, arguments: Arguments, node: ast.expr) -> StaticType:
        """Check the arguments of a call and give the type of its result."""
        known = dict(signature.known or {})
        pairs = _bind(signature, arguments, node, self.diagnostics)
        if pairs is None:
            return substitute(signature.result, known) if signature.tool else NEVER
        wrong: list[tuple[Formal, Argument]] = []
        # A function that is given as an argument is looked at last: what it is called with comes from the others.
        for formal, argument in sorted(pairs, key=lambda pair: _has_callback(pair[0].type)):
            callback = next((m for m in members(formal.type) if isinstance(m, Callback)), None)
            if callback is not None and isinstance(argument.type, Function):
                result = self.invoke(
                    argument.type, [substitute(a, known) for a in callback.arguments], argument.node
                )
                unify(callback.result, result, known)
            elif not could_be(argument.type, formal.type, strict=signature.strict):
                wrong.append((formal, argument))
            else:
                unify(formal.type, argument.type, known)
        if len(wrong) == 2 and all(
            could_be(argument.type, formal.type, strict=signature.strict)
            for (formal, _), (_, argument) in zip(wrong, reversed(wrong), strict=True)
        ):
            (first, argument), (second, _) = wrong
            self.diagnostics.add(
                "argument-type", argument.node,
                f"{signature.name}: '{first.name}' and '{second.name}' are given the wrong way round",
                f"write {signature.text}", name=signature.name,
            )  # fmt: skip
            wrong = []
        for formal, argument in wrong:
            _report_type(signature, formal, argument, self.diagnostics)
        for formal in signature.formals:
            if formal.default != UNKNOWN and all(formal is not f for f, _ in pairs):
                unify(formal.type, formal.default, known)
        return substitute(signature.result, known)


def _has_callback(type_: StaticType) -> bool:
    return any(isinstance(m, Callback) for m in members(type_))


def _bind(
    signature: Signature, arguments: Arguments, node: ast.expr, diagnostics: Diagnostics
) -> list[tuple[Formal, Argument]] | None:
    """Which argument goes to which parameter; None if the call cannot be made."""
    positional = [f for f in signature.formals if f.by_position and not f.repeated]
    names = {f.name: f for f in signature.formals if f.by_name and not f.repeated}
    rest = next((f for f in signature.formals if f.repeated and f.by_position), None)
    rest_named = any(f.repeated and f.by_name for f in signature.formals)
    pairs: list[tuple[Formal, Argument]] = []
    fine = True
    for i, argument in enumerate(arguments.by_position):
        if i < len(positional):
            pairs.append((positional[i], argument))
        elif rest is not None:
            pairs.append((rest, argument))
        else:
            few = f"{len(positional)} argument{'s' * (len(positional) != 1)}"
            diagnostics.add(
                "too-many-arguments", argument.node,
                f"{signature.name} takes {few}, not {len(arguments.by_position)}", f"write {signature.text}",
                name=signature.name,
            )  # fmt: skip
            fine = False
            break
    taken = {f.name for f, _ in pairs}
    for name, argument in arguments.by_name.items():
        if name in taken and name in names:
            diagnostics.add(
                "too-many-arguments", arguments.keywords[name], f"{signature.name} is given '{name}' twice",
                f"write {signature.text}",
            )  # fmt: skip
            fine = False
        elif name in names:
            pairs.append((names[name], argument))
        elif not rest_named:
            _report_unknown(signature, name, names, taken, arguments, diagnostics)
            fine = False
    given = {f.name for f, _ in pairs}
    missing = [f.name for f in signature.formals if f.required and f.name not in given]
    if missing and fine and arguments.plain:
        listed = " and ".join(f"'{name}'" for name in missing)
        diagnostics.add(
            "missing-argument", node, f"{signature.name} needs {listed}", f"write {signature.text}"
        )
        fine = False
    return pairs if fine else None


def _report_unknown(
    signature: Signature,
    name: str,
    names: dict[str, Formal],
    taken: set[str],
    arguments: Arguments,
    diagnostics: Diagnostics,
) -> None:
    free = [n for n in names if n not in taken and n not in arguments.by_name]
    missing = [n for n in free if names[n].required]
    close = close_match(name, free) or (missing[0] if len(missing) == 1 else None)
    diagnostics.add(
        "unknown-argument", arguments.keywords[name], f"{signature.name} has no argument '{name}'",
        f"did you mean '{close}'?" if close else f"write {signature.text}",
    )  # fmt: skip


def _report_type(signature: Signature, formal: Formal, argument: Argument, diagnostics: Diagnostics) -> None:
    wanted = members(formal.type)
    allowed = [w.value for w in wanted if isinstance(w, Const)]
    if (
        allowed
        and isinstance(argument.type, Const | Either)
        and all(isinstance(m, Const) for m in members(argument.type))
    ):
        value = next(m.value for m in members(argument.type) if isinstance(m, Const))
        close = close_match(str(value), [str(a) for a in allowed])
        choices = ", ".join(f"'{a}'" if isinstance(a, str) else repr(a) for a in allowed)
        diagnostics.add(
            "argument-type", argument.node,
            f"{signature.name}: '{formal.name}' cannot be {value!r}; it is one of {choices}",
            f"did you mean '{close}'?" if close else f"write one of {choices}", name=signature.name,
        )  # fmt: skip
        return
    of = signature.owner + "." if signature.owner else ""
    place = f"'{formal.name}'" if formal.by_name else "its argument"
    expected = show(substitute(formal.type, {**_bounds(formal.type), **(signature.known or {})}))
    diagnostics.add(
        "argument-type", argument.node,
        f"{of}{signature.name}: {place} must be {expected}, not {show(argument.type)}",
        conversion(argument.type, formal.type, argument.node, strict=signature.strict), name=signature.name,
    )  # fmt: skip


def _bounds(type_: StaticType) -> dict[str, StaticType]:
    """For messages: a type variable is named by what it must be."""
    found: dict[str, StaticType] = {}
    stack = list(members(type_))
    while stack:
        part = stack.pop()
        if isinstance(part, Variable):
            found[part.name] = part.bound
        elif isinstance(part, Instance):
            stack.extend(part.args)
    return found
