"""Objects whose colours have no name: what is said of them, what they look like, and what they never show."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from visprog.scenes import COLORS, HELD_OUT, Scenes, facts_of
from visprog.scenes.colors import palette
from visprog.scenes.unnamed_colors import MIN_DISTANCE, _colors, unnamed, with_unnamed_colors
from visprog.values.colors import to_lab

SCENES = Scenes(64, split="train")


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_without_a_share_it_is_the_scene() -> None:
    for i in range(20):
        pixels, caption = with_unnamed_colors(SCENES[i], rng(i), 0.0)
        assert (pixels == SCENES[i].pixels).all()
        assert caption == SCENES[i].captions("plain")[0]


def test_it_is_the_same_for_the_same_numbers() -> None:
    one, two, other = (with_unnamed_colors(SCENES[3], rng(seed), 0.5) for seed in (1, 1, 2))
    assert (one[0] == two[0]).all() and one[1] == two[1]
    assert (one[0] != other[0]).any()


def test_only_what_has_its_color_is_said_to_have_it() -> None:
    changed = 0
    for i in range(60):
        scene = SCENES[i]
        pixels, caption = with_unnamed_colors(scene, rng(i), 0.5)
        facts = facts_of(caption)
        assert facts is not None
        told = [(m.shape, m.color) for m in facts.mentions for _ in range(m.number)]
        assert sorted(shape for shape, _ in told) == sorted(obj.shape for obj in scene.objects)
        left = [(obj.shape, obj.color) for obj in scene.objects]
        for pair in told:
            if pair[1] is not None:
                left.remove(pair)
        changed += len(left)
        different = (pixels != scene.pixels).any(2)
        assert different.any() == bool(left)
        around = cv2.dilate(scene.silhouettes.any(0).astype(np.uint8), np.ones((5, 5), np.uint8))
        assert around[different].all()
    assert changed > 30


def test_colors_without_a_name_are_near_to_none_that_has_one() -> None:
    colors, nearest = unnamed()
    assert len(colors) > 500
    distances = np.linalg.norm(to_lab(colors)[:, None, None] - palette().lab, axis=3).min(2)
    assert distances.min() >= MIN_DISTANCE
    assert (distances.argmin(1) == nearest).all()


@pytest.mark.parametrize("i", range(0, 40, 4))
def test_no_color_comes_near_to_one_that_is_held_out(i: int) -> None:
    for obj in SCENES[i].objects:
        for seed in range(50):
            ends = to_lab(np.stack(_colors(obj, rng(seed))))
            distances = np.linalg.norm(ends[:, None, None] - palette().lab, axis=3).min(2)
            for place in distances.argmin(1):
                assert (COLORS[place], obj.shape) not in HELD_OUT
