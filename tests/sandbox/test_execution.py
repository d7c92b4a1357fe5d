"""The parent's side alone: what an execution makes of a worker that keeps to a script, and its decoder of values."""

from __future__ import annotations

from typing import Any

import pytest

from visprog.sandbox import Limits, Outcome
from visprog.sandbox.execution import HostCodec
from visprog.sandbox.library import load
from visprog.sandbox.protocol import ProtocolError, TooLarge, unpack

from .conftest import Image
from .fake_worker import Script, frame, play

LIMITS = Limits(
    cpu=0.2, grace=0.2, time=1.5, calls=3, handles=4, output=50, message=2000, nodes=60, depth=4, text=300
)
TYPES = [(Image, ("width", "height"))]
SHAPES = load("shapes:LIBRARY")
DONE = {"op": "DONE", "v": 1}


def call(number: Any = 1, name: Any = "echo", args: Any = (), **kwargs: Any) -> dict[str, Any]:
    return {"op": "CALL", "i": number, "f": name, "a": list(args), "k": kwargs, "l": 1}


def hear(*messages: Any, limits: Limits = LIMITS, then: Any = "read", **how: Any) -> Outcome:
    tools = {"echo": lambda *args, **kwargs: list(args), "many": lambda: [Image(1, 1) for _ in range(3)],
             "big": lambda: "x" * 200_000}  # fmt: skip
    pieces = how.pop("pieces", None) or [b"".join(map(frame, messages))]
    script = Script(pieces, then=then, **how)
    return play(script, limits, tools=tools, inputs={"image": Image(1, 2)}, types=TYPES, library=SHAPES)


def end(outcome: Outcome) -> tuple[str, str | None]:
    return outcome.status, outcome.limit


# --- values ---


@pytest.mark.parametrize(
    "wire",
    [
        {"$h": 1},
        {"$h": -1},
        {"$h": True},
        {"$h": "0"},
        {"$h": 0, "k": 0, "a": [1, 2]},
        {"a": 1, "$h": 0},
        {"$x": 1},
        {"$t": [], "$s": []},
        {"$t": 5},
        {"$s": [[1]]},
        {"$d": [[1]]},
        {"$d": [[[1], 2]]},
        {"$v": [99, []]},
        {"$v": [-1, [1, None, None]]},
        {"$v": [True, [1, None, None]]},
        {"$v": [0, [1]]},
        {"$v": [0, [5, 0, 1, 1]]},
        [[[[[[1]]]]]],
        {"$t": [{"$t": [{"$t": [{"$t": [{"$t": [1]}]}]}]}]},
        [0] * 61,
        [[0] * 30, [0] * 30],
        "x" * 301,
        ["x" * 301],
        {"$f": ["x" * 301]},
    ],
    ids=lambda wire: str(wire)[:40],
)
def test_the_decoder_refuses(wire: Any) -> None:
    codec = HostCodec(SHAPES, LIMITS, TYPES)
    codec.encode(Image(1, 2))  # handle 0
    with pytest.raises(ProtocolError):
        codec.decode(wire)


@pytest.mark.parametrize("value", [[[[[[1]]]]], [0] * 61, "x" * 301, 1 << 5000, [[0] * 30, [0] * 30]])
def test_the_encoder_refuses(value: Any) -> None:
    with pytest.raises(TooLarge):
        HostCodec(SHAPES, LIMITS, TYPES).encode(value)


