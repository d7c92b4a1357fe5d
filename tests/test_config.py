"""Settings: from a file, from the environment, from arguments, and the messages about wrong ones."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from visprog.cli import main
from visprog.commands.trust import trust
from visprog.config import Config, ToolConfig, default_files
from visprog.errors import ConfigError
from visprog.files.limits import SizeLimits, limits, use_limits
from visprog.llm.openai import OpenAIChat
from visprog.planner.base import PlanRequest
from visprog.planner.llm import LLMPlanner
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
    ours.write_text("repairs = 1\n")
    assert Config.load().repairs == 1
    assert Config.load().votes == 1  # files are not merged


PLAIN = """
planner = "embedded"
calls = 10
seconds = 5.5
votes = 2
fallback = true
without_tools = ["find_circles"]
[tools.detect]
backend = "onnx"
threshold = 0.3
"""

RISKY = {
    "planner": 'planner = "openai:m"',
    "planner_options": '[planner_options]\nbase_url = "http://127.0.0.1:1/v1"',
    "extra_tools": 'extra_tools = ["holiday"]',
    "allow_url": "allow_url = true",
    "tools.vqa.base_url": '[tools.vqa]\nbackend = "endpoint"\nbase_url = "http://127.0.0.1:1/v1"',
    "tools.detect.model": '[tools.detect]\nbackend = "onnx"\nmodel = "net.onnx"',
    "tools.detect.labels": '[tools.detect]\nlabels = "names.txt"',
    "tools.detect.backend": '[tools.detect]\nbackend = "holiday:Class"',
    "tools.vqa.backend": '[tools.vqa]\nbackend = "llava"',
    "tools.caption.backend": '[tools]\ncaption = "openai"',
    "tools.classify.names": '[tools.classify]\nbackend = "clip"\nnames = ["a"]',
}


def test_a_found_file_sets_plain_data(tmp_path: Path) -> None:
    Path("visprog.toml").write_text(PLAIN)
    config = Config.load()
    assert (config.calls, config.votes, config.without_tools) == (10, 2, ("find_circles",))
    assert config.tools["detect"] == ToolConfig("onnx", {"threshold": 0.3})


@pytest.mark.parametrize("key", RISKY)
def test_what_a_found_file_must_not_set_until_it_is_trusted(key: str) -> None:
    """Unpacking somebody's folder and asking there must run none of their code, and send no key anywhere."""
    file = Path("visprog.toml")
    file.write_text(RISKY[key] + "\n")
    with pytest.raises(ConfigError, match=rf"sets .*'{key}'.*'visprog trust', or name it with --config"):
        Config.load()
    named = Config.load("visprog.toml")
    assert main(["trust"]) == 0
    assert Config.load() == named
    file.write_text(RISKY[key] + "\nvotes = 2\n" if "[" not in RISKY[key] else "votes = 2\n" + RISKY[key])
    with pytest.raises(ConfigError, match="visprog trust"):
        Config.load()


def test_a_file_that_is_trusted_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="neither"):
        trust(None)
    Path("visprog.toml").write_text('planner = "openai:m"\n')
    assert main(["trust", "visprog.toml"]) == 0 and Config.load().planner == "openai:m"
    assert main(["trust", "--remove"]) == 0
    with pytest.raises(ConfigError, match="visprog trust"):
        Config.load()
    assert main(["trust", "nowhere.toml"]) == 1
    assert "cannot read nowhere.toml" in capsys.readouterr().err


def test_the_users_own_file_and_named_ones_set_everything(tmp_path: Path) -> None:
    users = default_files()[1]
    users.parent.mkdir(parents=True)
    for text in RISKY.values():
        users.write_text(text + "\n")
        Config.load()


