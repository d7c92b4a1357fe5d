"""A chat model that takes turns about a video: the frames that it sees, values that are kept, conversations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.planner.test_turns import Scripted, calls
from tests.video_files import write_video
from visprog.agent import Agent
from visprog.llm.chat import text_of
from visprog.registry import Registry, tool
from visprog.tools.video import video_at
from visprog.values import Box, Region, Span, Track
from visprog.values.image import Image
from visprog.values.video import Video

pytest.importorskip("av")

RED = (220, 30, 30)


@tool
def track(video: Video, what: str) -> list[Track]:
    """Objects over time: one, in view from the first second to the third."""
    places = ((1.0, Box(10, 10, 34, 34)), (3.0, Box(60, 10, 84, 34)))
    return [Track(what, 0.9, (Span(1.0, 3.0),), places)]


@tool
def detect(image: Image, what: str) -> list[Region]:
    """One object in the middle."""
    return [Region(Box(40, 40, 80, 80), what, 0.9, image.root)]


@tool
def vqa(image: Image | Region, question: str) -> str:
    """A guess."""
    return "a guess"


VIDEO_TOOLS = Registry([track, detect, vqa, video_at])


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4", lambda time: [(10 + 20 * time, 40, RED)], 4.0)


@pytest.fixture
def agents() -> Iterator[list[Agent]]:
    made: list[Agent] = []
    yield made
    for agent in made:
        agent.close()


def agent_of(agents: list[Agent], chat: Scripted, **settings: object) -> Agent:
    agents.append(Agent(chat, {}, registry=VIDEO_TOOLS, **settings))
    return agents[-1]


def test_it_sees_frames_and_goes_on_with_tracks(agents: list[Agent], clip: Path) -> None:
    chat = Scripted(
        "```python\ndef answer(video):\n    return video.at(2.0)\n```",
        "```python\ndef answer(video):\n    return track(video, 'car')\n```",
        "```python\ndef answer(tracks1):\n    return tracks1[0].first_seen\n```\nDONE",
    )
    answer = agent_of(agents, chat, turns=5).ask("When does the car appear?", clip, returns=float)
    assert (answer.status, answer.value) == ("answered", 1.0), answer.message
    assert [step.kept_as for step in answer.steps] == ["image1", "tracks1", "float1"]
    opening = chat.text(0)
    assert "# Videos" in opening and "def answer(video):" in opening
    shown = chat.images(0)
    assert len(shown) == 3 and all(image.data for image in shown)
    assert all(f"video.at({time})" in opening for time in ("0.60", "2.00", "3.30"))
    (look,) = chat.images(1)
    assert look.description == "image 160 × 120 of second 2.00"
    assert "tracks1" in chat.text(2) and not chat.images(2)


def test_places_that_do_not_say_their_frame_are_not_drawn(agents: list[Agent], clip: Path) -> None:
    chat = Scripted(
        "```python\ndef answer(video):\n    return track(video, 'car')[0].start\n```",
        "```python\ndef answer(video):\n    return detect(video.at(2.0), 'car')\n```",
        "CANNOT: enough seen",
    )
    agent_of(agents, chat, turns=5).ask("Where is the car?", clip)
    assert not chat.images(1)
    (marked,) = chat.images(2)
    assert marked.description == "image 160 × 120 of second 2.00 with 1 object marked"


def test_a_conversation_about_a_video_keeps_values(agents: list[Agent], clip: Path) -> None:
    chat = Scripted(
        "```python\ndef answer(video):\n    return track(video, 'car')\n```\nDONE",
        "```python\ndef answer(tracks1):\n    return tracks1[0].last_seen\n```\nDONE",
    )
    talk = agent_of(agents, chat).chat(clip)
    assert len(talk.ask("Which cars are there?").unwrap()) == 1
    answer = talk.ask("And when does it leave?")
    assert answer.value == 3.0, answer.message
    assert "Asked before about the same video" in chat.text(1) and "tracks1: list[Track]" in chat.text(1)
    assert len(talk.images) == 3 and len(answer.rests_on) == 1


def test_calls_of_tools_name_the_video(agents: list[Agent], clip: Path) -> None:
    chat = Scripted(
        calls(("track", {"video": "video", "what": "car"})),
        calls(("answer", {"expression": "len(tracks1)"})),
    )
    answer = agent_of(agents, chat, turns=4, tool_calls=True).ask("How many cars pass?", clip)
    assert (answer.status, answer.value) == ("answered", 1), answer.message
    assert len(chat.images(0)) == 3 and "video.at(2.00)" in chat.text(0)


def test_the_printed_prompt_is_that_of_a_video(agents: list[Agent], clip: Path) -> None:
    chat = Scripted("CANNOT: seen")
    agent = agent_of(agents, chat)
    talk = agent.chat(clip)
    printed = talk.opening("How many cars pass?")
    talk.ask("How many cars pass?")
    assert [text_of(m) for m in printed.messages] == [text_of(m) for m in chat.sent[0]]


def test_the_fallback_is_asked_about_one_image_alone(agents: list[Agent], clip: Path) -> None:
    """A tool that sees one image would answer about a part of what is asked, and be sure."""
    image = Image(Video.open(clip).at(0.0).pixels)
    for given, status in (([clip], "refused"), ([image, image], "refused"), ([image], "fallback")):
        chat = Scripted("CANNOT: no")
        assert agent_of(agents, chat, fallback=True).ask("What is it?", *given).status == status
