"""CoCa: one network that scores texts against images and writes captions (Yu et al. 2022, arXiv:2205.01917).

A vision transformer encodes the image. A decoder in two halves reads the text: the unimodal half attends to the text
alone and ends in a class token, whose feature is contrasted with the image as in CLIP; the multimodal half also attends
to the image and predicts each next token. Both losses come from one forward pass. The image is pooled twice, one pooler
on top of the other: `queries` vectors for the captions, and from those one for the contrast.

Checkpoints of open_clip (laion/CoCa-ViT-…) have another layout and are not loaded here: there one pooler does both,
and each layer of the multimodal half has two feed-forward parts and a norm of the image's tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import PretrainedModel
from .clip.model import whole_patches
from .nn import Attention, Block, ConvStem, Linear, Mlp, PatchEmbed, Transformer, info_nce, resize_positions
from .nn.generate import Averaged, Beams, Decoding, Sampling, generate
from .nn.pool import AttentionPool


@dataclass(frozen=True)
class CocaImageEncoderConfig:
    """The shape of an image encoder, which has no class token; the defaults are those of ViT-B/32.

    Attributes:
        size: side of the square images that the positions are learned for, in pixels.
        patch: side of a patch, in pixels.
        dim, layers, heads, hidden: shape of the blocks.
        stem: as in `clip.model.ImageEncoderConfig`.
    """

    size: int = 224
    patch: int = 32
    dim: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    eps: float = 1e-5
    stem: int | None = None


@dataclass(frozen=True)
class CocaConfig:
    """The shape of a model; the defaults are CoCa with a ViT-B/32.

    Attributes:
        vocab: number of token ids.
        length: greatest number of tokens of a text.
        dim, heads, hidden: shape of the decoder's blocks.
        unimodal_layers: number of blocks that attend to the text alone.
        multimodal_layers: number of blocks that also attend to the image.
        queries: number of vectors that captions are written from.
        pool_heads: number of attention heads of the poolers.
        project: width of the space of the contrast, for texts and images.
        pad: id of the token that fills shorter texts.
    """

    image_encoder: CocaImageEncoderConfig = field(default_factory=CocaImageEncoderConfig)
    vocab: int = 49408
    length: int = 76
    dim: int = 512
    unimodal_layers: int = 12
    multimodal_layers: int = 12
    heads: int = 8
    hidden: int = 2048
    queries: int = 256
    pool_heads: int = 8
    project: int = 512
    pad: int = 0
    eps: float = 1e-5


class CocaOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        image_tokens: (batch, patches, image dim), after the last block of the image encoder.
        caption_tokens: (batch, queries, dim), pooled for the captions.
        image_embeds: (batch, project), rows of length 1.
        text_tokens: (batch, length, dim), after the unimodal half.
        text_embeds: (batch, project), rows of length 1.
        logits: (batch, length, vocab), of the token after each.
    """

    image_tokens: Tensor
    caption_tokens: Tensor
    image_embeds: Tensor
    text_tokens: Tensor
    text_embeds: Tensor
    logits: Tensor


