"""A fuzzer of what a worker may send: the decoder of frames, and the parent's execution at real pipes.

    python -m tests.sandbox.fuzz_frames [--seconds 60] [--seed 0] [--case N]

Messages are made by a grammar of the protocol, then damaged: as trees, as text, as bytes, as frames. Whatever
comes, the decoder gives a value within its limits or a ``ProtocolError``, and an execution gives an ``Outcome``
within its deadlines: never another exception, never more descriptors, threads or memory. A case depends on
nothing but the seed and its number, so ``--case`` repeats it. Exit code 1: some case failed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visprog.sandbox import Limits, Outcome
from visprog.sandbox.execution import MAX_TEXT, HostCodec
from visprog.sandbox.protocol import ProtocolError, unpack

from .fake_worker import Script, play
from .frame_grammar import LONGEST, body, frames

sys.path.append(str(Path(__file__).parent / "library"))
from shapes import LIBRARY, Box, Region

LIMITS = Limits(
    cpu=0.03, grace=0.03, time=0.5, startup=5, calls=9, handles=6, output=99, message=LONGEST, reply=1 << 14,
    text=500, nodes=300, depth=6,
)  # fmt: skip
"""Small, so that most cases come near to one."""
PATIENCE = 10.0
"""Seconds that an execution may take: far beyond its deadlines, for a busy machine, and far from for ever."""
GROWTH_MIB = 32
EXECUTION_EVERY = 8
"""One case of so many is a whole execution, the others go to the decoder alone."""
CODES = [0, 1, 3, 120, -6, -9, -11, -24, -31, -40, -64]
"""How a process may end, real-time signals included."""


class Image:
    """An object that crosses as a handle."""

    def __init__(self) -> None:
        self.width, self.height = 4, 3


IMAGE = Image()
TYPES = [(Image, ("width", "height"))]


def fail(*args: Any, **kwargs: Any) -> None:
    raise LookupError("x" * 2 * MAX_TEXT)


TOOLS: dict[str, Callable[..., Any]] = {
    "echo": lambda *args, **kwargs: [*args, kwargs],
    "many": lambda *args, **kwargs: [Image(), "x" * 400, IMAGE],
    "fail": fail,
}


# --- the properties
# --------------------------------------------------------------------------------------------------


def judge_value(value: Any, depth: int = LIMITS.depth + 1) -> int:
    """How many parts a decoded value has; everything in it is what may come out, and within its limits."""
    if depth < 0:
        raise AssertionError("a value is too deep")
    match value:
        case None | bool() | float() | Image():
            return 1
        case int() if value.bit_length() <= 4400:
            return 1
        case str() if len(value) <= LIMITS.text:
            return 1
        case list() | tuple() | set() | frozenset():
            return 1 + sum(judge_value(item, depth - 1) for item in value)
        case dict():
            return 1 + sum(judge_value(v, depth - 1) + (type(k) is not str and judge_value(k, depth - 1))
                           for k, v in value.items())  # fmt: skip
        case Box():
            return 1
        case Region():
            return 1 + judge_value(value.image, depth - 1)
    raise AssertionError(f"{type(value).__name__} came out of the decoder")


def decode(chance: random.Random) -> None:
    """One message into the decoder."""
    codec = HostCodec(LIBRARY, LIMITS, TYPES)
    codec.encode(IMAGE)
    try:
        said = unpack(body(chance))
        values = [codec.decode(part) for part in said.values()]
    except ProtocolError:
        return
    if any(judge_value(value) > LIMITS.nodes for value in values):
        raise AssertionError("a value has too many parts")


def execution(chance: random.Random) -> None:
    """One run with a worker that sends what it likes."""
    script = Script(
        frames(chance),
        then=chance.choice(["end", "end", "read", "wait"]),
        pause=chance.choice([0.0, 0.0, 0.02]),
        code=chance.choice(CODES),
    )
    inputs = {"image": IMAGE}
    judge_outcome(play(script, LIMITS, tools=TOOLS, inputs=inputs, types=TYPES, library=LIBRARY))


def judge_outcome(outcome: Outcome) -> None:
    shown = [outcome.error, outcome.error_type, outcome.limit, *(str(d) for d in outcome.diagnostics)]
    right = {
        "status": outcome.status in ("ok", "rejected", "error", "killed"),
        "time": outcome.seconds < PATIENCE,
        "output": len(outcome.stdout) <= LIMITS.output,
        "calls": outcome.calls <= LIMITS.calls,
        "value": judge_value(outcome.value) <= LIMITS.nodes,
        "texts": all(len(text) <= 20 * MAX_TEXT for text in shown if text is not None),
        "reason": outcome.status != "killed" or bool(outcome.limit is not None and outcome.error is not None),
        "cause": outcome.cause is None or isinstance(outcome.cause, (LookupError, TypeError)),
    }
    wrong = [name for name, holds in right.items() if not holds]
    if wrong:
        raise AssertionError(f"{', '.join(wrong)} of {outcome}")


# --- running
# --------------------------------------------------------------------------------------------------


@dataclass
class Found:
    """What a fuzzing run came to."""

    cases: int
    failures: list[str]


def chance_of(seed: int, number: int) -> random.Random:
    return random.Random(f"{seed}/{number}")


def run_case(seed: int, number: int) -> None:
    """One case; it raises what went wrong."""
    (execution if number % EXECUTION_EVERY == 0 else decode)(chance_of(seed, number))


def held() -> tuple[int, int, int]:
    """Descriptors, threads and MiB of resident memory of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        len(os.listdir("/proc/self/fd")),
        threading.active_count(),
        pages * os.sysconf("SC_PAGE_SIZE") >> 20,
    )


