"""`detect` any phrase: OWLv2 (Minderer et al., 2023) and Grounding DINO (Liu et al., 2023)."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.registry.sees import Sees
from visprog.values import Box, Region
from visprog.values.image import Image

from ..words.phrase import read_phrase
from ._batching import answer_together, chunks, to_rgb
from ._checkpoint import Checkpoint, load, unload
from ._overlap import suppress

MOST = 300
"""Boxes that are looked at after sorting by score."""


class Ask(NamedTuple):
    """One call: where to look, and for what, in the singular."""

    image: Image
    what: str


class _Detector:
    """What the detectors share.

    Args:
        model: a folder, or a hub id.
        threshold: least score of a thing, 0 to 1.
        nms: intersection over union from which two boxes are one thing.
        device: "cpu", "cuda", "mps"; "auto" takes a GPU where there is one.
        dtype: "float32", "bfloat16", "float16"; "auto" is the checkpoint's own.
        batch_size: how many pictures the network sees at once.
    """

    sees = Sees('any noun phrase, with what tells the object from others: "man with a red hat".')
    default: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        model: str | None = None,
        *,
        threshold: float,
        nms: float = 0.5,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 4,
    ) -> None:
        self.model = model or self.default
        self.threshold = threshold
        self.nms = nms
        self.device = device
        self.dtype = dtype
        self.batch_size = batch_size

    def unload(self) -> None:
        """Let go of the weights."""
        unload(self.model)

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    def _prepare(self, image: Image, what: str) -> Ask:
        return Ask(image, read_phrase(what).whole)

    def _answer(self, asked: list[Ask]) -> list[list[Region]]:
        raise NotImplementedError

    def _load(self) -> Checkpoint:
        architecture = "AutoModelForZeroShotObjectDetection"
        return load(self.model, "detect", architecture, self.kinds, device=self.device, dtype=self.dtype)

    def _regions(self, ask: Ask, corners: NDArray[np.float32], scores: NDArray[np.float32]) -> list[Region]:
        """Boxes (N, 4) as left, top, right, bottom in the image's own pixels → what stands, best first."""
        boxes, sure = [], []
        whole = Box(0, 0, ask.image.width, ask.image.height)
        for i in np.argsort(-scores, kind="stable")[:MOST]:
            left, top, right, bottom = (float(v) for v in corners[i])
            box = Box(left, top, max(left, right), max(top, bottom)).clip(whole)
            if scores[i] > self.threshold and box.area > 0:
                boxes.append(ask.image.to_root(box))
                sure.append(min(float(scores[i]), 1.0))
        kept = suppress(boxes, sure, [ask.what] * len(boxes), same=self.nms)
        return [Region(boxes[i], ask.what, sure[i], ask.image.root) for i in kept]


