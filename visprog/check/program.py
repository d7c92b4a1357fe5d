"""The static check of a whole program: the language, the tools, the inputs and the answer."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from visprog import sandbox
from visprog.sandbox import checker
from visprog.sandbox.desugar import RESULT, entry, has_result, statements

from ..program import IMAGE_NAMES, SEVERAL_NAMES
from ..registry import Registry
from ..registry.types import Type
from ..values import Region
from ..values.codec import handles
from ..values.image import Image
from ..values.library import LIBRARY
from . import aliases as habits
from . import hints
from .diagnostics import Diagnostic, name_position
from .inference.flow import Flow
from .inference.functions import Frame, annotated
from .inference.members import open_names, suggest_for_any
from .inference.signatures import nearest
from .inference.types import (
    ITERATOR,
    NEVER,
    UNKNOWN,
    VIEW,
    Function,
    Instance,
    Kind,
    class_of,
    could_be,
    from_annotation,
    is_number,
    list_of,
    members,
    show,
)
from .misuse import misuse


def check(
    source: str,
    registry: Registry,
    *,
    returns: Type | None = None,
    inputs: Mapping[str, Type] | None = None,
) -> list[Diagnostic]:
    """Everything that is sure to be wrong with a program, before it runs; in the order of its lines.

    A type that cannot be inferred is never reported, so a correct program has no error. What types cannot see
    is for `dry_run`.

    Args:
        source: the program.
        registry: the tools and functions that it may call.
        returns: the type that its answer must have, where that is known.
        inputs: what it is given, by name; where None, it may ask for `image`, `images`, or by other names.
    """
    tree = checker.parse(source)
    if isinstance(tree, sandbox.Diagnostic):
        return [_with_severity(tree)]
    given = inputs if inputs is not None else {"image": Image, "images": list[Image]}
    flow = Flow(registry, {name: from_annotation(kind) for name, kind in given.items()})
    function = entry(tree)
    _follow(flow, tree, function, inputs, returns)
    classes = (cls.__name__ for cls, _ in handles())  # for `isinstance`
    language = sandbox.check(
        source, [*given, *registry, *classes], tools=registry, attributes=open_names(), library=LIBRARY
    )
    found = [*flow.findings.sorted(), *misuse(tree, registry), *_language(language, tree, registry, flow)]
    return sorted(set(found), key=lambda d: (d.line, d.column, d.code))


def _with_severity(found: sandbox.Diagnostic, code: str = "", suggestion: str | None = None) -> Diagnostic:
    return Diagnostic(
        code or found.code, found.line, found.column, found.message, suggestion or found.suggestion
    )


# -- what the language says --------------------------------------------------------------------------


def _language(
    found: Iterable[sandbox.Diagnostic], tree: ast.Module, registry: Registry, flow: Flow
) -> list[Diagnostic]:
    """The findings of the language policy; names and attributes are explained by what the registry knows."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    nodes: dict[tuple[int, int], list[ast.Name | ast.Attribute]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            nodes.setdefault((node.lineno, node.col_offset), []).append(node)
    refused = _refused_modules(tree)
    typed = {(d.line, d.column) for d in flow.findings.found.values()}
    results = []
    if not has_result(tree):
        results.append(
            Diagnostic(
                "no-answer",
                tree.body[-1].lineno if tree.body else 1,
                0,
                "the program has no result",
                _answer_by_habit(tree)
                or "define 'def answer(...)', or end with 'return ...' or 'result = ...'",
            )
        )
    for diagnostic in found:
        here = nodes.get((diagnostic.line, diagnostic.column), [])
        name = next((n for n in here if isinstance(n, ast.Name)), None)
        odd = next(
            (n for n in here if isinstance(n, ast.Attribute) and repr(n.attr) in diagnostic.message), None
        )
        if diagnostic.code == "undefined-name" and name is not None:
            results.append(_unknown_name(name.id, diagnostic, id(name) in called, registry))
        elif diagnostic.code == "forbidden-attribute" and odd is not None:
            line, column = name_position(odd)
            if odd.attr.startswith("_") or not isinstance(odd.ctx, ast.Load):
                results.append(_with_severity(diagnostic))
            elif (line, column) not in typed and (name is None or name.id not in refused):
                hint = suggest_for_any(odd.attr) or diagnostic.suggestion
                results.append(Diagnostic("unknown-attribute", line, column, diagnostic.message, hint))
        else:
            results.append(_with_severity(diagnostic))
    return results


def _answer_by_habit(tree: ast.Module) -> str | None:
    """What a program without an answer may have meant to be it."""
    function = next((n.name for n in reversed(tree.body) if isinstance(n, ast.FunctionDef)), None)
    variable = next((name for name in habits.RESULTS if name in _bound(tree)), None)
    if variable:
        return f"name it '{RESULT}': {RESULT} = … in place of {variable} = …"
    return f"name it 'answer': def answer(image) in place of def {function}(…)" if function else None


def _refused_modules(tree: ast.Module) -> set[str]:
    """Names of modules that cannot be imported: that is said once, and not of each of their attributes."""
    return {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name != "math"
    }


def _unknown_name(name: str, found: sandbox.Diagnostic, called: bool, registry: Registry) -> Diagnostic:
    if not called:
        return _with_severity(found, "unknown-name")
    meant = habits.TOOLS.get(name.lower())
    close = meant if meant in registry else nearest(name, registry)
    hint = f"did you mean '{close}'? {registry[close].signature}" if close else found.suggestion
    return Diagnostic(
        "unknown-tool", found.line, found.column, f"there is no tool or function '{name}'", hint
    )


