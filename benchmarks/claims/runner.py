"""Measures claims, keeps the results per condition and seed, and writes a table and a plot per claim."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from .claim import Claim, Results, find_claims, statistic
from .plot import plot

HERE = Path(__file__).parent


def digest(claim: Claim) -> str:
    """Identifies the code of an experiment: the file of the claim and those that all share."""
    own = sys.modules[claim.measure.__module__].__file__
    shared = (file for file in sorted(HERE.glob("*.py")) if not file.name.startswith(("x", "_")))
    files = [Path(str(own)), *(file for file in shared if file.stem not in ("plot", "claim", "runner"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def result_file(output: Path, claim: Claim, condition: str, seed: int) -> Path:
    """Path of the result of one condition and seed."""
    slug = "".join(c if c.isalnum() else "-" for c in condition)
    return output / claim.name / f"{slug}.seed{seed}.json"


def read(file: Path, code: str) -> dict[str, Any] | None:
    """A result, if it was measured by this code."""
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if found.get("code") == code else None


def run_seed(name: str, seed: int, output: Path, threads: int) -> str:
    """Measure all conditions of a claim that have no result for this seed yet; in a process of its own."""
    import torch

    torch.set_num_threads(threads)
    claim = find_claims()[name]
    code = digest(claim)
    start = time.perf_counter()
    for condition in claim.conditions:
        file = result_file(output, claim, condition, seed)
        if read(file, code) is not None:
            continue
        began = time.perf_counter()
        metrics = {k: float(v) for k, v in claim.measure(condition, seed).items()}
        if set(metrics) - set(claim.metrics):
            raise SystemExit(
                f"{name}: the metrics {sorted(set(metrics) - set(claim.metrics))} are not declared"
            )
        found = {"code": code, "seconds": round(time.perf_counter() - began, 1), "metrics": metrics}
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        os.replace(part, file)
    return f"{name} seed {seed}: {time.perf_counter() - start:.0f} s"


def collect(claim: Claim, output: Path, seeds: int) -> tuple[Results, float] | None:
    """Results over all seeds and their seconds; None if some are missing."""
    code, results, seconds = digest(claim), {}, 0.0
    for condition in claim.conditions:
        found = [read(result_file(output, claim, condition, seed), code) for seed in range(seeds)]
        complete = [one for one in found if one is not None]
        if len(complete) < seeds:
            return None
        seconds += sum(one["seconds"] for one in complete)
        names = [name for name in claim.metrics if all(name in one["metrics"] for one in complete)]
        results[condition] = {name: statistic([one["metrics"][name] for one in complete]) for name in names}
    return results, seconds


def table(claim: Claim, results: Results, seconds: float, seeds: int) -> str:
    """The results as Markdown: one row per condition, the trivial baseline last, then what holds."""
    lines = [
        f"### {claim.name.upper()}: {claim.title}",
        "",
        f"| {seeds} seeds | " + " | ".join(claim.metrics) + " |",
    ]
    lines.append("|---" * (1 + len(claim.metrics)) + "|")
    for condition, found in results.items():
        lines.append(f"| {condition} | " + " | ".join(str(found.get(m, "")) for m in claim.metrics) + " |")
    if any(level is not None for level in claim.metrics.values()):
        levels = ("" if level is None else f"{level:.3g}" for level in claim.metrics.values())
        lines.append("| *without learning* | " + " | ".join(levels) + " |")
    lines.append("")
    for check in claim.checks:
        lines.append(f"- {'holds' if check.holds(results) else '**does not hold**'}: {check.statement}")
    lines.append(f"- {seconds / 60:.1f} minutes of one core")
    return "\n".join(lines)


def report(claims: list[Claim], output: Path, seeds: int, as_json: bool) -> None:
    """Write table and plot of each claim, and print the tables or the results as JSON."""
    summary = {}
    for claim in claims:
        collected = collect(claim, output, seeds)
        if collected is None:
            continue
        results, seconds = collected
        text = table(claim, results, seconds, seeds)
        (output / claim.name / "table.md").write_text(text + "\n", encoding="utf-8")
        plot(claim, results, output / claim.name / "plot.png")
        summary[claim.name] = {
            "results": {c: {m: vars(s) for m, s in found.items()} for c, found in results.items()},
            "checks": {check.statement: check.holds(results) for check in claim.checks},
        }
        if not as_json:
            print(text + "\n")
    if as_json:
        print(json.dumps(summary, indent=1))
