"""The nearest word by meaning, never by looks."""

from __future__ import annotations

import pytest

from visprog.sees import Near
from visprog.tools.labels import ClassPhrases, Labels
from visprog.tools.meaning import head_of, is_slip, near
from visprog.tools.phrase import read_yaml


@pytest.fixture(scope="module")
def coco() -> ClassPhrases:
    return ClassPhrases(Labels.coco(), "some.onnx")


@pytest.mark.parametrize("word", ["man", "Women", "two girls", "a kid", "ladies", "firefighter", "horse rider",
                                  "woman holding an umbrella", "men in hats"])  # fmt: skip
def test_people_of_a_kind_are_persons(coco: ClassPhrases, word: str) -> None:
    found = coco.near(word)
    assert found is not None and (found.phrase, found.relation) == ("person", "broader")
    assert not coco.can_see(word)


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("puppies", Near("dog", "broader", "puppy")),
        ("red taxi", Near("red car", "broader", "red taxi")),
        ("donkey", Near("farm animal", "broader", "donkey")),
        ("rocking chair", Near("chair", "broader", "rocking chair")),
        ("cup of coffee", Near("cup", "broader", "cup of coffee")),
        ("sign", Near("stop sign", "narrower", "sign")),
        ("computer", Near("laptop", "narrower", "computer")),
        ("umbrela", Near("umbrella", "spelling", "umbrela")),
        ("suticase", Near("suitcase", "spelling", "suticase")),
    ],
)
def test_what_is_nearest(coco: ClassPhrases, word: str, wanted: Near) -> None:
    assert coco.near(word) == wanted
    assert coco.nearest(word) == wanted.phrase
    assert str(wanted) in coco.refusal(word)


@pytest.mark.parametrize(
    "word", ["wall", "sky", "house", "tree", "window", "road", "wheel", "block", "boot", "dog house", "street light",
             "number plate", "shoe", "bus stop", "the"],
)  # fmt: skip
def test_nothing_is_near_that_only_looks_alike(coco: ClassPhrases, word: str) -> None:
    assert coco.near(word) is None
    assert not coco.can_see(word)


@pytest.mark.parametrize("word", ["sofa", "tellies", "lorry", "mobile phones", "people", "red car", "animals", "thing",
                                  "black object", "mice", "glasses of wine"])  # fmt: skip
def test_synonyms_and_groups_are_seen(coco: ClassPhrases, word: str) -> None:
    assert coco.can_see(word)


def test_a_label_file_of_ones_own_is_searched_by_meaning_too() -> None:
    mine = ClassPhrases(Labels(["man", "woman", "raccoon"]), "mine.onnx")
    assert mine.near("person") == Near("man", "narrower", "person")
    assert mine.near("grandfather") == Near("man", "broader", "grandfather")
    assert mine.near("dog") is None
    assert "it has man, woman, raccoon" in mine.refusal("dog")
    assert mine.summary.startswith("3 kinds of object: man, woman, raccoon")


def test_slips_are_of_one_letter_in_long_words() -> None:
    assert is_slip("giraff", "giraffe") and is_slip("giraffee", "giraffe") and is_slip("girafge", "giraffe")
    assert is_slip("girfafe", "giraffe")
    assert (
        not is_slip("house", "horse")
        and not is_slip("coaster", "toaster")
        and not is_slip("toaster", "toaster")
    )


def test_heads_of_phrases() -> None:
    assert head_of("men with hats") == "man"
    assert head_of("woman wearing a red hat") == "woman"
    assert head_of("brick building window") == "brick building window"


def test_every_kind_is_a_single_noun_and_no_kind_of_itself() -> None:
    for parent, kinds in read_yaml("kinds").items():
        assert len(kinds) == len(set(kinds)), parent
        assert parent not in kinds
        assert all(kind == kind.lower().strip() for kind in kinds)


def test_the_nearest_of_several_levels_comes_first() -> None:
    assert near("kitten", {"animal", "cat"}) == Near("cat", "broader", "kitten")
    assert near("kitten", set(), {"animal"}) == Near("animal", "broader", "kitten")
