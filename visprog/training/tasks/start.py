"""Begin with what another model has learned already."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from visprog.models.checkpoint.checkpoint import load_exactly
from visprog.models.clip.model import ImageEncoder
from visprog.models.coca import Coca
from visprog.models.llava.model import Llava
from visprog.models.nn import resize_positions
from visprog.models.owlvit import OwlVit

from ..data.samples import DataError


def trained_tower(source: str | Path) -> ImageEncoder:
    """The image encoder of a CLIP, an OWL-ViT or a LLaVA.

    Args:
        source: a folder that `visprog train` wrote; the name of a bundled model ("owl"); or a public CLIP, as a
            hub id or a folder.

    Raises:
        DataError: it is none of these.
    """
    try:
        return ImageEncoder.from_pretrained(source)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"tower: {source} holds no image encoder to begin with: {error}") from None


def tell_places(tower: ImageEncoder, amplitude: float = 0.6) -> None:
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


def start_tower(tower: ImageEncoder, source: str | Path) -> None:
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
        state = OwlVit.from_pretrained(source).state_dict()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"start: {source} holds no detector to begin with: {error}") from None
    grid = model.config.image_encoder.grid
    state["image_encoder.positions"] = _positions(state["image_encoder.positions"], grid)
    state["text_encoder.embed.weight"] = model.text_encoder.embed.weight
    _copy(model, state, source)


def start_coca(model: Coca, source: str | Path) -> None:
    """Copy the patches, the blocks and the interpolated positions of a trained tower into the image encoder of a
    CoCa, which has no class token and no norm before its first block.

    Raises:
        DataError: there is no tower, or it has another shape.
    """
    state = _without_projection(trained_tower(source))
    side = model.config.image_encoder.size // model.config.image_encoder.patch
    found = {"positions": resize_positions(state["positions"][1:], (side, side))}
    found |= {k: v for k, v in state.items() if k.startswith(("patches.", "blocks."))}
    found = {f"image_encoder.{k}": v for k, v in found.items()}
    _copy(model, model.state_dict() | found, source)


def start_llava(model: Llava, source: str | Path) -> None:
    """Copy all of a trained LLaVA into another of the same shape.

    Raises:
        DataError: there is none, or it has another shape.
    """
    try:
        state = Llava.from_pretrained(source).state_dict()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"start: {source} holds no LLaVA to begin with: {error}") from None
    _copy(model, state, source)


def _positions(positions: Tensor, grid: int) -> Tensor:
    """Positions of a class token and a grid, for another grid."""
    return torch.cat([positions[:1], resize_positions(positions[1:], (grid, grid))])


def _without_projection(tower: ImageEncoder) -> dict[str, Tensor]:
    return {k: v.detach() for k, v in tower.state_dict().items() if not k.startswith("projection")}


def _copy(model: nn.Module, state: dict[str, Tensor], source: str | Path) -> None:
    try:
        load_exactly(model, state, source)
    except ValueError as error:
        raise DataError(f"it cannot begin with {source}: {error}") from None
