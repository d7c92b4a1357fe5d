"""Sources: where samples come from. A source yields one sample type, and serves every objective of that type."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from ..from_plain import RecipeError, nearest
from .samples import Boxes, Conversation, LabelledImage, Masks, Pair

SplitName = Literal["train", "val"]

_HERE = "visprog.training.data"
SOURCES: Mapping[str, Mapping[type, str]] = {
    "scenes": {
        Pair: f"{_HERE}.scenes.pairs:SceneViews",
        LabelledImage: f"{_HERE}.images:SceneImages",
        Boxes: f"{_HERE}.scenes.boxes:SceneBoxes",
        Masks: f"{_HERE}.scenes.masks:SceneMasks",
        Conversation: f"{_HERE}.scenes.conversations:SceneConversations",
    },
    "scene-captions": {
        Pair: f"{_HERE}.scenes.pairs:SceneCaptions",
        LabelledImage: f"{_HERE}.images:CaptionedSceneImages",
    },
    "scene-statements": {Pair: f"{_HERE}.scenes.statements:SceneStatements"},
    "scene-expressions": {Boxes: f"{_HERE}.scenes.expressions:SceneExpressions"},
    "scene-relations": {Pair: f"{_HERE}.scenes.relations:SceneRelations"},
    "captions": {
        Pair: f"{_HERE}.captions:CaptionedImages",
        LabelledImage: f"{_HERE}.images:ImagesOfCaptions",
        Conversation: f"{_HERE}.conversations:CaptionConversations",
    },
    "classes": {Pair: f"{_HERE}.classes:ClassImages", LabelledImage: f"{_HERE}.images:ImagesOfClasses"},
    "images": {LabelledImage: f"{_HERE}.images:FolderOfImages"},
    "annotations": {
        Boxes: f"{_HERE}.annotations:AnnotatedBoxes",
        Masks: f"{_HERE}.annotations:AnnotatedMasks",
    },
    "conversations": {Conversation: f"{_HERE}.conversations:FileConversations"},
    "referring": {Boxes: f"{_HERE}.referring:ReferringExpressions"},
}
"""Name of a source → sample type → class, as "module:class"."""

FILES: Mapping[type, str] = {
    Pair: "captions",
    LabelledImage: "images",
    Boxes: "annotations",
    Masks: "annotations",
    Conversation: "conversations",
}
"""Sample type → the source that a recipe takes if it gives no more than the path of its data."""


@runtime_checkable
class Items(Protocol):
    """Samples of known number. Whatever is drawn at random comes from `rng`, so that runs can be repeated."""

    def __len__(self) -> int: ...

    def sample(self, key: int, rng: np.random.Generator) -> Any:
        """One sample. Raises `BadSample` for one that cannot be used: it is counted, named and replaced."""


@runtime_checkable
class ItemStream(Protocol):
    """Samples that are read in passes, of unknown number."""

    def keys(self, rng: np.random.Generator, part: int, parts: int) -> Iterator[Any]:
        """One shuffled pass over what process `part` of `parts` reads; keys are cheap, `sample` does the work."""

    def sample(self, key: Any, rng: np.random.Generator) -> Any:
        """As in `Items`."""


class Source(ABC):
    """Samples of one type, divided into those to train on and those to validate by.

    Args:
        config: an instance of `Config`.

    Attributes:
        Config: dataclass of the keys below `data` in a recipe, beside `source`; their documentation is its docstring.
        sample_type: `Pair`, `LabelledImage`, `Boxes`, `Masks`, `Conversation`, or a type of your own.
        square: whether its images are squares of the size that is asked for, in which proportions tell classes
            apart: the model's image processor then never stretches an image.
        closed_vocabulary: whether `texts` hold every word that will ever occur.
        vocabulary: words in which the source describes an object, as the tools read them from a folder's
            `backend.json`: {"kinds": {property: words}, "noun": noun}; None for any text.
        groups: titles of the scores of validation samples, the one that chooses the best weights first.
    """

    Config: ClassVar[Any]
    sample_type: ClassVar[type]
    square: ClassVar[bool] = False
    closed_vocabulary: ClassVar[bool] = False
    vocabulary: ClassVar[Mapping[str, Any] | None] = None
    groups: tuple[str, ...] = ()

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def split(self, name: SplitName, size: int) -> Items | ItemStream | None:
        """The samples of a split; None for "val" if there is no evaluation.

        Args:
            size: side of the model's images in pixels, for sources that draw them; files are resized later.
        """

    def texts(self) -> Iterable[str]:
        """Texts that a tokenizer is made from."""
        return ()


@dataclass(frozen=True)
class Classes:
    """What validation images are sorted into.

    Attributes:
        texts: of each class, the sentences that describe it.
        attributes: name of an attribute → its value for each class, which is scored by itself.
    """

    texts: tuple[tuple[str, ...], ...]
    attributes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class PairSource(Source):
    """A source of `Pair`.

    Attributes:
        classes: of validation images; None if there are none.
        has_false_captions: whether samples have a `false_caption`, at least most of them.
        has_regions: whether samples may have `boxes` with `phrases`.
        judges: whether `is_right` judges captions.
    """

    sample_type = Pair
    has_false_captions: ClassVar[bool] = False
    has_regions: bool = False
    judges: ClassVar[bool] = False
    classes: Classes | None = None

    def is_right(self, key: int, caption: str) -> bool:
        """Whether everything that a caption says of validation image `key` is true, and nothing is left out."""
        raise NotImplementedError(f"{type(self).__name__} does not judge captions")


class LabelledImageSource(Source):
    """A source of `LabelledImage`.

    Attributes:
        attributes: names of what its validation images are labelled with; empty if they are not.
    """

    sample_type = LabelledImage
    attributes: tuple[str, ...] = ()


class BoxSource(Source):
    """A source of `Boxes`.

    Attributes:
        phrases: names of all classes, which each image without phrases of its own is asked for.
    """

    sample_type = Boxes
    phrases: tuple[str, ...] = ()


class ConversationSource(Source):
    """A source of `Conversation`.

    Attributes:
        first: what is asked about every image before the question; None for nothing.
        mark: stands between the reasons that an answer begins with and the answer itself; None for no reasons.
        answer_length: greatest number of tokens of a validation answer.
    """

    sample_type = Conversation
    first: ClassVar[str | None] = None
    mark: ClassVar[str | None] = None
    answer_length: ClassVar[int] = 64

    def answers(self) -> Iterable[str]:
        """Final answers to questions to train on, each as often as it is given; enough of them to tell the frequent
        ones."""
        return ()

    def final_answer(self, text: str) -> str:
        """An answer without its reasons."""
        return text.rpartition(self.mark)[2].strip() if self.mark else text.strip()


def find_source(name: str, sample_type: type) -> type[Source]:
    """The class of a source, by its name in `SOURCES` or as "module:class".

    Raises:
        RecipeError: there is none; or it yields another sample type.
    """
    if name in SOURCES:
        path = SOURCES[name].get(sample_type, "")
        if not path:
            fitting = [known for known, types in SOURCES.items() if sample_type in types]
            raise RecipeError(
                f"data.source '{name}' yields no {sample_type.__name__}: take one of {', '.join(fitting)}"
            )
    elif ":" in name:
        path = name
    else:
        raise RecipeError(
            f"data.source '{name}' is not known: {nearest(name, list(SOURCES))}; or write module:class"
        )
    found: type[Source] = import_class(path, f"data.source '{name}'", Source)
    if found.sample_type is not sample_type:
        raise RecipeError(
            f"data.source '{name}' yields {found.sample_type.__name__}, and the objective needs "
            f"{sample_type.__name__}"
        )
    return found


def import_class(path: str, what: str, base: type) -> Any:
    """The class at "module:class", a `base` with a dataclass `Config`.

    Raises:
        RecipeError: it cannot be imported, or is something else; the message begins with `what`.
    """
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except Exception as error:  # whatever the module does while it is imported
        why = error if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise RecipeError(f"{what} cannot be imported: {why}") from None
    if not (
        isinstance(found, type) and issubclass(found, base) and is_dataclass(getattr(found, "Config", None))
    ):
        raise RecipeError(f"{what}: {path} must be a subclass of {base.__name__} whose Config is a dataclass")
    return found
