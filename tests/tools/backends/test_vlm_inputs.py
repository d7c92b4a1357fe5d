"""What `vlm` gives a network is what the processor of transformers gives it beside torchvision.

The numbers are those of data/make_vlm_inputs.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import PIL.Image
import pytest
from safetensors.torch import load_file

from tests.tools.backends.conftest import noise
from tests.tools.backends.data.make_vlm_inputs import (
    FILE,
    MODULES,
    SIZES,
    InterpolationMode,
    conversation,
    sampled,
    stand_in,
)
from tests.tools.backends.test_vlm import KIND, loaded
from visprog.models.preprocess.gemma4 import Gemma4ImageProcessor, Gemma4UnifiedImageProcessor
from visprog.models.preprocess.lfm2_vl import Lfm2VlImageProcessor
from visprog.models.preprocess.molmo2 import Molmo2ImageProcessor

Folder = Callable[[str], str]


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    return load_file(FILE)


@KIND
def test_tokens_and_pixels_are_the_published_ones(
    kind: str, checkpoint: Folder, published: dict[str, Any]
) -> None:
    processor = loaded(checkpoint(kind)).processor
    for number, size in enumerate(SIZES):
        text = processor.apply_chat_template(conversation(None), add_generation_prompt=True)
        made = processor(
            images=[[noise(*size, number).to_pil()]], text=[text], return_tensors="pt",
            **({"add_special_tokens": False} if text.startswith("<bos>") else {}),
        )  # fmt: skip
        begin = f"{kind}.{number}."
        wanted = {
            n.removeprefix(begin) for n in published if n.startswith(begin) and not n.endswith(".shape")
        }
        assert wanted <= set(made) | {"token_type_ids"}
        for name in wanted:
            values, want = made[name], published[begin + name]
            assert list(values.shape) == published[f"{begin}{name}.shape"].tolist()
            if not values.is_floating_point():
                assert (values == want).all(), name
                continue
            assert (sampled(values) - want).abs().max() < 1e-5


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """An image processor of transformers for torchvision, by its type of model, with stand-ins for torchvision."""
    from transformers import image_processing_backends as backends

    before = set(sys.modules)
    stand_in(MODULES)
    monkeypatch.setattr(backends, "tvF", sys.modules["torchvision.transforms.v2.functional"], raising=False)
    monkeypatch.setattr(
        backends,
        "pil_torch_interpolation_mapping",
        {2: InterpolationMode.BILINEAR, 3: InterpolationMode.BICUBIC},
    )
    yield lambda kind: import_module(f"transformers.models.{kind}.image_processing_{kind}")
    for name in set(sys.modules) - before:
        if name.startswith("torchvision") or ".image_processing_" in name:
            del sys.modules[name]


ODD = [(1, 1), (1, 900), (700, 2), (112, 112), (113, 300), (378, 378), (640, 480), (1536, 700), (333, 1500)]
"""Width and height."""


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Molmo2ImageProcessor, {"size": {"height": 378, "width": 364}}),
        (Molmo2ImageProcessor, {"size": {"height": 380, "width": 380}}),
        (Molmo2ImageProcessor, {"resample": 3}),
        (Molmo2ImageProcessor, {"do_normalize": False}),
        (Lfm2VlImageProcessor, {"resample": 3}),
        (Lfm2VlImageProcessor, {"min_tiles": 11}),
        (Lfm2VlImageProcessor, {"do_pad": False}),
        (Gemma4UnifiedImageProcessor, {"resample": 2}),
        (Gemma4UnifiedImageProcessor, {"do_normalize": True}),
    ],
)
def test_settings_that_are_not_implemented_are_refused(kind: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is not implemented|more than its max_tiles"):
        kind(settings)
    kind(dict.fromkeys(settings))  # null is what the class has


def test_molmo2_sees_any_size_as_published(theirs: Callable[[str], Any]) -> None:
    there, here = theirs("molmo2").Molmo2ImageProcessor(), Molmo2ImageProcessor({})
    for number, size in enumerate([*ODD, (3000, 3000)]):
        pixels = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        image = PIL.Image.fromarray(pixels)
        want, have = there([image], return_tensors="pt"), here([[image]])
        assert set(have) == set(want)
        for name, values in have.items():
            assert values.shape == want[name].shape and (values - want[name]).abs().max() < 1e-5, (name, size)


@pytest.mark.parametrize("ours", [Gemma4ImageProcessor, Gemma4UnifiedImageProcessor])
def test_gemma4_sees_any_size_as_published(ours: Any, theirs: Callable[[str], Any]) -> None:
    kind = "gemma4_unified" if ours is Gemma4UnifiedImageProcessor else "gemma4"
    there, here = getattr(theirs(kind), ours.__name__)(), ours({})
    for number, size in enumerate(ODD):
        pixels = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        image = PIL.Image.fromarray(pixels)
        want, have = there([[image]], return_tensors="pt"), here([[image]])
        assert have["num_soft_tokens_per_image"] == list(want["num_soft_tokens_per_image"])
        for name in ("pixel_values", "image_position_ids"):
            other = want[name]
            assert have[name].shape == other.shape and (have[name] - other).abs().max() < 1e-6, (name, size)


@pytest.mark.parametrize("settings", [{}, {"use_thumbnail": False}, {"do_image_splitting": False}])
def test_lfm2_vl_sees_any_size_as_published(settings: dict[str, bool], theirs: Callable[[str], Any]) -> None:
    there, here = theirs("lfm2_vl").Lfm2VlImageProcessor(**settings), Lfm2VlImageProcessor(settings)
    for number, size in enumerate(ODD):
        pixels = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        image = PIL.Image.fromarray(pixels)
        want = there([[image]], return_tensors="pt", return_row_col_info=True)
        have = here([[image]])
        for name, values in have.items():
            other = want[name]
            if name.startswith("image_"):
                assert [values] == [other if isinstance(other, list) else other.tolist()], (name, size)
            else:
                assert values.shape == other.shape and (values - other).abs().max() < 1e-5, (name, size)


def test_lfm2_vl_cuts_any_size_as_published(theirs: Callable[[str], Any]) -> None:
    there, here = theirs("lfm2_vl").Lfm2VlImageProcessor(), Lfm2VlImageProcessor({})
    for height in range(1, 4000, 97):
        for width in range(1, 4000, 131):
            large = there._is_image_too_large(height, width, 256, 16, 2, 2.0)
            grid = there._get_grid_layout(height, width, 2, 10, 512)[:2] if large else (1, 1)
            assert here.tiling(height, width) == grid[::-1]
            assert here.whole_size(height, width) == there.smart_resize(height, width, 2, 64, 256, 16)[::-1]
