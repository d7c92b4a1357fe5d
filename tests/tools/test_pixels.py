"""Pictures prepared as the image processors of transformers prepare them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from visprog.tools.models.pixels import Pixels, centre_crop, framed, resize  # noqa: E402

SIZES = [(37, 61), (61, 37), (224, 224), (100, 33), (225, 300), (9, 200)]
PROCESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "clip": ("CLIPImageProcessorPil", {}),
    "clip, odd crop": (
        "CLIPImageProcessorPil",
        {"size": {"shortest_edge": 51}, "crop_size": {"height": 70, "width": 33}, "resample": 2},
    ),
    "clip, not resized": ("CLIPImageProcessorPil", {"do_resize": False, "do_normalize": False}),
    "siglip": ("SiglipImageProcessorPil", {"size": {"height": 96, "width": 96}}),
    "siglip, lanczos": ("SiglipImageProcessorPil", {"size": {"height": 51, "width": 80}, "resample": 1}),
    "owlvit": ("OwlViTImageProcessorPil", {"size": {"height": 64, "width": 64}}),
    "sam": (
        "SamImageProcessorPil",
        {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}},
    ),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_as_transformers_prepares_them(name: str, tmp_path: Path) -> None:
    kind, options = PROCESSORS[name]
    theirs = getattr(transformers, kind)(**options)
    theirs.save_pretrained(tmp_path)
    ours = Pixels.load(tmp_path)
    rng = np.random.default_rng(0)
    for height, width in SIZES:
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        want = theirs(images=picture, input_data_format="channels_last", return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(ours([picture]), want, atol=1e-5, rtol=1e-5)


def test_old_files_are_understood() -> None:
    """As CLIP's and OWL-ViT's first files on the hub have it."""
    clip = Pixels.from_hub({"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224,
                            "do_center_crop": True, "resample": 3})  # fmt: skip
    assert (clip.shortest, clip.crop) == (224, (224, 224))
    owl = Pixels.from_hub({"feature_extractor_type": "OwlViTFeatureExtractor", "size": [768, 768],
                           "crop_size": 768, "do_center_crop": False})  # fmt: skip
    assert (owl.size, owl.crop) == ((768, 768), None)
    with pytest.raises(ValueError, match="no size of pictures"):
        Pixels.from_hub({"size": {"max_height": 3, "max_width": 4}})


def test_saved_settings_load_again_and_wrong_input_is_named(tmp_path: Path) -> None:
    pixels = Pixels(size=(8, 12), mean=(0.5,) * 3, std=(0.25,) * 3)
    pixels.save(tmp_path)
    assert Pixels.load(tmp_path) == pixels
    with pytest.raises(ValueError, match=r"uint8 array .* not float64 \(4, 4, 3\)"):
        pixels([np.zeros((4, 4, 3))])
    with pytest.raises(ValueError, match="several sizes"):
        Pixels()([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)])
    with pytest.raises(ValueError, match="5 x 4 does not fit into 4 x 4"):
        Pixels(pad=(4, 4))([np.zeros((4, 5, 3), np.uint8)])
    with pytest.raises(ValueError, match=r"preprocessor_config\.json is missing"):
        Pixels.load(tmp_path / "nowhere")


def test_a_crop_larger_than_the_picture_is_black_around_it() -> None:
    white = np.full((2, 6, 3), 255, np.uint8)
    crop = centre_crop(white, (5, 4))
    assert crop[..., 0].tolist() == [[0] * 4, [0] * 4, [255] * 4, [255] * 4, [0] * 4]
    assert resize(white, (3, 3)).shape == (3, 3, 3)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((96, 96), (96, 96)),
        ((60, 80), (96, 128)),
        ((160, 90), (168, 96)),
        ((10, 300), (16, 384)),
        ((1, 900), (8, 384)),
    ],
)
def test_the_aspect_ratio_is_kept_in_whole_patches(given: tuple[int, int], expected: tuple[int, int]) -> None:
    pixels = Pixels(shortest=96, longest=384, divisor=8)
    assert pixels([np.zeros((*given, 3), np.uint8)]).shape[2:] == expected
    assert not pixels.fixed and Pixels(longest=96, pad=(96, 96)).fixed


def test_edges_are_drawn_out_to_a_square() -> None:
    pixels = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    wide = framed(pixels, 3)
    assert wide.shape == (12, 12, 3)
    assert np.array_equal(wide[5:7, 4:8], pixels)
    assert (wide[:6, :5] == pixels[0, 0]).all() and (wide[6:, 7:] == pixels[1, 3]).all()
    assert np.array_equal(framed(pixels, 0), pixels)
    assert np.array_equal(Pixels(size=(4, 4), square=True).fit(pixels), framed(pixels))
