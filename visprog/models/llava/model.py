"""LLaVA: a language model that sees (Liu et al. 2023, arXiv:2304.08485; LLaVA-1.5, arXiv:2310.03744).

The features of an image's patches, of the layer before the last of a CLIP image encoder, are projected to the width of
the embeddings of a LLaMA and take the place of as many placeholder tokens. The class token is left out: only it is
supervised in CLIP's last layer, and the other tokens still describe their own patches. It is trained in two stages:
first the projector alone, on captions; then projector and language model, on conversations, with the loss on the
answers. The image encoder is frozen. The learning rate of each part is in the recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..base import PretrainedModel, Rename
from ..checkpoint.hub_config import check_keys, check_model_type
from ..checkpoint.keymap import KeyMap
from ..clip.model import ImageEncoder, ImageEncoderConfig, encoder_keys
from ..llama import Llama, LlamaConfig, LlamaDecoding, check_placeholders, model_keys
from ..nn import Mlp, activation
from ..nn.generate import Beams, Sampling, generate

VIT_L_336 = ImageEncoderConfig(size=336, patch=14, dim=1024, layers=24, heads=16, hidden=4096, project=None)


@dataclass(frozen=True)
class LlavaConfig:
    """The shape of a model; the defaults are those of LLaVA-1.5 7B.

    Attributes:
        image_token: id of the placeholder whose place a feature takes.
        feature_layers: hidden states of the image encoder that the features are made of, side by side: 0 is the input
            of the first block, 1 its output, -1 the output of the last.
        class_token: whether to keep the class token, as the first feature of an image.
        merge: side of the squares of patches that become one feature, side by side (Chen et al. 2023, MiniGPT-v2,
            arXiv:2310.09478), so that the language model reads fewer tokens.
        projector: activations between linear maps, each as wide as the language model: ("gelu",) has two maps,
            () has one (LLaVA-1).
    """

    image_encoder: ImageEncoderConfig = VIT_L_336
    language_model: LlamaConfig = field(
        default_factory=lambda: LlamaConfig(32064, 4096, 32, 32, hidden=11008, eps=1e-5, tied=False)
    )
    image_token: int = 32000
    feature_layers: tuple[int, ...] = (-2,)
    class_token: bool = False
    merge: int = 1
    projector: tuple[str, ...] = ("gelu",)
    projector_bias: bool = True

    @property
    def tokens_per_image(self) -> int:
        """Number of placeholders per image."""
        return (self.image_encoder.grid // self.merge) ** 2 + self.class_token

    def __post_init__(self) -> None:
        grid = self.image_encoder.grid
        if self.merge > 1 and (self.class_token or grid % self.merge):
            raise ValueError(
                f"merge = {self.merge} needs no class token, and a grid of patches that it divides, not {grid}"
            )

    @classmethod
    def from_hub(cls, raw: dict[str, Any]) -> LlavaConfig:
        """From the `config.json` of a hub checkpoint.

        Raises:
            ValueError: its image encoder is no CLIP, its language model no LLaMA, or one asks for something that is
                not implemented; the message names it.
        """
        check_model_type(raw, "llava")
        check_keys(raw, HUB_KEYS)
        raw = {key: value for key, value in raw.items() if value is not None}
        vision, text = raw.get("vision_config"), dict(raw.get("text_config") or {})
        if vision and (found := vision.get("model_type", "clip_vision_model")) != "clip_vision_model":
            raise ValueError(
                f"an image encoder of model_type '{found}' is not implemented in LLaVA, only CLIP's"
            )
        layers = raw.get("vision_feature_layer", -2)
        select = raw.get("vision_feature_select_strategy", "default")
        if select not in ("default", "full"):
            raise ValueError(f"vision_feature_select_strategy is 'default' or 'full', not {select!r}")
        if raw.get("tie_word_embeddings"):
            text["tie_word_embeddings"] = True
        return cls(
            image_encoder=ImageEncoderConfig.from_hub(vision, None) if vision else VIT_L_336,
            language_model=LlamaConfig.from_hub(text),
            image_token=raw.get("image_token_index", raw.get("image_token_id", 32000)),
            feature_layers=(layers,) if isinstance(layers, int) else tuple(layers),
            class_token=select == "full",
            projector=(raw.get("projector_hidden_act", "gelu"),),
            projector_bias=raw.get("multimodal_projector_bias", True),
        )


class LlavaOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        logits: (batch, length, vocab).
        image_embeds: (images, tokens_per_image, dim), projected features; None without images.
        embeddings: (batch, length, dim), the input of the language model.
        features: (batch, length, dim), after its final norm.
        hidden: (batch, length, dim) after each of its blocks; empty unless asked for.
    """

    logits: Tensor
    image_embeds: Tensor | None
    embeddings: Tensor
    features: Tensor
    hidden: list[Tensor]