class ZeroShotDetector(_Detector):
    """OWLv2, and its forerunner OWL-ViT: any phrase, one score for each phrase, independent of the others."""

    default = "google/owlv2-base-patch16-ensemble"
    kinds = ("owlv2", "owlvit")

    def __init__(self, model: str | None = None, *, threshold: float = 0.2, **options: Any) -> None:
        super().__init__(model, threshold=threshold, **options)

    def _answer(self, asked: list[Ask]) -> list[list[Region]]:
        checkpoint = self._load()
        queries: dict[str, list[str]] = {}
        images: dict[str, Image] = {}
        for image, what in asked:
            images.setdefault(image.digest, image)
            if what not in queries.setdefault(image.digest, []):
                queries[image.digest].append(what)
        seen: dict[tuple[str, str], tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        for part in chunks(list(images), self.batch_size):
            boxes, scores = self._look(checkpoint, [images[d] for d in part], [queries[d] for d in part])
            for i, digest in enumerate(part):
                for j, what in enumerate(queries[digest]):
                    seen[digest, what] = boxes[i], scores[i][:, j]
        return [self._regions(ask, *seen[ask.image.digest, ask.what]) for ask in asked]

    def _look(
        self, checkpoint: Checkpoint, images: list[Image], queries: list[list[str]]
    ) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
        """B images with up to Q queries each → boxes, B of (P, 4), in pixels, and scores (B, P, Q)."""
        most = max(len(q) for q in queries)
        lines = [f"a photo of a {what}" for q in queries for what in [*q, *[q[0]] * (most - len(q))]]
        length = checkpoint.network.config.text_config.max_position_embeddings
        inputs = dict(
            checkpoint.processor.tokenizer(
                lines, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
            )
        )
        inputs = {key: inputs[key] for key in ("input_ids", "attention_mask")}
        squared = checkpoint.kind == "owlv2" and bool(checkpoint.processor.image_processor.do_pad)
        inputs["pixel_values"] = _pixel_values(checkpoint, images, squared)
        with checkpoint.running():
            output = checkpoint.network(**checkpoint.send(inputs))
            scores: NDArray[np.float32] = output.logits.float().sigmoid().cpu().numpy()
            centered = output.pred_boxes.float().cpu().numpy()
        # Boxes are relative to what the network saw: of OWLv2, the image filled up to a square.
        sizes = [(max(i.size), max(i.size)) if squared else i.size for i in images]
        return [_corners(b, *size) for b, size in zip(centered, sizes, strict=True)], scores


class GroundingDinoDetector(_Detector):
    """Grounding DINO, and MM-Grounding-DINO, which it also knows: the phrase is read word by word.

    Args:
        text_threshold: least score of a word of the phrase, for the box to count as naming it.
    """

    default = "IDEA-Research/grounding-dino-tiny"
    kinds = ("grounding-dino", "mm-grounding-dino")

    def __init__(
        self,
        model: str | None = None,
        *,
        threshold: float = 0.35,
        text_threshold: float = 0.25,
        **options: Any,
    ) -> None:
        super().__init__(model, threshold=threshold, **options)
        self.text_threshold = text_threshold

    def _answer(self, asked: list[Ask]) -> list[list[Region]]:
        checkpoint = self._load()
        # Pictures of one size share a batch: filling smaller ones up would shift their features a little.
        by_size: dict[tuple[int, int], dict[tuple[str, str], Ask]] = {}
        for ask in asked:
            by_size.setdefault(ask.image.size, {})[ask.image.digest, ask.what] = ask
        seen: dict[tuple[str, str], tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        for group in by_size.values():
            for part in chunks(list(group), self.batch_size):
                seen.update(zip(part, self._look(checkpoint, [group[key] for key in part]), strict=True))
        return [self._regions(ask, *seen[ask.image.digest, ask.what]) for ask in asked]

    def _look(
        self, checkpoint: Checkpoint, asked: list[Ask]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """For each, boxes (N, 4) in pixels and scores (N,)."""
        processor = checkpoint.processor
        inputs = processor(
            images=[to_rgb(ask.image) for ask in asked],
            # It was trained on lower case, with a full stop after each phrase.
            text=[f"a {ask.what.lower()}." for ask in asked],
            padding=True,
            truncation=True,
            max_length=checkpoint.network.config.max_text_len,
            return_tensors="pt",
        )
        ids = inputs["input_ids"].numpy()
        words = ~np.isin(ids, processor.tokenizer.all_special_ids)
        with checkpoint.running():
            output = checkpoint.network(**checkpoint.send(inputs))
            fits = output.logits.float().sigmoid().cpu().numpy()  # (B, N, tokens)
            centered = output.pred_boxes.float().cpu().numpy()
        named = np.where(words[:, None], fits[:, :, : ids.shape[1]], 0).max(-1) > self.text_threshold
        scores = np.where(named, fits.max(-1), 0)
        corners = [_corners(b, *ask.image.size) for b, ask in zip(centered, asked, strict=True)]
        return list(zip(corners, scores, strict=True))


def _pixel_values(checkpoint: Checkpoint, images: list[Image], squared: bool) -> Any:
    """(B, 3, S, S) as the processor makes them; of OWLv2, whose own processor needs SciPy, as `ImageProcessor` does."""
    processor = checkpoint.processor.image_processor
    pictures = [to_rgb(image) for image in images]
    if not squared:
        return processor(images=pictures, return_tensors="pt")["pixel_values"]
    from ...models.preprocess.image_processor import ImageProcessor

    try:
        pixels = ImageProcessor.from_hub(processor.to_dict())
    except ValueError as error:
        raise ToolError(f"detect: cannot prepare images for '{checkpoint.name}': {error}") from error
    return pixels([np.asarray(picture) for picture in pictures])


def _corners(boxes: NDArray[np.float32], width: float, height: float) -> NDArray[np.float32]:
    """(N, 4) relative centre x, centre y, width, height → (N, 4) left, top, right, bottom in pixels."""
    centers, sizes = boxes[:, :2], boxes[:, 2:]
    corners = np.concatenate([centers - sizes / 2, centers + sizes / 2], 1)
    pixels: NDArray[np.float32] = corners * np.array([width, height, width, height], np.float32)
    return pixels
