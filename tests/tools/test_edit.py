from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from visprog.errors import ToolError
from visprog.registry import cautions
from visprog.tools.edit import blur_background, color_pop, cover, tag
from visprog.tools.imaging.emoji import DRAWN, SYNONYMS, draw_emoji, emoji_name
from visprog.tools.segment import segment
from visprog.tools.text import read_text
from visprog.values import Box, Circle, Line, Mask, Point, Polygon, Region
from visprog.values.image import Image

Photo = Callable[[str], Image]


@pytest.fixture
def noise() -> Image:
    pixels = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    return Image(pixels, name="noise.png")


def region(image: Image, *box: float, mask: bool = False) -> Region:
    place = Box(*box)
    pixels = np.ones((round(place.height), round(place.width)), bool)
    return Region(place, "thing", 1.0, image, Mask(pixels, place) if mask else None)


def change(a: Image, b: Image, *box: int) -> float:
    left, top, right, bottom = box
    part = np.s_[top:bottom, left:right]
    return float(np.abs(a.pixels[part].astype(float) - b.pixels[part]).mean())


def test_what_is_kept_stays_sharp_and_the_rest_is_blurred(noise: Image) -> None:
    made = blur_background(noise, [region(noise, 40, 30, 100, 90, mask=True)])
    assert made.size == noise.size
    assert made.root is made
    assert change(made, noise, 46, 36, 94, 84) < 1
    assert made.pixels[:20].std() < 0.4 * noise.pixels[:20].std()


def test_the_kept_colour_does_not_shine_into_the_background() -> None:
    pixels = np.full((200, 200, 3), 90, np.uint8)
    pixels[60:140, 60:140] = (255, 0, 0)
    image = Image(pixels)
    made = blur_background(image, [region(image, 60, 60, 140, 140, mask=True)])
    ring = np.ones((200, 200), bool)
    ring[54:146, 54:146] = False
    assert np.abs(made.pixels[ring].astype(int) - 90).max() <= 3


def test_color_pop_is_grey_elsewhere(noise: Image) -> None:
    made = color_pop(noise, [region(noise, 40, 30, 100, 90, mask=True)])
    outside = made.pixels[:20].astype(int)
    assert (outside.max(-1) - outside.min(-1)).max() == 0
    assert change(made, noise, 46, 36, 94, 84) < 1


@pytest.mark.parametrize("edit", [blur_background, color_pop])
def test_nothing_to_keep_is_an_error(edit: Callable[..., Image], noise: Image) -> None:
    with pytest.raises(ToolError, match="nothing was found"):
        edit(noise, [])
    with pytest.raises(ToolError, match="outside the image"):
        edit(noise, [region(noise, 500, 500, 520, 520)])


def test_a_crop_is_edited_at_the_right_place(noise: Image) -> None:
    crop = noise.crop(Box(30, 20, 130, 110))
    made = cover(crop, [region(noise, 50, 40, 70, 60)])
    assert made.size == crop.size
    assert made.root is made
    assert (made.pixels[20:40, 20:40] == 0).all()
    assert change(made, crop, 0, 0, 20, 90) == 0
    assert (
        color_pop(crop, [region(noise, 50, 40, 70, 60, mask=True)]).pixels[30, 30] == crop.pixels[30, 30]
    ).all()


def test_shapes_can_be_kept_and_covered(noise: Image) -> None:
    shapes = [
        Circle(Point(40, 40), 20.0, "red"),
        Polygon((Point(90, 20), Point(130, 20), Point(110, 60))),
        Line((Point(10, 100), Point(150, 100))),
    ]
    pixelated = cover(noise, shapes, "pixelate")
    assert change(pixelated, noise, 35, 35, 45, 45) > 5
    assert change(pixelated, noise, 21, 21, 25, 25) == 0
    assert change(cover(noise, shapes), noise, 20, 99, 140, 101) > 5
    assert change(color_pop(noise, shapes), noise, 32, 32, 48, 48) < 1


@pytest.mark.parametrize("style", ["box", "blur", "pixelate"])
def test_covered_text_cannot_be_read(style: str) -> None:
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

    picture = PIL.Image.new("RGB", (400, 120), "white")
    PIL.ImageDraw.Draw(picture).text(
        (20, 30), "SECRET 1234", "black", font=PIL.ImageFont.load_default(size=50)
    )
    image = Image.open(picture)
    made = cover(image, [region(image, 10, 20, 390, 100)], style)
    assert made.pixels[20:100, 10:390].std() < 40 or style == "box"
    assert "SECRET" not in read_text(made).upper()
    assert "1234" not in read_text(made)


