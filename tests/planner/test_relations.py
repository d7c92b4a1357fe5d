"""Where something is, is compared; how it looks, is verified."""

from __future__ import annotations

import pytest

from visprog.planner.embedded.relations import compare_places
from visprog.planner.embedded.support import lexicon

CASES = [
    (
        'return verify(best(detect(image, "cat")), "on the bed")',
        'return any(best(detect(image, "cat")).overlaps(y) for y in detect(image, "bed"))',
    ),
    (
        'return len([x for x in detect(image, "tomatoes") if not verify(x, "in the bowl")])',
        'return len([x for x in detect(image, "tomatoes") if not any(x.inside(y) for y in detect(image, "bowl"))])',
    ),
    (
        'return all(verify(x, "lying under the coffee table") for x in detect(image, "dogs"))',
        'return all(any(x.below(y) for y in detect(image, "coffee table")) for x in detect(image, "dogs"))',
    ),
    ('return verify(best(detect(image, "tv")), "switched on")', None),
    ('return verify(best(detect(image, "man")), "on fire")', None),
    ('return verify(best(detect(image, "man")), "on the phone")', None),
    ('return verify(best(detect(image, "man")), "wearing a hat in the rain")', None),
]


@pytest.mark.parametrize(("program", "compared"), CASES)
def test_places_are_compared(program: str, compared: str | None) -> None:
    assert compare_places(program, lexicon().states) == (compared or program)
