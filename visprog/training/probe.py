"""Fit a linear probe on a folder of classes: the command `visprog train probe`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from visprog.errors import VisprogError, first_line
from visprog.models.base import load_model
from visprog.models.linear_probe import calibration_error, few_shot
from visprog.models.preprocess.image_processor import ImageProcessor
from visprog.models.probe import Probe, image_encoder_of, image_features

from .checkpoint import write_folder
from .data.captions import Part, divide
from .data.pairs import Pairs, read_classes
from .data.samples import BadSample, DataError, Pixels

BATCH = 64
PARTS: tuple[Part, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class ProbeReport:
    """What a probe was fitted on, and how good it is on images that it was not fitted on.

    Attributes:
        classes: names of the classes.
        images: number of images per part.
        accuracy: share of test images whose class is the likeliest.
        calibration_error: how far probabilities lie from the shares of right answers, on average.
        unfamiliar: share of test images that are taken for unlike those of the training.
        skipped: reasons by name of images that could not be read.
    """

    classes: tuple[str, ...]
    images: Mapping[str, int]
    accuracy: float
    calibration_error: float
    unfamiliar: float
    skipped: Mapping[str, str] = field(default_factory=dict)

    def to_plain(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"classes            {', '.join(self.classes)}",
            f"images             {', '.join(f'{n} {part}' for part, n in self.images.items())}",
            f"test accuracy      {self.accuracy:.1%}",
            f"calibration error  {self.calibration_error:.1%}",
            f"unfamiliar         {self.unfamiliar:.1%} of the test images",
        ]
        if self.skipped:
            name, why = next(iter(self.skipped.items()))
            lines.append(f"skipped            {len(self.skipped)} images, the first is {name}: {why}")
        return "\n".join(lines)


def fit_probe(
    data: Path,
    source: str,
    output: Path,
    *,
    shots: int | None = None,
    seed: int = 0,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> ProbeReport:
    """Fit a probe on the features of a trained model, and save both.

    8 of 10 images are fitted on, 1 of 10 decides regularisation and probabilities, 1 of 10 tests.

    Args:
        data: folder or zip with one folder of images per class, whose name is the name of the class.
        source: model with an image encoder: a folder, the name of a bundled model, or a hub id.
        output: folder that the probe is saved in.
        shots: number of images per class that are fitted on; all if None.
        seed: of the draw of these.
        watch: called with the number of images that are encoded, and of all.

    Raises:
        VisprogError: the data or the model cannot be used.
    """
    pairs = read_classes(data, "{}")
    classes = tuple(sorted({entry.caption.strip() for entry in pairs.entries}))
    encoder, processor = _load(source)
    places = {part: divide(pairs.names, part) for part in PARTS}
    if shots is not None:
        labels = torch.tensor([classes.index(pairs.entries[i].caption.strip()) for i in places["train"]])
        places["train"] = [places["train"][i] for i in few_shot(labels, shots, seed).tolist()]
    skipped: dict[str, str] = {}
    done, total = 0, sum(map(len, places.values()))
    features: dict[Part, tuple[Tensor, Tensor]] = {}
    for part in PARTS:
        rows, labels_of = list[Tensor](), list[int]()
        for images, names in _batches(pairs, places[part], skipped):
            rows.append(_encode(encoder, processor, images))
            labels_of += [classes.index(name) for name in names]
            done += len(images)
            watch(done, total)
        if not rows:
            raise DataError(f"{data} holds too few images to set some aside for '{part}': add more")
        features[part] = torch.cat(rows), torch.tensor(labels_of)
    if missing := sorted(set(range(len(classes))) - set(features["train"][1].tolist())):
        raise DataError(
            f"{data} holds no image of '{classes[missing[0]]}' to train on: add more of this class"
        )
    try:
        probe = Probe.fit(encoder, classes, features["train"], features["val"])
    except ValueError as error:
        raise DataError(f"{data}: {error}") from None

    def write(folder: Path) -> None:
        probe.save_pretrained(folder)
        processor.save_pretrained(folder)

    write_folder(output, write)
    return _report(probe, features, skipped)


def _report(
    probe: Probe, features: Mapping[Part, tuple[Tensor, Tensor]], skipped: Mapping[str, str]
) -> ProbeReport:
    found, labels = features["test"]
    with torch.inference_mode():
        probabilities = probe.head(found).softmax(1)
        unfamiliar = probe.distance(found) > probe.farthest
    return ProbeReport(
        probe.config.classes,
        {part: len(of) for part, (_, of) in features.items()},
        float((probabilities.argmax(1) == labels).float().mean()),
        calibration_error(probabilities, labels),
        float(unfamiliar.float().mean()),
        skipped,
    )


def _load(source: str) -> tuple[Any, ImageProcessor]:
    try:
        encoder = image_encoder_of(load_model(source).eval())
        processor = ImageProcessor.from_pretrained(source)
    except (OSError, ValueError, TypeError) as error:
        raise VisprogError(f"no probe can be fitted on '{source}': {first_line(error)}") from None
    return encoder.to("cuda" if torch.cuda.is_available() else "cpu"), processor


@torch.inference_mode()
def _encode(encoder: Any, processor: ImageProcessor, images: Sequence[Pixels]) -> Tensor:
    device = next(encoder.parameters()).device
    return image_features(encoder, processor(images).to(device)).float().cpu()


def _batches(
    pairs: Pairs, places: Sequence[int], skipped: dict[str, str]
) -> Iterator[tuple[list[Pixels], list[str]]]:
    """Images and the names of their classes; what cannot be read is noted."""
    for start in range(0, len(places), BATCH):
        found = []
        for place in places[start : start + BATCH]:
            try:
                found.append(pairs[place])
            except BadSample as error:
                skipped[error.name] = error.reason
        if found:
            yield [pair.image for pair in found], [pair.captions[0] for pair in found]
