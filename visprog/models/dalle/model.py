"""DALL-E: one transformer that reads a text and writes an image, token by token (Ramesh et al. 2021,
arXiv:2102.12092).

The stream is a start token, `length` text tokens, and the tokens of the image, row by row, as a discrete autoencoder
gives them. A text is filled up with padding tokens of which each position has its own. Text positions predict text
tokens alone and image positions image tokens alone, so that there are two heads instead of one whose logits are
masked. Image tokens attend to the whole text and, by layer, to a part of the earlier image tokens.

What the paper leaves open is as in the package `dalle_pytorch` 1.6.6 without rotary positions and shifted tokens: the
start token has the embedding of the padding id, and padding is predicted as any text token. Blocks are those of GPT-2,
where the package has gated feed-forward layers and scaled residual branches. The masks "column" and "full" are those
of both; "row" and "convolution" are those of the paper (figure 11), where the package keeps rows apart and lets the
kernel end at the token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import PretrainedModel
from ..nn import Attention, Block, Mlp, Transformer
from ..nn.generate import Sampling, generate
from .dvae import Dvae, DvaeConfig

ATTENTIONS = ("row", "column", "convolution", "full")


@dataclass(frozen=True)
class DalleConfig:
    """The shape of a model; the defaults are those of the paper.

    Attributes:
        dvae: shape of the autoencoder, whose grid gives the number of image tokens.
        vocab: number of text token ids, without the padding of each position.
        length: number of text tokens of the stream.
        dim, layers, heads, head_dim, hidden: shape of the blocks.
        attention: which earlier image tokens a layer attends to, "row", "column", "convolution" or "full", for each
            layer; those of the paper if it is empty.
        kernel: side of the kernel of "convolution", odd.
        pad: id of the token that fills shorter texts.

    Raises:
        ValueError: an unknown attention, not as many as layers, or an even kernel.
    """

    dvae: DvaeConfig = field(default_factory=DvaeConfig)
    vocab: int = 16384
    length: int = 256
    dim: int = 3968
    layers: int = 64
    heads: int = 62
    head_dim: int = 64
    hidden: int = 15872
    attention: tuple[str, ...] = ()
    kernel: int = 11
    pad: int = 0
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.attention and len(self.attention) != self.layers:
            raise ValueError(f"attention names {len(self.attention)} layers, and there are {self.layers}")
        if unknown := [name for name in self.attention if name not in ATTENTIONS]:
            raise ValueError(f"attention '{unknown[0]}' is not known: use {', '.join(ATTENTIONS)}")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, not {self.kernel}")

    @property
    def image_size(self) -> int:
        """Side of the images, in pixels."""
        return self.dvae.image_size


class DalleOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        embeds: (batch, positions, dim), what the first block reads.
        hidden: (batch, positions, dim), after the last block.
        text_logits: (batch, length, vocab + length), of each text token.
        image_logits: (batch, places, vocab_size), of each image token.
    """

    embeds: Tensor
    hidden: Tensor
    text_logits: Tensor
    image_logits: Tensor


