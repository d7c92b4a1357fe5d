"""The cache of the Hugging Face hub on this machine: which checkpoints are here. Imports neither torch nor the hub's
client, so that it can be asked at any time."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

from visprog.files.plain_text import read_json, read_text

from .weight_files import SINGLE, read_index

PIPELINE = "model_index.json"
"""The file of a pipeline of diffusers that lists its parts, each of which is a folder."""

PART = ".part"
"""Ending of the files that a download continues in."""

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


def is_hub_id(text: str) -> bool:
    """Whether a text has the form of a hub id, "ORG/NAME"."""
    return _HUB_ID.fullmatch(text) is not None and ".." not in text


def hub_cache() -> Path:
    """The folder that the hub's client keeps checkpoints in, by the variables that it reads."""
    home = os.environ.get("HF_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache"), "huggingface"
    )
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(os.path.expandvars(named or os.path.join(home, "hub"))).expanduser()


def repository(source: str) -> Path:
    """The folder of a hub id in the cache, whether it is there or not."""
    return hub_cache() / f"models--{source.replace('/', '--')}"


def cached(source: str, revision: str | None = None) -> Path | None:
    """The folder of a checkpoint of the hub, if all that is read of it is here.

    Args:
        source: a hub id.
        revision: branch, tag, commit or "refs/pr/N"; the main branch if not given.
    """
    snapshot = _snapshot(source, revision)
    return snapshot if snapshot is not None and _is_whole(snapshot) else None


def whole_mark(source: str, commit: str) -> Path:
    """The file that says that all that is read of a commit is here, and how large each file is."""
    return repository(source) / "whole" / commit


def damaged_files(source: str, revision: str | None = None) -> list[str]:
    """The files of a checkpoint that have another size than when they were downloaded, or are gone."""
    snapshot = _snapshot(source, revision)
    return [] if snapshot is None else _damaged(snapshot)


def bytes_here(source: str) -> int:
    """Number of bytes that a hub id takes in the cache, with those of a download that is not finished."""
    return sum(file.stat().st_size for file in repository(source).glob("blobs/*") if file.is_file())


def remove(source: str) -> int:
    """Remove a hub id from the cache, with what was downloaded of it in part.

    Returns:
        Number of bytes that became free; 0 if it was not there.

    Raises:
        OSError: it cannot be removed.
    """
    folder = repository(source)
    if not folder.is_dir():
        return 0
    freed = bytes_here(source)
    shutil.rmtree(folder)
    return freed


def parts_of_pipeline(folder: Path) -> list[str]:
    """The folders that the parts of a pipeline lie in, without the safety checker, which is not loaded.

    Raises:
        ValueError: its list cannot be read.
        OSError: it has none.
    """
    index: Any = read_json(folder / PIPELINE)
    if not isinstance(index, dict):
        raise ValueError(f"{folder / PIPELINE} holds no JSON object")
    found = [name for name, value in index.items() if isinstance(value, list) and value and value[0]]
    return [name for name in found if name not in ("safety_checker", "_class_name") and is_plain_name(name)]


def is_plain_name(name: str) -> bool:
    """Whether a name is that of a file or folder beside others."""
    return re.fullmatch(r"\w[\w.-]*", name, re.ASCII) is not None


def _snapshot(source: str, revision: str | None) -> Path | None:
    """The folder of a revision, whatever is in it; None if no such revision is known here."""
    folder = repository(source)
    try:
        commit = read_text(folder / "refs" / (revision or "main"), 4096).strip()
    except (OSError, ValueError):
        commit = revision or ""
    return folder / "snapshots" / commit if commit else None


def _damaged(snapshot: Path) -> list[str]:
    try:
        sizes = read_json(snapshot.parent.parent / "whole" / snapshot.name)
        return [name for name, size in sizes.items() if _size(snapshot / name) != size]
    except (OSError, ValueError, AttributeError):  # downloaded by another program
        return []


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else -1


def _is_whole(snapshot: Path) -> bool:
    if _damaged(snapshot):
        return False
    try:
        if (snapshot / PIPELINE).is_file():
            return all((snapshot / name).is_dir() for name in parts_of_pipeline(snapshot))
        if not (snapshot / "config.json").is_file():
            return False
        if (snapshot / SINGLE).is_file():
            return True
        return all((snapshot / name).is_file() for name in read_index(snapshot).values())
    except (OSError, ValueError):
        return False
