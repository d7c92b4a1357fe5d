"""OWLv2, OWL-ViT and Grounding DINO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from visprog.errors import ToolError
from visprog.tools.backends._checkpoint import Checkpoint, find
from visprog.tools.backends._loading import load_by_transformers
from visprog.tools.backends.grounding_dino import GroundingDinoDetector
from visprog.tools.backends.owl import OwlDetector
from visprog.tools.detect import detect
from visprog.values import Box, Region
from visprog.values.image import Image

Folder = Callable[[str], str]
KIND = pytest.mark.parametrize("kind", ["owlv2", "owlvit", "grounding-dino", "mm-grounding-dino"])


def detector(kind: str, folder: str, **options: Any) -> Any:
    if kind.endswith("grounding-dino"):
        return GroundingDinoDetector(folder, **{"threshold": 0.0, "text_threshold": 0.0, **options})
    return OwlDetector(folder, **{"threshold": 0.0, **options})


def theirs(folder: str) -> Checkpoint:
    return load_by_transformers(find(folder, "detect"), "AutoModelForZeroShotObjectDetection", "auto", "auto")


def flat(regions: list[Region]) -> list[float]:
    return [v for r in regions for v in (r.left, r.top, r.right, r.bottom, r.score)]


def test_they_are_the_backends_of_detect() -> None:
    assert isinstance(detect.load("owlv2"), OwlDetector)
    assert isinstance(detect.load("grounding-dino"), GroundingDinoDetector)


@KIND
def test_regions_lie_in_the_frame_of_the_root(kind: str, checkpoint: Folder, pictures: list[Image]) -> None:
    crop = pictures[-1]
    alone = Image.open(np.array(crop.pixels))
    finder = detector(kind, checkpoint(kind), nms=1.0)
    (found,) = finder([{"image": crop, "what": "dogs"}])
    (same,) = finder([{"image": alone, "what": "dogs"}])
    assert len(found) >= 5
    assert all(r.label == "dog" and 0 <= r.score <= 1 and r.image is crop.root for r in found)
    assert all(r.box.intersection(crop.box) == r.box for r in found)
    assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)
    moved = [Region(r.box.shift(20, 10), "dog", r.score) for r in same]
    assert flat(moved) == pytest.approx(flat(found), abs=1e-3)


@KIND
def test_a_batch_is_the_same_as_one_by_one(kind: str, checkpoint: Folder, pictures: list[Image]) -> None:
    calls = [{"image": p, "what": w} for p in pictures for w in ("cat", "red car")]
    calls += [{"image": pictures[0], "what": "two dogs"}]
    together = detector(kind, checkpoint(kind), batch_size=3)(calls)
    for call, found in zip(calls, together, strict=True):
        (alone,) = detector(kind, checkpoint(kind))([call])
        assert flat(alone) == pytest.approx(flat(found), abs=2e-3)
    assert flat(together[0]) != flat(together[1])


@KIND
def test_threshold_and_overlap(kind: str, checkpoint: Folder, pictures: list[Image]) -> None:
    call = {"image": pictures[0], "what": "cat"}
    (everything,) = detector(kind, checkpoint(kind), nms=1.0)([call])
    middle = sorted(r.score for r in everything)[len(everything) // 2]
    (some,) = detector(kind, checkpoint(kind), nms=1.0, threshold=middle)([call])
    assert 0 < len(some) < len(everything)
    (none,) = detector(kind, checkpoint(kind), threshold=1.0)([call])
    assert none == []
    (apart,) = detector(kind, checkpoint(kind), nms=0.3)([call])
    assert all(a.box.iou(b) <= 0.3 for i, a in enumerate(apart) for b in apart[:i])
    assert flat(apart[:1]) == flat(everything[:1])


def test_owlv2_boxes_belong_to_the_picture_filled_up_to_a_square(checkpoint: Folder) -> None:
    """The upper half of a picture twice as high is seen as that picture is, filled up with black."""
    pixels = np.zeros((60, 60, 3), np.uint8)
    pixels[:30] = np.random.default_rng(0).integers(0, 255, (30, 60, 3))
    square, wide = Image.open(pixels), Image.open(pixels[:30])
    call = {"what": "cat"}
    (whole,), (half,) = (
        detector("owlv2", checkpoint("owlv2"), nms=1.0)([{"image": i, **call}]) for i in (square, wide)
    )
    shared = [Region(r.box.clip(wide.box), r.label, r.score) for r in whole if r.box.intersection(wide.box)]
    assert flat(half) == pytest.approx(flat(shared), abs=1e-3)
    assert len(half) > 3


def test_owlv2_pixels_are_those_of_its_processor(checkpoint: Folder, pictures: list[Image]) -> None:
    pytest.importorskip("scipy", reason="OWLv2's own processor needs SciPy")
    loaded = theirs(checkpoint("owlv2"))
    want = loaded.processor.image_processor([p.to_pil() for p in pictures], return_tensors="pt")[
        "pixel_values"
    ]
    have = detector("owlv2", checkpoint("owlv2")).checkpoint.processor.image_processor(
        [p.pixels for p in pictures]
    )
    torch.testing.assert_close(have, want.float(), atol=1e-5, rtol=1e-5)


def test_grounding_dino_is_told_the_phrase_in_lower_case_with_a_full_stop(
    checkpoint: Folder, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint("grounding-dino")
    loaded = theirs(folder)
    told: list[str] = []
    real = type(loaded.processor).__call__

    def call(self: Any, images: Any = None, text: Any = None, **rest: Any) -> Any:
        told.extend(text)
        return real(self, images=images, text=text, **rest)

    monkeypatch.setattr(type(loaded.processor), "__call__", call)
    detector("grounding-dino", folder)([{"image": pictures[0], "what": "the Red Cars"}])
    assert told == ["a red car."]


def test_each_backend_names_what_it_takes(checkpoint: Folder, pictures: list[Image]) -> None:
    for kind, other in (("owlv2", "grounding-dino"), ("grounding-dino", "owlv2")):
        (error,) = detector(kind, checkpoint(other))([{"image": pictures[0], "what": "cat"}])
        assert isinstance(error, ToolError)
        assert f"is of model_type {other}" in str(error)


def test_a_phrase_that_names_nothing(checkpoint: Folder, pictures: list[Image]) -> None:
    found, error = detector("owlv2", checkpoint("owlv2"))(
        [{"image": pictures[0], "what": "cat"}, {"image": pictures[0], "what": " "}]
    )
    assert found and isinstance(error, ToolError)


def test_boxes_that_leave_the_picture_are_cut(checkpoint: Folder, pictures: list[Image]) -> None:
    from visprog.tools.backends._phrase_detector import Search

    finder = OwlDetector("unused", threshold=0.1)
    corners = np.array([[-5, -5, 20, 10], [100, 100, 120, 130], [1, 1, 0, 5], [0, 0, 9, 9]], np.float32)
    scores = np.array([0.9, 0.8, 0.7, 0.05], np.float32)
    (kept,) = finder._regions(Search(pictures[-1], "cat"), corners, scores)
    assert kept.box == Box(20, 10, 40, 20)


@pytest.mark.parametrize("kind", ["owlv2", "owlvit"])
def test_scores_and_boxes_are_those_of_transformers(
    kind: str, checkpoint: Folder, pictures: list[Image]
) -> None:
    loaded, image = theirs(checkpoint(kind)), pictures[2]  # a square one: nothing is filled up
    ours = detector(kind, checkpoint(kind), nms=1.0)
    pixels = ours.checkpoint.processor.image_processor([image.pixels])
    text = loaded.processor.tokenizer(
        ["a photo of a cat"], padding="max_length", max_length=16, return_tensors="pt"
    )
    with torch.inference_mode():
        output = loaded.network(pixel_values=pixels, **{k: text[k] for k in ("input_ids", "attention_mask")})
    scores = output.logits[0, :, 0].sigmoid()
    (found,) = ours([{"image": image, "what": "cat"}])
    order = scores.argsort(descending=True)
    assert [r.score for r in found] == pytest.approx(scores[order].tolist(), abs=1e-5)
    x, y, w, h = (output.pred_boxes[0][order] * 50).unbind(-1)
    want = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1).clamp(0, 50)
    have = torch.tensor([[r.left, r.top, r.right, r.bottom] for r in found])
    torch.testing.assert_close(have, want, atol=1e-3, rtol=1e-4)
