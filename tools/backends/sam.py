"""`segment` with SAM (Kirillov et al., 2023), by `transformers` or by the package `segment-anything`."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.values import Box, Mask, Point, Region
from visprog.values.image import Image

from ._batching import Memory, answer_together, chunks, to_rgb
from ._checkpoint import Checkpoint, first_line, load, pick_device, unload


class Ask(NamedTuple):
    """One call: the box, or the point where it has no extent, is in the image's own pixels."""

    image: Image
    place: Region | Point
    box: Box


class PromptedSegmenter:
    """What all ways to run SAM share: each picture is encoded once, its boxes and points are then cheap.

    Args:
        model: where the weights are.
        remembered: how many encoded pictures are kept.
    """

    def __init__(self, model: str | None, remembered: int) -> None:
        self.model = model
        self._encoded: Memory[str, Any] = Memory(remembered)

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    def _prepare(self, image: Image, region: Region | Point) -> Ask:
        frame = image.box
        if isinstance(region, Point):
            inside = frame.left <= region.x < frame.right and frame.top <= region.y < frame.bottom
            box = region.box if inside else None
        else:
            box = region.box.intersection(frame)
        if box is None:
            raise ToolError(f"nothing to segment: {_place(region)} lies outside the picture, {frame}")
        return Ask(image, region, image.to_local(box))

    def _answer(self, asked: list[Ask]) -> list[Any]:
        groups: dict[tuple[str, bool], list[int]] = {}
        for i, ask in enumerate(asked):
            groups.setdefault((ask.image.digest, is_point(ask.box)), []).append(i)
        results: list[Any] = [None] * len(asked)
        for members in groups.values():
            masks = self._masks(asked[members[0]].image, [asked[i].box for i in members])
            for i, mask in zip(members, masks, strict=True):
                results[i] = _finish(asked[i], mask)
        return results

    def _masks(self, image: Image, boxes: list[Box]) -> Iterable[NDArray[np.bool_]]:
        """For each box, or for each point where none of them has any extent, of SAM's three masks the one that it
        rates best: bool (H, W) of the image's size."""
        raise NotImplementedError