@pytest.mark.parametrize(
    "body", [b"[" * 500_000, b'{"a":' * 100_000, b'{"v":' + b"9" * 2000 + b"}", b'{"v": "\xff"}', b"[1]", b""]
)
def test_bodies_that_are_no_message(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack(body)


# --- calls ---


@pytest.mark.parametrize(
    "message",
    [
        call(0),
        call(2),
        call(True),
        call("1"),
        call(1, "open"),
        call(1, ["echo"]),
        call(1, "echo", **{"a b": 1}),
        call(1, "echo", **{"_x": 1}),
        call(1, "echo", **{f"k{i}": 1 for i in range(33)}),
        call() | {"a": {}},
        call() | {"k": []},
        call() | {"k": {"$t": ["x"]}},
        call() | {"k": {"$d": [[1, 2]]}},
        call() | {"k": {"$v": [0, [0, 0, 1, 1]]}},
        call() | {"l": "1"},
        call() | {"l": -1},
        call() | {"out": 1},
        {"op": "OPEN"},
        {"op": ["CALL"]},
        {"op": "LIMIT", "limit": 1, "message": "m"},
        {"op": "ERROR", "type": "X", "message": {}},
        {"op": "REJECTED", "diagnostics": []},
        {"op": "REJECTED", "diagnostics": [{"code": "c", "message": "m"}] * 21},
    ],
    ids=str,
)
def test_messages_that_end_the_run(message: Any) -> None:
    assert end(hear(message)) == ("killed", "protocol")


def test_calls_count_up() -> None:
    assert hear(call(1), call(2), DONE).calls == 2
    assert end(hear(call(1), call(1))) == ("killed", "protocol")


def test_calls_and_handles_are_bounded() -> None:
    outcome = hear(*[call(number) for number in range(1, 6)])
    assert (*end(outcome), outcome.calls) == ("killed", "calls", 3)
    assert end(hear(call(1, "many"), DONE)) == ("ok", None)  # one was the input
    assert end(hear(call(1, "many"), call(2, "many"))) == ("killed", "handles")


def test_output_is_bounded() -> None:
    outcome = hear(call(1) | {"out": "x" * 40}, DONE | {"out": "y" * 40})
    assert outcome.stdout == "x" * 40 + "y" * 10 and outcome.truncated


def test_texts_are_bounded() -> None:
    outcome = hear({"op": "ERROR", "type": "X" * 900, "message": "y" * 900})
    assert len(outcome.error or "") == len(outcome.error_type or "") == 500


def test_texts_steer_no_terminal() -> None:
    outcome = hear({"op": "ERROR", "type": "X\r", "message": "\x1b[2J"})
    assert (outcome.error_type, outcome.error) == ("X\\r", "\\x1b[2J")


def test_a_cause_cannot_be_named_that_is_none() -> None:
    outcome = hear(call(1), {"op": "ERROR", "type": "X", "message": "y", "i": 1})
    assert (outcome.error_type, outcome.cause) == ("X", None)


# --- sizes and deadlines ---


@pytest.mark.parametrize("size", [2001, 2**31, 2**32 - 1])
def test_long_messages_are_not_awaited(size: int) -> None:
    outcome = hear(pieces=[size.to_bytes(4, "big") + b"{}"])
    assert end(outcome) == ("killed", "protocol") and str(size) in (outcome.error or "")


def test_drops_are_silence() -> None:
    """A byte now and then does not put the deadline off."""
    whole = frame(DONE | {"out": "x" * 40})
    outcome = hear(pieces=[whole[i : i + 1] for i in range(len(whole))], pause=0.1)
    assert end(outcome) == ("killed", "silence")


def test_silence() -> None:
    assert end(hear(pieces=[b""])) == ("killed", "silence")


def test_the_whole_run_has_a_deadline() -> None:
    limits = Limits(cpu=0.2, grace=0.2, time=0.5, calls=10_000)
    pieces = [frame(call(number)) for number in range(1, 100)]
    assert end(hear(pieces=pieces, pause=0.05, limits=limits)) == ("killed", "time")


def test_replies_have_a_deadline() -> None:
    """A worker that calls and never reads fills the pipe."""
    limits = Limits(cpu=0.2, grace=0.2, time=20)
    assert end(hear(call(1, "big"), limits=limits, then="wait")) == ("killed", "silence")


@pytest.mark.parametrize(
    ("code", "limit", "words"),
    [
        (-31, "system call", "forbidden system call"),
        (-24, "cpu", "processor time"),
        (-11, "crash", "SIGSEGV"),
        (-40, "crash", "signal 40"),  # a real-time signal: it has no name
        (3, "crash", "exit code 3"),
    ],
)
def test_ends_of_the_process(code: int, limit: str, words: str) -> None:
    outcome = hear(pieces=[b""], then="end", code=code)
    assert end(outcome) == ("killed", limit) and words in (outcome.error or "")
