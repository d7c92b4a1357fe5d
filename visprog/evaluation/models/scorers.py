"""How well texts fit images: one interface to models that judge pairs of an image and a text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import VisprogError
from ...files.reading import file_digest

if TYPE_CHECKING:
    import torch

ImageArray = NDArray[np.uint8]
"""(height, width, 3), RGB."""

BATCH = 64
"""Number of images or texts that are encoded at once."""


class ImageTextScorer(Protocol):
    """A model that says how well texts fit an image.

    Attributes:
        size: Side of its images in pixels.
    """

    size: int

    def scores(
        self, images: Sequence[ImageArray], texts: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float32]]:
        """For each image, the scores of its own texts: the higher, the better a text fits. Scores of one image are
        comparable, and so are those of different images for one text."""


class DualEncoderScorer:
    """Cosines of the features of a model with `encode_images` and `encode_texts`, such as CLIP and SigLIP. The features
    of texts are kept.

    Args:
        model: In evaluation mode, on its device.
        tokenizer: Tokenizer of its texts.
        image_processor: Prepares its images.
    """

    def __init__(self, model: Any, tokenizer: Any, image_processor: Any) -> None:
        self.model, self.tokenizer, self.image_processor = model, tokenizer, image_processor
        self.size = int(model.config.image_encoder.size)
        self._known: dict[str, torch.Tensor] = {}

    def scores(
        self, images: Sequence[ImageArray], texts: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float32]]:
        """As `ImageTextScorer.scores`."""
        import torch

        device = next(self.model.parameters()).device
        with torch.inference_mode():
            missing = [t for t in dict.fromkeys(t for row in texts for t in row) if t not in self._known]
            for i in range(0, len(missing), BATCH):
                part = missing[i : i + BATCH]
                self._known |= zip(
                    part, _unit(self.model.encode_texts(self.tokenizer(part).ids.to(device))), strict=True
                )
            found = []
            for i in range(0, len(images), BATCH):
                pixels = self.image_processor(images[i : i + BATCH]).to(device)
                found += list(_unit(self.model.encode_images(pixels)))
            return [
                (torch.stack([self._known[text] for text in row]) @ image).cpu().numpy()
                for image, row in zip(found, texts, strict=True)
            ]


class MatchingScorer:
    """Logarithms of the odds that a text matches an image, of a model that reads both together: ALBEF, BLIP-2.

    Args:
        model, tokenizer, image_processor: As for `DualEncoderScorer`; the model has `encode_images`, whose first result
            are tokens, and `matching_logits`.
    """

    def __init__(self, model: Any, tokenizer: Any, image_processor: Any) -> None:
        self.model, self.tokenizer, self.image_processor = model, tokenizer, image_processor
        self.size = int(model.config.image_encoder.size)

    def scores(
        self, images: Sequence[ImageArray], texts: Sequence[Sequence[str]]
    ) -> list[NDArray[np.float32]]:
        """As `ImageTextScorer.scores`."""
        import torch

        device, found = next(self.model.parameters()).device, []
        with torch.inference_mode():
            for image, row in zip(images, texts, strict=True):
                tokens = self.model.encode_images(self.image_processor([image]).to(device))[0]
                parts = []
                for i in range(0, len(row), BATCH):
                    ids = self.tokenizer(row[i : i + BATCH]).ids.to(device)
                    parts.append(self.model.matching_logits(tokens.expand(len(ids), -1, -1), ids))
                found.append(torch.cat(parts).float().cpu().numpy())
        return found


SCORERS: Mapping[tuple[str, ...], Callable[[Any, Any, Any], ImageTextScorer]] = {
    ("encode_images", "matching_logits"): MatchingScorer,
    ("encode_images", "encode_texts", "logit_scale"): DualEncoderScorer,
}
"""Attributes of a model → what makes a scorer of it, its tokenizer and its image processor; the first that fits."""


def load_scorer(source: str) -> ImageTextScorer:
    """The scorer of a model.

    Args:
        source: Name of a bundled model, a folder, or a hub id.

    Raises:
        VisprogError: There is no such model, or it does not judge pairs of an image and a text.
    """
    try:
        import torch

        from ...models.base import load_model
        from ...models.checkpoint.hub import fetch
        from ...models.preprocess.image_processor import ImageProcessor
        from ...models.preprocess.tokenizer import Tokenizer

        model = load_model(source).eval()
        make = next((m for needs, m in SCORERS.items() if all(hasattr(model, n) for n in needs)), None)
        if make is None:
            raise VisprogError(
                f"{source} is a {type(model).__name__}, which does not say how well a text fits an image: "
                "give a CLIP, SigLIP, ALBEF or BLIP-2"
            )
        model = model.to("cuda" if torch.cuda.is_available() else "cpu")
        folder = fetch(source)
        return make(model, Tokenizer.from_pretrained(folder), ImageProcessor.from_pretrained(folder))
    except ImportError as error:
        raise VisprogError(f"models need PyTorch ({error}): pip install 'visprog[torch]'") from None
    except (OSError, ValueError, TypeError) as error:
        raise VisprogError(f"{source} cannot be measured: {error}") from None


def model_digest(source: str) -> str:
    """Digest of the files of a model.

    Raises:
        VisprogError: There is no such model.
    """
    from ...models.checkpoint.hub import fetch

    try:
        folder: Path = fetch(source)
        found = hashlib.sha256()
        for file in sorted(folder.iterdir()):
            if file.suffix in (".json", ".safetensors", ".bin") and file.is_file():
                found.update(file.name.encode() + bytes.fromhex(file_digest(file)))
        return found.hexdigest()[:16]
    except (OSError, ValueError) as error:
        raise VisprogError(f"{source} cannot be measured: {error}") from None


def _unit(features: Any) -> Any:
    features = features.float()
    return features / features.norm(dim=-1, keepdim=True)
