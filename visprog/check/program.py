"""The static check of a whole program: the language, the tools, the inputs and the answer."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable
from dataclasses import replace

from visprog import sandbox
from visprog.sandbox import RESULT, statements

from ..errors import close_match
from ..program import IMAGE_NAMES, IMAGES_NAMES, VIDEO_NAMES, Inputs, Program, header
from ..registry import Registry
from ..registry.types import Type
from ..values import Region
from ..values.codec import handles
from ..values.image import Image
from ..values.library import LIBRARY
from ..values.video import Video
from . import aliases, hints
from .comparisons import comparisons
from .diagnostics import Diagnostic, name_position
from .inference.context import Context, FunctionFrame
from .inference.flow import Flow
from .inference.functions import annotated
from .inference.members import open_names, suggest_for_any
from .inference.types import (
    ITERATOR,
    NEVER,
    UNKNOWN,
    VIEW,
    Function,
    Instance,
    StaticType,
    class_of,
    could_be,
    from_annotation,
    is_none,
    is_number,
    list_of,
    members,
    show,
)
from .misuse import misuse
from .relative_depth import relative_depth


def check(
    program: str | Program,
    registry: Registry,
    *,
    returns: Type | None = None,
    inputs: Inputs | None = None,
) -> list[Diagnostic]:
    """Everything that is sure to be wrong with a program, before it runs; in the order of its lines.

    A type that cannot be inferred is never reported, so a correct program has no error. What types cannot see
    is for `dry_run`.

    Args:
        program: its source, or the program if it has been parsed.
        registry: the tools and functions that it may call.
        returns: the type that its answer must have, if that is known.
        inputs: types of its inputs, by name. If None, it may ask for `image`, `images`, or by other names.
    """
    program = Program.parse(program)
    if program.error is not None:
        return [Diagnostic.of(program.error)]
    about_video = program.takes_video or Video in (inputs or {}).values()
    registry = registry.for_inputs(about_video)
    if inputs is not None:
        given = inputs
    else:
        given = {"video": Video} if program.takes_video else {"image": Image, "images": list[Image]}
    types = {name: from_annotation(type_) for name, type_ in given.items()}
    context = Context(registry, types, program.tree)
    _follow(Flow(context), program, inputs, returns)
    classes = (cls.__name__ for cls, _ in handles())  # for `isinstance`
    tools = [name for name in registry if name not in program.variables]
    language = sandbox.check(
        program.tree, [*given, *tools, *classes], tools=tools, attributes=open_names(), library=LIBRARY
    )
    inferred = context.diagnostics.sorted()
    meant = [
        found for look in (misuse, comparisons, relative_depth) for found in look(program.tree, registry)
    ]
    found = [*inferred, *meant, *_language(language, program, registry, inferred)]
    return sorted(dict.fromkeys(found), key=lambda d: (d.line, d.column, d.code))


# -- what the language says --------------------------------------------------------------------------


def _language(
    found: Collection[sandbox.Diagnostic],
    program: Program,
    registry: Registry,
    inferred: Iterable[Diagnostic],
) -> list[Diagnostic]:
    """What the language policy refuses; names and attributes are explained by what the registry knows."""
    tree = program.tree
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    nodes: dict[tuple[int, int], list[ast.Name | ast.Attribute]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            nodes.setdefault((node.lineno, node.col_offset), []).append(node)
    # What is read of the values of a module that is refused is not reported again.
    refused = any(d.code == "forbidden-import" for d in found)
    typed = {(d.line, d.column) for d in inferred}
    results = []
    if program.form == "none":
        results.append(
            Diagnostic(
                "no-answer",
                tree.body[-1].lineno if tree.body else 1,
                0,
                "the program has no result",
                _answer_by_alias(tree)
                or "define 'def answer(...)', or end with 'return ...' or 'result = ...'",
            )
        )
    for diagnostic in found:
        here = nodes.get((diagnostic.line, diagnostic.column), [])
        name = next((n for n in here if isinstance(n, ast.Name)), None)
        odd = next((n for n in here if isinstance(n, ast.Attribute) and n.attr == diagnostic.name), None)
        if diagnostic.code == "undefined-name" and name is not None:
            results.append(_unknown_name(name.id, diagnostic, id(name) in called, registry))
        elif diagnostic.code == "forbidden-attribute" and odd is not None:
            line, column = name_position(odd)
            if odd.attr.startswith("_") or not isinstance(odd.ctx, ast.Load):
                results.append(Diagnostic.of(diagnostic))
            elif (line, column) not in typed and not refused:
                hint = suggest_for_any(odd.attr) or diagnostic.suggestion
                message = diagnostic.message
                results.append(Diagnostic("unknown-attribute", line, column, message, hint, name=odd.attr))
        elif diagnostic.code == "forbidden-import":
            instead = aliases.MODULES.get(diagnostic.name.partition(".")[0], "leave it out")
            help_ = f"{instead}; only math can be imported" if "cannot be" in diagnostic.message else None
            results.append(replace(Diagnostic.of(diagnostic), suggestion=help_ or diagnostic.suggestion))
        else:
            results.append(Diagnostic.of(diagnostic))
    return results


def _answer_by_alias(tree: ast.Module) -> str | None:
    """What a program without an answer may have meant to be it."""
    function = next((n.name for n in reversed(tree.body) if isinstance(n, ast.FunctionDef)), None)
    variable = next((name for name in aliases.RESULTS if name in _bound(tree)), None)
    if variable:
        return f"name it '{RESULT}': {RESULT} = … in place of {variable} = …"
    return f"name it 'answer': def answer(image) in place of def {function}(…)" if function else None


def _unknown_name(name: str, found: sandbox.Diagnostic, called: bool, registry: Registry) -> Diagnostic:
    if not called:
        return replace(Diagnostic.of(found), code="unknown-name")
    meant = aliases.TOOLS.get(name.lower())
    close = meant if meant in registry else close_match(name, registry)
    hint = f"did you mean '{close}'? {registry[close].signature}" if close else found.suggestion
    message = f"there is no tool or function '{name}'"
    return Diagnostic("unknown-tool", found.line, found.column, message, hint, name=name)


# -- inputs and answer -------------------------------------------------------------------------------


def _follow(flow: Flow, program: Program, inputs: Inputs | None, returns: Type | None) -> None:
    """Types through the whole program, from its inputs to its answer."""
    functions, frame, function = flow.functions, flow.context.frame, program.function
    frame.open_end = flow.block(program.tree.body)
    made = functions.made.get(function) if function is not None else None
    if made is not None:
        functions.followed.add(made.node)
        frame = functions.enter(made, _parameters(flow.context, program, inputs))
    _answer(flow.context, program, frame, returns)
    # Functions that nothing calls are followed too, with parameters of any type.
    for node, closure in list(functions.made.items()):
        if node in functions.followed:
            continue
        if isinstance(node, ast.Lambda):
            functions.evaluate(closure, None)
        else:
            functions.enter(closure, None)


def _parameters(context: Context, program: Program, inputs: Inputs | None) -> dict[str, StaticType]:
    """Types of the parameters of `answer`, from the inputs; a parameter that is no input is reported."""
    required = program.required
    if inputs is None:
        return {a.arg: _by_name(a) for a in required}
    known = {name: from_annotation(type_) for name, type_ in inputs.items()}
    if len(known) == len(required) == len(program.parameters or ()) == 1:
        return {required[0].arg: next(iter(known.values()))}
    for argument in required:
        if argument.arg in known:
            continue
        close = close_match(argument.arg, known)
        have = ", ".join(known) or "none"
        context.diagnostics.add(
            "wrong-inputs", argument, f"'{argument.arg}' is no input of this program; the inputs are {have}",
            f"write '{close}'" if close else f"write {header(inputs).rstrip(':')}",
        )  # fmt: skip
    return {a.arg: known.get(a.arg, UNKNOWN) for a in required}


def _by_name(argument: ast.arg) -> StaticType:
    """The type that the name of an input suggests."""
    declared = annotated(argument.annotation)
    if declared != UNKNOWN:
        return declared
    if argument.arg in VIDEO_NAMES:
        return Instance(Video)
    if argument.arg in IMAGES_NAMES:
        return list_of(Instance(Image))
    stem = argument.arg.rstrip("0123456789").rstrip("_")
    return Instance(Image) if stem in IMAGE_NAMES else UNKNOWN


def _answer(context: Context, program: Program, frame: FunctionFrame, returns: Type | None) -> None:
    """The answer must come, on every way, and be of the type that was asked for."""
    tree, function = program.tree, program.function
    results: list[tuple[ast.expr | ast.stmt, StaticType, ast.expr | None]] = [
        (node.value or node, type_, node.value) for node, type_ in frame.returns
    ]
    assigned = [n for n in statements(tree.body) if isinstance(n, ast.Assign | ast.AnnAssign | ast.AugAssign)]
    targets = [n for n in assigned if RESULT in _bound(n)]
    by_result = function is None and bool(targets)
    if by_result and not frame.returns:
        value = targets[-1].value
        results.append((value or targets[-1], context.scope.find(RESULT) or UNKNOWN, value))
    elif (
        frame.open_end and not context.exhausted and (function is not None or frame.returns) and not by_result
    ):
        some = "on some ways " if frame.returns else ""
        context.diagnostics.add(
            "missing-return", function or (tree.body[-1].lineno, tree.body[-1].col_offset),
            f"the program {some}comes to its end without an answer",
            "end with a 'return' that always happens",
        )  # fmt: skip
    for node, type_, value in results:
        _answer_type(context, node, type_, value, returns)


def _bound(node: ast.AST) -> set[str]:
    return {x.id for x in ast.walk(node) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}


def _answer_type(
    context: Context,
    node: ast.expr | ast.stmt,
    type_: StaticType,
    value: ast.expr | None,
    returns: Type | None,
) -> None:
    text = hints.brief(value) if value is not None else "…"
    lazy = (
        all(isinstance(k, Function) or class_of(k) in (ITERATOR, VIEW) for k in members(type_))
        and type_ != NEVER
    )
    note = next((k.note for k in members(type_) if isinstance(k, Instance) and k.note), "")
    if note and all(map(is_none, members(type_))):
        context.diagnostics.add("no-answer", node, "the answer is None, whatever is found", note)
        return
    if lazy:
        called = isinstance(type_, Function)
        context.diagnostics.add(
            "return-type", node, f"{show(type_)} is no answer",
            f"call it: {text}(…)" if called else f"write list({text})",
        )  # fmt: skip
        return
    if returns is None or could_be(type_, from_annotation(returns), strict=True):
        return
    context.diagnostics.add(
        "return-type",
        node,
        f"the answer must be {_wanted(returns)}, not {show(type_)}",
        _convert(type_, returns, text),
    )


def _wanted(returns: Type) -> str:
    return show(from_annotation(returns))


def _convert(type_: StaticType, returns: Type, text: str) -> str | None:
    cls = class_of(type_)
    if returns is bool:
        if cls in (list, tuple, set, dict):
            return f"write len({text}) > 0"
        return f"write {text} > 0" if is_number(type_) else "compare it with what is asked for"
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
