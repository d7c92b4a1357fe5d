"""Conversations: images or a video that stay with the server for some questions, and what was found in them."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from visprog.agent import Agent
from visprog.answer import Answer
from visprog.chat import AgentChat
from visprog.planner.llm import LLMPlanner
from visprog.runtime.cache import pixel_arrays
from visprog.runtime.cancellation import Cancellation

from .errors import Problem
from .shares import Shares
from .videos import VideoUpload

MAX_QUESTIONS = 200
"""Number of questions of a conversation, at most."""
PART_BYTES = 256
"""Estimate of the memory of a value that is no image."""


@dataclass(eq=False)
class ServedChat:
    """A conversation of one client.

    Attributes:
        client: Whose it is; others do not find it.
        talk: Answers its questions.
        videos: Its video, if it is about one.
        size: Number of bytes that it holds: pixels of its images and of what was found in them, and its video.
        id: Its name, which cannot be guessed.
        counted: Number of its answers that `size` counts.
        expires: What ends it when it is not used.
        running: Those of its questions that are being answered, or were a moment ago.
    """

    client: str
    talk: AgentChat
    videos: list[VideoUpload]
    size: int
    id: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    counted: int = 0
    expires: asyncio.TimerHandle | None = None
    running: set[Cancellation] = field(default_factory=set)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def turn(self) -> Iterator[AgentChat]:
        """What answers the next question; in the thread that does.

        Raises:
            Problem: 409 if it is answering another question.
        """
        if not self._turn.acquire(blocking=False):
            raise Problem(409, "this conversation is answering another question: wait for its answer", 1)
        try:
            yield self.talk
        finally:
            self._turn.release()


def follows(agent: Agent) -> bool:
    """Whether the planner of an agent knows the questions before: whether it is a chat model."""
    return isinstance(agent.planner, LLMPlanner)


class Chats:
    """The conversations of a server. They belong to its event loop.

    Args:
        number: How many there are, and those of each client.
        memory: Bytes that they hold, and those of each client.
        seconds: Time without a question after which one ends.
    """

    def __init__(self, number: Shares, memory: Shares, seconds: float = 1800.0) -> None:
        self.number = number
        self.memory = memory
        self.seconds = seconds
        self._by_id: dict[str, ServedChat] = {}

    def check(self, client: str) -> None:
        """Raise `Problem` 429 if a client cannot begin a conversation now."""
        if self.number.refuses(client):
            whose = "the server" if self.number.full() else "your address"
            raise Problem(
                429, f"there are too many conversations of {whose}: end one, or try again later", 60
            )

    def add(self, client: str, talk: AgentChat, videos: list[VideoUpload]) -> ServedChat:
        """Begin a conversation.

        Args:
            client: Whose it is.
            talk: Answers its questions.
            videos: What must be removed at its end.

        Raises:
            Problem: 429 if there are too many, or they hold too much.
        """
        self.check(client)
        size = _bytes_of(talk.images) + sum(video.size for video in videos)
        if self.memory.refuses(client, size):
            whose = "the server" if self.memory.full(size) else "your address"
            raise Problem(429, f"the conversations of {whose} hold too much: end one, or try again later", 60)
        made = ServedChat(client, talk, videos, size)
        self.number.take(client)
        self.memory.take(client, size)
        self._by_id[made.id] = made
        self._renew(made)
        return made

    def find(self, id: str, client: str) -> ServedChat:
        """A conversation of a client, whose time begins anew. Raises `Problem` 404 if there is none."""
        found = self._by_id.get(id)
        if found is None or found.client != client:
            raise Problem(
                404,
                "there is no such conversation: it was ended, it held too much, or it was not used for "
                f"{self.seconds / 60:g} minutes: begin a new one with POST /v1/chats",
            )
        self._renew(found)
        return found

    @contextmanager
    def counting(self, chat: ServedChat | None) -> Iterator[Cancellation]:
        """While a request is served: its cancellation, which is cancelled at the end.

        If it belongs to a conversation, the end of that cancels it too, and what its answer holds is counted.
        """
        cancellation = Cancellation()
        if chat is not None:
            chat.running.add(cancellation)
        try:
            yield cancellation
        finally:
            cancellation.cancel()
            if chat is not None:
                chat.running.discard(cancellation)
                self._count(chat)

    def _count(self, chat: ServedChat) -> None:
        """Count what the answers of a conversation hold; it ends if that is too much."""
        new = chat.talk.answers[chat.counted :]
        chat.counted += len(new)
        if chat.id not in self._by_id:
            return
        size = sum(map(_bytes_held, new))
        chat.size += size
        self.memory.take(chat.client, size)
        if self.memory.refuses(chat.client, 0) or len(chat.talk.answers) >= MAX_QUESTIONS:
            self.remove(chat)

    def remove(self, chat: ServedChat) -> None:
        """End a conversation; a question that it is answering is cancelled."""
        if self._by_id.pop(chat.id, None) is None:
            return
        if chat.expires is not None:
            chat.expires.cancel()
        for cancellation in chat.running:
            cancellation.cancel()
        for video in chat.videos:
            video.close()
        self.number.give_back(chat.client)
        self.memory.give_back(chat.client, chat.size)

    def close(self) -> None:
        """End every conversation that is not answering a question."""
        for chat in list(self._by_id.values()):
            if not chat.running:
                self.remove(chat)

    def _renew(self, chat: ServedChat) -> None:
        if chat.expires is not None:
            chat.expires.cancel()
        chat.expires = asyncio.get_running_loop().call_later(self.seconds, self._expire, chat)

    def _expire(self, chat: ServedChat) -> None:
        if chat.running:
            self._renew(chat)
        else:
            self.remove(chat)


def _bytes_of(values: object) -> int:
    return sum(array.nbytes for array in pixel_arrays(values).values())


def _bytes_held(answer: Answer) -> int:
    """Bytes of what an answer holds beside the images that it is about."""
    held = [[step.value, [[call.result, call.arguments] for call in step.trace]] for step in answer.steps]
    given = pixel_arrays(answer.images)
    arrays = pixel_arrays(held)
    texts = sum(
        len(step.program) + len(step.stdout) + PART_BYTES * (1 + len(step.trace)) for step in answer.steps
    )
    return texts + sum(array.nbytes for key, array in arrays.items() if key not in given)
