"""What a curation found and kept: the head and the tail of the queries, before and after."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.files.journal import replacing
from visprog.files.writing import utf8

from .matching import Ids

TOP = 10
"""Number of the most frequent queries in a report."""


@dataclass(frozen=True)
class Distribution:
    """How matches are spread over queries.

    Attributes:
        matches: Number of pairs of a caption and a query that matches it.
        unmatched: Number of queries without a match.
        tail: Number of queries with 1 to `max_per_query` matches.
        head: Number of queries with more.
        tail_share: Share of the matches that belong to the queries that were in the tail before.
    """

    matches: int
    unmatched: int
    tail: int
    head: int
    tail_share: float

    @classmethod
    def of(cls, counts: Ids, max_per_query: int, is_tail: NDArray[np.bool_]) -> Distribution:
        """The distribution of counts per query."""
        matches, unmatched = int(counts.sum()), int((counts == 0).sum())
        head = int((counts > max_per_query).sum())
        share = float(counts[is_tail].sum() / matches) if matches else 0.0
        return cls(matches, unmatched, len(counts) - unmatched - head, head, share)


@dataclass(frozen=True)
class CurationReport:
    """The result of a curation.

    Attributes:
        pairs: Number of pairs that were read.
        unread: Number of rows without a caption that can be read; they are left out.
        matched: Number of pairs with a query that matches.
        kept: Number of pairs that were written.
        expected: Expectation of `kept`, Σ (1 − Π (1 − p)).
        queries: Number of queries.
        max_per_query: Number of matches up to which a query keeps all.
        before: Distribution of the matches among all pairs.
        after: That among the pairs that were kept.
        top: The most frequent queries: text, matches before, matches after.
        problems: First problem of each shard with rows that cannot be read.
        seconds: Duration of this run.
    """

    pairs: int
    unread: int
    matched: int
    kept: int
    expected: float
    queries: int
    max_per_query: int
    before: Distribution
    after: Distribution
    top: tuple[tuple[str, int, int], ...]
    problems: tuple[str, ...]
    seconds: float

    def to_plain(self) -> dict[str, Any]:
        """The report as JSON data."""
        return {**asdict(self), "expected": round(self.expected, 1), "seconds": round(self.seconds, 3)}

    def __str__(self) -> str:
        def share(part: float, whole: float) -> str:
            return f"{100 * part / whole:.1f} %" if whole else "–"

        lines = [
            f"{self.pairs:,} pairs, {self.matched:,} of them matched by a query, {self.kept:,} kept "
            f"({share(self.kept, self.pairs)}; expected {self.expected:,.0f}); {self.seconds:.1f} s",
            f"at most about {self.max_per_query:,} matches per query",
            "",
            f"{'':<34}{'before':>14}{'after':>14}",
        ]
        rows: Mapping[str, tuple[str, str]] = {
            "matches": (f"{self.before.matches:,}", f"{self.after.matches:,}"),
            "queries without a match": (f"{self.before.unmatched:,}", f"{self.after.unmatched:,}"),
            f"queries with 1 … {self.max_per_query:,}": (f"{self.before.tail:,}", f"{self.after.tail:,}"),
            f"queries with more than {self.max_per_query:,}": (
                f"{self.before.head:,}",
                f"{self.after.head:,}",
            ),
            "share of matches in the tail": (
                share(self.before.tail_share, 1),
                share(self.after.tail_share, 1),
            ),
            **{f"  {text[:30]}": (f"{before:,}", f"{after:,}") for text, before, after in self.top},
        }
        lines += [f"{name:<34}{before:>14}{after:>14}" for name, (before, after) in rows.items()]
        if self.unread:
            lines += [
                "",
                f"{self.unread:,} rows without a caption that can be read were left out: {self.problems[0]}",
            ]
        return "\n".join(lines)


def top_queries(queries: Sequence[str], before: Ids, after: Ids) -> tuple[tuple[str, int, int], ...]:
    """The most frequent queries with their counts before and after."""
    order = np.argsort(-before, kind="stable")[:TOP]
    return tuple((queries[i], int(before[i]), int(after[i])) for i in order if before[i])


def write_report(
    folder: Path, report: CurationReport, queries: Sequence[str], before: Ids, after: Ids
) -> None:
    """Write `report.json`, and `counts.tsv` with the matches of every query before and after.

    Raises:
        VisprogError: They cannot be written.
    """
    text = json.dumps(report.to_plain(), indent=2, ensure_ascii=False) + "\n"
    replacing(folder / "report.json", lambda file: file.write(utf8(text)))
    rows = zip(queries, before.tolist(), after.tolist(), strict=True)
    lines = (utf8(f"{query}\t{first}\t{second}\n") for query, first, second in rows)
    replacing(folder / "counts.tsv", lambda file: file.writelines(lines))
