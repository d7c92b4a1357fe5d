"""SAM: masks of the objects that points, boxes and masks prompt for (Segment Anything, Kirillov et al. 2023,
arXiv:2304.02643).

An image is encoded once; a light decoder then turns each prompt into masks, three for a prompt that may mean
several objects, and predicts how well each fits. Coordinates are pixels of the image given to the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..base import PretrainedModel, Rename
from ..checkpoint.checkpoint import assemble
from ..checkpoint.weights import read_state
from ..nn import (
    Attention,
    DropPath,
    LayerNorm2d,
    Mlp,
    PatchEmbed,
    Transformer,
    WindowAttention,
    activation,
    resize_positions,
)
from ..nn.frequencies import Frequencies
from .hub import SEGMENT_ANYTHING_KEYS, from_hub, hub_config, segment_anything_config

NOT_A_POINT, PADDING = -1, -10
"""Labels besides 0 (background) and 1 (object): a point that stands for no point, and one that is left out."""


@dataclass(frozen=True)
class SamConfig:
    """The shape of a model. The defaults are those of SAM-B.

    Attributes:
        image_size: side that positions are made for; images are padded to it, though any size of whole patches works.
        dim, layers, heads, hidden: shape of the image encoder.
        window_size: side of the attention windows, in patches; 0 for none.
        global_attn_indexes: layers that attend to the whole image.
        use_abs_pos, use_rel_pos: which positions the image encoder adds.
        width: channels of the image embeddings, the prompts and the decoder.
        mask_channels: inner channels of the encoder of mask prompts.
        decoder_layers, decoder_heads, decoder_hidden: shape of the decoder; `downsample` divides its width in the
            attention between tokens and image, `last_downsample` in the last one.
        num_multimask_outputs: number of masks for an ambiguous prompt.
        iou_head_depth, iou_head_hidden_dim: of the head that predicts how well a mask fits.
        drop_path: greatest chance, that of the last layer, to skip a residual branch of the encoder in training.
    """

    image_size: int = 1024
    patch: int = 16
    channels: int = 3
    dim: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    window_size: int = 14
    global_attn_indexes: tuple[int, ...] = (2, 5, 8, 11)
    qkv_bias: bool = True
    use_abs_pos: bool = True
    use_rel_pos: bool = True
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
    num_multimask_outputs: int = 3
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256
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
        masks: logits (batch, N, M, 4 h, 4 w), M being 1, or `config.num_multimask_outputs` for ambiguous prompts.
        iou_predictions: predicted intersection over union of each mask with the object, (batch, N, M).
        image_embeddings: (batch, width, h, w).
        sparse_embeddings: embedded points and box corners, (batch, N, K, width).
        dense_embeddings: embedded masks, (batch, N, width, h, w), N being 1 if they are the same for all prompts.
        tokens: after the decoder: the IoU token, the mask tokens, the prompts, (batch, N, 2 + masks + K, width).
        hidden: after each block of the image encoder, (batch, h, w, dim); empty unless asked for.
    """

    masks: Tensor
    iou_predictions: Tensor
    image_embeddings: Tensor
    sparse_embeddings: Tensor
    dense_embeddings: Tensor
    tokens: Tensor
    hidden: list[Tensor]


class EncoderBlock(nn.Module):
    """Pre-norm block over a feature map. Shapes: (batch, height, width, dim) → the same."""

    def __init__(self, config: SamConfig, layer: int) -> None:
        super().__init__()
        window = 0 if layer in config.global_attn_indexes else config.window_size
        self.attention_norm = nn.LayerNorm(config.dim, config.eps)
        self.attention = WindowAttention(
            config.dim,
            config.heads,
            window or config.image_size // config.patch,
            window=window,
            bias=config.qkv_bias,
            relative=config.use_rel_pos,
        )
        self.mlp_norm = nn.LayerNorm(config.dim, config.eps)
        self.mlp = Mlp([config.dim, config.hidden, config.dim], activation(config.activation))
        self.drop_path = DropPath(config.drop_path * layer / max(1, config.layers - 1))

    def forward(self, x: Tensor, **_: Any) -> Tensor:
        """Attention and MLP. The masks and caches of sequences that a `Transformer` passes on mean nothing on a map."""
        x = x + self.drop_path(self.attention(self.attention_norm(x)))
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))


