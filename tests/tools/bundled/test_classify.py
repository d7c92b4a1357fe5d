"""The embedded classifier's reading of texts, and its answers on a model that was taught six pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from visprog.errors import Refused, ToolError  # noqa: E402
from visprog.tools.backends.clip import (  # noqa: E402
    EmbeddedClassifier,
    EmbeddedMatcher,
    EmbeddedVerifier,
    _phrase,
    near_misses,
)
from visprog.values import Box, Region  # noqa: E402
from visprog.values.image import Image  # noqa: E402

ANIMALS = ["raccoon", "frog", "whale"]
HUES = {"red": (220, 30, 30), "green": (30, 180, 30), "blue": (30, 30, 220)}


def untrained() -> Any:
    """The objective of a tiny CLIP on scenes."""
    from tests.training.recipes import CLIP
    from visprog.training.recipe import load_recipe

    torch.manual_seed(0)
    return load_recipe("clip", [*CLIP, "model.image_encoder.patch=16", "init_from=null"]).build()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that tells three colours of plain pictures."""
    objective = untrained()
    texts = [f"a {color} thing" for color in HUES]
    batch = {
        "images": objective.image_processor([picture(color).pixels for color in HUES]),
        "tokens": objective.ids(texts),
    }
    others = objective.ids([miss for text in texts[:1] for miss in near_misses(text) if miss not in texts])
    optimizer = torch.optim.AdamW(objective.model.parameters(), 1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        images, pairs = objective.embed(batch)
        rivals = objective.model.encode_texts(others)
        logits = objective.model.logit_scale.exp() * images @ torch.cat([pairs[:, 0], rivals]).T
        torch.nn.functional.cross_entropy(logits, torch.arange(3)).backward()
        optimizer.step()
    path = tmp_path_factory.mktemp("clip")
    objective.save(path)
    return path


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one's own, with words that no scene has: red pictures are raccoons, green ones frogs, blue ones
    whales."""
    from visprog.models.preprocess.tokenizer import word_tokenizer

    texts = [f"a {animal}" for animal in ANIMALS]
    return taught(texts, lambda length: word_tokenizer(texts, length), tmp_path_factory.mktemp("animals"))


def taught(texts: list[str], tokenizer: Callable[[int], Any], path: Path) -> Path:
    """A model that has learned to tell red, green and blue pictures by three texts."""
    from visprog.models import Clip
    from visprog.models.preprocess.tokenizer import END
    from visprog.training.models import with_vocabulary

    objective = untrained()
    objective.tokenizer = tokenizer(objective.config.length)
    ids = {"vocab": len(objective.tokenizer), "end": objective.tokenizer.id(END)}
    objective.model = Clip(with_vocabulary(objective.model.config, **ids))
    batch = {
        "images": objective.image_processor([picture(color).pixels for color in HUES]),
        "tokens": objective.ids(texts),
    }
    optimizer = torch.optim.AdamW(objective.model.parameters(), 1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        images, pairs = objective.embed(batch)
        logits = objective.model.logit_scale.exp() * images @ pairs[:, 0].T
        torch.nn.functional.cross_entropy(logits, torch.arange(3)).backward()
        optimizer.step()
    objective.save(path)
    return path


CAPTIONS = {
    "digits": ["the digit 7", "the digit 1", "the digit 4"],
    "letters of another alphabet": ["красная панда", "зелёная лягушка", "синий кит"],
    "umlauts": ["ein Waschbär", "grüner Frosch", "großer Wal"],
    "some words of scenes": ["a red raccoon", "a green frog", "a blue whale"],
    "a colour that stands for another": ["a grey raccoon", "gray frog", "a silver whale"],
    "no article": ["raccoon", "tree-frog", "whale!"],
}


@pytest.mark.parametrize("pieces", [False, True], ids=["words", "pieces"])
@pytest.mark.parametrize("texts", CAPTIONS.values(), ids=CAPTIONS)
def test_other_captions_than_those_of_scenes_are_read_as_they_are(
    texts: list[str], pieces: bool, tmp_path: Path
) -> None:
    from visprog.models.preprocess.tokenizer import bpe_tokenizer, word_tokenizer

    folder = taught(
        texts,
        lambda length: bpe_tokenizer(texts, 400, length) if pieces else word_tokenizer(texts, length),
        tmp_path,
    )
    classify, match, verify = (
        tool(str(folder)) for tool in (EmbeddedClassifier, EmbeddedMatcher, EmbeddedVerifier)
    )
    for i, color in enumerate(HUES):
        image = picture(color)
        assert classify([{"image": image, "options": texts}]) == [texts[i]]
        fits = match([{"image": image, "text": text} for text in texts])
        assert int(np.argmax(fits)) == i
        region = Region(
            Box(2, 2, 18, 18), "circle", 1.0, image
        )  # the name of a shape that the model may not know
        truths = verify([{"image": region, "statement": text} for text in texts])
        assert all(isinstance(truth, bool) for truth in truths)  # none is refused
        assert sum(truths) <= 1 or pieces  # what says nothing to so small a model is no rival


def test_a_large_vocabulary_is_not_tried_word_by_word(tmp_path: Path) -> None:
    from visprog.models.preprocess.tokenizer import word_tokenizer
    from visprog.tools.backends.clip import MOST_RIVALS

    texts = [*(f"a {animal}" for animal in ANIMALS), *(f"word{i}" for i in range(5 * MOST_RIVALS))]
    word_tokenizer(texts, 8).save_pretrained(tmp_path)
    rivals = EmbeddedVerifier(str(tmp_path))._rivals("a raccoon")
    assert MOST_RIVALS / 2 < len(rivals) <= MOST_RIVALS and "a raccoon" not in rivals


def test_a_model_of_ones_own_verifies_in_its_own_words(animals: Path) -> None:
    match, verify = EmbeddedMatcher(str(animals)), EmbeddedVerifier(str(animals))
    texts = [f"a {animal}" for animal in ANIMALS]
    for color, animal in zip(HUES, ANIMALS, strict=True):
        assert verify([{"image": picture(color), "statement": t} for t in texts]) == [
            a == animal for a in ANIMALS
        ]
        fits = match([{"image": picture(color), "text": t} for t in texts])
        assert int(np.argmax(fits)) == ANIMALS.index(animal) and max(fits) > 0.5
    (denied,) = verify([{"image": picture("red"), "statement": "this is not a frog"}])
    assert denied is True
    (unknown,) = verify([{"image": picture("red"), "statement": "a zebu"}])
    assert isinstance(unknown, Refused) and "was not taught what 'zebu' is" in str(unknown)


def test_what_it_sees_is_known_without_torch_being_asked(animals: Path) -> None:
    phrases = EmbeddedVerifier(str(animals)).sees.phrases["statement"]
    assert phrases.can_see("a raccoon") and phrases.can_see("not a frog") and not phrases.can_see("a zebu")
    assert EmbeddedVerifier(str(animals)).sees.summary.endswith("frog, raccoon, whale")
    assert "circle" in EmbeddedVerifier().sees.summary


def picture(color: str) -> Image:
    return Image(np.full((20, 20, 3), HUES[color], np.uint8))


def test_texts_are_put_as_in_training() -> None:
    assert _phrase("the circle is red") == "a red circle"
    assert _phrase("orange") == "an orange thing"
    assert _phrase("a blue striped square") == "a striped blue square"
    two = "a red circle and a blue square"
    assert _phrase(two) == two
    misses = near_misses("a red circle")
    assert len(misses) == len(set(misses)) == 11 + 11
    assert "an orange circle" in misses and "a red star" in misses and "a red circle" not in misses


def test_the_nearest_option_the_probability_and_the_truth(folder: Path) -> None:
    classify, match, verify = (
        tool(str(folder)) for tool in (EmbeddedClassifier, EmbeddedMatcher, EmbeddedVerifier)
    )
    options = ["Blue", "a green thing", "red"]
    calls = [{"image": picture(color), "options": options} for color in HUES]
    assert classify(calls) == ["red", "a green thing", "Blue"]
    right, wrong = match([{"image": picture("red"), "text": text} for text in ("red", "blue")])
    assert right > 0.5 > wrong >= 0
    region = Region(Box(2, 2, 18, 18), "thing", 1.0, picture("green"))
    statements = ["it is green", "the thing is red", "not red", "is not green"]
    assert verify([{"image": region, "statement": s} for s in statements]) == [True, False, True, False]


def test_words_that_it_does_not_know_are_refused(folder: Path, tmp_path: Path) -> None:
    classify, verify = EmbeddedClassifier(str(folder)), EmbeddedVerifier(str(folder))
    unknown, empty, known = classify(
        [{"image": picture("red"), "options": o} for o in (["cat", "red"], [], ["red", "gray"])]
    )
    assert isinstance(unknown, Refused) and "'cat'" in str(unknown)
    assert isinstance(empty, ToolError) and "no options" in str(empty)
    assert known == "red"
    (vague,) = verify([{"image": picture("red"), "statement": "a thing"}])
    assert isinstance(vague, Refused) and "names no colour" in str(vague)
    (missing,) = EmbeddedClassifier(str(tmp_path))([{"image": picture("red"), "options": ["red"]}])
    assert isinstance(missing, ToolError) and "there is no CLIP in" in str(missing)
