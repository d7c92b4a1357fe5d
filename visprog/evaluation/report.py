"""The report of a run: one HTML file, failures first, with their evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

from ..errors import VisprogError
from ..files.writing import write_text
from ..report.html import fragment
from ..report.markup import Markup, join, tag
from ..values import codec
from .answers import text_of
from .folder import EvaluationFolder
from .metrics import Row

MAX_SHOWN = 1000
"""Maximum number of questions that the report shows; all are in results.jsonl."""

_FILTER = """
const lists = [...document.querySelectorAll('.filters select')];
const shown = document.querySelector('.filters output');
function choose() {
  let count = 0;
  for (const row of document.querySelectorAll('article')) {
    row.hidden = lists.some(list => list.value && row.dataset[list.name] !== list.value);
    count += !row.hidden;
  }
  shown.textContent = count + ' shown';
}
for (const list of lists) list.addEventListener('change', choose);
choose();
"""


def write_report(run: EvaluationFolder, summary: Mapping[str, Any]) -> None:
    """Write `report.html` into the folder of a run.

    Args:
        run: Folder of the run.
        summary: Result of `summarise`.

    Raises:
        VisprogError: The file cannot be written.
    """
    try:
        write_text(run.report, page(summary, run.rows(), run.answers()))
    except OSError as error:
        raise VisprogError(f"cannot write {run.report}: {error.strerror or error}") from None


def page(summary: Mapping[str, Any], rows: Sequence[Row], evidence: Mapping[str, Any]) -> str:
    """The report as HTML.

    Args:
        summary: Result of `summarise`.
        rows: Rows of results.jsonl.
        evidence: JSON form of the answers that were kept, by the id of the question.
    """
    ordered = sorted(rows, key=lambda r: (r["right"], r["id"] not in evidence))[:MAX_SHOWN]
    tools = " · tools answer from the ground truth" if summary["oracle"] else ""
    title = f"{summary['benchmark']} · {summary['planner']}{tools}"
    more = f"; {len(rows) - MAX_SHOWN} more are in results.jsonl" if len(rows) > MAX_SHOWN else ""
    body = tag(
        "body",
        tag("h1", title),
        tag("div", f"{len(rows)} questions of {summary['data']}{more}"),
        *([tag("p", summary["problem"])] if "problem" in summary else []),
        _tables(summary),
        _filters(ordered),
        *(_article(row, evidence.get(row["id"])) for row in ordered),
        tag("script", Markup(_FILTER)),
        class_="visprog-report",
    )
    head = tag(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", f"{title} · visprog eval"),
        tag("style", Markup((files(__package__) / "report.css").read_text(encoding="utf-8"))),
    )
    return f'<!doctype html>\n<html lang="en">{head}{body}</html>\n'


def short(value: Any) -> str:
    """An answer in JSON form, or a ground truth, in a few words."""
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return f"[{', '.join(map(short, value[:4]))}{', …' if len(value) > 4 else ''}]"
    if isinstance(value, Mapping):
        return str(value.get("label") or value.get("text") or value.get("type") or "a value")
    return text_of(value)


def _tables(summary: Mapping[str, Any]) -> Markup:
    shares = {**summary["programs"], **summary["outcomes"]}
    seconds = summary["seconds"]
    tables = [
        _table(("metric", "value", "95 %"), ((n, *_cells(v)) for n, v in summary["metrics"].items())),
        _table(
            ("", "share", "95 %", "of"),
            ((n.replace("_", " "), *_cells(v), str(v["of"])) for n, v in shares.items() if v["of"]),
        ),
    ]
    if summary["kinds"]:
        kinds = summary["kinds"]
        others = ["published"] if any(k["published"] for k in kinds.values()) else []
        rows = (
            (name, *_cells(kind["right"]), str(kind["right"]["of"]), _published(kind))[: 4 + len(others)]
            for name, kind in kinds.items()
        )
        tables.insert(1, _table(("kind", "right", "95 %", "of", *others), rows))
    times = f"median {seconds['median']:.2f} s per question, 90 % within {seconds['p90']:.2f} s"
    return join([tag("div", *tables, class_="tables"), tag("div", times)])


def _filters(rows: Iterable[Row]) -> Markup:
    lists = []
    for name, key in (("status", "status"), ("kind", "kind"), ("right", "right")):
        values = sorted({_value(row[key]) for row in rows} - {""})
        options = [tag("option", f"any {name}" if name != "right" else "right or wrong", value="")]
        options += [tag("option", value, value=value) for value in values]
        if len(values) > 1:
            lists.append(tag("select", *options, name_=name))
    return tag("div", *lists, tag("output"), class_="filters")


def _article(row: Row, answer: Mapping[str, Any] | None) -> Markup:
    text = f"{short(row['answer'])} — truth: {short(row['truth'])}"
    if row["status"] != "answered":
        text = f"{row['status']}: {row['message']} — truth: {short(row['truth'])}"
    head = tag(
        "summary",
        tag("span", "✓" if row["right"] else "✗", class_="mark"),
        _thumbnail(answer) if answer is not None else Markup(""),
        tag("span", tag("b", row["question"]), " ", text, " ", tag("small", row["id"]), class_="said"),
    )
    if answer is not None:
        inside: str = fragment(answer, codec)
    else:
        inside = tag("pre", row["program"] or "(no program)")
    return tag(
        "article",
        tag("details", head, inside),
        class_="right" if row["right"] else "wrong",
        data_status=row["status"],
        data_kind=row["kind"],
        data_right=_value(row["right"]),
    )


def _thumbnail(answer: Mapping[str, Any]) -> Markup:
    """The first image of a question, small."""
    digests = [image["digest"] for image in answer["images"] if image["digest"] in answer["pictures"]]
    if not digests:
        return Markup("")
    kept = answer["pictures"][digests[0]]
    source = f"data:{kept['mime']};base64,{kept['data']}"
    return tag("svg", tag("image", href=source, width=64, height=48), viewBox="0 0 64 48", class_="thumbnail")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    cells = [tag("tr", *(tag("th", cell) for cell in head))]
    return tag("table", *cells, *(tag("tr", *(tag("td", cell) for cell in row)) for row in rows))


def _cells(value: Mapping[str, float]) -> tuple[str, str]:
    bounds = f"{100 * value['low']:.1f} – {100 * value['high']:.1f}" if "low" in value else ""
    return f"{100 * value['value']:.1f}", bounds


def _published(kind: Mapping[str, Any]) -> str:
    return ", ".join(f"{model} {score:.1f}" for model, score in kind["published"].items())


def _value(value: Any) -> str:
    return ("right" if value else "wrong") if isinstance(value, bool) else str(value)
