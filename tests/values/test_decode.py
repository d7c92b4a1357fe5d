"""Image files from outside: which decoders are asked, what metadata may do, and whom an error blames."""

from __future__ import annotations

import ast
import io
import os
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest

from visprog.errors import ImageError
from visprog.values import decode, elsewhere
from visprog.values.image import Image

ROOT = Path(__file__).resolve().parents[2]
PIXELS = np.zeros((30, 40, 3), np.uint8)
PIXELS[:10, :10] = 255
PICTURE = PIL.Image.fromarray(PIXELS)


def encoded(picture: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG, JPEG = encoded(PICTURE, "png"), encoded(PICTURE, "jpeg")

# -- decoders ------------------------------------------------------------------------------------

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n"

FOREIGN = {
    "a HEIC image": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
    "HEIC image": b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(100),
    "a PDF document": b"%PDF-1.7\n",
    "PDF document, which is not read: save the page": b"\n\nof a printer %PDF-1.7\n",
    "PostScript": EPS,
    "PostScript file": b"\xc5\xd0\xd3\xc6" + struct.pack("<6I", 30, len(EPS), 0, 0, 0, 0) + b"\xff\xff" + EPS,
    "a drawing in SVG": b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "drawing in SVG": b"<svg width='10'>",
    "a video": b"\0\0\0\x18ftypisom" + bytes(50),
    "video, which is not read: save the frame": b"\x1aE\xdf\xa3",
    "a Photoshop file": b"8BPS\0\1" + bytes(40),
    "an icon": b"\0\0\1\0\1\0\x10\x10" + bytes(40),
    "icon": b"icns\0\0\1\0" + bytes(300),
    "a scientific image": b"SIMPLE  =                    T / " + bytes(3000),
    "a Windows metafile": b"\xd7\xcd\xc6\x9a" + bytes(40),
    "Windows metafile": b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(80),
    "a JPEG 2000 image": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40),
    "an image of a rare format": b"\x0a\x05\x01\x08" + bytes(200),
    "a raw photograph": b"II*\0\x10\0\0\0CR\2\0" + bytes(100),
    "a web page": b"\n<!DOCTYPE html><html>",
    "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\n",
    "an archive": b"PK\3\4" + bytes(40),
    "not an image of a format that can be read": b"hello",
}


