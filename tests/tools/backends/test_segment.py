"""SAM from a checkpoint of the hub, and from a file of its authors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from visprog.errors import ToolError
from visprog.tools.backends._checkpoint import find
from visprog.tools.backends._loading import load_by_transformers
from visprog.tools.backends.sam import SamEverything, SamSegmenter, SegmentAnythingSegmenter
from visprog.tools.backends.sam2 import Sam2Everything, Sam2Segmenter
from visprog.tools.segment import segment, segment_everything
from visprog.values import Box, Point, Region
from visprog.values.image import Image

Folder = Callable[[str], str]
KIND = pytest.mark.parametrize("kind", ["sam", "segment-anything", "sam2", "sam2-video", "sam3", "edgetam"])


@pytest.fixture(scope="session")
def sam_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SAM in the layout of its authors."""
    from tests.tools.backends.conftest import shake
    from visprog.models.sam.hub import SEGMENT_ANYTHING_KEYS
    from visprog.models.sam.model import Sam, SamConfig

    network = Sam(
        SamConfig(
            image_size=64, patch=8, dim=32, layers=3, heads=4, hidden=64, window_size=3, global_attn_indexes=(1,),
            width=32, mask_channels=8, decoder_heads=8, decoder_hidden=48, iou_head_depth=2, iou_head_hidden_dim=24,
        )
    )  # fmt: skip
    path = tmp_path_factory.mktemp("sam-file") / "sam_tiny.pth"
    torch.save(SEGMENT_ANYTHING_KEYS.to_theirs(shake(network).state_dict()), path)
    return path


@pytest.fixture
def segmenter(kind: str, checkpoint: Folder, request: pytest.FixtureRequest) -> Any:
    if kind == "sam":
        return SamSegmenter(checkpoint("sam"))
    if kind.startswith(("sam2", "sam3", "edgetam")):
        return Sam2Segmenter(checkpoint(kind))
    return SegmentAnythingSegmenter(str(request.getfixturevalue("sam_file")))


def boxes(image: Image) -> list[Region]:
    """Three regions in the frame of the image's root."""
    x, y = image.origin.x, image.origin.y
    return [
        Region(Box(x + a, y + b, x + c, y + d), "cat", 0.5, image.root)
        for a, b, c, d in ((2, 3, 25, 30), (10, 5, 40, 38), (0.5, 0.5, 31.5, 20))
    ]


def test_they_are_the_backends_of_segment() -> None:
    assert isinstance(segment.load("sam"), SamSegmenter)
    assert isinstance(segment.load("sam2"), Sam2Segmenter)
    assert isinstance(segment_everything.load("sam2"), Sam2Everything)
    assert isinstance(segment.load("segment-anything"), SegmentAnythingSegmenter)


@KIND
def test_masks_lie_in_the_frame_of_the_root(segmenter: Any, pictures: list[Image]) -> None:
    crop = pictures[-1]
    alone = Image.open(np.array(crop.pixels))
    calls = [{"image": crop, "region": r} for r in boxes(crop)]
    there = segmenter(calls)
    here = segmenter([{"image": alone, "region": r} for r in boxes(alone)])
    masks = 0
    for call, one, two in zip(calls, there, here, strict=True):
        if isinstance(one, ToolError):
            assert isinstance(two, ToolError)
            continue
        masks += 1
        assert replace(one, mask=None) == call["region"]
        assert one.image is crop.root and one.mask.area > 0
        assert one.mask.box == two.mask.box.shift(20, 10)
        assert (one.mask.pixels == two.mask.pixels).all()
    assert masks


@KIND
def test_points_and_boxes_in_one_batch(segmenter: Any, pictures: list[Image]) -> None:
    picture = pictures[0]
    places = [Point(12, 9), boxes(picture)[0], Point(30, 20), Point(999, 3)]
    calls = [{"image": picture, "region": place} for place in places]
    *found, outside = segmenter(calls)
    assert isinstance(outside, ToolError) and "outside the image" in str(outside)
    for call, one in zip(calls, found, strict=False):
        (alone,) = segmenter([call])
        assert str(alone) == str(one)
    points = [one for one in found[::2] if isinstance(one, Region)]
    assert points
    for one in points:
        assert one.image is picture and one.mask is not None and one.box == one.mask.box
        assert (one.label, one.score) == ("", 1.0)