class Llava(PretrainedModel):
    """The model, of three parts that recipes name: `image_encoder`, `projector`, `language_model`."""

    model_type = "llava"
    config_class = LlavaConfig
    config: LlavaConfig

    def __init__(self, config: LlavaConfig) -> None:
        super().__init__(config)
        self.image_encoder = ImageEncoder(config.image_encoder)
        width = config.language_model.dim
        dims = [
            config.image_encoder.dim * len(config.feature_layers) * config.merge**2,
            *[width] * (1 + len(config.projector)),
        ]
        self.projector = Mlp(dims, activation(config.projector[0]) if config.projector else nn.Identity())
        if not config.projector_bias:
            for layer in self.projector.layers:
                layer.bias = None
        self.language_model = Llama(config.language_model)

    def encode_images(self, images: Tensor) -> Tensor:
        """Features of images, before the projector: (n, 3, height, width) → (n, tokens_per_image, image dim * feature
        layers * merge²).

        They depend on the image encoder alone: if that is frozen, they may be computed once and kept.
        """
        config, merge = self.config, self.config.merge
        out = self.image_encoder(images, collect=True)
        states = [out.embedded, *out.hidden]  # (n, 1 + patches, dim) each
        features = torch.cat([states[layer] for layer in config.feature_layers], -1)
        if config.class_token:
            return features
        grid = features[:, 1:].unflatten(1, (config.image_encoder.grid, -1))  # (n, rows, columns, dim)
        # Squares of merge x merge patches: (n, rows / merge, columns / merge, dim, merge, merge)
        squares = grid.unfold(1, merge, merge).unfold(2, merge, merge)
        return squares.flatten(3).flatten(1, 2)

    def embed(
        self, tokens: Tensor, images: Tensor | None = None, image_features: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The input of the language model, (batch, length, dim), and the projected features of images in it.

        Args:
            tokens: ids (batch, length), with `tokens_per_image` placeholders for each image.
            images: (n, 3, height, width), all images of the batch in the order of their placeholders.
            image_features: from `encode_images`, in place of `images`.

        Raises:
            ValueError: the numbers of placeholders and of features differ.
        """
        x = self.language_model.embed(tokens)
        placeholders = tokens == self.config.image_token  # (batch, length)
        if image_features is None and images is not None:
            image_features = self.encode_images(images)
        check_placeholders(placeholders, image_features)
        if image_features is None:
            return x, None
        embeds = self.projector(image_features)  # (n, tokens_per_image, dim)
        return x.masked_scatter(placeholders[..., None], embeds.to(x.dtype)), embeds

    def forward(
        self,
        tokens: Tensor,
        images: Tensor | None = None,
        mask: Tensor | None = None,
        collect: bool = False,
        image_features: Tensor | None = None,
        logits_at: slice | Tensor | None = None,
    ) -> LlavaOutput:
        """Predict the token after each.

        Args:
            tokens, images, image_features: as `embed`.
            mask: bool (batch, length), True for real tokens, for left-padded batches; padding on the right needs none,
                because no token before it attends to it.
            collect: whether to keep the hidden states.
            logits_at: positions to compute logits for, as `visprog.models.llama.Llama.forward`; all if not given.
        """
        x, embeds = self.embed(tokens, images, image_features)
        out = self.language_model(embeddings=x, mask=mask, collect=collect, logits_at=logits_at)
        return LlavaOutput(out.logits, embeds, x, out.features, out.hidden)

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor,
        images: Tensor | None = None,
        max_new: int = 128,
        *,
        mask: Tensor | None = None,
        image_features: Tensor | None = None,
        stop: Sequence[int] = (),
        pad: int | None = None,
        search: Sampling | Beams | None = None,
    ) -> Tensor:
        """Answers, as new ids (batch, at most max_new).

        Args:
            tokens, images, image_features: as `embed`; shorter prompts padded on the left.
            mask: bool (batch, length), True for real tokens.
            max_new, stop, pad, search: as `visprog.models.nn.generate`.
        """
        x, _ = self.embed(tokens, images, image_features)
        decoding = LlamaDecoding(self.language_model, x, mask, max_new)
        return generate(decoding, max_new, stop=stop, pad=pad, search=search)

    @classmethod
    def from_public(cls, raw: Mapping[str, Any]) -> tuple[LlavaConfig, Rename]:
        return LlavaConfig.from_hub(dict(raw)), to_ours


def llava_1_5_7b() -> Llava:
    """LLaVA-1.5 7B, with fresh weights (7.1 G parameters)."""
    return Llava(LlavaConfig())


HUB_KEYS = (
    "image_seq_length", "image_token_id", "image_token_index", "multimodal_projector_bias", "projector_hidden_act",
    "text_config", "tie_word_embeddings", "vision_config", "vision_feature_layer", "vision_feature_select_strategy",
    "vocab_size",
)  # fmt: skip
"""Settings of a hub checkpoint that are read, or repeat others."""

KEYS = KeyMap(
    [
        ("vision_tower.embeddings.class_embedding", "image_encoder.class_token"),
        ("vision_tower.embeddings.patch_embedding.weight", "image_encoder.patches.projection.weight"),
        ("vision_tower.embeddings.position_embedding.weight", "image_encoder.positions"),
        ("vision_tower.pre_layrnorm.{}", "image_encoder.pre_norm.{}"),
        *encoder_keys("vision_tower.", "image_encoder."),
        ("vision_tower.post_layernorm.{}", "image_encoder.norm.{}"),
        ("multi_modal_projector.linear_1.{}", "projector.layers.0.{}"),
        ("multi_modal_projector.linear_2.{}", "projector.layers.1.{}"),
        *model_keys("language_model.", "language_model."),
        ("lm_head.weight", "language_model.head.weight"),
    ],
    ignored=[
        "vision_tower.embeddings.position_ids",
        "language_model.layers.{}.self_attn.rotary_emb.inv_freq",
    ],
)
"""Names in the hub's checkpoints, without the prefixes in which their layouts differ ↔ names here."""


def to_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state of the hub, in any of its layouts → ours: `language_model.model.…` of the first files and
    `model.language_model.…` of transformers 5 are the same, so are `vision_tower.vision_model.…` and
    `vision_tower.…`."""
    plain = {}
    for key, value in state.items():
        key = key.removeprefix("model.").replace("vision_tower.vision_model.", "vision_tower.")
        key = key.replace("language_model.model.", "language_model.").replace(
            "language_model.lm_head", "lm_head"
        )
        plain[key] = value
    return KEYS.to_ours(plain)


def to_theirs(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state → the names of transformers 5 in memory (`model.language_model.…`, `lm_head.weight`)."""
    theirs = KEYS.to_theirs(state)
    return {key if key.startswith("lm_head") else f"model.{key}": value for key, value in theirs.items()}