@pytest.fixture(autouse=True)
def decoded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent of another test has had files decoded elsewhere."""
    monkeypatch.setattr(elsewhere, "_decoder", None)


@pytest.fixture
def no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ghostscript and its kind look installed, and must not be started."""
    import PIL.EpsImagePlugin

    def started(*arguments: Any, **options: Any) -> Any:
        raise AssertionError(f"a process is started: {arguments}")

    for module, name in ((subprocess, "Popen"), (os, "system"), (os, "posix_spawn"), (os, "fork")):
        monkeypatch.setattr(module, name, started)
    monkeypatch.setattr(PIL.EpsImagePlugin, "has_ghostscript", lambda: True)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The formats whose decoder was asked, by any entry to it."""
    PIL.Image.init()
    found: set[str] = set()

    def watched(name: str, function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            found.add(name)
            return function(*arguments)

        return None if function is None else call

    for name, (factory, accept) in [*PIL.Image.OPEN.items()]:
        monkeypatch.setitem(PIL.Image.OPEN, name, (watched(name, factory), watched(name, accept)))
    return found


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.usefixtures("no_process")
def test_other_formats_are_named_and_never_decoded(what: str, tmp_path: Path, asked: set[str]) -> None:
    (tmp_path / "a.png").write_bytes(FOREIGN[what])
    with pytest.raises(ImageError, match=f"^a.png is .*{what}"):
        Image.open(tmp_path / "a.png")
    with pytest.raises(Exception):  # noqa: B017  # of Pillow
        decode.open_header(FOREIGN[what])
    assert asked <= set(decode.FORMATS)


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp", "ppm", "webp", "tiff", "avif", "mpo"])
@pytest.mark.usefixtures("no_process")
def test_the_usual_formats_are_read(kind: str, asked: set[str]) -> None:
    if kind.upper() not in PIL.Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    assert Image.open(encoded(PICTURE, kind)).size == (40, 30)
    assert asked <= set(decode.FORMATS)


def test_nothing_else_finds_out_what_bytes_are() -> None:
    """Whoever has Pillow open an image names formats that are read; OpenCV's readers, which name none, are not used."""
    checked = 0
    links = {ROOT / "visprog" / name for name in ("tools", "sandbox", "prompts")}
    for folder in ("visprog", "tools", "sandbox", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if links & {*path.parents}:
                continue  # it has its turn
            tree = ast.parse(path.read_text(encoding="utf-8"))
            pillow = {"PIL.Image"}
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module == "PIL":
                    pillow |= {alias.asname or alias.name for alias in node.names}
            for node in ast.walk(tree):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                    continue
                where = f"{path}, line {node.lineno}"
                assert not node.func.attr.startswith(("imread", "imdecode")), where
                if node.func.attr == "open" and ast.unparse(node.func.value) in pillow:
                    (formats,) = (k.value for k in node.keywords if k.arg == "formats")
                    if ast.unparse(formats) != "FORMATS":
                        assert {*ast.literal_eval(formats)} <= {*decode.FORMATS}, where
                    checked += 1
    assert checked


def test_raw_photographs_are_no_thumbnails() -> None:
    tags = {254: 1}
    with pytest.raises(ImageError, match="is a raw photograph, which is not read: convert it"):
        Image.open(encoded(PICTURE, "tiff", tiffinfo=tags))


# -- metadata ------------------------------------------------------------------------------------

Tag = tuple[int, int, int, bytes]
SIX: Tag = (0x112, 3, 1, b"\6\0\0\0")


def with_exif(*tags: Tag, head: bytes = b"II*\0", extra: bytes = bytes(16)) -> bytes:
    block = struct.pack("<IH", 8, len(tags))
    block += b"".join(struct.pack("<HHI", *tag[:3]) + tag[3] for tag in tags)
    return with_segment(0xE1, b"Exif\0\0" + head + block + bytes(4) + extra)


def with_segment(marker: int, payload: bytes, jpeg: bytes = JPEG) -> bytes:
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


OTHER_TAGS: list[Tag] = [
    (0x100, 9, 1, b"\xff" * 4),
    (0x100, 8, 1, b"\xff\xff\0\0"),
    (0x103, 12, 1, b"\x50\0\0\0"),
    (0x10F, 2, 9, b"\xff" * 4),
    (0x11A, 5, 1, b"\x30\0\0\0"),
    (0x8769, 4, 1, b"\xff" * 4),
    (0x8825, 3, 1, b"\1\0\0\0"),
    (0x9999, 99, 1, bytes(4)),
]


@pytest.mark.parametrize("other", OTHER_TAGS)
def test_a_bad_tag_beside_the_orientation_does_no_harm(other: Tag) -> None:
    image = Image.open(with_exif(SIX, other))
    assert image.size == (30, 40) and image.pixels[2, -2].min() > 200


TURNED = {
    "byte": (1, 1, b"\6\0\0\0"),
    "text": (2, 2, b"6\0\0\0"),
    "two": (3, 2, b"\6\0\6\0"),
    "long": (4, 1, b"\6\0\0\0"),
    "undefined": (7, 1, b"\6\0\0\0"),
    "signed": (8, 1, b"\6\0\0\0"),
}
LEFT = {
    "zero": (3, 1, b"\0\0\0\0"),
    "nine": (3, 1, b"\x09\0\0\0"),
    "negative": (8, 1, b"\xff\xff\0\0"),
    "none": (3, 0, b"\6\0\0\0"),
    "too many": (3, 0xFFFFFFFF, b"\6\0\0\0"),
    "unknown type": (99, 1, b"\6\0\0\0"),
    "0/0": (5, 1, b"\x1a\0\0\0"),
    "outside": (12, 1, b"\xff\xff\0\0"),
}


@pytest.mark.parametrize("name", [*TURNED, *LEFT])
def test_orientation_of_an_odd_type_or_value(name: str) -> None:
    size = (30, 40) if name in TURNED else (40, 30)
    assert Image.open(with_exif((0x112, *{**TURNED, **LEFT}[name]))).size == size


@pytest.mark.parametrize(
    "data",
    [with_exif(SIX, head=b"XX*\0"), with_exif(SIX, head=b"II\0\0"), with_segment(0xE1, b"Exif\0\0"),
     with_segment(0xE1, b"Exif\0\0II*\0"), with_segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff"),
     with_segment(0xE0, b"JFIF\0"), with_segment(0xE2, b"ICC_PROFILE\0"), with_segment(0xE2, b"MPF\0II*\0"),
     with_segment(0xED, b"Photoshop 3.0\x008BIM\3\xed\0\0\0\0\0\x10ab"), with_segment(0xFE, b"")],
)  # fmt: skip
def test_damaged_metadata_of_a_jpeg_leave_its_pixels(data: bytes) -> None:
    assert (Image.open(data).pixels == Image.open(JPEG).pixels).all()


def test_a_jpeg_whose_metadata_are_dropped_is_still_turned() -> None:
    data = with_segment(0xE0, b"JFIF\0", with_exif(SIX))
    assert Image.open(data).size == (30, 40)


@pytest.mark.parametrize(
    "between",
    [chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000))),
     chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(3_000_000))),
     chunk(b"iTXt", b"a"), chunk(b"tEXt", b"abc")[:-1] + b"?", chunk(b"pHYs", b""), chunk(b"eXIf", b"II*\0\xff")],
)  # fmt: skip
def test_damaged_or_large_metadata_of_a_png_leave_its_pixels(between: bytes) -> None:
    assert (Image.open(PNG[:33] + between + PNG[33:]).pixels == PIXELS).all()


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("head", [b"XX*\0", b"\0\0\0\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\xff"])
def test_exif_that_cannot_be_read_in_every_format(kind: str, head: bytes) -> None:
    if kind.upper() not in PIL.Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    exif = PIL.Image.Exif()
    exif[0x10F] = "a maker of cameras"
    data = encoded(PICTURE, kind, exif=exif)
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    assert data.count(block) == 1
    damaged = data.replace(block, head + block[len(head) :])
    if kind == "png":  # whose chunks have checksums
        damaged = PNG[:33] + chunk(b"eXIf", head + block[len(head) :]) + PNG[33:]
    assert Image.open(damaged).size == (40, 30)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "avif"])
