"""Curation of shards in two passes: the matches of every query are counted, then pairs are drawn and written.

Both passes go shard by shard, in several processes if asked. What is finished is saved in the output folder every few
seconds, so the same call resumes a run that was stopped. A draw depends on the shard, the row and the query alone, so
the result is the same however often a run was stopped and however many processes worked.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from visprog.errors import VisprogError
from visprog.files.journal import replacing
from visprog.files.locks import claimed
from visprog.files.outputs import is_inside
from visprog.files.plain_text import parse_json

from .balancing import (
    MAX_PER_QUERY,
    Floats,
    draw,
    keep_probabilities,
    pair_probabilities,
    shard_key,
    threshold_for,
)
from .matching import Ids, QueryMatcher
from .queries import read_queries
from .report import CurationReport, Distribution, top_queries, write_report
from .shards import PairBatch, find_shards, names_of, open_shard

STATE = "curation.npz"
"""File in the output folder with what is finished."""

_SAVE_EVERY = 10.0
"""In seconds."""

Progress: TypeAlias = Callable[[str, int, int, int], None]
"""Is told how far a run is: what is being done, finished shards, all shards, rows so far."""


@dataclass(frozen=True)
class Curation:
    """What to curate, and how.

    Attributes:
        shards: Files, folders and patterns of Parquet, CSV, TSV, JSON Lines or webdataset tar files; what lies in the
            output folder is none of them.
        queries: File of queries; see `read_queries`.
        output: Folder for the shards of pairs that stay.
        column: Name of the column of captions; the first of the usual names that there is, if not given.
        max_per_query: Number of matches up to which a query keeps all of them (`t`).
        tail_share: Share of all matches, 0 to 1, that is to belong to queries which keep all; `max_per_query` follows.
        seed: Of the draws.
        ignore_case: Whether captions and queries are compared in lower case.
        ids: Whether to write the positions of the rows that stay, one per line, instead of the rows.
        workers: Number of processes.
    """

    shards: Sequence[str]
    queries: Path
    output: Path
    column: str | None = None
    max_per_query: int = MAX_PER_QUERY
    tail_share: float | None = None
    seed: int = 0
    ignore_case: bool = False
    ids: bool = False
    workers: int = 1


def curate(
    settings: Curation, *, resume: bool | None = None, progress: Progress = lambda work, done, of, rows: None
) -> CurationReport:
    """Curate shards: write those of their pairs that balance the queries.

    A run with the same shards and queries is resumed; if only the draws differ from those of that run, its counts are
    taken.

    Args:
        settings: What to curate.
        resume: False starts again whatever the output folder holds; True is an error if it holds nothing.
        progress: Is told how far the run is.

    Returns:
        The report, which is also in the output folder.

    Raises:
        DataError: Shards or queries cannot be read.
        VisprogError: The output cannot be written, or belongs to other shards or queries.
    """
    started = time.monotonic()
    queries = read_queries(settings.queries, ignore_case=settings.ignore_case)
    paths = [path for path in find_shards(settings.shards) if not is_inside(path, settings.output)]
    if not paths:
        raise VisprogError(
            f"{settings.output} holds the shards themselves: name another folder for the output"
        )
    names = names_of(paths)
    with claimed(settings.output):
        state = _open_state(settings, queries, paths, names, resume)

        def count(i: int, counted: _Counted) -> None:
            state.counts[counted.queries] += counted.matches
            state.rows[i], state.matched[i], state.unread[i] = counted.rows, counted.matched, counted.unread
            state.problems[i] = counted.problem
            state.counted[i] = True

        tasks = [(i, (path,)) for i, path in enumerate(paths) if not state.counted[i]]
        _work(settings, state, "counting", _Worker.count, tasks, count, None, progress)

        max_per_query = settings.max_per_query
        if settings.tail_share is not None:
            max_per_query = threshold_for(state.counts, settings.tail_share)

        def sample(i: int, sampled: _Sampled) -> None:
            state.counts_after[sampled.queries] += sampled.matches
            state.kept[i], state.expected[i] = sampled.kept, sampled.expected
            state.sampled[i] = True

        left = [(i, (path, names[i])) for i, path in enumerate(paths) if not state.sampled[i]]
        probabilities = keep_probabilities(state.counts, max_per_query)
        _work(settings, state, "sampling", _Worker.sample, left, sample, probabilities, progress)

        is_tail = state.counts <= max_per_query
        report = CurationReport(
            pairs=int(state.rows.sum()),
            unread=int(state.unread.sum()),
            matched=int(state.matched.sum()),
            kept=int(state.kept.sum()),
            expected=float(state.expected.sum()),
            queries=len(queries),
            max_per_query=max_per_query,
            before=Distribution.of(state.counts, max_per_query, is_tail),
            after=Distribution.of(state.counts_after, max_per_query, is_tail),
            top=top_queries(queries, state.counts, state.counts_after),
            problems=tuple(f"{names[i]}: {each}" for i, each in enumerate(state.problems.tolist()) if each),
            seconds=time.monotonic() - started,
        )
        write_report(settings.output, report, queries, state.counts, state.counts_after)
    return report


class _Counted(NamedTuple):
    """Counts of a shard: of its rows, and of the queries that match any."""

    queries: Ids
    matches: Ids
    rows: int
    matched: int
    unread: int
    problem: str


class _Sampled(NamedTuple):
    """What is kept of a shard, and the counts of the queries that match it."""

    queries: Ids
    matches: Ids
    kept: int
    expected: float


class _Worker:
    """Works on one shard after another.

    Args:
        settings: Those of the run.
        probabilities: By query, for sampling.
        advance: Is told the number of rows of every batch.
    """

    def __init__(
        self, settings: Curation, probabilities: Floats | None, advance: Callable[[int], None]
    ) -> None:
        queries = read_queries(settings.queries, ignore_case=settings.ignore_case)
        self.matcher = QueryMatcher(queries, ignore_case=settings.ignore_case)
        self.settings, self.probabilities, self.advance = settings, probabilities, advance

    def count(self, path: Path) -> _Counted:
        """The first pass over a shard."""
        counts = np.zeros(self.matcher.count, np.int64)
        rows = matched = unread = 0
        problem = ""
        for batch in open_shard(path, self.settings.column).batches(whole=False):
            matches = self.matcher(batch.captions)
            counts += np.bincount(matches.queries, minlength=len(counts))
            rows += len(batch.captions) + batch.left_out
            matched += len(np.unique(matches.rows))
            unread += batch.unread
            problem = problem or batch.problem
            self.advance(len(batch.captions))
        return _Counted(*_nonzero(counts), rows, matched, unread, problem)

    def sample(self, path: Path, name: str) -> _Sampled:
        """The second pass over a shard: its file in the output folder appears when it is whole."""
        assert self.probabilities is not None
        probabilities, key = self.probabilities, shard_key(name, self.settings.seed)
        counts = np.zeros(self.matcher.count, np.int64)
        number, expected = 0, 0.0

        def kept(batches: Iterator[PairBatch]) -> Iterator[tuple[PairBatch, Ids]]:
            nonlocal number, expected
            first = 0
            for batch in batches:
                matches = self.matcher(batch.captions)
                rows = draw(matches, probabilities, key, first)
                stays = np.zeros(len(batch.captions), bool)
                stays[rows] = True
                counts[:] += np.bincount(matches.queries[stays[matches.rows]], minlength=len(counts))
                expected += float(pair_probabilities(matches, probabilities, len(stays)).sum())
                number += len(rows)
                first += len(stays)
                self.advance(len(stays))
                yield batch, rows

        shard, ids = open_shard(path, self.settings.column), self.settings.ids
        target = _target(self.settings.output, name, ids)

        def write(file: IO[bytes]) -> None:
            stream = kept(shard.batches(whole=not ids))
            _write_ids(file, stream) if ids else shard.write(file, stream)

        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VisprogError(f"cannot write {target}: {error.strerror or error}") from None
        replacing(target, write)
        return _Sampled(*_nonzero(counts), number, expected)


def _target(output: Path, name: str, ids: bool) -> Path:
    """The file that is written for a shard."""
    return output / (f"{name}.ids.txt" if ids else name)


def _write_ids(file: IO[bytes], kept: Iterator[tuple[PairBatch, Ids]]) -> None:
    first = 0
    for batch, rows in kept:
        file.writelines(b"%d\n" % (first + row) for row in rows.tolist())
        first += len(batch.captions)


def _nonzero(counts: Ids) -> tuple[Ids, Ids]:
    queries = np.flatnonzero(counts)
    return queries, counts[queries]


# -- several processes ---------------------------------------------------------------------------


def _work(
    settings: Curation,
    state: _State,
    work: str,
    function: Callable[..., Any],
    tasks: list[tuple[int, tuple[Any, ...]]],
    finish: Callable[[int, Any], None],
    probabilities: Floats | None,
    progress: Progress,
) -> None:
    """One pass: `function` of a worker for every task, whose result is handed to `finish` and saved."""
    before, rows, of = len(state.counted) - len(tasks), 0, len(state.counted)

    def advance(more: int) -> None:
        nonlocal rows
        rows += more
        progress(work, before, of, rows)

    saved = time.monotonic()
    try:
        with closing(_results(settings, function, tasks, probabilities, advance)) as results:
            for i, result in results:
                finish(i, result)
                before += 1
                progress(work, before, of, rows)
                if time.monotonic() - saved > _SAVE_EVERY:
                    state.save(settings.output)
                    saved = time.monotonic()
    finally:
        if tasks:
            state.save(settings.output)


def _results(
    settings: Curation,
    function: Callable[..., Any],
    tasks: list[tuple[int, tuple[Any, ...]]],
    probabilities: Floats | None,
    advance: Callable[[int], None],
) -> Generator[tuple[int, Any], None, None]:
    """The result of each task, when it is finished."""
    processes = min(settings.workers, len(tasks))
    if processes <= 1:
        worker = _Worker(settings, probabilities, advance) if tasks else None
        for i, arguments in tasks:
            yield i, function(worker, *arguments)
        return
    context = multiprocessing.get_context("spawn")
    rows, told = context.Value("q", 0), 0
    with ProcessPoolExecutor(processes, context, _start, (settings, probabilities, rows)) as pool:
        futures = {pool.submit(_call, function, arguments): i for i, arguments in tasks}
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                advance(rows.value - told)
                told = rows.value
                for future in done:
                    yield futures[future], future.result()
        except BrokenProcessPool:
            raise VisprogError(
                "a process of the curation was ended from outside, as happens if memory runs out: "
                "run the same command again with fewer workers, and it resumes"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


_worker: _Worker


def _start(settings: Curation, probabilities: Floats | None, rows: Any) -> None:
    """Begin a process of the pool."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends the run

    def advance(more: int) -> None:
        with rows.get_lock():
            rows.value += more

    _worker = _Worker(settings, probabilities, advance)


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(_worker, *arguments)


