"""Prompting SAM about images, against the authors' package and transformers."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.parity.segment_anything_package import import_package  # noqa: E402
from visprog.models.sam.automatic import FoundMask, SamAutomaticMaskGenerator, crop_boxes, point_grid  # noqa: E402
from visprog.models.sam.hub import SEGMENT_ANYTHING_KEYS  # noqa: E402
from visprog.models.sam.model import Sam, SamConfig  # noqa: E402
from visprog.models.sam.predictor import SamPredictor, sam_image_processor  # noqa: E402
from visprog.models.sam.training import interactive_losses  # noqa: E402

CONFIG = SamConfig(
    image_size=64, patch=8, dim=24, layers=2, heads=3, hidden=48, window_size=3, global_attn_indexes=(1,), width=32,
    mask_channels=8, decoder_heads=4, decoder_hidden=40, iou_head_hidden_dim=24,
)  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Sam:
    torch.manual_seed(3)
    model = Sam(CONFIG)
    for name, parameter in model.named_parameters():
        if "norm" not in name and "neck" not in name:
            parameter.data += 0.2 * torch.randn_like(parameter)
    return model


@pytest.fixture(scope="module")
def package(model: Sam) -> tuple[Any, Any]:
    """The authors' package, and the same model in it."""
    package = import_package()
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer
    from segment_anything.modeling import Sam as Theirs

    theirs = Theirs(
        image_encoder=ImageEncoderViT(
            img_size=64, patch_size=8, embed_dim=24, depth=2, num_heads=3, mlp_ratio=2, out_chans=32,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6), use_rel_pos=True, window_size=3,
            global_attn_indexes=(1,),
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=32, image_embedding_size=(8, 8), input_image_size=(64, 64), mask_in_chans=8
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=32, iou_head_hidden_dim=24,
            transformer=TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=40, num_heads=4),
        ),
    )  # fmt: skip
    theirs.load_state_dict(SEGMENT_ANYTHING_KEYS.to_theirs(model.state_dict()))
    return package, theirs.eval()


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(90, 121), (37, 64), (64, 64), (203, 50), (33, 31)])
def test_predictions_equal_the_authors(model: Sam, package: tuple[Any, Any], size: tuple[int, int]) -> None:
    theirs = package[0].SamPredictor(package[1])
    ours = SamPredictor(model)
    image = picture(*size)
    theirs.set_image(image)
    torch.testing.assert_close(ours.set_image(image).embedding, theirs.features, atol=1e-5, rtol=1e-5)
    points = np.array([[size[1] * 0.7, size[0] * 0.2], [3, 4]])
    labels = np.array([1, 0])
    box = np.array([2, 3, size[1] - 4, size[0] / 2])
    small = None
    for given in ({"points"}, {"box"}, {"points", "box"}, {"points", "box", "masks"}):
        want = theirs.predict(
            point_coords=points if "points" in given else None,
            point_labels=labels if "points" in given else None,
            box=box if "box" in given else None,
            mask_input=small[:1] if "masks" in given else None,
            multimask_output=len(given) < 3,
            return_logits=True,
        )
        have = ours.predict(
            points=torch.tensor(points)[None] if "points" in given else None,
            labels=torch.tensor(labels)[None] if "points" in given else None,
            boxes=torch.tensor(box)[None] if "box" in given else None,
            masks=torch.tensor(small[:1]) if "masks" in given else None,
            multimask_output=len(given) < 3,
        )
        np.testing.assert_allclose(have.logits[0].numpy(), want[0], atol=2e-5, rtol=1e-5)
        np.testing.assert_allclose(have.iou_predictions[0].numpy(), want[1], atol=2e-5, rtol=1e-5)
        np.testing.assert_allclose(have.low_res_masks[0].numpy(), want[2], atol=2e-5, rtol=1e-5)
        small = want[2]


@pytest.mark.parametrize("size", [(90, 121), (121, 90), (30, 64), (200, 7)])
def test_images_are_prepared_and_masks_enlarged_as_by_transformers(model: Sam, size: tuple[int, int]) -> None:
    transformers = pytest.importorskip("transformers")
    processor = transformers.SamImageProcessorPil(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}
    )
    image = picture(*size)
    want = processor([image], return_tensors="pt")
    have = sam_image_processor(64)([image])
    torch.testing.assert_close(have, want["pixel_values"], atol=1e-5, rtol=1e-5)
    predictor = SamPredictor(model)
    encoded = predictor.set_image(image)
    assert list(encoded.input_size) == want["reshaped_input_sizes"][0].tolist()
    assert encoded.original_size == size
    small = torch.randn(2, 3, 32, 32)
    enlarged = processor.post_process_masks(
        [small], want["original_sizes"], want["reshaped_input_sizes"], binarize=False
    )[0]
    torch.testing.assert_close(predictor.postprocess_masks(small, encoded), enlarged)


def test_an_image_is_encoded_once(model: Sam) -> None:
    calls = []
    hook = model.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    predictor = SamPredictor(model)
    first = predictor.set_image(picture(40, 50))
    one = predictor.predict(points=torch.tensor([[[10.0, 12.0]]]))
    predictor.predict(boxes=torch.tensor([[1.0, 2.0, 30.0, 20.0], [0.0, 0.0, 9.0, 9.0]]))
    assert len(calls) == 1
    predictor.set_image(picture(40, 50, seed=1))
    assert not torch.equal(predictor.predict(points=torch.tensor([[[10.0, 12.0]]])).logits, one.logits)
    predictor.image = first
    assert torch.equal(predictor.predict(points=torch.tensor([[[10.0, 12.0]]])).logits, one.logits)
    assert len(calls) == 2
    hook.remove()


