"""Colours of objects in photographs, judged against names given by looking at them.

python benchmarks/colors.py --data ../shared           # the folder that holds photos/ and data/cifar10_train.zip
python benchmarks/colors.py --data ../shared --verbose # each object with its answer

Each object has a box, as a detector gives it, and the names that a person would accept. The second part needs no
files: coloured solids are rendered under tinted, dim and half-shaded light, with clutter in their boxes. An answer
is right, wrong, or refused as too close to call.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from visprog.errors import Refused
from visprog.tools.color import dominant_color, has_color
from visprog.tools.imaging.light import linear
from visprog.values import Box, Region
from visprog.values.colors import NAMES
from visprog.values.image import Image
from visprog.values.mask import Mask


class Sample(NamedTuple):
    """An object: what it is, where it lies, and the names of colours that are right."""

    title: str
    region: Region
    names: frozenset[str]


PHOTOS: dict[str, list[tuple[str, tuple[int, int, int, int], str]]] = {
    "street1.jpg": [
        ("bus", (51, 86, 588, 415), "purple"),
        ("number plate", (427, 379, 489, 394), "white grey"),
        ("kerb", (210, 440, 435, 461), "yellow beige brown"),
        ("wall of bricks", (255, 0, 440, 80), "brown red"),
        ("indicator", (310, 344, 336, 360), "orange"),
        ("road", (450, 420, 640, 475), "white grey"),
    ],
    "street2.jpg": [
        ("shirt", (400, 108, 466, 250), "green"),
        ("striped shirt", (270, 98, 333, 220), "blue"),
        ("shorts of the woman", (104, 258, 192, 348), "white"),
        ("top of the woman", (118, 165, 180, 258), "white"),
        ("t-shirt", (160, 115, 215, 190), "white"),
        ("shorts", (276, 218, 322, 298), "white beige grey"),
        ("other shorts", (388, 250, 452, 330), "beige grey"),
        ("cabinet", (0, 198, 84, 325), "brown"),
        ("sofa", (228, 205, 375, 310), "blue"),
        ("wooden table", (480, 372, 640, 480), "brown orange beige"),
        ("side table", (500, 282, 640, 375), "brown"),
        ("bag", (0, 402, 85, 480), "black"),
        ("carpet", (230, 390, 350, 470), "grey"),
        ("heater", (486, 25, 560, 350), "brown beige grey"),
    ],
    "truck.jpg": [
        ("truck", (52, 270, 1726, 855), "white"),
        ("wall", (1000, 20, 1700, 400), "red"),
        ("wheel", (450, 630, 680, 845), "black"),
        ("tail light", (160, 523, 220, 633), "red"),
        ("road", (600, 950, 1400, 1150), "grey"),
        ("window", (235, 315, 625, 450), "black"),
        ("door", (945, 440, 1340, 665), "white"),
        ("canopy", (220, 290, 910, 510), "white"),
    ],
    "dog.jpg": [
        ("dog", (0, 225, 425, 534), "white"),
        ("bowl", (488, 138, 656, 259), "grey"),
        ("jeans", (590, 0, 790, 345), "blue"),
        ("massage chair", (40, 0, 390, 170), "grey beige"),
        ("floor", (450, 420, 580, 520), "white grey beige"),
        ("patch of the dog", (312, 258, 358, 338), "brown orange"),
        ("tongue", (402, 312, 426, 338), "pink red"),
    ],
    "groceries.jpg": [
        ("first bag", (372, 198, 445, 340), "brown beige"),
        ("second bag", (442, 178, 510, 340), "brown beige"),
        ("third bag", (508, 175, 585, 342), "brown beige"),
        ("bumper", (25, 400, 750, 500), "grey"),
        ("left tail light", (50, 0, 150, 225), "red"),
        ("right tail light", (622, 0, 720, 220), "red"),
        ("floor of the boot", (160, 310, 630, 372), "black"),
        ("headrest", (355, 88, 420, 135), "beige brown grey"),
        ("reflector", (32, 398, 82, 424), "red"),
        ("lettuce", (512, 145, 565, 188), "green"),
        ("yellow wrapping", (582, 140, 620, 175), "yellow green orange"),
    ],
    "cats.png": [
        ("blanket", (360, 380, 500, 475), "pink"),
        ("back of the sofa", (0, 0, 360, 65), "red pink"),
        ("remote control", (42, 73, 175, 116), "blue white grey"),
        ("left cat", (15, 55, 315, 470), "grey brown beige black"),
        ("right cat", (336, 38, 628, 361), "grey brown beige black white"),
    ],
}  # fmt: skip
"""File in photos/ → its objects."""

SMALL: dict[str, tuple[tuple[int, int, int, int], str]] = {
    "dog/3664": ((7, 8, 24, 28), "beige white"), "ship/1324": ((4, 7, 27, 30), "white"),
    "ship/4492": ((2, 8, 30, 26), "yellow orange beige"), "horse/0883": ((6, 4, 28, 31), "brown"),
    "dog/0449": ((11, 7, 26, 26), "pink red"), "automobile/1551": ((1, 6, 28, 24), "green"),
    "airplane/2525": ((5, 11, 31, 22), "white"), "horse/2134": ((6, 7, 29, 30), "brown orange"),
    "automobile/1866": ((1, 9, 31, 25), "orange brown beige"), "horse/1517": ((1, 6, 31, 31), "grey"),
    "bird/1019": ((9, 5, 24, 28), "yellow brown"), "automobile/3987": ((6, 9, 29, 23), "blue cyan"),
    "horse/3359": ((2, 5, 25, 31), "brown red"), "bird/4284": ((8, 8, 24, 24), "black"),
    "airplane/0247": ((5, 6, 31, 25), "white grey"), "automobile/3064": ((1, 8, 27, 27), "purple white grey"),
    "dog/0974": ((10, 8, 30, 30), "black"), "automobile/0642": ((2, 9, 27, 28), "cyan blue"),
    "horse/0428": ((4, 5, 28, 31), "white"), "airplane/3045": ((4, 11, 31, 26), "white"),
    "truck/3288": ((2, 7, 31, 28), "beige yellow"), "automobile/4389": ((3, 10, 31, 28), "red"),
    "automobile/3588": ((2, 9, 30, 26), "red"), "horse/1775": ((9, 4, 28, 31), "black"),
    "truck/0713": ((2, 10, 31, 27), "black"), "automobile/3447": ((2, 9, 30, 25), "blue"),
    "automobile/0596": ((4, 9, 31, 28), "white"), "ship/1374": ((5, 3, 31, 26), "orange red"),
    "horse/1961": ((7, 8, 27, 29), "white"), "automobile/0396": ((1, 2, 30, 30), "red"),
}  # fmt: skip
"""Image of CIFAR-10 → its object."""

PAINTS: dict[str, tuple[int, int, int]] = {
    "white": (235, 235, 232), "grey": (125, 125, 128), "black": (28, 28, 30), "red": (190, 25, 30),
    "orange": (235, 120, 20), "yellow": (240, 200, 20), "green": (30, 130, 50), "blue": (30, 70, 180),
    "purple": (110, 50, 150), "pink": (240, 130, 180), "brown": (110, 65, 35), "beige": (220, 195, 155),
    "cyan": (40, 190, 200),
}  # fmt: skip
"""Colours of the rendered solids in white light, sRGB."""

LIGHTS: dict[str, tuple[float, float, float]] = {
    "white": (1, 1, 1), "warm": (1, 0.86, 0.66), "cold": (0.8, 0.93, 1.0), "dim": (0.45, 0.45, 0.45),
}  # fmt: skip
"""Colours of the light, linear."""


def photographs(folder: Path) -> Iterator[Sample]:
    """The objects of the photographs, as far as they are there."""
    for name, objects in PHOTOS.items():
        if (folder / "photos" / name).is_file():
            image = Image.open(folder / "photos" / name)
            for title, box, names in objects:
                yield Sample(f"{name} {title}", Region(Box(*box), "", 1.0, image), frozenset(names.split()))


def small(folder: Path) -> Iterator[Sample]:
    """The objects of CIFAR-10, as far as it is there."""
    archive = folder / "data" / "cifar10_train.zip"
    if archive.is_file():
        with zipfile.ZipFile(archive) as opened:
            for name, (box, names) in SMALL.items():
                image = Image.open(io.BytesIO(opened.read(f"train/{name}.jpg")))
                yield Sample(name, Region(Box(*box), "", 1.0, image), frozenset(names.split()))


def rendered(seed: int = 0) -> Iterator[Sample]:
    """Each paint under each light, even and half in shade, with and without a mask."""
    rng = np.random.default_rng(seed)
    for name, paint in PAINTS.items():
        for title, light in LIGHTS.items():
            for shade in (1.0, 0.4):
                image, mask = render(np.array(paint), np.array(light), shade, rng)
                box = Box(30, 40, 170, 140)
                for masked in (None, mask):
                    label = f"{name} in {title} light{', half in shade' if shade < 1 else ''}" + (
                        ", mask" if masked else ""
                    )
                    yield Sample(label, Region(box, "", 1.0, image, mask=masked), frozenset((name,)))


def render(
    paint: np.ndarray, light: np.ndarray, shade: float, rng: np.random.Generator
) -> tuple[Image, Mask]:
    """A shaded box-shaped solid with two dark windows before a room of several colours: the image and the mask."""
    height, width = 180, 200
    canvas = np.empty((height, width, 3))
    canvas[:] = linear(np.array([205, 200, 190]))  # a wall, a floor, and objects on it
    canvas[110:] = linear(np.array([130, 118, 105]))
    for _ in range(12):
        x, y = int(rng.integers(0, width - 20)), int(rng.integers(0, height - 20))
        canvas[y : y + 20, x : x + 20] = linear(rng.uniform(30, 230, 3))
    canvas[4:16, 4:40] = linear(np.array([248, 248, 248]))
    body = np.zeros((height, width), np.uint8)
    cv2.rectangle(body, (36, 62), (164, 134), 1, -1)
    cv2.ellipse(body, (100, 66), (56, 24), 0, 180, 360, 1, -1)
    inside = body > 0
    shading = np.linspace(1.0, 0.75, height)[:, None] * np.ones(width)
    canvas[inside] = linear(paint) * shading[inside][:, None]
    canvas[66:84, 52:90] = canvas[66:84, 108:146] = linear(np.array([34, 38, 42]))
    lit = np.where(np.arange(width) < 95, 1.0, shade)[None, :, None]
    seen = canvas * lit * light
    encoded = 255 * np.where(
        seen <= 0.0031308, 12.92 * seen, 1.055 * np.maximum(seen, 1e-6) ** (1 / 2.4) - 0.055
    )
    encoded += rng.normal(0, 5, encoded.shape)
    pixels = cv2.GaussianBlur(np.clip(encoded, 0, 255).astype(np.uint8), (0, 0), 0.7)
    return Image(np.asarray(pixels, np.uint8)), Mask.tight(inside)


def judge(samples: list[Sample], verbose: bool) -> str:
    """One line of a table: right, wrong and refused; names of has_color that hold, of right names and of others."""
    right = wrong = refused = 0
    held, false, others = 0, 0, 0
    for sample in samples:
        try:
            said = dominant_color(sample.region)
        except Refused as error:
            said, refused = f"refused: {error}", refused + 1
        else:
            right, wrong = right + (said in sample.names), wrong + (said not in sample.names)
        holding = [name for name in NAMES if has_color(sample.region, name)]
        held += bool(sample.names & set(holding))
        false += len(set(holding) - sample.names)
        others += len(NAMES) - len(sample.names)
        if verbose and said not in sample.names:
            print(f"  {sample.title}: {said}, not {'/'.join(sorted(sample.names))}; has {', '.join(holding)}")
    n = max(len(samples), 1)
    return (
        f"{len(samples):4} objects: right {right / n:6.1%}, wrong {wrong / n:6.1%}, refused {refused / n:6.1%}; "
        f"has_color true of a right name {held / n:6.1%}, of another {false / max(others, 1):6.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=Path(), help="folder with photos/ and data/cifar10_train.zip"
    )
    parser.add_argument("--verbose", action="store_true", help="print each object whose answer is not right")
    arguments = parser.parse_args()
    for title, samples in (
        ("photographs", list(photographs(arguments.data))),
        ("small photographs", list(small(arguments.data))),
        ("rendered", list(rendered())),
    ):
        if samples:
            print(f"{title:<18} {judge(samples, arguments.verbose)}", flush=True)
        else:
            print(f"{title:<18} skipped: {arguments.data} does not hold them")


if __name__ == "__main__":
    main()
