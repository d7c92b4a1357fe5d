"""Colours, relations, superlatives and comparisons are about the objects that the question gives them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

from ..grammar import FIXED
from .features import OPERATORS, PSEUDO, PSEUDO_WORDS, ProgramFeatures, called
from .question import ORDINALS, AskedQuestion

_SKIPPED = (
    "the a an this that these those my our your any some all of visible shown big small large little tall old young "
    "other single number amount count quantity there total two three four five same whole entire and or , is are to "
    "from"
).split()
"""Words that may stand between a relation, colour or superlative and the noun that it is about."""


def bindings(asked: AskedQuestion, done: ProgramFeatures) -> Iterator[str]:
    """Colours, relations, superlatives and comparisons are about the objects that the question gives them."""
    phrases = set(done.objects)
    colors = {t for t, tool in done.strings if tool in ("has_color", "find_circles", "find_lines")}
    owners: dict[str, set[str]] = {}
    for node in ast.walk(done.tree):
        if not isinstance(node, ast.Call):
            continue
        name = called(node)
        texts = [a.value for a in node.args[1:] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if name == "has_color" and texts:
            owners.setdefault(texts[0], set()).update(done.nouns(node.args[0]))
        elif name in ("find_circles", "find_lines") and texts:
            owners.setdefault(texts[0], set()).add(PSEUDO[name])
        elif name == "find_polygons" and len(texts) > 1:
            colors.add(texts[1])
            owners.setdefault(texts[1], set()).add(texts[0])
    for color, nouns in owners.items():
        named = {_following(asked, end, phrases, colors) for _, end in asked.find(color)} - {None, "<panel>"}
        if named and not named & nouns:
            yield f"'{color}' is about '{next(iter(named))}'"
    for node in ast.walk(done.tree):
        if _same_twice(node):
            yield "something is compared with itself"
        if isinstance(node, ast.Call):
            yield from _offered(asked, node)
            yield from _anchored(asked, done, node, phrases, colors)
        elif isinstance(node, ast.Compare):
            yield from _compared(asked, done, node, phrases, colors)
        elif isinstance(node, ast.IfExp):
            yield from _chosen(asked, done, node)


def _same_twice(node: ast.AST) -> bool:
    """Whether both sides of a difference, a comparison or a choice are the same."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
        sides: list[ast.AST] = [node.left, node.right]
    elif isinstance(node, ast.Compare):
        sides = [node.left, node.comparators[0]]
    elif isinstance(node, ast.BoolOp):
        sides = list(node.values)
    elif called(node) == "distance" and isinstance(node, ast.Call):
        sides = list(node.args)
    else:
        return False
    texts = [ast.unparse(side) for side in sides]
    return len(set(texts)) < len(texts)


def _following(
    asked: AskedQuestion, at: int, phrases: set[str], colors: set[str], more: tuple[str, ...] = ()
) -> str | None:
    """The noun of the program that follows a place in the question, with nothing but modifiers between."""
    skipped = {*more, *(w for c in colors for w in c.lower().split())}
    for i in range(at, min(at + 6, len(asked.words))):
        for phrase in sorted(phrases, key=lambda p: (p not in PSEUDO_WORDS, len(p)), reverse=True):
            if phrase in PSEUDO_WORDS:
                if re.fullmatch(PSEUDO_WORDS[phrase], asked.words[i]):
                    return phrase
            elif any(start == i for start, _ in asked.find(phrase)):
                return phrase
        if asked.words[i] not in _SKIPPED and asked.words[i] not in skipped:
            return None
    return None


_RELATIONS = {
    "left_of": r"(?:further |farther )?left(?:-hand)?(?: side)?(?: hand side)? ?(?:of|from|than|to)?",
    "right_of": r"right(?:-hand)?(?: side)?(?: hand side)? ?(?:of|from|than|to)?",
    "above": r"above|over|(?:higher|further|farther)(?: up)? than|on top of|atop|up(?:on)? from|on",
    "below": r"below|under|underneath|beneath|(?:lower|further|farther)(?: down)? than|down from",
    "contains": r"contain\w*|surround\w*|enclos\w*|encircl\w*|around|holding|holds?|with|has|have|having",
    "inside": r"inside(?: of)?|in|within|into|contained (?:in|by)|enclosed (?:in|by)|surrounded by",
}
_PRONOUN = r"(?:it|them|him|her|that|each other|one another|which|what|where)\b"
_SUPERLATIVE = {
    "largest": r"largest|biggest|greatest|hugest|bulkiest", "smallest": r"smallest|tiniest|littlest",
    "tallest": r"tallest|highest", "widest": r"widest|broadest", "leftmost": r"left ?-?most|far left",
    "rightmost": r"right ?-?most|far right", "topmost": r"top ?-?most|highest|uppermost",
    "bottommost": r"bottom ?-?most|lowest|lowermost",
}  # fmt: skip


