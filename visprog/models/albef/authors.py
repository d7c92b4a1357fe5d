"""The layout of the authors' checkpoints, `ALBEF.pth` and `ALBEF_4M.pth`, and how they clean captions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..bert import block_keys, embedding_keys, head_keys
from ..checkpoint.keymap import KeyMap

if TYPE_CHECKING:
    from ..preprocess.tokenizer import Tokenizer

HEAD_DIM = 64
"""Width of an attention head in the authors' checkpoints, which do not say it."""

SIGNS, DASHES = "[,.'!?\"()*#:;~]", "[-/]"
"""Signs that the authors leave out of captions, and those that they replace by a space."""

TRAINING = re.compile(
    r"(visual_encoder|vision_proj|text_encoder|text_proj)_m\..*|(image|text|idx)_queue|queue_ptr"
)
"""Names of momentum copies and queues."""


def authors_config(state: Mapping[str, Tensor], source: str | Path) -> dict[str, Any]:
    """The fields of an `AlbefConfig`, from the shapes of the authors' weights.

    Raises:
        ValueError: the weights are not those of a pre-trained ALBEF.
    """

    def shape(key: str) -> tuple[int, ...]:
        return tuple(state[key].shape)

    def count(prefix: str, last: str) -> int:
        """Number of numbered parts under a prefix that have a certain weight."""
        return sum(key.startswith(prefix) and key.endswith(last) for key in state)

    text, layers = "text_encoder.bert.", "text_encoder.bert.encoder.layer."
    try:
        dim, _, _, patch = shape("visual_encoder.patch_embed.proj.weight")
        side = math.isqrt(shape("visual_encoder.pos_embed")[1] - 1)
        vocab, width = shape(f"{text}embeddings.word_embeddings.weight")
        fusion = count(layers, ".crossattention.self.query.weight")
        return {
            "image_encoder": {
                "size": side * patch,
                "patch": patch,
                "dim": dim,
                "layers": count("visual_encoder.blocks.", ".norm1.weight"),
                "heads": dim // HEAD_DIM,
                "hidden": shape("visual_encoder.blocks.0.mlp.fc1.weight")[0],
            },
            "text_encoder": {
                "vocab": vocab,
                "length": shape(f"{text}embeddings.position_embeddings.weight")[0],
                "types": shape(f"{text}embeddings.token_type_embeddings.weight")[0],
                "dim": width,
                "layers": count(layers, ".attention.self.query.weight") - fusion,
                "heads": width // HEAD_DIM,
                "hidden": shape(f"{layers}0.intermediate.dense.weight")[0],
            },
            "fusion_layers": fusion,
            "project": shape("text_proj.weight")[0],
        }
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            f"{source} is no checkpoint of the pre-training of ALBEF: it lacks {error}"
        ) from None


def authors_tokenizer(source: str | Path, length: int = 30) -> Tokenizer:
    """BERT's word pieces of captions that are cleaned as the authors do.

    Args:
        source: folder or hub id of the tokenizer of bert-base-uncased.
        length: greatest number of tokens of a text.

    Raises:
        ValueError: there is no tokenizer.
    """
    from tokenizers import Regex, normalizers

    from ..preprocess.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_pretrained(source, length=length)
    signs, dashes = normalizers.Replace(Regex(SIGNS), ""), normalizers.Replace(Regex(DASHES), " ")
    tokenizer.backend.normalizer = normalizers.Sequence([signs, dashes, tokenizer.backend.normalizer])
    return tokenizer


def from_authors(state: Mapping[str, Tensor], text_layers: int, fusion_layers: int) -> dict[str, Tensor]:
    """The authors' weights under our names."""
    found = {key: value for key, value in state.items() if not TRAINING.fullmatch(key)}
    found = authors_keys(text_layers, fusion_layers).to_ours(found)
    for name, axes in EXTRA_AXES.items():
        found |= {key: value.flatten(0, axes) for key, value in found.items() if key == name}
    return found


def to_authors(state: Mapping[str, Tensor], text_layers: int, fusion_layers: int) -> dict[str, Tensor]:
    """Our weights under the authors' names."""
    state = {
        key: value[(None,) * EXTRA_AXES[key]] if key in EXTRA_AXES else value for key, value in state.items()
    }
    return authors_keys(text_layers, fusion_layers).to_theirs(state)


EXTRA_AXES = {"image_encoder.class_token": 2, "image_encoder.positions": 1}
"""Weights that have axes of length 1 in front in the authors' checkpoints, and the number of these."""


def authors_keys(text_layers: int, fusion_layers: int) -> KeyMap:
    """The authors' layout; their BERT numbers the layers of both halves together."""
    bert, image = "text_encoder.bert.", ("visual_encoder.blocks.{}.", "image_encoder.blocks.{}.")
    parts = {
        "norm1.{}": "attention_norm.{}",
        "attn.proj.{}": "attention.out.{}",
        "norm2.{}": "mlp_norm.{}",
        "mlp.fc1.{}": "mlp.layers.0.{}",
        "mlp.fc2.{}": "mlp.layers.1.{}",
    }
    layers = [
        *(f"text_blocks.{i}." for i in range(text_layers)),
        *(f"fusion_blocks.{i}." for i in range(fusion_layers)),
    ]
    return KeyMap(
        [
            ("visual_encoder.cls_token", "image_encoder.class_token"),
            ("visual_encoder.pos_embed", "image_encoder.positions"),
            ("visual_encoder.patch_embed.proj.{}", "image_encoder.patches.projection.{}"),
            (f"{image[0]}attn.qkv.{{}}", tuple(f"{image[1]}attention.{name}.{{}}" for name in "qkv")),
            *((image[0] + theirs, image[1] + ours) for theirs, ours in parts.items()),
            ("visual_encoder.norm.{}", "image_encoder.norm.{}"),
            *embedding_keys(f"{bert}embeddings.", "text_embeddings."),
            *(
                pair
                for i, ours in enumerate(layers)
                for pair in block_keys(f"{bert}encoder.layer.{i}.", ours)
            ),
            *head_keys("text_encoder.cls.predictions.", "language_head."),
            ("vision_proj.{}", "image_projection.{}"),
            ("text_proj.{}", "text_projection.{}"),
            ("itm_head.{}", "matching_head.{}"),
            ("temp", "temperature"),
        ],
        ignored=(f"{bert}embeddings.position_ids", "text_encoder.cls.predictions.decoder.{}"),
    )
