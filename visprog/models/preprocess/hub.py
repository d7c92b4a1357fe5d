"""Image processors of hub checkpoints: their settings, and what those that a file leaves out stand for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..checkpoint.weight_files import few
from .resample import (
    BICUBIC,
    BILINEAR,
    BOX,
    GAUSSIAN,
    HAMMING,
    LANCZOS,
    LINEAR,
    LINEAR_LEVELS,
    LINEAR_SAMPLES,
    NEAREST,
)

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5)
IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}

_COMMON = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
_CLIP = {
    **_COMMON, "size": {"shortest_edge": 224}, "default_to_square": False, "crop_size": 224, "do_center_crop": True,
    "resample": BICUBIC, "image_mean": CLIP_MEAN, "image_std": CLIP_STD,
}  # fmt: skip
_SQUARE = {
    **_COMMON, "size": 224, "default_to_square": True, "resample": BICUBIC, "image_mean": HALF, "image_std": HALF,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "CLIP": _CLIP,
    "ChineseCLIP": _CLIP,
    "Bit": _CLIP,
    "Llava": _CLIP,
    "Siglip": {**_SQUARE, "size": {"height": 224, "width": 224}, "default_to_square": False},
    "ViT": {**_SQUARE, "resample": BILINEAR},
    "DeiT": {**_SQUARE, "size": 256, "crop_size": 224, "do_center_crop": True},
    "Blip": {**_SQUARE, "size": 384, "image_mean": CLIP_MEAN, "image_std": CLIP_STD},
    "OwlViT": {**_SQUARE, "size": 768, "crop_size": 768, "image_mean": CLIP_MEAN, "image_std": CLIP_STD},
    "Owlv2": {**_SQUARE, "size": 960, "do_pad": True, "image_mean": CLIP_MEAN, "image_std": CLIP_STD},
    "Sam": {
        **_SQUARE, "size": {"longest_edge": 1024}, "do_pad": True, "pad_size": 1024, "resample": BILINEAR, **IMAGENET,
    },
    "Sam2": {**_SQUARE, "size": 1024, "resample": BILINEAR, **IMAGENET},
    "Sam3": {**_SQUARE, "size": 1008, "resample": BILINEAR},
    "DINOv3ViT": {**_SQUARE, "resample": BILINEAR, **IMAGENET},
    "RfDetr": {**_SQUARE, "size": {"shortest_edge": 800}, "resample": BILINEAR, **IMAGENET},
    "DepthPro": {**_SQUARE, "size": 1536, "resample": BILINEAR},
}  # fmt: skip
"""Kinds of image processors, by the names of their classes in transformers without the endings, and the settings that
a file of them leaves out."""

BY_TORCH = {
    "Sam2": LINEAR_LEVELS, "Sam3": LINEAR_LEVELS, "DINOv3ViT": LINEAR, "RfDetr": LINEAR_SAMPLES,
    "DepthPro": LINEAR_SAMPLES,
}  # fmt: skip
"""Kinds that are published with torchvision alone, and how that stretches their images: the last three as floats."""

READ = frozenset(
    """
    crop_size data_format default_to_square do_center_crop do_normalize do_pad do_rescale do_resize
    feature_extractor_type image_mean image_processor_type image_std pad_size resample rescale rescale_factor size
    """.split()
)
HARMLESS = frozenset(
    """
    _valid_processor_keys device disable_grouping do_convert_annotations do_convert_rgb format image_seq_length
    input_data_format mask_pad_size mask_size model_input_names processor_class return_tensors use_fast
    """.split()
)
"""Settings that change nothing of one RGB image."""

FILTERS = {
    "NEAREST": NEAREST, "LANCZOS": LANCZOS, "ANTIALIAS": LANCZOS, "BILINEAR": BILINEAR, "LINEAR": BILINEAR,
    "BICUBIC": BICUBIC, "CUBIC": BICUBIC, "BOX": BOX, "HAMMING": HAMMING,
}  # fmt: skip


def hub_image_processor(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an `ImageProcessor`, from the settings of an image processor.

    Raises:
        ValueError: it is of a kind, or has a setting, that is not implemented; the message names it.
    """
    name = raw.get("image_processor_type") or raw.get("feature_extractor_type") or ""
    kind = re.sub(r"(ImageProcessor|FeatureExtractor)(Fast|Pil)?$", "", name)
    if name and kind not in KINDS:
        raise ValueError(
            f"image_processor_type '{name}' is not implemented, only {few(KINDS, len(KINDS))}, "
            "each followed by ImageProcessor"
        )
    unknown = [key for key, value in raw.items() if key not in READ | HARMLESS and value is not None]
    if unknown:
        raise ValueError(f"image processor: {few(f'{k} = {raw[k]!r}' for k in unknown)} is not implemented")
    given = {key: value for key, value in raw.items() if value is not None}
    if "rescale" in given:  # in the first files of OWL-ViT
        given.setdefault("do_rescale", given["rescale"])
    if str(given.get("data_format", "channels_first")).rpartition(".")[2].lower() not in (
        "channels_first",
        "first",
    ):
        raise ValueError(f"image processor: data_format {given['data_format']!r} is not implemented")
    settings = {**KINDS.get(kind, _COMMON), **given}
    fields = _sizes(settings, kind) | _values(settings)
    if kind == "Owlv2":  # its own: padded before all else, and never cropped
        fields |= {"resample": GAUSSIAN, "crop": None, "pad": None}
        if settings["do_pad"]:
            fields |= {"square": True, "corner": True, "fill": (0, 0, 0)}
    elif kind in BY_TORCH:
        if fields["resample"] != BILINEAR or not fields["size"]:
            raise ValueError(
                f"image processor: of a {kind} only a height and a width, and the filter bilinear, are implemented"
            )
        fields["resample"] = BY_TORCH[kind]
    elif kind == "Llava" and settings.get("do_pad"):
        colour = tuple(int(value * 255) for value in _three(settings, "image_mean"))
        fields |= {"square": True, "fill": colour, "pad": None}
    elif settings.get("do_pad") and fields["pad"] is None and not (fields["size"] or fields["crop"]):
        raise ValueError("image processor: do_pad without pad_size, to the largest image, is not implemented")
    return fields


