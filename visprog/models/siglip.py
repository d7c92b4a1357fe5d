"""SigLIP: CLIP's idea with a loss that judges every pair by itself (Zhai et al. 2023, arXiv:2303.15343).

The image encoder has no class token: one learned query attends to all patches. The text encoder reads in both
directions, and its feature stands at the last token, padding or not, so texts are padded to the full length.
The loss is `visprog.models.nn.sigmoid_pair_loss`. SigLIP 2 checkpoints of a fixed resolution have this shape too.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import PretrainedModel, Rename
from .checkpoint.hub_config import check_keys, check_model_type
from .checkpoint.keymap import KeyMap
from .clip.hub import HUB_NAMES, encoder_keys, renamed
from .clip.model import Features, make_blocks, whole_patches
from .nn import Attention, Mlp, PatchEmbed, activation, resize_positions


@dataclass(frozen=True)
class SiglipImageEncoderConfig:
    """The shape of an image encoder; the defaults are those of B/16. Fields as `clip.model.ImageEncoderConfig`."""

    size: int = 224
    patch: int = 16
    dim: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    activation: str = "gelu_pytorch_tanh"
    eps: float = 1e-6
    channels: int = 3


@dataclass(frozen=True)
class SiglipTextEncoderConfig:
    """The shape of a text encoder; the defaults are those of B/16.

    Attributes:
        length: number of tokens of every text.
        project: width of the shared space, which is that of the image encoder.
    """

    vocab: int = 32000
    length: int = 64
    dim: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    activation: str = "gelu_pytorch_tanh"
    eps: float = 1e-6
    project: int = 768


@dataclass(frozen=True)
class SiglipConfig:
    """The shape of a SigLIP."""

    image_encoder: SiglipImageEncoderConfig = field(default_factory=SiglipImageEncoderConfig)
    text_encoder: SiglipTextEncoderConfig = field(default_factory=SiglipTextEncoderConfig)

    @classmethod
    def from_hub(cls, raw: dict[str, Any]) -> SiglipConfig:
        """From the `config.json` of a hub checkpoint; what it leaves out is as in B/16.

        Raises:
            ValueError: it is no SigLIP, or asks for something that is not implemented.
        """
        check_model_type(raw, "siglip")
        check_keys(raw, ("vision_config", "text_config"))
        image, text = raw.get("vision_config") or {}, raw.get("text_config") or {}
        if not image.get("vision_use_head", True):
            raise ValueError("a SigLIP without the pooling head of its image encoder is not implemented")
        if not isinstance(image.get("image_size", 0), int) or not isinstance(image.get("patch_size", 0), int):
            raise ValueError("images and patches that are not square are not implemented")
        image_names = HUB_NAMES | {"image_size": "size", "patch_size": "patch", "num_channels": "channels"}
        text_names = HUB_NAMES | {"vocab_size": "vocab", "max_position_embeddings": "length"}
        check_keys(image, (*image_names, "vision_use_head"), "vision_config")
        check_keys(text, (*text_names, "projection_size"), "text_config")
        project = text.get("projection_size") or text.get("hidden_size", 768)
        return cls(
            SiglipImageEncoderConfig(**renamed(image, image_names)),
            SiglipTextEncoderConfig(**renamed(text, text_names), project=project),
        )


class AttentionPoolHead(nn.Module):
    """One learned query that attends to all tokens, and an MLP after it (Zhai et al. 2022, arXiv:2106.04560).

    Shapes: (batch, length, dim) → (batch, dim).
    """

    def __init__(self, config: SiglipImageEncoderConfig) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(1, 1, config.dim))
        self.attention = Attention(config.dim, config.heads)
        self.norm = nn.LayerNorm(config.dim, config.eps)
        self.mlp = Mlp([config.dim, config.hidden, config.dim], activation(config.activation))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.attention(self.query.expand(len(tokens), 1, -1), tokens)
        return (x + self.mlp(self.norm(x)))[:, 0]


class SiglipImageEncoder(PretrainedModel):
    """A vision transformer that ends in an attention pool. Alone, only own folders are read."""

    model_type = "siglip_vision_model"
    config_class = SiglipImageEncoderConfig
    config: SiglipImageEncoderConfig

    def __init__(self, config: SiglipImageEncoderConfig) -> None:
        super().__init__(config)
        self.patches = PatchEmbed(config.dim, config.patch, config.channels)
        self.positions = nn.Parameter(torch.empty((config.size // config.patch) ** 2, config.dim))
        self.blocks = make_blocks(config)
        self.norm = nn.LayerNorm(config.dim, config.eps)
        self.pool = AttentionPoolHead(config)
        _init(self)
        nn.init.normal_(self.positions, std=config.dim**-0.5)
        nn.init.xavier_uniform_(self.pool.query)
        _lecun(self.patches.projection)

    def forward(self, images: Tensor, collect: bool = False) -> Features:
        """Encode images (batch, channels, height, width); positions are interpolated to other sizes. `tokens` are
        those after the last norm, and `projected` is `pooled`."""
        config = self.config
        images, grid = whole_patches(images, config.patch)
        positions = self.positions  # (rows * columns, dim)
        if grid != (config.size // config.patch,) * 2:
            positions = resize_positions(positions, grid)
        embedded = self.patches(images) + positions  # (batch, patches, dim)
        x, hidden = self.blocks(embedded, collect=collect)
        tokens = self.norm(x)
        pooled = self.pool(tokens)  # (batch, dim)
        return Features(embedded, hidden, tokens, pooled, pooled)


class SiglipTextEncoder(nn.Module):
    """A transformer that reads in both directions."""

    def __init__(self, config: SiglipTextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab, config.dim)
        self.positions = nn.Parameter(torch.empty(config.length, config.dim))
        self.blocks = make_blocks(config)
        self.norm = nn.LayerNorm(config.dim, config.eps)
        self.projection = nn.Linear(config.dim, config.project)
        _init(self)
        for parameter in (self.embed.weight, self.positions):
            nn.init.normal_(parameter, std=config.dim**-0.5)
        _lecun(self.projection)

    def forward(self, tokens: Tensor, mask: Tensor | None = None, collect: bool = False) -> Features:
        """Encode texts, ids (batch, length), with a mask, bool (batch, length), True for real tokens. SigLIP was
        trained on texts padded to the full length, without a mask."""
        if tokens.shape[1] > self.config.length:
            raise ValueError(f"a text has {tokens.shape[1]} tokens, {self.config.length} are the most")
        embedded = self.embed(tokens) + self.positions[: tokens.shape[1]]
        allowed = None if mask is None else mask.bool()[:, None, None, :]
        x, hidden = self.blocks(embedded, mask=allowed, collect=collect)
        x = self.norm(x)
        return Features(embedded, hidden, x, x[:, -1], self.projection(x[:, -1]))


class SiglipOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        image: intermediates of the image encoder.
        text: intermediates of the text encoder.
        image_embeds: (images, project), rows of length 1.
        text_embeds: (texts, project), rows of length 1.
        logits: (images, texts), of each pair by itself: its sigmoid is the probability that they belong together.
    """

    image: Features
    text: Features
    image_embeds: Tensor
    text_embeds: Tensor
    logits: Tensor


