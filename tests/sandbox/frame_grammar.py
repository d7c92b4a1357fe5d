"""Messages from a worker, for fuzzing: made by a grammar of the protocol, then damaged."""

from __future__ import annotations

import json
import random
from typing import Any

from visprog.sandbox.protocol import HEADER

LONGEST = 1 << 16
"""Bytes of the longest body."""
NUMBERS = [
    0,
    1,
    2,
    -1,
    1.5,
    -0.0,
    10**30,
    2**31,
    2**63,
    -(2**64),
    10**1299,
    10**1301,
    float("nan"),
    float("inf"),
]
WORDS = [
    "",
    "a",
    "x y",
    "__class__",
    "echo",
    "many",
    "fail",
    "$h",
    "$",
    "é",
    "\ud800",
    "\0",
    "x" * 600,
    "\x1b[2J",
]
MARKERS = ["$t", "$s", "$f", "$d", "$v", "$h", "$x", "k", "a", "op", "i"]
TOOLS = ["echo", "many", "fail"]


def wire(chance: random.Random, depth: int = 4) -> Any:
    """The JSON form of a value, or of nearly one."""
    kind = chance.randrange(9 if depth else 3)
    few = range(chance.choice([0, 1, 2, 4 if depth < 4 else 60]) if depth else 0)
    match kind:
        case 0:
            return chance.choice([None, True, False])
        case 1:
            return chance.choice(NUMBERS)
        case 2:
            return chance.choice(WORDS)
        case 3:
            return [wire(chance, depth - 1) for _ in few]
        case 4:
            return {chance.choice(WORDS): wire(chance, depth - 1) for _ in few}
        case 5:
            return {"$h": chance.choice([0, 0, 1, 5, 77, -1, True, None, "0"])}
        case 6:
            return {"$d": [[wire(chance, depth - 1), wire(chance, depth - 1)] for _ in few]}
        case 7:
            number = chance.choice([0, 0, 1, 2, -1])
            return {
                "$v": [number, chance.choice([[0, 0, 4, 3], [wire(chance, depth - 1) for _ in range(4)]])]
            }
    return {chance.choice(MARKERS): wire(chance, depth - 1) for _ in range(chance.choice([1, 1, 2]))}


def message(chance: random.Random, call: int) -> dict[str, Any]:
    """A message of the protocol; `call` is the number that the next call should have."""
    line = chance.choice([None, 1, 7])
    kind = chance.choice(["CALL", "CALL", "CALL", "DONE", "ERROR", "LIMIT", "REJECTED", "READY"])
    body: dict[str, Any] = {"op": kind, "l": line}
    if kind == "CALL":
        keywords = {chance.choice(WORDS): wire(chance, 1) for _ in range(chance.choice([0, 0, 1, 40]))}
        if chance.random() < 0.05:
            keywords = wire(chance)
        arguments = [wire(chance) for _ in range(chance.choice([0, 1, 2]))]
        body |= {"i": call, "f": chance.choice(TOOLS), "a": arguments, "k": keywords}
    elif kind == "DONE":
        body["v"] = wire(chance)
    elif kind == "REJECTED":
        finding = {
            "code": "c",
            "line": 1,
            "column": 0,
            "message": "m",
            "suggestion": chance.choice([None, "s"]),
        }
        body["diagnostics"] = [finding] * chance.choice([1, 2, 30])
    else:
        body |= {
            "type": "T",
            "limit": "cpu",
            "message": chance.choice(WORDS),
            "i": chance.choice([1, 2, None]),
        }
    if chance.random() < 0.2:
        body["out"] = chance.choice(WORDS)
    return body


def damage_tree(chance: random.Random, tree: Any) -> Any:
    """The tree with one of its nodes replaced, removed, doubled or buried."""
    if not isinstance(tree, (dict, list)) or not tree or chance.random() < 0.2:
        buried = wire(chance)
        for _ in range(chance.choice([0, 0, 1, 7, 90])):
            buried = [buried] if chance.random() < 0.5 else {"$t": [buried]}
        return buried
    if isinstance(tree, list):
        place = chance.randrange(len(tree))
        part = chance.choice([[], [tree[place]] * 2, [damage_tree(chance, tree[place])]])
        return [*tree[:place], *part, *tree[place + 1 :]]
    key = chance.choice(list(tree))
    rest = {name: item for name, item in tree.items() if name != key}
    if chance.random() < 0.3:
        return rest
    return rest | {chance.choice([key, key, key, *MARKERS]): damage_tree(chance, tree[key])}


def body(chance: random.Random, call: int = 1) -> bytes:
    """The body of a frame."""
    kind = chance.random()
    if kind < 0.03:
        opening = chance.choice([b"[", b'{"a":', b'{"op":"DONE","v":[', b'{"$t":['])
        return (opening * chance.choice([9, 1000, 60_000]))[:LONGEST]
    if kind < 0.06:
        digits = b"9" * chance.choice([1300, 1301, 5000, 60_000])
        return b'{"op":"DONE","v":%s%s}' % (chance.choice([b"", b"-", b"0.", b"1e"]), digits)
    if kind < 0.08:
        return chance.randbytes(chance.choice([0, 1, 40]))
    tree: Any = message(chance, call)
    for _ in range(chance.choice([0, 0, 0, 1, 1, 3])):
        tree = damage_tree(chance, tree)
    data = json.dumps(tree, ensure_ascii=chance.random() < 0.9).encode("utf-8", "surrogatepass")
    for _ in range(chance.choice([0, 0, 0, 0, 0, 0, 1, 1, 4])):
        data = damage_bytes(chance, data)
    return data


def damage_bytes(chance: random.Random, data: bytes) -> bytes:
    first, last = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
    tokens = [b"", b"\0", b"\xff", b'"', b"{", b"]", b":", b",", b"NaN", b"1e999", b"\\ud800", b"true", b"-"]
    middle = chance.choice([chance.choice(tokens), data[first:last] * 2, chance.randbytes(2)])
    return data[:first] + middle + data[last if chance.random() < 0.3 else first :]


def frames(chance: random.Random) -> list[bytes]:
    """What one worker sends after it has the program, in the pieces in which it sends it."""
    sent = []
    for number in range(1, chance.choice([1, 2, 3, 12]) + 1):
        part = body(chance, number)
        size = len(part) if chance.random() < 0.95 else chance.choice([0, 1, len(part) + 1, 2**31, 2**32 - 1])
        sent.append(HEADER.pack(size) + part)
    data = b"".join(sent)
    if chance.random() < 0.15:
        data = damage_bytes(chance, data)
    if chance.random() < 0.8:
        return [data]
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice([1, 3])))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
