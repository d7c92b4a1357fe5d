"""WrittenProgram programs as samples of the embedded planner."""

from __future__ import annotations

import itertools
import json
import random
from importlib.resources import files
from pathlib import Path

import pytest

from visprog.errors import ConfigError
from visprog.planner.embedded.vocabulary import FRAGMENTS, Vocabulary
from visprog.registry import default_registry
from visprog.training.planner.augment import augment
from visprog.training.planner.corpus import Corpus, Sample
from visprog.training.planner.mix import Mixed, fragments_of
from visprog.training.planner.normalise import (
    WrittenProgram,
    held_out,
    normalise,
    read_programs,
    sample_of,
    samples_of,
    speakable,
)

PROGRAMS = Path(str(files("visprog.training.planner") / "nlvr_programs.yaml"))


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return samples_of([PROGRAMS])


def test_programs_are_rewritten_in_the_planners_words() -> None:
    program = """
def answer(image):
    dogs = detect(image, 'dog')
    return any(
        dog.left_of(cat)  # whichever
        for dog in dogs
        for cat in [c for c in detect(image, 'cat') if has_color(c, 'black')]
    )
"""
    assert normalise(program) == (
        "def answer(image):\n"
        '    a = detect(image, "dog")\n'
        '    return any(x.left_of(y) for x in a for y in [y for y in detect(image, "cat") if has_color(y, "black")])\n',
        False,
    )


def test_strings_take_the_form_that_the_question_has() -> None:
    sample = sample_of(
        WrittenProgram("How many dogs?", 'def answer(image):\n    return len(detect(image, "dog"))\n')
    )
    assert sample is not None and '"dogs"' in sample.program


@pytest.mark.parametrize(
    "program",
    [
        'def answer(image):\n    return len(detect(image, "cat"))\n',  # a word that nobody asked about
        'def answer(image):\n    for dog in detect(image, "dogs"):\n        return True\n    return False\n',
        'result = len(detect(image, "dogs"))\n',
        "def answer(image):\n    return open(1)\n",
        "not Python at all",
    ],
)
def test_what_the_planner_cannot_say_is_left_out(program: str) -> None:
    assert sample_of(WrittenProgram("How many dogs?", program)) is None


def test_only_right_rows_of_an_evaluation_count(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    row = {
        "question": "How many dogs?",
        "program": 'def answer(image):\n    return len(detect(image, "dogs"))\n',
    }
    rows = [
        {**row, "scores": {"correct": 1.0}},
        {**row, "question": "How many cats?", "scores": {"correct": 0.0}},
        {**row, "program": "", "scores": {"correct": 0.0}},
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert [r.question for r in read_programs(path)] == ["How many dogs?"]


@pytest.mark.parametrize("text", ["[", '{"question": 1}', "- {question: a}"])
def test_files_that_are_no_records(tmp_path: Path, text: str) -> None:
    path = tmp_path / "programs.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"programs\.yaml"):
        read_programs(path)


def test_nearly_all_recorded_programs_can_be_said(samples: list[Sample]) -> None:
    assert len(samples) >= 240
    assert 35 <= sum(held_out(s.question) for s in samples) <= 65


def test_variations_can_be_said_and_differ(samples: list[Sample]) -> None:
    r = random.Random(0)
    made = [augment(r.choice(samples), r) for _ in range(150)]
    assert all(speakable(s.question, s.program, s.several) for s in made)
    assert len({(s.question, s.program) for s in made} - {(s.question, s.program) for s in samples}) > 120


@pytest.mark.parametrize(
    ("question", "program", "agree"),
    [
        (
            "There is a tower with a blue block at the top",
            'any(has_color(topmost(find_polygons(crop(image, x), "squares")), "blue") for x in find_panels(image))',
            {
                "top": "topmost(",
                "black": '"black"',
                "yellow": '"yellow"',
                "blue": '"blue"',
                " no ": "not any(",
            },
        ),
        (
            "There is a box with exactly three circles",
            "any(len(find_circles(crop(image, x))) == 3 for x in find_panels(image))",
            {"circle": "find_circles(", "square": '"squares"', "triangle": '"triangle', " no ": "not any("},
        ),
    ],
)
def test_question_and_program_change_together(question: str, program: str, agree: dict[str, str]) -> None:
    r = random.Random(1)
    sample = Sample(question, False, f"def answer(image):\n    return {program}\n", "recorded")
    for _ in range(200):
        made = augment(sample, r)
        for word, code in agree.items():
            assert (word in made.question) == (code in made.program), made


def test_new_fragments_leave_the_corpus_as_it_was_learned(samples: list[Sample]) -> None:
    more = fragments_of(samples, [*FRAGMENTS, *(f"{name}(" for name in default_registry())], 40)
    assert any("crop(image, x)" in f for f in more)
    old = Vocabulary.train([s.question for s in samples], list(default_registry()), 900)
    new = Vocabulary((*old.fragments, *more), old.tokenizer_json)
    for sample in itertools.islice(Corpus(5), 100):
        pieces = [[v.text([t]) for t in v.program(sample.program)] for v in (old, new)]
        assert pieces[0] == pieces[1]
    longer = sum(len(old.program(s.program)) for s in samples)
    assert sum(len(new.program(s.program)) for s in samples) < 0.6 * longer


def test_mixing_is_seeded_and_keeps_its_share(samples: list[Sample]) -> None:
    mixed = Mixed(Corpus(0), samples, 0.5)
    mixed.reseed("3/1")
    first = list(itertools.islice(mixed, 200))
    mixed.reseed("3/1")
    assert list(itertools.islice(mixed, 200)) == first
    assert 70 < sum(s.pattern == "recorded" for s in first) < 130


def test_training_from_runs_goes_on_from_weights_that_are_there(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from dataclasses import replace

    from visprog.models.llama import Llama
    from visprog.planner.base import PlanRequest
    from visprog.planner.embedded.planner import EmbeddedPlanner
    from visprog.training.planner.train import PlannerRecipe, train

    records = tmp_path / "mine.yaml"
    program = 'def answer(image):\n    return len(find_panels(image)) + len(detect(image, "wugs"))\n'
    records.write_text(
        json.dumps([{"question": f"How many panels and wugs {i}?", "program": program} for i in range(8)])
    )
    recipe = PlannerRecipe.from_runs([str(records)], steps=2, batch=4, checkpoint_every=1)
    train(recipe, tmp_path / "run")
    train(replace(recipe, steps=3), tmp_path / "run")
    more = Vocabulary.load(tmp_path / "run" / "vocabulary.json").fragments
    assert "find_panels(" in more
    model = Llama.from_pretrained(tmp_path / "run")
    assert all(torch.isfinite(p).all() for p in model.parameters())
    plan = EmbeddedPlanner(tmp_path / "run", sure=0.0).plan(PlanRequest("How many dogs are there?"))[0]
    assert plan.program == 'def answer(image):\n    return len(detect(image, "dogs"))\n'
    with pytest.raises(ValueError, match="another size"):
        train(replace(recipe, dim=96), tmp_path / "narrow")
