"""Published checkpoints that backends of this package load: their sizes, licences and memory. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

Size = Literal["small", "base", "large"]
SIZES: tuple[Size, ...] = get_args(Size)
"""Classes of size, the smallest first."""

PLANNER = "planner"
"""Name among the tools of a checkpoint for the planner, which is none."""


@dataclass(frozen=True)
class PublishedCheckpoint:
    """A checkpoint of the hub.

    Attributes:
        id: its hub id.
        backend: the backend that loads it.
        tools: the tools that it serves with this backend; "planner" for a language model that writes programs.
        size: its class of size.
        parameters: number of parameters.
        stored: precision of its file.
        download: bytes of its files, estimated.
        memory: bytes that it takes in memory by precision, estimated.
        licence: of its weights.
        gated: whether its licence must be accepted before it can be downloaded.
        gpu: whether it is too slow to be of use without a GPU.
        proposed: whether `visprog models setup` may propose it.
    """

    id: str
    backend: str
    tools: tuple[str, ...]
    size: Size
    parameters: int
    stored: str
    download: int
    memory: dict[str, int]
    licence: str
    gated: bool = False
    gpu: bool = False
    proposed: bool = True


@cache
def catalogue() -> tuple[PublishedCheckpoint, ...]:
    """All published checkpoints, those of one tool and size in the order in which they are proposed."""
    return tuple(
        PublishedCheckpoint(**{**row, "tools": tuple(row["tools"])}) for row in _read()["checkpoints"]
    )


def date_made() -> str:
    """The date of the catalogue, YYYY-MM-DD."""
    return str(_read()["made"])


def find_published(name: str) -> PublishedCheckpoint | None:
    """The checkpoint of a hub id, or of the part after its slash in any case; None if there is none."""
    wanted = name.lower()
    return next((c for c in catalogue() if wanted in (c.id.lower(), c.id.lower().partition("/")[2])), None)


@cache
def _read() -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = yaml.safe_load((files("visprog.models") / "catalogue.yaml").read_text("utf-8"))
    return found
