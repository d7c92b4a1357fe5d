"""A checkpoint that a backend cannot run is refused by its settings, before its weights are fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from visprog.errors import ToolError
from visprog.tools.backends.clip import ClipMatcher
from visprog.tools.backends.depth_anything import DepthEstimator
from visprog.tools.backends.detr import DetrDetector
from visprog.tools.backends.dino import DinoRetriever
from visprog.tools.backends.florence2 import Florence2Captioner
from visprog.tools.backends.grounding_dino import GroundingDinoDetector
from visprog.tools.backends.owl import OwlDetector
from visprog.tools.backends.sam import SamSegmenter
from visprog.tools.backends.sam2 import Sam2Segmenter
from visprog.tools.backends.sam3 import Sam3Detector

BACKENDS = (
    ClipMatcher, DepthEstimator, DetrDetector, DinoRetriever, Florence2Captioner, GroundingDinoDetector, OwlDetector,
    SamSegmenter, Sam2Segmenter, Sam3Detector,
)  # fmt: skip


def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **config: Any) -> None:
    """A hub that has one model, of which it gives the settings alone."""
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("visprog.models.checkpoint.hub.fetch_config", lambda source: file)
    monkeypatch.setattr(
        "visprog.models.checkpoint.hub.fetch", lambda source: pytest.fail("weights are fetched")
    )
    monkeypatch.setattr("visprog.tools.backends._checkpoint._hub_config", lambda model: config)


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_type_of_model(backend: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings(monkeypatch, tmp_path, model_type="bert")
    with pytest.raises(ToolError, match="'org/name' is of model_type bert; this backend takes ") as caught:
        backend("org/name").fetch()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "edgetam", "vision_config": {"backbone_config": {"model_type": "timm_wrapper"}}},
        {"model_type": "edgetam_video", "vision_config": {"backbone_config": {"model_type": "timm_wrapper"}}},
    ],
)
def test_an_encoder_of_timm(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings(monkeypatch, tmp_path, **config)
    with pytest.raises(ToolError, match="an image encoder of timm, which is not installed"):
        Sam2Segmenter("org/name").fetch()


def test_the_first_detr_without_timm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings(monkeypatch, tmp_path, model_type="detr", use_timm_backbone=True, backbone="resnet50")
    with pytest.raises(ToolError, match="choose another model, or pip install timm"):
        DetrDetector("facebook/detr-resnet-50").fetch()
