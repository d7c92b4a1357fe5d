"""The discrete variational autoencoder of DALL-E: an image as a grid of tokens (Ramesh et al. 2021, arXiv:2102.12092,
appendix A).

The encoder gives logits of `vocab_size` tokens at each place of a grid, the decoder the distribution of each pixel
given the tokens. Training draws from the Gumbel-softmax relaxation (Jang et al. 2016, Maddison et al. 2016), whose
temperature goes towards 0; afterwards the token of a place is the likeliest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..base import PretrainedModel
from ..checkpoint.checkpoint import assemble
from .hub import dvae_keys, dvae_shape, read_dall_e

LOGIT_LAPLACE_EPS = 0.1
"""Distance of the mapped pixels from 0 and 1, where the density of the logit-Laplace distribution has its poles."""


@dataclass(frozen=True)
class DvaeConfig:
    """The shape of a model; the names are those of the package `dall_e`, the defaults those of the published model.

    Attributes:
        image_size: side of the square images that it is trained on, in pixels.
        channels: number of channels of an image.
        group_count: number of groups of blocks; between two of them the side is halved, and the width doubled.
        n_init: width after the decoder's first layer.
        n_hid: width of the blocks at the size of the image.
        n_blk_per_group: number of blocks per group.
        vocab_size: number of tokens of an image.

    Raises:
        ValueError: the image cannot be halved so often, a width is no multiple of 4, or there is no block.
    """

    image_size: int = 256
    channels: int = 3
    group_count: int = 4
    n_init: int = 128
    n_hid: int = 256
    n_blk_per_group: int = 2
    vocab_size: int = 8192

    def __post_init__(self) -> None:
        if min(self.group_count, self.n_blk_per_group) < 1:
            raise ValueError("group_count and n_blk_per_group must be at least 1")
        if self.n_hid % 4:
            raise ValueError(f"n_hid must be a multiple of 4, not {self.n_hid}")
        if self.image_size % self.stride:
            raise ValueError(
                f"image_size must be a multiple of {self.stride} with group_count {self.group_count}, "
                f"not {self.image_size}"
            )

    @property
    def stride(self) -> int:
        """Side of the part of an image that one token stands for, in pixels."""
        return int(2 ** (self.group_count - 1))

    @property
    def side(self) -> int:
        """Number of tokens along a side of the image."""
        return self.image_size // self.stride

    @property
    def widths(self) -> list[int]:
        """Width of each group, from the size of the image to that of the grid."""
        return [self.n_hid * 2**i for i in range(self.group_count)]


class DvaeOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        logits: (batch, vocab_size, rows, columns), of the token at each place.
        tokens: (batch, vocab_size, rows, columns), drawn; relaxed, so that each place sums to 1.
        mu: (batch, channels, height, width), location of the logit of each pixel.
        ln_b: (batch, channels, height, width), logarithm of its scale.
    """

    logits: Tensor
    tokens: Tensor
    mu: Tensor
    ln_b: Tensor


