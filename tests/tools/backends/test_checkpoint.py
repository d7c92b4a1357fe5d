"""What can be wrong with a checkpoint, and which message names it."""

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

from visprog.errors import MissingExtra, ToolError
from visprog.tools.backends._batching import answer_batch
from visprog.tools.backends._checkpoint import Checkpoint, find
from visprog.tools.backends._loading import load, load_by_transformers
from visprog.values.image import Image

Folder = Callable[[str], str]


def ours(model: object, device: str = "auto", dtype: str = "auto", **options: Any) -> Checkpoint:
    return load(find(str(model), "match"), device, dtype, **options)


def theirs(
    model: object, architecture: str = "AutoModel", device: str = "auto", dtype: str = "auto"
) -> Checkpoint:
    return load_by_transformers(find(str(model), "match"), architecture, device, dtype)


LOADERS = pytest.mark.parametrize("loader", [ours, theirs])


def message(model: object, loader: Callable[..., Checkpoint] = theirs, **options: Any) -> str:
    with pytest.raises(ToolError) as caught:
        loader(model, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_places_without_a_checkpoint(tmp_path: Path) -> None:
    assert "no such folder" in message(tmp_path / "missing")
    assert "no such folder" in message("./missing")
    (tmp_path / "file.gguf").write_bytes(b"x")
    assert "is a file; give the folder" in message(tmp_path / "file.gguf")
    assert "holds no config.json" in message(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    assert "holds no *.safetensors" in message(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert "cannot load" in message(tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert "cannot load" in message(tmp_path)


def test_the_hub_cannot_be_reached() -> None:
    found = message("no-such-org/no-such-model")
    assert "cannot get 'no-such-org/no-such-model' from the hub" in found
    assert 'set model = "FOLDER" under [tools.match]' in found


def test_pickled_weights_are_refused(checkpoint: Folder, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(checkpoint("clip"), folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    assert "holds only pickled weights" in message(folder)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model_ema.safetensors", "only model_ema.safetensors: copy the weights that you mean"),
        ("model.fp16.safetensors", "only model.fp16.safetensors"),
        ("adapter_config.json", "holds a LoRA adapter"),
    ],
)
def test_other_weights_are_not_taken_for_the_model(name: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    (tmp_path / name).write_bytes(b"x")
    assert part in message(tmp_path)


def test_code_in_a_checkpoint_is_not_run(checkpoint: Folder, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    shutil.copytree(checkpoint("clip"), folder)
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "own"
    config["auto_map"] = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'trapped')!r}, 'w')")
    assert "cannot load" in message(folder)
    assert not (tmp_path / "trapped").exists()


def test_another_type_of_model(checkpoint: Folder) -> None:
    from visprog.tools.backends.clip import ClipMatcher

    (error,) = ClipMatcher(checkpoint("blip"))(
        [{"image": Image(np.zeros((8, 8, 3), np.uint8)), "text": "dog"}]
    )
    assert isinstance(error, ToolError)
    assert "is of model_type blip; this backend takes clip or siglip or metaclip_2" in str(error)


def test_weights_for_another_task(checkpoint: Folder) -> None:
    found = message(checkpoint("blip"), architecture="BlipForQuestionAnswering")
    assert "lacks" in found and "BlipForQuestionAnswering" in found


@LOADERS
def test_devices_and_precision(loader: Callable[..., Checkpoint], checkpoint: Folder) -> None:
    def precision(**options: Any) -> torch.dtype:
        found = next(loader(checkpoint("clip"), **options).network.parameters()).dtype
        assert isinstance(found, torch.dtype)
        return found

    assert "cannot put" in message(checkpoint("clip"), loader, device="nowhere")
    assert precision(device="cpu") == torch.float32
    assert precision(device="cpu", dtype="bfloat16") == torch.bfloat16
    half = loader(checkpoint("clip"), device="cpu", dtype="bfloat16")
    sent = half.send_all(
        {"pixel_values": torch.zeros(1), "input_ids": torch.zeros(1, dtype=torch.int64), "x": 1}
    )
    assert [v.dtype for v in sent.values()] == [torch.bfloat16, torch.int64]


@LOADERS
def test_half_precision_on_a_cpu(
    loader: Callable[..., Checkpoint], checkpoint: Folder, tmp_path: Path
) -> None:
    theirs(checkpoint("clip"), dtype="float16").network.save_pretrained(tmp_path)
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(checkpoint("clip")) / name, tmp_path)

    def precision(**options: Any) -> object:
        found = (
            load(find(str(tmp_path), "vqa"), "cpu", **options)
            if loader is ours
            else (load_by_transformers(find(str(tmp_path), "vqa"), "AutoModel", "cpu", **options))
        )
        return next(found.network.parameters()).dtype

    assert precision(dtype="auto") == torch.float32
    assert precision(dtype="auto", half_on_cpu="bfloat16") == torch.bfloat16
    assert precision(dtype="float16") == torch.float16


def test_weights_are_loaded_once_and_quietly(checkpoint: Folder, capfd: pytest.CaptureFixture[str]) -> None:
    import transformers

    transformers.utils.logging.enable_progress_bar()
    try:
        one = theirs(checkpoint("clip"))
        assert theirs(checkpoint("clip")) is one
        assert ours(checkpoint("clip")) is ours(checkpoint("clip")) is not one
        assert transformers.utils.logging.is_progress_bar_enabled()
    finally:
        transformers.utils.logging.disable_progress_bar()
    assert capfd.readouterr() == ("", "")


@LOADERS
def test_out_of_memory(loader: Callable[..., Checkpoint], checkpoint: Folder) -> None:
    loaded = loader(checkpoint("clip"))
    with pytest.raises(ToolError, match="lower batch_size"), loaded.running():
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_not_installed(checkpoint: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'visprog\[hf\]'"):
        theirs(checkpoint("blip"))
    assert ours(checkpoint("clip")).network is not None  # needs no transformers


def test_a_batch_that_fails_as_a_whole() -> None:
    def prepare(n: int) -> int:
        if n < 0:
            raise ValueError("negative")
        return n

    def answer(numbers: list[int]) -> list[int]:
        if 0 in numbers:
            raise ToolError("broken")
        return [n * 2 for n in numbers]

    assert answer_batch([{"n": 1}, {"n": 2}], prepare, answer) == [2, 4]
    one, two = answer_batch([{"n": -1}, {"n": 0}], prepare, answer)
    assert isinstance(one, ValueError) and isinstance(two, ToolError)
