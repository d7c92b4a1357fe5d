"""How CLIP's backend reads texts, and its answers on small models that a test or `visprog train` made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from visprog.errors import Refused, ToolError  # noqa: E402
from visprog.models import WEIGHTS  # noqa: E402
from visprog.tools.backends._backend_file import FILE, backend_file  # noqa: E402
from visprog.tools.backends._dual_encoder import templates_for  # noqa: E402
from visprog.tools.backends._vocabulary import MAX_EXCHANGED, as_caption, exchanged, near_misses  # noqa: E402
from visprog.tools.backends.clip import (  # noqa: E402
    CONTRASTS,
    ClipClassifier,
    ClipMatcher,
    ClipVerifier,
    EmbeddedVerifier,
)
from visprog.values import Box, Region  # noqa: E402
from visprog.values.image import Image  # noqa: E402

ANIMALS = ["raccoon", "frog", "whale"]
VOCABULARY = backend_file(WEIGHTS / "clip").vocabulary
assert VOCABULARY is not None
HUES = {"red": (220, 30, 30), "green": (30, 180, 30), "blue": (30, 30, 220)}


def untrained() -> Any:
    """The objective of a tiny CLIP on scenes."""
    from tests.training.recipes import CLIP
    from visprog.training.recipe import load_recipe

    torch.manual_seed(0)
    return load_recipe("clip", [*CLIP, "model.image_encoder.patch=16", "init_from=null"]).build()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that tells three colours of plain images."""
    objective = untrained()
    texts = [f"a {color} thing" for color in HUES]
    batch = {
        "images": objective.image_processor([picture(color).pixels for color in HUES]),
        "tokens": objective.ids(texts),
    }
    others = objective.ids(
        [miss for text in texts[:1] for miss in near_misses(text, VOCABULARY) if miss not in texts]
    )
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
    """A model of one's own, with words that no scene has: red images are raccoons, green ones frogs, blue ones
    whales."""
    from visprog.models.preprocess.tokenizer import word_tokenizer

    texts = [f"a {animal}" for animal in ANIMALS]
    return taught(texts, lambda length: word_tokenizer(texts, length), tmp_path_factory.mktemp("animals"))


def taught(texts: list[str], tokenizer: Callable[[int], Any], path: Path) -> Path:
    """A model that has learned to tell red, green and blue images by three texts."""
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
    (path / FILE).unlink()  # its words are not those of the scenes
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
    classify, match, verify = (tool(str(folder)) for tool in (ClipClassifier, ClipMatcher, ClipVerifier))
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


def test_a_large_vocabulary_is_not_tried_word_by_word() -> None:
    known = [*ANIMALS, *(f"word{i}" for i in range(5 * MAX_EXCHANGED))]
    texts = exchanged("a raccoon", known)
    assert MAX_EXCHANGED / 2 < len(texts) <= MAX_EXCHANGED and "a raccoon" not in texts


def test_a_model_that_reads_any_word_is_asked_about_any_text(tmp_path: Path) -> None:
    from visprog.models.preprocess.tokenizer import bpe_tokenizer
    from visprog.tools.classify import classify, match, verify

    texts = [f"a {animal}" for animal in ANIMALS]
    folder = taught(texts, lambda length: bpe_tokenizer([*texts, *CONTRASTS], 400, length), tmp_path)
    options = (("model", str(folder)),)
    red = Region(Box(2, 2, 18, 18), "raccoon", 1.0, picture("red"))
    assert classify.load("clip", options)([{"image": red, "options": [*texts, "a zebu"]}])[0] in (
        *texts,
        "a zebu",
    )
    right, wrong, other = match.load("clip", options)(
        [{"image": red, "text": text} for text in ("a raccoon", "a whale", "the door is open")]
    )
    assert right > wrong and 0 <= other <= 1
    statements = ["a raccoon", "not a raccoon", "there is a person on the sofa", "it isn't a circle"]
    truths = verify.load("clip", options)([{"image": red, "statement": text} for text in statements])
    assert all(isinstance(truth, bool) for truth in truths) and truths[0] != truths[1]


