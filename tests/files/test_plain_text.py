"""Text and JSON from outside, and members of archives."""

from __future__ import annotations

import codecs
import os
import tracemalloc
import unicodedata
import zipfile
from pathlib import Path

import pytest

from visprog.files.archives import is_archive, is_cut_archive, read_member, spellings
from visprog.files.plain_text import decode_text, numbered_lines, parse_json, read_text, split_lines


def test_two_byte_order_marks_are_no_text_either() -> None:
    assert decode_text(2 * codecs.BOM_UTF8 + b"a dog") == "a dog"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_text(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_text("a\nö\n", encoding=encoding)
    assert read_text(tmp_path / "a.txt") == "a\nö\n"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("a dog".encode("utf-16"), "in UTF-16: save it as UTF-8"),
        ("a dog".encode("utf-32"), "in UTF-32"),
        ("a dog".encode("utf-16-le"), "in UTF-16, or no text"),
        ("a\nb\ncafé".encode("latin-1"), "the byte 0xe9 in line 3, at position 7"),
        (b"\xef\xbb\xbfa\nb\ncaf\xe9", "the byte 0xe9 in line 3, at position 10"),
        (b"\xff", "is not text in UTF-8"),
    ],
)
def test_other_encodings_are_named(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_text(data)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", "end"])
@pytest.mark.parametrize("inner", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
def test_only_line_ends_end_a_line(end: str, last: str, inner: str) -> None:
    text = f"a{inner}b{end}{end} {end}c{end if last else ''}"
    assert split_lines(text) == [f"a{inner}b", "", " ", "c"]
    assert list(numbered_lines(text)) == [(1, f"a{inner}b"), (4, "c")]


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "is not JSON"), ("[" * 100_000, "nested too deeply"), ('{"a":' * 50_000, "nested")],
)
def test_json_that_cannot_be_read(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_json(text)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_neither_text_nor_an_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    with pytest.raises(OSError, match="it is a pipe"):
        read_text(tmp_path / "a")
    assert not is_archive(tmp_path / "a") and not is_cut_archive(tmp_path / "a")


def zipped(path: Path, data: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.txt", data)
    return path


def test_a_member_that_unpacks_to_very_much_is_not_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.zip", bytes(80 * 2**20))
    with zipfile.ZipFile(path) as archive:
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match="more than 200 times its size"):
                read_member(archive, "a.txt", 2**31)
            with pytest.raises(ValueError, match="larger than 1 MiB"):
                read_member(archive, "a.txt", 2**20)
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()


def test_a_member_larger_than_its_directory_says_is_damaged(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", b"text" * 1000)
    data = path.read_bytes()
    place = data.rindex(b"PK\x01\x02")
    path.write_bytes(data[: place + 24] + (8).to_bytes(4, "little") + data[place + 28 :])
    with zipfile.ZipFile(path) as archive, pytest.raises(ValueError, match=r"CRC|damaged|not as long"):
        read_member(archive, "a.txt", 100)


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", b"text")
    data = bytearray(path.read_bytes())
    for place in (6, data.rindex(b"PK\x01\x02") + 8):
        data[place] |= 1
    path.write_bytes(data)
    with zipfile.ZipFile(path) as archive, pytest.raises(ValueError, match="it is encrypted"):
        read_member(archive, "a.txt", 100)


def test_a_cut_archive_is_told_from_another_file(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", b"text" * 100)
    assert is_archive(path) and not is_cut_archive(path)
    path.write_bytes(path.read_bytes()[:-30])
    assert not is_archive(path) and is_cut_archive(path)


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("p\\0.png", "p/0.png"), ("./p/0.png", "p/0.png"), (".\\p\\0.png", "p/0.png"), ("p//0.png", "p/0.png"),
        ("my%20photo.png", "my photo.png"), ("café.png", unicodedata.normalize("NFD", "café.png")),
        (unicodedata.normalize("NFD", "é\\é.png"), "é/é.png"),
    ],
)  # fmt: skip
def test_names_as_other_systems_write_them(written: str, there: str) -> None:
    found = list(spellings(written))
    assert found[0] == written and there in found


def test_folders_are_never_left_out() -> None:
    assert set(spellings("/data/x.jpg")) == {"/data/x.jpg"}
    assert "x.jpg" not in set(spellings("C:\\data\\x.jpg"))
