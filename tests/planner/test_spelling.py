"""Slips and short forms are written out; words that are right, quoted or in capitals stay."""

from __future__ import annotations

import pytest

from visprog.planner.embedded.spelling import written_out

KNOWN = frozenset(
    "how many dogs cats are there in the picture people bottle bottles count number of yellow leave read heart".split()
)
ENGLISH = frozenset("guests seven beat blow plan hearth".split())


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("how many dgos r there", "how many dogs are there"),
        ("how mayn poeple in teh pic", "how many people in the picture"),
        ("coutn the botttles", "count the bottles"),
        ("numbr of yelow dogs", "number of yellow dogs"),
        ("Wat is there", "What is there"),
        ("dogs & cats", "dogs and cats"),
        ("how many cats are parked here", "how many cats are here"),
        ("number of cats (inclusive)?", "number of cats?"),
        ("more than a dozen cats", "more than twelve cats"),
        ("y are there cats", "why are there cats"),
    ],
)
def test_slips_are_mended(typed: str, meant: str) -> None:
    assert written_out(typed, KNOWN, ENGLISH) == meant


@pytest.mark.parametrize(
    "right",
    [
        "how many guests are there",  # a word of English, one letter from another
        "how many zorblaxes are there",  # nothing is near
        'count "dgos" there',  # to be found as it is written
        "read DGOS",
        "how many cats' bowls",
        "is R a letter",
    ],
)
def test_what_is_right_or_quoted_stays(right: str) -> None:
    assert written_out(right, KNOWN, ENGLISH) == right


def test_one_of_several_candidates_is_never_guessed() -> None:
    assert (
        written_out("how many boats", frozenset(("how", "many", "coats", "goats")), frozenset())
        == "how many boats"
    )
