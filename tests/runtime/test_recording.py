"""Recordings: a run replayed exactly, with neither model nor planner; what is not in them is named."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog.agent import Agent
from visprog.answer import Answer
from visprog.errors import ConfigError, PlannerError, Refused, VisprogError
from visprog.llm.chat import Reply, Tokens
from visprog.planner.base import Plan, PlanRequest
from visprog.planner.llm import LLMPlanner
from visprog.registry import Registry, tool
from visprog.runtime.recording import Recording
from visprog.runtime.recording.recording import VERSION, revive
from visprog.runtime.recording.values import Store, root_images
from visprog.values import Box, Circle, Grid, Line, Mask, Point, Polygon, Region
from visprog.values.image import Image

EVERYTHING = """
def answer(image):
    found = detect(image, "dog")
    part = crop(image, found[0])
    other = invert(part)
    try:
        detect(image, "crash")
    except ToolError as error:
        print(error)
    return [found[1], part, other, find_shapes(image), len(detect(other, "cat"))]
"""
COUNT = 'def answer(image):\n    return len(detect(image, "dog"))\n'


class Chat:
    """A chat model that says the same program each time, and counts."""

    name = "fake:chat"

    def __init__(self, program: str) -> None:
        self.program = program
        self.asked = 0

    def complete(self, messages: Any, **options: Any) -> list[Reply]:
        self.asked += 1
        return [Reply(f"```python\n{self.program}```", Tokens(100, 20))]


def broken(message: str = "this must not be called") -> Registry:
    """The small tools, none of which works."""

    def fail(**arguments: Any) -> Any:
        raise AssertionError(message)

    from dataclasses import replace

    return Registry([t if t.pure else replace(t, function=fail) for t in REGISTRY.values()])


def facts(answer: Answer) -> Mapping[str, Any]:
    """All of an answer but the times it took."""
    return _untimed(answer.to_json())


def _untimed(data: Any) -> Any:
    if isinstance(data, list):
        return [_untimed(each) for each in data]
    return {k: _untimed(v) for k, v in data.items() if k != "seconds"} if isinstance(data, dict) else data


def test_a_run_is_replayed_exactly_without_planner_and_tools(tmp_path: Path) -> None:
    with Agent(FakePlanner(EVERYTHING), {}, registry=REGISTRY, record=tmp_path) as agent:
        first = agent.ask("What is there?", picture())
    assert first.status == "answered" and "the detector fell over" in first.stdout
    with Agent(config={}, registry=broken(), replay=tmp_path) as agent:
        assert agent.planner.name == "fake"
        again = agent.ask("What is there?", picture())
    assert facts(again) == facts(first)
    for now, before in zip(again.value[1:3], first.value[1:3], strict=True):
        assert np.array_equal(now.pixels, before.pixels) and now.origin == before.origin


def test_a_chat_model_is_replayed_by_what_it_was_sent(tmp_path: Path) -> None:
    chat = Chat(COUNT)
    with Agent(LLMPlanner(chat, seed=7), {}, registry=REGISTRY, record=tmp_path) as agent:
        first = agent.ask("How many dogs?", picture())
    (line,) = [e for e in Recording(tmp_path, replay=True).entries("chat")]
    assert line["options"]["seed"] == 7 and "How many dogs?" in line["asked"]
    with Agent(config={}, registry=broken(), replay=tmp_path) as agent:
        again = agent.ask("How many dogs?", picture())
        assert facts(again) == facts(first) and again.tokens == 120
        other = agent.ask("How many cats?", picture())
    assert (other.status, chat.asked) == ("error", 1)
    assert "holds no reply of fake:chat" in other.message and "How many cats?" in other.message


def test_another_prompt_is_named_as_the_cause(tmp_path: Path) -> None:
    with Agent(LLMPlanner(Chat(COUNT)), {}, registry=REGISTRY, record=tmp_path) as agent:
        agent.plan("How many dogs?")
    fewer = Registry([t for t in REGISTRY.values() if t.name != "lie"])
    with (
        Agent(config={}, registry=fewer, replay=tmp_path) as agent,
        pytest.raises(VisprogError, match="another prompt: tools, examples or options"),
    ):
        agent.plan("How many dogs?")


def test_a_recording_of_the_planner_alone_runs_the_tools_again(tmp_path: Path) -> None:
    recording = Recording(tmp_path, tools=False)
    with Agent(FakePlanner(COUNT), {}, registry=REGISTRY, record=recording) as agent:
        agent.ask("How many dogs?", picture())
    assert not recording.entries("tool")
    with Agent(config={}, registry=REGISTRY, replay=tmp_path) as agent:
        answer = agent.ask("How many dogs?", picture(value=99))
    assert (answer.status, answer.value, len(answer.trace)) == ("answered", 2, 1)


def test_what_is_not_recorded_ends_the_program_and_is_named(tmp_path: Path) -> None:
    with Agent(FakePlanner(), {}, registry=REGISTRY, record=tmp_path) as agent:
        agent.run(COUNT, picture())
    caught = (
        'def answer(image):\n    try:\n        return len(detect(image, "cat"))\n'
        "    except ToolError:\n        return 0\n"
    )
    with Agent(FakePlanner(), {}, registry=REGISTRY, replay=tmp_path) as agent:
        answer = agent.run(caught, picture(name="street.png"))
        assert answer.status == "error"
        assert f'the recording {tmp_path} holds no detect(image=street.png, what="cat")' in answer.message
        assert agent.run(COUNT, picture(value=7)).status == "error"  # another image
        assert agent.run(COUNT, picture(name="renamed.png")).value == 2  # the same pixels


def test_a_recording_is_the_same_however_it_came_about(tmp_path: Path) -> None:
    programs = [f'def answer(image):\n    return len(detect(image, "{w}"))\n' for w in ("cat", "ant", "bee")]
    for folder, order in (("a", programs), ("b", programs[::-1])):
        for program in order:
            with Agent(FakePlanner(), {}, registry=REGISTRY, record=tmp_path / folder) as agent:
                agent.run(program, picture())
    a, b = (read(tmp_path / f / "recording.jsonl") for f in "ab")
    assert a == b and [e["arguments"]["what"] for e in lines(a) if e["kind"] == "tool"] == [
        "ant",
        "bee",
        "cat",
    ]
    assert "seconds" not in a


def test_recording_again_asks_only_what_is_new(tmp_path: Path) -> None:
    calls: list[str] = []

    @tool
    def look(image: Image, what: str) -> int:
        """Looks."""
        calls.append(what)
        return len(what)

    def run(*words: str) -> Any:
        body = " + ".join(f'look(image, "{w}")' for w in words)
        with Agent(FakePlanner(), {}, registry=Registry([look]), record=tmp_path) as agent:
            return agent.run(f"def answer(image):\n    return {body}\n", picture()).value

    assert (run("a"), run("a", "bb"), calls) == (1, 3, ["a", "bb"])


def test_a_failure_is_replayed_but_tried_again_while_recording(tmp_path: Path) -> None:
    tries: list[int] = []

    @tool
    def shaky(image: Image) -> int:
        """Works the second time."""
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("not yet")
        return 7

    def run(**how: Any) -> Answer:
        with Agent(FakePlanner(), {}, registry=Registry([shaky]), **how) as agent:
            return agent.run("def answer(image):\n    return shaky(image)\n", picture())

    first = run(record=tmp_path)
    assert "shaky failed: RuntimeError: not yet" in first.message
    assert run(replay=tmp_path).message == first.message
    assert (run(record=tmp_path).value, run(replay=tmp_path).value, len(tries)) == (7, 7, 2)


def test_a_refusal_is_replayed_as_one(tmp_path: Path) -> None:
    program = 'def answer(image):\n    return len(detect(image, "unicorn"))\n'
    for how in ({"record": tmp_path}, {"replay": tmp_path}):
        with Agent(FakePlanner(), {}, registry=REGISTRY, **how) as agent:  # type: ignore[arg-type]
            answer = agent.run(program, picture())
        assert (answer.status, "detector of unicorns" in answer.message) == ("refused", True)


class Unsure:
    """Refuses every question."""

    name = "unsure"

    def plan(self, request: PlanRequest, **options: Any) -> list[Plan]:
        raise Refused("not sure")


def test_a_planner_that_refuses_is_replayed(tmp_path: Path) -> None:
    for planner, how in ((Unsure(), {"record": tmp_path}), (None, {"replay": tmp_path})):
        with Agent(planner, {}, registry=REGISTRY, **how) as agent:  # type: ignore[arg-type]
            answer = agent.ask("What?", picture())
        assert (answer.status, answer.message) == ("refused", "not sure")


def test_a_torn_line_is_dropped_and_recorded_anew(tmp_path: Path) -> None:
    with Agent(FakePlanner(), {}, registry=REGISTRY, record=tmp_path) as agent:
        agent.run(COUNT, picture())
    file = tmp_path / "recording.jsonl"
    whole = file.read_text()
    for torn in (whole[: len(whole) // 2], whole[:-1], whole + '{"kind": "tool", "ke'):
        file.write_text(torn)
        with Agent(FakePlanner(), {}, registry=REGISTRY, record=tmp_path) as agent:
            assert agent.run(COUNT, picture()).value == 2
        assert file.read_text() == whole


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no recording in"):
        Recording(tmp_path / "nothing", replay=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file; a recording is a folder"):
        Recording(tmp_path / "file")
    (tmp_path / "recording.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(VisprogError, match="a line has no 'kind' and 'key'"):
        Recording(tmp_path, replay=True)
    (tmp_path / "recording.jsonl").write_text("nonsense\n")
    with pytest.raises(VisprogError, match="line 1 is not JSON"):
        Recording(tmp_path, replay=True)
    with pytest.raises(ConfigError, match="give record or replay, not both"):
        Agent(FakePlanner(), {}, registry=REGISTRY, record=tmp_path, replay=tmp_path)


@pytest.mark.parametrize("how", ["record", "replay"])
def test_tools_recorded_in_another_form_are_refused(how: str, tmp_path: Path) -> None:
    """Conversations have no form that changed: a recording of these alone is replayed."""
    with Agent(LLMPlanner(Chat(COUNT)), {}, registry=REGISTRY, record=tmp_path) as agent:
        agent.ask("How many dogs?", picture())
    file = tmp_path / "recording.jsonl"
    entries = [{k: v for k, v in e.items() if k != "version"} for e in lines(read(file))]
    file.write_text("".join(json.dumps(e) + "\n" for e in entries))
    with pytest.raises(VisprogError, match=r"a form of version 1, and .* reads version 2: record anew"):
        Recording(tmp_path, replay=how == "replay")
    file.write_text("".join(json.dumps(e) + "\n" for e in entries if e["kind"] != "tool"))
    with Agent(config={}, registry=REGISTRY, replay=tmp_path) as agent:
        assert agent.ask("How many dogs?", picture()).value == 2


def test_one_process_records_at_a_time(tmp_path: Path) -> None:
    first = Recording(tmp_path)
    with pytest.raises(VisprogError, match="another process is writing to"):
        Recording(tmp_path)
    first.close()
    Recording(tmp_path).close()


def test_a_changed_image_is_noticed(tmp_path: Path) -> None:
    program = "def answer(image):\n    return invert(image)\n"
    with Agent(FakePlanner(), {}, registry=REGISTRY, record=tmp_path) as agent:
        agent.run(program, picture())
    (file,) = (tmp_path / "files").iterdir()
    picture(value=3).save(file)
    with Agent(FakePlanner(), {}, registry=REGISTRY, replay=tmp_path) as agent:
        assert "it has been changed" in agent.run(program, picture()).message


def test_values_come_back_as_they_were(tmp_path: Path) -> None:
    image = picture()
    seen = Image(np.full((4, 5, 3), 9, np.uint8), np.arange(20, dtype=np.uint8).reshape(4, 5), "alpha")
    part = image.crop(Box(3, 4, 20, 30))
    painted = Image(part.pixels // 2, None, "painted", image, part.origin)
    mask = Mask(np.eye(6, dtype=bool), Box(2, 2, 8, 8))
    region = Region(Box(1, 2, 3.25, 4), "dög", 1, image, mask)
    points = (Point(0, 1.5), Point(2, 3), Point(4, 9))
    values: list[Any] = [
        None, True, 3, 0.1 + 0.2, math.inf, "ä\n", (1, (2.0,)), [], {"a": [1]}, {1, 2}, image, part, painted,
        seen, region, Circle(Point(1, 2), 3, "red", image), Line(points, None), Polygon(points, "blue", image),
        Grid(2, 3, Box(0, 0, 9, 9)), Box(1, 2, 3, 4), Mask(np.zeros((0, 0), bool), Box(1, 1, 1, 1)),
    ]  # fmt: skip
    store = Store(tmp_path)
    at_hand = root_images(image)
    text = json.dumps(store.encode(values, at_hand=at_hand))
    back = Store(tmp_path).decode(json.loads(text), at_hand=at_hand)
    for value, again in zip(values, back, strict=True):
        assert type(again) is type(value)
        if isinstance(value, Image):
            assert (again.digest, again.origin, again.name) == (value.digest, value.origin, value.name)
            assert again.root.digest == value.root.digest
        elif isinstance(value, Mask):
            assert np.array_equal(again.pixels, value.pixels) and again.box == value.box
        elif isinstance(value, Region):
            assert (again.box, again.label, again.score) == (value.box, value.label, value.score)
            assert again.image is image and np.array_equal(again.mask.pixels, mask.pixels)
        else:
            assert again == value and repr(again) == repr(value)
    assert type(back[14].box.left) is int and type(back[14].box.right) is float
    # The image at hand is not stored; the painted part, the other image with its alpha, the mask are.
    assert len(list(tmp_path.iterdir())) == 4


def test_planner_errors_of_the_moment_are_not_kept(tmp_path: Path) -> None:
    class Down:
        name = "fake:chat"

        def complete(self, messages: Any, **options: Any) -> list[Reply]:
            raise PlannerError("the endpoint is down")

    with Agent(LLMPlanner(Down()), {}, registry=REGISTRY, record=tmp_path) as agent:
        assert agent.ask("How many dogs?", picture()).message == "the endpoint is down"
    with Agent(LLMPlanner(Chat(COUNT)), {}, registry=REGISTRY, record=tmp_path) as agent:
        assert agent.ask("How many dogs?", picture()).value == 2


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# -- recordings from elsewhere -------------------------------------------------------------------

IMAGE = {
    "type": "Image",
    "name": "a",
    "origin": [0, 0],
    "width": 2,
    "height": 2,
    "digest": "a" * 64,
    "root": "a" * 64,
}
REGION = {"type": "Region", "box": [0, 0, 1, 1], "label": "x", "score": 1.0, "image": None, "mask": None}


def deep(levels: int) -> Any:
    data: Any = []
    for _ in range(levels):
        data = [data]
    return data


@pytest.mark.parametrize(
    "digest", ["../secret", "/tmp/secret", "a" * 63, "A" * 64, "a" * 64 + "\n", "", 3, None, ["a"]]
)
def test_only_a_digest_becomes_part_of_a_path(
    digest: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(source: Any, **options: Any) -> Image:
        raise AssertionError(f"{source} is opened")

    monkeypatch.setattr(Image, "open", opened)
    store = Store(tmp_path / "files")
    for data in (
        {**IMAGE, "digest": digest, "root": digest}, {**IMAGE, "root": digest},
        {"type": "Mask", "box": [0, 0, 2, 2], "png": f"{digest}.png" if isinstance(digest, str) else [digest]},
    ):  # fmt: skip
        with pytest.raises(VisprogError, match="this is no recorded value"):
            store.decode(data, at_hand={})


def test_a_changed_mask_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    data = store.encode(Mask(np.eye(6, dtype=bool), Box(2, 2, 8, 8)), at_hand={})
    other = store.encode(Mask(np.ones((6, 6), dtype=bool), Box(2, 2, 8, 8)), at_hand={})
    (tmp_path / data["png"]).write_bytes((tmp_path / other["png"]).read_bytes())
    with pytest.raises(VisprogError, match="is not the mask that was recorded: it has been changed"):
        store.decode(data, at_hand={})


@pytest.mark.parametrize(
    "data",
    [{}, {"type": None}, {"type": "Box"}, {"type": "Box", "box": 3}, {"type": "Box", "box": [0, 0, 1e400, 1]},
     {"type": "Box", "box": ["a"] * 4}, {"type": "dict", "items": [1]}, {"type": "dict", "items": [[[], 1]]},
     {"type": "set", "items": [[1]]}, {**REGION, "image": "a"}, {**REGION, "mask": [1]}, {**REGION, "label": 3},
     {**REGION, "image": {"type": "Point", "x": 1, "y": 2}}, {**IMAGE, "name": 3}, {**IMAGE, "origin": None},
     {"type": "Circle", "center": 3, "radius": 1, "color": None, "image": None}, deep(3000),
     {"type": "Mask", "box": [0, 0, 1e300, 1e300], "png": ""},
     {"type": "Line", "points": [], "color": None, "image": None}],
)  # fmt: skip
def test_what_is_no_recorded_value_is_refused(data: Any, tmp_path: Path) -> None:
    with pytest.raises(VisprogError, match=r"no recorded value|of an unknown kind|no such file"):
        Store(tmp_path).decode(data, at_hand={})


TOOL = {
    "kind": "tool",
    "version": VERSION,
    "key": "k",
    "tool": "detect",
    "backend": "",
    "options": {},
    "arguments": {},
    "result": 1,
}
CHAT = {"kind": "chat", "key": "k", "model": "m", "asked": "?", "options": {}, "replies": []}
PLAN = {"kind": "plan", "key": "k", "planner": "p", "question": "?", "plans": []}
PLANNER = {"kind": "planner", "key": "k", "name": "p", "options": None}


@pytest.mark.parametrize(
    ("whole", "field", "value"),
    [(TOOL, "tool", 3), (TOOL, "arguments", []), (TOOL, "result", ...), (TOOL, "error", "text"), (TOOL, "error", {}),
     (TOOL, "error", {"type": "a\0b", "message": ""}), (TOOL, "error", {"type": "\ud800", "message": ""}),
     (TOOL, "error", {"type": "ToolError", "message": 3}), (CHAT, "replies", {}),
     (CHAT, "replies", ...), (CHAT, "asked", 3), (PLAN, "plans", None), (PLAN, "question", []),
     (PLANNER, "options", []), (PLANNER, "name", ...), (TOOL, "key", 3)],
)  # fmt: skip
def test_entries_without_what_belongs_to_them_are_refused(
    whole: Mapping[str, Any], field: str, value: Any, tmp_path: Path
) -> None:
    (tmp_path / "recording.jsonl").write_text(json.dumps(whole) + "\n")
    Recording(tmp_path, replay=True)
    entry = {k: v for k, v in {**whole, field: value}.items() if v is not ...}
    (tmp_path / "recording.jsonl").write_text(json.dumps(entry) + "\n")
    with pytest.raises(VisprogError, match=r"is damaged: it holds a '|is no recording"):
        Recording(tmp_path, replay=True)


@pytest.mark.parametrize(
    "line", ['{"kind": "tool", "key": ' + "[" * 100_000, "[" * 100_000 + "]" * 100_000, "\x00"]
)
def test_lines_that_are_no_json_objects_are_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "recording.jsonl").write_text(line + "\n")
    with pytest.raises(VisprogError, match=r"line 1 is (not JSON|no JSON object)"):
        Recording(tmp_path, replay=True)


@pytest.mark.parametrize(
    "replies", [[3], [{}], [{"text": 3, "tokens": None, "truncated": False}], [{"text": "x", "tokens": 3}]]
)
def test_a_damaged_reply_is_an_error_of_the_recording(replies: Any, tmp_path: Path) -> None:
    with Agent(LLMPlanner(Chat(COUNT)), {}, registry=REGISTRY, record=tmp_path) as agent:
        agent.plan("How many dogs?")
    entries = [
        {**e, "replies": replies} if e["kind"] == "chat" else e
        for e in lines(read(tmp_path / "recording.jsonl"))
    ]
    (tmp_path / "recording.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    with (
        Agent(config={}, registry=REGISTRY, replay=tmp_path) as agent,
        pytest.raises(VisprogError, match="is damaged"),
    ):
        agent.plan("How many dogs?")


def test_an_error_of_an_odd_name_is_revived(tmp_path: Path) -> None:
    for name in ("ToolError", "MissingExtra", "VisprogError", "KeyError", "annotations", "Exception"):
        error = revive({"type": name, "message": "it fell over"})
        assert "it fell over" in str(error)


def test_half_characters_are_recorded_and_replayed(tmp_path: Path) -> None:
    question, name = "How many \ud800 dogs?", "caf\udce9.png"
    seen = []
    for how in ({"record": tmp_path}, {"replay": tmp_path}):
        planner = LLMPlanner(Chat(COUNT)) if "record" in how else None
        with Agent(planner, {}, registry=REGISTRY, **how) as agent:  # type: ignore[arg-type]
            seen.append(facts(agent.ask(question, picture(name=name))))
    assert seen[0] == seen[1] and seen[0]["value"] == 2
    (tmp_path / "recording.jsonl").read_bytes().decode("utf-8")


def test_a_pipe_in_a_recording_is_not_waited_for(tmp_path: Path) -> None:
    with Agent(FakePlanner(), {}, registry=REGISTRY, record=tmp_path) as agent:
        agent.run("def answer(image):\n    return invert(image)\n", picture())
    (file,) = (tmp_path / "files").iterdir()
    file.unlink()
    os.mkfifo(file)
    with Agent(FakePlanner(), {}, registry=REGISTRY, replay=tmp_path) as agent:
        answer = agent.run("def answer(image):\n    return invert(image)\n", picture())
        assert answer.status == "error" and "is a pipe" in answer.message