@pytest.mark.parametrize("command", (["doctor"], ["tools"], ["plan", "How many circles?"]))
def test_no_command_runs_the_code_of_a_folder(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("holiday.py").write_text("open('ran', 'w').close()\n")
    # A backend that is built in, whose package is not installed, must not be taken from here either.
    Path("segment_anything.py").write_text("open('ran', 'w').close()\n")
    for text in (
        RISKY["extra_tools"],
        RISKY["tools.detect.backend"],
        '[tools]\nsegment = "segment-anything"',
    ):
        Path("visprog.toml").write_text(text + "\n")
        main(command)
        assert str(tmp_path) not in sys.path
    assert not Path("ran").exists()


def test_settings_as_arguments() -> None:
    changed = Config().changed({"votes": 3, "allow_url": True, "tools": {"detect": "onnx:a.onnx"}}, of="f()")
    assert (changed.votes, changed.allow_url) == (3, True)
    assert changed.tools["detect"] == ToolConfig("onnx", {"model": "a.onnx"})
    with pytest.raises(TypeError, match=r"f\(\) has no argument 'backend'; did you mean 'backends'\?"):
        Config().changed({"backend": {}}, of="f()")
    with pytest.raises(ConfigError, match="'votes' must be"):
        Config().changed({"votes": "many"}, of="f()")


def test_a_byte_order_mark_is_no_part_of_the_settings() -> None:
    Path("a.toml").write_text("votes = 2\n", encoding="utf-8-sig")
    assert Config.load("a.toml").votes == 2
    Path("a.toml").write_text("votes = 2\n", encoding="utf-16")
    with pytest.raises(ConfigError, match=r"a.toml is not text in UTF-8 but in UTF-16"):
        Config.load("a.toml")


def test_a_named_file_comes_before_the_found_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("visprog.toml").write_text("votes = 2\n")
    Path("by_variable.toml").write_text("votes = 3\n")
    Path("by_argument.toml").write_text("votes = 4\n")
    monkeypatch.setenv("VISPROG_CONFIG", "by_variable.toml")
    assert Config.load().votes == 3
    assert Config.load("by_argument.toml").votes == 4


def test_environment_comes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.toml").write_text('planner = "openai:m"\nextra_tools = ["a"]\n[tools.detect]\nbackend = "x"\n')
    monkeypatch.setenv("VISPROG_CONFIG", "a.toml")
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


def test_a_relative_home_of_settings_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", ".config")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    settings = tmp_path / "work" / ".config" / "visprog"
    settings.mkdir(parents=True)
    (settings / "visprog.toml").write_text('extra_tools = ["holiday"]\n')
    monkeypatch.chdir(tmp_path / "work")
    assert Config.load().extra_tools == ()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"planer": "x"}, "unknown key 'planer'; did you mean 'planner'"),
        ({"planner": 3}, "'planner' must be a str"),
        ({"votes": 0}, "'votes' must be a whole number of at least 1"),
        ({"votes": 1_000_000}, "'votes' must be 100 at most"),
        ({"votes": 2.5}, "'votes' must be a whole number"),
        ({"calls": 1.5}, "'calls' must be a whole number"),
        ({"seconds": float("inf")}, "'seconds' must be a number"),
        ({"seconds": float("nan")}, "'seconds' must be a number"),
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
        ({"tools": {"detect": 3}}, r"\[tools.detect\] must be a table"),
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
    with pytest.raises(ConfigError, match=r"latin.toml is not text in UTF-8"):
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


def test_limits_of_size() -> None:
    assert Config.of({"limits": {"list_items": 5}}).limits == SizeLimits(list_items=5)
    assert Config().changed({"limits": {"values": 9}}, of="f()").limits.values == 9
    for table, message in (
        ({"list_item": 5}, r"\[limits\] has no key 'list_item'; did you mean 'list_items'"),
        ({"values": 0}, "'values' must be a whole number of at least 1, not 0"),
        ({"values": True}, "whole number"),
        ({"values": "many"}, "whole number"),
        (3, "'limits' must be a table"),
    ):
        with pytest.raises(ConfigError, match=message):
            Config.of({"limits": table})


def test_a_found_file_lowers_limits_only() -> None:
    Path("visprog.toml").write_text("[limits]\nnew_pixels = 1000\nvalues = 20000\n")
    assert Config.load().limits == SizeLimits(new_pixels=1000)
    Path("visprog.toml").write_text("[limits]\nnew_pixels = 400000001\nvalues = 5\n")
    with pytest.raises(ConfigError, match=r"sets 'limits.new_pixels', which can .* lift a limit"):
        Config.load()
    assert Config.load("visprog.toml").limits.values == 5


def test_commands_read_files_within_the_limits(capsys: pytest.CaptureFixture[str]) -> None:
    PIL.Image.new("RGB", (200, 200)).save("a.bmp")
    Path("mine.toml").write_text("[limits]\nfile_bytes = 1000\n")
    Path("p.py").write_text("def answer(image):\n    return image.width\n")
    before = limits()
    try:
        assert main(["run", "p.py", "a.bmp", "--config", "mine.toml"]) == 1
        assert "a.bmp: it is larger than 0.000953674 MiB" in capsys.readouterr().err
    finally:
        use_limits(before)
    assert main(["run", "p.py", "a.bmp"]) == 0


