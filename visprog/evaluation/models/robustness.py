"""How accuracy holds under other conditions than those of training: zero-shot, linear probes, and a fine-tuned model.

Every condition shows the same test images, in other styles, corrupted, or from other viewpoints. Linear probes are
fitted on 1 to 64 images per class. Effective robustness is the accuracy under a shift, minus what the accuracy on usual
images predicts: the line through the few-shot probes, which are fitted on usual images alone (Taori et al. 2020,
arXiv:2007.00644; for CLIP, Radford et al. 2021, 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from ...errors import MissingExtra, VisprogError, first_line
from .benchmark import ModelBenchmark, SummaryTable
from .scorers import model_digest
from .shifts import CORRUPTIONS, SEVERITIES, STYLES, VIEWPOINTS, Pixels, shifted

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.linear_probe import LinearProbe

SHOTS = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of images per class that probes are fitted on."""

MAX_SIDE = 224
"""Greatest length of the shorter side of a test image, to which larger ones are shrunk before they are shifted."""

USUAL = "usual"
"""The part that shows images as they are."""

ZERO_SHOT, FINE_TUNED = "zero-shot", "fine-tuned"
"""Names of methods; the others are those of probes."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "styles": STYLES,
    "corruptions": tuple(CORRUPTIONS),
    "viewpoints": tuple(VIEWPOINTS),
}

BATCH = 64


@dataclass(frozen=True)
class ClassifiedImages:
    """Images of known classes, in three parts.

    Attributes:
        name: of the data, for the folder of the run.
        digest: equal for equal data.
        classes: their names.
        train, validation, test: how to read each image, and its class.
    """

    name: str
    digest: str
    classes: tuple[str, ...]
    train: Sequence[tuple[Callable[[], Pixels], int]]
    validation: Sequence[tuple[Callable[[], Pixels], int]]
    test: Sequence[tuple[Callable[[], Pixels], int]]


class RobustnessBenchmark(ModelBenchmark):
    """Accuracy of models under shifts.

    Args:
        models: folders, names of bundled models, or hub ids.
        data: images; those of the package's scenes if not given.
        template: sentence that describes a class to a model that reads texts, with "{}" for its name.
        draws: number of draws of the images of a few-shot probe.
        fine_tuning: number of steps of fine-tuning on the images of the largest probe; 0 for none.
        limit: greatest number of validation images, and of test images.

    Raises:
        MissingExtra: PyTorch is not installed.
        VisprogError: a model cannot be used, or the data are too few.
    """

    name = "robustness"

    def __init__(
        self,
        models: Sequence[str],
        data: ClassifiedImages | None = None,
        *,
        template: str = "a {}",
        draws: int = 3,
        fine_tuning: int = 100,
        limit: int = 300,
    ) -> None:
        if find_spec("torch") is None:
            raise MissingExtra("the measurement of models", "torch")
        self.models, self.template, self.draws, self.fine_tuning = tuple(models), template, draws, fine_tuning
        self.limit, self.data = limit, data or scene_shapes(limit)
        for part in (self.data.train, self.data.validation, self.data.test):
            if not part:
                raise VisprogError(f"{self.data.name} holds too few images to set some aside: add more")
        if len(self.data.classes) < 2:
            raise VisprogError(
                f"{self.data.name} holds one class: robustness is measured on two classes or more"
            )
        self._digests = {model: model_digest(model) for model in models}
        most = int(np.bincount([label for _, label in self.data.train]).max())
        self.shots = tuple(shots for shots in SHOTS if shots <= most)

    def made_with(self) -> Mapping[str, Any]:
        data = self.data
        return {
            "models": self._digests, "data": data.name, "data_digest": data.digest, "template": self.template,
            "draws": self.draws, "fine_tuning": self.fine_tuning, "limit": self.limit,
        }  # fmt: skip

    def parts(self) -> list[str]:
        shifts = [f"{name} {s + 1}" for name in (*CORRUPTIONS, *VIEWPOINTS) for s in range(SEVERITIES)]
        return [USUAL, *STYLES, *shifts]

    def measure(self, part: str) -> Mapping[str, Any]:
        condition, _, severity = part.partition(" ")
        images = self._test[0]
        if part != USUAL:
            images = [shifted(image, condition, int(severity or 1) - 1, i) for i, image in enumerate(images)]
        return {model: fitted.accuracies(images, self._test[1]) for model, fitted in self._fitted.items()}

    def summarise(self, figures: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
        from ...models.linear_probe import robustness

        means: dict[str, dict[str, dict[str, float]]] = {}  # model → method → part
        for part, found in figures.items():
            for model, methods in found.items():
                for method, values in methods.items():
                    means.setdefault(model, {}).setdefault(method, {})[part] = sum(values) / len(values)
        models: dict[str, Any] = {model: {} for model in means}
        for group, conditions in GROUPS.items():
            of_group = [part for part in self.parts() if part.partition(" ")[0] in conditions]
            rows = {
                (model, method): (found[USUAL], sum(found[p] for p in of_group) / len(of_group))
                for model, methods in means.items()
                for method, found in methods.items()
            }
            line = [row for (_, method), row in rows.items() if method not in (ZERO_SHOT, FINE_TUNED)]
            for (model, method), (usual, under_shift) in rows.items():
                effective = robustness(method, usual, under_shift, line).effective
                entry = models[model].setdefault(method, {USUAL: usual})
                entry[group] = {
                    "accuracy": under_shift,
                    "effective_robustness": effective if math.isfinite(effective) else None,
                }
        return {
            "data": self.data.name, "classes": list(self.data.classes), "images": len(self.data.test),
            "models": models, "conditions": means,
        }  # fmt: skip

    def tables(self, summary: Mapping[str, Any]) -> list[SummaryTable]:
        tables = []
        for model, methods in summary["models"].items():
            rows = []
            for method, entry in methods.items():
                cells = [method, _percent(entry[USUAL])]
                for group in GROUPS:
                    effective = entry[group]["effective_robustness"]
                    points = "" if effective is None else f"{100 * effective:+.1f}"
                    cells += [_percent(entry[group]["accuracy"]), points]
                rows.append(cells)
            columns = ["", USUAL, *(name for group in GROUPS for name in (group, "eff."))]
            title = f"{model}: accuracy in %, and effective robustness (eff.) in points, on {summary['images']} images"
            tables.append(SummaryTable(title, columns, rows))
            found = summary["conditions"][model]
            shown = [method for method in found if method in (ZERO_SHOT, _probe(max(self.shots)), FINE_TUNED)]
            rows = [
                [condition, *(_percent(_mean(found[method], condition)) for method in shown)]
                for conditions in GROUPS.values()
                for condition in conditions
            ]
            tables.append(SummaryTable(f"{model}: per shift, over its severities", ["", *shown], rows))
        return tables

    @cached_property
    def _test(self) -> tuple[list[Pixels], Tensor]:
        import torch

        images = [_shrunk(read()) for read, _ in self.data.test]
        return images, torch.tensor([label for _, label in self.data.test])

    @cached_property
    def _fitted(self) -> dict[str, FittedModel]:
        return {model: FittedModel(model, self) for model in self.models}


class FittedModel:
    """A model with everything that classifies by it: texts, probes on a few images, and a fine-tuned copy.

    Args:
        source: the model.
        benchmark: its data and settings.

    Raises:
        VisprogError: it cannot be loaded, or has no features of images.
    """

    def __init__(self, source: str, benchmark: RobustnessBenchmark) -> None:
        import torch

        from ...models.base import load_model
        from ...models.clip.model import Clip
        from ...models.linear_probe import choose, few_shot
        from ...models.preprocess.image_processor import ImageProcessor
        from ...models.preprocess.tokenizer import Tokenizer
        from ...models.probe import image_encoder_of
        from ...models.siglip import Siglip
        from ...models.zero_shot import ZeroShot, fill_templates

        data = benchmark.data
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model = load_model(source).eval().to(self.device)
            self.encoder = image_encoder_of(model)
            self.processor = ImageProcessor.from_pretrained(source)
            self.texts: Tensor | None = None
            if isinstance(model, (Clip, Siglip)):
                tokenizer = Tokenizer.from_pretrained(source)
                describe = fill_templates([benchmark.template])
                classifier = ZeroShot(model, tokenizer, self.processor, describe=describe)
                self.texts = classifier.encode_classes(data.classes).cpu()
        except (OSError, ValueError, TypeError) as error:
            raise VisprogError(f"'{source}' cannot be measured: {first_line(error)}") from None
        labels = torch.tensor([label for _, label in data.train])
        chosen = few_shot(labels, max(benchmark.shots), seed=0)
        images, labels = [data.train[i][0]() for i in chosen.tolist()], labels[chosen]
        features = self._encode(images)[0]
        checked = torch.tensor([label for _, label in data.validation])
        validation = self._encode([read() for read, _ in data.validation])[0], checked
        self.probes: dict[int, list[LinearProbe]] = {}
        for shots in benchmark.shots:
            draws = 1 if shots == max(benchmark.shots) else benchmark.draws
            rows = [few_shot(labels, shots, seed) for seed in range(draws)]
            self.probes[shots] = [
                choose((features[r], labels[r]), validation, classes=len(data.classes)) for r in rows
            ]
        self.tuned = None
        if benchmark.fine_tuning:
            head = self.probes[max(benchmark.shots)][0]
            self.tuned = fine_tuned(self.encoder, head, self.processor(images), labels, benchmark.fine_tuning)

    def accuracies(self, images: Sequence[Pixels], labels: Tensor) -> dict[str, list[float]]:
        """Method → accuracy on images, of each draw."""
        import torch

        features, projected = self._encode(images)
        found: dict[str, list[float]] = {}
        if self.texts is not None:
            nearest = (projected @ self.texts.T).argmax(1)
            found[ZERO_SHOT] = [_share(nearest == labels)]
        for shots, probes in self.probes.items():
            found[_probe(shots)] = [probe.accuracy(features, labels) for probe in probes]
        if self.tuned is not None:
            with torch.inference_mode():
                parts = [
                    self.tuned(self.processor(images[i : i + BATCH])) for i in range(0, len(images), BATCH)
                ]
            found[FINE_TUNED] = [_share(torch.cat(parts).argmax(1).cpu() == labels)]
        return found

    def _encode(self, images: Sequence[Pixels]) -> tuple[Tensor, Tensor]:
        """Features before and after the projection."""
        import torch

        from ...models.coca import Coca
        from ...models.probe import image_features

        pooled, projected = [], []
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                batch = self.processor(images[start : start + BATCH]).to(self.device)
                if isinstance(self.encoder, Coca):
                    pooled.append(image_features(self.encoder, batch))
                    projected.append(pooled[-1])
                else:
                    out = self.encoder(batch)
                    pooled.append(out.pooled)
                    projected.append(out.projected)
        return torch.cat(pooled).cpu(), torch.cat(projected).cpu()


def fine_tuned(
    encoder: Any, probe: LinearProbe, images: Tensor, labels: Tensor, steps: int
) -> Callable[[Tensor], Tensor]:
    """A copy of an encoder that is trained on, with the head that begins as a linear probe (Kumar et al. 2022,
    arXiv:2202.10054): AdamW at 1e-4 with a cosine to 0, on batches of 32.

    Args:
        encoder: of images.
        probe: a fitted probe on its features.
        images: (n, 3, height, width).
        labels: (n).
        steps: number of updates.

    Returns:
        Images → logits of the classes.
    """
    from copy import deepcopy

    import torch
    import torch.nn.functional as F

    from ...models.probe import image_features

    encoder = deepcopy(encoder).train()
    device = next(encoder.parameters()).device
    weight, bias = (torch.nn.Parameter(value.float().to(device)) for value in (probe.weight, probe.bias))
    optimizer = torch.optim.AdamW([*encoder.parameters(), weight, bias], lr=1e-4)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        rows = torch.randint(len(labels), (32,), generator=generator)
        logits = F.linear(image_features(encoder, images[rows].to(device)), weight, bias)
        loss = F.cross_entropy(logits, labels[rows].to(device))
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = 1e-4 * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.step()
    encoder.eval()
    return lambda batch: F.linear(image_features(encoder, batch.to(device)), weight, bias)


def scene_shapes(limit: int, size: int = 96) -> ClassifiedImages:
    """Drawn scenes of one object each, classified by its shape.

    Args:
        limit: number of validation images, and of test images.
        size: side of the images.
    """
    from ...scenes import SHAPES, Scenes

    def part(split: str, count: int) -> list[tuple[Callable[[], Pixels], int]]:
        scenes = Scenes(size, split=split, objects=(1, 1))
        return [
            (lambda i=i: scenes[i].pixels, SHAPES.index(scenes[i].objects[0].shape))  # type: ignore[misc]
            for i in range(count)
        ]

    train = part("train", 2 * max(SHOTS) * len(SHAPES))  # enough of each shape for the most shots
    return ClassifiedImages(
        "scenes", f"scenes {size}", SHAPES, train, part("val", limit), part("test", limit)
    )


def _shrunk(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    factor = MAX_SIDE / min(height, width)
    if factor >= 1:
        return pixels
    size = round(width * factor), round(height * factor)
    return np.asarray(PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.BICUBIC))


def _probe(shots: int) -> str:
    return f"probe, {shots} shot{'s' * (shots > 1)}"


def _mean(found: Mapping[str, float], condition: str) -> float:
    values = [value for part, value in found.items() if part.partition(" ")[0] == condition]
    return sum(values) / len(values)


def _share(right: Tensor) -> float:
    return float(right.double().mean())


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