class SamImageEncoder(nn.Module):
    """A vision transformer with windows, and a convolutional neck.

    Shapes: images (batch, channels, height, width) → (batch, width, height / patch, width / patch).
    """

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        side = config.image_size // config.patch
        self.patches = PatchEmbed(config.dim, config.patch, config.channels)
        if config.use_abs_pos:
            self.positions = nn.Parameter(torch.zeros(1, side, side, config.dim))
        self.blocks = Transformer(EncoderBlock(config, layer) for layer in range(config.layers))
        self.neck = nn.Sequential(
            nn.Conv2d(config.dim, config.width, 1, bias=False),
            LayerNorm2d(config.width, 1e-6),
            nn.Conv2d(config.width, config.width, 3, padding=1, bias=False),
            LayerNorm2d(config.width, 1e-6),
        )
        self.use_abs_pos = config.use_abs_pos

    def forward(self, images: Tensor, collect: bool = False) -> tuple[Tensor, list[Tensor]]:
        """The image embeddings, and the output (batch, h, w, dim) of each block if `collect` asks for it."""
        grid = images.shape[2] // self.patches.patch, images.shape[3] // self.patches.patch
        x = self.patches(images)  # (batch, h * w, dim)
        if self.use_abs_pos:
            x = x + resize_positions(self.positions.flatten(0, 2), grid)
        x, hidden = self.blocks(x.unflatten(1, grid), collect=collect)  # (batch, h, w, dim)
        return self.neck(x.permute(0, 3, 1, 2)), hidden


