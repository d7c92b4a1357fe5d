"""`depth` with Depth Anything (Yang et al., 2024), ZoeDepth, Depth Pro and other depth estimators of transformers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from visprog.errors import ToolError
from visprog.registry.sees import Sees
from visprog.values import Depth
from visprog.values.depth import NO_METRES
from visprog.values.image import Image

from ._batching import chunks, to_rgb
from ._checkpoint import Checkpoint
from ._loading import load_by_transformers, transformers_image_processor
from ._model_backend import ModelBackend

MAX_SIDE = 768
"""Longer side, in values, of the result of a model that gives one value per pixel of the image."""

METRES = frozenset({"zoedepth", "glpn"})
"""Types of models whose values are always metres."""
DISTANCES = frozenset({*METRES, "depth_pro"})
"""Types of models whose values are larger for what is farther, also if they are not metres."""
SAY_IF_METRIC = frozenset({"depth_anything", "prompt_depth_anything"})
"""Types of models whose values are relative, if their settings do not say that they are metric."""
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
    network_class = "AutoModelForDepthEstimation"

    def __init__(
        self, model: str | None = None, *, values: Meaning = "auto", batch_size: int = 4, **options: Any
    ) -> None:
        super().__init__(model, **options)
        if values not in ("auto", "inverse", "metres"):
            raise ToolError(f'depth: values must be "auto", "inverse" or "metres", not {values!r}')
        self.values, self.batch_size = values, batch_size

    @property
    def sees(self) -> Sees:
        """Whether its numbers are metres, as far as that is known before the model is fetched."""
        config = self._config_here()
        if not config and self.model == self.default_model:
            config = {"model_type": "depth_anything"}
        metric = self._metric(config)
        if metric is None:
            return Sees("metres, or for some models only which of two is nearer: depth.metric tells")
        if metric:
            return Sees("distances in metres")
        return Sees(
            "which of two is nearer, not how many metres away anything is",
            without={
                "Depth.metres": f"{NO_METRES} ('{self.model}'): a model of metric depth, such as "
                "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf, would"
            },
        )

    def _prepare(self, image: Image) -> Image:
        return image

    def _answer(self, images: list[Image]) -> list[Depth]:
        source = self._find()
        metric = self._metric(source.config)
        if metric is None:
            raise ToolError(
                f"depth: nothing in the settings of '{self.model}' says whether its numbers are metres: set values = "
                '"metres" or "inverse" (larger is nearer) under [tools.depth]'
            )
        inverse = not metric and source.model_type not in DISTANCES
        checkpoint = load_by_transformers(
            source,
            self.network_class,
            self.device,
            self.dtype,
            processor=transformers_image_processor,
        )
        found: dict[str, Any] = {}
        by_size: dict[tuple[int, int], dict[str, Image]] = {}  # images of one size share a batch
        for image in images:
            by_size.setdefault(image.size, {})[image.digest] = image
        for group in by_size.values():
            for part in chunks(list(group.values()), self.batch_size):
                values = self._estimate(checkpoint, part)
                found.update(zip((image.digest for image in part), values, strict=True))
        return [Depth.of(image, found[image.digest], metric=metric, inverse=inverse) for image in images]

    def _metric(self, config: Mapping[str, Any]) -> bool | None:
        """Whether the values are metres; None if nothing says."""
        if self.values != "auto":
            return self.values == "metres"
        model_type = config.get("model_type")
        if model_type in METRES:
            return True
        if model_type == "depth_pro":
            return bool(config.get("use_fov_model"))
        kind = config.get("depth_estimation_type", "relative" if model_type in SAY_IF_METRIC else None)
        return kind == "metric" if kind in ("relative", "metric") else None

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
