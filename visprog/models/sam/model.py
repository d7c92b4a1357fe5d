"""SAM: masks of whatever points, boxes and masks point at (Segment Anything, Kirillov et al. 2023, arXiv:2304.02643).

An image is encoded once; a light decoder then turns each prompt into masks, three for a prompt that may mean
several things, and predicts how well each fits. Coordinates are pixels of the image given to the model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..checkpoint.checkpoint import assemble, load_model, read_checkpoint, read_own, save_model
from ..nn import (
    Attention,
    LayerNorm2d,
    Mlp,
    PatchEmbed,
    Transformer,
    WindowAttention,
    activation,
    resize_positions,
)
from ..nn.frequencies import Frequencies
from .hub import from_hub, hub_config

NOT_A_POINT, PADDING = -1, -10
"""Labels besides 0 (background) and 1 (thing): a point that stands for no point, and one that is left out."""


@dataclass(frozen=True)
class SamConfig:
    """The shape of a model. The defaults are those of SAM-B.

    Attributes:
        image_size: side that positions are made for; images are padded to it, though any size of whole patches works.
        dim, layers, heads, hidden: of the image encoder.
        window, global_layers: side of the attention windows, and the layers that look at the whole image.
        absolute, relative: which positions the encoder adds.
        width: channels of the image embedding, the prompts and the decoder.
        mask_channels: inner channels of the encoder of mask prompts.
        decoder_layers, decoder_heads, decoder_hidden: of the decoder; `downsample` divides its width in the
            attention between tokens and image, `last_downsample` in the last one.
        masks: how many for an ambiguous prompt.
        iou_layers, iou_hidden: of the head that predicts how well a mask fits.
        drop_path: greatest chance, that of the last layer, to skip a residual branch of the encoder in training.
    """

    image_size: int = 1024
    patch: int = 16
    channels: int = 3
    dim: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    window: int = 14
    global_layers: tuple[int, ...] = (2, 5, 8, 11)
    qkv_bias: bool = True
    absolute: bool = True
    relative: bool = True
    activation: str = "gelu"
    eps: float = 1e-6
    width: int = 256
    mask_channels: int = 16
    mask_activation: str = "gelu"
    mask_eps: float = 1e-6
    decoder_layers: int = 2
    decoder_heads: int = 8
    decoder_hidden: int = 2048
    decoder_activation: str = "relu"
    decoder_eps: float = 1e-5
    downsample: int = 2
    last_downsample: int = 2
    masks: int = 3
    iou_layers: int = 3
    iou_hidden: int = 256
    drop_path: float = 0.0

    @classmethod
    def from_hub(cls, raw: dict[str, Any]) -> SamConfig:
        """From the `config.json` of a hub checkpoint.

        Raises:
            ValueError: its parts do not fit together, or it asks for what is not implemented.
        """
        return cls(**hub_config(raw))


class SamOutput(NamedTuple):
    """Named intermediates of a forward pass for N prompts on each image, h × w patches.

    Attributes:
        masks: logits (batch, N, M, 4 h, 4 w), M being 1, or `config.masks` for ambiguous prompts.
        iou: predicted intersection over union of each mask with the thing, (batch, N, M).
        image: the image embedding (batch, width, h, w).
        sparse: embedded points and box corners, (batch, N, K, width).
        dense: embedded masks, (batch, N, width, h, w), N being 1 where they are the same for all prompts.
        tokens: after the decoder: the IoU token, the mask tokens, the prompts, (batch, N, 2 + masks + K, width).
        hidden: after each block of the image encoder, (batch, h, w, dim); empty unless asked for.
    """

    masks: Tensor
    iou: Tensor
    image: Tensor
    sparse: Tensor
    dense: Tensor
    tokens: Tensor
    hidden: list[Tensor]


class EncoderBlock(nn.Module):
    """Pre-norm block over a feature map. Shapes: (batch, height, width, dim) → the same."""

    def __init__(self, config: SamConfig, layer: int) -> None:
        super().__init__()
        window = 0 if layer in config.global_layers else config.window
        self.attention_norm = nn.LayerNorm(config.dim, config.eps)
        self.attention = WindowAttention(
            config.dim,
            config.heads,
            window or config.image_size // config.patch,
            window=window,
            bias=config.qkv_bias,
            relative=config.relative,
        )
        self.mlp_norm = nn.LayerNorm(config.dim, config.eps)
        self.mlp = Mlp([config.dim, config.hidden, config.dim], activation(config.activation))
        self.drop_path = config.drop_path * layer / max(1, config.layers - 1)

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        """What else a stack passes on, masks and caches of sequences, means nothing on a map."""
        x = x + self._drop(self.attention(self.attention_norm(x)))
        return x + self._drop(self.mlp(self.mlp_norm(x)))

    def _drop(self, branch: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0:
            return branch
        keep = torch.rand(branch.shape[0], 1, 1, 1, device=branch.device) >= self.drop_path
        return branch * keep.to(branch.dtype) / (1 - self.drop_path)


class ImageEncoder(nn.Module):
    """A vision transformer with windows, and a convolutional neck.

    Shapes: images (batch, channels, height, width) → (batch, width, height / patch, width / patch).
    """

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        side = config.image_size // config.patch
        self.patches = PatchEmbed(config.dim, config.patch, config.channels)
        if config.absolute:
            self.positions = nn.Parameter(torch.zeros(1, side, side, config.dim))
        self.blocks = Transformer(EncoderBlock(config, layer) for layer in range(config.layers))
        self.neck = nn.Sequential(
            nn.Conv2d(config.dim, config.width, 1, bias=False),
            LayerNorm2d(config.width, 1e-6),
            nn.Conv2d(config.width, config.width, 3, padding=1, bias=False),
            LayerNorm2d(config.width, 1e-6),
        )
        self.absolute = config.absolute

    def forward(self, images: Tensor, collect: bool = False) -> tuple[Tensor, list[Tensor]]:
        """The embedding, and after each block (batch, h, w, dim) where `collect` asks for it."""
        grid = images.shape[2] // self.patches.patch, images.shape[3] // self.patches.patch
        x = self.patches(images)
        if self.absolute:
            x = x + resize_positions(self.positions.flatten(0, 2), grid)
        x, hidden = self.blocks(x.unflatten(1, grid), collect=collect)
        return self.neck(x.permute(0, 3, 1, 2)), hidden


class PromptEncoder(Frequencies):
    """Points, boxes and masks as tokens and as a map. Positions are random Fourier features (Tancik et al. 2020),
    drawn once and not trained."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        width, channels = config.width, config.mask_channels
        self.register_buffer("frequencies", torch.randn(2, width // 2))
        self.types = nn.ParameterList(torch.randn(1, width) for _ in range(4))
        self.not_a_point = nn.Parameter(torch.randn(1, width))
        self.no_mask = nn.Parameter(torch.randn(1, width))
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(1, channels // 4, 2, 2),
                nn.Conv2d(channels // 4, channels, 2, 2),
                nn.Conv2d(channels, width, 1),
            ]
        )
        self.norms = nn.ModuleList(LayerNorm2d(c, config.mask_eps) for c in (channels // 4, channels))
        self.activation = activation(config.mask_activation)

    def positions(self, places: Tensor) -> Tensor:
        """Embeddings (…, width) of places (…, 2), x and y as shares of the image."""
        with torch.autocast(places.device.type, enabled=False):  # sines of large angles need every bit
            angles = 2 * math.pi * ((2 * places.float() - 1) @ self.frequencies.float())
            return torch.cat([angles.sin(), angles.cos()], -1).to(self.no_mask.dtype)

    def grid(self, height: int, width: int) -> Tensor:
        """Embeddings (height, width, width of the model) of the centres of the patches."""
        y, x = ((torch.arange(n, device=self.frequencies.device) + 0.5) / n for n in (height, width))
        return self.positions(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1))

    def points(self, points: Tensor, labels: Tensor, size: Tensor) -> Tensor:
        """(batch, N, K, 2) and (batch, N, K) on images of `size` (width, height) → (batch, N, K, width)."""
        kind = labels[..., None]
        x = torch.where(kind == NOT_A_POINT, self.not_a_point, self.positions((points + 0.5) / size))
        x = torch.where(kind == PADDING, torch.zeros_like(x), x)
        for label in (0, 1):
            x = torch.where(kind == label, x + self.types[label], x)
        return x

    def boxes(self, boxes: Tensor, size: Tensor) -> Tensor:
        """(batch, N, 4) → top-left and bottom-right corners (batch, N, 2, width)."""
        corners = self.positions((boxes.unflatten(-1, (2, 2)) + 0.5) / size)
        return corners + torch.cat([self.types[2], self.types[3]])

    def nothing(self, embedding: Tensor) -> Tensor:
        """What stands for no mask, for images with this embedding (batch, width, h, w): (batch, 1, width, h, w)."""
        return self.no_mask[:, None, :, None, None].expand(embedding.shape[0], -1, -1, *embedding.shape[2:])

    def masks(self, masks: Tensor) -> Tensor:
        """Logits (batch, N, 4 h, 4 w) → (batch, N, width, h, w)."""
        x = masks.flatten(0, 1)[:, None]
        for conv, norm in zip(self.convs, self.norms, strict=False):
            x = self.activation(norm(conv(x)))
        return self.convs[-1](x).unflatten(0, masks.shape[:2])


class TwoWayBlock(nn.Module):
    """Tokens attend to each other and to the image, and the image to the tokens; post-norm.

    Shapes: tokens (batch * N, T, width); image (batch * N, h * w, width), or (batch, h * w, width) where it is
    still the same for all N prompts.
    """

    def __init__(self, config: SamConfig, first: bool) -> None:
        super().__init__()
        width, heads = config.width, config.decoder_heads
        inner = width // config.downsample // heads
        self.first = first
        self.self_attention = Attention(width, heads)
        self.to_image = Attention(width, heads, head_dim=inner)
        self.mlp = Mlp([width, config.decoder_hidden, width], activation(config.decoder_activation))
        self.to_tokens = Attention(width, heads, head_dim=inner)
        self.norms = nn.ModuleList(nn.LayerNorm(width, config.decoder_eps) for _ in range(4))

    def forward(
        self, tokens: Tensor, image: Tensor, prompts: Tensor, places: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both after the block. `prompts` are the tokens as they were at first, `places` (h * w, width) the positions
        of the patches: they are added to queries and keys, except at the start, where tokens are the prompts."""
        if self.first:
            tokens = self.self_attention(tokens)
        else:
            query = tokens + prompts
            tokens = tokens + self.self_attention(query, query, tokens)
        tokens = self.norms[0](tokens)
        tokens = self.norms[1](tokens + look(self.to_image, tokens + prompts, image, places))
        tokens = self.norms[2](tokens + self.mlp(tokens))
        image = image.repeat_interleave(tokens.shape[0] // image.shape[0], 0)
        return tokens, self.norms[3](image + self.to_tokens(image + places, tokens + prompts, tokens))


def look(attention: Attention, tokens: Tensor, image: Tensor, places: Tensor) -> Tensor:
    """What tokens (batch * N, T, width) see in the image. Where it is the same for the N prompts, their tokens are
    the queries of one attention, so that its keys and values are computed once."""
    together = tokens.reshape(image.shape[0], -1, tokens.shape[-1])
    return attention(together, image + places, image).view_as(tokens)


class MaskDecoder(nn.Module):
    """Image embedding and prompts → masks and how well they fit."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        width = config.width
        self.iou_token = nn.Parameter(torch.randn(1, width))
        self.mask_tokens = nn.Parameter(torch.randn(config.masks + 1, width))
        self.blocks = nn.ModuleList(TwoWayBlock(config, i == 0) for i in range(config.decoder_layers))
        self.to_image = Attention(
            width, config.decoder_heads, head_dim=width // config.last_downsample // config.decoder_heads
        )
        self.norm = nn.LayerNorm(width)
        self.upscale = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, 2),
            LayerNorm2d(width // 4, 1e-6),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, 2),
            nn.GELU(),
        )
        relu = activation("relu")
        self.mask_heads = nn.ModuleList(
            Mlp([width, width, width, width // 8], relu) for _ in range(config.masks + 1)
        )
        inner = [config.iou_hidden] * (config.iou_layers - 1)
        self.iou_head = Mlp([width, *inner, config.masks + 1], relu)

    def forward(
        self, image: Tensor, places: Tensor, sparse: Tensor, dense: Tensor, multimask: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Args:
        image: (batch, width, h, w).
        places: (h, w, width).
        sparse: (batch, N, K, width).
        dense: (batch, 1 or N, width, h, w).
        multimask: the masks of an ambiguous prompt, rather than the one of a clear prompt.

        Returns:
            Logits (batch, N, M, 4 h, 4 w), IoUs (batch, N, M) and tokens (batch, N, T, width).
        """
        batch, count = sparse.shape[:2]
        first = torch.cat([self.iou_token, self.mask_tokens]).expand(batch, count, -1, -1)
        prompts = torch.cat([first, sparse], 2).flatten(0, 1)
        x = (image[:, None] + dense).flatten(0, 1).flatten(2).transpose(1, 2)
        places = places.flatten(0, 1)
        tokens = prompts
        for block in self.blocks:
            tokens, x = block(tokens, x, prompts, places)
        tokens = self.norm(tokens + look(self.to_image, tokens + prompts, x, places))

        features = self.upscale(x.transpose(1, 2).unflatten(2, image.shape[2:]))
        chosen = range(1, len(self.mask_heads)) if multimask else range(1)
        weights = torch.stack([self.mask_heads[i](tokens[:, 1 + i]) for i in chosen], 1)
        masks = (weights @ features.flatten(2)).unflatten(2, features.shape[2:])
        iou = self.iou_head(tokens[:, 0])[:, chosen.start : chosen.stop]
        return tuple(y.unflatten(0, (batch, count)) for y in (masks, iou, tokens))


class Sam(nn.Module):
    """The model. Shapes: images (batch, channels, height, width) and N prompts each → N × M masks each."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config)
        self.prompts = PromptEncoder(config)
        self.decoder = MaskDecoder(config)

    def forward(
        self,
        images: Tensor | None = None,
        *,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        embedding: Tensor | None = None,
        multimask: bool = True,
        collect: bool = False,
    ) -> SamOutput:
        """Args:
        images: (batch, channels, height, width), normalised and padded.
        points: (batch, N, K, 2), x and y.
        labels: (batch, N, K): 1 on the thing, 0 beside it, -1 no point, -10 padding; 1 where not given.
        boxes: (batch, N, 4), left, top, right, bottom.
        masks: logits of an earlier answer (batch, N or 1, 4 h, 4 w).
        embedding: of the images, in their place, (batch, width, h, w), from `encoder`.
        multimask: several masks, for a prompt that may mean several things.
        collect: keep the hidden states of the image encoder.

        Raises:
            ValueError: neither images nor embedding or both; or prompts of different number.
        """
        if (images is None) == (embedding is None):
            raise ValueError("give either images or their embedding")
        image, hidden = self.encoder(images, collect) if embedding is None else (embedding, [])
        sparse, dense = self.embed(points, labels, boxes, masks, image)
        places = self.prompts.grid(*image.shape[2:])
        found, iou, tokens = self.decoder(image, places, sparse, dense, multimask)
        return SamOutput(found, iou, image, sparse, dense, tokens, hidden)

    def embed(
        self,
        points: Tensor | None,
        labels: Tensor | None,
        boxes: Tensor | None,
        masks: Tensor | None,
        embedding: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Embedded prompts, `sparse` and `dense`, as in `SamOutput`. Arguments and errors as of `forward`."""
        batch, width, height, across = embedding.shape
        size = torch.tensor([across, height], device=embedding.device) * self.config.patch
        count = next((p.shape[1] for p in (points, boxes, masks) if p is not None), 1)
        wrong = [p for p in (points, boxes) if p is not None and p.shape[:2] != (batch, count)]
        if masks is not None and masks.shape[:2] not in ((batch, count), (batch, 1)):
            wrong.append(masks)
        if wrong:
            shape = tuple(wrong[0].shape)
            raise ValueError(
                f"prompts of shape {shape} do not start with {batch} images, {count} prompts each"
            )
        parts = [embedding.new_empty(batch, count, 0, width)]
        if points is not None:
            if labels is None:
                labels = torch.ones(points.shape[:3], device=points.device)
            parts.append(self.prompts.points(points, labels, size))
            if boxes is None:
                parts.append(self.prompts.not_a_point.expand(*points.shape[:2], 1, -1))
        if boxes is not None:
            parts.append(self.prompts.boxes(boxes, size))
        dense = self.prompts.nothing(embedding) if masks is None else self.prompts.masks(masks)
        return torch.cat(parts, 2), dense

    # -- checkpoints -----------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write `model.safetensors` (float16) and `config.json`."""
        save_model(self, self.config, folder, torch.float16)

    @classmethod
    def load(cls, folder: str | Path) -> Sam:
        """Read what `save` wrote, as float32."""
        raw = read_own(folder)
        config = SamConfig(**{**raw, "global_layers": tuple(raw["global_layers"])})
        return load_model(lambda: cls(config), folder)

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, dtype: str | torch.dtype = "float32", revision: str | None = None
    ) -> Sam:
        """Load a public SAM checkpoint.

        Args:
            source: a hub id (``facebook/sam-vit-base``), or a folder in the hub's layout.
            dtype: precision of the weights: "float32", "bfloat16", "float16", or "auto", that of the file.
            revision: branch, tag or commit of a hub id.

        Raises:
            ValueError: an architecture that is not implemented, or keys missing or unexpected; the message names
                them.
        """
        config, state = read_checkpoint(source, SamConfig.from_hub, revision)
        return assemble(lambda: cls(config), state, source, dtype, lambda s: from_hub(s, config.iou_layers))
