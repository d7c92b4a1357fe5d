"""Messages between the host and a tool process: JSON, bytes, and now and then a file descriptor."""

from __future__ import annotations

import json
import os
import select
import socket
import struct
from collections import deque
from typing import Any, NamedTuple

HEADER = struct.Struct(">II?")
MAX_JSON = 1 << 28
"""Maximum size of the JSON of a message, in bytes."""
MAX_BODY = 1 << 31
"""Maximum number of bytes beside it."""
MAX_DESCRIPTORS = 64
"""Maximum number of file descriptors that have arrived and were not taken."""
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
        end.setblocking(True)
        self._socket = end
        self._readable = select.poll()
        self._readable.register(end, select.POLLIN)
        self._buffer = bytearray()
        self._descriptors: deque[int] = deque()

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
        first = HEADER.pack(len(text), body.nbytes, descriptor is not None) + text
        try:
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
        if not self._buffer and seconds is not None and not self._readable.poll(1000 * seconds):
            return None
        self._fill(HEADER.size)
        size, rest, has_descriptor = HEADER.unpack_from(self._buffer)
        if size > MAX_JSON or rest > MAX_BODY:
            raise Closed("a message that is too large")
        end = HEADER.size + size
        self._fill(end + rest)
        text, body = bytes(self._buffer[HEADER.size : end]), self._buffer[end : end + rest]
        del self._buffer[: end + rest]
        try:
            head = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Closed(f"a message that cannot be read: {error}") from None
        if not isinstance(head, dict) or (has_descriptor and not self._descriptors):
            raise Closed("a message that is none")
        return Message(head, body, self._descriptors.popleft() if has_descriptor else None)

    def _fill(self, size: int) -> None:
        """Read until the buffer has at least this size. The rest of a message follows its start, or its sender ends."""
        while len(self._buffer) < size:
            try:
                part, descriptors, _, _ = socket.recv_fds(self._socket, _PART, MAX_DESCRIPTORS)
            except OSError as error:
                raise Closed(str(error)) from None
            self._descriptors.extend(descriptors)
            if len(self._descriptors) > MAX_DESCRIPTORS:
                raise Closed("too many descriptors")
            if not part:
                raise Closed("it ended")
            self._buffer += part

    def close(self) -> None:
        """Close this end, and the descriptors that nobody took."""
        self._socket.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())
