"""Tiny checkpoints with random weights, under the ids of published ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.hub.fake_hub import FakeHub
from tests.tools.backends.conftest import SAVERS

KINDS = {"siglip": "siglip", "clip": "clip", "owlv2": "owlv2", "sam": "sam", "blip": "blip", "llava": "llava"}
"""Backend → what its checkpoint is saved as."""


def publish(hub: FakeHub, checkpoints: Iterable[Mapping[str, Any]], folder: Path) -> None:
    """Put checkpoints on a hub: ones that can be loaded where the tests make such, else files that only lie there."""
    for number, each in enumerate({each["id"]: each for each in checkpoints}.values()):
        kind = KINDS.get(each["backend"])
        if kind is None:
            hub.add(each["id"], {"config.json": b"{}", "model.safetensors": b"weights"})
            continue
        place = folder / str(number)
        place.mkdir(parents=True)
        SAVERS[kind](place)
        hub.add(each["id"], place)
