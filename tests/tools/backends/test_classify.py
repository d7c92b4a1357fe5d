"""CLIP and SigLIP behind classify, match and verify."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from visprog.errors import ImageError, ToolError
from visprog.prompts import templates
from visprog.tools.backends._checkpoint import load
from visprog.tools.backends.clip_hub import KINDS, dual_encoder
from visprog.tools.backends.dual_encoder import HEAD, ClipClassifier, ClipMatcher, ClipVerifier, SiglipMatcher
from visprog.tools.classify import classify, match, verify
from visprog.values import Box, Region
from visprog.values.image import Image

Folder = Callable[[str], str]
KIND = pytest.mark.parametrize("kind", ["clip", "siglip"])
OPTIONS = ["cat", "dog", "red car", "person"]


@KIND
def test_a_batch_is_the_same_as_one_by_one(kind: str, checkpoint: Folder, pictures: list[Image]) -> None:
    model = (("model", checkpoint(kind)),)
    fresh = (*model, ("batch_size", 3))
    for tool, argument in (
        (classify, {"options": OPTIONS}),
        (match, {"text": "dog"}),
        (verify, {"statement": "a dog"}),
    ):
        calls = [{"image": picture, **argument} for picture in pictures]
        together = tool.load(kind, fresh)(calls)
        alone = [tool.load(kind, model)([call])[0] for call in calls]
        assert together == pytest.approx(alone, abs=1e-5) if tool is match else together == alone
        assert tool.load(kind, model)(calls) == (pytest.approx(together) if tool is match else together)


@KIND
def test_scores_against_the_network_itself(kind: str, checkpoint: Folder, pictures: list[Image]) -> None:
    import torch

    loaded = load(checkpoint(kind), "match", "AutoModel", KINDS)
    encoder = dual_encoder(loaded)
    (text,) = encoder._encode_lines(["a photo of a dog."])
    images = encoder.encode_images(pictures, 2)
    inputs = loaded.processor(
        text=["a photo of a dog."], images=[p.to_pil() for p in pictures], return_tensors="pt",
        padding="max_length" if kind == "siglip" else True, max_length=16 if kind == "siglip" else None,
    )  # fmt: skip
    if kind == "siglip":
        inputs.pop("attention_mask", None)
    with torch.inference_mode():
        output = loaded.network(**inputs)
    assert np.allclose(output.image_embeds.numpy(), images, atol=1e-5)
    logits = encoder.scale * images @ text + (encoder.bias or 0)
    assert np.allclose(output.logits_per_image.numpy()[:, 0], logits, atol=1e-3)


def test_a_text_is_the_mean_over_the_templates(checkpoint: Folder) -> None:
    encoder = dual_encoder(load(checkpoint("clip"), "match", "AutoModel", KINDS))
    assert len(templates("crops")) >= 3 and all("{}" in line for line in templates("crops"))
    (feature,) = encoder.encode_texts(["a red car."], 4)
    mean = encoder._encode_lines([line.replace("{}", "red car") for line in templates("crops")]).mean(0)
    assert np.allclose(feature, mean / np.linalg.norm(mean), atol=1e-6)


def test_equal_inputs_are_computed_once(
    checkpoint: Folder, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load(checkpoint("clip"), "match", "AutoModel", KINDS)
    seen = {"images": 0, "texts": 0}
    real_images, real_texts = loaded.network.get_image_features, loaded.network.get_text_features

    def images(pixel_values: object, **rest: object) -> object:
        seen["images"] += len(pixel_values)  # type: ignore[arg-type]
        return real_images(pixel_values=pixel_values, **rest)

    def texts(input_ids: object, **rest: object) -> object:
        seen["texts"] += len(input_ids)  # type: ignore[arg-type]
        return real_texts(input_ids=input_ids, **rest)

    monkeypatch.setattr(loaded.network, "get_image_features", images)
    monkeypatch.setattr(loaded.network, "get_text_features", texts)
    classifier, matcher = ClipClassifier(checkpoint("clip")), ClipMatcher(checkpoint("clip"))
    classifier([{"image": p, "options": OPTIONS} for p in [*pictures, *pictures]])
    matcher([{"image": pictures[0], "text": "Dog"}, {"image": pictures[1], "text": "a dog"}])
    assert seen == {"images": len(pictures), "texts": len(OPTIONS) * len(templates("crops"))}


def test_scores_are_shares(checkpoint: Folder, pictures: list[Image]) -> None:
    for matcher in (ClipMatcher(checkpoint("clip")), SiglipMatcher(checkpoint("siglip"))):
        scores = matcher([{"image": p, "text": t} for p in pictures for t in OPTIONS])
        assert all(isinstance(s, float) and 0 <= s <= 1 for s in scores)
        assert len(set(scores)) > 1


def test_a_region_is_seen_with_a_margin(checkpoint: Folder, region: Region) -> None:
    matcher = ClipMatcher(checkpoint("clip"), margin=0.1)
    assert region.image is not None
    crop = region.image.crop(region.box.expand(0.1 * region.width))
    one, other = matcher([{"image": region, "text": "car"}, {"image": crop, "text": "car"}])
    assert one == other
    speck = Region(Box(5, 5, 5, 5), "car", 1.0, region.image)
    assert isinstance(matcher([{"image": speck, "text": "car"}])[0], float)


def test_one_bad_call_spoils_no_other(checkpoint: Folder, region: Region) -> None:
    classifier = ClipClassifier(checkpoint("clip"))
    homeless = Region(region.box, "car")
    outside = Region(Box(500, 500, 510, 510), "car", 1.0, region.image)
    results = classifier(
        [
            {"image": region, "options": OPTIONS},
            {"image": region, "options": []},
            {"image": homeless, "options": OPTIONS},
            {"image": outside, "options": OPTIONS},
            {"image": region, "options": ["dog", " "]},
            {"image": region, "options": ["dog"]},
        ]
    )
    assert results[0] in OPTIONS and results[5] == "dog"
    assert [type(r) for r in results[1:5]] == [ToolError, ToolError, ImageError, ToolError]
    assert "no options" in str(results[1]) and "does not know its picture" in str(results[2])


def test_a_statement_is_held_against_its_head_and_the_label(checkpoint: Folder, region: Region) -> None:
    heads = {
        "a person wearing a hat": "a person",
        "the door is open": "the door",
        "there is a dog on the sofa": "a dog",
        "a red car": None,
    }
    assert {s: (m[1] if (m := HEAD.match(s)) else None) for s in heads} == heads
    verifier = ClipVerifier(checkpoint("clip"))
    asked = verifier._prepare(region, "a person wearing a hat")
    assert asked.texts[0] == "a person wearing a hat"
    assert asked.texts[-2:] == ["a person", "car"]
    assert "car" not in verifier._prepare(region, "car").texts[1:]
    calls = [{"image": region, "statement": s} for s in heads]
    assert ClipVerifier(checkpoint("clip"), threshold=0.0)(calls) == [True] * 4
    assert ClipVerifier(checkpoint("clip"), threshold=1.01)(calls) == [False] * 4
    assert all(isinstance(r, bool) for r in verifier(calls))
