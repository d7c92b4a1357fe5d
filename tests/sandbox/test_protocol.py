"""Frames and values: what goes in comes out; what is malformed is refused and nothing else."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visprog.sandbox import Limits
from visprog.sandbox.execution import HostCodec
from visprog.sandbox.library import load
from visprog.sandbox.protocol import HEADER, Codec, ProtocolError, TooLarge, pack, unpack
from visprog.sandbox.worker import GuestCodec

from .conftest import Image

LIMITS = Limits()
SHAPES = load("shapes:LIBRARY")
TYPES = [(Image, ("width", "height", "root"))]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=()), max_size=8)
)
hashable = st.recursive(
    scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.sets(hashable, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.dictionaries(st.sampled_from(["$h", "$v", "a", "$"]), inner)
    ),
    max_leaves=20,
)
wires = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["$t", "$s", "$f", "$d", "$v", "$h", "$x", "k", "a"]), inner, max_size=3
        )
    ),
    max_leaves=20,
)


@given(values)
@settings(max_examples=200, deadline=None)
def test_values_survive(value: Any) -> None:
    codec = Codec(SHAPES, LIMITS)
    frame = pack({"v": codec.encode(value)}, LIMITS.message)
    assert HEADER.unpack(frame[:4])[0] == len(frame) - 4
    assert codec.decode(unpack(frame[4:])["v"]) == value


def test_not_a_number_survives() -> None:
    codec = Codec(SHAPES, LIMITS)
    assert math.isnan(codec.decode(unpack(pack({"v": codec.encode(math.nan)}, 99)[4:])["v"]))


@given(wires)
@settings(max_examples=400, deadline=None)
def test_any_json_is_a_value_or_refused(wire: Any) -> None:
    codec = HostCodec(SHAPES, LIMITS, TYPES)
    codec.encode(Image(1, 2))
    with contextlib.suppress(ProtocolError):
        codec.decode(unpack(json.dumps({"v": wire}).encode())["v"])


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_message_or_refused(body: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert type(unpack(body)) is dict


@given(st.binary(max_size=6), st.integers(0, 200))
@settings(max_examples=200, deadline=None)
def test_damaged_frames(noise: bytes, place: int) -> None:
    body = json.dumps({"op": "CALL", "i": 1, "f": "echo", "a": [{"$t": [1, {"$h": 0}]}], "k": {}}).encode()
    place %= len(body)
    with contextlib.suppress(ProtocolError):
        message = unpack(body[:place] + noise + body[place + len(noise) :])
        HostCodec(SHAPES, LIMITS, TYPES).decode(message.get("a"))


def test_handles_between_the_two_sides() -> None:
    host = HostCodec(SHAPES, LIMITS, TYPES)
    guest = GuestCodec(SHAPES, LIMITS, [("Image", ["width", "height", "root"], {})], tool=lambda name: len)
    image = Image(3, 4)
    handle, again = guest.decode(host.encode([image, (image, 1)]))
    assert handle.width == 3 and handle.root is handle and again == (handle, 1)
    assert guest.encode(handle) == {"$h": 0}
    assert host.decode(guest.encode({"a": [handle]})) == {"a": [image]}
    assert host.encode(image) == {"$h": 0}
    with pytest.raises(ProtocolError):
        host.decode({"$h": 1})


def test_library_values_between_the_two_sides() -> None:
    from shapes import Box, Region

    host = HostCodec(SHAPES, LIMITS, TYPES)
    guest = GuestCodec(SHAPES, LIMITS, [("Image", [], {})], tool=lambda name: len)
    region = Region(Box(0, 1, 2.5, 3), "cat", None)
    assert host.decode(guest.encode(region)) == region
    with pytest.raises(ProtocolError, match="Box refuses its fields"):
        host.decode({"$v": [0, [3, 0, 1, 1]]})


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        ("x" * 300_000, "text"),
        ([0] * 30_000, "nodes"),
        (1 << 5000, "integer"),
        ([[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]], "depth"),
    ],
)
def test_sizes(value: Any, limit: str) -> None:
    with pytest.raises(TooLarge) as caught:
        Codec(SHAPES, LIMITS).encode(value)
    assert caught.value.limit == limit


def test_shared_structure_is_counted() -> None:
    value: Any = 1
    for _ in range(15):
        value = [value, value]
    with pytest.raises(TooLarge):
        Codec(SHAPES, LIMITS).encode(value)
