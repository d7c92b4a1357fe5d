"""Recipes are typed; what is wrong in one is named."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

pytest.importorskip("torch")

from visprog.training.data.source import SOURCES, find_source
from visprog.training.from_plain import RecipeError, build, plain
from visprog.training.keys import field_texts
from visprog.training.objective import OBJECTIVES, Objective, find_objective
from visprog.training.recipe import Recipe, load_recipe, make_recipe, shipped_recipes

OBJECTIVE = "tests.training.tiny_objective:Tiny"
SOURCE = "tests.training.tiny_objective:Points"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(
        f"objective: {OBJECTIVE}\ndata: {{source: '{SOURCE}'}}\nsteps: 100\nnet: {{width: 8}}\n"
        "optimizer:\n  lr: {head: 1e-3, '': 0}\n  betas: [0.9, 0.95]\n"
    )
    return path


def test_a_recipe_has_its_own_keys_and_those_of_the_objective(file: Path) -> None:
    recipe = load_recipe(file)
    assert recipe.steps == 100 and recipe.batch_size == 32
    assert recipe.optimizer.lr == {"head": 0.001, "": 0.0} and recipe.optimizer.betas == (0.9, 0.95)
    assert recipe.arguments.net.width == 8 and recipe.arguments.net.dropout == 0.1


def test_overrides_reach_any_depth(file: Path) -> None:
    changes = ["steps=7", "net.width=4", "optimizer.lr=1e-4", "ema=0.99", "optimizer.clip=null", "bad=[1, 2]"]
    recipe = load_recipe(file, changes)
    assert (recipe.steps, recipe.ema, recipe.optimizer.lr, recipe.optimizer.clip) == (7, 0.99, 1e-4, None)
    assert recipe.arguments.net.width == 4 and recipe.data.config.bad == (1, 2)
    assert load_recipe(file, ["optimizer.lr.head=0.5"]).optimizer.lr == {"head": 0.5, "": 0.0}


def test_a_recipe_survives_being_written(file: Path) -> None:
    recipe = load_recipe(file, ["bad=[3]"])
    assert make_recipe(yaml.safe_load(yaml.safe_dump(recipe.to_plain()))) == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimizer.lr=fast", "optimizer.lr must be a number, not 'fast'"),
        ("optimizer.lr={head: fast}", "optimizer.lr.head must be a number, not 'fast'"),
        ("optimizer.lr=-1", "optimizer: lr must not be negative"),
        ("optimizer.betas=[0.9]", "optimizer.betas must have 2 entries, not 1"),
        ("optimizer.name=adam", "optimizer.name must be one of 'adamw', 'muon', 'lars', not 'adam'"),
        ("optimiser.lr=1", "unknown key 'optimiser': did you mean 'optimizer'?"),
        ("optimizer.lrs=1", "unknown key 'optimizer.lrs': did you mean 'lr'?"),
        ("net.widht=1", "unknown key 'net.widht': did you mean 'width'?"),
        ("nett.width=1", "unknown key 'nett': did you mean 'net'?"),
        ("steps=many", "steps must be a whole number, not 'many'"),
        ("steps=1.5", "steps must be a whole number, not 1.5"),
        ("steps=0", "steps must be positive, not 0"),
        ("epochs=3", "give either steps or epochs"),
        ("steps=null", "give either steps or epochs"),
        ("compile=1", "compile must be true or false, not 1"),
        ("ema=1.5", "ema must lie between 0 and 1, not 1.5"),
        ("batch_size=true", "batch_size must be a whole number, not True"),
        ("bad=3", "data.bad must be a list, each a whole number, not 3"),
        ("bad=[a]", r"data.bad\[0\] must be a whole number, not 'a'"),
        ("steps.more=1", "'steps.more' cannot be set: steps is 100 here, not a mapping"),
        ("steps", "'steps' is no override: write key=value"),
        ("bad=[", "the value of 'bad=.' is not valid YAML"),
        ("steps=.inf", "steps must be a whole number, not inf"),
        ("steps=.nan", "steps must be a whole number, not nan"),
        ("steps=1e400", "steps must be a whole number, not '1e400'"),
        (f"optimizer.lr=1{'0' * 400}", "optimizer.lr must be a number, not 10000"),
        ("seed=4294967296", "workers and seed must not be negative, and seed must be below"),
        ("where=2007", "data.where must be a path, not 2007: put it in quotes, if it is text"),
        (
            "where=2007-01-02",
            r"data.where must be a path, not datetime.date\(2007, 1, 2\): put it in quotes",
        ),
        ("where=''", "data.where must be a path, not ''"),
        ('where="a\\0b"', r"data.where must be a path, not 'a\\x00b'"),
        ('where="\\ud83d"', r"data.where must be a path, not '\\ud83d'"),
        ("where=*.tar", "the value of 'where=.*' is not valid YAML: put text in quotes"),
        ("net={width: 3, width: 4}", "the value of 'net=.*' is not valid YAML"),
        ("bad=" + "[" * 3000, "the value of 'bad=.* is not valid YAML"),
        (f"where={'[a, ' * 99}a{']' * 99}", "data.where must be a path or null, not .{100}…$"),
        ("objective=3", "objective must be text, not 3: put it in quotes"),
        ("objective=:Tiny", "objective ':Tiny' cannot be imported: ValueError"),
        ("objective=.tiny:Tiny", "objective '.tiny:Tiny' cannot be imported: TypeError"),
        ("\ud83d=1", r"unknown key '\\ud83d'"),
        ("objective=tiny", "objective 'tiny' is not known"),
        ("objective=nowhere:Task", "objective 'nowhere:Task' cannot be imported: No module named 'nowhere'"),
        (
            "objective=pathlib:Path",
            "objective 'pathlib:Path': pathlib:Path must be a subclass of Objective whose Config is a dataclass",
        ),
        ("data.source=points", "data.source 'points' is not known"),
        ("data.source=scenes", "data.source 'scenes' yields no Point"),
        ("data.source=pathlib:Path", "data.source 'pathlib:Path': pathlib:Path must be a subclass of Source"),
        ("data=3", "data is missing: give the path of the data, or a mapping with a source"),
        ("data=cells.zip", "data.source is missing"),
        ("data.lenght=3", "unknown key 'data.lenght': did you mean 'length'"),
        ("model.type=clop", "model.type 'clop' is not known: did you mean 'clip'"),
        ("model={size: 3}", "model.type is missing"),
        ("task=clip-scenes", "task is a key of older recipes"),
    ],
)
def test_what_is_wrong_is_named(file: Path, change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=f"^{file}: {message}"):
        load_recipe(file, [change])


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"there is no recipe .*clip\.yaml"):
        load_recipe(tmp_path / "clip.yaml")
    with pytest.raises(RecipeError, match="there is no file and no shipped recipe 'no-such-recipe'"):
        load_recipe("no-such-recipe")
    for text, message in (
        ("- 1", "must be a mapping"),
        ("a: [", "is not valid YAML"),
        ("steps: 1", "objective is missing"),
    ):
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        with pytest.raises(RecipeError, match=message):
            load_recipe(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_recipes_in_the_encodings_that_editors_write(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "café.yaml"
    text = f"objective: {OBJECTIVE}\r\ndata: {{source: '{SOURCE}', where: café.csv}}\r\nsteps: 1e2\r\n"
    path.write_bytes((("\ufeff" if encoding == "utf-16-be" else "") + text).encode(encoding))
    recipe = load_recipe(path)
    assert (recipe.steps, recipe.data.config.where) == (100, Path("café.csv"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be a mapping"),
        (b"steps: 1\nsteps: 2\n", "is not valid YAML: the key 'steps' stands twice"),
        (b"where: caf\xe9\n", "is not valid YAML"),
        (b"a: " + b"[" * 9000, "is not valid YAML"),
        (b"a: \x00", "is not valid YAML"),
        (b"!!python/object/apply:os.getcwd []", "is not valid YAML"),
        (b"objective: 3", "objective must be text, not 3"),
        (b"objective: null", "objective is missing"),
    ],
)
def test_content_that_is_no_recipe(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=rf"^{path}:? {message}"):
        load_recipe(path)


def test_a_module_with_a_mistake_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of_mine.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        RecipeError, match="'of_mine:Mine' cannot be imported: ZeroDivisionError: division by zero"
    ):
        make_recipe({"objective": "of_mine:Mine", "steps": 1})


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_can_be_used(name: str) -> None:
    recipe = load_recipe(name)
    objective = find_objective(recipe.objective)
    assert issubclass(objective, Objective)
    assert make_recipe(recipe.to_plain()) == recipe
    for config in (objective.Config, find_source(recipe.data.name, objective.sample_type).Config):
        assert {f.name for f in fields(config)} == field_texts(config).keys()


def test_the_tables_hold_what_they_say() -> None:
    for name, path in OBJECTIVES.items():
        assert find_objective(name).__module__ == path.split(":")[0]
    for name, types in SOURCES.items():
        for sample_type, path in types.items():
            assert find_source(name, sample_type).__module__ == path.split(":")[0]
            config = find_source(name, sample_type).Config
            assert {f.name for f in fields(config)} == field_texts(config).keys()
    assert {f.name for f in fields(Recipe)} == field_texts(Recipe).keys()


def test_a_key_may_stand_without_its_section_and_data_be_a_path() -> None:
    recipe = load_recipe("owl-boxes", ["names={a: b}", "data=cells.zip", "image_encoder.size=96", "anchor=3"])
    assert recipe.data.name == "annotations" and recipe.data.config.path == Path("cells.zip")
    assert recipe.data.config.names == {"a": "b"} and recipe.arguments.anchor == 3
    assert recipe.model is not None and recipe.model.config.image_encoder.size == 96
    for name, source in (
        ("clip", "captions"),
        ("owl", "annotations"),
        ("sam", "annotations"),
        ("llava", "conversations"),
    ):
        assert load_recipe(name, ["data.images=photos", "data=some/where"]).data.name == source


@dataclass(frozen=True)
class Inner:
    size: int


@dataclass(frozen=True)
class Outer:
    kind: Literal["a", "b", 3]
    path: Path
    inner: Inner | None = None
    table: dict[str, tuple[float, ...]] = field(default_factory=dict)
    mixed: int | str = 0


def test_every_kind_of_field_can_be_built_and_written_back() -> None:
    raw: dict[str, Any] = {
        "kind": 3, "path": "a/b", "inner": {"size": 2}, "table": {"x": [1.0, 2.5]}, "mixed": "text"
    }  # fmt: skip
    made = build(Outer, raw)
    assert made == Outer(3, Path("a/b"), Inner(2), {"x": (1.0, 2.5)}, "text")
    assert plain(made) == raw
    assert build(Outer, {"kind": "a", "path": "p", "inner": None}).inner is None


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"kind": "a"}, "path is missing: it must be a path"),
        ({"kind": "a", "path": "p", "inner": {}}, "inner.size is missing: it must be a whole number"),
        ({"kind": True, "path": "p"}, "kind must be one of 'a', 'b', 3, not True"),
        ({"kind": "a", "path": "p", "inner": 3}, "inner must be a mapping or null, not 3"),
        (
            {"kind": "a", "path": "p", "table": {"x": [1, float("inf")]}},
            r"table.x\[1\] must be a number, not inf",
        ),
        ({"kind": "a", "path": "p", "mixed": []}, r"mixed must be a whole number or text, not \[\]"),
        ({"kind": "a", "path": "p", 3: 4}, "unknown key '3'"),
    ],
)
def test_fields_of_the_wrong_kind(raw: dict[Any, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build(Outer, raw)
