"""Printing of summaries and comparisons on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..files.plain_text import plain
from .models.benchmark import SummaryTable
from .report import short

MAX_SHOWN = 20
"""Maximum number of differing questions that are printed; all are in the JSON form."""


def print_summary(found: Mapping[str, Any]) -> None:
    """Print metrics with intervals, types of questions beside published scores, and figures about programs."""
    out = Console(highlight=False)
    truth = ", tools answer from the ground truth" if found["oracle"] else ""
    out.print(
        Text(plain(f"{found['benchmark']} · {found['questions']} questions · {found['planner']}{truth}\n"))
    )
    if "problem" in found:
        out.print(Text(plain(f"{found['problem']}; the answers are kept\n"), style="red"))
    table = _table("metric", "value", "95 %")
    for name, value in found["metrics"].items():
        table.add_row(name, _percent(value["value"]), _interval(value))
    out.print(table)
    if found["kinds"]:
        _print_kinds(out, found["kinds"])
    table = _table("", "share", "95 %", "of")
    words = {"valid_at_first": "programs valid at first", "repaired": "repaired, if not valid",
             "without_program": "questions without a program"}  # fmt: skip
    shares = {**{words[k]: v for k, v in found["programs"].items()}, **found["outcomes"]}
    for name, share in shares.items():
        if share["of"] and (share["value"] or name not in ("fallback", "error", "refused")):
            table.add_row(name, _percent(share["value"]), _interval(share), str(share["of"]))
    out.print()
    out.print(table)
    seconds = found["seconds"]
    out.print(
        Text(
            f"\nmedian {seconds['median']:.2f} s, 90 % within {seconds['p90']:.2f} s per question",
            style="dim",
        )
    )


def print_comparison(found: Mapping[str, Any]) -> None:
    """Print counts, the test, the agreement of tools, and the first questions that differ."""
    out = Console(highlight=False)
    table = _table("", "run", "planner", "tools", "right")
    for name in ("first", "second"):
        run = found[name]
        tools = "ground truth" if run["oracle"] else "real"
        table.add_row(
            name, plain(run["folder"]), plain(run["planner"]), tools, _percent(found["accuracy"][name])
        )
    out.print(table)
    right = found["right"]
    out.print(
        f"\n{found['questions']} questions: {right['both']} right in both, {right['only_first']} in the first "
        f"alone, {right['only_second']} in the second alone, {right['neither']} in neither"
    )
    out.print(f"McNemar's exact test: p = {found['mcnemar_p']:.3g}")
    if found["tools_agree"] is not None:
        out.print(
            f"tools used agree to {_percent(found['tools_agree'])} %, "
            f"programs are equal in {_percent(found['programs_equal'])} %"
        )
    if found["differ"]:
        table = _table("id", "question", "truth", "first", "second")
        for row in found["differ"][:MAX_SHOWN]:
            answers = [
                f"{'✓' if row[k]['right'] else '✗'} {short(row[k]['answer'])}" for k in ("first", "second")
            ]
            cells = (row["id"], row["question"], short(row["truth"]), *answers)
            table.add_row(*(Text(plain(cell)) for cell in cells))
        out.print()
        out.print(table)
        if len(found["differ"]) > MAX_SHOWN:
            out.print(f"and {len(found['differ']) - MAX_SHOWN} more: see --json")


def print_tables(tables: Sequence[SummaryTable]) -> None:
    """Print the tables of a benchmark of models."""
    out = Console(highlight=False)
    for title, columns, rows in tables:
        table = _table(*columns)
        for cells in rows:
            table.add_row(*(Text(plain(cell)) for cell in cells))
        out.print(Text(plain(f"\n{title}\n")))
        out.print(table)


def print_planner_questions(found: Mapping[str, Any], planner: str) -> None:
    """Print outcomes by category and by set, and the figures beside the limits of the gate."""
    out = Console(highlight=False)
    out.print(Text(plain(f"planner questions · {found['questions']} questions · {planner}\n")))
    for name in ("categories", "sets"):
        table = _table(name, "right", "refused", "wrong", "as wanted", "of")
        for label, counts in found[name].items():
            cells = (counts[k] for k in ("right", "refused", "wrong", "good", "questions"))
            table.add_row(Text(plain(label)), *map(str, cells))
        out.print(table)
        out.print()
    limits = {
        k: f"{'at most' if k == 'wrong' else 'at least'} {_percent(v)}" for k, v in found["limits"].items()
    }
    table = _table("", "share", "of", "gate")
    words = {
        "wrong": "answered wrong",
        "right": "right, of the questions with an answer",
        "refused": "refused, of those without one",
        "printed": "as wanted, of those in the documentation",
    }
    for name, figure in found["figures"].items():
        mark = "✓" if found["passed"][name] else "✗"
        table.add_row(
            words[name], _percent(figure["value"]), str(figure["of"]), f"{mark} {limits.get(name, 'all')}"
        )
    out.print(table)


def print_failures(failures: Sequence[Mapping[str, Any]]) -> None:
    """Print questions, with the program and the difference of its answer."""
    out = Console(highlight=False)
    for failure in failures:
        out.print(Text(plain(failure["question"]), style="bold"))
        for text in (failure["written"].strip(), failure["why"]):
            if text:
                out.print(Text(plain(text)))
        out.print()


def _print_kinds(out: Console, kinds: Mapping[str, Any]) -> None:
    models = list(dict.fromkeys(model for kind in kinds.values() for model in kind["published"]))
    table = _table("kind", "right", "95 %", "of", *models)
    for name, kind in kinds.items():
        share = kind["right"]
        others = [f"{kind['published'][m]:.1f}" if m in kind["published"] else "" for m in models]
        table.add_row(
            Text(plain(name)), _percent(share["value"]), _interval(share), str(share["of"]), *others
        )
    out.print()
    out.print(table)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _interval(value: Mapping[str, float]) -> str:
    return f"{_percent(value['low'])} – {_percent(value['high'])}" if "low" in value else ""


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", show_header=any(columns))
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    return table
