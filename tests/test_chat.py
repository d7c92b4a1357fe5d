"""Conversations about images: follow-ups with the values of before, in Python, a notebook and on the command line."""

from __future__ import annotations

import asyncio
import io
import json
import re
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import visprog
from tests.planner.test_turns import COUNT, LOOK, Scripted, calls
from tests.small_tools import HELPERS, REGISTRY, FakePlanner, crop, detect, picture
from visprog.agent import Agent
from visprog.answer import Answer, json_schema
from visprog.chat import AgentChat
from visprog.cli import main
from visprog.errors import ConfigError, ImageError, VisprogError
from visprog.llm.chat import Message, Reply, text_of
from visprog.planner import LLMPlanner, PlanRequest
from visprog.registry import Registry, caution, tool
from visprog.runtime.cancellation import Cancellation
from visprog.runtime.events import Answered, CallEnded, Event
from visprog.values import Region
from visprog.values.image import Image

LEFT = "```python\ndef answer(regions1):\n    return leftmost(regions1).label\n```\nDONE"
PART = "```python\ndef answer(image, regions1):\n    return crop(image, regions1[1])\n```\nDONE"
PROGRAM = 'def answer(image):\n    return len(detect(image, "dog"))\n'

Open = Callable[..., AgentChat]


@pytest.fixture
def open_chat() -> Iterator[Open]:
    agents: list[Agent] = []

    def new(planner: Any, turns: int | None = None, **settings: Any) -> AgentChat:
        agents.append(Agent(planner, {}, registry=REGISTRY, **settings))
        return agents[-1].chat(picture(), turns=turns)

    yield new
    for agent in agents:
        agent.close()


def test_a_follow_up_takes_the_values_of_before(open_chat: Open) -> None:
    model = Scripted(LOOK, COUNT + "\nDONE", LEFT, PART)
    chat = open_chat(model)
    assert chat.ask("How many dogs are there?", returns=int).value == 2
    assert chat.ask("And the left one?").value == "dog"
    part = chat.ask("Show me the other")
    assert part.value.size == (10, 10) and part.steps[0].kept_as == "image1"
    assert [a.status for a in chat.answers] == ["answered"] * 3
    assert [len(a.steps) for a in chat.answers] == [2, 1, 1]
    told = model.text(2)
    assert "Question: And the left one?" in told and "Question: How many dogs are there?" in told
    assert "Answer, kept as int1:\n<observation>\n2\n</observation>" in told
    assert "regions1: list[Region]; int1: int" in told
    assert len(model.images(2)) == 1  # a question comes with the image again


SHARE = "```python\ndef answer(image):\n    return len(detect(image, 'ghost')) / 2\n```\nDONE"
MORE = "```python\ndef answer(float1):\n    return float1 + 0.5\n```\nDONE"
IS_MORE = "```python\ndef answer(float2):\n    return float2 > 0.1\n```\nDONE"
FRESH = "```python\ndef answer(image):\n    return detect(image, 'dog')\n```\nDONE"


def test_cautions_and_evidence_follow_the_values(open_chat: Open) -> None:
    chat = open_chat(Scripted(SHARE, MORE, IS_MORE, FRESH))
    answers = [chat.ask(question) for question in ("Which share?", "And more?", "Is it much?", "Where?")]
    assert [a.value for a in answers[:3]] == [0.0, 0.5, True]
    assert [a.cautions for a in answers] == [("detect found no 'ghost'",)] * 3 + [()]
    assert [[s.kept_as for s in a.rests_on] for a in answers] == [[], ["float1"], ["float1", "float2"], []]
    assert [len(a.steps) for a in answers] == [1] * 4 and answers[2].tokens == 110
    page = answers[2].to_html()
    assert "Taken from earlier questions" in page and "float1 = 0" in page and "called: detect" in page
    data = answers[2].to_json()
    jsonschema.validate(data, json_schema())
    again = Answer.from_json(data)
    assert [s.kept_as for s in again.rests_on] == ["float1", "float2"] and again.to_json() == data
    assert "rests_on" not in answers[0].to_json()


