"""The grid of a ruled table: long straight rules across and down, whatever is written between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.values import Box, Grid
from visprog.values.image import Image

Array = NDArray[Any]
MAX_SIDE = 1200
"""Longer side, in pixels, to which larger images are reduced."""


@dataclass(frozen=True)
class Rule:
    """A rule: its place across its direction, its begin and end along it, and the share of it that is drawn."""

    at: float
    begin: float
    end: float
    width: float
    drawn: float


def read_grid(image: Image) -> Grid:
    """The grid of the largest ruled table.

    Raises:
        ToolError: There is none.
    """
    rows, columns = read_rules(image)
    return Grid(len(rows) - 1, len(columns) - 1, Box(columns[0], rows[0], columns[-1], rows[-1]))


def read_rules(image: Image) -> tuple[list[float], list[float]]:
    """Edges of the rows (y), and of the columns (x), of the largest ruled table, in the frame of the root.

    Raises:
        ToolError: There is none.
    """
    rgb = image.pixels
    scale = min(1.0, MAX_SIDE / max(image.size))
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    light = float(np.median(rgb)) > (float(rgb.min()) + float(rgb.max())) / 2
    for kind in (cv2.MORPH_BLACKHAT, cv2.MORPH_TOPHAT) if light else (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT):
        if light == (kind == cv2.MORPH_TOPHAT):
            rgb = _raised(rgb, light=light)  # what is no lighter than a light ground are gaps between letters
        across = _rules(rgb, kind)
        down = _rules(np.ascontiguousarray(rgb.transpose(1, 0, 2)), kind)
        rows, columns = _table(across, down)
        if rows and columns:
            y, x = _edges(rows, columns), _edges(columns, rows)
            if (len(y) - 1) * (len(x) - 1) >= 2:
                return [image.origin.y + at / scale for at in y], [image.origin.x + at / scale for at in x]
    raise ToolError(
        "no grid was found in the image: find_grid needs a table with ruled lines and two cells or more"
    )


def _rules(rgb: Array, kind: int) -> list[Rule]:
    """Horizontal rules, darker (MORPH_BLACKHAT) or lighter (MORPH_TOPHAT) than what lies above and below
    them."""
    height, width = rgb.shape[:2]
    tall = np.ones((max(9, min(31, height // 12)), 1), np.uint8)
    thin, crossed, any_way = _hat(rgb, kind, tall), _hat(rgb, kind, tall.T), _hat(rgb, kind, tall @ tall.T)
    spread = float(np.median(np.abs(thin.astype(np.float32) - np.median(thin)))) * 1.4826
    least = max(24.0, 0.35 * float(np.percentile(any_way, 99.5)), 5 * spread)
    # where two rules cross, neither is thinner than the other: what is thin in no one direction alone
    crossing = (any_way > least) & (crossed <= least)
    mask = ((thin > least) | crossing).astype(np.uint8)
    mask = cv2.dilate(mask, np.ones((2, 1), np.uint8))  # a rule may lean by a pixel here and there
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((1, 3), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((1, max(16, width // 12)), np.uint8))
    count, _, stats, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found: list[Rule] = []
    for i in np.argsort(-stats[1:, cv2.CC_STAT_WIDTH]) + 1 if count > 1 else ():
        x, _, w, h, area = (int(v) for v in stats[i])
        if h > 0.25 * w + 3:
            continue
        rule = Rule(float(centres[i][1]), float(x), float(x + w), max(1.0, area / w), float(w))
        for k, other in enumerate(found):
            near = max(2.0, 0.75 * max(rule.width, other.width))
            if abs(rule.at - other.at) <= near:
                begin, end = min(rule.begin, other.begin), max(rule.end, other.end)
                found[k] = Rule(other.at, begin, end, other.width, other.drawn + rule.drawn)
                break
        else:
            found.append(rule)
    return [r for r in found if r.drawn >= 0.6 * (r.end - r.begin)]  # a row of letters is mostly gaps


def _hat(rgb: Array, kind: int, kernel: Array) -> Array:
    """(H, W) levels by which a pixel is darker or lighter than what surrounds it within the kernel."""
    hat = cv2.morphologyEx(rgb, kind, kernel)
    return np.asarray(np.maximum.reduce([hat[..., i] for i in range(3)]))


def _raised(rgb: Array, *, light: bool) -> Array:
    """The image without what is darker than its ground, or, if that is not light, lighter: it becomes the ground."""
    ground = np.median(rgb.reshape(-1, 3), axis=0).astype(np.uint8)
    return np.maximum(rgb, ground) if light else np.minimum(rgb, ground)


def _meet(a: Rule, b: Rule) -> bool:
    slack = 3 + a.width + b.width
    return a.begin - slack <= b.at <= a.end + slack and b.begin - slack <= a.at <= b.end + slack


def _table(across: list[Rule], down: list[Rule]) -> tuple[list[Rule], list[Rule]]:
    """The largest set of rules that hang together, without those that are short for it."""
    groups: list[tuple[list[Rule], list[Rule]]] = []
    left_a, left_d = set(range(len(across))), set(range(len(down)))
    while left_a:
        rows, columns, todo = {left_a.pop()}, set[int](), True
        while todo:
            more_d = {j for j in left_d if any(_meet(across[i], down[j]) for i in rows)}
            left_d -= more_d
            columns |= more_d
            more_a = {i for i in left_a if any(_meet(across[i], down[j]) for j in columns)}
            left_a -= more_a
            rows |= more_a
            todo = bool(more_a or more_d)
        groups.append(([across[i] for i in rows], [down[j] for j in columns]))
    groups = [g for g in groups if g[0] and g[1]]
    if not groups:
        return [], []
    rows_, columns_ = max(groups, key=lambda g: len(g[0]) * len(g[1]))
    for _ in range(2):
        rows_ = [r for r in rows_ if sum(_meet(r, c) for c in columns_) >= 0.6 * len(columns_)]
        columns_ = [c for c in columns_ if sum(_meet(r, c) for r in rows_) >= 0.6 * len(rows_)]
    return sorted(rows_, key=lambda r: r.at), sorted(columns_, key=lambda r: r.at)


def _edges(rules: list[Rule], crossing: list[Rule]) -> list[float]:
    """Edges of the cells: the rules, and the ends of the rules that cross them, if they go on beyond the outermost."""
    places = [r.at + 0.5 for r in rules]
    low, high = min(c.begin for c in crossing), max(c.end for c in crossing)
    pitch = float(np.median(np.diff(places))) if len(places) > 1 else (high - low) / 2
    before = [low] if places[0] - low > 0.4 * pitch else []
    beyond = [high] if high - places[-1] > 0.4 * pitch else []
    return [*before, *places, *beyond]
