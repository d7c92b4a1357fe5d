"""Begin with the image tower of a model that is already trained."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from visprog.tools.models.checkpoint import load_exactly
from visprog.tools.models.clip import ImageConfig, ImageTower
from visprog.tools.models.coca import Coca
from visprog.tools.nn import resize_positions

from ..data.samples import DataError

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


def trained_tower(source: str | Path) -> ImageTower:
    """The image tower of a CLIP, an OWL-ViT or a LLaVA.

    Args:
        source: a folder that `visprog train` wrote; the name of a bundled model ("owl"); or a public CLIP, as a
            hub id or a folder.

    Raises:
        DataError: it is none of these.
    """
    folder = WEIGHTS / source if (WEIGHTS / source / "model.safetensors").is_file() else Path(source)
    try:
        raw = json.loads((folder / "config.json").read_text()) if (folder / "config.json").is_file() else {}
        if not isinstance(raw.get("image"), dict):
            return ImageTower.from_pretrained(source)
        from safetensors.torch import load_file

        state = load_file(folder / "model.safetensors")
        prefix = "tower." if "tower.positions" in state else "image."
        tower = ImageTower(ImageConfig(**raw["image"]))
        own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        load_exactly(tower, own, folder)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"tower: {source} holds no image tower to begin with: {error}") from None
    return tower


def start_tower(tower: ImageTower, source: str | Path) -> None:
    """Copy a trained tower into another of the same width and depth, without its projection. Positions are
    interpolated where the grids differ.

    Raises:
        DataError: there is no tower, or it has another shape.
    """
    state = _without_projection(trained_tower(source))
    positions = state["positions"]
    grid = (tower.config.grid, tower.config.grid)
    state["positions"] = torch.cat([positions[:1], resize_positions(positions[1:], grid)])
    _copy(tower, state | {k: v for k, v in tower.state_dict().items() if k.startswith("projection")}, source)


def start_coca(model: Coca, source: str | Path) -> None:
    """Copy the patches, the blocks and the interpolated positions of a trained tower into the image encoder of a
    CoCa, which has no class token and no norm before its first block.

    Raises:
        DataError: there is no tower, or it has another shape.
    """
    state = _without_projection(trained_tower(source))
    side = model.config.size // model.config.patch
    found = {"image_positions": resize_positions(state["positions"][1:], (side, side))}
    found["patches.projection.weight"] = state["patches.projection.weight"]
    found |= {f"image_{k}": v for k, v in state.items() if k.startswith("blocks.")}
    _copy(model, model.state_dict() | found, source)


def _without_projection(tower: ImageTower) -> dict[str, Tensor]:
    return {k: v.detach() for k, v in tower.state_dict().items() if not k.startswith("projection")}


def _copy(model: nn.Module, state: dict[str, Tensor], source: str | Path) -> None:
    try:
        load_exactly(model, state, source)
    except ValueError as error:
        raise DataError(f"tower: {error}") from None
