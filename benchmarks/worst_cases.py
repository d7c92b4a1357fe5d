"""Costs of the tools with the largest arguments that a program can give them: processor time and peak memory.

python benchmarks/worst_cases.py [--only cover] [--seconds 120]

Every call runs in a process of its own, with the default backends, on one thread. It is ended after a number of
seconds. Model-backed tools whose default backend refuses are left out.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog import Image
from visprog.errors import VisprogError
from visprog.registry import default_registry
from visprog.values import Box, Circle, Mask, Point, Polygon, Region

TOOLS = default_registry()
LONG = "dog, red cat " * 300
"""A text of about 4,000 characters."""

Case = tuple[str, Callable[[], Any]]


def noise(width: int, height: int) -> Image:
    """An image in which no two pixels are alike."""
    return Image(
        np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8), name="noise.png"
    )


def drawing(width: int, height: int, shapes: int) -> Image:
    """Outlines and areas on white, in rows, with lines across them."""
    pixels: NDArray[np.uint8] = np.full((height, width, 3), 255, np.uint8)
    random = np.random.default_rng(0)
    side = int((width * height / shapes) ** 0.5)
    for i in range(shapes):
        x, y = (i % (width // side)) * side + side // 2, (i // (width // side)) * side + side // 2
        color = tuple(int(v) for v in random.integers(0, 200, 3))
        filled = -1 if i % 2 else max(2, side // 20)
        if i % 3:
            cv2.rectangle(
                pixels, (x - side // 3, y - side // 3), (x + side // 3, y + side // 3), color, filled
            )
        else:
            cv2.circle(pixels, (x, y), side // 3, color, filled)
    for x, y in random.integers(0, min(width, height), (20, 2)).tolist():
        cv2.line(pixels, (x, 0), (y, height), (0, 0, 0), 3)
    return Image(pixels, name="drawing.png")


def regions(image: Image, number: int, share: float, *, mask: bool = False) -> list[Any]:
    """Regions all over an image, each with sides of a share of the image's."""
    random = np.random.default_rng(1)
    size = np.array(image.size) * share
    corners = random.random((number, 2)) * (np.array(image.size) - size)
    boxes = [Box(*corner, *(corner + size)) for corner in corners.tolist()]
    if not mask:
        return [Region(box, f"object {i}", 1.0, image) for i, box in enumerate(boxes)]
    pixels = np.ones((max(1, int(size[1])), max(1, int(size[0]))), bool)
    return [Region(b, f"object {i}", 1.0, image, Mask(pixels, b)) for i, b in enumerate(boxes)]


def shapes(image: Image, number: int) -> list[Any]:
    """Circles and polygons all over an image."""
    found: list[Any] = []
    for i, place in enumerate(regions(image, number, 0.1)):
        middle = place.box.center
        corners = (
            (place.box.left, place.box.top),
            (place.box.right, place.box.top),
            (middle.x, place.box.bottom),
        )
        found.append(
            Polygon(tuple(Point(x, y) for x, y in corners)) if i % 2 else Circle(middle, place.box.height / 2)
        )
    return found