class CocaImageEncoder(nn.Module):
    """A vision transformer without class token and without norms outside its blocks.

    Shapes: (batch, 3, height, width) → (batch, patches, dim).
    """

    def __init__(self, config: CocaImageEncoderConfig) -> None:
        super().__init__()
        self.config = c = config
        self.patches: nn.Module = (
            PatchEmbed(c.dim, c.patch) if c.stem is None else ConvStem(c.dim, c.patch, c.stem)
        )
        self.positions = nn.Parameter(torch.zeros((c.size // c.patch) ** 2, c.dim))
        self.blocks = _blocks(c.layers, c.dim, c.heads, c.hidden, c.eps)

    def forward(self, images: Tensor) -> Tensor:
        """Encode images. Positions are interpolated if the size is not that of the configuration."""
        images, grid = whole_patches(images, self.config.patch)
        tokens, _ = self.blocks(self.patches(images) + resize_positions(self.positions, grid))
        return tokens


class Coca(PretrainedModel):
    """The model. `logit_scale` is the logarithm of the factor of the cosines; it starts at ln(1 / 0.07)."""

    model_type = "coca"
    config_class = CocaConfig
    config: CocaConfig

    def __init__(self, config: CocaConfig) -> None:
        super().__init__(config)
        c = config
        self.image_encoder = CocaImageEncoder(c.image_encoder)
        self.caption_pool = AttentionPool(c.dim, c.pool_heads, c.queries, c.image_encoder.dim, c.eps)
        self.contrast_pool = AttentionPool(c.dim, c.pool_heads, 1, eps=c.eps)
        self.image_projection = nn.Linear(c.dim, c.project, bias=False)
        self.embed = nn.Embedding(c.vocab, c.dim, c.pad)
        self.class_token = nn.Parameter(torch.full((c.dim,), 0.01))
        self.positions = nn.Parameter(torch.empty(c.length + 1, c.dim))  # the last is the class token's
        self.unimodal_blocks = _blocks(c.unimodal_layers, c.dim, c.heads, c.hidden, c.eps)
        self.text_norm = nn.LayerNorm(c.dim, c.eps)
        self.text_projection = nn.Linear(c.dim, c.project, bias=False)
        self.multimodal_blocks = _blocks(c.multimodal_layers, c.dim, c.heads, c.hidden, c.eps, cross=True)
        self.norm = nn.LayerNorm(c.dim, c.eps)
        self.head = Linear(c.dim, c.vocab, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self._init()

    def _init(self) -> None:
        """As in CLIP: std shrinks with width, and with depth for what writes to the residual stream."""
        encoder = self.image_encoder
        if isinstance(encoder.patches, PatchEmbed):
            nn.init.trunc_normal_(
                encoder.patches.projection.weight, std=(3 * encoder.config.patch**2) ** -0.5
            )
            nn.init.zeros_(encoder.patches.projection.bias)
        nn.init.normal_(encoder.positions, std=0.02)
        nn.init.normal_(self.embed.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)
        for layer in (self.image_projection, self.text_projection, self.head):
            nn.init.normal_(layer.weight, std=self.config.dim**-0.5)
        for blocks in (encoder.blocks, self.unimodal_blocks, self.multimodal_blocks):
            for block in blocks:
                _init_block(block, len(blocks))
        for pool in (self.caption_pool, self.contrast_pool):
            _init_attention(pool.attention, self.config.dim**-0.5)

    def encode_images(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`image_tokens`, `caption_tokens` and `image_embeds` of images (batch, 3, height, width)."""
        tokens = self.image_encoder(images)
        caption = self.caption_pool(tokens)  # (batch, queries, dim)
        contrast = self.image_projection(self.contrast_pool(caption)[:, 0])
        return tokens, caption, F.normalize(contrast, dim=-1)

    def encode_texts(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """`text_tokens` and `text_embeds` of texts, ids (batch, length)."""
        length = tokens.shape[1]
        x = self._embed(tokens, 0)
        last = (self.class_token + self.positions[-1]).expand(len(x), 1, -1)
        x, _ = self.unimodal_blocks(torch.cat([x, last], 1), mask=class_mask(tokens != self.config.pad))
        projected = self.text_projection(self.text_norm(x[:, length]))
        return x[:, :length], F.normalize(projected, dim=-1)

    def forward(self, images: Tensor, tokens: Tensor) -> CocaOutput:
        """Features of images and texts for the contrast, and the token after each for the captions.

        Args:
            images: (batch, 3, height, width).
            tokens: ids (batch, length), from the start token on, padded on the right.
        """
        image_tokens, caption_tokens, image_embeds = self.encode_images(images)
        text_tokens, text_embeds = self.encode_texts(tokens)
        x, _ = self.multimodal_blocks(text_tokens, causal=True, context=caption_tokens)
        logits = self.head(self.norm(x))
        return CocaOutput(image_tokens, caption_tokens, image_embeds, text_tokens, text_embeds, logits)

    @torch.no_grad()
    def generate(
        self,
        images: Tensor,
        prompt: Tensor,
        max_new: int | None = None,
        *,
        stop: Sequence[int] = (),
        pad: int | None = None,
        search: Sampling | Beams | None = None,
    ) -> Tensor:
        """Write captions of images, as new ids (batch, at most max_new).

        Args:
            images: (batch, 3, height, width), or several views of each, (views, batch, 3, height, width), whose log
                probabilities are averaged.
            prompt: ids (length) or (batch, length) that every caption begins with: the start token at least.
            max_new: greatest number of tokens; if not given, as many as a text can have.
            stop, search: as `visprog.models.nn.generate`.
            pad: id after a stop token; the configuration's if not given.
        """
        views = len(images) if images.ndim == 5 else 1
        prompt = prompt.expand(images.shape[-4], -1).repeat(views, 1)
        room = self.config.length - prompt.shape[1] + 1  # the last token is not read
        max_new = min(max_new or room, room)
        context = self.encode_images(images.flatten(0, -4))[1]
        decoding: Decoding = CocaDecoding(self, context, prompt, max_new)
        if views > 1:
            decoding = Averaged(decoding, views)
        pad = self.config.pad if pad is None else pad
        return generate(decoding, max_new, stop=stop, pad=pad, search=search)

    def _embed(self, tokens: Tensor, start: int) -> Tensor:
        end = start + tokens.shape[1]
        if end > self.config.length:
            raise ValueError(f"a text has {end} tokens, {self.config.length} are the most")
        return self.embed(tokens) + self.positions[start:end]


# -- published sizes, with fresh weights ---------------------------------------------------------------


def coca_base() -> Coca:
    """CoCa-Base of the paper (383 M parameters)."""
    return _coca(CocaImageEncoderConfig(288, 18), dim=768, layers=12, heads=12)


def coca_large() -> Coca:
    """CoCa-Large of the paper (787 M parameters)."""
    encoder = CocaImageEncoderConfig(288, 18, dim=1024, layers=24, heads=16, hidden=4096)
    return _coca(encoder, dim=1024, layers=12, heads=16)


def _coca(encoder: CocaImageEncoderConfig, dim: int, layers: int, heads: int) -> Coca:
    return Coca(
        CocaConfig(
            encoder, 64000, 64, dim, layers, layers, heads, hidden=4 * dim, pool_heads=heads, project=dim
        )
    )


class CocaDecoding:
    """Captions that a CoCa is writing (see `visprog.models.nn.generate.Decoding`). Keys and values of the image are
    computed once.

    Args:
        model: the CoCa.
        context: `caption_tokens`, (batch, queries, dim).
        prompt: ids (batch, length).
        max_new: greatest number of further tokens.
    """

    logits: Tensor

    def __init__(self, model: Coca, context: Tensor, prompt: Tensor, max_new: int) -> None:
        self.model, self.context = model, context
        batch, capacity = len(prompt), prompt.shape[1] + max_new - 1
        self.text = [b.attention.new_cache(batch, capacity) for b in model.unimodal_blocks]
        self.fusion = [b.attention.new_cache(batch, capacity) for b in model.multimodal_blocks]
        self.image = [b.cross.new_cache(batch, context.shape[1]) for b in model.multimodal_blocks]
        self._read(prompt)

    def advance(self, tokens: Tensor) -> None:
        """Read the next token of each caption, ids (batch,)."""
        self._read(tokens[:, None])

    def reorder(self, rows: Tensor) -> None:
        """Caption i becomes what caption `rows[i]` was."""
        self.logits, self.context = self.logits.index_select(0, rows), self.context.index_select(0, rows)
        for cache in (*self.text, *self.fusion, *self.image):
            cache.reorder(rows)

    def _read(self, tokens: Tensor) -> None:
        model, causal = self.model, tokens.shape[1] > 1
        x = model._embed(tokens, self.text[0].length)
        x, _ = model.unimodal_blocks(x, causal=causal, caches=self.text)
        x, _ = model.multimodal_blocks(
            x, causal=causal, caches=self.fusion, context=self.context, context_caches=self.image
        )
        self.logits = model.head(model.norm(x[:, -1]))


def class_mask(real: Tensor) -> Tensor:
    """The attention mask of the unimodal half: each token attends to itself and to those before it, and the class
    token at the end to all but the padding.

    Shapes: bool (batch, length), True for real tokens → bool (batch, 1, length + 1, length + 1).
    """
    length = real.shape[1]
    causal = torch.ones(length + 1, length + 1, dtype=torch.bool, device=real.device).tril()
    mask = causal.repeat(len(real), 1, 1)
    mask[:, length, :length] = real
    return mask[:, None]


def caption_loss(logits: Tensor, tokens: Tensor, pad: int) -> Tensor:
    """Mean cross-entropy of each token given the image and those before it; padding does not count.

    Args:
        logits: (batch, length, vocab), of the token after each.
        tokens: (batch, length).
        pad: id of padding.
    """
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=pad)


def coca_loss(
    output: CocaOutput,
    tokens: Tensor,
    scale: Tensor,
    pad: int,
    *,
    contrast: float = 1.0,
    caption: float = 2.0,
    positives: Tensor | None = None,
) -> dict[str, Tensor]:
    """Both losses and, as "loss", their weighted sum, 1:2 as published.

    Args:
        tokens: (batch, length), as given to the model.
        scale: factor of the cosines (the exponential of `logit_scale`).
        pad: id of padding.
        positives: bool (batch, batch), which pairs belong together; (i, i) alone if not given.
    """
    contrastive = info_nce(output.image_embeds, output.text_embeds, scale, positives)
    captioning = caption_loss(output.logits, tokens, pad)
    loss = contrast * contrastive + caption * captioning
    return {"loss": loss, "contrast": contrastive, "caption": captioning}


def _blocks(layers: int, dim: int, heads: int, hidden: int, eps: float, cross: bool = False) -> Transformer:
    return Transformer(
        Block(
            Attention(dim, heads),
            Mlp([dim, hidden, dim]),
            lambda: nn.LayerNorm(dim, eps),
            Attention(dim, heads) if cross else None,
        )
        for _ in range(layers)
    )


def _init_block(block: Block, layers: int) -> None:
    attention, (up, down) = block.attention, block.mlp.layers
    width, dim = up.in_features**-0.5, up.in_features
    for each in (attention, block.cross) if hasattr(block, "cross") else (attention,):
        _init_attention(each, width)
        nn.init.normal_(each.out.weight, std=width * (2 * layers) ** -0.5)
    nn.init.normal_(up.weight, std=(2 * dim) ** -0.5)
    nn.init.normal_(down.weight, std=width * (2 * layers) ** -0.5)


def _init_attention(attention: Attention, std: float) -> None:
    for layer in (attention.q, attention.k, attention.v, attention.out):
        nn.init.normal_(layer.weight, std=std)
        nn.init.zeros_(layer.bias)
