"""What a benchmark is: questions about pictures with their answers, and the metric that is official for it."""

from __future__ import annotations

import difflib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from ..errors import VisprogError
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
    "csv": "visprog.evaluation.loaders.table:Table",
    "scenes": "visprog.evaluation.loaders.scenes:SceneQuestions",
}
"""Name → "module:class", imported when asked for."""


@dataclass(frozen=True)
class Item:
    """One question of a benchmark.

    Attributes:
        id: unique in the benchmark, the same in every run.
        question: in plain language.
        images: what `Image.open` reads; opened when asked, so loaders give paths, or files that are read then.
        answer: the truth, of the benchmark's own form, as plain data.
        returns: the type that the answer must have (`bool`, `int`, `str`, …), or None.
        group: items that are judged together (one statement over six pictures, a pair, …).
        details: what oracle tools and metrics need beyond this; "kind" is what results are divided by.
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
        data: folder, archive or file of the data set.
        split: which part of it; each benchmark says which there are, and takes the usual one where None.

    Raises:
        VisprogError: the data are not there, or not in the published layout.
    """

    name: ClassVar[str]
    """As on the command line."""

    repeatable: ClassVar[bool] = True
    """`summary` is quick enough to be repeated on some hundred samples of the rows, for intervals."""

    def __init__(self, data: Path, split: str | None = None) -> None:
        self.data = data
        self.split = split

    @abstractmethod
    def __iter__(self) -> Iterator[Item]:
        """The items, streamed, always in the same order."""

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def check(self, limit: int | None = None) -> None:
        """Make sure, before the first question, that all answers can be scored and summed up.

        Args:
            limit: number of questions that will be asked, the first ones.

        Raises:
            VisprogError: there are no questions, two have one id, or one cannot be scored.
        """
        seen: set[str] = set()
        for item in islice(self, limit):
            if item.id in seen:
                raise VisprogError(f"two questions of the benchmark have the id '{item.id}'")
            seen.add(item.id)
            if not isinstance(item.question, str):
                raise VisprogError(f"{self.name}: the question '{item.id}' is no text, but {item.question!r}")
            try:
                for value in (None, Region(Box(0, 0, 1, 1))):
                    self.score(item, value)
            except Exception as error:  # whatever a truth of another form than expected leads to
                raise VisprogError(
                    f"{self.name}: the question '{item.id}' cannot be scored: {error!r}"
                ) from None
        if not seen:
            raise VisprogError(f"{self.data} holds no questions of {self.name}")

    @abstractmethod
    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        """Scores of one answer, the most important first: {"correct": 1.0}.

        Args:
            value: what the program answered, of whatever type; None where there is no answer.
        """

    def summary(self, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, float]:
        """The official metrics over rows of results: the means of the scores, unless a benchmark says more.

        Args:
            rows: with id, group, kind, answer, truth and scores, as they stand in results.jsonl.
        """
        return means(rows)

    def oracle(self, item: Item) -> Mapping[str, Callable[..., Any]] | None:
        """Tools that answer from the truth, by name; None where there are none.

        They are called as the tools of the same names are, with all arguments by name.
        """
        return None

    def published(self) -> Mapping[str, Mapping[str, float]]:
        """What others scored: kind → model → percent; empty where the data do not tell."""
        return {}


def open_benchmark(name: str, data: Path, split: str | None = None) -> Benchmark:
    """A benchmark by its name on the command line.

    Raises:
        VisprogError: there is no such benchmark, or its data cannot be read.
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
        close = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(names)}"
        raise VisprogError(f"there is no benchmark '{name}'; {hint}")
    found = plugin.load()
    if not (isinstance(found, type) and issubclass(found, Benchmark)):
        raise VisprogError(f"{plugin} cannot be used: {plugin.reference} is no subclass of Benchmark")
    return found


def benchmark_names() -> list[str]:
    """Names of all benchmarks: those that come with visprog, then those of plugins."""
    return [*BENCHMARKS, *(p.name for p in plugins("benchmarks"))]
