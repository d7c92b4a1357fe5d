"""QR codes in every encoding, and beside one that cannot be read."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import pytest

from visprog.tools.imaging import qr_codes
from visprog.tools.text import find_qr_codes
from visprog.values.image import Image

CODES = {
    "点茗": "Af03+CYg3Sl264u3S12CIg/1X8AQAF0YkMtS8/uIhNfE7CIAqH/yFOC1n3W5W6BVXXaWCCdfyqQ=",
    "Ωmega": "AfyH+C2g3V126wu3W12C8g/1X8AOAE/L71AnU1TUwmCbWHcA90f1XmCjvXQRa6Q8XVhuCVt/zZU=",
    "ab\0cd": "Af1X+Cag3Rl266u3RV2CEg/1X8AKAF3YnkvVj+uPdy8S4yUA71/yReC3wXWtO6FVXXxmCdRfxbM=",
    "Grüße": "Af3X+CYg3Ql260u3QF2COg/1X8AQAF2IlB/Um1+Nsnao/usA9TfwxeCgyXXR+6JzXXlmCGBfzLM=",
    "こんにちは": "AfzX+CKg3VF26Qu3Xl2Cqg/1X8ASAJVrRReaScuHFs2yf8cA3j/x22CJq3U9q6aD3RoCCsWfwcU=",
}
"""Codes of 21 x 21 modules, row by row: Kanji mode; ISO 8859-7 by its number; a NUL; Latin-1; Shift JIS as bytes."""

HALVES = (
    "AfxH+CKg3Sl26+u3Ul2CKg/1X8AUAY5xhhHqm01ZJJsJ1RMA3H/3mCChF3R2i6LWXR5uC5N/2cA=",
    "Af1X+Ceg3TF26Wu3S12CKg/1X8AgAbT0H4dqz3K8llAbffsAsufxUKCZn3UYW6/fXQ6uCgKf0VY=",
)


def drawn(modules: str, side: int = 8) -> np.ndarray:
    bits = np.unpackbits(np.frombuffer(base64.b64decode(modules), np.uint8))[-21 * 21 :].reshape(21, 21)
    pixels = (255 - 255 * bits).repeat(side, 0).repeat(side, 1)
    return np.pad(pixels, 4 * side, constant_values=255)


def labels(*codes: np.ndarray) -> list[str]:
    return sorted(region.label for region in find_qr_codes(Image.open(np.hstack(codes))))


@pytest.mark.parametrize("content", CODES)
def test_codes_of_every_encoding_are_read(content: str) -> None:
    assert labels(drawn(CODES[content])) == [content]


def test_codes_beside_one_another_keep_their_encodings() -> None:
    assert labels(*(drawn(CODES[c]) for c in ("点茗", "Grüße", "ab\0cd"))) == sorted(
        ["点茗", "Grüße", "ab\0cd"]
    )


def test_a_code_that_cannot_be_read_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visprog.tools.imaging.qr_codes.ENCODINGS", {9: "ascii"})
    assert labels(drawn(CODES["Ωmega"])) == []
    assert labels(drawn(CODES["Ωmega"]), drawn(CODES["Grüße"])) == ["Grüße"]


def test_a_message_in_several_codes_is_joined() -> None:
    halves = [drawn(modules) for modules in HALVES]
    assert labels(*halves) == ["one long message in two codes"]
    assert labels(halves[1], halves[0], drawn(CODES["Grüße"])) == ["Grüße", "one long message in two codes"]


def test_a_long_image_is_searched_in_parts_that_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The finders enlarge the shorter side: unbounded, 30,000 x 21 pixels become 148 megapixels."""
    searched: list[tuple[int, int]] = []

    def read_codes(pixels: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        searched.append(pixels.shape)
        return iter(())

    monkeypatch.setattr(qr_codes, "read_codes", read_codes)
    for shape in ((21, 30_000), (30_000, 21)):
        searched.clear()
        assert find_qr_codes(Image(np.zeros((*shape, 3), np.uint8))) == []
        enlarged = [512 * 512 * max(s) / min(s) for s in searched]
        assert max(enlarged) < 3e6
        assert sum(enlarged) < 3e8


def test_codes_anywhere_in_a_long_image_are_read() -> None:
    strip = np.full((232, 6_000), 255, np.uint8)
    places = (0, 1_500, 1_700, 3_333, 5_768)
    for place, content in zip(places, CODES, strict=True):
        strip[:, place : place + 232] = drawn(CODES[content])
    for pixels in (strip, strip.T):
        found = find_qr_codes(Image.open(np.ascontiguousarray(pixels)))
        assert sorted(region.label for region in found) == sorted(CODES)
    across = {region.label: region.left for region in find_qr_codes(Image.open(strip))}
    assert all(place <= across[content] <= place + 40 for place, content in zip(places, CODES, strict=True))
