"""`generate`: images of a text, the best of several first, equal for equal calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visprog import Agent
from visprog.check import check
from visprog.config import Config
from visprog.errors import Refused, ToolError
from visprog.models import (
    Clip,
    ClipConfig,
    Dalle,
    DalleConfig,
    DvaeConfig,
    ImageEncoderConfig,
    TextEncoderConfig,
)
from visprog.models.preprocess.image_processor import ImageProcessor
from visprog.models.preprocess.tokenizer import bpe_tokenizer, word_tokenizer
from visprog.registry import default_registry
from visprog.runtime.host import Host
from visprog.tools.backends._generation import MAX_DRAWN
from visprog.tools.backends.dalle import DalleGenerator
from visprog.tools.generate import generate
from visprog.values.image import Image

torch = pytest.importorskip("torch")

TEXTS = ["a red square", "a blue circle and a green star"]


def save(folder: Path, tokenizer: Any) -> str:
    """A DALL-E with random weights, of 8 x 8 pixels and 4 x 4 tokens."""
    torch.manual_seed(0)
    dvae = DvaeConfig(8, group_count=2, n_init=8, n_hid=8, n_blk_per_group=1, vocab_size=16)
    config = DalleConfig(
        dvae, vocab=len(tokenizer), length=6, dim=16, layers=2, heads=2, head_dim=8, hidden=32, kernel=3
    )
    model = Dalle(config)
    for parameter in model.parameters():
        parameter.data += 0.5 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("dalle"), word_tokenizer(TEXTS, 6))


def made(backend: DalleGenerator, prompt: str, n: int = 1) -> list[Image]:
    (images,) = backend([{"prompt": prompt, "n": n}])
    assert isinstance(images, list), images
    return images


def failure(backend: DalleGenerator, prompt: str, n: int = 1) -> Exception:
    (error,) = backend([{"prompt": prompt, "n": n}])
    assert isinstance(error, Exception)
    return error


class Brightness:
    """A judge that likes bright images, and does not know green."""

    def __init__(self, model: str | None = None) -> None:
        pass

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [
            Refused("green is unknown") if "green" in c["text"] else float(c["image"].pixels.mean() / 255)
            for c in calls
        ]


def test_without_a_model_it_refuses_and_planners_are_not_shown_it() -> None:
    with pytest.raises(Refused, match=r'backend = "dalle" and model = the folder of a run'):
        generate("a red square")
    assert generate.load().sees.nothing
    with pytest.raises(ToolError, match="which model"):
        DalleGenerator()


def test_equal_calls_and_seeds_give_equal_images(folder: str) -> None:
    plain = DalleGenerator(folder, candidates=1)
    first = made(plain, "a red square", 3)
    assert [image.size for image in first] == [(8, 8)] * 3
    assert len({image.digest for image in first}) == 3
    assert first[0].name == "a red square (seed 0)"
    again = made(DalleGenerator(folder, candidates=1, batch_size=32), "a red square", 3)
    assert [image.digest for image in again] == [image.digest for image in first]
    other = made(DalleGenerator(folder, candidates=1, seed=1), "a red square", 3)
    assert {image.digest for image in other}.isdisjoint(image.digest for image in first)
    assert made(plain, "a blue circle")[0].digest != first[0].digest
    assert len(made(DalleGenerator(folder, candidates=1, batch_size=2), "a red square", 5)) == 5
    greedy = made(DalleGenerator(folder, candidates=1, top_k=1), "a red square", 2)
    assert greedy[0].digest == greedy[1].digest


def test_candidates_are_ranked_by_the_match_of_the_configuration(folder: str) -> None:
    chosen = {"generate": {"backend": "dalle", "model": folder, "candidates": 4}, "match": Brightness}
    agent = Agent(backends=chosen)
    source = 'def answer(image):\n    return generate("a red square", 2)\n'
    answer = agent.run(source, Image(np.zeros((4, 4, 3), np.uint8)))
    levels = [image.pixels.mean() for image in answer.unwrap()]
    drawn = made(DalleGenerator(folder, candidates=1), "a red square", 8)
    assert levels == sorted((image.pixels.mean() for image in drawn), reverse=True)[:2]
    calls = answer.steps[-1].trace
    assert sum(call.tool == "match" and call.caller == "generate" for call in calls) == 8
    refused = agent.run(source.replace("red square", "green star"), Image(np.zeros((4, 4, 3), np.uint8)))
    assert 'green is unknown; or set rerank = "clip"' in refused.message


def test_candidates_are_ranked_by_a_clip(folder: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = word_tokenizer(TEXTS, 8)
    clip = Clip(
        ClipConfig(
            ImageEncoderConfig(8, 4, 16, 1, 2, 32, project=8),
            TextEncoderConfig(len(tokenizer), 8, 16, 1, 2, 32, project=8, end=2),
        )
    )
    clip.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    processor = ImageProcessor(size=(8, 8))
    processor.save_pretrained(tmp_path)
    best = made(DalleGenerator(folder, candidates=6, rerank=str(tmp_path)), "a red square")[0]
    drawn = made(DalleGenerator(folder, candidates=1), "a red square", 6)
    with torch.no_grad():
        seen = clip.encode_images(processor([image.pixels for image in drawn]))
        said = clip.encode_texts(tokenizer(["a red square", *_others("a red square")]).ids)
    probabilities = (clip.logit_scale.exp() * seen @ said.T).softmax(-1)[:, 0]
    assert best.digest == drawn[int(probabilities.argmax())].digest


def _others(text: str) -> list[str]:
    """The text with one of its words exchanged for another that is known, as `match` compares it."""
    from visprog.tools.backends._vocabulary import exchanged

    return exchanged(text, ["<pad>", "<start>", "<end>", "<unk>", *" ".join(TEXTS).split()])


@pytest.mark.parametrize(
    ("prompt", "n", "kind", "message"),
    [
        ("a red horse", 1, Refused, "was not taught what 'horse' is"),
        ("", 1, ToolError, "empty text"),
        (" ?!", 1, ToolError, "empty text"),
        ("a red square and a blue circle and a green star", 1, ToolError, "has 11 tokens, .* reads 6"),
        ("a red square", 0, ToolError, "n must be between 1 and 64, with 8 candidates per image, not 0"),
        ("a red square", 65, ToolError, "not 65"),
    ],
)
def test_what_cannot_be_drawn(folder: str, prompt: str, n: int, kind: type, message: str) -> None:
    error = failure(DalleGenerator(folder), prompt, n)
    assert type(error) is kind
    with pytest.raises(kind, match=message):
        raise error


def test_signs_are_left_out_and_one_bad_call_spoils_no_other(folder: str) -> None:
    backend = DalleGenerator(folder, candidates=1)
    good, bad = backend([{"prompt": "A red square.", "n": 1}, {"prompt": "a horse", "n": 1}])
    assert good[0].digest == made(backend, "a red square")[0].digest and isinstance(bad, Refused)


def test_an_unknown_word_is_found_before_the_program_runs(folder: str) -> None:
    config = Config.of({"tools": {"generate": {"backend": "dalle", "model": folder}}})
    registry = Host(default_registry(), config).in_force
    source = 'def answer(image):\n    return generate("a red {}")\n'
    assert not check(source.replace("{}", "circle"), registry)
    (found,) = check(source.replace("{}", "horse"), registry)
    assert found.code == "unseen-phrase" and "'horse'" in found.message


def test_words_are_free_if_the_model_reads_any(tmp_path: Path) -> None:
    backend = DalleGenerator(save(tmp_path, bpe_tokenizer(TEXTS, 300, 6)), candidates=1)
    assert len(made(backend, "a  red Square", 2)) == 2
    assert "tokens" in str(failure(backend, "xylophones quack"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": 0}, "candidates must be between 1"),
        ({"candidates": MAX_DRAWN + 1}, "candidates must be between 1"),
        ({"seed": -1}, "must not be negative"),
        ({"top_k": -1}, "must not be negative"),
        ({"temperature": 0.0}, "temperature must be above 0"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolError, match=message):
        DalleGenerator("folder", **options)


def test_other_models_are_refused(checkpoint: Callable[[str], str], tmp_path: Path) -> None:
    assert "this backend takes dalle" in str(failure(DalleGenerator(checkpoint("clip")), "a red square"))
    assert "no such folder" in str(failure(DalleGenerator(str(tmp_path / "none")), "a red square"))
