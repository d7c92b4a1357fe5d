"""Tiny checkpoints with random weights, under the ids of published ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.hub.fake_hub import FakeHub
from tests.tools.backends.conftest import SAVERS
from tests.tools.backends.hub_checkpoints import SAVERS as LATER

KINDS = {
    "siglip": "siglip", "clip": "clip", "owlv2": "owlv2", "sam": "sam", "blip": "blip", "llava": "llava",
    "grounding-dino": "mm-grounding-dino", "detr": "d-fine", "sam2": "sam2-video", "vlm": "smolvlm",
    "florence2": "florence2",
}  # fmt: skip
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
        (SAVERS | LATER)[kind](place)
        if each["backend"] == "vlm":
            end_at_a_word(place)
        hub.add(each["id"], place)


def end_at_a_word(folder: Path) -> None:
    """What random weights write has no end: here its first word is the last."""
    file = folder / "generation_config.json"
    words = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    ends = [number for word, number in words.items() if word.isalpha()]
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": ends}))