def test_the_model_is_told_the_cautions_of_before(open_chat: Open) -> None:
    model = Scripted(SHARE, MORE)
    chat = open_chat(model)
    chat.ask("Which share?"), chat.ask("And more?")
    assert "What to know of it:\n<observation>\ndetect found no 'ghost'" in model.text(1)


def test_what_a_blind_model_found_stays_marked(open_chat: Open) -> None:
    model = Scripted(FRESH, COUNT + "\nDONE")
    model.takes_images = False
    chat = open_chat(model)
    assert chat.ask("Where are they?").cautions == chat.ask("How many are there?").cautions != ()


def test_parts_of_a_result_bring_its_cautions() -> None:
    @tool(name="detect")
    def wary(image: Image, what: str) -> list[Region]:
        """Find objects."""
        caution("the detector saw only the left half")
        return detect(image, what)

    model = Scripted(
        calls(("detect", {"image": "image", "what": "dog"})),
        calls(("answer", {"expression": "len(regions1)"})),
        calls(("crop", {"image": "image", "region": "region2"})),
        calls(("answer", {"expression": "image1"})),
    )
    with Agent(model, {}, registry=Registry([wary, crop, *HELPERS]), turns=4, tool_calls=True) as agent:
        chat = agent.chat(picture())
        for question in ("How many dogs?", "Show the second"):
            answer = chat.ask(question)
            assert answer.ok and answer.cautions == ("the detector saw only the left half",)
        assert [s.kept_as for s in answer.rests_on] == ["regions1"]


def test_a_follow_up_of_a_fallback_says_so() -> None:
    @tool(name="vqa")
    def say_two(image: Image, question: str) -> str:
        """A short answer."""
        return "two"

    again = "```python\ndef answer(str1):\n    return str1.upper()\n```\nDONE"
    model = Scripted("CANNOT: no tool knows", again)
    with Agent(model, {"fallback": True}, registry=Registry([say_two, *HELPERS])) as agent:
        chat = agent.chat(picture())
        first, second = chat.ask("How many wishes?"), chat.ask("And in capitals?")
    assert (first.status, first.value, second.value) == ("fallback", "two", "TWO")
    assert second.cautions == ("no program answered 'How many wishes?': the vqa tool was asked plainly",)
    assert [call.tool for call in second.rests_on[0].trace] == ["vqa"]
    assert "Question: How many wishes?\nAnswer, kept as str1:" in model.text(1)


def test_a_question_without_an_answer_is_remembered_as_such(open_chat: Open) -> None:
    model = Scripted("CANNOT: no tool weighs", LOOK + "\nDONE")
    chat = open_chat(model)
    assert chat.ask("How heavy is it?").status == "refused"
    assert chat.ask("Where are the dogs?").ok
    assert "Question: How heavy is it?\nNo answer." in model.text(1)


def test_each_question_has_its_own_budget(open_chat: Open) -> None:
    chat = open_chat(Scripted(*[LOOK] * 12), turns=2)
    assert [chat.ask(f"Where {n}?").message for n in range(3)] == [
        "no answer within 2 turns; raise 'turns'"
    ] * 3
    chat = open_chat(Scripted(*[LOOK] * 12))
    assert chat.ask("Where?").message == "no answer within 6 turns; raise 'turns'"


def test_what_was_long_ago_is_left_out(open_chat: Open) -> None:
    model = Scripted(*[LOOK + "\nDONE"] * 14)
    chat = open_chat(model)
    for number in range(14):
        assert chat.ask(f"Where is dog {number:02}?").ok
    assert "dog 02?" not in model.text() and "dog 03?" in model.text()


