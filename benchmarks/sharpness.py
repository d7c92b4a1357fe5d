"""Sharpness of photographs as they are and blurred in known ways: what the embedded planner calls blurred and sharp.

python benchmarks/sharpness.py FOLDER             # a folder or zip archive of photographs in focus
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from visprog.planner.embedded.image_requests.measures import BLURRED, SHARP
from visprog.tools.imaging.focus import SIDE, focus
from visprog.values.decode import FORMATS

Pixels = NDArray[np.uint8]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def photographs(paths: list[Path]) -> Iterator[Pixels]:
    """Photographs at the size at which they are judged."""
    for path in paths:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = sorted(n for n in archive.namelist() if n.lower().endswith(SUFFIXES))
                yield from (_reduced(io.BytesIO(archive.read(name))) for name in names)
        else:
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            yield from (_reduced(file) for file in found)


def _reduced(file: Path | io.BytesIO) -> Pixels:
    image = PIL.Image.open(file, formats=FORMATS).convert("RGB")
    image.thumbnail((SIDE, SIDE), PIL.Image.Resampling.LANCZOS)
    return np.array(image)


def jpeg(pixels: Pixels, quality: int = 85) -> Pixels:
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.array(PIL.Image.open(file, formats=("JPEG",)))


def gaussian(sigma: float, noise: float = 0.0, quality: int = 85) -> Callable[[Pixels, int], Pixels]:
    def blurred(pixels: Pixels, number: int) -> Pixels:
        soft = cv2.GaussianBlur(pixels, (0, 0), sigma) + np.random.default_rng(number).normal(
            0, noise, pixels.shape
        )
        return jpeg(soft.clip(0, 255).astype(np.uint8), quality)

    return blurred


def out_of_focus(radius: int) -> Callable[[Pixels, int], Pixels]:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = (x * x + y * y <= radius * radius).astype(np.float32)
    return lambda pixels, number: jpeg(np.asarray(cv2.filter2D(pixels, -1, disc / disc.sum()), np.uint8))


def shaken(length: int) -> Callable[[Pixels, int], Pixels]:
    def blurred(pixels: Pixels, number: int) -> Pixels:
        line = np.zeros((length, length), np.float32)
        line[length // 2] = 1
        turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), 67 * number % 180, 1)
        line = np.asarray(cv2.warpAffine(line, turn, (length, length)), np.float32)
        return jpeg(np.asarray(cv2.filter2D(pixels, -1, line / line.sum()), np.uint8))

    return blurred


def enlarged(factor: int) -> Callable[[Pixels, int], Pixels]:
    def blurred(pixels: Pixels, number: int) -> Pixels:
        height, width = pixels.shape[:2]
        small = cv2.resize(pixels, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)

    return blurred


CHANGES: dict[str, Callable[[Pixels, int], Pixels]] = {
    "as they are": lambda pixels, number: pixels,
    "JPEG of quality 40": lambda pixels, number: jpeg(pixels, 40),
    "Gaussian, 2 pixels": gaussian(2),
    "Gaussian, 3 pixels": gaussian(3),
    "Gaussian, 2.5 pixels, JPEG of quality 60": gaussian(2.5, quality=60),
    "Gaussian, 3 pixels, noise of 3 levels": gaussian(3, noise=3),
    "out of focus, radius of 5 pixels": out_of_focus(5),
    "shaken by 15 pixels": shaken(15),
    "shaken by 21 pixels": shaken(21),
    "enlarged four times": enlarged(4),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="+", help="folders or zip archives of photographs in focus")
    found = {name: list[float]() for name in CHANGES}
    for number, pixels in enumerate(photographs(parser.parse_args().data)):
        for name, change in CHANGES.items():
            found[name].append(focus(change(pixels, number)))
    for name, values in found.items():
        scores = np.array(values)
        blurred, sharp = (scores < BLURRED).mean(), (scores >= SHARP).mean()
        print(
            f"{name:<42} {len(scores)} photographs: blurred {blurred:6.1%}, sharp {sharp:6.1%}, undecided",
            end="",
        )
        print(f" {1 - blurred - sharp:6.1%}")


if __name__ == "__main__":
    main()
