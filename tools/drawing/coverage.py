"""Small shapes: which polygon or ellipse covers their pixels as far as they are covered.

The outline of a shape of ten pixels is known no better than to a pixel, and its corners are blunt: antialiasing has
spread them. What is known well is how far each pixel is covered, so shapes are fitted to that, with as few sides as
explain it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Predict = Callable[[Array], tuple[Array, Array]]
"""Predicts, from the values of a model (V,), the coverage of pixels (P,) and its derivatives by the values (P, V)."""

SAMPLES_PER_SIDE = 3
"""Samples across and down a pixel, whose mean is its coverage by a polygon."""

MAX_STEPS = 12
"""Number of steps of the Levenberg-Marquardt method, at most."""

MAX_ERROR, MAX_HARD_ERROR = 0.04, 0.125
"""Root mean squared error of the coverage up to which a model fits: of an antialiased shape, and of one with hard
edges, whose pixels are all in or out."""

ERROR_FLOOR = 0.05
"""Root mean squared error that no model explains: compression, and edges that are drawn otherwise."""

MAX_START_ERROR = 0.5
"""Root mean squared error of a model before it is fitted, from which it is not fitted at all."""

MAX_BLUNT_SIDE = 2.4
"""Length, in pixels, up to which a side is a blunt corner."""

MIN_PEN_COVERAGE = 0.3
"""Coverage from which a pixel belongs to a thin outline, which may cover no pixel by half."""

MAX_SIDES = 8
"""Number of sides of a fitted polygon, at most."""

_SQUARE = np.ones((5, 5), np.uint8)


@dataclass(frozen=True, eq=False)
class Model:
    """A shape fitted to pixels.

    Attributes:
        sides: number of them; 0 for an ellipse.
        values: of a polygon (N, 2), angle and distance from the origin of each side's outward normal, in order; of an
            ellipse (5,), its centre, its half axes, and the angle of the first.
        pen: width of the outline that lies within, if that is all that is drawn; else 0.
        error: mean squared error of the coverage.
    """

    sides: int
    values: Array
    pen: float
    error: float


def fit(covered: Array, pen: float = 0.0) -> Model | None:
    """The polygon or ellipse that covers pixels best, of as few sides as explain them; None for too few pixels.

    Models are weighed by G. Schwarz, "Estimating the dimension of a model", Annals of Statistics 6(2), 1978.

    Args:
        covered: (H, W) how far each pixel is covered by one shape without dents, 0 to 1.
        pen: rough width of its outline, if that is all that is drawn; else 0.
    """
    core = (covered > (MIN_PEN_COVERAGE if pen else 0.5)).astype(np.uint8)
    near = cv2.dilate(core, _SQUARE) > cv2.erode(core, _SQUARE)
    y, x = np.nonzero(near)
    if len(x) < 16 or not core.any():
        return None
    places, wanted = np.stack([x, y], 1).astype(float), covered[y, x]
    hard = bool(((wanted > 0.1) & (wanted < 0.9)).mean() < 0.05)
    right = MAX_HARD_ERROR if hard else MAX_ERROR
    hull = _hull(covered, MIN_PEN_COVERAGE if pen else 0.5)
    samples = _samples(places)
    found = [_fitted(partial(_ellipse, places), _around(hull), np.array([0, 0, 1, 1, 0]), wanted, 0, pen)]
    for sides in range(3, min(MAX_SIDES, len(hull)) + 1):
        if found[-1].error < right**2 and (sides > 3 or not hard):
            break
        predict, joints = partial(_polygon, samples), partial(_round_joints, samples)
        start, inward = _sides(hull, sides).ravel(), np.tile([0, 1], sides)
        model = _fitted(predict, start, inward, wanted, sides, pen, joints)
        if _shortest(model) > MAX_BLUNT_SIDE:
            found.append(model)
    price = (3.0 if hard else 1.5) * np.log(len(x))  # the steps of hard edges are no independent errors
    scores = [len(x) * np.log(m.error + ERROR_FLOOR**2) + price * m.values.size for m in found]
    return found[int(np.argmin(scores))]


def corners(values: Array) -> Array:
    """The corners (N, 2), x and y, at which the sides (N, 2) of a polygon meet the next ones."""
    normals = np.stack([np.cos(values[:, 0]), np.sin(values[:, 0])], 1)
    following, distances = np.roll(normals, -1, 0), np.roll(values[:, 1], -1)
    cross = normals[:, 0] * following[:, 1] - normals[:, 1] * following[:, 0]
    cross = np.where(np.abs(cross) < 1e-6, 1e-6, cross)
    x = (values[:, 1] * following[:, 1] - distances * normals[:, 1]) / cross
    y = (distances * normals[:, 0] - values[:, 1] * following[:, 0]) / cross
    return np.stack([x, y], 1)


def _shortest(model: Model) -> float:
    """Length of a polygon's shortest side, in the middle of its pen; less than 0 if the sides are not in order."""
    points = corners(model.values - [0, model.pen / 2])
    tangents = np.stack([-np.sin(model.values[:, 0]), np.cos(model.values[:, 0])], 1)
    return float(((points - np.roll(points, 1, 0)) * tangents).sum(1).min())


