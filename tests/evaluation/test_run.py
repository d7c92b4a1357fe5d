"""Runs: every question once, every result kept, whatever happens."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from visprog.config import Config
from visprog.errors import PlannerError, Refused, VisprogError
from visprog.evaluation.evidence import Evidence
from visprog.evaluation.folder import EvaluationFolder, made_with
from visprog.evaluation.run import evaluate
from visprog.evaluation.summary import summarise
from visprog.files.journal import Journal, read_lines
from visprog.planner.base import Plan, PlanRequest

from .conftest import Widths

WIDE = "def answer(image):\n    return image.width > 10\n"
VERIFIED = 'def answer(image):\n    return verify(image, "wide")\n'


class Written:
    """A planner that gives programs in turn, and counts how often it is asked; an exception is raised."""

    def __init__(self, *programs: str | Exception, name: str = "written") -> None:
        self.programs, self.name, self.asked = list(programs), name, 0

    def plan(self, request: PlanRequest, *, failed: Any = None, n: int = 1) -> list[Plan]:
        program = self.programs[min(self.asked, len(self.programs) - 1)]
        self.asked += 1
        if isinstance(program, Exception):
            raise program
        return [Plan(program, self.name)]


def run(
    folder: Path, benchmark: Widths | None = None, planner: Any = None, **options: Any
) -> EvaluationFolder:
    return evaluate(
        benchmark or Widths(), folder, planner=planner or Written(WIDE), config=Config(repairs=1), **options
    )


def test_a_run_and_what_it_leaves(tmp_path: Path) -> None:
    planner, seen = Written(WIDE), []
    found = run(tmp_path / "r", planner=planner, watch=seen.append)
    rows = found.rows()
    assert rows == seen
    assert [(r["id"], r["answer"], r["truth"], r["right"]) for r in rows] == [
        ("w0", False, False, True), ("w1", False, False, True), ("w2", False, False, True), ("w3", True, True, True)
    ]  # fmt: skip
    assert planner.asked == 1  # the question is the same each time
    assert {k: rows[0][k] for k in ("status", "kind", "program", "planner", "calls", "checked", "repaired")} == {
        "status": "answered", "kind": "narrow", "program": WIDE, "planner": "written", "calls": {}, "checked": True,
        "repaired": None,
    }  # fmt: skip
    assert rows[0]["scores"] == {"correct": 1.0} and rows[0]["seconds"] > 0
    summary = summarise(Widths(), found)
    assert summary["metrics"]["correct"] == {
        "value": 1.0,
        "low": pytest.approx(0.5101, abs=1e-4),
        "high": 1.0,
    }
    assert summary["kinds"]["wide"]["right"]["of"] == 1
    assert json.loads(found.summary.read_text()) == summary


def test_after_a_kill_nothing_is_asked_again(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    run(folder, limit=3)
    results = folder / "results.jsonl"
    whole = results.read_bytes()
    results.write_bytes(whole[: len(whole) - 30])  # killed while it wrote the third line
    seen: list[Any] = []
    found = run(folder, watch=seen.append)
    assert [row["id"] for row in seen] == ["w2", "w3"]
    assert [row["id"] for row in found.rows()] == ["w0", "w1", "w2", "w3"]
    assert set(found.answers()) == {"w0", "w1", "w2", "w3"}
    planner = Written(WIDE)
    run(folder, planner=planner)
    assert planner.asked == 0


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    found = run(tmp_path, limit=2)
    lines = found.results.read_text().splitlines()
    found.results.write_text("\n".join(["{", *lines[1:]]) + "\n")
    with pytest.raises(VisprogError, match=r"results\.jsonl, line 1 is not JSON"):
        run(tmp_path)


def test_a_folder_resumes_only_the_same_run(tmp_path: Path) -> None:
    run(tmp_path, limit=1)
    with pytest.raises(VisprogError, match=r"planner 'written', not 'other'.*--fresh"):
        run(tmp_path, planner=Written(WIDE, name="other"))
    with pytest.raises(VisprogError, match="oracle False, not True"):
        run(tmp_path, oracle=True)
    with pytest.raises(VisprogError, match="other settings"):
        evaluate(Widths(), tmp_path, planner=Written(WIDE), config=Config(calls=7))
    assert len(EvaluationFolder.read(tmp_path).rows()) == 1
    again = run(tmp_path, planner=Written(WIDE, name="other"), resume=False, limit=2)
    assert [row["planner"] for row in again.rows()] == ["other", "other"]
    with pytest.raises(VisprogError, match=r"no run in .* to resume"):
        run(tmp_path / "new", resume=True)


def test_a_changed_recording_is_another_planner(tmp_path: Path) -> None:
    recording = tmp_path / "programs.jsonl"
    for program in (WIDE, VERIFIED):
        recording.write_text(json.dumps({"question": "Is it wide?", "program": program}))
        if program is WIDE:
            run(tmp_path / "r", planner=f"replay:{recording}", limit=1)
    with pytest.raises(VisprogError, match="another planner of the same name"):
        run(tmp_path / "r", planner=f"replay:{recording}")


def test_other_data_are_another_run(tmp_path: Path) -> None:
    data = Widths()
    data.data = tmp_path / "data"
    data.data.mkdir()
    (data.data / "a.txt").write_text("one")
    before = made_with(data, "embedded", Config(), False)
    (data.data / "a.txt").write_text("three")
    assert made_with(data, "embedded", Config(), False)["data_digest"] != before["data_digest"]


def test_secrets_are_not_written(tmp_path: Path) -> None:
    config = Config(planner="openai:some", planner_options={"api_key": "hush-hush"})
    assert "hush" not in json.dumps(made_with(Widths(), None, config, False))


def test_a_broken_image_is_the_error_of_its_row(tmp_path: Path) -> None:
    found = run(tmp_path, Widths(broken=1))
    rows = found.rows()
    assert [row["status"] for row in rows] == ["answered", "error", "answered", "answered"]
    assert "not an image" in rows[1]["message"]
    assert (rows[1]["right"], rows[1]["checked"]) == (False, None)
    summary = summarise(Widths(), found)
    assert summary["outcomes"]["error"]["value"] == 0.25
    assert summary["programs"]["valid_at_first"]["of"] == 3


def test_what_is_invalid_at_first_and_mended(tmp_path: Path) -> None:
    found = run(tmp_path, planner=Written("def answer(image):\n    return image.weight\n", WIDE), limit=2)
    rows = found.rows()
    assert [(r["checked"], r["repaired"], r["right"]) for r in rows] == [(False, True, True)] * 2
    programs = summarise(Widths(), found)["programs"]
    assert (programs["valid_at_first"]["value"], programs["repaired"]["value"]) == (0, 1)


def test_what_is_never_mended(tmp_path: Path) -> None:
    found = run(tmp_path, planner=Written("def answer(image):\n    return nothing\n"), limit=1)
    (row,) = found.rows()
    assert (row["status"], row["checked"], row["repaired"], row["answer"]) == ("error", False, False, None)


def test_a_refusal_is_a_result(tmp_path: Path) -> None:
    planner = Written(Refused("unsure"))
    found = run(tmp_path, planner=planner)
    assert [(r["status"], r["program"]) for r in found.rows()] == [("refused", "")] * 4
    assert planner.asked == 1


def test_a_planner_that_cannot_be_reached_ends_the_run_and_loses_nothing(tmp_path: Path) -> None:
    down = [PlannerError("the endpoint is down")] * 20
    planner = Written(*down)
    with pytest.raises(VisprogError, match=r"endpoint is down.*run the same command again"):
        run(tmp_path, Widths(10), planner)
    assert EvaluationFolder.read(tmp_path).rows() == []
    some = Written(*down[:3], WIDE)  # three questions fail, then it is back
    assert [r["status"] for r in run(tmp_path, planner=some).rows()] == ["error"] * 3 + ["answered"]


def test_a_recording_without_some_questions_does_not_end_the_run(tmp_path: Path) -> None:
    recording = tmp_path / "programs.jsonl"
    recording.write_text(json.dumps({"question": "Something else?", "program": WIDE}))
    found = run(tmp_path / "r", Widths(7), f"replay:{recording}")
    assert [r["status"] for r in found.rows()] == ["error"] * 7


def test_an_interrupt_keeps_what_is_there(tmp_path: Path) -> None:
    def stop(row: Mapping[str, Any]) -> None:
        if row["id"] == "w1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, watch=stop)
    assert [r["id"] for r in EvaluationFolder.read(tmp_path).rows()] == ["w0", "w1"]
    assert len(run(tmp_path, resume=True).rows()) == 4


def test_tools_that_answer_from_the_truth(tmp_path: Path) -> None:
    real = run(tmp_path / "real", planner=Written(VERIFIED))
    truth = run(tmp_path / "truth", planner=Written(VERIFIED), oracle=True)
    assert not all(r["right"] for r in real.rows())  # no classical tool knows "wide"
    assert all(r["right"] for r in truth.rows())
    assert [r["calls"] for r in truth.rows()] == [{"verify": 1}] * 4
    assert {r["program"] for r in truth.rows()} == {VERIFIED}


def test_a_benchmark_without_truth_for_tools_says_so(tmp_path: Path) -> None:
    class Plain(Widths):
        def oracle(self, item: Any) -> None:  # type: ignore[override]
            return None

    with pytest.raises(VisprogError, match="leave out --oracle"):
        run(tmp_path, Plain(), oracle=True)


def test_two_questions_of_one_id(tmp_path: Path) -> None:
    class Doubled(Widths):
        def __iter__(self) -> Any:
            yield from super().__iter__()
            yield from super().__iter__()

    with pytest.raises(VisprogError, match="id 'w0'"):
        run(tmp_path, Doubled(1))


def test_a_full_disk_is_told_and_keeps_what_is_there(tmp_path: Path) -> None:
    run(tmp_path, limit=2)
    size = (tmp_path / "results.jsonl").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))  # in the midst of the next line
        with pytest.raises(VisprogError, match=r"cannot write to .*jsonl.*stays"):
            run(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert [r["id"] for r in EvaluationFolder.read(tmp_path).rows()] == ["w0", "w1"]
    assert [r["id"] for r in run(tmp_path).rows()] == ["w0", "w1", "w2", "w3"]


def test_two_processes_do_not_write_one_run(tmp_path: Path) -> None:
    found = run(tmp_path, limit=1)
    with Journal(found.results), pytest.raises(VisprogError, match="another process"):
        run(tmp_path)


def test_evidence_is_kept_small_and_of_failures_most(tmp_path: Path) -> None:
    found = run(tmp_path, Widths(3, broken=0))
    kept = list(read_lines(found.evidence))
    assert [(e["id"], e["right"]) for e in kept] == [("w0", False), ("w1", True), ("w2", True)]
    with Evidence(found.evidence) as evidence:
        assert evidence._left == {False: 199, True: 18}


@pytest.mark.parametrize("mends", [True, False])
def test_only_a_planner_that_mends_refusals_is_asked_again(mends: bool, tmp_path: Path) -> None:
    planner = Written("def answer(image):\n    return largest(find_circles(image)).radius > 1\n", WIDE)
    planner.mends_refusals = mends  # type: ignore[attr-defined]
    rows = run(tmp_path / "r", planner=planner, limit=1).rows()
    assert planner.asked == (2 if mends else 1)
    assert [r["status"] for r in rows] == ["answered" if mends else "refused"]