class PromptEncoder(Frequencies):
    """Points, boxes and masks as tokens and as a map. Positions are random Fourier features (Tancik et al. 2020),
    drawn once and not trained."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        width, channels = config.width, config.mask_channels
        self.register_buffer("frequencies", torch.randn(2, width // 2))
        # Background and foreground points, top-left and bottom-right corners of boxes
        self.point_embeddings = nn.ParameterList(torch.randn(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Parameter(torch.randn(1, width))
        self.no_mask_embed = nn.Parameter(torch.randn(1, width))
        self.mask_convs = nn.ModuleList(
            [
                nn.Conv2d(1, channels // 4, 2, 2),
                nn.Conv2d(channels // 4, channels, 2, 2),
                nn.Conv2d(channels, width, 1),
            ]
        )
        self.mask_norms = nn.ModuleList(LayerNorm2d(c, config.mask_eps) for c in (channels // 4, channels))
        self.activation = activation(config.mask_activation)

    def embed_positions(self, coords: Tensor) -> Tensor:
        """Embeddings (…, width) of positions (…, 2), x and y as shares of the image."""
        with torch.autocast(coords.device.type, enabled=False):  # sines of large angles need every bit
            angles = 2 * math.pi * ((2 * coords.float() - 1) @ self.frequencies.float())
            return torch.cat([angles.sin(), angles.cos()], -1).to(self.no_mask_embed.dtype)

    def image_pe(self, height: int, width: int) -> Tensor:
        """Embeddings (height, width, width of the model) of the centres of the patches."""
        y, x = ((torch.arange(n, device=self.frequencies.device) + 0.5) / n for n in (height, width))
        return self.embed_positions(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1))

    def embed_points(self, points: Tensor, labels: Tensor, size: Tensor) -> Tensor:
        """(batch, N, K, 2) and (batch, N, K) on images of `size` (width, height) → (batch, N, K, width)."""
        label = labels[..., None]
        x = torch.where(
            label == NOT_A_POINT, self.not_a_point_embed, self.embed_positions((points + 0.5) / size)
        )
        x = torch.where(label == PADDING, torch.zeros_like(x), x)
        for known in (0, 1):
            x = torch.where(label == known, x + self.point_embeddings[known], x)
        return x

    def embed_boxes(self, boxes: Tensor, size: Tensor) -> Tensor:
        """(batch, N, 4) → top-left and bottom-right corners (batch, N, 2, width)."""
        corners = self.embed_positions((boxes.unflatten(-1, (2, 2)) + 0.5) / size)
        return corners + torch.cat([self.point_embeddings[2], self.point_embeddings[3]])

    def embed_no_mask(self, image_embeddings: Tensor) -> Tensor:
        """Dense embeddings (batch, 1, width, h, w) of prompts without a mask on image embeddings (batch, width, h,
        w)."""
        batch, _, *grid = image_embeddings.shape
        return self.no_mask_embed[:, None, :, None, None].expand(batch, -1, -1, *grid)

    def embed_masks(self, masks: Tensor) -> Tensor:
        """Logits (batch, N, 4 h, 4 w) → (batch, N, width, h, w)."""
        x = masks.flatten(0, 1)[:, None]
        for conv, norm in zip(self.mask_convs, self.mask_norms, strict=False):
            x = self.activation(norm(conv(x)))
        return self.mask_convs[-1](x).unflatten(0, masks.shape[:2])


class TwoWayAttentionBlock(nn.Module):
    """Tokens attend to each other and to the image, and the image to the tokens; post-norm.

    Shapes: tokens (batch * N, T, width); image (batch * N, h * w, width), or (batch, h * w, width) as long as it is
    the same for all N prompts.
    """

    def __init__(self, config: SamConfig, first: bool) -> None:
        super().__init__()
        width, heads = config.width, config.decoder_heads
        inner = width // config.downsample // heads
        self.first = first
        self.self_attention = Attention(width, heads)
        self.token_to_image = Attention(width, heads, head_dim=inner)
        self.mlp = Mlp([width, config.decoder_hidden, width], activation(config.decoder_activation))
        self.image_to_token = Attention(width, heads, head_dim=inner)
        self.norms = nn.ModuleList(nn.LayerNorm(width, config.decoder_eps) for _ in range(4))

    def forward(
        self, tokens: Tensor, image: Tensor, prompts: Tensor, image_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both after the block. `prompts` are the first tokens, `image_pe` (h * w, width) the positions of the
        patches: they are added to queries and keys, except in the first block, whose tokens are the prompts."""
        if self.first:
            tokens = self.self_attention(tokens)
        else:
            query = tokens + prompts
            tokens = tokens + self.self_attention(query, query, tokens)
        tokens = self.norms[0](tokens)
        # Cross-attention of tokens to the image
        attended = attend_to_image(self.token_to_image, tokens + prompts, image, image_pe)
        tokens = self.norms[1](tokens + attended)
        tokens = self.norms[2](tokens + self.mlp(tokens))
        # Cross-attention of the image to the tokens, from here on per prompt
        image = image.repeat_interleave(tokens.shape[0] // image.shape[0], 0)  # (batch * N, h * w, width)
        return tokens, self.norms[3](image + self.image_to_token(image + image_pe, tokens + prompts, tokens))


def attend_to_image(attention: Attention, tokens: Tensor, image: Tensor, image_pe: Tensor) -> Tensor:
    """Cross-attention of tokens (batch * N, T, width) to the image. If that is the same for the N prompts, their
    tokens are the queries of one attention, so that its keys and values are computed once."""
    together = tokens.reshape(image.shape[0], -1, tokens.shape[-1])
    return attention(together, image + image_pe, image).view_as(tokens)


class MaskDecoder(nn.Module):
    """Image embeddings and embedded prompts → masks and how well they fit."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        width, masks = config.width, config.num_multimask_outputs + 1
        self.iou_token = nn.Parameter(torch.randn(1, width))
        self.mask_tokens = nn.Parameter(torch.randn(masks, width))
        self.blocks = nn.ModuleList(
            TwoWayAttentionBlock(config, i == 0) for i in range(config.decoder_layers)
        )
        self.final_token_to_image = Attention(
            width, config.decoder_heads, head_dim=width // config.last_downsample // config.decoder_heads
        )
        self.final_norm = nn.LayerNorm(width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, 2),
            LayerNorm2d(width // 4, 1e-6),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, 2),
            nn.GELU(),
        )
        relu = activation("relu")
        self.output_hypernetworks = nn.ModuleList(
            Mlp([width, width, width, width // 8], relu) for _ in range(masks)
        )
        inner = [config.iou_head_hidden_dim] * (config.iou_head_depth - 1)
        self.iou_prediction_head = Mlp([width, *inner, masks], relu)

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_embeddings: Tensor,
        dense_embeddings: Tensor,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict masks.

        Args:
            image_embeddings: (batch, width, h, w).
            image_pe: (h, w, width).
            sparse_embeddings: (batch, N, K, width).
            dense_embeddings: (batch, 1 or N, width, h, w).
            multimask_output: whether to predict the masks of an ambiguous prompt, or the one of a clear prompt.

        Returns:
            Logits (batch, N, M, 4 h, 4 w), predicted IoUs (batch, N, M) and tokens (batch, N, T, width).
        """
        batch, count = sparse_embeddings.shape[:2]
        # Output tokens before the prompts: (batch * N, 2 + masks + K, width)
        first = torch.cat([self.iou_token, self.mask_tokens]).expand(batch, count, -1, -1)
        prompts = torch.cat([first, sparse_embeddings], 2).flatten(0, 1)
        x = (image_embeddings[:, None] + dense_embeddings).flatten(0, 1).flatten(2).transpose(1, 2)
        image_pe = image_pe.flatten(0, 1)  # (h * w, width)
        tokens = prompts
        for block in self.blocks:
            tokens, x = block(tokens, x, prompts, image_pe)
        attended = attend_to_image(self.final_token_to_image, tokens + prompts, x, image_pe)
        tokens = self.final_norm(tokens + attended)

        # Upscale the image and predict masks with the weights that the hypernetworks make of the mask tokens
        features = self.output_upscaling(x.transpose(1, 2).unflatten(2, image_embeddings.shape[2:]))
        chosen = range(1, len(self.output_hypernetworks)) if multimask_output else range(1)
        weights = torch.stack([self.output_hypernetworks[i](tokens[:, 1 + i]) for i in chosen], 1)
        masks = (weights @ features.flatten(2)).unflatten(2, features.shape[2:])  # (batch * N, M, 4 h, 4 w)
        iou = self.iou_prediction_head(tokens[:, 0])[:, chosen.start : chosen.stop]
        return tuple(y.unflatten(0, (batch, count)) for y in (masks, iou, tokens))


class Sam(PretrainedModel):
    """The model. Shapes: images (batch, channels, height, width) and N prompts each → N × M masks each."""

    model_type = "sam"
    config_class = SamConfig
    config: SamConfig

    def __init__(self, config: SamConfig) -> None:
        super().__init__(config)
        self.image_encoder = SamImageEncoder(config)
        self.prompt_encoder = PromptEncoder(config)
        self.mask_decoder = MaskDecoder(config)

    def forward(
        self,
        images: Tensor | None = None,
        *,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        image_embeddings: Tensor | None = None,
        multimask_output: bool = True,
        collect: bool = False,
    ) -> SamOutput:
        """Predict masks for N prompts on each image.

        Args:
            images: (batch, channels, height, width), normalised and padded.
            points: (batch, N, K, 2), x and y.
            labels: (batch, N, K): 1 on the object, 0 beside it, -1 no point, -10 padding; all 1 if not given.
            boxes: (batch, N, 4), left, top, right, bottom.
            masks: logits of an earlier prediction (batch, N or 1, 4 h, 4 w).
            image_embeddings: (batch, width, h, w), from `image_encoder`, in place of `images`.
            multimask_output: whether to predict several masks, for a prompt that may mean several objects.
            collect: whether to keep the hidden states of the image encoder.

        Raises:
            ValueError: neither images nor their embeddings are given, or both; or the numbers of prompts differ.
        """
        if (images is None) == (image_embeddings is None):
            raise ValueError("give either images or their embeddings (image_embeddings)")
        hidden: list[Tensor] = []
        if image_embeddings is None:
            image_embeddings, hidden = self.image_encoder(images, collect)
        image_embeddings = image_embeddings.to(
            self.prompt_encoder.no_mask_embed.dtype
        )  # the encoder's may be another
        sparse, dense = self.embed_prompts(points, labels, boxes, masks, image_embeddings)
        image_pe = self.prompt_encoder.image_pe(*image_embeddings.shape[2:])
        found, iou, tokens = self.mask_decoder(image_embeddings, image_pe, sparse, dense, multimask_output)
        return SamOutput(found, iou, image_embeddings, sparse, dense, tokens, hidden)

    def embed_prompts(
        self,
        points: Tensor | None,
        labels: Tensor | None,
        boxes: Tensor | None,
        masks: Tensor | None,
        image_embeddings: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """`sparse_embeddings` and `dense_embeddings`, as in `SamOutput`. Arguments and errors as of `forward`."""
        batch, width, *grid = image_embeddings.shape
        size = torch.tensor(grid[::-1], device=image_embeddings.device) * self.config.patch
        count = next((p.shape[1] for p in (points, boxes, masks) if p is not None), 1)
        wrong = [p for p in (points, boxes) if p is not None and p.shape[:2] != (batch, count)]
        if masks is not None and masks.shape[:2] not in ((batch, count), (batch, 1)):
            wrong.append(masks)
        if wrong:
            shape = tuple(wrong[0].shape)
            raise ValueError(
                f"prompts of shape {shape} do not start with {batch} images, {count} prompts each"
            )
        parts = [image_embeddings.new_empty(batch, count, 0, width)]
        if points is not None:
            if labels is None:
                labels = torch.ones(points.shape[:3], device=points.device)
            parts.append(self.prompt_encoder.embed_points(points, labels, size))
            if boxes is None:
                parts.append(self.prompt_encoder.not_a_point_embed.expand(*points.shape[:2], 1, -1))
        if boxes is not None:
            parts.append(self.prompt_encoder.embed_boxes(boxes, size))
        encoder = self.prompt_encoder
        dense = encoder.embed_no_mask(image_embeddings) if masks is None else encoder.embed_masks(masks)
        return torch.cat(parts, 2), dense

    # -- checkpoints -----------------------------------------------------------------------------

    @classmethod
    def from_public(cls, raw: Mapping[str, Any]) -> tuple[SamConfig, Rename]:
        config = SamConfig.from_hub(dict(raw))
        return config, lambda state: from_hub(state, config.iou_head_depth)

    @classmethod
    def from_segment_anything(
        cls, file: str | Path, *, dtype: str | torch.dtype = "float32", device: str | torch.device = "cpu"
    ) -> Sam:
        """Load a checkpoint of the authors' package `segment_anything`, such as `sam_vit_b_01ec64.pth`.

        The sizes of the model follow from the shapes of its weights. Of a pickled file only tensors are read, never
        objects.

        Args:
            file: a `.pth` or `.safetensors` file.
            dtype, device: as `from_pretrained`.

        Raises:
            ValueError: the file is missing, damaged, or holds other weights.
        """
        state = read_state(Path(file))
        config = SamConfig(**segment_anything_config(state, file))
        return assemble(lambda: cls(config), state, file, dtype, SEGMENT_ANYTHING_KEYS.to_ours, device)


# -- published sizes, with fresh weights ---------------------------------------------------------------


def sam_vit_b() -> Sam:
    """SAM with a ViT-B (94 M parameters)."""
    return Sam(SamConfig())


def sam_vit_l() -> Sam:
    """SAM with a ViT-L (312 M parameters)."""
    return Sam(SamConfig(dim=1024, layers=24, heads=16, hidden=4096, global_attn_indexes=(5, 11, 17, 23)))


def sam_vit_h() -> Sam:
    """SAM with a ViT-H (641 M parameters)."""
    return Sam(SamConfig(dim=1280, layers=32, heads=16, hidden=5120, global_attn_indexes=(7, 15, 23, 31)))
