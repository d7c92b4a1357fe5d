"""Damage to bytes: what the fuzzers of files and requests do to well-formed ones."""

from __future__ import annotations

import random
from collections.abc import Sequence

ODD_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF)


def chance_of(seed: int, number: int) -> random.Random:
    """The source of chance of one case, so that it can be repeated."""
    return random.Random(f"{seed}/{number}")


def damaged(chance: random.Random, data: bytes, others: Sequence[bytes] = (), most: int = 4) -> bytes:
    """Bytes with up to `most` changes.

    Args:
        chance: Source of chance.
        data: Well-formed bytes.
        others: Further ones, from which parts may be taken.
        most: Maximum number of changes.
    """
    for _ in range(chance.randint(1, most)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((1, 2, 4, 16, 200)))
        match chance.randrange(7):
            case 0:  # bits
                data = data[:at] + bytes(b ^ 1 << chance.randrange(8) for b in data[at:end]) + data[end:]
            case 1:  # cut
                data = data[:at]
            case 2:  # left out
                data = data[:at] + data[end:]
            case 3:  # twice
                data = data[:end] + data[at:end] * chance.choice((1, 3, 50)) + data[end:]
            case 4:  # a number, in either order of bytes
                width = chance.choice((1, 2, 4))
                value = chance.choice(ODD_NUMBERS) & (1 << 8 * width) - 1
                data = (
                    data[:at] + value.to_bytes(width, chance.choice(("big", "little"))) + data[at + width :]
                )
            case 5:  # noise
                data = data[:at] + chance.randbytes(end - at) + data[end:]
            case 6 if others:  # a part of another
                other = chance.choice(others)
                begin = chance.randrange(len(other) + 1)
                data = data[:at] + other[begin : begin + chance.choice((4, 50, 5000))] + data[end:]
    return data
