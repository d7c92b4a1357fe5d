"""The loop and its parts, on an objective of a few hundred parameters."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("one_thread")

from safetensors.torch import load_file  # noqa: E402

import tests.training.tiny_objective as tiny  # noqa: E402
from tests.training.tiny_objective import recipe, rows, weights  # noqa: E402
from visprog.training.checkpoint import TrainingError  # noqa: E402
from visprog.training.data.samples import DataError  # noqa: E402
from visprog.training.dry_run import SavedTensors, dry_run  # noqa: E402
from visprog.training.fit import conclusion, fit  # noqa: E402
from visprog.training.from_plain import RecipeError  # noqa: E402
from visprog.training.optim.ema import EMA  # noqa: E402
from visprog.training.optim.optimizers import learning_rates, make_optimizers, schedule_factor, set_factor  # noqa: E402
from visprog.training.recipe import OptimizerConfig, load_recipe  # noqa: E402
from visprog.training.trainer import Trainer  # noqa: E402

STILL: dict[str, Any] = {"net": {"dropout": 0.0}, "noise": 0.0, "bad": [], "schedule": {"warmup": 1}}
"""A run without anything that is drawn at random but the data."""


def losses(folder: Path) -> list[float]:
    return [float(row["loss"]) for row in rows(folder)]


# -- parts ---------------------------------------------------------------------------------------------


def test_the_rate_rises_to_its_peak_and_falls_to_its_floor() -> None:
    rates = [schedule_factor(step, 110, 10, 0.1) for step in range(110)]
    assert rates[:2] == pytest.approx([1 / 11, 2 / 11]) and rates[10] == 1
    assert rates[60] == pytest.approx(0.55)  # half way down
    assert rates == sorted(rates[:11]) + sorted(rates[11:], reverse=True)
    assert schedule_factor(110, 110, 10, 0.1) == pytest.approx(0.1)


def test_rates_are_those_of_the_longest_prefix() -> None:
    model = tiny.Net(4, 0.0)
    rates = learning_rates(model, {"": 0.1, "blocks": 0.2, "blocks.1": 0.3, "head.bias": 0.0})
    assert {n: rates[n] for n in ("inward.weight", "blocks.0.norm.bias", "blocks.1.linear.weight", "head.bias")} == {
        "inward.weight": 0.1, "blocks.0.norm.bias": 0.2, "blocks.1.linear.weight": 0.3, "head.bias": 0.0
    }  # fmt: skip
    with pytest.raises(
        RecipeError, match=r"optimizer.lr.block: the model has no such part: did you mean 'blocks'\?"
    ):
        learning_rates(model, {"": 0.1, "block": 0.2})
    with pytest.raises(RecipeError, match=r"optimizer.lr gives no rate for 'inward.weight'"):
        learning_rates(model, {"head": 0.1})


def test_groups_have_the_decay_and_the_optimizer_that_they_should() -> None:
    objective = recipe().build()
    objective.model.embedding = torch.nn.Embedding(3, 4)
    objective.model.position = torch.nn.Parameter(torch.zeros(3, 4))
    config = OptimizerConfig(name="muon", lr={"": 0.1, "inward": 0.0, "blocks.1": 0.2}, weight_decay=0.3)
    muon, adam = make_optimizers(objective, config)
    names = {id(p): n for n, p in objective.model.named_parameters()}
    found = {
        names[id(p)]: (kind, g["lr"], g["weight_decay"])
        for kind, optimizer in (("muon", muon), ("adam", adam))
        for g in optimizer.param_groups
        for p in g["params"]
    }
    assert found == {
        "blocks.0.linear.weight": ("muon", 0.1, 0.3), "blocks.1.linear.weight": ("muon", 0.2, 0.3),
        "head.weight": ("adam", 0.1, 0.3), "head.bias": ("adam", 0.1, 0.0),
        "blocks.0.norm.weight": ("adam", 0.1, 0.0), "blocks.0.norm.bias": ("adam", 0.1, 0.0),
        "blocks.0.linear.bias": ("adam", 0.1, 0.0), "blocks.1.norm.weight": ("adam", 0.2, 0.0),
        "blocks.1.norm.bias": ("adam", 0.2, 0.0), "blocks.1.linear.bias": ("adam", 0.2, 0.0),
        "embedding.weight": ("adam", 0.1, 0.0), "position": ("adam", 0.1, 0.0),
    }  # fmt: skip
    assert not objective.model.inward.weight.requires_grad and not objective.model.inward.bias.requires_grad
    set_factor([muon, adam], 0.5)
    assert {g["lr"] for o in (muon, adam) for g in o.param_groups} == {0.05, 0.1}
    with pytest.raises(RecipeError, match="freezes every parameter"):
        make_optimizers(objective, OptimizerConfig(lr=0.0))


def test_the_average_forgets_slowly_but_not_at_first() -> None:
    weight = torch.nn.Parameter(torch.tensor([0.0]))
    ema = EMA([weight], 0.5)
    expected = 0.0
    for step, value in enumerate([1.0, 2.0, 3.0]):
        weight.data.fill_(value)
        ema.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    with ema.applied():
        assert weight.item() == pytest.approx(expected)
    assert weight.item() == 3


def test_kept_tensors_are_counted_once_and_given_back() -> None:
    meter, weight = SavedTensors(), torch.nn.Parameter(torch.ones(10, 10))
    x = torch.ones(5, 10)
    with torch.autograd.graph.saved_tensors_hooks(meter.pack, meter.unpack):
        y = (x @ weight).sigmoid()  # keeps x and its result; the weight is there anyway
        (y * y).sum().backward()
    assert meter.peak == 2 * 5 * 10 * 4
    del y
    assert meter.now == 0


# -- the run -------------------------------------------------------------------------------------------


def test_a_run_leaves_what_it_should(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = fit(recipe(), tmp_path / "run")
    assert (
        made["step"] == 40 and made["skipped"] == {"point 3": "it is broken"} and made["samples_a_step"] == 16
    )
    assert made["best"] == min(float(r["error"]) for r in rows(tmp_path / "run", "evaluation.csv"))
    assert load_recipe(tmp_path / "run" / "recipe.yaml") == recipe()
    assert [int(r["step"]) for r in rows(tmp_path / "run", "evaluation.csv")] == list(range(5, 41, 5))
    assert list(rows(tmp_path / "run")[0]) == ["step", "lr", "grad_norm", "loss", "largest"]
    assert "skipped a bad sample, point 3: it is broken" in capfd.readouterr().err
    assert "1 bad samples were skipped" in conclusion(tmp_path / "run", made)
    before = weights(tmp_path / "run")
    assert fit(recipe(), tmp_path / "run") == made
    assert "is finished: give more steps" in capfd.readouterr().err and weights(tmp_path / "run") == before
    assert fit(recipe(steps=43), tmp_path / "run")["step"] == 43
    assert len(rows(tmp_path / "run")) == 43


def test_another_recipe_or_another_folder_is_refused(tmp_path: Path) -> None:
    fit(recipe(steps=2), tmp_path / "run")
    with pytest.raises(TrainingError, match=r"holds a run with other values of optimizer, net: .*--fresh"):
        fit(recipe(steps=2, net={"width": 8}, optimizer={"lr": 0.5}), tmp_path / "run")
    fit(recipe(steps=3, net={"width": 8}), tmp_path / "run", resume=False)
    assert len(rows(tmp_path / "run")) == 3
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    for resume in (None, False):
        with pytest.raises(TrainingError, match="holds something that is no training run"):
            fit(recipe(), tmp_path / "other", resume=resume)
    with pytest.raises(TrainingError, match=r"there is no run in .* to resume"):
        fit(recipe(), tmp_path / "new", resume=True)
    assert not (tmp_path / "new").exists() and (tmp_path / "other" / "thesis.txt").exists()


def test_evaluating_does_not_change_the_training(tmp_path: Path) -> None:
    fit(recipe(steps=12, evaluate_every=2), tmp_path / "often")
    fit(recipe(steps=12, evaluate_every=None), tmp_path / "once")
    assert losses(tmp_path / "often") == losses(tmp_path / "once")
    assert weights(tmp_path / "often") == weights(tmp_path / "once")


def test_accumulation_is_a_larger_batch(tmp_path: Path) -> None:
    fit(recipe(steps=8, batch_size=8, accumulation=1, **STILL), tmp_path / "large")
    fit(recipe(steps=8, batch_size=2, accumulation=4, **STILL), tmp_path / "parts")
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "large"), abs=1e-5)


def test_workers_do_not_change_a_run(tmp_path: Path) -> None:
    for workers in (0, 2):
        fit(recipe(steps=6, workers=workers), tmp_path / str(workers))
    assert rows(tmp_path / "0") == rows(tmp_path / "2")


def test_cached_gradients_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    keys = {"steps": 8, "batch_size": 7, "noise": 0.0, "schedule": {"warmup": 1}, "net": {"dropout": 0.0}}
    fit(recipe("Contrast", **keys), tmp_path / "whole")
    fit(recipe("Cached", **keys), tmp_path / "parts")
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), abs=1e-5)
    norms = [[float(r["grad_norm"]) for r in rows(tmp_path / name)] for name in ("parts", "whole")]
    assert norms[0] == pytest.approx(norms[1], abs=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_compiled_and_checkpointed_blocks_compute_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: bool, checkpointed: bool
) -> None:
    calls = 0

    def backend(graph: Any, inputs: Any) -> Any:  # what compiles for real takes minutes
        def run(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            return graph(*arguments)

        return run

    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: compiler(function, backend=backend))
    fit(recipe(steps=4), tmp_path / "plain")
    fit(
        recipe(steps=4, compile=compiled, activation_checkpointing=checkpointed),
        tmp_path / "run",
    )
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "plain"), abs=1e-5)
    assert bool(calls) == compiled


def test_half_precision_trains_and_keeps_full_weights(tmp_path: Path) -> None:
    fit(recipe(steps=20, precision="bf16", optimizer={"lr": 0.02}, **STILL), tmp_path)
    assert losses(tmp_path)[-1] < 0.5 * losses(tmp_path)[0]
    from safetensors.torch import load

    assert {v.dtype for v in load(weights(tmp_path)).values()} == {torch.float32}


def test_what_is_frozen_stays_and_is_in_evaluation_mode() -> None:
    trainer = Trainer(recipe(optimizer={"lr": {"": 0.1, "blocks": 0}}))
    before = {n: p.clone() for n, p in trainer.objective.model.named_parameters()}
    trainer.step(trainer.batches())
    trainer.evaluate()
    changed = {n for n, p in trainer.objective.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"inward.weight", "inward.bias", "head.weight", "head.bias"}
    model = trainer.objective.model
    assert model.training and model.dropout.training and not any(b.training for b in model.blocks)


def test_a_loss_that_is_not_finite_ends_the_run_before_the_weights_are_lost(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"the loss is (nan|inf) .* in step \d+: try a lower optimizer.lr"
    ):
        fit(recipe(optimizer={"lr": 1e30, "clip": None}, checkpoint_every=1, **STILL), tmp_path)
    state = torch.load(next((tmp_path / "checkpoints").iterdir()) / "state.pt", weights_only=True)
    assert math.isfinite(losses(tmp_path)[-1]) and state["progress"]["step"] == len(losses(tmp_path))


def test_data_without_a_good_sample_and_objectives_without_blocks(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="100 bad samples in a row"):
        fit(recipe(length=5, bad=[0, 1, 2, 3, 4]), tmp_path / "bad")
    for key in ("compile", "activation_checkpointing"):
        with pytest.raises(TrainingError, match=f"names no blocks, so '{key}' cannot be used"):
            Trainer(recipe("Blockless", **{key: True}))
    with pytest.raises(TrainingError, match=r"fsdp shards over several GPUs.* torchrun"):
        Trainer(recipe(fsdp=True))


def test_epochs_are_counted_in_steps(tmp_path: Path) -> None:
    assert Trainer(recipe(steps=None, epochs=3, length=50)).steps == 10  # 150 samples, 16 a step


def test_a_dry_run_measures_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    report = dry_run(recipe(net={"width": 16}, optimizer={"lr": {"": 0.01, "head": 0}}))
    sizes = {c.name: (c.parameters, c.trainable) for c in report.components}
    assert sizes == {"inward": (144, 144), "blocks": (608, 608), "head": (17, 0)}
    assert report.memory["weights"] == 4 * 769 and report.memory["gradients"] == 4 * 752
    assert report.memory["optimizer"] >= 2 * 4 * 752 and report.memory["ema"] == 4 * 752
    assert report.memory["activations"] > 8 * 16 * 4
    assert len(report.losses) == 10 and report.steps == 40
    assert report.rates["points"] == pytest.approx(report.rates["samples"])
    text = str(report)
    assert "769   of which 752 learn" in text and "points a second" in text and "frozen" in text
    lean = dry_run(recipe(activation_checkpointing=True, optimizer={"lr": {"": 0.01, "head": 0}}))
    assert lean.memory["activations"] < report.memory["activations"]
    assert list(tmp_path.iterdir()) == []


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def run_processes(launch: list[str], *arguments: object) -> None:
    """Run `processes.py`, by torchrun or alone."""
    script = Path(__file__).with_name("processes.py")
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    command = [*launch, str(script), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def numbers(folder: Path, key: str, name: str = "log.csv") -> Any:
    """A column of a log, to be compared with another run's."""
    return pytest.approx([float(row[key]) for row in rows(folder, name)], abs=1e-5)


