"""SAM 3 from the checkpoint of the hub, which is one for videos: its tracker segments, its detector detects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from visprog.errors import ToolError
from visprog.tools.backends.sam2 import Sam2Everything, Sam2Segmenter
from visprog.tools.backends.sam3 import Sam3Detector
from visprog.tools.detect import detect
from visprog.values import Box, Point, Region
from visprog.values.image import Image

Folder = Callable[[str], str]


def square(image: Image) -> torch.Tensor:
    """The pixels as published: torchvision resizes uint8 tensors by `interpolate` with antialias."""
    plane = torch.from_numpy(np.array(image.pixels)).permute(2, 0, 1)[None]
    return torch.nn.functional.interpolate(plane, (56, 56), mode="bilinear", antialias=True) / 127.5 - 1


def whole(image: Image, region: Region) -> Any:
    assert region.mask is not None
    return region.mask.within(image.box)


def theirs(kind: str, folder: str) -> Any:
    return getattr(transformers, kind).from_pretrained(folder).eval()


def test_pixels_are_prepared_as_published(checkpoint: Folder, pictures: list[Image]) -> None:
    processor = Sam2Segmenter(checkpoint("sam3")).checkpoint.processor.image_processor
    for image in pictures:
        assert torch.allclose(processor([image.pixels]), square(image), atol=1e-6)


def test_masks_are_those_of_its_tracker(checkpoint: Folder, pictures: list[Image]) -> None:
    folder, image = checkpoint("sam3"), pictures[0]
    segmenter = Sam2Segmenter(folder, dtype="float32")
    pixels = segmenter.checkpoint.processor.image_processor([image.pixels])
    scale = torch.tensor([56 / 60, 56 / 40])
    places = [Region(Box(2, 3, 25, 30), "cat", 0.5, image), Region(Box(10, 5, 40, 38), "cat", 0.5, image)]
    boxes = torch.tensor([[p.left, p.top, p.right, p.bottom] for p in places])[None] * scale.repeat(2)
    points = torch.tensor([[[[12.0, 9.0]]]]) * scale
    network, found = theirs("Sam3TrackerModel", folder), []
    with torch.inference_mode():
        for prompt in ({"input_boxes": boxes}, {"input_points": points}):
            output = network(pixel_values=pixels, multimask_output=True, **prompt)
            logits = torch.nn.functional.interpolate(output.pred_masks[0], (40, 60), mode="bilinear")
            best = output.iou_scores[0].argmax(-1)
            found += [(masks[i] > 0).numpy() for masks, i in zip(logits, best, strict=True)]
    mine = segmenter([{"image": image, "region": place} for place in (*places, Point(12, 9))])
    assert sum(want.any() for want in found) >= 2
    for one, want in zip(mine, found, strict=True):
        assert isinstance(one, ToolError) if not want.any() else (whole(image, one) == want).mean() > 0.999
    everything = Sam2Everything(folder, points_per_side=2, pred_iou_thresh=-10, stability_score_thresh=0.0)
    assert everything([{"image": image}])[0]


def test_objects_are_those_of_its_detector(checkpoint: Folder, pictures: list[Image]) -> None:
    """Against the network of transformers, its tokenizer, and its own way to read the outputs."""
    folder = checkpoint("sam3")
    detector = Sam3Detector(folder, threshold=0.0, nms=1.0, dtype="float32")
    network, tokenizer = theirs("Sam3Model", folder), transformers.AutoTokenizer.from_pretrained(folder)
    seen = set()
    for image, what in [(pictures[0], "cat"), (pictures[0], "red car"), (pictures[-1], "cat")]:
        pixels = detector_pixels(folder, image)
        tokens = tokenizer([what], padding="max_length", max_length=32, return_tensors="pt")
        with torch.inference_mode():
            output = network(
                pixel_values=pixels, input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            )
        scores = output.pred_logits[0].sigmoid() * output.presence_logits[0].sigmoid()
        shares = torch.nn.functional.interpolate(
            output.pred_masks.sigmoid(), (image.height, image.width), mode="bilinear"
        )
        (found,) = detector([{"image": image, "what": what}])
        order = [int(i) for i in scores.argsort(descending=True, stable=True)]
        boxes = output.pred_boxes[0].clamp(0, 1) * torch.tensor([image.width, image.height] * 2)
        order = [i for i in order if (boxes[i, 2:] > boxes[i, :2]).all()]
        assert len(found) == len(order) > 2
        for region, i in zip(found, order, strict=True):
            local = image.to_local(region.box)
            have = [local.left, local.top, local.right, local.bottom]
            assert have == pytest.approx(boxes[i].tolist(), abs=1e-3)
            assert region.score == pytest.approx(float(scores[i]), abs=1e-5) and region.label == what
            want = (shares[0, i] > 0.5).numpy()
            assert (region.mask is not None) == want.any()
            if region.mask is not None:
                assert (whole(image, region) == want).mean() > 0.999
        seen.add(tuple(round(region.score, 4) for region in found))
    assert len(seen) == 3


def detector_pixels(folder: str, image: Image) -> torch.Tensor:
    from visprog.models.preprocess.image_processor import ImageProcessor

    return ImageProcessor.from_pretrained(folder)([image.pixels])


def test_an_image_is_encoded_once_for_all_phrases(
    checkpoint: Folder, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    from visprog.tools.backends import sam3

    seen: list[str] = []
    real = sam3._encode
    monkeypatch.setattr(sam3, "_encode", lambda c, image: (seen.append(image.digest), real(c, image))[1])
    detector = Sam3Detector(checkpoint("sam3"), threshold=0.0)
    calls = [{"image": p, "what": w} for p in pictures[:2] for w in ("cat", "dog")]
    together = detector(calls)
    assert len(seen) == 2
    for call, found in zip(calls, together, strict=True):
        assert str(detector([call])[0]) == str(found)


def test_it_is_a_backend_of_detect_and_names_what_it_cannot_run(
    checkpoint: Folder, pictures: list[Image]
) -> None:
    assert isinstance(detect.load("sam3"), Sam3Detector)
    (error,) = Sam3Detector(checkpoint("sam2"))([{"image": pictures[0], "what": "cat"}])
    assert isinstance(error, ToolError) and "this backend takes sam3 or sam3_video" in str(error)
