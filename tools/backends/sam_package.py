"""The package `segment-anything` without torchvision, its networks built from the shapes of their weights.

The package imports four functions of torchvision. Where torchvision is missing, or does not fit the installed
torch, stand-ins take their place while the package is imported, and nothing of them stays visible afterwards.
"""

from __future__ import annotations

import importlib
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from visprog.errors import MissingExtra, ToolError

from ._checkpoint import first_line

_importing = threading.Lock()


def import_package() -> Any:
    """The module `segment_anything`.

    Raises:
        MissingExtra: it is not installed.
    """
    with _importing:
        if "segment_anything" in sys.modules:
            return sys.modules["segment_anything"]
        if _torchvision_works():
            return _import()
        with _stand_in():
            return _import()


def _import() -> Any:
    try:
        return importlib.import_module("segment_anything")
    except ModuleNotFoundError:
        raise MissingExtra("the segment-anything backend of segment", "sam") from None


def _torchvision_works() -> bool:
    try:
        importlib.import_module("torchvision.ops")
        importlib.import_module("torchvision.transforms.functional")
    except (ImportError, RuntimeError, AttributeError, OSError):
        return False  # a build for another torch fails in many ways
    return True


@contextmanager
def _stand_in() -> Iterator[None]:
    names = ("torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms",
             "torchvision.transforms.functional")  # fmt: skip
    hidden = {n: sys.modules.pop(n) for n in list(sys.modules) if n.partition(".")[0] == "torchvision"}
    modules = {name: types.ModuleType(name) for name in names}
    vars(modules["torchvision.ops.boxes"]).update(batched_nms=batched_nms, box_area=box_area)
    vars(modules["torchvision.transforms.functional"]).update(resize=resize, to_pil_image=to_pil_image)
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(hidden)


def box_area(boxes: Any) -> Any:
    """(N, 4) corners → (N,) areas."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def batched_nms(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
    """Indices, best first, of the boxes (N, 4) that no better one of their class overlaps by more."""
    import torch

    order = scores.argsort(descending=True, stable=True)
    areas = box_area(boxes)
    kept = []
    while len(order):
        first, order = order[0], order[1:]
        kept.append(first)
        low = torch.maximum(boxes[first, :2], boxes[order, :2])
        high = torch.minimum(boxes[first, 2:], boxes[order, 2:])
        shared = (high - low).clamp(min=0).prod(1)
        iou = shared / (areas[first] + areas[order] - shared)
        order = order[(iou <= iou_threshold) | (idxs[order] != idxs[first])]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.int64, device=boxes.device)


def to_pil_image(pixels: Any) -> Any:
    """uint8 (H, W, 3) → a PIL image."""
    import PIL.Image

    return PIL.Image.fromarray(pixels)


def resize(picture: Any, size: Any) -> Any:
    """A PIL image at (height, width), bilinear."""
    import PIL.Image

    return picture.resize((size[1], size[0]), PIL.Image.Resampling.BILINEAR)


def read_weights(path: Path) -> Mapping[str, Any]:
    """The tensors of a checkpoint file; of a *.pth only tensors are read, never objects.

    Raises:
        ToolError: no such file, or it holds more or less than tensors.
    """
    import torch

    if not path.is_file():
        raise ToolError(f"segment: no such file: {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            weights: Any = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and safetensors readers each raise their own kinds
        raise ToolError(f"segment: {path} is no file of tensors: {first_line(error)}") from error
    if not isinstance(weights, Mapping):
        raise ToolError(f"segment: {path} is no SAM checkpoint")
    return weights


def build(weights: Mapping[str, Any], name: str) -> Any:
    """The network that these weights belong to, any size of it, with them in it.

    Raises:
        ToolError: they are not SAM's.
    """
    modeling = importlib.import_module("segment_anything.modeling")
    import torch

    def shape(key: str) -> tuple[int, ...]:
        return tuple(weights[key].shape)

    def count(prefix: str) -> int:
        """How many numbered parts there are under a prefix."""
        return len({key.removeprefix(prefix).split(".")[0] for key in weights if key.startswith(prefix)})

    try:
        width, _, _, patch = shape("image_encoder.patch_embed.proj.weight")
        grid = shape("image_encoder.pos_embed")[1]
        depth = count("image_encoder.blocks.")
        reach = [shape(f"image_encoder.blocks.{i}.attn.rel_pos_h") for i in range(depth)]
        windows = [(r[0] + 1) // 2 for r in reach]  # relative positions from -(side - 1) to side - 1
        prompt = shape("image_encoder.neck.0.weight")[0]
        network = modeling.Sam(
            image_encoder=modeling.ImageEncoderViT(
                img_size=grid * patch,
                patch_size=patch,
                embed_dim=width,
                depth=depth,
                num_heads=width // reach[0][1],
                mlp_ratio=shape("image_encoder.blocks.0.mlp.lin1.weight")[0] / width,
                out_chans=prompt,
                norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
                use_rel_pos=True,
                window_size=min(windows),
                global_attn_indexes=tuple(i for i, w in enumerate(windows) if w == grid),
            ),
            prompt_encoder=modeling.PromptEncoder(
                embed_dim=prompt,
                image_embedding_size=(grid, grid),
                input_image_size=(grid * patch, grid * patch),
                mask_in_chans=4 * shape("prompt_encoder.mask_downscaling.0.weight")[0],
            ),
            mask_decoder=modeling.MaskDecoder(
                transformer_dim=prompt,
                num_multimask_outputs=shape("mask_decoder.mask_tokens.weight")[0] - 1,
                transformer=modeling.TwoWayTransformer(
                    depth=count("mask_decoder.transformer.layers."),
                    embedding_dim=prompt,
                    mlp_dim=shape("mask_decoder.transformer.layers.0.mlp.lin1.weight")[0],
                    num_heads=8,
                ),
                iou_head_depth=count("mask_decoder.iou_prediction_head.layers."),
                iou_head_hidden_dim=shape("mask_decoder.iou_prediction_head.layers.0.weight")[0],
            ),
        )
        network.load_state_dict(weights)
    except (KeyError, IndexError, ValueError, RuntimeError, AttributeError, AssertionError) as error:
        raise ToolError(f"segment: {name} is no SAM checkpoint: {first_line(error)}") from error
    return network.eval()
