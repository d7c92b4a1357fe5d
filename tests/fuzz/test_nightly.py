"""The results of the nightly run that are in the repository are those of the tests that are in it."""

from __future__ import annotations

import json
import re

import pytest

from tests.fuzz.nightly import FUZZERS, PARTS, RESULT
from tests.sandbox.weakenings import WEAKENINGS


@pytest.fixture
def result() -> dict[str, dict[str, object]]:
    if not RESULT.exists():
        pytest.skip("no nightly run was written down: make nightly")
    found: dict[str, dict[str, object]] = json.loads(RESULT.read_text())
    return found


def test_every_part_was_run_and_found_nothing(result: dict[str, dict[str, object]]) -> None:
    assert set(result) == {*PARTS}
    for part in result.values():
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", str(part["date"])) and part["commit"] and part["machine"]
        assert part["failures"] == []
    assert all(result[name]["cases"] for name in FUZZERS)


def test_the_weakenings_are_those_of_the_table(result: dict[str, dict[str, object]]) -> None:
    results = result["weakenings"]["results"]
    assert isinstance(results, dict)
    assert set(results) == {weakening.name for weakening in WEAKENINGS}
    assert set(results.values()) <= {"caught", "skipped"}
