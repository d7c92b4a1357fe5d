"""Settings: from a file, from the environment, from arguments, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from visprog.config import Config, ToolConfig, default_files
from visprog.errors import ConfigError
from visprog.registry import chosen_registry


@pytest.fixture(autouse=True)
def _empty_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [n for n in os.environ if n.startswith("VISPROG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_without_a_file_the_defaults_hold() -> None:
    assert Config.load() == Config()
    assert Config.load().planner == "embedded"


def test_file_in_the_working_folder_comes_before_that_of_the_user(tmp_path: Path) -> None:
    ours, users = (tmp_path / f for f in default_files())
    users.parent.mkdir(parents=True)
    users.write_text('planner = "openai:theirs"\nvotes = 3\n')
    assert Config.load().planner == "openai:theirs"
    ours.write_text('planner = "openai:ours"\n')
    assert Config.load().planner == "openai:ours"
    assert Config.load().votes == 1  # files are not merged


def test_a_named_file_comes_before_the_found_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("visprog.toml").write_text("votes = 2\n")
    Path("by_variable.toml").write_text("votes = 3\n")
    Path("by_argument.toml").write_text("votes = 4\n")
    monkeypatch.setenv("VISPROG_CONFIG", "by_variable.toml")
    assert Config.load().votes == 3
    assert Config.load("by_argument.toml").votes == 4


def test_environment_comes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("visprog.toml").write_text(
        'planner = "openai:m"\nextra_tools = ["a"]\n[tools.detect]\nbackend = "x"\n'
    )
    monkeypatch.setenv("VISPROG_PLANNER", "embedded")
    monkeypatch.setenv("VISPROG_REQUIRE", "kernel")
    monkeypatch.setenv("VISPROG_EXTRA_TOOLS", "one, two:tools")
    monkeypatch.setenv("VISPROG_TOOL_DETECT", "onnx:folder/net.onnx")
    config = Config.load()
    assert (config.planner, config.require, config.extra_tools) == (
        "embedded",
        "kernel",
        ("one", "two:tools"),
    )
    assert config.tools["detect"] == ToolConfig("onnx", {"model": "folder/net.onnx"})


def test_model_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "net.onnx").write_bytes(b"x")
    (folder / "settings.toml").write_text(
        '[tools.detect]\nbackend = "onnx"\nmodel = "net.onnx"\n'
        '[tools.vqa]\nbackend = "llava"\nmodel = "org/name"\n'
    )
    config = Config.load(folder / "settings.toml")
    assert config.tools["detect"].options["model"] == str(folder / "net.onnx")
    assert config.tools["vqa"].options["model"] == "org/name"


def test_with_backend() -> None:
    config = Config().with_backend("detect=onnx:a:b.onnx").with_backend("vqa=openai")
    assert config.tools["detect"] == ToolConfig("onnx", {"model": "a:b.onnx"})
    assert config.tools["vqa"] == ToolConfig("openai", {})
    with pytest.raises(ConfigError, match="TOOL=BACKEND"):
        Config().with_backend("onnx")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"planer": "x"}, "unknown key 'planer'; did you mean 'planner'"),
        ({"planner": 3}, "'planner' must be a str"),
        ({"votes": 0}, "'votes' must be a number of at least 1"),
        ({"votes": True}, "'votes' must be"),
        ({"seconds": "long"}, "'seconds' must be"),
        ({"repairs": -1}, "'repairs' must be"),
        ({"require": "all"}, "'require' must be 'auto' or 'kernel'"),
        ({"fallback": "yes"}, "'fallback' must be a bool"),
        ({"extra_tools": "mine"}, "'extra_tools' must be a list"),
        ({"extra_tools": 3}, "'extra_tools' must be a list"),
        ({"extra_tools": [3]}, "'extra_tools' must be a list"),
        ({"without_tools": "detect"}, "'without_tools' must be a list"),
        ({"tools": []}, "'tools' must be a table"),
        ({"tools": {"detect": "onnx"}}, r"\[tools.detect\] must be a table"),
        ({"tools": {"detect": {"backend": 1}}}, "'backend' must be a name"),
        ({"tools": {"detect": {"a": {"b": 1}}}}, "'a' must be a text, a number or a list"),
        ({"planner_options": 1}, "'planner_options' must be a table"),
    ],
)
def test_what_is_wrong_is_named(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.of(raw)


def test_errors_of_a_file_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration nope.toml: No such file"):
        Config.load("nope.toml")
    Path("broken.toml").write_text("planner = ")
    with pytest.raises(ConfigError, match=r"broken.toml is not valid TOML"):
        Config.load("broken.toml")
    Path("latin.toml").write_bytes("planner = 'é'".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin.toml is not valid TOML"):
        Config.load("latin.toml")
    Path("wrong.toml").write_text("votes = 'two'")
    with pytest.raises(ConfigError, match=r"wrong.toml: 'votes' must be"):
        Config.load("wrong.toml")
    monkeypatch.setenv("VISPROG_TOOL_DETECT", "")
    with pytest.raises(ConfigError, match="VISPROG_TOOL_DETECT: a backend is chosen"):
        Config.load()


def test_tools_can_be_left_out() -> None:
    registry = chosen_registry(Config.of({"without_tools": ["find_circles"]}))
    assert "find_circles" not in registry and "find_polygons" in registry
    with pytest.raises(ConfigError, match="no tool 'find_circle'; did you mean 'find_circles'"):
        chosen_registry(Config.of({"without_tools": ["find_circle"]}))
