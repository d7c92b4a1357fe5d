"""Detection in tiles: every object once, also at seams, with any backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from visprog import Agent
from visprog.errors import ToolError
from visprog.tools.imaging.tiles import in_tiles
from visprog.values import Box, Region
from visprog.values.image import Image

SIDE = 24


def objects(width: int, height: int, step: int = 70) -> list[Box]:
    return [
        Box(x, y, x + SIDE, y + SIDE)
        for y in range(5, height - SIDE, step)
        for x in range(5, width - SIDE, step)
    ]


class Coarse:
    """A detector that sees only what is large in its image: its network has few pixels."""

    def __init__(self, model: str | None = None, least: float = 0.03) -> None:
        self.least = least

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [self.find(**call) for call in calls]

    def find(self, image: Image, what: str) -> list[Region]:
        """Red blocks, cut at the edge of the image."""
        if self.least * max(image.size) > SIDE:
            return []
        found = [image.to_local(box) for box in objects(*image.root.size) if box.intersection(image.box)]
        inner = Box(0, 0, image.width, image.height)
        shown = [box.intersection(inner) for box in found]
        return [image.region(box, what, 0.9) for box in shown if box is not None and box.area > 40]


IMAGE = Image(np.zeros((900, 1400, 3), np.uint8))


def joined(tiles: int, detector: Coarse) -> list[Region]:
    calls, join = in_tiles(IMAGE, "block", tiles)
    return join(detector(calls))


@pytest.mark.parametrize("tiles", [2, 3, 4, 8])
def test_every_object_is_found_once(tiles: int) -> None:
    found = joined(tiles, Coarse(least=0.0))
    assert sorted((r.left, r.top, r.right) for r in found) == sorted(
        (box.left, box.top, box.right) for box in objects(1400, 900)
    )


def test_small_objects_are_seen_in_tiles_alone() -> None:
    assert joined(1, Coarse()) == []
    assert len(joined(3, Coarse())) == len(objects(1400, 900))


def test_an_object_larger_than_the_overlap_is_joined() -> None:
    wide = Box(100, 400, 1300, 440)

    def find(image: Image) -> list[Region]:
        part = wide.intersection(image.box)
        whole = image is IMAGE
        return [] if whole or part is None else [Region(part, "rope", 0.6, IMAGE)]

    calls, join = in_tiles(IMAGE, "rope", 3)
    (found,) = join([find(call["image"]) for call in calls])
    assert found.box == wide


@pytest.mark.parametrize("tiles", [0, -1, 9, 10**9])
def test_numbers_of_tiles(tiles: int) -> None:
    with pytest.raises(ToolError, match="1 to 8"):
        in_tiles(IMAGE, "block", tiles)


def test_small_images_have_no_tiles() -> None:
    calls, _ = in_tiles(Image(np.zeros((40, 40, 3), np.uint8)), "block", 4)
    assert len(calls) == 1


def test_any_backend_can_be_asked_in_tiles() -> None:
    with Agent(backends={"detect": Coarse}) as agent:
        program = 'def answer(image):\n    return len(detect(image, "block", tiles=4)) - len(detect(image, "block"))\n'
        answer = agent.run(program, IMAGE.to_pil())
        assert answer.value == len(objects(1400, 900)), answer.message
        wrong = agent.run(program.replace("tiles=4", "tiles=99"), IMAGE.to_pil())
    assert "1 to 8" in wrong.message
