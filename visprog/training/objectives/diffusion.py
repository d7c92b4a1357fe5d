"""Text to image, and inpainting, by denoising (Ho et al. 2020, arXiv:2006.11239), on any source of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visprog.models.diffusion.schedule import Known, diffusion_loss
from visprog.models.preprocess.image_processor import ImageProcessor
from visprog.models.preprocess.tokenizer import END, Tokenizer

from ..data.samples import DataError, Pair
from ..data.source import PairSource
from ..from_plain import Section
from ..init_from import InitFrom, init_model, init_text_encoder, load_start, load_text_encoder
from ..models import (
    check_model,
    image_size,
    load_processor,
    load_tokenizer,
    make_tokenizer,
    new_model,
    trained_source,
)
from ..objective import Objective

VALIDATION_TIMESTEPS = (1 / 6, 1 / 2, 5 / 6)
"""The timesteps at which validation samples are scored, as shares of all."""

SIDES = (0.25, 0.9)
"""Least and greatest side of a masked rectangle, as a share of that of the image."""

CHOICES = 32
"""Number of rectangles among which the plainest is masked if the text is empty."""


@dataclass(frozen=True)
class DenoisingConfig:
    """Keys of the objective `diffusion`.

    Attributes:
        init_from: trained diffusion model to begin with; or {text_encoder: MODEL}, the text encoder of a trained CLIP
            with its settings and its words, which `optimizer.lr: {text_encoder: 0}` freezes. A folder, the name of a
            bundled model, or a hub id.
        length: greatest number of tokens of a text.
        vocabulary: greatest number of tokens of the byte-pair encoding that is learned from captions.
        drop_text: share of the samples to train on whose text is empty.
        mask_all: share of the samples of a model that inpaints whose pixels are all masked. Of each other
            sample a rectangle is masked; if its text is empty, one that is plain, so that no text means no object.
    """

    init_from: str | dict[str, str] | None = None
    length: int = 64
    vocabulary: int = 4096
    drop_text: float = 0.1
    mask_all: float = 0.25

    def __post_init__(self) -> None:
        if not (0 <= self.drop_text <= 1 and 0 <= self.mask_all <= 1):
            raise ValueError("drop_text and mask_all are shares, from 0 to 1")


class NoisySample(NamedTuple):
    """A prepared pair, and what was drawn for it: the text, the noise, a timestep, and the mask (1, size, size)."""

    pixels: NDArray[np.uint8]
    text: str
    noise: NDArray[np.float32]
    timestep: int
    mask: NDArray[np.float32]


class Denoising(Objective):
    """Training of a diffusion model. A batch holds "images" and "noise" (n, 3, S, S), "timesteps" (n,), "masks"
    (n, 1, S, S), 1 for pixels to generate, and "tokens" (n, length).

    Score: "loss", the mean over fixed timesteps and fixed noise; smaller is better.
    """

    Config: ClassVar[Any] = DenoisingConfig
    sample_type = Pair
    needs = ("encode_texts", "network")
    lower_is_better = True
    source: PairSource

    def __init__(self, config: DenoisingConfig, model: Any, source: PairSource) -> None:
        super().__init__(config, model, source)
        self.model, self.tokenizer, processor = build(model, config, source)
        check_model(self.model, "diffusion", self.needs)
        self.size = image_size(self.model.config)
        half = (0.5, 0.5, 0.5)  # levels from −1 to 1
        self.image_processor = processor or ImageProcessor(
            (self.size, self.size), mean=half, std=half, square=source.square
        )

    def prepare(self, sample: Pair, rng: np.random.Generator, train: bool) -> NoisySample:
        text = str(rng.choice(sample.captions))
        if train and rng.random() < self.config.drop_text:
            text = ""
        pixels = self.image_processor.fit(sample.image)
        noise = rng.standard_normal((3, self.size, self.size), np.float32)
        timestep = int(rng.integers(self.model.config.schedule.steps))
        mask = draw_mask(pixels, self.config.mask_all, rng, 1 if text else CHOICES)
        return NoisySample(pixels, text, noise, timestep, mask)

    def collate(self, samples: list[NoisySample], train: bool) -> dict[str, Tensor]:
        return {
            "images": self.image_processor([drawn.pixels for drawn in samples]),
            "noise": torch.from_numpy(np.stack([drawn.noise for drawn in samples])),
            "timesteps": torch.tensor([drawn.timestep for drawn in samples]),
            "masks": torch.from_numpy(np.stack([drawn.mask for drawn in samples])),
            "tokens": self.tokenizer([drawn.text for drawn in samples]).ids,
        }

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": self.errors(batch, batch["timesteps"]).mean()}

    def errors(self, batch: Mapping[str, Tensor], timesteps: Tensor) -> Tensor:
        """Squared errors of the predictions at timesteps (n,), the mean over each image: (n,)."""
        schedule, images, noise = self.model.config.schedule, batch["images"], batch["noise"]
        output = self.model(
            schedule.add_noise(images, noise, timesteps),
            timesteps,
            self.model.encode_texts(batch["tokens"]),
            Known(images, batch["masks"]),
        )
        return diffusion_loss(output, schedule.target(images, noise, timesteps))

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        steps, drawn = self.model.config.schedule.steps, batch["timesteps"]
        errors = [self.errors(batch, torch.full_like(drawn, int(at * steps))) for at in VALIDATION_TIMESTEPS]
        return {"errors": torch.stack(errors, 1)}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {"loss": float(predictions["errors"].mean())}


def draw_mask(
    pixels: NDArray[np.uint8], share_of_all: float, rng: np.random.Generator, choices: int
) -> NDArray[np.float32]:
    """All pixels of an image (size, size, 3), or those of the plainest of some random rectangles: (1, size, size), 1
    for pixels to generate."""
    size = len(pixels)
    mask = np.zeros((1, size, size), np.float32)
    if rng.random() < share_of_all:
        mask[:] = 1
        return mask
    rectangles = []
    for _ in range(choices):
        height, width = (max(1, round(side * size)) for side in rng.uniform(*SIDES, 2))
        top, left = int(rng.integers(size - height + 1)), int(rng.integers(size - width + 1))
        rectangles.append((slice(top, top + height), slice(left, left + width)))
    plainest = min(rectangles, key=lambda rectangle: pixels[rectangle].std((0, 1)).sum())
    mask[0][plainest] = 1
    return mask


def build(
    section: Section | None, config: DenoisingConfig, source: PairSource
) -> tuple[Any, Tokenizer, ImageProcessor | None]:
    """A diffusion model, its tokenizer, and its image processor if it was trained before.

    Raises:
        DataError: there are neither settings nor a trained model, or the two do not fit.
    """
    init_from: InitFrom = config.init_from
    if section is None:
        trained = trained_source(init_from)
        return load_start(trained), load_tokenizer(trained), load_processor(trained)
    if not isinstance(init_from, Mapping):
        tokenizer = make_tokenizer(source, config.length, config.vocabulary)
        model = new_model(section, vocab=len(tokenizer), length=config.length, end=tokenizer.id(END))
        init_model(model, init_from, tokenizer)
        return model, tokenizer, None
    if set(init_from) != {"text_encoder"}:
        raise DataError("init_from: of another model only its text_encoder can be taken")
    place = init_from["text_encoder"]
    encoder, tokenizer = load_text_encoder(place), load_tokenizer(place)
    settings = replace(
        section.config,
        text_encoder=replace(encoder.config, project=None),
        network=replace(section.config.network, context=encoder.config.dim),
    )
    model = new_model(Section(section.name, settings))
    init_text_encoder(model.text_encoder, encoder, place)
    return model, tokenizer, None
