"""Open-vocabulary detection: OWL-ViT and OWLv2, on scenes and on files of boxes."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from visprog.models.clip.model import ImageEncoderConfig, TextEncoderConfig
from visprog.models.nn.boxes import to_center, to_corners
from visprog.models.owlvit import OwlVit, OwlVitConfig, Target, detection_loss
from visprog.models.preprocess.image_processor import ImageProcessor
from visprog.models.preprocess.tokenizer import END, Tokenizer, word_tokenizer

from ...scenes import COLORS, SHAPES, SIZES, TEXTURES, Scene, Scenes, Thing
from ...scenes.facts import Mention, facts_of, matches
from ...scenes.things import is_held_out
from ..data.detection import Detections
from ..data.samples import BadSample, DataError
from ..metrics.average_precision import Found, average_precision
from ..task import Task
from .annotated import AnnotatedConfig, open_annotated
from .clip import Shape
from .start import start_detector

LENGTH = 8
NOUN = "thing"


@dataclass(frozen=True)
class OwlTaskConfig:
    """What a recipe says of a detector.

    Attributes:
        shape: of the model; `project` is the width of its texts too.
        objectness: whether it learns how much a patch looks like a thing (OWLv2).
        scale: what cosines are multiplied by at first. 1, as published, suits towers that CLIP has trained; one
            from scratch learns to read much sooner with 10.
        anchor: cost of assigning a thing to a token, for each width of the image between the thing's centre and
            that of the token's patch. 0, as published, leaves it to the predictions, which takes a detector from
            scratch very long to agree on; with 20 it is nearly always the token at the thing's centre.
        start: a detector to begin with: a folder that `visprog train` wrote, or the name of a bundled one. Its
            words have to be learned anew.
        queries: texts that an image brings along.
        most: things in an image, at most; more are a bad sample.
    """

    shape: Shape = field(default_factory=Shape)
    objectness: bool = True
    scale: float = 1.0
    anchor: float = 0.0
    start: str | None = None
    queries: int = 8
    most: int = 64


class Asked(NamedTuple):
    """An image and what its queries ask for.

    Attributes:
        pixels: uint8 (height, width, 3).
        phrases: the queries.
        boxes: (things, 4), corners in shares of the image.
        named: bool (things, queries), which queries fit which things.
    """

    pixels: NDArray[np.uint8]
    phrases: list[str]
    boxes: NDArray[np.floating]
    named: NDArray[np.bool_]


class OwlTask(Task):
    """Detection by phrase. Scores are average precisions at an intersection over union of 0.5: "ap50" of all
    answers to all phrases together, "map50" the mean over phrases."""

    metric: ClassVar[str] = "ap50"
    model: OwlVit

    def __init__(self, config: OwlTaskConfig, tokenizer: Tokenizer) -> None:
        super().__init__(config)
        shape = config.shape
        self.tokenizer, self.pixels = tokenizer, ImageProcessor(size=(shape.size, shape.size))
        image = ImageEncoderConfig(
            shape.size, shape.patch, shape.dim, shape.layers, shape.heads, 4 * shape.dim, "gelu",
            project=shape.text_dim, stem=shape.stem,
        )  # fmt: skip
        text = TextEncoderConfig(
            len(tokenizer), LENGTH, shape.text_dim, shape.text_layers, shape.text_heads, 4 * shape.text_dim,
            "gelu", end=tokenizer.id(END), project=shape.text_dim,
        )  # fmt: skip
        self.model = OwlVit(OwlVitConfig(image, text, config.objectness))
        with torch.no_grad():  # every token still starts as background with the same probability
            self.model.class_head.logit_shift.bias /= config.scale
            self.model.class_head.logit_scale.bias += config.scale - 1
        if config.start:
            start_detector(self.model, config.start)

    @abstractmethod
    def data(self, split: Literal["train", "val"]) -> Any:
        """As `Task.data`; samples are `Asked`, and `collate` is this class's."""

    def collate(self, samples: list[Asked]) -> dict[str, Tensor]:
        """Images (n, 3, S, S), ids (n, queries, length), boxes (n, most, 4) of centre and size, named
        (n, most, queries), and how many things there are (n,)."""
        most, queries = self.config.most, len(samples[0].phrases)
        boxes, named = torch.zeros(len(samples), most, 4), torch.zeros(len(samples), most, queries).bool()
        for i, sample in enumerate(samples):
            boxes[i, : len(sample.boxes)] = to_center(torch.from_numpy(sample.boxes).float())
            named[i, : len(sample.boxes)] = torch.from_numpy(sample.named)
        ids = self.tokenizer([phrase for sample in samples for phrase in sample.phrases]).ids
        return {
            "images": self.pixels([sample.pixels for sample in samples]),
            "tokens": ids.view(len(samples), queries, -1),
            "boxes": boxes,
            "named": named,
            "things": torch.tensor([len(sample.boxes) for sample in samples]),
        }

    def answer(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits, boxes and objectness; a text that several images ask for is read once."""
        tokens = batch["tokens"]
        texts, place = tokens.flatten(0, 1).unique(dim=0, return_inverse=True)
        queries = self.model.encode_texts(texts)[1][place].view(*tokens.shape[:2], -1)
        _, features = self.model.encode_images(batch["images"])
        logits, _ = self.model.class_head(features, queries)
        grid = self.model.config.image_encoder.grid
        head = self.model.objectness_head
        objectness = head(features.detach())[..., 0] if head else None
        return logits, self.model.predict_boxes(features, (grid, grid)), objectness

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        counts = batch["things"].tolist()
        targets = [
            Target(boxes[:n], named[:n])
            for n, boxes, named in zip(counts, batch["boxes"], batch["named"], strict=True)
        ]
        more = None
        if self.config.anchor:
            places = _centres(self.model.config.image_encoder.grid, batch["boxes"])
            more = [self.config.anchor * torch.cdist(places, target.boxes[:, :2]) for target in targets]
        return detection_loss(*self.answer(batch), targets, more)

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        logits, boxes, _ = self.answer(batch)
        ids = batch["tokens"]
        key = (ids * (1 + torch.arange(ids.shape[-1], device=ids.device)) ** 3).sum(-1)  # tells texts apart
        truth = {"truth": to_corners(batch["boxes"]), "named": batch["named"], "things": batch["things"]}
        return {"scores": logits.sigmoid(), "boxes": to_corners(boxes), "phrase": key, **truth}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        values = {name: value.numpy() for name, value in predictions.items()}
        found: dict[int, list[Found]] = {}
        for i, things in enumerate(values["things"]):
            for q, phrase in enumerate(values["phrase"][i].tolist()):
                truth = values["truth"][i, :things][values["named"][i, :things, q]]
                found.setdefault(phrase, []).append(
                    Found(values["boxes"][i], values["scores"][i, :, q], truth)
                )
        each = [average_precision(images) for images in found.values()]
        pooled = average_precision([image for images in found.values() for image in images])
        return {"ap50": pooled, "map50": float(np.nanmean(each)) if each else float("nan")}

    def blocks(self) -> Sequence[nn.Module]:
        return [*self.model.image_encoder.blocks, *self.model.text_encoder.blocks]

    def amounts(self, batch: Mapping[str, Tensor]) -> Mapping[str, int]:
        return {"images": len(batch["images"])}

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder, torch.float16)
        self.tokenizer.save_pretrained(folder)
        self.pixels.save_pretrained(folder)


def _centres(grid: int, like: Tensor) -> Tensor:
    """Centres (grid * grid, 2) of the patches, row by row, in shares of the image."""
    steps = (torch.arange(grid, device=like.device, dtype=like.dtype) + 0.5) / grid
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


# -- scenes ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SceneOwlConfig(OwlTaskConfig):
    """What a recipe says of a detector on scenes.

    Attributes:
        scenes: how many there are to train on.
        style: of the scenes, as in `Scenes`.
        backgrounds: folder of photographs behind half of the scenes.
    """

    scenes: int = 1_000_000
    style: str | None = None
    backgrounds: Path | None = None


class ScenePhrases:
    """Scenes, each with phrases for some of its things and others that fit none.

    In training each scene is asked for the phrases of all scenes of the batch of its process: what a thing is not
    takes many negatives to learn, of which OWL-ViT draws at least 50 for each image.
    """

    def __init__(self, task: SceneOwl, split: str, count: int) -> None:
        config = task.config
        self.task, self.queries, self.count = task, config.queries, count
        self.shared = split == "train"
        self.scenes = Scenes(
            config.shape.size, split=split, style=config.style, backgrounds=config.backgrounds
        )
        self.rare = split == "held_out"

    def __len__(self) -> int:
        return self.count

    def sample(self, key: int, rng: np.random.Generator) -> tuple[Asked, Sequence[Thing]]:
        """Half of the phrases are drawn from what the scene shows, the others at random."""
        scene = self.scenes[key]
        phrases: list[str] = []
        while len(phrases) < self.queries:
            phrase = some_phrase(scene, rng, shown=2 * len(phrases) < self.queries, rare=self.rare)
            if phrase not in phrases:
                phrases.append(phrase)
        return Asked(
            scene.pixels, phrases, scene.boxes / scene.size, self._named(scene.things, phrases)
        ), scene.things

    @staticmethod
    def _named(things: Sequence[Thing], phrases: Sequence[str]) -> NDArray[np.bool_]:
        """Which phrases fit which things, (things, phrases)."""
        mentions = [read_mention(phrase) for phrase in phrases]
        return np.array([[matches(thing, mention) for mention in mentions] for thing in things])

    def collate(self, samples: list[tuple[Asked, Sequence[Thing]]]) -> dict[str, Tensor]:
        """As `OwlTask.collate`."""
        if not self.shared:
            return self.task.collate([asked for asked, _ in samples])
        phrases = list(dict.fromkeys(phrase for asked, _ in samples for phrase in asked.phrases))
        shared = [
            asked._replace(phrases=phrases, named=self._named(things, phrases)) for asked, things in samples
        ]
        return self.task.collate(shared)


class SceneOwl(OwlTask):
    """A detector of the things of scenes."""

    Config: ClassVar[Any] = SceneOwlConfig

    def __init__(self, config: SceneOwlConfig) -> None:
        words = " ".join((*COLORS, *SHAPES, *SIZES, *TEXTURES, NOUN))
        super().__init__(config, word_tokenizer([words], LENGTH))
        # Scenes are square. Other pictures are not stretched, nor made smaller: they have more patches.
        side, patch = config.shape.size, config.shape.patch
        self.pixels = ImageProcessor(shortest=side, longest=4 * side, divisor=patch)

    def data(self, split: Literal["train", "val"]) -> ScenePhrases:
        return ScenePhrases(self, split, self.config.scenes if split == "train" else 512)


@cache
def read_mention(phrase: str) -> Mention:
    """What a phrase of the language of scenes asks for."""
    facts = facts_of(phrase)
    if facts is None or len(facts.mentions) != 1:
        raise ValueError(f"'{phrase}' does not name one kind of thing")
    return facts.mentions[0]


def some_phrase(scene: Scene, rng: np.random.Generator, *, shown: bool, rare: bool) -> str:
    """A phrase such as "red circle", "large striped star", "small blue thing" or "thing".

    Args:
        shown: it fits a thing of the scene; otherwise it is drawn at random, and mostly fits none.
        rare: it may name a colour or texture and a shape that training never shows together.
    """
    thing = scene.things[int(rng.integers(len(scene.things)))]
    size, color, texture, shape = thing.size, thing.color, thing.texture, thing.shape
    if not shown:
        # Each word is exchanged in half of these: near misses teach most.
        change = rng.random(4) < (0.3, 0.5, 0.4, 0.5)
        size = str(rng.choice(SIZES)) if change[0] else size
        color = str(rng.choice(COLORS)) if change[1] else color
        texture = str(rng.choice(TEXTURES)) if change[2] else texture
        shape = str(rng.choice(SHAPES)) if change[3] else shape
    said = rng.random(4) < (0.2, 0.75, 0.35, 0.85)
    mention = Mention(
        shape if said[3] else None,
        color if said[1] and scene.colored else None,
        size if said[0] else None,
        texture if said[2] and texture != "solid" else None,
    )
    if not rare and is_held_out(mention.shape, mention.color, mention.texture):
        mention = mention._replace(shape=None)
    return str(mention)


# -- files -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FileOwlConfig(OwlTaskConfig, AnnotatedConfig):
    """What a recipe says of a detector on one's own boxes.

    Attributes:
        names: what kinds of things shall be called, if the name in the data is not what people ask for.
    """

    names: dict[str, str] = field(default_factory=dict)
    queries: int = 0  # as many as there are kinds of things
    most: int = 128


class FileBoxes:
    """Images of a data set; every kind of thing is asked for in each. Training turns and mirrors them."""

    def __init__(self, task: FileOwl, found: Detections, augment: bool) -> None:
        self.found, self.collate, self.augment = found, task.collate, augment
        self.names, self.phrases, self.most = task.names, task.phrases, task.config.most

    def __len__(self) -> int:
        return len(self.found)

    def sample(self, key: int, rng: np.random.Generator) -> Asked:
        """An image and its boxes. Raises `BadSample` if it has too many."""
        detection = self.found[key]
        kept = np.flatnonzero(~detection.crowd)
        if len(kept) > self.most:
            raise BadSample(detection.name, f"it shows {len(kept)} things, more than most={self.most}")
        pixels, boxes = detection.image, detection.boxes[kept]
        called = [self.names.get(detection.labels[i]) for i in kept]
        height, width = pixels.shape[:2]
        shares: NDArray[np.floating] = np.divide(boxes, [width, height, width, height])
        if self.augment:
            pixels, shares = turned(pixels, shares, int(rng.integers(8)))
        named = np.array([[name == phrase for phrase in self.phrases] for name in called], bool)
        return Asked(pixels, self.phrases, shares, named.reshape(-1, len(self.phrases)))


class FileOwl(OwlTask):
    """A detector of the kinds of things that a data set has boxes of."""

    Config: ClassVar[Any] = FileOwlConfig

    def __init__(self, config: FileOwlConfig) -> None:
        if config.data is None:
            raise DataError(
                "data: give the boxes: a folder or zip in the layout of Pascal VOC or COCO, or COCO's JSON file"
            )
        self.train, self.val = open_annotated(config, config.data)
        labels = self.train.labels
        if not labels:
            raise DataError(f"{config.data} has no boxes to train on: there is no kind of thing in it")
        if unknown := set(config.names) - set(labels):
            raise DataError(f"names: there is no '{min(unknown)}' in {config.data}, only {', '.join(labels)}")
        if unseen := [label for label in self.val.labels if label not in labels]:
            warnings.warn(
                f"{', '.join(unseen)}: only the images to score by show it, so that it is not scored",
                stacklevel=2,
            )
        self.names = {label: config.names.get(label, label).lower() for label in labels}
        self.phrases = list(dict.fromkeys(self.names.values()))
        super().__init__(replace(config, queries=len(self.phrases)), word_tokenizer(self.phrases, LENGTH))

    def data(self, split: Literal["train", "val"]) -> FileBoxes:
        return FileBoxes(self, self.train if split == "train" else self.val, split == "train")


def turned(
    pixels: NDArray[np.uint8], boxes: NDArray[np.floating], which: int
) -> tuple[NDArray[np.uint8], NDArray[np.floating]]:
    """One of the eight ways to turn and mirror a picture and its boxes (n, 4), corners in shares."""
    left, top, right, bottom = boxes.T
    if which & 1:
        pixels, left, right = pixels[:, ::-1], 1 - right, 1 - left
    if which & 2:
        pixels, top, bottom = pixels[::-1], 1 - bottom, 1 - top
    if which & 4:
        pixels, left, top, right, bottom = pixels.transpose(1, 0, 2), top, left, bottom, right
    return np.ascontiguousarray(pixels), np.stack([left, top, right, bottom], 1)
