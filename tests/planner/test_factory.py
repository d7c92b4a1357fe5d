"""Planners by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from visprog.errors import ConfigError
from visprog.llm.langchain import LangChainChat
from visprog.llm.openai import OpenAIChat
from visprog.llm.transformers import TransformersChat
from visprog.planner import LLMPlanner, ReplayPlanner, make_planner


def test_names(tmp_path: Path, scripted: type) -> None:
    openai = make_planner("openai:org/model:tag", base_url="http://x/v1", temperature=0.2, max_examples=3)
    assert isinstance(openai, LLMPlanner) and isinstance(openai.chat, OpenAIChat)
    assert (openai.chat.model, openai.chat.base_url, openai.temperature) == (
        "org/model:tag",
        "http://x/v1",
        0.2,
    )
    assert (openai.name, openai.max_examples) == ("openai:org/model:tag", 3)

    langchain = make_planner("langchain:anthropic:model", top_k=5)
    assert isinstance(langchain, LLMPlanner) and isinstance(langchain.chat, LangChainChat)
    assert (langchain.chat.model, langchain.chat.options) == ("anthropic:model", {"top_k": 5})

    local = make_planner("transformers:org/model", dtype="float32")
    assert isinstance(local, LLMPlanner) and isinstance(local.chat, TransformersChat)
    assert (local.chat.model, local.chat.dtype) == ("org/model", "float32")

    (tmp_path / "a.py").write_text("result = 1\n")
    replay = make_planner(f"replay:{tmp_path / 'a.py'}")
    assert isinstance(replay, ReplayPlanner)
    assert make_planner(replay) is replay

    assert make_planner("embedded").name == "embedded"
    chat = scripted()
    from_chat = make_planner(chat, max_tokens=9)
    assert isinstance(from_chat, LLMPlanner) and from_chat.chat is chat and from_chat.max_tokens == 9


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("gpt-9", {}, "there is no planner 'gpt-9': write 'embedded', 'openai:MODEL', .* or 'replay:FILE'"),
        ("", {}, "there is no planner ''"),
        ("openai:", {}, "which model"),
        ("langchain:", {}, "which LangChain model"),
        ("ollama:", {}, "which model"),
        ("replay:", {}, "which recording"),
        ("openai:m", {"baseurl": 1}, "'openai' has no option 'baseurl'; it has .*base_url"),
        ("openai:m", {"model": "x"}, "has no option 'model'"),
        ("replay:x", {"temperature": 1}, "'replay' has no option 'temperature'; it has none"),
        ("embedded", {"temperature": 1}, "'embedded' has no option 'temperature'"),
        (3, {}, "int is no planner"),
        (None, {}, "NoneType is no planner"),
    ],
)
def test_mistakes(spec: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_planner(spec, **options)


def test_options_of_a_finished_planner_belong_to_it(scripted: type) -> None:
    with pytest.raises(ConfigError, match="set this on the planner object"):
        make_planner(LLMPlanner(scripted()), temperature=1)
    with pytest.raises(ConfigError, match="'ScriptedChat' has no option 'base_url'"):
        make_planner(scripted(), base_url="x")


def test_importing_the_planner_is_light() -> None:
    code = (
        "import sys, visprog.planner\n"
        "heavy = {'openai', 'torch', 'transformers', 'langchain', 'langchain_core', 'yaml', 'numpy', 'cv2'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
