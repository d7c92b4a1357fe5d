"""SECURITY.md promises nothing that no test would miss."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from tests.security.claims import CLAIMS, ROOT, sentences

LONGEST = 140


def test_every_sentence_is_in_the_table_and_no_other() -> None:
    found = sentences()
    assert len(found) == len(set(found))
    assert [s for s in found if s not in CLAIMS] == []
    assert [s for s in CLAIMS if s not in found] == []


def test_sentences_are_short() -> None:
    assert [sentence for sentence in CLAIMS if len(sentence) > LONGEST] == []


@cache
def names_in(file: str) -> frozenset[str]:
    """The tests of a file by name."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(
        n.name for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")
    )


@pytest.mark.parametrize("sentence", CLAIMS)
def test_every_test_of_the_table_is_there(sentence: str) -> None:
    assert CLAIMS[sentence]
    for test in CLAIMS[sentence]:
        file, _, name = test.partition("::")
        assert name in names_in(file), test
