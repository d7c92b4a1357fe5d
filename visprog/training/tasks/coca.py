"""Captions: CoCa, on scenes and on one's own pictures with captions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from visprog.models.coca import Coca, CocaConfig, CocaImageEncoderConfig, coca_loss
from visprog.models.preprocess.image_processor import ImageProcessor
from visprog.models.preprocess.tokenizer import END, START, Tokenizer, bpe_tokenizer, word_tokenizer

from ...scenes import Scenes
from ...scenes.nameless import nameless
from ..data.samples import DataError
from ..distributed.collectives import gather, share
from ..task import Task
from .captioned import Captioned, CaptionSource, ListedPairs, StreamedPairs
from .clip import pair_numbers, related
from .start import start_coca

SCENE_LENGTH = 40


@dataclass(frozen=True)
class CocaShape:
    """The shape of a CoCa that is trained from scratch.

    Attributes:
        size: side of the images in pixels.
        patch: side of a patch.
        image_dim, image_layers, image_heads: of the image encoder; all MLPs are four times as wide.
        dim, text_layers, fusion_layers, heads: of the decoder.
        queries: vectors that captions are written from.
        stem: as in `ImageEncoderConfig`.
    """

    size: int = 96
    patch: int = 8
    image_dim: int = 128
    image_layers: int = 5
    image_heads: int = 4
    dim: int = 128
    text_layers: int = 2
    fusion_layers: int = 2
    heads: int = 4
    queries: int = 64
    stem: int | None = None

    def build(self, tokenizer: Tokenizer, length: int) -> Coca:
        """A model for the ids of a tokenizer."""
        image_encoder = CocaImageEncoderConfig(
            self.size, self.patch, self.image_dim, self.image_layers, self.image_heads, 4 * self.image_dim,
            stem=self.stem,
        )  # fmt: skip
        return Coca(
            CocaConfig(
                image_encoder, len(tokenizer), length, self.dim, self.text_layers, self.fusion_layers, self.heads,
                4 * self.dim, self.queries, self.heads, self.dim,
            )
        )  # fmt: skip


@dataclass(frozen=True)
class CocaTaskConfig:
    """What a recipe says of a captioner.

    Attributes:
        shape: of the model.
        tower: a model whose image tower the image encoder begins with, as `trained_tower` takes it.
        contrast: weight of the contrastive loss.
        caption: weight of the captioning loss.
    """

    shape: CocaShape = field(default_factory=CocaShape)
    tower: str | None = None
    contrast: float = 1.0
    caption: float = 2.0


class CocaTask(Task):
    """Captioning and contrast in one (Yu et al. 2022). Subclasses make the tokenizer and the data, whose batches
    hold "images" (n, 3, S, S), "tokens" (n, length), "pair" (n, 2), the numbers of images and captions as
    `pair_numbers` gives them, and "key" (n,), the place of each sample."""

    model: Coca

    def __init__(self, config: CocaTaskConfig, tokenizer: Tokenizer, length: int) -> None:
        super().__init__(config)
        self.tokenizer = tokenizer
        self.pixels = ImageProcessor(size=(config.shape.size, config.shape.size))
        self.model = config.shape.build(tokenizer, length)
        if config.tower:
            start_coca(self.model, config.tower)

    @abstractmethod
    def data(self, split: Literal["train", "val"]) -> Any:
        """As `Task.data`."""

    def collate(self, samples: Sequence[Captioned]) -> dict[str, Tensor]:
        """A batch of samples: image, caption, place in the data and name of the image."""
        pictures, captions, keys, names = zip(*samples, strict=True)
        return {
            "images": self.pixels(pictures),
            "tokens": self.tokenizer(captions).ids,
            "pair": pair_numbers(names, captions),
            "key": torch.tensor(keys),
        }

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        tokens, pad = batch["tokens"], self.model.config.pad
        output = self.model(batch["images"], tokens)
        positives = None
        if self.config.contrast:
            whole = {
                name: gather(getattr(output, name), name=name) for name in ("image_embeds", "text_embeds")
            }
            output = output._replace(**whole)
            positives = related(gather(batch["pair"], name="pair"))
        # The mean over the caption tokens of all processes, not the mean of their means.
        part = share((tokens[:, 1:] != pad).sum())
        losses = coca_loss(
            output, tokens, self.model.logit_scale.exp(), pad,
            contrast=self.config.contrast, caption=self.config.caption * part, positives=positives,
        )  # fmt: skip
        return losses | {"caption": losses["caption"] * part}

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        length = self.model.config.length
        start = torch.tensor([self.tokenizer.id(START)], device=batch["images"].device)
        ids = self.model.generate(batch["images"], start, stop=[self.tokenizer.id(END)])
        written = torch.zeros(len(ids), length, dtype=torch.long)
        written[:, : ids.shape[1]] = ids
        return {"written": written, "key": batch["key"]}

    def blocks(self) -> Sequence[nn.Module]:
        return [*self.model.image_encoder.blocks, *self.model.unimodal_blocks, *self.model.multimodal_blocks]

    def amounts(self, batch: Mapping[str, Tensor]) -> Mapping[str, int]:
        return {"images": len(batch["images"])}

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder, torch.float16)
        self.tokenizer.save_pretrained(folder)
        self.pixels.save_pretrained(folder)


# -- scenes ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SceneCocaConfig(CocaTaskConfig):
    """What a recipe says of a captioner of scenes.

    Attributes:
        scenes: how many there are to train on.
        style: of the scenes, as in `Scenes`.
        backgrounds: folder of photographs behind half of the scenes.
        nameless: share of the things to train on whose colours have no name, as `scenes.nameless` paints them;
            the style must be the normal one.
    """

    scenes: int = 1_000_000
    style: str | None = None
    backgrounds: Path | None = None
    nameless: float = 0.0


class CaptionedScenes:
    """Scenes with the plainest caption that names everything, from left to right."""

    def __init__(self, task: SceneCoca, splits: Sequence[str], count: int, nameless: float = 0.0) -> None:
        config = task.config
        self.count, self.nameless, self.collate = count, nameless, task.collate
        self.scenes = [
            Scenes(config.shape.size, split=split, style=config.style, backgrounds=config.backgrounds)
            for split in splits
        ]

    def __len__(self) -> int:
        return self.count

    def sample(self, key: int, rng: np.random.Generator) -> Captioned:
        """Pixels, caption, the number itself, and a name for the image."""
        scene = self.scenes[key % len(self.scenes)][key]
        if self.nameless:  # the colours, and with them the caption, change from visit to visit
            pixels, caption = nameless(scene, rng, self.nameless)
        else:
            pixels, caption = scene.pixels, scene.captions("plain")[0]
        return pixels, caption, key, f"{key} {caption}"


class SceneCoca(CocaTask):
    """A captioner of scenes. The scores are shares of captions with every fact right and nothing left out:
    "facts" of scenes like those trained on, "held_out" of those with combinations that training never shows."""

    Config: ClassVar[Any] = SceneCocaConfig
    metric: ClassVar[str] = "facts"

    def __init__(self, config: SceneCocaConfig) -> None:
        if config.nameless and config.style not in (None, "normal"):
            raise DataError(f"nameless: the style must be normal, not '{config.style}'")
        scenes = Scenes(32, split="train")
        words = (text for i in range(600) for text in scenes[i].captions("plain"))
        super().__init__(config, word_tokenizer(words, SCENE_LENGTH), SCENE_LENGTH)
        self.pixels = replace(self.pixels, square=True)

    def data(self, split: Literal["train", "val"]) -> CaptionedScenes:
        if split == "train":
            return CaptionedScenes(self, ["train"], self.config.scenes, self.config.nameless)
        return CaptionedScenes(self, ["val", "held_out"], 512)

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        data = self.data("val")
        right: list[list[bool]] = [[] for _ in data.scenes]
        for key, ids in zip(predictions["key"].tolist(), predictions["written"], strict=True):
            which = key % len(data.scenes)
            text = self.tokenizer.decode(ids)
            right[which].append(data.scenes[which][key].agrees(text, complete=True))
        return {name: float(np.mean(part)) for name, part in zip(("facts", "held_out"), right, strict=True)}


# -- files -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FileCocaConfig(CocaTaskConfig):
    """What a recipe says of a captioner of one's own pictures.

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


class FileCoca(CocaTask):
    """A captioner of one's own pictures. The score is the mean loss of a caption's tokens."""

    Config: ClassVar[Any] = FileCocaConfig
    lower_is_better: ClassVar[bool] = True

    def __init__(self, config: FileCocaConfig) -> None:
        self.source = CaptionSource(config.pairs, config.images, config.val)
        tokenizer = bpe_tokenizer(self.source.captions(), config.vocabulary, config.length)
        super().__init__(config, tokenizer, config.length)

    def data(self, split: Literal["train", "val"]) -> ListedPairs | StreamedPairs | None:
        return self.source.data(self, split)

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        tokens = batch["tokens"]
        logits = self.model(batch["images"], tokens).logits[:, :-1]
        losses = nn.functional.cross_entropy(
            logits.transpose(1, 2), tokens[:, 1:], ignore_index=self.model.config.pad, reduction="none"
        )
        real = tokens[:, 1:] != self.model.config.pad
        return {"nats": losses.sum(1), "tokens": real.sum(1)}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {"loss": float(predictions["nats"].sum() / predictions["tokens"].sum())}