@pytest.mark.parametrize(
    ("words", "count"),
    [("a photo of cropped the close up picture", 6), ("a photo of", 3), ("cat", 1), (None, 1)],
)
def test_a_model_gets_the_templates_in_whose_words_it_was_trained(
    words: str | None, count: int, tmp_path: Path
) -> None:
    from visprog.prompts import templates

    model = {"type": "WordLevel", "vocab": {word: i for i, word in enumerate((words or "").split())}}
    (tmp_path / "config.json").write_text(json.dumps({"layout": "visprog", "model_type": "clip"}))
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model if words else {"type": "BPE"}}))
    found = templates_for(tmp_path, trained_here=True)
    assert len(found) == count and found[0] == "{}"
    assert templates_for(tmp_path, trained_here=False) == templates("crops")


def test_a_model_of_ones_own_verifies_in_its_own_words(animals: Path) -> None:
    match, verify = ClipMatcher(str(animals)), ClipVerifier(str(animals))
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
    phrases = ClipVerifier(str(animals)).sees.phrases["statement"]
    assert phrases.can_see("a raccoon") and phrases.can_see("not a frog") and not phrases.can_see("a zebu")
    assert ClipVerifier(str(animals)).sees.summary.endswith("frog, raccoon, whale")
    assert "circle" in EmbeddedVerifier().sees.summary


def picture(color: str) -> Image:
    return Image(np.full((20, 20, 3), HUES[color], np.uint8))


def test_texts_are_worded_as_in_training() -> None:
    assert as_caption("the circle is red", VOCABULARY) == "a red circle"
    assert as_caption("orange", VOCABULARY) == "an orange thing"
    assert as_caption("a blue striped square", VOCABULARY) == "a striped blue square"
    two = "a red circle and a blue square"
    assert as_caption(two, VOCABULARY) == two
    misses = near_misses("a red circle", VOCABULARY)
    assert len(misses) == len(set(misses)) == 11 + 11
    assert "an orange circle" in misses and "a red star" in misses and "a red circle" not in misses


def test_the_nearest_option_the_probability_and_the_truth(folder: Path) -> None:
    classify, match, verify = (tool(str(folder)) for tool in (ClipClassifier, ClipMatcher, ClipVerifier))
    options = ["Blue", "a green thing", "red"]
    calls = [{"image": picture(color), "options": options} for color in HUES]
    assert classify(calls) == ["red", "a green thing", "Blue"]
    right, wrong = match([{"image": picture("red"), "text": text} for text in ("red", "blue")])
    assert right > 0.5 > wrong >= 0
    region = Region(Box(2, 2, 18, 18), "thing", 1.0, picture("green"))
    statements = ["it is green", "the thing is red", "not red", "is not green"]
    assert verify([{"image": region, "statement": s} for s in statements]) == [True, False, True, False]


def test_words_that_it_does_not_know_are_refused(folder: Path, tmp_path: Path) -> None:
    classify, verify = ClipClassifier(str(folder)), ClipVerifier(str(folder))
    unknown, empty, known = classify(
        [{"image": picture("red"), "options": o} for o in (["cat", "red"], [], ["red", "gray"])]
    )
    assert isinstance(unknown, Refused) and "'cat'" in str(unknown)
    assert isinstance(empty, ToolError) and "no options" in str(empty)
    assert known == "red"
    (vague,) = verify([{"image": picture("red"), "statement": "a thing"}])
    assert isinstance(vague, Refused) and "names no texture, colour or shape" in str(vague)
    (missing,) = ClipClassifier(str(tmp_path))([{"image": picture("red"), "options": ["red"]}])
    assert isinstance(missing, ToolError) and "holds no config.json" in str(missing)
