"""Benchmarks whose files were written by other programs and systems: ids, frames, encodings, names, archives."""

from __future__ import annotations

import io
import json
import os
import unicodedata
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from visprog.errors import ImageError, VisprogError
from visprog.evaluation.benchmark import Item, open_benchmark
from visprog.evaluation.loaders.files import BenchmarkFiles
from visprog.evaluation.run import evaluate
from visprog.evaluation.summary import summarise
from visprog.values import Box, Region
from visprog.values.image import Image

from .conftest import Widths, Write, png
from .test_run import Written, run

BOXES = [[20, 50, 40, 40], [80, 50, 40, 40]]


def instances(drop: str = "", image: Any = 1, **more: Any) -> dict[str, Any]:
    """A file of COCO with two boxes, without what it needs not have."""
    annotations = [
        {"id": i, "image_id": image, "category_id": 1, "bbox": b, **more} for i, b in enumerate(BOXES, 1)
    ]
    for annotation in annotations:
        annotation.pop(drop, None)
    return {
        "images": [{"id": image, "file_name": "a.png"}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "c"}],
    }


def perfect(items: list[Item]) -> list[dict[str, Any]]:
    """Rows of answers in which every object was found."""
    return [{"id": item.id, "answer": [found(**truth) for truth in item.answer]} for item in items]


def found(label: str, box: list[float]) -> dict[str, Any]:
    """The JSON form of an object that was found, of a box as COCO writes it."""
    left, top, width, height = box
    return {"label": label, "box": [left, top, left + width, top + height], "score": 0.9}


@pytest.mark.parametrize(
    "truth",
    [
        instances(), instances("id"), instances(id=0), instances(id=7), instances(id="x"), instances(id=1.0),
        instances(area=None), instances(area="1600"), instances(area=1600), instances(iscrowd="0"),
        instances(image="1"),
        instances(image=1.0), instances(image="a"), instances(image=0), instances(image=2**60),
        instances(category_id=1.0), instances(category_id="1"), instances(segmentation=[]),
        {**instances(), "categories": [{"id": 9, "name": "other"}, {"id": 1, "name": "c"}]},
        {**instances(), "categories": [{"id": "1", "name": "C"}]},
    ],
)  # fmt: skip
def test_what_pycocotools_needs_is_completed(published: Write, truth: Mapping[str, Any]) -> None:
    pytest.importorskip("pycocotools")
    benchmark = open_benchmark("coco", published({"instances_val2017.json": truth}))
    benchmark.check()
    metrics = benchmark.summary(perfect(list(benchmark)))
    assert (metrics["AP"], metrics["AR_100"]) == pytest.approx((1, 1))


