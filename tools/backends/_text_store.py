"""Features of lists of texts, such as the names of a thousand classes, kept on disk for the next process.

Only calls with many new texts are kept, and of each text a digest and its feature, not the text. VISPROG_TEXT_CACHE=off
turns it off.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visprog import __version__
from visprog.models.measured import model_cache

from ._checkpoint import Checkpoint, checkpoint_digest

if TYPE_CHECKING:
    Features = Mapping[tuple[str, ...], NDArray[np.float32]]

MIN_TEXTS = 16
"""Number of new texts in one call from which they are kept."""

MAX_TEXTS, MAX_FILES = 4096, 16
"""Number of texts of a checkpoint that are kept, the latest, and of checkpoints, those used last."""

MAX_BYTES = 64 << 20
"""Size of a file; larger ones are not read."""

_writing = threading.Lock()


def recall_texts(
    checkpoint: Checkpoint, keys: Sequence[tuple[str, ...]]
) -> dict[tuple[str, ...], NDArray[np.float32]]:
    """The features of those texts, each given as its sentences, that were kept."""
    if not _is_on() or len(keys) < MIN_TEXTS:
        return {}
    kept = _read(_file(checkpoint))
    found = {key: kept.get(_digest(key)) for key in keys}
    return {key: feature for key, feature in found.items() if feature is not None}


def remember_texts(checkpoint: Checkpoint, features: Features) -> None:
    """Keep features of texts, if they are many. A folder that cannot be written keeps nothing."""
    if not _is_on() or len(features) < MIN_TEXTS:
        return
    file = _file(checkpoint)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    with _writing:
        kept = _read(file) | {_digest(key): feature for key, feature in features.items()}
        latest = dict(list(kept.items())[-MAX_TEXTS:])
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as stream:
                np.savez(stream, digests=np.array(list(latest)), features=np.stack(list(latest.values())))
            os.replace(part, file)
            files = sorted(file.parent.glob("*.npz"), key=lambda path: path.stat().st_mtime)
            for old in files[:-MAX_FILES]:
                old.unlink()
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()


def _is_on() -> bool:
    return os.environ.get("VISPROG_TEXT_CACHE", "").lower() not in ("off", "0", "no", "false")


def _file(checkpoint: Checkpoint) -> Path:
    """One per checkpoint, precision and version of the code."""
    dtype = str(next(checkpoint.network.parameters()).dtype).removeprefix("torch.")
    return model_cache() / "text" / f"{checkpoint_digest(checkpoint.source)}-{dtype}-{__version__}.npz"


def _read(file: Path) -> dict[str, NDArray[np.float32]]:
    try:
        if file.stat().st_size > MAX_BYTES:
            return {}
        with np.load(file, allow_pickle=False) as arrays:
            digests, features = arrays["digests"], arrays["features"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}
    if features.ndim != 2 or digests.shape != features.shape[:1] or features.dtype != np.float32:
        return {}
    return dict(zip(digests.tolist(), features, strict=True))


def _digest(key: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(key).encode("utf-8", "surrogatepass")).hexdigest()
