"""What can be wrong with a checkpoint, and what is said of it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from visprog.errors import MissingExtra, ToolError
from visprog.tools.backends._batching import Memory, answer_together, chunks
from visprog.tools.backends._checkpoint import load

Folder = Callable[[str], str]


def said(model: object, architecture: str = "AutoModel", kinds: tuple[str, ...] = (), **options: Any) -> str:
    with pytest.raises(ToolError) as caught:
        load(str(model), "match", architecture, kinds, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_places_without_a_checkpoint(tmp_path: Path) -> None:
    assert "no such folder" in said(tmp_path / "missing")
    assert "no such folder" in said("./missing")
    (tmp_path / "file.gguf").write_bytes(b"x")
    assert "is a file; give the folder" in said(tmp_path / "file.gguf")
    assert "holds no config.json" in said(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    assert "holds no *.safetensors" in said(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert "cannot load" in said(tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert "cannot load" in said(tmp_path)


def test_the_hub_cannot_be_reached() -> None:
    message = said("no-such-org/no-such-model")
    assert "cannot get 'no-such-org/no-such-model' from the hub" in message
    assert 'set model = "FOLDER" under [tools.match]' in message


def test_pickled_weights_are_refused(checkpoint: Folder, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(checkpoint("clip"), folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    assert "holds only pickled weights" in said(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model_ema.safetensors", "only model_ema.safetensors: copy the weights that you mean"),
        ("model.fp16.safetensors", "only model.fp16.safetensors"),
        ("adapter_config.json", "holds a LoRA adapter"),
    ],
)
def test_other_weights_are_not_taken_for_the_model(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    (tmp_path / name).write_bytes(b"x")
    assert message in said(tmp_path)


def test_code_in_a_checkpoint_is_not_run(checkpoint: Folder, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    shutil.copytree(checkpoint("clip"), folder)
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "own"
    config["auto_map"] = {"AutoConfig": "own.Config", "AutoModel": "own.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'trapped')!r}, 'w')")
    assert "cannot load" in said(folder)
    assert not (tmp_path / "trapped").exists()


def test_another_kind_of_network(checkpoint: Folder) -> None:
    assert "is of kind blip; this backend takes clip or siglip" in said(
        checkpoint("blip"), kinds=("clip", "siglip")
    )


def test_weights_for_another_task(checkpoint: Folder) -> None:
    message = said(checkpoint("blip"), "BlipForQuestionAnswering", ("blip",))
    assert "lacks" in message and "BlipForQuestionAnswering" in message


def test_devices_and_precision(checkpoint: Folder) -> None:
    model = checkpoint("clip")
    assert "cannot put" in said(model, device="nowhere")
    assert load(model, "match", "AutoModel", (), device="cpu").network.dtype == torch.float32
    half = load(model, "match", "AutoModel", (), device="cpu", dtype="bfloat16")
    assert half.network.dtype == torch.bfloat16
    sent = half.send({"pixel_values": torch.zeros(1), "input_ids": torch.zeros(1, dtype=torch.int64), "x": 1})
    assert [v.dtype for v in sent.values()] == [torch.bfloat16, torch.int64]


def test_half_precision_on_a_cpu(checkpoint: Folder, tmp_path: Path) -> None:
    load(checkpoint("clip"), "match", "AutoModel", ()).network.half().save_pretrained(tmp_path)
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(checkpoint("clip")) / name, tmp_path)
    model = str(tmp_path)
    assert load(model, "match", "AutoModel", (), device="cpu").network.dtype == torch.float32
    language = load(model, "vqa", "AutoModel", (), device="cpu", half_on_cpu="bfloat16")
    assert language.network.dtype == torch.bfloat16
    asked = load(model, "match", "AutoModel", (), device="cpu", dtype="float16")
    assert asked.network.dtype == torch.float16


def test_weights_are_loaded_once_and_quietly(checkpoint: Folder, capfd: pytest.CaptureFixture[str]) -> None:
    import transformers

    transformers.utils.logging.enable_progress_bar()
    try:
        one = load(checkpoint("clip"), "match", "AutoModel", ())
        assert load(checkpoint("clip"), "verify", "AutoModel", ("clip",)) is one
        assert transformers.utils.logging.is_progress_bar_enabled()
    finally:
        transformers.utils.logging.disable_progress_bar()
    assert capfd.readouterr() == ("", "")


def test_out_of_memory(checkpoint: Folder) -> None:
    loaded = load(checkpoint("clip"), "match", "AutoModel", ())
    with pytest.raises(ToolError, match="lower batch_size"), loaded.running():
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_not_installed(checkpoint: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'visprog\[hf\]'"):
        load(checkpoint("clip"), "match", "AutoModel", ())


def test_memory() -> None:
    memory: Memory[str, int] = Memory(2)
    asked: list[list[str]] = []

    def compute(keys: list[str]) -> list[int]:
        asked.append(keys)
        return [len(k) for k in keys]

    assert memory.get(["a", "bb", "a", "ccc"], compute) == [1, 2, 1, 3]
    assert memory.get(["ccc", "bb"], compute) == [3, 2]
    assert memory.get(["a"], compute) == [1]
    assert asked == [["a", "bb", "ccc"], ["a"]]
    assert [list(c) for c in chunks("abcde", 2)] == [["a", "b"], ["c", "d"], ["e"]]


def test_a_batch_that_fails_as_a_whole() -> None:
    def prepare(n: int) -> int:
        if n < 0:
            raise ValueError("negative")
        return n

    def answer(numbers: list[int]) -> list[int]:
        if 0 in numbers:
            raise ToolError("broken")
        return [n * 2 for n in numbers]

    assert answer_together([{"n": 1}, {"n": 2}], prepare, answer) == [2, 4]
    one, two = answer_together([{"n": -1}, {"n": 0}], prepare, answer)
    assert isinstance(one, ValueError) and isinstance(two, ToolError)
