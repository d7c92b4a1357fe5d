"""Look at scenes: `python -m visprog.scenes out.png --count 24 --split train --style mixed`."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.errors import VisprogError

from .language import LEVELS
from .scene import Scene
from .scenes import SPLITS, Scenes
from .styles import STYLES

WORDS = 62
"""Pixels below each image, for its caption."""


def main() -> None:
    """Write a contact sheet: images with their captions."""
    parser = argparse.ArgumentParser(prog="python -m visprog.scenes", description=main.__doc__)
    parser.add_argument("out", type=Path, help="the PNG file to write")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--size", type=int, default=128, help="of the images, in pixels")
    parser.add_argument("--show", type=int, default=192, help="at how many pixels to show them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--style", choices=("mixed", *STYLES))
    parser.add_argument("--backgrounds", type=Path, help="a folder of photographs")
    parser.add_argument("--level", choices=LEVELS, default="full", help="of the captions")
    parser.add_argument("--boxes", action="store_true", help="draw the boxes")
    chosen = parser.parse_args()
    if chosen.count < 1:
        parser.error("--count must be at least 1")
    try:
        scenes = Scenes(
            chosen.size, chosen.seed, chosen.split, style=chosen.style, backgrounds=chosen.backgrounds
        )
    except (ValueError, VisprogError) as error:
        parser.error(str(error))
    tiles = [tile(scenes[i], chosen.show, chosen.level, chosen.boxes) for i in range(chosen.count)]
    columns = max(1, min(6, chosen.count))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    sheet = np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])
    chosen.out.write_bytes(cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())


def tile(scene: Scene, side: int, level: str, boxes: bool) -> NDArray[np.uint8]:
    """An image at `side` pixels above its caption, RGB (side + WORDS, side + 8, 3)."""
    method = cv2.INTER_NEAREST if side >= scene.size else cv2.INTER_AREA
    image = cv2.resize(scene.pixels, (side, side), interpolation=method)
    if boxes:
        for left, top, right, bottom in np.rint(scene.boxes * side / scene.size).astype(int).tolist():
            cv2.rectangle(image, (left, top), (right - 1, bottom - 1), (255, 0, 255), 1)
    out = np.full((side + WORDS, side + 8, 3), 255, np.uint8)
    out[4 : side + 4, 4 : side + 4] = image
    for k, line in enumerate(textwrap.wrap(scene.caption(level), side // 6)[:5]):
        cv2.putText(
            out, line, (4, side + 15 + 11 * k), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (0, 0, 0), 1, cv2.LINE_AA
        )
    return out


if __name__ == "__main__":
    main()
