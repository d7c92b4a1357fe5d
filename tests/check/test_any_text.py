"""Whatever is given as a program, the check answers: it never raises, and what it says can be printed."""

from __future__ import annotations

import ast
import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visprog.check import check, render_diagnostics
from visprog.registry import Registry

quick = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
WORDS = [
    "def answer(image):", "\n", "    ", "return ", "detect(image, 'dog')", "for x in ", "if ", "else:",
    "lambda x: ", "while True:", "x", "[", "]", "(", ")", "{", "}", "=", "==", "+", "*", "**", ",", ":",
    ":=", ".label", "None", "0", "'a'", "f'{x}'", "try:", "except:", "class A:", "async ", "await ",
    "yield ", "match x:", "case _:", "@", "del ", "import os", "with x as y:", "global x", "nonlocal x",
    "break", "\t", "\\", "é", "\x00", "...", " in ",
]  # fmt: skip


def survives(source: str, registry: Registry) -> None:
    found = check(source, registry)
    render_diagnostics(found, source)
    lines = source.count("\n") + 1
    assert all(d.code and d.message and 1 <= d.line <= lines + 1 and d.column >= 0 for d in found)


@quick
@given(st.text(max_size=200))
def test_text(registry: Registry, source: str) -> None:
    survives(source, registry)


@quick
@given(st.lists(st.sampled_from(WORDS), max_size=40).map("".join))
def test_words_of_the_language(registry: Registry, source: str) -> None:
    survives(source, registry)


@quick
@given(st.integers(0, 2**32))
def test_mutated_programs(registry: Registry, corpus: list[tuple[str, str]], seed: int) -> None:
    """Parts of correct programs in the places of other parts."""
    draw = random.Random(seed)
    tree, other = (ast.parse(draw.choice(corpus)[1]) for _ in range(2))
    parts = [n for n in ast.walk(other) if isinstance(n, ast.expr | ast.stmt)]
    for _ in range(draw.randint(1, 6)):
        _exchange(draw, tree, parts)
    try:
        source = ast.unparse(ast.fix_missing_locations(tree))
    except Exception:  # not every tree has a text
        return
    survives(source, registry)


def _exchange(draw: random.Random, tree: ast.AST, parts: list[ast.AST]) -> None:
    node = draw.choice(list(ast.walk(tree)))
    name, value = draw.choice(list(ast.iter_fields(node)) or [("", None)])
    base = ast.stmt if isinstance(value, ast.stmt) else ast.expr
    if isinstance(value, list) and value:
        i = draw.randrange(len(value))
        base = ast.stmt if isinstance(value[i], ast.stmt) else ast.expr
        if isinstance(value[i], base):
            value[i] = draw.choice([p for p in parts if isinstance(p, base)])
    elif isinstance(value, base):
        setattr(node, name, draw.choice([p for p in parts if isinstance(p, base)]))
