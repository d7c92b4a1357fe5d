"""Conversations with a server: follow-ups, their ends, and those of others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("python_multipart")

from tests.planner.test_turns import COUNT, LOOK, Scripted
from tests.runtime.processes.hostile import obey
from tests.server.local import Running, answer_on, events_on, post, running, until
from tests.server.test_connections import needs_loopback_network
from tests.small_tools import REGISTRY, FakePlanner, picture
from tests.video_files import write_video
from visprog import Agent
from visprog.server import chats as chats_module
from visprog.server.app import Service
from visprog.server.chats import Chats
from visprog.server.limits import RequestLimits
from visprog.server.queue import RequestQueue
from visprog.server.shares import Shares

PNG = picture()._repr_png_()
BYTES = 60 * 40 * 3
"""Of its pixels."""
PROGRAM = 'def answer(image):\n    return len(detect(image, "dog"))\n'
SLEEP = "def answer(image):\n    return obey(image, 'sleep')"
LEFT = "```python\ndef answer(regions1):\n    return leftmost(regions1).label\n```\nDONE"
NEGATIVE = "def answer(image):\n    return invert(image)\n"


@pytest.fixture
def start() -> Iterator[Callable[..., Running]]:
    with ExitStack() as stack:

        def begin(*programs: str, planner: Any = None, chats: Chats | None = None) -> Running:
            planner = planner or FakePlanner(*(programs or [PROGRAM] * 20))
            agent = stack.enter_context(
                Agent(planner, {"seconds": 60}, registry=REGISTRY | [obey], standby=1)
            )
            service = Service(agent, RequestQueue(2, 4), RequestLimits(seconds=60), chats=chats)
            return stack.enter_context(running(service, Shares(500)))

        yield begin


def chats(number: int = 9, memory: int = 1 << 30, seconds: float = 60.0, share: float = 1.0) -> Chats:
    return Chats(Shares(number, share), Shares(memory, share), seconds)


def begun(served: Running, source: str = "127.0.0.1") -> dict[str, Any]:
    status, _, data = served.send(post("/v1/chats", {}, ("a.png", PNG)), source)
    assert status == 200, data
    return dict(data)


def ask(
    served: Running, chat: dict[str, Any], question: str, source: str = "127.0.0.1"
) -> tuple[int, dict[str, str], Any]:
    return served.send(post(f"/v1/chats/{chat['id']}/ask", {"question": question}), source)


def end(served: Running, chat: dict[str, Any], source: str = "127.0.0.1") -> tuple[int, dict[str, str], Any]:
    return served.send(f"DELETE /v1/chats/{chat['id']} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), source)


def gone(found: tuple[int, dict[str, str], Any]) -> None:
    assert found[0] == 404 and "no such conversation" in found[2]["message"], found
    assert "POST /v1/chats" in found[2]["message"]


# -- questions -----------------------------------------------------------------------------------


def test_a_chat_model_knows_the_questions_before(start: Callable[..., Running]) -> None:
    served = start(planner=Scripted(LOOK, COUNT + "\nDONE", LEFT))
    chat = begun(served)
    assert chat["follows"] and len(chat["id"]) >= 32
    assert ask(served, chat, "How many dogs are there?")[2]["value"] == 2
    assert ask(served, chat, "And the left one?")[2]["value"] == "dog"
    status, _, about = served.send(b"GET /v1/about HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert status == 200 and about["follows"] and about["planner"] == "scripted"


def test_another_planner_says_that_each_question_stands_alone(start: Callable[..., Running]) -> None:
    served = start()
    chat = begun(served)
    assert not chat["follows"]
    assert ask(served, chat, "How many dogs are there?")[2]["value"] == 2
    _, _, refused = ask(served, chat, "And the left one?")
    assert refused["status"] == "refused" and "reads each question by itself" in refused["message"]
    assert ask(served, chat, "How many cats are there?")[2]["value"] == 2


def test_steps_of_a_conversation_are_streamed(start: Callable[..., Running]) -> None:
    served = start()
    stream = "Accept: text/event-stream\r\n"
    with served.connect() as connection:
        path = f"/v1/chats/{begun(served)['id']}/ask"
        connection.sendall(post(path, {"question": "How many?"}, headers=stream))
        names = [name for name, _ in events_on(connection)]
    assert names == ["planned", "checked", "call_started", "call_ended", "answered", "answer"]


def test_a_conversation_about_a_video(start: Callable[..., Running], tmp_path: Path) -> None:
    pytest.importorskip("av")
    clip = write_video(tmp_path / "clip.mp4", lambda t: [(10, 30, (200, 0, 0))], 1).read_bytes()
    served = start(*["def answer(video):\n    return round(video.duration)\n"] * 3)
    _, _, chat = served.send(post("/v1/chats", {}, ("clip.mp4", clip)))
    assert not chat["follows"]
    for _ in range(2):
        assert ask(served, chat, "How long is the video?")[2]["value"] == 1
    (kept,) = served.service.chats._by_id.values()
    assert kept.size > len(clip) and served.service.chats.memory.used == kept.size
    assert end(served, chat)[0] == 200
    assert kept.videos[0]._content is None and served.service.chats.memory.used == 0


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (post("/v1/chats", {}), 400, "at least one image"),
        (post("/v1/chats", {}, ("a.png", b"x")), 400, "a.png"),
        (post("/v1/chats", {"turns": "50"}, ("a.png", PNG)), 400, "'turns'"),
    ],
)
def test_a_conversation_that_cannot_begin(
    start: Callable[..., Running], data: bytes, status: int, words: str
) -> None:
    served = start()
    found, _, body = served.send(data)
    assert found == status and words in body["message"]
    assert served.service.chats.number.used == served.service.chats.memory.used == 0


def test_images_belong_to_the_beginning(start: Callable[..., Running]) -> None:
    served = start()
    chat = begun(served)
    path = f"/v1/chats/{chat['id']}/ask"
    status, _, data = served.send(post(path, {"question": "How many?"}, ("b.png", PNG)))
    assert status == 400 and "begin another" in data["message"]
    status, _, data = ask(served, chat, " ")
    assert status == 400 and "empty" in data["message"]


# -- its end -------------------------------------------------------------------------------------


def test_a_conversation_that_was_ended_is_gone(start: Callable[..., Running]) -> None:
    served = start()
    chat = begun(served)
    assert end(served, chat)[2] == {"status": "ended"}
    gone(ask(served, chat, "How many?"))
    gone(end(served, chat))
    assert served.service.chats.number.used == served.service.chats.memory.used == 0


def test_one_that_is_not_used_ends(start: Callable[..., Running]) -> None:
    served = start(chats=chats(seconds=0.5))
    chat = begun(served)
    until(lambda: served.service.chats.number.used == 0)
    gone(ask(served, chat, "How many?"))
    assert served.service.chats.memory.used == 0


def test_the_end_of_a_conversation_cancels_its_question(start: Callable[..., Running]) -> None:
    served = start(SLEEP, PROGRAM)
    chat = begun(served)
    with served.connect() as connection:
        connection.sendall(post(f"/v1/chats/{chat['id']}/ask", {"question": "How long?"}))
        until(lambda: served.service.queue.running == 1)
        busy = ask(served, chat, "How many?")
        assert busy[0] == 409 and "another question" in busy[2]["message"]
        assert end(served, chat)[0] == 200
        status, _, answer = answer_on(connection)
        assert status == 200 and "cancelled" in answer["message"]
    until(lambda: served.service.queue.running == 0)


def test_a_question_that_was_stopped_does_not_end_the_conversation(start: Callable[..., Running]) -> None:
    served = start(SLEEP, PROGRAM)
    chat = begun(served)
    with served.connect() as connection:
        connection.sendall(post(f"/v1/chats/{chat['id']}/ask", {"question": "How long?"}))
        until(lambda: served.service.queue.running == 1)
    until(lambda: served.service.queue.running == 0, 20)
    assert ask(served, chat, "How many dogs are there?")[2]["value"] == 2


def test_conversations_end_with_the_server(start: Callable[..., Running]) -> None:
    served = start()
    begun(served)
    served.stop()
    until(lambda: served.service.chats.number.used == 0)


# -- those of others, and bounds -----------------------------------------------------------------


@needs_loopback_network
def test_a_conversation_is_found_by_its_client_alone(start: Callable[..., Running]) -> None:
    served = start()
    mine, theirs = begun(served, "127.0.0.2"), begun(served, "127.0.0.3")
    assert mine["id"] != theirs["id"]
    for found in (ask(served, theirs, "How many?", "127.0.0.2"), end(served, theirs, "127.0.0.2")):
        gone(found)
    for id in ("", "x", "../ask", "%00", theirs["id"][:-1], theirs["id"].lower()):
        found = served.send(post(f"/v1/chats/{id}/ask", {"question": "?"}), "127.0.0.3")
        assert found[0] in (404, 405), (id, found)
    assert ask(served, theirs, "How many dogs are there?", "127.0.0.3")[2]["value"] == 2


@needs_loopback_network
def test_their_number_is_bounded_for_all_and_for_each(start: Callable[..., Running]) -> None:
    served = start(chats=chats(number=3, share=0.5))
    for source in ("127.0.0.2", "127.0.0.2", "127.0.0.3"):
        last = begun(served, source)
    for source in ("127.0.0.2", "127.0.0.4"):
        status, headers, data = served.send(post("/v1/chats", {}, ("a.png", PNG)), source)
        assert status == 429 and "too many conversations" in data["message"] and headers["retry-after"]
    end(served, last, "127.0.0.3")
    begun(served, "127.0.0.4")


def test_what_they_hold_is_bounded(start: Callable[..., Running]) -> None:
    served = start(chats=chats(memory=2 * BYTES + 100))
    first, _ = begun(served), begun(served)
    assert served.service.chats.memory.used == 2 * BYTES
    status, _, data = served.send(post("/v1/chats", {}, ("a.png", PNG)))
    assert status == 429 and "hold too much" in data["message"]
    end(served, first)
    begun(served)


def test_what_is_found_counts_too(start: Callable[..., Running]) -> None:
    """Each answer is a new image of the same size."""
    served = start(*[NEGATIVE] * 5, chats=chats(memory=3 * BYTES))
    chat = begun(served)
    assert ask(served, chat, "Show the negative")[2]["status"] == "answered"
    assert 2 * BYTES < served.service.chats.memory.used < 3 * BYTES
    assert ask(served, chat, "Show the negative of all")[2]["status"] == "answered"
    assert served.service.chats.memory.used == 0  # it held too much
    gone(ask(served, chat, "Show the negative"))


def test_their_questions_are_bounded(start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chats_module, "MAX_QUESTIONS", 2)
    served = start()
    chat = begun(served)
    for _ in range(2):
        assert ask(served, chat, "How many dogs are there?")[0] == 200
    gone(ask(served, chat, "How many dogs are there?"))


def test_many_at_once(start: Callable[..., Running]) -> None:
    served = start()
    found: list[int] = []

    def talk(number: int) -> None:
        chat = begun(served)
        found.append(ask(served, chat, f"How many dogs are there in image {number}?")[2]["value"])
        assert end(served, chat)[0] == 200

    threads = [threading.Thread(target=talk, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 4 and served.service.chats.number.used == 0
