"""What a program does, as features by which the lexicon knows it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

_EDGES = re.compile(r"\w+\.(left|right|top|bottom) [<>]=? \w+\.\1(?: [+-] [\d.]+)?$")
"""Whether an object lies at an edge of what it lies in: `y.left < x.left + 1.5`."""

OPERATORS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.Gt: ">", ast.LtE: "<=", ast.GtE: ">="}


_FINDING = frozenset(
    "detect find_circles find_polygons find_faces find_lines find_text has_color verify best list loop + exists number "
    "len if and or .x .y person .append segment".split()
)
"""Features that depend on what is looked for rather than on what is asked about it."""


class ProgramFeatures:
    """What a program does, as features by which `support.yaml` knows it."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.names: dict[str, ast.expr] = {}
        self.loops: dict[int, ast.expr] = {}  # a loop's variable, where it is used → what it loops over
        self.strings: list[tuple[str, str]] = []  # text, and the function that it is given to
        self.compared: list[tuple[str, int]] = []  # operator and number
        self.features: set[str] = set()
        self.value: ast.expr = ast.Constant(None)
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.names[node.targets[0].id] = node.value
            elif isinstance(node, ast.Return) and node.value is not None:
                self.value = node.value
        self._bind(tree, {})
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        if called(self.value).startswith("crop"):
            self.features.add("crops")
        self.unused = frozenset(self.names) - used
        inside: set[int] = set()
        for node in ast.walk(tree):
            self.features.update(self._features(node))
            if isinstance(node, ast.Call):
                name = called(node)
                for argument in node.args:
                    for part in ast.walk(argument) if isinstance(argument, ast.List) else (argument,):
                        if isinstance(part, ast.Constant) and isinstance(part.value, str):
                            self.strings.append((part.value, name))
                            inside.add(id(part))
        self.objects = frozenset(
            noun for node in ast.walk(tree) if called(node) in ("detect", "find_polygons", *PSEUDO)
            for noun in self.nouns(node)
        )  # fmt: skip
        self.strings += [
            (node.value, "")
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside
        ]

    def _bind(self, node: ast.AST, scope: Mapping[str, ast.expr]) -> None:
        """Note what each loop variable stands for: the innermost loop of its name."""
        if isinstance(node, ast.Name) and node.id in scope:
            self.loops[id(node)] = scope[node.id]
        if isinstance(node, ast.ListComp | ast.GeneratorExp):
            for clause in node.generators:
                self._bind(clause.iter, scope)
                if isinstance(clause.target, ast.Name):
                    scope = {**scope, clause.target.id: clause.iter}
                for condition in clause.ifs:
                    self._bind(condition, scope)
            self._bind(node.elt, scope)
        else:
            for child in ast.iter_child_nodes(node):
                self._bind(child, scope)

    def _features(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Call):
            name = called(node)
            if not (name == "largest" and ".sides" in ast.unparse(self.tree)):
                yield name
            first = next((str(a.value) for a in node.args[1:] if isinstance(a, ast.Constant)), "")
            if name == "crop_half":
                yield f"half:{first}"
            elif name == "cover":
                styles = [str(a.value) for a in node.args[2:3] if isinstance(a, ast.Constant)]
                yield f"cover:{styles[0] if styles else 'box'}"
            elif name == "nth" and len(node.args) == 2 and isinstance(node.args[0], ast.Call):
                yield from self._nth(node)
            elif name == "index" and node.args:
                yield f"index:{called(node.args[0])}"
            elif name == "detect" and first in ("person", "shape"):
                yield first
            elif name == "find_polygons" and first in ("shape", "shapes", "squares"):
                yield "all_shapes" if first.startswith("shape") else "squares"
        elif isinstance(node, ast.Attribute):
            yield f".{node.attr}"
            if isinstance(node.value, ast.Attribute):
                yield f".{node.value.attr}.{node.attr}"
        elif isinstance(node, ast.Compare):
            yield from self._compare(node)
        elif isinstance(node, ast.Not):
            yield "not"
        elif isinstance(node, ast.And | ast.Or):
            yield type(node).__name__.lower()
        elif isinstance(node, ast.IfExp):
            yield "if"
        elif isinstance(node, ast.BinOp) and not re.match(
            r"\w+\.(?:left|right|top|bottom)\b", ast.unparse(node)
        ):
            yield {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%"}.get(
                type(node.op), "?"
            )
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant | ast.UnaryOp):
            yield f"{ast.unparse(node)}"
        elif isinstance(node, ast.comprehension):
            over = ast.unparse(node.iter)
            yield "images" if over in ("images", "enumerate(images)") else "loop"
        elif isinstance(node, ast.ListComp | ast.List):
            yield "list"

    def _nth(self, node: ast.Call) -> Iterator[str]:
        order = called(node.args[0])
        n = ast.literal_eval(node.args[1]) if not isinstance(node.args[1], ast.Name) else 1
        start, end = ("top", "bottom") if order == "top_to_bottom" else ("left", "right")
        yield f"from:{end if n < 0 else start}"
        yield f"ordinal:{abs(n)}" if n != -1 else "ordinal:last"

    def _compare(self, node: ast.Compare) -> Iterator[str]:
        op = OPERATORS.get(type(node.ops[0]), "")
        left, right = node.left, node.comparators[0]
        text = ast.unparse(node)
        if _EDGES.match(text):
            yield "edge"
            if op in (">=", "<=") or text.startswith(("not", "(not")):
                yield "not"
        elif isinstance(right, ast.Constant) and re.match(r"distance\(|\w+\.(?:width|height|area)\b", text):
            yield "measures"
        elif isinstance(right, ast.Constant) and isinstance(right.value, int):
            n = right.value
            if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mod):
                yield "even" if n == 0 else "odd"
            elif (op, n) in (("==", 0), ("<", 1)):
                yield "none"
            elif (op, n) in ((">", 0), (">=", 1)):
                yield "exists"
            else:
                of_set = text.startswith("len(set(")
                yield f"set{op}{n}" if of_set and n == 1 else "number"
                if not of_set or n != 1:
                    self.compared.append((op, n))
        elif op in ("==", "!="):
            yield "same" if op == "==" else "differs"
        elif "image.width / 2" in text:
            yield f"half:{'left' if op == '<' else 'right'}"
        elif "image.height / 2" in text:
            yield f"half:{'top' if op == '<' else 'bottom'}"
        else:
            yield "compares" + op[0]

    @property
    def kind(self) -> str:
        """What kind of program it is, whatever it looks for: its features as one text."""
        return " ".join(sorted(self.features - _FINDING))

    def nouns(self, node: ast.AST, depth: int = 0) -> frozenset[str]:
        """The phrases that name the objects of an expression."""
        if depth > 12:
            return frozenset()
        if isinstance(node, ast.Name):
            value = self.loops.get(id(node), self.names.get(node.id))
            return self.nouns(value, depth + 1) if value is not None else frozenset()
        if isinstance(node, ast.Call):
            name = called(node)
            if name in PSEUDO:
                return frozenset((PSEUDO[name],))
            if name in ("detect", "find_polygons"):
                given = [str(a.value) for a in node.args[1:2] if isinstance(a, ast.Constant)]
                return frozenset(given or ("polygon",))
            if name in ("segment", "crop"):
                return self.nouns(node.args[1], depth + 1) if len(node.args) > 1 else frozenset()
            return self.nouns(node.args[0], depth + 1) if node.args else frozenset()
        if isinstance(node, ast.ListComp | ast.GeneratorExp):
            return self.nouns(node.generators[0].iter, depth + 1)
        if isinstance(node, ast.BinOp):
            return self.nouns(node.left, depth + 1) | self.nouns(node.right, depth + 1)
        if isinstance(node, ast.Attribute | ast.Subscript):
            return self.nouns(node.value, depth + 1)
        return frozenset()


PSEUDO = {
    "find_faces": "<face>", "find_circles": "<circle>", "find_lines": "<line>", "find_panels": "<panel>",
    "find_text": "<text>", "find_qr_codes": "<code>",
}  # fmt: skip
PSEUDO_WORDS = {
    "<face>": r"faces?|heads?", "<circle>": r"circles?|discs?|disks?|dots?|rings?|round", "<line>": r"lines?",
    "<panel>": r"box(?:es)?|towers?|panels?", "<text>": r"texts?|words?|lines?", "<code>": r"codes?|qr",
    "person": r"person|persons|people|any(?:body|one)|some(?:body|one)|every(?:body|one)|humans?",
}  # fmt: skip


def called(node: ast.AST) -> str:
    """The name of the function or method that a call calls."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
