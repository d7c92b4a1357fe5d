"""`depth` with Depth Anything (Yang et al., 2024), ZoeDepth, Depth Pro and other depth estimators of transformers."""

from __future__ import annotations

import math
from typing import Any, Literal

from visprog.errors import ToolError
from visprog.values import Depth
from visprog.values.image import Image

from ._batching import chunks, to_rgb
from ._checkpoint import Checkpoint, load_by_transformers
from ._model_backend import ModelBackend

MAX_SIDE = 768
"""Longer side, in values, of the result of a model that gives one value per pixel of the image."""

METRES = frozenset({"zoedepth", "depth_pro", "glpn"})
"""Types of models whose values are always metres."""
FITTED = frozenset({"zoedepth", "depth_pro"})
"""Types of models whose values have to be fitted to the image by their processor: it padded or cut the image, or scales
the values by the field of view."""

Meaning = Literal["auto", "inverse", "metres"]


class DepthEstimator(ModelBackend):
    """Distance of everything from the camera, in metres if the model was trained on metres.

    Args:
        model: Folder of a model, or a hub id: Depth Anything, ZoeDepth, Depth Pro, GLPN, DPT.
        values: What the numbers of the model are: "inverse" if larger is nearer, "metres", or "auto" for what its
            `config.json` says.
        batch_size: Number of images that the network sees at once.
    """

    tool = "depth"
    default_model = "depth-anything/Depth-Anything-V2-Small-hf"

    def __init__(
        self, model: str | None = None, *, values: Meaning = "auto", batch_size: int = 4, **options: Any
    ) -> None:
        super().__init__(model, **options)
        if values not in ("auto", "inverse", "metres"):
            raise ToolError(f'depth: values must be "auto", "inverse" or "metres", not {values!r}')
        self.values, self.batch_size = values, batch_size

    def _prepare(self, image: Image) -> Image:
        return image

    def _answer(self, images: list[Image]) -> list[Depth]:
        checkpoint = load_by_transformers(
            self._find(), "AutoModelForDepthEstimation", self.device, self.dtype
        )
        metric = self._is_metric(checkpoint.network.config)
        found: dict[str, Any] = {}
        by_size: dict[tuple[int, int], dict[str, Image]] = {}  # images of one size share a batch
        for image in images:
            by_size.setdefault(image.size, {})[image.digest] = image
        for group in by_size.values():
            for part in chunks(list(group.values()), self.batch_size):
                values = self._estimate(checkpoint, part)
                found.update(zip((image.digest for image in part), values, strict=True))
        return [Depth.of(image, found[image.digest], metric=metric, inverse=not metric) for image in images]

    def _is_metric(self, config: Any) -> bool:
        """Whether the values are metres; else the larger is the nearer.

        Raises:
            ToolError: Nothing says which.
        """
        if self.values != "auto":
            return self.values == "metres"
        if config.model_type in METRES:
            return True
        kind = getattr(config, "depth_estimation_type", None)
        if kind not in ("relative", "metric"):
            raise ToolError(
                f"depth: nothing in the settings of '{self.model}' says whether its numbers are metres: set values = "
                '"metres" or "inverse" (larger is nearer) under [tools.depth]'
            )
        return bool(kind == "metric")

    def _estimate(self, checkpoint: Checkpoint, images: Any) -> list[Any]:
        """For each image, its values (rows, columns)."""
        import torch

        processor = checkpoint.processor
        inputs = processor(images=[to_rgb(image) for image in images], return_tensors="pt")
        with checkpoint.running():
            output = checkpoint.network(**checkpoint.send_all(inputs))
            if checkpoint.network.config.model_type not in FITTED:
                values: list[Any] = output.predicted_depth.float().cpu().numpy()
                return list(values)
            size = images[0].size
            if checkpoint.network.config.model_type == "zoedepth":
                depth = without_padding(output.predicted_depth.float(), size, padded=bool(processor.do_pad))
            else:
                fitted = processor.post_process_depth_estimation(
                    output, target_sizes=[size[::-1]] * len(images)
                )
                depth = torch.stack([each["predicted_depth"].float() for each in fitted])
            scale = min(1.0, MAX_SIDE / max(size))
            if scale < 1:
                target = [max(round(side * scale), 1) for side in size[::-1]]
                depth = _resized(depth, target)
            return list(depth.cpu().numpy())


def without_padding(depth: Any, size: tuple[int, int], padded: bool) -> Any:
    """The values of ZoeDepth (images, rows, columns), one per pixel of the images.

    Its processor surrounds an image with 3 √(side / 2) pixels at each end of a side, as the published code does.

    Args:
        size: Width and height of the images.
        padded: Whether the processor did so.
    """
    across, down = (int(math.sqrt(side / 2) * 3) if padded else 0 for side in size)
    width, height = size
    whole = _resized(depth, [height + 2 * down, width + 2 * across])
    return whole[:, down : down + height, across : across + width]


def _resized(depth: Any, target: list[int]) -> Any:
    from torch.nn.functional import interpolate

    return interpolate(depth[:, None], target, mode="bicubic", align_corners=False)[:, 0]
