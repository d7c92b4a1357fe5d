"""Mistakes that types do not show: text taken for truth, words for numbers, the size of a crop for a position."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from visprog.sandbox import TYPE_ATTRIBUTES

from ..registry import Registry
from ..values.codec import KINDS
from . import hints
from .diagnostics import Diagnostic, Diagnostics
from .phrases import catches_refusals
from .settled import Settled, number_of

ANSWERS = frozenset(("caption", "classify", "dominant_color", "video_vqa", "vqa"))
"""Tools that always answer with a text: it is never empty, so as a truth it is always true."""

WORDY = frozenset(("caption", "video_vqa", "vqa"))
"""Tools that answer in words: a number may come as "two" or "many"."""

SWALLOWED = "swallowed-refusal"
"""Code of what answers for a tool that refused: a warning, and yet worth another program."""

_PLAIN = frozenset(("casefold", "lower", "removesuffix", "rstrip", "strip", "title", "upper"))
"""Methods of text that change how it is written, and not what it says."""

_SHOWN = re.compile(r"\b(?:image|picture|photo|photograph|video|this)\b", re.IGNORECASE)
"""Words that speak of what an image shows."""

_PLACES = frozenset(("left", "right", "top", "bottom", "x", "y"))

_FREE = {
    "crop_left_of": "xy",
    "crop_above": "xy",
    "crop_right_of": "y",
    "crop_below": "x",
}
"""Crops that begin at the edge of what they are cut from, along these axes: there, places are the same in both."""

_FREE_HALVES = {"left": "xy", "top": "xy", "right": "y", "bottom": "x"}


def misuse(tree: ast.Module, registry: Registry) -> list[Diagnostic]:
    """What a program surely does not mean, though its types fit.

    A text that is never empty is no truth (`text-as-truth`); an answer in words may be no number
    (`words-as-number`, a warning); positions of objects are in the frame of the whole image, so that a
    crop's own width and height are not to be compared with them (`crop-frame`); a method is no truth
    (`method-as-truth`); a language model answers no question about an image that it knows nothing of
    (`blind-question`); and what a tool refuses to look for has not been counted: 0 is no answer then
    (`swallowed-refusal`, a warning).
    """
    return _Misuse(tree, registry).diagnose()


@dataclass(frozen=True)
class _Crop:
    """A crop, as an expression makes it: its region if that has a name, and the axes that it begins anew on."""

    region: ast.expr | None
    shifted: str


class _Misuse:
    def __init__(self, tree: ast.Module, registry: Registry) -> None:
        self.tree = tree
        self.registry = registry
        self.found = Diagnostics()
        self.settled = Settled(tree)

    def diagnose(self) -> list[Diagnostic]:
        for node in ast.walk(self.tree):
            for tested in _tests(node):
                self._truth(tested)
                self._method(tested)
            if isinstance(node, ast.Call):
                self._number(node)
                self._nth(node)
                self._blind(node)
            if isinstance(node, ast.Try) and catches_refusals(node.handlers) and self._may_refuse(node.body):
                self._handlers(node.handlers)
            for one, other in _compared(node):
                self._frame(one, other)
                self._frame(other, one)
        return self.found.sorted()

    # -- text ------------------------------------------------------------------------------------

    def _answer_of(self, node: ast.expr, tools: frozenset[str]) -> ast.Call | None:
        """The call of one of these tools that an expression gives the text of, as it is."""
        calls = [self._direct(_as_written(v), tools) for v in self.settled.values(_as_written(node))]
        return calls[0] if calls and None not in calls else None

    def _direct(self, node: ast.expr, tools: frozenset[str]) -> ast.Call | None:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            return None
        name = node.func.id
        known = name in tools and name in self.registry and self.registry[name].returns is str
        return node if known and not self.settled.stores[name] else None

    def _truth(self, node: ast.expr) -> None:
        call = self._answer_of(node, ANSWERS)
        if call is None:
            return
        name, text = call.func.id if isinstance(call.func, ast.Name) else "", hints.brief(node)
        hint = f'compare it with what is asked for: {text} == "…"'
        if name == "vqa":
            verify = " or use verify(…)," if "verify" in self.registry else ""
            hint = f'write {text}.strip().lower().startswith("yes"),{verify} or len(detect(…)) > 0'
        self.found.add(
            "text-as-truth",
            node,
            f"{name} gives a text, which is always true, whatever it says",
            hint,
            name=name,
        )

    def _number(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Name) or node.func.id not in ("int", "float") or not node.args:
            return
        call = self._answer_of(node.args[0], WORDY)
        if call is None or self._is_guarded(node):
            return
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        self.found.add(
            "words-as-number", node, f'{name} answers in words, such as "two" or "many", which are no {node.func.id}',
            "count with len(detect(…)), read with read_text(…), or catch ValueError", "warning", name=name,
        )  # fmt: skip

    def _is_guarded(self, node: ast.AST) -> bool:
        """Whether a `try` with a handler is around it."""
        return any(
            isinstance(outer, ast.Try)
            and outer.handlers
            and any(node is inner for part in outer.body for inner in ast.walk(part))
            for outer in ast.walk(self.tree)
        )

    # -- numbers ---------------------------------------------------------------------------------

    def _nth(self, node: ast.Call) -> None:
        """Report a count from 0, which `nth` refuses whatever the list holds."""
        given = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "n")]
        if (
            not isinstance(node.func, ast.Name)
            or node.func.id != "nth"
            or self.settled.stores["nth"]
            or not given
        ):
            return
        if number_of(given[0]) == 0:
            self.found.add(
                "argument-type", given[0], "nth counts from 1, or from -1 backwards",
                "write 1 for the first, -1 for the last", name="nth",
            )  # fmt: skip

    # -- functions -------------------------------------------------------------------------------

    def _method(self, node: ast.expr) -> None:
        """Report a method that is tested without being called."""
        if isinstance(node, ast.Attribute) and node.attr in _methods():
            self.found.add(
                "method-as-truth", node, f"{node.attr} is a method, which is always true",
                f"call it: {hints.brief(node)}(…)", name=node.attr,
            )  # fmt: skip

    def _blind(self, node: ast.Call) -> None:
        """Report a question about an image to a language model that sees none and is given nothing."""
        name = self.settled.called(node)
        given = {k.arg for k in node.keywords} or len(node.args) > 1
        if name != "ask_llm" or name not in self.registry or given or not node.args:
            return
        match node.args[0]:
            case ast.Constant(value=str() as question) if _SHOWN.search(question):
                self.found.add(
                    "blind-question", node, "ask_llm sees no image, and nothing of it is given as context",
                    "write context=…, such as read_text(image) or what vqa answers, or ask vqa itself", name=name,
                )  # fmt: skip

    # -- refusals --------------------------------------------------------------------------------

    def _may_refuse(self, body: list[ast.stmt]) -> bool:
        """Whether a tool is called there other than those that fail by design if there is no such object."""
        calls = [n.func for part in body for n in ast.walk(part) if isinstance(n, ast.Call)]
        called = {function.id for function in calls if isinstance(function, ast.Name)}
        tools = [
            self.registry[name] for name in called if name in self.registry and not self.settled.stores[name]
        ]
        return any(not tool.pure and "ToolError:" not in tool.doc for tool in tools)

    def _handlers(self, handlers: list[ast.ExceptHandler]) -> None:
        for handler in handlers:
            made_up = next((s for s in handler.body if _makes_up(s)), None)
            if made_up is not None and catches_refusals([handler]):
                self.found.add(
                    SWALLOWED, made_up, "if a tool cannot see what it is asked for, this answers all the same",
                    "ask another tool here, or leave the try out: a refusal is better than a made-up answer",
                    "warning",
                )  # fmt: skip

    # -- crops -----------------------------------------------------------------------------------

    def _frame(self, place: ast.expr, size: ast.expr) -> None:
        """Report a place in the frame of the whole image beside the size of a crop."""
        if _reads(size, _PLACES) or _subtracts(place):
            return
        for node in ast.walk(size):
            if not isinstance(node, ast.Attribute) or node.attr not in ("width", "height"):
                continue
            axis, edges = ("x", "left right") if node.attr == "width" else ("y", "top bottom")
            crop = self._crop_of(node.value)
            if (
                crop is None
                or axis not in crop.shifted
                or not _reads(place, frozenset((axis, *edges.split())))
            ):
                continue
            at = f"{hints.brief(node.value)}.box" if crop.region is None else hints.brief(crop.region)
            low, high = edges.split()
            self.found.add(
                "crop-frame", node,
                f"{hints.brief(node)} counts from the crop's own edge, and {hints.brief(place)} from that of the "
                "whole image",
                f"compare with {at}.center.{axis}, {at}.{low} or {at}.{high}",
            )  # fmt: skip

    def _crop_of(self, node: ast.expr) -> _Crop | None:
        crops = [self._made_crop(v) for v in self.settled.values(node)]
        found = [c for c in crops if c is not None]
        return found[0] if found and len(found) == len(crops) else None

    def _made_crop(self, node: ast.expr) -> _Crop | None:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
            return None
        name = node.func.id
        if not name.startswith("crop") or name not in self.registry or self.settled.stores[name]:
            return None
        second = node.args[1] if len(node.args) > 1 else None
        free = _FREE.get(name, "")
        if name == "crop_half":
            side = second.value if isinstance(second, ast.Constant) else None
            free = _FREE_HALVES.get(str(side), "xy")
        own = "".join(axis for axis in "xy" if axis not in free)
        named = name == "crop" and isinstance(second, ast.Name | ast.Attribute | ast.Subscript)
        return _Crop(second if named else None, own)


@cache
def _methods() -> frozenset[str]:
    """Names of methods of values and texts that name no other attribute."""
    named = {
        (name, callable(getattr(kind.cls, name, None))) for kind in KINDS.values() for name in kind.attributes
    }
    named |= {(name, True) for name in TYPE_ATTRIBUTES[str]}
    return frozenset(name for name, is_method in named if is_method and (name, False) not in named)


def _as_written(node: ast.expr) -> ast.expr:
    """A text before `.strip()`, `.lower()` and the like."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _PLAIN:
        node = node.func.value
    return node


