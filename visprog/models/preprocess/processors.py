"""Processors of transformers on a machine without torchvision.

Transformers prepares videos, and the images of some models, with torchvision. Of a processor that also takes videos,
everything but these is loaded here. Images are resized by PIL, whose results differ from those of torchvision by a
level in a few pixels (`tests/tools/backends/test_processors.py`); for image-text-to-text models, by the function of
torch that torchvision calls. A torchvision that is installed and works is used.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ...errors import ToolError, first_line
from ...files.plain_text import read_json

OTHER_SENSES = ("video_processor", "feature_extractor", "audio_processor")
"""Parts of a processor that prepare what is no image and no text."""


OWN_IMAGE_PROCESSORS = {
    "depth_pro": "depth_pro:DepthProProcessor",
    "gemma4": "gemma4:Gemma4ImageProcessor",
    "gemma4_unified": "gemma4:Gemma4UnifiedImageProcessor",
    "lfm2_vl": "lfm2_vl:Lfm2VlImageProcessor",
    "molmo2": "molmo2:Molmo2ImageProcessor",
    "rf_detr": "rf_detr:RfDetrProcessor",
}
"""Type of a model whose image processor in transformers needs torchvision, or resizes otherwise without it → ours in
`visprog.models.preprocess`."""


class MissingPart:
    """In the place of a part that prepares what nobody asks for: all its settings are None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


@cache
def torchvision_problem() -> str:
    """Why the installed torchvision cannot be imported, and the way out; empty if it can, or if there is none."""
    if find_spec("torchvision") is None:
        return ""
    import torch

    try:
        import_module("torchvision")
    except Exception as error:  # one that was built for another torch raises a RuntimeError
        return (
            f"the installed torchvision does not work with torch {torch.__version__} ({first_line(error)}), and "
            "transformers fails beside it: pip uninstall torchvision, which visprog does not need, or install the "
            "one that fits"
        )
    return ""


