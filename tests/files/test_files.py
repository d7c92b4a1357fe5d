"""Files and streams from outside: regular ones only, within a bound, with names that can be printed."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from visprog.errors import ImageError
from visprog.files import limits as limits_module
from visprog.files.limits import SizeLimits
from visprog.files.reading import printable, read_file, read_stream
from visprog.values.image import Image

PNG = io.BytesIO()
PIL.Image.new("RGB", (3, 2)).save(PNG, "png")


@pytest.fixture
def special(tmp_path: Path) -> Any:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "fifo")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    here = os.getcwd()
    os.chdir(tmp_path)  # the address of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        yield tmp_path
    os.chdir(here)


@pytest.mark.parametrize(
    ("name", "message"),
    [("fifo", "is a pipe"), ("link", "is a pipe"), ("zeros", "is a device"), ("socket", "is a socket"),
     (".", "is a folder"), ("none", "No such file"), ("loop", "symbolic links")],
)  # fmt: skip
def test_only_regular_files_are_read(special: Path, name: str, message: str) -> None:
    with pytest.raises(OSError, match=message):
        read_file(special / name, 100)
    with pytest.raises(ImageError):
        Image.open(special / name)


def test_a_file_that_becomes_a_pipe_is_not_waited_for(special: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (special / "file").touch()
    before = os.stat(special / "file")
    monkeypatch.setattr(os, "stat", lambda path: before)
    with pytest.raises(OSError, match="is a pipe"):
        read_file(special / "fifo", 100)


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 100)
    assert read_file(path, 100) == read_file(str(path), 100) == b"x" * 100
    with pytest.raises(OSError, match="larger than"):
        read_file(path, 99)
    assert read_file("/proc/self/status", 1 << 20)  # whose size is said to be 0
    with pytest.raises(OSError, match="larger than"):
        read_file("/proc/self/status", 10)


class Trickle(io.RawIOBase):
    """Gives a few bytes at a time, without end."""

    def readinto(self, buffer: Any) -> int:
        buffer[:3] = b"abc"
        return 3


def test_a_stream_is_read_up_to_its_bound() -> None:
    assert read_stream(io.BytesIO(b"abc"), 3) == b"abc"
    for stream in (io.BytesIO(b"abcd"), Trickle()):
        with pytest.raises(OSError, match="larger than"):
            read_stream(stream, 3)  # type: ignore[arg-type]  # RawIOBase is typed on its own


def test_a_file_object_is_read_up_to_the_bound_of_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "_in_force", SizeLimits(file_bytes=1000))
    with pytest.raises(ImageError, match="cannot read file: it is larger than"):
        Image.open(Trickle())


class Reader:
    """Anything with a `read`, such as an image of a data set."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def read(self) -> Any:
        return self.given


def at_its_end() -> io.BytesIO:
    stream = io.BytesIO(PNG.getvalue())
    stream.read()
    return stream


def closed() -> io.BytesIO:
    stream = io.BytesIO(b"x")
    stream.close()
    return stream


async def later() -> bytes:
    return b""


def test_file_objects(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG.getvalue())
    assert Image.open(Reader(PNG.getvalue())).size == (3, 2)
    with (tmp_path / "a.png").open("rb") as file:
        assert Image.open(file).size == (3, 2)
    with (tmp_path / "a.png").open("rb", buffering=0) as raw:
        assert Image.open(raw).size == (3, 2)
    waiting = later()
    for stream, message in (
        (at_its_end(), r"read to its end already: go back with seek\(0\)"), (closed(), "cannot read file: .*closed"),
        (io.StringIO("x"), "opened as text: open it with 'rb'"), (Reader("x"), "opened as text"),
        (Reader(3), "gives int, not bytes"), (Reader(waiting), "gives coroutine, not bytes"),
    ):  # fmt: skip
        with pytest.raises(ImageError, match=message):
            Image.open(stream)
    waiting.close()
    with (
        (tmp_path / "a.png").open(encoding="utf-8") as text,
        pytest.raises(ImageError, match="opened as text"),
    ):
        Image.open(text)


class Pathlike:
    def __init__(self, path: Any) -> None:
        self.path = path

    def __fspath__(self) -> Any:
        return self.path


def test_paths(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG.getvalue())
    for path in (str(tmp_path / "a.png"), os.fsencode(tmp_path / "a.png")):
        assert Image.open(Pathlike(path)).name == "a.png"
    for given, message in (
        ("", "the path of the image is empty"), (["a.png"], "from list: .* give several images one after another"),
        ("file:///tmp/a%20b.png", "give the path of the file, /tmp/a b.png"),
        ("data:image/png;base64,AAAA", "no such file: data:.*a data URL is read from bytes"),
    ):  # fmt: skip
        with pytest.raises(ImageError, match=message):
            Image.open(given)


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a.png", "a.png"), ("äß 日本.png", "äß 日本.png"), ("caf\udce9.png", "caf\\xe9.png"), ("\ud800", "\\ud800"),
     ("a\nb\x1b[1m", "a\\nb\\x1b[1m"), ("\u202egnp.exe", "\\u202egnp.exe"), ("", "")],
)  # fmt: skip
def test_names_can_be_printed(name: str, shown: str) -> None:
    assert printable(name) == shown
    shown.encode()


def test_a_long_name_keeps_both_ends() -> None:
    short = printable("a" * 5000 + ".png")
    assert len(short) <= 255 and short.startswith("aaa") and short.endswith("a.png") and "…" in short


def test_messages_and_images_have_names_that_can_be_printed(tmp_path: Path) -> None:
    for name in (b"caf\xe9.png", b"a\nb.png", b"\x1b[1m.png"):
        path = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))
        with pytest.raises(ImageError, match="no such file") as error:
            Image.open(path)
        assert str(error.value).isprintable()
        Path(path).write_bytes(b"x")
        with pytest.raises(ImageError, match="not an image") as error:
            Image.open(path)
        assert str(error.value).isprintable()
        Path(path).write_bytes(PNG.getvalue())
        assert Image.open(path).name.isprintable()
    for source in (PNG.getvalue(), np.zeros((2, 2), np.uint8), io.BytesIO(PNG.getvalue())):
        assert Image.open(source, name="a\nb\udce9").name == "a\\nb\\xe9"
