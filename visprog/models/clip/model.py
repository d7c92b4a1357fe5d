"""CLIP: an image encoder and a text encoder whose outputs lie in one space (Radford et al. 2021, arXiv:2103.00020).

Both are pre-norm transformers. The image is cut into patches, and a class token in front of them carries its
feature; the text is read from left to right, and its feature stands at the end token. The loss is
`visprog.models.nn.info_nce`. SigLIP, the same idea with other encoders, is in `siglip.py`; OWL-ViT and LLaVA build
on the encoders here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import PretrainedModel, Rename, check_type, from_json, is_own, model_type
from ..checkpoint.checkpoint import assemble, read_json
from ..checkpoint.hub import fetch
from ..checkpoint.hub_config import check_keys, check_model_type
from ..checkpoint.weights import read_weights
from ..nn import Attention, Block, ConvStem, Mlp, PatchEmbed, Transformer, activation, resize_positions
from ..nn.roi_align import roi_align
from .hub import HUB_NAMES, KEYS, TOP, check_encoder, encoder_section, hub_section, one_encoder, renamed
from .hub import encoder_keys as encoder_keys


@dataclass(frozen=True)
class ImageEncoderConfig:
    """The shape of an image encoder; the defaults are those of ViT-B/32.

    Attributes:
        size: side of the square images that the positions are learned for, in pixels.
        patch: side of a patch, in pixels.
        dim: width of the tokens.
        layers: number of blocks.
        heads: number of attention heads per block.
        hidden: inner width of the MLPs.
        project: width of the shared space; None for an encoder without projection.
        stem: number of refining convolutions of a `ConvStem`, which learns from far fewer images; None if patches
            become tokens by a linear map, as published.
        pre_norm: whether a norm precedes the first block, as in CLIP; a plain vision transformer (Dosovitskiy et al.
            2021) has none, and its patches have a bias instead.
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
    pre_norm: bool = True

    @classmethod
    def from_hub(cls, raw: dict[str, Any], project: int | None) -> ImageEncoderConfig:
        """From a `vision_config` of the hub; what it leaves out is as in ViT-B/32.

        Raises:
            ValueError: it asks for what is not implemented; the message names it.
        """
        names = HUB_NAMES | {"image_size": "size", "patch_size": "patch", "num_channels": "channels"}
        check_encoder(raw, names, "vision_config")
        config = cls(**renamed(raw, names), project=project)
        if not isinstance(config.size, int) or not isinstance(config.patch, int):
            raise ValueError("images and patches that are not square are not implemented")
        return config

    @property
    def grid(self) -> int:
        """Patches a side."""
        return self.size // self.patch


