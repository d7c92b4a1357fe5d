"""SigLIP: CLIP's idea with a loss that judges every pair by itself (Zhai et al. 2023, arXiv:2303.15343).

The image tower has no class token: one learned query attends to all patches. The text tower reads in both
directions, and its feature stands at the last token, padding or not, so texts are padded to the full length.
The loss is `visprog.models.nn.sigmoid_pair_loss`. SigLIP 2 checkpoints of a fixed resolution have this shape too.
"""

from __future__ import annotations

import math
import re
import string
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoint.checkpoint import assemble, load_model, read_checkpoint, read_own, save_model
from .checkpoint.hub_config import check_keys, check_kind
from .checkpoint.keymap import KeyMap
from .clip.hub import HUB_NAMES, renamed, tower_keys
from .clip.model import Features, make_blocks, whole_patches
from .nn import Attention, Mlp, PatchEmbed, activation, resize_positions


@dataclass(frozen=True)
class SiglipImageConfig:
    """The shape of an image tower; the defaults are those of B/16."""

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
class SiglipTextConfig:
    """The shape of a text tower; the defaults are those of B/16.

    Attributes:
        length: of every text, in tokens.
        project: width of the shared space, which is that of the image tower.
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

    image: SiglipImageConfig = field(default_factory=SiglipImageConfig)
    text: SiglipTextConfig = field(default_factory=SiglipTextConfig)

    @classmethod
    def from_hub(cls, raw: dict[str, Any]) -> SiglipConfig:
        """From the `config.json` of a hub checkpoint; what it leaves out is as in B/16.

        Raises:
            ValueError: it is no SigLIP, or of a kind that is not implemented.
        """
        check_kind(raw, "siglip")
        check_keys(raw, ("vision_config", "text_config"))
        image, text = raw.get("vision_config") or {}, raw.get("text_config") or {}
        if not image.get("vision_use_head", True):
            raise ValueError("a SigLIP without the pooling head of its image tower is not implemented")
        if not isinstance(image.get("image_size", 0), int) or not isinstance(image.get("patch_size", 0), int):
            raise ValueError("images and patches that are not square are not implemented")
        image_names = HUB_NAMES | {"image_size": "size", "patch_size": "patch", "num_channels": "channels"}
        text_names = HUB_NAMES | {"vocab_size": "vocab", "max_position_embeddings": "length"}
        check_keys(image, (*image_names, "vision_use_head"), "vision_config")
        check_keys(text, (*text_names, "projection_size"), "text_config")
        project = text.get("projection_size") or text.get("hidden_size", 768)
        return cls(
            SiglipImageConfig(**renamed(image, image_names)),
            SiglipTextConfig(**renamed(text, text_names), project=project),
        )

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> SiglipConfig:
        """From what `dataclasses.asdict` made of one."""
        return cls(SiglipImageConfig(**raw["image"]), SiglipTextConfig(**raw["text"]))


class AttentionPool(nn.Module):
    """One learned query that attends to all tokens, and an MLP after it (Zhai et al. 2022, arXiv:2106.04560).

    Shapes: (batch, length, dim) → (batch, dim).
    """

    def __init__(self, config: SiglipImageConfig) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.empty(1, 1, config.dim))
        self.attention = Attention(config.dim, config.heads)
        self.norm = nn.LayerNorm(config.dim, config.eps)
        self.mlp = Mlp([config.dim, config.hidden, config.dim], activation(config.activation))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.attention(self.query.expand(len(tokens), 1, -1), tokens)
        return (x + self.mlp(self.norm(x)))[:, 0]


class SiglipImageTower(nn.Module):
    """A vision transformer that ends in an attention pool."""

    def __init__(self, config: SiglipImageConfig) -> None:
        super().__init__()
        self.config = config
        self.patches = PatchEmbed(config.dim, config.patch, config.channels)
        self.positions = nn.Parameter(torch.empty((config.size // config.patch) ** 2, config.dim))
        self.blocks = make_blocks(config)
        self.norm = nn.LayerNorm(config.dim, config.eps)
        self.pool = AttentionPool(config)
        _init(self)
        nn.init.normal_(self.positions, std=config.dim**-0.5)
        nn.init.xavier_uniform_(self.pool.query)
        _lecun(self.patches.projection)

    def forward(self, images: Tensor, collect: bool = False) -> Features:
        """Images (batch, channels, height, width); positions are interpolated to other sizes. `tokens` are those
        after the last norm, and `projected` is `pooled`."""
        config = self.config
        images, grid = whole_patches(images, config.patch)
        places = self.positions
        if grid != (config.size // config.patch,) * 2:
            places = resize_positions(places, grid)
        embedded = self.patches(images) + places
        x, hidden = self.blocks(embedded, collect=collect)
        tokens = self.norm(x)
        pooled = self.pool(tokens)
        return Features(embedded, hidden, tokens, pooled, pooled)


class SiglipTextTower(nn.Module):
    """A transformer that reads in both directions."""

    def __init__(self, config: SiglipTextConfig) -> None:
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
        """Ids (batch, length). SigLIP was trained on texts padded to the full length, without a mask (bool
        (batch, length), True for real tokens)."""
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
        image: of the image tower.
        text: of the text tower.
        image_embeds: (images, project), rows of length 1.
        text_embeds: (texts, project), rows of length 1.
        logits: (images, texts), of each pair by itself: its sigmoid is the probability that they belong together.
    """

    image: Features
    text: Features
    image_embeds: Tensor
    text_embeds: Tensor
    logits: Tensor