class Dalle(PretrainedModel):
    """The model, with the autoencoder that gives it image tokens and makes images of them. The latter is not trained
    here: give the component `dvae` the rate 0."""

    model_type = "dalle"
    config_class = DalleConfig
    config: DalleConfig

    def __init__(self, config: DalleConfig) -> None:
        super().__init__(config)
        c = config
        self.dvae = Dvae(c.dvae)
        self.text_embed = nn.Embedding(c.vocab + c.length, c.dim)  # the last are the padding of each position
        self.image_embed = nn.Embedding(c.dvae.vocab_size, c.dim)
        self.text_positions = nn.Parameter(torch.empty(1 + c.length, c.dim))
        self.row_positions = nn.Parameter(torch.empty(c.dvae.side, c.dim))
        self.column_positions = nn.Parameter(torch.empty(c.dvae.side, c.dim))
        self.blocks = Transformer(
            Block(
                Attention(c.dim, c.heads, head_dim=c.head_dim),
                Mlp([c.dim, c.hidden, c.dim]),
                lambda: nn.LayerNorm(c.dim, c.eps),
            )
            for _ in range(c.layers)
        )
        self.norm = nn.LayerNorm(c.dim, c.eps)
        self.text_head = nn.Linear(c.dim, c.vocab + c.length)
        self.image_head = nn.Linear(c.dim, c.dvae.vocab_size)
        self.attention = c.attention or paper_attention(c.layers)
        for name in set(self.attention):
            mask = attention_mask(name, 1 + c.length, c.dvae.side, c.kernel)
            self.register_buffer(f"{name}_mask", mask, persistent=False)
        self._init()

    def _init(self) -> None:
        """As in GPT-2: std 0.02, shrunk with depth for what writes to the residual stream."""
        for module in (self.blocks, self.text_head, self.image_head, self.text_embed, self.image_embed):
            for name, parameter in module.named_parameters():
                if parameter.ndim > 1:
                    last = name.endswith(("attention.out.weight", "mlp.layers.1.weight"))
                    nn.init.normal_(parameter, std=0.02 * (2 * len(self.blocks)) ** -0.5 if last else 0.02)
                elif name.endswith("bias"):
                    nn.init.zeros_(parameter)
        for positions in (self.text_positions, self.row_positions, self.column_positions):
            nn.init.normal_(positions, std=0.01)

    def forward(self, tokens: Tensor, image_tokens: Tensor) -> DalleOutput:
        """The logits of every token given those before it.

        Args:
            tokens: text ids (batch, at most length), padded on the right.
            image_tokens: ids (batch, places), row by row, as `encode_images` gives them.
        """
        length, places = self.config.length, self.config.dvae.side**2
        embeds = torch.cat([self._embed_texts(tokens), self._embed_places(image_tokens[:, :-1], 0)], 1)
        hidden, _ = self.blocks(embeds, mask=self._masks(slice(0, length + places), length + places))
        x = self.norm(hidden)
        return DalleOutput(embeds, hidden, self.text_head(x[:, :length]), self.image_head(x[:, length:]))

    def encode_images(self, images: Tensor) -> Tensor:
        """Tokens of images (batch, channels, size, size), levels from 0 to 1, as ids (batch, places), row by row."""
        return self.dvae.encode_images(images).flatten(1)

    def decode_images(self, image_tokens: Tensor) -> Tensor:
        """Images (batch, channels, size, size), levels from 0 to 1, of ids (batch, places)."""
        return self.dvae.decode(image_tokens.unflatten(1, (self.config.dvae.side, -1)))

    @torch.no_grad()
    def generate(self, tokens: Tensor, count: int = 1, *, search: Sampling | None = None) -> Tensor:
        """Draw images of texts, as tokens (batch * count, places); those of one text are neighbours.

        Args:
            tokens: text ids (batch, at most length), padded on the right.
            count: number of images per text.
            search: how tokens are drawn; from the model's own distribution if not given.
        """
        decoding = DalleDecoding(self, tokens)
        decoding.reorder(torch.arange(len(tokens), device=tokens.device).repeat_interleave(count))
        return generate(decoding, self.config.dvae.side**2, search=search or Sampling())

    def padded(self, tokens: Tensor) -> Tensor:
        """Text ids (batch, at most length) → (batch, length), with the padding of each position.

        Raises:
            ValueError: a text is too long.
        """
        c = self.config
        if tokens.shape[1] > c.length:
            raise ValueError(f"a text has {tokens.shape[1]} tokens, {c.length} are the most")
        tokens = F.pad(tokens, (0, c.length - tokens.shape[1]), value=c.pad)
        return torch.where(tokens == c.pad, c.vocab + torch.arange(c.length, device=tokens.device), tokens)

    def _embed_texts(self, tokens: Tensor) -> Tensor:
        """The start token and a text: (batch, at most length) → (batch, 1 + length, dim)."""
        started = F.pad(self.padded(tokens), (1, 0), value=self.config.pad)
        return self.text_embed(started) + self.text_positions

    def _embed_places(self, image_tokens: Tensor, start: int) -> Tensor:
        """Image tokens from place `start` on: (batch, n) → (batch, n, dim)."""
        places = torch.arange(start, start + image_tokens.shape[1], device=image_tokens.device)
        rows, columns = places // self.config.dvae.side, places % self.config.dvae.side
        return self.image_embed(image_tokens) + self.row_positions[rows] + self.column_positions[columns]

    def _masks(self, queries: slice, keys: int) -> list[Tensor]:
        """The mask of each layer, (queries, keys)."""
        return [getattr(self, f"{name}_mask")[queries, :keys] for name in self.attention]


