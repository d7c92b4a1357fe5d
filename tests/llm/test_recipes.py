"""The recipes of docs/planner.md for language models, each as it stands there, against an endpoint on loopback."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.llm.fake_server import say, serve
from visprog.config import Config
from visprog.llm.transformers import TransformersChat
from visprog.models.catalogue import catalogue
from visprog.planner import LLMPlanner
from visprog.planner.factory import make_planner

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "planner.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Language models on your machine and elsewhere")[2].partition("\n## ")[0]
RECIPES = dict(re.findall(r"^\*\*([\w. ]+?)\*\*.*?```toml\n(.*?)```", SECTION, re.DOTALL | re.MULTILINE))
ENDPOINTS = [name for name in RECIPES if name != "transformers"]


def test_all_recipes_are_found() -> None:
    assert set(RECIPES) == {"Ollama", "vLLM", "LM Studio", "llama.cpp", "Azure OpenAI", "transformers"}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_recipe_reaches_its_endpoint(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config.of(tomllib.loads(RECIPES[name]))
    options = dict(config.planner_options)
    model = config.planner.partition(":")[2]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-key")
    with serve(say("hi")) as endpoint:
        endpoint.pulled = [model]
        monkeypatch.setenv("OLLAMA_HOST", endpoint.url.removesuffix("/v1"))
        path, query = "/v1", ""
        if address := options.get("base_url"):
            parts = urlsplit(address)
            path, query = parts.path, parts.query and f"?{parts.query}"
            here = urlsplit(endpoint.url)
            options["base_url"] = parts._replace(scheme="http", netloc=here.netloc).geturl()
        planner = make_planner(config.planner, **options)
        assert isinstance(planner, LLMPlanner)
        (reply,) = planner.chat.complete([{"role": "user", "content": "hello"}])
    assert reply.text == "hi" and endpoint.last["model"] == model
    assert endpoint.paths == [f"{path}/chat/completions{query}"]
    if name == "Azure OpenAI":
        assert endpoint.headers[0]["api-key"] == "sk-key"


def test_transformers_has_a_model_for_each_size() -> None:
    chosen = {size: TransformersChat(size).model for size in ("", "small", "base", "large")}
    assert chosen[""] == chosen["small"] and len(set(chosen.values())) == 3
    assert set(chosen.values()) == {c.id for c in catalogue() if "planner" in c.tools}
    assert isinstance(make_planner("transformers:"), LLMPlanner)
    assert TransformersChat("my/folder").model == "my/folder"
