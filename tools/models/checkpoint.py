"""Checkpoints on disk and on the hub: JSON for the configuration, safetensors for the weights, nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def read_checkpoint(source: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration and the weights of a public checkpoint.

    Args:
        source: a folder with `config.json` and `*.safetensors`, or an id on the Hugging Face hub
            (``openai/clip-vit-base-patch32``), which is downloaded once and then kept.

    Raises:
        ValueError: there is no such folder or id, or it holds no safetensors weights.
    """
    from safetensors.torch import load_file

    folder = fetch(source)
    config = json.loads((folder / "config.json").read_text())
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(
            f"{source} holds no .safetensors file; pickled weights are refused, convert them to safetensors"
        )
    state: dict[str, Tensor] = {}
    for file in files:
        state |= load_file(file)
    return config, state


def load_exactly(model: nn.Module, state: Mapping[str, Tensor], where: str | Path) -> None:
    """Copy weights into a model, whatever their precision.

    Raises:
        ValueError: keys are missing or unexpected, or shapes differ; the message names every one.
    """
    own = model.state_dict()
    problems = [f"missing key {k}" for k in own if k not in state]
    problems += [f"unexpected key {k}" for k in state if k not in own]
    problems += [
        f"{k} has shape {tuple(state[k].shape)}, not {tuple(v.shape)}"
        for k, v in own.items()
        if k in state and state[k].shape != v.shape
    ]
    if problems:
        raise ValueError(f"{where} does not fit {type(model).__name__}: " + "; ".join(problems))
    model.load_state_dict(state)


def save_model(model: nn.Module, config: Any, folder: str | Path, dtype: torch.dtype | None = None) -> None:
    """Write `config.json` (of a dataclass) and `model.safetensors`; weights that are one tensor are written once.

    Args:
        dtype: of the floating-point weights on disk; as they are where not given.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().to(dtype or value.dtype).contiguous() for name, value in unique(model)}
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(asdict(config), indent=1) + "\n")


def load_model(model: nn.Module, folder: str | Path) -> None:
    """Read the weights that `save_model` wrote.

    Raises:
        ValueError: as `load_exactly`.
    """
    from safetensors.torch import load_file

    state = load_file(Path(folder) / "model.safetensors")
    firsts = {id(value): name for name, value in unique(model)}
    for name, value in model.state_dict(keep_vars=True).items():
        first = firsts[id(value)]
        if first != name and first in state:
            state[name] = state[first]
    load_exactly(model, state, folder)


def unique(model: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """Names and values of the state, a shared tensor under its first name only."""
    seen: set[int] = set()
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def fetch(source: str | Path) -> Path:
    """The folder of a checkpoint: the given one, or that of a hub id, downloaded once and then kept.

    Raises:
        ValueError: there is no such folder or id, or it is no checkpoint.
    """
    folder = Path(source)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(f"{folder} holds no config.json: not a checkpoint folder")
        return folder
    if folder.is_absolute() or str(source).count("/") != 1:
        raise ValueError(
            f"there is no folder {source}, and it is no hub id (like openai/clip-vit-base-patch32)"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(source), allow_patterns=["*.json", "*.safetensors", "*.txt"]))
    except Exception as error:
        raise ValueError(
            f"{source} is no folder, and could not be fetched from the hub: {error}".split("\n")[0]
        ) from error
