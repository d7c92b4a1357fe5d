"""CLIP on one's own images: with captions, or in a folder a class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visprog.models.preprocess.tokenizer import bpe_tokenizer, word_tokenizer
from visprog.models.zero_shot import ensemble, fill_templates
from visprog.prompts import class_sentences, templates

from ..data.pairs import read_classes
from ..data.samples import DataError
from ..metrics.retrieval import recall
from .captioned import Captioned, CaptionSource, ListedPairs, Part, StreamedPairs, divide
from .clip import PairConfig, PairTask, Shape, pair_numbers


@dataclass(frozen=True)
class ClassClipConfig(PairConfig):
    """What a recipe says of CLIP on folders of classes.

    Attributes:
        classes: a folder or zip with a folder a class.
        templates: sentences that captions are made with, as in `visprog.prompts.templates`.
        shift: by how many pixels a picture of the model's size may be moved in training; it may also be mirrored.
    """

    classes: Path = Path("classes")
    templates: str = "imagenet"
    shift: int = 4


class ClassPictures:
    """Pictures, each with the name of its class in a template; in training another one at every visit."""

    def __init__(self, task: ClassClip, part: Part) -> None:
        self.task, self.train = task, part == "train"
        self.pairs, self.places = task.pairs, divide(task.pairs, part)
        if not self.places:
            raise DataError(
                f"{task.config.classes} holds too few images to set some aside for '{part}': add more"
            )
        self.frames = templates(task.config.templates)

    def __len__(self) -> int:
        return len(self.places)

    def sample(self, key: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], str, int]:
        """A picture, a caption and the place of its class."""
        pair = self.pairs[self.places[key]]
        pixels = self.task.pixels.fit(pair.image)
        if self.train:
            pixels = moved(pixels, self.task.config.shift, rng)
        caption = str(rng.choice(self.frames)).replace("{}", pair.caption)
        return pixels, caption, self.task.names.index(pair.caption)

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        pictures, captions, labels = zip(*samples, strict=True)
        label = torch.tensor(labels)
        return {
            "images": self.task.pixels(pictures),
            "tokens": self.task.ids(captions),
            "things": label[:, None, None],
            "says": label[:, None],
        }


class ClassClip(PairTask):
    """CLIP whose captions are made from the names of classes. The score is the zero-shot accuracy with all
    templates."""

    Config: ClassVar[Any] = ClassClipConfig
    metric: ClassVar[str] = "accuracy"

    def __init__(self, config: ClassClipConfig) -> None:
        self.pairs = read_classes(config.classes, "{}")
        self.names = sorted({entry.caption.strip() for entry in self.pairs.entries})
        said = [s for name in self.names for s in fill_templates(templates(config.templates))(name)]
        said += [s for name in self.names for s in class_sentences().get(name, ())]
        super().__init__(config, word_tokenizer(said, 24), 24)

    def data(self, split: Literal["train", "val"]) -> ClassPictures:
        return ClassPictures(self, split)

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return {"features": self.model.encode_images(batch["images"]).float(), "label": batch["says"][:, 0]}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        describe, device = (
            fill_templates(templates(self.config.templates)),
            next(self.model.parameters()).device,
        )
        classes = torch.stack(
            [
                ensemble(self.model.encode_texts(self.ids(describe(name)).to(device)).float().cpu())
                for name in self.names
            ]
        )
        found = (predictions["features"] @ classes.T).argmax(1)
        return {"accuracy": float((found == predictions["label"]).float().mean())}


@dataclass(frozen=True)
class CaptionClipConfig(PairConfig):
    """What a recipe says of CLIP on captions.

    Attributes:
        pairs, images, val: as `CaptionSource` takes them.
        vocabulary: tokens of the byte-pair encoding that is learned from the captions.
        length: tokens of a caption at most.
    """

    pairs: Path = Path("pairs")
    images: Path | None = None
    val: Path | None = None
    vocabulary: int = 4096
    length: int = 64
    shape: Shape = field(
        default_factory=lambda: Shape(size=128, patch=16, dim=256, text_dim=256, project=256)
    )


class CaptionClip(PairTask):
    """CLIP on captions. The scores are how often the right caption, or the right picture, of all validation pairs
    is the nearest."""

    Config: ClassVar[Any] = CaptionClipConfig
    metric: ClassVar[str] = "image_to_text"

    def __init__(self, config: CaptionClipConfig) -> None:
        self.source = CaptionSource(config.pairs, config.images, config.val)
        tokenizer = bpe_tokenizer(self.source.captions(), config.vocabulary, config.length)
        super().__init__(config, tokenizer, config.length)

    def data(self, split: Literal["train", "val"]) -> ListedPairs | StreamedPairs | None:
        return self.source.data(self, split)

    def collate(self, samples: Sequence[Captioned]) -> dict[str, Tensor]:
        """A batch, as in `PairTask`."""
        images, captions, _, names = zip(*samples, strict=True)
        return {
            "images": self.pixels(images),
            "tokens": self.ids(captions),
            "pair": pair_numbers(names, captions),
        }

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        images, texts = self.embed(batch)
        return {"images": images.float(), "texts": texts[:, 0].float(), "pair": batch["pair"]}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        cosines = predictions["images"] @ predictions["texts"].T
        images, captions = predictions["pair"].unbind(1)
        return {
            "image_to_text": recall(cosines, images, captions),
            "text_to_image": recall(cosines.T, captions, images),
        }


def moved(pixels: NDArray[np.uint8], shift: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture moved by up to `shift` pixels each way, what is missing mirrored in; as a whole mirrored or not."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((shift, shift), (shift, shift), (0, 0)), mode="reflect")
    top, left = rng.integers(0, 2 * shift + 1, 2)
    view = padded[top : top + height, left : left + width]
    return np.ascontiguousarray(view[:, ::-1] if rng.random() < 0.5 else view)
