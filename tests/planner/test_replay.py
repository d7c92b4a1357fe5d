"""Recorded programs come back for their question."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from visprog.errors import ConfigError, PlannerError, Refused
from visprog.planner import PlanRequest, ReplayPlanner
from visprog.runtime.steps import Step

FIRST = "def answer(image):\n    return 1\n"
SECOND = "def answer(image):\n    return 2\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", json.dumps({"question": "How many dogs?", "program": FIRST}) + "\n\n"),
        ("a.json", json.dumps([{"question": "How many dogs?", "program": FIRST}])),
        ("a.json", json.dumps({"question": "How many dogs?", "program": FIRST})),
        ("a.yaml", "- question: How many dogs?\n  program: |\n    def answer(image):\n        return 1\n"),
        ("a.py", FIRST),
    ],
)
@pytest.mark.parametrize("question", ["How many dogs?", "  how many  DOGS"])
def test_forms_of_file(
    tmp_path: Path, name: str, content: str, question: str, plan_request: Callable[..., PlanRequest]
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    (plan,) = ReplayPlanner(tmp_path / name).plan(plan_request(question))
    assert plan.program == FIRST
    assert plan.planner == f"replay:{tmp_path / name}"


def test_unknown_question_names_the_nearest(tmp_path: Path, plan_request: Callable[..., PlanRequest]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"question": "How many dogs are there?", "program": FIRST}))
    with pytest.raises(PlannerError, match='nearest question in it is "How many dogs are there'):
        ReplayPlanner(path).plan(plan_request("How many dogs were there?"))
    with pytest.raises(PlannerError, match="has no program for"):
        ReplayPlanner(path).plan(plan_request("zzz"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.jsonl", None, "no such recording"),
        ("a.txt", "x", "a recording is a .jsonl"),
        ("a.jsonl", "{}\n", "line 1: each entry needs"),
        ("a.jsonl", '{"question": "a", "program": "b"}\nnonsense\n', "line 2 is not JSON"),
        ("a.json", "[3]", "entry 1: each entry needs"),
        ("a.json", "3", "holds no list"),
        ("a.json", "[", "is not JSON"),
        ("a.yaml", "a: [", "is not YAML"),
        ("a.py", "\n", "holds no program"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=message):
        ReplayPlanner(tmp_path / name)


def test_several_programs_of_one_question(tmp_path: Path, plan_request: Callable[..., PlanRequest]) -> None:
    path = tmp_path / "run.jsonl"
    entries = [{"question": "Où est le chien\u2028?", "program": program} for program in (FIRST, SECOND)]
    path.write_text(
        "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8"
    )
    replay = ReplayPlanner(path)
    assert [p.program for p in replay.plan(plan_request("Où est le chien\u2028?"))] == [FIRST]
    assert [p.program for p in replay.plan(plan_request("où est le chien"), n=5)] == [FIRST, SECOND]
    after = replay.plan(plan_request("où est le chien"), failed=Step(FIRST, feedback="wrong"))
    assert [p.program for p in after] == [SECOND]
    at_the_end = replay.plan(plan_request("où est le chien"), failed=Step(SECOND, feedback="wrong"))
    assert [p.program for p in at_the_end] == [FIRST]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", json.dumps({"question": "How far?", "program": "CANNOT: nothing here measures depth"})),
        ("a.yaml", "- question: How far?\n  program: 'CANNOT: nothing here measures depth'\n"),
        ("a.yaml", "- question: How far?\n  program: |\n    CANNOT: nothing here measures depth\n"),
        ("a.py", "CANNOT: nothing here measures depth\n"),
    ],
)
def test_an_answer_without_a_program(
    tmp_path: Path, name: str, content: str, plan_request: Callable[..., PlanRequest]
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(Refused, match=r"^nothing here measures depth$"):
        ReplayPlanner(tmp_path / name).plan(plan_request("How far?"))


def test_a_refusal_after_a_program(tmp_path: Path, plan_request: Callable[..., PlanRequest]) -> None:
    path = tmp_path / "run.jsonl"
    programs = (FIRST, "CANNOT: there is no depth.")
    path.write_text("".join(json.dumps({"question": "How far?", "program": p}) + "\n" for p in programs))
    replay = ReplayPlanner(path)
    assert [p.program for p in replay.plan(plan_request("How far?"), n=2)] == [FIRST]
    with pytest.raises(Refused, match=r"^there is no depth\.?$"):
        replay.plan(plan_request("How far?"), failed=Step(FIRST, feedback="line 2: Refused: no depth"))
