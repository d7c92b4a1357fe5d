"""Bring a program into one shape: a function whose parameters are the inputs and whose value is the
result."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from typing import TypeVar

from . import policy
from .parsing import Diagnostic

ENTRY = "answer"
RESULT = "result"
WRAPPER = "_program_"

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Node = TypeVar("_Node", bound=ast.AST)


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Every statement of a body that belongs to the same scope, nested ones included."""
    stack: list[ast.AST] = list(reversed(body))
    while stack:
        node = stack.pop()
        if isinstance(node, ast.stmt):
            yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.expr)):
            stack.extend(reversed(list(ast.iter_child_nodes(node))))


def bound_names(node: ast.AST) -> set[str]:
    """The names that a module or function binds in its own scope, parameters included."""
    names: set[str] = set()
    if isinstance(node, Function):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        names.update(a.arg for a in [*every, arguments.vararg, arguments.kwarg] if a is not None)
    body = getattr(node, "body", [])
    stack: list[ast.AST] = list(body) if isinstance(body, list) else [body]
    in_comprehension: set[ast.AST] = set()
    while stack:
        child = stack.pop()
        match child:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(child.name)
                continue
            case ast.Lambda():
                continue
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) if child not in in_comprehension:
                names.add(name)
            case ast.NamedExpr(target=ast.Name(id=name)):
                names.add(name)
            case (
                ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
            ):
                names.add(name)
            case ast.MatchMapping(rest=str(name)):
                names.add(name)
            case ast.Import() | ast.ImportFrom():
                if getattr(child, "module", None) not in policy.TYPING_MODULES:
                    names.update((alias.asname or alias.name).partition(".")[0] for alias in child.names)
            case ast.comprehension():
                in_comprehension.update(ast.walk(child.target))
        stack.extend(ast.iter_child_nodes(child))
    return names


def entry(tree: ast.Module) -> ast.FunctionDef | None:
    """The function that gives the result; None if the statements themselves do."""
    if any(isinstance(node, ast.Return) for node in statements(tree.body)) or RESULT in bound_names(tree):
        return None
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == ENTRY]
    return found[-1] if found else None


def has_result(tree: ast.Module) -> bool:
    """Whether the program has a result anywhere; if it has none, its value is None."""
    returns = any(isinstance(node, ast.Return) for node in statements(tree.body))
    return returns or RESULT in bound_names(tree) or entry(tree) is not None


def wrap(
    tree: ast.Module, inputs: Collection[str], defined: Collection[str]
) -> tuple[ast.Module, list[str]] | Diagnostic:
    """The program as one function.

    Args:
        tree: the program; it is changed.
        inputs: the names of its inputs.
        defined: the other names that it finds defined: builtins, the library's.

    Returns:
        the module with that function alone, and the names of its parameters: the inputs, then every defined
        name that the program rebinds in its outermost scope (so that `max = max(values)` reads the
        builtin, as it does in a module). A diagnostic instead when the entry function asks for something
        that is no input.
    """
    tree = _Plain().visit(tree)
    nothing = ast.Pass(lineno=1, col_offset=0, end_lineno=1, end_col_offset=0)
    body = tree.body or [nothing]  # of a program of comments
    function = entry(tree)
    names = bound_names(tree)
    if function is not None:
        call = _call(function, inputs)
        if isinstance(call, Diagnostic):
            return call
        body = [*body, _at(function, ast.Return(call))]
    elif RESULT in names:
        body = [*body, _at(body[-1], ast.Return(ast.Name(RESULT, ast.Load())))]
    parameters = [*inputs, *sorted(names.intersection(defined).difference(inputs))]
    arguments = ast.arguments([], [ast.arg(name) for name in parameters], None, [], [], None, [])
    wrapper = _at(body[0], ast.FunctionDef(WRAPPER, arguments, body, [], None))
    wrapper.type_params = []  # type: ignore[attr-defined, unused-ignore]  # read by Python 3.12 and later
    return ast.Module([wrapper], []), parameters


def _call(function: ast.FunctionDef, inputs: Collection[str]) -> ast.Call | Diagnostic:
    """The call of the entry function with the inputs that its parameters name."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)]
    required += [
        a for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if not default
    ]
    missing = [a.arg for a in required if a.arg not in inputs]
    call = ast.Call(ast.Name(function.name, ast.Load()), [], [])
    if len(inputs) == 1 and len(required) == 1 and missing and required[0] is positional[0]:
        call.args = [ast.Name(next(iter(inputs)), ast.Load())]
        return call
    if missing:
        have = ", ".join(inputs) or "none"
        return Diagnostic(
            "wrong-inputs",
            function.lineno,
            function.col_offset,
            f"{function.name}() asks for {', '.join(missing)}, which is no input of this program",
            f"name its parameters after the inputs: {have}",
            name=missing[0],
        )
    for argument in arguments.posonlyargs:
        if argument.arg not in inputs:
            break
        call.args.append(ast.Name(argument.arg, ast.Load()))
    call.keywords = [
        ast.keyword(a.arg, ast.Name(a.arg, ast.Load()))
        for a in [*arguments.args, *arguments.kwonlyargs]
        if a.arg in inputs
    ]
    return call


def _at(place: ast.AST, node: _Node) -> _Node:
    return ast.fix_missing_locations(ast.copy_location(node, place))


class _Plain(ast.NodeTransformer):
    """Remove what has no effect on a run: annotations, and the imports that only they need."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return _at(node, ast.Pass())
        return self.generic_visit(_at(node, ast.Assign([node.target], node.value)))

    def visit_Import(self, node: ast.Import) -> ast.AST:
        return self._import(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        return _at(node, ast.Pass()) if node.module in policy.TYPING_MODULES else self._import(node)

    def _import(self, node: ast.Import | ast.ImportFrom) -> ast.AST:
        node.names = [alias for alias in node.names if alias.name not in policy.TYPING_MODULES]
        return node if node.names else _at(node, ast.Pass())
