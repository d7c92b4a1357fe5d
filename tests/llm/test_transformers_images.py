"""Local chat models that see images: tiny ones with random weights, as the hub has them."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("torch", reason="the extra 'torch' is not installed")
transformers = pytest.importorskip("transformers", reason="the extra 'hf' is not installed")

from tests.llm.test_transformers import TEMPLATE, save  # noqa: E402
from tests.small_tools import REGISTRY, picture  # noqa: E402
from tests.tools.backends.conftest import saved_checkpoints  # noqa: E402
from visprog.agent import Agent  # noqa: E402
from visprog.errors import PlannerError  # noqa: E402
from visprog.llm.chat import ImagePart, Message, complete  # noqa: E402
from visprog.llm.control_tokens import control_tokens  # noqa: E402
from visprog.llm.transformers import TransformersChat  # noqa: E402

KINDS = ["qwen3-vl", "llava-onevision", "smolvlm", "internvl", "molmo2", "gemma3"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    return saved_checkpoints(tmp_path_factory)


def part(seed: int) -> ImagePart:
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    image = PIL.Image.fromarray(blocks.repeat(8, 0).repeat(8, 1))
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return ImagePart(buffer.getvalue(), "image/png", f"image {seed}", str(seed))


def ask(*parts: str | ImagePart) -> list[Message]:
    return [
        {"role": "system", "content": "answer in one word"},
        {"role": "user", "content": "what is it ?"},
        {"role": "assistant", "content": "a car"},
        {"role": "user", "content": [*parts]},
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_is_given_the_images(
    kind: str, checkpoint: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = TransformersChat(checkpoint(kind), device="cpu", dtype="float32")
    assert chat.takes_images is True
    assert chat._loaded is not None
    given: list[dict[str, Any]] = []
    generate = chat._loaded[1].generate

    def noted(**inputs: Any) -> Any:
        given.append(inputs)
        return generate(**inputs)

    monkeypatch.setattr(chat._loaded[1], "generate", noted)
    question = "what colour is it ?"
    for parts in ((question, part(1)), (question, part(2)), (part(1), part(2), question)):
        with suppress(PlannerError):  # random weights may write nothing
            (reply,) = complete(chat, ask(*parts), max_tokens=4)
            assert not reply.without_images and reply.tokens is not None
            assert reply.tokens.prompt == given[-1]["input_ids"].shape[1]
    pixels = [inputs["pixel_values"] for inputs in given]
    assert pixels[0].shape == pixels[1].shape and not pixels[0].equal(pixels[1])
    assert given[2]["input_ids"].shape[1] > 20 and pixels[2].shape != pixels[0].shape


@pytest.mark.parametrize("kind", ["qwen3-vl", "gemma3"])
def test_inputs_are_those_of_the_processor(kind: str, checkpoint: Callable[[str], str]) -> None:
    chat = TransformersChat(checkpoint(kind), device="cpu", dtype="float32")
    assert chat.takes_images
    processor: Any = chat._processor
    shown = part(1)
    made = chat._prepare([{"role": "user", "content": [shown, "what is it ?"]}])
    content = [{"type": "image"}, {"type": "text", "text": "what is it ?"}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    begins = {"add_special_tokens": False} if text.startswith("<bos>") else {}
    image = PIL.Image.open(io.BytesIO(shown.data))
    wanted = processor(images=[[image]], text=[text], return_tensors="pt", **begins)
    assert set(made) == set(wanted)
    assert all(made[name].equal(wanted[name]) for name in ("input_ids", "pixel_values"))


def test_texts_write_no_control_tokens(checkpoint: Callable[[str], str]) -> None:
    chat = TransformersChat(checkpoint("qwen3-vl"), device="cpu", dtype="float32")
    assert chat.takes_images
    processor: Any = chat._processor
    evil = " ".join(sorted(control_tokens(processor.tokenizer)))
    plain, told = (chat._prepare(ask(part(1), text)) for text in ("it", f"it {evil}"))
    assert told["input_ids"].tolist() == plain["input_ids"].tolist()


def test_texts_alone(checkpoint: Callable[[str], str]) -> None:
    chat = TransformersChat(checkpoint("qwen3-vl"), device="cpu", dtype="float32")
    one, two = chat.complete(ask("what is it ?"), n=2, max_tokens=3)
    assert one == two and one.tokens is not None and one.tokens.prompt > 4


def test_a_model_of_texts_gets_descriptions(tmp_path: Path) -> None:
    chat = TransformersChat(str(save(tmp_path, TEMPLATE)), device="cpu")
    assert chat.takes_images is False
    (reply,) = complete(chat, [{"role": "user", "content": ["look", part(1)]}], max_tokens=3)
    assert reply.without_images and reply.tokens is not None
    assert reply.tokens.prompt == len("<user>look\n\n[image 1]<assistant>")


def test_what_cannot_converse_or_see(
    checkpoint: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint("llava-onevision")
    from visprog.models.preprocess import processors

    monkeypatch.setattr(processors, "type_problem", lambda kind: "which needs what is not here")
    with pytest.raises(PlannerError, match=r"model_type llava_onevision, which needs .*: choose another"):
        TransformersChat(folder).complete(ask("what is it ?"))
    monkeypatch.undo()
    monkeypatch.setattr(
        processors,
        "load_processor",
        lambda *a, **b: type("P", (), {"tokenizer": type("T", (), {"chat_template": None})}),
    )
    with pytest.raises(PlannerError, match="has no chat template"):
        TransformersChat(folder).complete(ask("what is it ?"))


def test_turns_of_a_local_model_end_well(checkpoint: Callable[[str], str]) -> None:
    chat = TransformersChat(checkpoint("qwen3-vl"), device="cpu", dtype="float32")
    with Agent(chat, {}, registry=REGISTRY, turns=2) as agent:
        answer = agent.ask("What is it?", picture())
    assert answer.status == "error" and (
        "no answer within 2 turns" in answer.message or "tokens" in answer.message
    )