def test_prompts_are_answered_alone_as_together(model: Sam) -> None:
    predictor = SamPredictor(model)
    predictor.set_image(picture(40, 50))
    boxes = torch.tensor([[1.0, 2.0, 30.0, 20.0], [0.0, 0.0, 9.0, 9.0], [5.0, 5.0, 45.0, 35.0]])
    together = predictor.predict(boxes=boxes)
    for i in range(3):
        alone = predictor.predict(boxes=boxes[i : i + 1])
        torch.testing.assert_close(alone.logits[0], together.logits[i], atol=1e-5, rtol=1e-5)


def test_a_prompt_needs_an_image(model: Sam) -> None:
    with pytest.raises(ValueError, match="set_image comes first"):
        SamPredictor(model).predict(boxes=torch.zeros(1, 4))
    with pytest.raises(ValueError, match="uint8"):
        SamPredictor(model).set_image(np.zeros((10, 10), np.uint8))


@pytest.fixture(scope="module")
def taught() -> Sam:
    """A model that has learnt to find bright rectangles."""
    torch.manual_seed(3)
    model = Sam(CONFIG).train()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(200):
        image, masks = rectangles(64, 64, step)
        images = sam_image_processor(64)([image])
        (answer,) = interactive_losses(model, images, masks[None], [], box_limit=1.0, every_iou=True)
        optimizer.zero_grad()
        answer.loss.backward()
        optimizer.step()
    return model


def rectangles(height: int, width: int, seed: int) -> tuple[np.ndarray, torch.Tensor]:
    """Bright rectangles on a dark ground, and their masks."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
    masks = torch.zeros(4, height, width, dtype=torch.bool)
    for i, mask in enumerate(masks):
        left, top = (width // 2) * (i % 2) + 3, (height // 2) * (i // 2) + 3
        mask[top : top + rng.integers(12, 25), left : left + rng.integers(12, 25)] = True
        image[mask.numpy()] = rng.integers(120, 256, 3)
    return image, masks


def placed(mask: FoundMask, image: np.ndarray) -> np.ndarray:
    """The mask on the whole image."""
    left, top, right, bottom = mask.box
    whole = np.zeros(image.shape[:2], bool)
    whole[top:bottom, left:right] = mask.pixels
    return whole


AUTOMATIC: dict[str, dict[str, Any]] = {
    "plain": {"points_per_side": 6},
    "picky": {"points_per_side": 7, "points_per_batch": 10, "box_nms_thresh": 0.3},
    "crops": {"points_per_side": 4, "crop_n_layers": 1},
    "crops of two layers, thinned": {
        "points_per_side": 6,
        "crop_n_layers": 2,
        "crop_n_points_downscale_factor": 2,
        "crop_overlap_ratio": 0.2,
    },
}


@pytest.mark.parametrize("name", AUTOMATIC)
def test_automatic_masks_equal_the_authors(taught: Sam, package: tuple[Any, Any], name: str) -> None:
    options = AUTOMATIC[name]
    theirs = copy.deepcopy(package[1])
    theirs.load_state_dict(SEGMENT_ANYTHING_KEYS.to_theirs(taught.state_dict()))
    image = np.kron(rectangles(64, 80, 500)[0], np.ones((3, 3, 1), np.uint8))
    generator = package[0].SamAutomaticMaskGenerator(
        theirs,
        points_per_side=options["points_per_side"],
        points_per_batch=options.get("points_per_batch", 64),
        pred_iou_thresh=0.5,
        stability_score_thresh=0.6,
        stability_score_offset=0.5,
        box_nms_thresh=options.get("box_nms_thresh", 0.7),
        crop_nms_thresh=options.get("box_nms_thresh", 0.7),
        crop_n_layers=options.get("crop_n_layers", 0),
        crop_overlap_ratio=options.get("crop_overlap_ratio", 512 / 1500),
        crop_n_points_downscale_factor=options.get("crop_n_points_downscale_factor", 1),
    )
    want = generator.generate(image)
    have = SamAutomaticMaskGenerator(
        SamPredictor(taught),
        pred_iou_thresh=0.5,
        stability_score_thresh=0.6,
        stability_score_offset=0.5,
        **options,
    ).generate(image)
    assert len(have) == len(want) > 2
    assert len({mask.crop_box for mask in have}) > (1 if "crop_n_layers" in options else 0)
    if name == "plain":  # what is compared are things: how well each is found hangs on how the machine rounds
        truth = rectangles(64, 80, 500)[1].numpy().repeat(3, 1).repeat(3, 2)
        found = np.stack([placed(mask, image) for mask in have])
        shared = (truth[:, None] & found).sum((2, 3)) / (truth[:, None] | found).sum((2, 3))
        assert np.sort(shared.max(1))[-2] > 0.6
    for mine, their in zip(have, want, strict=True):
        left, top, right, bottom = mine.box
        assert (placed(mine, image) != their["segmentation"]).mean() < 1e-3
        assert [left, top, right - 1 - left, bottom - 1 - top] == their["bbox"]
        assert mine.predicted_iou == pytest.approx(their["predicted_iou"], abs=1e-4)
        assert mine.stability_score == pytest.approx(their["stability_score"], abs=1e-2)
        assert list(mine.point) == pytest.approx(their["point_coords"][0])
        x, y, width, height = their["crop_box"]
        assert mine.crop_box == (x, y, x + width, y + height)


def test_grids_and_crops() -> None:
    assert point_grid(2).tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    crops = list(crop_boxes(100, 200, 1, 0.2))
    assert crops[0] == ((0, 0, 200, 100), 0)
    assert crops[1:] == [
        ((0, 0, 110, 60), 1), ((0, 40, 110, 100), 1), ((90, 0, 200, 60), 1), ((90, 40, 200, 100), 1)
    ]  # fmt: skip