def _anchored(
    asked: AskedQuestion, done: ProgramFeatures, node: ast.Call, phrases: set[str], colors: set[str]
) -> Iterator[str]:
    name = called(node)
    if isinstance(node.func, ast.Attribute) and name in _RELATIONS and node.args:
        anchors, subjects = done.nouns(node.args[0]), done.nouns(node.func.value)
        if name in ("inside", "contains"):
            other = "contains" if name == "inside" else "inside"
            after = {_following(asked, end, phrases, colors, _SIDE_WORDS) for end in _ends(asked, other)}
            if after & subjects:
                return  # "the box that contains a ball": the ball is inside
        if not anchors or anchors == subjects or {"left_of", "right_of"} <= done.features:
            return
        ends = _ends(asked, name)
        named = {_following(asked, end, phrases, colors, _SIDE_WORDS) for end in ends}
        named -= {None}
        if named & anchors:
            return
        if named or not any(re.match(_PRONOUN, " ".join(asked.words[end:])) for end in ends):
            yield f"'{name.replace('_', ' ')}' is about another object"
    elif name in _SUPERLATIVE and node.args:
        yield from _modifies(asked, done.nouns(node.args[0]), _SUPERLATIVE[name], phrases, colors)
    elif name == "nth" and node.args:
        words = "|".join(map(re.escape, ORDINALS)) + "|last"
        yield from _modifies(asked, done.nouns(node.args[0]), words, phrases, colors)
    elif name in ("nearest", "farthest") and len(node.args) == 2:
        list_, anchor = done.nouns(node.args[0]), done.nouns(node.args[1])
        word = r"(?:near|clos)\w*" if name == "nearest" else r"(?:far|furth)\w*|most distant|remote\w*"
        for match in re.finditer(
            rf"(?<!\S)(?:{word})(?: away| off)?( to| from)?( the| a| an| this| that| my)?(?!\S)", asked.text
        ):
            noun = _following(asked, len(asked.span(0, match.end())), phrases, colors)
            if (noun and (match[1] or match[2]) and noun not in anchor) or (
                noun and not (match[1] or match[2]) and noun not in list_
            ):
                yield f"'{match[0]}' is about '{noun}'"


_SIDE_WORDS = ("left", "right", "above", "below", "of", "side", "either", "further", "up", "down")


def _ends(asked: AskedQuestion, relation: str) -> list[int]:
    """The words after which the anchor of a relation may stand."""
    found = re.finditer(rf"(?<!\S)(?:{_RELATIONS[relation]})(?!\S)", asked.text)
    return [len(asked.span(0, m.end())) for m in found]


def _modifies(
    asked: AskedQuestion, nouns: frozenset[str], words: str, phrases: set[str], colors: set[str]
) -> Iterator[str]:
    """Whether the noun after one of the words is among the nouns."""
    for match in re.finditer(rf"(?<!\S)(?:{words})(?!\S)", asked.text):
        noun = _following(asked, len(asked.span(0, match.end())), phrases, colors)
        if noun and noun not in nouns:
            yield f"'{match[0]}' is about '{noun}'"


_GREATER = r"more|bigger|larger|taller|wider|greater|higher|longer|broader|farther|further|outnumber\w*"
_LESS = r"fewer|less|smaller|shorter|narrower|lower|closer|nearer|thinner|lesser"


def _compared(
    asked: AskedQuestion, done: ProgramFeatures, node: ast.Compare, phrases: set[str], colors: set[str]
) -> Iterator[str]:
    """Which side is more: in "more A than B" it is A."""
    op = OPERATORS.get(type(node.ops[0]), "")
    if op[:1] not in ("<", ">"):
        return
    left, right = _measured(done, node.left), _measured(done, node.comparators[0])
    than = re.search(rf"(?<!\S)({_GREATER}|{_LESS})(?!\S).*?(?<!\S)(?:than|then)(?!\S)", asked.text)
    if left and left == right and than is not None:
        yield from _compared_colors(asked, done, node, than)
    if not left or not right or left == right or than is None:
        return
    noun = _following(asked, len(asked.span(0, than.end())), phrases, colors)
    if noun is None or (noun in left and noun in right):
        return
    greater = re.fullmatch(_GREATER, than[1]) is not None
    smaller_side = right if op[0] == ">" else left
    if (noun in smaller_side) != greater:
        yield f"'{than[1]} … than {noun}' is turned round"


def _compared_colors(
    asked: AskedQuestion, done: ProgramFeatures, node: ast.Compare, than: re.Match[str]
) -> Iterator[str]:
    """Which side is more where both sides are of one kind: in "more red cars than blue ones" it is the red ones."""
    sides = [_colors_of(done, side) for side in (node.left, node.comparators[0])]
    rest = asked.text[than.end() :]
    after = [any(re.search(rf"(?<!\S){re.escape(c)}(?!\S)", rest) for c in colors) for colors in sides]
    if after[0] == after[1]:
        return
    greater = re.fullmatch(_GREATER, than[1]) is not None
    smaller_is_left = OPERATORS.get(type(node.ops[0]), "")[:1] == "<"
    if (after[0] == smaller_is_left) != greater:
        yield f"'{than[1]} … than' is turned round"


