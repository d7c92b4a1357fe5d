"""Images as grids of tokens, as the discrete autoencoder of DALL-E learns them (Ramesh et al. 2021, arXiv:2102.12092,
appendix A.2), on the images of any source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visprog.models.dalle.dvae import dvae_loss
from visprog.models.preprocess.image_processor import ImageProcessor

from ..data.samples import LabelledImage
from ..data.source import Source
from ..init_from import init_model, load_start
from ..models import check_model, new_model, trained_source
from ..objective import Objective


@dataclass(frozen=True)
class DvaeObjectiveConfig:
    """Keys of the objective `dvae`.

    Attributes:
        init_from: trained model to begin with: a folder, or a hub id.
        temperature: of the relaxation, at the beginning and at the end.
        temperature_steps: number of steps from one to the other, by a half cosine.
        kl_weight: weight of the divergence from the uniform prior, at the end; it begins with 0.
        kl_steps: number of steps until then, by a half cosine.
    """

    init_from: str | None = None
    temperature: tuple[float, float] = (1.0, 1 / 16)
    temperature_steps: int = 150_000
    kl_weight: float = 6.6
    kl_steps: int = 5000

    def __post_init__(self) -> None:
        if min(self.temperature) <= 0:
            raise ValueError(f"temperature must be positive, not {self.temperature}")
        if self.kl_weight < 0 or self.kl_steps < 0 or self.temperature_steps < 0:
            raise ValueError("kl_weight, kl_steps and temperature_steps must not be negative")


class DiscreteAutoencoding(Objective):
    """A discrete variational autoencoder. A batch holds "images" (n, 3, S, S), levels from 0 to 1.

    Scores, of the likeliest tokens: "psnr", the mean peak signal-to-noise ratio of the decoded images in dB, and
    "perplexity", the number of tokens that are used, weighted by how often.
    """

    Config: ClassVar[Any] = DvaeObjectiveConfig
    sample_type = LabelledImage
    needs = ("encode_images", "decode")
    metric = "psnr"

    def __init__(self, config: DvaeObjectiveConfig, model: Any, source: Source) -> None:
        super().__init__(config, model, source)
        self.model = new_model(model) if model else load_start(trained_source(config.init_from))
        check_model(self.model, "dvae", self.needs)
        if model:
            init_model(self.model, config.init_from)
        self.size = self.model.config.image_size
        self.image_processor = unit_processor(self.size, source)

    def prepare(self, sample: LabelledImage, rng: np.random.Generator, train: bool) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self.image_processor.fit(sample.image)
        return image

    def collate(self, samples: list[Any], train: bool) -> dict[str, Tensor]:
        return {"images": self.image_processor(samples)}

    @property
    def temperature(self) -> float:
        """Temperature of the relaxation at the present step."""
        first, last = self.config.temperature
        return annealed(first, last, self.step, self.config.temperature_steps)

    @property
    def kl_weight(self) -> float:
        """Weight of the divergence at the present step."""
        return annealed(0.0, self.config.kl_weight, self.step, self.config.kl_steps)

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        images = batch["images"]
        return dvae_loss(self.model(images, self.temperature), images, self.kl_weight)

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        images = batch["images"]
        tokens = self.model.encode_images(images)
        error = (self.model.decode(tokens) - images).square().flatten(1).mean(1)
        return {"psnr": -10 * error.clamp(min=1e-10).log10(), "tokens": tokens.flatten(1)}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        counts = torch.bincount(predictions["tokens"].flatten(), minlength=self.model.config.vocab_size)
        shares = counts / counts.sum()
        return {
            "psnr": float(predictions["psnr"].mean()),
            "perplexity": float(torch.special.entr(shares).sum().exp()),
        }


def unit_processor(size: int, source: Source) -> ImageProcessor:
    """An image processor that gives levels from 0 to 1; it stretches, unless shapes matter."""
    return ImageProcessor(size=(size, size), square=source.square, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def annealed(first: float, last: float, step: int, steps: int) -> float:
    """A number that goes from `first` to `last` within `steps` steps, by a half cosine."""
    share = min(step / steps, 1.0) if steps else 1.0
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * share))