def fuzz(
    seed: int,
    seconds: float = float("inf"),
    cases: int | None = None,
    warm_up: int = 200,
    run: Callable[[int, int], None] = run_case,
    slack: int = 0,
) -> Found:
    """Runs cases until the time is over or there are so many of them.

    `run` takes the seed and the number of a case; `slack` is the number of descriptors that come and go meanwhile.
    """
    found = Found(0, [])
    start = said = time.monotonic()
    before = held()
    while time.monotonic() - start < seconds and found.cases != cases:
        try:
            run(seed, found.cases)
        except Exception as error:
            found.failures.append(
                f"--seed {seed} --case {found.cases}: {type(error).__name__}: {str(error)[:300]}"
            )
        found.cases += 1
        if found.cases == warm_up:
            before = held()
        if time.monotonic() - said > 5:
            said = time.monotonic()
            print(f"{found.cases} cases, {len(found.failures)} failures", file=sys.stderr, flush=True)
    said = time.monotonic()
    while threading.active_count() > before[1] and time.monotonic() - said < 20:
        time.sleep(0.1)  # idle threads end after a while
    grown = [now - then for now, then in zip(held(), before, strict=True)]
    if grown[0] > slack or grown[1] > 0 or grown[2] > GROWTH_MIB:
        found.failures.append(f"grew by {grown[0]} descriptors, {grown[1]} threads, {grown[2]} MiB")
    return found


def main(
    description: str | None = __doc__, run: Callable[[int, int], None] = run_case, slack: int = 0
) -> int:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="repeat this case alone, with its traceback")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    arguments = parser.parse_args()
    if arguments.case is not None:
        run(arguments.seed, arguments.case)
        return 0
    found = fuzz(arguments.seed, arguments.seconds, run=run, slack=slack)
    if arguments.json:
        print(json.dumps({"seed": arguments.seed, "cases": found.cases, "failures": found.failures}))
    else:
        summary = f"seed {arguments.seed}: {found.cases} cases, {len(found.failures)} failures"
        print(summary, *found.failures, sep="\n")
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
