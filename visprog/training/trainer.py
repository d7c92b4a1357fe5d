"""The training loop. It knows no model: an objective brings model, loss, data and scores, a recipe the rest."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import send_to_device, set_seed
from torch import Tensor, nn

from .checkpoint import (
    Checkpoints,
    TrainingError,
    optimizer_state,
    random_state,
    set_optimizer_state,
    set_random_state,
    set_weights,
    weights,
    write_folder,
)
from .data.samples import DataError, Skipped
from .distributed.collectives import gather, gather_objects
from .distributed.parallel import make_accelerator, whole_model
from .interrupt import stop_requested
from .loader import Batch, Split, training_batches, validation_batches
from .logs import Reporter, RunLog
from .objective import Objective, Runner, Samples, Stream
from .optim.ema import EMA
from .optim.optimizers import make_optimizers, schedule_factor, set_factor
from .recipe import Recipe
from .run_folder import RunFolder

FEW_BAD = 10
"""Number of bad samples up to which their share does not matter."""


@dataclass
class Progress:
    """How far a run is: what a checkpoint holds beside the tensors."""

    step: int = 0
    best: float | None = None
    best_step: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    scored: int = 0
    seconds: float = 0.0


class Trainer:
    """A recipe made ready: model, optimizers and data on the devices that are there.

    Raises:
        VisprogError: the recipe does not fit the objective, the data or the machine.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        set_seed(recipe.seed)  # equal weights in all processes
        self.objective: Objective = recipe.build()
        self.train_data, self.val_data = _splits(self.objective)
        optimizers = make_optimizers(self.objective, recipe.optimizer)
        self.accelerator = make_accelerator(recipe, self.objective)
        main = self.accelerator.is_main_process
        self.whole = deepcopy(self.objective.model) if recipe.fsdp and main else None
        self.module, *self.optimizers = self.accelerator.prepare(Runner(self.objective), *optimizers)
        self.frozen = [m for m in self.module.modules() if _is_frozen(m)]
        trained = [p for p in self.module.parameters() if p.requires_grad]
        self.ema = EMA(trained, recipe.ema) if recipe.ema else None
        self.split = Split(recipe.batch_size, self.accelerator.process_index, self.accelerator.num_processes)
        self.steps = self._count_steps()
        self.progress = Progress()
        self.skipped, self.seen, self.bad = Skipped(), 0, 0
        self.reporter = Reporter(quiet=not main)
        if isinstance(self.train_data, Samples) and len(self.train_data) < self._batch():
            self.reporter.say(
                f"a batch of {self._batch()} repeats some of the {len(self.train_data)} samples there are to train "
                f"on: a batch_size of {len(self.train_data) // self.split.world or 1} holds them all"
            )
        self._train_mode()
        set_seed(recipe.seed, device_specific=True)  # dropout differs between processes

    # -- the run -----------------------------------------------------------------------------------

    def fit(self, folder: RunFolder) -> dict[str, Any]:
        """Train to the end, from the newest checkpoint in the folder if there is one; returns the summary.

        Raises:
            VisprogError: the data are bad, the loss is not finite, or something cannot be written.
            KeyboardInterrupt: the run was interrupted; it has been saved, and can be resumed.
        """
        main, recipe = self.accelerator.is_main_process, self.recipe
        checkpoints = Checkpoints(folder.path / "checkpoints", recipe.keep)
        if folder.exists:
            self._restore(checkpoints.load(self.reporter.say))
        if len(steps := set(gather_objects(self.progress.step))) > 1:
            raise TrainingError(
                f"the processes have checkpoints of different steps, {sorted(steps)}: --output must be one folder "
                "that all machines share"
            )
        if main:
            folder.begin()
        self.accelerator.wait_for_everyone()
        with (
            closing(self.batches()) as batches,
            RunLog(folder.path, self.progress.step, self.reporter) if main else nullcontext() as log,
            self._shown(folder.path.name),
            stop_requested() as stopped,
        ):
            while self.progress.step < self.steps:
                start = time.monotonic()
                row = self.step(batches, stopped.is_set)
                halt = row.pop("stopped") > 0
                self.progress.seconds += time.monotonic() - start
                step = self.progress.step
                if log:
                    log.step({"step": step, **row, "seconds": round(self.progress.seconds, 3)})
                self.reporter.step(
                    step, self.steps, row["loss"], self._samples_a_step() / (time.monotonic() - start)
                )
                if recipe.evaluate_every and step % recipe.evaluate_every == 0 and step < self.steps:
                    self._evaluate_and_keep_best(folder.path, log)
                if halt or (step % recipe.checkpoint_every == 0 and step < self.steps):
                    self._save(checkpoints)
                if halt:
                    self.reporter.say(f"interrupted after step {step} and saved: the same command resumes it")
                    raise KeyboardInterrupt
            if self.progress.scored < self.progress.step:
                self._evaluate_and_keep_best(folder.path, log)
            self._export(folder.path / "last")
            self._save(checkpoints)
        return self._finish(folder)

    def batches(self, refreshed: bool = True) -> Generator[Batch, None, None]:
        """The batches of this process from the next step on.

        Args:
            refreshed: whether the objective refreshes its data as often as it asks for; False never.
        """
        every, accumulation = self.objective.refresh_every, self.recipe.accumulation
        while True:
            step, count = self.progress.step, None
            if every is not None and refreshed:
                if not self.objective.state() or (every and step % every == 0):
                    self._refresh()
                count = (every - step % every) * accumulation if every else None
            with closing(
                training_batches(
                    self.train_data, self.split, self.recipe.seed, step * accumulation, self.recipe.workers
                )
            ) as batches:
                yield from itertools.islice(batches, count)

    def step(
        self, batches: Iterator[Batch], stopping: Callable[[], bool] = lambda: False
    ) -> dict[str, float]:
        """One update of the weights. Returns the rate, the gradient's norm and the losses over all processes.

        With them is "stopped", above 0 if `stopping` is true in any process: they must stop together.

        Raises:
            TrainingError: the loss is not finite; the weights are as they were.
        """
        recipe, step = self.recipe, self.progress.step
        self.objective.step = step
        sums: dict[str, Tensor] = {}
        for part in range(recipe.accumulation):
            batch = next(batches)
            self.seen, self.bad = self.seen + len(batch.valid), self.bad + int((~batch.valid).sum())
            content = self._take(batch)
            _check_share(self.bad, self.seen, self.skipped.reasons)
            last = part == recipe.accumulation - 1
            with nullcontext() if last else self.accelerator.no_sync(self.module):
                losses = self.objective.backward(self.module, content, self.accelerator)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + value.float() / recipe.accumulation
        norm = self.accelerator.clip_grad_norm_(self.module.parameters(), recipe.optimizer.clip or math.inf)
        stop = torch.tensor(float(stopping()), device=self.accelerator.device)
        row = self._averaged({**sums, "stopped": stop})
        if not math.isfinite(row["loss"]) or not math.isfinite(float(norm)):
            raise TrainingError(
                f"the loss is {row['loss']} and its gradient {float(norm)} in step {step + 1}: try a lower "
                "optimizer.lr or a longer schedule.warmup; the last checkpoint is as it was"
            )
        rate = schedule_factor(step, self.steps, recipe.schedule.warmup, recipe.schedule.floor)
        set_factor(self.optimizers, rate)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.objective.after_step()
        if self.ema:
            self.ema.update(step)
        self.progress.step += 1
        peak = max(g["peak"] for o in self.optimizers for g in o.param_groups)
        return {"lr": peak * rate, "grad_norm": float(norm), **row}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """The objective's scores on the validation data, if it has any, with the averaged weights if there are any.

        What is drawn here does not change what the training draws.
        """
        if self.val_data is None:
            return {}
        before = random_state()
        with self._averaged_weights():
            self.module.eval()
            predictions = self._collect(self.val_data, self.objective.predict)
            scores = self.module(self.objective.score, predictions)
            scores = gather_objects({name: float(value) for name, value in scores.items()})[0]  # all alike
        self._train_mode()
        set_random_state(before)
        if self.objective.metric not in scores:
            raise TrainingError(
                f"the scores of objective '{self.recipe.objective}' lack its metric, '{self.objective.metric}'"
            )
        return scores

    # -- parts of it ---------------------------------------------------------------------------------

    @torch.no_grad()
    def _refresh(self) -> None:
        before = random_state()
        self.module.eval()
        self.reporter.say(f"step {self.progress.step}: {self.objective.refresh(self._collect)}")
        self._train_mode()
        set_random_state(before)

    def _collect(self, data: Samples, function: Callable[[Any], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """As `Collect`."""
        collected, bad = dict[str, list[Tensor]](), dict[str, str]()
        for batch in validation_batches(data, self.split, self.recipe.seed, self.recipe.workers):
            bad |= batch.skipped
            rows = dict(self.module(function, self._take(batch)))
            valid = gather(batch.valid.to(self.accelerator.device)).cpu()
            for name, value in rows.items():
                collected.setdefault(name, []).append(gather(value, name=name).cpu()[valid])
        for part in gather_objects(bad):
            bad |= part
        _check_share(len(bad), len(data), bad)
        return {name: _joined(name, value) for name, value in collected.items()}

    def _take(self, batch: Batch) -> Any:
        for line in self.skipped.add(batch.skipped):
            self.reporter.say(line)
        return send_to_device(batch.content, self.accelerator.device, non_blocking=True)

    def _train_mode(self) -> None:
        """Training mode, except for parts that are frozen as a whole: their statistics and dropout rest too."""
        self.module.train()
        for module in self.frozen:
            module.eval()

    def _averaged(self, values: Mapping[str, Tensor]) -> dict[str, float]:
        """Scalars of this process as their mean over all processes, in one exchange."""
        together = torch.stack([v.float() for v in values.values()])
        mean = self.accelerator.reduce(together, reduction="mean")
        return dict(zip(values, mean.tolist(), strict=True))

    def _evaluate_and_keep_best(self, path: Path, log: RunLog | None) -> None:
        scores, progress = self.evaluate(), self.progress
        if not scores:
            return
        progress.scores, progress.scored, value = scores, progress.step, scores[self.objective.metric]
        if log:
            log.evaluation({"step": progress.step, **scores})
        self.reporter.say(f"step {progress.step}: " + ", ".join(f"{k} {v:.4g}" for k, v in scores.items()))
        sign = -1 if self.objective.lower_is_better else 1
        if math.isfinite(value) and (progress.best is None or sign * value > sign * progress.best):
            progress.best, progress.best_step = value, progress.step
            self._export(path / "best")

    def _export(self, path: Path) -> None:
        with self._averaged_weights(), whole_model(self.objective, self.module, self.whole):
            if self.accelerator.is_main_process:
                write_folder(path, self.objective.save)
        self.accelerator.wait_for_everyone()

    def _averaged_weights(self) -> AbstractContextManager[None]:
        return self.ema.applied() if self.ema else nullcontext()

    def _save(self, checkpoints: Checkpoints) -> None:
        state = {
            "model": weights(self.module),
            "optimizers": optimizer_state(self.module, self.optimizers),
            "progress": asdict(self.progress),
            "random": gather_objects(random_state()),
            "skipped": self._all_skipped(),
            "objective": self.objective.state(),
        }
        if self.ema:
            with self.ema.applied():
                state["ema"] = weights(self.module)
        if self.accelerator.is_main_process:
            checkpoints.save(self.progress.step, state)
        self.accelerator.wait_for_everyone()

    def _restore(self, state: dict[str, Any] | None) -> None:
        if state is None:
            self.reporter.say("the run has no checkpoint yet: it starts from the beginning")
            return
        if self.ema:
            set_weights(self.module, state["ema"])
            self.ema.restore()
        set_optimizer_state(self.module, self.optimizers, state["optimizers"])
        set_weights(self.module, state["model"])
        self.progress = Progress(**state["progress"])
        self.skipped.reasons = dict(state["skipped"])
        if found := state.get("objective"):
            self.objective.load_state(found)
        rank, states = self.accelerator.process_index, state["random"]
        if len(states) == self.accelerator.num_processes:
            set_random_state(states[rank])
        else:
            self.reporter.say(
                f"the run had {len(states)} processes before: its batches will be others from here on"
            )
        self.reporter.say(f"resumes from step {self.progress.step} of {self.steps}")

    def _finish(self, folder: RunFolder) -> dict[str, Any]:
        summary = {
            **asdict(self.progress),
            "steps": self.steps,
            "metric": self.objective.metric if self.val_data is not None else None,
            "samples_a_step": self._samples_a_step(),
            "parameters": sum(p.numel() for p in self.objective.model.parameters()),
            "processes": self.accelerator.num_processes,
            "device": str(self.accelerator.device.type),
            "threads": torch.get_num_threads(),
            "skipped": self._all_skipped(),
        }
        if self.accelerator.is_main_process:
            folder.finish(summary)
        return summary

    def _all_skipped(self) -> dict[str, str]:
        return {name: why for part in gather_objects(self.skipped.reasons) for name, why in part.items()}

    def _samples_a_step(self) -> int:
        return self._batch() * self.recipe.accumulation

    def _batch(self) -> int:
        """Number of samples in a batch of all processes."""
        return self.split.batch_size * self.split.world

    def _count_steps(self) -> int:
        if self.recipe.steps is not None:
            return self.recipe.steps
        if not isinstance(self.train_data, Samples):
            raise TrainingError("nobody knows how long a stream is: give 'steps' instead of 'epochs'")
        return math.ceil((self.recipe.epochs or 0) * len(self.train_data) / self._samples_a_step())

    @contextmanager
    def _shown(self, name: str) -> Iterator[None]:
        self.reporter.start(name, self.progress.step, self.steps)
        try:
            yield
        finally:
            self.reporter.stop()


def _splits(objective: Objective) -> tuple[Samples | Stream, Samples | None]:
    train, val = objective.data("train"), objective.data("val")
    if train is None or not (val is None or isinstance(val, Samples)):
        raise TrainingError(
            f"{type(objective).__name__} must give training data, and validation data of known length or none"
        )
    for split, data in (("train", train), ("val", val)):
        if isinstance(data, Samples) and len(data) == 0:
            raise TrainingError(
                f"the '{split}' data of {type(objective).__name__} are empty: there is nothing to use"
            )
    return train, val


def _check_share(bad: int, seen: int, reasons: Mapping[str, str]) -> None:
    """A few bad samples are left out; data of which more than half are bad are another matter."""
    if bad >= FEW_BAD and 2 * bad > seen:
        name, why = next(iter(reasons.items()))
        raise DataError(
            f"{bad} of {seen} samples are bad, the first is {name}: {why}; mend or leave out the bad ones"
        )


def _joined(name: str, parts: list[Tensor]) -> Tensor:
    """The predictions of all batches."""
    shapes = sorted({tuple(part.shape[1:]) for part in parts})
    if len(shapes) > 1:
        raise TrainingError(
            f"predictions '{name}' have the shapes {' and '.join(map(str, shapes))} in different batches: "
            "pad all axes but the first to one size"
        )
    return torch.cat(parts)


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(p.requires_grad for p in parameters)
