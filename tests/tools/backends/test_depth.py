"""`depth` against transformers used directly, on tiny random weights."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from visprog.errors import Refused, ToolError
from visprog.tools.backends.depth_anything import DepthEstimator
from visprog.tools.depth import depth
from visprog.values.image import Image

from .conftest import T, shake, torch

BACKBONE = {
    "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    "out_features": ["stage1", "stage2", "stage3", "stage4"], "reshape_hidden_states": False,
}  # fmt: skip
SIZES = {"neck_hidden_sizes": [4, 8, 8, 8], "fusion_hidden_size": 8, "head_hidden_size": 4}


def save_depth_anything(folder: Path, kind: str) -> str:
    backbone = T.Dinov2Config(**BACKBONE)
    config = T.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, patch_size=14, depth_estimation_type=kind, max_depth=20,
        **SIZES,
    )  # fmt: skip
    shake(T.DepthAnythingForDepthEstimation(config)).save_pretrained(folder)
    processor = T.DPTImageProcessorPil(
        size={"height": 56, "width": 56}, keep_aspect_ratio=True, ensure_multiple_of=14
    )
    processor.save_pretrained(folder)
    return str(folder)


def save_zoe(folder: Path) -> str:
    backbone = T.BeitConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=64, patch_size=16,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False,
        use_relative_position_bias=True,
    )  # fmt: skip
    config = T.ZoeDepthConfig(
        backbone_config=backbone, bottleneck_features=16, num_relative_features=4, num_attractors=[4, 4, 4, 4],
        bin_embedding_dim=8, bin_configurations=[{"n_bins": 8, "min_depth": 0.1, "max_depth": 10.0, "name": "nyu"}],
        patch_transformer_hidden_size=8, patch_transformer_intermediate_size=8, **{**SIZES, "fusion_hidden_size": 16},
    )  # fmt: skip
    shake(T.ZoeDepthForDepthEstimation(config)).save_pretrained(folder)
    T.ZoeDepthImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    return str(folder)


def theirs(folder: str, image: Image, name: str) -> Any:
    network = getattr(T, name).from_pretrained(folder).eval()
    processor = T.AutoImageProcessor.from_pretrained(folder, backend="pil")
    inputs = processor(images=image.to_pil(), return_tensors="pt")
    with torch.no_grad():
        output = network(**inputs)
    (found,) = processor.post_process_depth_estimation(output, target_sizes=[(image.height, image.width)])
    return output.predicted_depth[0].numpy(), found["predicted_depth"].numpy()


def zoe_depth(folder: str, image: Image) -> Any:
    """As the processor of transformers fits it, which needs torchvision for two resizes, whatever its name says."""
    network = T.ZoeDepthForDepthEstimation.from_pretrained(folder).eval()
    processor = T.AutoImageProcessor.from_pretrained(folder, backend="pil")
    module = sys.modules[type(processor).__module__]
    resizes = SimpleNamespace(
        InterpolationMode=SimpleNamespace(BICUBIC="bicubic"),
        resize=lambda depth, size, interpolation, antialias: torch.nn.functional.interpolate(
            depth[None], size, mode=interpolation, antialias=antialias
        )[0],
    )
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(module, "tvF", resizes, raising=False)
        (found,) = processor.post_process_depth_estimation(
            network(**processor(images=image.to_pil(), return_tensors="pt")),
            source_sizes=[(image.height, image.width)],
            target_sizes=[(image.height, image.width)],
        )
    return found["predicted_depth"].numpy()


@pytest.mark.parametrize("kind", ["relative", "metric"])
def test_depth_anything(kind: str, tmp_path: Path, pictures: list[Image]) -> None:
    folder = save_depth_anything(tmp_path, kind)
    backend = DepthEstimator(folder, dtype="float32")
    found = backend([{"image": picture} for picture in [*pictures, pictures[0]]])
    for image, mine in zip(pictures, found, strict=False):
        raw, _ = theirs(folder, Image(image.pixels), "DepthAnythingForDepthEstimation")
        assert mine.box == image.box and mine.image is image.root and mine.metric == (kind == "metric")
        if kind == "metric":
            np.testing.assert_allclose(mine.values, raw, atol=1e-5)
        else:  # larger is nearer for them, farther for us
            scaled = (raw.max() - raw) / (raw.max() - raw.min())
            np.testing.assert_allclose(mine.values, scaled, atol=1e-4)
    assert np.array_equal(found[0].values, found[-1].values)


def test_zoe_depth_is_fitted_to_the_image_in_metres(tmp_path: Path, pictures: list[Image]) -> None:
    folder = save_zoe(tmp_path)
    found = DepthEstimator(folder, dtype="float32")([{"image": picture} for picture in pictures])
    for image, mine in zip(pictures, found, strict=True):
        fitted = zoe_depth(folder, Image(image.pixels))
        assert mine.metric and mine.values.shape == (image.height, image.width)
        np.testing.assert_allclose(mine.values, fitted, atol=1e-4)


def test_a_model_that_does_not_say_what_its_numbers_are_is_not_guessed(
    tmp_path: Path, pictures: list[Image]
) -> None:
    config = T.DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=16,
        backbone_out_indices=[0, 1, 2, 3], is_hybrid=False, **{**SIZES, "neck_hidden_sizes": [4, 4, 4, 4]},
    )  # fmt: skip
    shake(T.DPTForDepthEstimation(config)).save_pretrained(tmp_path)
    T.DPTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    (refused,) = DepthEstimator(str(tmp_path))([{"image": pictures[0]}])
    assert isinstance(refused, ToolError) and 'values = "metres" or "inverse"' in str(refused)
    (inverse,) = DepthEstimator(str(tmp_path), values="inverse")([{"image": pictures[0]}])
    (metres,) = DepthEstimator(str(tmp_path), values="metres")([{"image": pictures[0]}])
    near = np.unravel_index(metres.values.argmax(), metres.values.shape)
    assert metres.metric and not inverse.metric and inverse.values[near] == 0.0
    with pytest.raises(ToolError, match="values must be"):
        DepthEstimator(str(tmp_path), values="feet")  # type: ignore[arg-type]


def test_without_a_model_it_refuses_and_names_one(pictures: list[Image]) -> None:
    with pytest.raises(Refused, match='backend = "depth-anything"'):
        depth(pictures[0])
    assert depth.load("none", (("model", None),))
    with pytest.raises(ToolError, match="needs its backend"):
        depth.load("none", (("model", "x"),))
