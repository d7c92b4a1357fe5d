"""CLIP: an image tower and a text tower whose outputs lie in one space (Radford et al. 2021, arXiv:2103.00020).

Both are pre-norm transformers. The image is cut into patches, and a class token in front of them carries its
feature; the text is read from left to right, and its feature stands at the end token. The loss is
`visprog.models.nn.info_nce`. SigLIP, the same idea with other towers, is in `siglip.py`; OWL-ViT, CoCa and
LLaVA build on the towers here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoint.checkpoint import assemble, load_model, read_checkpoint, read_own, save_model
from ..checkpoint.hub_config import check_keys, check_kind
from ..nn import Attention, Block, ConvStem, Mlp, PatchEmbed, Transformer, activation, resize_positions
from .hub import HUB_NAMES, KEYS, TOP, check_tower, hub_section, one_tower, renamed, tower_section
from .hub import tower_keys as tower_keys


@dataclass(frozen=True)
class ImageConfig:
    """The shape of an image tower; the defaults are those of ViT-B/32.

    Attributes:
        size: the side of the square images that the positions are learned for, in pixels.
        project: width of the shared space; None for a tower without projection.
        stem: None: patches become tokens by a linear map, as published. A number: by a `ConvStem` that refines them
            so many times, which learns from far fewer pictures.
    """

    size: int = 224
    patch: int = 32
    dim: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    activation: str = "quick_gelu"
    eps: float = 1e-5
    channels: int = 3
    project: int | None = 512
    stem: int | None = None

    @classmethod
    def from_hub(cls, raw: dict[str, Any], project: int | None) -> ImageConfig:
        """From a `vision_config` of the hub; what it leaves out is as in ViT-B/32.

        Raises:
            ValueError: it asks for what is not implemented; the message names it.
        """
        names = HUB_NAMES | {"image_size": "size", "patch_size": "patch", "num_channels": "channels"}
        check_tower(raw, names, "vision_config")
        config = cls(**renamed(raw, names), project=project)
        if not isinstance(config.size, int) or not isinstance(config.patch, int):
            raise ValueError("images and patches that are not square are not implemented")
        return config

    @property
    def grid(self) -> int:
        """Patches a side."""
        return self.size // self.patch


@dataclass(frozen=True)
class TextConfig:
    """The shape of a text tower; the defaults are those of CLIP B.

    Attributes:
        length: the most tokens of a text.
        end: id of the token that carries the feature of the text, at its first place; None: the largest id of
            a text is that token.
        project: width of the shared space; None for a tower without projection.
    """

    vocab: int = 49408
    length: int = 77
    dim: int = 512
    layers: int = 12
    heads: int = 8
    hidden: int = 2048
    activation: str = "quick_gelu"
    eps: float = 1e-5
    end: int | None = 49407
    project: int | None = 512

    @classmethod
    def from_hub(cls, raw: dict[str, Any], project: int | None) -> TextConfig:
        """From a `text_config` of the hub; what it leaves out is as in CLIP B. An end id of 2, which the first
        checkpoints have by mistake, stands for the largest id.

        Raises:
            ValueError: it asks for what is not implemented; the message names it.
        """
        names = HUB_NAMES | {"vocab_size": "vocab", "max_position_embeddings": "length"}
        check_tower(raw, names, "text_config")
        end = raw.get("eos_token_id", 49407)
        if not isinstance(end, int):
            raise ValueError(f"one end token is needed for the feature of a text, not {end}")
        return cls(
            **renamed(raw, names),
            end=None if end == 2 else end,
            project=project,
        )


@dataclass(frozen=True)
class ClipConfig:
    """The shape of a CLIP."""

    image: ImageConfig = field(default_factory=ImageConfig)
    text: TextConfig = field(default_factory=TextConfig)

    @classmethod
    def from_hub(cls, raw: dict[str, Any]) -> ClipConfig:
        """From the `config.json` of a hub checkpoint.

        Raises:
            ValueError: it is no CLIP, or of a kind that is not implemented.
        """
        check_kind(raw, "clip")
        check_keys(raw, TOP)
        project = raw.get("projection_dim", 512)
        return cls(
            ImageConfig.from_hub(hub_section(raw, "vision"), project),
            TextConfig.from_hub(hub_section(raw, "text"), project),
        )

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> ClipConfig:
        """From what `dataclasses.asdict` made of one."""
        return cls(ImageConfig(**raw["image"]), TextConfig(**raw["text"]))


class Features(NamedTuple):
    """Named intermediates of a tower.

    Attributes:
        embedded: (batch, length, dim), what enters the first block. Of an image, the class token comes first,
            and then the patches, row by row.
        hidden: after each block, likewise, the last one included; empty unless asked for.
        tokens: likewise: of an image, after the last block; of a text, after the last norm.
        pooled: (batch, dim): the class token after the last norm, or the end token.
        projected: (batch, project), not normalised; `pooled` where the tower has no projection.
    """

    embedded: Tensor
    hidden: list[Tensor]
    tokens: Tensor
    pooled: Tensor
    projected: Tensor


class ImageTower(nn.Module):
    """A vision transformer with a class token and a norm before the first block."""

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.patches: nn.Module = (
            PatchEmbed(dim, config.patch, config.channels, bias=False)
            if config.stem is None
            else ConvStem(dim, config.patch, config.stem, config.channels)
        )
        self.class_token = nn.Parameter(torch.empty(dim))
        self.positions = nn.Parameter(torch.empty(1 + config.grid**2, dim))
        self.pre_norm = nn.LayerNorm(dim, config.eps)
        self.blocks = make_blocks(config)
        self.norm = nn.LayerNorm(dim, config.eps)
        self.projection = nn.Linear(dim, config.project, bias=False) if config.project else nn.Identity()
        self._init()

    def _init(self) -> None:
        """As published: what is added or projected has std dim^-0.5; the blocks keep PyTorch's own, with the
        three attention projections seen as one matrix."""
        std = self.config.dim**-0.5
        for parameter in (self.class_token, self.positions, *self.projection.parameters()):
            nn.init.normal_(parameter, std=std)
        for block in self.blocks:
            for layer in (block.attention.q, block.attention.k, block.attention.v):
                nn.init.uniform_(layer.weight, -math.sqrt(1.5) * std, math.sqrt(1.5) * std)
            _no_bias(block)

    def forward(self, images: Tensor, collect: bool = False) -> Features:
        """Args:
        images: (batch, channels, height, width). Positions are interpolated where the size is not that of
            the configuration; pixels beyond the last whole patch are not seen.
        collect: keep the hidden states.
        """
        images, grid = whole_patches(images, self.config.patch)
        places = self.positions
        if images.shape[-2:] != (self.config.grid * self.config.patch,) * 2:
            places = torch.cat([places[:1], resize_positions(places[1:], grid)])
        x = self.patches(images)
        x = torch.cat([self.class_token.expand(len(x), 1, -1).to(x.dtype), x], 1) + places
        x = self.pre_norm(x)
        tokens, hidden = self.blocks(x, collect=collect)
        pooled = self.norm(tokens[:, 0])
        return Features(x, hidden, tokens, pooled, self.projection(pooled))

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, dtype: str | torch.dtype = "float32", revision: str | None = None
    ) -> ImageTower:
        """The image tower of a public CLIP checkpoint, or of one that holds only that tower.

        Arguments and errors as of `Clip.from_pretrained`.
        """
        section, state = read_checkpoint(source, lambda raw: tower_section(raw, "vision"), revision)
        project = section.get("projection_dim", 512) if "visual_projection.weight" in state else None
        config = ImageConfig.from_hub(section, project)
        return assemble(
            lambda: cls(config), state, source, dtype, lambda s: one_tower(s, "vision_model.", "image.")
        )


class TextTower(nn.Module):
    """A transformer that reads from left to right."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab, config.dim)
        self.positions = nn.Parameter(torch.empty(config.length, config.dim))
        self.blocks = make_blocks(config)
        self.norm = nn.LayerNorm(config.dim, config.eps)
        self.projection = (
            nn.Linear(config.dim, config.project, bias=False) if config.project else nn.Identity()
        )
        self._init()

    def _init(self) -> None:
        """As published: std shrinks with width, and with depth for what writes to the residual stream."""
        width, layers = self.config.dim, self.config.layers
        nn.init.normal_(self.embed.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)
        for block in self.blocks:
            attention, (up, down) = block.attention, block.mlp.layers
            for layer in (attention.q, attention.k, attention.v):
                nn.init.normal_(layer.weight, std=width**-0.5)
            for layer in (attention.out, down):
                nn.init.normal_(layer.weight, std=width**-0.5 * (2 * layers) ** -0.5)
            nn.init.normal_(up.weight, std=(2 * width) ** -0.5)
            _no_bias(block)
        for parameter in self.projection.parameters():
            nn.init.normal_(parameter, std=width**-0.5)

    def forward(self, tokens: Tensor, mask: Tensor | None = None, collect: bool = False) -> Features:
        """Args:
        tokens: ids (batch, length).
        mask: bool (batch, length), True for real tokens. The feature is the same without it where padding
            comes after the end token.
        collect: keep the hidden states.
        """
        if tokens.shape[1] > self.config.length:
            raise ValueError(f"a text has {tokens.shape[1]} tokens, {self.config.length} are the most")
        embedded = self.embed(tokens) + self.positions[: tokens.shape[1]]
        allowed = None
        if mask is not None:
            size = tokens.shape[1]
            causal = torch.ones(size, size, dtype=torch.bool, device=tokens.device).tril()
            allowed = causal & mask.bool()[:, None, None, :]
        x, hidden = self.blocks(embedded, mask=allowed, causal=allowed is None, collect=collect)
        x = self.norm(x)
        ends = tokens if self.config.end is None else (tokens == self.config.end).int()
        pooled = x[torch.arange(len(x), device=x.device), ends.argmax(1)]
        return Features(embedded, hidden, x, pooled, self.projection(pooled))

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, dtype: str | torch.dtype = "float32", revision: str | None = None
    ) -> TextTower:
        """The text tower of a public CLIP checkpoint, or of one that holds only that tower.

        Arguments and errors as of `Clip.from_pretrained`.
        """
        section, state = read_checkpoint(source, lambda raw: tower_section(raw, "text"), revision)
        project = section.get("projection_dim", 512) if "text_projection.weight" in state else None
        config = TextConfig.from_hub(section, project)
        return assemble(
            lambda: cls(config), state, source, dtype, lambda s: one_tower(s, "text_model.", "text.")
        )


class ClipOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        image: of the image tower.
        text: of the text tower.
        image_embeds: (images, project), rows of length 1.
        text_embeds: (texts, project), rows of length 1.
        logits: (images, texts), cosines times the learned scale.
    """

    image: Features
    text: Features
    image_embeds: Tensor
    text_embeds: Tensor
    logits: Tensor


class Clip(nn.Module):
    """The model. `scale` is the logarithm of what cosines are multiplied by; it starts at ln(1 / 0.07)."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.image = ImageTower(config.image)
        self.text = TextTower(config.text)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_images(self, images: Tensor) -> Tensor:
        """(batch, channels, height, width) → (batch, project), rows of length 1."""
        return F.normalize(self.image(images).projected, dim=-1)

    def encode_texts(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Ids (batch, length) → (batch, project), rows of length 1."""
        return F.normalize(self.text(tokens, mask).projected, dim=-1)

    def forward(
        self, images: Tensor, tokens: Tensor, mask: Tensor | None = None, collect: bool = False
    ) -> ClipOutput:
        """Images (n, channels, height, width) against texts (m, length); n and m may differ."""
        image, text = self.image(images, collect), self.text(tokens, mask, collect)
        image_embeds, text_embeds = F.normalize(image.projected, dim=-1), F.normalize(text.projected, dim=-1)
        logits = self.scale.exp() * image_embeds @ text_embeds.T
        return ClipOutput(image, text, image_embeds, text_embeds, logits)

    def save(self, folder: str | Path, dtype: torch.dtype | None = torch.float16) -> None:
        """Write `model.safetensors` and `config.json`."""
        save_model(self, self.config, folder, dtype)

    @classmethod
    def load(cls, folder: str | Path) -> Clip:
        """Read what `save` wrote, as float32."""
        config = ClipConfig.from_dict(read_own(folder))
        return load_model(lambda: cls(config), folder)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, dtype: str | torch.dtype = "float32", revision: str | None = None
    ) -> Clip:
        """Load a public CLIP checkpoint.

        Args:
            source: a hub id, or a folder in the hub's layout.
            dtype: precision of the weights: "float32", "bfloat16", "float16", or "auto", that of the file.
            revision: branch, tag or commit of a hub id.

        Raises:
            ValueError: it is no CLIP, or keys are missing or unexpected; the message names them.
        """
        config, state = read_checkpoint(source, ClipConfig.from_hub, revision)
        return assemble(lambda: cls(config), state, source, dtype, KEYS.to_ours)


@torch.no_grad()
def clamp_temperature(scale: Tensor, highest: float = 100.0) -> None:
    """Keep the logarithm of the scale in [0, ln highest], in place; done after every step of training."""
    scale.clamp_(0, math.log(highest))


def make_blocks(config: Any) -> Transformer:
    """The blocks of a tower, by its `dim`, `heads`, `hidden`, `layers`, `activation` and `eps`.

    Raises:
        ValueError: the heads do not divide the width.
    """
    if config.dim % config.heads:
        raise ValueError(f"a width of {config.dim} cannot be divided among {config.heads} heads")
    return Transformer(
        Block(
            Attention(config.dim, config.heads),
            Mlp([config.dim, config.hidden, config.dim], activation(config.activation)),
            lambda: nn.LayerNorm(config.dim, config.eps),
        )
        for _ in range(config.layers)
    )


def whole_patches(images: Tensor, patch: int) -> tuple[Tensor, tuple[int, int]]:
    """Images without the pixels beyond the last whole patch, and how many patches they are (down, across)."""
    rows, columns = images.shape[-2] // patch, images.shape[-1] // patch
    return images[..., : rows * patch, : columns * patch], (rows, columns)


def _no_bias(block: Block) -> None:
    """Attention starts without bias."""
    attention = block.attention
    for layer in (attention.q, attention.k, attention.v, attention.out):
        nn.init.zeros_(layer.bias)