def _sizes(settings: Mapping[str, Any], kind: str) -> dict[str, Any]:
    size: dict[str, int] = {}
    if settings["do_resize"]:
        if "size" not in settings:
            raise ValueError("image processor: it has neither an image_processor_type nor a size")
        given = settings["size"]
        if isinstance(given, int) and not settings.get("default_to_square"):
            given = {"shortest_edge": given}
        size = (
            _edges(given)
            if isinstance(given, dict)
            else dict(zip(("height", "width"), _pair(given, "size"), strict=True))
        )
        wanted = [{"longest_edge"}] if kind == "Sam" else [{"height", "width"}, {"shortest_edge"}]
        if set(size) not in (wanted if kind else [*wanted, {"longest_edge"}]):
            raise ValueError(f"image processor: {settings['size']} is no size of images that is known here")
        for edge in size.values():
            _pair(edge, "size")
    crop = pad = None
    if settings.get("do_center_crop"):
        crop = _pair(settings.get("crop_size"), "crop_size")
    if settings.get("do_pad") and settings.get("pad_size"):
        pad = _pair(settings["pad_size"], "pad_size")
    return {
        "size": (size["height"], size["width"]) if "height" in size else None,
        "shortest": size.get("shortest_edge"),
        "longest": size.get("longest_edge"),
        "crop": crop,
        "pad": pad,
    }


def _values(settings: Mapping[str, Any]) -> dict[str, Any]:
    normalise = settings["do_normalize"]
    std = _three(settings, "image_std") if normalise else (1.0, 1.0, 1.0)
    if not all(std):
        raise ValueError(f"image processor: image_std {settings['image_std']} has a 0, which divides nothing")
    return {
        "resample": _filter(settings.get("resample", BICUBIC)),
        "scale": float(settings["rescale_factor"]) if settings["do_rescale"] else 1.0,
        "mean": _three(settings, "image_mean") if normalise else (0.0, 0.0, 0.0),
        "std": std,
    }


def _filter(given: object) -> int:
    if isinstance(given, str):
        found = FILTERS.get(given.rpartition(".")[2].upper())
    else:
        found = given if isinstance(given, int) and 0 <= given < GAUSSIAN else None
    if found is None:
        raise ValueError(f"image processor: resample {given!r} is no filter that is known here")
    return found


def _three(settings: Mapping[str, Any], key: str) -> tuple[float, ...]:
    given = settings.get(key)
    values = (given,) * 3 if isinstance(given, int | float) else tuple(given or ())
    if len(values) != 3:
        raise ValueError(f"image processor: {key} has a number for each of three channels, not {given}")
    return tuple(map(float, values))


def _edges(size: Mapping[str, Any]) -> dict[str, int]:
    """The edges that are given; files of some versions name the others too, as null."""
    return {key: value for key, value in size.items() if value is not None}


def _pair(size: Any, key: str) -> tuple[int, int]:
    """(height, width) of a number, a pair or a mapping."""
    if isinstance(size, dict) and set(_edges(size)) == {"height", "width"}:
        size = (size["height"], size["width"])
    elif isinstance(size, int):
        size = (size, size)
    if (
        not isinstance(size, list | tuple)
        or len(size) != 2
        or not all(isinstance(n, int) and n > 0 for n in size)
    ):
        raise ValueError(f"image processor: {key} {size} is no height and width")
    return size[0], size[1]
