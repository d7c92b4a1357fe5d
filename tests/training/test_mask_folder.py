"""Folders of images and masks: index masks, one mask per object, splits, and what is wrong with them."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest

from visprog.training.data import BadSample, DataError, read_detections, read_mask_folder
from visprog.training.data.annotations import AnnotatedConfig, open_annotated

from .encoded import Write

Files = dict[str, bytes | str]


def png(array: object, mode: str | None = None) -> bytes:
    out = io.BytesIO()
    image = PIL.Image.fromarray(np.asarray(array, np.uint8))
    if mode == "P":
        image = image.convert("L")
        image.putpalette([c for i in range(256) for c in (i, 255 - i, 7)])
    image.save(out, "png")
    return out.getvalue()


IMAGE = png(np.full((4, 6, 3), 9))
INDEX = np.array([[0, 1, 1, 0, 0, 0], [0, 1, 1, 0, 7, 7], [0, 0, 0, 0, 7, 7], [255, 0, 0, 0, 0, 0]])


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_every_value_or_colour_of_an_index_mask_is_one_object(write: Write, mode: str) -> None:
    colors = np.stack([INDEX, INDEX // 2, INDEX * 0], -1) if mode == "RGB" else INDEX
    files: Files = {"images/a.jpg": IMAGE, "masks/a.png": png(colors, mode)}
    found = read_detections(write(files)).masked(0)
    expected = [[1, 0, 3, 2], [4, 1, 6, 3], [0, 3, 1, 4]][
        : 2 if mode == "P" else 3
    ]  # 255 is void in a palette
    assert sorted(found.boxes.tolist()) == sorted(expected)
    assert found.labels == ("object",) * len(expected) and found.image.shape == (4, 6, 3)


def test_one_mask_per_object_names_it(write: Write) -> None:
    files: Files = {"images/sub/a.png": IMAGE}
    for name, value in (("car-1", 1), ("car 2", 7), ("red_car", 255), ("3", 0)):
        files[f"masks/sub/a/{name}.png"] = png(np.where(value == INDEX, 200, 0) if value else INDEX * 0)
    data = read_mask_folder(write(files))
    assert data.labels == ("car", "object", "red_car") and len(data) == 1
    assert data.masked(0).labels == ("car", "car", "red_car")  # the empty mask is no object
    assert (
        data[0].boxes.tolist() == data.masked(0).boxes.tolist() == [[4, 1, 6, 3], [1, 0, 3, 2], [0, 3, 1, 4]]
    )


def test_splits_are_folders_above_or_a_division_by_names(write: Write) -> None:
    files: Files = {}
    for i in range(40):
        split = "val" if i % 4 == 0 else "train"
        files |= {f"{split}/images/{i}.png": IMAGE, f"{split}/masks/{i}.png": png(INDEX)}
    path = write(files)
    assert [len(part) for part in open_annotated(AnnotatedConfig(path))] == [30, 10]
    with pytest.raises(DataError, match=r"has no folder 'test' with images and masks"):
        read_mask_folder(path, "test")


def test_a_folder_without_splits_is_divided_by_names(write: Write) -> None:
    files: Files = {}
    for i in range(40):
        files |= {f"images/{i}.png": IMAGE, f"masks/{i}.png": png(INDEX)}
    parts = open_annotated(AnnotatedConfig(write(files)))
    assert sum(map(len, parts)) == 40 and min(map(len, parts)) > 0


def test_masks_that_cannot_be_used(write: Write) -> None:
    files: Files = {
        "images/a.png": IMAGE, "masks/a.png": png(np.zeros((5, 6))),
        "masks/b.png": png(INDEX),
        "images/c.png": IMAGE, "masks/c.png": png(INDEX)[:40],
        "images/d.png": IMAGE, "masks/d/1.png": png(INDEX), "masks/d/2.png": png(INDEX[:3]),
        "images/e.png": IMAGE, "masks/e.png": png(np.ones((5, 6))),
    }  # fmt: skip
    data = read_mask_folder(write(files))
    assert len(data.masked(0).masks) == 0
    for index, why in (
        (1, "images/b.jpg: the file is missing"),
        (2, "masks/c.png"),
        (3, "its masks are of several sizes"),
        (4, "has 6 x 4 pixels, and its annotation is of 6 x 5"),
    ):
        with pytest.raises(BadSample, match=why):
            data.masked(index)


def test_masks_without_images_are_an_error_with_a_way_out(write: Write) -> None:
    with pytest.raises(DataError, match="has masks, and no images of the same names beside them"):
        read_mask_folder(write({"masks/a.png": png(INDEX), "pictures/a.png": IMAGE}))
