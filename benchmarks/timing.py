"""Two ways to do the same, in one run: how their times and their memory compare."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from torch.profiler import ProfilerActivity, profile

Run = Callable[[], Any]


def seconds(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ratio(ours: Run, theirs: Run, rounds: int) -> tuple[float, float, float]:
    """Median of ours / theirs, and the medians of both, in seconds. Who goes first alternates."""
    for warm in (ours, theirs):
        warm()
    pairs = []
    for i in range(rounds):
        if i % 2:
            second, first = seconds(theirs), seconds(ours)
        else:
            first, second = seconds(ours), seconds(theirs)
        pairs.append((first, second))
    have, want = zip(*pairs, strict=True)
    return statistics.median(a / b for a, b in pairs), statistics.median(have), statistics.median(want)


def peak(run: Run) -> float:
    """The most memory that tensors took during a run beyond what was there before it, in MiB."""
    run()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    now = most = 0
    for event in recorded.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most / 2**20


def compare(title: str, ours: Run, theirs: Run, rounds: int, memory: bool = False) -> None:
    """Print a line of times, and with `memory` a second one of what tensors took."""
    factor, have, want = ratio(ours, theirs, rounds)
    print(f"{title:<36}{have * 1e3:>7.0f} ms{want * 1e3:>7.0f} ms{factor:>8.2f}", flush=True)
    if memory:
        have, want = peak(ours), peak(theirs)
        print(f"{title + ', memory':<36}{have:>6.0f} MiB{want:>6.0f} MiB{have / want:>8.2f}", flush=True)


def head(threads: int, rounds: int) -> None:
    """Print what the columns are."""
    print(f"{threads} threads, {rounds} rounds")
    print(f"{'':<36}{'ours':>10}{'theirs':>10}{'ratio':>8}")
