"""The second judge of the embedded planner: is every word of the question accounted for by the program?

A language model's own probability does not tell a misreading from a reading: it can be sure of a program that leaves
out a condition. So a program is only used if

- each content word of the question is copied into an argument, or is known (from `support.yaml`) to ask for something
  that the program does;
- each tool, number, negation and comparison of the program is asked for by some word;
- colours, relations, superlatives and comparisons apply to the objects that the question names with them;
- the type of the answer fits the form of the question.

What is not accounted for is named, so that the refusal can say which words were not understood.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from .grammar import FIXED
from .vocabulary import normalize

NUMBERS = {
    word: n
    for n, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
}
ORDINALS = {
    word: n
    for n, word in enumerate("first second third fourth fifth sixth seventh eighth ninth tenth".split(), 1)
} | {f"{n}{end}": n for n in range(1, 21) for end in ("st", "nd", "rd", "th")}

_EDGES = re.compile(r"\w+\.(left|right|top|bottom) [<>]=? \w+\.\1(?: [+-] \d+)?$")
"""Whether an object lies at an edge of what it lies in: `y.left < x.left + 2`."""

_OPERATORS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.Gt: ">", ast.LtE: "<=", ast.GtE: ">="}
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


@dataclass(frozen=True)
class _Entry:
    """Words that ask for one of several features of a program."""

    words: re.Pattern[str]
    means: frozenset[str]


@dataclass(frozen=True)
class _Lexicon:
    """`support.yaml`, compiled."""

    entries: tuple[_Entry, ...]
    ignored: re.Pattern[str]
    unanswerable: re.Pattern[str]
    emotions: frozenset[str]
    persons: re.Pattern[str]
    strict: re.Pattern[str]
    needs: Mapping[str, re.Pattern[str]]
    function: re.Pattern[str]
    states: re.Pattern[str]
    open: re.Pattern[str]
    at_least_one: frozenset[str]

    def asks(self, word: str) -> bool:
        """Whether a word alone asks for something."""
        return any(entry.words.fullmatch(word) for entry in self.entries)

    @property
    def required(self) -> frozenset[str]:
        """The features that some words must ask for."""
        return frozenset().union(*(entry.means for entry in self.entries)) - self.at_least_one


@cache
def _lexicon() -> _Lexicon:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    table: dict[str, Any] = yaml.load((files(__package__) / "support.yaml").read_text("utf-8"), loader)
    entries = tuple(_Entry(_words(e["words"]), frozenset(e["means"].split())) for e in table["entries"])
    return _Lexicon(
        entries,
        _words(" | ".join(table["ignored"].values())),
        _words(" | ".join(table["unanswerable"].values())),
        frozenset(table["emotions"].split()),
        _words(table["persons"]),
        _words(table["strict"]),
        {feature: _words(words) for feature, words in table["needs"].items()},
        _words(table["function"]),
        _words(table["states"]),
        _words(table["open"]),
        frozenset(table["free"].split()),
    )


def _words(alternatives: str) -> re.Pattern[str]:
    """A pattern of whole words; alternatives are parted by " | "."""
    parts = sorted(
        {a.strip(" |\n") for a in re.split(r"\s\|\s", alternatives)} - {""}, key=lambda a: (-len(a), a)
    )
    return re.compile(rf"(?<!\S)(?:{'|'.join(parts)})(?!\S)")


@dataclass
class _Question:
    """The words of a question, and which of them are accounted for."""

    words: list[str]
    text: str = field(init=False)
    starts: list[int] = field(init=False)
    known: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.text = " ".join(self.words)
        self.starts, at = [], 0
        for word in self.words:
            self.starts.append(at)
            at += len(word) + 1

    def span(self, start: int, end: int) -> set[int]:
        """The indices of the words between two positions of the text."""
        return {i for i, s in enumerate(self.starts) if start <= s < end}

    def find(self, phrase: str) -> list[tuple[int, int]]:
        """Where a phrase stands, as ranges of words."""
        part = [w for w, _, _ in normalize(phrase)]
        n = len(part)
        return [(i, i + n) for i in range(len(self.words) - n + 1) if n and self.words[i : i + n] == part]


_FINDING = frozenset(
    "detect find_circles find_polygons find_faces find_lines find_text has_color verify best list loop + exists number "
    "len if and or .x .y person .append segment".split()
)
"""Features that depend on what is looked for rather than on what is asked about it."""


def signature(program: str) -> str:
    """What kind of program it is, whatever it looks for: its features as one text."""
    return " ".join(sorted(_Program(ast.parse(program)).features - _FINDING))


class Words:
    """What a corpus knows of words (`visprog.tools.training.planner.known_words`).

    Attributes:
        anywhere: words that say nothing.
        seen: other words, each with the signatures of the programs that they were used with.
        vocabulary: all words that are spelled right.
        nouns: words that name objects, in singular and plural.
        states: words that say how an object looks, or what it does.
        worn: what is worn or held, and parts of things.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.anywhere = frozenset(table["anywhere"].split())
        names = table["signatures"]
        self.seen = {word: frozenset(names[i] for i in kinds) for word, kinds in table["words"].items()}
        self.vocabulary = frozenset(table["vocabulary"].split())
        self.nouns = frozenset(table["nouns"].split())
        self.states = frozenset(table["states"].split())
        self.worn = frozenset(table["worn"])

    def accounts(self, word: str, kind: str, asks: bool) -> bool:
        """Whether a word says nothing in a question that a program of this kind answers.

        Args:
            asks: whether it is known to ask for something; then only its use with such programs counts.
        """
        return kind in self.seen.get(word, ()) or (word in self.anywhere and not asks)


