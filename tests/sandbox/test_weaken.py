"""The table of weakenings fits the sources, and taking a defence away is noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from .weaken import occurrences, try_out
from .weakenings import WEAKENINGS, Weakening

HERE = Path(__file__).parent


@pytest.mark.parametrize("weakening", WEAKENINGS, ids=lambda weakening: weakening.name)
def test_the_table_is_up_to_date(weakening: Weakening) -> None:
    assert occurrences(weakening) == 1
    assert weakening.new != weakening.old
    file, test = weakening.test.partition("[")[0].split("::")
    assert f"def {test}(" in (HERE / file).read_text("utf-8")


def named(name: str) -> Weakening:
    (found,) = [weakening for weakening in WEAKENINGS if weakening.name == name]
    return found


@pytest.mark.parametrize("name", ["format traversal", "handle table"])
def test_a_weakened_defence_is_caught(name: str) -> None:
    verdict = try_out(named(name))
    assert verdict.result == "caught", verdict.why


def test_a_change_that_weakens_nothing_is_not_caught() -> None:
    weakening = named("format traversal")
    assert try_out(replace(weakening, new=weakening.old + "  # as before")).result == "NOT caught"


def test_what_breaks_proves_nothing() -> None:
    weakening = named("format traversal")
    assert try_out(replace(weakening, new="this is no Python")).result == "broken"
    assert try_out(replace(weakening, old="text that is not there")).result == "broken"
