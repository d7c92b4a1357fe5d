"""A prompt of bounded size shows what the question is likely to need, and nothing that cannot run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.planner.conftest import ScriptedChat
from visprog import prompts
from visprog.agent import Agent
from visprog.config import Config
from visprog.errors import ConfigError
from visprog.llm.chat import estimate_tokens
from visprog.planner import LLMPlanner, PlanRequest
from visprog.planner.examples import calls
from visprog.planner.selection import CORE
from visprog.registry import Registry, default_registry, tool
from visprog.runtime.host import Host
from visprog.runtime.steps import Step
from visprog.training.planner.normalise import read_programs
from visprog.values import helpers
from visprog.values.image import Image

NLVR = Path(__file__).resolve().parents[2] / "visprog" / "training" / "planner" / "nlvr_programs.yaml"
REGISTRY = Host(default_registry(), Config()).in_force


def prompt(
    question: str, tokens: int | None = 4000, registry: Registry = REGISTRY, **options: Any
) -> list[Any]:
    planner = LLMPlanner(ScriptedChat(), prompt_tokens=tokens, **options)
    return planner.prompt(PlanRequest(question, registry=registry))


def named(messages: list[Any]) -> set[str]:
    """Functions that the system prompt describes."""
    text = messages[0]["content"]
    alike = re.findall(r"Called in the same way: ([\w, ]+)", text)
    return {
        *re.findall(r"^def (\w+)", text, re.MULTILINE),
        *(n for names in alike for n in names.split(", ")),
    }


def test_all_tools_stand_in_a_prompt_without_a_limit() -> None:
    assert named(prompt("How many dogs are there?", None)) == set(REGISTRY.offered)


@pytest.mark.parametrize(
    ("question", "wanted"),
    [("Cover all faces with a smiley", {"find_faces", "cover"}), ("How many circles overlap?", {"find_circles"}),
     ("What does the QR code say?", {"find_qr_codes"}), ("How many rows has the table?", {"find_grid"}),
     ("Remove the dog from the photo", {"remove"}), ("这张照片里有几只猫？", set())],
)  # fmt: skip
def test_what_a_question_needs_is_there_and_it_fits(question: str, wanted: set[str]) -> None:
    messages = prompt(question)
    assert estimate_tokens(messages) <= 4000 < estimate_tokens(prompt(question, None))
    shown = named(messages)
    assert wanted <= shown <= set(REGISTRY.offered)
    assert set(CORE) & REGISTRY.offered.keys() <= shown
    assert {f.__name__ for f in helpers.FUNCTIONS} & REGISTRY.offered.keys() <= shown
    for message in messages[2:-1:2]:
        assert calls(message["content"].strip("`").removeprefix("python")) <= shown | {"Box", "Point"}


def test_the_least_similar_goes_first_and_descriptions_last() -> None:
    question = "Blur everything but the dog"
    sizes = {tokens: prompt(question, tokens) for tokens in (100_000, 4000, 3600, 3400)}
    shown = [named(messages) for messages in sizes.values()]
    assert "blur_background" in set.intersection(*shown) and shown[0] == set(REGISTRY.offered)
    assert len(sizes[100_000]) == 18 and len(sizes[4000]) > len(sizes[3400])
    assert "In a photograph it is the colour in full light" in sizes[4000][0]["content"]
    least = prompt(question, 2700)
    assert "In a photograph it is the colour in full light" not in least[0]["content"]
    assert "def dominant_color(" in least[0]["content"]


def test_a_limit_that_nothing_fits_says_what_would() -> None:
    with pytest.raises(
        ConfigError, match=r"'prompt_tokens' is 500, and the least prompt .* about 2,\d{3}: raise it"
    ):
        prompt("How many dogs are there?", 500)
    for wrong in (0, -3, 2.5, "4000"):
        with pytest.raises(ConfigError, match="prompt_tokens"):
            LLMPlanner(ScriptedChat(), prompt_tokens=wrong)  # type: ignore[arg-type]


def test_it_is_a_setting() -> None:
    with Agent(
        "openai:small", config={"planner": "openai:small", "planner_options": {"prompt_tokens": 3500}}
    ) as agent:
        assert isinstance(agent.planner, LLMPlanner)
        assert (
            estimate_tokens(agent.planner.prompt(PlanRequest("How many?", registry=agent.host.in_force)))
            <= 3500
        )


def test_it_holds_with_many_more_tools() -> None:
    def another(number: int) -> Any:
        @tool(name=f"gauge_{number}")
        def gauge(image: Image, unit: str = "bar", damping: float = 0.5) -> float:
            """The reading of a pressure gauge in the image, as an instrument of its maker shows it."""

        return gauge

    @tool
    def wind_speed(image: Image) -> float:
        """The speed of the wind by the flags in the image, in metres per second."""

    many = Registry([*REGISTRY.values(), *map(another, range(200)), wind_speed])
    messages = prompt("How fast is the wind by the flags?", 4000, many)
    assert estimate_tokens(messages) <= 4000
    assert {"wind_speed", "detect", "largest"} <= named(messages)


def test_only_what_can_run_is_shown() -> None:
    offered = REGISTRY.offered
    assert not {"vqa", "depth", "nearest_to_camera", "ask_llm"} & offered.keys()
    assert "class Depth" not in prompt("How far is the dog?", None)[0]["content"]
    able = Host(default_registry(), Config.of({"tools": {"depth": {"backend": "depth-anything"}}})).in_force
    assert {"depth", "nearest_to_camera"} <= able.offered.keys()
    messages = prompt("Which chair is nearest to the camera?", 4000, able)
    assert {"depth", "nearest_to_camera"} <= named(messages)
    assert "class Depth" in messages[0]["content"] and "def at(self, where: " in messages[0]["content"]


def test_a_repair_shows_the_tools_of_the_program_that_failed() -> None:
    failed = Step(
        "def answer(image):\n    return find_grid(image).rows + find_qr_codes(image)\n", feedback="TypeError"
    )
    planner = LLMPlanner(ScriptedChat(), prompt_tokens=3500)
    request = PlanRequest("Blur everything but the dog", registry=REGISTRY)
    assert not {"find_grid", "find_qr_codes"} & named(planner.prompt(request))
    assert {"find_grid", "find_qr_codes"} <= named(planner.prompt(request, failed))
    assert planner.prompt(request, Step("def answer(", feedback="SyntaxError"))


def test_recorded_programs_lose_nothing() -> None:
    """A sample; `benchmarks/prompt_size.py` measures all of them."""
    for recorded in read_programs(NLVR)[::20]:
        wanted = calls(recorded.program) & REGISTRY.keys()
        assert wanted <= named(prompt(recorded.question)), recorded.question


def test_examples_left_one_out_mostly_keep_their_tools() -> None:
    usable = [
        e for e in prompts.examples() if calls(e.program) <= REGISTRY.offered.keys() | {"Box", "Point"}
    ][::8]
    kept = 0
    for example in usable:
        others = [e for e in prompts.examples() if e is not example]
        kept += calls(example.program) & REGISTRY.keys() <= named(prompt(example.question, examples=others))
    assert kept >= 0.8 * len(usable)
