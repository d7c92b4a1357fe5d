"""What the objectives of models that read regions share: how such a model is made, its texts, and regions of images."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from torch import Tensor

from visprog.models.bert import Bert, mask_tokens
from visprog.models.checkpoint.hub import fetch
from visprog.models.preprocess.tokenizer import (
    END,
    PAD,
    START,
    Tokenizer,
    word_tokenizer,
    wordpiece_tokenizer,
)
from visprog.models.region_encoder import (
    RegionEncoder,
    RegionEncoderConfig,
    one_row,
    read_regions,
    stack,
)
from visprog.models.regions import RegionModel, Regions

from .data.samples import BadSample, DataError, Pixels
from .data.source import Source
from .from_plain import Section
from .init_from import init_model, load_start
from .models import check_model, load_tokenizer, new_model, trained_source, with_vocabulary
from .objective import Objective

MASK = "<mask>"
"""The token that hides a word, of tokenizers that are made here."""

TEXT = "text"
CACHED = 16_384
"""Number of images whose regions are kept."""

SPECIAL_NAMES = {PAD: "[PAD]", START: "[CLS]", END: "[SEP]", MASK: "[MASK]"}
"""Special tokens here → those of a BERT."""


@dataclass(frozen=True)
class RegionKeys:
    """Keys of the objectives of models that read regions.

    Attributes:
        init_from: trained model to begin with, a folder or a hub id, which gives settings, tokenizer and region encoder
            if the recipe has no model; or {text: MODEL}, a BERT for the part that reads texts, with its tokenizer.
        regions: frozen detector that finds regions, and the classes that it tells; null for that of `init_from`, or
            the bundled detector.
        features: folder of files NAME.npz or NAME.npy with the regions of the sample of that name, instead of a
            detector (see `visprog.models.region_encoder.read_regions`).
        length: greatest number of tokens of a text.
        vocabulary: greatest number of word pieces that are learned from texts, if their vocabulary is open.
    """

    init_from: str | dict[str, str] | None = None
    regions: RegionEncoderConfig | None = None
    features: Path | None = None
    length: int = 64
    vocabulary: int = 4096


class Texts(NamedTuple):
    """Texts as the models read them.

    Attributes:
        tokens: ids (batch, length).
        mask: bool (batch, length), True for real tokens.
        types: (batch, length), 1 for a second caption.
    """

    tokens: Tensor
    mask: Tensor
    types: Tensor


class RegionObjective(Objective):
    """An objective of a `RegionModel`. Subclasses call `make` with the settings of the model that follow from their
    data.

    Attributes:
        seen: where the regions of images come from.
    """

    config: Any
    model: RegionModel
    seen: EncodedRegions | RegionFiles
    tokenizer: Tokenizer

    def make(self, name: str, section: Section | None, captions: int = 1, **settings: Any) -> None:
        """Make the model, its tokenizer and its regions.

        Args:
            name: of the objective, for messages.
            section: type and settings of the model.
            captions: number of captions in a text.
            settings: of the model.

        Raises:
            DataError: model, regions and data do not fit.
        """
        config, start = self.config, self.config.init_from
        self.seen = _region_source(config, start if section is None else None)
        if isinstance(self.seen, EncodedRegions):
            self.size = self.seen.encoder.image_encoder.config.size
            self.image_processor = self.seen.encoder.processor
        settings |= self.seen.settings
        if section is None:
            trained = load_start(trained_source(start))
            check_model(trained, name, self.needs)
            self.tokenizer = load_tokenizer(str(start))
            self.model = with_heads(trained, settings)
        else:
            text = start.get(TEXT) if isinstance(start, Mapping) else None
            if isinstance(start, Mapping) and set(start) != {TEXT}:
                raise DataError(f"init_from: only a text encoder can be given by itself, {{{TEXT}: MODEL}}")
            self.tokenizer = _tokenizer(self.source, config, text)
            self.model = new_model(
                section,
                vocab=len(self.tokenizer),
                length=captions * config.length,
                pad=self.id(PAD),
                **settings,
            )
            check_model(self.model, name, self.needs)
            if text is None:
                init_model(self.model, start, self.tokenizer)
            else:
                _init_text(self.model, text)
        if isinstance(self.seen, RegionFiles):
            self.seen.boxes_needed = self.model.reads_boxes

    def id(self, token: str) -> int:
        """The id of a special token."""
        return special_id(self.tokenizer, token)

    def read(self, texts: Sequence[str], seconds: Sequence[str] = ()) -> Texts:
        """Texts, each perhaps with a second one after it."""
        ids, mask = self.tokenizer(texts)
        if not seconds:
            return Texts(ids, mask, torch.zeros_like(ids))
        more, real = self.tokenizer(seconds)
        first = [row[there] for row, there in zip(ids, mask, strict=True)]
        second = [row[there][1:] for row, there in zip(more, real, strict=True)]  # without its start
        rows = [torch.cat(pair) for pair in zip(first, second, strict=True)]
        types = [torch.arange(len(row)) >= len(one) for row, one in zip(rows, first, strict=True)]
        pad = torch.nn.utils.rnn.pad_sequence
        return Texts(
            pad(rows, True, self.id(PAD)),
            pad([torch.ones(len(row), dtype=torch.bool) for row in rows], True),
            pad([kind.long() for kind in types], True),
        )

    def hide_words(self, texts: Texts) -> tuple[Texts, Tensor]:
        """Texts with some words hidden, and the labels of these (batch, length)."""
        special = torch.tensor([self.id(token) for token in SPECIAL_NAMES], device=texts.tokens.device)
        tokens, labels = mask_tokens(texts.tokens, special, self.id(MASK), len(self.tokenizer))
        return texts._replace(tokens=tokens), labels

    def run(self, texts: Texts, regions: Regions) -> Any:
        """The output of the model."""
        return self.model(texts.tokens, regions, texts.mask, texts.types)

    def save(self, folder: Path) -> None:
        super().save(folder)
        if isinstance(self.seen, EncodedRegions):
            self.seen.encoder.save_pretrained(folder)

    def amounts(self, batch: Mapping[str, Any]) -> Mapping[str, int]:
        return {"images": len(batch["seen"]), "tokens": batch["texts"].tokens.numel()}


class SeenImages(NamedTuple):
    """Images whose regions are still to be found.

    Attributes:
        pixels: uint8 (height, width, 3) each, prepared but not normalised.
        keys: int64 (batch,), equal for equal images.
    """

    pixels: tuple[Tensor, ...]
    keys: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


class EncodedRegions:
    """Regions that a frozen encoder finds, kept for images that come again.

    Args:
        encoder: the encoder.

    Attributes:
        settings: of models that follow from it.
    """

    def __init__(self, encoder: RegionEncoder) -> None:
        self.encoder = encoder
        told = {"objects": len(encoder.config.objects), "attributes": len(encoder.config.attributes)}
        self.settings = {"region_dim": encoder.region_dim, **{k: v for k, v in told.items() if v}}
        self._kept: OrderedDict[int, Regions] = OrderedDict()

    def prepare(self, image: Pixels, name: str) -> Tensor:
        """The pixels of an image as `collate` takes them."""
        return torch.from_numpy(self.encoder.processor.fit(image))

    def collate(self, prepared: Sequence[Tensor]) -> SeenImages:
        """Images as `regions` takes them."""
        digests = [hashlib.blake2b(image.numpy().tobytes(), digest_size=8).digest() for image in prepared]
        keys = [int.from_bytes(digest, "little", signed=True) for digest in digests]
        return SeenImages(tuple(prepared), torch.tensor(keys))

    def regions(self, seen: SeenImages) -> Regions:
        """The regions of images."""
        device = seen.keys.device
        keys, kept = seen.keys.tolist(), self._kept
        missing = {key: image for key, image in zip(keys, seen.pixels, strict=True) if key not in kept}
        if missing:
            self.encoder.to(device)
            # One by one: in another batch the last bit may differ, and a resumed run goes on bit for bit.
            found = self.encoder.encode([image.cpu().numpy() for image in missing.values()], batch_size=1)
            for i, key in enumerate(missing):
                kept[key] = Regions(*(None if part is None else part.cpu() for part in one_row(found, i)))
        rows = [kept[key] for key in keys]
        for key in keys:
            kept.move_to_end(key)
        while len(kept) > CACHED:
            kept.popitem(last=False)
        return Regions(*(None if part is None else part.to(device) for part in stack(rows)))


class RegionFiles:
    """Regions that were computed elsewhere, a file per image.

    Args:
        folder: of the files.

    Attributes:
        settings: of models that follow from them.
        boxes_needed: whether a file without boxes is a bad sample.

    Raises:
        DataError: it holds none that can be read.
    """

    boxes_needed = True

    def __init__(self, folder: Path) -> None:
        self.files = {path.stem: path for path in sorted(folder.glob("*.np[zy]"))}
        if not self.files:
            raise DataError(f"features: {folder} holds no .npz and no .npy files with regions of images")
        try:
            first = read_regions(next(iter(self.files.values())))
        except (OSError, ValueError) as error:
            raise DataError(f"features: {error}") from None
        self.settings: dict[str, int] = {"region_dim": first.features.shape[-1]}
        if first.objects is not None:
            self.settings["objects"] = first.objects.shape[-1] - 1

    def prepare(self, image: Pixels, name: str) -> Regions:
        """The regions of the sample of a name.

        Raises:
            BadSample: there is no file of its name, or another width than in the others.
        """
        path = self.files.get(name) or self.files.get(PurePosixPath(name).stem)
        if path is None:
            raise BadSample(name, "there is no file with its regions")
        try:
            found = read_regions(path)
        except (OSError, ValueError) as error:
            raise BadSample(name, str(error)) from None
        if self.boxes_needed and found.boxes.isnan().any():
            raise BadSample(name, "its regions have no boxes, which the model reads")
        if found.features.shape[-1] != self.settings["region_dim"]:
            raise BadSample(
                name,
                f"its features have {found.features.shape[-1]} numbers, not {self.settings['region_dim']}",
            )
        return found

    def collate(self, prepared: Sequence[Regions]) -> Regions:
        """The regions of a batch."""
        return stack(prepared)

    def regions(self, seen: Regions) -> Regions:
        """What `collate` gave."""
        return seen


def special_id(tokenizer: Tokenizer, token: str) -> int:
    """The id of a special token, by its name here or in a BERT.

    Raises:
        DataError: the tokenizer has neither.
    """
    for name in (token, SPECIAL_NAMES[token]):
        if (found := tokenizer.backend.token_to_id(name)) is not None:
            return int(found)
    raise DataError(f"the tokenizer has no token '{token}' or '{SPECIAL_NAMES[token]}'")


def with_heads(trained: Any, settings: Mapping[str, Any]) -> Any:
    """A trained model, or one like it with other heads, which are new.

    Raises:
        DataError: it reads other regions.
    """
    if trained.config.region_dim != settings["region_dim"]:
        raise DataError(
            f"init_from: the model reads regions of {trained.config.region_dim} numbers, and these have "
            f"{settings['region_dim']}: take the region encoder that it was trained with"
        )
    shape = with_vocabulary(trained.config, **settings)
    if shape == trained.config:
        return trained
    model = type(trained)(shape)
    own, state = model.state_dict(), trained.state_dict()
    kept = {name: value for name, value in state.items() if name in own and value.shape == own[name].shape}
    model.load_state_dict({**own, **kept})
    return model


def _region_source(config: RegionKeys, trained: Any) -> EncodedRegions | RegionFiles:
    """Where regions come from: files, the encoder of the recipe, that of a trained model, or the bundled detector."""
    if config.features is not None:
        if config.regions is not None:
            raise DataError("features: give either files with regions, or the encoder `regions`, not both")
        return RegionFiles(config.features)
    try:
        if config.regions is None and isinstance(trained, str):
            return EncodedRegions(RegionEncoder.from_pretrained(fetch(trained)))
        return EncodedRegions(RegionEncoder(config.regions or RegionEncoderConfig()))
    except (OSError, ValueError) as error:
        raise DataError(f"regions: {error}") from None


def _tokenizer(source: Source, config: RegionKeys, text: str | None) -> Tokenizer:
    """That of a BERT, or a new one: a token per word if the vocabulary is closed, else word pieces."""
    if text is not None:
        tokenizer = load_tokenizer(text)
        tokenizer.backend.enable_truncation(config.length)
        return tokenizer
    if source.closed_vocabulary:
        return word_tokenizer(source.texts(), config.length, (MASK,))
    return wordpiece_tokenizer(source.texts(), config.vocabulary, config.length, (MASK,))


def _init_text(model: RegionModel, source: str) -> None:
    try:
        model.init_text(Bert.from_pretrained(source).state_dict())
    except (OSError, ValueError) as error:
        raise DataError(f"init_from.{TEXT}: the model cannot begin with {source}: {error}") from None
