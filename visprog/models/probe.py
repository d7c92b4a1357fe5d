"""A linear probe with the image encoder that it was fitted on: names the class of an image, and how sure that is.

Any encoder of images will do: of CLIP, SigLIP, OWL-ViT, LLaVA and SimCLR the part that encodes images, of CoCa the
whole. Its weights rest; `linear_probe.py` fits the regression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .base import PretrainedModel, build_model
from .clip.model import ImageEncoder
from .coca import Coca
from .linear_probe import SWEEP, calibrate, choose
from .siglip import SiglipImageEncoder

MAX_KNOWN = 1024
"""Number of features of the training that are kept, to tell images that are unlike all of it."""

UNFAMILIAR = 0.01
"""Share of images of the training and of validation that lie farther from the others than a familiar image may."""


@dataclass(frozen=True)
class ProbeConfig:
    """The shape of a model.

    Attributes:
        image_encoder: `model_type` and settings of the image encoder, as its own `config.json` has them.
        classes: names of the classes.
        dim: width of the features.
        known: number of features of the training that are kept.
    """

    image_encoder: Mapping[str, Any]
    classes: tuple[str, ...]
    dim: int
    known: int


class ProbeOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        features: (batch, dim), of the image encoder before its projection.
        probabilities: (batch, classes).
        distance: (batch), to the nearest image of the training, as `Probe.distance` gives it.
    """

    features: Tensor
    probabilities: Tensor
    distance: Tensor


class Probe(PretrainedModel):
    """The model.

    Attributes:
        mean, std: (dim), of the features of the training.
        known: (known, dim), standardised features of images of the training.
        farthest: the greatest distance of an image that is like those of the training.
    """

    model_type = "probe"
    config_class = ProbeConfig
    config: ProbeConfig
    mean: Tensor
    std: Tensor
    known: Tensor
    farthest: Tensor

    def __init__(self, config: ProbeConfig) -> None:
        super().__init__(config)
        self.image_encoder = build_model(config.image_encoder, "image_encoder")
        self.head = nn.Linear(config.dim, len(config.classes))
        self.register_buffer("mean", torch.zeros(config.dim))
        self.register_buffer("std", torch.ones(config.dim))
        self.register_buffer("known", torch.zeros(config.known, config.dim))
        self.register_buffer("farthest", torch.tensor(0.0))

    @classmethod
    def fit(
        cls,
        image_encoder: PretrainedModel,
        classes: Sequence[str],
        train: tuple[Tensor, Tensor],
        validation: tuple[Tensor, Tensor],
        sweep: Sequence[float] = SWEEP,
    ) -> Probe:
        """Fit a probe whose regularisation, probabilities and distance of unlike images follow from validation data.

        Args:
            image_encoder: from `image_encoder_of`; the probe takes it as it is.
            classes: their names.
            train: `image_features` (n, dim) and labels (n).
            validation: likewise.
            sweep: inverse strengths of regularisation to choose from.

        Raises:
            ValueError: there are fewer than two classes.
        """
        features, labels = train
        head = calibrate(choose(train, validation, sweep, len(classes)), *validation)
        kept = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:MAX_KNOWN]
        config = ProbeConfig(image_encoder.settings(), tuple(classes), features.shape[1], len(kept))
        probe = cls(config)
        probe.image_encoder = image_encoder
        with torch.no_grad():
            probe.head.weight.copy_(head.weight)
            probe.head.bias.copy_(head.bias)
            probe.mean.copy_(features.mean(0))
            probe.std.copy_(features.std(0).clamp(min=1e-6))
            probe.known.copy_((features[kept] - probe.mean) / probe.std)
            between = torch.cdist(probe.known, probe.known).fill_diagonal_(torch.inf).amin(1)
            apart = torch.cat([between, probe.distance(validation[0])])
            probe.farthest.copy_(apart.quantile(1 - UNFAMILIAR))
        probe.eval()
        return probe

    def distance(self, features: Tensor) -> Tensor:
        """How far standardised features (n, dim) lie from the nearest of the training, (n): those of unlike images lie
        far from all (Sun et al. 2022, arXiv:2204.06507)."""
        standardised = (features - self.mean) / self.std
        # Not by products of matrices, which are a thousand times less exact.
        return torch.cdist(standardised, self.known, compute_mode="donot_use_mm_for_euclid_dist").amin(1)

    def forward(self, images: Tensor) -> ProbeOutput:
        """Judge images (batch, channels, height, width)."""
        features = image_features(self.image_encoder, images)
        return ProbeOutput(features, self.head(features).softmax(-1), self.distance(features))


def image_encoder_of(model: PretrainedModel) -> PretrainedModel:
    """The part of a model that gives features of images: see `image_features`.

    Raises:
        ValueError: it has none.
    """
    part = getattr(model, "image_encoder", model)
    for found in (part, model):
        if isinstance(found, (ImageEncoder, SiglipImageEncoder, Coca)):
            return found
    raise ValueError(
        f"a {type(model).__name__} has no features of whole images that a probe could be fitted on"
    )


def image_features(image_encoder: nn.Module, images: Tensor) -> Tensor:
    """Features of images before a projection, (batch, channels, height, width) → (batch, dim).

    Args:
        image_encoder: from `image_encoder_of`.
    """
    if isinstance(image_encoder, Coca):
        caption_tokens = image_encoder.encode_images(images)[1]
        return image_encoder.contrast_pool(caption_tokens)[:, 0]
    pooled: Tensor = image_encoder(images).pooled
    return pooled
