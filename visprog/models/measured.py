"""What was measured on this machine, kept on disk: which precision is faster, and which checkpoints answer the same in
it. Imports no torch, so that it can be read at any time."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from visprog.files.plain_text import read_json

from . import BUNDLED

MAX_ENTRIES = 500
"""Number of checkpoints, and of sizes of layers, that are remembered; the oldest are forgotten."""

_lock = threading.Lock()


def model_cache() -> Path:
    """The folder of what models have computed and can compute again. A relative XDG_CACHE_HOME is invalid, and
    ignored."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    usual = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return (Path(named) if os.path.isabs(named) else usual) / "visprog" / "models"


def recall(section: str, key: str) -> Any:
    """What was kept under a key; None if nothing was."""
    return recall_all(section).get(key)


def recall_all(section: str) -> dict[str, Any]:
    """All that was kept in a section, the latest last."""
    found = _read().get(section)
    return found if isinstance(found, dict) else {}


def remember(section: str, key: str, value: Any) -> None:
    """Keep a value of plain data. A folder that cannot be written keeps nothing."""
    file = _file()
    part = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}.part")
    with _lock:
        kept = _read()
        entries = {k: v for k, v in recall_all(section).items() if k != key} | {key: value}
        kept[section] = dict(list(entries.items())[-MAX_ENTRIES:])
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(kept, indent=1), encoding="utf-8")
            os.replace(part, file)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()


def described(model: str) -> str:
    """The precision that a model runs in if none is set, for people."""
    if model in BUNDLED:
        return "float32 (bundled)"
    for entry in reversed(list(recall_all("checked").values())):
        if isinstance(entry, dict) and entry.get("name") in (model, str(Path(model).expanduser().resolve())):
            weights = ", int8 weights for decoding" if entry.get("int8") else ""
            return f"{entry.get('dtype')}{weights} ({entry.get('reason')})"
    return "chosen when the model is first loaded"


def _file() -> Path:
    return model_cache() / "precision.json"


def _read() -> dict[str, Any]:
    try:
        found = read_json(_file())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
