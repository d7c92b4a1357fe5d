"""Text to image, and inpainting, by diffusion of pixels: a DiT reads the tokens of a CLIP text encoder.

The schedule, the samplers and the loss are in `schedule.py`, the network in `dit.py`. In training, the text of one in
ten samples is empty, so that guidance can hold the prediction for a text against that for none (Ho & Salimans 2022).
A network that inpaints also reads a mask, and the image without the masked pixels, as that of Stable Diffusion does
(Rombach et al. 2022, arXiv:2112.10752): with all pixels masked, it draws whole images.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..base import PretrainedModel
from ..clip.model import TextEncoder, TextEncoderConfig
from .dit import Dit, DitConfig, TextContext
from .schedule import Known, NoiseSchedule, Sampler, guided


@dataclass(frozen=True)
class DiffusionConfig:
    """The shape of a model, and its noise.

    Attributes:
        network: predicts 3 channels; it reads 3, or 7 if it inpaints: the noised image, the mask, the image without the
            masked pixels. `context` is the width of the text encoder.
        text_encoder: without a projection.
    """

    network: DitConfig = field(
        default_factory=lambda: DitConfig(
            channels=7, out_channels=3, dim=384, layers=12, heads=6, hidden=1536, classes=None, context=512
        )
    )
    text_encoder: TextEncoderConfig = field(default_factory=lambda: TextEncoderConfig(project=None))
    schedule: NoiseSchedule = field(default_factory=NoiseSchedule)

    @property
    def image_size(self) -> int:
        """Side of the images, in pixels."""
        return self.network.size

    @property
    def inpaints(self) -> bool:
        """Whether the network reads a mask and the image without the masked pixels."""
        return self.network.channels == 7


class Diffusion(PretrainedModel):
    """The model."""

    model_type = "diffusion"
    config_class = DiffusionConfig
    config: DiffusionConfig

    def __init__(self, config: DiffusionConfig) -> None:
        super().__init__(config)
        network, text = config.network, config.text_encoder
        if network.channels not in (3, 7) or network.out_channels != 3 or network.classes is not None:
            raise ValueError(
                "the network of a diffusion model reads 3 channels, or 7 to inpaint, predicts 3, and has no classes"
            )
        if network.context != text.dim or text.project is not None:
            raise ValueError(
                f"network.context must be {text.dim}, the width of the text encoder, which has no projection"
            )
        self.text_encoder = TextEncoder(text)
        self.network = Dit(network)

    def encode_texts(self, tokens: Tensor) -> TextContext:
        """What the network reads of texts, ids (batch, length) from the start token to the end token, padded on the
        right."""
        text = self.text_encoder(tokens)
        end = self.config.text_encoder.end
        ends = tokens.argmax(1) if end is None else (tokens == end).int().argmax(1)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return TextContext(text.tokens, text.pooled, places <= ends[:, None])

    def forward(
        self, noised: Tensor, timesteps: Tensor, context: TextContext, known: Known | None = None
    ) -> Tensor:
        """Predict the noise, or the velocity: (batch, 3, height, width).

        Args:
            noised: images at their timesteps, (batch, 3, height, width).
            timesteps: (batch,).
            context: from `encode_texts`.
            known: pixels that are given; none if left out. Only a model that inpaints reads them.
        """
        images = noised
        if self.config.inpaints:
            if known is None:
                known = Known(torch.zeros_like(noised), torch.ones_like(noised[:, :1]))
            images = torch.cat([noised, known.mask, known.images * (1 - known.mask)], 1)
        return self.network(images, timesteps, context=context).output

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor,
        empty: Tensor,
        *,
        guidance: float = 4.0,
        sampler: Sampler | None = None,
        known: Known | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw an image for each text: (batch, 3, size, size) in [−1, 1].

        Args:
            tokens: ids (batch, length), as `encode_texts` takes them.
            empty: ids (length,) of the empty text, to be guided away from.
            guidance: factor of the difference that a text makes; 1 for no guidance.
            sampler: DDIM of 50 steps if not given.
            known: pixels that are given, and stay as they are.
            generator: of all noise, on the CPU, so that a seed gives the same images on every device.
        """
        batch, size = len(tokens), self.config.image_size
        noise = torch.randn(batch, 3, size, size, generator=generator).to(tokens.device)
        without = torch.zeros_like(tokens)
        without[:, : len(empty)] = empty
        context = self.encode_texts(tokens if guidance == 1 else torch.cat([tokens, without]))

        def denoise(x: Tensor, timesteps: Tensor) -> Tensor:
            if guidance == 1:
                return self(x, timesteps, context, known)
            twice = None if known is None else Known(*(part.repeat(2, 1, 1, 1) for part in known))
            output = self(x.repeat(2, 1, 1, 1), timesteps.repeat(2), context, twice)
            with_text, without_text = output.chunk(2)
            return guided(with_text, without_text, guidance)

        return (sampler or Sampler()).sample(
            denoise, noise, self.config.schedule, known=known, generator=generator
        )
