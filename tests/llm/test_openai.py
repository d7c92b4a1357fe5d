"""OpenAI-compatible endpoints, also those that misbehave."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.llm.fake_server import Cut, Endpoint, Fail, Raw, Slow, Unless, say, serve
from visprog.check import Diagnostic
from visprog.errors import ConfigError, MissingExtra, PlannerError
from visprog.llm.openai import OpenAIChat
from visprog.planner import LLMPlanner, Message, PlanRequest, RepairLoop, Tokens

ASK: list[Message] = [{"role": "user", "content": "hello"}]
GOOD = 'def answer(image):\n    return len(detect(image, "dog"))\n'


def chat(endpoint: Endpoint, **options: object) -> OpenAIChat:
    options = {"base_url": endpoint.url, "max_retries": 2, **options}
    return OpenAIChat("small-model", **options)


def fails(endpoint: Endpoint, **options: object) -> str:
    with pytest.raises(PlannerError) as caught:
        chat(endpoint, **options).complete(ASK)
    message = str(caught.value)
    assert "\n" not in message and "Traceback" not in message
    return message


def test_a_reply_with_its_tokens() -> None:
    with serve(say("hi")) as endpoint:
        (reply,) = chat(endpoint, api_key="secret").complete(ASK, temperature=0.5, max_tokens=99, seed=7)
    assert (reply.text, reply.tokens, reply.truncated) == ("hi", Tokens(100, 20), False)
    assert endpoint.last["model"] == "small-model"
    assert endpoint.last["messages"] == ASK
    assert (endpoint.last["temperature"], endpoint.last["max_tokens"], endpoint.last["seed"]) == (0.5, 99, 7)
    assert "n" not in endpoint.last and "stream" not in endpoint.last
    assert endpoint.keys == ["Bearer secret"]


def test_several_replies_in_one_request() -> None:
    with serve(say("a", "b", "c")) as endpoint:
        replies = chat(endpoint).complete(ASK, n=3)
    assert [r.text for r in replies] == ["a", "b", "c"]
    assert [r.tokens for r in replies] == [Tokens(100, 20), Tokens(0, 0), Tokens(0, 0)]
    assert endpoint.last["n"] == 3


def test_an_endpoint_that_gives_one_at_a_time() -> None:
    with serve(say("a"), say("b"), say("c")) as endpoint:
        replies = chat(endpoint).complete(ASK, n=3, seed=1)
    assert [r.text for r in replies] == ["a", "b", "c"]
    assert [r.get("n") for r in endpoint.requests] == [3, 2, None]
    assert [r["seed"] for r in endpoint.requests] == [1, 2, 3]


def test_no_usage_and_truncation() -> None:
    with serve(say("def", finish="length", usage=None)) as endpoint:
        (reply,) = chat(endpoint).complete(ASK)
    assert reply.tokens is None
    assert reply.truncated


@pytest.mark.parametrize("trouble", [Fail(429, "slow down"), Fail(500), Fail(503), Cut()])
def test_passing_trouble_is_retried(trouble: Fail | Cut) -> None:
    with serve(trouble, say("fine")) as endpoint:
        assert chat(endpoint).complete(ASK)[0].text == "fine"
    assert len(endpoint.requests) == 2


def test_lasting_trouble_is_explained() -> None:
    with serve(Fail(429, "slow down")) as endpoint:
        assert (
            fails(endpoint)
            == "openai:small-model is rate limited (after 3 tries; slow down): wait a while, or ask less often"
        )
        assert len(endpoint.requests) == 3
    with serve(Fail(429, "You exceeded your quota.", "insufficient_quota")) as endpoint:
        assert "no quota left" in fails(endpoint)
    with serve(Fail(500, "the model crashed")) as endpoint:
        assert re.search(r"failed with status 500 \(after 3 tries\): the model crashed", fails(endpoint))
        assert endpoint.url in fails(endpoint)


def test_a_slow_endpoint() -> None:
    start = time.perf_counter()
    with serve(Slow(5)) as endpoint:
        message = fails(endpoint, timeout=0.2, max_retries=0)
    assert f"{endpoint.url} did not answer within 0.2 s" in message
    assert time.perf_counter() - start < 4


def test_a_reply_that_breaks_off() -> None:
    with serve(Cut()) as endpoint:
        assert "broke off in the middle of its reply" in fails(endpoint, max_retries=0)


def test_an_endpoint_that_is_not_there() -> None:
    with serve(say("x")) as endpoint:
        pass
    assert f"cannot reach {endpoint.url}" in fails(endpoint, max_retries=0)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Fail(401, "Incorrect API key provided: sk-secret"), "refused the API key"),
        (Fail(404, "no such model"), "knows no model 'small-model'"),
        (Fail(400, "maximum context", "context_length_exceeded"), "prompt is too long"),
        (Fail(400, "bad\nrequest"), "refused the request (400): bad"),
        (say(None), "empty reply"),
        (say("  "), "empty reply"),
        (say(finish="stop"), "empty reply"),
        (say(None, finish="length"), "raise max_tokens"),
        (Raw("<html>hello</html>", "text/html"), "does its address end in '/v1'?"),
        (Raw("{not json"), "does its address end in '/v1'?"),
        (Raw("[]"), "does its address end in '/v1'?"),
        (Raw("{}"), "does its address end in '/v1'?"),
    ],
)
def test_what_goes_wrong_is_one_sentence(step: Fail | Raw, message: str) -> None:
    with serve(step) as endpoint:
        said = fails(endpoint, max_retries=0, api_key="sk-secret")
    assert message in said
    assert "sk-secret" not in said


def test_an_option_that_a_model_refuses_is_left_out() -> None:
    refused = Fail(400, "Unsupported value: 'temperature'", "unsupported_value", "temperature")
    with serve(refused, say("fine"), say("fine again")) as endpoint:
        model = chat(endpoint)
        assert model.complete(ASK)[0].text == "fine"
        assert model.complete(ASK)[0].text == "fine again"
    assert ["temperature" in r for r in endpoint.requests] == [True, False, False]


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(say("hi")) as endpoint:
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
        monkeypatch.setenv("VISPROG_OPENAI_BASE_URL", endpoint.url)
        monkeypatch.setenv("VISPROG_OPENAI_MODEL", "from-environment")
        monkeypatch.setenv("OPENAI_API_KEY", "k1")
        assert OpenAIChat().complete(ASK)[0].text == "hi"
        assert OpenAIChat("other", api_key="k2").complete(ASK)[0].text == "hi"
    assert [r["model"] for r in endpoint.requests] == ["from-environment", "other"]
    assert endpoint.keys == ["Bearer k1", "Bearer k2"]


def test_no_key_no_model_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="openai:MODEL"):
        OpenAIChat()
    model = OpenAIChat("some-model")
    with pytest.raises(PlannerError, match="no API key for openai:some-model: set OPENAI_API_KEY"):
        model.complete(ASK)
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"pip install 'visprog\[openai\]'"):
        model.complete(ASK)


def test_the_max_tokens_of_the_vendor_has_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = {}
    model = OpenAIChat("m")
    monkeypatch.setattr(model, "_request", lambda messages, options, tools: sent.update(options) or ["reply"])
    model.complete(ASK, max_tokens=5)
    assert sent == {"temperature": 0.0, "max_completion_tokens": 5}


@pytest.mark.parametrize(
    "reply",
    [
        f"Sure, here is a program:\n\n```python\n{GOOD}```\n\nIt counts dogs.",
        f"Try:\n```python\nx = 1\n```\nThe program:\n```python\n{GOOD}```\nThen:\n```bash\nvisprog run\n```",
        f"<think>Hm, ```python\nreturn 0\n```</think>{GOOD}",
    ],
)
def test_programs_out_of_chatty_replies(reply: str, plan_request: Callable[..., PlanRequest]) -> None:
    with serve(say(reply)) as endpoint:
        (plan,) = LLMPlanner(chat(endpoint)).plan(plan_request())
    assert plan.program == GOOD
    assert plan.planner == "openai:small-model"
    assert plan.tokens == Tokens(100, 20)
    assert plan.seconds > 0


def test_no_code_at_all_and_code_cut_off(plan_request: Callable[..., PlanRequest]) -> None:
    with (
        serve(say("I would count the dogs.")) as endpoint,
        pytest.raises(PlannerError, match="wrote no program"),
    ):
        LLMPlanner(chat(endpoint)).plan(plan_request())
    with (
        serve(say("Well", finish="length")) as endpoint,
        pytest.raises(PlannerError, match="raise max_tokens"),
    ):
        LLMPlanner(chat(endpoint)).plan(plan_request())


def test_wrong_code_then_right_code_is_repaired_in_one_round(
    plan_request: Callable[..., PlanRequest],
) -> None:
    def check(program: str, plan_request: PlanRequest) -> list[Diagnostic]:
        return (
            [Diagnostic("unknown-name", 2, 15, "no tool 'find'.", "use detect")] if "find(" in program else []
        )

    wrong = GOOD.replace("detect", "find")
    with serve(say(f"```python\n{wrong}```"), say(f"Sorry!\n```python\n{GOOD}```")) as endpoint:
        plan = RepairLoop(LLMPlanner(chat(endpoint)), plan_request(), check, 1).plan()
    assert plan.program == GOOD
    assert [a.program for a in plan.steps] == [wrong]
    assert plan.total_tokens == Tokens(200, 40)
    assert "unknown-name" in endpoint.last["messages"][-1]["content"]


# -- endpoints that differ -----------------------------------------------------------------------


def body(message: Any, finish: Any = "stop", **more: Any) -> Raw:
    """A reply with a message of any shape."""
    return Raw(json.dumps({"choices": [{"index": 0, "finish_reason": finish, "message": message}], **more}))


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": "hi"}],
        [{"type": "output_text", "text": "hi"}],
        [{"type": "text", "text": {"value": "hi"}}],
        [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "h"},
            {"type": "text", "text": "i"},
        ],
        [
            {"type": "reasoning", "text": "hm"},
            {"type": "image_url", "image_url": {}},
            {"type": "text", "text": "hi"},
        ],
        ["h", "i"],
        {"type": "text", "text": "hi"},
        "hi",
    ],
)
def test_content_in_parts(content: Any) -> None:
    with serve(body({"role": "assistant", "content": content})) as endpoint:
        assert chat(endpoint).complete(ASK)[0].text == "hi"


@pytest.mark.parametrize(
    "step",
    [
        body(None),
        body("text"),
        body([]),
        body({"content": 3}),
        body({"content": [None, 3, [], {}]}),
        body({"content": {"text": 3}}),
        body({"content": "  ", "reasoning_content": "hm"}),
        body({"content": None, "refusal": ["no"]}),
        body({"content": ""}, {"a": 1}),
        Raw(json.dumps({"choices": ["hi"]})),
        Raw(json.dumps({"choices": [None]})),
        Raw(json.dumps({"choices": {"0": "hi"}})),
        Raw(json.dumps({"choices": "hi"})),
        Raw(json.dumps([{"choices": []}])),
        Raw("3"),
        Raw("null"),
        Raw('"hi"'),
        Raw('{"choices":' + "[" * 5000 + "]" * 5000 + "}"),
        Raw('{"error":' + "[" * 500 + "]" * 500 + "}"),
        Raw('{"error":' + '{"message":' * 500 + "1" + "}" * 500 + "}"),
    ],
)
def test_whatever_shape_a_reply_has_it_is_one_sentence(step: Raw) -> None:
    with serve(step) as endpoint:
        assert fails(endpoint, max_retries=0)


@pytest.mark.parametrize("usage", [3, "many", [], {"prompt_tokens": "a"}, {"prompt_tokens": None}, {}])
def test_odd_usage_is_no_reason_to_fail(usage: Any) -> None:
    with serve(body({"content": "hi"}, usage=usage)) as endpoint:
        assert chat(endpoint).complete(ASK)[0].text == "hi"


def test_thoughts_alone_are_said_to_be_such() -> None:
    with serve(body({"content": None, "reasoning_content": "hm"})) as endpoint:
        assert "holds thoughts and no answer; raise max_tokens" in fails(endpoint, max_retries=0)


@pytest.mark.parametrize(
    "error",
    [
        {"message": "quota is used up", "code": 429},
        "quota is used up",
        {"error": {"message": "quota is used up"}},
        {"detail": [{"msg": "quota is used up"}]},
        ["quota is used up"],
    ],
)
@pytest.mark.parametrize("status", [200, 400, 422])
def test_the_words_of_the_server_are_not_lost(error: Any, status: int) -> None:
    for whole in ({"error": error}, {"error": error, "choices": None}):
        with serve(Raw(json.dumps(whole), status=status)) as endpoint:
            assert "quota is used up" in fails(endpoint, max_retries=0)


@pytest.mark.parametrize(
    "whole",
    [
        {"detail": "quota is used up"},
        {"object": "error", "message": "quota is used up"},
        {"success": False, "errors": [{"code": 1, "message": "quota is used up"}]},
        {"code": 1301, "msg": "quota is used up"},
        {"choices": [{"finish_reason": "error", "error": {"message": "quota is used up"}, "message": {}}]},
    ],
)
@pytest.mark.parametrize("status", [200, 400, 429])
def test_an_error_of_another_shape_is_not_lost(whole: Any, status: int) -> None:
    with serve(Raw(json.dumps(whole), status=status)) as endpoint:
        assert "quota is used up" in fails(endpoint, max_retries=0)


@pytest.mark.parametrize("finish", ["length", "MAX_TOKENS", "model_length", "content_filter", "error"])
def test_a_reply_that_is_not_whole_is_known_by_any_name(finish: str) -> None:
    with serve(say("def answer(image):\n    return 1", finish=finish)) as endpoint:
        assert chat(endpoint).complete(ASK)[0].truncated


def said_of(option: str, *words: str, status: int = 422) -> Raw:
    """An error in the form of FastAPI, which repeats what it was sent."""
    detail = [{"loc": ["body", *option.split(".")], "msg": " ".join(words), "input": {"temperature": 0.5}}]
    return Raw(json.dumps({"detail": detail}), status=status)


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("temperature", Fail(400, "this model does not support parameters: ['temperature']")),
        ("temperature", Fail(422, "temperature is deprecated for this model")),
        ("temperature", Raw('{"error": "temperature must be 1"}', status=400)),
        ("temperature", Fail(500, "Unknown parameter: `temperature`")),
        ("n", Fail(400, "Only one completion choice is allowed")),
        ("n", Fail(400, "'n' must be 1")),
        ("n", Fail(422, "multiple candidates is not enabled for this model")),
        ("seed", Fail(400, "Unrecognized request argument supplied: seed")),
        ("max_tokens", Fail(400, "max_tokens is not permitted")),
        ("temperature", said_of("temperature", "Extra inputs are not permitted")),
        ("seed", said_of("seed", "Extra inputs are not permitted")),
        ("n", said_of("n", "Input should be less than or equal to 1")),
        ("n", Fail(400, "The number of completions must be 1")),
        ("temperature", Fail(400, "Temperature is not supported")),
        ("temperature", Fail(400, "Unsupported parameter", param="body.temperature")),
        ("temperature", Fail(400, "Sampling parameters are not supported by this model")),
        ("temperature", Raw('{"error": {"message": "temperature not supported"}}')),
    ],
)
def test_an_option_refused_in_other_words_is_left_out(option: str, error: Fail | Raw) -> None:
    with serve(Unless(lambda r: option in r, error)) as endpoint:
        model = chat(endpoint, max_retries=0)
        replies = model.complete(ASK, n=2, temperature=0.5, seed=1, max_tokens=9)
        assert [r.text for r in replies] == ["fine", "fine"]
        model.complete(ASK, n=2)
    assert [option in r for r in endpoint.requests][1:] == [False] * (len(endpoint.requests) - 1)


def test_the_other_name_of_an_option_is_taken() -> None:
    error = Fail(
        400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", param="max_tokens"
    )
    with serve(Unless(lambda r: "max_tokens" in r, error)) as endpoint:
        model = chat(endpoint)
        for _ in range(2):
            assert model.complete(ASK, max_tokens=9)[0].text == "fine"
    assert [r.get("max_completion_tokens") for r in endpoint.requests] == [None, 9, 9]


SPOKEN: list[Message] = [{"role": "system", "content": "rules"}, {"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    "error",
    [
        Fail(400, "System role not supported"),
        Fail(
            400, "Unsupported value: 'messages[0].role' does not support 'system'", param="messages[0].role"
        ),
        Fail(500, "Conversation roles must alternate user/assistant/user/assistant/..."),
        Fail(400, "Developer instruction is not enabled for this model"),
        Raw('{"object": "error", "message": "Only user and assistant roles are supported!"}', status=400),
        Raw('{"error": {"message": "System role not supported"}}'),
        Fail(400, "invalid value", param="messages.[0].role"),
        Fail(400, "Invalid role"),
        said_of("messages.0.role", "Input should be 'user' or 'assistant'"),
        Fail(400, "'system' is not one of ['user', 'assistant']"),
    ],
)
def test_a_template_without_a_system_role(error: Fail | Raw) -> None:
    with serve(Unless(lambda r: r["messages"][0]["role"] == "system", error)) as endpoint:
        model = chat(endpoint, max_retries=0)
        for _ in range(2):
            assert model.complete(SPOKEN)[0].text == "fine"
    assert endpoint.last["messages"] == [{"role": "user", "content": "rules\n\nhello"}]
    assert [r["messages"][0]["role"] for r in endpoint.requests] == ["system", "user", "user"]


def test_an_error_that_names_an_option_ends_all_the_same() -> None:
    wrong = Fail(400, "temperature, seed, n, max_tokens: all wrong; system role too")
    with serve(wrong) as endpoint, pytest.raises(PlannerError, match="all wrong"):
        chat(endpoint, max_retries=0).complete(SPOKEN, n=2, seed=1, max_tokens=3)
    assert len(endpoint.requests) < 10


@pytest.mark.parametrize("key", ["sk-x\n", " sk-x ", "sk-x\r\n", "Bearer sk-x", "\tsk-x"])
def test_blanks_around_a_key_are_no_part_of_it(key: str) -> None:
    with serve(say("fine")) as endpoint:
        assert chat(endpoint, api_key=key).complete(ASK)[0].text == "fine"
    assert endpoint.keys == ["Bearer sk-x"]


@pytest.mark.parametrize("key", ["sk x", "sk\nx", "sk-ä", "sk-\u200bx"])
def test_a_key_that_cannot_be_one_is_named(key: str) -> None:
    with serve(say("fine")) as endpoint, pytest.raises(ConfigError, match="the API key holds a blank"):
        chat(endpoint, api_key=key).complete(ASK)
    assert not endpoint.requests


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("localhost:8000/v1", "has no scheme: write http://localhost:8000/v1"),
        ("127.0.0.1/v1", "has no scheme"),
        ("ftp://host/v1", "is neither http:// nor https://"),
        ("http://", "it is like http://HOST:PORT/v1"),
        ("http://ho st/v1", "it is like http://HOST:PORT/v1"),
        ("http://host:port/v1", "cannot be used"),
    ],
)
def test_an_address_that_cannot_be_one_is_named(address: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        OpenAIChat("m", base_url=address)


def test_blanks_around_an_address_and_a_query_behind_it() -> None:
    with serve(say("fine")) as endpoint:
        model = chat(
            endpoint,
            base_url=f" {endpoint.url}?api-version=2024-10-21&x= \n",
            api_key="k",
            key_header="api-key",
        )
        assert model.complete(ASK)[0].text == "fine"
    assert endpoint.paths == ["/v1/chat/completions?api-version=2024-10-21&x="]
    assert endpoint.headers[0]["api-key"] == "k"
    with serve(say("fine")) as endpoint:
        chat(endpoint, headers={"X-Tenant": "us"}).complete(ASK)
    assert endpoint.headers[0]["x-tenant"] == "us"


@pytest.mark.parametrize("more", [{"base_url": "http://a..b/v1"}, {"model": "m\udce9"}])
def test_what_cannot_be_sent_is_no_fault_of_the_endpoint(more: dict[str, str]) -> None:
    with serve(say("fine")) as endpoint:
        more = {"base_url": endpoint.url, "model": "m", **more}
        with pytest.raises(PlannerError, match="nothing could be sent to http://"):
            OpenAIChat(**more, max_retries=0).complete(ASK)
        assert not endpoint.requests
        named = {"OpenAI-Organization": " org-x\n"}
        assert chat(endpoint, headers=named).complete(ASK)[0].text == "fine"


def test_messages_show_no_secret_of_an_address() -> None:
    with serve(Fail(500, "down")) as endpoint:
        address = endpoint.url.replace("://", "://anna:secret@") + "?key=secret"
        said = fails(endpoint, base_url=address, max_retries=0)
    assert said.startswith(f"{endpoint.url} failed") and "secret" not in said


def test_https_where_http_is_spoken() -> None:
    with serve(say("fine")) as endpoint:
        said = fails(endpoint, base_url=endpoint.url.replace("http:", "https:"), max_retries=0)
    assert "does not speak HTTPS there: write http://" in said


def test_half_a_character_in_a_question_is_no_fault_of_the_endpoint() -> None:
    with serve(say("fine")) as endpoint:
        assert chat(endpoint).complete([{"role": "user", "content": "caf\udce9?"}])[0].text == "fine"
    assert endpoint.last["messages"][0]["content"] == "caf??"
