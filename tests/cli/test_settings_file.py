"""Settings that a command adds to a file: what the user wrote stays, what was added before is replaced."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from visprog.commands.settings_file import (
    earlier_models,
    own_tools,
    with_models,
    without_models,
    write_settings,
)
from visprog.errors import ConfigError

FIRST = {"detect": ("owlv2", "google/owlv2"), "segment": ("sam", "facebook/sam")}
OWN = (
    'calls = 3  # few\r\n\r\n[planner_options]\r\nbase_url = "http://x/v1"\r\n\r\n'
    '[tools.vqa]\nbackend = "openai"\nmodel = "m"'
)


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# mine\n", OWN, OWN + "\n", 'note = """\n[tools.detect]\n"""\n[limits]\n']
)
def test_what_was_there_stays_to_the_letter(text: str) -> None:
    made = with_models(text, FIRST, "ollama:m")
    assert text.rstrip("\n") in made
    found, before = tomllib.loads(made), tomllib.loads(text)
    assert found["planner"] == "ollama:m" and found["tools"]["detect"] == {
        "backend": "owlv2",
        "model": "google/owlv2",
    }
    assert {k: v for k, v in found.items() if k not in ("planner", "tools")} == {
        k: v for k, v in before.items() if k != "tools"
    }
    assert with_models(made, FIRST, "ollama:m") == made
    assert without_models(made).rstrip("\n") == text.rstrip("\n")


def test_what_was_added_before_is_replaced_and_what_was_changed_is_kept() -> None:
    made = with_models(OWN, FIRST, "ollama:m")
    again = with_models(made, {"detect": ("owlv2", "google/other")})
    assert tomllib.loads(again)["tools"].keys() == {"vqa", "detect"} and "planner" not in tomllib.loads(again)
    tuned = made.replace(
        'model = "google/owlv2"\n', 'model = "google/owlv2"\n\n# stricter\nthreshold = 0.4\n'
    )
    assert own_tools(tuned) == ["vqa", "detect"]
    kept = tomllib.loads(with_models(tuned, {"detect": ("owlv2", "google/other")}))["tools"]["detect"]
    assert kept == {"backend": "owlv2", "model": "google/owlv2", "threshold": 0.4}
    mine = made.replace("[tools.detect]  # visprog models setup", "[tools.detect]")
    assert own_tools(mine) == ["vqa", "detect"]


def test_what_was_written_earlier_is_known() -> None:
    assert earlier_models("") == earlier_models(OWN) == ({}, "")
    assert earlier_models(with_models(OWN, FIRST, "ollama:m")) == (FIRST, "ollama:m")
    assert earlier_models('planner = "embedded"\n' + with_models("", FIRST)) == (FIRST, "")


def test_a_choice_of_the_user_wins() -> None:
    text = 'planner = "embedded"\n[tools]\ndetect = "onnx:mine.onnx"\n'
    found = tomllib.loads(with_models(text, FIRST, "ollama:m"))
    assert found["planner"] == "embedded" and found["tools"]["detect"] == "onnx:mine.onnx"
    assert found["tools"]["segment"] == {"backend": "sam", "model": "facebook/sam"}


def test_what_cannot_be_added_to_is_refused_with_the_lines_to_add() -> None:
    with pytest.raises(ConfigError, match="not valid TOML"):
        with_models("calls = ", FIRST)
    with pytest.raises(
        ConfigError, match=r'add these lines yourself\n\n\[tools.detect\].*\nbackend = "owlv2"'
    ):
        with_models('tools = {vqa = "openai:m"}\n', FIRST)


def test_a_file_is_replaced_at_once_with_its_rights(tmp_path: Path) -> None:
    file, link = tmp_path / "there" / "visprog.toml", tmp_path / "link.toml"
    write_settings(file, "calls = 1\n")
    file.chmod(0o600)
    link.symlink_to(file)
    write_settings(link, "calls = 2\r\n")
    assert (
        file.read_bytes() == b"calls = 2\r\n" and link.is_symlink() and file.stat().st_mode & 0o777 == 0o600
    )
    assert os.listdir(file.parent) == ["visprog.toml"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="cannot write"):
        write_settings(tmp_path / "folder", "x")
    assert sorted(os.listdir(tmp_path)) == ["folder", "link.toml", "there"]
