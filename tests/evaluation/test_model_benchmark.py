"""A benchmark of models: each part is measured once, whatever stops the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from visprog.errors import VisprogError
from visprog.evaluation.models.benchmark import ModelBenchmark, SummaryTable, run_model_benchmark


class Squares(ModelBenchmark):
    name = "squares"

    def __init__(self, count: int, fails_at: str = "") -> None:
        self.count, self.fails_at, self.measured = count, fails_at, list[str]()

    def made_with(self) -> Mapping[str, Any]:
        return {"count": self.count, "sizes": (1, 2)}  # a tuple, which JSON gives back as a list

    def parts(self) -> list[str]:
        return [str(i) for i in range(self.count)]

    def measure(self, part: str) -> Mapping[str, Any]:
        if part == self.fails_at:
            raise VisprogError("stopped")
        self.measured.append(part)
        return {"square": int(part) ** 2}

    def summarise(self, figures: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
        return {"total": sum(figure["square"] for figure in figures.values())}

    def tables(self, summary: Mapping[str, Any]) -> list[SummaryTable]:
        return [SummaryTable("Squares", ("", "total"), [("all", str(summary["total"]))])]


def test_a_run_that_was_stopped_measures_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(VisprogError, match="stopped"):
        run_model_benchmark(Squares(4, fails_at="2"), tmp_path)
    again, rows = Squares(4), []
    summary = run_model_benchmark(again, tmp_path, watch=rows.append)
    assert again.measured == ["2", "3"] == [row["id"] for row in rows]
    assert (
        summary
        == {"benchmark": "squares", "total": 14}
        == json.loads((tmp_path / "summary.json").read_text())
    )
    with pytest.raises(VisprogError, match="count 4, not 5"):
        run_model_benchmark(Squares(5), tmp_path)
    fresh = Squares(5)
    assert run_model_benchmark(fresh, tmp_path, resume=False)["total"] == 30 and len(fresh.measured) == 5