@pytest.mark.parametrize(
    ("truth", "why"),
    [
        (instances(bbox=[]), "annotation 1 has no 'bbox' of four numbers"),
        (instances("bbox"), "annotation 1 has no 'bbox'"),
        (instances(bbox=[1, 2, -3, 4]), "its width or height is negative"),
        (instances(bbox=[1, 2, 3, "x"]), "no 'bbox' of four numbers"),
        (instances(category_id=3), "annotation 1 is of the category 3, which is not listed"),
        (instances(image_id=3), "annotation 1 is of the image 3, which is not listed"),
        ({**instances(), "images": [{"id": i, "file_name": "a.png"} for i in (1, "1")]}, "two images have the id 1"),
        ({**instances(), "images": [{"id": 1}]}, "the image 1 has no file_name"),
        ({**instances(), "images": []}, "has no images"),
        ({**instances(), "annotations": {"1": 2}}, "'annotations' must be a list"),
        ({**instances(), "categories": [{"id": 1, "name": "c"}, {"id": 2, "name": "c"}]}, "two categories"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_refused_before_the_first_question(
    tmp_path: Path, truth: Mapping[str, Any], why: str
) -> None:
    (tmp_path / "instances_val2017.json").write_text(json.dumps(truth))
    with pytest.raises(VisprogError, match=f"instances_val2017.json.*{why}"):
        evaluate(open_benchmark("coco", tmp_path), tmp_path / "r", planner="embedded")
    assert not (tmp_path / "r").exists()


def turned(orientation: int, size: tuple[int, int] = (64, 48)) -> bytes:
    buffer, exif = io.BytesIO(), PIL.Image.Exif()
    exif[0x0112] = orientation
    PIL.Image.new("RGB", size).save(buffer, "jpeg", exif=exif)
    return buffer.getvalue()


def one(width: int, height: int) -> dict[str, Any]:
    return {
        "images": [{"id": 1, "file_name": "r.jpg", "width": width, "height": height, "caption": "x"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [30, 5, 14, 10]}],
        "categories": [{"id": 1, "name": "c"}],
    }


@pytest.mark.parametrize(
    ("orientation", "stated", "box"),
    [(6, (64, 48), [33, 30, 10, 14]), (6, (48, 64), [30, 5, 14, 10]), (8, (64, 48), [5, 20, 10, 14])],
)
def test_true_boxes_are_of_the_image_as_it_is_shown(
    published: Write, orientation: int, stated: tuple[int, int], box: list[int]
) -> None:
    pytest.importorskip("pycocotools")
    files = {"instances_val2017.json": one(*stated), "finetune_refcoco_val.json": one(*stated)}
    data = published({**files, "r.jpg": turned(orientation)})
    benchmark = open_benchmark("coco", data)
    (item,) = benchmark
    assert item.answer == [{"label": "c", "box": box}] and Image.open(item.images[0]).size == (48, 64)
    left, top, width, height = box
    shown = Box(left, top, left + width, top + height)
    assert benchmark.score(item, [Region(shown, "c")]) == {"f1": 1.0}
    assert benchmark.summary(perfect([item]))["AP"] == pytest.approx(1)
    (item,) = open_benchmark("refcoco", data)
    assert Box(*item.answer) == shown


@pytest.mark.parametrize("name", ["coco", "refcoco"])
@pytest.mark.parametrize(
    ("image", "why"),
    [(turned(1, (32, 24)), "r.jpg has 32 x 24 pixels"), (turned(3), "does not show whether")],
)
def test_true_boxes_of_another_image_are_refused(published: Write, name: str, image: bytes, why: str) -> None:
    files = {"instances_val2017.json": one(64, 48), "finetune_refcoco_val.json": one(64, 48)}
    with pytest.raises(VisprogError, match=why):
        open_benchmark(name, published({**files, "r.jpg": image})).check()


# -- the end of a run -------------------------------------------------------------------------------


class Failing(Widths):
    """A benchmark whose metric and published figures cannot be had."""

    def summary(self, rows: Any) -> Mapping[str, float]:
        raise KeyError("area")

    def published(self) -> Mapping[str, Mapping[str, float]]:
        raise OSError("gone")


def test_a_metric_that_fails_loses_no_answer(tmp_path: Path) -> None:
    made = run(tmp_path / "r", Failing())
    summary = summarise(Failing(), made)
    assert summary["problem"] == "the metrics of widths cannot be computed: KeyError('area')"
    assert summary["metrics"] == {"correct": {"value": 1.0}} and summary["questions"] == 4
    assert json.loads(made.summary.read_text())["problem"] == summary["problem"]


class Odd(Widths):
    """A benchmark with a truth that its score does not take."""

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        raise TypeError("a truth of another type")


class Empty(Widths):
    """A benchmark without questions."""

    def __init__(self) -> None:
        super().__init__(0)


@pytest.mark.parametrize(
    ("benchmark", "why"),
    [(Odd(), "'w0' cannot be scored.*another type"), (Empty(), "holds no questions of widths")],
)
def test_what_cannot_be_scored_is_found_before_the_first_question(
    tmp_path: Path, benchmark: Widths, why: str
) -> None:
    with pytest.raises(VisprogError, match=why):
        evaluate(benchmark, tmp_path / "r", planner=Written("pass"))


# -- tables -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("name", "divider"), [("q.csv", ","), ("q.tsv", "\t")])
def test_tables_as_other_programs_write_them(
    tmp_path: Path, name: str, divider: str, end: str, encoding: str
) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / unicodedata.normalize("NFD", "é.png")).write_bytes(png())
    rows = [
        ("Image", "Question", " ANSWER "),
        ("p\\é.png", "What\u2028is it?", "A dog"),
        ("", "", ""),
        ("a", "b", "c"),
    ]
    (tmp_path / name).write_bytes(end.join(divider.join(r) for r in rows).encode(encoding))
    items = list(open_benchmark("csv", tmp_path / name))
    assert [(i.question, i.answer) for i in items] == [("What\u2028is it?", "A dog"), ("b", "c")]
    assert Image.open(items[0].images[0]).size == (12, 8)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("q.csv", "image,question,answer\na,b,café\n".encode("latin-1"), "byte 0xe9 in line 2"),
        ("q.csv", "image,question,answer\n".encode("utf-16"), "UTF-16: save it as UTF-8"),
        ("q.csv", b"image,question,answer\na,b, or c,d\n", "line 2 has 4 columns, and the header has 3"),
        ("q.csv", b'image,question,answer\na,"b,c\nd,e,f\n', "is not CSV"),
        ("q.csv", b"image,question,answer,answer\na,b,c,d\n", "names the column 'answer' twice"),
        ("q.tsv", b'image\tquestion\tanswer\na\t"b\n', "line 2 has 2 columns"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(VisprogError, match=why):
        open_benchmark("csv", tmp_path / name).check()


# -- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[" * 100_000, "line 1 .* nested too deeply"), (b"caf\xe9", "byte 0xe9 in line 1"),
        ("{}".encode("utf-16"), "UTF-16"), (b"{}\r\n{", "line 1 does not have the published layout of nlvr2"),
    ],
)  # fmt: skip
def test_json_that_cannot_be_read(published: Write, data: bytes, why: str) -> None:
    with pytest.raises(VisprogError, match=why):
        open_benchmark("nlvr2", published({"dev.json": data})).check()


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("p\\a.png", "p/a.png"), ("./p/a.png", "p/a.png"), ("p/a.png", "data/p/a.png"), ("a.png", "data/p/a.png"),
        ("a%20b.png", "a b.png"), ("é.png", unicodedata.normalize("NFD", "é.png")),
    ],
)  # fmt: skip
def test_images_under_the_names_of_another_system(published: Write, asked: str, there: str) -> None:
    files = BenchmarkFiles(published({there: png()}))
    assert Image.open(files.image(asked)).size == (12, 8)


