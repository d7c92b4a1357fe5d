"""LangChain chat models: fakes, and a real one against the local endpoint."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.llm.fake_server import Fail, say, serve
from visprog.errors import ConfigError, MissingExtra, PlannerError
from visprog.llm.chat import ImagePart, ToolCall
from visprog.llm.langchain import LangChainChat
from visprog.planner import LLMPlanner, Message, PlanRequest, Tokens, make_planner

pytest.importorskip("langchain", reason="the extra 'langchain' is not installed")

ASK: list[Message] = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
GOOD = 'def answer(image):\n    return len(detect(image, "dog"))\n'


def fake(*replies: object) -> object:
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel

    return GenericFakeChatModel(messages=iter(replies))


def test_a_model_object(plan_request: Callable[..., PlanRequest]) -> None:
    from langchain_core.messages import AIMessage

    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    planner = make_planner(fake(AIMessage(f"```python\n{GOOD}```", usage_metadata=usage)), max_examples=2)
    assert isinstance(planner, LLMPlanner)
    (plan,) = planner.plan(plan_request())
    assert (plan.program, plan.tokens, plan.planner) == (GOOD, Tokens(7, 3), "langchain:GenericFakeChatModel")


def test_content_in_blocks_and_several_replies() -> None:
    from langchain_core.messages import AIMessage

    blocks = [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "a"}]
    replies = LangChainChat(fake(AIMessage(blocks), "b", "  ")).complete(ASK, n=3)
    assert sorted(r.text for r in replies) == ["a", "b"]
    assert replies[0].tokens is None


def test_an_empty_reply() -> None:
    with pytest.raises(PlannerError, match="gave an empty reply"):
        LangChainChat(fake("")).complete(ASK)


def test_by_name_against_an_endpoint(plan_request: Callable[..., PlanRequest]) -> None:
    with serve(say(f"Here:\n```python\n{GOOD}```"), say("x", finish="length")) as endpoint:
        planner = make_planner(
            "langchain:openai:small-model", base_url=endpoint.url, api_key="k", max_examples=1, max_tokens=50
        )
        (plan,) = planner.plan(plan_request())
        (reply,) = planner.chat.complete(ASK, temperature=0.5)
    assert (plan.program, plan.tokens, plan.planner) == (
        GOOD,
        Tokens(100, 20),
        "langchain:openai:small-model",
    )
    assert [m["role"] for m in endpoint.requests[0]["messages"]] == ["system", "user", "assistant", "user"]
    assert [r["temperature"] for r in endpoint.requests] == [0.0, 0.5]
    assert endpoint.requests[0].get("max_completion_tokens", endpoint.requests[0].get("max_tokens")) == 50
    assert reply.truncated


def test_errors_are_one_sentence() -> None:
    with serve(Fail(401, "bad key")) as endpoint:
        chat = LangChainChat("openai:m", base_url=endpoint.url, api_key="k", max_retries=0)
        with pytest.raises(PlannerError, match=r"openai:m failed: .*AuthenticationError: .*bad key"):
            chat.complete(ASK)
    with pytest.raises(PlannerError, match="cannot make the model 'langchain:nowhere:m'"):
        LangChainChat("nowhere:m").complete(ASK)
    with pytest.raises(ConfigError, match="langchain:PROVIDER:MODEL"):
        LangChainChat("")
    with pytest.raises(ConfigError, match="set this on the LangChain model object"):
        LangChainChat(fake(), temperature=1)


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)
    with pytest.raises(MissingExtra, match=r"visprog\[langchain\]"):
        LangChainChat("openai:m").complete(ASK)


class Talking:
    """What looks like a LangChain chat model, and refuses images if it is told to."""

    def __init__(self, sees: bool = True) -> None:
        self.sees = sees
        self.sent: list[Any] = []
        self.bound: list[Any] = []

    def invoke(self, messages: Any) -> Any:
        from langchain_core.messages import AIMessage
        from langchain_core.messages.utils import convert_to_messages

        self.sent.append(messages)
        assert len(convert_to_messages(messages)) == len(messages)
        if not self.sees and "image_url" in str(messages):
            raise ValueError("this model does not support image input")
        calls = [{"name": "detect", "args": {"what": "dog"}, "id": "c1"}] if self.bound else []
        return AIMessage("hello", tool_calls=calls)

    def batch(self, inputs: Any) -> Any:
        return [self.invoke(each) for each in inputs]

    async def ainvoke(self, messages: Any) -> Any:
        return self.invoke(messages)

    def bind_tools(self, tools: Any) -> Any:
        self.bound = tools
        return self


SEEN: list[Message] = [
    {"role": "user", "content": ["what is it?", ImagePart(b"png", "image/png", "a dog", "0" * 64)]},
    {"role": "assistant", "content": "", "calls": (ToolCall("c0", "detect", '{"what": "cat"}'),)},
    {"role": "tool", "call": "c0", "content": "none"},
]


def test_images_and_calls_of_tools() -> None:
    tool = {"type": "function", "function": {"name": "detect", "description": "d", "parameters": {}}}
    model = Talking()
    (reply,) = LangChainChat(model).complete(SEEN, tools=[tool])
    assert reply.calls == (ToolCall("c1", "detect", '{"what": "dog"}'),) and model.bound == [tool]
    asked, called, result = model.sent[0]
    assert asked["content"][1]["image_url"]["url"] == "data:image/png;base64,cG5n"
    assert called["tool_calls"][0]["id"] == result["tool_call_id"] == "c0"


def test_a_model_that_refuses_images_is_remembered() -> None:
    model = Talking(sees=False)
    chat = LangChainChat(model)
    assert [chat.complete(SEEN)[0].without_images for _ in range(2)] == [True, True]
    assert ["image_url" in str(sent) for sent in model.sent] == [True, False, False]
    assert "[a dog]" in model.sent[-1][0]["content"]
