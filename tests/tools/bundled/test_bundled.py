"""What comes with the package sees, on a few scenes that no model was trained on; benchmarks/embedded.py has more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from visprog import Agent
from visprog.errors import Refused
from visprog.scenes import COLORS, SHAPES, Scenes
from visprog.scenes.wordings import QUESTION_TYPES
from visprog.tools.backends.clip import EmbeddedClassifier, EmbeddedMatcher, EmbeddedVerifier
from visprog.tools.backends.coca import CocaCaptioner
from visprog.tools.backends.llava import EmbeddedVqa
from visprog.values import Box, Region
from visprog.values.image import Image

LEARNED = Path(__file__).resolve().parents[3] / "examples" / "learned.toml"
NAMES = [f"{color} {shape}" for color in COLORS for shape in SHAPES]


@pytest.mark.parametrize("size", [96, 200])
def test_single_things_are_named(size: int) -> None:
    scenes = [Scenes(size, split="test", objects=(1, 1))[i] for i in range(40)]
    calls = [{"image": Image(scene.pixels), "options": NAMES} for scene in scenes]
    said = EmbeddedClassifier()(calls)
    truth = [f"{scene.objects[0].color} {scene.objects[0].shape}" for scene in scenes]
    assert np.mean([a == b for a, b in zip(said, truth, strict=True)]) > 0.9


def test_statements_are_told_from_false_ones() -> None:
    scenes = [Scenes(96, split="test", objects=(1, 1))[i] for i in range(20)]
    images = [Image(scene.pixels) for scene in scenes]
    true = [f"a {scene.objects[0].color} {scene.objects[0].shape}" for scene in scenes]
    false = [true[i - 1] if true[i - 1] != true[i] else "a pink thing" for i in range(len(true))]
    asked = [{"image": i, "statement": s} for i, s in zip(images * 2, true + false, strict=True)]
    verified = EmbeddedVerifier()(asked)
    assert np.mean(verified[:20]) > 0.8 and np.mean(verified[20:]) < 0.2
    scores: list[Any] = EmbeddedMatcher()([{"image": c["image"], "text": c["statement"]} for c in asked])
    assert np.mean([a > b for a, b in zip(scores[:20], scores[20:], strict=True)]) > 0.9


def test_captions_tell_the_facts() -> None:
    scenes = [Scenes(96, split="test")[i] for i in range(40)]
    said = CocaCaptioner()([{"image": Image(scene.pixels)} for scene in scenes])
    right = [s.agrees(text, complete=True) for s, text in zip(scenes, said, strict=True)]
    assert np.mean(right) > 0.75


def test_questions_are_answered() -> None:
    calls, truth = [], []
    for n in range(42):
        scene = Scenes(96, split="test")[n]
        for question in scene.questions(1, [QUESTION_TYPES[n % len(QUESTION_TYPES)]]):
            calls.append({"image": Image(scene.pixels), "question": question.text})
            truth.append(question.answer_text)
    said = EmbeddedVqa()(calls)
    assert np.mean([a == b for a, b in zip(said, truth, strict=True)]) > 0.75


def test_a_question_that_was_not_taught_is_refused_and_concerns_its_call_alone() -> None:
    image = Image(Scenes(96, split="test")[0].pixels)
    asked = ["What is left of the star?", "Is there a star", "how many  things are there?", "Name the star"]
    first, second, third, fourth = EmbeddedVqa()([{"image": image, "question": q} for q in asked])
    assert isinstance(first, Refused) and 'not taught to answer "What is left of the star?"' in str(first)
    assert isinstance(fourth, Refused)
    assert second in ("yes", "no") and third.isdigit()


def test_regions_are_described_and_asked_about() -> None:
    regions, questions, shapes, names = [], [], [], []
    for n in range(16):
        scene = Scenes(160, split="test", overlap=0.0)[n]
        image = Image(scene.pixels)
        for thing, box in zip(scene.objects, scene.boxes, strict=True):
            regions.append(Region(Box(*map(float, box)), "", 1.0, image))
            questions.append(f"What shape is the {thing.color} thing?")
            shapes.append(thing.shape)
            names.append(f"{thing.color} {thing.shape}.")
    asked = [{"image": r, "question": q} for r, q in zip(regions, questions, strict=True)]
    assert np.mean([a == b for a, b in zip(EmbeddedVqa()(asked), shapes, strict=True)]) > 0.85
    said = CocaCaptioner()([{"image": region} for region in regions])
    told = [text.lower().split(maxsplit=1)[1] == name for text, name in zip(said, names, strict=True)]
    assert np.mean(told) > 0.7


def test_programs_see_with_learned_parts_alone() -> None:
    right = []
    with Agent(config=LEARNED) as agent:
        assert "find_circles" not in agent.registry
        for n in range(16):
            scene = Scenes(96, split="test", objects=(2, 4))[n]
            for question in scene.questions(1, ["relation"]) or scene.questions(1, ["count"]):
                answer = agent.run(question.program, scene.pixels)
                assert {call.backend for call in answer.trace} <= {"embedded", ""}
                right.append(answer.value == question.answer)
    assert np.mean(right) > 0.85