# -- what is finished ----------------------------------------------------------------------------


@dataclass
class _State:
    """What is finished of a run; arrays are by query or by shard.

    Attributes:
        counting: Settings that the counts rest on, as JSON.
        sampling: Settings that the draws rest on besides.
    """

    counting: NDArray[np.str_]
    sampling: NDArray[np.str_]
    counts: Ids
    counts_after: Ids
    counted: NDArray[np.bool_]
    rows: Ids
    matched: Ids
    unread: Ids
    problems: NDArray[np.object_]
    sampled: NDArray[np.bool_]
    kept: Ids
    expected: Floats

    def save(self, folder: Path) -> None:
        """Write the state, all at once or not at all.

        Raises:
            VisprogError: It cannot be written.
        """
        arrays = {each.name: getattr(self, each.name) for each in fields(self)}
        arrays["problems"] = np.array(json.dumps(self.problems.tolist()))
        replacing(folder / STATE, lambda file: np.savez(file, **arrays))

    @classmethod
    def load(cls, folder: Path) -> _State | None:
        """The state in a folder; None if there is none.

        Raises:
            VisprogError: It cannot be read.
        """
        try:
            with np.load(folder / STATE) as arrays:
                found = dict(arrays)
            found["problems"] = np.array(parse_json(str(found["problems"])), object)
            return cls(**found)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile) as error:
            raise VisprogError(
                f"{folder / STATE} cannot be read ({error}): delete it, and the curation starts again"
            ) from None

    def remove_shards(self, folder: Path) -> None:
        """Delete the shards that were written, before others are."""
        *_, shards = parse_json(str(self.counting))
        *_, ids = parse_json(str(self.sampling))
        for name, *_ in shards:
            _target(folder, name, ids).unlink(missing_ok=True)

    @classmethod
    def new(cls, counting: str, sampling: str, queries: int, shards: int) -> _State:
        """The state of a run that begins."""

        def zeros(size: int, kind: Any = np.int64) -> Any:
            return np.zeros(size, kind)

        return cls(
            np.array(counting), np.array(sampling), zeros(queries), zeros(queries), zeros(shards, bool),
            zeros(shards), zeros(shards), zeros(shards), np.full(shards, "", object), zeros(shards, bool),
            zeros(shards), zeros(shards, np.float64),
        )  # fmt: skip


