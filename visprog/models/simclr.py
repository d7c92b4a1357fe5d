"""SimCLR: two augmented views of an image, whose features must find each other among those of all other images (Chen et
al. 2020, arXiv:2002.05709; three layers of the projector as in SimCLR v2, arXiv:2006.10029).

The image encoder is a vision transformer here, that of CLIP without its projection; the paper's are ResNets. What it
gives is the feature for other tasks: the projector after it is for the loss alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import PretrainedModel
from .clip.model import Features, ImageEncoder, ImageEncoderConfig


@dataclass(frozen=True)
class SimclrConfig:
    """The shape of a model.

    Attributes:
        image_encoder: without projection: its `project` is None.
        project: width of the space of the loss.
        projector_layers: number of linear layers of the projector.
    """

    image_encoder: ImageEncoderConfig = field(default_factory=lambda: ImageEncoderConfig(project=None))
    project: int = 128
    projector_layers: int = 3

    def __post_init__(self) -> None:
        if self.image_encoder.project is not None:
            raise ValueError(
                "the image encoder of SimCLR has no projection of its own: give image_encoder.project null"
            )
        if self.projector_layers < 1:
            raise ValueError(f"a projector has 1 layer or more, not {self.projector_layers}")


class SimclrOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        image: intermediates of the image encoder; `pooled` is the feature for other tasks.
        hidden: outputs of the projector's layers, (batch, dim) each, the last one (batch, project).
        embeds: (batch, project), rows of length 1.
    """

    image: Features
    hidden: list[Tensor]
    embeds: Tensor


class Projector(nn.Module):
    """Linear layers, each followed by a batch norm, with ReLU between them; the last norm has a scale and no bias.

    Args:
        dim: width of the features and of all layers but the last.
        project: width of the last layer.
        layers: number of layers.
    """

    def __init__(self, dim: int, project: int, layers: int) -> None:
        super().__init__()
        widths = [dim] * (layers - 1) + [project]
        self.layers = nn.ModuleList(nn.Linear(dim, width, bias=False) for width in widths)
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)
        self.norms[-1].register_parameter("bias", None)
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.01)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Outputs of the layers. In training the batch norms use the mean and deviation of the features given, which as
        published are those of the whole batch: of both views, and of all processes.

        Shapes: (batch, dim) → (batch, dim), …, (batch, project).
        """
        hidden = [features]
        for layer, norm in zip(self.layers[:-1], self.norms[:-1], strict=True):
            hidden.append(F.relu(norm(layer(hidden[-1]))))
        return [*hidden[1:], self.norms[-1](self.layers[-1](hidden[-1]))]


class Simclr(PretrainedModel):
    """The model."""

    model_type = "simclr"
    config_class = SimclrConfig
    config: SimclrConfig

    def __init__(self, config: SimclrConfig) -> None:
        super().__init__(config)
        self.image_encoder = ImageEncoder(config.image_encoder)
        self.projector = Projector(config.image_encoder.dim, config.project, config.projector_layers)

    def encode_images(self, images: Tensor) -> Tensor:
        """Features for other tasks: (batch, channels, height, width) → (batch, dim), not normalised."""
        return self.image_encoder(images).pooled

    def project(self, features: Tensor) -> Tensor:
        """Features for the loss: (batch, dim) → (batch, project), rows of length 1."""
        return F.normalize(self.projector(features)[-1], dim=-1)

    def forward(self, images: Tensor, collect: bool = False) -> SimclrOutput:
        """Encode and project images (batch, channels, height, width).

        Args:
            collect: whether to keep the hidden states of the image encoder.
        """
        image = self.image_encoder(images, collect)
        hidden = self.projector(image.pooled)
        return SimclrOutput(image, hidden, F.normalize(hidden[-1], dim=-1))


def nt_xent_loss(first: Tensor, second: Tensor, temperature: float = 0.1) -> Tensor:
    """NT-Xent: each view chooses its partner among all other views, by a softmax over the cosines.

    The cross-entropy of the first views plus that of the second ones, each a mean over the images, as in the authors'
    code. The mean over all 2n views, as in the paper and in other libraries, is half of it.

    Args:
        first: (n, dim), of one view of each image, of any length.
        second: (n, dim), of the other view.
        temperature: divisor of the cosines.
    """
    views = F.normalize(torch.cat([first, second]), dim=-1)  # (2n, dim)
    cosines = views @ views.T
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    partner = torch.arange(len(views), device=views.device).roll(len(first))
    return 2 * F.cross_entropy((cosines / temperature).masked_fill(itself, float("-inf")), partner)
