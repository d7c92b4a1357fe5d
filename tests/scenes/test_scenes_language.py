"""What is said of scenes: captions are true and can be read back, near misses are false."""

from __future__ import annotations

import random
import re

import pytest

from visprog.scenes import HELD_OUT, Scene, Scenes, facts_of
from visprog.scenes.facts import Mention, agrees, matches
from visprog.scenes.language import LEVELS
from visprog.scenes.objects import DIRECTIONS, OPPOSITE, SceneObject

MANY = 150


@pytest.fixture(scope="module", params=["train", "held_out"])
def some(request: pytest.FixtureRequest) -> list[Scene]:
    scenes = Scenes(64, seed=21, split=request.param)
    return [scenes[i] for i in range(MANY)]


def obj(words: str, x: float = 0.5, y: float = 0.5) -> SceneObject:
    """An object from four words: "small red solid circle"."""
    size, color, texture, shape = words.split()
    return SceneObject(shape, color, size, texture, x, y, 0.1, 0, 0, 0.0)


PICTURE = [
    obj("small red solid circle", 0.2, 0.2),
    obj("large blue striped square", 0.7, 0.3),
    obj("small red solid circle", 0.3, 0.8),
]


@pytest.mark.parametrize(
    ("caption", "true", "complete"),
    [
        ("a red circle", True, False),
        ("two red circles and a blue square", True, True),
        ("a blue square, and two small circles", True, True),
        ("a large striped blue square with two things", False, False),
        ("three things", True, True),
        ("a square and two red things", True, True),
        ("a red circle, a red circle and a blue square", True, True),
        ("one red circle and a blue square", True, False),
        ("two red circles and two blue squares", False, False),
        ("a red circle left of a blue square", True, False),
        ("a blue square to the left of a red circle", False, False),
        ("a blue square over a red circle, with a circle", True, True),
        ("a blue square below a small circle, with a red circle", True, True),
        ("two red circles and a blue square; the blue square is on the right of the circle", True, True),
        ("two red circles and a blue square; the blue square is inside the circle", False, False),
        ("a blue dotted square", False, False),
        ("a small blue square", False, False),
        ("the picture shows an orange square", False, False),
    ],
)
def test_captions_are_judged(caption: str, true: bool, complete: bool) -> None:
    read = facts_of(caption)
    assert read is not None
    assert agrees(read, PICTURE) == true
    assert agrees(read, PICTURE, complete=True) == complete


@pytest.mark.parametrize(
    "caption",
    ["", "a", "red", "a red", "a red blue square", "a crimson square", "left of a square", "a cat",
     "a red circle left of", "a red circle left of above a square", "a red and square", "and the", "a ç🎈"],
)  # fmt: skip
def test_what_cannot_be_read_is_wrong(caption: str, some: list[Scene]) -> None:
    assert facts_of(caption) is None
    assert not some[0].agrees(caption)


def test_a_caption_is_read_word_for_word() -> None:
    read = facts_of("Here we see a small GRAY dotted ring higher than two crosses.")
    assert read is not None
    ring, crosses = Mention("ring", "grey", "small", "dotted"), Mention("cross", number=2)
    assert read.mentions == (ring, crosses)
    assert read.claims == ((ring, "above", crosses),)
    assert str(ring) == "small grey dotted ring" and str(Mention(color="red")) == "red thing"


@pytest.mark.parametrize("level", LEVELS)
def test_captions_are_true(level: str, some: list[Scene]) -> None:
    said = set()
    for scene in some:
        captions = scene.captions(level)
        assert len(captions) == len(set(captions)) >= 4
        assert scene.caption(level) in captions
        for caption in captions:
            assert scene.agrees(caption, complete=level != "short"), caption
            assert not re.search(r"\ba [aeiou]|\ban [^aeiou]|  ", caption), caption
        said.update(re.sub(r"\b(small|medium|large)\b", "", captions[0]).split())
    assert {"red", "circle", "two"} - ({"two"} if level == "short" else set()) <= said


def test_plain_captions_run_from_left_to_right_first(some: list[Scene]) -> None:
    for scene in some:
        read = facts_of(scene.captions("plain")[0])
        assert read is not None
        leftmost = [min(t.x for t in scene.objects if matches(t, mention)) for mention in read.mentions]
        assert leftmost == sorted(leftmost)


