"""`detect` with SAM 3 (Carion et al., 2025), by transformers: all objects that a phrase names, each with its mask.

Its tracker, which is prompted with boxes and points, is a backend of `segment` (`sam2`).
"""

from __future__ import annotations

from typing import Any

from visprog.values import Mask, Region
from visprog.values.image import Image

from ._checkpoint import Checkpoint, CheckpointSource, Processor
from ._loading import load_by_transformers, transformers_tokenizer
from ._phrase_detector import PhraseDetector, Search

MAX_TOKENS = 32
"""Number of tokens of a phrase that the network was trained on; shorter ones are filled up."""

TOKENS = ("input_ids", "attention_mask")
"""What it takes of a tokenizer."""


class Sam3Detector(PhraseDetector):
    """Any short noun phrase; each object that is found has its mask. A score also tells whether the image has any such
    object at all.

    Args:
        nms: Intersection over union from which two boxes are one object; the network itself gives few such boxes.
    """

    default_model = "facebook/sam3"
    model_types = ("sam3", "sam3_video")
    default_threshold = 0.5

    def __init__(self, model: str | None = None, *, nms: float = 0.8, **options: Any) -> None:
        super().__init__(model, nms=nms, **options)

    def _answer(self, asked: list[Search]) -> list[list[Region]]:
        checkpoint = load_by_transformers(
            self._find(), "Sam3Model", self.device, self.dtype, processor=_processor
        )
        by_image: dict[str, list[int]] = {}
        for i, search in enumerate(asked):
            by_image.setdefault(search.image.digest, []).append(i)
        results: list[list[Region]] = [[] for _ in asked]
        for numbers in by_image.values():
            seen = _encode(checkpoint, asked[numbers[0]].image)
            for i in numbers:
                results[i] = self._search(checkpoint, asked[i], seen)
        return results

    def _search(self, checkpoint: Checkpoint, search: Search, seen: Any) -> list[Region]:
        """What a phrase names in an image that `_encode` has seen."""
        image = search.image
        tokens = checkpoint.processor.tokenizer(
            [search.what], padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        with checkpoint.running():
            output = checkpoint.network(
                vision_embeds=seen, **checkpoint.send_all({name: tokens[name] for name in TOKENS})
            )
            scores = output.pred_logits[0].float().sigmoid() * output.presence_logits[0].float().sigmoid()
            corners = output.pred_boxes[0].float().cpu().numpy() * ([image.width, image.height] * 2)
            masks = output.pred_masks[0].float().cpu()
        return self._regions(
            search, corners, scores.cpu().numpy(), lambda number: _mask(image, masks[number])
        )


def _mask(image: Image, logits: Any) -> Mask | None:
    """The mask that logits (rows, columns) over an image mean; None if it is empty."""
    from torch.nn.functional import interpolate

    size = image.height, image.width
    shares = interpolate(logits.sigmoid()[None, None], size, mode="bilinear", align_corners=False)
    pixels = (shares[0, 0] > 0.5).numpy()
    return Mask.tight(pixels, int(image.origin.x), int(image.origin.y)) if pixels.any() else None


def _encode(checkpoint: Checkpoint, image: Image) -> Any:
    """What the network sees of an image, for any number of phrases."""
    values = checkpoint.processor.image_processor([image.pixels])
    with checkpoint.running():
        return checkpoint.network.get_vision_features(checkpoint.send(values))


def _processor(source: CheckpointSource) -> Processor:
    from visprog.models.preprocess.image_processor import ImageProcessor

    return Processor(transformers_tokenizer(source), ImageProcessor.from_pretrained(source.place))
