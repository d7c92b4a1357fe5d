"""Weights on disk: the tensors in the files of a checkpoint folder."""

from __future__ import annotations

import math
import mmap
import weakref
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from visprog.files.plain_text import decode_text, parse_json

from .weight_files import INDEX, SINGLE, few, found_instead, read_index

PRECISIONS = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
"""Number formats by their names in safetensors files."""

MAX_HEADER_BYTES = 100_000_000
"""Maximum size of the header of a file of weights, as in the safetensors library."""


PIECE = 16 << 20
"""Number of bytes of a tensor that are copied at once."""

_mappings: weakref.WeakValueDictionary[int, mmap.mmap] = weakref.WeakValueDictionary()
"""Address of the first number → the pages of a file that hold a tensor."""

_lasting: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()
"""Those of files that nobody overwrites."""


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint folder by their names, in the precision that they are stored in.

    Only `model.safetensors` is read or, if there is none, the files that `model.safetensors.index.json` lists. Other
    files with weights in the folder (moving averages, other layouts, other precisions) are left alone.

    Raises:
        ValueError: the folder has neither of the two; files or keys of the index are missing, or a key lies in two
            files; a file is damaged. The message names what is wrong.
    """
    if (folder / "adapter_config.json").is_file():
        raise ValueError(
            f"{folder} holds a LoRA adapter (adapter_config.json), which is not applied here: merge it into its base "
            "model (peft: merge_and_unload) and save that"
        )
    if (folder / SINGLE).is_file():
        return read_tensors(folder / SINGLE)
    if (folder / INDEX).is_file():
        return _read_shards(folder, read_index(folder))
    raise ValueError(
        f"{folder} holds neither {SINGLE} nor {INDEX}: {found_instead(path.name for path in folder.iterdir())}"
    )


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, each mapped by itself: its bytes are read when they are used, and leave memory
    with the tensor.

    Whoever keeps a tensor takes an `owned` one: it would change when the file is overwritten. The library maps the file
    as a whole, so that whoever copies the tensors holds all of them twice for a while.

    Raises:
        ValueError: the file is damaged, or holds numbers of a format that is not known.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:  # checks the header against the length of the file
            names = set(opened.keys())
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file} is cut or damaged ({error}): download or save it again") from error
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > MAX_HEADER_BYTES:  # another file than the one that was checked
            raise ValueError(f"{file} is cut or damaged: download or save it again")
        header: dict[str, Any] = parse_json(decode_text(stream.read(length)))
        tensors = {}
        for name, entry in sorted(header.items(), key=lambda item: item[1].get("data_offsets", [0])[0]):
            if name not in names:  # "__metadata__"
                continue
            if entry["dtype"] not in PRECISIONS:
                raise ValueError(
                    f"{file}: {name} is stored as {entry['dtype']}, a format of quantised weights, which are not read"
                )
            place = 8 + length + entry["data_offsets"][0]
            tensors[name] = _mapped(stream, place, entry["shape"], PRECISIONS[entry["dtype"]])
            if _is_blob(file) and (pages := _mappings.get(tensors[name].data_ptr())) is not None:
                _lasting.add(pages)
    return tensors


def _is_blob(file: Path) -> bool:
    """Whether a file lies in the cache of the hub, by the digest of what it holds: it is written once, and never
    changed."""
    place = file.resolve().parent
    return place.name == "blobs" and place.parent.name.startswith("models--")


def _mapped(stream: BufferedReader, place: int, shape: list[int], dtype: torch.dtype) -> Tensor:
    """The tensor whose bytes begin at a place of a file."""
    count = math.prod(shape)
    if not count:
        return torch.empty(shape, dtype=dtype)
    before = place % mmap.ALLOCATIONGRANULARITY
    if before % dtype.itemsize:  # a header of an odd length
        tensor = torch.empty(shape, dtype=dtype)
        stream.seek(place)
        stream.readinto(tensor.view(-1).view(torch.uint8).numpy())
        return tensor
    pages = mmap.mmap(
        stream.fileno(), before + count * dtype.itemsize, access=mmap.ACCESS_COPY, offset=place - before
    )
    tensor = torch.frombuffer(pages, dtype=dtype, count=count, offset=before).view(shape)
    _mappings[tensor.data_ptr()] = pages
    return tensor


def owned(tensor: Tensor, dtype: torch.dtype, device: str | torch.device) -> Tensor:
    """A tensor that stays as it is, of a precision and on a device: in memory of its own, while pages of a file that it
    was read from leave memory piece by piece; or the pages themselves, if nobody overwrites the file."""
    pages = _mappings.get(tensor.untyped_storage().data_ptr())
    if (
        pages in _lasting
        and tensor.dtype == dtype
        and torch.device(device).type == "cpu"
        and tensor.is_contiguous()
    ):
        return tensor
    rows = max(1, PIECE * len(tensor) // tensor.nbytes) if tensor.ndim and tensor.nbytes else 1
    result = torch.empty(tensor.shape, dtype=dtype, device=device)
    for to, part in (
        zip(result.split(rows), tensor.split(rows), strict=True) if tensor.ndim else [(result, tensor)]
    ):
        to.copy_(part)
        release(tensor)
    return result


def release(tensor: Tensor) -> None:
    """Take the pages of a file that an unchanged tensor was read from out of memory; they are read again when they are
    used."""
    pages = _mappings.get(tensor.untyped_storage().data_ptr())
    if pages is not None and hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a `.pth`, `.pt` or `.safetensors` file, those under "model" if it holds the state of a training;
    of a pickled file nothing else is read.

    Raises:
        ValueError: the file is missing or damaged, or holds anything but tensors by name.
    """
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    if file.suffix == ".safetensors":
        return read_tensors(file)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers of zip and pickle each raise their own kinds
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{file} is no file of tensors: {reason}") from error
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{file} holds no tensors by name: save the state_dict() of the model")
    return state


def _read_shards(folder: Path, index: dict[str, str]) -> dict[str, Tensor]:
    files = sorted(set(index.values()))
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise ValueError(f"{folder} lacks {few(missing)}, which {INDEX} names: download or copy all files")
    state: dict[str, Tensor] = {}
    held: dict[str, str] = {}
    for file in files:
        tensors = read_tensors(folder / file)
        twice = [key for key in tensors if key in held]
        if twice:
            raise ValueError(f"{folder}: {few(twice)} lies in both {held[twice[0]]} and {file}")
        held |= dict.fromkeys(tensors, file)
        state |= tensors
    astray = [f"{key} ({file})" for key, file in index.items() if held.get(key) != file]
    if astray:
        raise ValueError(f"{folder}: weights are not in the files that {INDEX} names: {few(astray)}")
    return state
