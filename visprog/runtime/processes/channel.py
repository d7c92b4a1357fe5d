"""Messages between the host and a tool process: JSON, bytes, and now and then a file descriptor."""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any, NamedTuple

HEADER = struct.Struct(">II")
MAX_JSON = 1 << 28
"""Maximum size of the JSON of a message, in bytes."""
MAX_BODY = 1 << 31
"""Maximum number of bytes beside it."""
_PART = 1 << 20


class Closed(Exception):
    """The other side has ended, or does not keep to the protocol."""


class Message(NamedTuple):
    """A message.

    Attributes:
        head: Its JSON, an object with a key "op".
        body: Bytes beside it.
        descriptor: A file descriptor, which belongs to the receiver; None without one.
    """

    head: dict[str, Any]
    body: bytearray
    descriptor: int | None


class Channel:
    """One end of a pair of sockets. Only one thread may use it at a time."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def send(self, head: dict[str, Any], body: Any = b"", descriptor: int | None = None) -> None:
        """Send a message.

        Args:
            head: What JSON can hold.
            body: Bytes, or a buffer of bytes.
            descriptor: A file descriptor, which the other side gets a copy of.

        Raises:
            Closed: The other side has ended.
            ValueError: The message is too large.
        """
        text = json.dumps(head, separators=(",", ":")).encode()
        body = memoryview(body)
        if len(text) > MAX_JSON or body.nbytes > MAX_BODY:
            raise ValueError("the values are too large to be handed to another process")
        first = HEADER.pack(len(text), body.nbytes) + text
        try:
            self._socket.settimeout(None)
            if descriptor is None:
                self._socket.sendall(first)
            else:  # a descriptor rides on the first bytes
                sent = socket.send_fds(self._socket, [first], [descriptor])
                self._socket.sendall(first[sent:])
            if body.nbytes:
                self._socket.sendall(body)
        except OSError as error:
            raise Closed(str(error)) from None

    def receive(self, seconds: float | None = None) -> Message | None:
        """The next message; None if none has begun to arrive for so many seconds.

        Raises:
            Closed: The other side has ended, or what it sent is no message.
        """
        try:
            self._socket.settimeout(seconds)
            first, descriptors, _, _ = socket.recv_fds(self._socket, HEADER.size, 1)
        except TimeoutError:
            return None
        except OSError as error:
            raise Closed(str(error)) from None
        descriptor = descriptors[0] if descriptors else None
        try:
            self._socket.settimeout(None)  # the rest follows, or the sender ends
            start = bytearray(first)
            if not start:
                raise Closed("it ended")
            self._fill(start, HEADER.size)
            size, rest = HEADER.unpack(start)
            if size > MAX_JSON or rest > MAX_BODY:
                raise Closed("a message that is too large")
            text, body = bytearray(), bytearray()
            self._fill(text, size)
            self._fill(body, rest)
            head = json.loads(text)
            if not isinstance(head, dict):
                raise Closed("a message that is no object")
        except BaseException as error:
            if descriptor is not None:
                os.close(descriptor)
            if isinstance(error, OSError | ValueError | RecursionError):
                raise Closed(str(error)) from None
            raise
        return Message(head, body, descriptor)

    def _fill(self, buffer: bytearray, size: int) -> None:
        """Read until a buffer has its size."""
        while len(buffer) < size:
            part = self._socket.recv(min(_PART, size - len(buffer)))
            if not part:
                raise Closed("it ended within a message")
            buffer += part

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
