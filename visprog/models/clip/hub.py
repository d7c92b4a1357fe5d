"""CLIP checkpoints of the hub: how their configurations and their weights are named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..checkpoint.hub_config import check_keys, check_model_type
from ..checkpoint.keymap import KeyMap

TOP = ("projection_dim", "text_config", "text_config_dict", "vision_config", "vision_config_dict")
"""Settings of a whole CLIP or OWL-ViT in its `config.json`."""

HUB_NAMES = {
    "hidden_size": "dim",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "intermediate_size": "hidden",
    "hidden_act": "activation",
    "layer_norm_eps": "eps",
}
"""Names in the `config.json` of CLIP and SigLIP checkpoints → names here."""


def renamed(raw: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Of a part of a `config.json`, the values that `names` maps to names here, where they are given."""
    return {ours: raw[theirs] for theirs, ours in names.items() if raw.get(theirs) is not None}


def check_encoder(raw: Mapping[str, Any], names: Mapping[str, str], where: str) -> None:
    """Refuse settings of one encoder besides those in `names`, as `check_keys`, but for the width that it is projected
    to and for the vocabulary of a LLaVA, which a configuration of images may repeat."""
    check_keys(raw, (*names, "projection_dim", "vocab_size"), where)


def hub_section(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """The part on one encoder of a `config.json`. Old checkpoints have it twice; `*_config_dict` then counts."""
    old: dict[str, Any] | None = raw.get(f"{name}_config_dict")
    new: dict[str, Any] | None = raw.get(f"{name}_config")
    return old if old is not None else new or {}


def encoder_section(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """The part on one encoder ("vision", "text") of a `config.json` of a whole CLIP, or of that encoder alone.

    Raises:
        ValueError: it is of another type, or asks for what is not implemented.
    """
    alone = f"clip_{name}_model"
    check_model_type(raw, "clip", alone)
    if raw.get("model_type") == alone:
        return raw
    check_keys(raw, TOP)
    return {**hub_section(raw, name), "projection_dim": raw.get("projection_dim", 512)}


def encoder_keys(theirs: str, ours: str) -> list[tuple[str, str]]:
    """Key pairs of the blocks of one encoder, as CLIP, SigLIP and OWL-ViT checkpoints share them."""
    layer, block = f"{theirs}encoder.layers.{{}}.", f"{ours}blocks.{{}}."
    return [
        (f"{layer}layer_norm1.{{}}", f"{block}attention_norm.{{}}"),
        (f"{layer}layer_norm2.{{}}", f"{block}mlp_norm.{{}}"),
        (f"{layer}self_attn.out_proj.{{}}", f"{block}attention.out.{{}}"),
        *((f"{layer}self_attn.{n}_proj.{{}}", f"{block}attention.{n}.{{}}") for n in "qkv"),
        (f"{layer}mlp.fc1.{{}}", f"{block}mlp.layers.0.{{}}"),
        (f"{layer}mlp.fc2.{{}}", f"{block}mlp.layers.1.{{}}"),
    ]


_IMAGE = [
    ("vision_model.embeddings.class_embedding", "image_encoder.class_token"),
    ("vision_model.embeddings.patch_embedding.weight", "image_encoder.patches.projection.weight"),
    ("vision_model.embeddings.position_embedding.weight", "image_encoder.positions"),
    ("vision_model.pre_layrnorm.{}", "image_encoder.pre_norm.{}"),
    *encoder_keys("vision_model.", "image_encoder."),
    ("vision_model.post_layernorm.{}", "image_encoder.norm.{}"),
    ("visual_projection.weight", "image_encoder.projection.weight"),
]
_TEXT = [
    ("text_model.embeddings.token_embedding.weight", "text_encoder.embed.weight"),
    ("text_model.embeddings.position_embedding.weight", "text_encoder.positions"),
    *encoder_keys("text_model.", "text_encoder."),
    ("text_model.final_layer_norm.{}", "text_encoder.norm.{}"),
    ("text_projection.weight", "text_encoder.projection.weight"),
]
KEYS = KeyMap(
    [*_IMAGE, *_TEXT, ("logit_scale", "logit_scale")],
    ignored=["text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"],
)
"""Names in the hub's checkpoints ↔ names here."""


def one_encoder(state: dict[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    """The weights of one encoder, of a state of both or of that encoder, with or without its prefix."""
    if not any(key.startswith(theirs) for key in state):
        state = {theirs + key: value for key, value in state.items()}
    state = {key: value for key, value in state.items() if key != "logit_scale"}
    mapped = KEYS.to_ours(state)
    return {key.removeprefix(ours): value for key, value in mapped.items() if key.startswith((ours, theirs))}
