"""A conversation about images or a video: questions one after another, which may refer to those before."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from .answer import Answer
from .errors import ConfigError
from .planner.opening import Opening
from .registry.types import AnswerType
from .report import html, markup
from .report.forms import one_line
from .report.markup import Markup
from .runtime.cancellation import in_thread
from .runtime.events import Listener
from .values.image import Image

Ask: TypeAlias = Callable[[str, "AnswerType | None", "Listener | None"], Answer]
"""Answers a question of the conversation: question, type of the answer, listener to events."""

Open: TypeAlias = Callable[[str, "AnswerType | None"], Opening]
"""Gives what the chat model would be sent for a question: question, type of the answer."""

MAX_SHOWN = 50
"""Number of questions that a notebook lists; the latest ones."""

_FOLLOW_UP = re.compile(
    r"^\W*(?:and|or|but|then|what about|how about|what else|anything else)\b"
    r"|\b(?:it|its|they|them|their|theirs|that one|this one|those|these|the others?|the same|ones?)\b\W*$"
    r"|^\W*(?:is|are|was|does|do|has|have|can|where is|where are|what colou?r is|what colou?r are) "
    r"(?:it|they|that|this|those|these|he|she)\b",
    re.IGNORECASE,
)
"""Questions that seem to refer to one before."""


class AgentChat:
    """A conversation about images or a video, made by `Agent.chat`. Questions wait for each other.

    Attributes:
        images: The images that it is about; of a video a few frames.
        answers: The answers so far, the oldest first.
        follows: Whether a question may refer to those before.
    """

    def __init__(
        self, images: tuple[Image, ...], ask: Ask, *, follows: bool = True, opening: Open | None = None
    ) -> None:
        """Begin a conversation.

        Args:
            images: That it is about.
            ask: Answers a question, with what was before in mind.
            follows: Whether `ask` knows what was before; otherwise questions that refer to it are refused.
            opening: Gives what the chat model would be sent; None if none is asked.
        """
        self.images = images
        self.answers: list[Answer] = []
        self._ask = ask
        self.follows = follows
        self._opening = opening
        self._lock = threading.Lock()

    def ask(
        self, question: str, *, returns: AnswerType | None = None, on_event: Listener | None = None
    ) -> Answer:
        """Answer a question about the images, which may refer to earlier questions and what was found for them.

        Args:
            question: In plain language.
            returns: Type that the answer must have.
            on_event: Called with each event as it happens.

        Returns:
            An answer, whatever happens; look at its `status`.

        Raises:
            VisprogError: The question is empty.
        """
        with self._lock:
            if (
                not self.follows
                and self.answers
                and isinstance(question, str)
                and _FOLLOW_UP.search(question)
            ):
                message = (
                    "this planner reads each question by itself, and this one seems to refer to another: ask the "
                    "whole question, or choose a chat model as planner"
                )
                answer = Answer("refused", message=message, question=question, images=self.images)
            else:
                answer = self._ask(question, returns, on_event)
            self.answers.append(answer)
            return answer

    async def aask(
        self, question: str, *, returns: AnswerType | None = None, on_event: Listener | None = None
    ) -> Answer:
        """`ask` without blocking the event loop; events come from another thread.

        If it is cancelled, it asks no chat model and calls no tool any more.
        """
        return await in_thread(partial(self.ask, question, returns=returns, on_event=on_event))

    def opening(self, question: str, *, returns: AnswerType | None = None) -> Opening:
        """What the chat model would be sent first for a question, with what was before; nothing is sent.

        Args:
            question: As in `ask`.
            returns: As in `ask`.

        Raises:
            ConfigError: The planner asks no chat model, or the prompt is too long for its settings.
            VisprogError: The question is empty.
        """
        if self._opening is None:
            raise ConfigError("this planner asks no chat model: there is no prompt")
        with self._lock:
            return self._opening(question, returns)

    def __repr__(self) -> str:
        images = f"{len(self.images)} image{'s' * (len(self.images) != 1)}"
        questions = f"{len(self.answers)} question{'s' * (len(self.answers) != 1)}"
        return f"<AgentChat: {questions} about {images}>"

    def _repr_html_(self) -> str:
        """The questions with their answers, and the evidence of the latest one."""
        rows = [
            (answer.question, markup.badge(answer.status), one_line(_words(answer), 200))
            for answer in self.answers[-MAX_SHOWN:]
        ]
        listed = markup.card(markup.table(rows, ("question", "status", "answer")) if rows else repr(self))
        return listed + (self.answers[-1]._repr_html_() if self.answers else "")

    def to_html(self) -> str:
        """One self-contained page: every question with its answer and evidence, in their order."""
        answers = [Markup(answer._repr_html_()) for answer in self.answers]
        return html.document("Chat", markup.join(answers or [markup.card(repr(self))]))


def _words(answer: Answer) -> str:
    return str(answer) if answer.ok else answer.message
