"""Classification by texts: the class whose sentences lie nearest to the picture (Radford et al. 2021, 3.1)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .preprocess.image_processor import Picture, Pixels
from .preprocess.tokenizer import Tokenizer

Describe = Callable[[str], Sequence[str]]
"""What is said of a class of a name."""


class DualEncoder(Protocol):
    """`Clip`, `Siglip`, and what else encodes images and texts to rows of length 1."""

    def encode_images(self, images: Tensor) -> Tensor: ...

    def encode_texts(self, tokens: Tensor) -> Tensor: ...


def in_templates(frames: Sequence[str]) -> Describe:
    """Every class in the same sentences."""
    return lambda name: [frame.replace("{}", name) for frame in frames]


def ensemble(features: Tensor) -> Tensor:
    """One feature for what several sentences say, (sentences, dim) → (dim): each is normalised, then their mean
    is."""
    return F.normalize(F.normalize(features, dim=-1).mean(0), dim=-1)


class ZeroShot:
    """Classifies with a dual encoder. The features of a class are computed once and kept, on disk if asked.

    Args:
        model: in evaluation mode, on its device.
        tokenizer: of its texts.
        pixels: how it wants its pictures.
        describe: the sentences of a class; its name alone where not given.
        cache: folder for the features of classes. A file is named by the weights and the sentences it stems
            from, so that it never serves for others.
        batch_size: pictures or sentences at a time.
    """

    def __init__(
        self,
        model: DualEncoder,
        tokenizer: Tokenizer,
        pixels: Pixels,
        *,
        describe: Describe = lambda name: [name],
        cache: Path | None = None,
        batch_size: int = 128,
    ) -> None:
        self.model, self.tokenizer, self.pixels = model, tokenizer, pixels
        self.describe, self.folder, self.batch_size = describe, cache, batch_size
        self._known: dict[tuple[str, ...], Tensor] = {}
        self._digest = ""

    @torch.inference_mode()
    def classes(self, names: Sequence[str]) -> Tensor:
        """Features of classes, (classes, dim), rows of length 1.

        Raises:
            ValueError: nothing is said of a class.
        """
        said = [tuple(self.describe(name)) for name in names]
        for name, sentences in zip(names, said, strict=True):
            if not sentences:
                raise ValueError(f"there is no sentence for the class '{name}'")
        missing = [s for s in dict.fromkeys(said) if s not in self._known and not self._read(s)]
        lines = list(dict.fromkeys(line for sentences in missing for line in sentences))
        rows = dict(zip(lines, self._encode(lines), strict=True)) if lines else {}
        for sentences in missing:
            self._known[sentences] = ensemble(torch.stack([rows[line] for line in sentences]))
            self._write(sentences)
        return torch.stack([self._known[sentences] for sentences in said])

    @torch.inference_mode()
    def images(self, pictures: Sequence[Picture]) -> Tensor:
        """Features of pictures, (pictures, dim), rows of length 1."""
        parts = [pictures[i : i + self.batch_size] for i in range(0, len(pictures), self.batch_size)]
        device = _device(self.model)
        return torch.cat([self.model.encode_images(self.pixels(part).to(device)).float() for part in parts])

    def cosines(self, pictures: Sequence[Picture], names: Sequence[str]) -> Tensor:
        """(pictures, classes)."""
        return self.images(pictures) @ self.classes(names).T

    def __call__(self, pictures: Sequence[Picture], names: Sequence[str]) -> list[str]:
        """The name of the class of each picture."""
        return [names[i] for i in self.cosines(pictures, names).argmax(1).tolist()]

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


def _device(model: DualEncoder) -> torch.device:
    return next(model.parameters()).device if isinstance(model, nn.Module) else torch.device("cpu")


def _digest(model: DualEncoder) -> str:
    """Of all weights."""
    found = hashlib.sha256()
    if isinstance(model, nn.Module):
        for name, value in sorted(model.state_dict().items()):
            found.update(name.encode())
            found.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
