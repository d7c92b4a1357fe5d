"""What `vlm` gives a network is what the processor of transformers gives it beside torchvision (data/make_vlm_inputs.py)."""

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
from visprog.models.preprocess.lfm2_vl import Lfm2VlImageProcessor
from visprog.models.preprocess.molmo2 import Molmo2ImageProcessor

Folder = Callable[[str], str]
EXACT = ("molmo2", "lfm2-vl")
"""Whose images are prepared here by the function that torchvision calls, and not by PIL."""


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    return load_file(FILE)


@KIND
def test_tokens_and_pixels_are_the_published_ones(
    kind: str, checkpoint: Folder, published: dict[str, Any]
) -> None:
    processor = loaded(checkpoint(kind)).processor
    deviation = max(getattr(processor.image_processor, "image_std", [0.5]))
    for number, size in enumerate(SIZES):
        text = processor.apply_chat_template(conversation(None), add_generation_prompt=True)
        made = processor(
            images=[[noise(*size, number).to_pil()]], text=[text], return_tensors="pt",
            **({"add_special_tokens": False} if text.startswith("<bos>") else {}),
        )  # fmt: skip
        begin = f"{kind}.{number}."
        wanted = {n.removeprefix(begin) for n in published if n.startswith(begin) and not n.endswith(".shape")}
        assert wanted <= set(made) | {"token_type_ids"}
        for name in wanted:
            values, want = made[name], published[begin + name]
            assert list(values.shape) == published[f"{begin}{name}.shape"].tolist()
            if not values.is_floating_point():
                assert (values == want).all(), name
                continue
            levels = (sampled(values) - want).abs() * 255 * deviation  # PIL rounds otherwise at hard edges
            assert levels.max() < (0.01 if kind in EXACT else 8)
            assert (levels > 0.5).float().mean() < 0.15


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """An image processor of transformers for torchvision, by its type of model, with stand-ins for torchvision."""
    from transformers import image_processing_backends as backends

    before = set(sys.modules)
    stand_in(MODULES)
    monkeypatch.setattr(
        backends, "tvF", sys.modules["torchvision.transforms.v2.functional"], raising=False
    )
    monkeypatch.setattr(
        backends,
        "pil_torch_interpolation_mapping",
        {2: InterpolationMode.BILINEAR, 3: InterpolationMode.BICUBIC},
    )
    yield lambda kind: import_module(f"transformers.models.{kind}.image_processing_{kind}")
    for name in set(sys.modules) - before:
        if name.startswith(("torchvision", "transformers.models.lfm2_vl", "transformers.models.molmo2")):
            del sys.modules[name]


ODD = [(1, 1), (1, 900), (700, 2), (112, 112), (113, 300), (378, 378), (640, 480), (1536, 700), (333, 1500)]
"""Width and height."""


def test_molmo2_sees_any_size_as_published(theirs: Callable[[str], Any]) -> None:
    there, here = theirs("molmo2").Molmo2ImageProcessor(), Molmo2ImageProcessor({})
    for number, size in enumerate([*ODD, (3000, 3000)]):
        pixels = np.random.default_rng(number).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        image = PIL.Image.fromarray(pixels)
        want, have = there([image], return_tensors="pt"), here([[image]])
        assert set(have) == set(want)
        for name, values in have.items():
            assert values.shape == want[name].shape and (values - want[name]).abs().max() < 1e-5, (name, size)


def test_lfm2_vl_sees_any_size_as_published(theirs: Callable[[str], Any]) -> None:
    there, here = theirs("lfm2_vl").Lfm2VlImageProcessor(), Lfm2VlImageProcessor({})
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
    for height in range(1, 4000, 97):
        for width in range(1, 4000, 131):
            large = there._is_image_too_large(height, width, 256, 16, 2, 2.0)
            grid = there._get_grid_layout(height, width, 2, 10, 512)[:2] if large else (1, 1)
            assert here.tiling(height, width) == grid[::-1]
            assert here.whole_size(height, width) == there.smart_resize(height, width, 2, 64, 256, 16)[::-1]
