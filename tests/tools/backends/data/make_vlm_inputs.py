"""Writes vlm_inputs.safetensors: what the processors of transformers make of images and a question.

    python -m tests.tools.backends.data.make_vlm_inputs

Made by transformers 5.24.0 and torch 2.13.0 from the tiny checkpoints of the tests, by the classes that transformers
uses beside torchvision. In the place of torchvision are the functions of it that these call: `resize`, which is
`torch.nn.functional.interpolate` there, too, `normalize` and `pad`. Of each tensor of floats, `SAMPLES` values are
kept.
"""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
from enum import Enum
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

SIZES = ((60, 40), (32, 48), (200, 90), (23, 170))
"""Width and height of the images; they are coarse noise."""

QUESTION = "What colour is it?"
SAMPLES = 400
FILE = Path(__file__).with_suffix("").parent / "vlm_inputs.safetensors"


class InterpolationMode(Enum):
    """As in torchvision."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


def resize(
    image: Tensor,
    size: list[int],
    interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Tensor:
    """Images (..., channels, height, width) at another size."""
    if image.shape[-2:] == tuple(size):
        return image
    if isinstance(interpolation, int):  # PIL's number of it
        interpolation = {2: InterpolationMode.BILINEAR, 3: InterpolationMode.BICUBIC}[interpolation]
    batch = image.reshape(-1, *image.shape[-3:])
    made = F.interpolate(
        batch, tuple(size), mode=interpolation.value, align_corners=False, antialias=bool(antialias)
    )
    return made.reshape(*image.shape[:-2], *size)


def normalize(image: Tensor, mean: Any, std: Any, inplace: bool = False) -> Tensor:
    """Images (..., channels, height, width) without their mean, over their deviation."""
    mean, std = (torch.as_tensor(values, dtype=image.dtype).view(-1, 1, 1) for values in (mean, std))
    return (image - mean) / std


def pad(image: Tensor, padding: list[int], fill: float = 0, padding_mode: str = "constant") -> Tensor:
    """Images (..., channels, height, width) with an edge: left and top, right and bottom."""
    across, down, *others = padding
    right, bottom = others or (across, down)
    return F.pad(image, (across, right, down, bottom), mode=padding_mode, value=fill)


class StandIn(ModuleType):
    """A module of torchvision, whose other names are empty classes."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def stand_in(names: tuple[str, ...]) -> None:
    """Put modules in the place of those of torchvision."""
    for name in names:
        module = StandIn(name)
        module.__path__ = []
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        for each in (InterpolationMode, resize, normalize, pad):
            setattr(module, each.__name__, each)
        sys.modules[name] = module
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)


MODULES = (
    "torchvision", "torchvision.io", "torchvision.transforms", "torchvision.transforms.functional",
    "torchvision.transforms.v2", "torchvision.transforms.v2.functional",
)  # fmt: skip


def conversation(image: Any) -> list[dict[str, Any]]:
    """A question about an image."""
    return [
        {"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": QUESTION}]}
    ]


def sampled(values: Tensor) -> Tensor:
    """Some values of a tensor of floats, always the same; a tensor of integers whole."""
    if not values.is_floating_point():
        return values.to(torch.int32)
    places = np.random.default_rng(0).integers(0, values.numel(), SAMPLES)
    return values.flatten()[torch.from_numpy(places)]


def main() -> None:
    """Write the file."""
    stand_in(MODULES)
    version = importlib.metadata.version
    importlib.metadata.version = lambda name: "0.28.0" if name == "torchvision" else version(name)
    import transformers
    from transformers.models.smolvlm import processing_smolvlm

    from tests.tools.backends.conftest import noise
    from tests.tools.backends.hub_checkpoints import SAVERS as LATER
    from tests.tools.backends.test_vlm import KINDS
    from tests.tools.backends.vlm_checkpoints import SAVERS

    processing_smolvlm.num2words = str  # of a package that names the numbers in what is said of videos
    numbers: dict[str, Tensor] = {}
    for kind in KINDS:
        folder = Path(tempfile.mkdtemp())
        (LATER | SAVERS)[kind](folder)
        processor = transformers.AutoProcessor.from_pretrained(folder)
        assert not type(processor.image_processor).__name__.endswith("Pil")
        for number, size in enumerate(SIZES):
            inputs = processor.apply_chat_template(
                [conversation(noise(*size, number).to_pil())], add_generation_prompt=True, tokenize=True,
                return_dict=True, return_tensors="pt",
            )  # fmt: skip
            for name, values in inputs.items():
                numbers[f"{kind}.{number}.{name}"] = sampled(values).contiguous()
                numbers[f"{kind}.{number}.{name}.shape"] = torch.tensor(values.shape)
    save_file(numbers, FILE)


if __name__ == "__main__":
    main()