def _makes_up(statement: ast.stmt) -> bool:
    """Whether a statement gives a truth, a number or an empty list that nothing was asked for."""
    if isinstance(statement, ast.Pass):
        return True
    if not isinstance(statement, ast.Return | ast.Assign | ast.AugAssign):
        return False
    match statement.value:
        case ast.Constant(value=bool() | int() | float()) | ast.List(elts=[]):
            return True
    return False


def _tests(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions whose truth a construct asks for."""
    match node:
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) | ast.Assert(test=test):
            yield from _operands(test)
        case ast.comprehension(ifs=tests):
            for test in tests:
                yield from _operands(test)
        case ast.UnaryOp(op=ast.Not(), operand=test):
            yield from _operands(test)
        case ast.Call(func=ast.Name(id="bool"), args=[test]):
            yield from _operands(test)
        case ast.Call(
            func=ast.Name(id="any" | "all"), args=[ast.GeneratorExp(elt=test) | ast.ListComp(elt=test)]
        ):
            yield from _operands(test)


def _operands(test: ast.expr) -> Iterator[ast.expr]:
    """A test, or the parts that `and` and `or` join; without a name that another part asks more about."""
    if not isinstance(test, ast.BoolOp):
        yield test
        return
    for part in test.values:
        others = [n for other in test.values if other is not part for n in ast.walk(other)]
        if not (
            isinstance(part, ast.Name) and any(isinstance(n, ast.Name) and n.id == part.id for n in others)
        ):
            yield from _operands(part)


def _compared(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Pairs of expressions that are set against each other: compared, subtracted or divided."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        yield from pairwise(sides)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div):
        yield node.left, node.right


def _reads(node: ast.expr, names: frozenset[str]) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr in names for n in ast.walk(node))


def _subtracts(node: ast.expr) -> bool:
    """Whether a place is taken relative to another."""
    return any(isinstance(n, ast.BinOp) and isinstance(n.op, ast.Sub) for n in ast.walk(node))
