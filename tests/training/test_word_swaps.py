"""Captions with two of their parts exchanged."""

from __future__ import annotations

import numpy as np
import pytest

from visprog.scenes import Scenes
from visprog.scenes.facts import facts_of
from visprog.training.data.word_swaps import word_swaps


def swaps(caption: str, others: tuple[str, ...] = ()) -> set[str]:
    rng = np.random.default_rng(0)
    return {text for _ in range(60) for text in word_swaps(caption, rng, others=others)}


@pytest.mark.parametrize(
    ("caption", "wanted"),
    [
        (
            "a red square left of a blue circle",
            {
                "a blue square left of a red circle",
                "a red circle left of a blue square",
                "a blue circle left of a red square",
            },
        ),
        ("An apple on a wooden table.", {"A table on a wooden apple.", "A wooden table on an apple."}),
        ("two dogs are chasing a cat", {"a cat is chasing two dogs"}),
        ("a vase of flowers on a table", {"a table on a vase of flowers"}),
        (
            "a picture of a red car behind a bus",
            {"a picture of a bus behind a red car", "a picture of a red bus behind a car"},
        ),
        # an exchange that says the same is none
        ("a dog and a cat", set()),
        ("a red dog and a blue dog", set()),
        ("the bus is next to the tree", set()),
        ("a red circle and a blue square", {"a blue circle and a red square", "a red square and a blue circle"}),
        ("a circle", set()),
        ("", set()),
        ("?! …", set()),
    ],
)  # fmt: skip
def test_parts_that_change_places(caption: str, wanted: set[str]) -> None:
    assert swaps(caption) == wanted


def test_verb_phrases_and_adverbs_change_places() -> None:
    found = swaps("a man riding a horse and a woman eating an apple")
    assert "a man eating an apple and a woman riding a horse" in found
    found = swaps("a dog that quickly runs while a cat slowly walks")
    assert "a dog that slowly runs while a cat quickly walks" in found


def test_it_differs_from_every_caption_of_the_image_and_is_repeatable() -> None:
    caption, other = "a red square left of a blue circle", "A blue circle left of a red square."
    assert swaps(caption, (other,)) == swaps(caption) - {"a blue circle left of a red square"}
    one, two = (word_swaps(caption, np.random.default_rng(5)) for _ in range(2))
    assert one == two


def test_swaps_of_scene_captions_are_captions_of_scenes_and_false() -> None:
    rng, scenes = np.random.default_rng(0), Scenes(32, objects=(2, 2))
    found = 0
    for i in range(150):
        caption = scenes[i].captions("full")[0]
        for swap in word_swaps(caption, rng, 3):
            found += 1
            assert facts_of(swap) is not None and not scenes[i].agrees(swap), (caption, swap)
    assert found > 300


def test_several_swaps_are_different_and_of_all_kinds() -> None:
    caption = "a red square left of a blue circle"
    for seed in range(5):
        found = word_swaps(caption, np.random.default_rng(seed), 5)
        assert len(found) == 3 and set(found) == swaps(caption)
    kinds = word_swaps("a young man riding a brown horse", np.random.default_rng(0), 3)
    assert len({tuple(sorted(text.split())) for text in kinds}) == 1 and len(set(kinds)) == 3
