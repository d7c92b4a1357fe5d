"""The embedded planner with its bundled weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from visprog.check import check
from visprog.errors import PlannerError, Refused
from visprog.planner.base import PlanRequest
from visprog.planner.embedded.planner import EmbeddedPlanner
from visprog.registry import Registry, default_registry
from visprog.runtime.steps import Step

QUESTIONS = [
    ("How many circles are in the image?", 1, "return len(find_circles(image))"),
    ("Count the pentagons in the image.", 1, 'find_polygons(image, "pentagons")'),
    ("How many rows and columns are in the table?", 1, "[grid.rows, grid.columns]"),
    ("How many times do the blue and red lines touch each other?", 1, "intersections("),
    ("Count the total number of squares in the image.", 1, 'find_polygons(image, "squares")'),
    ("Are the two circles touching each other?", 1, ".touches("),
    ("Are the two circles overlapping?", 1, ".overlaps("),
    ("How many zorblaxes can you see?", 1, 'detect(image, "zorblaxes")'),
    ("Is there a flimmerkiste in this photo?", 1, 'detect(image, "flimmerkiste")'),
    ("What colour is the bus?", 1, "dominant_color("),
    ("How many red things are there?", 1, 'x for x in detect(image, "things") if has_color(x, "red")'),
    ("How many things are there?", 1, 'detect(image, "things")'),
    (
        "What shape is the topmost thing?",
        1,
        'vqa(topmost(detect(image, "thing")), "What shape is the thing?")',
    ),
    ("Is the small circle above the large triangle?", 1, 'detect(image, "small circle")'),
    ("Blur everything except the dog", 1, "blur_background(image"),
    ("Put a smiley on every face", 1, 'cover(image, find_faces(image), "emoji"'),
    ("Read the text in the picture", 1, "read_text(image)"),
    ("Which picture shows the most people?", 3, "for image in images"),
    ("Do both photos show a cat?", 2, 'detect(image, "cat")'),
]


@pytest.fixture(scope="module")
def planner() -> EmbeddedPlanner:
    return EmbeddedPlanner()


@pytest.mark.parametrize(("question", "images", "part"), QUESTIONS, ids=[q for q, _, _ in QUESTIONS])
def test_questions_become_programs(planner: EmbeddedPlanner, question: str, images: int, part: str) -> None:
    (plan,) = planner.plan(PlanRequest(question, images))
    assert part in plan.program
    assert plan.program.startswith(PlanRequest(question, images).header)
    assert plan.probability is not None and 0.45 < plan.probability <= 1
    assert not [d for d in check(plan.program, default_registry()) if d.severity == "error"]


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "qwx zzk ppl?",
        "Write me a poem",
        "Which person is closest to the camera?",
        "Why is the shop closed?",
        "how much does the bike cost",
        "Is the wallpaper tasteful?",
        "hmm ok and the other one",
        "What was on this table yesterday?",
        "¿Cuántas sillas hay?",
    ],
)
def test_what_no_program_answers_is_refused(planner: EmbeddedPlanner, question: str) -> None:
    with pytest.raises(Refused, match="not sure how to answer"):
        planner.plan(PlanRequest(question))


def test_a_refusal_says_which_words_were_not_understood() -> None:
    with pytest.raises(Refused, match=r"not understood: .*'lights'"):
        EmbeddedPlanner().plan(PlanRequest("How many cyclists have no lights on their bikes?"))


def test_slips_are_read_as_they_are_meant(planner: EmbeddedPlanner) -> None:
    (plan,) = planner.plan(PlanRequest("how mnay dgos r there in teh pic"))
    assert plan.program.endswith('return len(detect(image, "dogs"))\n')


@pytest.mark.parametrize(
    ("question", "program"),
    [
        ("How many people are there?", 'len(detect(image, "people"))'),
        ("How many people are in this picture?", 'len(detect(image, "people"))'),
        ("Count the people", 'len(detect(image, "people"))'),
        ("How many men are there?", 'len(detect(image, "men"))'),
        ("Is there anybody in the picture?", 'len(detect(image, "person")) > 0'),
        ("how many dogs", 'len(detect(image, "dogs"))'),
        ("dogs", 'detect(image, "dogs")'),
        ("Find the person", 'best(detect(image, "person"))'),
        ("Segment the dog", 'segment(image, best(detect(image, "dog")))'),
        ("How many people wear hats?", '[x for x in detect(image, "people") if verify(x, "wear hats")]'),
        ("Is a tv in the room?", 'len(detect(image, "tv")) > 0'),
    ],
)
def test_plain_questions_about_photographs(planner: EmbeddedPlanner, question: str, program: str) -> None:
    (plan,) = planner.plan(PlanRequest(question))
    assert program in plan.program


def test_several_programs_are_different_and_ordered(planner: EmbeddedPlanner) -> None:
    plans = EmbeddedPlanner(sure=0).plan(PlanRequest("How many red dogs are left of the house?"), n=3)
    assert 1 <= len(plans) <= 3
    assert len({p.program for p in plans}) == len(plans)
    assert [p.probability for p in plans] == sorted((p.probability or 0 for p in plans), reverse=True)


def test_a_program_that_failed_is_not_written_again() -> None:
    planner = EmbeddedPlanner(sure=0)
    request = PlanRequest("Count all people in the image")
    (first,) = planner.plan(request)
    (second,) = planner.plan(request, failed=Step(first.program, feedback="it failed"))
    assert second.program != first.program


def test_only_tools_of_the_registry_are_called(planner: EmbeddedPlanner) -> None:
    tools = Registry(t for name, t in default_registry().items() if name != "find_circles")
    for plan in EmbeddedPlanner(sure=0).plan(PlanRequest("How many circles are there?", registry=tools), n=3):
        assert "find_circles" not in plan.program


def test_empty_questions_and_missing_weights_are_clear_errors(
    planner: EmbeddedPlanner, tmp_path: Path
) -> None:
    with pytest.raises(PlannerError, match="empty"):
        planner.plan(PlanRequest("  "))
    with pytest.raises(PlannerError, match="visprog train planner"):
        EmbeddedPlanner(tmp_path).plan(PlanRequest("How many dogs?"))


def test_a_question_of_a_terminal_that_is_not_utf_8(planner: EmbeddedPlanner) -> None:
    (plan,) = planner.plan(PlanRequest("How many circles are there\udce9?"))
    assert "find_circles" in plan.program


def test_a_very_long_question_is_refused_at_once(planner: EmbeddedPlanner) -> None:
    with pytest.raises(Refused, match="it is longer than 1000 characters"):
        planner.plan(PlanRequest("How many circles are there? " * 100_000))


def test_a_tool_that_is_not_there_is_no_reason_to_be_unsure(planner: EmbeddedPlanner) -> None:
    left_out = ("find_polygons", "find_circles", "find_lines", "find_grid", "find_panels")
    fewer = Registry(t for t in default_registry().values() if t.name not in left_out)
    (plan,) = planner.plan(PlanRequest("How many stars are there?", registry=fewer))
    assert plan.program.endswith('return len(detect(image, "stars"))\n')
    assert plan.probability is not None and plan.probability > 0.8


@pytest.mark.parametrize("question", ["How many lines are there?", "How many times do the two lines cross?"])
def test_no_other_tool_steps_in_for_one_that_is_left_out(planner: EmbeddedPlanner, question: str) -> None:
    left_out = ("find_polygons", "find_circles", "find_lines", "find_grid", "find_panels")
    fewer = Registry(t for t in default_registry().values() if t.name not in left_out)
    with pytest.raises(Refused, match="not sure"):
        planner.plan(PlanRequest(question, registry=fewer))


@pytest.mark.parametrize(
    "question",
    ["???", "…", "5", "or", "is", '"', "'''", "a" * 400, "how many " * 60, "\n\t?",
     "图片里有几只狗？", "😀 dogs?", "not not not", "\\", "is a?"],
)  # fmt: skip
def test_whatever_is_typed_is_planned_or_refused(planner: EmbeddedPlanner, question: str) -> None:
    try:
        (plan,) = planner.plan(PlanRequest(question))
    except (Refused, PlannerError):
        return
    assert not [d for d in check(plan.program, default_registry()) if d.severity == "error"]


@pytest.mark.parametrize(
    "question",
    [
        "Which picture has more red circles?",
        "Which of these images has more text?",
        "Which one of the two photos shows a red circle?",
        "Is there a red circle in both pictures?",
        "How many red circles are in the second image?",
        "Are there more red circles than in the other picture?",
        "Are there more circles in this picture than in the other one?",
    ],
)
def test_one_image_is_not_asked_about_several(question: str) -> None:
    with pytest.raises(Refused, match="about several images, and one was given"):
        EmbeddedPlanner().plan(PlanRequest(question, 1, None, default_registry()))


@pytest.mark.parametrize(
    "question", ["What is in the picture?", "What image size is this?", "How many circles are in the image?"]
)
def test_one_image_may_be_named(question: str) -> None:
    try:
        EmbeddedPlanner().plan(PlanRequest(question, 1, None, default_registry()))
    except Refused as refusal:
        assert "several images" not in str(refusal)


def test_tools_are_expected_before_the_program_is_written(planner: EmbeddedPlanner) -> None:
    expected: list[str] = []
    question = "What is written on the red octagon?"
    (plan,) = planner.plan(PlanRequest(question, expect=expected.append))
    assert plan.program.endswith('return read_text(best(find_polygons(image, "octagon", "red")))\n')
    assert expected == ["read_text", "find_polygons"]


@pytest.mark.parametrize(
    ("question", "reads"),
    [
        ("What is written on the red octagon?", True),
        ("What does the sign say?", True),
        ("Is the word SALE in the picture?", True),
        ("How many red circles are there?", False),
        ("Which animals are shown in the picture?", False),
        ("Is the cat on the left of the dog?", False),
        ("", False),
        ("\ud83d a " * 2000, False),
    ],
)
def test_words_tell_which_tools_are_likely(planner: EmbeddedPlanner, question: str, reads: bool) -> None:
    assert ("read_text" in planner.likely(question)) == reads


def test_no_program_is_lost_with_drafts_that_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    questions = [question for question, images, _ in QUESTIONS if images == 1]
    quick = [EmbeddedPlanner().plan(PlanRequest(question), n=3) for question in questions]
    monkeypatch.setattr("visprog.planner.embedded.planner.NEGLIGIBLE", 0.0)
    for question, found in zip(questions, quick, strict=True):
        whole = EmbeddedPlanner().plan(PlanRequest(question), n=3)
        assert [plan.program for plan in found] == [plan.program for plan in whole]
        assert [plan.probability for plan in found] == pytest.approx(
            [plan.probability for plan in whole], rel=0.02
        )
