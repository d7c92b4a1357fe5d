"""Regions of images: where they lie, what they are said to show, that a model finds its encoder again, and files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from visprog.models import OwlVit, RegionEncoder  # noqa: E402
from visprog.models.clip.model import ImageEncoder, ImageEncoderConfig, TextEncoderConfig  # noqa: E402
from visprog.models.nn.boxes import iou  # noqa: E402
from visprog.models.owlvit import OwlVitConfig  # noqa: E402
from visprog.models.preprocess.image_processor import ImageProcessor  # noqa: E402
from visprog.models.region_encoder import RegionEncoderConfig, read_regions, stack  # noqa: E402
from visprog.scenes import COLORS, SHAPES, Scenes  # noqa: E402


@pytest.fixture(scope="module")
def encoder() -> RegionEncoder:
    """The bundled detector, which tells shapes and colours."""
    colors = tuple(f"{color} thing" for color in COLORS)
    return RegionEncoder(RegionEncoderConfig(count=8, objects=SHAPES, attributes=colors))


def small(folder: Path, objectness: bool = True, detector: bool = True, **processor: object) -> Path:
    """A tiny detector, or the image encoder of a CLIP."""
    image = ImageEncoderConfig(size=32, patch=8, dim=16, layers=1, heads=2, hidden=32, project=16)
    text = TextEncoderConfig(vocab=20, length=6, dim=16, layers=1, heads=2, hidden=32, project=16)
    torch.manual_seed(0)
    model = OwlVit(OwlVitConfig(image, text, objectness)) if detector else ImageEncoder(image)
    model.save_pretrained(folder)
    ImageProcessor(**({"size": (32, 32)} | processor)).save_pretrained(folder)
    return folder


def test_every_object_is_proposed_and_told(encoder: RegionEncoder) -> None:
    scenes = [Scenes(96, split="val")[i] for i in range(12)]
    regions = encoder.encode([scene.pixels for scene in scenes])
    shapes, colors, found = 0, 0, 0
    for row, scene in enumerate(scenes):
        overlap = iou(torch.from_numpy(scene.boxes / 96)[:, None], regions.boxes[row][None])
        overlap = overlap.masked_fill(~regions.mask[row], 0)
        best, place = overlap.max(1)
        assert (best > 0.5).all() and len(set(place.tolist())) == len(scene.objects)
        for one, where in zip(scene.objects, place.tolist(), strict=True):
            found += 1
            shapes += SHAPES[int(regions.objects[row, where, 1:].argmax())] == one.shape
            colors += COLORS[int(regions.attributes[row, where].argmax())] == one.color
    assert shapes / found > 0.75 and colors / found > 0.9
    real = regions.mask
    assert torch.allclose(regions.objects[real].sum(-1), torch.ones(int(real.sum())), atol=1e-5)
    assert torch.allclose(regions.attributes[real].sum(-1), torch.ones(int(real.sum())), atol=1e-5)
    assert not regions.features[~real].any() and regions.features.shape[-1] == encoder.region_dim


def test_features_end_in_the_place_of_the_box(encoder: RegionEncoder) -> None:
    pixels = Scenes(96, split="val")[0].pixels
    boxes = np.array([[0.25, 0.5, 0.75, 0.75], [0, 0, 1, 1]], np.float32)
    found = encoder.encode([pixels], [boxes])
    assert found.mask.all() and torch.equal(found.boxes[0], torch.from_numpy(boxes))
    assert found.features[0, 0, -5:].tolist() == [0.25, 0.5, 0.75, 0.75, 0.125]
    more = encoder.encode([pixels], [boxes[:1]], complete=True)
    apart = iou(more.boxes[0, 1:], more.boxes[0, :1])
    assert more.mask.sum() > 1 and (apart <= encoder.config.nms).all()
    torch.testing.assert_close(more.features[:, :1], found.features[:, :1])


def test_a_batch_is_its_images(encoder: RegionEncoder) -> None:
    images = [Scenes(96, split="val")[i].pixels for i in range(3)] + [np.zeros((60, 90, 3), np.uint8)]
    whole = encoder.encode(images)
    each = [encoder.encode([image]) for image in images]
    for one, other in zip(whole, stack(each), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert whole.mask.any(1).all()  # an empty image has a region, too


def test_a_model_finds_its_encoder_again(tmp_path: Path) -> None:
    source, model = small(tmp_path / "owl"), tmp_path / "model"
    model.mkdir()
    encoder = RegionEncoder(RegionEncoderConfig(str(source), count=3))
    encoder.save_pretrained(model)
    again = RegionEncoder.from_pretrained(model)
    assert again.config == encoder.config and len(encoder.config.digest) == 16
    assert not (model / "model.safetensors").exists()
    state = {name: value + 1 for name, value in encoder.network.state_dict().items()}
    encoder.network.load_state_dict(state)
    encoder.network.save_pretrained(source)
    with pytest.raises(ValueError, match="are not those whose regions the model was trained on"):
        RegionEncoder.from_pretrained(model)
    (model / "region_encoder.json").write_text(json.dumps({"wonder": 1}))
    with pytest.raises(ValueError, match="wonder is not known here"):
        RegionEncoder.from_pretrained(model)
    (model / "region_encoder.json").unlink()
    with pytest.raises(ValueError, match=r"region_encoder\.json is missing"):
        RegionEncoder.from_pretrained(model)


def test_what_an_encoder_cannot_do_is_refused(tmp_path: Path) -> None:
    clip = RegionEncoder(RegionEncoderConfig(str(small(tmp_path / "clip", detector=False))))
    image = np.zeros((32, 40, 3), np.uint8)
    assert clip.encode([image], [np.array([[0, 0, 0.5, 1]])]).features.shape == (1, 1, 37)
    with pytest.raises(ValueError, match="proposes no regions: take an OWLv2"):
        clip.encode([image])
    with pytest.raises(ValueError, match="is no detector, and tells no objects"):
        RegionEncoder(RegionEncoderConfig(str(tmp_path / "clip"), objects=("cat",)))
    plain = RegionEncoder(RegionEncoderConfig(str(small(tmp_path / "owl", objectness=False)), count=1))
    with pytest.raises(ValueError, match="proposes no regions"):
        plain.encode([image])
    with pytest.raises(ValueError, match="2 to 2 regions; 1 to 1 can be read"):
        plain.encode([image], [np.zeros((2, 4))])
    with pytest.raises(ValueError, match="0 to 0 regions"):
        plain.encode([image], [np.zeros((0, 4))])
    with pytest.raises(ValueError, match="count must be positive"):
        RegionEncoderConfig(count=0)


@pytest.mark.parametrize("processor", [{"crop": (32, 32)}, {"square": True}, {"pad": (32, 32), "size": None}])
def test_the_whole_image_is_seen(tmp_path: Path, processor: dict[str, object]) -> None:
    encoder = RegionEncoder(RegionEncoderConfig(str(small(tmp_path, **processor))))
    assert encoder.processor.fit(np.zeros((20, 60, 3), np.uint8)).shape == (32, 32, 3)
    assert not (encoder.processor.crop or encoder.processor.square or encoder.processor.pad)


def test_files_of_regions(tmp_path: Path) -> None:
    features = np.arange(12, dtype=np.float32).reshape(3, 4)
    pixels = np.array([[0, 0, 50, 20], [10, 10, 100, 40], [0, 0, 1, 1]], np.float32)
    shares = pixels / [100, 40, 100, 40]
    labels = np.full((3, 6), 1 / 6, np.float32)
    for name, arrays in {
        "bottom_up": {"x": features, "bbox": pixels, "image_w": 100, "image_h": 40},
        "uniter": {"features": features, "norm_bb": np.c_[shares, shares[:, :3]], "soft_labels": labels},
    }.items():
        np.savez(tmp_path / name, **arrays)
        found = read_regions(tmp_path / f"{name}.npz")
        assert torch.equal(found.features[0], torch.from_numpy(features)) and found.mask.all()
        torch.testing.assert_close(found.boxes[0], torch.from_numpy(shares.astype(np.float32)))
        assert (found.objects is None) == (name == "bottom_up")
    np.save(tmp_path / "alone.npy", features)
    alone = read_regions(tmp_path / "alone.npy")
    assert alone.boxes.isnan().all() and torch.equal(alone.features[0], torch.from_numpy(features))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.zeros((2, 3))}, "holds no features of regions"),
        ({"x": np.zeros((0, 3))}, "holds no features of regions"),
        ({"x": np.zeros((2, 3)), "bbox": np.zeros((2, 4))}, "without 'image_w' and 'image_h'"),
        ({"x": np.zeros((2, 3)), "norm_bb": np.zeros((1, 4))}, "2 features, and boxes of the shape"),
        ({"x": np.array([[{"code": 1}]], object)}, "allow_pickle=False"),
    ],
)
def test_files_of_something_else(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "file.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read_regions(tmp_path / "file.npz")
