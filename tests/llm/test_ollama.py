"""Ollama as planner: found, not started, without the model, with a context that is too short."""

from __future__ import annotations

import pytest

from tests.llm.fake_server import Endpoint, say, serve
from visprog.errors import ConfigError, PlannerError
from visprog.llm.ollama import OllamaChat, OllamaModel, best_ollama_model, ollama_address, ollama_models
from visprog.planner import LLMPlanner, Message
from visprog.planner.factory import make_planner

ASK: list[Message] = [{"role": "user", "content": "hello"}]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_HOST", raising=False)


def host(endpoint: Endpoint) -> str:
    return endpoint.url.removesuffix("/v1")


def said(chat: OllamaChat, messages: list[Message] = ASK) -> str:
    with pytest.raises(PlannerError) as caught:
        chat.complete(messages)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_line_of_settings_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere/v1")
    with serve(say("hi")) as endpoint:
        endpoint.pulled = ["qwen3:8b", "llava:latest"]
        monkeypatch.setenv("OLLAMA_HOST", host(endpoint))
        planner = make_planner("ollama:qwen3:8b", temperature=0.3)
        assert isinstance(planner, LLMPlanner) and planner.chat.name == "ollama:qwen3:8b"
        assert [reply.text for reply in planner.chat.complete(ASK)] == ["hi"]
        assert OllamaChat("llava").complete(ASK)[0].text == "hi"
    assert endpoint.paths == ["/v1/chat/completions"] * 2
    assert endpoint.last["model"] == "llava" and "sk-secret" not in str(endpoint.headers)


def test_a_model_that_is_not_pulled_says_how() -> None:
    with serve(say("hi")) as endpoint:
        endpoint.pulled = ["qwen3:8b"]
        found = said(OllamaChat("gemma3", base_url=endpoint.url))
        assert found == "Ollama has no model 'gemma3' (it has qwen3:8b): run 'ollama pull gemma3'"
        endpoint.pulled = []
        assert "(it has none)" in said(OllamaChat("gemma3", base_url=endpoint.url))
        endpoint.pulled = None
        assert "is not Ollama: set OLLAMA_HOST" in said(OllamaChat("gemma3", base_url=endpoint.url))
    assert not endpoint.requests


def test_ollama_that_does_not_run_says_how_to_start_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    found = said(OllamaChat("qwen3"))
    assert found.startswith("Ollama does not run at http://127.0.0.1:9: start it with 'ollama serve'")
    with pytest.raises(ConfigError, match="write 'ollama:NAME'"):
        make_planner("ollama:")
    with pytest.raises(ConfigError, match="has no option 'key_header'"):
        make_planner("ollama:qwen3", key_header="x")


def test_a_prompt_that_was_cut_off_is_not_taken_for_read() -> None:
    long: list[Message] = [{"role": "user", "content": "word " * 6000}]
    with serve(say("hi", usage=(4096, 5)), say("hi", usage=(7000, 5)), say("hi", usage=(300, 5))) as endpoint:
        endpoint.pulled = ["m:latest"]
        chat = OllamaChat("m", base_url=endpoint.url)
        assert "read 4096 tokens of a prompt of about 7500" in (found := said(chat, long))
        assert "OLLAMA_CONTEXT_LENGTH=16384 ollama serve" in found
        assert chat.complete(long)[0].text == "hi"
        assert chat.complete(long)[0].text == "hi"  # the rest of a prompt that it remembers


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("", "http://127.0.0.1:11434"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8000", "http://127.0.0.1:8000"),
        (":8000", "http://127.0.0.1:8000"),
        ("8000", "http://127.0.0.1:8000"),
        ("box", "http://box:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("http://box", "http://box:80"),
        ("https://box/", "https://box:443"),
        ("https://box:8443", "https://box:8443"),
    ],
)
def test_its_address_is_read_as_it_reads_it(
    monkeypatch: pytest.MonkeyPatch, given: str, address: str
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", given)
    assert ollama_address() == address


def test_the_largest_model_that_fits_and_writes_is_proposed() -> None:
    with serve() as endpoint:
        endpoint.pulled = ["a", "long-name"]
        assert ollama_models(host(endpoint)) == [
            OllamaModel("a", 1001, "x"),
            OllamaModel("long-name", 1009, "x"),
        ]
    models = [
        OllamaModel("small", 2, "llama"), OllamaModel("big", 9, "llama"), OllamaModel("huge", 90, "llama"),
        OllamaModel("nomic-embed-text", 10, "nomic-bert"), OllamaModel("mxbai-embed", 10, ""),
    ]  # fmt: skip
    assert best_ollama_model(models, 50) == models[1]
    assert best_ollama_model(models, 1) is None
