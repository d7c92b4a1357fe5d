"""`video_vqa`: frames with their times for models that take several images, here and behind an endpoint."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.tools.backends.test_endpoint import FakeVlm
from tests.video_files import frame
from visprog.agent import Agent
from visprog.config import Config
from visprog.errors import ToolError
from visprog.registry import default_registry
from visprog.runtime.host import Host
from visprog.tools.backends import vlm
from visprog.tools.backends.video_questions import EndpointVideoVqa, VlmVideoVqa, frames_prompt
from visprog.tools.video import in_frames, video_vqa
from visprog.values import Video
from visprog.values.image import Image

Folder = Callable[[str], str]
ANSWER = 'def answer(video):\n    return video_vqa(video, "What colour is it?")\n'


@pytest.fixture
def video() -> Video:
    """Twelve seconds, a frame each second, of a square that goes to the right."""
    return Video.open([frame([(10 * i, 40, (220, 30, 30))]) for i in range(12)], fps=1)


class Teller:
    """Says what it is asked, and of which frames."""

    process = "host"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [f"{c['question']} {len(c['frames'])}: {c['times']}" for c in calls]


def test_frames_lie_evenly_over_the_part_that_is_asked_about(video: Video) -> None:
    def asked(part: Video) -> list[float]:
        ((call,), join) = in_frames(part, "what?")
        assert join(["red"]) == "red" and [f.time for f in call["frames"]] == call["times"]
        return list(call["times"])

    assert asked(video) == [float(i) for i in range(12)]
    assert asked(video.between(3, 5)) == [3, 4]
    long = Video.open([frame([])] * 900, fps=1)
    assert len(asked(long)) == 16 and max(np.diff(asked(long))) < 58
    assert asked(Video.open([frame([])])) == [0]


def test_a_backend_gets_frames_and_times(video: Video) -> None:
    with Agent(backends={"video_vqa": Teller}, in_process=True) as agent:
        program = 'def answer(video):\n    return video_vqa(video.between(4, 6), "Where?")\n'
        answer = agent.run(program, video)
    assert answer.value == "Where? 2: [4.0, 5.0]" and answer.trace[-1].tool == "video_vqa"


def test_without_a_model_it_refuses_and_is_not_offered(video: Video) -> None:
    with Agent(in_process=True) as agent:
        answer = agent.run(ANSWER, video)
    assert answer.status == "refused" and "visprog models setup" in answer.message
    assert "video_vqa" not in Host(default_registry(), Config()).in_force.for_inputs(True).offered
    config = Config.of({"tools": {"video_vqa": {"backend": "openai", "model": "m"}}})
    assert "video_vqa" in Host(default_registry(), config).in_force.for_inputs(True).offered
    assert "video_vqa" not in default_registry().for_inputs(False)


@pytest.mark.parametrize("kind", ["qwen3-vl", "smolvlm", "llava-onevision", "internvl"])
def test_models_answer_about_several_images(
    kind: str, checkpoint: Folder, video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vlm, "end_tokens", lambda checkpoint: set(range(100_000)))
    seen: list[tuple[int, str]] = []
    answerer = VlmVideoVqa(checkpoint(kind), max_tokens=4, max_side=64)

    def generate(checkpoint: Any, inputs: dict[str, Any], images: Any) -> Any:
        text = checkpoint.processor.tokenizer.decode(inputs["input_ids"][0])
        seen.append((int((inputs["input_ids"] == checkpoint.network.config.image_token_id).sum()), text))
        return VlmVideoVqa._generate(answerer, checkpoint, inputs, images)

    monkeypatch.setattr(answerer, "_generate", generate)
    calls = [in_frames(video.between(a, b), "What colour is it?")[0][0] for a, b in ((0, 3.9), (0, 1.9))]
    for call in calls:
        (answer,) = answerer([call])
        assert isinstance(answer, str) or "is empty" in str(answer)
    (several, text), (few, _) = seen
    assert several == 2 * few > 0  # tokens of images, for four frames and for two
    assert "what colour" in text.lower()


def test_the_prompt_names_times_and_keeps_the_question_apart(video: Video) -> None:
    frames = video.sample(3)
    prompt = frames_prompt(frames, [f.time for f in frames], " What happens? ")
    assert [p if isinstance(p, str) else "frame" for p in prompt.parts[:6]] == [
        "At 2.0 s:", "frame", "At 6.0 s:", "frame", "At 10.0 s:", "frame",
    ]  # fmt: skip
    assert "3 frames of one video" in str(prompt.parts[-1]) and str(prompt.parts[-1]).endswith(
        "What happens?"
    )
    with pytest.raises(ToolError, match="empty question"):
        frames_prompt(frames, [0.0, 1.0, 2.0], " ")


def test_an_endpoint_gets_all_frames(video: Video, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai", reason="the extra 'openai' is not installed")
    monkeypatch.setattr(
        FakeVlm, "content", staticmethod(lambda request: (Image.open(frame([])), "Question: x"))
    )
    endpoint = FakeVlm()
    try:
        answerer = EndpointVideoVqa("vlm", base_url=endpoint.url, api_key="secret", max_side=80)
        (answer,) = answerer([in_frames(video.between(0, 3.9), "What happens?")[0][0]])
    finally:
        endpoint.server.shutdown()
        endpoint.server.server_close()
    assert answer == "160 x 120: x"
    (content,) = [message["content"] for message in endpoint.requests[0]["messages"]]
    texts = [part["text"] for part in content if part["type"] == "text"]
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    assert re.findall(r"At (\S+) s:", " ".join(texts)) == ["0.0", "1.0", "2.0", "3.0"]
    assert {Image.open(base64.b64decode(url.partition(",")[2])).size for url in urls} == {(80, 60)}
    assert len(urls) == 4


def test_it_is_a_backend_of_the_tool() -> None:
    assert isinstance(video_vqa.load("vlm"), VlmVideoVqa)
    assert isinstance(video_vqa.load("openai", (("model", "m"),)), EndpointVideoVqa)
    with pytest.raises(ToolError, match="set backend"):
        video_vqa.load("none", (("model", "m"),))