def test_backends_that_a_found_file_may_choose_come_with_the_package_and_need_no_network() -> None:
    online = {
        "endpoint", "sentences:Chat", "blip", "detr", "diffusers", "florence2", "grounding_dino", "sam2", "vlm",
        "siglip", "owl:Owl",
    }  # fmt: skip
    names = {n: path for tool in chosen_registry(Config()).values() for n, path in tool.backend_paths.items()}
    for name, path in names.items():
        Path("visprog.toml").write_text(f'[tools]\ndetect = "{name}"\n')
        fetches = any(f"backends.{part}" in path for part in online)
        try:
            Config.load()
        except ConfigError as error:
            assert "fetch models" in str(error)
            assert name not in ("none", "basic", "embedded", "opencv", "rapidocr", "bundled")
        else:
            assert not fetches, f"{name} is {path}"


def test_where_settings_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Config.load_with_origins() == (Config(), {})
    file = tmp_path / "mine.toml"
    file.write_text(
        'calls = 5\n[tools]\nclassify = "clip"\n[tools.detect]\nbackend = "onnx"\nmodel = "a.onnx"\n'
        '[planner_options]\napi_key = "secret"\n[limits]\nvalues = 9\n'
    )
    monkeypatch.setenv("VISPROG_PLANNER", "replay:x")
    monkeypatch.setenv("VISPROG_TOOL_DETECT", "owlv2")
    config, origins = Config.load_with_origins(file)
    assert config.calls == 5 and config.tools["detect"] == ToolConfig("owlv2")
    assert origins == {
        **dict.fromkeys(
            ("calls", "tools.classify.backend", "planner_options.api_key", "limits.values"), str(file)
        ),
        "planner": "VISPROG_PLANNER",
        "tools.detect.backend": "VISPROG_TOOL_DETECT",
    }


def test_doctor_shows_where_settings_come_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("visprog.toml").write_text("calls = 5\nvotes = 2\n")
    monkeypatch.setenv("VISPROG_REQUIRE", "auto")
    main(["doctor", "--json"])
    config = json.loads(capsys.readouterr().out)["config"]
    here = str(Path("visprog.toml").absolute())
    assert config["file"] == here
    assert config["origins"] == {"calls": here, "votes": here, "require": "VISPROG_REQUIRE"}
    main(["doctor"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "require from VISPROG_REQUIRE; all others are defaults" in shown


@pytest.fixture
def catcher() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Address of a server on this machine, and the headers of the requests that it gets."""
    caught: list[dict[str, str]] = []

    class Catcher(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            caught.append({name.lower(): value for name, value in self.headers.items()})
            self.send_error(400)

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Catcher) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1", caught
        server.shutdown()


def test_keys_of_the_environment_go_to_no_address_of_an_untrusted_file(
    catcher: tuple[str, list[dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai")
    url, caught = catcher
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    PIL.Image.new("RGB", (40, 40)).save("a.png")
    Path("p.py").write_text('def answer(image):\n    return vqa(image, "What is it?")\n')
    for text, command in (
        (f'planner = "openai:m"\n[planner_options]\nbase_url = "{url}"\n', ["ask", "a.png", "Is it red?"]),
        (f'[tools.vqa]\nbackend = "openai"\nmodel = "m"\nbase_url = "{url}"\n', ["run", "p.py", "a.png"]),
    ):
        file = Path("visprog.toml")
        file.write_text(text)
        caught.clear()
        assert main(command) != 0
        assert not caught
        assert main([*command, "--config", "visprog.toml"]) != 0  # named: the user means it
        assert caught and caught[0]["authorization"] == "Bearer sk-mine"


def test_examples_of_an_untrusted_folder_enter_no_prompt() -> None:
    Path("visprog.examples.yaml").write_text("- question: Obey me?\n  program: return 1\n")
    request = PlanRequest("Obey me?", 1, None, chosen_registry(Config()))

    def prompt() -> list[str]:
        return [m["content"] for m in LLMPlanner(OpenAIChat("m")).prompt(request) if m["role"] == "user"]

    with pytest.warns(UserWarning, match="left out, since its content would enter a prompt"):
        assert sum("Obey me?" in content for content in prompt()) == 1  # the question itself
    assert main(["trust"]) == 0
    assert sum("Obey me?" in content for content in prompt()) == 2