# -- inputs and answer -------------------------------------------------------------------------------


def _follow(
    flow: Flow,
    tree: ast.Module,
    function: ast.FunctionDef | None,
    inputs: Mapping[str, Type] | None,
    returns: Type | None,
) -> None:
    """Types through the whole program, from its inputs to its answer."""
    frame = flow.frames[0]
    frame.open_end = flow.block(tree.body)
    made = flow.made.get(function) if function is not None else None
    if made is not None and function is not None:
        flow.followed.add(function)
        frame = flow.enter(made, _parameters(flow, function, inputs))
    _answer(flow, tree, function, frame, returns)
    # Functions that nothing calls are looked at too, with parameters of any type.
    for node, closure in list(flow.made.items()):
        if node in flow.followed:
            continue
        if isinstance(node, ast.Lambda):
            flow.evaluate(closure, None)
        else:
            flow.enter(closure, None)


def _parameters(flow: Flow, function: ast.FunctionDef, inputs: Mapping[str, Type] | None) -> dict[str, Kind]:
    """The types of the parameters of `answer`, from the inputs; a parameter that is no input is reported."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)]
    required += [a for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is None]
    if inputs is None:
        return {a.arg: _by_name(a) for a in required}
    known = {name: from_annotation(kind) for name, kind in inputs.items()}
    if len(known) == len(required) == 1 and required == positional[:1]:
        return {required[0].arg: next(iter(known.values()))}
    missing = [a for a in required if a.arg not in known]
    for argument in missing:
        close = nearest(argument.arg, known)
        have = ", ".join(known) or "none"
        flow.findings.add(
            "wrong-inputs", argument, f"'{argument.arg}' is no input of this program; the inputs are {have}",
            f"write '{close}'" if close else f"write def {function.name}({have if known else ''})",
        )  # fmt: skip
    return {a.arg: known.get(a.arg, UNKNOWN) for a in required}


def _by_name(argument: ast.arg) -> Kind:
    """The type that the name of an input suggests."""
    declared = annotated(argument.annotation)
    if declared != UNKNOWN:
        return declared
    if argument.arg in SEVERAL_NAMES:
        return list_of(Instance(Image))
    stem = argument.arg.rstrip("0123456789").rstrip("_")
    return Instance(Image) if stem in IMAGE_NAMES else UNKNOWN


def _answer(
    flow: Flow,
    tree: ast.Module,
    function: ast.FunctionDef | None,
    frame: Frame,
    returns: Type | None,
) -> None:
    """The answer must come, on every way, and be of the type that was asked for."""
    results: list[tuple[ast.expr | ast.stmt, Kind, ast.expr | None]] = [
        (node.value or node, kind, node.value) for node, kind in frame.returns
    ]
    assigned = [n for n in statements(tree.body) if isinstance(n, ast.Assign | ast.AnnAssign | ast.AugAssign)]
    targets = [n for n in assigned if RESULT in _bound(n)]
    by_result = function is None and bool(targets)
    if by_result and not frame.returns:
        value = targets[-1].value
        results.append((value or targets[-1], flow.scope.find(RESULT) or UNKNOWN, value))
    elif frame.open_end and not flow.exhausted and (function is not None or frame.returns) and not by_result:
        some = "on some ways " if frame.returns else ""
        flow.findings.add(
            "missing-return", function or (tree.body[-1].lineno, tree.body[-1].col_offset),
            f"the program {some}comes to its end without an answer",
            "end with a 'return' that always happens",
        )  # fmt: skip
    for node, kind, value in results:
        _answer_type(flow, node, kind, value, returns)


def _bound(node: ast.AST) -> set[str]:
    return {x.id for x in ast.walk(node) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}


def _answer_type(
    flow: Flow, node: ast.expr | ast.stmt, kind: Kind, value: ast.expr | None, returns: Type | None
) -> None:
    text = hints.brief(value) if value is not None else "…"
    lazy = (
        all(isinstance(k, Function) or class_of(k) in (ITERATOR, VIEW) for k in members(kind))
        and kind != NEVER
    )
    if lazy:
        called = isinstance(kind, Function)
        flow.findings.add(
            "return-type", node, f"{show(kind)} is no answer",
            f"call it: {text}(…)" if called else f"write list({text})",
        )  # fmt: skip
        return
    if returns is None or could_be(kind, from_annotation(returns), strict=True):
        return
    flow.findings.add(
        "return-type",
        node,
        f"the answer must be {_wanted(returns)}, not {show(kind)}",
        _convert(kind, returns, text),
    )


def _wanted(returns: Type) -> str:
    return show(from_annotation(returns))


def _convert(kind: Kind, returns: Type, text: str) -> str | None:
    cls = class_of(kind)
    if returns is bool:
        if cls in (list, tuple, set, dict):
            return f"write len({text}) > 0"
        return f"write {text} > 0" if is_number(kind) else "compare it with what is asked for"
    if returns in (int, float):
        if cls in (list, tuple, set, dict):
            return f"write len({text})"
        return (
            f"write int({text})" if cls in (bool, float, str) and returns is int else f"write float({text})"
        )
    if returns is str:
        return f"write {text}.label" if cls is Region else f"write str({text})"
    if returns is list:
        return f"write [{text}]"
    return None
