"""Our steps of PP-OCR beside RapidOCR itself: equal texts, confidences, places and words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

from visprog.tools.backends import ocr_engine
from visprog.tools.backends.ocr_engine import OcrEngine, WholeRapidOcr, networks
from visprog.values.image import Image

ROOT = Path(__file__).resolve().parents[2]
FOLDER = networks()
pytestmark = pytest.mark.skipif(FOLDER is None, reason="this release of RapidOCR has other networks")


@pytest.fixture(scope="module")
def engines() -> tuple[OcrEngine, WholeRapidOcr]:
    assert FOLDER is not None
    return OcrEngine(FOLDER), WholeRapidOcr()


def drawn(turn: float, *texts: str, size: tuple[int, int] = (480, 260)) -> np.ndarray:
    """Texts under each other, turned by some degrees, as OpenCV has pixels."""
    page = PIL.Image.new("RGB", size, "white")
    draw = PIL.ImageDraw.Draw(page)
    for row, text in enumerate(texts):
        font = PIL.ImageFont.load_default(22 + 9 * row)
        draw.text((30, 20 + 62 * row), text, fill=(20, 30 * row, 90), font=font)
    turned = page.rotate(turn, expand=True, fillcolor="white")
    return np.ascontiguousarray(np.asarray(turned)[..., ::-1])


def same(engines: tuple[OcrEngine, WholeRapidOcr], pixels: np.ndarray) -> list[str]:
    """The texts, which both read alike."""
    ours, theirs = engines
    quads = ours.detect(pixels)
    assert np.array_equal(quads, theirs.detect(pixels))
    read = [line for line in ours.read(pixels, quads) if line.score >= 0.5]
    expected = theirs.read(pixels, quads)
    assert [line.text for line in read] == [line.text for line in expected]
    for one, other in zip(read, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=2e-4)
        assert np.array_equal(one.quad, other.quad)
        if other.words:
            assert [word for word, _ in one.words] == [word for word, _ in other.words]
            for (_, corners), (_, wanted) in zip(one.words, other.words, strict=True):
                for side in (np.min, np.max):
                    assert np.abs(side(corners, 0) - side(wanted, 0)).max() <= 1
    return [line.text for line in read]


@pytest.mark.parametrize("turn", [0, 4, -15, 90, 180, 270])
def test_texts_are_those_of_rapidocr(engines: tuple[OcrEngine, WholeRapidOcr], turn: float) -> None:
    texts = same(engines, drawn(turn, "Open 9-17", "STOP here", "100% milk, 3.50"))
    assert turn not in (0, 4) or texts == ["Open 9-17", "STOP here", "100% milk, 3.50"]


def test_photographs_and_signs_are_read_alike(
    engines: tuple[OcrEngine, WholeRapidOcr], photo: Callable[[str], Image]
) -> None:
    for image in (Image.open(ROOT / "examples/signs.png"), photo("street1"), photo("groceries")):
        same(engines, np.ascontiguousarray(image.pixels[..., ::-1]))


@pytest.mark.parametrize("size", [(1, 1), (33, 31), (90, 160)])
def test_images_without_text_need_the_detector_alone(size: tuple[int, int]) -> None:
    assert FOLDER is not None
    engine = OcrEngine(FOLDER)
    pixels = np.full((*size, 3), 200, np.uint8)
    assert engine.read(pixels, engine.detect(pixels)) == []
    assert "_recognizer" not in vars(engine) and "_classifier" not in vars(engine)


def test_reading_imports_nothing_of_rapidocr() -> None:
    code = (
        "import sys; from visprog import Image; from visprog.tools.backends.rapidocr import read_lines;"
        f"print(*(l.text for l in read_lines(Image.open({str(ROOT / 'examples/signs.png')!r}))));"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    texts, modules = done.stdout.splitlines()
    assert "STOP" in texts and not {"rapidocr.main", "omegaconf", "requests", "shapely"} & {*modules.split()}


def test_another_release_is_read_by_rapidocr_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from visprog.tools.backends import rapidocr

    monkeypatch.setattr(ocr_engine, "NETWORKS", ("another.onnx",))
    rapidocr._engine.cache_clear()
    try:
        engine: Any = rapidocr._engine()
        assert isinstance(engine, WholeRapidOcr)
        lines = rapidocr.read_lines(Image.open(ROOT / "examples/signs.png"))
        assert {"STOP", "ONE WAY", "SLOW"} == {line.text for line in lines}
    finally:
        rapidocr._engine.cache_clear()