def test_a_short_prompt_shows_the_tools_of_before() -> None:
    planner = LLMPlanner(Scripted(), prompt_tokens=4_000)
    request = PlanRequest("And the left one?")
    program = "def answer(image):\n    return read_table(image)\n"
    prompts = [planner.prompt(request, earlier=earlier)[0]["content"] for earlier in ([], [program])]
    assert ["def read_table(" in prompt for prompt in prompts] == [False, True]
    with Agent(LLMPlanner(Scripted(), prompt_tokens=500), {}, registry=REGISTRY) as agent:
        answer = agent.chat(picture()).ask("Where are the dogs?")
    assert answer.status == "error" and "'prompt_tokens' is 500" in answer.message


def test_tool_calls_in_a_chat() -> None:
    model = Scripted(
        calls(("detect", {"image": "image", "what": "dog"})),
        calls(("answer", {"expression": "len(regions1)"})),
        calls(("answer", {"expression": "regions1[0].label"})),
    )
    with Agent(model, {}, registry=REGISTRY, turns=4, tool_calls=True) as agent:
        chat = agent.chat(picture())
        assert (chat.ask("How many dogs?").value, chat.ask("What is the first?").value) == (2, "dog")


def test_other_planners_read_each_question_by_itself(open_chat: Open) -> None:
    chat = open_chat(FakePlanner(PROGRAM, PROGRAM))
    assert chat.ask("How many dogs are there?").value == 2
    for question in (
        "And the left one?",
        "What about cats?",
        "Is it red?",
        "Where are they?",
        "which colour is it?",
    ):
        answer = chat.ask(question)
        assert answer.status == "refused" and "ask the whole question" in answer.message
        assert answer.question == question
    assert chat.ask("How many dogs lie there?").value == 2
    with pytest.raises(ConfigError, match="fake writes one program"):
        open_chat(FakePlanner(), turns=3)


def test_wrong_input(open_chat: Open) -> None:
    chat = open_chat(Scripted())
    for question in ("", "  ", None, "street.jpg"):
        with pytest.raises(VisprogError, match="question"):
            chat.ask(question)  # type: ignore[arg-type]
    with Agent(Scripted(), {}) as agent:
        with pytest.raises(VisprogError, match="at least one image"):
            agent.chat()
        with pytest.raises(ImageError, match="no such file"):
            agent.chat("nope.png")
        with pytest.raises(ConfigError, match="'turns' must be"):
            agent.chat(picture(), turns=0)
    assert chat.answers == []


def test_events(open_chat: Open) -> None:
    events: list[Event] = []
    open_chat(Scripted(LOOK, "DONE")).ask("Where are the dogs?", on_event=events.append)
    last = events[-1]
    assert isinstance(last, Answered) and last.question == "Where are the dogs?" and last.status == "answered"


def test_a_notebook_shows_the_questions_and_the_latest_evidence(open_chat: Open) -> None:
    chat = open_chat(Scripted(LOOK, COUNT + "\nDONE", "CANNOT: it is <b>no</b>"))
    assert "0 questions" in chat._repr_html_() and repr(chat) == "<AgentChat: 0 questions about 1 image>"
    chat.ask("How many dogs?")
    shown = chat._repr_html_()
    assert "How many dogs?" in shown and "<img " in shown and "Turn 1: regions1 = " in shown
    chat.ask("Why <i>so</i>?")
    shown = chat._repr_html_()
    assert "&lt;b&gt;no&lt;/b&gt;" in shown and "&lt;i&gt;so" in shown and "<b>no" not in shown
    assert not any(word in shown for word in ("<script", "<style", "<svg"))
    assert "How many dogs?" in chat.to_html() and visprog.AgentChat is AgentChat


# -- side by side, in threads, cancelled -------------------------------------------------------------


