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
from visprog.planner.examples import calls, choose
from visprog.planner.selection import CORE, VIDEO_CORE
from visprog.registry import Registry, default_registry, tool
from visprog.runtime.host import Host
from visprog.runtime.steps import Step
from visprog.training.planner.normalise import read_programs
from visprog.values import helpers
from visprog.values.image import Image

NLVR = Path(__file__).resolve().parents[2] / "visprog" / "training" / "planner" / "nlvr_programs.yaml"
REGISTRY = Host(default_registry(), Config()).in_force
OFFERED = REGISTRY.for_inputs(video=False).offered
CHAT = {"backend": "chat", "model": "openai:m"}
ABLE = Host(
    default_registry(),
    Config.of(
        {
            "tools": {
                "detect": {"backend": "owlv2"},
                "depth": {"backend": "depth-anything"},
                "vqa": {"backend": "vlm", "model": "Qwen/Qwen3-VL-4B-Instruct"},
                "video_vqa": {"backend": "vlm", "model": "Qwen/Qwen3-VL-4B-Instruct"},
                "ask_llm": CHAT,
                "list_items": CHAT,
                "choose": CHAT,
            }
        }
    ),
).in_force
"""With the tools that no bundled model answers."""


def prompt(
    question: str,
    tokens: int | None = 4000,
    registry: Registry = REGISTRY,
    *,
    video: bool = False,
    **options: Any,
) -> list[Any]:
    planner = LLMPlanner(ScriptedChat(), prompt_tokens=tokens, **options)
    return planner.prompt(PlanRequest(question, registry=registry, video=video))


def named(messages: list[Any]) -> set[str]:
    """Functions that the system prompt describes."""
    text = messages[0]["content"]
    alike = re.findall(r"Called in the same way: ([\w, ]+)", text)
    return {
        *re.findall(r"^def (\w+)", text, re.MULTILINE),
        *(n for names in alike for n in names.split(", ")),
    }


def test_all_tools_stand_in_a_prompt_without_a_limit() -> None:
    assert named(prompt("How many dogs are there?", None)) == set(OFFERED)


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
    assert wanted <= shown <= set(OFFERED)
    assert set(CORE) & OFFERED.keys() <= shown
    assert {f.__name__ for f in helpers.FUNCTIONS} & OFFERED.keys() <= shown | {"intersections"}
    for message in messages[2:-1:2]:
        assert calls(message["content"].strip("`").removeprefix("python")) <= shown | {"Box", "Point"}


def test_the_least_similar_goes_first_and_descriptions_last() -> None:
    question = "Blur everything but the dog"
    sizes = {tokens: prompt(question, tokens) for tokens in (100_000, 4000, 3600, 3400)}
    shown = [named(messages) for messages in sizes.values()]
    assert "blur_background" in set.intersection(*shown) and shown[0] == set(OFFERED)
    assert len(sizes[100_000]) == 18 and len(sizes[4000]) > len(sizes[3400])
    assert "In a photograph it is the colour in full light" in sizes[4000][0]["content"]


def test_a_limit_that_nothing_fits_says_what_would() -> None:
    question = "Blur everything but the dog"
    with pytest.raises(
        ConfigError, match=r"'prompt_tokens' is 500, and the least prompt .* raise it"
    ) as refused:
        prompt(question, 500)
    least = int(str(refused.value).split("about ")[1].split(":")[0].replace(",", ""))
    assert 2000 < least < 3500
    messages = prompt(question, least)
    assert estimate_tokens(messages) == least
    assert "In a photograph it is the colour in full light" not in messages[0]["content"]
    assert "def dominant_color(" in messages[0]["content"]
    with pytest.raises(ConfigError):
        prompt(question, least - 1)
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


QUESTIONS = (
    "How many birds appear: 2, 3, 5 or 7?",
    "What does the woman do after she closes the door?",
    "Why does the child cry at the end? (it fell, it is hungry, the toy broke, the dog left)",
    "How many people are in the room while the light is off?",
    "If the sofa is 0.9 m high, how high is the table?",
    "Which player has the number 17?",
    "Where do the two red lines cross?",
)


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("video", [False, True])
def test_what_is_named_is_shown(question: str, video: bool) -> None:
    messages = prompt(question, 4000, ABLE, video=video)
    shown, system = named(messages), messages[0]["content"]
    assert estimate_tokens(messages) <= 4000 and len(messages) >= 6
    assert set(VIDEO_CORE if video else CORE) <= shown
    of_rules = set(re.findall(r"`(\w+)`(?! statements| sees)", system)) & ABLE.keys()
    assert of_rules <= shown
    for helper, maker in [
        ("nearest_to_camera", "depth"),
        ("intersections", "find_lines"),
        ("crossings", "track"),
    ]:
        assert helper not in shown or maker in shown
    assert ("class Mask:" in system and "# Has area" in system) == video
    if " or " in question or "(" in question:
        assert {"classify", "choose"} <= shown


@pytest.mark.parametrize(
    ("question", "wanted"),
    [("Tag the founding members of the Beatles with their names", {"find_faces", "list_items", "tag"}),
     ("Find the player with number 17", {"find_text"}),
     ("If the sofa is 0.9 m high, how high is the table?", {"depth"}),
     ("Three points are marked A, B and C. Order them from the nearest to the farthest", {"depth", "find_text"})],
)  # fmt: skip
def test_examples_bring_the_tools_of_their_kind(question: str, wanted: set[str]) -> None:
    assert wanted <= named(prompt(question, 4000, ABLE))


def test_words_that_say_nothing_choose_no_example() -> None:
    blurred = "Is this photo too dark or blurred?"
    for question in (
        "Do you see either forks or spoons in this photo?",
        "Is this picture of a kite or a bird?",
    ):
        asked = PlanRequest(question, registry=ABLE)
        assert blurred not in {e.question for e in choose(asked, prompts.examples(), 4)}
    assert (
        choose(PlanRequest("Is it a dark photo?", registry=ABLE), prompts.examples(), 1)[0].question
        == blurred
    )


def test_a_repair_shows_the_tools_of_the_program_that_failed() -> None:
    failed = Step(
        "def answer(image):\n    return find_grid(image).rows + compare_images(image, image)\n",
        feedback="TypeError",
    )
    planner = LLMPlanner(ScriptedChat(), prompt_tokens=3500)
    request = PlanRequest("Blur everything but the dog", registry=REGISTRY)
    assert not {"find_grid", "compare_images"} & named(planner.prompt(request))
    assert {"find_grid", "compare_images"} <= named(planner.prompt(request, failed))
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
    assert kept >= 0.7 * len(usable)
