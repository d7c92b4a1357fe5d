"""Names of a program whose values are known without running it."""

from __future__ import annotations

import ast
from collections import Counter


class Settled:
    """What the names of a program stand for.

    Attributes:
        stores: Number of times that each name is bound, parameters included.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.stores = Counter(
            n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        )
        self.stores.update(n.arg for n in ast.walk(tree) if isinstance(n, ast.arg))
        self._assigned: dict[str, list[ast.expr]] = {}
        for node in ast.walk(tree):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr) and node.value is not None:
                for target in targets:
                    if isinstance(target, ast.Name):
                        self._assigned.setdefault(target.id, []).append(node.value)

    def values(self, node: ast.expr) -> list[ast.expr]:
        """The expressions that an expression stands for: itself, or all that its name was given before."""
        if not isinstance(node, ast.Name):
            return [node]
        known = self._assigned.get(node.id, [])
        settled = len(known) == self.stores[node.id] and all(v.lineno < node.lineno for v in known)
        return known if settled else []

    def called(self, node: ast.AST) -> str:
        """The name of the function that an expression calls, if the program does not bind it; else ""."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not self.stores[node.func.id]:
            return node.func.id
        return ""


def number_of(node: ast.expr) -> float | None:
    """A number that is written there."""
    match node:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
    return None
