"""Plugins: backends, planners, chat models and benchmarks of installed packages. Tools: `registry/test_registry.py`."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugin_packages import install
from tests.small_tools import picture
from visprog import Agent, Registry
from visprog.errors import ConfigError, VisprogError
from visprog.evaluation.benchmark import benchmark_names, open_benchmark
from visprog.llm.factory import make_chat
from visprog.planner import LLMPlanner, make_planner
from visprog.plugins import plugins
from visprog.registry import default_registry

MODULE = '''
from visprog.evaluation import Benchmark, Item
from visprog.llm.chat import Reply
from visprog.planner import Plan
from visprog.values import Box, Region


class Whole:
    """Finds the whole image."""

    def __init__(self, model=None, score: float = 0.5):
        self.score = score

    def __call__(self, calls):
        return [[Region(c["image"].box, c["what"], self.score, c["image"])] for c in calls]


class Parrot:
    """A chat model that always writes one program."""

    def __init__(self, model, mood: str = ""):
        self.name = f"parrot:{model}{mood}"

    def complete(self, messages, *, n=1, temperature=0.0, max_tokens=None, seed=None):
        return [Reply("def answer(image):\\n    return image.width")] * n


class Rule:
    name = "rule"

    def __init__(self, rest):
        self.rest = rest

    def plan(self, task, n=1, feedback=()):
        return [Plan(f"def answer(image):\\n    return {self.rest}", self.name)]


class Shelves(Benchmark):
    """Shelves."""

    name = "shelves"

    def __iter__(self):
        yield Item("1", "How wide?", (), 3)

    def score(self, item, value):
        return {"correct": float(value == item.answer)}
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a package: `package("backends", detect__whole="a_package:Whole")`."""
    (tmp_path / "a_package.py").write_text(MODULE)
    (tmp_path / "a_broken_package.py").write_text("raise SystemExit('no licence')")
    monkeypatch.syspath_prepend(tmp_path)
    default_registry.cache_clear()

    def add(group: str, **entries: str) -> None:
        install(tmp_path, f"shop-{group}", group, **entries)

    yield add
    default_registry.cache_clear()
    for name in ("a_package", "a_broken_package"):
        sys.modules.pop(name, None)


def quiet_registry() -> Registry:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return default_registry()


def test_a_backend_of_a_package_is_chosen_by_its_name(package: Callable[..., None]) -> None:
    package("backends", detect__whole="a_package:Whole")
    assert "whole" in quiet_registry()["detect"].backends
    assert "a_package" not in sys.modules  # not before it is used
    with Agent(config={"tools": {"detect": {"backend": "whole", "score": 0.25}}}) as agent:
        answer = agent.run("def answer(image):\n    return detect(image, 'cup')[0].score", picture(30, 20))
    assert answer.unwrap() == 0.25
    with pytest.raises(ConfigError, match="'whole' has no option 'scor'; did you mean 'score'"):
        Agent(config={"tools": {"detect": {"backend": "whole", "scor": 1}}})


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("detekt__whole", "no tool 'detekt'; did you mean 'detect'"),
        ("detect", "name the entry point 'TOOL.BACKEND'"),
        ("crop__whole", "name the entry point 'TOOL.BACKEND'"),
        ("detect__opencv", "detect has a backend 'opencv' already"),
    ],
)
def test_a_backend_that_has_no_place_is_a_warning(package: Callable[..., None], name: str, why: str) -> None:
    package("backends", **{name: "a_package:Whole"})
    with pytest.warns(UserWarning, match=f"of the package 'shop-backends' cannot be used: .*{why}"):
        assert "detect" in default_registry()


def test_a_chat_model_of_a_package(package: Callable[..., None]) -> None:
    package("chat_models", parrot="a_package:Parrot", mute="a_broken_package:Mute")
    planner = make_planner("parrot:grey", mood="!", temperature=0.5)
    assert isinstance(planner, LLMPlanner) and planner.chat.name == "parrot:grey!"
    assert make_chat("parrot:red").complete([])[0].text.endswith("image.width")
    with Agent("parrot:grey") as agent:
        assert agent.ask("How wide is it?", picture(31, 20)).value == 31
    with pytest.raises(ConfigError, match=r"'parrot' has no option 'noise'; it has .*mood"):
        make_planner("parrot:grey", noise=1)
    with pytest.raises(
        ConfigError, match=r"'mute' of the package 'shop-chat_models' .*SystemExit: no licence"
    ):
        make_planner("mute:x")
    with pytest.raises(ConfigError, match="no chat model 'parot:x': write 'openai:MODEL'"):
        make_chat("parot:x")


def test_a_planner_of_a_package(package: Callable[..., None]) -> None:
    package("planners", rule="a_package:Rule")
    with Agent("rule:image.height") as agent:
        assert agent.ask("How tall is it?", picture(31, 20)).value == 20


def test_a_benchmark_of_a_package(package: Callable[..., None], tmp_path: Path) -> None:
    package("benchmarks", shelves="a_package:Shelves", torn="a_broken_package:Torn", wrong="a_package:Whole")
    assert "shelves" in benchmark_names()
    assert [item.id for item in open_benchmark("shelves", tmp_path)] == ["1"]
    for name, why in (("torn", "SystemExit"), ("wrong", "no subclass of Benchmark"), ("shelfs", "'shelves'")):
        with pytest.raises(VisprogError, match=why):
            open_benchmark(name, tmp_path)


def test_a_plugin_says_where_it_comes_from(package: Callable[..., None]) -> None:
    package("planners", rule="a_package:Rule")
    (found,) = plugins("planners")
    assert str(found) == "the plugin 'rule' of the package 'shop-planners'"
    loaded: Any = found.load()
    assert loaded("x").rest == "x"