@pytest.mark.parametrize("asked", ["/data/a.png", "C:\\data\\a.png", "b.png"])
def test_an_absolute_path_is_not_looked_for_elsewhere(published: Write, asked: str) -> None:
    with pytest.raises(ImageError):
        BenchmarkFiles(published({"p/a.png": png()})).image(asked).read()


def test_an_image_that_may_be_either_of_two_is_not_guessed(tmp_path: Path, published: Write) -> None:
    files = BenchmarkFiles(
        published({"x/a.png": png(5), "y/a.png": png(6), "x/b.png": png(), "y/b.png": png()})
    )
    with pytest.raises(ImageError, match=r"holds several files a\.png: x/a\.png, y/a\.png"):
        files.image("a.png").read()
    assert files.image("x/a.png").read() == png(5)
    assert files.image("b.png").read() == png()  # they are one and the same


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("dev.json", b" " * (80 * 2**20))
    with pytest.raises(VisprogError, match=r"cannot unpack dev\.json .* more than 200 times its size"):
        open_benchmark("nlvr2", tmp_path / "a.zip").check()


@pytest.mark.parametrize("name", ["data.zip", "inner/images.ZIP"])
def test_a_cut_archive_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text" * 100)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(VisprogError, match=f"{path.name} is a zip archive that is cut off or damaged"):
        list(open_benchmark("nlvr2", path if path.parent == tmp_path else tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
@pytest.mark.parametrize("name", ["csv", "nlvr", "coco"])
def test_a_pipe_is_no_data(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "data")
    with pytest.raises(VisprogError):
        open_benchmark(name, tmp_path / "data").check()