def test_everything_in_a_picture_by_a_public_checkpoint(checkpoint: Folder, pictures: list[Image]) -> None:
    assert isinstance(segment_everything.load("sam"), SamEverything)
    everything = SamEverything(
        checkpoint("sam"), points_per_side=3, pred_iou_thresh=-10, stability_score_thresh=0.0
    )
    (found,) = everything([{"image": pictures[0]}])
    assert found
    for region in found:
        assert region.mask is not None and region.box == region.mask.box
        assert region.box.clip(pictures[0].box) == region.box
    (error,) = SamEverything("no/such/folder/here")([{"image": pictures[0]}])
    assert isinstance(error, ToolError) and "no/such/folder/here" in str(error)
    (other,) = SamEverything(checkpoint("clip"))([{"image": pictures[0]}])
    assert isinstance(other, ToolError) and "is of model_type clip; this backend takes sam" in str(other)


@KIND
def test_a_batch_is_the_same_as_one_by_one(segmenter: Any, pictures: list[Image]) -> None:
    calls = [{"image": p, "region": r} for p in pictures for r in boxes(p)]
    together = segmenter(calls)
    for call, one in zip(calls, together, strict=True):
        (alone,) = segmenter([call])
        assert type(alone) is type(one)
        if isinstance(one, Region):
            assert one.mask is not None and alone.mask.box == one.mask.box
            assert (alone.mask.pixels == one.mask.pixels).all()
    assert sum(isinstance(one, Region) for one in together) >= len(together) // 2


@KIND
def test_a_region_outside_the_picture(segmenter: Any, pictures: list[Image]) -> None:
    far, flat = Region(Box(500, 500, 520, 520), "cat"), Region(Box(5, 5, 5, 5), "cat")
    places = (boxes(pictures[0])[0], far, flat)
    fine, error, empty = segmenter([{"image": pictures[0], "region": place} for place in places])
    assert isinstance(error, ToolError) and "lies outside the image" in str(error)
    assert isinstance(empty, ToolError)
    assert "outside" not in str(fine)


