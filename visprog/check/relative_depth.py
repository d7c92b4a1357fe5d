"""Numbers of relative depth that a program gives as if they were distances."""

from __future__ import annotations

import ast

from ..registry import Registry
from ..values import Depth
from .diagnostics import Diagnostic, Diagnostics

KEEPING = frozenset(("abs", "float", "int", "list", "max", "min", "round", "sorted", "str", "sum", "tuple"))
"""Builtins whose result is still such a number, or a text of it."""


def relative_depth(tree: ast.Module, registry: Registry) -> list[Diagnostic]:
    """Report an answer that is made of `depth.at(…)`, if the backend in force tells only which of two is nearer.

    Comparisons, also those of a sort, are what it is for. A program that asks whether the depth is metric knows.
    """
    makers = {name for name, tool in registry.items() if tool.returns is Depth and tool.sees.without}
    if not makers or any(isinstance(n, ast.Attribute) and n.attr == "metric" for n in ast.walk(tree)):
        return []
    numbers = _Numbers(tree, makers)
    found = Diagnostics()
    for statement in _answers(tree):
        if statement.value is not None and numbers.has(statement.value):
            found.add(
                "relative-depth", statement.value,
                "the depth here is relative: its numbers tell which of two is nearer, and are no distances",
                "compare two of them, or say that the distance cannot be known",
            )  # fmt: skip
    return found.sorted()


def _answers(tree: ast.Module) -> list[ast.Return | ast.Assign]:
    """The statements that give the answer: those of the program itself, not of functions inside of it."""
    body = next(
        (n.body for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "answer"), tree.body
    )
    found: list[ast.Return | ast.Assign] = []
    rest: list[ast.AST] = [n for n in body if not isinstance(n, ast.FunctionDef)]
    while rest:
        node = rest.pop()
        if isinstance(node, ast.Return) or (
            isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == "result" for t in node.targets)
        ):
            found.append(node)
        elif not isinstance(node, ast.expr | ast.FunctionDef):
            rest += ast.iter_child_nodes(node)
    return found


class _Numbers:
    """The expressions of a program that are numbers of depth, or hold some.

    Args:
        makers: Names of the tools that measure depth.
    """

    def __init__(self, tree: ast.Module, makers: set[str]) -> None:
        self.given: dict[str, list[ast.expr]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._give(target, node.value)
            elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
                self._give(node.target, node.value)
            elif isinstance(node, ast.For | ast.comprehension):
                self._give(node.target, node.iter)
        self.depths = {
            name
            for name, values in self.given.items()
            if any(
                isinstance(v, ast.Call) and isinstance(v.func, ast.Name) and v.func.id in makers
                for v in values
            )
        }
        self.makers = makers
        self.names: set[str] = set()
        while more := {
            name
            for name, values in self.given.items()
            if name not in self.names and all(map(self.has, values))
        }:
            self.names |= more

    def _give(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.given.setdefault(target.id, []).append(value)

    def has(self, node: ast.expr) -> bool:
        """Whether an expression is such a number, or holds one."""
        match node:
            case ast.Name(id=name):
                return name in self.names
            case ast.Call(func=ast.Attribute(value=owner, attr="at")):
                return self._is_depth(owner)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in KEEPING:
                return not keywords and any(map(self.has, args))
            case ast.Call(func=ast.Attribute(attr="format" | "join"), args=args):
                return any(map(self.has, args))
            case ast.BinOp(left=left, right=right):
                return self.has(left) or self.has(right)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=inner) | ast.Subscript(value=inner):
                return self.has(inner)
            case ast.IfExp(body=body, orelse=other):
                return self.has(body) or self.has(other)
            case ast.JoinedStr(values=parts):
                return any(isinstance(p, ast.FormattedValue) and self.has(p.value) for p in parts)
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                return any(map(self.has, parts))
            case ast.Dict(values=parts) | ast.BoolOp(values=parts):
                return any(map(self.has, parts))
            case ast.ListComp(elt=inner) | ast.SetComp(elt=inner) | ast.GeneratorExp(elt=inner):
                return self.has(inner)
            case ast.DictComp(value=inner):
                return self.has(inner)
        return False

    def _is_depth(self, node: ast.expr) -> bool:
        match node:
            case ast.Name(id=name):
                return name in self.depths
            case ast.Call(func=ast.Name(id=name)):
                return name in self.makers
        return False
