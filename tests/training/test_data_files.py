"""Tables, texts, folders, archives and shards as other programs and systems write them."""

from __future__ import annotations

import io
import json
import logging
import os
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest

from visprog.training.data import (
    BadSample,
    DataError,
    Shards,
    read_classes,
    read_coco,
    read_conversations,
    read_pairs,
    read_voc,
)
from visprog.training.data.files import Files

from .encoded import Write, png, turned
from .test_data_boxes import coco, written

# -- tables -------------------------------------------------------------------------------------------


def captions(path: Path) -> list[str]:
    pairs, found = read_pairs(path), []
    for index in range(len(pairs)):
        try:
            found.append(pairs.caption(index))
        except BadSample as error:
            found.append(f"bad: {error}")
    return found


def test_quotes_in_a_tsv_are_letters(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('path\tcaption\n0.png\t"open\n1.png\ta cat\n2.png\ta cup\n3.png\t5" nail\n')
    assert captions(path) == ['"open', "a cat", "a cup", '5" nail']


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_rows_of_another_length_are_named(tmp_path: Path, end: str, encoding: str) -> None:
    rows = [
        "path,caption",
        "0.png,a dog, running",
        "",
        "1.png,a cat",
        "2.png",
        '3.png,"a cup, red"',
        " ",
        ",",
    ]
    path = tmp_path / "a.csv"
    path.write_bytes(end.join(rows).encode(encoding))
    bad = (
        "bad: {0}, line {1}: it has {2} fields, and the header has 2: put a caption that has commas in quotes"
    )
    assert captions(path) == [bad.format(path, 2, 3), "a cat", bad.format(path, 5, 1), "a cup, red"]


@pytest.mark.parametrize(
    "header",
    ["file_name,text", "File Name,Text", "PATH,CAPTION", " image , caption ", "filename,title", "image-path,text",
     "file_path,sentence", "Image,captions"],
)  # fmt: skip
def test_names_of_columns(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\n0.png,a dog\n")
    assert captions(tmp_path / "a.csv") == ["a dog"]


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.csv", b'path,caption\n0.png,"open\n1.png,a cat\n', "line 3 is not CSV"),
        ("a.csv", b'path,caption\n0.png,"a "b" c"\n', "line 2 is not CSV"),
        ("a.csv", "path,caption\n0.png,a\n".encode("utf-16"), "UTF-16: save it as UTF-8"),
        ("a.tsv", "path\tcaption\n0.png\tcafé\n".encode("latin-1"), "byte 0xe9 in line 2"),
        ("a.csv", b"path;caption\n0.png;a\n", "it has path;caption"),
        ("a.csv", b"path,caption\n0.png,a,b\n", "line 2: it has 3 fields"),
        ("a.csv", b"path,caption,Caption\n0.png,a,b\n", "two columns 'caption'"),
        ("a.jsonl", b"\n\n", "has no rows"),
        ("a.jsonl", b'{"file_name": "0.png"}\n', "line 1: it needs an image"),
        ("a.jsonl", b"[" * 100_000, "line 1: it is not JSON that can be read: it is nested too deeply"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=why):
        read_pairs(tmp_path / name)


LINES = [{"file_name": "0.png", "text": "a\u2028b\x85c"}, {"file_name": "1.png", "text": ["one", "two"]}]


def test_metadata_of_a_folder_of_images(write: Write) -> None:
    lines = "\r\n".join(json.dumps(line, ensure_ascii=False) for line in LINES) + "\r\nbroken\r\n"
    files: dict[str, bytes | str] = {f"train/{i}.png": png() for i in range(2)}
    files |= {"train/metadata.jsonl": "\ufeff" + lines, "val/0.png": png()}
    files["val/metadata.csv"] = "file_name,text\n0.png,of val\n"
    path = write(files)
    assert captions(path)[:3] == ["a\u2028b\x85c", "one", "two"] and captions(path)[-1] == "of val"
    assert "line 3: it is not JSON" in captions(path)[3]
    assert read_pairs(path)[0].name == "train/0.png" and read_pairs(path)[4].image.shape == (4, 6, 3)


def test_captions_of_coco(tmp_path: Path) -> None:
    said = [{"image_id": "1", "caption": text} for text in ("a dog", "an animal")]
    pairs = read_pairs(written(tmp_path, coco(annotations=said), turned(1)))
    assert [pairs[i].captions[0] for i in range(2)] == ["a dog", "an animal"] and len(
        {e.image for e in pairs.entries}
    ) == 1
    with pytest.raises(DataError, match="'caption' is missing"):
        read_pairs(written(tmp_path, coco(), turned(1)))


# -- encodings ----------------------------------------------------------------------------------------


def test_byte_order_marks_are_not_part_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("a dog", encoding="utf-8-sig")
    path = written(tmp_path, "\ufeff" + coco(), turned(1))
    talk = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "a\u2028b"}]}
    for name, text in (
        ("l.json", json.dumps([talk])),
        ("l.jsonl", json.dumps(talk, ensure_ascii=False) + "\n"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert read_conversations(tmp_path / name)[0].turns[1].text == "a\u2028b"
    assert read_pairs(tmp_path)[0].captions[0] == "a dog"
    assert len(read_coco(path, tmp_path)) == 1


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.json", b"[" * 100_000, "a.json .* nested"), ("a.jsonl", b"{}\n\n{", "a.jsonl, line 3 is not JSON"),
        ("a.json", "[]".encode("utf-16"), "UTF-16"), ("a.json", b'["caf\xe9"]', "byte 0xe9 in line 1"),
    ],
)  # fmt: skip
def test_conversations_that_are_not_json(tmp_path: Path, name: str, data: bytes, why: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=why):
        read_conversations(tmp_path / name)


# -- names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("p\\0.png", "p/0.png"), ("./p/0.png", "p/0.png"), (".\\p\\0.png", "p/0.png"),
        ("my%20dog.png", "my dog.png"), ("é.png", unicodedata.normalize("NFD", "é.png")),
        (unicodedata.normalize("NFD", "é.png"), "é.png"),
    ],
)  # fmt: skip
def test_files_under_the_names_of_another_system(write: Write, asked: str, there: str) -> None:
    assert Files(write({there: "found"})).read(asked) == b"found"


