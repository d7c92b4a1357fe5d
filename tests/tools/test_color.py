from __future__ import annotations

import cv2
import numpy as np
import pytest

from visprog.errors import Refused, ToolError
from visprog.registry import cautions
from visprog.tools.backends.basic import BasicClassifier, BasicVerifier
from visprog.tools.color import dominant_color, has_color
from visprog.values import Box, Circle, Point, Region
from visprog.values.colors import NAMES, name_of, parse
from visprog.values.image import Image
from visprog.values.mask import Mask


def plain(rgb: tuple[int, int, int], size: int = 40) -> Image:
    return Image(np.full((size, size, 3), rgb, np.uint8))


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((0, 0, 0), "black"), ((25, 25, 25), "black"), ((255, 255, 255), "white"), ((245, 245, 245), "white"),
        ((128, 128, 128), "grey"), ((200, 200, 200), "grey"), ((220, 20, 20), "red"), ((130, 0, 0), "red"),
        ((255, 140, 0), "orange"), ((255, 255, 0), "yellow"), ((240, 210, 40), "yellow"), ((0, 255, 0),
        "green"),
        ((20, 90, 30), "green"), ((150, 230, 150), "green"), ((0, 220, 220), "cyan"), ((0, 128, 128), "cyan"),
        ((0, 0, 255), "blue"), ((0, 0, 110), "blue"), ((140, 190, 240), "blue"), ((128, 0, 128), "purple"),
        ((150, 100, 200), "purple"), ((255, 150, 190), "pink"), ((255, 20, 150), "pink"), ((120, 70, 30),
        "brown"),
        ((90, 55, 35), "brown"), ((230, 210, 170), "beige"),
    ],
)  # fmt: skip
def test_names(rgb: tuple[int, int, int], name: str) -> None:
    assert name_of(rgb) == name
    assert dominant_color(plain(rgb)) == name
    assert has_color(plain(rgb), name)


def test_every_colour_is_not_most_others() -> None:
    for rgb, name in (
        ((255, 0, 0), "red"),
        ((0, 0, 255), "blue"),
        ((0, 160, 0), "green"),
        ((255, 255, 0), "yellow"),
    ):
        assert [n for n in NAMES if has_color(plain(rgb), n)] == [name]


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("gray", "grey"), ("Navy", "blue"), ("navy blue", "blue"), ("dark green", "green"), ("light-blue",
        "blue"),
        ("lightblue", "blue"), ("teal", "cyan"), ("magenta", "pink"), ("violet", "purple"), ("gold",
        "yellow"),
        ("RED", "red"), ("bright red", "red"), ("sky blue", "blue"), ("blond", "beige"),
    ],
)  # fmt: skip
def test_synonyms(said: str, name: str) -> None:
    assert parse(said)[0] == name


def test_unknown_colour_names_those_known() -> None:
    with pytest.raises(Refused, match="'blurple' is not known: use one of black, white, grey"):
        has_color(plain((0, 0, 0)), "blurple")


def test_dark_and_light_count() -> None:
    dark, light = plain((0, 70, 0)), plain((150, 240, 150))
    assert has_color(dark, "dark green") and not has_color(light, "dark green")
    assert has_color(light, "light green") and not has_color(dark, "light green")
    assert has_color(dark, "green") and has_color(light, "green")


def test_a_few_pixels_are_not_enough() -> None:
    pixels = np.full((50, 50, 3), 255, np.uint8)
    pixels[:5, :5] = (255, 0, 0)
    assert not has_color(Image(pixels), "red")
    pixels[:, :25] = (255, 0, 0)
    assert has_color(Image(pixels), "red") and has_color(Image(pixels), "white")


def test_noise_does_not_matter() -> None:
    noisy = np.random.default_rng(0).normal((200, 40, 40), 20, (60, 60, 3)).clip(0, 255).astype(np.uint8)
    assert dominant_color(Image(noisy)) == "red"


def test_the_middle_of_a_box_counts_more_than_its_rim() -> None:
    pixels = np.full((80, 80, 3), (40, 160, 60), np.uint8)
    cv2.circle(pixels, (40, 40), 26, (220, 30, 30), -1)  # less than half of the box
    image = Image(pixels)
    assert dominant_color(image) == "green"
    assert dominant_color(Region(Box(5, 5, 75, 75), image=image)) == "red"


