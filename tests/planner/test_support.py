"""The second judge: a program is refused unless it accounts for the question."""

from __future__ import annotations

import textwrap

import pytest

from visprog.planner.embedded import load_words
from visprog.planner.support import unsupported


def _judged(question: str, body: str) -> list[str]:
    header = "def answer(images):\n" if "images" in body else "def answer(image):\n"
    return unsupported(question, header + textwrap.indent(body + "\n", "    "), load_words())


RIGHT = [
    ("How many people are there?", 'return len(detect(image, "people"))'),
    ("Is there anybody in the picture?", 'return len(detect(image, "person")) > 0'),
    ("pls count the red cars", 'return len([x for x in detect(image, "cars") if has_color(x, "red")])'),
    ("Are there any lorries on the road?", 'return len(detect(image, "lorries")) > 0'),
    ("How many more men than women?", 'return len(detect(image, "men")) - len(detect(image, "women"))'),
    ("Are there fewer than five pigeons?", 'return len(detect(image, "pigeons")) < 5'),
    ("Are there at least two dogs?", 'return len(detect(image, "dogs")) >= 2'),
    ("There is no bicycle.", 'return len(detect(image, "bicycle")) == 0'),
    ("Isn't there a bicycle?", 'return len(detect(image, "bicycle")) > 0'),
    ("What colour is the biggest suitcase?", 'return dominant_color(largest(detect(image, "suitcase")))'),
    (
        "How many people wear hats?",
        'return len([x for x in detect(image, "people") if verify(x, "wear hats")])',
    ),
    (
        "How many cups are left of the plate?",
        'b = detect(image, "plate")\nreturn len([x for x in detect(image, "cups") if any(x.left_of(y) for y in b)])',
    ),
    (
        "Which chair is farthest from the window?",
        'return farthest(detect(image, "chair"), best(detect(image, "window")))',
    ),
    (
        "which pic has the word SALE on it",
        'return [i + 1 for i, image in enumerate(images) if len(find_text(image, "SALE")) > 0]',
    ),
    ("replace all faces by a sad emoji", 'return cover(image, find_faces(image), "emoji", "sad")'),
    (
        "Is the bottle left or right of the glass?",
        'return "left" if best(detect(image, "bottle")).center.x < best(detect(image, "glass")).center.x else "right"',
    ),
    (
        "more forks or more spoons?",
        'a = detect(image, "forks")\nb = detect(image, "spoons")\nreturn "forks" if len(a) > len(b) else "spoons"',
    ),
    ("Blur the background", 'return blur_background(image, detect(image, "person"))'),
]


@pytest.mark.parametrize(("question", "body"), RIGHT, ids=[q for q, _ in RIGHT])
def test_a_program_that_says_all_of_the_question_is_supported(question: str, body: str) -> None:
    assert _judged(question, body) == []


WRONG = [
    # conditions and parts that are dropped
    ("How many people wear hats?", 'return len(detect(image, "people"))', "'hats'"),
    ("What color is the person's shirt?", 'return dominant_color(best(detect(image, "person")))', "'shirt'"),
    ("How many bags are in the car?", 'return len(detect(image, "bags"))', "'car'"),
    ("How many cyclists have no lights on their bikes?", 'return len(detect(image, "cyclists"))', "'no'"),
    ("What does the number plate say?", "return read_text(image)", "plate"),
    ("does the sign say SALE", 'return len(find_text(image)) > 0', "'SALE'"),
    # tools that nothing asks for
    ("How many people are in this picture?", "return image.width", "people"),
    ("How many men are there?", "return len(find_lines(image))", "find_lines"),
    ("Count the people", "return find_grid(image).columns", "find_grid"),
    ("Is there anybody in the picture?", "return len(find_text(image)) > 0", "anybody"),
    ("What is on the table?", 'return read_text(best(detect(image, "table")))', "read_text"),
    # negation, numbers and comparisons that are turned round or left out
    ("There is no dog.", 'return len(detect(image, "dog")) > 0', "'no'"),
    ("Is there a dog?", 'return len(detect(image, "dog")) == 0', "none"),
    ("Are there three dogs?", 'return len(detect(image, "dogs")) == 2', "three"),
    ("Are there at least three dogs?", 'return len(detect(image, "dogs")) == 3', "compared"),
    ("Are there more than 3 dogs?", 'return len(detect(image, "dogs")) >= 3', "compared"),
    ("Are there more dogs than cats?", 'return len(detect(image, "cats")) > len(detect(image, "dogs"))', "turned round"),
    ("Are there fewer dogs than cats?", 'return len(detect(image, "dogs")) > len(detect(image, "cats"))', "turned round"),
    ("Is there a dog?", 'return len(detect(image, "dog")) == 1', "exactly one"),
    ("Are the two cars differently coloured?", 'return len(set(dominant_color(x) for x in detect(image, "cars"))) == 1', "differ"),
    # the wrong object
    ("How many red cars are left of the blue bus?", 'b = [x for x in detect(image, "bus") if has_color(x, "red")]\nreturn len([x for x in detect(image, "cars") if has_color(x, "blue") and any(x.left_of(y) for y in b)])', "said of"),
    ("Is the cat left of the dog?", 'a = detect(image, "dog")\nb = detect(image, "cat")\nreturn any(x.left_of(y) for x in a for y in b)', "another object"),
    ("What colour is the bag nearest the door?", 'return dominant_color(nearest(detect(image, "door"), best(detect(image, "bag"))))', "said of"),
    ("What colour is the largest dog in the car?", 'return dominant_color(largest(detect(image, "car")))', "dog"),
    # a word taken for an object, a place for a state
    ("is the tv switched on", 'return verify(best(detect(image, "tv switched")), "switched on")', "names no object"),
    ("how many tomatoes are not in the bowl", 'return len([x for x in detect(image, "tomatoes") if not verify(x, "in the bowl")])', "where, not how"),
    ("is anybody wearing a life jacket", 'return any(verify(x, "wearing a life jacket") for x in detect(image, "life jacket"))', "anybody"),
    # the wrong type of value
    ("How many dogs are there?", 'return len(detect(image, "dogs")) > 0', "number is asked for"),
    ("What colour is the car?", 'return len(detect(image, "car"))', "colour"),
    ("Is the car red?", 'return dominant_color(best(detect(image, "car")))', "yes or no"),
    ("which picture has no people", 'return len([image for image in images if len(detect(image, "people")) == 0])', "number of an image"),
    # what cannot be seen
    ("Which person is closest to the camera?", 'return nearest(detect(image, "person"), best(detect(image, "camera")))', "cannot be seen"),
    ("Is the wallpaper tasteful?", 'return verify(best(detect(image, "wallpaper")), "tasteful")', "cannot be seen"),
    ("Why is the bridge closed?", 'return verify(best(detect(image, "bridge")), "closed")', "cannot be seen"),
    ("how expensive are the shoes", 'return dominant_color(best(detect(image, "shoes")))', "cannot be seen"),
    ("how many cups are behind the plate", 'return len(detect(image, "cups"))', "behind"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "body", "why"), WRONG, ids=[f"{q} {w}" for q, _, w in WRONG])
def test_a_misreading_is_told_from_a_reading(question: str, body: str, why: str) -> None:
    assert any(why in reason for reason in _judged(question, body)), _judged(question, body)
