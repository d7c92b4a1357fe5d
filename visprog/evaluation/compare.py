"""Comparison of two runs of one benchmark: the questions on which they differ, and a significance test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import VisprogError
from .folder import EvaluationFolder
from .metrics import Row
from .statistics import jaccard, mcnemar


def compare(first: EvaluationFolder, second: EvaluationFolder) -> dict[str, Any]:
    """Compare two runs, over the questions that both answered.

    Right answers are compared with McNemar's exact test, which assumes independent questions; if several are scored
    together, its p is too small. The agreement of tools is the mean Jaccard index of the names of the tools
    that the two programs of a question called, over the questions for which both have a program.

    Raises:
        VisprogError: The runs are of different benchmarks, or have no question in common.
    """
    names = [run.made_with["benchmark"] for run in (first, second)]
    if names[0] != names[1]:
        raise VisprogError(f"{first.path} is a run of {names[0]}, and {second.path} one of {names[1]}")
    a, b = ({row["id"]: row for row in run.rows()} for run in (first, second))
    shared = [key for key in a if key in b]
    if not shared:
        raise VisprogError(f"{first.path} and {second.path} have no question in common")
    pairs = [(a[key], b[key]) for key in shared]
    only_first = sum(x["right"] and not y["right"] for x, y in pairs)
    only_second = sum(y["right"] and not x["right"] for x, y in pairs)
    both = sum(x["right"] and y["right"] for x, y in pairs)
    planned = [(x, y) for x, y in pairs if x["program"] and y["program"]]
    tools = [jaccard(list(x["calls"]), list(y["calls"])) for x, y in planned]
    return {
        "benchmark": names[0],
        "first": _about(first, a),
        "second": _about(second, b),
        "questions": len(shared),
        "right": {
            "both": both,
            "only_first": only_first,
            "only_second": only_second,
            "neither": len(shared) - both - only_first - only_second,
        },
        "accuracy": {
            "first": round((both + only_first) / len(shared), 6),
            "second": round((both + only_second) / len(shared), 6),
        },
        "mcnemar_p": mcnemar(only_first, only_second),
        "tools_agree": round(sum(tools) / len(tools), 6) if tools else None,
        "programs_equal": round(sum(x["program"] == y["program"] for x, y in planned) / len(planned), 6)
        if planned
        else None,
        "differ": [_difference(x, y) for x, y in pairs if x["right"] != y["right"]],
    }


def _about(run: EvaluationFolder, rows: Mapping[str, Row]) -> dict[str, Any]:
    made = run.made_with
    return {
        "folder": str(run.path),
        "planner": made["planner"],
        "oracle": made["oracle"],
        "questions": len(rows),
    }


def _difference(first: Row, second: Row) -> dict[str, Any]:
    keys = ("right", "answer", "status", "message", "program", "calls")
    return {
        "id": first["id"],
        "question": first["question"],
        "truth": first["truth"],
        "first": {key: first[key] for key in keys},
        "second": {key: second[key] for key in keys},
    }
