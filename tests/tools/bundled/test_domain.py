"""What the bundled models were not taught is refused, and what they were taught is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from visprog.errors import Refused
from visprog.models import WEIGHTS
from visprog.scenes import Scenes
from visprog.tools.backends._backend_file import backend_file
from visprog.tools.backends._gate import to_view
from visprog.tools.backends.clip import ClipClassifier, EmbeddedClassifier, EmbeddedMatcher, EmbeddedVerifier
from visprog.tools.backends.coca import CocaCaptioner
from visprog.tools.backends.llava import EmbeddedVqa
from visprog.tools.backends.owl import EmbeddedDetector
from visprog.tools.backends.sam import EmbeddedEverything, EmbeddedSegmenter
from visprog.values import Box, Region
from visprog.values.image import Image

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
SHARED = Path(__file__).resolve().parents[4] / "shared" / "photos"


def scene(index: int = 0, size: int = 96, **options: Any) -> Pixels:
    return Scenes(size, seed=5, split="test", **options)[index].pixels


def leaves() -> Pixels:
    """Shaded, textured patches of all sizes over each other, as photographs are made of."""
    rng = np.random.default_rng(1)
    canvas = np.full((240, 240, 3), (120.0, 130, 110))
    for _ in range(150):
        cover = np.zeros((240, 240), np.uint8)
        x, y, radius = (*rng.integers(0, 240, 2).tolist(), int(6 / rng.uniform(0.1, 1)))
        cv2.ellipse(cover, (x, y), (radius, radius // 2 + 1), float(rng.uniform(0, 360)), 0, 360, 255, -1)
        soft = cv2.GaussianBlur(cover, (0, 0), 1.5)[..., None] / 255
        shade = np.linspace(0.6, 1.3, 240)[:, None, None] * rng.uniform(40, 220, 3)
        canvas = canvas * (1 - soft) + shade * soft
    return (canvas + rng.normal(0, 4, canvas.shape)).clip(0, 255).astype(np.uint8)


def page() -> Pixels:
    canvas = np.full((300, 260, 3), 255, np.uint8)
    for y in range(30, 290, 22):
        cv2.putText(canvas, "lines of a printed page", (12, y), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (20, 20, 20))
    return canvas


OTHERS: dict[str, Callable[[], Pixels]] = {
    "leaves": leaves,
    "page": page,
    "white": lambda: np.full((96, 96, 3), 255, np.uint8),
    "black": lambda: np.zeros((64, 64, 3), np.uint8),
    "noise": lambda: np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8),
    "night": lambda: (scene() * 0.3).astype(np.uint8),
    "two scenes side by side": lambda: np.concatenate([scene(0), scene(1)], 1),
    "one above three": lambda: np.concatenate([scene(k) for k in range(4)], 0),
}
TOOLS: dict[str, Callable[[Image], list[Any]]] = {
    "detect": lambda image: EmbeddedDetector()([{"image": image, "what": "circle"}]),
    "classify": lambda image: EmbeddedClassifier()([{"image": image, "options": ["red circle", "star"]}]),
    "match": lambda image: EmbeddedMatcher()([{"image": image, "text": "a red circle"}]),
    "verify": lambda image: EmbeddedVerifier()([{"image": image, "statement": "a red circle"}]),
    "caption": lambda image: CocaCaptioner()([{"image": image}]),
    "vqa": lambda image: EmbeddedVqa()([{"image": image, "question": "Is there a star?"}]),
    "segment": lambda image: EmbeddedSegmenter()([{"image": image, "region": Region(Box(9, 9, 50, 50))}]),
    "segment_everything": lambda image: EmbeddedEverything(points_per_side=2)([{"image": image}]),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_each_tool_refuses_a_photograph_and_answers_about_a_scene(tool: str) -> None:
    (refused,) = TOOLS[tool](Image(leaves()))
    assert isinstance(refused, Refused)
    assert f"the model of {tool} was taught drawn scenes of one to five simple shapes" in str(refused)
    assert f"under [tools.{tool}] in visprog.toml" in str(refused)
    (answer,) = TOOLS[tool](Image(scene(size=160)))
    assert not isinstance(answer, Exception)


@pytest.mark.parametrize("name", OTHERS)
def test_images_of_other_kinds_are_refused(name: str) -> None:
    image = Image(OTHERS[name]())
    for look in (image, Region(image.box, "", 1.0, image)):
        with pytest.raises(Refused, match="this image"):
            to_view(look, WEIGHTS / "coca", "caption")


@pytest.mark.parametrize(
    "file", sorted(SHARED.glob("*")) or [None], ids=lambda file: getattr(file, "name", "none")
)
def test_photographs_and_their_parts_are_refused(file: Path | None) -> None:
    if file is None:
        pytest.skip("there are no photographs beside the repository")
    whole = Image.open(file)
    width, height = whole.size
    parts = [Box(0, 0, height / 2, height / 2), Box(width / 3, height / 3, width * 0.8, height * 0.8)]
    for image in (whole, *(whole.crop(part) for part in parts)):
        with pytest.raises(Refused):
            to_view(image, WEIGHTS / "clip", "classify")


@pytest.mark.parametrize("size", [48, 96, 200])
@pytest.mark.parametrize("split", ["test", "held_out"])
def test_scenes_are_not_refused(split: str, size: int) -> None:
    source, refused = Scenes(size, seed=3, split=split), 0
    for i in range(25):
        try:
            to_view(Image(source[i].pixels), WEIGHTS / "clip", "classify")
        except Refused:
            refused += 1
    assert refused <= 1


def test_more_objects_than_taught_are_refused_by_those_that_tell_of_all() -> None:
    full = Image(scene(1, size=160, objects=(7, 7), overlap=0.0))
    assert isinstance(CocaCaptioner()([{"image": full}])[0], Refused)
    with pytest.raises(Refused, match="shows more than 5 objects"):
        to_view(full, WEIGHTS / "llava", "vqa")
    assert to_view(full, WEIGHTS / "owl", "detect") is full


def test_a_scene_in_a_haze_is_refused_but_by_the_model_that_was_taught_such_scenes() -> None:
    pale = Image((scene(size=160) * 0.3 + 120).astype(np.uint8))
    for name in ("clip", "owl", "coca", "llava"):
        with pytest.raises(Refused, match="this image has less contrast"):
            to_view(pale, WEIGHTS / name, "detect")
    assert to_view(pale, WEIGHTS / "sam", "segment") is pale


@pytest.mark.parametrize("ratio", [2, 4])
@pytest.mark.parametrize("down", [False, True], ids=["wide", "high"])
def test_plain_ground_beside_a_scene_changes_nothing(down: bool, ratio: int) -> None:
    source = Scenes(96, seed=5, split="test")
    right = []
    for i in range(8):
        extra = 96 * (ratio - 1) // 2
        margins = ((extra, extra), (0, 0), (0, 0)) if down else ((0, 0), (extra, extra), (0, 0))
        image = Image(np.pad(source[i].pixels, margins, mode="edge"))
        (said,) = CocaCaptioner()([{"image": image}])
        assert isinstance(said, str)
        right.append(source[i].agrees(said, complete=True))
        (found,) = EmbeddedDetector()([{"image": image, "what": "thing"}])
        shift = (0, extra) if down else (extra, 0)
        for box in source[i].boxes:
            left, top, other, bottom = map(float, box)
            truth = Box(left + shift[0], top + shift[1], other + shift[0], bottom + shift[1])
            right.append(any(region.box.iou(truth) > 0.5 for region in found))
    assert np.mean(right) > 0.8


def test_a_scene_in_an_image_of_another_kind_is_seen_in_its_crop() -> None:
    canvas = np.full((300, 500, 3), 255, np.uint8)
    canvas[100:260, 200:360] = scene(size=160)
    crop = Image(canvas).crop(Box(200, 100, 360, 260))
    assert to_view(crop, WEIGHTS / "coca", "caption") is crop


def test_what_a_model_was_taught_is_data_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    shutil.copytree(WEIGHTS / "clip", folder)
    (folder / "backend.json").unlink()
    assert backend_file(folder).domain is None
    calls = [{"image": Image(leaves()), "options": ["red circle", "star"]}]
    assert ClipClassifier(str(folder))(calls)[0] in ("red circle", "star")
    domain = {
        "images": "daylight",
        "gate": str(WEIGHTS / "owl"),
        "brightness": 250,
        "aspect": 9,
        "objects": None,
    }
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "backend.json").write_text(json.dumps({"domain": domain}))
    with pytest.raises(Refused, match="was taught daylight, and this image is darker"):
        to_view(Image(np.full((20, 30, 3), 90, np.uint8)), tmp_path / "other", "vqa")


def test_every_bundled_model_of_images_says_what_it_was_taught() -> None:
    for name in ("clip", "owl", "sam", "coca", "llava"):
        known = backend_file(WEIGHTS / name).domain
        assert known is not None and (WEIGHTS / name / known.gate / "gate.json").is_file()
