"""The backend `detr`: detectors of transformers with the classes that their `config.json` names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from visprog.errors import Refused, ToolError
from visprog.models.preprocess.rf_detr import RfDetrProcessor
from visprog.tools.backends._checkpoint import find
from visprog.tools.backends._loading import load_by_transformers, transformers_image_processor
from visprog.tools.backends.detr import DetrDetector
from visprog.tools.detect import detect
from visprog.values import Region
from visprog.values.image import Image

Folder = Callable[[str], str]
KINDS = ["detr", "rt-detr-v2", "d-fine", "rf-detr"]
KIND = pytest.mark.parametrize("kind", KINDS)
NAMES = {1: "person", 2: "tv", 4: "dining table", 5: "cat"}


def detector(folder: str, **options: Any) -> DetrDetector:
    return DetrDetector(folder, **{"threshold": 0.1, "nms": 1.0, **options})


def flat(regions: list[Region]) -> list[float]:
    return [v for r in regions for v in (r.left, r.top, r.right, r.bottom, r.score)]


def test_it_is_a_backend_of_detect() -> None:
    assert isinstance(detect.load("detr"), DetrDetector)


@KIND
def test_regions_are_those_of_transformers(kind: str, checkpoint: Folder, pictures: list[Image]) -> None:
    loaded = load_by_transformers(
        find(checkpoint(kind), "detect"), "AutoModelForObjectDetection", "cpu", "auto",
        processor=transformers_image_processor,
    )  # fmt: skip
    image = pictures[0]
    inputs = loaded.processor(images=[image.to_pil()], return_tensors="pt")
    with torch.inference_mode():
        output = loaded.network(**inputs)
    (want,) = loaded.processor.post_process_object_detection(output, 0.1, target_sizes=[(40, 60)])
    rows = [
        (
            NAMES[int(label)],
            [*(float(min(max(v, 0), s)) for v, s in zip(box, (60, 40) * 2, strict=True)), float(score)],
        )
        for score, label, box in zip(want["scores"], want["labels"], want["boxes"], strict=True)
        if int(label) in NAMES
    ]
    (found,) = detector(checkpoint(kind))([{"image": image, "what": "objects"}])
    assert found and len(found) <= len(rows)  # of two names of one object, the surer stays
    for region in found:
        assert any(
            name == region.label and flat([region]) == pytest.approx(row, abs=1e-3) for name, row in rows
        )
    assert found[0].score == pytest.approx(max(row[4] for _, row in rows), abs=1e-4)


@KIND
def test_regions_lie_in_the_frame_of_the_root(kind: str, checkpoint: Folder, pictures: list[Image]) -> None:
    crop = pictures[-1]
    alone = Image.open(np.array(crop.pixels))
    (found,) = detector(checkpoint(kind))([{"image": crop, "what": "object"}])
    (same,) = detector(checkpoint(kind))([{"image": alone, "what": "object"}])
    assert found and all(r.image is crop.root and r.label in NAMES.values() for r in found)
    assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)
    moved = [Region(r.box.shift(20, 10), r.label, r.score) for r in same]
    assert flat(moved) == pytest.approx(flat(found), abs=1e-3)


@KIND
def test_a_batch_is_the_same_as_one_by_one(kind: str, checkpoint: Folder, pictures: list[Image]) -> None:
    alike = Image.open(np.ascontiguousarray(pictures[0].pixels[::-1]))
    calls = [{"image": p, "what": w} for p in [*pictures, alike] for w in ("people", "cat", "object")]
    together = detector(checkpoint(kind), batch_size=2)(calls)
    for call, found in zip(calls, together, strict=True):
        (alone,) = detector(checkpoint(kind))([call])
        assert flat(alone) == pytest.approx(flat(found), abs=2e-3)
    people, cats, everything = together[:3]
    assert {r.label for r in people} <= {"person"} and {r.label for r in cats} <= {"cat"}
    assert len(people) + len(cats) <= len(everything)


def test_an_image_is_seen_once(
    checkpoint: Folder, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    from visprog.tools.backends import detr

    seen: list[int] = []
    real = detr._detect
    monkeypatch.setattr(detr, "_detect", lambda c, images: (seen.append(len(images)), real(c, images))[1])
    finder = detector(checkpoint("d-fine"))
    for what in ("cat", "person", "object"):
        finder([{"image": picture, "what": what} for picture in pictures[:2]])
    assert seen == [1, 1]


def test_the_classes_are_known_before_it_runs(checkpoint: Folder, tmp_path: Path) -> None:
    sees = DetrDetector(checkpoint("d-fine")).sees
    assert sees.summary.startswith("4 kinds of object: person, tv, dining table, cat")
    phrases = sees.phrases["what"]
    assert phrases.can_see("red cats") and phrases.can_see("television")
    assert "has no class 'zebra'" in phrases.refusal("zebra") and not phrases.can_see("LABEL_3")
    assert "80 kinds of object" in DetrDetector().sees.summary
    unknown = DetrDetector("nobody/has-fetched-it").sees
    assert "nobody/has-fetched-it was trained on" in unknown.summary and not unknown.phrases
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "LABEL_0"}}))
    assert "does not name its classes (id2label in config.json)" in DetrDetector(str(tmp_path)).sees.nothing
    (tmp_path / "names.txt").write_text("bolt\nnut\n")
    named = DetrDetector(str(tmp_path), labels=str(tmp_path / "names.txt"))
    assert named.sees.summary.startswith("2 kinds of object: bolt, nut")
    assert named.classes.place == {0: 0, 1: 1}


def test_what_it_refuses(checkpoint: Folder, pictures: list[Image], tmp_path: Path) -> None:
    image = pictures[0]
    refused, found = detector(checkpoint("d-fine"))(
        [{"image": image, "what": "zebra"}, {"image": image, "what": "object"}]
    )
    assert isinstance(refused, Refused) and found
    shutil.copytree(checkpoint("d-fine"), tmp_path / "a")
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    config["id2label"] = {str(i): f"LABEL_{i}" for i in range(6)}
    config["label2id"] = {v: int(k) for k, v in config["id2label"].items()}
    (tmp_path / "a" / "config.json").write_text(json.dumps(config))
    (error,) = DetrDetector(str(tmp_path / "a"))([{"image": image, "what": "cat"}])
    assert isinstance(error, ToolError) and 'labels = "PATH" under [tools.detect]' in str(error)
    (error,) = DetrDetector(checkpoint("clip"), labels=None)([{"image": image, "what": "cat"}])
    assert isinstance(error, ToolError)


def test_rf_detr_sees_samples_that_are_not_smoothed() -> None:
    """Its values against the definition of linear interpolation, pixel by pixel."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    processor = RfDetrProcessor({"size": {"height": 14, "width": 28}})
    (have,) = processor([Image.open(pixels).to_pil()])["pixel_values"]
    rows, columns = (np.arange(14) + 0.5) * 30 / 14 - 0.5, (np.arange(28) + 0.5) * 50 / 28 - 0.5
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, across = (rows - top)[:, None, None], (columns - left)[None, :, None]
    corners = [pixels[np.ix_(top + i, left + j)] / 255 for i in (0, 1) for j in (0, 1)]
    upper, lower = (a * (1 - across) + b * across for a, b in (corners[:2], corners[2:]))
    want = (upper * (1 - down) + lower * down - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert np.allclose(have.permute(1, 2, 0).numpy(), want, atol=1e-5)
    with pytest.raises(ValueError, match="of a RfDetr only a height and a width"):
        RfDetrProcessor({"size": {"shortest_edge": 800}})
