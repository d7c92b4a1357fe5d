"""`depth` against transformers used directly, on tiny random weights."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from visprog.errors import Refused, ToolError
from visprog.tools.backends.depth_anything import DepthEstimator
from visprog.tools.depth import depth
from visprog.values.image import Image

from .conftest import T, torch
from .vision_checkpoints import save_depth_pro

Folder = Callable[[str], str]


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
def test_depth_anything(kind: str, checkpoint: Folder, pictures: list[Image]) -> None:
    folder = checkpoint("depth-anything" if kind == "relative" else "depth-anything-metric")
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


def test_zoe_depth_is_fitted_to_the_image_in_metres(checkpoint: Folder, pictures: list[Image]) -> None:
    folder = checkpoint("zoedepth")
    found = DepthEstimator(folder, dtype="float32")([{"image": picture} for picture in pictures])
    for image, mine in zip(pictures, found, strict=True):
        fitted = zoe_depth(folder, Image(image.pixels))
        assert mine.metric and mine.values.shape == (image.height, image.width)
        np.testing.assert_allclose(mine.values, fitted, atol=1e-4)


def test_glpn_is_in_metres(checkpoint: Folder, pictures: list[Image]) -> None:
    folder = checkpoint("glpn")
    found = DepthEstimator(folder, dtype="float32")([{"image": picture} for picture in pictures])
    for image, mine in zip(pictures, found, strict=True):
        raw, _ = theirs(folder, Image(image.pixels), "GLPNForDepthEstimation")
        assert mine.metric
        np.testing.assert_allclose(mine.values, raw, atol=1e-5)


def depth_pro(folder: str, image: Image) -> Any:
    """As the processor of transformers prepares an image, and fits the values, in torch's own words."""
    network = T.DepthProForDepthEstimation.from_pretrained(folder).eval()
    plane = torch.from_numpy(np.array(image.pixels)).permute(2, 0, 1)[None] / 255
    pixels = torch.nn.functional.interpolate((plane - 0.5) / 0.5, (128, 128), mode="bilinear")
    with torch.no_grad():
        output = network(pixels)
    inverse = output.predicted_depth
    if output.field_of_view is not None:
        focal = 0.5 * image.width / torch.tan(0.5 * torch.deg2rad(output.field_of_view))
        inverse = inverse * image.width / focal
    fitted = torch.nn.functional.interpolate(inverse[None], (image.height, image.width), mode="bilinear")
    return (1 / fitted[0, 0].clamp(1e-4, 1e4)).numpy()


@pytest.mark.parametrize("field_of_view", [True, False])
def test_depth_pro_is_metric_if_it_sees_the_field_of_view(
    field_of_view: bool, tmp_path: Path, pictures: list[Image]
) -> None:
    save_depth_pro(tmp_path, field_of_view)
    estimator = DepthEstimator(str(tmp_path), dtype="float32")
    assert bool(estimator.sees.without) != field_of_view
    for image, mine in zip(pictures, estimator([{"image": p} for p in pictures]), strict=True):
        want = depth_pro(str(tmp_path), Image(image.pixels))
        assert mine.metric == field_of_view
        if not field_of_view:  # larger is farther here too
            want = (want - want.min()) / (want.max() - want.min())
        np.testing.assert_allclose(mine.values, want, rtol=1e-3, atol=1e-4)


def test_what_its_numbers_are_is_known_before_it_runs(checkpoint: Folder) -> None:
    def metres(model: str | None = None, **options: Any) -> bool | None:
        sees = DepthEstimator(model, **options).sees
        return None if "depth.metric tells" in sees.summary else not sees.without

    assert metres() is False and metres(checkpoint("depth-anything")) is False
    assert metres(checkpoint("depth-anything-metric")) and metres(checkpoint("zoedepth"))
    assert metres(checkpoint("glpn")) and metres(checkpoint("depth-pro"))
    assert metres(checkpoint("dpt")) is None and metres("nobody/has-fetched-it") is None
    assert metres(checkpoint("dpt"), values="metres") and metres(checkpoint("dpt"), values="inverse") is False


def test_a_model_that_does_not_say_what_its_numbers_are_is_not_guessed(
    checkpoint: Folder, pictures: list[Image]
) -> None:
    folder = checkpoint("dpt")
    (refused,) = DepthEstimator(folder)([{"image": pictures[0]}])
    assert isinstance(refused, ToolError) and 'values = "metres" or "inverse"' in str(refused)
    (inverse,) = DepthEstimator(folder, values="inverse")([{"image": pictures[0]}])
    (metres,) = DepthEstimator(folder, values="metres")([{"image": pictures[0]}])
    near = np.unravel_index(metres.values.argmax(), metres.values.shape)
    assert metres.metric and not inverse.metric and inverse.values[near] == 0.0
    with pytest.raises(ToolError, match="values must be"):
        DepthEstimator(folder, values="feet")  # type: ignore[arg-type]


def test_without_a_model_it_refuses_and_names_one(pictures: list[Image]) -> None:
    with pytest.raises(Refused, match='backend = "depth-anything"'):
        depth(pictures[0])
    assert depth.load("none", (("model", None),))
    with pytest.raises(ToolError, match="needs its backend"):
        depth.load("none", (("model", "x"),))
