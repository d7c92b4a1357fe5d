"""Weights that a model manager sends away really leave memory, and come back."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.server.heavy import Heavy
from visprog.server.models import Models
from visprog.tools.backends import _checkpoint as module
from visprog.tools.backends._model_backend import ModelBackend
from visprog.tools.backends.blip import BlipCaptioner
from visprog.tools.backends.clip import ClipMatcher
from visprog.tools.backends.llava import LlavaVqa
from visprog.tools.backends.owl import OwlDetector
from visprog.tools.backends.sam import SamSegmenter
from visprog.values import Region
from visprog.values.image import Image

CASES = [
    ("owlv2", OwlDetector, {"what": "cat"}),
    ("clip", ClipMatcher, {"text": "cat"}),
    ("sam", SamSegmenter, {}),
    ("blip", BlipCaptioner, {}),
    ("llava", LlavaVqa, {"question": "what is it?"}),
]


@pytest.mark.parametrize(("kind", "made", "arguments"), CASES, ids=[kind for kind, _, _ in CASES])
def test_a_network_leaves_for_another_and_comes_back(
    kind: str,
    made: type[ModelBackend],
    arguments: dict[str, Any],
    checkpoint: Callable[[str], str],
    pictures: list[Image],
    region: Region,
) -> None:
    call = {
        **({"image": region.image, "region": region} if kind == "sam" else {"image": pictures[0]}),
        **arguments,
    }
    models = Models(100 << 20)
    backend = models.get(made, (("model", checkpoint(kind)),), kind)
    first = repr(backend([call]))
    assert models.loaded()[kind] > 1000
    networks = [weakref.ref(c.network) for c in module._loaded.values()]
    models.get(Heavy, (("mib", 100),), "other")([{}])
    gc.collect()
    assert set(models.loaded()) == {"other"} and not module._loaded
    assert networks and not any(network() for network in networks)
    assert repr(backend([call])) == first