class Finder:
    """A chat model that finds what a question names, "Find NAME", and says of "What?" what was found last."""

    name = "finder"
    takes_images = True

    def __init__(self) -> None:
        self.asked = 0
        self.going, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def complete(self, messages: list[Message], **_: Any) -> list[Reply]:
        self.asked += 1
        self.going.set()
        self.go_on.wait(20)
        said = text_of(messages[-1])
        named = re.match(r"Question: Find (\w+)", said)
        if named:
            return [
                Reply(f"```python\ndef answer(image):\n    return detect(image, '{named[1]}')\n```\nDONE")
            ]
        kept = re.findall(r"kept as (regions\d+)", said)[-1]
        return [Reply(f"```python\ndef answer({kept}):\n    return {kept}[0].label\n```\nDONE")]


def test_two_conversations_of_one_agent_know_nothing_of_each_other() -> None:
    with Agent(Finder(), {}, registry=REGISTRY) as agent:
        one, other = agent.chat(picture()), agent.chat(picture())
        assert one.ask("Find dog").ok and other.ask("Find cat").ok
        assert (one.ask("What?").value, other.ask("What?").value) == ("dog", "cat")
        assert [len(c.answers) for c in (one, other)] == [2, 2]


def test_questions_of_several_threads_wait_for_each_other() -> None:
    names = [f"thing{number}" for number in range(6)]
    with Agent(Finder(), {}, registry=REGISTRY) as agent:
        chat = agent.chat(picture())
        with ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(lambda name: chat.ask(f"Find {name}"), names))
        assert [a.value[0].label for a in answers] == names
        assert sorted(a.question for a in chat.answers) == [f"Find {name}" for name in names]
        assert sorted(s.kept_as for a in answers for s in a.steps) == [f"regions{n}" for n in range(1, 7)]


def test_a_conversation_that_is_awaited() -> None:
    async def talk(agent: Agent) -> list[Any]:
        one, other = agent.chat(picture()), agent.chat(picture())
        await asyncio.gather(one.aask("Find dog"), other.aask("Find cat"))
        both = await asyncio.gather(one.aask("What?", returns=str), other.aask("What?"))
        return [answer.value for answer in both]

    with Agent(Finder(), {}, registry=REGISTRY) as agent:
        assert asyncio.run(talk(agent)) == ["dog", "cat"]


