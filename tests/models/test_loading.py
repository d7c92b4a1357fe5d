"""How models come into memory: one tensor after the other, on the device and in the precision that are asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from visprog.models.checkpoint import weights  # noqa: E402
from visprog.models.checkpoint.weights import owned, read_tensors  # noqa: E402
from visprog.models.llama import Llama, LlamaConfig  # noqa: E402

LARGE = LlamaConfig(vocab=24_000, dim=1024, layers=1, heads=8, hidden=1024, tied=False)
"""About 55 M parameters, half of them in one tensor."""

LOAD = """
import sys
from visprog.models.llama import Llama

def memory(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))

before = memory("VmRSS")
model = Llama.from_pretrained(sys.argv[1], dtype=sys.argv[2])
print(memory("VmHWM") - before, sum(p.nbytes for p in model.parameters()))
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of one model in two precisions."""
    found = {}
    with torch.device("meta"):
        model = Llama(LARGE)
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    for name in ("float32", "bfloat16"):
        found[name] = tmp_path_factory.mktemp(name)
        model.save_pretrained(found[name], getattr(torch, name))
    return found


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("stored", "asked"), [("float32", "float32"), ("float32", "bfloat16"), ("bfloat16", "float32")]
)
def test_loading_takes_no_more_than_the_file_or_the_model(
    stored: str, asked: str, large: dict[str, Path]
) -> None:
    file = (large[stored] / "model.safetensors").stat().st_size
    ran = subprocess.run(
        [sys.executable, "-c", LOAD, large[stored], asked], check=True, capture_output=True, text=True
    )
    peak, model = map(int, ran.stdout.split())
    assert file > 100 << 20
    assert peak < 1.2 * max(file, model)
    if asked == "bfloat16":
        assert peak < 0.75 * file


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="the peak is read from /proc")
def test_a_part_of_a_downloaded_model_that_is_not_used_takes_no_memory(
    large: dict[str, Path], tmp_path: Path
) -> None:
    blobs, snapshot = tmp_path / "models--a--b/blobs", tmp_path / "models--a--b/snapshots/1"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for file in large["float32"].iterdir():
        (blobs / file.name).hardlink_to(file)
        (snapshot / file.name).symlink_to(blobs / file.name)
    ran = subprocess.run(
        [sys.executable, "-c", LOAD, snapshot, "float32"], check=True, capture_output=True, text=True
    )
    peak, model = map(int, ran.stdout.split())
    assert peak < 0.7 * model  # one tensor, half of the model, while its values are checked


def test_weights_are_put_on_a_device(tmp_path: Path) -> None:
    Llama(LlamaConfig(vocab=31, dim=16, layers=1, heads=2, hidden=24)).save_pretrained(tmp_path)
    model = Llama.from_pretrained(tmp_path, device=torch.device("cpu"), dtype="bfloat16")
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    if not torch.cuda.is_available():
        with pytest.raises((RuntimeError, AssertionError), match=r"(?i)cuda"):
            Llama.from_pretrained(tmp_path, device="cuda")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_copies_are_equal_whatever_their_pieces(
    dtype: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "PIECE", 64)
    given = {
        "rows": torch.arange(60).view(20, 3).to(dtype),
        "number": torch.tensor(3).to(dtype),
        "empty": torch.zeros(0, 4).to(dtype),
        "wide": torch.arange(200).view(1, 200).to(dtype),
    }
    save_file(given, tmp_path / "a.safetensors")
    for name, tensor in read_tensors(tmp_path / "a.safetensors").items():
        assert torch.equal(tensor, given[name])
        for part in (tensor, tensor.T) if tensor.ndim == 2 else (tensor,):
            copy = owned(part, torch.float32, "cpu")
            assert copy.is_contiguous() and torch.equal(copy, part.float())
            assert copy.data_ptr() != part.data_ptr() or not copy.numel()


def test_a_header_of_an_odd_length(tmp_path: Path) -> None:
    """Other writers do not fill the header up to whole numbers."""
    given, file = {"a": torch.arange(12.0).view(3, 4)}, tmp_path / "a.safetensors"
    save_file(given, file)
    raw = file.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    file.write_bytes((length + 3).to_bytes(8, "little") + raw[8 : 8 + length] + b"   " + raw[8 + length :])
    assert torch.equal(read_tensors(file)["a"], given["a"])


def test_files_of_the_hub_are_mapped_for_good(tmp_path: Path) -> None:
    """They are named by what they hold, and never overwritten."""
    Llama(LlamaConfig(vocab=31, dim=16, layers=1, heads=2, hidden=24)).save_pretrained(tmp_path / "folder")
    snapshot, blob = tmp_path / "models--a--b/snapshots/1", tmp_path / "models--a--b/blobs/0123"
    for folder in (snapshot, blob.parent):
        folder.mkdir(parents=True)
    (snapshot / "config.json").write_bytes((tmp_path / "folder/config.json").read_bytes())
    content = (tmp_path / "folder/model.safetensors").read_bytes()
    blob.write_bytes(content)
    (snapshot / "model.safetensors").symlink_to(blob)

    def mapped(model: Llama) -> set[bool]:
        return {p.untyped_storage().data_ptr() in weights._mappings for p in model.parameters()}

    own, hub = Llama.from_pretrained(tmp_path / "folder"), Llama.from_pretrained(snapshot)
    assert mapped(own) == {False} and mapped(hub) == {True}
    assert mapped(Llama.from_pretrained(snapshot, dtype="bfloat16")) == {False}
    tokens = torch.tensor([[3, 1, 4]])
    assert torch.equal(own(tokens).logits, hub(tokens).logits)
    with torch.no_grad():
        hub.norm.weight.add_(1)  # a page of its own
    assert blob.read_bytes() == content
    assert torch.equal(Llama.from_pretrained(snapshot).norm.weight, own.norm.weight)
