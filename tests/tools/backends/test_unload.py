"""Weights that a model manager sends away really leave memory, and come back."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from visprog.server.models import Models
from visprog.tools.backends import _checkpoint as module
from visprog.values import Region
from visprog.values.image import Image

CASES = [
    ("owlv2", "visprog.tools.backends.owl:OwlDetector", {"what": "cat"}),
    ("clip", "visprog.tools.backends.clip:ClipMatcher", {"text": "cat"}),
    ("sam", "visprog.tools.backends.sam:SamSegmenter", {}),
    ("blip", "visprog.tools.backends.blip:BlipCaptioner", {}),
    ("llava", "visprog.tools.backends.llava:LlavaVqa", {"question": "what is it?"}),
]


@pytest.mark.parametrize(("kind", "path", "arguments"), CASES, ids=[kind for kind, _, _ in CASES])
def test_a_network_leaves_for_another_and_comes_back(
    kind: str,
    path: str,
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
    backend = models.backend(kind, path, (("model", checkpoint(kind)),))
    first = repr(backend([call]))
    assert models.loaded()[kind] > 1000
    networks = [weakref.ref(c.network) for c in module._loaded.values()]
    models.backend("other", "tests.server.heavy:Heavy", (("mib", 100),))([{}])
    gc.collect()
    assert set(models.loaded()) == {"other"} and not module._loaded
    assert networks and not any(network() for network in networks)
    assert repr(backend([call])) == first
