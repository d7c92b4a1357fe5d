"""CLIP and SigLIP behind classify, match and verify."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from visprog.errors import ImageError, ToolError
from visprog.prompts import templates
from visprog.tools.backends._checkpoint import Checkpoint, CheckpointSource, find
from visprog.tools.backends._dual_encoder import DualEncoder, dual_encoder
from visprog.tools.backends._loading import load_by_transformers
from visprog.tools.backends.clip import HEAD, ClipClassifier, ClipMatcher, ClipVerifier
from visprog.tools.backends.siglip import SiglipMatcher
from visprog.tools.classify import classify, match, verify
from visprog.values import Box, Region
from visprog.values.image import Image

Folder = Callable[[str], str]
KIND = pytest.mark.parametrize("kind", ["clip", "siglip"])
IMPLEMENTATION = pytest.mark.parametrize("implementation", ["visprog", "transformers"])
OPTIONS = ["cat", "dog", "red car", "person"]


def encoder_of(folder: str, implementation: str = "visprog") -> DualEncoder:
    source = find(folder, "match")
    if implementation == "visprog":
        return dual_encoder(source, "auto", "auto")
    return DualEncoder(load_by_transformers(source, "AutoModel", "auto", "auto"))


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
@IMPLEMENTATION
def test_scores_against_the_network_itself(
    implementation: str, kind: str, checkpoint: Folder, pictures: list[Image]
) -> None:
    loaded = load_by_transformers(find(checkpoint(kind), "match"), "AutoModel", "auto", "auto")
    encoder = encoder_of(checkpoint(kind), implementation)
    (text,) = encoder.encode_texts(["a photo of a dog."], ("{}",), 1)
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
    logits = encoder.logit_scale * images @ text + (encoder.logit_bias or 0)
    assert np.allclose(output.logits_per_image.numpy()[:, 0], logits, atol=1e-3)


def test_a_text_is_the_mean_over_the_templates(checkpoint: Folder) -> None:
    encoder = encoder_of(checkpoint("clip"))
    assert len(templates("crops")) >= 3 and all("{}" in line for line in templates("crops"))
    (feature,) = encoder.encode_texts(["red car"], templates("crops"), 4)
    lines = [line.replace("{}", "red car") for line in templates("crops")]
    mean = encoder.encode_texts(lines, ("{}",), 4).mean(0)
    assert np.allclose(feature, mean / np.linalg.norm(mean), atol=1e-6)


def test_equal_inputs_are_computed_once(
    checkpoint: Folder, pictures: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = encoder_of(checkpoint("clip")).checkpoint.network
    seen = {"images": 0, "texts": 0}
    real_images, real_texts = network.encode_images, network.encode_texts

    def images(pixels: torch.Tensor) -> object:
        seen["images"] += len(pixels)
        return real_images(pixels)

    def texts(ids: torch.Tensor) -> object:
        seen["texts"] += len(ids)
        return real_texts(ids)

    monkeypatch.setattr(network, "encode_images", images)
    monkeypatch.setattr(network, "encode_texts", texts)
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
    assert "no options" in str(results[1]) and "does not know its image" in str(results[2])


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


@KIND
def test_a_denied_statement_is_true_if_the_one_without_is_false(
    kind: str, checkpoint: Folder, pictures: list[Image]
) -> None:
    verifier = verify.load(kind, (("model", checkpoint(kind)),))
    asked, denied, twice = (
        verifier([{"image": p, "statement": s} for p in pictures])
        for s in ("a red car", "not a red car", "not not a red car")
    )
    assert [not truth for truth in asked] == denied and asked == twice


@pytest.mark.parametrize("kind", ["siglip2", "metaclip_2"])
def test_types_that_are_not_implemented_here_are_loaded_by_transformers(kind: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    (tmp_path / "model.safetensors").write_bytes(b"x")
    loaded: list[str] = []

    def load(source: CheckpointSource, architecture: str, device: str, dtype: str) -> Checkpoint:
        loaded.append(source.model_type)
        raise ToolError("not read")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("visprog.tools.backends._dual_encoder.load_by_transformers", load)
        (error,) = ClipMatcher(str(tmp_path))(
            [{"image": Image(np.zeros((8, 8, 3), np.uint8)), "text": "dog"}]
        )
    assert str(error) == "not read" and loaded == [kind]


def test_a_region_is_judged_by_the_features_of_its_image(checkpoint: Folder, pictures: list[Image]) -> None:
    folder, picture = checkpoint("clip"), pictures[0]
    region = Region(Box(10, 5, 40, 30), "cat", image=picture)
    crops, pooled = ClipMatcher(folder), ClipMatcher(folder, regions=True)
    calls = [{"image": seen, "text": "cat"} for seen in (region, picture, region)]
    by_crop, by_feature = crops(calls), pooled(calls)
    assert by_feature[0] == by_feature[2] != by_crop[0] and by_feature[1] == pytest.approx(by_crop[1])
    network = pooled.encoder.checkpoint.network
    processor = pooled.encoder.checkpoint.processor.image_processor
    boxes = torch.from_numpy(processor.fit_boxes(np.array([[10, 5, 40, 30]]), (40, 60)))
    with torch.inference_mode():
        _, feature = network.encode_regions(processor([picture.pixels]), boxes, torch.tensor([0]))
    found = pooled.encoder.encode_views([region, picture], 1)
    assert np.allclose(found[0], feature[0].numpy(), atol=1e-5)
    assert np.allclose(found[1], pooled.encoder.encode_images([picture], 1)[0])


def test_a_folder_says_whether_its_model_learned_regions(tmp_path: Path) -> None:
    (tmp_path / "backend.json").write_text(json.dumps({"options": {"regions": True}}))
    assert ClipMatcher(str(tmp_path)).regions and not ClipMatcher(str(tmp_path), regions=False).regions


def test_a_model_without_features_of_regions_says_so(checkpoint: Folder, pictures: list[Image]) -> None:
    region = Region(Box(10, 5, 40, 30), image=pictures[0])
    (found,) = SiglipMatcher(checkpoint("siglip"), regions=True)([{"image": region, "text": "cat"}])
    assert isinstance(found, ToolError) and "has no features of regions" in str(found)
