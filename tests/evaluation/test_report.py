"""Two runs side by side, and the report of one."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from visprog.errors import VisprogError
from visprog.evaluation.compare import compare
from visprog.evaluation.folder import VERSION, EvaluationFolder
from visprog.evaluation.report import MAX_SHOWN, page, short, write_report
from visprog.evaluation.show import print_comparison, print_summary
from visprog.evaluation.summary import metrics, summarise
from visprog.files.journal import Journal

from .conftest import Widths
from .test_run import WIDE, Written, run

NASTY = '<script>alert("x")</script>'


def row(key: str, right: bool, **more: Any) -> dict[str, Any]:
    base = {
        "id": key, "question": f"question {key}", "group": "", "kind": "", "program": WIDE, "answer": right,
        "truth": True, "status": "answered", "message": "", "right": right, "scores": {"correct": float(right)},
        "seconds": 0.1, "calls": {"detect": 1}, "checked": True, "repaired": None, "planner": "written",
    }  # fmt: skip
    return {**base, **more}


def folder(path: Path, rows: list[dict[str, Any]], benchmark: str = "widths") -> EvaluationFolder:
    made = {
        "version": VERSION,
        "benchmark": benchmark,
        "split": "",
        "data": "widths",
        "planner": "written",
        "oracle": False,
    }
    path.mkdir()
    (path / "run.json").write_text(json.dumps(made))
    with Journal(path / "results.jsonl") as journal:
        for each in rows:
            journal.append(each)
    return EvaluationFolder.read(path)


def test_where_two_runs_differ(tmp_path: Path) -> None:
    first = folder(tmp_path / "a", [row(f"q{n}", n < 6) for n in range(10)])
    changed = [row(f"q{n}", n == 0 or n >= 8, calls={"detect": 2, "crop": 1}) for n in range(1, 12)]
    second = folder(tmp_path / "b", [*changed[:7], row("q8", True, program="", calls={}), *changed[8:]])
    found = compare(first, second)
    assert found["questions"] == 9  # q1 … q9: the others were asked of one alone
    assert found["right"] == {"both": 0, "only_first": 5, "only_second": 2, "neither": 2}
    assert found["accuracy"] == {"first": pytest.approx(5 / 9), "second": pytest.approx(2 / 9)}
    assert found["mcnemar_p"] == pytest.approx(0.453125)  # twice P(at most 2 of 7)
    assert found["tools_agree"] == pytest.approx(0.5)
    assert found["programs_equal"] == 1
    assert [d["id"] for d in found["differ"]] == ["q1", "q2", "q3", "q4", "q5", "q8", "q9"]
    assert found["differ"][0]["second"]["right"] is False


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    first = folder(tmp_path / "a", [row("q1", True)])
    with pytest.raises(VisprogError, match=r"a run of widths, and .* one of gqa"):
        compare(first, folder(tmp_path / "b", [row("q1", True)], "gqa"))
    with pytest.raises(VisprogError, match="no question in common"):
        compare(first, folder(tmp_path / "c", [row("q2", True)]))
    with pytest.raises(VisprogError, match="not the folder of an evaluation"):
        EvaluationFolder.read(tmp_path)


def test_a_comparison_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = folder(
        tmp_path / "a", [row("q1", True), row("q2", False, answer={"type": "Region", "label": "dog\x1b[2J"})]
    )
    second = folder(tmp_path / "b", [row("q1", False), row("q2", True, question="\x1b]0;title\x07")])
    print_comparison(compare(first, second))
    printed = capsys.readouterr().out
    assert "McNemar's exact test: p = 1" in printed
    assert "✗ dog" in printed
    assert "\x1b[2J" not in printed and "\x1b]" not in printed


class Parsed(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_report_of_a_run(tmp_path: Path) -> None:
    found = run(tmp_path / "r", Widths(4, broken=2))
    summary = summarise(Widths(), found)
    write_report(found, summary)
    text = found.report.read_text()
    parsed = Parsed(text)
    articles = [attributes for tag, attributes in parsed.tags if tag == "article"]
    assert [a["data-right"] for a in articles] == ["wrong", "right", "right", "right"]  # failures first
    assert [a["data-status"] for a in articles][:2] == ["error", "answered"]
    assert {a["data-kind"] for a in articles} == {"narrow", "wide"}
    assert [a["name"] for tag, a in parsed.tags if tag == "select"] == ["status", "kind", "right"]
    sources = [v for _, a in parsed.tags for k, v in a.items() if k in ("src", "href") and v]
    assert all(s.startswith(("data:", "#")) for s in sources)  # nothing is loaded from elsewhere
    assert sum(s.startswith("data:image") for s in sources) >= 3  # images of what was asked
    assert text.count("<style") == 1  # the evidence brings none
    assert "image.width" in text and "not an image" in text


def test_nothing_in_the_report_is_taken_for_html(tmp_path: Path) -> None:
    found = run(tmp_path / "r", Widths(1))
    summary = {**summarise(Widths(), found), "data": NASTY, "planner": NASTY}
    rows = [
        row(
            NASTY,
            False,
            question=NASTY,
            program=NASTY,
            answer=NASTY,
            truth=[NASTY],
            kind=NASTY,
            message=NASTY,
            status="error",
        )
    ]
    text = page(summary, rows, {})
    assert NASTY not in text
    assert text.count("<script") == 1
    assert len(re.findall(r"&lt;script&gt;", text)) >= 6


def test_a_long_report_says_what_it_leaves_out(tmp_path: Path) -> None:
    summary = summarise(Widths(), run(tmp_path / "r", Widths(1)))
    rows = [row(f"q{n}", n != MAX_SHOWN) for n in range(MAX_SHOWN + 5)]
    text = page(summary, rows, {})
    assert text.count("<article") == MAX_SHOWN
    assert "5 more are in results.jsonl" in text
    assert text.index(f"q{MAX_SHOWN}") < text.index("question q0")


def test_short_values() -> None:
    assert short([1, 2, 3, 4, 5]) == "[1, 2, 3, 4, …]"
    assert short({"type": "Grid", "rows": 3}) == "Grid"
    assert [short(v) for v in (None, True, "x")] == ["nothing", "yes", "x"]


def test_intervals_of_official_metrics() -> None:
    class Paired(Widths):
        def summary(self, rows: Any) -> dict[str, float]:
            from visprog.evaluation.metrics import accuracy, all_right

            return {"accuracy": accuracy(rows), "consistency": all_right(rows), "nothing": float("nan")}

    rows = [row(f"q{n}", n % 4 != 0, group=f"g{n // 2}") for n in range(80)]
    found = metrics(Paired(), rows)
    assert set(found) == {"accuracy", "consistency"}
    assert found["accuracy"]["value"] == 0.75 and found["consistency"]["value"] == 0.5
    # Each pair has one right and half of the pairs another: the accuracy is as sure as 40 pairs make it.
    assert found["accuracy"]["low"] == pytest.approx(0.75 - 1.96 * 0.25 / 40**0.5, abs=0.02)
    assert found["consistency"]["low"] == pytest.approx(0.5 - 1.96 * 0.5 / 40**0.5, abs=0.03)
    alone = metrics(Paired(), [row(f"q{n}", True, group=f"g{n}") for n in range(20)])
    assert alone["consistency"]["low"] == pytest.approx(alone["accuracy"]["low"], abs=1e-6) == 0.838875


def test_a_summary_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(tmp_path / "r", planner=Written(WIDE))
    print_summary(summarise(Widths(), found))
    printed = capsys.readouterr().out
    assert "widths · 4 questions · written" in printed
    assert re.search(r"correct +100\.0 +51\.0 – 100\.0", printed)