class Conv(nn.Conv2d):
    """Convolution that keeps the size; its weights start as N(0, 1 / sqrt(fan_in)), its bias at 0."""

    def __init__(self, inward: int, outward: int, kernel: int) -> None:
        super().__init__(inward, outward, kernel, padding=kernel // 2)

    def reset_parameters(self) -> None:
        """Draw the first weights."""
        nn.init.normal_(self.weight, std=(self.in_channels * self.kernel_size[0] ** 2) ** -0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class ResidualBlock(nn.Module):
    """skip(x) + gain * residual(x); the residual path has a quarter of the width.

    Shapes: (batch, inward, height, width) → (batch, outward, height, width).

    Args:
        inward, outward: numbers of channels.
        kernels: sides of the four kernels of the residual path.
        gain: factor of the residual path.
    """

    def __init__(self, inward: int, outward: int, kernels: Sequence[int], gain: float) -> None:
        super().__init__()
        self.gain = gain
        widths = (inward, *[outward // 4] * 3, outward)
        self.skip = Conv(inward, outward, 1) if inward != outward else nn.Identity()
        self.convs = nn.ModuleList(
            Conv(a, b, kernel) for (a, b), kernel in zip(pairwise(widths), kernels, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        residual = x
        for conv in self.convs:
            residual = conv(F.relu(residual))
        return self.skip(x) + self.gain * residual


class DvaeEncoder(nn.Module):
    """Shapes: mapped pixels (batch, channels, height, width) → logits (batch, vocab_size, rows, columns)."""

    def __init__(self, config: DvaeConfig) -> None:
        super().__init__()
        self.per_group = config.n_blk_per_group
        self.input = Conv(config.channels, config.n_hid, 7)
        self.blocks = _blocks(config, [config.n_hid, *config.widths], (3, 3, 3, 1))
        self.output = Conv(config.widths[-1], config.vocab_size, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.input(x)  # (batch, n_hid, height, width)
        for i, block in enumerate(self.blocks):
            if i and i % self.per_group == 0:
                x = F.max_pool2d(x, 2)
            x = block(x)
        return self.output(F.relu(x))


class DvaeDecoder(nn.Module):
    """Shapes: tokens (batch, vocab_size, rows, columns) → mu and ln b (batch, 2 * channels, height, width)."""

    def __init__(self, config: DvaeConfig) -> None:
        super().__init__()
        self.per_group = config.n_blk_per_group
        self.input = Conv(config.vocab_size, config.n_init, 1)
        self.blocks = _blocks(config, [config.n_init, *reversed(config.widths)], (1, 3, 3, 3))
        self.output = Conv(config.n_hid, 2 * config.channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.input(x)  # (batch, n_init, rows, columns)
        for i, block in enumerate(self.blocks):
            if i and i % self.per_group == 0:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(x)
        return self.output(F.relu(x))


class Dvae(PretrainedModel):
    """The model. Images have levels from 0 to 1."""

    model_type = "dvae"
    config_class = DvaeConfig
    config: DvaeConfig

    def __init__(self, config: DvaeConfig) -> None:
        super().__init__(config)
        self.encoder = DvaeEncoder(config)
        self.decoder = DvaeDecoder(config)

    def forward(self, images: Tensor, temperature: float = 1.0) -> DvaeOutput:
        """Encode images, draw relaxed tokens, and decode these.

        Args:
            images: (batch, channels, height, width).
            temperature: of the Gumbel-softmax relaxation; towards 0 the tokens become one-hot.
        """
        logits = self.encode(images)
        tokens = F.gumbel_softmax(logits, tau=temperature, dim=1)
        mu, ln_b = self.decoder(tokens).chunk(2, 1)
        return DvaeOutput(logits, tokens, mu, ln_b)

    def encode(self, images: Tensor) -> Tensor:
        """Logits (batch, vocab_size, rows, columns) of the tokens of images (batch, channels, height, width).

        Raises:
            ValueError: the side of an image is no multiple of `DvaeConfig.stride`.
        """
        height, width = images.shape[-2:]
        if height % self.config.stride or width % self.config.stride:
            raise ValueError(
                f"an image of {width} x {height} pixels has no whole tokens of {self.config.stride} pixels"
            )
        return self.encoder(map_pixels(images))

    def encode_images(self, images: Tensor) -> Tensor:
        """The likeliest token at each place, ids (batch, rows, columns)."""
        return self.encode(images).argmax(1)

    def decode(self, tokens: Tensor) -> Tensor:
        """Images (batch, channels, height, width) of tokens, ids (batch, rows, columns): the location of each pixel's
        distribution."""
        one_hot = F.one_hot(tokens, self.config.vocab_size).permute(0, 3, 1, 2)
        mu, _ = self.decoder(one_hot.to(self.decoder.input.weight.dtype)).chunk(2, 1)
        return unmap_pixels(mu.sigmoid())

    @classmethod
    def from_dall_e(
        cls,
        encoder: str | Path,
        decoder: str | Path,
        *,
        dtype: str | torch.dtype = "float32",
        device: str | torch.device = "cpu",
    ) -> Dvae:
        """Load the weights of the package `dall_e` (openai/DALL-E), saved as the state of its `Encoder` and `Decoder`.

        The sizes of the model follow from the shapes of its weights. Of a pickled file only tensors are read, never
        objects: the public `encoder.pkl` and `decoder.pkl`, which are pickled modules, are refused with the way to
        convert them.

        Args:
            encoder, decoder: `.pt` or `.safetensors` files of tensors by name.
            dtype, device: as `from_pretrained`.

        Raises:
            ValueError: a file is missing, holds anything but tensors, or weights of another model.
        """
        state = read_dall_e(Path(encoder), Path(decoder))
        config = DvaeConfig(**dvae_shape(state, encoder))
        keys = dvae_keys(config.group_count, config.n_blk_per_group)
        return assemble(lambda: cls(config), state, f"{encoder} with {decoder}", dtype, keys.to_ours, device)


def map_pixels(images: Tensor) -> Tensor:
    """Levels from 0 to 1 as levels from 0.1 to 0.9."""
    return (1 - 2 * LOGIT_LAPLACE_EPS) * images + LOGIT_LAPLACE_EPS


def unmap_pixels(mapped: Tensor) -> Tensor:
    """The reverse of `map_pixels`, between 0 and 1."""
    return ((mapped - LOGIT_LAPLACE_EPS) / (1 - 2 * LOGIT_LAPLACE_EPS)).clamp(0, 1)


def logit_laplace_log_prob(mapped: Tensor, mu: Tensor, ln_b: Tensor) -> Tensor:
    """Logarithm of the logit-Laplace density of mapped pixels, each by itself: their logit has a Laplace distribution
    of location mu and scale b. All shapes alike."""
    distance = (mapped.logit() - mu).abs() * torch.exp(-ln_b)
    return -distance - ln_b - torch.log(2 * mapped * (1 - mapped))


def uniform_kl(logits: Tensor) -> Tensor:
    """Divergence of the distribution of each token from the uniform prior, in nats: (batch, vocab_size, rows, columns)
    → (batch, rows, columns)."""
    log_q = logits.log_softmax(1)
    uniform = torch.tensor(float(logits.shape[1]), device=logits.device).log()
    return (log_q.exp() * log_q).sum(1) + uniform


def dvae_loss(output: DvaeOutput, images: Tensor, kl_weight: float = 6.6) -> dict[str, Tensor]:
    """The negative evidence lower bound with a weighted divergence, per level of a pixel, so that the divergence of one
    token weighs `kl_weight` / 192 at the published sizes.

    Args:
        output: of the model for `images`.
        images: (batch, channels, height, width), levels from 0 to 1.
        kl_weight: weight β of the divergence.

    Returns:
        "loss", and its parts: "nll", the negative log-likelihood per level; "kl", the divergence per token.
    """
    nll = -logit_laplace_log_prob(map_pixels(images), output.mu, output.ln_b).mean()
    kl = uniform_kl(output.logits)
    levels = images[0].numel() / kl[0].numel()  # of one token
    return {"loss": nll + kl_weight / levels * kl.mean(), "nll": nll, "kl": kl.mean()}


# -- the published size, with fresh weights ------------------------------------------------------------


def dvae_openai() -> Dvae:
    """The dVAE that was published: 256 x 256 pixels as 32 x 32 tokens out of 8192."""
    return Dvae(DvaeConfig())


def _blocks(config: DvaeConfig, widths: Sequence[int], kernels: Sequence[int]) -> nn.ModuleList:
    """The blocks of all groups; `widths` are those before each group and after the last."""
    gain = 1 / (config.group_count * config.n_blk_per_group) ** 2
    return nn.ModuleList(
        ResidualBlock(before if i == 0 else after, after, kernels, gain)
        for before, after in pairwise(widths)
        for i in range(config.n_blk_per_group)
    )