@pytest.mark.parametrize("noise", [0, 12])
def test_what_lies_around_a_box_is_not_of_the_thing(noise: int) -> None:
    """A thin cross covers little of its box; its colour is still that which lies nowhere else."""
    pixels = np.full((60, 80, 3), (120, 120, 125), np.int16)
    pixels[10:50, 38:43] = pixels[28:33, 20:60] = (210, 30, 30)
    pixels += np.random.default_rng(0).integers(-noise, noise + 1, pixels.shape, dtype=np.int16)
    cross = Region(Box(20, 10, 60, 50), "cross", 1.0, Image(pixels.clip(0, 255).astype(np.uint8)))
    assert dominant_color(cross) == "red"
    assert has_color(cross, "red") and not has_color(cross, "grey")


def test_a_thing_of_the_colour_around_it_still_has_one() -> None:
    grey = Image(np.full((40, 40, 3), 128, np.uint8))
    assert dominant_color(Region(Box(10, 10, 30, 30), "", 1.0, grey)) == "grey"
    assert dominant_color(Region(grey.box, "", 1.0, grey)) == "grey"


def test_a_mask_decides() -> None:
    pixels = np.full((40, 40, 3), (0, 0, 255), np.uint8)
    ring = np.zeros((40, 40), bool)
    ring[:6], ring[-6:] = True, True
    pixels[ring] = (255, 255, 0)
    image = Image(pixels)
    region = Region(Box(0, 0, 40, 40), image=image, mask=Mask.tight(ring))
    assert dominant_color(region) == "yellow"
    assert has_color(region, "yellow") and not has_color(region, "blue")


def test_shapes_know_their_colour() -> None:
    circle = Circle(Point(5, 5), 3, "red")
    assert dominant_color(circle) == "red"
    assert has_color(circle, "crimson") and not has_color(circle, "blue")


def test_what_does_not_know_its_image_is_refused() -> None:
    with pytest.raises(Refused, match=r"a Region does not know its image: give crop\(image, it\)"):
        dominant_color(Region(Box(0, 0, 5, 5)))
    with pytest.raises(ToolError, match="must be Image"):
        dominant_color(Box(0, 0, 5, 5))


def test_a_region_half_outside_the_image() -> None:
    image = plain((255, 0, 0))
    assert dominant_color(Region(Box(30, 30, 90, 90), image=image)) == "red"
    assert dominant_color(Region(Box(200, 200, 220, 220), image=image)) == "red"


# -- photographs -------------------------------------------------------------------------------------

PAINTS = {
    "white": (236, 236, 232), "grey": (125, 125, 128), "black": (26, 26, 28), "red": (190, 25, 30),
    "orange": (235, 120, 20), "yellow": (240, 200, 20), "green": (30, 130, 50), "blue": (30, 70, 180),
    "purple": (110, 50, 150), "pink": (240, 130, 180), "brown": (110, 65, 35), "cyan": (40, 190, 200),
}  # fmt: skip
LIGHTS = {
    "white": (1.0, 1.0, 1.0),
    "warm": (1.0, 0.86, 0.66),
    "cold": (0.8, 0.93, 1.0),
    "dim": (0.5, 0.5, 0.5),
}


def van(paint: tuple[int, ...], light: tuple[float, ...], shade: float = 1.0, windows: bool = True) -> Image:
    """A van of 100 x 60 pixels at (50, 40) in a room of many colours: its right half lies in shade."""
    rng = np.random.default_rng(3)
    canvas = np.empty((140, 200, 3))
    canvas[:], canvas[90:] = (0.6, 0.57, 0.51), (0.22, 0.18, 0.14)
    for x, y, *color in rng.uniform(0, 1, (30, 5)):
        canvas[int(y * 130) : int(y * 130) + 14, int(x * 185) : int(x * 185) + 14] = np.square(color)
    canvas[4:14, 4:30] = 0.95
    rows = np.linspace(1.0, 0.75, 60)[:, None, None]
    canvas[40:100, 50:150] = (np.array(paint) / 255) ** 2.2 * rows
    if windows:
        canvas[46:62, 58:92] = canvas[46:62, 104:142] = (0.015, 0.018, 0.022)
    canvas[:, 100:] *= shade
    seen = 255 * (canvas * light).clip(0, 1) ** (1 / 2.2) + rng.normal(0, 5, canvas.shape)
    return Image(cv2.GaussianBlur(seen.clip(0, 255).astype(np.uint8), (0, 0), 0.7))


