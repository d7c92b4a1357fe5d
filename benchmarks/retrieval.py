"""Exact search among a million features: visprog (float16 on disk), faiss (IndexFlatIP, float32) and NumPy (float32).

    python benchmarks/retrieval.py [--count 1000000] [--dim 512] [--threads 2] [--rounds 7]

Prints the median time of a search for the 10 nearest, of one query and of 32 at once, also as a multiple of visprog's,
and the memory of the features. All must find the same.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import torch
from timing import seconds

from visprog.retrieval.nearest import nearest

K = 10


def write_features(path: Path, count: int, dim: int) -> None:
    """Random features of length 1 in float16, (count, dim)."""
    generator = torch.Generator().manual_seed(0)
    with path.open("wb") as file:
        for start in range(0, count, 50_000):
            part = torch.randn(min(50_000, count - start), dim, generator=generator)
            file.write(torch.nn.functional.normalize(part, dim=1).half().numpy().tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("count", 1_000_000), ("dim", 512), ("threads", 2), ("rounds", 7)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    faiss.omp_set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.f16"
        write_features(path, given.count, given.dim)
        features = np.memmap(path, np.float16, "c", shape=(given.count, given.dim))
        full = features.astype(np.float32)
        flat = faiss.IndexFlatIP(given.dim)
        flat.add(full)

        def with_numpy(queries: np.ndarray) -> np.ndarray:
            scores = queries @ full.T
            best = np.argpartition(-scores, K, axis=1)[:, :K]
            order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1)
            return np.take_along_axis(best, order, 1)

        ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {
            "visprog": lambda queries: nearest(queries, features, K)[1],
            "faiss": lambda queries: flat.search(queries, K)[1],
            "NumPy": with_numpy,
        }
        print(f"{given.count:,} features of {given.dim}, {given.threads} threads")
        print(f"float16 {features.nbytes >> 20:,} MiB, float32 {full.nbytes >> 20:,} MiB")
        rng = np.random.default_rng(1)
        for number in (1, 32):
            queries = rng.standard_normal((number, given.dim)).astype(np.float32)
            queries /= np.linalg.norm(queries, axis=1, keepdims=True)
            found = [search(queries) for search in ways.values()]  # and the file is in memory from now on
            assert all(np.array_equal(each, found[0]) for each in found)
            times: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(given.rounds):
                for name, search in ways.items():
                    times[name].append(seconds(partial(search, queries)))
            ours = statistics.median(times["visprog"])
            for name, measured in times.items():
                median = statistics.median(measured)
                print(f"{number:>3} queries  {name:<8}{median * 1e3:>8.0f} ms  {median / ours:>5.2f}")


if __name__ == "__main__":
    main()