def test_two_processes_are_one_with_the_double_batch(tmp_path: Path) -> None:
    """Also with a loss over the features of both, and with cached gradients."""
    run_processes([sys.executable], tmp_path / "one", 8)
    run_processes(TORCHRUN, tmp_path / "two", 4)
    for name in ("Tiny", "Contrast", "Cached"):
        one, two = tmp_path / "one" / name, tmp_path / "two" / name
        assert len(rows(one)) == 6
        for key in ("loss", "grad_norm"):
            assert [float(row[key]) for row in rows(two)] == numbers(one, key)
        assert [row["samples"] for row in rows(two, "evaluation.csv")] == ["13.0", "13.0"]
        assert [float(row["error"]) for row in rows(two, "evaluation.csv")] == numbers(
            one, "error", "evaluation.csv"
        )


def test_sharded_weights_learn_the_same_and_resume(tmp_path: Path) -> None:
    """FSDP2 over two processes; its run is cut back to the checkpoint of step 3, and goes on."""
    run_processes([sys.executable], tmp_path / "whole", 8)
    whole, sharded = tmp_path / "whole" / "Tiny", tmp_path / "sharded" / "Tiny"
    run_processes(TORCHRUN, tmp_path / "sharded", 4, "fsdp")
    for _ in range(2):
        for key in ("loss", "grad_norm"):
            assert [float(row[key]) for row in rows(sharded)] == numbers(whole, key)
        one, two = (load_file(run / "last" / "model.safetensors") for run in (whole, sharded))
        assert one.keys() == two.keys()
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-5)
        for folder in ("checkpoints/step-00000006", "last"):
            shutil.rmtree(sharded / folder)
        (sharded / "summary.json").unlink()
        run_processes(TORCHRUN, tmp_path / "sharded", 4, "fsdp")


def test_an_objective_without_validation_data_trains_to_its_last_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = tiny.Points.split
    monkeypatch.setattr(
        tiny.Points, "split", lambda self, name, size: train(self, name, size) if name == "train" else None
    )
    made = fit(recipe(steps=6), tmp_path)
    assert made["best"] is None and made["metric"] is None and not (tmp_path / "best").exists()
    assert (tmp_path / "last" / "model.safetensors").is_file()
    monkeypatch.setattr(tiny.Points, "split", lambda self, name, size: None)
    with pytest.raises(TrainingError, match="Tiny must give training data"):
        Trainer(recipe())
