"""ONNX files for tests, written byte by byte: networks that answer the same, whatever they are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

FLOAT, UINT8, INT64, FLOAT16 = 1, 2, 7, 10
"""Numbers of element types in the ONNX format."""


def _number(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _field(key: int, value: int | str | bytes) -> bytes:
    """A field of a protocol buffer: a number, or bytes with their length."""
    if isinstance(value, int):
        return _number(key << 3) + _number(value)
    data = value.encode() if isinstance(value, str) else value
    return _number(key << 3 | 2) + _number(len(data)) + data


def _value(name: str, kind: int, shape: tuple[int | str, ...]) -> bytes:
    sides = b"".join(_field(1, _field(1 if isinstance(side, int) else 2, side)) for side in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, sides)))


def write_network(
    path: Path,
    outputs: dict[str, np.ndarray[Any, Any]],
    *,
    shape: tuple[int | str, ...] = (1, 3, 64, 64),
    kind: int = FLOAT,
    metadata: dict[str, str] | None = None,
) -> str:
    """A network with one input and constant outputs; returns the path."""
    kinds = {"float32": FLOAT, "float16": FLOAT16, "int64": INT64}
    graph = b""
    for name in outputs:
        graph += _field(1, _field(1, f"{name}_0") + _field(2, name) + _field(4, "Identity"))
    graph += _field(2, "constant")
    for name, array in outputs.items():
        sides = b"".join(_field(1, side) for side in array.shape)
        kept = (
            sides + _field(2, kinds[str(array.dtype)]) + _field(8, f"{name}_0") + _field(9, array.tobytes())
        )
        graph += _field(5, kept)
    graph += _field(11, _value("images", kind, shape))
    for name, array in outputs.items():
        graph += _field(12, _value(name, kinds[str(array.dtype)], array.shape))
    model = _field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13))
    for key, text in (metadata or {}).items():
        model += _field(14, _field(1, key) + _field(2, text))
    path.write_bytes(model)
    return str(path)
