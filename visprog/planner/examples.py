"""Choosing the examples that a language model is shown: those whose questions are most like the one asked."""

from __future__ import annotations

import ast
import builtins
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visprog.prompts import Example

    from ..registry import Registry
    from .base import PlanRequest

_K1, _B = 1.2, 0.75

_DEGREE = re.compile(r"(\w{3,}?)(i?)(?:ness|er|est)")
"""A word that ends as "sharper", "sharpest", "sharpness" and "happier" do."""

_STOP_WORDS = frozenset(
    "a an the this that these those it its he she they his her their there here i me my you we us is are was were be "
    "been do does did has have had can could will would should of in on at by to for from with as and or but if "
    "than then so too very image picture photo photograph video".split()
)
"""Words that say nothing of what a question needs. Those that ask or deny, such as "who" and "no", do."""


def choose(request: PlanRequest, examples: Sequence[Example], k: int) -> list[Example]:
    """The `k` examples most like the request, the most similar last (next to the question). See `ranked`."""
    return [example for _, example in reversed(ranked(request, examples)[: max(k, 0)])]


def ranked(request: PlanRequest, examples: Sequence[Example]) -> list[tuple[float, Example]]:
    """Examples that may be shown, with their similarity to the request, the most similar first.

    Questions are compared by Okapi BM25 over stemmed words (Robertson and Zaragoza, "The Probabilistic
    Relevance Framework: BM25 and Beyond", 2009). Examples with another number of images, or another type of
    answer than asked for, count half. Examples that call what the registry does not hold, or look for what no
    backend in force can see, are never shown: they would teach names and phrases that are refused.
    """
    from visprog.values.library import LIBRARY

    if request.video:
        examples = [e for e in examples if e.video]
    names = request.registry.offered.keys() | {kind.cls.__name__ for kind in LIBRARY.types}
    usable = [e for e in examples if calls(e.program) <= names and not _refused(e.program, request.registry)]
    scores = bm25(request.question, [e.question for e in usable])
    for i, example in enumerate(usable):
        if (example.images == 1) != (request.images == 1):
            scores[i] /= 2
        if request.returns is not None and example.returns and example.returns != _written(request.returns):
            scores[i] /= 2
    order = sorted(range(len(usable)), key=lambda i: -scores[i])
    return [(scores[i], usable[i]) for i in order]


def bm25(query: str, documents: Sequence[str]) -> list[float]:
    """The BM25 score of each document for the query, by the words of both that are no stop words."""
    bags = [Counter(w for w in words(d) if w not in _STOP_WORDS) for d in documents]
    if not bags:
        return []
    mean = sum(bag.total() for bag in bags) / len(bags) or 1.0
    seen = Counter(word for bag in bags for word in bag)
    wanted = set(words(query))
    scores = []
    for bag in bags:
        score = 0.0
        for word in wanted & bag.keys():
            rarity = math.log(1 + (len(bags) - seen[word] + 0.5) / (seen[word] + 0.5))
            score += rarity * bag[word] * (_K1 + 1) / (bag[word] + _K1 * (1 - _B + _B * bag.total() / mean))
        scores.append(score)
    return scores


def words(text: str) -> list[str]:
    """Lower-case words without the endings of plurals and degrees, so that "dogs" meets "dog", and "sharper" meets
    "sharpness"."""
    return [_stem(w) for w in re.findall(r"[a-z]+|\d+", text.casefold().replace("colour", "color"))]


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 4 and word.endswith(("ses", "xes", "ches", "shes")):
        word = word[:-2]
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    if degree := _DEGREE.fullmatch(word):
        word = degree[1] + ("y" if degree[2] == "i" else "")
    return word


@lru_cache(1024)
def calls(program: str) -> frozenset[str]:
    """The names that a program calls and does not define: its tools and value types, but no errors that it raises.

    Raises:
        SyntaxError: it is no program.
    """
    tree = ast.parse(program)
    own = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    own |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    own |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    raised = {id(n.exc) for n in ast.walk(tree) if isinstance(n, ast.Raise)}
    called = {
        n.func.id
        for n in ast.walk(tree)
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and id(n) not in raised
    }
    called |= set(_handed_on(tree))
    return frozenset(called - own - set(dir(builtins)))


def _refused(program: str, registry: Registry) -> bool:
    """Whether the backends in force cannot see what a program looks for."""
    from ..check import check

    return any(found.refusal for found in check(program, registry))


def _handed_on(tree: ast.AST) -> Iterable[str]:
    """Functions given to others by name, as in `max(regions, key=sharpness)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "key" and isinstance(node.value, ast.Name):
            yield node.value.id


def _written(annotation: object) -> str:
    from ..registry.types import render

    return render(annotation)
