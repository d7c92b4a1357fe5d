"""Begin with what another model has learned already."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from visprog.models import WEIGHTS
from visprog.models.checkpoint.checkpoint import load_exactly
from visprog.models.clip.model import ImageConfig, ImageTower
from visprog.models.coca import Coca
from visprog.models.llava.model import Llava
from visprog.models.nn import resize_positions
from visprog.models.owlvit import OwlVit

from ..data.samples import DataError


def trained_tower(source: str | Path) -> ImageTower:
    """The image tower of a CLIP, an OWL-ViT or a LLaVA.

    Args:
        source: a folder that `visprog train` wrote; the name of a bundled model ("owl"); or a public CLIP, as a
            hub id or a folder.

    Raises:
        DataError: it is none of these.
    """
    folder = bundled(source)
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


def tell_places(tower: ImageTower, amplitude: float = 0.6) -> None:
    """Add sines of row and column (Vaswani et al. 2017) to the positions of a tower.

    A detector's boxes are offsets from their tokens, so that what its tower says of a token tells little of where the
    token is: its column can be read off with an error of 2.6 of 12, after this of 1.2.
    """
    grid, dim = tower.config.grid, tower.config.dim
    angles = torch.outer((torch.arange(grid) + 0.5) * math.pi / grid, 2.0 ** torch.arange(4))
    waves = torch.cat([angles.sin(), angles.cos()], 1)
    rows, columns = waves[:, None].expand(-1, grid, -1), waves.expand(grid, -1, -1)
    places = torch.cat([columns, rows], -1).flatten(0, 1)
    mixed = torch.randn(places.shape[1], dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tower.positions[1:] += amplitude * places @ mixed * places.shape[1] ** -0.5


def bundled(source: str | Path) -> Path:
    """The folder of a bundled model, if `source` is the name of one; else the path itself."""
    found = WEIGHTS / source
    return found if (found / "model.safetensors").is_file() else Path(source)


def start_tower(tower: ImageTower, source: str | Path) -> None:
    """Copy a trained tower into another of the same width and depth, without its projection. Positions are
    interpolated where the grids differ.

    Raises:
        DataError: there is no tower, or it has another shape.
    """
    state = _without_projection(trained_tower(source))
    state["positions"] = _positions(state["positions"], tower.config.grid)
    _copy(tower, state | {k: v for k, v in tower.state_dict().items() if k.startswith("projection")}, source)


def start_detector(model: OwlVit, source: str | Path) -> None:
    """Copy all of a trained detector into another but what its words mean, which another tokenizer numbers
    otherwise. Positions are interpolated where the grids differ.

    Raises:
        DataError: there is no detector, or it has another shape.
    """
    try:
        state = OwlVit.load(bundled(source)).state_dict()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"start: {source} holds no detector to begin with: {error}") from None
    state["image.positions"] = _positions(state["image.positions"], model.config.image.grid)
    state["text.embed.weight"] = model.text.embed.weight
    _copy(model, state, source)


def start_coca(model: Coca, source: str | Path) -> None:
    """Copy the patches, the blocks and the interpolated positions of a trained tower into the image encoder of a
    CoCa, which has no class token and no norm before its first block.

    Raises:
        DataError: there is no tower, or it has another shape.
    """
    state = _without_projection(trained_tower(source))
    side = model.config.size // model.config.patch
    found = {"image_positions": resize_positions(state["positions"][1:], (side, side))}
    found |= {k: v for k, v in state.items() if k.startswith("patches.")}
    found |= {f"image_{k}": v for k, v in state.items() if k.startswith("blocks.")}
    _copy(model, model.state_dict() | found, source)


def start_llava(model: Llava, source: str | Path) -> None:
    """Copy all of a trained LLaVA into another of the same shape.

    Raises:
        DataError: there is none, or it has another shape.
    """
    try:
        state = Llava.load(bundled(source)).state_dict()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"start: {source} holds no LLaVA to begin with: {error}") from None
    _copy(model, state, source)


def _positions(positions: Tensor, grid: int) -> Tensor:
    """Positions of a class token and a grid, for another grid."""
    return torch.cat([positions[:1], resize_positions(positions[1:], (grid, grid))])


def _without_projection(tower: ImageTower) -> dict[str, Tensor]:
    return {k: v.detach() for k, v in tower.state_dict().items() if not k.startswith("projection")}


def _copy(model: nn.Module, state: dict[str, Tensor], source: str | Path) -> None:
    try:
        load_exactly(model, state, source)
    except ValueError as error:
        raise DataError(f"it cannot begin with {source}: {error}") from None
