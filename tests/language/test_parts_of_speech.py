"""Parts of speech of captions."""

from __future__ import annotations

import pytest

from visprog.language.parts_of_speech import is_plural, tag_words

SHORT = {"n": "noun", "a": "adjective", "r": "adverb", "v": "verb", "d": "determiner", "#": "number",
         "p": "preposition", "c": "conjunction", "o": "pronoun", "x": "auxiliary", ".": "sign"}  # fmt: skip


@pytest.mark.parametrize(
    ("caption", "tags"),
    [
        ("a red square left of a blue circle", "d a n p p d a n"),
        ("the red square and the blue circle", "d a n c d a n"),
        ("an orange and an apple", "d n c d n"),
        ("a red and white bus", "d a c a n"),
        ("A man riding a horse and a woman eating an apple.", "d n v d n c d n v d n ."),
        ("two brown dogs are chasing a small white cat in the park", "# a n x v d a a n p d n"),
        ("a young girl quickly runs past an old wooden fence", "d a n r v p d a a n"),
        ("a tennis player swings a racket", "d n n v d n"),
        ("a bus parked on the left side of a crowded street", "d n v p d a n p d a n"),
        ("a woman slowly walks her dog while a man quickly runs", "d n r v d n c d n r v"),
        ("a parked car behind a running dog", "d a n p d a n"),
        ("3 dogs on the left", "# n p d n"),
        ("", ""),
        ("?!", ". ."),
    ],
)
def test_words_of_captions(caption: str, tags: str) -> None:
    assert [word.tag for word in tag_words(caption)] == [SHORT[tag] for tag in tags.split()]
    assert [caption[word.start : word.end] for word in tag_words(caption)] == [
        word.text for word in tag_words(caption)
    ]


def test_number_of_nouns() -> None:
    assert all(map(is_plural, ("dogs", "boxes", "people", "Men")))
    assert not any(map(is_plural, ("dog", "bus", "cross", "glass", "iris")))
