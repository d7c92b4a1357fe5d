"""The type of the answer fits the form of the question."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .features import ProgramFeatures, called
from .lexicon import lexicon
from .question import AskedQuestion

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
_AMOUNT = (
    r"(?<!\S)(?:how|many|much|number\w*|no|nr|count\w*|total\w*|sum\w*|tally|quantit\w*|amount\w*|enumerate|"
    r"headcount|head count|add|adds|together|altogether|times|often|#|difference|minus|more|fewer|less|exceed\w*|"
    r"many\??|figure|what 's the|words?|lines?|occurrences?|instances?|plus|cardinality|ratio|average|mean|per|"
    r"percent\w*|%|different|distinct|surplus|outnumber\w*|gap|turnout)(?!\S)"
)
_COMPARING = frozenset(
    "number compares> compares< same differs even odd set==1 set>1 all * / + - not any has_color verify inside "
    "overlaps left_of right_of above below contains touches and or".split()
)
_COLOR = r"(?<!\S)(?:what|which|wat|whats)(?: is| 's| are)?(?: the)? colou?rs?(?!\S)"


def _joined(asked: AskedQuestion, node: ast.BoolOp) -> bool:
    """Whether two conditions are joined by `and` where the question says "or", or the other way."""
    tags = lexicon().tags
    plain = tags.sub(" ", asked.text)
    says_or = re.search(r"(?<!\S)(?:or|either|\/|vs|one of|any of|at least one|whichever|which)(?!\S)", plain)
    says_and = re.search(
        r"(?<!\S)(?:and|both|all|with|but|plus|also|as well|together|&|without|neither|nor|too|each)(?!\S)",
        plain,
    )
    if isinstance(node.op, ast.Or):
        return says_or is None
    exists = all(isinstance(v, ast.Compare) and called(v.left) == "len" for v in node.values)
    return exists and says_or is not None and says_and is None


def _universal(asked: AskedQuestion, done: ProgramFeatures) -> bool:
    """Whether "all" or "every" of a yes/no question has nothing in the program that says so."""
    if done.features & {
        "all",
        "set==1",
        "set>1",
        "same",
        "none",
        "differs",
        "not",
        "compares>",
        "compares<",
        "number",
    }:
        return False
    plain = lexicon().tags.sub(" ", asked.text)
    plain = re.sub(
        r"(?<!\S)(?:at all|in all|after all|all right|of all|all together|all the same)(?!\S)", " ", plain
    )
    return re.search(r"(?<!\S)(?:all|every|each|always)(?!\S)", plain) is not None and "any" in done.features


def form(asked: AskedQuestion, done: ProgramFeatures) -> Iterator[str]:
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
        and kind in ("truth", "text", "objects", "object", "image")
        and not (
            kind == "truth"
            and re.search(r"(?<!\S)(?:as|same|whether|equal|even|odd|statement|true)(?!\S)", text)
        )
    ) or (kind == "truth" and re.search(_COUNTING, text) and not (done.features & _COMPARING)):
        yield "a number is asked for"
    elif kind == "number" and called(done.value) in ("len", "sum") and not re.search(_AMOUNT, text):
        yield "nothing asks for a number"
    elif kind == "truth" and isinstance(done.value, ast.BoolOp) and _joined(asked, done.value):
        yield "'and' and 'or' are taken for each other"
    elif kind == "truth" and _universal(asked, done):
        yield "'all' is taken for some"
    elif first in YES_NO and not asks and kind != "truth" and not (kind == "text" and " or " in f" {text} "):
        yield "yes or no is asked for"
    elif re.search(
        r"(?:which|what|wich) (?:of the )?(?:picture|image|photo|pic|shot|photograph)s?\b", text
    ) and called(done.value) in ("len", "any", "all", "sum"):
        yield "the number of an image is asked for"
    elif (
        re.match(r"(?:which|what|wich|whose) (?!of the (?:statements|claims))", text)
        and kind == "truth"
        and not re.search(r"(?<!\S)(?:whether|if|true|right|correct)(?!\S)", text)
    ):
        yield "an object is asked for"
    elif (
        kind == "text"
        and isinstance(done.value, ast.IfExp)
        and " than " in text
        and not re.search(r"(?<!\S)(?:which|who|what|whose|where)(?!\S)", lexicon().tags.sub(" ", text))
    ):
        yield "yes or no is asked for"
    elif re.match(r"(?:where|who|why) ", text) and kind in (
        "truth",
        "number",
        *(("text",) if first == "who" and " or " not in text else ()),
    ):
        yield "a place is asked for"


_TRUTHS = frozenset(
    "any all has_color verify left_of right_of above below inside contains overlaps touches".split()
)


def type_of(done: ProgramFeatures, node: ast.expr, depth: int = 0) -> str:
    """What sort of value an expression has."""
    if depth > 8:
        return "objects"
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
            "objects"
            if name.startswith(("detect", "find_")) or name in ("left_to_right", "by_size", "top_to_bottom")
            else "object"
        )
    if isinstance(node, ast.BinOp):
        return type_of(done, node.left, depth + 1) if isinstance(node.op, ast.Add) else "number"
    if isinstance(node, ast.Attribute):
        return "text" if node.attr == "label" else "number"
    if isinstance(node, ast.List):
        return "numbers" if node.elts and type_of(done, node.elts[0], depth + 1) == "number" else "objects"
    if isinstance(node, ast.ListComp):
        return {"number": "numbers", "text": "texts"}.get(type_of(done, node.elt, depth + 1), "objects")
    if isinstance(node, ast.Name) and node.id in done.names:
        return type_of(done, done.names[node.id], depth + 1)
    return "objects"
