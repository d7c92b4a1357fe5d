from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from visprog.errors import Refused, ToolError
from visprog.tools.backends.opencv import GrabCut
from visprog.tools.imaging.geodesic import geodesic_distance
from visprog.tools.segment import segment, segment_everything
from visprog.values import Box, Point, Region
from visprog.values.image import Image

Photo = Callable[[str], Image]


def disc_image(width: int = 240, height: int = 180) -> tuple[Image, np.ndarray]:
    """A textured disc on textured ground, and where it is."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    disc = (x - 130) ** 2 + (y - 90) ** 2 < 50**2
    pixels = np.where(disc[..., None], [200, 60, 50], [70, 120, 80]) + rng.normal(0, 8, (height, width, 3))
    return Image(pixels.clip(0, 255).astype(np.uint8)), disc


def agreement(region: Region, truth: np.ndarray, image: Image) -> float:
    assert region.mask is not None
    found = region.mask.within(image.box)
    return float((found & truth).sum() / (found | truth).sum())


def test_the_mask_follows_the_thing() -> None:
    image, disc = disc_image()
    given = Region(Box(80, 40, 180, 140), "disc", 0.8, image)
    found = segment(image, given)
    assert (found.box, found.label, found.score) == (given.box, "disc", 0.8)
    assert agreement(found, disc, image) > 0.95


def test_masks_of_crops_lie_in_the_root() -> None:
    image, disc = disc_image()
    crop = image.crop(Box(60, 20, 220, 170)).crop(Box(65, 25, 210, 160))
    found = segment(crop, Region(Box(80, 40, 180, 140), "disc", 1.0, image))
    assert found.image is image
    assert agreement(found, disc, image) > 0.95


def test_large_images_keep_smooth_edges() -> None:
    image, disc = disc_image()
    large = Image(image.pixels.repeat(5, 0).repeat(5, 1))
    found = segment(large, Region(Box(400, 200, 900, 700)))
    assert agreement(found, disc.repeat(5, 0).repeat(5, 1), large) > 0.95


@pytest.mark.parametrize(
    "box",
    [
        Box(10, 10, 14, 13),
        Box(10, 10, 60, 50),
        Box(0, 0, 100, 80),
        Box(-20, -20, 30, 30),
        Box(90.5, 70.2, 99.9, 79.8),
    ],
)
def test_where_there_is_nothing_to_cut_the_box_is_the_mask(box: Box) -> None:
    image = Image(np.full((80, 100, 3), 128, np.uint8))
    found = segment(image, Region(box))
    assert found.mask is not None
    inner = box.clip(image.box)
    assert found.mask.box.iou(inner) > 0.8


def test_a_region_outside_is_an_error() -> None:
    with pytest.raises(ToolError, match="outside the image"):
        segment(Image(np.zeros((20, 20, 3), np.uint8)), Region(Box(30, 30, 40, 40)))


def test_the_grabcut_backend_takes_no_model() -> None:
    with pytest.raises(ToolError, match="takes no model"):
        GrabCut("sam.pt")


def test_the_dog_without_the_floor(photo: Photo) -> None:
    dog = photo("dog")
    found = segment(dog, Region(Box(0, 225, 425, 534), "dog"))
    assert found.mask is not None
    mask = found.mask.within(dog.box)
    for x, y in ((350, 290), (250, 330), (150, 420), (200, 500), (270, 250)):
        assert mask[y, x], f"({x}, {y}) is dog"
    for x, y in ((40, 260), (350, 450), (400, 240), (100, 280), (330, 500)):
        assert not mask[y, x], f"({x}, {y}) is floor"


def test_the_same_box_gives_the_same_mask() -> None:
    image, _ = disc_image()
    first, second = (segment(image, Region(Box(75, 35, 185, 145))) for _ in range(2))
    assert first.mask is not None
    assert second.mask is not None
    assert np.array_equal(first.mask.pixels, second.mask.pixels)


def test_geodesic_distance_goes_around_walls() -> None:
    colors = np.zeros((5, 5, 3))
    colors[:4, 2] = 100
    start = np.zeros((5, 5), bool)
    start[0, 0] = True
    distance = geodesic_distance(colors, start, step=1.0)
    assert distance[0, 0] == 0
    assert distance[0, 1] == pytest.approx(1)
    assert distance[4, 2] == pytest.approx(2 + 2 * np.sqrt(2), abs=1e-6)
    assert distance[0, 4] == pytest.approx(4 + 4 * np.sqrt(2), abs=1e-6)
    assert distance[0, 2] > 100


def test_points_and_everything_want_a_model() -> None:
    image, _ = disc_image()
    with pytest.raises(Refused, match=r'not a point: under \[tools.segment\] .* backend = "sam"'):
        segment(image, Point(130, 90))
    with pytest.raises(Refused, match=r'under \[tools.segment_everything\] .* backend = "sam"'):
        segment_everything(image)
