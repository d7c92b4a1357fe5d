"""Several processes: what they exchange, every shipped recipe, and how they end together."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")

from tests.training.recipes import CHANGES, STEPS
from tests.training.tiny_objective import written
from visprog.training.recipe import shipped_recipes

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
DRAWN = {
    "albef": "each process draws its own hard negatives and masks its own words",
    "blip2-stage1": "each process draws its own hard negatives",
    "dvae": "each process draws its own Gumbel noise",
    "lxmert": "each process hides its own words and regions",
    "owl": "each process asks for the phrases of its own scenes",
    "sam": "each process draws its own prompts",
    "vilbert": "each process hides its own words and regions",
    "visualbert": "each process hides its own words",
}
"""Recipes whose losses depend on how a batch is divided, and why."""


def launch(arguments: list[object], folder: Path, processes: int = 2) -> subprocess.CompletedProcess[str]:
    """Run a module, in two processes by torchrun or in one."""
    launcher = TORCHRUN if processes == 2 else [sys.executable]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    command = [*launcher, "-m", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=folder)


def rows(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("gathered")
    done = launch(["tests.training.gathering", folder], folder)
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("equal", [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]),
        ("rows", [[0, 0], [1, 1], [1, 1], [1, 1]]),
        ("none in one", [[True]]),
        ("none in all", []),
        ("no width", [[], [], [], []]),
        ("padded", [[[0, -3], [0, -3], [0, -3]], [[1, 1], [1, 1], [-3, -3]]]),
        ("numbers", [0, 1]),
        ("objects", [{"rank": 0}, {"rank": 1}]),
        ("share of nothing", 1.0),
        (
            "refused",
            "features has the shapes (1, 2) and (1, 3) in different processes: pad all axes but the first to one size",
        ),
        ("axes", "features has 1 or 2 axes: all processes need the same, at least 1"),
        ("no axis", "loss has 0 axes: all processes need the same, at least 1"),
    ],
)
def test_unequal_sizes_are_gathered_or_refused_by_all(
    gathered: list[dict[str, Any]], case: str, expected: Any
) -> None:
    assert [found[case] for found in gathered] == [expected, expected]


def test_gradients_and_shares_reach_their_process(gathered: list[dict[str, Any]]) -> None:
    assert [found["gradient"] for found in gathered] == [[[2.0, 4.0]], [[6.0, 8.0], [10.0, 12.0]]]
    assert [found["share"] for found in gathered] == [0.5, 1.5]


def test_a_process_may_see_its_own_rows_first(gathered: list[dict[str, Any]]) -> None:
    assert [found["own first"] for found in gathered] == [[0, 1, 1], [1, 1, 0]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders with a run of every shipped recipe: in one process, and in two with half the batch each."""
    folder = tmp_path_factory.mktemp("recipes")
    for processes, batch_size in ((1, 6), (2, 3)):
        done = launch(["tests.training.recipes", folder / str(processes), batch_size], folder, processes)
        assert done.returncode == 0, done.stderr
    return folder / "1", folder / "2"


@pytest.mark.timeout(900)  # the first one waits for all runs
@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_learn_the_same_in_two_processes(trained: tuple[Path, Path], name: str) -> None:
    one, two = (rows(folder / name / "log.csv") for folder in trained)
    assert len(one) == len(two) == STEPS
    assert (trained[1] / name / "summary.json").is_file()
    if name in DRAWN:
        return
    for before, after in zip(one, two, strict=True):
        assert after == pytest.approx(before, abs=1e-3, rel=1e-3)
    scores = [rows(folder / name / "evaluation.csv") for folder in trained]
    rounding = 1e-3 if name == "simclr" else 1e-4  # which may choose another neighbour
    assert scores[1][0] == pytest.approx(scores[0][0], abs=rounding)


def test_every_shipped_recipe_is_tried() -> None:
    assert list(CHANGES) == shipped_recipes()


KILLED = (
    "a process of the run was killed, perhaps because the memory was full; the same command resumes it from the last "
    "checkpoint"
)


@pytest.mark.parametrize(
    ("ending", "said"),
    [
        ("none", ""),
        ("data", "visprog: point 7: it is broken"),
        ("error", "visprog: ValueError: a loss that cannot be"),
        ("kill", f"visprog: {KILLED}"),
        ("signal", "interrupted after step 3 and saved: the same command resumes it"),
    ],
)
def test_processes_end_together_with_one_message(tmp_path: Path, ending: str, said: str) -> None:
    (tmp_path / "tiny.yaml").write_text(written("Ending", batch_size=4, accumulation=1, checkpoint_every=2))
    run = ["visprog", "train", "tiny.yaml", "--allow-code", "--output", "run"]
    done = launch([*run, f"ending={ending}"], tmp_path)
    ours = [line for line in done.stderr.splitlines() if line.startswith(("visprog: ", "interrupted"))]
    assert [line.startswith(said) for line in ours] == [True] * bool(said)
    assert (done.returncode == 0) == (ending == "none")
    assert "terminate called" not in done.stderr
    again = launch([*run, f"ending={ending}"], tmp_path, 1) if ending == "signal" else None
    if again:
        assert "the run had 2 processes before" in again.stderr and "resumes from step 3 of 5" in again.stderr
        assert again.returncode == 0 and len(rows(tmp_path / "run" / "log.csv")) == 5


def test_a_process_that_failed_gives_its_reason_though_the_launcher_ends_it(tmp_path: Path) -> None:
    done = launch(["tests.training.late_termination"], tmp_path)
    assert "no data" in done.stderr and "said: " in done.stderr


@pytest.mark.parametrize("arguments", [["no-such-recipe"], ["tiny.yaml"]])
def test_an_error_of_all_is_said_once(tmp_path: Path, arguments: list[object]) -> None:
    (tmp_path / "tiny.yaml").write_text(written())
    done = launch(["visprog", "train", *arguments], tmp_path)
    assert done.returncode == 1
    assert sum(line.startswith("visprog: ") for line in done.stderr.splitlines()) == 1