def _colors_of(done: ProgramFeatures, node: ast.AST) -> set[str]:
    return {
        a.value.lower()
        for call in ast.walk(node)
        if called(call) == "has_color" and isinstance(call, ast.Call)
        for a in call.args[1:]
        if isinstance(a, ast.Constant) and isinstance(a.value, str)
    }


def _measured(done: ProgramFeatures, node: ast.AST) -> frozenset[str]:
    """The objects of a count or a measure."""
    if isinstance(node, ast.Call) and called(node) in ("len", "distance") and node.args:
        return done.nouns(node.args[0])
    if isinstance(node, ast.Attribute):
        return done.nouns(node.value)
    return frozenset()


def _chosen(asked: AskedQuestion, done: ProgramFeatures, node: ast.IfExp) -> Iterator[str]:
    """In "A if more A than B else B" the name goes with its count."""
    test, body, other = node.test, node.body, node.orelse
    if not (
        isinstance(test, ast.Compare) and isinstance(body, ast.Constant) and isinstance(other, ast.Constant)
    ):
        return
    left, right = _measured(done, test.left), _measured(done, test.comparators[0])
    if (
        not left
        or not right
        or left == right
        or not isinstance(body.value, str)
        or not isinstance(other.value, str)
    ):
        return
    if body.value not in FIXED and not _alternatives(asked, body.value, other.value):
        yield f"'{body.value}' and '{other.value}' are no alternatives"
    fits = _names(body.value, left) and _names(other.value, right)
    if body.value not in FIXED and not fits:
        yield f"'{body.value}' is chosen for another"
    op = OPERATORS.get(type(test.ops[0]), "")
    if ".center." in ast.unparse(test):
        axis = "x" if ".center.x" in ast.unparse(test) else "y"
        lesser, greater_ = _SIDES[axis]
        labels = (body.value, other.value)
        wanted = {"x": ("left", "right"), "y": ("above", "below")}[axis]
        edges = {"x": ("left", "right"), "y": ("top", "bottom")}[axis]
        if set(labels) <= set(FIXED):
            if labels not in (wanted, edges) or op[0] != "<":
                yield f"'{body.value}' is not on that side"
            return
        found = [bool(re.search(rf"(?<!\S)(?:{words})(?!\S)", asked.text)) for words in (lesser, greater_)]
        if found[0] != found[1] and found[0] != (op[0] == "<"):
            yield "the sides are turned round"
        return
    if "distance(" in ast.unparse(test):
        far = re.search(r"(?<!\S)(?:far\w*|furth\w*|distant)(?!\S)", asked.text) is not None
        if (op[0] == ">") != far:
            yield "the comparison is turned round"
        return
    greater = re.search(rf"(?<!\S)(?:{_GREATER}|most|majority|biggest|largest|tallest)(?!\S)", asked.text)
    less = re.search(rf"(?<!\S)(?:{_LESS}|fewest|least|minority|smallest|shortest)(?!\S)", asked.text)
    if body.value not in FIXED and (
        (op[0] == ">" and less and not greater) or (op[0] == "<" and greater and not less)
    ):
        yield "the comparison is turned round"


def _offered(asked: AskedQuestion, node: ast.Call) -> Iterator[str]:
    """The options of a choice stand side by side in the question."""
    if called(node) != "classify" or len(node.args) != 2:
        return
    options = [o.value for o in getattr(node.args[1], "elts", ()) if isinstance(o, ast.Constant)]
    for one, other in pairwise(map(str, options)):
        if not _alternatives(asked, one, other):
            yield f"'{one}' and '{other}' are no alternatives"


def _alternatives(asked: AskedQuestion, one: str, other: str) -> bool:
    """Whether the question offers the two side by side: "A or B", "A, B", "more A or more B"."""
    for start, end in asked.find(one):
        for begin, finish in asked.find(other):
            between = asked.words[end:begin] if end <= begin else asked.words[finish:start]
            plain = [w for w in between if not re.fullmatch(_JOINING, w)]
            if len(between) <= 9 and not plain and (end <= begin or finish <= start):
                return True
    return False


_SIDES = {
    "x": (r"left(?:most)?", r"right(?:most)?"),
    "y": (
        r"higher|above|top(?:most)?|upper|up|over|highest",
        r"lower|below|bottom(?:most)?|down|under|underneath|lowest",
    ),
}

_JOINING = (
    r"or|and|versus|vs|than|,|/|;|:|\?|the|a|an|to|of|more|fewer|less|most|is|are|there|there's|it|its|any|those|with|by|"
    r"nearer|closer|bigger|larger|smaller|taller|wider|higher|rather|compared|against|number|how|many|some|do|we|have|you|see|"
    r"left|right|from|furthest|nearest|in|this|that|my|our|your|for|as|on|side|further|farther|one|ones"
)


def _names(label: str, nouns: frozenset[str]) -> bool:
    """Whether a label says one of the nouns."""
    return any(
        any(re.fullmatch(PSEUDO_WORDS[n], w) for w in label.lower().split())
        if n in PSEUDO_WORDS
        else n in label
        for n in nouns
    )