@pytest.mark.parametrize("shade", [1.0, 0.4], ids=["even", "shaded"])
@pytest.mark.parametrize("light", LIGHTS)
@pytest.mark.parametrize("name", PAINTS)
def test_the_light_of_a_photograph_does_not_change_the_name(name: str, light: str, shade: float) -> None:
    image = van(PAINTS[name], LIGHTS[light], shade)
    box = Box(46, 36, 154, 104)
    van_of = Region(box, "van", 1.0, image)
    assert has_color(van_of, name)
    try:
        assert dominant_color(van_of) == name
    except Refused as error:
        assert name in str(error)


@pytest.mark.parametrize("name", ["white", "yellow", "purple", "red"])
def test_a_vehicle_is_not_named_by_its_windows_and_its_shade(name: str) -> None:
    image = van(PAINTS[name], LIGHTS["white"], 0.4)
    region = Region(Box(46, 36, 154, 104), "van", 1.0, image)
    assert dominant_color(region) == name
    assert not has_color(region, "grey") and not has_color(region, "brown")
    mask = np.zeros((140, 200), bool)
    mask[40:100, 50:150] = True
    assert dominant_color(Region(region.box, "van", 1.0, image, Mask.tight(mask))) == name
    assert dominant_color(image.crop(Box(52, 64, 148, 98))) == name


def test_two_colors_that_are_too_close_to_call_are_refused_and_both_hold() -> None:
    image = van((145, 145, 145), LIGHTS["white"], windows=False)
    region = Region(Box(46, 36, 154, 104), "van", 1.0, image)
    with pytest.raises(Refused, match="too close to call between white and grey: ask has_color"):
        dominant_color(region)
    assert has_color(region, "white") and has_color(region, "grey") and not has_color(region, "black")
    classifier = BasicClassifier()
    with pytest.raises(Refused, match="cannot tell white from grey"):
        classifier.classify(region, ["white", "grey", "red"])
    assert classifier.classify(region, ["red", "gray", "green"]) == "gray"
    assert BasicVerifier().verify(region, "white") and not BasicVerifier().verify(region, "red")


def test_tones_are_of_the_pixels_in_photographs_too() -> None:
    dark, light = (van(rgb, LIGHTS["white"], windows=False) for rgb in ((15, 80, 25), (120, 215, 130)))
    dark, light = (Region(Box(46, 36, 154, 104), "van", 1.0, image) for image in (dark, light))
    assert has_color(dark, "dark green") and not has_color(light, "dark green")
    assert has_color(light, "light green") and not has_color(dark, "light green")


@pytest.mark.parametrize(("rows", "near"), [(70, False), (36, True), (6, False)])
def test_a_color_of_about_a_quarter_of_a_photographed_object_is_said_to_be_near(
    rows: int, near: bool
) -> None:
    canvas = np.full((140, 200, 3), 0.3) + np.linspace(0, 0.1, 200)[None, :, None]
    canvas[70 - rows // 2 : 70 + rows // 2, 50:150] = (0.03, 0.25, 0.05)
    noise = np.random.default_rng(2).normal(0, 5, canvas.shape)
    image = Image((255 * canvas ** (1 / 2.2) + noise).clip(0, 255).astype(np.uint8))
    mask = np.zeros((140, 200), bool)
    mask[:, 50:150] = True
    person = Region(Box(50, 0, 150, 140), "person", 1.0, image, Mask.tight(mask))
    with cautions() as said:
        has_color(person, "green")
    assert any("that of a part" in each for each in said) == near
    drawing = Image(np.where(mask[..., None], (0, 160, 0), (255, 255, 255)).astype(np.uint8))
    with cautions() as said:
        has_color(Region(Box(0, 0, 200, 140), "box", 1.0, drawing), "green")
    assert not said