def test_pixels_are_coarse(noise: Image) -> None:
    made = cover(noise, [region(noise, 40, 30, 100, 90)], "pixelate")
    assert len(np.unique(made.pixels[30:90, 40:100].reshape(-1, 3), axis=0)) <= 36
    assert change(made, noise, 0, 0, 40, 120) == 0


def test_an_emoji_hides_the_middle(noise: Image) -> None:
    made = cover(noise, [region(noise, 40, 30, 100, 90)], "emoji", "star")
    assert (made.pixels[60, 70] == (255, 213, 74)).all()
    corner = cover(noise, [region(noise, -10, -10, 30, 30)], "emoji")
    assert corner.size == noise.size
    with pytest.raises(ToolError, match="use one of smile"):
        cover(noise, [], "emoji", "unicorn")


def test_an_emoji_that_is_named_is_the_style(noise: Image) -> None:
    regions = [region(noise, 40, 30, 100, 90)]
    named = cover(noise, regions, emoji="heart")
    assert (named.pixels == cover(noise, regions, style="emoji", emoji="heart").pixels).all()
    assert (named.pixels != cover(noise, regions).pixels).any()
    assert (cover(noise, regions, "blur", "heart").pixels == cover(noise, regions, "blur").pixels).all()
    assert (cover(noise, regions, "emoji").pixels == cover(noise, regions, emoji="smile").pixels).all()


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_every_emoji_can_be_drawn(name: str) -> None:
    drawn = np.array(draw_emoji(name, 40))
    assert drawn.shape == (40, 40, 4)
    assert drawn[..., 3].mean() > 60
    assert drawn[0, 0, 3] == 0


@pytest.mark.parametrize(
    ("name", "drawn"), [("Smiley Face", "smile"), ("😎", "cool"), ("red_heart", "heart"), (":(", "sad")]
)
def test_emoji_have_many_names(name: str, drawn: str) -> None:
    assert emoji_name(name) == drawn
    assert set(SYNONYMS) == set(DRAWN)


def test_tags_are_drawn(noise: Image) -> None:
    regions = [region(noise, 20, 40, 70, 100), region(noise, 90, 40, 150, 100)]
    made = tag(noise, regions)
    assert made.size == noise.size
    assert (made.pixels[60, 20] == (214, 39, 40)).all()
    assert change(made, noise, 25, 70, 65, 95) == 0
    two = tag(noise, regions, ["left", "right"])
    assert (two.pixels[80, 90] == (31, 119, 180)).all()
    assert change(two, made, 90, 0, 160, 120) > 1
    shapes = tag(noise, [Circle(Point(50, 50), 10.0, "red")])
    assert change(shapes, noise, 0, 0, 160, 120) > 0


def test_tags_need_one_label_a_region(noise: Image) -> None:
    with pytest.raises(ToolError, match="2 labels for 1"):
        tag(noise, [region(noise, 0, 0, 10, 10)], ["a", "b"])


def test_no_regions_no_change(noise: Image) -> None:
    for made in (cover(noise, []), cover(noise, [], "emoji"), tag(noise, []), tag(noise, [], [])):
        assert np.array_equal(made.pixels, noise.pixels)
        assert made.size == noise.size


def test_transparency_is_kept() -> None:
    rgba = np.full((30, 30, 4), 128, np.uint8)
    image = Image.open(rgba)
    made = cover(image, [region(image, 5, 5, 10, 10)])
    assert made.alpha is not None
    assert (made.alpha == 128).all()


def test_everything_but_the_dog(photo: Photo) -> None:
    dog = photo("dog")
    box = Region(Box(0, 225, 425, 534), "dog", 1.0, dog)
    made = blur_background(dog, [box])
    sharp = np.abs(np.diff(made.pixels.astype(int), axis=1)).mean(-1)
    before = np.abs(np.diff(dog.pixels.astype(int), axis=1)).mean(-1)
    assert change(made, dog, 290, 270, 350, 330) < 1
    assert sharp[100:300, 480:790].mean() < 0.45 * before[100:300, 480:790].mean()
    again = blur_background(dog, [segment(dog, box)])
    assert np.array_equal(again.pixels, made.pixels)


def test_hiding_says_what_it_may_have_missed(noise: Image) -> None:
    with cautions() as said:
        cover(noise, [Region(Box(2, 2, 9, 9), "face")])
    (sentence,) = said
    assert "may have been missed" in sentence and "before you share it" in sentence