def test_the_name_as_it_is_written_comes_first(write: Write) -> None:
    assert Files(write({"a%20b.txt": "as written", "a b.txt": "other"})).read("a%20b.txt") == b"as written"


@pytest.mark.parametrize(
    "asked", ["/data/x.jpg", "C:\\data\\x.jpg", "other/x.jpg", "X.jpg", "", "x\0.jpg", "a" * 5000]
)
def test_another_folder_or_case_is_another_file(write: Write, asked: str) -> None:
    with pytest.raises(BadSample):
        Files(write({"x.jpg": "content"})).read(asked)


def test_a_file_that_differs_in_case_is_hinted_at(write: Write) -> None:
    with pytest.raises(BadSample, match=r"IMG\.JPG: the file is missing; there is img\.jpg"):
        Files(write({"img.jpg": "content"})).read("IMG.JPG")


# -- folders and archives -----------------------------------------------------------------------------


def test_endings_that_are_images_and_those_left_out(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    endings = ("jfif", "jpe", "JPEG", "tif", "webp", "avif", "pnm", "ppm", "pgm")
    files: dict[str, bytes | str] = {f"cat/{i}.{e}": png() for i, e in enumerate(endings)}
    files |= {"cat/a.heic": b"", "cat/b.heic": b"", "cat/c": b"", "Thumbs.db": b"", "cat/.DS_Store": b""}
    with caplog.at_level(logging.WARNING):
        assert len(read_classes(write(files))) == len(endings)
    assert "3 files are left out: 2 with .heic, 1 with no ending" in caplog.text


def test_an_archive_with_windows_separators(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for name in ("set\\cat\\1.png", "__MACOSX/set/cat/._1.png"):
            file.writestr("x" * len(name), b"")
            file.filelist[-1].filename = name  # the class itself would change the separators
    assert Files(tmp_path / "a.zip").names == ["set/cat/1.png"]


def test_an_archive_that_is_cut(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.txt", "text" * 100)
    (tmp_path / "a.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:200])
    with pytest.raises(DataError, match="is a zip archive that is cut off or damaged"):
        Files(tmp_path / "a.zip")


def test_a_bomb_in_an_archive_is_a_bad_sample(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", bytes(80 * 2**20))
    with pytest.raises(BadSample, match="unpacks to more than 200 times its size"):
        Files(tmp_path / "a.zip").read("a.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_pipes_and_devices_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    files = Files(tmp_path)
    assert files.names == []
    for name in ("a.png", "b.png"):
        with pytest.raises(BadSample, match="not a regular file"):
            files.read(name)
    for read in (read_pairs, read_voc, Files):
        with pytest.raises(DataError):
            read(tmp_path / "a.png")


# -- shards -------------------------------------------------------------------------------------------


def shard(path: Path, files: dict[str, bytes]) -> bytes:
    with tarfile.open(path, "w") as file:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path.read_bytes()


def read_all(pattern: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Captions by name of the good samples, and reasons of the bad ones."""
    data, good, bad = Shards(pattern), {}, {}
    for place in data.keys(np.random.default_rng(0)):
        try:
            good[place.name.rpartition(":")[2]] = data.read(place).captions[0]
        except BadSample as error:
            bad[error.name] = error.reason
    return good, bad


def samples(*names: str, image: str = ".png") -> dict[str, bytes]:
    return {f"{n}{e}": d for n in names for e, d in ((image, png()), (".txt", n.encode()))}


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.7, 0.9])
def test_a_pass_goes_on_after_a_truncated_shard(tmp_path: Path, kept: float) -> None:
    shard(tmp_path / "1.tar", samples("d", "e"))
    whole = shard(tmp_path / "0.tar", samples("a", "b", "c"))
    content = len(whole.rstrip(b"\0"))
    (tmp_path / "0.tar").write_bytes(whole[: int(content * kept)])
    good, bad = read_all(tmp_path / "*.tar")
    assert {"d", "e"} <= set(good) and all(name == said for name, said in good.items())
    assert "cannot read the shard" in bad[str(tmp_path / "0.tar")]


def test_shards_put_one_after_another_are_named(tmp_path: Path) -> None:
    first, second = (shard(tmp_path / "part", samples(n)) for n in "ab")
    (tmp_path / "0.tar").write_bytes(first + second)
    good, bad = read_all(tmp_path / "0.tar")
    assert set(good) == {"a"} and "more follows after its end" in bad[str(tmp_path / "0.tar")]


@pytest.mark.parametrize("data", [b"", b"no tar file" * 100, None])
def test_a_pass_goes_on_after_a_shard_that_is_none(tmp_path: Path, data: bytes | None) -> None:
    shard(tmp_path / "1.tar", samples("a"))
    if data is not None:
        (tmp_path / "0.tar").write_bytes(data)
    good, bad = read_all(tmp_path / "{0..1}.tar")
    assert set(good) == {"a"} and list(bad) == [str(tmp_path / "0.tar")]


@pytest.mark.parametrize("image", [".jpg", ".jfif", ".JPEG", ".png"])
def test_keys_with_dots(tmp_path: Path, image: str) -> None:
    names = ("www.site.com_1", "www.site.com_2", "v1.0/a.b", "v1.0/c")
    shard(tmp_path / "0.tar", samples(*names, image=image))
    assert read_all(tmp_path / "0.tar") == ({name: name for name in names}, {})


def test_endings_with_dots_as_webdataset_has_them(tmp_path: Path) -> None:
    files = {
        f"{n}{e}": d for n in "ab" for e, d in ((".jpg", png()), (".seg.png", b""), (".txt", n.encode()))
    }
    shard(tmp_path / "0.tar", files)
    assert read_all(tmp_path / "0.tar") == ({"a": "a", "b": "b"}, {})


def test_what_else_lies_in_tar_files(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w", format=tarfile.PAX_FORMAT) as file:
        folder = tarfile.TarInfo("d")
        folder.type = tarfile.DIRTYPE
        file.addfile(folder)
        long = "é" * 120
        for name, data in {"d/._a.png": b"x", **samples(f"d/{long}"), "d/b.txt": b"linked"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("d/b.png")
        link.type, link.linkname = tarfile.LNKTYPE, f"d/{long}.png"
        file.addfile(link)
    assert read_all(tmp_path / "0.tar") == ({f"d/{long}": f"d/{long}", "d/b": "linked"}, {})


def test_a_packed_shard_is_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w:gz"):
        pass
    with pytest.raises(DataError, match=r"no shard can be read.* it must be an uncompressed tar file"):
        read_all(tmp_path / "0.tar")