def test_a_picture_is_encoded_once(
    checkpoint: Folder, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = SamSegmenter(checkpoint("sam"))
    encoder = segmenter.checkpoint.network.image_encoder
    count = 0
    real = encoder.forward

    def encode(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        return real(*arguments)

    monkeypatch.setattr(encoder, "forward", encode)
    for _ in range(2):
        segmenter([{"image": p, "region": r} for p in pictures[:2] for r in boxes(p)])
    assert count == 2
    SamEverything(segmenter.model, points_per_side=1)([{"image": pictures[0]}])
    assert count == 2
    SamEverything(segmenter.model, points_per_side=1)([{"image": pictures[2]}])
    segmenter([{"image": pictures[2], "region": boxes(pictures[2])[0]}])
    assert count == 3


def test_many_masks_of_a_large_image_are_made_in_parts(
    checkpoint: Folder, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [{"image": pictures[0], "region": region} for region in boxes(pictures[0])]
    at_once = SamSegmenter(checkpoint("sam"))(calls)
    monkeypatch.setattr("visprog.tools.backends.sam.MAX_LOGITS", 1)
    assert list(map(str, SamSegmenter(checkpoint("sam"))(calls))) == list(map(str, at_once))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_precision_is_an_option(dtype: str, checkpoint: Folder, pictures: list[Image]) -> None:
    found = SamSegmenter(checkpoint("sam"), dtype=dtype)(
        [{"image": pictures[0], "region": boxes(pictures[0])[0]}]
    )
    assert isinstance(found[0], Region | ToolError)


def test_the_best_rated_mask_is_taken(checkpoint: Folder, pictures: list[Image]) -> None:
    """Against the processor and model of transformers, used as their documentation says."""
    loaded = load_by_transformers(find(checkpoint("sam"), "segment"), "SamModel", "auto", "auto")
    image = pictures[0]
    region = boxes(image)[0]
    corners = [region.left, region.top, region.right, region.bottom]
    inputs = loaded.processor(image.to_pil(), input_boxes=[[corners]], return_tensors="pt")
    inputs["input_boxes"] = inputs["input_boxes"].float()
    with torch.inference_mode():
        output = loaded.network(**inputs)
    (masks,) = loaded.processor.image_processor.post_process_masks(
        output.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )
    best = masks[0, int(output.iou_scores[0, 0].argmax())].numpy()
    (found,) = SamSegmenter(checkpoint("sam"))([{"image": image, "region": region}])
    assert (found.mask.within(image.box) == best).all()


def test_any_size_is_built_from_its_weights(sam_file: Path, tmp_path: Path, pictures: list[Image]) -> None:
    from safetensors.torch import save_file

    save_file(torch.load(sam_file, weights_only=True), tmp_path / "sam.safetensors")
    call = {"image": pictures[0], "region": boxes(pictures[0])[1]}
    (one,) = SegmentAnythingSegmenter(str(sam_file))([call])
    (two,) = SegmentAnythingSegmenter(str(tmp_path / "sam.safetensors"))([call])
    assert str(one) == str(two) and type(one) is type(two)
    config = SegmentAnythingSegmenter(str(sam_file)).checkpoint.network.config
    assert (config.image_size, config.layers, config.window_size) == (64, 3, 3)
    assert config.global_attn_indexes == (1,)


class Trap:
    """What a pickle can do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("trapped"),))


def test_files_that_are_no_sam(
    sam_file: Path, tmp_path: Path, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call = {"image": pictures[0], "region": boxes(pictures[0])[0]}

    def said(model: str | None) -> str:
        (error,) = SegmentAnythingSegmenter(model)([call])
        assert isinstance(error, ToolError) and "\n" not in str(error)
        return str(error)

    assert "sam_vit_b_01ec64.pth" in said(None)
    assert "no such file" in said("missing.pth")
    (tmp_path / "text.pth").write_text("hello")
    assert "no file of tensors" in said("text.pth")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pth")
    assert "other.pth is no checkpoint of segment_anything" in said("other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    assert "list.pth holds no tensors by name" in said("list.pth")
    torch.save({"weight": Trap()}, tmp_path / "trap.pth")
    assert "no file of tensors" in said("trap.pth")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("kind", ["sam2", "edgetam"])
def test_masks_are_those_of_sam_2_by_transformers(
    kind: str, checkpoint: Folder, pictures: list[Image]
) -> None:
    """Pixels as torchvision resizes uint8 tensors, by `interpolate` with antialias; prompts in pixels of the square."""
    segmenter, image = Sam2Segmenter(checkpoint(kind)), pictures[0]
    plane = torch.from_numpy(np.array(image.pixels)).permute(2, 0, 1)[None]
    square = torch.nn.functional.interpolate(plane, (64, 64), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    pixels = (square / 255 - mean) / std
    ours = segmenter.checkpoint.processor.image_processor([image.pixels])
    assert torch.allclose(ours, pixels, atol=1e-5)
    places = [(2.0, 3.0, 25.0, 30.0), (10.0, 5.0, 40.0, 38.0)]
    scale = torch.tensor([64 / 60, 64 / 40] * 2)
    with torch.inference_mode():
        output = segmenter.checkpoint.network(
            pixel_values=ours, input_boxes=(torch.tensor(places) * scale)[None], multimask_output=True
        )
    logits = torch.nn.functional.interpolate(output.pred_masks[0], (40, 60), mode="bilinear")
    best = output.iou_scores[0].argmax(-1)
    found = segmenter([{"image": image, "region": Region(Box(*p), "cat", 0.5, image)} for p in places])
    for one, masks, index in zip(found, logits, best, strict=True):
        want = (masks[index] > 0).numpy()
        assert want.any()
        assert isinstance(one, Region) and one.mask is not None
        whole = np.zeros((40, 60), bool)
        box = one.mask.box
        whole[int(box.top) : int(box.bottom), int(box.left) : int(box.right)] = one.mask.pixels
        assert (whole == want).mean() > 0.999


def test_everything_in_an_image_by_sam_2(checkpoint: Folder, pictures: list[Image]) -> None:
    everything = Sam2Everything(
        checkpoint("sam2"), points_per_side=3, pred_iou_thresh=-10, stability_score_thresh=0.0
    )
    (found,) = everything([{"image": pictures[-1]}])
    assert found
    for region in found:
        assert region.mask is not None and region.box == region.mask.box and region.image is pictures[-1].root
        assert region.box.clip(pictures[-1].box) == region.box
    (error,) = Sam2Segmenter(checkpoint("sam"))([{"image": pictures[0], "region": Point(3, 3)}])
    assert isinstance(error, ToolError) and "is of model_type sam; this backend takes sam2 or" in str(error)


def test_an_encoder_of_timm_is_named_before_anything_is_fetched(
    checkpoint: Folder, tmp_path: Path, pictures: list[Image]
) -> None:
    """As the published EdgeTAM has; timm needs torchvision."""
    from transformers import EdgeTamConfig

    EdgeTamConfig().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    (error,) = Sam2Segmenter(str(tmp_path))([{"image": pictures[0], "region": Point(3, 3)}])
    assert isinstance(error, ToolError) and "an image encoder of timm, which is not installed" in str(error)
