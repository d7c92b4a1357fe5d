"""The gate of the bundled models: a linear classifier that tells drawn scenes from all other images.

python -m visprog.training.gate visprog/models/weights/owl        # writes gate.json there; some minutes of one core

It reads the features of the detector in that folder. Scenes of training are held against images of other kinds, which
are drawn here, too: shaded and textured patches of all sizes over each other (dead leaves, whose statistics are those
of photographs, Ruderman 1997), objects of scenes on such a ground, many soft objects of one kind, pages, charts,
strokes, lettering, tables, sketches, bare grounds and noise. No photograph was used.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..models.owlvit import OwlVit
from ..models.preprocess.image_processor import ImageProcessor, pad_to_square
from ..scenes import Scenes
from ..scenes import background as grounds

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

FALSE_ALARMS = 0.01
"""Share of scenes of validation that the gate keeps out."""

DECAY = 0.01
"""Of the squared weights."""


def cloud(rng: np.random.Generator, side: int, slope: float) -> Floats:
    """Coloured noise (side, side, 3) of mean 0 and deviation 1, whose power falls with frequency by that exponent."""
    frequency = np.fft.fftfreq(side)
    power = frequency[:, None] ** 2 + frequency[None] ** 2
    power[0, 0] = 1
    noise = np.fft.fft2(rng.standard_normal((side, side, 3)), axes=(0, 1)) * power[..., None] ** (-slope / 4)
    mixed = np.real(np.fft.ifft2(noise, axes=(0, 1))) @ (
        np.eye(3) * rng.uniform(0.1, 0.6) + rng.uniform(0.2, 0.5)
    )
    return np.asarray((mixed - mixed.mean()) / mixed.std())


def leaves(rng: np.random.Generator, side: int | None = None) -> Pixels:
    """Shaded and textured patches over each other."""
    side = side or int(rng.choice([48, 96, 160]))
    canvas = rng.uniform(20, 235, 3) + rng.uniform(10, 60) * cloud(rng, side, rng.uniform(1, 3))
    palette = rng.uniform(0, 255, (int(rng.integers(2, 9)), 3))
    palette = palette.mean(1, keepdims=True) + (palette - palette.mean(1, keepdims=True)) * rng.uniform(
        0.1, 1
    )
    textures, least = [cloud(rng, side, rng.uniform(0.5, 3)) for _ in range(2)], rng.uniform(0.02, 0.1)
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    for _ in range(int(rng.choice([0, 1, 3, 8, 20, 60, 200]))):
        radius = min(least / max(rng.random(), 0.02) ** 0.7, 0.6) * side
        cover = cv2.GaussianBlur(_patch(rng, side, radius), (0, 0), rng.uniform(0.3, 3))[..., None] / 255.0
        turn, steep = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2)
        shade = 1 + steep * (columns * np.cos(turn) + rows * np.sin(turn))[..., None]
        color = palette[rng.integers(len(palette))] + rng.normal(0, 12, 3)
        canvas += cover * (color * shade + rng.uniform(0, 35) * textures[rng.integers(2)] - canvas)
    if rng.random() < 0.3:
        canvas = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.5, 3))
    canvas = (canvas - canvas.mean()) * rng.uniform(0.5, 1.2) + canvas.mean()
    return _levels(canvas + rng.normal(0, rng.uniform(0, 8), canvas.shape))


def things_on_leaves(rng: np.random.Generator) -> Pixels:
    """The objects of a scene before such a ground."""
    side = int(rng.choice([96, 160]))
    scene = Scenes(side, seed=77)[int(rng.integers(1 << 20))]
    ground = leaves(rng, side).astype(float)
    ground = (ground - ground.mean()) * rng.uniform(0.6, 1.6) + ground.mean()
    cover = cv2.GaussianBlur(scene.masks.any(0).astype(np.float32), (0, 0), 0.7)[..., None]
    return _levels(ground + cover * (scene.pixels - ground))


def soft_objects(rng: np.random.Generator) -> Pixels:
    """Many soft objects of one kind, as under a microscope."""
    side, level = 120, rng.uniform(60, 250, 3)
    canvas = level + rng.normal(0, 2, 3) * cloud(rng, side, 2.5)
    color, radius, hollow = (
        level * rng.uniform(0.5, 1, 3),
        side * rng.uniform(0.04, 0.16),
        rng.uniform(0, 0.7),
    )
    for _ in range(int(rng.integers(4, 30))):
        center = tuple(map(int, rng.integers(0, side, 2)))
        size = radius * rng.uniform(0.75, 1.2)
        axes = (int(size) + 1, int(size * rng.uniform(0.75, 1)) + 1)
        cover = np.zeros((side, side), np.float32)
        cv2.ellipse(cover, center, axes, rng.uniform(0, 360), 0, 360, 1.0, -1)
        cv2.circle(cover, center, int(size * 0.4) + 1, 1 - hollow, -1)
        soft = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.8, 2.5))[..., None] * rng.uniform(0.5, 1)
        canvas += soft * (color + rng.normal(0, 5, 3) - canvas)
    if rng.random() < 0.5:  # and a larger one of another kind
        cover = np.zeros((side, side), np.float32)
        cv2.circle(cover, tuple(map(int, rng.integers(0, side, 2))), int(1.6 * radius), 1.0, -1)
        canvas += cv2.GaussianBlur(cover, (0, 0), 2)[..., None] * (rng.uniform(0, 200, 3) - canvas)
    return _levels(canvas + rng.normal(0, rng.uniform(0, 4), canvas.shape))


def writing(rng: np.random.Generator) -> Pixels:
    """A page, a chart, strokes, large letters or a table."""
    height, width = (int(v) for v in rng.choice([96, 200, 300, 400], 2))
    height, width = max(height, width // 2), max(width, height // 2)
    ground = 255.0 if rng.random() < 0.6 else rng.uniform(0, 255, 3)
    canvas = np.full((height, width, 3), ground, np.uint8)
    ink = (20.0,) * 3 if canvas.mean() > 100 else (230.0,) * 3
    kind = rng.integers(5)
    if kind == 0:
        for y in range(25, height, int(rng.integers(16, 30))):
            _write(canvas, rng, (8, y), 0.5, ink, 1, int(rng.integers(5, 40)))
    elif kind == 1:
        count, base = int(rng.integers(3, 10)), height - 15
        for i in range(count):
            left = 15 + i * (width - 20) // count
            top, right = int(rng.integers(10, base - 5)), left + (width - 20) // count * 2 // 3
            cv2.rectangle(
                canvas, (left, top), (right, base), _color(rng) if rng.random() < 0.3 else (70.0, 90, 170), -1
            )
            _write(canvas, rng, (left, height - 3), 0.35, ink, 1, 2)
        cv2.line(canvas, (12, 5), (12, base), ink)
        cv2.line(canvas, (12, base), (width, base), ink)
    elif kind == 2:
        for _ in range(int(rng.integers(1, 12))):
            points = (rng.random((int(rng.integers(2, 20)), 2)) * (width, height)).astype(np.int32)
            points = points[points[:, 0].argsort()] if rng.random() < 0.5 else points
            cv2.polylines(
                canvas, [points], bool(rng.random() < 0.3), _color(rng), int(rng.integers(1, 5)), cv2.LINE_AA
            )
    elif kind == 3:
        for _ in range(int(rng.integers(1, 5))):
            place = (int(rng.integers(0, width // 2)), int(rng.integers(height // 4, height)))
            _write(
                canvas,
                rng,
                place,
                rng.uniform(0.5, 3),
                _color(rng),
                int(rng.integers(1, 5)),
                int(rng.integers(1, 7)),
            )
    else:
        rows, columns = rng.integers(2, 9, 2).tolist()
        for i in range(max(rows, columns) + 1):
            cv2.line(canvas, (i * width // columns, 0), (i * width // columns, height), ink)
            cv2.line(canvas, (0, i * height // rows), (width, i * height // rows), ink)
    return canvas


def bare(rng: np.random.Generator) -> Pixels:
    """One colour, noise, or the ground of a scene."""
    kind, shape = rng.integers(4), (96, 96, 3)
    if kind == 0:
        return np.full(shape, rng.uniform(0, 255, 3), np.uint8)
    if kind == 1:
        return _levels(rng.normal(rng.uniform(0, 255, 3), rng.uniform(1, 80), shape))
    ground = Scenes(96, seed=78)[int(rng.integers(1 << 20))].background
    return grounds.develop(grounds.render(ground, 96), ground)


def sketch(rng: np.random.Generator) -> Pixels:
    """A scene that shows outlines alone."""
    return Scenes(96, seed=79, style="sketch")[int(rng.integers(1 << 20))].pixels


def cut(image: Pixels, rng: np.random.Generator) -> Pixels:
    """An image as it is or, as likely, cut to the form of a photograph."""
    height, width = image.shape[:2]
    share = rng.choice([1, 1, 3 / 4, 2 / 3])
    return image[: round(height * share)] if rng.random() < 0.7 else image[:, : round(width * share)]


OTHERS: dict[Callable[[np.random.Generator], Pixels], int] = {
    leaves: 1000, things_on_leaves: 1000, soft_objects: 600, writing: 500, bare: 200, sketch: 300,
}  # fmt: skip
"""What is not a scene, and how many images of it are drawn."""


def scenes(split: str, count: int) -> list[Pixels]:
    """Scenes of several sizes, a fifth more of them with one object than training has."""
    found = []
    for size, share in ((96, 0.5), (48, 0.1), (64, 0.1), (160, 0.1), (320, 0.1)):
        source = Scenes(size, seed=size, split=split)
        found += [source[i].pixels for i in range(round(share * count))]
    single = Scenes(96, seed=1, split=split, objects=(1, 1))
    return found + [single[i].pixels for i in range(round(0.1 * count))]


@torch.inference_mode()
def pooled(folder: Path, images: list[Pixels]) -> Floats:
    """Mean, deviation, maximum and minimum of each feature of a detector, (images, 4 x features)."""
    model, pixels = OwlVit.from_pretrained(folder).eval(), ImageProcessor.from_pretrained(folder)
    rows = []
    for at in range(0, len(images), 32):
        _, features = model.encode_images(
            pixels([pixels.fit(pad_to_square(image)) for image in images[at : at + 32]])
        )
        values = features.float().numpy()
        rows.append(np.concatenate([values.mean(1), values.std(1), values.max(1), values.min(1)], 1))
    return np.concatenate(rows).astype(np.float64)


def fit(scenes: Floats, others: Floats) -> tuple[Floats, float]:
    """Weights and bias of a logistic regression, the two classes weighed alike: above 0 it is none of the scenes."""
    mean, deviation = scenes.mean(0), scenes.std(0) + 1e-3
    inputs = torch.from_numpy((np.concatenate([scenes, others]) - mean) / deviation).float()
    targets = torch.cat([torch.zeros(len(scenes)), torch.ones(len(others))])
    weights, bias = torch.zeros(inputs.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=300, line_search_fn="strong_wolfe")
    balance = torch.tensor(len(scenes) / len(others))

    def loss() -> Any:
        optimizer.zero_grad()
        logits = inputs @ weights + bias
        value = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=balance)
        value = value + DECAY * (weights**2).sum()
        value.backward()
        return value

    optimizer.step(loss)
    plain = weights.detach().numpy() / deviation
    return plain, float(bias.detach()) - float(mean @ plain)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="of the detector; gate.json is written there")
    folder = parser.parse_args().folder.resolve()
    rng = np.random.default_rng(0)
    others = [cut(draw(rng), rng) for draw, count in OTHERS.items() for _ in range(count)]
    weights, bias = fit(pooled(folder, scenes("train", 3000)), pooled(folder, others))
    usual = pooled(folder, scenes("val", 1000)) @ weights + bias
    bias -= float(np.quantile(usual, 1 - FALSE_ALARMS))
    numbers = {"bias": round(bias, 4), "weights": [round(float(weight), 5) for weight in weights]}
    (folder / "gate.json").write_text(json.dumps(numbers) + "\n", encoding="utf-8")


def _patch(rng: np.random.Generator, side: int, radius: float) -> Pixels:
    """An ellipse, a bar, a blot or a bent line, 255 inside."""
    cover, center, kind = np.zeros((side, side), np.uint8), rng.uniform(-0.1, 1.1, 2) * side, rng.integers(4)
    if kind < 2:
        box = (center.tolist(), (2 * radius + 1, 2 * radius * rng.uniform(0.1, 1) + 1), rng.uniform(0, 180))
        if kind == 0:
            cv2.ellipse(cover, box, (255.0,), -1)
        else:
            cv2.fillPoly(cover, [cv2.boxPoints(box).astype(np.int32)], (255.0,))
    elif kind == 2:
        turns = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(4, 12))))
        reach = radius * rng.uniform(0.5, 1.2, len(turns))
        corners = center + np.stack([np.cos(turns), np.sin(turns)], 1) * reach[:, None]
        cv2.fillPoly(cover, [corners.astype(np.int32)], (255.0,))
    else:
        bends = center + np.cumsum(rng.normal(0, radius * 0.4, (8, 2)), 0)
        cv2.polylines(cover, [bends.astype(np.int32)], False, (255.0,), max(1, int(radius * 0.15)))
    return cover


def _write(canvas: Pixels, rng: np.random.Generator, place: tuple[int, int], scale: float, ink: Any, width: int,
           letters: int) -> None:  # fmt: skip
    text = "".join(rng.choice(list("abcdefgh ijklmnop qrstuv wxyz ABCDEF 0123456789?&"), letters))
    cv2.putText(canvas, text, place, int(rng.choice([0, 1, 2, 3, 4])), scale, ink, width, cv2.LINE_AA)


def _color(rng: np.random.Generator) -> tuple[float, ...]:
    return tuple(map(float, rng.uniform(0, 255, 3)))


def _levels(canvas: NDArray[Any]) -> Pixels:
    return np.asarray(np.clip(canvas, 0, 255), np.uint8)


if __name__ == "__main__":
    main()
