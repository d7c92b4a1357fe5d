"""Features of images and of texts in one space: CLIP (Radford et al., 2021), SigLIP (Zhai et al., 2023), SigLIP 2."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.values import Box, Region
from visprog.values.image import Image

from ._backend_file import known_words
from ._batching import in_batches, to_rgb
from ._checkpoint import Checkpoint, CheckpointSource, Processor
from ._features import FEATURES
from ._loading import load, load_by_transformers
from ._text_store import recall_texts, remember_texts

OURS = ("clip", "siglip")
"""Model types that `visprog.models` implements; SigLIP 2 of a fixed resolution has the type "siglip"."""

BY_TRANSFORMERS = ("metaclip_2", "siglip2")


class DualEncoder:
    """Unit features of images and of texts, cached, so that equal inputs are computed once."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.trained_here = checkpoint.source.trained_here

    @property
    def logit_scale(self) -> float:
        """Factor of cosines before the softmax or sigmoid."""
        return float(self.checkpoint.network.logit_scale.detach().exp())

    @property
    def logit_bias(self) -> float | None:
        """Bias that is then added (SigLIP), or None (CLIP)."""
        bias = getattr(self.checkpoint.network, "logit_bias", None)
        return None if bias is None else float(bias.detach())

    def encode_images(self, images: list[Image], batch_size: int) -> NDArray[np.float32]:
        """N images → (N, dim), rows of length 1."""
        by_digest = {image.digest: image for image in images}

        def compute(digests: list[str]) -> list[NDArray[np.float32]]:
            missing = [by_digest[digest] for digest in digests]
            return [row.copy() for row in self._in_batches(missing, batch_size, self._image_features)]

        return np.stack(FEATURES.get(self.checkpoint, "image", [image.digest for image in images], compute))

    def encode_views(self, views: Sequence[Image | Region], batch_size: int) -> NDArray[np.float32]:
        """N images and regions → (N, dim), rows of length 1. The feature of a region is pooled from the tokens of its
        whole image.

        Raises:
            ToolError: There are regions, and the model has no features of regions.
        """
        images = {v.digest: v for v in views if isinstance(v, Image)}
        regions = {_key(v): v for v in views if isinstance(v, Region)}
        found: dict[Any, NDArray[np.float32]] = {}
        if images:
            found |= zip(images, self.encode_images(list(images.values()), batch_size), strict=True)

        def compute(keys: list[tuple[str, Box]]) -> list[NDArray[np.float32]]:
            missing = [regions[key] for key in keys]
            return [row.copy() for row in self._in_batches(missing, batch_size, self._region_features)]

        found |= zip(regions, FEATURES.get(self.checkpoint, "region", list(regions), compute), strict=True)
        return np.stack([found[v.digest if isinstance(v, Image) else _key(v)] for v in views])

    def encode_texts(
        self, texts: list[str], templates: tuple[str, ...], batch_size: int
    ) -> NDArray[np.float32]:
        """N texts, such as "dog" or "a red car" → (N, dim), rows of length 1.

        The feature of a text is the mean of the unit features of its templates, of length 1 again (Radford et al.,
        section 3.1.4).
        """

        def compute(missing: list[tuple[str, ...]]) -> list[NDArray[np.float32]]:
            found = recall_texts(self.checkpoint, missing)
            new = [key for key in missing if key not in found]
            made = dict(zip(new, encode(new), strict=True)) if new else {}
            remember_texts(self.checkpoint, made)
            return [(found | made)[key] for key in missing]

        def encode(missing: list[tuple[str, ...]]) -> list[NDArray[np.float32]]:
            lines = list(dict.fromkeys(line for sentences in missing for line in sentences))
            rows = self._in_batches(lines, batch_size, self._text_features)
            features = dict(zip(lines, rows, strict=True))
            means = [np.stack([features[line] for line in sentences]).mean(0) for sentences in missing]
            return [mean / np.linalg.norm(mean) for mean in means]

        keys = [tuple(template.replace("{}", text) for template in templates) for text in texts]
        return np.stack(FEATURES.get(self.checkpoint, "text", keys, compute))

    def _in_batches(
        self, items: Sequence[Any], size: int, encode: Callable[[Any], NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        return in_batches(self.checkpoint, items, size, lambda part: list(encode(part)))

    def _image_features(self, images: Any) -> NDArray[np.float32]:
        checkpoint = self.checkpoint
        if isinstance(checkpoint.processor, Processor):
            inputs = checkpoint.processor.image_processor([image.pixels for image in images])
            with checkpoint.running():
                return _unit(checkpoint.network.encode_images(checkpoint.send(inputs)))
        # Alone: the processor of SigLIP 2 has a number and a size of patches of its own, whatever the files say.
        prepare = checkpoint.processor.image_processor
        inputs = prepare(images=[to_rgb(image) for image in images], return_tensors="pt")
        with checkpoint.running():
            return _unit(checkpoint.network.get_image_features(**checkpoint.send_all(inputs)).pooler_output)

    def _region_features(self, regions: Sequence[Region]) -> NDArray[np.float32]:
        import torch

        checkpoint = self.checkpoint
        processor, network = checkpoint.processor, checkpoint.network
        if not isinstance(processor, Processor) or not hasattr(network, "encode_regions"):
            raise ToolError(
                f"the model '{checkpoint.source.name}' has no features of regions: leave out regions = true, or "
                "train a CLIP with the key regions (visprog train)"
            )
        parents = [(region.image, region.box) for region in regions if region.image]
        images = {image.digest: image for image, _ in parents}
        boxes = [
            processor.image_processor.fit_boxes(
                np.array([[box.left, box.top, box.right, box.bottom]]), image.pixels.shape[:2]
            )
            for image, box in parents
        ]
        owners = [list(images).index(image.digest) for image, _ in parents]
        inputs = processor.image_processor([image.pixels for image in images.values()])
        with checkpoint.running():
            _, features = network.encode_regions(
                checkpoint.send(inputs),
                checkpoint.send(torch.from_numpy(np.concatenate(boxes))),
                checkpoint.send(torch.tensor(owners)),
            )
            return _unit(features)

    def _text_features(self, lines: list[str]) -> NDArray[np.float32]:
        checkpoint = self.checkpoint
        if isinstance(checkpoint.processor, Processor):
            ids = checkpoint.processor.tokenizer(lines).ids
            with checkpoint.running():
                return _unit(checkpoint.network.encode_texts(checkpoint.send(ids)))
        siglip = checkpoint.source.model_type.startswith("siglip")
        inputs = checkpoint.processor.tokenizer(
            lines,
            # SigLIP was trained on texts filled up to full length, without a mask.
            padding="max_length" if siglip else True,
            truncation=True,
            max_length=checkpoint.network.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        wanted = ("input_ids",) if siglip else ("input_ids", "attention_mask")
        with checkpoint.running():
            output = checkpoint.network.get_text_features(
                **checkpoint.send_all({key: inputs[key] for key in wanted if key in inputs})
            )
            return _unit(output.pooler_output)


def dual_encoder(source: CheckpointSource, device: str, dtype: str) -> DualEncoder:
    """The encoder of a checkpoint.

    Raises:
        ToolError: The checkpoint is of another type, or cannot be loaded.
    """
    if source.model_type in OURS:
        return DualEncoder(load(source, device, dtype))
    if source.model_type in BY_TRANSFORMERS:
        return DualEncoder(load_by_transformers(source, "AutoModel", device, dtype))
    raise source.refusal((*OURS, *BY_TRANSFORMERS))


def plain(text: str) -> str:
    """A text for a template, which brings its own article and full stop: lower case, without either."""
    words = " ".join(text.lower().split()).rstrip(".!?")
    return re.sub(r"^(a|an|the)\s+", "", words)


def templates_for(folder: Path | None, trained_here: bool) -> tuple[str, ...]:
    """The templates of sentences for a text. A model that was trained here gets the text alone, unless it knows the
    words of a template."""
    from visprog.prompts import templates

    found = templates("crops")
    if trained_here:
        known = known_words(folder) or frozenset()
        found = tuple(t for t in found if known.issuperset(re.findall(r"\w+", t.lower())))
    return found


def _key(region: Region) -> tuple[str, Box]:
    """Identifies the features of a region."""
    return region.image.digest if region.image else "", region.box


def _unit(features: Any) -> NDArray[np.float32]:
    """Features (N, dim), each row of length 1."""
    features = features.float()
    array: NDArray[np.float32] = (features / features.norm(dim=-1, keepdim=True)).cpu().numpy()
    return array
