"""Runs of several objectives in however many processes it is started with: see test_trainer.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from visprog.training.distributed.failures import leave
from visprog.training.fit import fit
from visprog.training.recipe import make_recipe


def shard_on_cpus() -> None:
    """PyTorch's FSDP2 runs on CPUs; accelerate does not ask it to, unless it is told so."""
    first = AcceleratorState.__init__

    def init(self: Any, *arguments: Any, fsdp_plugin: Any = None, **options: Any) -> None:
        first(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
        if fsdp_plugin is not None:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin

    AcceleratorState.__init__ = init


if __name__ == "__main__":
    torch.set_num_threads(1)
    out, batch_size, fsdp = Path(sys.argv[1]), int(sys.argv[2]), "fsdp" in sys.argv
    if fsdp:
        shard_on_cpus()
    for name in ("Tiny",) if fsdp else ("Tiny", "Contrast", "Cached"):
        recipe = make_recipe(
            {
                "objective": f"tests.training.tiny_objective:{name}",
                "data": {"source": "tests.training.tiny_objective:Points"},
                "net": {"dropout": 0.0},
                "steps": 6,
                "batch_size": batch_size,
                "accumulation": 2,
                "evaluate_every": 3,
                "checkpoint_every": 3,
                "ema": 0.9,
                "fsdp": fsdp,
                "schedule": {"warmup": 1},
                "optimizer": {"lr": 0.01, "clip": 0.5},
            }
        )
        fit(recipe, out / name)
    leave(0)
