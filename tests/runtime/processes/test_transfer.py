"""Values between processes: as they are, images once, and nothing that is wrong is taken from the other side."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.small_tools import picture
from visprog.errors import MissingExtra
from visprog.runtime.processes import transfer
from visprog.runtime.processes.channel import HEADER, Channel, Closed
from visprog.runtime.processes.memory import CAN_SHARE, descriptor_of, mapped, sealed
from visprog.runtime.processes.transfer import Transfer, packed_error, unpacked_error
from visprog.values import Box, Circle, Image, Mask, Point, Region
from visprog.values.codec import fingerprint

RANDOM = np.random.default_rng(0)
SMALL = picture()
LARGE = Image.open(RANDOM.integers(0, 255, (120, 160, 3), np.uint8), name="large.png")
CLEAR = Image.open(RANDOM.integers(0, 255, (60, 60, 4), np.uint8))


class Pair:
    """Both sides of a channel."""

    def __init__(self) -> None:
        self.ends = socket.socketpair()
        self.host, self.tools = (
            Transfer(Channel(end), host) for end, host in zip(self.ends, (True, False), strict=True)
        )

    def across(self, value: Any, back: bool = False) -> Any:
        """A value as the other side gets it."""
        here, there = (self.tools, self.host) if back else (self.host, self.tools)
        form, body = here.pack(value)
        here.send({"op": "value", "value": form}, body)
        while True:
            message = there.channel.receive(5)
            assert message is not None
            if not there.take(message):
                return there.unpack(message.head["value"], message.body)

    def close(self) -> None:
        for end in self.ends:
            end.close()


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr(transfer, "MIN_SHARED", 1 << 12)  # one thread has both ends: messages must be small
    made = Pair()
    yield made
    made.close()


VALUES: list[Any] = [
    None,
    True,
    -3,
    2.5,
    float("inf"),
    "words, \x00 and \ud800",
    [1, [2, "three"]],
    {"a": [1.5, None]},
    (1, 2),
    Box(1, 2, 3.5, 4),
    Point(1, 2),
    Circle(Point(5, 5), 3.0, "red", image=LARGE),
    Region(Box(1, 2, 30, 40), "dog", 0.25, LARGE),
    Region(
        Box(1, 2, 3, 4), "dog", 0.25, LARGE, Mask(np.array([[True, False], [True, True]]), Box(1, 2, 3, 4))
    ),
    Mask(np.random.default_rng(0).random((41, 43)) > 0.5, Box(0, 0, 43, 41)),
    Mask(np.zeros((0, 0), bool), Box(3, 3, 3, 3)),
    SMALL,
    LARGE,
    LARGE.crop(Box(20, 30, 100, 110)),
    LARGE.crop(Box(20, 30, 100, 110)).crop(Box(50, 50, 90, 90)),
    CLEAR,
    CLEAR.crop(Box(2, 2, 9, 9)),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("share", [True, False])
def test_values_cross_as_they_are(
    value: Any, share: bool, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "CAN_SHARE", CAN_SHARE and share)
    for _ in range(2):
        there = pair.across(value)
        assert fingerprint(there) == fingerprint(value) and type(there) is type(value)
        here = pair.across(there, back=True)
        assert fingerprint(here) == fingerprint(value)
        assert here is value if isinstance(value, Image) else True


def test_what_the_tools_make_crosses_too(pair: Pair) -> None:
    made = Image.open(RANDOM.integers(0, 255, (90, 90, 3), np.uint8))
    found = pair.across([made, made.crop(Box(5, 5, 50, 50))], back=True)
    assert [one.digest for one in found] == [made.digest, made.crop(Box(5, 5, 50, 50)).digest]
    assert found[1].root is found[0] and pair.across(found[0]) is made


def test_an_image_crosses_once(pair: Pair) -> None:
    first = pair.across([LARGE, LARGE.crop(Box(1, 1, 9, 9)), Region(Box(0, 0, 1, 1), image=LARGE)])
    assert first[1].root is first[0] and first[2].image is first[0] and pair.across(LARGE) is first[0]


@pytest.mark.skipif(not CAN_SHARE, reason="no sealed memory here")
def test_an_image_that_was_shared_is_shared_again_without_a_copy(pair: Pair) -> None:
    other = Pair()
    there = pair.across(LARGE)
    assert descriptor_of(there.pixels) is not None
    again = other.across(there)
    assert np.shares_memory(there.pixels, again.pixels) or descriptor_of(again.pixels) is not None
    other.close()


def test_images_are_forgotten_on_both_sides(pair: Pair) -> None:
    pair.host.max_held = 200_000
    crop = LARGE.crop(Box(10, 10, 20, 20))
    for number in range(20):
        pair.host.forget_oldest()
        pair.across([Image.open(np.full((120, 160, 3), number, np.uint8)), crop])
    assert len(pair.host._known) == len(pair.tools._known) <= 6
    assert pair.across(crop).root is pair.across(LARGE)  # it was used all the time


@pytest.mark.parametrize(
    ("form", "body"),
    [
        ({"type": "Image", "n": 99}, b""),
        ({"type": "Image"}, b""),
        ({"type": "Box"}, b""),
        ({"type": "nothing"}, b""),
        ({"type": "Mask", "box": [0, 0, 4, 4], "area": 1, "png": "bits 0 4 4"}, b"x"),
        ({"type": "Mask", "box": [0, 0, 4, 4], "area": 1, "png": "bits -9 4 4"}, b"xx"),
        ({"type": "Mask", "box": [0, 0, 9e9, 9e9], "area": 1, "png": ""}, b""),
        ({"type": "float", "text": "many"}, b""),
        ({"type": "set", "items": [[1]]}, b""),
    ],
)
def test_forms_that_are_wrong_end_the_process(form: Any, body: bytes, pair: Pair) -> None:
    with pytest.raises(Closed):
        pair.host.unpack(form, bytearray(body))


HEAD = {"op": "image", "n": 1, "name": "x", "size": [100, 100], "alpha": False}


@pytest.mark.parametrize(
    "head",
    [
        {**HEAD, "n": None},
        {**HEAD, "size": [100, -1]},
        {**HEAD, "size": [1 << 40, 1 << 40]},
        {**HEAD, "size": 3},
        {**HEAD, "name": 3},
        {**HEAD, "alpha": True},
        {"op": "image"},
    ],
)
def test_images_that_are_wrong_end_the_process(head: dict[str, Any], pair: Pair) -> None:
    pair.tools.channel.send(head, bytes(30_000))
    message = pair.host.channel.receive(5)
    assert message is not None
    with pytest.raises(Closed):
        pair.host.take(message)


def test_a_crop_outside_of_its_image_is_wrong(pair: Pair) -> None:
    pair.across(SMALL)
    for origin in ([-1, 0], [0, 1e9], [float("inf"), 0], [float("nan"), 0], ["a", 0], [0]):
        crop = {"n": 1, "name": "x", "size": [2, 2], "parent": 0, "origin": origin}
        pair.tools.channel.send({"op": "results", "crops": [crop]})
        message = pair.host.channel.receive(5)
        assert message is not None
        with pytest.raises(Closed):
            pair.host.take(message)


def test_a_process_cannot_send_images_without_end(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MAX_RECEIVED", 100_000)
    for _ in range(2):
        pair.host.forget_oldest()  # a new batch
        for _ in range(3):
            pair.across(Image.open(np.zeros((100, 100, 3), np.uint8)), back=True)
    with pytest.raises(Closed, match="more images than one batch may give"):
        pair.across(Image.open(np.zeros((100, 100, 3), np.uint8)), back=True)


@pytest.mark.skipif(not CAN_SHARE, reason="no sealed memory here")
def test_memory_that_could_change_or_go_away_is_not_mapped(pair: Pair) -> None:
    for size, is_sealed in ((30_000, False), (29_999, True)):
        descriptor = sealed(np.zeros(size, np.uint8)) if is_sealed else os.memfd_create("x")
        os.truncate(descriptor, size) if not is_sealed else None
        pair.tools.channel.send(HEAD, b"", descriptor)
        os.close(descriptor)
        message = pair.host.channel.receive(5)
        assert message is not None
        with pytest.raises(Closed, match="shared memory"):
            pair.host.take(message)


@pytest.mark.skipif(not CAN_SHARE, reason="no sealed memory here")
def test_descriptors_close_with_the_array() -> None:
    before = len(os.listdir("/proc/self/fd"))
    arrays = [mapped(sealed(np.full(1 << 16, i, np.uint8)), 1 << 16) for i in range(5)]
    assert [int(array[7]) for array in arrays] == [0, 1, 2, 3, 4]
    assert len(os.listdir("/proc/self/fd")) >= before + 5
    del arrays
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        HEADER.pack(1 << 31, 0, False),
        HEADER.pack(0, (1 << 31) + 1, False),
        HEADER.pack(3, 0, False) + b"{}}",
        HEADER.pack(2, 0, False) + b"[]",
        HEADER.pack(2, 0, True) + b"{}",
        HEADER.pack(100_000, 0, False) + b"[" * 100_000,
        HEADER.pack(9, 9, False) + json.dumps({"op": 1}).encode(),
    ],
)
def test_bytes_that_are_no_message_end_the_process(data: bytes, pair: Pair) -> None:
    pair.ends[1].sendall(data)
    pair.ends[1].shutdown(socket.SHUT_WR)
    with pytest.raises(Closed):
        pair.host.channel.receive(5)


def test_what_is_no_value_cannot_cross(pair: Pair) -> None:
    with pytest.raises(TypeError, match="a value of type object cannot be handed to another process"):
        pair.host.pack([object()])


def test_errors_keep_their_class_and_text() -> None:
    error = unpacked_error(packed_error(MissingExtra("this backend", "hf")))
    assert isinstance(error, MissingExtra) and "pip install 'visprog[hf]'" in str(error)
    assert type(unpacked_error(packed_error(KeyError("x")))).__name__ == "KeyError"
    assert type(unpacked_error(["no name", "x"])).__name__ == "Error"
    assert type(unpacked_error(["Any", "x"])).__name__ == "Any"
    with pytest.raises(Closed):
        unpacked_error("x")
