"""`visprog examples`: answers become tested examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import yaml

from visprog.agent import Agent
from visprog.cli import main
from visprog.commands.examples import add, read_run, show
from visprog.errors import ConfigError, VisprogError
from visprog.planner.base import Plan, PlanRequest
from visprog.planner.examples import choose
from visprog.planner.user_examples import read_examples

QUESTION = "How many red squares are there?"
PROGRAM = 'def answer(image):\n    return len(find_polygons(image, "square", "red"))\n'


class Always:
    """Writes one program, whatever is asked."""

    name = "always"

    def plan(self, request: PlanRequest, *, failed: Any = None, n: int = 1) -> list[Plan]:
        return [Plan(PROGRAM, self.name)]


@pytest.fixture(scope="module")
def image_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = np.full((100, 120, 3), 240, np.uint8)
    pixels[20:50, 20:50], pixels[40:80, 70:110] = (220, 20, 20), (220, 20, 20)
    path = tmp_path_factory.mktemp("images") / "squares.png"
    PIL.Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def answer(image_file: Path) -> dict[str, Any]:
    with Agent(Always()) as agent:
        found = agent.ask(QUESTION, image_file)
    assert found.value == 2
    return found.to_json()


def saved(folder: Path, record: dict[str, Any]) -> Path:
    path = folder / "answer.json"
    path.write_text(json.dumps(record))
    return path


def test_an_answer_becomes_an_example(tmp_path: Path, answer: dict[str, Any], image_file: Path) -> None:
    mine = tmp_path / "mine.yaml"
    result = add(saved(tmp_path, answer), None, [image_file], mine, None, False)
    assert result.data["ran"] and result.data["examples"] == 1
    (example,) = read_examples(mine)
    assert (example.question, example.program, example.returns) == (QUESTION, PROGRAM, "int")
    assert yaml.safe_load(mine.read_text())[0]["program"] == PROGRAM
    assert choose(PlanRequest("How many green squares can you see?"), [example], 1) == [example]
    assert [e["question"] for e in show(mine, True).data["examples"]] == [QUESTION]
    with pytest.raises(ConfigError, match="already"):
        add(saved(tmp_path, answer), None, [image_file], mine, None, False)


def test_small_images_that_the_answer_holds_are_run_again(tmp_path: Path, answer: dict[str, Any]) -> None:
    mine = tmp_path / "mine.yaml"
    assert add(saved(tmp_path, answer), None, None, mine, None, True).data["ran"]
    with pytest.raises(VisprogError, match="now answers 2"):
        add(saved(tmp_path, {**answer, "question": "And now?", "value": 3}), None, None, mine, None, True)
    assert len(read_examples(mine)) == 1


def test_a_program_that_fails_its_check_is_no_example(tmp_path: Path, answer: dict[str, Any]) -> None:
    broken = {**answer, "program": 'def answer(image):\n    return detekt(image, "dog")\n'}
    with pytest.raises(VisprogError, match="does not pass its check"):
        add(saved(tmp_path, broken), None, None, tmp_path / "mine.yaml", None, False)
    assert not (tmp_path / "mine.yaml").exists()


def test_rows_of_an_evaluation(tmp_path: Path) -> None:
    row = {"question": QUESTION, "program": PROGRAM, "answer": 2, "status": "answered", "right": True}
    path = tmp_path / "results.jsonl"
    rows = [{**row, "id": "a"}, {**row, "id": "b", "right": False}, {**row, "id": "c", "status": "error"}]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert read_run(path, "a")["value"] == 2
    for id, reason in (
        (None, "--id"),
        ("b", "marked wrong"),
        ("c", "not answered"),
        ("d", "no question with"),
    ):
        with pytest.raises(VisprogError, match=reason):
            read_run(path, id)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[1]", "neither"),
        ("{}", "no question"),
        ('{"question": "", "program": ""}', "no question"),
    ],
)
def test_files_that_are_no_answers(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "answer.json"
    path.write_text(text)
    with pytest.raises(VisprogError, match=reason):
        read_run(path)


@pytest.mark.parametrize("text", ["a: b", "- question: only", "- [1]", "- question: 1\n  program: 2", "{"])
def test_files_that_are_no_examples(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        read_examples(path)


def test_the_command_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["examples", "list", "--file", str(tmp_path / "none.yaml")]) == 0
    assert "holds no examples yet" in capsys.readouterr().out
