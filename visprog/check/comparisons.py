"""Comparisons that come out the same whatever is seen: beyond the range of a measure, or in capitals that a text has
not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

from ..registry import Registry
from .diagnostics import Diagnostic, Diagnostics
from .settled import Settled, number_of

_RANGE = re.compile(r", (\d+)(?: \(\w+\))? to (\d+)(?: \(\w+\))?(?=[,;:. ]|$)")
"""How a docstring tells the range of a result: "…, 0 (black) to 100 (white)"."""

_CASES = {"casefold": str.casefold, "lower": str.lower, "upper": str.upper}
"""Methods that write a text in letters of one case."""

_PARTS = frozenset(
    ("lstrip", "removeprefix", "removesuffix", "rsplit", "rstrip", "split", "splitlines", "strip")
)
"""Methods that give parts of a text as they are written."""

_SEARCHES = frozenset(("count", "endswith", "find", "index", "startswith"))
"""Methods that look for another text."""

_YES_OR_NO = re.compile(r"\s*(yes|no)\W*", re.IGNORECASE)

_ASKED = re.compile(r"(?:is|are|was|were|do|does|did|has|have|can|could|will)\b", re.IGNORECASE)
"""Beginning of a question that yes or no answers."""


def comparisons(tree: ast.Module, registry: Registry) -> list[Diagnostic]:
    """Comparisons that tell nothing.

    A measure has a range (`out-of-range`); a text in small letters has no capitals, and `vqa` writes "yes" and "no" so
    (`always-same`); of pairs of a time and a number, the greatest is the one with the last time (`pairs-by-time`).
    """
    return _Comparisons(tree, registry).diagnose()


class _Comparisons:
    def __init__(self, tree: ast.Module, registry: Registry) -> None:
        self.tree = tree
        self.registry = registry
        self.settled = Settled(tree)
        self.found = Diagnostics()
        depth = registry.get("depth")
        asks = any(isinstance(n, ast.Attribute) and n.attr == "metric" for n in ast.walk(tree))
        self.knows_metric = asks or bool(depth and depth.sees.summary and not depth.sees.without)

    def diagnose(self) -> list[Diagnostic]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Compare):
                self._range(node)
            if isinstance(node, ast.Call):
                self._pairs(node)
            for text, other in _sought(node):
                if isinstance(other, ast.Constant) and isinstance(other.value, str):
                    self._case(text, other, other.value)
        return self.found.sorted()

    # -- ranges ----------------------------------------------------------------------------------

    def _range(self, node: ast.Compare) -> None:
        """Report a measure that is compared with a number that it never reaches."""
        for (one, other), op in zip(pairwise([node.left, *node.comparators]), node.ops, strict=True):
            if not isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE | ast.Eq | ast.NotEq):
                continue
            for measure, limit in ((one, other), (other, one)):
                number = number_of(limit)
                ranges = {self._range_of(v) for v in self.settled.values(measure)}
                (known,) = ranges if len(ranges) == 1 else (None,)
                if number is None or known is None:
                    continue
                name, low, high = known
                # A fraction stands for another scale: 0.5 of 0 to 100 is nearly nothing.
                if low <= number <= high and not (high >= 100 and 0 < number < 1):
                    continue
                self.found.add(
                    "out-of-range", limit,
                    f"{name} gives {low:g} to {high:g}: a comparison with {number:g} tells nothing",
                    f"compare it with a number between {low:g} and {high:g}", name=name.partition(",")[0],
                )  # fmt: skip

    def _range_of(self, node: ast.expr) -> tuple[str, float, float] | None:
        """The name of the measure that an expression reads, and the range of its numbers, if that is known."""
        match node:
            case ast.Attribute(attr="score"):
                return "score", 0, 1
            case ast.Call(func=ast.Attribute(value=depth, attr="at")) if not self.knows_metric:
                depths = self.settled.values(depth)
                if depths and all(self.settled.called(each) == "depth" for each in depths):
                    return "at, unless the depth is metric,", 0, 1
        tool = self.registry.get(self.settled.called(node))
        if tool is None or tool.returns not in (int, float):
            return None
        found = _RANGE.search(" ".join(tool.doc.split("\n\n")[0].split()))
        return (tool.name, float(found[1]), float(found[2])) if found else None

    # -- letters ---------------------------------------------------------------------------------

    def _case(self, text: ast.expr, at: ast.expr, written: str) -> None:
        """Report letters of a case that a text does not have."""
        ways = {self._case_of(value) for value in self.settled.values(text)}
        (case,) = ways if len(ways) == 1 else ("",)
        if case in _CASES and _CASES[case](written) != written:
            self.found.add(
                "always-same", at, f"{written!r} is never found in a text after .{case}()",
                f"write {_CASES[case](written)!r}",
            )  # fmt: skip
        if case == "vqa" and (bare := _YES_OR_NO.fullmatch(written)) and written != bare[1].lower():
            self.found.add(
                "always-same", at, f'vqa answers "yes" or "no", never {written!r}',
                f"write {bare[1].lower()!r}", name="vqa",
            )  # fmt: skip

    def _case_of(self, node: ast.expr) -> str:
        """The method that gave a text the case of its letters, or "vqa" for its answer to a question of yes or no; else
        ""."""
        match node:
            case ast.Call(func=ast.Name(), args=[_, ast.Constant(value=str() as question)]):
                asked = self.settled.called(node) == "vqa" and "vqa" in self.registry
                return "vqa" if asked and _ASKED.match(question) else ""
            case ast.Call(func=ast.Attribute(value=inner, attr=name)):
                if name in _CASES:
                    return name
                return self._case_of(inner) if name in _PARTS else ""
            case ast.Subscript(value=inner):
                return self._case_of(inner)
        return ""

    # -- pairs -----------------------------------------------------------------------------------

    def _pairs(self, node: ast.Call) -> None:
        """Report the greatest of pairs that begin with their time."""
        name = self.settled.called(node)
        if name not in ("max", "min") or len(node.args) != 1 or any(k.arg == "key" for k in node.keywords):
            return
        values = self.settled.values(node.args[0])
        if values and all(self.settled.called(each) == "count_over_time" for each in values):
            self.found.add(
                "pairs-by-time", node, f"count_over_time gives pairs (time, number), and {name} compares the times",
                f"write {name}(n for _, n in …), or {name}(…, key=lambda pair: pair[1]) for the pair", name=name,
            )  # fmt: skip


def _sought(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Texts, perhaps, and what they are compared with or searched for."""
    if isinstance(node, ast.Compare):
        for (one, other), op in zip(pairwise([node.left, *node.comparators]), node.ops, strict=True):
            if isinstance(op, ast.Eq | ast.NotEq):
                yield from ((one, other), (other, one))
            elif isinstance(op, ast.In | ast.NotIn):
                yield other, one
                if isinstance(other, ast.List | ast.Tuple | ast.Set):
                    yield from ((one, each) for each in other.elts)
    match node:
        case ast.Call(func=ast.Attribute(value=inner, attr=name), args=[first, *_]) if name in _SEARCHES:
            yield from ((inner, each) for each in (first.elts if isinstance(first, ast.Tuple) else [first]))
