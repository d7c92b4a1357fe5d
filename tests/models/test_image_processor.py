"""Pictures prepared as the image processors of transformers prepare them."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from visprog.models.preprocess.hub import BY_TORCH, KINDS  # noqa: E402
from visprog.models.preprocess.image_processor import ImageProcessor, centre_crop, pad_to_square, resize  # noqa: E402
from visprog.models.preprocess.resample import GAUSSIAN, smooth  # noqa: E402

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
    "owlv2": ("Owlv2ImageProcessorPil", {"size": {"height": 48, "width": 48}}),
    "owlv2, enlarged, not square": ("Owlv2ImageProcessorPil", {"size": {"height": 250, "width": 301}}),
    "owlv2, not padded": ("Owlv2ImageProcessorPil", {"size": {"height": 32, "width": 40}, "do_pad": False}),
    "owlv2, as it is": ("Owlv2ImageProcessorPil", {"do_resize": False, "do_rescale": False}),
    "llava": ("LlavaImageProcessorPil", {"size": {"shortest_edge": 40}, "crop_size": 40}),
    "llava, padded": ("LlavaImageProcessorPil", {"size": {"shortest_edge": 40}, "crop_size": 40, "do_pad": True}),
    "llava, padded, not normalised": ("LlavaImageProcessorPil", {"do_pad": True, "do_normalize": False}),
    "vit, another range": ("ViTImageProcessorPil", {"size": 32, "rescale_factor": 1 / 127.5, "image_mean": 1.0}),
    "blip": ("BlipImageProcessorPil", {"size": {"height": 40, "width": 40}, "do_rescale": False}),
    "deit": ("DeiTImageProcessorPil", {"size": 64, "crop_size": 56}),
    "clip, size a number": ("CLIPImageProcessorPil", {"size": 50, "crop_size": 40, "resample": 4}),
    "clip, padded": (
        "CLIPImageProcessorPil",
        {"size": {"height": 40, "width": 30}, "do_center_crop": False, "do_pad": True,
         "pad_size": {"height": 48, "width": 32}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROCESSORS)
def test_as_transformers_prepares_them(name: str, tmp_path: Path) -> None:
    kind, options = PROCESSORS[name]
    theirs = getattr(transformers, kind)(**options)
    theirs.save_pretrained(tmp_path)
    ours = ImageProcessor.from_pretrained(tmp_path)
    assert_alike(ours, theirs)


def assert_alike(ours: ImageProcessor, theirs: Any) -> None:
    rng = np.random.default_rng(0)
    for height, width in SIZES:
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        want = theirs(images=picture, input_data_format="channels_last", return_tensors="pt")["pixel_values"]
        tolerance = 1e-5 * max(1.0, float(want.abs().max()) / 10)  # of 0…255, if values stay as they are
        torch.testing.assert_close(ours([picture]), want.float(), atol=tolerance, rtol=1e-5)


FOLDERS = {"Sam2": "sam2", "Sam3": "sam3", "DINOv3ViT": "dinov3_vit", "DepthPro": "depth_pro"}
"""Kinds that transformers can import beside torchvision alone, and their folders there. An RF-DETR without a size is
refused."""


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in BY_TORCH])
@pytest.mark.parametrize("ending", ["ImageProcessor", "ImageProcessorFast", "FeatureExtractor"])
def test_what_a_file_leaves_out_is_as_in_transformers(kind: str, ending: str) -> None:
    key = "feature_extractor_type" if ending == "FeatureExtractor" else "image_processor_type"
    theirs = getattr(transformers, f"{kind}ImageProcessorPil")()
    settings = {k: v for k, v in theirs.to_dict().items() if not k.startswith("mask_")}
    assert ImageProcessor.from_hub({key: kind + ending}) == ImageProcessor.from_hub(settings)


@pytest.mark.parametrize("kind", FOLDERS)
def test_what_a_file_leaves_out_is_as_in_the_source_of_transformers(kind: str) -> None:
    from transformers import image_utils

    name = FOLDERS[kind]
    source = Path(transformers.__file__).parent / "models" / name / f"image_processing_{name}.py"
    tree = ast.parse(source.read_text(encoding="utf-8"))
    (found,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == f"{kind}ImageProcessor")
    settings = {
        ast.unparse(node.targets[0]): eval(ast.unparse(node.value), dict(vars(image_utils)))
        for node in found.body
        if (isinstance(node, ast.Assign) and not isinstance(node.value, ast.Name | ast.Call))
        or (isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("IMAGENET"))
    }
    settings |= {"resample": int(settings["resample"]), "image_processor_type": f"{kind}ImageProcessorFast"}
    settings.pop("valid_kwargs", None)
    assert {"size", "image_mean", "image_std"} <= settings.keys()
    assert ImageProcessor.from_hub(
        {"image_processor_type": f"{kind}ImageProcessor"}
    ) == ImageProcessor.from_hub(settings)


def test_a_processor_in_one_file_with_the_tokenizer(tmp_path: Path) -> None:
    """As transformers 5 saves it; it counts before an older file beside it."""
    nested = transformers.SamImageProcessorPil(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}
    )
    transformers.SamProcessor(nested).save_pretrained(tmp_path)
    assert not (tmp_path / "preprocessor_config.json").exists()
    assert_alike(ImageProcessor.from_pretrained(tmp_path), nested)
    transformers.CLIPImageProcessorPil().save_pretrained(tmp_path)
    assert ImageProcessor.from_pretrained(tmp_path).longest == 64
    (tmp_path / "processor_config.json").write_text('{"processor_class": "LlavaProcessor", "patch_size": 14}')
    assert ImageProcessor.from_pretrained(tmp_path).shortest == 224


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_processor_type": "Siglip2ImageProcessor"}, "'Siglip2ImageProcessor' is not implemented"),
        ({"image_processor_type": "LlavaNextImageProcessorFast"}, "'LlavaNextImageProcessorFast' is not"),
        ({"image_processor_type": "EfficientNetImageProcessor"}, "'EfficientNetImageProcessor'"),
        ({"image_processor_type": "ConvNextImageProcessor"}, "'ConvNextImageProcessor'"),
        ({"image_processor_type": "Qwen2VLImageProcessor"}, "'Qwen2VLImageProcessor'"),
        ({"rescale_offset": True}, "rescale_offset = True"),
        ({"size_divisor": 32}, "size_divisor = 32"),
        ({"image_grid_pinpoints": [[336, 672]]}, "image_grid_pinpoints"),
        ({"max_num_patches": 256}, "max_num_patches = 256"),
        ({"crop_pct": 0.875}, "crop_pct = 0.875"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order"),
        ({"auto_map": {"AutoImageProcessor": "own.Own"}}, "auto_map"),
        ({"data_format": "channels_last"}, "data_format"),
        ({"resample": "sinc"}, "resample 'sinc' is no filter"),
        ({"resample": 9}, "resample 9 is no filter"),
        ({"size": {"shortest_edge": 224, "longest_edge": 448}}, "no size of images"),
        ({"size": {"longest_edge": 224}}, "no size of images"),
        ({"size": {"max_height": 224, "max_width": 224}}, "no size of images"),
        ({"size": {"min_pixels": 3136, "max_pixels": 12845056}}, "no size of images"),
        ({"size": [224, 224, 3]}, "no height and width"),
        ({"size": "224"}, "no height and width"),
        ({"size": {"shortest_edge": 224.5}}, "no height and width"),
        ({"size": {"height": 0, "width": 224}}, "no height and width"),
        ({"crop_size": {"shortest_edge": 224}}, "crop_size .* is no height and width"),
        ({"image_mean": [0.5]}, "image_mean has a number for each"),
        ({"image_std": [0.5, 0.5, 0.0]}, "has a 0"),
        ({"do_pad": True, "do_center_crop": False}, "do_pad without pad_size"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    raw = transformers.CLIPImageProcessorPil().to_dict() | changes
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(raw))
    with pytest.raises(ValueError, match=rf"preprocessor_config\.json: .*{message}"):
        ImageProcessor.from_pretrained(tmp_path)


@pytest.mark.parametrize("kind", ["Siglip2", "LlavaNext"])
def test_settings_alone_betray_a_kind_that_is_not_implemented(kind: str) -> None:
    raw = getattr(transformers, f"{kind}ImageProcessorPil")().to_dict()
    del raw["image_processor_type"]
    with pytest.raises(ValueError, match="is not implemented"):
        ImageProcessor.from_hub(raw)


@pytest.mark.parametrize(
    ("named", "number"), [("bicubic", 3), ("PILImageResampling.LANCZOS", 1), ("Resampling.BOX", 4)]
)
def test_filters_by_name(named: str, number: int) -> None:
    raw = {
        "image_processor_type": "CLIPImageProcessor",
        "resample": named,
        "size": {"shortest_edge": 9, "height": None},
    }
    assert (ImageProcessor.from_hub(raw).resample, ImageProcessor.from_hub(raw).shortest) == (number, 9)


@pytest.mark.parametrize("size", [(5, 7), (40, 3), (64, 64), (1, 1), (31, 200)])
def test_a_smooth_resize_is_that_of_scipy(size: tuple[int, int]) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    picture = np.random.default_rng(0).integers(0, 256, (31, 53, 3), dtype=np.uint8)
    factors = np.array([31 / size[0], 53 / size[1], 1])
    blurred = ndimage.gaussian_filter(picture.astype(float), np.maximum(0, (factors - 1) / 2), mode="mirror")
    want = ndimage.zoom(blurred, 1 / factors, order=1, mode="mirror", grid_mode=True)
    np.testing.assert_allclose(smooth(picture, size), want, atol=1e-3)
    assert ImageProcessor(size=size, resample=GAUSSIAN).fit(picture).dtype == np.uint8


def test_old_files_are_understood() -> None:
    """As CLIP's and OWL-ViT's first files on the hub have it."""
    clip = ImageProcessor.from_hub({"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224,
                            "do_center_crop": True, "resample": 3})  # fmt: skip
    assert (clip.shortest, clip.crop) == (224, (224, 224))
    owl = ImageProcessor.from_hub({"feature_extractor_type": "OwlViTFeatureExtractor", "size": [768, 768],
                           "crop_size": 768, "do_center_crop": False})  # fmt: skip
    assert (owl.size, owl.crop) == ((768, 768), None)
    rescaled = ImageProcessor.from_hub({"feature_extractor_type": "OwlViTFeatureExtractor", "rescale": False})
    assert rescaled.scale == 1
    with pytest.raises(ValueError, match="no size of images"):
        ImageProcessor.from_hub({"size": {"max_height": 3, "max_width": 4}})
    with pytest.raises(ValueError, match="neither an image_processor_type nor a size"):
        ImageProcessor.from_hub({"do_resize": True})


def test_saved_settings_load_again_and_wrong_input_is_named(tmp_path: Path) -> None:
    pixels = ImageProcessor(size=(8, 12), mean=(0.5,) * 3, std=(0.25,) * 3)
    pixels.save_pretrained(tmp_path)
    assert ImageProcessor.from_pretrained(tmp_path) == pixels
    (tmp_path / "image_processor.json").write_text('{"size": [8, 12], "blur": 2}')
    with pytest.raises(ValueError, match="blur is not known"):
        ImageProcessor.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"uint8 array .* not float64 \(4, 4, 3\)"):
        pixels([np.zeros((4, 4, 3))])
    with pytest.raises(ValueError, match="several sizes"):
        ImageProcessor()([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)])
    with pytest.raises(ValueError, match="5 x 4 does not fit into 4 x 4"):
        ImageProcessor(pad=(4, 4))([np.zeros((4, 5, 3), np.uint8)])
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere"):
        ImageProcessor.from_pretrained(tmp_path / "nowhere")


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
    pixels = ImageProcessor(shortest=96, longest=384, divisor=8)
    assert pixels([np.zeros((*given, 3), np.uint8)]).shape[2:] == expected
    assert not pixels.fixed and ImageProcessor(longest=96, pad=(96, 96)).fixed


def test_edges_are_drawn_out_to_a_square() -> None:
    pixels = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    wide = pad_to_square(pixels, 3)
    assert wide.shape == (12, 12, 3)
    assert np.array_equal(wide[5:7, 4:8], pixels)
    assert (wide[:6, :5] == pixels[0, 0]).all() and (wide[6:, 7:] == pixels[1, 3]).all()
    assert np.array_equal(pad_to_square(pixels, 0), pixels)
    assert np.array_equal(ImageProcessor(size=(4, 4), square=True).fit(pixels), pad_to_square(pixels))


@pytest.mark.parametrize(
    "processor",
    [
        ImageProcessor(size=(64, 64)),
        ImageProcessor(size=(64, 64), square=True),
        ImageProcessor(size=(64, 64), square=True, corner=True),
        ImageProcessor(shortest=64, crop=(64, 64)),
        ImageProcessor(shortest=41, crop=(40, 64)),
    ],
)
@pytest.mark.parametrize("size", [(90, 120), (120, 80), (64, 64)])
def test_boxes_follow_their_image(processor: ImageProcessor, size: tuple[int, int]) -> None:
    box = np.array([[30, 24, 54, 60]])
    image = np.zeros((*size, 3), np.uint8)
    image[24:60, 30:54] = 255
    fitted, (left, top, right, bottom) = processor.fit(image), processor.fit_boxes(box, size)[0]
    rows, columns = np.nonzero(fitted[..., 0] > 127)
    seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert np.abs(np.subtract(seen, (left, top, right, bottom))).max() <= 1


def test_a_box_outside_the_crop_is_empty() -> None:
    boxes = ImageProcessor(shortest=32, crop=(32, 32)).fit_boxes(np.array([[0, 0, 10, 10]]), (40, 200))
    assert boxes[0, 2] - boxes[0, 0] == 0
