"""Data sets on disk and in archives: what they yield, and how they name what is wrong with them."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from visprog.training.data import (
    BadSample,
    DataError,
    Shards,
    Turn,
    read_classes,
    read_coco,
    read_conversations,
    read_pairs,
    read_voc,
)
from visprog.training.data.files import Files
from visprog.training.data.samples import Skipped, decode

from .encoded import Write


def png(width: int = 6, height: int = 4, value: int = 7) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.full((height, width, 3), value, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


# -- files and images --------------------------------------------------------------------------------


def test_files_leave_out_what_systems_add(write: Write) -> None:
    files = Files(
        write({"b/x.txt": "1", "a.txt": "2", "__MACOSX/a.txt": "", "b/.DS_Store": "", ".hidden/y": ""})
    )
    assert files.names == ["a.txt", "b/x.txt"] and files.read("b/x.txt") == b"1"
    assert "a.txt" in files and ".hidden/y" not in files
    assert pickle.loads(pickle.dumps(files)).read("a.txt") == b"2"  # as when sent to another process
    with pytest.raises(BadSample, match="none: the file is missing"):
        files.read("none")


def test_a_missing_folder_and_a_file_that_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        Files(tmp_path / "none")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(DataError, match="neither a folder nor a zip archive"):
        Files(tmp_path / "text.zip")


def test_a_member_that_is_broken_is_a_bad_sample(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.txt", "some text that is stored")
    path.write_bytes(path.read_bytes().replace(b"some text", b"sane text"))
    with pytest.raises(BadSample, match=r"a.txt: it cannot be read: .*CRC"):
        Files(path).read("a.txt")


def test_images_are_turned_as_their_exif_says() -> None:
    buffer, exif = io.BytesIO(), PIL.Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    PIL.Image.fromarray(np.zeros((4, 8, 3), np.uint8)).save(buffer, "jpeg", exif=exif)
    assert decode(buffer.getvalue(), "a.jpg").shape == (8, 4, 3)
    with pytest.raises(BadSample, match=r"b.jpg: not an image of a format that can be read"):
        decode(b"no picture", "b.jpg")
    with pytest.raises(BadSample, match=r"c.png: broken"):
        decode(png()[:50], "c.png")


def test_skipped_samples_count_once_and_the_first_are_named() -> None:
    skipped = Skipped(shown=2)
    assert skipped.add({"a": "is bad", "b": "too"}) == [
        "skipped a bad sample, a: is bad",
        "skipped a bad sample, b: too",
    ]
    assert skipped.add({"a": "is bad"}) == []
    assert len(skipped.add({"c": "x", "d": "y"})) == 1 and len(skipped) == 4


# -- pairs ---------------------------------------------------------------------------------------------


def test_pairs_with_text_beside_the_image(write: Write) -> None:
    pairs = read_pairs(
        write({"a/1.png": png(), "a/1.txt": " a cat\n", "b.JPG": b"broken", "b.txt": "x", "c.png": png()})
    )
    assert len(pairs) == 2 and pairs[0].captions[0] == "a cat" and pairs[0].image.shape == (4, 6, 3)
    with pytest.raises(BadSample, match=r"b.JPG: not an image"):
        pairs[1]


def test_pairs_without_a_caption_are_bad(write: Write) -> None:
    pairs = read_pairs(write({"1.png": png(), "1.txt": " \n", "2.png": png(), "2.txt": b"\xff\xfe\xff"}))
    with pytest.raises(BadSample, match=r"1.png: its caption is empty"):
        pairs[0]
    with pytest.raises(BadSample, match=r"2.txt: it is not text in UTF-8"):
        pairs[1]


@pytest.mark.parametrize(
    ("ending", "delimiter", "caption"), [("csv", ",", "a, quoted\tone"), ("tsv", "\t", '"a, quoted one')]
)
def test_pairs_in_a_table(tmp_path: Path, write: Write, ending: str, delimiter: str, caption: str) -> None:
    images = write({"x/1.png": png(value=3)})
    table = tmp_path / f"table.{ending}"
    written = f'"{caption}"' if ending == "csv" else caption  # TSV has no quotes
    rows = [["id", "Path", "CAPTION"], ["0", "x/1.png", written], ["1", "x/2.png", "b"]]
    table.write_text("\n".join(delimiter.join(r) for r in rows), encoding="utf-8-sig")
    pairs = read_pairs(table, images)
    assert len(pairs) == 2 and pairs[0].captions[0] == caption and (pairs[0].image == 3).all()
    with pytest.raises(BadSample, match=r"x/2.png: the file is missing"):
        pairs[1]


def test_tables_and_folders_that_are_no_pairs(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("one,two\n1,2\n")
    with pytest.raises(DataError, match=r"needs a header with a column of paths .* it has one, two"):
        read_pairs(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("path,caption\n")
    with pytest.raises(DataError, match="has no rows"):
        read_pairs(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"holds no image with a \.txt file"):
        read_pairs(tmp_path)
    with pytest.raises(DataError, match="cannot read"):
        read_pairs(tmp_path / "none.csv")


def test_a_folder_a_class(write: Write) -> None:
    path = write({"train/polar_bear/1.png": png(), "train/cat/2.png": png(), "top.png": png()})
    assert [e.caption for e in read_classes(path).entries] == [
        "a photo of a cat.",
        "a photo of a polar bear.",
    ]
    assert read_classes(path, "{}")[0].captions[0] == "cat"


def test_cifar_in_its_archive(shared: Path) -> None:
    pairs = read_classes(shared / "data" / "cifar10_train.zip")
    counts = Counter(e.caption for e in pairs.entries)
    assert len(counts) == 10 and set(counts.values()) == {5000}
    assert pairs[0].image.shape == (32, 32, 3) and pairs[0].captions[0] == "a photo of a airplane."


# -- shards --------------------------------------------------------------------------------------------


def shard(path: Path, samples: dict[str, dict[str, bytes]]) -> None:
    with tarfile.open(path, "w") as file:
        for name, parts in samples.items():
            for ending, data in parts.items():
                info = tarfile.TarInfo(f"{name}{ending}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))


@pytest.fixture
def shards(tmp_path: Path) -> str:
    """Four shards of five samples, the caption of each its number."""
    for s in range(4):
        samples = {
            f"d/{s}{i}": {".png": png(value=5 * s + i), ".txt": f"number {5 * s + i}".encode()}
            for i in range(5)
        }
        shard(tmp_path / f"data-{s:03d}.tar", samples)
    return str(tmp_path / "data-{000..003}.tar")


def test_a_pass_over_shards_holds_every_sample_once(shards: str) -> None:
    data = Shards(shards, buffer=3)
    orders = []
    for seed in (0, 0, 1):
        pairs = [data.read(k) for k in data.keys(np.random.default_rng(seed))]
        assert sorted(int(p.captions[0].split()[1]) for p in pairs) == list(range(20))
        assert all((p.image == int(p.captions[0].split()[1])).all() for p in pairs)
        orders.append([p.captions[0] for p in pairs])
    assert orders[0] == orders[1] != orders[2]


def test_processes_share_the_shards(shards: str) -> None:
    data = Shards(shards)
    parts = [{k.name for k in data.keys(np.random.default_rng(5), part, 3)} for part in range(3)]
    assert [len(p) for p in parts] == [10, 5, 5] and len(set.union(*parts)) == 20
    with pytest.raises(DataError, match="4 shards are too few for 5 processes"):
        next(data.keys(np.random.default_rng(0), 0, 5))


def test_shards_in_json_and_broken_ones(tmp_path: Path) -> None:
    samples: dict[str, dict[str, bytes]] = {
        "a": {".jpg": b"", ".png": png(), ".json": json.dumps({"caption": "from json"}).encode()},
        "b": {".png": png()},
        "c": {".png": b"broken", ".txt": b"c"},
        "d": {".png": png(), ".json": b"[]"},
    }
    samples["a"].pop(".jpg")
    shard(tmp_path / "a.tar", samples)
    data = Shards(tmp_path / "*.tar")
    places = {k.name.rsplit(":", 1)[1]: k for k in data.keys(np.random.default_rng(0))}
    assert data.read(places["a"]).captions[0] == "from json"
    for name, reason in (
        ("b", "no caption"),
        ("c", "not an image"),
        ("d", "caption cannot be read"),
    ):
        with pytest.raises(BadSample, match=reason):
            data.read(places[name])
    (tmp_path / "a.tar").write_bytes(b"no tar file" * 100)
    with pytest.raises(DataError, match=r"cannot read the shard .*a\.tar: .* uncompressed tar"):
        list(data.keys(np.random.default_rng(0)))
    with pytest.raises(DataError, match="there are no shards"):
        Shards(tmp_path / "none-*.tar")


# -- boxes and masks -----------------------------------------------------------------------------------

COCO: dict[str, Any] = {
    "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
    "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}, {"id": 9, "file_name": "c.png"}],
    "annotations": [
        {"image_id": 1, "category_id": 7, "bbox": [1, 0, 2, 3], "segmentation": [[1, 0, 3, 0, 3, 3, 1, 3]]},
        {
            "image_id": 1, "category_id": 3, "bbox": [4, 1, 9, 9], "iscrowd": 1,
            "segmentation": {"size": [4, 6], "counts": [17, 3, 1, 3]},
        },
        {"image_id": 9, "category_id": 3, "bbox": [7, 1, 2, 2]},
    ],
}  # fmt: skip


def test_coco_boxes_and_masks(tmp_path: Path, write: Write) -> None:
    (tmp_path / "coco.json").write_text(json.dumps(COCO))
    data = read_coco(tmp_path / "coco.json", write({"a.png": png(), "b.png": png(), "c.png": png()}))
    assert data.labels == ("cat", "dog") and len(data) == 3
    sample = data[0]
    assert sample.labels == ("dog", "cat") and sample.crowd.tolist() == [False, True]
    assert sample.boxes.tolist() == [[1, 0, 3, 3], [4, 1, 6, 4]]  # the second is cut to the image
    assert data[1].boxes.shape == (0, 4) and data[1].labels == ()
    with pytest.raises(BadSample, match=r"c.png: the box .* of 'cat' has no area in its 6 x 4 pixels"):
        data[2]
    masked = data.masked(0)
    assert masked.masks.sum((1, 2)).tolist() == [6, 6]
    assert masked.boxes.tolist() == [[1, 0, 3, 3], [4, 1, 6, 4]]
    with pytest.raises(BadSample, match=r"c.png: its segmentation is neither"):
        data.masked(2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("{}", "not in COCO's format: 'categories' is missing"),
        ("[]", "not in COCO's format"),
    ],
)
def test_what_is_not_coco(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "coco.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_coco(tmp_path / "coco.json", tmp_path)
    with pytest.raises(DataError, match="cannot read"):
        read_coco(tmp_path / "none.json", tmp_path)


def test_a_coco_annotation_without_a_known_category_is_bad(tmp_path: Path) -> None:
    wrong = COCO | {"annotations": [{"image_id": 1, "category_id": 99, "bbox": [0, 0, 1, 1]}]}
    (tmp_path / "coco.json").write_text(json.dumps(wrong))
    (tmp_path / "a.png").write_bytes(png())
    with pytest.raises(BadSample, match=r"a.png: an annotation is of the category 99, which is not listed"):
        read_coco(tmp_path / "coco.json", tmp_path)[0]


def voc(*things: tuple[str, int, int, int, int]) -> str:
    inner = "".join(
        f"<object><name>{n}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for n, a, b, c, d in things
    )
    return f"<annotation>{inner}</annotation>"


def test_voc_boxes_count_pixels_from_one(write: Write) -> None:
    data = read_voc(
        write(
            {
                "set/JPEGImages/1.png": png(),
                "set/Annotations/1.xml": voc(("cell", 1, 1, 6, 4), ("dot", 2, 3, 2, 3)),
                "set/JPEGImages/2.png": png(),
                "set/Annotations/2.xml": voc(("cell", 5, 1, 4, 4)),
                "set/Annotations/3.xml": "<annotation>",
                "set/Annotations/4.xml": voc(),
                "set/ImageSets/Main/train.txt": "1\n4\n",
            }
        )
    )
    assert data.labels == ("cell", "dot") and len(data) == 4
    assert data[0].boxes.tolist() == [[0, 0, 6, 4], [1, 2, 2, 3]]
    for index, reason in ((1, "no area"), (2, "the annotation is broken"), (3, "the file is missing")):
        with pytest.raises(BadSample, match=reason):
            data[index]
    chosen = read_voc(data.files.path, "train")
    assert [e.annotation for e in chosen.entries] == ["set/Annotations/1.xml", "set/Annotations/4.xml"]
    with pytest.raises(DataError, match="has no split 'val'; it has train"):
        read_voc(data.files.path, "val")


def test_a_folder_without_annotations_is_not_voc(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no Annotations folder"):
        read_voc(tmp_path)


def test_blood_cells_in_their_archive(shared: Path) -> None:
    path = shared / "data" / "bccd_trainval.zip"
    assert [len(read_voc(path, split)) for split in (None, "train", "val")] == [292, 205, 87]
    data = read_voc(path)
    assert data.labels == ("Platelets", "RBC", "WBC")
    counts, bad = Counter[str](), []
    for i in range(len(data)):
        try:
            counts.update(data[i].labels)
        except BadSample as error:
            bad.append(error.name)
    assert data[0].image.shape == (480, 640, 3)
    assert counts == {"RBC": 3350, "WBC": 301, "Platelets": 292} and bad == []


# -- conversations -------------------------------------------------------------------------------------


def talk(*turns: tuple[str, str], **keys: Any) -> dict[str, Any]:
    return {"id": "t", "conversations": [{"from": f, "value": v} for f, v in turns], **keys}


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_conversations(tmp_path: Path, write: Write, ending: str) -> None:
    records = [
        talk(("human", "<image>\nWhat is it?"), ("gpt", " A cat. "), image="a.png"),
        talk(("human", "<image> <image> Differ?"), ("gpt", "No."), image=["a.png", "a.png"]),
        talk(("user", "Hello"), ("assistant", "Hi")),
    ]
    path = tmp_path / f"talks.{ending}"
    path.write_text(json.dumps(records) if ending == "json" else "\n".join(json.dumps(r) for r in records))
    data = read_conversations(path, write({"a.png": png()}))
    assert len(data) == 3 and [len(data[i].images) for i in range(3)] == [1, 2, 0]
    assert data[0].turns == (Turn("user", "<image>\nWhat is it?"), Turn("assistant", "A cat."))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (talk(("human", "What?"), ("gpt", "A cat."), image="a.png"), "it has 1 images and 0 places"),
        (talk(("human", "<image>"), ("gpt", "A cat.")), "it has 0 images and 1 places"),
        (talk(("human", "<image>"), ("gpt", "A cat."), image="none.png"), "none.png: the file is missing"),
        (talk(("human", "Hello")), "do not speak in turn"),
        (talk(("gpt", "Hello"), ("human", "Hi")), "do not speak in turn"),
        (talk(("human", "Hello"), ("gpt", " ")), "a turn is empty"),
        (talk(("system", "Hello"), ("gpt", "Hi")), "its conversation is not a list of"),
        ({"id": "t"}, "its conversation is not a list of"),
        (["no mapping"], "it is no mapping"),
    ],
)
def test_conversations_that_cannot_be_used(tmp_path: Path, record: Any, reason: str) -> None:
    (tmp_path / "talks.json").write_text(json.dumps([record]))
    with pytest.raises(BadSample, match=reason):
        read_conversations(tmp_path / "talks.json")[0]


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is not JSON"), ("{}", "must hold a list"), ("[]", "must hold")]
)
def test_files_that_are_no_conversations(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "talks.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_conversations(tmp_path / "talks.json")
