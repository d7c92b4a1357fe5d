"""The interface of a benchmark: questions about images with their answers, and the official metric."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from ..errors import VisprogError, close_match
from ..plugins import plugin_named, plugins
from ..values import Box, Region
from .metrics import means

BENCHMARKS: Mapping[str, str] = {
    "nlvr": "visprog.evaluation.nlvr:NLVR",
    "nlvr2": "visprog.evaluation.loaders.nlvr2:NLVR2",
    "gqa": "visprog.evaluation.loaders.gqa:GQA",
    "refcoco": "visprog.evaluation.loaders.refcoco:RefCOCO",
    "refcoco+": "visprog.evaluation.loaders.refcoco:RefCOCOPlus",
    "refcocog": "visprog.evaluation.loaders.refcoco:RefCOCOg",
    "vqav2": "visprog.evaluation.loaders.vqa:VQAv2",
    "okvqa": "visprog.evaluation.loaders.vqa:OKVQA",
    "nextqa": "visprog.evaluation.loaders.nextqa:NExTQA",
    "winoground": "visprog.evaluation.loaders.winoground:Winoground",
    "mmvp": "visprog.evaluation.loaders.mmvp:MMVP",
    "pope": "visprog.evaluation.loaders.pope:POPE",
    "coco": "visprog.evaluation.loaders.coco:COCODetection",
    "blindtest": "visprog.evaluation.loaders.blindtest:BlindTest",
    "csv": "visprog.evaluation.loaders.table:CsvQuestions",
    "scenes": "visprog.evaluation.loaders.scenes:SceneQuestions",
}
"""Name → "module:class", imported when asked for."""


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    Attributes:
        id: Identifier, unique in the benchmark and the same in every run.
        question: Question in natural language.
        images: Sources for `Image.open`, such as paths; they are read when the question is asked.
        answer: Ground truth in the form of the benchmark, as plain data.
        returns: Type that the answer must have (`bool`, `int`, `str`, …), or None.
        group: Name of the group of items that are scored together (one statement over six images, a pair, …).
        details: Further data for oracle tools and metrics; "kind" is the type of question by which results are split.
    """

    id: str
    question: str
    images: tuple[Any, ...]
    answer: Any
    returns: Any = None
    group: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class Benchmark(ABC):
    """Questions in a published layout.

    Args:
        data: Folder, archive or file of the data set.
        split: Split of the data set; None for the usual one of the benchmark.

    Raises:
        VisprogError: The data do not exist, or do not have the published layout.
    """

    name: ClassVar[str]
    """Name on the command line."""

    repeatable: ClassVar[bool] = True
    """Whether `summary` is fast enough to be repeated on some hundred samples of the rows, for intervals."""

    def __init__(self, data: Path, split: str | None = None) -> None:
        self.data = data
        self.split = split

    @abstractmethod
    def __iter__(self) -> Iterator[Item]:
        """The items, streamed, always in the same order."""

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def check(self, limit: int | None = None) -> None:
        """Check, before the first question, that all answers can be scored and summarised.

        Args:
            limit: Number of questions that will be asked, from the first on; None for all.

        Raises:
            VisprogError: There are no questions, two have the same id, or one cannot be scored.
        """
        seen: set[str] = set()
        for item in islice(self, limit):
            if item.id in seen:
                raise VisprogError(f"two questions of the benchmark have the id '{item.id}'")
            seen.add(item.id)
            if not isinstance(item.question, str):
                raise VisprogError(
                    f"{self.name}: the question '{item.id}' must be a text, not {item.question!r}"
                )
            try:
                for value in (None, Region(Box(0, 0, 1, 1))):
                    self.score(item, value)
            except Exception as error:  # a ground truth of another form than expected may raise anything
                raise VisprogError(
                    f"{self.name}: the question '{item.id}' cannot be scored: {error!r}"
                ) from None
        if not seen:
            raise VisprogError(f"{self.data} holds no questions of {self.name}")

    @abstractmethod
    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        """Score one answer.

        Args:
            item: Question with its ground truth.
            value: Answer of the program, of any type; None if there is no answer.

        Returns:
            Scores by name, the most important first: {"correct": 1.0}.
        """

    def summary(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """The official metrics over rows of results; by default the means of the scores.

        Args:
            rows: Rows of results.jsonl, with id, group, kind, answer, truth and scores.
        """
        return means(rows)

    def oracle(self, item: Item) -> Mapping[str, Callable[..., Any]] | None:
        """Tools that answer from the ground truth, by name; None if the benchmark has none.

        They are called like the tools of the same names, with all arguments by name.
        """
        return None

    def published(self) -> Mapping[str, Mapping[str, float]]:
        """Published scores: type of question → model → percent; empty if there are none."""
        return {}


def open_benchmark(name: str, data: Path, split: str | None = None) -> Benchmark:
    """Open a benchmark by its name on the command line.

    Raises:
        VisprogError: There is no such benchmark, or its data cannot be read.
    """
    return load_class(name)(data, split)


def load_class(name: str) -> type[Benchmark]:
    """The class of a benchmark: one of `BENCHMARKS`, or a plugin's.

    Raises:
        VisprogError: there is no benchmark of that name, or its plugin cannot be used.
    """
    if name in BENCHMARKS:
        module, _, cls = BENCHMARKS[name].partition(":")
        found: type[Benchmark] = getattr(importlib.import_module(module), cls)
        return found
    plugin = plugin_named("benchmarks", name)
    if plugin is None:
        names = benchmark_names()
        close = close_match(name, names)
        hint = f"did you mean '{close}'?" if close else f"there are {', '.join(names)}"
        raise VisprogError(f"there is no benchmark '{name}'; {hint}")
    found = plugin.load()
    if not (isinstance(found, type) and issubclass(found, Benchmark)):
        raise VisprogError(f"{plugin} cannot be used: {plugin.reference} is no subclass of Benchmark")
    return found


def benchmark_names() -> list[str]:
    """Names of all benchmarks: those that come with visprog, then those of plugins."""
    return [*BENCHMARKS, *(p.name for p in plugins("benchmarks"))]
