"""Frames and values on the pipes between the two processes.

A frame is a big-endian 32-bit length and that many bytes of JSON. Nothing is ever unpickled, and whatever
comes from the worker is taken to be hostile: sizes, depths, types and markers are checked before anything
is built.

Values that JSON has no form for are marked objects:

    {"$t": [...]}      tuple            {"$s": [...]}   set             {"$f": [...]}   frozenset
    {"$d": [[k, v]]}   dict with a key that is no string or starts with "$"
    {"$v": [i, [...]]} value of the library's type number i, by its fields
    {"$h": n}          handle: entry n of this run's table; the first time towards the worker it brings
                       "k", the number of its kind, and "a", the values of its attributes
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from json.encoder import c_make_encoder, encode_basestring_ascii  # type: ignore[attr-defined]
from typing import Any, NoReturn

from .library import Library
from .limits import Limits

VERSION = 1
HEADER = struct.Struct(">I")
MAX_KEYWORDS = 32
INT_DIGITS = 1300  # a little over 4,096 bits: quadratic conversions stay in microseconds


class ProtocolError(Exception):
    """The other side sent what it may not send."""


class CannotCross(TypeError):
    """A value has no form on the wire."""


class TooLarge(ValueError):
    """A value or message is over its limit.

    Attributes:
        limit: name of the limit.
    """

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(message)
        self.limit = limit


def _parse_int(digits: str) -> int:
    if len(digits) > INT_DIGITS:
        raise ProtocolError("an integer in the message is too long")
    return int(digits)


# JSONEncoder.encode makes this anew for every message.
_encode = c_make_encoder(
    None, json.JSONEncoder().default, encode_basestring_ascii, None, ":", ",", False, False, True
)
_decoder = json.JSONDecoder(parse_int=_parse_int)


def readable(text: str) -> str:
    """Text for a person or a planner to read: what would steer a terminal is spelled out."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def pack(message: dict[str, Any], limit: int) -> bytes:
    """The frame of a message.

    Raises:
        TooLarge: its JSON has more than `limit` bytes.
    """
    body = "".join(_encode(message, 0)).encode("ascii")
    if len(body) > limit:
        raise TooLarge("message", f"a message of {len(body)} bytes; at most {limit} are allowed")
    return HEADER.pack(len(body)) + body


def unpack(body: bytes | bytearray) -> dict[str, Any]:
    """The message in a frame's body.

    Raises:
        ProtocolError: it is not a JSON object.
    """
    try:
        text = body.decode("utf-8")
        message, end = _decoder.raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a message is not valid JSON ({type(error).__name__})") from None
    if type(message) is not dict:
        raise ProtocolError("a message is not an object")
    if end != len(text):
        raise ProtocolError("something follows a message")
    return message


