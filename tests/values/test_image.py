"""Images: what is read and how, what is refused and with which words, and crops that know their place."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visprog.errors import ImageError
from visprog.files import limits as limits_module
from visprog.files.limits import SizeLimits
from visprog.values import Box, Mask, Point
from visprog.values import image as image_module
from visprog.values.image import Image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def encoded(picture: PIL.Image.Image, kind: str = "png", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


# -- reading -------------------------------------------------------------------------------------


def test_every_source_reads_the_same(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(PIXELS)
    data = encoded(picture)
    (tmp_path / "p.png").write_bytes(data)
    whole = Image.open(PIXELS)
    for source in (
        tmp_path / "p.png",
        str(tmp_path / "p.png"),
        data,
        bytearray(data),
        io.BytesIO(data),
        picture,
        whole,
    ):
        image = Image.open(source)
        assert image.digest == whole.digest and image.size == (30, 20)
        assert (image.pixels == PIXELS).all() and image.alpha is None
    assert Image.open(whole) is whole
    assert Image.open(tmp_path / "p.png").name == "p.png"


def test_pixels_cannot_be_written() -> None:
    source = PIXELS.copy()
    image = Image.open(source)
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0] = 0
    digest = image.digest
    source[:] = 0
    assert Image.open(image.pixels).digest == digest  # a copy was taken


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_the_camera(orientation: int) -> None:
    upright = PIL.Image.fromarray(PIXELS)
    turned = {
        1: [], 2: [PIL.Image.Transpose.FLIP_LEFT_RIGHT], 3: [PIL.Image.Transpose.ROTATE_180],
        4: [PIL.Image.Transpose.FLIP_TOP_BOTTOM], 5: [PIL.Image.Transpose.TRANSPOSE],
        6: [PIL.Image.Transpose.ROTATE_90], 7: [PIL.Image.Transpose.TRANSVERSE],
        8: [PIL.Image.Transpose.ROTATE_270],
    }[orientation]  # fmt: skip
    stored = upright
    for step in turned:
        stored = stored.transpose(step)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    image = Image.open(encoded(stored, "png", exif=exif))
    assert image.size == (30, 20) and (image.pixels == PIXELS).all()


def test_alpha_is_kept_and_composed_over_white() -> None:
    rgba = np.dstack([PIXELS, np.zeros((20, 30), np.uint8)])
    rgba[:, 10:20, 3], rgba[:, 20:, 3] = 128, 255
    image = Image.open(encoded(PIL.Image.fromarray(rgba)))
    assert image.alpha is not None and (image.alpha == rgba[:, :, 3]).all()
    assert (image.pixels[:, :10] == 255).all() and (image.pixels[:, 20:] == PIXELS[:, 20:]).all()
    half = (PIXELS[:, 10:20] * (128 / 255) + 255 * (127 / 255)).round()
    assert np.abs(image.pixels[:, 10:20].astype(int) - half).max() <= 1
    again = Image.open(encoded(image.to_pil()))
    assert again.digest == image.digest  # as often as one likes
    seen = image.to_pil().getpixel((25, 3))
    assert seen == (*(int(v) for v in PIXELS[3, 25]), 255)


def test_opaque_alpha_is_none() -> None:
    rgba = np.dstack([PIXELS, np.full((20, 30), 255, np.uint8)])
    assert Image.open(rgba).alpha is None


def test_grey_and_palette_and_bilevel_and_cmyk() -> None:
    grey = PIL.Image.fromarray(PIXELS).convert("L")
    image = Image.open(encoded(grey))
    assert (image.pixels[:, :, 0] == np.asarray(grey)).all() and (
        image.pixels[:, :, 0] == image.pixels[:, :, 2]
    ).all()
    palette = PIL.Image.fromarray(PIXELS).quantize(16)
    assert (Image.open(encoded(palette)).pixels == np.asarray(palette.convert("RGB"))).all()
    transparent = palette.copy()
    transparent.info["transparency"] = 0
    assert Image.open(encoded(transparent, transparency=0)).alpha is not None
    assert set(np.unique(Image.open(encoded(grey.convert("1"))).pixels)) == {0, 255}
    cmyk = PIL.Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = Image.open(encoded(cmyk, "tiff")).pixels[0, 0]
    assert red[0] > 200 and red[1] < 60 and red[2] < 60


def test_sixteen_bits_keep_their_brightness() -> None:
    ramp = np.linspace(0, 65535, 20 * 30).reshape(20, 30).astype(np.uint16)
    image = Image.open(encoded(PIL.Image.fromarray(ramp)))
    assert np.abs(image.pixels[:, :, 0].astype(float) - ramp / 257).max() <= 0.51
    assert np.abs(Image.open(ramp).pixels[:, :, 0].astype(float) - ramp / 257).max() <= 0.51
    dark = Image.open(encoded(PIL.Image.fromarray((ramp // 64).astype(np.uint16))))
    assert dark.pixels.max() <= 4  # not stretched


def test_arrays() -> None:
    assert (Image.open(PIXELS[:, :, 0]).pixels[:, :, 1] == PIXELS[:, :, 0]).all()
    assert (Image.open(PIXELS[:, :, :1]).pixels[:, :, 1] == PIXELS[:, :, 0]).all()
    assert (Image.open(PIXELS / 255).pixels == PIXELS).all()
    assert (Image.open((PIXELS / 255).astype(np.float32)).pixels == PIXELS).all()
    assert set(np.unique(Image.open(PIXELS[:, :, 0] > 100).pixels)) == {0, 255}
    assert (Image.open(PIXELS[:, ::-1]).pixels == PIXELS[:, ::-1]).all()
    assert Image.open(np.array([[1 + 1e-7, -1e-7]])).pixels[0, :, 0].tolist() == [255, 0]  # rounding errors
    assert (Image.open(memoryview(encoded(PIL.Image.fromarray(PIXELS)))).pixels == PIXELS).all()


@pytest.mark.parametrize("type_name", ["u2", "f2", "f4", "f8", "g"])
def test_arrays_of_either_byte_order(type_name: str) -> None:
    values = PIXELS.astype(np.uint16) * 257 if type_name == "u2" else PIXELS / 255
    for order in "<>":
        assert (Image.open(values.astype(order + type_name)).pixels == PIXELS).all()


def test_tensors() -> None:
    torch = pytest.importorskip("torch")
    last = torch.from_numpy(PIXELS.copy())
    first = last.permute(2, 0, 1)
    for tensor in (last, first, first / 255, last.double() / 255, (first / 255).requires_grad_()):
        assert (Image.open(tensor).pixels == PIXELS).all()
    assert np.abs(Image.open((first / 255).bfloat16()).pixels.astype(int) - PIXELS).max() <= 1
    assert (Image.open(last[:, :, 0]).pixels[:, :, 1] == PIXELS[:, :, 0]).all()
    for tensor, message in (
        (first[None] / 255, "one image of the batch"), (last.long(), "tensor has type int64"),
        (torch.eye(4).to_sparse(), "cannot be made an array"), (torch.zeros(3, 4, 4, device="meta"), "cannot be made"),
    ):  # fmt: skip
        with pytest.raises(ImageError, match=message):
            Image.open(tensor)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4, 2), np.uint8), r"shape \(3, 4, 2\)"),
        (np.zeros((3,), np.uint8), r"shape \(3,\)"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.zeros((2, 3, 4, 3), np.uint8), "shape"),
        (np.zeros((3, 4, 3), np.int64), "type int64"),
        (np.full((3, 4, 3), 2.0), "floats outside 0…1"),
        (np.full((3, 4, 3), np.nan), "floats outside 0…1"),
        (np.zeros((3, 4, 3), object), "type object"),
        (np.zeros((3, 4), complex), "type complex128: give uint8, uint16, bool, or floats in 0…1"),
        (np.zeros((3, 4, 3), np.int64), r"give uint8, .* such as array.astype\(numpy.uint8\)"),
        (np.zeros((3, 40, 50)), r"channels last with array.transpose\(1, 2, 0\)"),
        (np.zeros((2, 40, 50, 3)), r"one image of the batch, such as array\[0\]"),
        (np.array(3), r"shape \(\)"),
        (np.ma.masked_array(np.zeros((3, 4))), r"masked array: fill it first"),
    ],
)
def test_arrays_that_are_no_images(array: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        Image.open(array)


# -- refusing ------------------------------------------------------------------------------------


def test_animations_are_refused() -> None:
    frames = [PIL.Image.fromarray(RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for _ in range(3)]
    for kind in ("gif", "webp", "tiff", "png"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        with pytest.raises(ImageError, match=r"animation of 3 frames: save the frame"):
            Image.open(data)
    assert Image.open(encoded(frames[0], "gif")).size == (8, 8)


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "tiff", "bmp", "webp"])
def test_truncated_files_are_refused(kind: str) -> None:
    data = encoded(PIL.Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)), kind)
    for size in (len(data) // 2, len(data) - len(data) // 4, 12, 4):
        with pytest.raises(ImageError, match=r"is broken|not an image"):
            Image.open(data[:size])


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF", b"BM", b"II*\x00"]),
)
def test_any_bytes_are_read_or_refused(data: bytes, start: bytes) -> None:
    try:
        Image.open(start + data)
    except ImageError as error:
        assert "\n" not in str(error)


def test_a_decompression_bomb_is_refused() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(ImageError, match=r"more than 100,000,000 pixels|60000 x 60000 pixels"):
        Image.open(bomb)


def test_large_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "_in_force", SizeLimits(file_bytes=1 << 20))
    with pytest.raises(ImageError, match="larger than 1 MiB"):
        Image.open(b"x" * ((1 << 20) + 1))
    monkeypatch.setattr(image_module, "MAX_PIXELS", 100)
    for source in (PIXELS, PIL.Image.fromarray(PIXELS), encoded(PIL.Image.fromarray(PIXELS))):
        with pytest.raises(ImageError, match="more than 100"):
            Image.open(source)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("hello")
    for source, message in (
        (tmp_path / "none.png", "no such file"), (tmp_path, "is a folder"),
        (tmp_path / "empty.png", "empty.png is empty"),
        (tmp_path / "text.png", "text.png is not an image"), (b"", "bytes is empty"),
        (3, "cannot read an image from int"),
        (None, "from NoneType"), ("a\x00b", "no path of a file"), ("x" * 5000, "cannot read"),
    ):  # fmt: skip
        with pytest.raises(ImageError, match=message):
            Image.open(source)


def test_addresses_are_refused_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(encoded(PIL.Image.fromarray(PIXELS)))

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    with pytest.raises(ImageError, match="is a URL: download it first, or allow URLs"):
        Image.open("https://example.org/p.png")
    for scheme in ("file:///etc/passwd", "ftp://example.org/p.png"):
        with pytest.raises(ImageError, match="only http and https"):
            Image.open(scheme, allow_url=True)
    assert not asked
    assert (Image.open("https://example.org/p.png", allow_url=True).pixels == PIXELS).all()


# -- crops ---------------------------------------------------------------------------------------

edges = st.tuples(st.integers(0, 59), st.integers(0, 39), st.integers(1, 60), st.integers(1, 40))


@given(st.lists(edges, min_size=1, max_size=5), st.tuples(*[st.floats(0, 1)] * 4))
def test_places_in_a_crop_are_places_in_the_root_at_any_depth(
    cuts: list[tuple[int, ...]], share: tuple[float, ...]
) -> None:
    root = Image.open(np.arange(60 * 40 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8))
    image = root
    for left, top, width, height in cuts:
        box = Box(left, top, left + width, top + height)
        if box.intersection(image.box) is None:
            with pytest.raises(ImageError, match="lies outside the image"):
                image.crop(box)
            continue
        image = image.crop(box)
    assert image.root is root and image.box.clip(root.box) == image.box
    rows = slice(int(image.box.top), int(image.box.bottom))
    columns = slice(int(image.box.left), int(image.box.right))
    assert (image.pixels == root.pixels[rows, columns]).all()
    x, y, w, h = share
    local = Box(x * image.width, y * image.height, x * image.width + w, y * image.height + h)
    there = image.to_root(local)
    back = image.to_local(there)
    assert (back.left, back.top, back.right, back.bottom) == pytest.approx(
        (local.left, local.top, local.right, local.bottom)
    )
    assert there.left == pytest.approx(local.left + image.origin.x)


def test_crops_grow_to_whole_pixels_and_are_cut_to_the_image() -> None:
    image = Image.open(PIXELS, name="p.png")
    part = image.crop(Box(2.6, 3.2, 7.1, 9))
    assert part.box == Box(2, 3, 8, 9) and part.name == "p.png"
    assert image.crop(Box(-50, -50, 5, 5)).box == Box(0, 0, 5, 5)
    inner = part.crop(Box(0, 0, 100, 100))
    assert inner.box == part.box and inner.origin == Point(2, 3)
    with pytest.raises(ImageError, match="outside"):
        part.crop(Box(20, 10, 25, 15))


def test_crops_share_the_pixels() -> None:
    image = Image.open(PIXELS)
    assert np.shares_memory(image.crop(Box(0, 5, 30, 15)).pixels, image.pixels)


def test_saving(tmp_path: Path) -> None:
    image = Image.open(np.dstack([PIXELS, PIXELS[:, :, 0]]))
    image.save(tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").digest == image.digest
    image.save(tmp_path / "p.jpg")
    assert Image.open(tmp_path / "p.jpg").size == image.size
    for name in ("p.xyz", "p", "none/p.png"):
        with pytest.raises(ImageError, match="cannot write"):
            image.save(tmp_path / name)
    assert image._repr_png_().startswith(b"\x89PNG")


# -- masks ---------------------------------------------------------------------------------------


def test_masks() -> None:
    pixels = np.zeros((10, 12), bool)
    pixels[2:5, 3:9] = True
    mask = Mask.tight(pixels, 100, 50)
    assert mask.box == Box(103, 52, 109, 55) and mask.area == 18
    assert (mask.within(Box(100, 50, 112, 60)) == pixels).all()
    assert mask.within(Box(0, 0, 5, 5)).sum() == 0
    assert mask.within(Box(105, 53, 107, 60)).sum() == 4
    assert Mask.tight(np.zeros((4, 4), bool)).area == 0
    with pytest.raises(ValueError, match="does not fill"):
        Mask(pixels, Box(0, 0, 5, 5))
    with pytest.raises(ValueError, match="read-only"):
        mask.pixels[0, 0] = False
