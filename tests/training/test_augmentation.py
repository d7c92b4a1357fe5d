"""Random views: each change against its formula, how often it is drawn, and that one generator draws it all."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("cv2")

from visprog.training.data.augmentation import (
    Augmentation,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    blur,
    jitter_colors,
    random_resized_crop,
)

NOTHING = Augmentation(None, flip=False, jitter=0, grey=0, blur=0)
COLORS = np.random.default_rng(0).random((9, 7, 3)).astype(np.float32)


def by_hsv(change) -> np.ndarray:
    pixels = [
        colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*map(float, p)))) for p in COLORS.reshape(-1, 3)
    ]
    return np.array(pixels).reshape(COLORS.shape)


def test_colours_change_by_their_formulas() -> None:
    np.testing.assert_allclose(adjust_brightness(COLORS, 1.7), np.clip(COLORS * 1.7, 0, 1), atol=1e-6)
    mean = COLORS.mean((0, 1))
    for factor in (0.2, 1.8):
        want = np.clip((COLORS - mean) * factor + mean, 0, 1)
        np.testing.assert_allclose(adjust_contrast(COLORS, factor), want, atol=1e-6)
        want = by_hsv(lambda h, s, v, f=factor: (h, min(s * f, 1), v))
        np.testing.assert_allclose(adjust_saturation(COLORS, factor), want, atol=1e-5)
    for turn in (-0.2, -0.01, 0.0, 0.13, 0.2):
        want = by_hsv(lambda h, s, v, t=turn: ((h + t) % 1, s, v))
        np.testing.assert_allclose(adjust_hue(COLORS, turn), want, atol=1e-5)
    grey = np.full((3, 3, 3), 0.4, np.float32)
    np.testing.assert_allclose(adjust_hue(adjust_saturation(grey, 2), 0.3), grey, atol=1e-6)


@pytest.mark.parametrize(("kernel", "sigma"), [(9, 2.0), (6, 0.5), (3, 0.1), (1, 1.0), (0, 1.0)])
def test_blur_is_a_gaussian_that_is_cut_off_with_black_beyond_the_edges(kernel: int, sigma: float) -> None:
    radius = kernel // 2
    steps = np.arange(-radius, radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    window = np.outer(weights, weights) / weights.sum() ** 2
    padded = np.pad(COLORS, ((radius, radius), (radius, radius), (0, 0)))
    want = np.array([
        [(padded[y : y + 2 * radius + 1, x : x + 2 * radius + 1] * window[..., None]).sum((0, 1)) for x in range(7)]
        for y in range(9)
    ])  # fmt: skip
    np.testing.assert_allclose(blur(COLORS, kernel, sigma), want, atol=1e-6)


def test_strength_bounds_the_change_and_the_order_is_drawn() -> None:
    rng = np.random.default_rng(0)
    weak = max(np.abs(jitter_colors(COLORS, 0.05, rng) - COLORS).max() for _ in range(50))
    strong = max(np.abs(jitter_colors(COLORS, 1.0, rng) - COLORS).max() for _ in range(50))
    assert weak < 0.25 < 0.9 < strong
    # A fifth of the circle is as far as a hue is turned: red never becomes blue or cyan.
    red = np.zeros((4, 4, 3), np.float32)
    red[..., 0], red[..., 1:] = 0.6, 0.2
    hues = [colorsys.rgb_to_hsv(*map(float, jitter_colors(red, 1.0, rng)[0, 0]))[0] for _ in range(300)]
    turned = np.minimum(hues, 1 - np.array(hues))
    assert 0.15 < turned.max() <= 0.2 + 1e-4


@pytest.mark.parametrize("shape", [(40, 60), (64, 64), (200, 20)])
def test_crops_have_their_share_of_the_area_and_their_proportions(shape: tuple[int, int]) -> None:
    height, width = shape
    image = np.zeros((height, width, 3), np.uint8)  # a pixel says where it stands
    image[..., 0], image[..., 1] = np.arange(height)[:, None], np.arange(width)
    rng, shares = np.random.default_rng(1), []
    for _ in range(300):
        view = random_resized_crop(image, 32, 0.08, rng)
        assert view.shape == (32, 32, 3)
        down, across = (float(np.ptp(view[..., k])) + 1 for k in (0, 1))
        shares.append(down * across / (height * width))
        assert 0.5 < across / down < 2  # 3:4 to 4:3, but for what interpolation takes off the edges
    if shape == (200, 20):  # longer than any crop
        assert max(shares) < 0.2
    else:
        assert min(shares) < 0.14 and max(shares) > 0.8 and 0.4 < np.mean(shares) < 0.65


def test_each_part_is_drawn_as_often_as_it_should_and_can_be_left_out() -> None:
    image = np.random.default_rng(0).integers(0, 255, (24, 24, 3)).astype(np.uint8)
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(NOTHING(image, 24, rng), image)
    parts = {
        "flip": (replace(NOTHING, flip=True), 0.5, lambda v: np.array_equal(v, image[:, ::-1])),
        "jitter": (replace(NOTHING, jitter=1.0), 0.8, lambda v: not np.array_equal(v, image)),
        "grey": (replace(NOTHING, grey=0.2), 0.2, lambda v: (v == v[..., :1]).all()),
        "blur": (replace(NOTHING, blur=0.5), 0.5, lambda v: not np.array_equal(v, image)),
    }
    for name, (augmentation, share, changed) in parts.items():
        count = np.mean([changed(augmentation(image, 24, rng)) for _ in range(600)])
        # blurs of less than about a quarter of a pixel change no level
        assert share - (0.12 if name == "blur" else 0.06) < count < share + 0.06, name


def test_equal_generators_draw_equal_views() -> None:
    image = np.random.default_rng(0).integers(0, 255, (30, 50, 3)).astype(np.uint8)
    views = [Augmentation()(image, 32, np.random.default_rng(seed)) for seed in (3, 3, 4)]
    assert views[0].dtype == np.uint8 and views[0].shape == (32, 32, 3)
    assert np.array_equal(views[0], views[1]) and not np.array_equal(views[0], views[2])


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"area": 0.0}, "area"),
        ({"area": 1.5}, "area"),
        ({"jitter": -1}, "jitter"),
        ({"grey": 2}, "grey"),
        ({"blur": -0.1}, "blur"),
    ],
)
def test_settings_out_of_range_are_named(keys: dict[str, float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Augmentation(**keys)
