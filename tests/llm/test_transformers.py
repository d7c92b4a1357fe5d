"""Local language models: a tiny one with random weights, saved by the test."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from visprog.errors import MissingExtra, PlannerError
from visprog.llm.transformers import TransformersChat
from visprog.planner import LLMPlanner, Message, NoProgram, PlanRequest, make_planner

pytest.importorskip("transformers", reason="the extra 'hf' is not installed")

ASK: list[Message] = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello there"}]
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TEMPLATE
)


def save(folder: Path, template: str | None = None, room: int = 256) -> Path:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    letters = {c: i + 3 for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab={"<pad>": 0, "<s>": 1, "</s>": 2, **letters}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    fast.chat_template = template
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(letters) + 3,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=room,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("plain"))


def test_greedy_is_repeatable_and_counts_tokens(folder: Path) -> None:
    chat = TransformersChat(str(folder), device="cpu")
    one, two = chat.complete(ASK, n=2, max_tokens=12)
    assert one == two
    (again,) = chat.complete(ASK, max_tokens=12)
    assert again.text == one.text
    assert one.tokens is not None
    assert one.tokens.prompt == len("be brief\n\nhello there\n\n")
    assert 1 <= one.tokens.completion <= 12


def test_sampling(folder: Path) -> None:
    chat = TransformersChat(str(folder), device="cpu")
    first = chat.complete(ASK, n=3, temperature=1.0, max_tokens=12, seed=5)
    assert len({r.text for r in first}) == 3
    assert first == chat.complete(ASK, n=3, temperature=1.0, max_tokens=12, seed=5)
    assert [r.tokens.prompt > 0 for r in first if r.tokens] == [True, False, False]


@pytest.mark.parametrize("template", [TEMPLATE, NO_SYSTEM])
def test_chat_templates(tmp_path: Path, template: str) -> None:
    (reply,) = TransformersChat(str(save(tmp_path, template)), device="cpu").complete(ASK, max_tokens=4)
    said = "<system>be brief<user>hello there<assistant>"
    if template is NO_SYSTEM:
        said = "<user>be brief\n\nhello there<assistant>"
    assert reply.tokens is not None
    assert reply.tokens.prompt == len(said)


def test_a_prompt_that_is_too_long(folder: Path, plan_request: Callable[..., PlanRequest]) -> None:
    planner = make_planner(f"transformers:{folder}", device="cpu", max_examples=1)
    with pytest.raises(PlannerError, match=r"the prompt has \d+ tokens .* takes 256: lower max_examples"):
        planner.plan(plan_request())


def test_a_model_that_writes_no_program(tmp_path: Path, plan_request: Callable[..., PlanRequest]) -> None:
    planner = make_planner(f"transformers:{save(tmp_path, TEMPLATE, 30_000)}", device="cpu", max_tokens=8)
    assert isinstance(planner, LLMPlanner)
    with pytest.raises(NoProgram):
        planner.plan(plan_request())


def test_the_reply_ends_at_any_of_the_end_tokens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    chat = TransformersChat(str(folder), device="cpu")
    chat.complete(ASK, max_tokens=2)
    assert chat._loaded is not None
    tokenizer, network = chat._loaded
    network.generation_config.eos_token_id = [2, 9]
    written = tokenizer("ok")["input_ids"]

    def generate(input_ids: Any, **rest: Any) -> Any:
        return torch.cat([input_ids[0], torch.tensor([*written, 9, 0, 0])])[None]

    monkeypatch.setattr(network, "generate", generate)
    (reply,) = chat.complete(ASK)
    assert (reply.text, reply.truncated) == ("ok", False)
    assert reply.tokens is not None and reply.tokens.completion == 3


def test_what_cannot_be_loaded(tmp_path: Path, folder: Path) -> None:
    def said(model: str, **options: str) -> str:
        with pytest.raises(PlannerError) as caught:
            TransformersChat(model, **options).complete(ASK)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "no such folder" in said(str(tmp_path / "missing"))
    assert "no such folder" in said("./missing")
    assert "holds no config.json" in said(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    assert "holds no *.safetensors" in said(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert "cannot load" in said(str(tmp_path))
    assert "cannot get 'no-such-org/no-such-model' from the hub" in said("no-such-org/no-such-model")
    assert "cannot put" in said(str(folder), device="nowhere")


def test_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"visprog\[hf\]"):
        TransformersChat(str(folder)).complete(ASK)
