"""Which files of a checkpoint hold its weights. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from visprog.files.plain_text import read_json

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
"""One file with all weights, or the list of the files that hold them: what `save_pretrained` writes."""


def few(items: Iterable[object], most: int = 4) -> str:
    """Names for a message: the first ones, and the number of the others."""
    names = [str(item) for item in items]
    rest = f" and {len(names) - most} others" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def read_index(folder: Path) -> dict[str, str]:
    """The file that each weight lies in, by `model.safetensors.index.json`.

    Raises:
        ValueError: it is no such list, or names a file outside the folder.
    """
    try:
        found = read_json(folder / INDEX)["weight_map"]
        files: dict[str, str] = {str(key): str(file) for key, file in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / INDEX} holds no list of weights (weight_map)") from error
    outside = sorted({file for file in files.values() if not _is_plain(file)})
    if outside or not files:
        raise ValueError(
            f"{folder / INDEX} names {few(outside)}: a file of weights lies beside it, and ends in .safetensors"
            if outside
            else f"{folder / INDEX} names no weights"
        )
    return files


def found_instead(files: Iterable[str]) -> str:
    """What a checkpoint has whose weights cannot be read, by the names of its files, and the way out."""
    names = sorted(files)
    tensors = [name for name in names if name.endswith(".safetensors")]
    pickled = [name for name in names if name.endswith((".bin", ".pt", ".pth", ".ckpt", ".msgpack", ".h5"))]
    if any(name.startswith("adapter_model.") for name in names):
        return "it holds a LoRA adapter (adapter_model), to be merged into its base model (peft: merge_and_unload)"
    if any(name.startswith("open_clip_") for name in tensors):
        return f"{few(tensors)} has the layout of open_clip, which is not read"
    if any("-of-" in name for name in tensors):
        return f"{few(tensors)} are parts of one, and the list of the parts, {INDEX}, is missing"
    if tensors:
        return f"it holds {few(tensors)}: copy the one that you mean to {SINGLE}"
    if pickled:
        return (
            f"no .safetensors file; pickled weights ({few(pickled)}) are refused, convert them to safetensors"
        )
    return f"no .safetensors file; there is only {few(names)}"


def _is_plain(name: str) -> bool:
    return name.endswith(".safetensors") and "/" not in name and "\\" not in name
