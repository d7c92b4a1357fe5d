"""Speed and memory of `visprog curate` over captions of random words, drawn by Zipf's law.

    python benchmarks/curation.py [--pairs 1000000] [--queries 500000]

One process curates a quarter of the pairs, another all of them: memory must not grow with their number. The rate is
that of one pass over the captions, matching included, per second of processor time; a curation makes two passes.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

LETTERS = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
WORDS_PER_CAPTION = 11
SHARD = 250_000


def random_words(count: int, rng: np.random.Generator) -> np.ndarray:
    """Distinct words, the first of which are used most."""
    frequencies = 1 / np.arange(1, 27)
    letters = rng.choice(LETTERS, (2 * count, 9), p=frequencies / frequencies.sum())
    lengths = rng.integers(2, 10, 2 * count)
    words = dict.fromkeys("".join(row[:n]) for row, n in zip(letters, lengths, strict=True))
    return np.array(list(words)[:count], object)


def write_data(folder: Path, pairs: int, queries: int) -> None:
    """Queries, 70 % of one word and the others of two; and shards of captions."""
    rng = np.random.default_rng(0)
    words = random_words(int(0.7 * queries), rng)
    couples = words[rng.integers(0, min(20_000, len(words)), (queries - len(words), 2))]
    lines = [*words, *(f"{first} {second}" for first, second in couples)]
    (folder / "queries.txt").write_text("\n".join(lines), encoding="utf-8")
    zipf = 1 / np.arange(1, len(words) + 1)
    for i in range(pairs // SHARD):
        drawn = words[rng.choice(len(words), (SHARD, WORDS_PER_CAPTION), p=zipf / zipf.sum())]
        table = pa.table({"id": np.arange(SHARD), "caption": [" ".join(row) for row in drawn]})
        pa.parquet.write_table(table, folder / f"{i:03}.parquet")


def curate(folder: Path, shards: list[Path]) -> None:
    """Curate in this process, and print the time and the memory that it took."""
    from visprog.training.curation.curate import Curation
    from visprog.training.curation.curate import curate as run

    began = time.process_time()
    report = run(
        Curation([str(each) for each in shards], folder / "queries.txt", folder / f"out{len(shards)}")
    )
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    matches = report.before.matches / report.pairs
    print(
        f"{report.pairs:>10,} pairs, {report.queries:,} queries, {matches:.1f} matches per pair: "
        f"{2 * report.pairs / seconds:,.0f} captions per second and pass, {peak:,.0f} MiB at most"
    )


def main() -> None:
    if sys.argv[1:2] == ["--in"]:
        curate(Path(sys.argv[2]), [Path(each) for each in sys.argv[3:]])
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=500_000)
    options = parser.parse_args()
    pairs, queries = options.pairs, options.queries
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, pairs, queries)
        shards = sorted(folder.glob("*.parquet"))
        for part in (shards[: max(len(shards) // 4, 1)], shards):
            subprocess.run([sys.executable, __file__, "--in", name, *map(str, part)], check=True)


if __name__ == "__main__":
    main()