class Siglip(PretrainedModel):
    """The model. `logit_scale` is the logarithm of the factor of the cosines, to which `logit_bias` is added; they
    start at ln 10 and -10, which says of nearly every pair that it does not belong together."""

    model_type = "siglip"
    config_class = SiglipConfig
    config: SiglipConfig

    def __init__(self, config: SiglipConfig) -> None:
        super().__init__(config)
        self.image_encoder = SiglipImageEncoder(config.image_encoder)
        self.text_encoder = SiglipTextEncoder(config.text_encoder)
        self.logit_scale = nn.Parameter(torch.full((1,), math.log(10)))
        self.logit_bias = nn.Parameter(torch.full((1,), -10.0))

    def encode_images(self, images: Tensor) -> Tensor:
        """Features of images: (batch, channels, height, width) → (batch, project), rows of length 1."""
        return F.normalize(self.image_encoder(images).projected, dim=-1)

    def encode_texts(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features of texts: ids (batch, length) → (batch, project), rows of length 1."""
        return F.normalize(self.text_encoder(tokens, mask).projected, dim=-1)

    def forward(
        self, images: Tensor, tokens: Tensor, mask: Tensor | None = None, collect: bool = False
    ) -> SiglipOutput:
        """Compare each image with each text: (n, channels, height, width) and (m, length); n and m may differ."""
        image, text = self.image_encoder(images, collect), self.text_encoder(tokens, mask, collect)
        image_embeds, text_embeds = F.normalize(image.projected, dim=-1), F.normalize(text.projected, dim=-1)
        logits = self.logit_scale.exp() * image_embeds @ text_embeds.T + self.logit_bias
        return SiglipOutput(image, text, image_embeds, text_embeds, logits)

    @classmethod
    def from_public(cls, raw: Mapping[str, Any]) -> tuple[SiglipConfig, Rename]:
        return SiglipConfig.from_hub(dict(raw)), KEYS.to_ours


# -- published sizes, with fresh weights ---------------------------------------------------------------


def siglip_base_patch16_224() -> Siglip:
    """SigLIP B/16 for images of 224 pixels (203 M parameters)."""
    return Siglip(SiglipConfig())


def siglip_large_patch16_256() -> Siglip:
    """SigLIP L/16 for images of 256 pixels (652 M parameters)."""
    image = SiglipImageEncoderConfig(256, 16, dim=1024, layers=24, heads=16, hidden=4096)
    text = SiglipTextEncoderConfig(dim=1024, layers=24, heads=16, hidden=4096, project=1024)
    return Siglip(SiglipConfig(image, text))


def siglip_so400m_patch14_384() -> Siglip:
    """SigLIP SO-400M/14 for images of 384 pixels (878 M parameters)."""
    image = SiglipImageEncoderConfig(384, 14, dim=1152, layers=27, heads=16, hidden=4304)
    text = SiglipTextEncoderConfig(dim=1152, layers=27, heads=16, hidden=4304, project=1152)
    return Siglip(SiglipConfig(image, text))


_HEAD = "vision_model.head."
_FUSED = tuple(f"image_encoder.pool.attention.{n}.{{}}" for n in "qkv")
KEYS = KeyMap(
    [
        ("vision_model.embeddings.patch_embedding.{}", "image_encoder.patches.projection.{}"),
        ("vision_model.embeddings.position_embedding.weight", "image_encoder.positions"),
        *encoder_keys("vision_model.", "image_encoder."),
        ("vision_model.post_layernorm.{}", "image_encoder.norm.{}"),
        (f"{_HEAD}probe", "image_encoder.pool.query"),
        *((f"{_HEAD}attention.in_proj_{p}", tuple(n.format(p) for n in _FUSED)) for p in ("weight", "bias")),
        (f"{_HEAD}attention.out_proj.{{}}", "image_encoder.pool.attention.out.{}"),
        (f"{_HEAD}layernorm.{{}}", "image_encoder.pool.norm.{}"),
        (f"{_HEAD}mlp.fc1.{{}}", "image_encoder.pool.mlp.layers.0.{}"),
        (f"{_HEAD}mlp.fc2.{{}}", "image_encoder.pool.mlp.layers.1.{}"),
        ("text_model.embeddings.token_embedding.weight", "text_encoder.embed.weight"),
        ("text_model.embeddings.position_embedding.weight", "text_encoder.positions"),
        *encoder_keys("text_model.", "text_encoder."),
        ("text_model.final_layer_norm.{}", "text_encoder.norm.{}"),
        ("text_model.head.{}", "text_encoder.projection.{}"),
        ("logit_scale", "logit_scale"),
        ("logit_bias", "logit_bias"),
    ],
    ignored=["text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"],
)
"""Names in the hub's checkpoints ↔ names here."""


def canonical(text: str) -> str:
    """A text as SigLIP was trained on: lower-case, without ASCII punctuation, single spaces."""
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\s+", " ", bare).strip()


def _init(encoder: nn.Module) -> None:
    """As published (the `big_vision` code): Xavier for attention and MLPs, whose biases start near zero."""
    for module in encoder.modules():
        if isinstance(module, Attention):
            for layer in (module.q, module.k, module.v, module.out):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        elif isinstance(module, Mlp):
            for layer in module.layers:
                nn.init.xavier_uniform_(layer.weight)
                nn.init.normal_(layer.bias, std=1e-6)


def _lecun(layer: nn.Linear | nn.Conv2d) -> None:
    """Truncated normal of variance 1 / inputs, and no bias."""
    std = layer.weight[0].numel() ** -0.5 / 0.87962566  # what is cut off takes this share of the deviation
    nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
    nn.init.zeros_(layer.bias)
