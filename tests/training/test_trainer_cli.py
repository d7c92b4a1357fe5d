"""`visprog train RECIPE`, as it is typed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("one_thread")

from tests.training.tiny_objective import written  # noqa: E402
from visprog.commands.result import Result, UsageError  # noqa: E402
from visprog.commands.train import train  # noqa: E402
from visprog.errors import VisprogError  # noqa: E402
from visprog.training.recipe import shipped_recipes  # noqa: E402


def run(*arguments: str) -> dict[str, Any]:
    """What the command comes to."""
    result = typer.main.get_command(train).main(args=list(arguments), standalone_mode=False)
    assert isinstance(result, Result) and result.code == 0
    return dict(result.data)


OURS = "--allow-code"


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(written(steps=30, batch_size=4))
    return "tiny.yaml"


def test_a_recipe_with_changes_is_trained_and_gone_on_with(
    recipe: str, capfd: pytest.CaptureFixture[str]
) -> None:
    made = run(recipe, OURS, "steps=3", "net.width=8")
    assert (made["status"], made["folder"], made["step"]) == ("trained", "runs/tiny", 3)
    assert (Path("runs/tiny/best") / "model.safetensors").is_file()
    assert "best error" in capfd.readouterr().out
    assert run(recipe, OURS, "--resume", "steps=5", "net.width=8")["step"] == 5
    assert "resumes from step 3 of 5" in capfd.readouterr().err
    assert run(recipe, OURS, "--fresh", "steps=2", "--output", "runs/tiny")["step"] == 2
    with pytest.raises(VisprogError, match=r"holds a run with other values of net"):
        run(recipe, OURS, "steps=4", "net.width=8")


def test_a_dry_run_prints_what_it_would_cost(recipe: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--dry-run", recipe, OURS)["steps"] == 30
    assert "samples a second" in capfd.readouterr().out and not Path("runs").exists()


def test_shipped_recipes_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--list") == {"status": "ok", "recipes": shipped_recipes()}
    assert capfd.readouterr().out.split() == shipped_recipes()
    run("--list", "--json")
    assert capfd.readouterr().out == ""


def test_a_missing_recipe_is_asked_for() -> None:
    with pytest.raises(UsageError, match="the recipe is missing"):
        run()
    with pytest.raises(VisprogError, match="there is no file and no shipped recipe 'clop'"):
        run("clop")


@pytest.mark.parametrize(
    "arguments",
    [
        ("tiny.yaml",),
        ("tiny.yaml", "--dry-run"),
        ("tiny.yaml", "--keys"),
        ("clip", "objective=antigravity:fly"),
        ("clip", "scenes=7", "data.source=antigravity:fly"),
    ],
)
def test_code_that_a_recipe_names_is_run_only_if_it_is_allowed(
    recipe: str, arguments: tuple[str, ...]
) -> None:
    with pytest.raises(
        VisprogError, match=r"(objective|source) '[\w.]+:\w+' runs code of a module: give --allow-code if"
    ):
        run(*arguments)
    assert not Path("runs").exists() and "antigravity" not in sys.modules


def test_a_key_of_another_recipe_is_named_with_it() -> None:
    with pytest.raises(
        VisprogError,
        match=r"unknown key 'val': it is a key of the recipes clip-captions, .*, coca-captions, owl-boxes$",
    ):
        run("clip", "val=captions.csv")
    with pytest.raises(VisprogError, match=r"unknown key 'prompts': it is a key of the recipes sam$"):
        run("clip", "prompts=3")


def test_file_names_that_are_no_text_can_be_given(recipe: str) -> None:
    name = os.fsdecode(b"odd \xff name.yaml")
    Path(recipe).rename(name)
    made = run(name, OURS, "steps=2", f"where={os.fsdecode(bytes([0xFE]))}.csv")
    assert made["step"] == 2 and run(name, OURS, "steps=2", f"where={os.fsdecode(bytes([0xFE]))}.csv") == made


def test_every_key_is_printed_with_its_documentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    made = run("owl-boxes", "--keys", "data=cells.zip", "names={WBC: white blood cell}", "steps=7")
    text = capfd.readouterr().out
    assert made["recipe"]["data"]["names"] == {"WBC": "white blood cell"} and not Path("runs").exists()
    for line in (
        "Keys of the objective detection (visprog.training.objectives.detection.DetectionConfig)",
        "Keys of the source annotations (visprog.training.data.annotations.AnnotatedBoxesConfig)",
        "  steps=7",
        "  data.path=cells.zip",
        "  data.names={WBC: white blood cell}",
        "      label in the data → what people call it, if the two differ. (a mapping to text; default {})",
        "  model.image_encoder.size=160",
        "  optimizer.weight_decay=0.05",
    ):
        assert line in text.splitlines()


def test_a_run_of_an_older_recipe_is_refused_with_the_reason(recipe: str) -> None:
    Path("runs/tiny").mkdir(parents=True)
    Path("runs/tiny/recipe.yaml").write_text("task: clip-scenes\nsteps: 30\n")
    with pytest.raises(
        VisprogError, match=r"holds a run of an older version, .* start it again with --fresh"
    ):
        run(recipe, OURS)
    assert run(recipe, OURS, "--fresh", "steps=2")["step"] == 2
    Path("old.yaml").write_text("task: clip-scenes\nsteps: 30\n")
    with pytest.raises(VisprogError, match="task is a key of older recipes: name an objective and a source"):
        run("old.yaml")
