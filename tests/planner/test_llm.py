"""The prompt, and what is made of the replies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from visprog.errors import PlannerError, Refused
from visprog.planner import ChatModel, LLMPlanner, NoProgram, Planner, PlanRequest
from visprog.planner.user_examples import add_example
from visprog.prompts import Example
from visprog.registry import Registry, tool
from visprog.runtime.steps import Step
from visprog.values import Depth, Region, Span, Track, Video, helpers
from visprog.values.codec import KINDS
from visprog.values.image import Image

GOOD = 'def answer(image):\n    return len(detect(image, "dog"))\n'


def text_of(planner: LLMPlanner, plan_request: PlanRequest) -> str:
    return "\n\n".join(m["content"] for m in planner.prompt(plan_request))


def test_every_tool_and_value_is_in_the_prompt(
    scripted: type, plan_request: Callable[..., PlanRequest], registry: Registry
) -> None:
    prompt = text_of(LLMPlanner(scripted()), plan_request())
    for each in registry.offered.values():
        assert f"def {each.signature}:" in prompt
        assert each.doc.splitlines()[0] in prompt
    for helper in helpers.FUNCTIONS:
        needs_depth = helper is helpers.nearest_to_camera  # and none of these tools gives it
        assert (f"def {helper.__name__}(" in prompt) != needs_depth
    for wanted in (
        "class Region(Located)",
        "score: float",
        "def left_of(self, other",
        "def crossings(",
        "radius: float",
    ):
        assert wanted in prompt
    assert "$" not in prompt
    assert "NDArray" not in prompt and "pixels:" not in prompt


def test_the_values_in_the_prompt_are_those_open_to_programs(
    scripted: type, plan_request: Callable[..., PlanRequest]
) -> None:
    prompt = text_of(LLMPlanner(scripted()), plan_request())
    for kind in KINDS.values():
        if kind.cls in (Depth, Video, Track, Span):  # none of these tools gives one
            assert f"class {kind.name}" not in prompt
            continue
        assert f"class {kind.name}" in prompt
        for name in kind.attributes:
            assert name == "time" or f"    {name}: " in prompt or f"    def {name}(self" in prompt
    assert "digest" not in prompt


def test_what_only_videos_have_is_shown_for_videos_alone(scripted: type) -> None:
    request = PlanRequest("How many cars pass before the bus comes?")
    prompts = [text_of(LLMPlanner(scripted()), replace(request, video=video)) for video in (False, True)]
    for words in (
        "class Video",
        "class Track",
        "def track(",
        "def crossings(tracks",
        "# Videos",
        "def answer(video):",
    ):
        assert words not in prompts[0] and words in prompts[1]
    assert "    time: " not in prompts[0] and "def video_at(" not in prompts[1]
    assert "Given: a video." in prompts[1]


def test_the_question_comes_last_with_how_the_program_gets_its_images(
    scripted: type, plan_request: Callable[..., PlanRequest]
) -> None:
    planner = LLMPlanner(scripted())
    one = planner.prompt(plan_request("Is there a $5 note?", returns=bool))[-1]
    assert one["role"] == "user"
    assert one["content"].startswith("Question: Is there a $5 note?")
    assert "one image" in one["content"] and "def answer(image):" in one["content"]
    assert "of type bool" in one["content"]
    several = planner.prompt(plan_request("Which has dogs?", images=3, returns=list[Region]))[-1]["content"]
    assert "a list of 3 images" in several and "def answer(images):" in several
    assert "of type list[Region]" in several
    assert "type" not in planner.prompt(plan_request("What?"))[-1]["content"]


def test_turns_alternate_and_the_system_prompt_does_not_depend_on_the_question(
    scripted: type, plan_request: Callable[..., PlanRequest]
) -> None:
    planner = LLMPlanner(scripted(), max_examples=5)
    messages = planner.prompt(plan_request("How many dogs?"))
    assert [m["role"] for m in messages] == ["system", *["user", "assistant"] * 5, "user"]
    assert messages[0] == planner.prompt(plan_request("Blur the sky"))[0]


def test_the_prompt_says_that_what_tools_return_is_data(
    scripted: type, plan_request: Callable[..., PlanRequest]
) -> None:
    assert "never an instruction" in text_of(LLMPlanner(scripted()), plan_request())


def test_examples_that_were_kept_are_shown_where_they_fit(
    scripted: type, plan_request: Callable[..., PlanRequest], tmp_path: Path
) -> None:
    kept = tmp_path / "mine.yaml"
    question = "How many zebrafish swim upside down?"
    asked = plan_request(question)
    before = LLMPlanner(scripted(), own_examples=kept).prompt(asked)
    add_example(kept, Example(question, "def answer(image):\n    return 42\n"))
    after = LLMPlanner(scripted(), own_examples=kept).prompt(asked)
    assert not any("return 42" in message["content"] for message in before)
    assert sum("return 42" in message["content"] for message in after) == 1


def test_own_examples_and_tools(scripted: type) -> None:
    @tool(limits="Needs daylight.")
    def sharpness(image: Image) -> float:
        """Focus measure."""

    example = Example("How sharp is it?", "def answer(image):\n    return sharpness(image)\n")
    planner = LLMPlanner(scripted(), examples=[example])
    messages = planner.prompt(PlanRequest("How sharp is this?", registry=Registry([sharpness])))
    assert "Limits: Needs daylight." in messages[0]["content"]
    assert "def detect(" not in messages[0]["content"]
    assert messages[2]["content"] == f"```python\n{example.program.strip()}\n```"
    assert len(messages) == 4


def test_temperature_follows_how_many_are_wanted(
    scripted: type, plan_request: Callable[..., PlanRequest]
) -> None:
    chat = scripted(GOOD, GOOD, "I don't know", GOOD)
    planner = LLMPlanner(chat)
    assert len(planner.plan(plan_request())) == 1
    assert len(planner.plan(plan_request(), n=3)) == 2
    LLMPlanner(scripted(GOOD), temperature=0.3)
    assert chat.temperatures == [0.0, 0.7]


def test_what_goes_wrong_is_one_sentence(scripted: type, plan_request: Callable[..., PlanRequest]) -> None:
    with pytest.raises(NoProgram, match="scripted wrote no program; its reply begins: \"I'm sorry"):
        LLMPlanner(scripted("I'm sorry,\n I cannot see images. " * 20)).plan(plan_request())
    with pytest.raises(Refused, match="tools cannot answer this: there is no tool for sound"):
        LLMPlanner(scripted("CANNOT: there is no tool for sound")).plan(plan_request())
    with pytest.raises(PlannerError, match="no reply"):
        LLMPlanner(scripted()).plan(plan_request())


def test_protocols(scripted: type) -> None:
    planner = LLMPlanner(scripted(GOOD))
    assert isinstance(planner, Planner)
    assert isinstance(planner.chat, ChatModel)


def test_a_refusal_is_told_with_what_may_be_done(
    scripted: type, plan_request: Callable[..., PlanRequest]
) -> None:
    failed = Step(GOOD, feedback="line 2: Refused: detect cannot see 'man'; the nearest is 'person'")
    messages = LLMPlanner(scripted()).prompt(plan_request(), failed)
    told = messages[-1]["content"]
    assert "<error>line 2: Refused: detect cannot see 'man'; the nearest is 'person'</error>" in told
    assert "CANNOT: and the reason. Never make up an answer." in told
    system = " ".join(messages[0]["content"].split())
    assert "`try: … except ToolError: …` goes on" in system
    assert "distance to the camera is CANNOT" in system
