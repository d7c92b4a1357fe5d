"""Questions about videos: objects followed, counted and timed, with a detector that knows red squares."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.video_files import SIDE, Square, frame, write_video
from visprog.agent import Agent
from visprog.answer import Answer
from visprog.errors import ImageError, Refused, VisprogError
from visprog.tools.tracking import statements
from visprog.values import Box, Region, Span, Track
from visprog.values.image import Image
from visprog.values.video import Video

pytest.importorskip("av", reason="videos need the extra 'video'")

RED, BLUE = (220, 30, 30), (30, 30, 220)


class SquareDetector:
    """Finds red squares as "car" and blue ones as "bus"; nothing in each third frame that it is asked about."""

    process = "host"

    def __init__(self) -> None:
        self.frames = 0

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [self.find(call["image"], call["what"]) for call in calls]

    def find(self, image: Any, what: str) -> Any:
        if what not in ("car", "bus"):
            return Refused(f"no class '{what}'")
        self.frames += 1
        if self.frames % 3 == 0:
            return []
        channel = 0 if what == "car" else 2
        pixels = image.pixels.astype(int)
        mask = (pixels[..., channel] > 170) & (pixels[..., 2 - channel] < 100)
        columns = np.flatnonzero(mask.sum(0) > SIDE / 3)
        found = []
        for part in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1):
            if len(part) > 6:
                rows = np.flatnonzero(mask[:, part].sum(1) > 3)
                found.append(image.region((part[0], rows[0], part[-1] + 1, rows[-1] + 1), what, 0.9))
        return found


def traffic(time: float) -> Iterator[Square]:
    """Two cars to the right from 1 s and 4 s on, one down from 2 s on, and a bus that stands there until 6 s."""
    for start, row in ((1, 10), (4, 40)):
        if time >= start:
            yield 40 * (time - start) - SIDE, row, RED
    if time >= 2:
        yield 120, 40 * (time - 2) - SIDE, RED
    if time < 6:
        yield 60, 90, BLUE


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "traffic.mp4", traffic, 9)


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with Agent(planner="embedded", backends={"detect": SquareDetector}, in_process=True) as made:
        yield made


def run(agent: Agent, clip: Any, body: str) -> Answer:
    return agent.run(f"def answer(video):\n    {body}\n", clip)


def value(agent: Agent, clip: Any, body: str) -> Any:
    answer = run(agent, clip, body)
    assert answer.status == "answered", answer.message
    return answer.value


def test_each_object_is_one_track(agent: Agent, clip: Path) -> None:
    cars = value(agent, clip, 'return track(video, "car")')
    assert [round(car.first_seen) for car in cars] == [1, 2, 4]
    assert [car.direction for car in cars] == ["right", "down", "right"]
    (bus,) = value(agent, clip, 'return track(video, "bus")')
    assert bus.first_seen == 0 and bus.last_seen == pytest.approx(5.9, abs=0.3) and bus.direction == "none"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ('return count_unique(video, "car")', 3),
        ('return len([c for c in track(video, "car") if c.direction == "down"])', 1),
        ("return max(n for _, n in count_over_time(video, \"car\"))", 3),
        ('return any(n > 0 for t, n in count_over_time(video, "car") if t < 0.8)', False),
        ('return count_unique(video.first_half(), "car")', 3),
        ('return count_unique(video.between(7, 9), "bus")', 0),
        ('return dominant_color(best_view(video, track(video, "car")[0]))', "red"),
        ('return round(track(video, "car")[0].first_seen)', 1),
        ("x = video.width / 2\n    line = Line((Point(x, 0), Point(x, video.height)))\n"
         '    return len(crossings(track(video, "car"), line))', 2),
        ('return [len(detect(f, "bus")) for f in video.between(0, 0.2).frames(0.1)].count(1) > 0', True),
        ('return len(detect(video.at(0.5), "car"))', 0),
    ],
)  # fmt: skip
def test_answers(agent: Agent, clip: Path, body: str, wanted: Any) -> None:
    assert value(agent, clip, body) == wanted


def test_times_at_which_something_holds(agent: Agent, clip: Path) -> None:
    (span,) = value(agent, clip, 'return spans_where([(t, n < 1) for t, n in count_over_time(video, "bus")])')
    assert (
        isinstance(span, Span)
        and span.start == pytest.approx(6, abs=0.4)
        and span.end == pytest.approx(9, abs=0.2)
    )
    seconds = value(agent, clip, 'return seconds_inside(track(video, "car")[0], Box(0, 0, 80, 120))')
    assert seconds == pytest.approx(2, abs=0.4)


class ColorVerifier:
    """Sees whether there is much red or blue in a frame."""

    process = "host"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [self.judge(call["image"].pixels.astype(int), call["statement"]) for call in calls]

    def judge(self, pixels: Any, statement: str) -> bool:
        channel = 0 if "red" in statement else 2
        return bool(((pixels[..., channel] > 170) & (pixels[..., 2 - channel] < 100)).sum() > 300)


def times_of(clip: Any, statement: str) -> Answer:
    with Agent(backends={"verify": ColorVerifier}, in_process=True) as agent:
        return run(agent, clip, f'return when(video, "{statement}")')


def test_a_statement_is_judged_where_the_image_changes(clip: Path) -> None:
    answer = times_of(Video.open(clip), "a blue bus stands there")
    (span,) = answer.value
    assert (span.start, span.end) == (0, pytest.approx(6, abs=0.01))
    (said,) = answer.cautions
    assert "one every 0.5 s and more where the image changes" in said


BLINKS = (1.07, 1.9, 3.33, 6.2, 6.8, 9.5)


@pytest.mark.parametrize("moving", [False, True], ids=["still", "moving"])
@pytest.mark.parametrize("fps", [10, 30])
def test_short_events_are_counted(moving: bool, fps: int, tmp_path: Path) -> None:
    """A light that is on for 0.3 s, while something else may move."""

    def squares(time: float) -> Iterator[Square]:
        if moving:
            yield 30 * time % 140, 80, BLUE
        if any(start <= time < start + 0.3 for start in BLINKS):
            yield 60, 40, RED

    answer = times_of(write_video(tmp_path / "light.mp4", squares, 12, fps), "the red light is on")
    assert [s.start for s in answer.value] == pytest.approx(BLINKS, abs=1.01 / fps)
    assert [s.end for s in answer.value] == pytest.approx([start + 0.3 for start in BLINKS], abs=1.01 / fps)
    assert int(answer.cautions[0].split()[0]) < 130


def test_short_gaps_and_quick_repetitions_are_counted() -> None:
    on = [i % 10 < 6 for i in range(300)]  # 25 frames per second
    frames = [frame([(60, 40, RED)] if each else []) for each in on]
    assert len(times_of(Video.open(frames, fps=25), "the red light is on").value) == 30


def test_one_misjudged_frame_is_no_event_and_is_said() -> None:
    frames = [frame([(60, 40, RED)] if i == 33 or 60 <= i < 70 else []) for i in range(100)]
    answer = times_of(Video.open(frames, fps=25), "the red light is on")
    assert [(s.start, s.end) for s in answer.value] == [(2.4, 2.8)]
    assert "what lasted 0.1 s or less was left out, 1 in all" in answer.cautions[0]


def test_a_still_frame_and_the_last_one_are_judged() -> None:
    red = frame([(60, 40, RED)])
    assert times_of(Video.open([red], fps=2), "it is red").value == [Span(0, 0.5)]
    assert times_of(Video.open([frame([]), frame([]), red], fps=2), "it is red").value == [Span(1, 1.5)]
    assert times_of(Video.open([frame([])] * 9), "it is red").value == []


def test_too_many_changes_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "MAX_CLOSER", 20)
    monkeypatch.setattr(statements, "SPARE_CLOSER", 5)
    frames = [frame([(60, 40, RED)] if i % 10 < 5 else []) for i in range(250)]
    answer = times_of(Video.open(frames, fps=25), "it is red")
    assert "changes too often" in answer.cautions[0] and int(answer.cautions[0].split()[0]) <= 22 + 20


def test_frames_are_judged_several_at_once(clip: Path) -> None:
    sizes: list[int] = []

    def judge(frames: Sequence[Image]) -> list[bool]:
        sizes.append(len(frames))
        return [each.time > 3.05 for each in frames]

    found = statements.spans_of_statement(Video.open(clip), judge)
    assert found.spans == [Span(3.1, 9)] and sum(sizes) == found.frames and len(sizes) < sum(sizes) / 3


def test_frames_are_counted_and_said_and_not_recorded(agent: Agent, clip: Path) -> None:
    answer = run(agent, Video.open(clip).between(0, 3), 'return count_unique(video, "car")')
    assert [call.tool for call in answer.trace] == ["track", "count_unique"]
    assert answer.cautions == ("31 frames were looked at for 'car', one every 0.1 s",)


def test_budgets_of_frames_end_a_run(clip: Path) -> None:
    with Agent(backends={"detect": SquareDetector}, in_process=True, limits={"frames": 40}) as agent:
        answer = run(agent, clip, 'return count_unique(video, "car")')
    assert answer.status == "error" and "more than 40 frames; raise 'frames' under [limits]" in answer.message


def test_what_cannot_be_seen_is_refused(agent: Agent, clip: Path) -> None:
    answer = run(agent, clip, 'return count_unique(video, "unicorn")')
    assert answer.status == "refused" and "unicorn" in answer.message


def test_programs_about_images_are_not_given_videos(agent: Agent, clip: Path) -> None:
    answer = agent.run("def answer(image):\n    return image.width\n", clip)
    assert answer.status == "error" and "takes images, and a video was given" in answer.message
    answer = agent.run("def answer(video):\n    return video.duration\n", np.zeros((9, 9, 3), np.uint8))
    assert answer.status == "error" and "takes a video, and images were given" in answer.message


def test_the_embedded_planner_answers_common_questions(agent: Agent, clip: Path) -> None:
    answer = agent.ask("How many cars pass?", clip)
    assert (answer.value, answer.planner, answer.status) == (3, "embedded", "answered")
    answer = agent.ask("When does the last car appear?", clip, returns=float)
    assert answer.value == pytest.approx(4, abs=0.3)


def test_the_embedded_planner_refuses_other_questions_and_what_is_not_found(agent: Agent, clip: Path) -> None:
    answer = agent.ask("How many cars pass the bus?", clip)
    assert answer.status == "refused" and "'the bus'" in answer.message and "language model" in answer.message
    answer = agent.ask("When does the first bus appear?", Video.open(clip).between(7, 9))
    assert answer.status == "refused" and "no bus is seen" in answer.message


def test_names_of_video_tools_are_free_in_programs_about_images(agent: Agent) -> None:
    source = "def answer(image):\n    crossings = 3\n    track = crossings + 1\n    return track\n"
    assert agent.run(source, np.zeros((9, 9, 3), np.uint8)).value == 4


def test_the_evidence_has_key_frames_and_a_timeline(agent: Agent, clip: Path) -> None:
    answer = run(agent, clip, 'return [c for c in track(video, "car") if c.direction == "right"]')
    page = answer.to_html()
    assert "0.0 s to 9.0 s" in page and page.count("data:image") >= 4
    data = json.loads(json.dumps(answer.to_json()))
    back = Answer.from_json(data)
    assert [t.label for t in back.value] == ["car", "car"] and isinstance(back.value[0].view, Region)
    assert back.to_json() == data


def test_a_file_without_a_frame_is_no_empty_video(agent: Agent, clip: Path, tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", traffic, 8).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[:1200])
    for body in ("count_unique(video, 'car')", "len(video.frames())", "brightness(video.at(0))"):
        with pytest.raises(ImageError, match=r"cut\.mkv"):
            run(agent, cut, f"return {body}")


def test_a_folder_of_clips_is_mapped(agent: Agent, tmp_path: Path) -> None:
    for number in (1, 2):
        write_video(
            tmp_path / f"{number}.mp4", lambda t, n=number: [(10 * t + 60 * i, 30, RED) for i in range(n)], 2
        )
    program = 'def answer(video):\n    return count_unique(video, "car")\n'
    for given in (program, None):
        results = agent.map("How many cars?", tmp_path, program=given, progress=False)
        assert {result.image: result.answer.value for result in results} == {"1.mp4": 1, "2.mp4": 2}


def test_tracks_go_back_into_tools(agent: Agent, clip: Path) -> None:
    region = value(agent, clip, 'return best_view(video, track(video, "bus")[0])')
    assert region.box.iou(Box(60, 90, 84, 114)) > 0.7 and region.image.time < 6
    with pytest.raises(VisprogError, match="must be Image"):
        run(agent, clip, "return dominant_color(Box(0, 0, 5, 5))").unwrap()


def test_directly_in_python(clip: Path) -> None:
    from visprog.tools.video import best_view

    video = Video.open(clip)
    car = Track("car", 0.9, (Span(1, 2),), ((1.0, Box(0, 0, 9, 9)), (2.0, Box(10, 10, 40, 40))))
    assert best_view(video, car).image is not None
