"""How much a CLIP trained on classes knows: with one template, with ensembles, with sentences, by a linear probe.

python -m benchmarks.zero_shot_table runs/clip-cifar10/best cifar10_train.zip
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from visprog.models import linear_probe
from visprog.models.clip.model import Clip
from visprog.models.preprocess.image_processor import ImageArray, ImageProcessor
from visprog.models.preprocess.tokenizer import Tokenizer
from visprog.models.zero_shot import ZeroShot, fill_templates
from visprog.prompts import class_sentences, templates
from visprog.training.data.captions import Part, divide
from visprog.training.data.pairs import Pairs, read_classes

ONE = "a photo of a {}."
PARTS: tuple[Part, Part] = ("train", "val")


def table(folder: Path, data: Path, limit: int | None = None) -> dict[str, float]:
    """Accuracy on the test part of `data`, by what the classes are told by.

    Args:
        folder: a trained model.
        data: a folder or zip with a folder a class.
        limit: images of each part at most.

    Raises:
        DataError: there are no such images.
    """
    model = Clip.from_pretrained(folder).eval()
    tokenizer, pixels = Tokenizer.from_pretrained(folder), ImageProcessor.from_pretrained(folder)
    pairs = read_classes(data, "{}")
    names = sorted({entry.caption for entry in pairs.entries})
    known = class_sentences()
    said = {
        "name alone": ["{}"],
        "one template": [ONE],
        "7 templates": templates("simple"),
        "80 templates": templates("imagenet"),
    }
    ways = {title: fill_templates(frames) for title, frames in said.items()}
    if all(name in known for name in names):
        ways["CuPL sentences"] = lambda name: known[name]
        ways["CuPL and 80 templates"] = lambda name: [*known[name], *fill_templates(templates())(name)]
    images, labels = _read(pairs, names, "test", limit)
    zero_shot = ZeroShot(model, tokenizer, pixels)
    features = zero_shot.encode_images(images)
    found = {}
    for title, describe in ways.items():
        classes = ZeroShot(model, tokenizer, pixels, describe=describe).encode_classes(names)
        found[title] = float(((features @ classes.T).argmax(1) == labels).double().mean())
    train, validation = (_read(pairs, names, part, limit) for part in PARTS)
    probe = linear_probe.choose(
        (_pooled(model, pixels, train[0]), train[1]), (_pooled(model, pixels, validation[0]), validation[1])
    )
    found[f"linear probe, C = {probe.c:g}"] = probe.accuracy(_pooled(model, pixels, images), labels)
    return found


@torch.inference_mode()
def _pooled(model: Clip, pixels: ImageProcessor, pictures: Sequence[ImageArray]) -> Tensor:
    """Features before the projection."""
    parts = [pictures[i : i + 256] for i in range(0, len(pictures), 256)]
    return torch.cat([model.image_encoder(pixels(part)).pooled for part in parts])


def _read(
    pairs: Pairs, names: Sequence[str], part: Part, limit: int | None
) -> tuple[list[ImageArray], Tensor]:
    places = divide(pairs.names, part)
    if limit is not None:
        places = places[:: max(1, len(places) // limit)][:limit]
    found = [pairs[i] for i in places]
    return [pair.image for pair in found], torch.tensor([names.index(pair.captions[0]) for pair in found])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="folder of a model that `visprog train` saved")
    parser.add_argument("data", type=Path, help="folder or zip with a folder a class")
    parser.add_argument("--limit", type=int, help="pictures of each part at most")
    arguments = parser.parse_args()
    for title, accuracy in table(arguments.model, arguments.data, arguments.limit).items():
        print(f"{title:<28} {accuracy:6.1%}")


if __name__ == "__main__":
    main()