def test_orientation_in_every_format(kind: str) -> None:
    if kind.upper() not in PIL.Image.SAVE:
        pytest.skip(f"this Pillow writes no {kind}")
    corners = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    for orientation, bright in corners.items():
        exif = PIL.Image.Exif()
        exif[0x112] = orientation
        image = Image.open(encoded(PICTURE, kind, exif=exif))
        assert image.size == ((40, 30) if orientation < 5 else (30, 40))
        assert {c for c in ((0, 0), (0, -1), (-1, 0), (-1, -1)) if image.pixels[c].min() > 128} == {bright}


def test_orientation_in_xmp() -> None:
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:Description %s/></x:xmpmeta>"
    for attribute, size in ((b'tiff:Orientation="6"', (30, 40)), (b'tiff:Orientation="9"', (40, 30))):
        assert Image.open(with_segment(0xE1, xmp % attribute)).size == size
        both = with_exif((0x112, 3, 1, b"\0\0\0\0"), head=b"XX*\0")  # what EXIF there is cannot be read
        assert Image.open(with_segment(0xE1, xmp % attribute, both)).size == size


def test_a_tiff_with_bad_directories_is_turned() -> None:
    pixels = PIXELS.tobytes()
    for pointer in ((0x8769, 4, 1, 99_999_999), (0x8769, 3, 1, 5), (0x8825, 4, 1, 1)):
        tags = [
            (256, 4, 1, 40), (257, 4, 1, 30), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8),
            (274, 3, 1, 6), (277, 3, 1, 3), (278, 4, 1, 30), (279, 4, 1, len(pixels)), pointer,
        ]  # fmt: skip
        directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *t) for t in tags) + bytes(4)
        image = Image.open(b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory)
        assert image.size == (30, 40) and image.pixels[0, -1].min() == 255


def test_a_pil_image_is_turned_and_left_as_it_is() -> None:
    exif = PIL.Image.Exif()
    exif[0x112] = 6
    picture = PIL.Image.open(io.BytesIO(encoded(PICTURE, "jpeg", exif=exif)))
    assert Image.open(picture).size == (30, 40) and picture.size == (40, 30)


