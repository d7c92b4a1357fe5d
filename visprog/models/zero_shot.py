"""Classification by texts: the class whose sentences lie nearest to the image (Radford et al. 2021, 3.1)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .preprocess.image_processor import ImageArray, ImageProcessor
from .preprocess.tokenizer import Tokenizer

Describe = Callable[[str], Sequence[str]]
"""Sentences that describe the class of a name."""


class ImageTextModel(Protocol):
    """A model that encodes images and texts to rows of length 1: `Clip`, `Siglip`."""

    def encode_images(self, images: Tensor) -> Tensor: ...

    def encode_texts(self, tokens: Tensor) -> Tensor: ...


def fill_templates(frames: Sequence[str]) -> Describe:
    """A description of every class by the same sentences, "{}" in them being its name."""
    return lambda name: [frame.replace("{}", name) for frame in frames]


def ensemble(features: Tensor) -> Tensor:
    """One feature for several sentences, (sentences, dim) → (dim): the normalised mean of the normalised rows."""
    return F.normalize(F.normalize(features, dim=-1).mean(0), dim=-1)


class ZeroShot:
    """Classifies with a dual encoder. The features of a class are computed once and kept, on disk if asked.

    Args:
        model: a model in evaluation mode, on its device.
        tokenizer: tokenizer of its texts.
        image_processor: prepares its images.
        describe: the sentences of a class; its name alone if not given.
        cache: folder for the features of classes. The name of a file is a digest of the weights and the
            sentences, so that it is never used for others.
        batch_size: number of images or sentences at a time.
    """

    def __init__(
        self,
        model: ImageTextModel,
        tokenizer: Tokenizer,
        image_processor: ImageProcessor,
        *,
        describe: Describe = lambda name: [name],
        cache: Path | None = None,
        batch_size: int = 128,
    ) -> None:
        self.model, self.tokenizer, self.image_processor = model, tokenizer, image_processor
        self.describe, self.folder, self.batch_size = describe, cache, batch_size
        self._known: dict[tuple[str, ...], Tensor] = {}
        self._digest = ""

    @torch.inference_mode()
    def encode_classes(self, names: Sequence[str]) -> Tensor:
        """Features of classes, (classes, dim), rows of length 1.

        Raises:
            ValueError: a class has no sentence.
        """
        described = [tuple(self.describe(name)) for name in names]
        for name, sentences in zip(names, described, strict=True):
            if not sentences:
                raise ValueError(f"there is no sentence for the class '{name}'")
        missing = [s for s in dict.fromkeys(described) if s not in self._known and not self._read(s)]
        lines = list(dict.fromkeys(line for sentences in missing for line in sentences))
        rows = dict(zip(lines, self._encode(lines), strict=True)) if lines else {}
        for sentences in missing:
            self._known[sentences] = ensemble(torch.stack([rows[line] for line in sentences]))
            self._write(sentences)
        return torch.stack([self._known[sentences] for sentences in described])

    @torch.inference_mode()
    def encode_images(self, images: Sequence[ImageArray]) -> Tensor:
        """Features of images, (images, dim), rows of length 1."""
        parts = [images[i : i + self.batch_size] for i in range(0, len(images), self.batch_size)]
        device = _device(self.model)
        return torch.cat(
            [self.model.encode_images(self.image_processor(part).to(device)).float() for part in parts]
        )

    def cosines(self, images: Sequence[ImageArray], names: Sequence[str]) -> Tensor:
        """Cosines of images and classes, (images, classes)."""
        return self.encode_images(images) @ self.encode_classes(names).T

    def __call__(self, images: Sequence[ImageArray], names: Sequence[str]) -> list[str]:
        """The name of the class of each image."""
        return [names[i] for i in self.cosines(images, names).argmax(1).tolist()]

    def _encode(self, lines: Sequence[str]) -> Tensor:
        parts = [lines[i : i + self.batch_size] for i in range(0, len(lines), self.batch_size)]
        device = _device(self.model)
        return torch.cat(
            [self.model.encode_texts(self.tokenizer(part).ids.to(device)).float() for part in parts]
        )

    # -- features on disk ------------------------------------------------------------------------

    def _file(self, sentences: tuple[str, ...]) -> Path | None:
        if self.folder is None:
            return None
        if not self._digest:
            self._digest = _digest(self.model)
        key = hashlib.sha256("\n".join((self._digest, *sentences)).encode()).hexdigest()
        return self.folder / f"{key}.safetensors"

    def _read(self, sentences: tuple[str, ...]) -> bool:
        from safetensors.torch import load_file

        file = self._file(sentences)
        if file is None or not file.is_file():
            return False
        self._known[sentences] = load_file(file)["feature"].to(_device(self.model))
        return True

    def _write(self, sentences: tuple[str, ...]) -> None:
        from safetensors.torch import save_file

        file = self._file(sentences)
        if file is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        save_file({"feature": self._known[sentences].contiguous().cpu()}, draft)
        draft.replace(file)


def _device(model: ImageTextModel) -> torch.device:
    return next(model.parameters()).device if isinstance(model, nn.Module) else torch.device("cpu")


def _digest(model: ImageTextModel) -> str:
    """Digest of all weights."""
    found = hashlib.sha256()
    if isinstance(model, nn.Module):
        for name, value in sorted(model.state_dict().items()):
            found.update(name.encode())
            found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
