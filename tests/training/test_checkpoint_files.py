"""Checkpoints of a run that cannot be written, or cannot be read again."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from safetensors import SafetensorError  # noqa: E402

from visprog.training.checkpoint import Checkpoints, TrainingError, write_folder, write_text  # noqa: E402

TORCH = RuntimeError(
    "[enforce fail at inline_container.cc:672] . unexpected pos 4034624 vs 4034512\nframe #0"
)
SAFETENSORS = SafetensorError(
    'Error while serializing: I/O error: Os { code: 28, message: "No space left on device" }'
)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), OSError(122, "Disk quota"), TORCH, SAFETENSORS]
)
def test_a_full_disk_is_said_to_be_full(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(part: Path) -> None:
        raise error

    folder = tmp_path / "best"
    write_folder(folder, lambda f: (f / "a").write_text("old") and None)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: usage._replace(free=0 if error is TORCH else usage.free)
    )
    with pytest.raises(
        TrainingError, match=r"the disk is full .* make room .*; what was saved before"
    ) as caught:
        write_folder(folder, fail)
    assert "\n" not in str(caught.value)
    assert (folder / "a").read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["best"]
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: fail(folder))
    if isinstance(error, OSError):
        with pytest.raises(TrainingError, match=r"cannot write .*summary\.json: the disk is full"):
            write_text(tmp_path / "summary.json", "{}")


def test_an_error_that_is_not_the_disks_is_not_laid_on_it(tmp_path: Path) -> None:
    def fail(part: Path) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672]")

    with pytest.raises(TrainingError, match=r"best: \[enforce fail"):
        write_folder(tmp_path / "best", fail)


FORGED: dict[str, Callable[[Path], object]] = {
    "a class": lambda file: torch.save({"step": Path("x")}, file),
    "a pickle": lambda file: file.write_bytes(pickle.dumps({"step": 1, "at": Path("x")})),
    "no pickle": lambda file: file.write_bytes(b"\x80\x04nonsense"),
    "nothing": lambda file: file.write_bytes(b""),
    "text": lambda file: file.write_text("hello"),
    "a cut archive": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "a list": lambda file: torch.save([1, 2], file),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_state_that_cannot_be_read_is_skipped_though_its_digest_fits(what: str, tmp_path: Path) -> None:
    checkpoints, said = Checkpoints(tmp_path, 2), []
    for step in (3, 7):
        checkpoints.save(step, {"step": step, "weights": torch.zeros(100)})
    broken = tmp_path / "step-00000007"
    FORGED[what](broken / "state.pt")
    digest = hashlib.sha256((broken / "state.pt").read_bytes()).hexdigest()
    (broken / "digest.json").write_text(json.dumps({"state.pt": digest}))
    found = checkpoints.load(said.append)
    assert found is not None and found["step"] == 3
    assert len(said) == 1 and "step-00000007 is broken" in said[0] and "\n" not in said[0]


@pytest.mark.parametrize("digest", ["", "[]", "{}", '"x"', "null", '{"state.pt": 1}'])
def test_a_broken_digest_is_skipped(digest: str, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 2)
    for step in (3, 7):
        checkpoints.save(step, {"step": step})
    (tmp_path / "step-00000007" / "digest.json").write_text(digest)
    found = checkpoints.load(lambda _: None)
    assert found is not None and found["step"] == 3