def unsupported(question: str, program: str, known: Words) -> list[str]:
    """What speaks against a program as the reading of a question, as phrases for a message; empty if nothing does."""
    asked = _Question([w for w, _, _ in normalize(question)])
    tree = ast.parse(program)
    done = _Program(tree)
    return [
        *_unanswerable(asked, done),
        *_unaccounted(asked, done, known, " ".join(sorted(done.features - _FINDING))),
        *_unasked(asked, done),
        *_misplaced(asked, done, known),
        *_predicate(asked, done, known),
        *_unread(question, done),
        *_numbers(asked, done),
        *_bindings(asked, done),
        *_type(asked, done),
    ]


class _Program:
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
        inside: set[int] = set()
        for node in ast.walk(tree):
            self.features.update(self._features(node))
            if isinstance(node, ast.Call):
                name = _called(node)
                for argument in node.args:
                    for part in ast.walk(argument) if isinstance(argument, ast.List) else (argument,):
                        if isinstance(part, ast.Constant) and isinstance(part.value, str):
                            self.strings.append((part.value, name))
                            inside.add(id(part))
        self.objects = frozenset(
            noun for node in ast.walk(tree) if _called(node) in ("detect", "find_polygons", *_PSEUDO)
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
            name = _called(node)
            if not (name == "largest" and ".sides" in ast.unparse(self.tree)):
                yield name
            first = next((a.value for a in node.args[1:] if isinstance(a, ast.Constant)), None)
            if name == "crop_half":
                yield f"half:{first}"
            elif name == "cover":
                styles = [a.value for a in node.args[2:3] if isinstance(a, ast.Constant)]
                yield f"cover:{styles[0] if styles else 'box'}"
            elif name == "nth" and len(node.args) == 2 and isinstance(node.args[0], ast.Call):
                yield from self._nth(node)
            elif name == "index" and node.args:
                yield f"index:{_called(node.args[0])}"
            elif name == "detect" and first in ("person", "shape"):
                yield str(first)
            elif name == "find_polygons" and first in ("shape", "shapes", "squares"):
                yield "all_shapes" if str(first).startswith("shape") else "squares"
        elif isinstance(node, ast.Attribute):
            yield f".{node.attr}"
        elif isinstance(node, ast.Compare):
            yield from self._compare(node)
        elif isinstance(node, ast.Not):
            yield "not"
        elif isinstance(node, ast.And | ast.Or):
            yield type(node).__name__.lower()
        elif isinstance(node, ast.IfExp):
            yield "if"
        elif isinstance(node, ast.BinOp):
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
        order = _called(node.args[0])
        n = ast.literal_eval(node.args[1]) if not isinstance(node.args[1], ast.Name) else 1
        start, end = ("top", "bottom") if order == "top_to_bottom" else ("left", "right")
        yield f"from:{end if n < 0 else start}"
        yield f"ordinal:{abs(n)}" if n != -1 else "ordinal:last"

    def _compare(self, node: ast.Compare) -> Iterator[str]:
        op = _OPERATORS.get(type(node.ops[0]), "")
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

    def nouns(self, node: ast.AST, depth: int = 0) -> frozenset[str]:
        """The phrases that name the objects of an expression."""
        if depth > 12:
            return frozenset()
        if isinstance(node, ast.Name):
            value = self.loops.get(id(node), self.names.get(node.id))
            return self.nouns(value, depth + 1) if value is not None else frozenset()
        if isinstance(node, ast.Call):
            name = _called(node)
            if name in _PSEUDO:
                return frozenset((_PSEUDO[name],))
            if name in ("detect", "find_polygons"):
                given = [a.value for a in node.args[1:2] if isinstance(a, ast.Constant)]
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


_PSEUDO = {
    "find_faces": "<face>", "find_circles": "<circle>", "find_lines": "<line>", "find_panels": "<panel>",
    "find_text": "<text>", "find_qr_codes": "<code>",
}  # fmt: skip
_PSEUDO_WORDS = {
    "<face>": r"faces?|heads?", "<circle>": r"circles?|discs?|disks?|dots?|rings?|round", "<line>": r"lines?",
    "<panel>": r"box(?:es)?|towers?|panels?", "<text>": r"texts?|words?|lines?", "<code>": r"codes?|qr",
    "person": r"person|persons|people|any(?:body|one)|some(?:body|one)|every(?:body|one)|humans?",
}  # fmt: skip


def _called(node: ast.AST) -> str:
    """The name of the function or method that a call calls."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _unanswerable(asked: _Question, done: _Program) -> Iterator[str]:
    """Words that ask for what cannot be seen, unless they are to be read or drawn."""
    quoted = {
        i
        for text, tool in done.strings
        if tool in ("find_text", "tag") or (tool == "cover" and text in _lexicon().emotions)
        for start, end in asked.find(text)
        for i in range(start, end)
    }
    hiding = bool({"blur_background", "color_pop", "cover:box", "cover:emoji"} & done.features)
    for match in _lexicon().unanswerable.finditer(asked.text):
        if hiding and match[0].startswith("behind"):
            continue  # "blur everything behind the dog", "hide it behind a box"
        if not asked.span(*match.span()) <= quoted:
            yield f"'{match[0]}' asks for what cannot be seen"


def _unaccounted(asked: _Question, done: _Program, known: Words, kind: str) -> Iterator[str]:
    lexicon = _lexicon()
    if ("<question>", "vqa") in done.strings or any(tool == "vqa" for _, tool in done.strings):
        copied = [text for text, tool in done.strings if tool != "vqa"]
        if any(tool == "vqa" and _whole(text, asked) for text, tool in done.strings):
            asked.known.update(range(len(asked.words)))
    else:
        copied = [text for text, _ in done.strings]
    for text in copied:
        for start, end in asked.find(text):
            asked.known.update(range(start, end))
    for entry in lexicon.entries:
        if entry.means & done.features:
            for match in entry.words.finditer(asked.text):
                asked.known |= asked.span(*match.span())
    for match in lexicon.ignored.finditer(asked.text):
        asked.known |= asked.span(*match.span())
    if "person" in done.features:
        for match in lexicon.persons.finditer(asked.text):
            asked.known |= asked.span(*match.span())
    restricting = _kind(done, done.value) != "truth"
    for i, word in enumerate(asked.words):
        if restricting and word in ("only", "just"):
            continue  # no more is said of what is looked for than the rest says
        if i in asked.known or not re.search(r"[^\W_]", word) or _is_number(word):
            continue
        if lexicon.strict.fullmatch(word) or not known.accounts(word, kind, lexicon.asks(word)):
            yield f"'{word}'"


def _whole(text: str, asked: _Question) -> bool:
    return [w for w, _, _ in normalize(text)] == asked.words


def _unasked(asked: _Question, done: _Program) -> Iterator[str]:
    lexicon = _lexicon()
    copied = {
        i
        for text, tool in done.strings
        if text not in FIXED and tool not in ("", "cover", "crop_half") and not _whole(text, asked)
        for start, end in asked.find(text)
        for i in range(start, end)
    }
    called = {
        feature
        for entry in lexicon.entries
        for match in entry.words.finditer(asked.text)
        if not asked.span(*match.span()) <= copied
        for feature in entry.means
    }
    yield from (f"nothing asks for {name}" for name in sorted((done.features & lexicon.required) - called))
    if "person" in done.features and not lexicon.persons.search(asked.text):
        yield "nobody is asked for"
    for text, tool in done.strings:
        if (
            text not in FIXED
            and not _whole(text, asked)
            and not asked.find(text)
            and tool not in ("cover", "split")
        ):
            yield f"nothing asks for '{text}'"


def _is_number(word: str) -> bool:
    return word in NUMBERS or word.isdigit()


_BEFORE = (
    (r"(?:at least|atleast|no (?:fewer|less) than|not (?:fewer|less) than|minimum(?: of)?|min|>=)$", (">=",)),
    (r"(?:at most|no more than|not more than|maximum(?: of)?|max|up to|<=)$", ("<=",)),
    (r"(?:more than|over|greater than|above|exceeds?|exceeding|>)$", (">",)),
    (r"(?:fewer than|less than|below|under|<)$", ("<",)),
    (r"(?:exactly|precisely|just|only|equals?|=)$", ("==",)),
)
_AFTER = (
    (r"^(?:or|and) (?:more|above|over)", (">=",)),
    (r"^\+", (">=",)),
    (r"^(?:or|and) (?:fewer|less|below)", ("<=",)),
)
_PICTURES = r"(?:pictures|images|photos|photographs|pics|shots)\b"
_DEFINITE = r"(?:the|these|those|both|my|our|all|first|last|between|of|any|same)$"


def _numbers(asked: _Question, done: _Program) -> Iterator[str]:
    """Each number stands in both, with the comparison that the question makes."""
    left = [_closed(op, n) for op, n in done.compared]
    pictures: set[int] = set()  # numbers of images, not of objects
    times = [
        n for n in range(2, 21) if f"* {n}" in ast.unparse(done.tree) or f"{n} *" in ast.unparse(done.tree)
    ]
    copied = {i for text, _ in done.strings for start, end in asked.find(text) for i in range(start, end)}
    for i, word in enumerate(asked.words):
        if not _is_number(word) or i in copied:
            continue
        n = NUMBERS.get(word, int(word) if word.isdigit() else -1)
        before, after = " ".join(asked.words[max(0, i - 4) : i]), " ".join(asked.words[i + 1 : i + 3])
        operators: tuple[str, ...] = next(
            (ops for p, ops in _BEFORE if re.search(rf"(?:^| ){p}", before)), ()
        )
        if re.search(r"(?:^| )(?:between|from|range(?: of)?)$", before) or re.match(r"(?:to|-|–) \S+", after):
            operators = (">=",)
        elif re.search(
            rf"(?:between|from) \S+ (?:and|to|-)$|(?:^| )(?:\d+|{'|'.join(NUMBERS)}) (?:to|-|–)$", before
        ):
            operators = ("<=",)
        operators = operators or next((ops for p, ops in _AFTER if re.search(p, after)), ())
        if "images" in done.features and re.match(_PICTURES, after):
            pictures.add(i)
            continue
        wanted = {_closed(op, n) for op in operators or ("==", ">=")}
        found = [c for c in left if c in wanted or c[1] == n]
        if found:
            if not wanted & set(found):
                yield f"'{' '.join((before.split() or [''])[-2:])} {word}' is compared by {found[0][0]}"
            left = [c for c in left if c not in found]
            continue
        if {(">=", 1), (">", 0)} & {(op, n) for op in operators} or (n == 1 and "exists" in done.features):
            continue
        if n == 1 and ({"set==1", "exists"} & done.features or not operators):
            continue  # "one" as a pronoun
        if n == 2 and {"even", "odd"} & done.features:
            continue
        if n == 0 and {"none", "not"} & done.features:
            continue
        if (
            n in times
            or re.search(rf"(?:^| ){_DEFINITE}", before)
            or re.match(r"(?:pictures|images|photos|photographs|pics|shots|of)\b", after)
        ):
            continue
        if (
            f"ordinal:{n}" in done.features
            or f"images[{n - 1}]" in done.features
            or f"counts[{n - 1}]" in done.features
        ):
            continue
        yield f"the number '{word}'"
    said = {
        NUMBERS.get(w, int(w) if w.isdigit() else -1) for i, w in enumerate(asked.words) if i not in pictures
    }
    for op, n in left:
        if n not in said and (op, n) not in (("==", 1), (">=", 2)):
            yield f"nothing asks for the number {n}"
        elif (
            (op, n) == ("==", 1)
            and n not in said
            and not re.search(r"\b(?:one|single|only|just|exactly|alone|lone|unique|sole|once)\b", asked.text)
        ):
            yield "nothing asks for exactly one"
        elif (
            (op, n) == (">=", 2)
            and "find_panels" not in done.features
            and n not in said
            and not re.search(
                r"\b(?:several|multiple|many|more|plural|two|both|number of|couple|pair|repeated\w*|twice|group|few)\b",
                asked.text,
            )
        ):
            yield "nothing asks for several"
    for feature in done.features:
        if feature.startswith("ordinal:"):
            wanted = feature.removeprefix("ordinal:")
            names = {w for w, k in ORDINALS.items() if str(k) == wanted} | {
                wanted,
                *(w for w, k in NUMBERS.items() if str(k) == wanted),
            }
            if wanted == "last":
                names = {"last", "final", "end", "first", "1st", "outermost"}
            if not names & set(asked.words):
                yield f"nothing asks for number {wanted} in order"


def _closed(op: str, n: int) -> tuple[str, int]:
    """A comparison of whole numbers without > and <."""
    return (">=", n + 1) if op == ">" else ("<=", n - 1) if op == "<" else (op, n)


_SKIPPED = (
    "the a an this that these those my our your any some all of visible shown big small large little tall old young "
    "other single two three four five same whole entire and or , is are to from"
).split()
"""Words that may stand between a relation, colour or superlative and the noun that it is about."""


def _bindings(asked: _Question, done: _Program) -> Iterator[str]:
    """Colours, relations, superlatives and comparisons are about the objects that the question gives them."""
    phrases = set(done.objects)
    colors = {t for t, tool in done.strings if tool in ("has_color", "find_circles", "find_lines")}
    owners: dict[str, set[str]] = {}
    for node in ast.walk(done.tree):
        if not isinstance(node, ast.Call):
            continue
        name = _called(node)
        texts = [a.value for a in node.args[1:] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if name == "has_color" and texts:
            owners.setdefault(texts[0], set()).update(done.nouns(node.args[0]))
        elif name in ("find_circles", "find_lines") and texts:
            owners.setdefault(texts[0], set()).add(_PSEUDO[name])
        elif name == "find_polygons" and len(texts) > 1:
            colors.add(texts[1])
            owners.setdefault(texts[1], set()).add(texts[0])
    for color, nouns in owners.items():
        named = {_following(asked, end, phrases, colors) for _, end in asked.find(color)} - {None, "<panel>"}
        if named and not named & nouns:
            yield f"'{color}' is said of '{next(iter(named))}'"
    for node in ast.walk(done.tree):
        if isinstance(node, ast.Call):
            yield from _anchored(asked, done, node, phrases, colors)
        elif isinstance(node, ast.Compare):
            yield from _compared(asked, done, node, phrases, colors)
        elif isinstance(node, ast.IfExp):
            yield from _chosen(asked, done, node)


def _following(
    asked: _Question, at: int, phrases: set[str], colors: set[str], more: tuple[str, ...] = ()
) -> str | None:
    """The noun of the program that follows a place in the question, with nothing but modifiers between."""
    skipped = {*more, *(w for c in colors for w in c.lower().split())}
    for i in range(at, min(at + 6, len(asked.words))):
        for phrase in sorted(phrases, key=lambda p: (p not in _PSEUDO_WORDS, len(p)), reverse=True):
            if phrase in _PSEUDO_WORDS:
                if re.fullmatch(_PSEUDO_WORDS[phrase], asked.words[i]):
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
    asked: _Question, done: _Program, node: ast.Call, phrases: set[str], colors: set[str]
) -> Iterator[str]:
    name = _called(node)
    if isinstance(node.func, ast.Attribute) and name in _RELATIONS and node.args:
        anchors, subjects = done.nouns(node.args[0]), done.nouns(node.func.value)
        if not anchors or anchors == subjects or {"left_of", "right_of"} <= done.features:
            return
        ends = [m.end() for m in re.finditer(rf"(?<!\S)(?:{_RELATIONS[name]})(?!\S)", asked.text)]
        sides = ("left", "right", "above", "below", "of", "side")
        named = {_following(asked, len(asked.span(0, end)), phrases, colors, sides) for end in ends}
        named -= {None}
        if named & anchors:
            return
        if named or not any(re.match(rf" ?{_PRONOUN}", asked.text[end:]) for end in ends):
            yield f"'{name.replace('_', ' ')}' is said of another object"
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
                yield f"'{match[0]}' is said of '{noun}'"


def _modifies(
    asked: _Question, nouns: frozenset[str], words: str, phrases: set[str], colors: set[str]
) -> Iterator[str]:
    """Whether the noun after one of the words is among the nouns."""
    for match in re.finditer(rf"(?<!\S)(?:{words})(?!\S)", asked.text):
        noun = _following(asked, len(asked.span(0, match.end())), phrases, colors)
        if noun and noun not in nouns:
            yield f"'{match[0]}' is said of '{noun}'"


_GREATER = r"more|bigger|larger|taller|wider|greater|higher|longer|broader|farther|further|outnumber\w*"
_LESS = r"fewer|less|smaller|shorter|narrower|lower|closer|nearer|thinner|lesser"


def _compared(
    asked: _Question, done: _Program, node: ast.Compare, phrases: set[str], colors: set[str]
) -> Iterator[str]:
    """Which side is more: in "more A than B" it is A."""
    op = _OPERATORS.get(type(node.ops[0]), "")
    if op[:1] not in ("<", ">"):
        return
    left, right = _measured(done, node.left), _measured(done, node.comparators[0])
    than = re.search(rf"(?<!\S)({_GREATER}|{_LESS})(?!\S).*?(?<!\S)(?:than|then)(?!\S)", asked.text)
    if not left or not right or left == right or than is None:
        return
    noun = _following(asked, len(asked.span(0, than.end())), phrases, colors)
    if noun is None or (noun in left and noun in right):
        return
    greater = re.fullmatch(_GREATER, than[1]) is not None
    smaller_side = right if op[0] == ">" else left
    if (noun in smaller_side) != greater:
        yield f"'{than[1]} … than {noun}' is turned round"


def _measured(done: _Program, node: ast.AST) -> frozenset[str]:
    """The objects of a count or a measure."""
    if isinstance(node, ast.Call) and _called(node) in ("len", "distance") and node.args:
        return done.nouns(node.args[0])
    if isinstance(node, ast.Attribute):
        return done.nouns(node.value)
    return frozenset()


def _chosen(asked: _Question, done: _Program, node: ast.IfExp) -> Iterator[str]:
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
    op = _OPERATORS.get(type(test.ops[0]), "")
    op = _OPERATORS.get(type(test.ops[0]), "")
    if ".center." in ast.unparse(test):
        axis = "x" if ".center.x" in ast.unparse(test) else "y"
        lesser, greater_ = _SIDES[axis]
        said = [bool(re.search(rf"(?<!\S)(?:{words})(?!\S)", asked.text)) for words in (lesser, greater_)]
        if said[0] != said[1] and said[0] != (op[0] == "<"):
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


def _alternatives(asked: _Question, one: str, other: str) -> bool:
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
        any(re.fullmatch(_PSEUDO_WORDS[n], w) for w in label.lower().split())
        if n in _PSEUDO_WORDS
        else n in label
        for n in nouns
    )


def _spoken(asked: _Question, text: str) -> bool:
    """Whether the question gives a text as one that is written somewhere: after a word such as "says", or in quotes."""
    return any(
        set(asked.words[max(0, start - 3) : start]) & _SAYING or asked.words[start - 1 : start] in (['"'], ["'"])
        or asked.words[end : end + 1] == ["written"] or set(asked.words[end : end + 3]) & _SHOWN
        for start, end in asked.find(text)
    )  # fmt: skip


_SAYING = frozenset(
    "word words text says say saying said reads read reading mention mentions mentioning written write called phrase term "
    "number letters letter string for contain contains containing labelled labeled marked spell spells name caption is "
    "find search show shows have has having with any blur out hide redact cover where occurrences of times see".split()
)
_SHOWN = frozenset(
    "written printed appear appears occur occurs show shown mentioned stand stands spelled anywhere".split()
)

_DOING = re.compile(r"(?:wear|hold|carry|carri|rid|push|pull|eat|drink|read)(?:e|es|s|ing)? \w")
_COMPOUNDS = {
    (first, head) for first in ("number", "picture") for head in ("plate", "plates", "frame", "frames")
}
"""Compound nouns whose first word is none of an object elsewhere."""


def _misplaced(asked: _Question, done: _Program, known: Words) -> Iterator[str]:
    """Words given to a tool that are not what it looks for: no noun for `detect`, no state for `verify`."""
    lexicon = _lexicon()
    looked_for = [text.lower() for text, tool in done.strings if tool == "detect"]
    for phrase in looked_for:
        *before, head = [w for w, _, _ in normalize(phrase)] or [""]
        odd = [w for w in before if lexicon.function.fullmatch(w) and (w, head) not in _COMPOUNDS]
        if head not in known.nouns and (
            lexicon.function.fullmatch(head) or head in known.anywhere or head in known.states
            or head in known.seen or _is_number(head) or re.fullmatch(r"\w{3,}(?:ing|ed)", head)
        ):  # fmt: skip
            odd.append(head)
        if odd:
            yield f"'{odd[0]}' in '{phrase}' names no object"
    for text, tool in done.strings:
        text = text.lower()
        if tool == "verify" and text in ("", *looked_for):
            yield f"'{text}' is looked for in itself"
        elif tool == "verify":
            if any(len(noun) > 2 and re.search(rf"\b{re.escape(noun)}\b", text) for noun in looked_for):
                yield f"'{text}' is said of itself"
            if re.match(
                r"(?:in|on|under|inside|above|below|at|behind|near|next to|beside|over|by|from|to)\b", text
            ):
                if not lexicon.states.fullmatch(text):
                    yield f"'{text}' says where, not how"
            if text not in known.worn and all(w in known.nouns for w in text.split()):
                yield f"'{text}' is another object"
            if _DOING.match(text):
                continue  # whatever is worn or held can be seen
            words = [w for w, _, _ in normalize(text) if not lexicon.function.fullmatch(w)]
            unknown = [
                w
                for w in words
                if w not in known.states and w not in known.nouns and not _inflected(w, known)
            ]
            if unknown:
                yield f"'{unknown[0]}' may not be visible"
    for text, tool in done.strings:
        if tool == "find_text" and text.lower() == text and not _spoken(asked, text):
            yield f"'{text}' is no text that is to be found"
    if (
        "find_lines" in done.features
        and {"touches", "overlaps"} & done.features
        and "intersections" not in done.features
    ):
        yield "lines cross rather than touch"
    if {"inside", "overlaps"} & done.features:
        scene = next(
            (
                m
                for m in lexicon.ignored.finditer(asked.text)
                if re.match(r"(?:in|on|at|along) (?:the|this) \w", m[0])
            ),
            None,
        )
        if scene and scene[0].split(" ", 2)[2] in looked_for:
            yield f"'{scene[0]}' is where the picture was taken"
    for node in ast.walk(done.tree):
        if isinstance(node, ast.Call) and _called(node) == "classify" and len(node.args) == 2:
            options = [ast.unparse(o) for o in getattr(node.args[1], "elts", ())]
            if len(set(options)) < len(options):
                yield "the options are the same"
    for feature in done.features & set(lexicon.needs):
        if not lexicon.needs[feature].search(asked.text):
            yield f"nothing asks for {feature}"
    if any(tool == "vqa" and _whole(text, asked) for text, tool in done.strings):
        if asked.words[0] in _YES_NO or not lexicon.open.search(asked.text):
            yield "the question is not one about how something looks"
    if "cover:box" in done.features:
        for text, tool in done.strings:
            if tool == "has_color" and re.search(
                rf"\b{re.escape(text.lower())} (?:box|bar|rect|patch|square)", asked.text
            ):
                yield f"'{text}' is the colour of the cover"


def _predicate(asked: _Question, done: _Program, known: Words) -> Iterator[str]:
    """In "are the curtains drawn" the last word says something, however often it says nothing elsewhere."""
    words = [w for w in asked.words if re.search(r"\w", w)]
    if (
        len(words) > 3
        and words[0] in ("is", "are", "was", "were")
        and words[1] in ("the", "this", "my", "all")
    ):
        last = (
            len(asked.words) - 1 - next(i for i, w in enumerate(reversed(asked.words)) if re.search(r"\w", w))
        )
        if last not in asked.known and not _is_number(asked.words[last]) and asked.words[last] != "or":
            yield f"'{asked.words[last]}'"


def _inflected(word: str, known: Words) -> bool:
    """Whether a word is a form of one that says how something looks."""
    stems = {word.removesuffix(e) + i for e in ("s", "es", "ing", "ed", "d") for i in ("", "e", word[-4:-3])}
    return bool(stems & known.states) or bool(stems & known.nouns)


def _unread(question: str, done: _Program) -> Iterator[str]:
    """Words in capitals or quotation marks are there to be found: they stand in the program."""
    if question.isupper():
        return
    given = " ".join(text.lower() for text, _ in done.strings)
    quoted = re.findall(r"[\"“]([^\"“”]+)[\"”]|(?<!\w)'([^']+)'(?!\w)", question)
    marked = [a or b for a, b in quoted] + re.findall(r"(?<!\w)[A-Z]{3,}(?:\s[A-Z]{2,})*(?!\w)", question)
    for text in marked:
        words = [w for w, _, _ in normalize(text)]
        if (
            words
            and text.lower() not in _ACRONYMS
            and not all(w in given for w in words if re.search(r"\w", w))
        ):
            yield f"'{text}'"


_ACRONYMS = frozenset(
    "select from where order by count and tvs lol omg pls plz asap suv suvs rgb not all and the only any how count bbq led cctv ocr usb atm pdf png jpg jpeg".split()
)

_YES_NO = (
    "is are was were does do did has have had can could will would isn't aren't doesn't don't hasn't haven't isnt arent "
    "am any anyone anybody"
).split()
_ASKING = (
    r"(?:can|could|would|will|do|did|may|might|are|is) (?:you|u|we|i|it|one|someone|anybody)"
    r"(?! (?:(?:see|spot|find|notice|detect) (?!the|me|all|which|where|how|what)|got|have|a|an|the)\b)|any (?:idea|chance)"
)
_COUNTING = r"(?<!\S)(?:how many|how much|number of|count)(?!\S)"
_COLOR = r"(?<!\S)(?:what|which|wat|whats)(?: is| 's| are)?(?: the)? colou?rs?(?!\S)"


def _type(asked: _Question, done: _Program) -> Iterator[str]:
    """Whether the form of the question asks for another type of value."""
    kind = _kind(done, done.value)
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
    elif first in _YES_NO and not asks and kind != "truth" and not (kind == "text" and " or " in f" {text} "):
        yield "yes or no is asked for"
    elif re.search(
        r"(?:which|what|wich) (?:of the )?(?:picture|image|photo|pic|shot|photograph)s?\b", text
    ) and _called(done.value) in ("len", "any", "all", "sum"):
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


def _kind(done: _Program, node: ast.expr, depth: int = 0) -> str:
    """What sort of value an expression has."""
    if depth > 8:
        return "things"
    if isinstance(node, ast.Compare | ast.BoolOp) or (
        isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
    ):
        return "truth"
    if isinstance(node, ast.IfExp):
        return _kind(done, node.body, depth + 1)
    if isinstance(node, ast.Constant):
        return "text" if isinstance(node.value, str) else "number"
    if isinstance(node, ast.Call):
        name = _called(node)
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
        return _kind(done, node.left, depth + 1) if isinstance(node.op, ast.Add) else "number"
    if isinstance(node, ast.Attribute):
        return "text" if node.attr == "label" else "number"
    if isinstance(node, ast.List):
        return "numbers" if node.elts and _kind(done, node.elts[0], depth + 1) == "number" else "things"
    if isinstance(node, ast.ListComp):
        return {"number": "numbers", "text": "texts"}.get(_kind(done, node.elt, depth + 1), "things")
    if isinstance(node, ast.Name) and node.id in done.names:
        return _kind(done, done.names[node.id], depth + 1)
    return "things"
