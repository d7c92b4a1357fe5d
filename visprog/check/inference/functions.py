"""Calls, and the functions of the program itself: each is followed with the types that it is called with."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from ...registry import Tool
from .. import hints
from ..phrases import check_absent, check_method, check_phrase, check_relations, check_statement
from . import operators
from .assignments import IN_PLACE
from .builtins import call_builtin, need_order
from .calls import Argument, Arguments, Caller
from .context import Context, FunctionFrame
from .expressions import Expressions
from .narrow import BUILTIN_TYPES
from .scope import Scope, State
from .signatures import CLASSES, Builtin, Class, Closure, Formal, Signature
from .types import (
    NEVER,
    NONE,
    STR,
    UNKNOWN,
    Const,
    Function,
    Instance,
    StaticType,
    element,
    from_annotation,
    is_none,
    join,
    list_of,
    members,
    shallow,
    show,
)

MAX_CALLS = 8
"""Number of functions of the program inside one another that are followed."""


class Functions:
    """Types through calls. Of a function that calls itself, the inner result is unknown.

    Args:
        context: of the program.
        block: follows the body of a function, and says whether its end is reached.

    Attributes:
        made: functions of the program by the node that makes them.
        followed: nodes of those that have been called.
    """

    def __init__(self, context: Context, block: Callable[[list[ast.stmt]], bool]) -> None:
        self.context = context
        self.diagnostics = context.diagnostics
        self.expressions = Expressions(context, self.call, self.make_closure)
        self.made: dict[ast.AST, Closure] = {}
        self.followed: set[ast.AST] = set()
        self._caller = Caller(context.diagnostics, self.invoke)
        self._block = block
        self._active: list[ast.AST] = []

    # -- calls ------------------------------------------------------------------------

    def call(self, node: ast.Call) -> StaticType:
        function = self.expressions.infer(node.func)
        arguments = Arguments()
        for value in node.args:
            if isinstance(value, ast.Starred):
                self.expressions.loop_over(value.value)
                arguments.more_by_position = True
            elif arguments.more_by_position:
                self.expressions.infer(value)
            else:
                arguments.by_position.append(Argument(value, self.expressions.infer(value)))
        for keyword in node.keywords:
            type_ = self.expressions.infer(keyword.value)
            if keyword.arg is None:
                arguments.more_by_name = True
            else:
                arguments.by_name[keyword.arg] = Argument(keyword.value, type_)
                arguments.keywords[keyword.arg] = keyword
        return self.apply(function, arguments, node)

    def apply(self, function: StaticType, arguments: Arguments, node: ast.Call) -> StaticType:
        """The type of a call of `function`."""
        if isinstance(function, Builtin):
            return call_builtin(self._caller, function.name, arguments, node)
        if isinstance(function, Closure):
            return self.run(function, arguments, node)
        if isinstance(function, Class):
            if function.constructor is None:
                return Instance(function.cls)
            return self._caller.call(function.constructor, arguments, node)
        if isinstance(function, Signature):
            return self._apply_signature(function, arguments, node)
        if operators.vague(function) or any(isinstance(k, Function) for k in members(function)):
            return UNKNOWN
        what = hints.brief(node.func)
        self.diagnostics.add(
            "not-callable", node.func, f"{what} is {show(function)} and cannot be called",
            f"write {what} without the brackets" if isinstance(node.func, ast.Attribute) else None,
        )  # fmt: skip
        return NEVER

    def _apply_signature(self, function: Signature, arguments: Arguments, node: ast.Call) -> StaticType:
        result = self._caller.call(function, arguments, node)
        if function.tool is not None and not self.context.catching:
            self._check_sight(function.tool, arguments, node)
        elif function.owner and not self.context.catching:
            check_method(f"{function.owner}.{function.name}", node, self.context.registry, self.diagnostics)
        if function.tool is not None and "spelled as given" in function.tool.doc:
            result = _told_options(function.tool, arguments) or result
        if function.known is not None and isinstance(node.func, ast.Attribute):
            self.expressions.assignments.mutate_by_method(node.func.value, function.name, arguments.types)
            if function.name == "sort" and arguments.named("key") in (None, NONE):
                need_order(self._caller, "sort", function.known.get("T", UNKNOWN), node.func.value)
            if is_none(result):
                # What dict.get found nothing for may have been put there out of sight.
                note = IN_PLACE.get(function.name, "")
                return Instance(type(None), note=note) if note else UNKNOWN
        return result

    def invoke(self, function: StaticType, types_: list[StaticType], node: ast.expr) -> StaticType:
        """Call a function that is an argument, on values of these types."""
        if not isinstance(function, Function):
            return UNKNOWN
        arguments = Arguments([Argument(node, type_) for type_ in types_])
        return self.apply(
            function, arguments, ast.copy_location(ast.Call(node, [node] * len(types_), []), node)
        )

    def _check_sight(self, tool: Tool, arguments: Arguments, node: ast.Call) -> None:
        """What is asked of a tool must be what its backend can see."""
        check_absent(tool, node, self.diagnostics)
        for name, argument in _by_parameter(tool, arguments).items():
            check_phrase(tool, name, argument.node, argument.type, self.context.registry, self.diagnostics)
            if name == "statement":
                check_statement(tool, argument.node, argument.type, self.diagnostics)
            elif name == "what":
                check_relations(tool, name, argument.node, argument.type, self.diagnostics)

    # -- functions of the program --------------------------------------------------------------------

    def make_closure(self, node: ast.FunctionDef | ast.Lambda) -> Closure:
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        by_name: dict[str, StaticType] = {}
        if arguments.defaults:
            for argument, default in zip(
                positional[-len(arguments.defaults) :], arguments.defaults, strict=True
            ):
                by_name[argument.arg] = self.expressions.infer(default)
        for argument, given in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if given is not None:
                by_name[argument.arg] = self.expressions.infer(given)
        made = Closure(node, self.context.scope, by_name)
        self.made[node] = made
        return made

    def signature(self, closure: Closure) -> Signature:
        """The parameters of a function of the program; their types are whatever they are given."""
        a = closure.node.args
        formals = [
            Formal(p.arg, UNKNOWN, p.arg not in closure.defaults, by_name=False) for p in a.posonlyargs
        ]
        formals += [Formal(p.arg, UNKNOWN, p.arg not in closure.defaults) for p in a.args]
        formals += [
            Formal(p.arg, UNKNOWN, p.arg not in closure.defaults, by_position=False) for p in a.kwonlyargs
        ]
        if a.vararg:
            formals.append(Formal(a.vararg.arg, UNKNOWN, False, by_name=False, repeated=True))
        if a.kwarg:
            formals.append(Formal(a.kwarg.arg, UNKNOWN, False, by_position=False, repeated=True))
        return Signature(closure.name or "this lambda", tuple(formals), UNKNOWN)

    def run(self, closure: Closure, arguments: Arguments, node: ast.Call) -> StaticType:
        """Follow a call of a function of the program, with the types of its arguments."""
        Caller(self.diagnostics, lambda *_: UNKNOWN).call(self.signature(closure), arguments, node)
        self.followed.add(closure.node)
        a = closure.node.args
        positional = [p.arg for p in [*a.posonlyargs, *a.args]]
        given: dict[str, Argument] = dict(zip(positional, arguments.by_position, strict=False))
        given.update(arguments.by_name)
        if closure.node in self._active or len(self._active) >= MAX_CALLS:
            for argument in given.values():
                self._forget(argument)
            return UNKNOWN
        if isinstance(closure.node, ast.Lambda):
            return self.evaluate(closure, {name: argument.type for name, argument in given.items()})
        frame = self.enter(closure, {name: argument.type for name, argument in given.items()})
        for name, argument in given.items():
            now = frame.end.get(name, NEVER)
            if (
                isinstance(now, Instance)
                and isinstance(argument.type, Instance)
                and now.cls is argument.type.cls
            ):
                grown = join(argument.type, now)
                if grown != argument.type:
                    self.expressions.assignments.mutate(argument.node, grown)
        return frame.result

    def _forget(self, argument: Argument) -> None:
        """A container that goes where it is not followed may come back with anything in it."""
        if isinstance(argument.type, Instance) and argument.type.cls in (list, dict, set):
            self.expressions.assignments.mutate(
                argument.node, Instance(argument.type.cls, tuple(UNKNOWN for _ in argument.type.args))
            )

    @contextmanager
    def _inside(self, closure: Closure, given: Mapping[str, StaticType] | None) -> Iterator[Scope]:
        """The scope of the body, with these parameters; if `given` is None, they may be of any type."""
        a = closure.node.args
        variables: State = {}
        for parameter in [*a.posonlyargs, *a.args, *a.kwonlyargs]:
            type_ = (
                UNKNOWN if given is None else given.get(parameter.arg) or closure.defaults.get(parameter.arg)
            )
            if type_ is None or type_ == UNKNOWN:
                type_ = annotated(parameter.annotation)
            variables[parameter.arg] = shallow(type_)
        if a.vararg:
            variables[a.vararg.arg] = Instance(tuple, (UNKNOWN,))
        if a.kwarg:
            variables[a.kwarg.arg] = Instance(dict, (STR, UNKNOWN))
        self._active.append(closure.node)
        with self.context.within(Scope(variables, closure.scope)) as scope:
            yield scope
        self._active.pop()

    def evaluate(self, closure: Closure, given: Mapping[str, StaticType] | None) -> StaticType:
        """The value of a lambda."""
        with self._inside(closure, given):
            return (
                self.expressions.infer(closure.node.body) if isinstance(closure.node, ast.Lambda) else UNKNOWN
            )

    def enter(self, closure: Closure, given: Mapping[str, StaticType] | None) -> FunctionFrame:
        """Follow the body of a `def`."""
        with self._inside(closure, given) as scope:
            self.context.frames.append(FunctionFrame())
            open_end = isinstance(closure.node, ast.FunctionDef) and self._block(closure.node.body)
            frame = self.context.frames.pop()
            frame.open_end = open_end
            if open_end:
                frame.states.append(scope.variables)
        return frame


def annotated(annotation: ast.expr | None) -> StaticType:
    """The type that an annotation in the program stands for; UNKNOWN if it is not plainly one."""
    if isinstance(annotation, ast.Constant) and annotation.value is None:
        return NONE
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return UNKNOWN
    if isinstance(annotation, ast.Name):
        cls = BUILTIN_TYPES.get(annotation.id) or CLASSES.get(annotation.id)
        return UNKNOWN if cls is None else from_annotation(cls)
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return join(annotated(annotation.left), annotated(annotation.right))
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name):
        inner = annotation.slice
        if annotation.value.id in ("list", "List"):
            return list_of(annotated(inner))
        if annotation.value.id in ("set", "Set"):
            return Instance(set, (annotated(inner),))
        if annotation.value.id in ("dict", "Dict") and isinstance(inner, ast.Tuple) and len(inner.elts) == 2:
            return Instance(dict, (annotated(inner.elts[0]), annotated(inner.elts[1])))
        if annotation.value.id == "Optional":
            return join(annotated(inner), NONE)
    return UNKNOWN


def _by_parameter(tool: Tool, arguments: Arguments) -> dict[str, Argument]:
    given = dict(zip((p.name for p in tool.parameters), arguments.by_position, strict=False))
    return {**given, **arguments.by_name}


def _told_options(tool: Tool, arguments: Arguments) -> StaticType | None:
    """The options that a tool chooses among, if all are known."""
    options = _by_parameter(tool, arguments).get("options")
    known = members(element(options.type)) if options is not None else ()
    told = [Const(each.value, told=True) for each in known if isinstance(each, Const)]
    return join(*told) if told and len(told) == len(known) else None
