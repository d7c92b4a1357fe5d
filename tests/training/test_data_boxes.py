"""Boxes and masks as other programs and systems write them: frames, ids, layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from visprog.training.data import BadSample, DataError, read_coco, read_detections, read_voc

from .encoded import Write, png, turned

Fields = dict[str, Any]


def coco(image: Fields | None = None, annotation: Fields | None = None, **parts: Any) -> str:
    made = {
        "images": [{"id": 1, "file_name": "r.jpg", "width": 64, "height": 48, **(image or {})}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [30, 5, 14, 10], **(annotation or {})}],
        "categories": [{"id": 1, "name": "x"}],
    }  # fmt: skip
    return json.dumps(made | parts)


def written(tmp_path: Path, text: str, image: bytes) -> Path:
    (tmp_path / "r.jpg").write_bytes(image)
    (tmp_path / "c.json").write_text(text, encoding="utf-8")
    return tmp_path / "c.json"


# -- frames --------------------------------------------------------------------------------------------

POLYGON = {"segmentation": [[30, 5, 44, 5, 44, 15, 30, 15]]}
RUNS = {"segmentation": {"size": [48, 64], "counts": [30 * 48 + 5, *[10, 38] * 13, 10, 20 * 48 + 33]}}


@pytest.mark.parametrize("shape", [POLYGON, RUNS], ids=["polygon", "runs"])
@pytest.mark.parametrize(
    ("orientation", "box"),
    [
        (1, [30, 5, 44, 15]),
        (5, [5, 30, 15, 44]),
        (6, [33, 30, 43, 44]),
        (7, [33, 20, 43, 34]),
        (8, [5, 20, 15, 34]),
    ],
)
def test_boxes_and_masks_of_stored_pixels_are_turned_along(
    tmp_path: Path, orientation: int, box: list[int], shape: Fields
) -> None:
    data = read_coco(written(tmp_path, coco(annotation=shape), turned(orientation)), tmp_path)
    assert data[0].boxes.tolist() == [box] and data.has_masks
    masked = data.masked(0)
    assert masked.boxes.tolist() == [box] and masked.masks.shape[1:] == masked.image.shape[:2]


def test_boxes_of_shown_pixels_stay(tmp_path: Path) -> None:
    text = coco({"width": 48, "height": 64})
    data = read_coco(written(tmp_path, text, turned(6)), tmp_path)
    assert data[0].boxes.tolist() == [[30, 5, 44, 15]]


@pytest.mark.parametrize(
    ("image", "size", "orientation", "why"),
    [
        ({}, (32, 24), 1, "has 32 x 24 pixels, and its annotation is of 64 x 48"),
        ({"width": 48, "height": 64}, (64, 48), 1, "resized or exchanged"),
        ({"width": None, "height": None}, (64, 48), 6, "does not show whether"),
        ({}, (64, 48), 3, "does not show whether"),
    ],
)
def test_images_in_another_frame_are_bad(
    tmp_path: Path, image: Fields, size: tuple[int, int], orientation: int, why: str
) -> None:
    data = read_coco(written(tmp_path, coco(image), turned(orientation, size)), tmp_path)
    for read in (data.__getitem__, data.masked):
        with pytest.raises(BadSample, match=why):
            read(0)


def test_boxes_beyond_the_stored_pixels_were_drawn_in_those_shown(tmp_path: Path) -> None:
    text = coco(annotation={"bbox": [5, 40, 10, 20]})  # below the 48 rows that are stated
    with pytest.raises(BadSample, match="a box lies outside the 64 x 48 pixels"):
        read_coco(written(tmp_path, text, turned(6)), tmp_path)[0]


def test_an_image_without_boxes_has_no_frame_to_be_in(tmp_path: Path) -> None:
    data = read_coco(written(tmp_path, coco(annotations=[]), turned(3)), tmp_path)
    assert data[0].boxes.shape == (0, 4) and not data.has_masks


def voc(box: tuple[int, int, int, int], size: str = "", label: str = "x") -> str:
    corners = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<annotation>{size}<object><name>{label}</name><bndbox>{corners}</bndbox></object></annotation>"


def test_voc_states_sizes_too(write: Write) -> None:
    size = "<size><width>64</width><height>48</height></size>"
    files: dict[str, bytes | str] = {"JPEGImages/a.jpg": turned(6), "JPEGImages/b.jpg": turned(1, (32, 24))}
    files |= {f"Annotations/{n}.xml": voc((31, 6, 44, 15), size) for n in "ab"}
    data = read_voc(write(files))
    assert data[0].boxes.tolist() == [[33, 30, 43, 44]]
    with pytest.raises(BadSample, match=r"b.jpg: it has 32 x 24 pixels"):
        data[1]


# -- ids ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "annotation"),
    [(1, "1"), ("1", 1), (1.0, 1), (0, 0), ("a7", "a7"), ("007", "007"), (2**60, str(2**60))],
)
def test_ids_of_either_type_are_one(tmp_path: Path, image: Any, annotation: Any) -> None:
    text = coco({"id": image}, {"image_id": annotation, "category_id": "1"})
    assert read_coco(written(tmp_path, text, turned(1)), tmp_path)[0].labels == ("x",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            coco(annotation={"image_id": 7}),
            "1 of 1 annotations are of images that it does not list, the first of .* 7",
        ),
        (coco(annotation={"image_id": [1]}), "an id in 'annotations' is neither"),
        (coco({"id": True}), "an id in 'images' is neither"),
        (coco(images=[{"id": i, "file_name": "r.jpg"} for i in (1, "1")]), "of 'images', two have the id 1"),
        (coco(categories=[{"name": "x"}]), "of 'categories', one has no id"),
        (coco(images=[]), "has no images"),
        (coco(images={"1": {}}), "'images' is missing or no list"),
        (coco(annotations=[3]), "'annotations' is missing or no list of mappings"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_coco_file_that_is_wrong_as_a_whole(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(DataError, match=f"c.json.*{why}"):
        read_coco(written(tmp_path, text, turned(1)), tmp_path)


@pytest.mark.parametrize(
    "bbox", [[], [1, 2, 3], [1, 2, -3, 4], None, "abcd", [1, 2, "x", 4], {"x": 1}, [1, 2, 1e999, 4]]
)
def test_boxes_that_are_none_are_bad_samples(tmp_path: Path, bbox: Any) -> None:
    data = read_coco(written(tmp_path, coco(annotation={"bbox": bbox}), turned(1)), tmp_path)
    with pytest.raises(BadSample, match=r"r\.jpg: .*box"):
        data[0]


# -- layouts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotations", "image", "split"),
    [
        ("annotations.json", "r.jpg", None), ("annotations.json", "images/r.jpg", None),
        ("annotations/instances_train2017.json", "train2017/r.jpg", "train"), ("train.json", "pictures/r.jpg", "train"),
        ("train/_annotations.coco.json", "train/r.jpg", "train"), ("labels/train.json", "images/train/r.jpg", "train"),
    ],
)  # fmt: skip
def test_coco_in_the_usual_layouts(write: Write, annotations: str, image: str, split: str | None) -> None:
    files: dict[str, bytes | str] = {annotations: coco(), image: turned(6)}
    if split:
        files |= {n.replace("train", "val"): d for n, d in files.items()}
    if "instances" in annotations:
        files["annotations/captions_train2017.json"] = "{}"
    data = read_detections(write(files), split)
    assert len(data) == 1 and data[0].boxes.tolist() == [[33, 30, 43, 44]] and data[0].name == image
    assert data.part([0, 0])[1].labels == ("x",)


def test_one_entry_for_every_layout(tmp_path: Path, write: Write) -> None:
    path = write({"Annotations/a.xml": voc((1, 1, 3, 3)), "JPEGImages/a.png": png()})
    assert read_detections(path)[0].labels == ("x",)
    single = written(tmp_path, coco(), turned(1))
    assert read_detections(single)[0].labels == ("x",) == read_detections(single, images=tmp_path)[0].labels
    with pytest.raises(DataError, match="is one file, without splits"):
        read_detections(single, "train")


@pytest.mark.parametrize(
    ("files", "split", "why"),
    [
        ({"a.png": png()}, None, "holds no Annotations folder .* and no JSON file"),
        ({"a.json": coco(), "b.json": coco()}, None, "holds several JSON files, a.json, b.json"),
        ({"train.json": coco()}, "val", "has no split 'val'; its JSON files are train.json"),
        ({"a.json": coco(), "x/r.jpg": png(), "y/r.jpg": png()}, None, "holds several images r.jpg, in x, y"),
    ],
)
def test_layouts_that_are_not_clear(
    write: Write, files: dict[str, bytes | str], split: str | None, why: str
) -> None:
    with pytest.raises(DataError, match=why):
        read_detections(write(files), split)


def test_splits_of_voc_name_files_with_blanks_and_endings(write: Write) -> None:
    names = ("my photo", "a.b", "plain", "shot 1")
    files: dict[str, bytes | str] = {f"JPEGImages/{n}.jpg": turned(1) for n in names}
    files |= {f"Annotations/{n}.xml": voc((1, 1, 9, 9)) for n in names}
    listed = "my photo\r\na.b.jpg 1\r\n\r\nplain -1\r\nshot 1\r\ngone\r\n"
    files |= {"ImageSets/Main/train.txt": "\ufeff" + listed, "ImageSets/Main/none.txt": "gone\n"}
    files["ImageSets/Main/empty.txt"] = "\n"
    path = write(files)
    data = read_detections(path, "train")
    assert [len(data[i].boxes) for i in range(4)] == [1, 1, 1, 1]
    with pytest.raises(BadSample, match=r"Annotations/gone\.xml: the file is missing"):
        data[4]
    with pytest.raises(
        DataError, match=r"none\.txt names no image that has an annotation; the first is 'gone'"
    ):
        read_voc(path, "none")
    with pytest.raises(DataError, match=r"empty\.txt names no image .*; it names none"):
        read_voc(path, "empty")


@pytest.mark.parametrize("line", ["caf\u00e9", "cafe\u0301.png 1", "JPEGImages\\caf\u00e9.png"])
@pytest.mark.parametrize(("image", "xml"), [("cafe\u0301", "caf\u00e9"), ("caf\u00e9", "cafe\u0301")])
def test_names_in_voc_as_other_systems_write_them(write: Write, line: str, image: str, xml: str) -> None:
    files: dict[str, bytes | str] = {f"JPEGImages/{image}.png": png(), "ImageSets/Main/train.txt": line}
    data = read_voc(write({**files, f"Annotations/{xml}.xml": voc((1, 1, 3, 3))}), "train")
    assert len(data[0].boxes) == 1


def test_several_voc_folders_side_by_side(write: Write) -> None:
    files: dict[str, bytes | str] = {}
    for year in ("2007", "2012"):
        files |= {f"VOC{year}/JPEGImages/1.png": png(), f"VOC{year}/Annotations/1.xml": voc((1, 1, 3, 3))}
    data = read_voc(write(files))
    assert [data[i].name for i in range(2)] == ["VOC2007/JPEGImages/1.png", "VOC2012/JPEGImages/1.png"]