def test_a_question_that_is_cancelled_asks_no_more() -> None:
    model = Finder()
    events: list[Event] = []

    async def give_up(work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        model.going.clear(), model.go_on.clear()
        asked = asyncio.create_task(work())
        await asyncio.to_thread(model.going.wait, 20)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        model.go_on.set()

    with Agent(model, {"fallback": True}, registry=REGISTRY, turns=5) as agent:
        chat = agent.chat(picture())
        asyncio.run(give_up(partial(agent.aask, "Find dog", picture(), on_event=events.append)))
        last = events[-1]
        assert isinstance(last, Answered) and "cancelled: nobody waits" in last.message
        asyncio.run(give_up(partial(chat.aask, "Find dog")))
        assert "cancelled: nobody waits" in chat.answers[0].message and model.asked == 2
        assert chat.ask("Find cat").ok  # the next one is answered


def test_cancelled_between_turns(open_chat: Open) -> None:
    cancellation = Cancellation()
    model = Scripted(LOOK, COUNT + "\nDONE")
    chat = open_chat(model)

    def cancel(event: Event) -> None:
        if isinstance(event, CallEnded):
            cancellation.cancel()

    with cancellation.in_force():
        answer = chat.ask("How many?", on_event=cancel)
    assert answer.message.startswith("cancelled") and len(model.sent) == 1 and len(answer.steps) == 2


# -- recorded, and on the command line ---------------------------------------------------------------

RED = "```python\ndef answer(image):\n    return find_polygons(image, color='red')\n```"
NUMBER = "```python\ndef answer(polygons1):\n    return len(polygons1)\n```\nDONE"
WIDE = "```python\ndef answer(polygons1):\n    return largest(polygons1).width > 1\n```\nDONE"
SIGNS = Path(__file__).resolve().parent.parent / "examples" / "signs.png"


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recorded conversation of two questions, and a working folder without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("VISPROG_CONFIG", "VISPROG_PLANNER"):
        monkeypatch.delenv(name, raising=False)
    with Agent(Scripted(RED, NUMBER, WIDE), {}, record=tmp_path / "r") as agent:
        chat = agent.chat(SIGNS)
        assert [chat.ask(q).status for q in ("How many red shapes?", "And is it wide?")] == ["answered"] * 2
    return tmp_path / "r"


def say(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_a_chat_is_replayed_on_the_command_line(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Agent(config={}, replay=recorded) as agent:
        chat = agent.chat(SIGNS)
        number = chat.ask("How many red shapes?").unwrap()
        assert chat.ask("And is it wide?").unwrap() is True
    say(monkeypatch, "How many red shapes?\n\nAnd is it wide?\nexit\nnever asked\n")
    assert main(["chat", str(SIGNS), "--replay", str(recorded), "--html", "chat.html"]) == 0
    out = capsys.readouterr()
    assert out.out.splitlines() == [str(number), "yes"]
    assert "And is it wide?" in Path("chat.html").read_text(encoding="utf-8")
    say(monkeypatch, "How many red shapes?\nstreet.jpg\nAnd something else?")
    assert main(["chat", str(SIGNS), "--replay", str(recorded), "--json"]) == 1
    printed = capsys.readouterr()
    data = json.loads(printed.out)
    assert [a["status"] for a in data["answers"]] == ["answered", "error", "error"] and data[
        "status"
    ] == "error"
    assert "is no question" in printed.err and "holds no reply of scripted" in printed.err


def test_wrong_command_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    say(monkeypatch, "")
    assert main(["chat", "-"]) == 2 and "no image can be '-'" in capsys.readouterr().err
    assert main(["chat"]) == 2 and "visprog chat IMAGE..." in capsys.readouterr().err
    assert main(["chat", "nope.png"]) == 1 and "no such file" in capsys.readouterr().err
    assert main(["chat", str(SIGNS), "--turns", "3"]) == 1
    assert "embedded writes one program and takes no turns" in capsys.readouterr().err
    assert main(["chat", str(SIGNS), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"status": "answered", "answers": []}


class Stdin(io.RawIOBase):
    """Standard input that is interrupted after some lines."""

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines

    @property
    def buffer(self) -> Stdin:
        return self

    def readline(self, size: int | None = -1) -> bytes:
        if not self.lines:
            raise KeyboardInterrupt
        return self.lines.pop(0)


def test_an_interrupted_chat_keeps_what_was_answered(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Stdin([b"How many red shapes?\n"]))
    options = ("chat", str(SIGNS), "--replay", str(recorded), "--html", "chat.html")
    assert main([*options, "--json"]) == 130
    data = json.loads(capsys.readouterr().out)
    assert (data["status"], data["message"], len(data["answers"])) == ("error", "interrupted", 1)
    assert "How many red shapes?" in Path("chat.html").read_text(encoding="utf-8")


def test_odd_lines_of_a_pipe(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long, odd = b"x" * 350_000 + b"\n", b"\xff\x00?\r\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(long + b"How many red shapes?\n" + odd)))
    assert main(["chat", str(SIGNS), "--replay", str(recorded), "--json"]) == 1
    printed = capsys.readouterr()
    answers = json.loads(printed.out)["answers"]
    assert [a["status"] for a in answers] == ["error", "answered", "error"]
    assert "a line of more than 100,000 bytes is no question" in printed.err


def test_a_terminal_ends_by_an_empty_line_or_the_end(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{name}.isatty", lambda: True)
    for end in ("", "exit", EOFError, KeyboardInterrupt):
        typed = iter(["How many red shapes?", end])

        def prompt(text: str, typed: Iterator[Any] = typed) -> str:
            given = next(typed)
            if isinstance(given, str):
                return given
            raise given

        monkeypatch.setattr("builtins.input", prompt)
        code = main(["chat", str(SIGNS), "--replay", str(recorded)])
        assert code == (130 if end is KeyboardInterrupt else 0)
        assert next(typed, None) is None
