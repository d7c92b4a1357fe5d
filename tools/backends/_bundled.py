"""Backends on the bundled models: small, trained by the recipes of this repository, no network needed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import cache, wraps
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from visprog.errors import MissingExtra, ToolError
from visprog.models import WEIGHTS
from visprog.values import Region
from visprog.values.image import Image

from ._batching import look

if TYPE_CHECKING:
    from ...models.preprocess.image_processor import ImageArray

T = TypeVar("T")


def model_folder(model: str | None, bundled: str) -> Path:
    """The folder of a model that `visprog train` saved, or of the bundled one where none is named.

    Raises:
        MissingExtra: PyTorch, which all of them run on, is not installed.
    """
    if find_spec("torch") is None:
        raise MissingExtra("a bundled model", "torch")
    return Path(model).expanduser() if model else WEIGHTS / bundled


@cache
def words_of(folder: Path) -> frozenset[str] | None:
    """The words that a model was taught, from its `tokenizer.json`; None if it reads any word in pieces, or has no
    such file."""
    try:
        model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    except (OSError, ValueError, KeyError):
        return None
    return frozenset(model["vocab"]) if model.get("type") == "WordLevel" else None


def in_words(folder: Path) -> str:
    """For a planner: which words a model was taught; empty if it reads any."""
    words = sorted(word for word in words_of(folder) or () if word.isalpha() and len(word) > 1)
    return f"what can be said in the words that it was taught: {', '.join(words)}" if words else ""


def in_frame(image: Image | Region, margin: float, frame: float) -> ImageArray:
    """What a model is shown, uint8 (height, width, 3): a picture as it is; a region, cropped with a margin (a share of
    its longer side), in the middle of a square `frame` times its longer side, with its edges drawn out to the
    square's. A frame of 0 is none.

    Raises: as `look`.
    """
    from ...models.preprocess.image_processor import pad_to_square

    pixels = look(image, margin).pixels
    return pad_to_square(pixels, frame) if isinstance(image, Region) else pixels


def read_once(what: str) -> Callable[[Callable[[Path], T]], Callable[[Path], T]]:
    """Decorates what reads a model from a folder: it is read at the first use and then shared, by threads too.

    A folder that does not hold such a model is a `ToolError`.
    """

    def decorate(read: Callable[[Path], T]) -> Callable[[Path], T]:
        lock, kept = threading.Lock(), dict[Path, T]()

        @wraps(read)
        def once(folder: Path) -> T:
            with lock:
                if folder not in kept:
                    try:
                        kept[folder] = read(folder)
                    except (OSError, ValueError, KeyError, TypeError) as error:
                        raise ToolError(f"there is no {what} in {folder}: {error}") from error
                return kept[folder]

        return once

    return decorate
