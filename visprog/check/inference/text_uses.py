"""What a program does with its texts beside comparing them with truths and numbers, which no text equals."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cached_property


class TextUses:
    """The places of a program that read a text.

    Args:
        tree: The program.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree

    def is_only(self, comparison: ast.Compare, text: ast.expr) -> bool:
        """Whether a text is compared with a truth or a number, and otherwise not looked at: its author takes it for
        one. A program that does more, such as `a == True or a == "yes"`, may be right."""
        if not isinstance(text, ast.Name):
            return comparison not in self._alternatives
        counted = self._idle[text.id] + (not _is_idle(comparison))
        return counted == self._loads[text.id]

    @cached_property
    def _alternatives(self) -> set[ast.expr]:
        """The operands of `and` and `or`."""
        return {part for n in ast.walk(self._tree) if isinstance(n, ast.BoolOp) for part in n.values}

    @cached_property
    def _loads(self) -> Counter[str]:
        """Number of places where a name is read."""
        return Counter(
            n.id for n in ast.walk(self._tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
        )

    @cached_property
    def _idle(self) -> Counter[str]:
        """Number of those that tell nothing of a text: it is printed, or compared with truths and numbers alone."""
        found: Counter[str] = Counter()
        for node in ast.walk(self._tree):
            sides: list[ast.expr] = []
            if isinstance(node, ast.Compare) and _is_idle(node):
                sides = [node.left, *node.comparators]
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                sides = node.args
            found.update(side.id for side in sides if isinstance(side, ast.Name))
        return found


def _is_idle(node: ast.Compare) -> bool:
    """Whether one name is compared with truths and numbers that are written there."""
    sides = [node.left, *node.comparators]
    plain = [s for s in sides if isinstance(s, ast.Constant) and isinstance(s.value, bool | int | float)]
    return len(plain) == len(sides) - 1 and any(isinstance(side, ast.Name) for side in sides)