class SamSegmenter(PromptedSegmenter):
    """SAM in the form of transformers.

    Args:
        model: a folder, or a hub id.
        device: "cpu", "cuda", "mps"; "auto" takes a GPU where there is one.
        dtype: "float32", "bfloat16", "float16"; "auto" is the checkpoint's own.
        batch_size: how many boxes or points of one picture the decoder sees at once.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 32,
        remembered: int = 4,
    ) -> None:
        super().__init__(model or "facebook/sam-vit-base", remembered)
        self.device, self.dtype = device, dtype
        self.batch_size = batch_size

    def unload(self) -> None:
        """Let go of the weights."""
        unload(str(self.model))

    def _masks(self, image: Image, boxes: list[Box]) -> Iterable[NDArray[np.bool_]]:
        checkpoint = load(
            str(self.model), "segment", "SamModel", ("sam",), device=self.device, dtype=self.dtype
        )
        ((embedding, original, reshaped),) = self._encoded.get(
            [image.digest], lambda _: [self._encode(checkpoint, image)]
        )
        across, down = reshaped[1] / original[1], reshaped[0] / original[0]
        for part in chunks(boxes, self.batch_size):
            corners = [[b.left * across, b.top * down, b.right * across, b.bottom * down] for b in part]
            yield from self._decode(checkpoint, embedding, corners, original, reshaped)

    def _encode(self, checkpoint: Checkpoint, image: Image) -> tuple[Any, list[int], list[int]]:
        """The embedding (1, C, h, w), and (height, width) of the picture before and after resizing."""
        inputs = checkpoint.processor.image_processor([to_rgb(image)], return_tensors="pt")
        with checkpoint.running():
            pixels = checkpoint.send({"pixel_values": inputs["pixel_values"]})["pixel_values"]
            embedding = checkpoint.network.get_image_embeddings(pixels)
        original, reshaped = (
            [int(v) for v in inputs[key][0]] for key in ("original_sizes", "reshaped_input_sizes")
        )
        return embedding, original, reshaped

    def _decode(
        self,
        checkpoint: Checkpoint,
        embedding: Any,
        corners: list[list[float]],
        original: list[int],
        reshaped: list[int],
    ) -> NDArray[np.bool_]:
        """N boxes, or points, in the resized picture → masks (N, H, W)."""
        import torch

        boxes = torch.tensor([corners])
        if (boxes[..., :2] == boxes[..., 2:]).all():
            prompts = {"input_points": boxes[:, :, None, :2]}
        else:
            prompts = {"input_boxes": boxes}
        with checkpoint.running():
            output = checkpoint.network(
                image_embeddings=embedding, **checkpoint.send(prompts), multimask_output=True
            )
            best = output.iou_scores[0].argmax(-1)
            chosen = output.pred_masks[0, torch.arange(len(corners), device=best.device), best]
            (masks,) = checkpoint.processor.image_processor.post_process_masks(
                chosen[None, :, None].float(), [original], [reshaped]
            )
            array: NDArray[np.bool_] = masks[:, 0].cpu().numpy()
        return array


class SegmentAnythingSegmenter(PromptedSegmenter):
    """SAM in the form of its authors' package, from the checkpoint files that they give out.

    Args:
        model: a file, *.pth or *.safetensors; the size of the network is read from its tensors.
        device: "cpu", "cuda", "mps"; "auto" takes a GPU where there is one.
    """

    def __init__(self, model: str | None = None, *, device: str = "auto", remembered: int = 4) -> None:
        super().__init__(model, remembered)
        self.device = device
        self._lock = threading.RLock()
        self._network: Any = None

    def _masks(self, image: Image, boxes: list[Box]) -> Iterable[NDArray[np.bool_]]:
        with self._lock:
            network = self._load()
            import torch

            with torch.inference_mode():
                (predictor,) = self._encoded.get([image.digest], lambda _: [_predictor(network, image)])
                found = []
                for b in boxes:
                    box = np.array([b.left, b.top, b.right, b.bottom])
                    prompt = (
                        {"point_coords": box[None, :2], "point_labels": np.ones(1)}
                        if is_point(b)
                        else {"box": box}
                    )
                    masks, scores, _ = predictor.predict(**prompt, multimask_output=True)
                    found.append(masks[int(scores.argmax())])
        return found

    def _load(self) -> Any:
        if self._network is None:
            from .sam_package import build, import_package, read_weights

            if self.model is None:
                raise ToolError(
                    'segment: set model = "FILE", a SAM checkpoint such as sam_vit_b_01ec64.pth, under '
                    "[tools.segment] in visprog.toml"
                )
            import_package()
            network = build(read_weights(Path(self.model).expanduser()), self.model)
            device = pick_device(self.device)
            try:
                self._network = network.to(device)
            except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
                raise ToolError(
                    f"cannot put '{self.model}' on the device '{device}': {first_line(error)}"
                ) from error
        return self._network


def _predictor(network: Any, image: Image) -> Any:
    from .sam_package import import_package

    predictor = import_package().SamPredictor(network)
    predictor.set_image(image.pixels)
    return predictor


def is_point(box: Box) -> bool:
    """Whether a box has no extent."""
    return box.width == 0 and box.height == 0


def _place(region: Region | Point) -> str:
    return str(region if isinstance(region, Point) else region.box)


def _finish(ask: Ask, pixels: NDArray[np.bool_]) -> Region | ToolError:
    if not pixels.any():
        return ToolError(f"SAM sees no thing in {_place(ask.place)}: nothing to segment")
    origin = ask.image.origin
    mask = Mask.tight(pixels, int(origin.x), int(origin.y))
    if isinstance(ask.place, Point):
        return Region(mask.box, "", 1.0, ask.image.root, mask)
    return replace(ask.place, mask=mask, image=ask.image.root)
