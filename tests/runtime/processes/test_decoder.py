"""Image files decoded in confined processes: the same images, the same errors, and no crash that reaches the host."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.runtime.processes import crashing_decoder
from tests.small_tools import REGISTRY, picture
from visprog import Agent
from visprog.errors import ImageError
from visprog.runtime.processes.decoder import DECODERS, DecoderProcesses
from visprog.runtime.processes.launch import Confinement
from visprog.runtime.processes.pool import InProcess
from visprog.runtime.processes.process import Work
from visprog.values import Image
from visprog.values.decode import FORMATS
from visprog.values.elsewhere import decode_with, decoded
from visprog.values.png import decode_pixels, to_png

pytestmark = pytest.mark.skipif(os.name != "posix", reason="decoder processes need Linux or macOS")


@pytest.fixture(scope="module")
def decoders() -> Iterator[DecoderProcesses]:
    made = DecoderProcesses()
    yield made
    made.pool.close()


@pytest.fixture(autouse=True)
def elsewhere(decoders: DecoderProcesses) -> Iterator[None]:
    decode_with(decoders)
    yield
    decode_with(None)


def encoded(image: PIL.Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "I;16", "CMYK"])
def test_all_formats_are_decoded_as_here(form: str, mode: str) -> None:
    levels = np.random.default_rng(0).integers(0, 255, (160, 200, 4), np.uint8)
    try:
        data = encoded(PIL.Image.fromarray(levels).convert(mode), form)
    except (OSError, ValueError, KeyError):
        pytest.skip(f"Pillow does not write {mode} as {form} here")
    there, here = Image.open(data, name="x"), Image.decode(data, "x", 10**6)
    assert there.digest == here.digest and (there.name, there.alpha is None) == ("x", here.alpha is None)


@pytest.mark.parametrize(
    ("data", "most"),
    [
        (b"nothing", None),
        (b"\x89PNG\r\n\x1a\n", None),
        (encoded(PIL.Image.new("RGB", (50, 50)), "JPEG")[:300], None),
        (encoded(PIL.Image.new("RGB", (50, 50)), "PNG"), 100),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", None),
    ],
)
def test_errors_are_those_of_here(data: bytes, most: int | None) -> None:
    with pytest.raises(ImageError) as there:
        Image.open(data, name="x", max_pixels=most)
    decode_with(None)
    with pytest.raises(ImageError) as here:
        Image.open(data, name="x", max_pixels=most)
    assert str(there.value) == str(here.value)


def test_the_limit_of_pillow_is_that_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="MAX_IMAGE_PIXELS"):
        Image.open(encoded(PIL.Image.new("RGB", (50, 50)), "PNG"))


def test_masks_are_decoded_there_too() -> None:
    bits = np.random.default_rng(0).random((20, 31)) > 0.5
    for pixels in (bits, (bits * 200).astype(np.uint8)):
        found = decode_pixels(base64.b64decode(to_png(pixels)))
        assert found.dtype == pixels.dtype and (found == pixels).all()


@pytest.fixture
def crashing() -> Iterator[DecoderProcesses]:
    """A decoder with a fault in it."""
    made = DecoderProcesses()
    module = crashing_decoder.__name__
    group = replace(made.group, confinement=Confinement(only=module))
    work = Work(1, f"{module}:CrashingDecoder", "", ())
    made._decoder = InProcess(made.pool, crashing_decoder.CrashingDecoder(), group, work)
    decode_with(made)
    yield made
    made.pool.close()


def test_a_file_that_crashes_the_decoder_is_an_error(crashing: DecoderProcesses) -> None:
    for _ in range(2):  # the second time it is not even tried
        with pytest.raises(ImageError, match=r"bad.png cannot be decoded: it crashed .* twice.*SIGABRT"):
            Image.open(b"crash", name="bad.png")
    assert crashing.pool.processes() == {}
    assert Image.open(encoded(PIL.Image.new("RGB", (50, 50)), "PNG")).size == (50, 50)


@pytest.mark.parametrize("order", [b"list", b"read"])
def test_a_decoder_can_read_no_files(order: bytes, crashing: DecoderProcesses) -> None:
    Image.open(encoded(PIL.Image.new("RGB", (50, 50)), "PNG"))
    (process,) = crashing.pool._idle["decoder"]
    if not process.how.get("landlock"):
        pytest.skip("this kernel has no Landlock")
    with pytest.raises(Exception, match="Permission denied"):
        Image.open(order)


def test_what_cannot_start_decodes_nothing_here(crashing: DecoderProcesses) -> None:
    crashing._decoder.work = Work(2, "no_such_module:Decoder", "", ())
    with pytest.raises(ImageError, match=r"x.png cannot be decoded: .*no_such_module"):
        Image.open(encoded(PIL.Image.new("RGB", (50, 50)), "PNG"), name="x.png")


def test_many_threads_decode_at_once() -> None:
    files = [encoded(PIL.Image.new("RGB", (60 + i, 50), (i, 0, 0)), "PNG") for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        sizes = [image.size for image in pool.map(Image.open, files)]
    assert sizes == [(60 + i, 50) for i in range(40)]


def test_agents_decode_there(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(encoded(PIL.Image.fromarray(picture().pixels), "PNG"))
    decode_with(None)
    with Agent(registry=REGISTRY) as agent:
        assert agent.run("return image.width", file).value == picture().width
        assert decoded("image", file.read_bytes(), "a.png", 10**6).digest == picture().digest
        assert DECODERS.pool.processes()["decoder"] >= 1
    decode_with(None)
    with Agent(registry=REGISTRY, in_process=True) as agent:
        assert agent.run("return image.width", file).value == picture().width
        assert decoded("image", file.read_bytes(), "a.png", 10**6) is None
