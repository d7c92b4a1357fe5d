"""Batches in an order that depends on seed and step alone, so that a run can be resumed anywhere.

Position p of the endless sequence of samples is sample p mod n of pass p div n, each pass in its own order; what
is drawn for it comes from a generator seeded by p. Neither the number of workers nor that of processes, nor where
the run was stopped, changes a sample.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .data.samples import BadSample, DataError
from .objective import Samples, Stream

ATTEMPTS = 100
"""Number of bad samples in a row after which the data set, not a sample, is wrong."""


class Batch(NamedTuple):
    """What the loader yields.

    Attributes:
        content: what the data's `collate` made.
        valid: bool (batch,), False for rows that only fill the batch.
        skipped: reasons by name of the bad samples that were met.
    """

    content: Any
    valid: Tensor
    skipped: dict[str, str]


class Slot(NamedTuple):
    """A row of a batch: its position in the sequence of samples, its key, and whether it counts."""

    position: int
    key: Any
    valid: bool = True


@dataclass(frozen=True)
class Split:
    """The share of one process in each batch."""

    batch_size: int
    rank: int = 0
    world: int = 1


def training_batches(
    data: Samples | Stream, split: Split, seed: int, start: int, workers: int
) -> Generator[Batch, None, None]:
    """Endless batches from number `start` on; close them to end the workers.

    Raises:
        DataError: there are only bad samples.
    """
    if isinstance(data, Samples):
        _not_empty(data)
        order = partial(_shuffled, len(data), split, seed)
    else:
        order = partial(_streamed, data, split, seed)
    return _load(_Batches(data, order, seed, start), workers)


def validation_batches(data: Samples, split: Split, seed: int, workers: int) -> Iterator[Batch]:
    """One pass in order, with the same number of rows for each process."""
    _not_empty(data)
    size = min(split.batch_size, -(-len(data) // split.world))
    order = partial(_in_order, len(data), Split(size, split.rank, split.world))
    return _load(_Batches(data, order, seed, 0), workers)


class _Batches(IterableDataset[Any]):
    def __init__(self, data: Any, order: Any, seed: int, start: int) -> None:
        self.data, self.order, self.seed, self.start = data, order, seed, start

    def __iter__(self) -> Iterator[Batch | DataError]:
        worker = get_worker_info()
        number, count = (worker.id, worker.num_workers) if worker else (0, 1)
        # The loader takes from its workers in turn, so each makes every count-th batch.
        for slots in itertools.islice(self.order(self.start), number, None, count):
            try:
                yield self._make(slots)
            except DataError as error:
                yield error  # raised in a worker it would lose its sentence among tracebacks
                return

    def _make(self, slots: list[Slot]) -> Batch:
        samples, valid, skipped = [], [], dict[str, str]()
        for slot in slots:
            rng = np.random.default_rng((self.seed, slot.position))
            key, good = slot.key, True
            for _ in range(ATTEMPTS):
                try:
                    samples.append(self.data.sample(key, rng))
                    break
                except BadSample as error:
                    skipped[error.name] = error.reason
                    good = False
                    key = self._another(slots, rng)
            else:
                first = next(iter(skipped.items()))
                raise DataError(f"{ATTEMPTS} bad samples in a row: nothing in this data can be used; "
                                f"the first is {first[0]}: {first[1]}")  # fmt: skip
            valid.append(slot.valid and good)
        return Batch(self.data.collate(samples), torch.tensor(valid), skipped)

    def _another(self, slots: list[Slot], rng: np.random.Generator) -> Any:
        """What stands in for a bad sample: batches keep their size, which several processes rely on."""
        if isinstance(self.data, Samples):
            return int(rng.integers(len(self.data)))
        return slots[int(rng.integers(len(slots)))].key


def _shuffled(length: int, split: Split, seed: int, start: int) -> Iterator[list[Slot]]:
    current, order = -1, np.zeros(0, np.int64)
    for number in itertools.count(start):
        slots = []
        first = (number * split.world + split.rank) * split.batch_size
        for position in range(first, first + split.batch_size):
            epoch, index = divmod(position, length)
            if epoch != current:
                current, order = epoch, np.random.default_rng((seed, epoch)).permutation(length)
            slots.append(Slot(position, int(order[index])))
        yield slots


def _streamed(data: Stream, split: Split, seed: int, start: int) -> Iterator[list[Slot]]:
    def keys() -> Iterator[Slot]:
        position = split.rank
        for epoch in itertools.count():
            before = position
            for key in data.keys(np.random.default_rng((seed, epoch)), split.rank, split.world):
                yield Slot(position, key)
                position += split.world
            if position == before:
                raise DataError(f"process {split.rank + 1} of {split.world} finds no sample in the stream")

    slots = keys()
    if start:  # keys are cheap: what was seen already is counted, not read
        next(itertools.islice(slots, start * split.batch_size, start * split.batch_size), None)
    while True:
        yield list(itertools.islice(slots, split.batch_size))


def _in_order(length: int, split: Split, start: int) -> Iterator[list[Slot]]:
    together = split.batch_size * split.world
    for number in range(start, -(-length // together)):
        first = number * together + split.rank * split.batch_size
        yield [Slot(p, min(p, length - 1), p < length) for p in range(first, first + split.batch_size)]


def _load(batches: _Batches, workers: int) -> Generator[Batch, None, None]:
    loader = DataLoader(
        batches,
        batch_size=None,
        num_workers=workers,
        generator=torch.Generator(),  # the loader must not draw from the generator that the model uses
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_leave_signals,
    )
    items = iter(loader)
    try:
        for item in items:
            if isinstance(item, DataError):
                raise item
            yield item
    finally:
        del items  # asks the workers to leave: they take no notice of signals


def _leave_signals(worker: int) -> None:
    """What interrupts a run reaches the workers too, from a terminal or from torchrun, but the training process
    decides when they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _not_empty(data: Samples) -> None:
    if len(data) == 0:
        raise DataError(f"{type(data).__name__} is empty: there is nothing to train on")