def _fitted(
    predict: Predict,
    start: Array,
    inward: Array,
    wanted: Array,
    sides: int,
    pen: float,
    joints: Callable[[Array, float], Array] | None = None,
) -> Model:
    """A model with its values fitted, from rough ones on.

    Args:
        inward: (V,) by how much each value is less for a shape that lies within by a pixel.
        joints: Predicts the coverage by the same shape with round corners, from its values and the pen.
    """

    def ring(values: Array) -> tuple[Array, Array]:
        outer, more = predict(values[:-1])
        inner, less = predict(values[:-1] - values[-1] * inward)
        change = np.column_stack([more - less, less @ inward])
        if joints is not None:  # an outline with mitred or round joints, or anything between
            least = np.minimum(joints(values[:-1], values[-1]), outer)
            change[(wanted + inner > least) & (wanted + inner < outer)] = 0
            outer = np.clip(wanted + inner, least, outer)
        return outer - inner, change

    if pen:
        found, error = _least_squares(ring, np.append(start, pen), wanted)
        found, pen = found[:-1], float(found[-1])
    else:
        found, error = _least_squares(predict, start, wanted)
    return Model(sides, found.reshape(-1, 2) if sides else found, pen, error)


def _least_squares(predict: Predict, values: Array, wanted: Array) -> tuple[Array, float]:
    """The values of the best prediction, and its mean squared error (Levenberg 1944, Marquardt 1963)."""
    damping = 1e-2
    have, change = predict(values)
    error = float(((have - wanted) ** 2).mean())
    if error > MAX_START_ERROR**2:
        return values, error
    for _ in range(MAX_STEPS):
        normal = change.T @ change
        system = normal + damping * np.diag(np.diag(normal) + 1e-6)
        moved = values + np.linalg.solve(system, change.T @ (wanted - have))
        other, slope = predict(moved)
        new = float(((other - wanted) ** 2).mean())
        if new < error:
            done = error - new < 1e-2 * error
            values, have, change, error, damping = moved, other, slope, new, damping * 0.3
            if done:
                break
        else:
            damping *= 8
            if damping > 1e4:
                break
    return values, error


def _samples(places: Array) -> Array:
    """(P, SAMPLES_PER_SIDE * SAMPLES_PER_SIDE, 2) places within each pixel."""
    steps = (np.arange(SAMPLES_PER_SIDE) + 0.5) / SAMPLES_PER_SIDE - 0.5
    return np.asarray(places[:, None] + np.stack(np.meshgrid(steps, steps), -1).reshape(1, -1, 2))


def _polygon(samples: Array, flat: Array) -> tuple[Array, Array]:
    """See `Predict`; a sample is covered as far as it lies within the side that it is nearest to, or beyond."""
    values = flat.reshape(-1, 2)
    normals = np.stack([np.cos(values[:, 0]), np.sin(values[:, 0])], 1)
    outside = samples @ normals.T - values[:, 1]
    nearest = outside.argmax(2)
    slope = SAMPLES_PER_SIDE / np.abs(normals).sum(1)
    inside = 0.5 - outside.max(2) * slope[nearest]
    on_rim = (inside > 0) & (inside < 1)
    change = np.zeros((len(samples), len(values), 2))
    tangents = np.stack([-normals[:, 1], normals[:, 0]], 1)
    for k in range(len(values)):
        weight = (on_rim & (nearest == k)) * slope[k]
        change[:, k, 0] = -(weight * (samples @ tangents[k])).mean(1)
        change[:, k, 1] = weight.mean(1)
    return np.clip(inside, 0, 1).mean(1), change.reshape(len(samples), -1)


