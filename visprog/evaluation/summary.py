"""Summary of a run: the official metrics with intervals, and figures about programs and outcomes."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import VisprogError
from ..files.writing import write_text
from .benchmark import Benchmark
from .folder import EvaluationFolder
from .metrics import Row, all_right, groups, kinds, means
from .statistics import Interval, bootstrap, bootstrap_mean, quantile, wilson

MAX_DRAWN_ROWS = 600_000
"""Maximum number of rows that are drawn for the intervals of one metric."""

_JUDGED = ("id", "group", "kind", "answer", "truth", "scores")
"""Fields of a row that metrics are computed from."""

STATUSES = ("answered", "fallback", "refused", "error")


def summarise(benchmark: Benchmark, run: EvaluationFolder) -> dict[str, Any]:
    """Summarise a run, and write the summary to its folder.

    If the metrics of the benchmark fail, the means of the scores replace them, and "problem" says why.

    Raises:
        VisprogError: There is no result yet, or the file cannot be written.
    """
    rows = run.rows()
    if not rows:
        raise VisprogError(f"{run.path} holds no result yet")
    try:
        measured, problem = metrics(benchmark, rows), {}
    except Exception as error:  # hours of answers must not be lost to a mistake in a metric
        measured = {name: _with(value, None, rows) for name, value in means(rows).items()}
        reason = str(error) if isinstance(error, VisprogError) else repr(error)
        problem = {"problem": f"the metrics of {benchmark.name} cannot be computed: {reason}"}
    found = {
        **{k: run.made_with[k] for k in ("benchmark", "split", "data", "planner", "oracle")},
        "questions": len(rows),
        **problem,
        "metrics": measured,
        "kinds": by_kind(benchmark, rows),
        "programs": programs(rows),
        "outcomes": {s: _share([row["status"] == s for row in rows]) for s in STATUSES},
        "seconds": _seconds([row["seconds"] for row in rows]),
    }
    try:
        write_text(run.summary, json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise VisprogError(f"cannot write {run.summary}: {error.strerror or error}") from None
    return found


def metrics(benchmark: Benchmark, rows: Sequence[Row]) -> dict[str, Any]:
    """The official metrics, each with its 95 % interval.

    A share of rows without groups, and a share of groups, have Wilson's interval. Means, shares of rows in groups, and
    all other metrics have the interval of the bootstrap over groups, unless the benchmark says that its metric takes
    too long for that.
    """
    values = {k: v for k, v in benchmark.summary(rows).items() if not math.isnan(v)}
    plain = means(rows)
    intervals: dict[str, Interval] = {}
    for name, value in values.items():
        score = "correct" if name == "accuracy" else name
        if math.isclose(plain.get(score, math.nan), value) and all(score in r["scores"] for r in rows):
            intervals[name] = _of_mean([r["scores"][score] for r in rows], rows)
        elif "correct" in plain and math.isclose(all_right(rows), value):
            count = len(groups(rows))
            intervals[name] = wilson(round(value * count), count)
    others = set(values) - set(intervals)
    if others and benchmark.repeatable:
        samples = min(1000, max(100, MAX_DRAWN_ROWS // len(rows)))
        drawn = bootstrap([{k: r[k] for k in _JUDGED} for r in rows], benchmark.summary, samples)
        intervals |= {name: drawn[name] for name in others if name in drawn}
    return {name: _with(value, intervals.get(name), rows) for name, value in values.items()}


def by_kind(benchmark: Benchmark, rows: Sequence[Row]) -> dict[str, Any]:
    """Share of right answers per type of question, beside published scores."""
    try:
        published = benchmark.published()
    except Exception as error:  # the run is complete without them
        warnings.warn(f"the published figures cannot be read: {type(error).__name__}: {error}", stacklevel=2)
        published = {}
    return {
        kind: {"right": _share([r["right"] for r in members]), "published": dict(published.get(kind, {}))}
        for kind, members in kinds(rows).items()
    }


def programs(rows: Sequence[Row]) -> dict[str, Any]:
    """Figures about programs: the share that passes check and dry run at first, and the share that was repaired."""
    return {
        "valid_at_first": _share([r["checked"] for r in rows if r["checked"] is not None]),
        "repaired": _share([r["repaired"] for r in rows if r["repaired"] is not None]),
        "without_program": _share([not r["program"] for r in rows]),
    }


def _of_mean(values: Sequence[float], rows: Sequence[Row]) -> Interval:
    units = [r["group"] or f"\0{i}" for i, r in enumerate(rows)]
    if set(values) <= {0.0, 1.0} and len(set(units)) == len(rows):
        return wilson(sum(values), len(values))
    return bootstrap_mean(values, units)


def _with(value: float, interval: Interval | None, rows: Sequence[Row]) -> dict[str, float]:
    if interval is not None and interval.low == interval.high and value in (0.0, 1.0):
        # All samples of a metric that is always 0 or 1 are alike, so the bootstrap gives no interval.
        count = len({r["group"] or f"\0{i}" for i, r in enumerate(rows)})
        interval = wilson(value * count, count)
    bounds = {} if interval is None else {"low": round(interval.low, 6), "high": round(interval.high, 6)}
    return {"value": round(value, 6), **bounds}


def _share(values: Sequence[bool]) -> dict[str, float]:
    if not values:
        return {"of": 0}
    bounds = wilson(sum(values), len(values))
    return {
        "value": round(sum(values) / len(values), 6),
        "low": round(bounds.low, 6),
        "high": round(bounds.high, 6),
        "of": len(values),
    }


def _seconds(values: Sequence[float]) -> Mapping[str, float]:
    return {
        "median": round(quantile(values, 0.5), 4),
        "p90": round(quantile(values, 0.9), 4),
        "total": round(sum(values), 2),
    }
