"""The backend `dino` of retrieve: features of images alone, against transformers used directly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from visprog.cli import main
from visprog.errors import Refused, ToolError
from visprog.retrieval.index import FeatureEncoder
from visprog.tools.backends.dino import DinoRetriever
from visprog.tools.retrieve import retrieve
from visprog.values.image import Image

Folder = Callable[[str], str]


def published(kind: str, image: Image) -> Any:
    """The pixels as the published processor makes them: of DINOv3 resized as floats, by torchvision."""
    if kind == "dinov2":
        processor = transformers.BitImageProcessorPil(size={"shortest_edge": 40}, crop_size=32)
        return processor(images=image.to_pil(), return_tensors="pt")["pixel_values"]
    side = 32 if kind == "dinov3" else 64
    plane = torch.from_numpy(np.array(image.pixels)).permute(2, 0, 1)[None] / 255
    square = torch.nn.functional.interpolate(plane, (side, side), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (square - mean) / std


@pytest.mark.parametrize("kind", ["dinov3", "dinov3-convnext", "dinov2"])
def test_features_are_those_of_transformers(kind: str, checkpoint: Folder, pictures: list[Image]) -> None:
    network = transformers.AutoModel.from_pretrained(checkpoint(kind)).eval()
    encoder = DinoRetriever(checkpoint(kind), dtype="float32", batch_size=3)
    found = encoder.image_features([*pictures, pictures[0]])
    assert np.array_equal(found[0], found[-1])
    for image, mine in zip(pictures, found, strict=False):
        with torch.inference_mode():
            row = network(published(kind, image)).pooler_output[0].numpy()
        np.testing.assert_allclose(mine, row / np.linalg.norm(row), atol=2e-5)
    assert float(found[0] @ found[1]) < 0.999


def test_it_searches_by_an_image_and_refuses_texts(checkpoint: Folder, pictures: list[Image]) -> None:
    encoder = DinoRetriever(checkpoint("dinov3"))
    assert isinstance(encoder, FeatureEncoder) and len(encoder.digest()) == 32
    with pytest.raises(Refused, match="reads no texts"):
        encoder.text_features(["a dog"])
    (refused,) = encoder([{"images": pictures, "text": "a dog"}])
    assert isinstance(refused, Refused) and isinstance(retrieve.load("dino"), DinoRetriever)
    (error,) = DinoRetriever(checkpoint("clip")).image_features(pictures[:1])
    assert isinstance(error, ToolError) and "this backend takes dinov3_vit or dinov3_convnext" in str(error)


def test_a_folder_is_searched_by_an_image(
    checkpoint: Folder, pictures: list[Image], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, image in enumerate(pictures):
        image.to_pil().save(tmp_path / f"{number}.png")
    use = ["--index", str(tmp_path / "index"), "--backend", f"retrieve=dino:{checkpoint('dinov3')}", "--json"]
    assert main(["search", str(tmp_path), "--image", str(tmp_path / "2.png"), *use]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["hits"][0] == {"image": "2.png", "score": pytest.approx(1.0, abs=1e-3)}
    assert len(result["hits"]) == 4
    assert main(["search", str(tmp_path), "a dog", *use]) == 1
    assert "reads no texts" in json.loads(capsys.readouterr().out)["message"]
