"""`select` by way of `verify`: each region is looked at alone, and what cannot be judged so is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from visprog.agent import Agent
from visprog.check import check
from visprog.errors import ToolError
from visprog.tools.backends.composed import DetectedCenters, VerifiedRegions
from visprog.tools.select import select
from visprog.values import Box, Region
from visprog.values.image import Image

PIXELS = np.full((200, 400, 3), 255, np.uint8)
PIXELS[50:100, 20:80] = (255, 0, 0)
PIXELS[50:100, 150:210] = (0, 0, 255)
IMAGE = Image(PIXELS)
FOUND = 'detect(image, "rectangle")'


def run(body: str, **options: Any) -> Any:
    with Agent("embedded", **options) as agent:
        return agent.run(f"def answer(image):\n    return {body}\n", IMAGE)


@pytest.mark.parametrize(
    ("phrase", "lefts"),
    [("red rectangle", [20]), ("the red one", None), ("red", [20]), ("rectangles", [20, 150]), ("green rectangle", [])],
)  # fmt: skip
def test_by_what_verify_can_tell(phrase: str, lefts: list[int] | None) -> None:
    answer = run(f"select({FOUND}, {phrase!r})")
    if lefts is None:
        assert answer.status in ("answered", "refused")
        assert answer.status == "refused" or [round(r.left) for r in answer.value] == [20]
    else:
        assert [round(r.left) for r in answer.value] == lefts
    assert run(f"select([], {phrase!r})").value == []


@pytest.mark.parametrize(
    "phrase",
    ["rectangle left of the red one", "the biggest rectangle", "second rectangle", "rectangle next to the ball",
     "the rightmost one", "a rectangle on the left", "taller than the other", "in front of the tree", "closest box"],
)  # fmt: skip
def test_how_regions_lie_among_others_is_refused_before_and_at_run_time(phrase: str) -> None:
    answer = run(f"select({FOUND}, {phrase!r})")
    assert answer.status == "refused" and "looks at each region alone" in answer.message
    with Agent("embedded") as agent:
        found = check(f"def answer(image):\n    return select({FOUND}, {phrase!r})\n", agent.host.in_force)
    assert any(d.refusal for d in found)


@pytest.mark.parametrize("phrase", ["red vest", "green forest", "west wind sign"])
def test_words_that_only_end_like_superlatives_are_judged(phrase: str) -> None:
    assert "looks at each region alone" not in run(f"select({FOUND}, {phrase!r})").message


def test_a_verifier_that_knows_more_is_asked_with_the_whole_phrase() -> None:
    asked: list[str] = []

    class Knows:
        process = "host"

        def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
            asked.extend(call["statement"] for call in calls)
            return [call["image"].left > 100 for call in calls]

    answer = run(f"select({FOUND}, 'striped rectangle')", backends={"verify": Knows})
    assert [round(r.left) for r in answer.value] == [150] and set(asked) == {"striped rectangle"}
    assert {call.tool for call in answer.trace if call.caller == "select"} == {"verify"}


def test_regions_that_know_no_image_and_phrases_that_say_nothing() -> None:
    with pytest.raises(ToolError, match="know their image"):
        select([Region(Box(0, 0, 5, 5), "car")], "red car")
    with pytest.raises(ToolError, match="names nothing"):
        select([], " ")


def test_points_by_the_configured_detector() -> None:
    assert run("point(image, 'red rectangle')").status == "refused"
    answer = run("point(crop_half(image, 'right'), 'blue rectangle')", backends={"point": "detect"})
    (found,) = run("point(image, 'blue rectangle')", backends={"point": "detect"}).value
    assert (found.x, found.y) == pytest.approx((180, 75), abs=0.5)
    assert all(point.x > 200 for point in answer.value)
    with pytest.raises(ToolError, match=r"set that of \[tools.detect\]"):
        DetectedCenters("x")
    with pytest.raises(ToolError, match=r"set that of \[tools.verify\]"):
        VerifiedRegions("x")
