"""BLIP-2: public checkpoints with OPT and Flan-T5, and models of both stages that were trained here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
T = pytest.importorskip("transformers")

from visprog.errors import ToolError  # noqa: E402
from visprog.tools.backends import blip2  # noqa: E402
from visprog.tools.backends.blip2 import Blip2Captioner, Blip2Matcher, Blip2Verifier, Blip2Vqa  # noqa: E402
from visprog.tools.caption import caption  # noqa: E402
from visprog.tools.classify import match, verify  # noqa: E402
from visprog.tools.vqa import vqa  # noqa: E402
from visprog.values import Region  # noqa: E402
from visprog.values.image import Image  # noqa: E402

from .conftest import save_blip2, words  # noqa: E402

Folder = Callable[[str], str]
QUESTIONS = ("What colour is it?", "What is the number of red cars in the picture?")


@pytest.fixture(autouse=True)
def _every_token_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What random weights write has no end: here it counts as whole wherever it stops."""
    monkeypatch.setattr(blip2, "end_tokens", lambda checkpoint: set(range(100_000)))


def test_it_is_a_backend() -> None:
    assert isinstance(caption.load("blip2"), Blip2Captioner)
    assert isinstance(vqa.load("blip2"), Blip2Vqa)
    assert isinstance(match.load("blip2"), Blip2Matcher)
    assert isinstance(verify.load("blip2"), Blip2Verifier)


@pytest.mark.parametrize("kind", ["blip2-opt", "blip2-t5"])
def test_public_checkpoints_answer_and_describe(
    kind: str, checkpoint: Folder, pictures: list[Image], region: Region
) -> None:
    answerer = Blip2Vqa(checkpoint(kind), max_tokens=6, batch_size=3)
    calls = [{"image": thing, "question": q} for thing in [*pictures, region] for q in QUESTIONS]
    together = answerer(calls)
    assert len(set(map(str, together))) > 1
    assert together == [answerer([call])[0] for call in calls]
    captioner = Blip2Captioner(checkpoint(kind), max_tokens=6, batch_size=2)
    calls = [{"image": picture} for picture in pictures]
    described = captioner(calls)
    assert all(isinstance(text, str) and text and "<image>" not in text for text in described)
    assert described == [captioner([call])[0] for call in calls]


def test_a_public_checkpoint_gets_the_published_prompt(checkpoint: Folder, pictures: list[Image]) -> None:
    network = T.Blip2ForConditionalGeneration.from_pretrained(checkpoint("blip2-opt")).eval()
    processor = T.Blip2Processor.from_pretrained(checkpoint("blip2-opt"))
    texts = []
    for text in (f"Question: {QUESTIONS[0]} Answer:", ""):
        inputs = processor(images=pictures[0].to_pil(), text=text, return_tensors="pt")
        ids = network.generate(**inputs, max_new_tokens=5, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        texts.append(" ".join(processor.tokenizer.decode(ids, skip_special_tokens=True).split()))
    (answer,) = Blip2Vqa(checkpoint("blip2-opt"), max_tokens=5)(
        [{"image": pictures[0], "question": QUESTIONS[0]}]
    )
    (described,) = Blip2Captioner(checkpoint("blip2-opt"), max_tokens=5)([{"image": pictures[0]}])
    assert [answer, described] == texts


def test_what_it_cannot_run_is_said(checkpoint: Folder, tmp_path: Path, pictures: list[Image]) -> None:
    (error,) = Blip2Captioner(checkpoint("blip2-itm"))([{"image": pictures[0]}])
    assert isinstance(error, ToolError) and "compares images and texts, and writes none" in str(error)
    (error,) = Blip2Vqa(checkpoint("blip2-itm"))([{"image": pictures[0], "question": "what ?"}])
    assert isinstance(error, ToolError) and "of model_type blip2; this backend takes blip2_generator" in str(
        error
    )
    (error,) = Blip2Captioner(checkpoint("blip"))([{"image": pictures[0]}])
    assert isinstance(error, ToolError) and "of model_type blip; this backend takes blip2" in str(error)
    answer, error = Blip2Vqa(checkpoint("blip2-opt"), max_tokens=4)(
        [{"image": pictures[0], "question": "what ?"}, {"image": pictures[0], "question": " "}]
    )
    assert isinstance(answer, str) and isinstance(error, ToolError) and "empty question" in str(error)
    tokenizer = words("<pad>", "</s>", "[N]", wrap=False)
    shape = {"hidden_size": 32, "word_embed_proj_dim": 32, "ffn_dim": 64, "num_hidden_layers": 1,
             "num_attention_heads": 2, "vocab_size": len(tokenizer)}  # fmt: skip
    save_blip2(tmp_path, T.OPTConfig(**shape), tokenizer, image=None)
    (error,) = Blip2Captioner(str(tmp_path))([{"image": pictures[0]}])
    assert isinstance(error, ToolError) and "where the image stands" in str(error)


def test_pairs_are_judged_as_by_transformers(
    checkpoint: Folder, pictures: list[Image], region: Region
) -> None:
    network = T.Blip2ForImageTextRetrieval.from_pretrained(checkpoint("blip2-itm")).eval()
    processor = T.Blip2Processor.from_pretrained(checkpoint("blip2-itm"))
    texts = ("a red car", "a photo of a person wearing a hat")
    calls = [{"image": picture, "text": text} for picture in pictures for text in texts]
    found = Blip2Matcher(checkpoint("blip2-itm"), batch_size=3)(calls)
    for call, probability in zip(calls, found, strict=True):
        inputs = processor(images=call["image"].to_pil(), text=call["text"], return_tensors="pt")
        logits = network(**inputs, use_image_text_matching_head=True).logits_per_image
        assert probability == pytest.approx(logits.softmax(1)[0, 1].item(), abs=1e-5)
    assert len({round(p, 4) for p in found}) > 1
    middle = sorted(found)[len(found) // 2]
    verifier = Blip2Verifier(checkpoint("blip2-itm"), threshold=middle)
    stated = [{"image": call["image"], "statement": call["text"]} for call in calls]
    assert verifier(stated) == [p >= middle for p in found]
    told = [
        {"image": region, "statement": text} for text in ("a red car", "not a red car", "it is not not a car")
    ]
    yes, no, _ = verifier(told)
    assert yes is not no
    (error,) = Blip2Matcher(checkpoint("blip2-itm"))([{"image": region, "text": " "}])
    assert isinstance(error, ToolError) and "empty text" in str(error)
    (error,) = Blip2Matcher(checkpoint("blip2-opt"))([{"image": region, "text": "a car"}])
    assert isinstance(error, ToolError) and "this backend takes blip2" in str(error)
