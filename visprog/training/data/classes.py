"""Images in one folder per class: the source `classes`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visprog.models.zero_shot import fill_templates
from visprog.prompts import class_sentences, templates

from .captions import divide
from .pairs import read_classes
from .samples import DataError, Pair
from .source import Classes, PairSource, SplitName


@dataclass(frozen=True)
class ClassConfig:
    """Keys of the source `classes`.

    Attributes:
        path: folder or zip with one folder of images per class, whose name is the name of the class.
        templates: name of the sentences that captions are made with: imagenet, simple or crops.
    """

    path: Path
    templates: str = "imagenet"


class ClassImages(PairSource):
    """Images whose captions are the name of their class in each template. Validation images are sorted into the
    classes, each described by all templates.

    Raises:
        DataError: there are no such images, or too few to be divided.
    """

    Config: ClassVar[Any] = ClassConfig
    closed_vocabulary = True
    classes: Classes

    def __init__(self, config: ClassConfig) -> None:
        super().__init__(config)
        self.pairs = read_classes(config.path, "{}")
        self.names = sorted({entry.caption.strip() for entry in self.pairs.entries})
        try:
            self.describe = fill_templates(templates(config.templates))
        except ValueError as error:
            raise DataError(f"data.templates: {error}") from None
        self.classes = Classes(tuple(tuple(self.describe(name)) for name in self.names))
        self.places = {part: divide(self.pairs.names, part) for part in ("train", "val")}
        if empty := [part for part, places in self.places.items() if not places]:
            raise DataError(
                f"{config.path} holds too few images to set some aside for '{empty[0]}': add more"
            )

    def split(self, name: SplitName, size: int) -> ClassSplit:
        return ClassSplit(self, self.places[name])

    def texts(self) -> Iterator[str]:
        """Every class in every template, and the sentences known of it."""
        for name in self.names:
            yield from self.describe(name)
            yield from class_sentences().get(name, ())


class ClassSplit:
    """Some of the images."""

    def __init__(self, source: ClassImages, places: list[int]) -> None:
        self.pairs, self.places = source.pairs, places
        self.names, self.texts = source.names, source.classes.texts

    def __len__(self) -> int:
        return len(self.places)

    def sample(self, key: int, rng: np.random.Generator) -> Pair:
        """An image with all captions of its class."""
        found = self.pairs[self.places[key]]
        label = self.names.index(found.captions[0])
        return Pair(
            found.image, self.texts[label], found.name, objects=((label,),), claim=(label,), label=label
        )