# -- transparency of 16 bits ---------------------------------------------------------------------


def test_transparent_samples_of_sixteen_bits() -> None:
    grey = np.array([[0, 65535], [300, 40000]], np.uint16)
    data = encoded(PIL.Image.fromarray(grey), "png")
    image = Image.open(data[:33] + chunk(b"tRNS", struct.pack(">H", 300)) + data[33:])
    assert image.alpha is not None and image.alpha.tolist() == [[255, 255], [0, 255]]
    rows = b"".join(
        b"\0" + np.array(row, ">u2").tobytes() for row in ([[65535] * 3, [0] * 3], [[0] * 3, [0] * 3])
    )
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    data += chunk(b"tRNS", b"\xff" * 6) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    image = Image.open(data)
    assert image.alpha is not None and image.alpha.tolist() == [[0, 255], [255, 255]]


# -- whom an error blames ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "message"),
    [(struct.error("short"), "is broken: short"), (ZeroDivisionError(), "is broken: ZeroDivisionError"),
     (OverflowError("big"), "is broken: big"), (SyntaxError("odd"), "is broken: odd"), (EOFError(), "is broken"),
     (MemoryError(), "needs more memory than there is"), (OSError("decoder jpeg2k not available"), "cannot be decoded"),
     (NotImplementedError("mode not supported"), "cannot be decoded .*: convert it to PNG or JPEG")],
)  # fmt: skip
def test_whatever_a_library_raises_is_an_image_error(
    raised: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: Any) -> Any:
        raise raised

    monkeypatch.setattr(PIL.ImageFile.ImageFile, "load", load)
    for source in (JPEG, PIL.Image.open(io.BytesIO(JPEG))):
        with pytest.raises(ImageError, match=message):
            Image.open(source, name="a.jpg")


def broken_picture() -> PIL.Image.Image:
    noise = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8))
    return PIL.Image.open(io.BytesIO(encoded(noise, "png")[:3000]))


def closed_picture() -> PIL.Image.Image:
    picture = PIL.Image.open(io.BytesIO(PNG))
    picture.close()
    return picture


@pytest.mark.parametrize(
    ("make", "message"),
    [(broken_picture, "is broken: image file is truncated"), (closed_picture, "is closed: open it")],
)
def test_a_pil_image_that_cannot_be_decoded(make: Callable[[], PIL.Image.Image], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Image.open(make())


@pytest.mark.parametrize(
    "mode", "1 L P RGB RGBA CMYK YCbCr LAB HSV I F LA PA La RGBa RGBX I;16 I;16B I;16L".split()
)
def test_pil_images_of_every_mode(mode: str) -> None:
    assert Image.open(PIL.Image.new(mode, (3, 2))).size == (3, 2)


# -- size ----------------------------------------------------------------------------------------


def test_the_limit_of_pixels_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visprog.values.image.MAX_PIXELS", 500)
    for source in (PNG, PICTURE, PIXELS):
        with pytest.raises(
            ImageError, match=r"40 x 30 pixels, more than 500: .* max_pixels \(--max-pixels\)"
        ):
            Image.open(source, name="a")
        assert Image.open(source, max_pixels=1200).size == (40, 30)
        with pytest.raises(ImageError, match="more than 1,199"):
            Image.open(source, max_pixels=1199)


def test_the_limit_of_pillow_rises_only_when_more_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 400)  # Pillow refuses twice as many
    monkeypatch.setattr("visprog.values.image.MAX_PIXELS", 2000)
    with pytest.raises(ImageError, match=r"more pixels than PIL.Image.MAX_IMAGE_PIXELS allows: raise that"):
        Image.open(PNG)
    monkeypatch.setattr("visprog.values.image.MAX_PIXELS", 900)
    with pytest.raises(ImageError, match="more than 900 pixels"):
        Image.open(PNG)
    assert PIL.Image.MAX_IMAGE_PIXELS == 400
    assert Image.open(PNG, max_pixels=1200).size == (40, 30)


@pytest.mark.parametrize("size", [(1, 1), (20_000, 1), (1, 20_000)])
def test_thin_images_are_read(size: tuple[int, int]) -> None:
    for kind in ("png", "jpeg", "tiff", "bmp"):
        assert Image.open(encoded(PIL.Image.new("RGB", size), kind)).size == size