@dataclass(frozen=True)
class TextEncoderConfig:
    """The shape of a text encoder; the defaults are those of CLIP B.

    Attributes:
        vocab: number of token ids.
        length: greatest number of tokens of a text.
        end: id of the token that carries the feature of the text, at its first place; None if it is the largest id
            of each text.
        project: width of the shared space; None for an encoder without projection.
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
    def from_hub(cls, raw: dict[str, Any], project: int | None) -> TextEncoderConfig:
        """From a `text_config` of the hub; what it leaves out is as in CLIP B. An end id of 2, which the first
        checkpoints have by mistake, stands for the largest id.

        Raises:
            ValueError: it asks for what is not implemented; the message names it.
        """
        names = HUB_NAMES | {"vocab_size": "vocab", "max_position_embeddings": "length"}
        check_encoder(raw, names, "text_config")
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

    image_encoder: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    text_encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig)

    @classmethod
    def from_hub(cls, raw: dict[str, Any]) -> ClipConfig:
        """From the `config.json` of a hub checkpoint.

        Raises:
            ValueError: it is no CLIP, or asks for something that is not implemented.
        """
        check_model_type(raw, "clip")
        check_keys(raw, TOP)
        project = raw.get("projection_dim", 512)
        return cls(
            ImageEncoderConfig.from_hub(hub_section(raw, "vision"), project),
            TextEncoderConfig.from_hub(hub_section(raw, "text"), project),
        )


class Features(NamedTuple):
    """Named intermediates of an encoder.

    Attributes:
        embedded: (batch, length, dim), what enters the first block. Of an image, the class token comes first,
            and then the patches, row by row.
        hidden: (batch, length, dim) after each block, the last one included; empty unless asked for.
        tokens: (batch, length, dim): of an image, after the last block; of a text, after the last norm.
        pooled: (batch, dim): the class token after the last norm, or the end token.
        projected: (batch, project), not normalised; `pooled` if the encoder has no projection.
    """

    embedded: Tensor
    hidden: list[Tensor]
    tokens: Tensor
    pooled: Tensor
    projected: Tensor


class _Encoder(PretrainedModel):
    """An encoder that is also read from the folder of a whole model that has one.

    Attributes:
        part: its name in such models.
        owners: their types.
        public: prefix of its weights, and key of its projection, in public checkpoints.
    """

    part: ClassVar[str]
    owners: ClassVar[tuple[str, ...]]
    public: ClassVar[tuple[str, str]]

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        dtype: str | torch.dtype = "float32",
        device: str | torch.device = "cpu",
        revision: str | None = None,
    ) -> Self:
        """Load an encoder that was saved alone, or that of a whole model of one of the types in `owners`.

        Arguments and errors as `PretrainedModel.from_pretrained`.
        """
        folder = fetch(source, revision)
        raw = read_json(folder / "config.json")
        found = model_type(raw, source)
        if found not in cls.owners or not (is_own(raw) or found == "clip"):
            check_type(found, cls, source)
        if not is_own(raw):
            return cls._from_public(raw, folder, source, dtype, device)
        if found == cls.model_type:
            return super().from_pretrained(folder, dtype=dtype, device=device)
        config = from_json(cls.config_class, raw[cls.part], source)
        prefix = f"{cls.part}."
        state = {k.removeprefix(prefix): v for k, v in read_weights(folder).items() if k.startswith(prefix)}
        return assemble(lambda: cls(config), state, source, dtype, device=device)

    @classmethod
    def _from_public(
        cls,
        raw: dict[str, Any],
        folder: Path,
        source: str | Path,
        dtype: str | torch.dtype,
        device: str | torch.device,
    ) -> Self:
        prefix, projection = cls.public
        section = encoder_section(raw, prefix.removesuffix("_model."))
        state = read_weights(folder)
        project = section.get("projection_dim", 512) if projection in state else None
        config = cls.config_class.from_hub(section, project)
        return assemble(
            lambda: cls(config),
            state,
            source,
            dtype,
            lambda s: one_encoder(s, prefix, f"{cls.part}."),
            device,
        )


class ImageEncoder(_Encoder):
    """A vision transformer with a class token and, in CLIP, a norm before the first block."""

    model_type = "clip_vision_model"
    config_class = ImageEncoderConfig
    part, owners = "image_encoder", ("clip", "llava", "owlvit", "simclr")
    public = ("vision_model.", "visual_projection.weight")
    config: ImageEncoderConfig

    def __init__(self, config: ImageEncoderConfig) -> None:
        super().__init__(config)
        dim = config.dim
        self.patches: nn.Module = (
            PatchEmbed(dim, config.patch, config.channels, bias=not config.pre_norm)
            if config.stem is None
            else ConvStem(dim, config.patch, config.stem, config.channels)
        )
        self.class_token = nn.Parameter(torch.empty(dim))
        self.positions = nn.Parameter(torch.empty(1 + config.grid**2, dim))
        self.pre_norm = nn.LayerNorm(dim, config.eps) if config.pre_norm else nn.Identity()
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
        """Encode images.

        Args:
            images: (batch, channels, height, width). Positions are interpolated if the size is not that of the
                configuration; pixels beyond the last whole patch are left out.
            collect: whether to keep the hidden states.
        """
        images, grid = whole_patches(images, self.config.patch)
        positions = self.positions  # (1 + rows * columns, dim)
        if images.shape[-2:] != (self.config.grid * self.config.patch,) * 2:
            positions = torch.cat([positions[:1], resize_positions(positions[1:], grid)])
        x = self.patches(images)  # (batch, patches, dim)
        x = torch.cat([self.class_token.expand(len(x), 1, -1).to(x.dtype), x], 1) + positions
        x = self.pre_norm(x)
        tokens, hidden = self.blocks(x, collect=collect)  # (batch, 1 + patches, dim)
        pooled = self.norm(tokens[:, 0])  # (batch, dim)
        return Features(x, hidden, tokens, pooled, self.projection(pooled))

    def pool_regions(self, tokens: Tensor, grid: tuple[int, int], boxes: Tensor, images: Tensor) -> Tensor:
        """Features of boxes (k, project), not normalised: the mean of the patches' tokens within each, by RoIAlign,
        takes the place of the class token (regions as in RegionCLIP, Zhong et al. 2022, arXiv:2112.09106).

        Args:
            tokens: (batch, 1 + patches, dim), as in `Features`.
            grid: rows and columns of patches.
            boxes: (k, 4), left, top, right and bottom in pixels.
            images: (k,), the image of the batch that each box lies in.
        """
        maps = tokens[:, 1:].transpose(1, 2).unflatten(2, grid)  # (batch, dim, rows, columns)
        pooled = roi_align(maps, boxes, images, (1, 1), 1 / self.config.patch, samples=4)
        return self.projection(self.norm(pooled.flatten(1)))


class TextEncoder(_Encoder):
    """A transformer that reads from left to right."""

    model_type = "clip_text_model"
    config_class = TextEncoderConfig
    part, owners = "text_encoder", ("clip", "owlvit")
    public = ("text_model.", "text_projection.weight")
    config: TextEncoderConfig

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__(config)
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
        """Encode texts.

        Args:
            tokens: ids (batch, length).
            mask: bool (batch, length), True for real tokens. The feature is the same without it if padding comes
                after the end token.
            collect: whether to keep the hidden states.

        Raises:
            ValueError: the texts are longer than the configuration allows.
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
        pooled = x[
            torch.arange(len(x), device=x.device), self._ends(tokens)
        ]  # (batch, dim), at the end token
        return Features(embedded, hidden, x, pooled, self.projection(pooled))

    def trim(self, tokens: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Ids (batch, length) and their mask without what follows the last end token of the batch: no token attends to
        those after it, so that the features of the texts stay the same."""
        if torch.compiler.is_compiling() or not len(tokens):
            return tokens, mask
        length = int(self._ends(tokens).max()) + 1
        return tokens[:, :length], None if mask is None else mask[:, :length]

    def _ends(self, tokens: Tensor) -> Tensor:
        """Place of the end token of each text, (batch,)."""
        return (tokens if self.config.end is None else (tokens == self.config.end).int()).argmax(1)


class ClipOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        image: intermediates of the image encoder.
        text: intermediates of the text encoder.
        image_embeds: (images, project), rows of length 1.
        text_embeds: (texts, project), rows of length 1.
        logits: (images, texts), cosines times the learned scale.
    """

    image: Features
    text: Features
    image_embeds: Tensor
    text_embeds: Tensor
    logits: Tensor


class Clip(PretrainedModel):
    """The model. `logit_scale` is the logarithm of the factor of the cosines; it starts at ln(1 / 0.07)."""

    model_type = "clip"
    config_class = ClipConfig
    config: ClipConfig

    def __init__(self, config: ClipConfig) -> None:
        super().__init__(config)
        self.image_encoder = ImageEncoder(config.image_encoder)
        self.text_encoder = TextEncoder(config.text_encoder)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_images(self, images: Tensor) -> Tensor:
        """Features of images: (batch, channels, height, width) → (batch, project), rows of length 1."""
        return F.normalize(self.image_encoder(images).projected, dim=-1)

    def encode_regions(self, images: Tensor, boxes: Tensor, owners: Tensor) -> tuple[Tensor, Tensor]:
        """Features of images (batch, project) and of boxes in them (k, project), rows of length 1.

        Args:
            images: (batch, channels, height, width).
            boxes: (k, 4), left, top, right and bottom in pixels.
            owners: (k,), the image that each box lies in.
        """
        patch, found = self.config.image_encoder.patch, self.image_encoder(images)
        grid = images.shape[-2] // patch, images.shape[-1] // patch
        regions = self.image_encoder.pool_regions(found.tokens, grid, boxes, owners)
        return F.normalize(found.projected, dim=-1), F.normalize(regions, dim=-1)

    def encode_texts(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features of texts: ids (batch, length) → (batch, project), rows of length 1."""
        return F.normalize(self.text_encoder(*self.text_encoder.trim(tokens, mask)).projected, dim=-1)

    def forward(
        self, images: Tensor, tokens: Tensor, mask: Tensor | None = None, collect: bool = False
    ) -> ClipOutput:
        """Compare each image with each text: (n, channels, height, width) and (m, length); n and m may differ."""
        image, text = self.image_encoder(images, collect), self.text_encoder(tokens, mask, collect)
        image_embeds, text_embeds = F.normalize(image.projected, dim=-1), F.normalize(text.projected, dim=-1)
        logits = self.logit_scale.exp() * image_embeds @ text_embeds.T
        return ClipOutput(image, text, image_embeds, text_embeds, logits)

    @classmethod
    def from_public(cls, raw: Mapping[str, Any]) -> tuple[ClipConfig, Rename]:
        return ClipConfig.from_hub(dict(raw)), KEYS.to_ours


# -- published sizes, with fresh weights ---------------------------------------------------------------


def clip_vit_b_32() -> Clip:
    """CLIP with a ViT-B/32 (151 M parameters)."""
    return Clip(ClipConfig())


def clip_vit_b_16() -> Clip:
    """CLIP with a ViT-B/16 (150 M parameters)."""
    return Clip(ClipConfig(ImageEncoderConfig(patch=16)))


def clip_vit_l_14() -> Clip:
    """CLIP with a ViT-L/14 (428 M parameters)."""
    return _clip_large(224)


def clip_vit_l_14_336() -> Clip:
    """CLIP with a ViT-L/14 for images of 336 pixels (428 M parameters)."""
    return _clip_large(336)


def _clip_large(size: int) -> Clip:
    image = ImageEncoderConfig(size, 14, dim=1024, layers=24, heads=16, hidden=4096, project=768)
    return Clip(ClipConfig(image, TextEncoderConfig(dim=768, heads=12, hidden=3072, project=768)))


# -- shared with the other systems ---------------------------------------------------------------------


@torch.no_grad()
def clamp_logit_scale(logit_scale: Tensor, highest: float = 100.0) -> None:
    """Keep the logarithm of the scale in [0, ln highest], in place; done after every step of training."""
    logit_scale.clamp_(0, math.log(highest))


def make_blocks(config: Any) -> Transformer:
    """The blocks of an encoder, by its `dim`, `heads`, `hidden`, `layers`, `activation` and `eps`.

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
