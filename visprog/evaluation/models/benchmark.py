"""The interface of a benchmark of models: figures that are measured part by part, and a summary of them."""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from ...errors import VisprogError
from ...files.journal import Journal
from ...files.writing import write_text
from ..folder import VERSION, EvaluationFolder

MODEL_BENCHMARKS: Mapping[str, str] = {
    "compositionality": "visprog.evaluation.models.compositionality:Compositionality",
    "robustness": "visprog.evaluation.models.robustness:RobustnessBenchmark",
}
"""Name → "module:class". Each has a command of its own, `visprog eval NAME`, and is listed by `visprog eval --list`."""


class SummaryTable(NamedTuple):
    """A table as the command prints it.

    Attributes:
        title: Line above the table.
        columns: Headings; the first column holds names, the others numbers.
        rows: Cells as text.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class ModelBenchmark(ABC):
    """A measurement of one or several models. Its parts are measured one after another, and each is kept at once, so
    that a run that was stopped is resumed. A subclass takes its models, its data and its settings in the constructor,
    and loads a model when a part first needs it.

    Attributes:
        name: Name on the command line.
    """

    name: ClassVar[str]

    @abstractmethod
    def made_with(self) -> Mapping[str, Any]:
        """All that the figures depend on, as plain data: names and digests of models and data, sizes, seeds."""

    @abstractmethod
    def parts(self) -> Sequence[str]:
        """Names of the parts, in the order in which they are measured."""

    @abstractmethod
    def measure(self, part: str) -> Mapping[str, Any]:
        """Figures of a part, as plain data."""

    @abstractmethod
    def summarise(self, figures: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
        """The summary of the figures of all parts, by name of the part."""

    @abstractmethod
    def tables(self, summary: Mapping[str, Any]) -> Sequence[SummaryTable]:
        """What the command prints of a summary."""


def load_model_benchmark(name: str) -> type[ModelBenchmark]:
    """The class of a benchmark of `MODEL_BENCHMARKS`."""
    module, _, cls = MODEL_BENCHMARKS[name].partition(":")
    found: type[ModelBenchmark] = getattr(importlib.import_module(module), cls)
    return found


def run_model_benchmark(
    benchmark: ModelBenchmark,
    folder: Path,
    *,
    resume: bool | None = None,
    watch: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Measure every part that has no figures in the folder yet, and write `summary.json`.

    Args:
        benchmark: Benchmark to run.
        folder: Folder of the run; it is made if it does not exist.
        resume: True to resume a run that must exist, False to start again, None to resume a run if there is one.
        watch: Called with every row that is written.

    Returns:
        The summary.

    Raises:
        VisprogError: The folder holds a run with other settings or cannot be written, or a model or the data cannot be
            used. Figures that were written are kept.
    """
    about = {"version": VERSION, "benchmark": benchmark.name, **benchmark.made_with()}
    run = EvaluationFolder.open(folder, json.loads(json.dumps(about)), resume)
    done = set(run.ids())
    with Journal(run.results) as results:
        for part in benchmark.parts():
            if part not in done:
                row = {"id": part, "figures": dict(benchmark.measure(part))}
                results.append(row)
                if watch is not None:
                    watch(row)
    wanted = set(benchmark.parts())
    figures = {row["id"]: row["figures"] for row in run.rows() if row["id"] in wanted}
    summary = {"benchmark": benchmark.name, **benchmark.summarise(figures)}
    try:
        write_text(run.summary, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise VisprogError(f"cannot write {run.summary}: {error.strerror or error}") from None
    return summary
