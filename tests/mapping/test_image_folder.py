"""Folders of images: what is asked about, what is left out and named, what is left out quietly."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import PIL.Image
import pytest

from tests.small_tools import picture
from visprog.errors import VisprogError
from visprog.mapping.image_folder import ImageFolder
from visprog.mapping.map import sources


def read(folder: Path) -> tuple[list[str], dict[str, int]]:
    """Names of the images, and what is left out."""
    images = ImageFolder(folder)
    return [p.relative_to(folder).as_posix() for p in images], dict(images.left_out)


@pytest.mark.parametrize(
    "name",
    ["a.jfif", "a.jpe", "a.JPG", "a.PNG", "a.tiff", "a.pnm", "a.pbm", "a.gif", "a.bmp", "a.webp", "a.avif"],
)
def test_endings_of_images_are_asked_about(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"whatever it is")
    assert read(tmp_path) == ([name], {})


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM", "AVIF"])
@pytest.mark.parametrize("name", ["a", "a.txt", "a.heic", "a.1", "a.jpg~", "IMG_1.2024-05-01"])
def test_images_of_another_ending_or_none_are_known_by_their_content(
    tmp_path: Path, kind: str, name: str
) -> None:
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / name, kind)
    assert read(tmp_path) == ([name], {})


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.heic", b"\0\0\0\x18ftypheic", ".heic"), ("a.HEIF", b"", ".heif"), ("a.jp2", b"\0\0\0\x0cjP  ", ".jp2"),
        ("a.tga", b"\0", ".tga"), ("a.ico", b"\0\0\1\0", ".ico"), ("a.svg", b"<svg/>", ".svg"),
        ("a.pdf", b"%PDF-1.7", ".pdf"), ("notes.txt", b"BMW is a car", ".txt"), ("a.md", b"P1 is a plan", ".md"),
        ("a.dng", b"II*\0" + bytes(40), ".dng"), ("a.NEF", b"MM\0*" + bytes(40), ".nef"),
        ("README", b"text", "without an ending"), ("empty", b"", "without an ending"), ("a.tar.gz", b"\x1f\x8b", ".gz"),
    ],
)  # fmt: skip
def test_other_files_are_left_out_and_counted(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path) == ([], {reason: 1})


@pytest.mark.parametrize(
    "name", [".DS_Store", "._a.png", ".hidden.png", "Thumbs.db", "desktop.ini", "Icon\r"]
)
def test_files_of_file_managers_are_left_out_quietly(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    assert read(tmp_path) == ([], {})


def test_a_tiff_without_an_ending_is_an_image(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "scan", "TIFF")
    assert read(tmp_path) == (["scan"], {})


def test_special_files_neither_hang_nor_vanish(tmp_path: Path) -> None:
    for name in ("pipe.png", "pipe"):
        os.mkfifo(tmp_path / name)
    for name in ("zero.png", "zero"):
        (tmp_path / name).symlink_to("/dev/zero")
    for name in ("gone.png", "gone.x"):
        (tmp_path / name).symlink_to("nothing")
    (tmp_path / "loop.png").symlink_to("loop.png")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(os.path.relpath(tmp_path / "s"))
    images, left_out = read(tmp_path)
    assert images == ["gone.png", "loop.png", "pipe.png", "zero.png"]
    assert left_out == {"without an ending": 3, ".x": 1}


def test_folders_below_are_read_and_links_to_folders_named(tmp_path: Path) -> None:
    deep = tmp_path / "shots.png" / "b"
    deep.mkdir(parents=True)
    picture().save(deep / "a.png")
    (tmp_path / ".hidden").mkdir()
    picture().save(tmp_path / ".hidden" / "b.png")
    (deep / "loop").symlink_to(tmp_path)
    (tmp_path / "linked.png").symlink_to(deep)
    assert read(tmp_path) == (["shots.png/b/a.png"], {"linked folder": 2})


def test_a_folder_may_be_nested_deeply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    depth = 1200
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    Path("a.png").touch()
    os.chdir(tmp_path)
    try:
        assert len(list(ImageFolder(Path(".")))) == 1
    finally:  # what removes the folder of the test would not get that far
        os.chdir("d/" * depth)
        os.remove("a.png")
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("d")


def test_the_notice_is_one_sentence(tmp_path: Path) -> None:
    folder = ImageFolder(tmp_path)
    assert (list(folder), folder.notice) == ([], "")
    for name in ("a.heic", "b.heic", "c.svg", "d\udce9\n.pdf"):
        (tmp_path / name).touch()
    assert list(folder) == []
    assert folder.notice == (
        "4 files left out, no images that can be read: 2 .heic (a.heic …), 1 .svg (c.svg), 1 .pdf (d\\xe9\\n.pdf)"
    )
    for i in range(20):
        (tmp_path / f"a.{i}").touch()
    assert list(folder) == [] and folder.notice.endswith(", and others") and len(folder.notice) < 300


def test_sources_know_what_is_left_out_and_how_many_there_are(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.heic"):
        (tmp_path / name).touch()
    listed = sources(tmp_path, wanted=lambda source: source.name != "a.png")
    assert len(listed) == 1 and listed.left_out == {".heic": 1} and "c.heic" in listed.notice
    assert [s.index for s in listed] == [1]
    assert len(sources(["a", "b"])) == 2 and not sources([]).left_out and sources([]).notice == ""
    with pytest.raises(TypeError, match="not known"):
        len(sources(iter("ab")))
    with pytest.raises(VisprogError, match="cannot read the folder"):
        list(ImageFolder(tmp_path / "nowhere"))
