"""Segmenting with a bundled SAM; here one that has learnt nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from visprog.errors import ToolError  # noqa: E402
from visprog.models.sam.model import Sam, SamConfig  # noqa: E402
from visprog.models.sam.predictor import SamPredictor, sam_image_processor  # noqa: E402
from visprog.tools.backends.sam import (  # noqa: E402
    EmbeddedEverything,
    EmbeddedSegmenter,
    SamEverything,
    SamSegmenter,
    window_around,
)
from visprog.values import Box, Point, Region  # noqa: E402
from visprog.values.image import Image  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = Sam(
        SamConfig(
            image_size=32, patch=8, dim=16, layers=1, heads=2, hidden=16, window_size=2, global_attn_indexes=(0,),
            width=16, mask_channels=8, decoder_heads=2, decoder_hidden=16, iou_head_hidden_dim=8,
        )
    )  # fmt: skip
    path = tmp_path_factory.mktemp("sam")
    model.save_pretrained(path, torch.float16)
    sam_image_processor(32).save_pretrained(path)
    return path


@pytest.fixture
def image() -> Image:
    return Image(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


def best(folder: Path, image: Image, **prompts: torch.Tensor) -> np.ndarray:
    """What the model itself says."""
    predictor = SamPredictor(Sam.from_pretrained(folder))
    predictor.set_image(image.pixels)
    answer = predictor.predict(**prompts)
    return (answer.logits[0, answer.iou_predictions[0].argmax()] > 0).numpy()


def test_the_bundled_model_cuts_out_what_scenes_show() -> None:
    from visprog.scenes import Scenes

    segmenter, overlaps = EmbeddedSegmenter(), []
    scenes = Scenes(120, split="test")
    for i in range(12):
        image = Image(scenes[i].pixels)
        for box, mask in zip(scenes[i].boxes, scenes[i].masks, strict=True):
            found = one(segmenter, image, Region(Box(*map(float, box)), "", 1.0, image))
            overlaps.append(iou(found, mask, image))
    assert len(overlaps) > 20 and np.mean(overlaps) > 0.88


@pytest.mark.parametrize(("down", "across"), [(0, 0), (30, 0), (0, 70)])
def test_images_need_not_be_square(down: int, across: int) -> None:
    from visprog.scenes import Scenes

    segmenter, scenes = EmbeddedSegmenter(), Scenes(96, split="test")
    by_box, by_point = [], []
    for i in range(6):
        scene = scenes[i]
        image = Image(np.pad(scene.pixels, ((down, down), (across, across), (0, 0)), mode="edge"))
        for box, mask in zip(scene.boxes, scene.masks, strict=True):
            left, top, right, bottom = (box + np.array([across, down, across, down])).tolist()
            truth = np.pad(mask, ((down, down), (across, across)))
            region = Region(Box(left, top, right, bottom), "", 1.0, image)
            by_box.append(iou(one(segmenter, image, region), truth, image))
            y, x = np.argwhere(truth)[len(np.argwhere(truth)) // 2]
            by_point.append(iou(one(segmenter, image, Point(x + 0.5, y + 0.5)), truth, image))
    assert np.mean(by_box) > 0.93 and np.mean(by_point) > 0.75


def test_a_window_lies_around_its_box_and_in_the_image() -> None:
    assert window_around(Box(40, 40, 60, 50), 200, 100, 2) == Box(30, 25, 70, 65)
    assert window_around(Box(0, 0, 10, 10), 200, 100, 2) == Box(0, 0, 20, 20)
    assert window_around(Box(190, 90, 200, 100), 200, 100, 2) == Box(180, 80, 200, 100)
    assert window_around(Box(10, 20, 180, 60), 200, 100, 2) == Box(0, 0, 200, 100)
    assert window_around(Box(50, 50, 51, 51), 200, 100, 2) == Box(42.5, 42.5, 58.5, 58.5)


def test_masks_from_windows_lie_where_their_boxes_do(folder: Path, image: Image) -> None:
    crop = image.crop(Box(10, 5, 55, 38))
    found = one(SamSegmenter(str(folder), window=1.5), crop, Region(Box(20, 10, 40, 30), "", 1.0, image))
    seen = image.crop(Box(15, 5, 45, 35))
    want = best(folder, Image(seen.pixels), boxes=torch.tensor([[5.0, 5.0, 25.0, 25.0]]))
    assert found.mask is not None and np.array_equal(found.mask.within(seen.box), want)
    assert seen.box.clip(found.mask.box) == found.mask.box


def test_the_mask_of_a_box_is_the_one_rated_best(folder: Path, image: Image) -> None:
    region = Region(Box(5, 6, 40, 30), "thing", 0.7, image)
    found = one(SamSegmenter(str(folder)), image, region)
    assert (found.box, found.label, found.score) == (region.box, "thing", 0.7)
    assert found.mask is not None
    want = best(folder, image, boxes=torch.tensor([[5.0, 6.0, 40.0, 30.0]]))
    assert want.any() and np.array_equal(found.mask.within(image.box), want)


def test_a_point_finds_the_box_as_well(folder: Path, image: Image) -> None:
    found = one(SamSegmenter(str(folder)), image, Point(20, 10))
    want = best(folder, image, points=torch.tensor([[[20.0, 10.0]]]))
    assert found.mask is not None and np.array_equal(found.mask.within(image.box), want)
    assert found.box == found.mask.box and found.image is image


def test_masks_of_crops_lie_in_the_root(folder: Path, image: Image) -> None:
    crop = image.crop(Box(10, 5, 55, 38))
    found = one(SamSegmenter(str(folder)), crop, Region(Box(20, 10, 40, 30), "", 1.0, image))
    want = best(folder, Image(crop.pixels), boxes=torch.tensor([[10.0, 5.0, 30.0, 25.0]]))
    assert found.image is image and found.mask is not None
    assert np.array_equal(found.mask.within(crop.box), want)


def test_calls_are_answered_together_and_each_image_encoded_once(folder: Path, image: Image) -> None:
    segmenter, image = (
        SamSegmenter(str(folder)),
        Image(255 - image.pixels),
    )  # one that no other test has shown
    encoded: list[int] = []
    segmenter.checkpoint.network.image_encoder.register_forward_hook(lambda *_: encoded.append(1))
    boxes = [Box(5, 6, 40, 30), Box(0, 0, 10, 10), Box(100, 100, 120, 120)]
    places = [*(Region(box, "", 1.0, image) for box in boxes), Point(8, 8)]
    results = segmenter([{"image": image, "region": place} for place in places])
    assert isinstance(results[2], ToolError) and "outside the image" in str(results[2])
    assert len(encoded) == 1
    for i in (0, 1, 3):
        assert str(one(SamSegmenter(str(folder)), image, places[i])) == str(results[i])


def test_everything_lies_in_the_image(folder: Path, image: Image) -> None:
    crop = image.crop(Box(10, 5, 55, 38))
    segmenter = SamEverything(str(folder), points_per_side=3, pred_iou_thresh=-10, stability_score_thresh=0.0)
    (found,) = segmenter([{"image": crop}])
    assert found
    for region in found:
        assert region.mask is not None and region.image is image
        assert region.box == region.mask.box and region.box.clip(crop.box) == region.box


def test_a_missing_model_is_named(tmp_path: Path, image: Image) -> None:
    with pytest.raises(ToolError, match=r"segment: .* holds no config.json"):
        one(SamSegmenter(str(tmp_path)), image, Region(Box(1, 1, 5, 5)))
    (error,) = SamEverything(str(tmp_path))([{"image": image}])
    assert isinstance(error, ToolError) and "holds no config.json" in str(error)


def test_the_bundled_model_finds_most_things_without_being_told_where() -> None:
    from visprog.scenes import Scenes

    scenes, segmenter, overlaps = Scenes(96, split="test", objects=(3, 3)), EmbeddedEverything(), []
    for i in range(8):
        image = Image(scenes[i].pixels)
        found = segmenter.everything(image)
        overlaps += [max(iou(region, mask, image) for region in found) for mask in scenes[i].masks]
    assert np.mean([overlap > 0.7 for overlap in overlaps]) > 0.8


def test_programs_segment_points_and_everything() -> None:
    from visprog import Agent
    from visprog.scenes import Scenes

    image = Image(Scenes(96, split="test", objects=(3, 3))[0].pixels)
    source = """
def answer(image):
    return [segment(image, region.center) for region in segment_everything(image)]
"""
    tools = {"segment": {"backend": "embedded"}, "segment_everything": {"backend": "embedded"}}
    with Agent(config={"tools": tools}) as agent:
        found = agent.run(source, image).value
    assert len(found) >= 2 and all(region.mask is not None for region in found)


def one(segmenter: SamSegmenter, image: Image, place: Region | Point) -> Region:
    """The one thing that is segmented."""
    (found,) = segmenter([{"image": image, "region": place}])
    if isinstance(found, Exception):
        raise found
    assert isinstance(found, Region)
    return found


def iou(region: Region, mask: np.ndarray, image: Image) -> float:
    assert region.mask is not None
    ours = region.mask.within(image.box)
    return float((ours & mask).sum() / (ours | mask).sum())
