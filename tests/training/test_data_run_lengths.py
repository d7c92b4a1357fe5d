"""COCO's masks, held against pycocotools where it is installed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visprog.training.data.run_lengths import (
    decode_mask,
    decode_polygons,
    decode_runs,
    encode_runs,
    pack,
    unpack,
)


def test_run_lengths_go_down_the_columns_and_start_outside() -> None:
    mask = decode_runs([1, 2, 3], 2, 3)
    assert mask.tolist() == [[False, True, False], [True, False, False]]
    assert encode_runs(mask) == [1, 2, 3]
    assert encode_runs(np.ones((2, 2), bool)) == [0, 4] and encode_runs(np.zeros((2, 2), bool)) == [4]


@given(st.integers(0, 10**9), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_masks_survive_run_lengths_and_packing(seed: int, height: int, width: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    runs = encode_runs(mask)
    assert sum(runs) == height * width
    packed = {"size": [height, width], "counts": pack(runs)}
    assert (decode_mask(packed, height, width) == mask).all()
    assert (decode_mask(packed | {"counts": runs}, height, width) == mask).all()


@given(st.integers(0, 10**9), st.integers(1, 60), st.integers(1, 60))
def test_packing_is_that_of_pycocotools(seed: int, height: int, width: int) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(seed)
    mask = cv2.blur(rng.random((height, width)), (3, 3)) < 0.5
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert pack(encode_runs(mask)).encode() == theirs["counts"]
    assert (decode_mask(theirs, height, width) == mask).all()
    uncompressed = {"size": [height, width], "counts": encode_runs(mask)}
    assert (coco.decode(coco.frPyObjects(uncompressed, height, width)) == mask).all()


@given(st.lists(st.integers(-(10**7), 10**7), max_size=8))
def test_numbers_of_any_size_and_sign_are_packed(numbers: list[int]) -> None:
    assert unpack(pack(numbers)) == numbers


def test_a_polygon_covers_the_pixels_whose_centres_it_holds() -> None:
    square = decode_polygons([[1, 1, 4, 1, 4, 3, 1, 3]], 5, 6)
    assert square.sum() == 6 and square[1:3, 1:4].all()
    two = decode_polygons([[0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 3, 1, 3, 3, 1, 3]], 4, 4)
    assert two.sum() == 7  # overlapping parts are joined
    beyond = decode_polygons([[-5, -5, 50, -5, 50, 2, -5, 2]], 4, 4)
    assert beyond[:2].all() and not beyond[2:].any()


@given(st.integers(0, 10**9))
def test_polygons_agree_with_pycocotools_but_for_their_edge(seed: int) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    corners = np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(8, 28, (9, 1)) + 32
    polygon = [corners.reshape(-1).tolist()]
    ours = decode_mask(polygon, 64, 64)
    theirs = coco.decode(coco.merge(coco.frPyObjects(polygon, 64, 64))).astype(bool)
    edge = np.zeros((64, 64), np.uint8)
    cv2.polylines(edge, [np.round(corners - 0.5).astype(np.int32)], True, 1, 3)
    assert not ((ours != theirs) & (edge == 0)).any()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ({"size": [4, 4], "counts": [16]}, "the mask is of size .4, 4., the image of .4, 5."),
        ({"size": [4, 5], "counts": [3, 4]}, "do not fill 5 x 4 pixels"),
        ({"size": [4, 5], "counts": [-1, 21]}, "do not fill"),
        ({"size": [4, 5], "counts": None}, "are not numbers"),
        ({"size": [4, 5], "counts": "\x00"}, "character that cannot be there"),
        ({"size": [4, 5], "counts": "P"}, "end within a number"),
        ({"size": [4, 5], "counts": ["a"]}, "are not numbers"),
        ([[1, 1, 2, 2]], "fewer than three corners"),
        ([[1, 1, 2, 2, 3]], "x and y in turn"),
        ([["a"] * 6], "x and y in turn"),
        ([[float("nan")] * 6], "fewer than three corners"),
        ([], "neither run lengths nor polygons"),
        (None, "neither run lengths nor polygons"),
    ],
)
def test_what_is_no_mask_is_refused(segmentation: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_mask(segmentation, 4, 5)