def test_full_captions_tell_a_relation_where_there_is_one(some: list[Scene]) -> None:
    telling = 0
    for scene in some:
        read = facts_of(scene.captions("full")[0])
        assert read is not None and len(read.claims) <= 1
        if len(scene.objects) == 1:
            assert not read.claims
        telling += len(read.claims)
    assert telling > 0.6 * sum(len(scene.objects) > 1 for scene in some)


def test_region_captions_fit_their_things(some: list[Scene]) -> None:
    simple = total = 0
    for scene in some:
        assert len(scene.region_captions) == len(scene.objects)
        for k, phrase in enumerate(scene.region_captions):
            assert k in scene.find(phrase)
            simple += len(phrase.split()) == 2
            total += 1
    assert 0.4 < simple / total < 0.9


def test_relations_are_those_of_the_boxes(some: list[Scene]) -> None:
    found = 0
    for scene in some:
        centers = (scene.boxes[:, :2] + scene.boxes[:, 2:]) / 2
        for i, relation, j in scene.relations:
            axis, sign = DIRECTIONS[relation]
            assert sign * (centers[i] - centers[j])["xy".index(axis)] > 0
            assert (j, OPPOSITE[relation], i) in scene.relations
            found += 1
    assert found > 500


def test_facts_are_all_that_is_there(some: list[Scene]) -> None:
    for scene in some:
        facts = scene.facts()
        assert [(m.shape, m.color, m.size, m.texture) for m in facts.mentions] == [
            (t.shape, t.color, t.size, t.texture) for t in scene.objects
        ]
        assert len(facts.claims) == len(scene.relations)


@pytest.mark.parametrize("level", LEVELS)
def test_near_misses_are_false_and_near(level: str, some: list[Scene]) -> None:
    kinds = set()
    for scene in some[:60]:
        caption = scene.captions(level)[0]
        wrong = scene.negatives(caption)
        assert wrong and caption not in wrong
        assert len(set(wrong)) == len(wrong) and wrong == scene.negatives(caption)
        for text in wrong:
            assert facts_of(text) is not None and not scene.agrees(text), (caption, text)
            ours, theirs = caption.split(), text.split()
            assert len(ours) == len(theirs) or any(opposite in text for opposite in ("left", "right", "over"))
            changed = {(a, b) for a, b in zip(ours, theirs, strict=False) if a.strip(",") != b.strip(",")}
            articles = {("a", "an"), ("an", "a")}
            assert 1 <= len(changed - articles) <= 4
            kinds.update(b.strip(",") for _, b in changed)
    assert {"red", "circle"} & kinds
    if level == "full":
        assert {"left", "above", "small", "striped", "two"} <= kinds


def test_near_misses_of_other_words(some: list[Scene]) -> None:
    for caption in ("", "a", "a cat on a mat", "two", "an"):
        assert some[0].negatives(caption) == []


def test_words_keep_what_is_held_out() -> None:
    for split in ("train", "val", "test"):
        scenes = Scenes(64, seed=5, split=split)
        for scene in (scenes[i] for i in range(60)):
            texts = [
                *scene.captions("full"),
                *scene.negatives(scene.captions("plain")[0]),
                *scene.region_captions,
            ]
            for text in texts:
                read = facts_of(text)
                assert read is not None
                for m in read.mentions:
                    assert (m.color, m.shape) not in HELD_OUT and (m.texture, m.shape) not in HELD_OUT
            for question in scene.questions(8):
                words = question.text + question.program
                assert not any(re.search(rf"\b{a} {shape}", words) for a, shape in HELD_OUT)


def test_find(some: list[Scene]) -> None:
    scene = some[0]
    assert scene.find("things") == list(range(len(scene.objects)))
    for k, each in enumerate(scene.objects):
        assert k in scene.find(each.name) and k in scene.find(f"the {each.color} {each.shape}")
        assert k in scene.find(f"{each.color} things")
    for wrong in ("cat", "a circle and a square", "a circle left of a square", ""):
        with pytest.raises(ValueError, match="does not name one kind of object"):
            scene.find(wrong)


def test_unknown_level(some: list[Scene]) -> None:
    with pytest.raises(ValueError, match="unknown level 'long'"):
        some[0].captions("long")


def test_random_choices_are_the_scenes_own(some: list[Scene]) -> None:
    random.seed(1)
    before = random.getstate()
    _ = some[0].captions("full"), some[0].questions(5), some[0].negatives("a red circle"), Scenes()[3].pixels
    assert random.getstate() == before
