"""Runs of several tasks in however many processes it is started with: see test_trainer.py."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from visprog.tools.training.fit import fit
from visprog.tools.training.recipe import make_recipe

if __name__ == "__main__":
    torch.set_num_threads(1)
    out, batch_size = Path(sys.argv[1]), int(sys.argv[2])
    for name in ("Tiny", "Contrast", "Cached"):
        recipe = make_recipe(
            {
                "task": f"tests.training.tiny_task:{name}",
                "net": {"dropout": 0.0},
                "steps": 6,
                "batch_size": batch_size,
                "accumulation": 2,
                "evaluate_every": 3,
                "ema": 0.9,
                "schedule": {"warmup": 1},
                "optimizer": {"lr": 0.01, "clip": 0.5},
            }
        )
        fit(recipe, out / name)
