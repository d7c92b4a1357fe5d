"""`visprog curate`: balance image–text pairs by a list of queries, or build such a list."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ..errors import MissingExtra
from .common import Group, JsonOption, ResumeOption
from .result import Result, UsageError
from .status import say

curate = typer.Typer(
    cls=Group,
    help="Balance image-text pairs: visprog curate SHARDS --queries FILE -o FOLDER; see visprog curate pairs --help.",
    rich_markup_mode=None,
)

IgnoreCaseOption = Annotated[bool, typer.Option("--ignore-case", help="Compare in lower case.")]


@curate.command("pairs")
def curate_pairs(
    shards: Annotated[
        list[str],
        typer.Argument(
            metavar="SHARDS...",
            help="Parquet, CSV, TSV, JSON Lines or webdataset tar files, folders of them, or patterns.",
            show_default=False,
        ),
    ],
    queries: Annotated[
        Path,
        typer.Option(
            "--queries", help="File with one query per line, or a JSON list of them.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the pairs that stay.", show_default=False)
    ],
    column: Annotated[
        str | None, typer.Option("--column", help="Column of the captions; found by its name if not given.")
    ] = None,
    max_per_query: Annotated[
        int | None,
        typer.Option(
            "--max-per-query", min=1, help="Matches up to which a query keeps all; 20000 by default."
        ),
    ] = None,
    tail_share: Annotated[
        float | None,
        typer.Option(
            "--tail-share",
            min=0,
            max=1,
            help="Choose --max-per-query so that queries up to it have this share of all matches.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the draws.")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Number of processes.")] = 1,
    ids: Annotated[
        bool, typer.Option("--ids", help="Write the positions of the rows that stay, not the rows.")
    ] = False,
    ignore_case: IgnoreCaseOption = False,
    resume: ResumeOption = None,
    json: JsonOption = False,
) -> Result:
    """Keep those pairs that balance a list of queries (this is what visprog curate SHARDS means).

    \b
    visprog curate laion/ --queries queries.txt -o curated/ --workers 8
    visprog curate "shards/{00000..00099}.tar" --queries metadata.json -o curated/ --max-per-query 1000
    visprog curate pairs.csv --queries queries.txt -o curated/ --column alt_text --tail-share 0.06
    """
    if max_per_query is not None and tail_share is not None:
        raise UsageError("either --max-per-query or --tail-share, which chooses it")
    _need_pyarrow()
    from visprog.training.curation.balancing import MAX_PER_QUERY
    from visprog.training.curation.curate import Curation
    from visprog.training.curation.curate import curate as run

    settings = Curation(
        shards, queries, output, column, max_per_query or MAX_PER_QUERY, tail_share, seed, ignore_case, ids, workers
    )  # fmt: skip
    try:
        with _progress() as progress:
            report = run(settings, resume=resume, progress=progress)
    except KeyboardInterrupt:
        say("interrupted: the finished shards are kept; run the same command again to resume")
        raise
    if not json:
        print(report)
    return Result({"status": "ok", "output": str(output), **report.to_plain()})


@curate.command("queries")
def curate_queries(
    corpus: Annotated[
        list[Path],
        typer.Argument(
            metavar="CORPUS...", help="Text files, such as those of Wikipedia.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write the queries to.", show_default=False)
    ],
    add: Annotated[
        list[Path] | None,
        typer.Option("--add", help="File of further queries, such as titles or synsets. May be repeated."),
    ] = None,
    min_count: Annotated[
        int, typer.Option("--min-count", min=1, help="Minimum number of occurrences of a word or a pair.")
    ] = 100,
    min_pmi: Annotated[
        float,
        typer.Option("--min-pmi", help="Minimum pointwise mutual information of a pair of words, in bits."),
    ] = 5.0,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of queries.")] = 500_000,
    ignore_case: IgnoreCaseOption = False,
    json: JsonOption = False,
) -> Result:
    """Write a list of queries: the frequent words of a corpus, and the pairs of words that go together.

    \b
    visprog curate queries wikipedia/*.txt -o queries.txt
    visprog curate queries captions.txt --add synsets.txt --min-count 20 -o queries.txt
    """
    from ..files.journal import replacing
    from ..files.outputs import keep_inputs
    from ..files.writing import utf8
    from .status import working

    _need_pyarrow()
    keep_inputs(output, [*corpus, *(add or ())])
    from visprog.training.curation.queries import build_queries, read_queries

    with working("counting words"):
        added = [each for path in add or () for each in read_queries(path)]
        found = build_queries(
            corpus, added=added, min_count=min_count, min_pmi=min_pmi, limit=limit, ignore_case=ignore_case
        )
    lines = (utf8(f"{each.text}\t{each.occurrences}\n") for each in found)
    replacing(output, lambda file: file.writelines(lines))
    pairs = sum(" " in each.text and each.occurrences > 0 for each in found)
    if not json:
        print(f"{len(found):,} queries, {pairs:,} of them pairs of words: {output}")
    return Result({"status": "ok", "output": str(output), "queries": len(found), "pairs": pairs})


def _need_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise MissingExtra("curation", "curate") from None


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int, int], None]]:
    """Progress bar on standard error, of shards; without a terminal, a line every 30 seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    last = time.monotonic()
    began: dict[str, float] = {}
    with Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("", total=None, rate="")

        def show(work: str, done: int, of: int, rows: int) -> None:
            nonlocal last
            now = time.monotonic()
            rate = rows / max(now - began.setdefault(work, now), 1e-3)
            text = f"{rows:,} pairs, {rate:,.0f}/s"
            bar.update(task, description=work, completed=done, total=of, rate=text)
            if bar.disable and now - last > 30:
                last = now
                console.print(f"{work}: {done} of {of} shards, {text}")

        yield show
