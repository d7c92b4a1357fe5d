"""The printed prompt is what the chat model is sent, in every form in which it is asked."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.planner.test_turns import LOOK, Scripted, calls
from visprog.agent import Agent
from visprog.cli import main
from visprog.errors import ConfigError, VisprogError
from visprog.llm.chat import Message, Reply, text_of
from visprog.llm.openai import OpenAIChat

SIGNS = str(Path(__file__).resolve().parents[2] / "examples" / "signs.png")
QUESTION = "Which is the largest, and who built it?"


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What an endpoint is sent, in a folder without settings; it answers that it cannot."""
    monkeypatch.chdir(tmp_path)
    for name in ("VISPROG_CONFIG", "VISPROG_PLANNER"):
        monkeypatch.delenv(name, raising=False)
    requests: list[dict[str, Any]] = []

    def complete(chat: OpenAIChat, messages: list[Message], tools: Any = (), **_: Any) -> list[Reply]:
        data = {"messages": [{"role": m["role"], "content": text_of(m)} for m in messages]}
        requests.append({**data, **({"tools": list(tools)} if tools else {})})
        return [Reply("CANNOT: it is a test")]

    monkeypatch.setattr(OpenAIChat, "complete", complete)
    return requests


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*arguments, "--json"]) in (0, 1)
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    return data


def without_sizes(data: dict[str, Any]) -> dict[str, Any]:
    text = re.sub(r"image \d+ × \d+", "image WIDTH × HEIGHT", json.dumps(data, ensure_ascii=False))
    found: dict[str, Any] = json.loads(text)
    return {name: found[name] for name in ("messages", "tools") if name in found}


@pytest.mark.parametrize("images", [1, 6])
@pytest.mark.parametrize(
    "settings",
    ["", "turns = 4", "turns = 4\ntool_calls = true", "turns = 4\n[planner_options]\nprompt_tokens = 5000"],
    ids=["one program", "turns", "tool calls", "short"],
)
def test_the_printed_prompt_is_the_sent_one(
    settings: str, images: int, sent: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("own.toml").write_text(f'planner = "openai:m"\n{settings}\n')
    options = ("--config", "own.toml", "--returns", "str")
    shown = printed(capsys, "plan", QUESTION, "--prompt", "--images", str(images), *options)
    assert not sent
    printed(capsys, "ask", *[SIGNS] * images, QUESTION, *options)
    assert without_sizes(sent[0]) == without_sizes(shown)
    assert ("turns" in settings) == ("You see: image" in shown["messages"][-1]["content"])
    assert ("tools" in shown) == ("tool_calls" in settings)


def test_the_option_and_the_plain_form(
    sent: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    with_turns = printed(
        capsys, "plan", QUESTION, "--prompt", "--turns", "3"
    )  # of the embedded planner: any model
    assert "# Turns" in with_turns["messages"][0]["content"]
    assert main(["plan", QUESTION, "--prompt", "--turns", "3"]) == 0
    assert "[image, image WIDTH × HEIGHT]" in capsys.readouterr().out
    assert main(["plan", QUESTION, "--turns", "3"]) == 2
    assert "--turns is for --prompt" in capsys.readouterr().err
    Path("own.toml").write_text('planner = "openai:m"\nvotes = 3\nturns = 3\n')
    assert main(["plan", QUESTION, "--prompt", "--config", "own.toml"]) == 1  # as no agent can have it
    assert "either votes or turns" in capsys.readouterr().err
    Path("own.toml").write_text('planner = "openai:m"\ntool_calls = true\nturns = 3\n')
    assert main(["plan", QUESTION, "--prompt", "--config", "own.toml"]) == 0
    assert '"name": "answer"' in capsys.readouterr().out
    video = printed(capsys, "plan", QUESTION, "--prompt", "--video", "--config", "own.toml")
    assert "You see: video.at(TIME)" in video["messages"][-1]["content"] and "tools" in video
    assert not sent


@pytest.mark.parametrize("tool_calls", [False, True])
def test_a_conversation_shows_what_it_would_send(tool_calls: bool) -> None:
    look: Any = LOOK + "\nDONE"
    if tool_calls:
        look = calls(("detect", {"image": "image", "what": "dog"}), ("answer", {"expression": "regions1"}))
    model = Scripted(look, "CANNOT: enough")
    from tests.small_tools import REGISTRY, picture

    with Agent(model, {}, registry=REGISTRY, turns=4, tool_calls=tool_calls) as agent:
        chat = agent.chat(picture())
        assert chat.ask("Where are the dogs?").ok
        shown = chat.opening("And the left one?", returns=str)
        assert len(model.sent) == 1 and len(chat.answers) == 1
        chat.ask("And the left one?", returns=str)
        assert shown.messages == model.sent[1] and list(shown.tools) == list(model.tools[1])
        assert "Question: Where are the dogs?" in shown.to_json()["messages"][-1]["content"]
        with pytest.raises(VisprogError, match="the question is empty"):
            chat.opening(" ")
    with Agent("embedded", {}) as agent, pytest.raises(ConfigError, match="asks no chat model"):
        agent.chat(picture()).opening("And the left one?")


def test_the_prompts_of_a_chat_are_printed(
    sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("chat", SIGNS, "--planner", "openai:m")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(QUESTION.encode())))
    shown = printed(capsys, *options, "--prompt")["answers"]
    assert not sent
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(QUESTION.encode())))
    printed(capsys, *options)
    assert [each["messages"] for each in shown] == [each["messages"] for each in sent]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(QUESTION.encode())))
    assert main([*options, "--prompt"]) == 0
    assert "───── system ─────" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"street.jpg\n{QUESTION}".encode())))
    shown = printed(capsys, *options, "--prompt")["answers"]
    assert [each["status"] for each in shown] == ["error", "ok"]
