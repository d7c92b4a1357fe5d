"""Run experiments on claims, several seeds each, and write a table and a plot per claim.

Results are kept per condition and seed: an interrupted run goes on where it stopped, and what was measured by the same
code is not measured again.

    python -m benchmarks.claims --list
    python -m benchmarks.claims x5b --seeds 3
    python -m benchmarks.claims --all --output runs/claims
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from .claim import find_claims
from .runner import digest, read, report, result_file, run_seed


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.claims",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("claims", nargs="*", help="names of claims, such as x5b")
    parser.add_argument("--all", action="store_true", help="run all claims")
    parser.add_argument("--list", action="store_true", help="list all claims")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default 3)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="number of processes (default: one per core)"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads per process (default 1)")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/claims"), help="folder of results, tables and plots"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    known = find_claims()
    if options.list:
        print("\n".join(f"{name:5} {claim.title}" for name, claim in known.items()))
        return
    if unknown := [name for name in options.claims if name not in known]:
        parser.error(f"there is no claim {', '.join(unknown)}: --list names them all")
    chosen = [known[name] for name in (known if options.all else options.claims)]
    if not chosen:
        parser.error("name a claim, or give --all")
    jobs = [
        (claim.name, seed)
        for claim in chosen
        for seed in range(options.seeds)
        if any(
            read(result_file(options.output, claim, condition, seed), digest(claim)) is None
            for condition in claim.conditions
        )
    ]
    with ProcessPoolExecutor(
        options.jobs, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        waiting = [pool.submit(run_seed, name, seed, options.output, options.threads) for name, seed in jobs]
        try:
            for i, done in enumerate(as_completed(waiting), 1):
                print(f"[{i}/{len(jobs)}] {done.result()}", file=sys.stderr, flush=True)
        except BrokenProcessPool:
            parser.exit(
                1,
                "a process was killed, perhaps for want of memory: the same command goes on; --jobs 1 needs less\n",
            )
    report(chosen, options.output, options.seeds, options.json)


if __name__ == "__main__":
    main()