def cases() -> Iterator[Case]:
    """Names of the calls, and the calls."""
    images = {
        "12 MP noise": noise(4000, 3000),
        "12 MP drawing, 500 shapes": drawing(4000, 3000, 500),
        "1 MP drawing, 500 shapes": drawing(1200, 900, 500),
        "30000 x 1": noise(30_000, 1),
        "1 x 30000": noise(1, 30_000),
        "30000 x 21": noise(30_000, 21),
        "30000 x 400": noise(30_000, 400),
    }

    def call(tool: str, *args: Any) -> Callable[[], Any]:
        return lambda: TOOLS[tool](*args)

    for where, image in images.items():
        for tool in ("dominant_color", "find_circles", "find_polygons", "find_lines", "find_grid", "find_panels",
                     "find_qr_codes", "find_faces", "find_text"):  # fmt: skip
            yield f"{tool}, {where}", call(tool, image)
        for what in ("person", "eye", "dot", "tower"):
            yield f"detect {what}, {where}", call("detect", image, what)
        whole = [Region(image.box, "whole", 1.0, image)]
        for tool in ("blur_background", "color_pop", "remove", "tag"):
            yield f"{tool}, {where}, all of it", call(tool, image, whole)
        part = [image.crop(Box(0, 0, image.width, max(1, image.height // 2))).box]
        for tool in ("blur_background", "remove", "segment"):
            yield (
                f"{tool}, {where}, a half",
                call(tool, image, Region(part[0]) if tool == "segment" else part),
            )
        for style in ("box", "blur", "pixelate", "emoji"):
            yield f"cover {style}, {where}, all of it", call("cover", image, whole, style)
    for where in ("12 MP noise", "12 MP drawing, 500 shapes", "30000 x 1"):
        image = images[where]
        for kind, many in (
            ("small boxes", regions(image, 500, 0.02)),
            ("large boxes", regions(image, 500, 0.9)),
            ("large masks", regions(image, 500, 0.9, mask=True)),
            ("shapes", shapes(image, 500)),
        ):
            for tool in ("blur_background", "color_pop", "tag", "remove"):
                yield f"{tool}, {where}, 500 {kind}", call(tool, image, many)
            for style in ("box", "blur", "pixelate", "emoji"):
                yield f"cover {style}, {where}, 500 {kind}", call("cover", image, many, style)
        many = regions(image, 500, 0.5)
        yield f"tag, {where}, 500 labels of 4,000 letters", call("tag", image, many, [LONG] * 500)
    small = noise(200, 200)
    for tool in ("detect", "verify", "match", "has_color", "find_polygons", "find_text", "cupl_prompts"):
        yield f"{tool}, 4,000 letters", call(tool, *((LONG,) if tool == "cupl_prompts" else (small, LONG)))
        odd = "x" * 4000
        yield f"{tool}, a word of 4,000", call(tool, *((odd,) if tool == "cupl_prompts" else (small, odd)))
    yield "cover emoji, a word of 4,000", call("cover", small, [small.box], "emoji", "-" * 4000)
    yield "classify, 500 options", call("classify", small, ["dark red"] * 500)
    yield "classify, 500 options of 4,000 letters", call("classify", small, [LONG] * 500)


def measure(work: Callable[[], Any], seconds: int) -> tuple[float, float, str]:
    """Processor time in seconds, memory beyond that before in MB, and how the call ended."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with open(os.devnull, "w") as silence:
            os.dup2(silence.fileno(), 2)
        start, outcome = time.process_time(), "ok"
        try:
            work()
        except VisprogError as error:
            outcome = f"{type(error).__name__}: {error}"
        except Exception as error:
            outcome = f"FAILED {type(error).__name__}: {error}"
        spent, after = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        os.write(write, f"{spent} {(after - before) / 1024} {outcome[:60]}".encode(errors="replace"))
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, status, used = os.wait4(child, 0)
    if not said:
        ended = signal.Signals(status & 127).name if status & 127 else f"exit {status >> 8}"
        return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, ended
    spent, memory, outcome = said.split(" ", 2)
    return float(spent), float(memory), outcome


def main() -> None:
    """Measure the cases, and print those that cost more than a twentieth of a second or a few megabytes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", default="", help="part of the name of a case")
    parser.add_argument("--seconds", type=int, default=60, help="limit of processor time of a case")
    options = parser.parse_args()
    cv2.setNumThreads(0)
    print("| call | seconds | MB | outcome |\n|---|---|---|---|")
    for name, work in cases():
        if options.only in name:
            spent, memory, outcome = measure(work, options.seconds)
            print(f"| {name} | {spent:.2f} | {memory:.0f} | {outcome} |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
