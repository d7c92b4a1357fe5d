"""The nearest word by meaning, never by looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from visprog.registry.sees import Near
from visprog.tools.words.labels import ClassPhrases, Labels
from visprog.tools.words.meaning import finder_of, head_of, is_slip, near, parts_of
from visprog.tools.words.phrase import read_yaml


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
        ("wild animals", Near("animal", "broader", "wild animal")),
        ("desk", Near("table", "broader", "desk")),
        ("parked cars", Near("car", "broader", "parked car")),
        ("car parked outside", Near("car", "broader", "car parked outside")),
        ("large sleeping dogs", Near("dog", "broader", "large sleeping dog")),
        ("person without a hat", Near("person", "broader", "person without a hat")),
        ("black and white cat", Near("cat", "broader", "black and white cat")),
        ("crowd", Near("person", "part", "crowd")),
        ("slices of pizza", Near("pizza", "part", "slice of pizza")),
        ("bag of chips", Near("bag", "broader", "bag of chips")),
        ("seat", Near("chair", "narrower", "seat", ("couch", "bench"))),
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
             "number plate", "shoe", "bus stop", "the", "donkey", "van", "tomato", "bookshelf", "cats and dogs",
             "cat or dog", "no dogs"],
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
    assert mine.near("person") == Near("man", "narrower", "person", ("woman",))
    assert mine.near("grandfather") == Near("man", "broader", "grandfather")
    assert mine.near("dog") is None
    assert "it has man, woman, raccoon" in mine.refusal("dog")
    assert mine.summary.startswith("3 kinds of object: man, woman, raccoon")
    assert '("gentleman" as "man")' in mine.summary


def test_labels_are_written_in_many_ways(tmp_path: Path) -> None:
    file = tmp_path / "mine.names"
    file.write_text("White_Blood_Cell\nnumber plate\nNo entry sign\n", encoding="utf-8-sig")
    mine = ClassPhrases(Labels.read(str(file)), "mine.onnx")
    assert mine.labels.names == ["White Blood Cell", "number plate", "No entry sign"]
    assert all(map(mine.can_see, ["white blood cells", "White Blood Cell", "number plates", "no entry sign"]))
    assert mine.summary.endswith("is looked for by its kind.")


@pytest.mark.parametrize(
    ("phrase", "said"),
    [
        ("cats and dogs", "names 2 kinds of object"),
        ("cats, dogs, birds", "names 3 kinds of object"),
        ("no dogs", "compare their number with 0"),
        ("donkey", "of that kind it has horse, sheep, cow alone"),
        ("van", "of that kind it has car, motorcycle, bus, truck alone"),
    ],
)
def test_a_refusal_says_what_is_wrong_with_the_phrase(coco: ClassPhrases, phrase: str, said: str) -> None:
    assert said in coco.refusal(phrase)


@pytest.mark.parametrize(
    ("phrase", "tool"),
    [("faces", "find_faces"), ("QR code", "find_qr_codes"), ("the red sign", "find_text"),
     ("licence plates", "find_text"), ("number plate", "find_text"), ("rings", "find_circles"),
     ("octagon", "find_polygons"), ("dog", ""), ("clock face", ""), ("the", "")],
)  # fmt: skip
def test_other_tools_find_things_by_themselves(coco: ClassPhrases, phrase: str, tool: str) -> None:
    assert coco.elsewhere(phrase) == finder_of(phrase) == tool


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
    assert head_of("large parked car") == "large parked car"
    assert head_of("men standing on chairs") == "man"
    assert head_of("brick building window") == "brick building window"


@pytest.mark.parametrize(
    ("phrase", "count"),
    [("cats and dogs", 2), ("cats, dogs or birds", 3), ("an orange and an apple", 2), ("black and white cat", 0),
     ("a black and white cat", 0), ("tower of a black and a blue block", 0), ("red or blue car", 0), ("dog", 0)],
)  # fmt: skip
def test_phrases_that_name_several_things(phrase: str, count: int) -> None:
    assert len(parts_of(phrase)) == count


def test_every_kind_is_a_single_noun_and_no_kind_of_itself() -> None:
    for parent, kinds in read_yaml("kinds").items():
        assert len(kinds) == len(set(kinds)), parent
        assert parent not in kinds
        assert all(kind == kind.lower().strip() for kind in kinds)


def test_the_nearest_of_several_levels_comes_first() -> None:
    assert near("kitten", {"animal", "cat"}) == Near("cat", "broader", "kitten")
    assert near("kitten", {"animal"}) == Near("animal", "broader", "kitten")
    assert (
        near("kitten", set(), {"animal"}) is None
    )  # the group means kinds that are known, and these are none
