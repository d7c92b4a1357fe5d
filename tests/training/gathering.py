"""Results of `gather`, `own_first` and `share` in two processes, as JSON in the given folder: see test_processes.py."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from visprog.training.checkpoint import TrainingError
from visprog.training.distributed.collectives import gather, gather_objects, own_first, share
from visprog.training.distributed.failures import leave

ONE: dict[str, Callable[[int], Any]] = {
    "equal": lambda rank: gather(torch.full((2, 2), float(rank))),
    "rows": lambda rank: gather(torch.full((1 + 2 * rank, 2), rank)),
    "none in one": lambda rank: gather(torch.full((rank, 1), True)),
    "none in all": lambda rank: gather(torch.ones(0, 3)),
    "no width": lambda rank: gather(torch.ones(2, 0)),
    "padded": lambda rank: gather(torch.full((1, 3 - rank, 1 + rank), rank), fill=-3),
    "numbers": lambda rank: gather(torch.tensor([rank])),
    "refused": lambda rank: gather(torch.ones(1, 2 + rank), name="features"),
    "axes": lambda rank: gather(torch.ones(*[1] * (1 + rank)), name="features"),
    "no axis": lambda rank: gather(torch.tensor(1.0), name="loss"),
    "objects": lambda rank: gather_objects({"rank": rank}),
    "own first": lambda rank: own_first(torch.full((1 + rank,), rank)),
    "share": lambda rank: share(torch.tensor(1 + 2 * rank)),
    "share of nothing": lambda rank: share(torch.tensor(0)),
}


def gradient(rank: int) -> list[Any]:
    """Of a loss over the rows of both, of which the second has two: the mean over processes is the gradient."""
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])[slice(1) if rank == 0 else slice(1, 3)]
    rows.requires_grad_()
    (gather(rows) ** 2).sum().backward()
    return (rows.grad / 2).tolist()  # type: ignore[operator]  # it has been set


def outcome(case: Callable[[int], Any], rank: int) -> Any:
    try:
        value = case(rank)
    except TrainingError as error:
        return str(error)
    return value.tolist() if isinstance(value, torch.Tensor) else value


if __name__ == "__main__":
    state = PartialState(cpu=True)
    rank = state.process_index
    found = {name: outcome(case, rank) for name, case in (ONE | {"gradient": gradient}).items()}
    (Path(sys.argv[1]) / f"{rank}.json").write_text(json.dumps(found))
    leave(0)