class DalleDecoding:
    """Images that a DALL-E is drawing (see `visprog.models.nn.generate.Decoding`).

    Args:
        model: the DALL-E.
        tokens: text ids (batch, at most length).
    """

    logits: Tensor

    def __init__(self, model: Dalle, tokens: Tensor) -> None:
        self.model = model
        capacity = model.config.length + model.config.dvae.side**2
        self.caches = [block.attention.new_cache(len(tokens), capacity) for block in model.blocks]
        self._read(model._embed_texts(tokens))

    def advance(self, tokens: Tensor) -> None:
        """Read the next token of each image, ids (batch,)."""
        place = self.caches[0].length - 1 - self.model.config.length
        self._read(self.model._embed_places(tokens[:, None], place))

    def reorder(self, rows: Tensor) -> None:
        """Image i becomes what image `rows[i]` was."""
        self.logits = self.logits.index_select(0, rows)
        for cache in self.caches:
            cache.reorder(rows)

    def _read(self, embeds: Tensor) -> None:
        model, start = self.model, self.caches[0].length
        end = start + embeds.shape[1]
        x, _ = model.blocks(embeds, mask=model._masks(slice(start, end), end), caches=self.caches)
        self.logits = model.image_head(model.norm(x[:, -1]))


def paper_attention(layers: int) -> tuple[str, ...]:
    """The attention of each layer in the paper: row, column, row, row, and so on, and convolution in the last."""
    return (*("column" if i % 4 == 1 else "row" for i in range(layers - 1)), "convolution")


def attention_mask(name: str, prefix: int, side: int, kernel: int) -> Tensor:
    """Which position attends to which, bool (n, n), n = prefix + side ** 2 - 1 (the last image token is not read).

    The prefix, the start token and the text, attends to itself causally, and every image token to all of it. Among
    image tokens, in raster order, none attends to a later one, and
    - "row": to the last `side` tokens, as far as the one above it;
    - "column": to those above it;
    - "convolution": to those under the earlier half of a kernel around it, which goes on in the next row where it
      crosses an edge;
    - "full": to all.

    Args:
        name: one of `ATTENTIONS`.
        prefix: number of positions before the image.
        side: number of tokens along a side of the image.
        kernel: side of the kernel of "convolution".
    """
    positions = torch.arange(prefix + side**2 - 1, device="cpu")  # no checkpoint holds the masks
    back = positions[:, None] - positions
    if name == "row":
        near = back <= side
    elif name == "column":
        near = back % side == 0
    elif name == "convolution":
        reach = torch.arange(-(kernel // 2), kernel // 2 + 1, device="cpu")
        near = torch.isin(back, (side * reach[:, None] + reach).flatten())
    else:
        near = torch.ones_like(back, dtype=torch.bool)
    return (back >= 0) & (near | (positions < prefix))


def dalle_loss(
    output: DalleOutput, tokens: Tensor, image_tokens: Tensor, image_weight: float = 7.0
) -> dict[str, Tensor]:
    """Mean cross-entropy of text and of image tokens, and as "loss" their weighted mean, 1:7 as published.

    Args:
        output: of the model.
        tokens: text ids (batch, length), as `Dalle.padded` gives them: the padding is predicted too.
        image_tokens: ids (batch, places).
        image_weight: weight of the image; that of the text is 1.
    """
    text = F.cross_entropy(output.text_logits.flatten(0, 1), tokens.flatten())
    image = F.cross_entropy(output.image_logits.flatten(0, 1), image_tokens.flatten())
    return {"loss": (text + image_weight * image) / (1 + image_weight), "text": text, "image": image}


# -- the published size, with fresh weights ------------------------------------------------------------


def dalle_12b() -> Dalle:
    """DALL-E of the paper (12 billion parameters)."""
    return Dalle(DalleConfig())
