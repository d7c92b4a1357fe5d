"""Images without texts: a folder of them (the source `images`), or those of a source of pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .captions import CaptionedConfig, CaptionedImages, divide
from .classes import ClassConfig, ClassImages
from .files import Files
from .samples import DataError, LabelledImage, Pair, decode
from .scenes.pairs import SceneCaptions, SceneCaptionsConfig, SceneViews, SceneViewsConfig
from .source import Items, LabelledImageSource, PairSource, SplitName


@dataclass(frozen=True)
class FolderOfImagesConfig:
    """Keys of the source `images`.

    Attributes:
        path: folder or zip of images, which may lie in folders within it.
        val: validation images, as `path`. Null sets a tenth aside.
    """

    path: Path
    val: Path | None = None


class FolderOfImages(LabelledImageSource):
    """All images of a folder or zip.

    Raises:
        DataError: there are none, or too few to be divided.
    """

    Config: ClassVar[Any] = FolderOfImagesConfig

    def __init__(self, config: FolderOfImagesConfig) -> None:
        super().__init__(config)
        train = Files(config.path)
        val = Files(config.val) if config.val else train
        self.places: dict[str, tuple[Files, list[str]]] = {}
        for part, files in (("train", train), ("val", val)):
            names = files.images()
            if not names:
                raise DataError(f"{files.path} holds no images")
            if config.val is None:
                names = [names[i] for i in divide(names, "train" if part == "train" else "val")]
            if not names:
                raise DataError(
                    f"{config.path} holds too few images to set some aside for '{part}': add more, "
                    "or give data.val=FOLDER"
                )
            self.places[part] = files, names

    def split(self, name: SplitName, size: int) -> FolderImages:
        return FolderImages(*self.places[name])


class FolderImages:
    """Image files by their names."""

    def __init__(self, files: Files, names: Sequence[str]) -> None:
        self.files, self.names = files, names

    def __len__(self) -> int:
        return len(self.names)

    def sample(self, key: int, rng: np.random.Generator) -> LabelledImage:
        """One image."""
        name = self.names[key]
        return LabelledImage(decode(self.files.read(name), name), name)


class PairImages(LabelledImageSource):
    """The images of a source of pairs, whose texts are not used. If it has classes, validation images are labelled with
    them: with each of their attributes, if they have any."""

    def __init__(self, config: Any, pairs: PairSource) -> None:
        super().__init__(config)
        self.pairs = pairs
        values: Sequence[Sequence[int]] = ()
        if pairs.classes is not None:
            attributes = pairs.classes.attributes or {"class": tuple(range(len(pairs.classes.texts)))}
            self.attributes, values = tuple(attributes), tuple(attributes.values())
        self.labels = tuple(zip(*values, strict=True))

    def split(self, name: SplitName, size: int) -> ItemImages | StreamImages | None:
        found = self.pairs.split(name, size)
        if found is None:
            return None
        return (ItemImages if isinstance(found, Items) else StreamImages)(found, self._image)

    def _image(self, pair: Pair) -> LabelledImage:
        return LabelledImage(
            pair.image, pair.name, self.labels[pair.label] if self.labels and pair.label >= 0 else ()
        )


class ItemImages:
    """Images of pairs of known number."""

    def __init__(self, pairs: Any, image: Callable[[Pair], LabelledImage]) -> None:
        self.pairs, self.image = pairs, image

    def __len__(self) -> int:
        return len(self.pairs)

    def sample(self, key: int, rng: np.random.Generator) -> LabelledImage:
        """The image of a pair."""
        return self.image(self.pairs.sample(key, rng))


class StreamImages:
    """Images of a stream of pairs."""

    def __init__(self, pairs: Any, image: Callable[[Pair], LabelledImage]) -> None:
        self.pairs, self.image = pairs, image

    def keys(self, rng: np.random.Generator, part: int, parts: int) -> Iterator[Any]:
        """As `ItemStream.keys`."""
        return iter(self.pairs.keys(rng, part, parts))

    def sample(self, key: Any, rng: np.random.Generator) -> LabelledImage:
        """The image of a pair."""
        return self.image(self.pairs.sample(key, rng))


class SceneImages(PairImages):
    """Crops of objects and whole scenes, labelled with the colour and the shape of an object."""

    Config: ClassVar[Any] = SceneViewsConfig
    square = True

    def __init__(self, config: SceneViewsConfig) -> None:
        super().__init__(config, SceneViews(config))


class CaptionedSceneImages(PairImages):
    """Whole scenes."""

    Config: ClassVar[Any] = SceneCaptionsConfig
    square = True

    def __init__(self, config: SceneCaptionsConfig) -> None:
        super().__init__(config, SceneCaptions(config))


@dataclass(frozen=True)
class ClassFolderConfig:
    """Keys of the source `classes` for images without texts.

    Attributes:
        path: folder or zip with one folder of images per class.
    """

    path: Path


class ImagesOfClasses(PairImages):
    """Images in one folder per class, labelled with it."""

    Config: ClassVar[Any] = ClassFolderConfig

    def __init__(self, config: ClassFolderConfig) -> None:
        super().__init__(config, ClassImages(ClassConfig(config.path)))


class ImagesOfCaptions(PairImages):
    """Captioned images, without their captions."""

    Config: ClassVar[Any] = CaptionedConfig

    def __init__(self, config: CaptionedConfig) -> None:
        super().__init__(config, CaptionedImages(config))
