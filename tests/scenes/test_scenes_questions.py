"""Questions about scenes: programs that pass the check and give the answers, and words that do not give them away."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from visprog.check import check
from visprog.errors import Refused
from visprog.registry import default_registry
from visprog.scenes import COLORS, SHAPES, Scene, Scenes
from visprog.scenes.questions import SceneQuestion, is_worded
from visprog.scenes.wordings import COLOR_QUESTIONS, QUESTION_TYPES, WORDINGS
from visprog.tools.color import dominant_color
from visprog.values import Box, Image, Mask, Region, helpers


@pytest.fixture(scope="module")
def asked() -> list[tuple[Scene, SceneQuestion]]:
    scenes = Scenes(64, seed=31)
    return [(scenes[i], question) for i in range(150) for question in scenes[i].questions(6)]


def oracle(scene: Scene) -> tuple[Image, dict[str, Any]]:
    """The image, and tools that know what is in it; only colours are seen in its pixels."""
    image = Image.open(scene.pixels)

    def detect(image: Image, what: str) -> list[Region]:
        boxes = [Box(*map(float, scene.boxes[k])) for k in scene.find(what)]
        return [Region(box, what, 1.0, image) for box in boxes]

    def which(region: Region) -> int:
        return [Box(*map(float, box)) for box in scene.boxes].index(region.box)

    def segment(image: Image, region: Region) -> Region:
        return Region(region.box, region.label, 1.0, image, Mask.tight(scene.masks[which(region)]))

    def classify(region: Region, options: list[str]) -> str:
        (fitting,) = [option for option in options if which(region) in scene.find(option)]
        return fitting

    def verify(region: Region, statement: str) -> bool:
        return which(region) in scene.find(statement)

    tools = {"detect": detect, "segment": segment, "classify": classify, "verify": verify}
    functions: dict[str, Callable[..., Any]] = {f.__name__: f for f in helpers.FUNCTIONS}
    return image, {**functions, **tools, "dominant_color": dominant_color}


def test_programs_give_the_answers(asked: list[tuple[Scene, SceneQuestion]]) -> None:
    right: dict[bool, list[bool]] = {True: [], False: []}
    refused = 0
    for scene, question in asked:
        image, names = oracle(scene)
        exec(question.program, names)
        seen = "dominant_color" in question.program
        try:
            answer = names["answer"](image)
        except Refused:  # two colours that are too close to call
            refused += 1
            continue
        right[seen].append(answer == question.answer and type(answer) is type(question.answer))
        assert seen or right[seen][-1], (question, answer)
    assert np.mean(right[True]) > 0.96 and refused < 0.12 * len(right[True]) and len(right[False]) > 400


@pytest.mark.parametrize("kind", QUESTION_TYPES)
def test_every_kind_is_asked_and_passes_the_check(kind: str) -> None:
    scenes, registry = Scenes(64, seed=32), default_registry()
    found = [question for i in range(120) for question in scenes[i].questions(1, [kind])]
    assert len(found) >= 20 and {question.type for question in found} == {kind}
    types = {type(question.answer) for question in found}
    assert types == {{"count": int}.get(kind, str if kind.split("_")[-1] in ("color", "shape") else bool)}
    for question in found[:12]:
        assert check(question.program, registry, returns=next(iter(types))) == []
    for wording in WORDINGS[kind]:
        start = wording.split("{")[0]
        assert any(question.text.startswith(start) for question in found)


def test_answers_are_balanced_and_words_do_not_tell_them() -> None:
    """The best guess from the words of a question, learned from half of the questions, on the other half."""
    scenes = Scenes(64, seed=33)
    asked = [question for i in range(1500) for question in scenes[i].questions(4)]
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for question in asked:
        answers[question.type][question.answer_text] += 1
    for kind, counts in answers.items():
        if "yes" in counts:
            assert abs(counts["yes"] / counts.total() - 0.5) < 0.1, (kind, counts)
        else:
            assert counts.most_common(1)[0][1] < (0.45 if kind == "count" else 0.25) * counts.total(), kind
    guesses: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    half = len(asked) // 2
    for question in asked[:half]:
        for word in features(question):
            guesses[question.type, word][question.answer_text] += 1
    right: dict[str, list[bool]] = defaultdict(list)
    for question in asked[half:]:
        told: Counter[str] = Counter()
        for word in features(question):
            counts = guesses[question.type, word]
            for answer, number in counts.items():
                told[answer] += number / max(counts.total(), 1)
        right[question.type].append(bool(told) and told.most_common(1)[0][0] == question.answer_text)
    for kind, hits in right.items():
        chance = 0.5 if "yes" in answers[kind] else 0.4 if kind == "count" else 0.16
        assert np.mean(hits) < chance + 0.1, (kind, np.mean(hits))


def features(question: SceneQuestion) -> list[str]:
    return re.findall(r"[a-z]+", question.text.lower())


def test_questions_are_seeded_and_different() -> None:
    scene = Scenes(64, seed=34, objects=(4, 5))[2]
    questions = scene.questions(20)
    assert len(questions) == 20 == len({question.text for question in questions})
    assert questions == Scenes(64, seed=34, objects=(4, 5))[2].questions(20)
    assert questions != Scenes(64, seed=35, objects=(4, 5))[2].questions(20)


def test_nothing_is_asked_of_colours_that_cannot_be_seen() -> None:
    scenes = Scenes(64, seed=36, style="infrared")
    for i in range(20):
        for question in scenes[i].questions(6):
            assert question.type not in COLOR_QUESTIONS
            assert not set(features(question)) & set(COLORS)
        assert scenes[i].questions(3, ["color"]) == []


def test_answers_in_words() -> None:
    assert SceneQuestion("", True, "existence", "").answer_text == "yes"
    assert SceneQuestion("", False, "existence", "").answer_text == "no"
    assert SceneQuestion("", 3, "count", "").answer_text == "3"
    assert SceneQuestion("", "red", "color", "").answer_text == "red"


def test_answers_are_words_of_the_vocabulary(asked: list[tuple[Scene, SceneQuestion]]) -> None:
    for scene, question in asked:
        if isinstance(question.answer, str):
            assert question.answer in (COLORS if question.type.endswith("color") else SHAPES)
        elif not isinstance(question.answer, bool):
            assert 0 <= question.answer <= len(scene.objects)


def test_unknown_kind() -> None:
    with pytest.raises(ValueError, match="unknown type of question 'riddle'"):
        Scenes()[0].questions(2, ["count", "riddle"])


def test_questions_are_known_by_their_wording() -> None:
    for i in range(150):
        for question in Scenes(32, seed=37, split="held_out")[i].questions(5):
            assert is_worded(question.text), question.text
    assert is_worded("how many  large red things are there") and is_worded("Is the star striped?")
    for other in (
        "What is left of the star?",
        "Is the star red?",
        "Is the dog striped?",
        "Name the star",
        "",
    ):
        assert not is_worded(other)
