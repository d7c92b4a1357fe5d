"""A run that is stopped, however, goes on as if nothing had been; what is on disk is whole or not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("one_thread")

from tests.training.tiny_objective import recipe, rows, weights  # noqa: E402
from visprog.training.checkpoint import Checkpoints, TrainingError, write_folder  # noqa: E402
from visprog.training.fit import fit  # noqa: E402
from visprog.training.recipe import Recipe  # noqa: E402


def assert_same(run: Path, other: Path) -> None:
    """Two runs that came to the same numbers, to the last bit."""
    for table in ("log.csv", "evaluation.csv"):
        assert rows(run, table) == rows(other, table)
    for which in ("last", "best"):
        assert weights(run, which) == weights(other, which)


def interrupt(loss: int, given: Recipe, folder: Path) -> None:
    """Run until Ctrl-C comes while the loss is computed for so many times."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setenv("INTERRUPT_AT", str(loss))
        fit(given, folder)


def start(folder: Path, optimizer: dict[str, object]) -> subprocess.Popen[bytes]:
    """A run in a process of its own, slow enough to be met in the middle."""
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from pathlib import Path; from tests.training.tiny_objective import recipe\n"
        "from visprog.training.fit import fit\n"
        f"fit(recipe(sleep=0.02, optimizer={optimizer}), Path({str(folder)!r}))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_run_killed_at_any_step_goes_on_bit_for_bit(tmp_path: Path, name: str) -> None:
    optimizer = {"name": name, "lr": 0.01}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    fit(recipe(optimizer=optimizer, sleep=0.02), whole)
    process = start(killed, optimizer)
    while not (killed / "log.csv").exists() or len(rows(killed)) < 18:
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 18 <= len(rows(killed)) < 40 and not (killed / "last").exists()
    fit(recipe(optimizer=optimizer, sleep=0.02), killed)
    assert [int(r["step"]) for r in rows(whole)] == list(range(1, 41))
    assert float(rows(whole)[-1]["loss"]) < 0.5 * float(rows(whole)[0]["loss"])
    assert_same(killed, whole)


def test_ctrl_c_saves_and_the_run_goes_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fit(recipe(), tmp_path / "whole")
    before = signal.getsignal(signal.SIGINT)
    interrupt(20, recipe(), tmp_path / "stopped")
    assert "interrupted after step 10 and saved" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before
    assert len(rows(tmp_path / "stopped")) == 10
    fit(recipe(), tmp_path / "stopped")
    assert_same(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.parametrize("name", ["adamw", "muon", "lars"])
def test_a_part_that_no_loss_uses_does_not_hinder(tmp_path: Path, name: str) -> None:
    given = recipe("Spare", optimizer={"name": name, "lr": 0.01})
    fit(given, tmp_path / "whole")
    interrupt(20, given, tmp_path / "stopped")
    fit(given, tmp_path / "stopped")
    assert_same(tmp_path / "stopped", tmp_path / "whole")


def test_a_broken_checkpoint_is_skipped_for_the_one_before(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    fit(recipe(), whole)
    interrupt(46, recipe(), run)
    checkpoints = run / "checkpoints"
    assert [p.name for p in sorted(checkpoints.iterdir())] == ["step-00000021", "step-00000023"]
    state = checkpoints / "step-00000023" / "state.pt"
    data = bytearray(state.read_bytes())
    data[len(data) // 2] ^= 1
    state.write_bytes(data)
    fit(recipe(), run)
    said = capfd.readouterr().err
    assert "step-00000023 is broken" in said and "resumes from step 21 of 40" in said
    assert_same(run, whole)


def test_without_a_good_checkpoint_a_run_starts_again(tmp_path: Path) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    fit(recipe(steps=16), whole)
    interrupt(6, recipe(steps=16), run)
    (run / "checkpoints" / "step-00000003" / "digest.json").unlink()
    fit(recipe(steps=16), run)
    assert_same(run, whole)


def test_a_full_disk_is_an_error_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk: the write fails in the same place."""
    resource = pytest.importorskip("resource")
    keys = {"net": {"width": 128}, "steps": 16, "evaluate_every": None}
    whole, run = tmp_path / "whole", tmp_path / "run"
    fit(recipe(**keys), whole)
    interrupt(6, recipe(**keys), run)
    size = (run / "checkpoints" / "step-00000003" / "state.pt").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
    try:
        with pytest.raises(TrainingError, match=r"cannot write .*step-00000007: .*; what was saved before"):
            fit(recipe(**keys), run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["step-00000003"]
    fit(recipe(**keys), run)
    assert_same(run, whole)


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "best"
    write_folder(folder, lambda f: (f / "a").write_text("old") and None)

    def fail(part: Path) -> None:
        (part / "a").write_text("new")
        raise OSError(28, "No space left on device")

    with pytest.raises(TrainingError, match=r"the disk is full \(No space left on device\), make room"):
        write_folder(folder, fail)
    assert (folder / "a").read_text() == "old"
    write_folder(folder, lambda f: (f / "b").write_text("new") and None)
    assert [p.name for p in tmp_path.rglob("*")] == ["best", "b"]


def test_only_the_newest_checkpoints_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (5, 10, 15):
        checkpoints.save(step, {"step": step})
    assert checkpoints.steps() == [15, 10]
    assert checkpoints.load(pytest.fail) == {"step": 15}
