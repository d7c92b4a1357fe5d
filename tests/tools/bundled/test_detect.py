"""The embedded detector: phrases in the words of its training, boxes in the frame of the root, and what it finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from visprog.errors import Refused, ToolError
from visprog.models import WEIGHTS
from visprog.scenes import Scenes
from visprog.tools.backends._backend_file import backend_file
from visprog.tools.backends._owl import as_trained
from visprog.tools.backends.owl import EmbeddedDetector, OwlDetector
from visprog.tools.words.phrase import read_phrase
from visprog.values import Box, Region
from visprog.values.image import Image


@pytest.fixture(scope="module")
def detector() -> EmbeddedDetector:
    return EmbeddedDetector()


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("red circles", "red circle"),
        ("a Gray ring", "grey ring"),
        ("striped red small stars", "small red striped star"),
        ("blue objects", "blue thing"),
        ("shapes", "thing"),
        ("white blood cells", "white blood cell"),
    ],
)
def test_phrases_are_read_as_they_were_taught(said: str, read: str) -> None:
    vocabulary = backend_file(WEIGHTS / "owl").vocabulary
    assert vocabulary is not None and as_trained(read_phrase(said), vocabulary) == read


def test_it_finds_what_scenes_show(detector: EmbeddedDetector) -> None:
    scenes = Scenes(96, split="test", overlap=0.0)
    right = wrong = missed = 0
    for i in range(25):
        scene = scenes[i]
        phrases = dict.fromkeys(f"{t.color} {t.shape}" for t in scene.objects)
        calls = [{"image": Image(scene.pixels), "what": phrase} for phrase in phrases]
        for phrase, regions in zip(phrases, detector(calls), strict=True):
            truth = [Box(*map(float, scene.boxes[k])) for k in scene.find(phrase)]
            hits = [t for t in truth if any(r.box.iou(t) >= 0.5 for r in regions)]
            right, missed = right + len(hits), missed + len(truth) - len(hits)
            wrong += max(0, len(regions) - len(hits))
            assert [r.score for r in regions] == sorted((r.score for r in regions), reverse=True)
            assert all(r.label == phrase for r in regions)
    assert right > 9 * (wrong + missed)


def test_an_image_need_not_be_square_and_images_need_not_be_alike(detector: EmbeddedDetector) -> None:
    scenes, found, things = Scenes(96, split="test", overlap=0.0), 0, 0
    for i in range(20):
        scene = scenes[i]
        calls, truth = [], []
        for down, across in ((0, 0), (0, 40), (30, 0)):
            wide = np.pad(scene.pixels, ((down, down), (across, across), (0, 0)), mode="edge")
            calls.append({"image": Image(wide), "what": f"{scene.objects[0].color} {scene.objects[0].shape}"})
            moved = scene.boxes[scene.find(calls[-1]["what"])] + [across, down, across, down]
            truth.append([Box(*map(float, box)) for box in moved])
        for regions, boxes in zip(detector(calls), truth, strict=True):
            things += len(boxes)
            found += sum(any(r.box.iou(box) >= 0.5 for r in regions) for box in boxes)
    assert found >= 0.9 * things


def test_boxes_of_a_crop_lie_in_the_frame_of_the_root(detector: EmbeddedDetector) -> None:
    scene = Scenes(96, split="test", objects=(1, 1))[3]
    canvas = np.full((150, 210, 3), 255, np.uint8)
    canvas[40:136, 100:196] = scene.pixels
    crop = Image(canvas).crop(Box(100, 40, 196, 136))
    (found,) = detector([{"image": crop, "what": "things"}])
    left, top, right, bottom = map(float, scene.boxes[0])
    truth = Box(100 + left, 40 + top, 100 + right, 40 + bottom)
    assert found[0].box.iou(truth) > 0.6


def test_a_word_that_it_was_not_taught_is_refused_and_concerns_its_call_alone(
    detector: EmbeddedDetector,
) -> None:
    image = Image(Scenes(96, split="test")[0].pixels)
    refused, found = detector(
        [{"image": image, "what": "purple elephants"}, {"image": image, "what": "things"}]
    )
    assert isinstance(refused, Refused) and "'elephant'" in str(refused)
    assert all(isinstance(r, Region) for r in found)


def test_a_folder_without_a_detector(tmp_path: Path) -> None:
    (error,) = OwlDetector(str(tmp_path))([{"image": Image(np.zeros((8, 8, 3), np.uint8)), "what": "things"}])
    assert isinstance(error, ToolError) and "holds no config.json" in str(error)
