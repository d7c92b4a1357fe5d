"""What error messages are made of."""

from __future__ import annotations

import pytest

from visprog.errors import close_match


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("detekt", "detect"),
        ("DETECT", "detect"),
        ("findfaces", "find_faces"),
        ("Find_Face", "find_faces"),
        ("banana", None),
        ("", None),
    ],
)
def test_the_name_that_was_meant(name: str, expected: str | None) -> None:
    assert close_match(name, {"detect", "crop", "find_faces"}) == expected
    assert close_match(name, ()) is None
