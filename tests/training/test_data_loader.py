"""The order of samples depends on seed and position alone, and bad samples are replaced."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from visprog.training.data.samples import BadSample, DataError
from visprog.training.loader import Batch, Split, training_batches, validation_batches


class Numbers:
    """Sample k is k and a number drawn for it; batches are lists."""

    def __init__(self, length: int, bad: tuple[int, ...] = ()) -> None:
        self.length, self.bad = length, bad

    def __len__(self) -> int:
        return self.length

    def sample(self, key: int, rng: np.random.Generator) -> tuple[int, float]:
        if key in self.bad:
            raise BadSample(f"number {key}", "is bad")
        return key, float(rng.random())

    def collate(self, samples: list[Any]) -> list[Any]:
        return samples


class Flow:
    """A stream of ten samples a pass, shared by processes; numbers as in `Numbers`."""

    def __init__(self, bad: tuple[int, ...] = (), length: int = 10) -> None:
        self.numbers, self.length = Numbers(0, bad), length

    def keys(self, rng: np.random.Generator, part: int, parts: int) -> Iterator[int]:
        yield from (int(k) for k in rng.permutation(self.length)[part::parts])

    def sample(self, key: int, rng: np.random.Generator) -> tuple[int, float]:
        return self.numbers.sample(key, rng)

    def collate(self, samples: list[Any]) -> list[Any]:
        return samples


def take(data: Any, count: int, split: Split = Split(3), start: int = 0, workers: int = 0) -> list[Any]:  # noqa: B008
    return [b.content for b in islice(training_batches(data, split, 7, start, workers), count)]


@pytest.mark.parametrize("data", [Numbers(10), Flow()], ids=["samples", "stream"])
def test_each_pass_holds_every_sample_once_in_another_order(data: Any) -> None:
    flat = [key for batch in take(data, 10) for key, _ in batch]
    passes = [flat[i : i + 10] for i in (0, 10, 20)]
    assert all(sorted(p) == list(range(10)) for p in passes)
    assert passes[0] != passes[1] != passes[2]


@pytest.mark.parametrize("data", [Numbers(10), Flow()], ids=["samples", "stream"])
@pytest.mark.parametrize("start", [0, 1, 4])
@pytest.mark.parametrize("workers", [0, 2])
def test_neither_workers_nor_where_a_run_goes_on_change_a_sample(data: Any, start: int, workers: int) -> None:
    assert take(data, 8 - start, start=start, workers=workers) == take(data, 8)[start:]


def test_processes_share_each_batch() -> None:
    whole = take(Numbers(10), 5, Split(4))
    halves = [take(Numbers(10), 5, Split(2, rank, 2)) for rank in (0, 1)]
    assert [a + b for a, b in zip(*halves, strict=True)] == whole


def test_processes_share_a_stream() -> None:
    halves = [take(Flow(), 5, Split(1, rank, 2)) for rank in (0, 1)]
    assert sorted(key for half in halves for batch in half for key, _ in batch) == list(range(10))


@pytest.mark.parametrize("kind", [Numbers, Flow])
def test_bad_samples_are_replaced_and_named(kind: Any) -> None:
    data = Numbers(10, bad=(2, 5)) if kind is Numbers else Flow(bad=(2, 5))
    batches = list(islice(training_batches(data, Split(5), 0, 0, 0), 4))
    assert all(len(b.content) == 5 for b in batches)
    assert not {key for b in batches for key, _ in b.content} & {2, 5}
    assert {name for b in batches for name in b.skipped} == {"number 2", "number 5"}
    assert sum(int((~b.valid).sum()) for b in batches) == 4  # twice in each of two passes


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_but_bad_samples_is_an_error(workers: int) -> None:
    data = Numbers(5, bad=tuple(range(5)))
    with pytest.raises(DataError, match=r"^100 bad samples in a row: .* the first is number \d: is bad$"):
        take(data, 1, workers=workers)
    with pytest.raises(DataError, match="Numbers is empty"):
        take(Numbers(0), 1)
    with pytest.raises(DataError, match="process 1 of 1 finds no sample in the stream"):
        take(Flow(length=0), 1)


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 4, 11])
def test_validation_sees_each_sample_once_in_order(world: int, length: int) -> None:
    shares = [list(validation_batches(Numbers(length), Split(2, r, world), 0, 0)) for r in range(world)]
    assert len({len(s) for s in shares}) == 1  # as many batches in every process
    seen = []
    for together in zip(*shares, strict=True):
        assert len({len(b.content) for b in together}) == 1
        seen += [s[0] for b in together for s, valid in zip(b.content, b.valid, strict=True) if valid]
    assert seen == list(range(length))


def test_bad_samples_are_left_out_of_validation() -> None:
    batches: list[Batch] = list(validation_batches(Numbers(7, bad=(1, 6)), Split(3), 0, 0))
    kept = [s[0] for b in batches for s, valid in zip(b.content, b.valid, strict=True) if valid]
    assert kept == [0, 2, 3, 4, 5]