class Codec:
    """Values to JSON and back; the two sides differ only in what a handle is.

    Args:
        library: the value types that cross by value.
        limits: depth, nodes, string and integer sizes.
    """

    def __init__(self, library: Library, limits: Limits) -> None:
        self._limits = limits
        self._library = library
        self._numbers = {kind.cls: (number, kind.fields) for number, kind in enumerate(library.types)}
        self._left = 0

    def encode(self, value: Any) -> Any:
        """The JSON form of a value.

        Raises:
            CannotCross: it holds something of a type that does not cross.
            TooLarge: it is too deep, too long or has too many parts.
        """
        self._left = self._limits.nodes
        return self._encode(value, self._limits.depth)

    def decode(self, wire: Any) -> Any:
        """The value of a JSON form.

        Raises:
            ProtocolError: the form is malformed, too deep or too large, or a type refuses its fields.
        """
        self._left = self._limits.nodes
        try:
            return self._decode(wire, self._limits.depth)
        except TypeError:  # an unhashable element of a set, an unhashable key
            raise ProtocolError("a value in the message is malformed") from None

    def _encode(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise TooLarge("nodes", f"a value with more than {self._limits.nodes} parts")
        if depth < 0:
            raise TooLarge("depth", f"a value nested more than {self._limits.depth} deep")
        kind = type(value)
        if value is None or kind is bool or kind is float:
            return value
        if kind is str:
            if len(value) > self._limits.text:
                raise TooLarge(
                    "text", f"a string of {len(value)} characters; {self._limits.text} are allowed"
                )
            return value
        if kind is int:
            if value.bit_length() > self._limits.integer or value.bit_length() > 4096:
                raise TooLarge("integer", f"an integer of {value.bit_length()} bits")
            return value
        if kind is list:
            return [self._encode(item, depth - 1) for item in value]
        if kind is dict:
            if all(type(key) is str and key[:1] != "$" for key in value):
                return {key: self._encode(item, depth - 1) for key, item in value.items()}
            pairs = [[self._encode(k, depth - 1), self._encode(v, depth - 1)] for k, v in value.items()]
            return {"$d": pairs}
        if kind is tuple:
            return {"$t": [self._encode(item, depth - 1) for item in value]}
        if kind is set:
            return {"$s": [self._encode(item, depth - 1) for item in value]}
        if kind is frozenset:
            return {"$f": [self._encode(item, depth - 1) for item in value]}
        if kind in self._numbers:
            number, fields = self._numbers[kind]
            return {"$v": [number, [self._encode(getattr(value, name), depth - 1) for name in fields]]}
        return self._encode_other(value, depth)

    def _encode_other(self, value: Any, depth: int) -> Any:
        raise CannotCross(f"a value of type {type(value).__name__} cannot leave the program")

    def _decode(self, wire: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth < 0:
            raise ProtocolError("a value in the message is too large")
        kind = type(wire)
        if kind is str:
            if len(wire) > self._limits.text:
                raise ProtocolError("a string in the message is too long")
            return wire
        if kind is list:
            return self._items(wire, depth)
        if kind is dict:
            marker = next(iter(wire), "")
            if marker[:1] != "$":
                if any(key[:1] == "$" for key in wire):
                    self._malformed()
                return {key: self._decode(item, depth - 1) for key, item in wire.items()}
            if marker == "$h":
                return self._handle(wire, depth)
            if len(wire) != 1 or marker not in _BUILDERS:
                self._malformed()
            return _BUILDERS[marker](self, wire[marker], depth)
        return wire  # None, bool, int, float: nothing else comes out of the parser

    def _items(self, body: Any, depth: int) -> list[Any]:
        if type(body) is not list:
            self._malformed()
        return [self._decode(item, depth - 1) for item in body]

    def _pairs(self, body: Any, depth: int) -> dict[Any, Any]:
        if type(body) is not list or any(type(pair) is not list or len(pair) != 2 for pair in body):
            self._malformed()
        return {self._decode(key, depth - 1): self._decode(item, depth - 1) for key, item in body}

    def _value(self, body: Any, depth: int) -> Any:
        if type(body) is not list or len(body) != 2 or type(body[0]) is not int:
            self._malformed()
        number, fields = body
        if not 0 <= number < len(self._library.types):
            self._malformed()
        kind = self._library.types[number]
        values = self._items(fields, depth)
        if len(values) != len(kind.fields):
            self._malformed()
        try:
            return kind.cls(*values)
        except Exception as error:
            raise ProtocolError(f"{kind.cls.__name__} refuses its fields: {str(error)[:200]}") from None

    def _handle(self, wire: dict[str, Any], depth: int) -> Any:
        self._malformed()

    def _malformed(self) -> NoReturn:
        raise ProtocolError("a value in the message is malformed")


_BUILDERS: dict[str, Callable[[Codec, Any, int], Any]] = {
    "$t": lambda codec, body, depth: tuple(codec._items(body, depth)),
    "$s": lambda codec, body, depth: set(codec._items(body, depth)),
    "$f": lambda codec, body, depth: frozenset(codec._items(body, depth)),
    "$d": Codec._pairs,
    "$v": Codec._value,
}
"""Marker of a JSON form → what makes the value. As an attribute of a codec it would be a cycle, and the objects of a
run would stay until the garbage collector comes."""
