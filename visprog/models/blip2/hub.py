"""BLIP-2 checkpoints of the hub: how their configurations and their weights are named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..bert import HUB_NAMES as BERT_NAMES
from ..checkpoint.hub_config import check_keys
from ..checkpoint.keymap import KeyMap
from ..clip.hub import HUB_NAMES, renamed
from ..clip.model import ImageEncoderConfig
from ..llama import model_keys
from .qformer import QFormerConfig

TOP = (
    "image_text_hidden_size", "image_token_id", "image_token_index", "num_query_tokens", "qformer_config",
    "text_config", "tie_word_embeddings", "use_decoder_only_language_model", "vision_config",
)  # fmt: skip
"""Settings of a whole BLIP-2 that are read, or repeat others."""

EVA_G: Mapping[str, Any] = {
    "hidden_size": 1408, "intermediate_size": 6144, "num_hidden_layers": 39, "num_attention_heads": 16,
    "image_size": 224, "patch_size": 14, "hidden_act": "gelu", "layer_norm_eps": 1e-6,
}  # fmt: skip
"""What a `vision_config` means by what it leaves out."""

QFORMER_NAMES = {name: BERT_NAMES[name] for name in (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
    "hidden_dropout_prob", "layer_norm_eps",
)} | {"cross_attention_frequency": "cross_every"}  # fmt: skip
"""Names in the `qformer_config` of BLIP-2 checkpoints → names here."""

TEXT_NAMES = {"vocab_size": "vocab", "max_position_embeddings": "length", "pad_token_id": "pad"}
"""Likewise of the texts that a Q-Former reads."""


def encoders(raw: Mapping[str, Any], *, text: bool) -> tuple[ImageEncoderConfig, QFormerConfig]:
    """The shapes of image encoder and Q-Former, from the `config.json` of a checkpoint.

    Args:
        text: whether the Q-Former must read texts, or must read none.

    Raises:
        ValueError: it asks for what is not implemented; the message names it.
    """
    check_keys(raw, TOP)
    vision, qformer = dict(raw.get("vision_config") or {}), dict(raw.get("qformer_config") or {})
    names = HUB_NAMES | {"image_size": "size", "patch_size": "patch", "num_channels": "channels"}
    check_keys(vision, (*names, "projection_dim", "qkv_bias"), "vision_config")
    if not vision.get("qkv_bias", True):
        raise ValueError("an image encoder without biases of queries, keys and values is not implemented")
    image = ImageEncoderConfig(**renamed({**EVA_G, **vision}, names), project=None, pre_norm=False)
    if not isinstance(image.size, int) or not isinstance(image.patch, int):
        raise ValueError("images and patches that are not square are not implemented")
    known = (
        *QFORMER_NAMES,
        *TEXT_NAMES,
        "encoder_hidden_size",
        "use_qformer_text_input",
        "position_embedding_type",
    )
    check_keys(qformer, known, "qformer_config")
    if qformer.get("position_embedding_type", "absolute") != "absolute":
        raise ValueError("qformer_config: only absolute positions are implemented")
    if bool(qformer.get("use_qformer_text_input", False)) != text:
        raise ValueError(
            "this Q-Former reads no texts (use_qformer_text_input is false)"
            if text
            else "a Q-Former that also reads the instruction (use_qformer_text_input, InstructBLIP) is not implemented"
        )
    found = renamed(qformer, QFORMER_NAMES)
    return image, QFormerConfig(**found, queries=raw.get("num_query_tokens") or 32)


_LAYER, _BLOCK = "vision_model.encoder.layers.{}.", "image_encoder.blocks.{}."
_THEIRS, _OURS = "qformer.encoder.layer.{}.", "qformer.blocks.{}."


def _attention(theirs: str, ours: str) -> list[tuple[str, str]]:
    """Key pairs of one attention of the Q-Former, and of the norm after it."""
    names = {"query": "q", "key": "k", "value": "v"}
    return [
        *(
            (f"{_THEIRS}{theirs}.attention.{a}.{{}}", f"{_OURS}{ours}.{b}.{{}}")
            for a, b in names.items()
        ),
        (f"{_THEIRS}{theirs}.output.dense.{{}}", f"{_OURS}{ours}.out.{{}}"),
        (f"{_THEIRS}{theirs}.output.LayerNorm.{{}}", f"{_OURS}{ours}_norm.{{}}"),
    ]  # fmt: skip


def _mlp(suffix: str, ours: str) -> list[tuple[str, str]]:
    """Key pairs of one feed-forward layer of the Q-Former, and of the norm after it."""
    return [
        (f"{_THEIRS}intermediate{suffix}.dense.{{}}", f"{_OURS}{ours}.layers.0.{{}}"),
        (f"{_THEIRS}output{suffix}.dense.{{}}", f"{_OURS}{ours}.layers.1.{{}}"),
        (f"{_THEIRS}output{suffix}.LayerNorm.{{}}", f"{_OURS}{ours}_norm.{{}}"),
    ]


KEYS = KeyMap(
    [
        ("vision_model.embeddings.class_embedding", "image_encoder.class_token"),
        ("vision_model.embeddings.position_embedding", "image_encoder.positions"),
        ("vision_model.embeddings.patch_embedding.{}", "image_encoder.patches.projection.{}"),
        (f"{_LAYER}layer_norm1.{{}}", f"{_BLOCK}attention_norm.{{}}"),
        (f"{_LAYER}layer_norm2.{{}}", f"{_BLOCK}mlp_norm.{{}}"),
        *(
            (f"{_LAYER}self_attn.qkv.{part}", tuple(f"{_BLOCK}attention.{x}.{part}" for x in "qkv"))
            for part in ("weight", "bias")
        ),
        (f"{_LAYER}self_attn.projection.{{}}", f"{_BLOCK}attention.out.{{}}"),
        (f"{_LAYER}mlp.fc1.{{}}", f"{_BLOCK}mlp.layers.0.{{}}"),
        (f"{_LAYER}mlp.fc2.{{}}", f"{_BLOCK}mlp.layers.1.{{}}"),
        ("vision_model.post_layernorm.{}", "image_encoder.norm.{}"),
        ("query_tokens", "qformer.queries"),
        ("qformer.layernorm.{}", "qformer.norm.{}"),
        *_attention("attention", "attention"),
        *_attention("crossattention", "cross"),
        *_mlp("_query", "query_mlp"),
        *_mlp("", "mlp"),
        # of a Blip2ForImageTextRetrieval
        ("embeddings.word_embeddings.weight", "words.weight"),
        ("embeddings.position_embeddings.weight", "positions.weight"),
        ("vision_projection.{}", "image_projection.{}"),
        ("text_projection.{}", "text_projection.{}"),
        ("itm_head.{}", "matching_head.{}"),
        # of a Blip2ForConditionalGeneration
        ("language_projection.{}", "projector.{}"),
        *model_keys("language_model.model.", "language_model."),
        ("language_model.lm_head.weight", "language_model.head.weight"),
    ],
    ignored=["embeddings.position_ids"],
)
"""Names in the hub's checkpoints ↔ names here; three weights have further axes of length 1 there."""

EXTRA_AXES = {"image_encoder.class_token": 2, "image_encoder.positions": 1, "qformer.queries": 1}
"""Number of axes of length 1 that a weight has there before ours."""


def to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state of the hub → ours."""
    return {
        name: value.flatten(0, EXTRA_AXES[name]) if name in EXTRA_AXES else value
        for name, value in KEYS.to_ours(state).items()
    }


def to_theirs(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state → the names of transformers."""
    return KEYS.to_theirs({name: value[(None,) * EXTRA_AXES.get(name, 0)] for name, value in state.items()})
