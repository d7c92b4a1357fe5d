"""Parts of real clips, with a small detector that misses much. `benchmarks/video.py` asks all questions about them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from visprog.agent import Agent
from visprog.values import Span, Video

pytest.importorskip("av", reason="videos need the extra 'video'")
pytest.importorskip("onnxruntime", reason="the detector is an ONNX file")


@pytest.fixture(scope="module")
def agent(shared: Path) -> Iterator[Agent]:
    model = shared / "models" / "fastestdet_coco.onnx"
    if not model.is_file() or not (shared / "videos" / "cars.mp4").is_file():
        pytest.skip(f"there are no clips, or no detector, in {shared}")
    options = {
        "backend": "onnx",
        "model": str(model),
        "labels": str(model.with_suffix(".names")),
        "threads": 1,
    }
    with Agent(backends={"detect": options}, in_process=True) as made:
        yield made


def test_cars_from_above_that_are_known_at_the_edge_alone(agent: Agent, shared: Path) -> None:
    program = 'def answer(video):\n    return [(c.direction, c.first_seen) for c in track(video, "car")]\n'
    part = Video.open(shared / "videos" / "cars.mp4").between(13.5, 20)
    answer = agent.run(program, part)
    assert [direction for direction, _ in answer.value] == ["down", "up"]
    assert [first for _, first in answer.value] == pytest.approx([14.4, 15.0], abs=0.3)


def test_bottles_that_are_taken_away_and_put_back(agent: Agent, shared: Path) -> None:
    program = (
        "def answer(video):\n"
        '    samples = count_over_time(video, "bottle")\n'
        "    return samples[5][1], spans_where([(t, n < 2) for t, n in samples])\n"
    )
    part = Video.open(shared / "videos" / "bottles.mp4").between(14, 26)
    first, spans = agent.run(program, part).value
    assert first == 3 and len(spans) == 1
    assert isinstance(spans[0], Span)
    assert spans[0].start == pytest.approx(17.5, abs=1) and spans[0].end == pytest.approx(23, abs=1)


def test_a_hand_that_holds_a_bottle_is_no_bottle(agent: Agent, shared: Path) -> None:
    """It was detected with the bottle, and then followed where it went. The detector misses one of the bottles here."""
    program = 'def answer(video):\n    return sorted(bottle.direction for bottle in track(video, "bottle"))\n'
    part = Video.open(shared / "videos" / "bottles.mp4").between(30, 39)
    assert agent.run(program, part).value == ["down", "none", "none"]
