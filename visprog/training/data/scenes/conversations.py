"""Conversations about scenes: first a list of what the image shows, then questions with reasons and answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visprog.scenes import SceneObject, Scenes
from visprog.scenes.language import cell, from_left
from visprog.scenes.questions import SceneQuestion
from visprog.scenes.wordings import QUESTION_TYPES, WORDINGS

from ..conversations import IMAGE
from ..samples import BadSample, Conversation, Turn
from ..source import ConversationSource, SplitName

LIST = "List the things with their places."
MAX_OBJECTS = (1, 2, 5, 5)
"""Greatest number of objects in the scenes to train on, in turn: words find their sense in those with few."""


@dataclass(frozen=True)
class SceneConversationsConfig:
    """Keys of the source `scenes` for conversations.

    Attributes:
        turns: number of questions in a conversation.
        sighted: whether there is an image; without one the true list of objects stands for it, so that a language
            model learns by itself what follows from a list.
        scenes: number of scenes to train on.
        style: of the scenes, as in `Scenes`; null for the normal one.
        backgrounds: folder of photographs behind half of the scenes; null for none.
    """

    turns: int = 8
    sighted: bool = True
    scenes: int = 1_000_000
    style: str | None = None
    backgrounds: Path | None = None


class SceneConversations(ConversationSource):
    """Conversations about scenes. Validation questions are right if the final answer is: "accuracy" on scenes like
    those trained on, "held_out" on those with combinations that training never shows, and each type of question."""

    Config: ClassVar[Any] = SceneConversationsConfig
    square = closed_vocabulary = True
    groups = ("accuracy", "held_out", *QUESTION_TYPES)
    first, mark, answer_length = LIST, ":", 72  # a list of five objects has 63 tokens

    def split(self, name: SplitName, size: int) -> TaughtScenes | ExaminedScenes:
        return TaughtScenes(self.config, size) if name == "train" else ExaminedScenes(self.config, size, 512)

    def texts(self) -> Iterator[str]:
        """All words of questions, answers and lists."""
        scenes = Scenes(32, split="train")
        for i in range(600):
            yield from (f"{q.text} {reasoned(q)}" for q in scenes[i].questions(8))
            yield scenes[i].listing
        for wordings in WORDINGS.values():
            yield from (wording.replace("{", " ").replace("}", " ") for wording in wordings)
        yield from ("USER: ASSISTANT: yes no", LIST)

    def answers(self) -> Iterator[str]:
        """Those of 600 scenes: every word and number that an answer can be."""
        scenes = Scenes(32, split="train")
        for i in range(600):
            yield from (question.answer_text for question in scenes[i].questions(8))


class TaughtScenes:
    """Scenes, each with the list of its objects and several questions."""

    def __init__(self, config: SceneConversationsConfig, size: int) -> None:
        self.config = config
        self.scenes = [
            Scenes(size, split="train", objects=(1, most), style=config.style, backgrounds=config.backgrounds)
            for most in MAX_OBJECTS
        ]

    def __len__(self) -> int:
        return self.config.scenes

    def sample(self, key: int, rng: np.random.Generator) -> Conversation:
        """An image, or nothing in its place, and the conversation about it."""
        scene = self.scenes[key % len(self.scenes)][key]
        answered = [(q.text, reasoned(q)) for q in scene.questions(self.config.turns)]
        turns = _turns([(LIST, scene.listing), *answered], self.config.sighted)
        images = (scene.pixels,) if self.config.sighted else ()
        return Conversation(images, turns, f"scene {key}", given=0 if self.config.sighted else 1)


class ExaminedScenes:
    """One question about each of many scenes; every second is held out."""

    def __init__(self, config: SceneConversationsConfig, size: int, count: int) -> None:
        self.config, self.count = config, count
        self.scenes = [Scenes(size, split=split, style=config.style) for split in ("val", "held_out")]

    def __len__(self) -> int:
        return self.count

    def sample(self, key: int, rng: np.random.Generator) -> Conversation:
        """A question of any type, with its answer alone."""
        scene = self.scenes[key % 2][key]
        for question_type in rng.permutation(QUESTION_TYPES):
            for question in scene.questions(1, [str(question_type)]):
                turns = _turns(
                    [(LIST, scene.listing), (question.text, question.answer_text)], self.config.sighted
                )
                groups = ("held_out" if key % 2 else "accuracy", str(question_type))
                images = (scene.pixels,) if self.config.sighted else ()
                return Conversation(images, turns, f"scene {key}", given=1, groups=groups)
        raise BadSample(f"scene {key}", "it gives no question")


def reasoned(question: SceneQuestion) -> str:
    """The answer after its reasons: each phrase with the cells of what it fits, "circle d 3 , k 6 ; red star none
    : no"; then the claim about two objects, "star d 3 ; ring k 6 ; d < k : yes"."""
    reasons = [
        f"{ground.phrase} {' , '.join(map(cell, from_left(ground.objects))) or 'none'}"
        for ground in question.grounds
    ]
    if question.claim:
        axis, *pair = question.claim
        reasons.append(" < ".join(_measured(axis, one) for one in pair))
    return f"{' ; '.join(reasons)} : {question.answer_text}"


def _measured(axis: str, one: SceneObject) -> str:
    column, row = cell(one).split()
    return {"x": column, "y": row, "size": f"{one.size} {one.shape}"}[axis]


def _turns(answered: Sequence[tuple[str, str]], sighted: bool) -> tuple[Turn, ...]:
    turns = [
        turn for question, answer in answered for turn in (Turn("user", question), Turn("assistant", answer))
    ]
    if sighted:
        turns[0] = Turn("user", f"{IMAGE}\n{turns[0].text}")
    return tuple(turns)
