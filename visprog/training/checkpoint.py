"""The state of a run on disk: written whole or not at all, and checked when it is read."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from visprog.errors import VisprogError
from visprog.files.plain_text import read_json
from visprog.files.reading import file_digest

from .optim.optimizers import Optimizers

STATE, DIGEST = "state.pt", "digest.json"

LEAST_ROOM = 1 << 20
"""Free bytes below which a disk counts as full."""

_OPTIONS = StateDictOptions(full_state_dict=True, cpu_offload=True)


class TrainingError(VisprogError):
    """A training run that cannot start or be resumed; the message says what to do."""


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the state of a model on the CPU, whole also where it is sharded. All processes must call it."""
    state = get_model_state_dict(model, options=_OPTIONS)
    return {name: value.clone() for name, value in state.items()}


def set_weights(model: nn.Module, state: dict[str, Tensor]) -> None:
    """The inverse of `weights`."""
    set_model_state_dict(model, state, options=_OPTIONS)


def optimizer_state(model: nn.Module, optimizers: Optimizers) -> dict[str, Any]:
    """The state of the optimizers by the names of parameters, as `weights`."""
    state: dict[str, Any] = get_optimizer_state_dict(model, optimizers, options=_OPTIONS)
    return state


def set_optimizer_state(model: nn.Module, optimizers: Optimizers, state: dict[str, Any]) -> None:
    """The inverse of `optimizer_state`. Parameters that no loss has used so far have no state, and get none."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, strict=False)
    set_optimizer_state_dict(model, optimizers, state, options=options)


def random_state() -> dict[str, Any]:
    """Where the generators of Python, NumPy and torch stand, without pickled objects."""
    name, key, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(key, np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """The inverse of `random_state`."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, key, *rest = state["numpy"]
    np.random.set_state((name, key.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all(state["cuda"])


class Checkpoints:
    """The checkpoints of a run, `step-N` folders; the newest `keep` stay."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def steps(self) -> list[int]:
        """Of which steps there are checkpoints, newest first."""
        names = (p.name.removeprefix("step-") for p in self.folder.glob("step-*"))
        return sorted((int(n) for n in names if n.isdecimal()), reverse=True)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write a checkpoint, then remove the oldest.

        Raises:
            TrainingError: it cannot be written; what was there is untouched.
        """
        write_folder(self.folder / f"step-{step:08d}", lambda folder: _write(folder, state))
        for old in self.steps()[self.keep :]:
            shutil.rmtree(self.folder / f"step-{old:08d}")

    def load(self, warn: Callable[[str], None]) -> dict[str, Any] | None:
        """The newest state that is whole, or None; `warn` gets a line about each broken one."""
        for step in self.steps():
            path = self.folder / f"step-{step:08d}"
            try:
                if read_json(path / DIGEST)[STATE] != file_digest(path / STATE):
                    raise ValueError("its digest is another")
                state = torch.load(path / STATE, map_location="cpu", weights_only=True)
                if not isinstance(state, dict):
                    raise ValueError(f"it holds a {type(state).__name__}")
            except (
                Exception
            ) as error:  # a damaged or forged file makes the zip and pickle readers raise anything
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                warn(f"the checkpoint {path} is broken ({reason}): the one before it is used")
                continue
            return state
        return None


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Make a folder whole or not at all: under another name first, on the disk, then renamed.

    Raises:
        TrainingError: it cannot be written, for instance because the disk is full; an older one is untouched.
    """
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        write(part)
        for path in [*part.rglob("*"), part]:
            _sync(path)
        if folder.exists():
            old = folder.with_name(f".{folder.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
            part.rename(folder)
            shutil.rmtree(old)
        else:
            part.rename(folder)
        _sync(folder.parent)
    except (OSError, RuntimeError, SafetensorError) as error:
        why = _reason(error, folder.parent)
        shutil.rmtree(part, ignore_errors=True)
        raise TrainingError(f"cannot write {folder}: {why}; what was saved before is untouched") from error


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        TrainingError: it cannot be written; an older one is untouched.
    """
    part = path.with_suffix(".part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        why = _reason(error, path.parent)
        part.unlink(missing_ok=True)
        raise TrainingError(f"cannot write {path}: {why}") from error


def _reason(error: Exception, folder: Path) -> str:
    """Why something cannot be written into a folder. torch reports a full disk as a position that it did not expect,
    and safetensors as an error of its own, so that the room that is left is looked at too."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error).split("\n")[0]
    full = (
        (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT))
        or "No space left" in said
        or (folder.is_dir() and shutil.disk_usage(folder).free < LEAST_ROOM)
    )
    return f"the disk is full ({said}), make room and start the run again" if full else said


def _write(folder: Path, state: dict[str, Any]) -> None:
    with (folder / STATE).open("wb") as file:
        torch.save(state, file)
    (folder / DIGEST).write_text(json.dumps({STATE: file_digest(folder / STATE)}))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