def _round_joints(samples: Array, flat: Array, pen: float) -> Array:
    """Coverage of pixels (P,) by all that a round pen touches within a polygon or on its way around it."""
    middle = flat.reshape(-1, 2) - [0, pen / 2]
    normals = np.stack([np.cos(middle[:, 0]), np.sin(middle[:, 0])], 1)
    outside = samples @ normals.T - middle[:, 1]
    nearest = outside.argmax(2)
    ends = corners(middle)
    starts = np.roll(ends, 1, 0)
    tangents = np.stack([-normals[:, 1], normals[:, 0]], 1)
    along = (samples * tangents[nearest]).sum(2)
    low, high = (starts * tangents).sum(1)[nearest], (ends * tangents).sum(1)[nearest]
    beyond = np.maximum(np.maximum(low - along, along - high), 0)
    distance = outside.max(2)
    distance = np.where(distance > 0, np.hypot(distance, beyond), distance)
    slope = SAMPLES_PER_SIDE / np.abs(normals).sum(1)
    return np.asarray(np.clip(0.5 - (distance - pen / 2) * slope[nearest], 0, 1).mean(1))


def _ellipse(places: Array, values: Array) -> tuple[Array, Array]:
    """See `Predict`; the change by differences."""
    step = 1e-3
    covered = _ellipse_covers(places, values)
    moved = [_ellipse_covers(places, values + step * unit) for unit in np.eye(5)]
    return covered, (np.stack(moved, 1) - covered[:, None]) / step


def _ellipse_covers(places: Array, values: Array) -> Array:
    x, y, a, b, angle = values
    a, b = max(abs(a), 0.3), max(abs(b), 0.3)
    u = ((places[:, 0] - x) * np.cos(angle) + (places[:, 1] - y) * np.sin(angle)) / a
    v = (-(places[:, 0] - x) * np.sin(angle) + (places[:, 1] - y) * np.cos(angle)) / b
    radius = np.sqrt(u * u + v * v)
    steepness = np.sqrt((u / a) ** 2 + (v / b) ** 2) / np.maximum(radius, 1e-6)
    return np.asarray(np.clip(0.5 - (radius - 1) / np.maximum(steepness, 1e-6), 0, 1))


def _hull(covered: Array, least: float) -> Array:
    """The corners (N, 2), clockwise, of the convex hull of all pixels that are covered by more than `least`."""
    fine = cv2.resize(covered.astype(np.float32), None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
    outlines, _ = cv2.findContours((fine > least).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(outlines))[:, 0]
    return np.asarray((hull + 0.5) / 4 - 0.5)


def _sides(hull: Array, sides: int) -> Array:
    """The sides (N, 2) of a hull without the corners that matter least to its area (Visvalingam and Whyatt 1993)."""
    while len(hull) > sides:
        into, out = hull - np.roll(hull, 1, 0), np.roll(hull, -1, 0) - hull
        hull = np.delete(hull, np.abs(into[:, 0] * out[:, 1] - into[:, 1] * out[:, 0]).argmin(), 0)
    edges = np.roll(hull, -1, 0) - hull
    angles = np.arctan2(-edges[:, 0], edges[:, 1])  # outward
    return np.stack([angles, np.cos(angles) * hull[:, 0] + np.sin(angles) * hull[:, 1]], 1)


def _around(hull: Array) -> Array:
    """The ellipse with the centre and the second moments of a hull."""
    m = cv2.moments(hull.astype(np.float32))
    size = max(m["m00"], 1e-6)
    spread, axes = np.linalg.eigh(np.array([[m["mu20"], m["mu11"]], [m["mu11"], m["mu02"]]]) / size)
    a, b = 2 * np.sqrt(np.maximum(spread[::-1], 0.05))
    return np.array([m["m10"] / size, m["m01"] / size, a, b, np.arctan2(axes[1, 1], axes[0, 1])])
