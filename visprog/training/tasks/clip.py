"""Images and texts that belong together: CLIP and SigLIP, on any data of pairs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visprog.models.clip.model import (
    Clip,
    ClipConfig,
    ImageEncoderConfig,
    TextEncoderConfig,
    clamp_logit_scale,
)
from visprog.models.nn import info_nce, sigmoid_pair_loss
from visprog.models.preprocess.image_processor import ImageProcessor
from visprog.models.preprocess.tokenizer import END, Tokenizer
from visprog.models.siglip import Siglip, SiglipConfig, SiglipImageEncoderConfig, SiglipTextEncoderConfig

from ..data.samples import DataError
from ..distributed.collectives import gather
from ..gradient_cache import cached_backward
from ..metrics.retrieval import fingerprint
from ..task import Run, Task
from .start import start_tower


@dataclass(frozen=True)
class Shape:
    """The shape of a CLIP or SigLIP that is trained from scratch.

    Attributes:
        size: side of the images in pixels.
        patch: side of a patch.
        dim, layers, heads: of the image tower; its MLPs are four times as wide.
        text_dim, text_layers, text_heads: of the text tower.
        project: width of the shared space; SigLIP has that of the image tower.
        stem: of CLIP's image tower, as in `ImageEncoderConfig`.
    """

    size: int = 64
    patch: int = 8
    dim: int = 128
    layers: int = 5
    heads: int = 4
    text_dim: int = 128
    text_layers: int = 3
    text_heads: int = 4
    project: int = 128
    stem: int | None = None

    def build(self, kind: Literal["clip", "siglip"], tokenizer: Tokenizer, length: int) -> Clip | Siglip:
        """A model for the ids of a tokenizer."""
        image: dict[str, Any] = {
            "size": self.size, "patch": self.patch, "dim": self.dim, "layers": self.layers,
            "heads": self.heads, "hidden": 4 * self.dim,
        }  # fmt: skip
        text: dict[str, Any] = {
            "vocab": len(tokenizer), "length": length, "dim": self.text_dim, "layers": self.text_layers,
            "heads": self.text_heads, "hidden": 4 * self.text_dim,
        }  # fmt: skip
        if kind == "siglip":
            return Siglip(
                SiglipConfig(
                    SiglipImageEncoderConfig(**image), SiglipTextEncoderConfig(**text, project=self.dim)
                )
            )
        end = tokenizer.id(END)
        return Clip(
            ClipConfig(
                ImageEncoderConfig(**image, project=self.project, activation="gelu", stem=self.stem),
                TextEncoderConfig(**text, project=self.project, activation="gelu", end=end),
            )
        )


@dataclass(frozen=True)
class PairConfig:
    """What a recipe says of a contrastive task.

    Attributes:
        objective: "clip" or "siglip": towers and loss.
        shape: of the model.
        tower: a model whose image tower CLIP begins with, as `trained_tower` takes it.
        cache_chunk: embed this many pairs at a time and cache the gradients of their features, so that a
            batch may be larger than memory; null embeds all at once.
        highest: what cosines are multiplied by at most.
    """

    objective: Literal["clip", "siglip"] = "clip"
    shape: Shape = field(default_factory=Shape)
    tower: str | None = None
    cache_chunk: int | None = None
    highest: float = 100.0


class PairTask(Task):
    """Contrastive training. A batch is a mapping of

    - "images" (n, 3, size, size) and "tokens" (n, length): pair i belongs together;
    - "hard" (n, length), perhaps: for each image the ids of a text that is nearly but not true of it;
    - "things" (n, t, k) and "says" (n, k), perhaps: facts as whole numbers; see `true_of`. Every text that is
      true of an image is then right for it, and not its own alone;
    - "pair" (n, 2), perhaps: numbers of image and text, as `pair_numbers` gives them. Every text that an image has,
      or that is equal to one of its own, is then right for it.

    Subclasses make the tokenizer and the data.
    """

    model: Clip | Siglip

    def __init__(self, config: PairConfig, tokenizer: Tokenizer, length: int) -> None:
        super().__init__(config)
        self.tokenizer, self.length = tokenizer, length
        self.pixels = ImageProcessor(size=(config.shape.size, config.shape.size))
        self.model = config.shape.build(config.objective, tokenizer, length)
        if config.tower:
            if not isinstance(self.model, Clip):
                raise DataError("tower: only CLIP can begin with a trained tower; leave it out for SigLIP")
            start_tower(self.model.image_encoder, config.tower)

    @abstractmethod
    def data(self, split: Literal["train", "val"]) -> Any:
        """As `Task.data`."""

    def embed(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Unit features of images (n, dim) and of texts (n, 1 or 2, dim)."""
        texts = [self.model.encode_texts(batch[name]) for name in ("tokens", "hard") if name in batch]
        return self.model.encode_images(batch["images"]), torch.stack(texts, 1)

    def contrast(self, batch: Mapping[str, Tensor], images: Tensor, texts: Tensor) -> dict[str, Tensor]:
        """The loss of the features of a batch, over those of all processes."""
        images, texts = gather(images, name="image features"), gather(texts, name="text features")
        positives = None
        if "says" in batch:
            positives = true_of(
                gather(batch["things"], NO_FACT, "things"), gather(batch["says"], name="says")
            )
        elif "pair" in batch:
            positives = related(gather(batch["pair"], name="pair"))
        if positives is not None:
            positives = F.pad(positives, (0, len(images) * (texts.shape[1] - 1)))
        texts = texts.transpose(0, 1).flatten(0, 1)
        scale = self.model.logit_scale.exp()
        if isinstance(self.model, Siglip):
            loss = sigmoid_pair_loss(images, texts, scale, self.model.logit_bias, positives)
        else:
            loss = info_nce(images, texts, scale, positives)
        return {"loss": loss, "scale": scale.mean()}

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.contrast(batch, *self.embed(batch))

    def backward(self, run: Run, batch: Mapping[str, Tensor], accelerator: Any) -> dict[str, Tensor]:
        size = self.config.cache_chunk
        if size is None or size >= len(batch["images"]):
            return super().backward(run, batch, accelerator)
        parts = zip(*(value.split(size) for value in batch.values()), strict=True)
        chunks = [dict(zip(batch, part, strict=True)) for part in parts]
        return cached_backward(run, chunks, self.embed, partial(self.contrast, batch), accelerator)

    def after_step(self) -> None:
        clamp_logit_scale(self.model.logit_scale, self.config.highest)

    def blocks(self) -> Sequence[nn.Module]:
        return [*self.model.image_encoder.blocks, *self.model.text_encoder.blocks]

    def amounts(self, batch: Mapping[str, Tensor]) -> Mapping[str, int]:
        return {"images": len(batch["images"])}

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder, torch.float16)
        self.tokenizer.save_pretrained(folder)
        self.pixels.save_pretrained(folder)

    def ids(self, texts: Sequence[str]) -> Tensor:
        """Token ids (n, length): as long as the longest text, or as the model (SigLIP)."""
        ids = self.tokenizer(texts).ids
        return F.pad(ids, (0, self.length - ids.shape[1])) if self.config.objective == "siglip" else ids


NO_FACT = -3
"""Fills the facts of things up to the most in a batch."""


def pair_numbers(names: Sequence[str], captions: Sequence[str]) -> Tensor:
    """Numbers (n, 2) of images and of captions: equal for equal ones, in all processes."""
    return torch.tensor([[fingerprint(text) for text in pair] for pair in zip(names, captions, strict=True)])


def related(pairs: Tensor) -> Tensor:
    """Which texts are right for which images, bool (n, n): those of the same image, and those of the same words.

    Args:
        pairs: from `pair_numbers`.
    """
    return (pairs[:, None] == pairs).any(-1)


def true_of(things: Tensor, says: Tensor) -> Tensor:
    """Which texts are true of which images: all that text j says holds of one thing of image i, or i = j.

    Args:
        things: (n, t, k), k facts of each of t things.
        says: (n, k); a negative fact is not said, and a text that says nothing is true of its own image alone.

    Returns:
        bool (n, n).
    """
    silent = says < 0
    holds = (silent | (things[:, :, None] == says)).all(-1).any(1) & ~silent.all(-1)
    return holds | torch.eye(len(says), dtype=torch.bool, device=says.device)