class Siglip(nn.Module):
    """The model. `scale` is the logarithm of what cosines are multiplied by, `bias` is then added; they start at
    ln 10 and -10, where nearly every pair is held to be none."""

    def __init__(self, config: SiglipConfig) -> None:
        super().__init__()
        self.config = config
        self.image = SiglipImageTower(config.image)
        self.text = SiglipTextTower(config.text)
        self.scale = nn.Parameter(torch.full((1,), math.log(10)))
        self.bias = nn.Parameter(torch.full((1,), -10.0))

    def encode_images(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) → (batch, project), rows of length 1."""
        return F.normalize(self.image(images).projected, dim=-1)

    def encode_texts(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Ids (batch, length) → (batch, project), rows of length 1."""
        return F.normalize(self.text(tokens, mask).projected, dim=-1)

    def forward(
        self, images: Tensor, tokens: Tensor, mask: Tensor | None = None, collect: bool = False
    ) -> SiglipOutput:
        """Images (n, channels, height, width) against texts (m, length); n and m may differ."""
        image, text = self.image(images, collect), self.text(tokens, mask, collect)
        image_embeds, text_embeds = F.normalize(image.projected, dim=-1), F.normalize(text.projected, dim=-1)
        logits = self.scale.exp() * image_embeds @ text_embeds.T + self.bias
        return SiglipOutput(image, text, image_embeds, text_embeds, logits)

    def save(self, folder: str | Path, dtype: torch.dtype | None = torch.float16) -> None:
        """Write `model.safetensors` and `config.json`."""
        save_model(self, self.config, folder, dtype)

    @classmethod
    def load(cls, folder: str | Path) -> Siglip:
        """Read what `save` wrote, as float32."""
        config = SiglipConfig.from_dict(read_own(folder))
        return load_model(lambda: cls(config), folder)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, dtype: str | torch.dtype = "float32", revision: str | None = None
    ) -> Siglip:
        """Load a public SigLIP checkpoint.

        Args:
            source: a hub id, or a folder in the hub's layout.
            dtype: precision of the weights: "float32", "bfloat16", "float16", or "auto", that of the file.
            revision: branch, tag or commit of a hub id.

        Raises:
            ValueError: it is no SigLIP, or keys are missing or unexpected; the message names them.
        """
        config, state = read_checkpoint(source, SiglipConfig.from_hub, revision)
        return assemble(lambda: cls(config), state, source, dtype, KEYS.to_ours)


_HEAD = "vision_model.head."
_FUSED = tuple(f"image.pool.attention.{n}.{{}}" for n in "qkv")
KEYS = KeyMap(
    [
        ("vision_model.embeddings.patch_embedding.{}", "image.patches.projection.{}"),
        ("vision_model.embeddings.position_embedding.weight", "image.positions"),
        *tower_keys("vision_model.", "image."),
        ("vision_model.post_layernorm.{}", "image.norm.{}"),
        (f"{_HEAD}probe", "image.pool.query"),
        *((f"{_HEAD}attention.in_proj_{p}", tuple(n.format(p) for n in _FUSED)) for p in ("weight", "bias")),
        (f"{_HEAD}attention.out_proj.{{}}", "image.pool.attention.out.{}"),
        (f"{_HEAD}layernorm.{{}}", "image.pool.norm.{}"),
        (f"{_HEAD}mlp.fc1.{{}}", "image.pool.mlp.layers.0.{}"),
        (f"{_HEAD}mlp.fc2.{{}}", "image.pool.mlp.layers.1.{}"),
        ("text_model.embeddings.token_embedding.weight", "text.embed.weight"),
        ("text_model.embeddings.position_embedding.weight", "text.positions"),
        *tower_keys("text_model.", "text."),
        ("text_model.final_layer_norm.{}", "text.norm.{}"),
        ("text_model.head.{}", "text.projection.{}"),
        ("logit_scale", "scale"),
        ("logit_bias", "bias"),
    ],
    ignored=["text_model.embeddings.position_ids", "vision_model.embeddings.position_ids"],
)
"""Names in the hub's checkpoints ↔ names here."""


def canonical(text: str) -> str:
    """A text as SigLIP was trained on: lower-case, without ASCII punctuation, single spaces."""
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\s+", " ", bare).strip()


def _init(tower: nn.Module) -> None:
    """As published (the `big_vision` code): Xavier for attention and MLPs, whose biases start near zero."""
    for module in tower.modules():
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
