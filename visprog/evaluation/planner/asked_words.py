"""The words of programs, collected from their source: generated worlds are made from them."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from ...errors import ToolError
from .wording import adjectives, basic_color, read_noun, singular

_FOUND_BY = {
    "find_circles": "circle", "find_polygons": "polygon", "find_lines": "line", "find_faces": "face",
    "find_qr_codes": "qr code",
}  # fmt: skip


_CHOOSING = frozenset(
    "largest smallest tallest widest leftmost rightmost topmost bottommost middle nearest farthest nth left_to_right "
    "top_to_bottom by_size sorted max min".split()
)
_DETERMINER = re.compile(
    r"\b(both(?: of)?(?: the| my| these| those)?|(?:the|these|those|my) two|the|my|this|his|her|our|your|their) "
)
_AMONG = re.compile(r"\b(?:many|much|number|count|any|all|each|every|most|some|none|which|one) (?:of )?$")


@dataclass(frozen=True)
class QuestionWords:
    """The words that programs search for, verify and count; a world is made from them.

    Attributes:
        nouns: Nouns of the phrases that are searched for.
        known: Objects whose existence the question assumes, by noun and colour ("" for any), with the maximum number of
            them per image: one for "the dog", two for "both dogs".
        colors: Basic names of colours.
        statements: Statements that are verified.
        choices: Options of each choice.
        texts: Texts that are searched for in writing.
        numbers: Numbers that counts are compared with, and positions in a row.
        tools: Names of the tools that are called.
    """

    nouns: tuple[str, ...] = ()
    known: Mapping[tuple[str, str], int] = field(default_factory=dict)
    colors: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()
    choices: tuple[tuple[str, ...], ...] = ()
    texts: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    tools: frozenset[str] = frozenset()

    @classmethod
    def of(cls, reference: str, question: str = "", others: Iterable[str] = ()) -> QuestionWords:
        """Collect the words of programs, which must be valid Python.

        Args:
            reference: Right program. If it takes the best of the objects found, there is one such object.
            question: Question, which may say the same ("the dog"), or that there are two ("both dogs").
            others: Programs that are compared with the reference.
        """
        found = _Collected()
        found.visit(ast.parse(reference))
        chosen, among = list(found.chosen), list(found.among)
        for program in others:
            found.visit(ast.parse(program))
        single = adjectives(found.statements)
        nouns: dict[str, None] = {}
        colors = dict.fromkeys(found.colors)
        statements = dict.fromkeys(found.statements)
        known = {}
        for phrase in found.phrases:
            try:
                wanted = read_noun(phrase, single)
            except ToolError:
                continue
            nouns[wanted.noun] = None
            statements.update(dict.fromkeys(wanted.claims))
            if wanted.color:
                colors[wanted.color] = None
        for phrase, color in chosen:
            wanted = read_noun(phrase, single)
            known[wanted.noun, wanted.color or color] = 1
        several = {read_noun(phrase, single).noun for phrase in among}
        for (noun, color), number in _presumed(question).items():
            if noun in nouns and (number > 1 or color or noun not in several):
                known[noun, color] = number
        for words in (*found.choices, *found.statements):
            for name in (words,) if isinstance(words, str) else words:
                if named := basic_color(name):
                    colors[named] = None
        return cls(
            tuple(nouns), known, tuple(colors), tuple(statements), tuple(found.choices),
            tuple(dict.fromkeys(found.texts)), tuple(dict.fromkeys(found.numbers)), frozenset(found.tools),
        )  # fmt: skip


@dataclass
class _Collected(ast.NodeVisitor):
    phrases: list[str] = field(default_factory=list)
    chosen: list[tuple[str, str]] = field(default_factory=list)
    """Phrase and colour of objects of which the program takes the best."""
    among: list[str] = field(default_factory=list)
    """Phrases of objects that are filtered or sorted, so that there may be several."""
    variables: dict[str, tuple[str, str]] = field(default_factory=dict)
    colors: list[str] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    choices: list[tuple[str, ...]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name):
            return
        name = node.func.id
        self.tools.append(name)
        given = {k.arg: k.value for k in node.keywords}
        texts = _texts((*node.args, *given.values()))
        if name == "detect":
            self.phrases += texts
        elif name in ("verify", "match"):
            self.statements += texts
        elif name == "classify":
            self.choices += [
                tuple(_texts(v.elts))
                for v in (*node.args, *given.values())
                if isinstance(v, ast.List | ast.Tuple)
            ]
        elif name == "find_text":
            self.texts += [t for t in texts if t]
        elif name in ("find_polygons", "find_circles", "find_lines", "has_color"):
            for text in texts:
                if color := basic_color(text):
                    self.colors.append(color)
                else:
                    self.phrases.append(text)
        elif node.args and (chosen := self._what(node.args[0])):
            if name == "best":
                self.chosen.append(chosen)
            elif name in _CHOOSING:
                self.among.append(chosen[0])

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        if isinstance(node.targets[0], ast.Name) and (found := self._what(node.value)):
            self.variables[node.targets[0].id] = found

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self.generic_visit(node)
        if node.ifs and (found := self._what(node.iter)):
            self.among.append(found[0])

    def _what(self, node: ast.expr) -> tuple[str, str] | None:
        """Phrase and colour of the objects that an expression finds, by a call or by a list filtered by colour."""
        if isinstance(node, ast.Name):
            return self.variables.get(node.id)
        if isinstance(node, ast.ListComp) and len(node.generators) == 1:
            each = node.generators[0]
            found, tests = self._what(each.iter), [self._what(test) for test in each.ifs]
            return (found[0], tests[0][1]) if found and len(tests) == 1 and tests[0] else None
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            return None
        name = node.func.id
        texts = _texts((*node.args, *(k.value for k in node.keywords)))
        if name == "detect" and texts:
            return texts[0], ""
        if name == "has_color" and texts:
            return "", basic_color(texts[0]) or ""
        if name not in _FOUND_BY:
            return None
        colors = [c for t in texts if (c := basic_color(t))]
        kinds = [t for t in texts if not basic_color(t)]
        return (kinds or [_FOUND_BY[name]])[0], (colors or [""])[0]

    def visit_Compare(self, node: ast.Compare) -> None:
        self.generic_visit(node)
        self.texts += filter(None, _texts((node.left, *node.comparators)))

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, int) and not isinstance(node.value, bool) and node.value <= 20:
            self.numbers.append(node.value)


def _texts(nodes: Iterable[ast.expr]) -> list[str]:
    """The texts among expressions."""
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


@cache
def _presumed(question: str) -> Mapping[tuple[str, str], int]:
    """Objects that a question assumes: one for "the (red) dog", none for "all the sheep", two for "both dogs"."""
    found = {}
    text = " ".join(question.lower().split())
    for match in _DETERMINER.finditer(text):
        if _AMONG.search(text[: match.start()]) or text.startswith(("one ", "only "), match.end()):
            continue
        two = "both" in match[1] or "two" in match[1]
        words = re.findall(r"[\w'-]+", re.split(r"[,.?!;:]", text[match.end() :])[0])[:4]
        for end in range(1, len(words) + 1):
            said = re.sub(r"'s$", "", " ".join(words[:end]))
            with contextlib.suppress(ToolError):
                if two == (singular(said) != said):
                    read = read_noun(said)
                    found[read.noun, read.color] = 2 if two else 1
    return found
