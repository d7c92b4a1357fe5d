"""A short, seeded run of the fuzzer of frames; longer ones: ``python -m tests.sandbox.fuzz_frames``."""

from __future__ import annotations

import pytest

from visprog.sandbox.protocol import ProtocolError

from . import fuzz_frames


def test_the_parent_stands_what_a_worker_sends() -> None:
    found = fuzz_frames.fuzz(seed=1, cases=800)
    assert found.cases == 800 and not found.failures


def test_cases_depend_on_seed_and_number_alone() -> None:
    def bodies(seed: int) -> list[bytes]:
        return [fuzz_frames.body(fuzz_frames.chance_of(seed, number)) for number in range(20)]

    assert bodies(3) == bodies(3) != bodies(4)


def test_failures_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def leak(body: bytes) -> None:
        raise KeyError("what a decoder must not raise")

    monkeypatch.setattr(fuzz_frames, "unpack", leak)
    monkeypatch.setattr(fuzz_frames, "EXECUTION_EVERY", 1000)
    found = fuzz_frames.fuzz(seed=1, cases=5)
    assert len(found.failures) == 4 and "--seed 1 --case 1: KeyError" in found.failures[0]


def test_lawful_messages_reach_their_ends() -> None:
    """The grammar is no noise: a good part of what it makes is taken."""

    def is_taken(number: int) -> bool:
        try:
            fuzz_frames.unpack(fuzz_frames.body(fuzz_frames.chance_of(5, number)))
        except ProtocolError:
            return False
        return True

    assert 60 < sum(map(is_taken, range(200))) < 200
