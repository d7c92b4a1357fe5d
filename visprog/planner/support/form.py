"""The type of the answer fits the form of the question."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .features import Program, called
from .question import Question

YES_NO = (
    "is are was were does do did has have had can could will would isn't aren't doesn't don't hasn't haven't isnt "
    "arent am any anyone anybody"
).split()
_ASKING = (
    r"(?:can|could|would|will|do|did|may|might|are|is) (?:you|u|we|i|it|one|someone|anybody)"
    r"(?! (?:(?:see|spot|find|notice|detect) (?!the|me|all|which|where|how|what)|got|have|a|an|the)\b)"
    r"|any (?:idea|chance)"
)
_COUNTING = r"(?<!\S)(?:how many|how much|number of|count)(?!\S)"
_COLOR = r"(?<!\S)(?:what|which|wat|whats)(?: is| 's| are)?(?: the)? colou?rs?(?!\S)"


def form(asked: Question, done: Program) -> Iterator[str]:
    """Whether the form of the question asks for another type of value."""
    kind = type_of(done, done.value)
    text, first = asked.text, asked.words[0] if asked.words else ""
    asks = re.match(_ASKING, text) is not None
    if (
        re.search(_COLOR, text)
        and kind in ("truth", "number", "image")
        and not re.search(r"same|how many", text)
    ):
        yield "a colour is asked for"
    elif (
        re.search(r"(?<!\S)how (?:many|much)(?!\S)", text)
        and kind in ("truth", "text", "things", "thing", "image")
        and not (
            kind == "truth"
            and re.search(r"(?<!\S)(?:as|same|whether|equal|even|odd|statement|true)(?!\S)", text)
        )
    ):
        yield "a number is asked for"
    elif first in YES_NO and not asks and kind != "truth" and not (kind == "text" and " or " in f" {text} "):
        yield "yes or no is asked for"
    elif re.search(
        r"(?:which|what|wich) (?:of the )?(?:picture|image|photo|pic|shot|photograph)s?\b", text
    ) and called(done.value) in ("len", "any", "all", "sum"):
        yield "the number of an image is asked for"
    elif re.match(r"(?:where|who|why) ", text) and kind in (
        "truth",
        "number",
        *(("text",) if first == "who" and " or " not in text else ()),
    ):
        yield "a place is asked for"


_TRUTHS = frozenset(
    "any all has_color verify left_of right_of above below inside contains overlaps touches".split()
)


def type_of(done: Program, node: ast.expr, depth: int = 0) -> str:
    """What sort of value an expression has."""
    if depth > 8:
        return "things"
    if isinstance(node, ast.Compare | ast.BoolOp) or (
        isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    ):
        return "truth"
    if isinstance(node, ast.IfExp):
        return type_of(done, node.body, depth + 1)
    if isinstance(node, ast.Constant):
        return "text" if isinstance(node.value, str) else "number"
    if isinstance(node, ast.Call):
        name = called(node)
        if name in _TRUTHS:
            return "truth"
        if name in ("len", "sum", "max", "min", "abs", "distance", "index"):
            return "number"
        if name in ("dominant_color", "read_text", "vqa", "caption", "classify"):
            return "text"
        if name.startswith(("crop", "blur", "color_pop", "cover", "tag")):
            return "image"
        return (
            "things"
            if name.startswith(("detect", "find_")) or name in ("left_to_right", "by_size", "top_to_bottom")
            else "thing"
        )
    if isinstance(node, ast.BinOp):
        return type_of(done, node.left, depth + 1) if isinstance(node.op, ast.Add) else "number"
    if isinstance(node, ast.Attribute):
        return "text" if node.attr == "label" else "number"
    if isinstance(node, ast.List):
        return "numbers" if node.elts and type_of(done, node.elts[0], depth + 1) == "number" else "things"
    if isinstance(node, ast.ListComp):
        return {"number": "numbers", "text": "texts"}.get(type_of(done, node.elt, depth + 1), "things")
    if isinstance(node, ast.Name) and node.id in done.names:
        return type_of(done, done.names[node.id], depth + 1)
    return "things"
