"""Processors of transformers where torchvision is missing or broken."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from visprog.errors import ToolError
from visprog.models.preprocess import processors
from visprog.models.preprocess.resample import BICUBIC, BILINEAR, resize
from visprog.tools.backends._checkpoint import find
from visprog.tools.backends._loading import transformers_image_processor, transformers_processor

Folder = Callable[[str], str]


@pytest.mark.parametrize(("filter_", "mode"), [(BILINEAR, "bilinear"), (BICUBIC, "bicubic")])
@pytest.mark.parametrize("size", [(300, 400), (37, 53), (1000, 700), (20, 900)])
def test_pil_resizes_as_torchvision_does(filter_: int, mode: str, size: tuple[int, int]) -> None:
    """Torchvision resizes uint8 tensors on a CPU by `interpolate` with antialias."""
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    plane = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    theirs = F.interpolate(plane, (128, 96), mode=mode, antialias=True)[0].permute(1, 2, 0).numpy()
    apart = np.abs(resize(pixels, (128, 96), filter_).astype(int) - theirs)
    assert apart.max() <= 2 and (apart > 0).mean() < 0.01


def test_a_processor_without_its_video_half(checkpoint: Folder) -> None:
    processor = transformers_processor(find(checkpoint("qwen3-vl"), "vqa"))
    assert repr(processor) == "Qwen3VLProcessor without videos"
    assert processor.video_processor.merge_size is None and processor.image_processor.merge_size == 2


def test_an_image_processor_that_needs_torchvision_is_named(checkpoint: Folder, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    shutil.copytree(checkpoint("qwen3-vl"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "perception_lm"}))
    name = "PerceptionLMImageProcessor"
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": name}))
    with pytest.raises(
        ToolError, match="models of the type perception_lm prepare images with torchvision, which is not"
    ):
        transformers_image_processor(find(str(folder), "vqa"))


def test_a_broken_torchvision_is_named_in_one_sentence(
    checkpoint: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    processors.torchvision_problem.cache_clear()
    try:
        with pytest.raises(ToolError) as caught:
            transformers_processor(find(checkpoint("blip"), "caption"))
    finally:
        processors.torchvision_problem.cache_clear()
    said = str(caught.value)
    assert said.startswith(
        f"caption: the installed torchvision does not work with torch {torch.__version__} "
    )
    assert "operator torchvision::nms does not exist" in said and "pip uninstall torchvision" in said


def test_a_torchvision_that_works_is_used(checkpoint: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    import transformers

    monkeypatch.setattr(processors, "find_spec", lambda name: object())
    monkeypatch.setattr(processors, "import_module", lambda name: object())
    monkeypatch.setattr(
        transformers.AutoProcessor,
        "from_pretrained",
        lambda place, **options: loaded.append(place) or "theirs",
    )
    processors.torchvision_problem.cache_clear()
    try:
        assert transformers_processor(find(checkpoint("qwen3-vl"), "vqa")) == "theirs" and len(loaded) == 1
    finally:
        processors.torchvision_problem.cache_clear()
