"""Queries in captions: the definition of MetaCLIP, letter by letter, against the matcher."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visprog.training.curation.matching import QueryMatcher


def brute_force(captions: Sequence[str | None], queries: Sequence[str]) -> list[tuple[int, int]]:
    """Sub-strings of padded captions, one by one."""

    def padded(text: str) -> str:
        for sign in ",.;:?!`":
            text = text.replace(sign, f" {sign} ")
        for space in "\t\n\r":
            text = text.replace(space, " ")
        return f" {text} "

    return [
        (i, j)
        for i, caption in enumerate(captions)
        for j, query in enumerate(queries)
        if caption is not None and f" {query} " in padded(caption)
    ]


def matches(captions: Sequence[str | None], queries: Sequence[str], **options: bool) -> list[tuple[int, int]]:
    rows, found = QueryMatcher(queries, **options)(captions)
    return list(zip(rows.tolist(), found.tolist(), strict=True))


QUERIES = st.lists(
    st.text("ab ,.é", min_size=1, max_size=6).map(str.strip).filter(bool),
    min_size=1,
    max_size=20,
    unique=True,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text("ab ,.é!\n\t", max_size=14), max_size=8), QUERIES)
def test_matches_are_those_of_the_definition(captions: list[str], queries: list[str]) -> None:
    assert matches(captions, queries) == brute_force(captions, queries)


def test_a_thousand_captions() -> None:
    rng = random.Random(0)
    words = ["a", "red", "car", "cars", "New", "York", "city", "at", "night", "in", "the", "dog"]
    captions: list[str | None] = [
        "".join(f"{rng.choice(words)}{rng.choice([' ', ' ', ', ', '. ', '  ', chr(10)])}" for _ in range(9))
        for _ in range(1000)
    ]
    captions[7] = None
    queries = [
        "car",
        "red car",
        "New York",
        "New York city",
        "New York city at night",
        "dog",
        "York",
        "zebra",
        "cat",
    ]
    found = matches(captions, queries)
    assert found == brute_force(captions, queries) and len(found) > 1000


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_columns_of_a_table(kind: pa.DataType) -> None:
    captions = pa.array(["a dog", None, "Dog.", "hot dogs"]).cast(kind)
    assert [*QueryMatcher(["dog"])(captions).rows] == [0]
    assert [*QueryMatcher(["Dog"], ignore_case=True)(captions).rows] == [0, 2]


def test_a_repeated_word_counts_once_and_captions_stay_apart() -> None:
    assert matches(["dog dog dog", "hot", "dog"], ["dog", "hot dog"]) == [(0, 0), (2, 0)]
    assert matches([], ["dog"]) == []
