"""SAM, in both of its forms."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from visprog.errors import MissingExtra, ToolError
from visprog.tools.backends._checkpoint import load
from visprog.tools.backends.sam import SamSegmenter, SegmentAnythingSegmenter
from visprog.tools.backends.sam_everything import SamEverything
from visprog.tools.segment import segment, segment_everything
from visprog.values import Box, Point, Region
from visprog.values.image import Image

Folder = Callable[[str], str]
KIND = pytest.mark.parametrize("kind", ["sam", "segment-anything"])


@pytest.fixture(scope="session")
def sam_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SAM as its authors' package saves it."""
    from visprog.tools.backends.sam_package import import_package

    try:
        import_package()
    except MissingExtra as error:
        pytest.skip(str(error))
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    from tests.tools.backends.conftest import shake

    network = Sam(
        image_encoder=ImageEncoderViT(
            depth=3, embed_dim=32, img_size=64, mlp_ratio=2, num_heads=4, patch_size=8, use_rel_pos=True,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), global_attn_indexes=(1,), window_size=3,
            out_chans=32,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=32, image_embedding_size=(8, 8), input_image_size=(64, 64), mask_in_chans=8
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3, transformer_dim=32, iou_head_depth=2, iou_head_hidden_dim=24,
            transformer=TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=48, num_heads=8),
        ),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("sam-file") / "sam_tiny.pth"
    torch.save(shake(network).state_dict(), path)
    return path


@pytest.fixture
def segmenter(kind: str, checkpoint: Folder, request: pytest.FixtureRequest) -> Any:
    if kind == "sam":
        return SamSegmenter(checkpoint("sam"))
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
    assert isinstance(outside, ToolError) and "outside the picture" in str(outside)
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
    assert isinstance(error, ToolError) and "lies outside the picture" in str(error)
    assert isinstance(empty, ToolError)
    assert "outside" not in str(fine)


def test_a_picture_is_encoded_once(
    checkpoint: Folder, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(checkpoint("sam"), "segment", "SamModel", ("sam",))
    count = 0
    real = loaded.network.get_image_embeddings

    def encode(pixels: Any) -> Any:
        nonlocal count
        count += 1
        return real(pixels)

    monkeypatch.setattr(loaded.network, "get_image_embeddings", encode)
    segmenter = SamSegmenter(checkpoint("sam"), remembered=2)
    for _ in range(2):
        segmenter([{"image": p, "region": r} for p in pictures[:2] for r in boxes(p)])
    assert count == 2
    segmenter([{"image": pictures[2], "region": boxes(pictures[2])[0]}])
    segmenter([{"image": pictures[0], "region": boxes(pictures[0])[0]}])
    assert count == 4


def test_the_best_rated_mask_is_taken(checkpoint: Folder, pictures: list[Image]) -> None:
    """Against the processor and model of transformers, used as their documentation says."""
    loaded = load(checkpoint("sam"), "segment", "SamModel", ("sam",))
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


def test_segment_anything_leaves_no_torchvision_behind(sam_file: Path) -> None:
    import importlib.util

    import transformers

    if importlib.util.find_spec("torchvision"):
        pytest.skip("a real torchvision is installed")
    assert not [name for name in sys.modules if name.partition(".")[0] == "torchvision"]
    assert not transformers.utils.is_torchvision_available()


def test_the_stand_ins_do_what_torchvision_does() -> None:
    import PIL.Image

    from visprog.tools.backends.sam_package import batched_nms, box_area, resize, to_pil_image

    corners = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 25], [0, 0, 10, 10]])
    scores = torch.tensor([0.8, 0.9, 0.7, 0.6])
    assert box_area(corners).tolist() == [100, 100, 50, 100]
    assert batched_nms(corners, scores, torch.zeros(4), 0.5).tolist() == [1, 2]
    assert batched_nms(corners, scores, torch.tensor([0, 0, 0, 1]), 0.5).tolist() == [1, 2, 3]
    assert batched_nms(corners[:0], scores[:0], torch.zeros(0), 0.5).tolist() == []
    picture = to_pil_image(np.zeros((4, 6, 3), np.uint8))
    assert isinstance(picture, PIL.Image.Image)
    assert resize(picture, (8, 12)).size == (12, 8)


def test_any_size_is_built_from_its_weights(sam_file: Path, tmp_path: Path, pictures: list[Image]) -> None:
    from safetensors.torch import save_file

    save_file(torch.load(sam_file, weights_only=True), tmp_path / "sam.safetensors")
    call = {"image": pictures[0], "region": boxes(pictures[0])[1]}
    (one,) = SegmentAnythingSegmenter(str(sam_file))([call])
    (two,) = SegmentAnythingSegmenter(str(tmp_path / "sam.safetensors"))([call])
    assert str(one) == str(two) and type(one) is type(two)
    segmenter = SegmentAnythingSegmenter(str(sam_file))
    encoder = segmenter._load().image_encoder
    assert (encoder.img_size, len(encoder.blocks)) == (64, 3)
    assert [block.window_size for block in encoder.blocks] == [3, 0, 3]


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
    assert "is no SAM checkpoint" in said("other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    assert "is no SAM checkpoint" in said("list.pth")
    torch.save({"weight": Trap()}, tmp_path / "trap.pth")
    assert "no file of tensors" in said("trap.pth")
    assert not (tmp_path / "trapped").exists()
