"""Plain values in words."""

from __future__ import annotations

from typing import Any

import pytest

from visprog.report.forms import plain_words


@pytest.mark.parametrize(
    ("value", "words"),
    [(True, "yes"), (0.12345, "0.123"), ([], "nothing"), ([1, 2], "1, 2"), ("", "nothing"),
     ([["Name", "Age"], ["Ada", ""]], "Name\tAge\nAda\t"), ([[1, 2], [3]], "1\t2\n3")],
)  # fmt: skip
def test_plain_values_are_shown_in_words(value: Any, words: str) -> None:
    assert plain_words(value) == words
