"""`detect` by transformers with Grounding DINO (Liu et al., 2023), MM-Grounding-DINO (Zhao et al., 2024) and LLMDet (Fu
et al., 2025)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.values import Region

from ._batching import in_batches, to_rgb
from ._checkpoint import Checkpoint
from ._loading import load_by_transformers
from ._phrase_detector import PhraseDetector, Search, corners_of


class GroundingDinoDetector(PhraseDetector):
    """Any phrase, read word by word.

    Args:
        text_threshold: Minimum score of a word of the phrase, for the box to count as naming it.
    """

    default_model = "IDEA-Research/grounding-dino-tiny"
    model_types = ("grounding-dino", "mm-grounding-dino")
    default_threshold = 0.35

    def __init__(self, model: str | None = None, *, text_threshold: float = 0.25, **options: Any) -> None:
        super().__init__(model, **options)
        self.text_threshold = text_threshold

    def _answer(self, asked: list[Search]) -> list[list[Region]]:
        source = self._find()
        checkpoint = load_by_transformers(
            source, "AutoModelForZeroShotObjectDetection", self.device, self.dtype
        )
        # Images of one size share a batch: filling smaller ones up would shift their features a little.
        by_size: dict[tuple[int, int], dict[tuple[str, str], Search]] = {}
        for search in asked:
            by_size.setdefault(search.image.size, {})[search.image.digest, search.what] = search
        found: dict[tuple[str, str], tuple[NDArray[Any], NDArray[np.float32]]] = {}
        for group in by_size.values():
            searches = list(group.values())
            made = in_batches(
                checkpoint, searches, self.batch_size, lambda part: self._detect(checkpoint, part)
            )
            found.update(zip(group, made, strict=True))
        return [self._regions(search, *found[search.image.digest, search.what]) for search in asked]

    def _detect(
        self, checkpoint: Checkpoint, asked: Sequence[Search]
    ) -> list[tuple[NDArray[Any], NDArray[np.float32]]]:
        """For each, boxes (N, 4) in pixels and scores (N,)."""
        processor = checkpoint.processor
        inputs = processor(
            images=[to_rgb(search.image) for search in asked],
            # It was trained on lower case, with a full stop after each phrase.
            text=[f"a {search.what.lower()}." for search in asked],
            padding=True,
            truncation=True,
            max_length=checkpoint.network.config.max_text_len,
            return_tensors="pt",
        )
        ids = inputs["input_ids"].numpy()
        words = ~np.isin(ids, processor.tokenizer.all_special_ids)
        with checkpoint.running():
            output = checkpoint.network(**checkpoint.send_all(inputs))
            fits = output.logits.float().sigmoid().cpu().numpy()  # (B, N, tokens)
            boxes = output.pred_boxes.float().cpu().numpy()
        named = np.where(words[:, None], fits[:, :, : ids.shape[1]], 0).max(-1) > self.text_threshold
        scores = np.where(named, fits.max(-1), 0)
        corners = [corners_of(b, *search.image.size) for b, search in zip(boxes, asked, strict=True)]
        return list(zip(corners, scores, strict=True))