def _open_state(
    settings: Curation,
    queries: Sequence[str],
    paths: Sequence[Path],
    names: Sequence[str],
    resume: bool | None,
) -> _State:
    """The state in the output folder if it is of the same shards and queries, or a new one.

    Raises:
        VisprogError: It is of others.
    """
    status = [path.stat() for path in paths]
    shards = [[name, each.st_size, each.st_mtime_ns] for name, each in zip(names, status, strict=True)]
    digest = blake2b("\n".join(queries).encode("utf-8", "surrogatepass")).hexdigest()
    counting = json.dumps([digest, settings.column, settings.ignore_case, shards])
    sampling = json.dumps([settings.max_per_query, settings.tail_share, settings.seed, settings.ids])
    new = _State.new(counting, sampling, len(queries), len(paths))
    old = _State.load(settings.output)
    if old is None or resume is False:
        if resume:
            raise VisprogError(f"there is no run to resume in {settings.output}")
        if old is not None:
            old.remove_shards(settings.output)
        return new
    if str(old.counting) != counting:
        raise VisprogError(
            f"{settings.output} holds the curation of other shards, or by other queries: name another folder, or "
            "start again with --fresh"
        )
    if str(old.sampling) != sampling:
        old.remove_shards(settings.output)
        old.sampling, old.counts_after = new.sampling, new.counts_after
        old.sampled, old.kept, old.expected = new.sampled, new.kept, new.expected
    return old