def sees_images(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is that of an image-text-to-text model of transformers."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    named = config.get("architectures") or ()
    return any(name in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.values() for name in named)


def type_problem(model_type: str) -> str:
    """Why transformers cannot run an image-text-to-text model of a type here, which needs no file of the model to be
    known; empty if it can, or does not work at all."""
    if find_spec("transformers") is None or torchvision_problem():
        return ""
    import transformers
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    if model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return f"which is no image-text-to-text model that transformers {transformers.__version__} knows"
    kinds = IMAGE_PROCESSOR_MAPPING_NAMES.get(model_type)
    alone = isinstance(kinds, dict) and set(kinds) == {"torchvision"}
    if alone and model_type not in OWN_IMAGE_PROCESSORS and find_spec("torchvision") is None:
        return "which prepares images with torchvision, and that is not installed"
    return ""


def load_processor(place: str, model_type: str, **options: Any) -> Any:
    """The processor of a public checkpoint, for images and texts.

    Args:
        place: Folder or hub id.
        model_type: Type of the model in its `config.json`.
        options: Passed on to `from_pretrained`.

    Raises:
        ToolError: It prepares images with torchvision alone, which is not installed.
    """
    import transformers

    kind = None if find_spec("torchvision") else _processor_class(place, model_type)
    in_parts = kind and (model_type in OWN_IMAGE_PROCESSORS or set(OTHER_SENSES) & set(kind.get_attributes()))
    if kind is None or not in_parts:
        return transformers.AutoProcessor.from_pretrained(place, **options)

    # The processor of SmolVLM asks for num2words, with which it describes videos, and which need not be installed.
    module: Any = sys.modules[kind.__module__]
    if getattr(module, "num2words", str) is None:
        module.num2words = str
    parts: dict[str, Any] = {
        "image_processor": load_image_processor(place, model_type, **options),
        "tokenizer": transformers.AutoTokenizer.from_pretrained(place, **options),
    }
    settings, _ = kind.get_processor_dict(place, **options)
    given = [parts.get(name, MissingPart()) for name in kind.get_attributes()]
    return _with_missing_parts(kind).from_args_and_dict(given, settings)


def load_image_processor(place: str, model_type: str, **options: Any) -> Any:
    """The image processor of a public checkpoint.

    Raises:
        ToolError: It works with torchvision alone, which is not installed.
    """
    import transformers

    if model_type in OWN_IMAGE_PROCESSORS and find_spec("torchvision") is None:
        settings, _ = transformers.ImageProcessingMixin.get_image_processor_dict(place, **options)
        return _own_image_processor(model_type)(settings)
    try:
        return transformers.AutoImageProcessor.from_pretrained(place, **options)
    except (ImportError, ValueError) as error:
        if find_spec("torchvision") is None and "torchvision" in str(error).lower():
            raise ToolError(
                f"models of the type {model_type} prepare images with torchvision, which is not installed: choose "
                "another model, or install the torchvision that fits your torch"
            ) from error
        raise


def resize_as_torchvision(image_processor: Any) -> Any:
    """An image processor of transformers that works with PIL, made to resize by the function that torchvision calls, as
    transformers does beside torchvision; any other as it is."""
    from transformers.image_processing_backends import PilBackend

    kind = type(image_processor)
    if isinstance(image_processor, PilBackend):
        image_processor.__class__ = type(kind.__name__, (kind, _torch_resizing(PilBackend)), {})
    return image_processor


@cache
def _torch_resizing(base: Any) -> Any:
    """A `PilBackend`, to stand before it among the bases of an image processor, that resizes as torchvision does."""
    import numpy as np
    import torch
    import torch.nn.functional as F

    modes = {1: "lanczos", 2: "bilinear", 3: "bicubic"}  # by PIL's numbers

    class TorchResizing(base):
        def resize(self, image: Any, size: Any, resample: Any = None, **options: Any) -> Any:
            """An image (3, height, width) at another size."""
            mode = modes.get(2 if resample is None else int(resample))
            if image.dtype != np.uint8 or not (size.height and size.width and mode):
                return super().resize(image, size, resample=resample, **options)
            if image.shape[1:] == (size.height, size.width):
                return image
            plane = torch.from_numpy(np.ascontiguousarray(image))[None]
            try:
                return F.interpolate(plane, (size.height, size.width), mode=mode, antialias=True)[0].numpy()
            except NotImplementedError:  # an older torch has no Lanczos filter
                return super().resize(image, size, resample=resample, **options)

    return TorchResizing


def _own_image_processor(model_type: str) -> Any:
    """The class of our image processor for a type of models."""
    module, _, name = OWN_IMAGE_PROCESSORS[model_type].partition(":")
    return getattr(import_module(f"visprog.models.preprocess.{module}"), name)


def _processor_class(place: str, model_type: str) -> Any:
    """The class of a checkpoint's processor; None if it has none, or one that is not known."""
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    from ..checkpoint.hub import locate

    folder = locate(place)
    files = (
        folder / f"{name}.json" for name in ("processor_config", "preprocessor_config", "tokenizer_config")
    )
    named = (read_json(file).get("processor_class") for file in files if file.is_file())
    name = next((name for name in named if name), PROCESSOR_MAPPING_NAMES.get(model_type))
    found = getattr(transformers, name, None) if name else None
    return found if hasattr(found, "get_attributes") else None


def _with_missing_parts(kind: Any) -> Any:
    """The class of a processor, which also takes a `MissingPart`, and an image processor of ours."""

    class ImageTextProcessor(kind):
        """The processor of the checkpoint, without what prepares other things than images and texts."""

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            """As that of transformers; a part may be missing, or ours."""
            if isinstance(argument, MissingPart) or type(argument).__module__.startswith("visprog."):
                return type(argument)
            return super().check_argument_for_proper_class(argument_name, argument)

        def __repr__(self) -> str:
            return f"{kind.__name__} without videos"

    return ImageTextProcessor
