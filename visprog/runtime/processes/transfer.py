"""Values between two processes. An image crosses once; from then on both name it by a number."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import errors
from ...errors import VisprogError
from ...values import Point
from ...values.codec import Reader, Writer
from ...values.elsewhere import OpenFile
from ...values.image import Image
from .channel import Channel, Closed, Message
from .memory import CAN_SHARE, descriptor_of, mapped, sealed

MIN_SHARED = 1 << 16
"""Images of fewer bytes are copied into the message."""
MAX_HELD = 256 << 20
"""Bytes of images that two processes keep for later batches, unless they are told otherwise."""
MAX_KNOWN = 256
"""Number of images that two processes know, at most."""
MAX_RECEIVED = 4 << 30
"""Bytes of images that one batch may give, at most."""
MAX_FILES = 8
"""Number of open files that a process keeps, at most."""


class _Reader(Reader):
    """Reads bytes and arrays too, which are no values of programs."""

    def __init__(
        self,
        image: Callable[[Any], Image],
        pixels: Callable[[str], NDArray[Any]],
        body: bytearray,
        files: Mapping[int, OpenFile],
    ) -> None:
        super().__init__(image, pixels)
        self._body = body
        self._files = files

    def value(self, data: Any) -> Any:
        """The value of a form; raises as `Reader.value`."""
        match data:
            case {"type": "bytes", "at": [int() as start, int() as end]}:
                return bytes(self._body[start:end])
            case {"type": "levels", "pixels": str() as text}:
                return self.pixels(text)
            case {"type": "file", "n": int() as number}:
                return self._files[number]
        return super().value(data)


class Transfer:
    """Both directions of one side of a channel: values to messages, and back.

    Args:
        channel: Over which images are sent.
        host: Whether this is the side of the host. It alone decides what is forgotten, and it trusts nothing: what it
            receives becomes values, images and errors, or ends the process.
        max_held: Bytes of images that both sides keep for later batches, beyond which the oldest are forgotten.
    """

    def __init__(self, channel: Channel, host: bool, max_held: int = MAX_HELD) -> None:
        self.channel = channel
        self.host = host
        self.max_held = max_held
        self._known: OrderedDict[int, Image] = OrderedDict()
        self._numbers: dict[int, int] = {}
        self._next = 0 if host else 1  # even numbers are given by the host, odd ones by the process
        self._crops: list[dict[str, Any]] = []
        self._files: OrderedDict[int, OpenFile] = OrderedDict()
        self._room = MAX_RECEIVED

    # -- values ------------------------------------------------------------------------------------

    def pack(self, value: Any) -> tuple[Any, bytearray]:
        """A value as JSON and bytes. Images that the other side does not know are sent to it first.

        Raises:
            TypeError: It holds a value that cannot cross.
            Closed: The other side has ended.
        """
        body = bytearray()

        def other(value: Any) -> dict[str, Any]:
            if isinstance(value, bytes):
                start = len(body)
                body.extend(value)
                return {"type": "bytes", "at": [start, len(body)]}
            if isinstance(value, OpenFile) and self.host:
                self._send_file(value)
                return {"type": "file", "n": value.number}
            if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype in (bool, np.uint8):
                return {"type": "levels", "pixels": pixels(value)}
            raise TypeError(f"a value of type {type(value).__name__} cannot be handed to another process")

        def pixels(array: NDArray[Any]) -> str:
            flat = np.packbits(array) if array.dtype == bool else np.ascontiguousarray(array, np.uint8)
            start = len(body)
            body.extend(flat.tobytes())
            kind = "bits" if array.dtype == bool else "bytes"
            return f"{kind} {start} {array.shape[0]} {array.shape[1]}"

        writer = Writer(pixels=pixels, other=other)
        writer.image = self._write_image  # type: ignore[method-assign]
        return writer.value(value), body

    def unpack(self, data: Any, body: bytearray) -> Any:
        """The value of a JSON form and its bytes.

        Raises:
            Closed: It is none.
        """

        def pixels(text: str) -> NDArray[Any]:
            kind, *numbers = text.split()
            start, height, width = map(int, numbers)
            size = (height * width + 7) // 8 if kind == "bits" else height * width
            if min(start, height, width) < 0 or start + size > len(body):
                raise ValueError("a mask without its pixels")
            flat = np.frombuffer(body, np.uint8, size, start)
            if kind != "bits":
                return flat.reshape(height, width).copy()
            return np.unpackbits(flat, count=height * width).view(bool).reshape(height, width)

        try:
            return _Reader(lambda form: self._known[form["n"]], pixels, body, self._files).value(data)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            raise Closed(f"a value that is none: {error}") from None
        except VisprogError as error:
            raise Closed(str(error)) from None

    # -- images ------------------------------------------------------------------------------------

    def send(self, head: dict[str, Any], body: Any = b"") -> None:
        """Send a message, with the crops that were packed since the last one.

        Raises:
            Closed: The other side has ended.
            ValueError: It is too large.
        """
        if self._crops:
            head["crops"], self._crops = self._crops, []
        self.channel.send(head, body)

    def take(self, message: Message) -> bool:
        """Note the images of a message.

        Returns:
            Whether it is about images alone.

        Raises:
            Closed: It is wrong.
        """
        head = message.head
        try:
            if head.get("op") == "image":
                self._remember(head["n"], self._image(head, message))
            if head.get("op") == "file" and not self.host and message.descriptor is not None:
                self._keep_file(OpenFile(message.descriptor, head["n"]))
            for crop in head.get("crops", ()):
                self._remember(crop["n"], self._crop(crop))
        except (LookupError, TypeError, ValueError, OSError, ArithmeticError, VisprogError) as error:
            raise Closed(f"an image that is none: {error}") from None
        if head.get("op") == "forget" and not self.host:
            for number in head["n"]:
                self._drop(number)
        return head.get("op") in ("image", "forget") or (head.get("op") == "file" and not self.host)

    def forget_oldest(self) -> None:
        """Before a batch: drop the images that were not used for longest, on both sides, until those left are within
        bounds."""
        self._room = MAX_RECEIVED
        held = sum(image.pixels.nbytes for image in self._known.values() if image.parent is None)
        dropped: list[int] = []
        while len(self._known) > 1 and (held > self.max_held or len(self._known) > MAX_KNOWN):
            number, image = next(iter(self._known.items()))
            held -= image.pixels.nbytes if image.parent is None else 0
            self._drop(number)
            dropped.append(number)
        if dropped:
            self.send({"op": "forget", "n": dropped})

    def _write_image(self, image: Image | None, alone: bool = False) -> dict[str, Any] | None:
        return None if image is None else {"type": "Image", "n": self._number(image)}

    def _number(self, image: Image) -> int:
        """The number of an image, which the other side then knows."""
        known = self._numbers.get(id(image))
        if known is not None:
            self._used(image)
            return known
        head: dict[str, Any] = {"name": image.name, "size": image.size}
        if image.parent is not None:
            head |= {"parent": self._number(image.parent), "origin": [image.origin.x, image.origin.y]}
        number = head["n"] = self._next
        self._next += 2
        if image.parent is None:
            self._send_pixels({**head, "op": "image"}, image)
        else:
            self._crops.append(head)
        self._remember(number, image)
        self._used(image)
        return number

    def _used(self, image: Image | None) -> None:
        """An image is forgotten after its crops, which are cut from it."""
        while image is not None:
            number = self._numbers.get(id(image))
            if number is not None:
                self._known.move_to_end(number)
            image = image.parent

    def _send_pixels(self, head: dict[str, Any], image: Image) -> None:
        pixels, alpha = image.pixels, image.alpha
        head["alpha"] = alpha is not None
        if not CAN_SHARE or pixels.nbytes < MIN_SHARED:
            parts = [pixels.reshape(-1)] + ([] if alpha is None else [alpha.reshape(-1)])
            self.channel.send(head, np.concatenate(parts))
            return
        known = descriptor_of(pixels)
        descriptor = sealed(pixels) if known is None else known
        try:
            self.channel.send(
                head, b"" if alpha is None else np.ascontiguousarray(alpha).reshape(-1), descriptor
            )
        finally:
            if known is None:
                os.close(descriptor)

    def _send_file(self, file: OpenFile) -> None:
        """See that the process has a file open; both sides keep the files that were used last."""
        if file.number not in self._files:
            self.channel.send({"op": "file", "n": file.number}, b"", file.descriptor)
        self._keep_file(file)

    def _keep_file(self, file: OpenFile) -> None:
        self._files[file.number] = file
        while len(self._files) > MAX_FILES:
            self._files.popitem(last=False)

    def _crop(self, head: Mapping[str, Any]) -> Image:
        """A part of an image that is known here, cut anew."""
        name, width, height = _name_and_size(head)
        parent = self._known[head["parent"]]
        left, top = head["origin"]
        x, y = int(left - parent.origin.x), int(top - parent.origin.y)
        if not (0 <= x <= parent.width - width and 0 <= y <= parent.height - height):
            raise ValueError("a crop outside of its image")
        rows, columns = slice(y, y + height), slice(x, x + width)
        alpha = None if parent.alpha is None else parent.alpha[rows, columns]
        self._count(3 * width * height)
        return Image(parent.pixels[rows, columns], alpha, name, parent, Point(left, top))

    def _image(self, head: Mapping[str, Any], message: Message) -> Image:
        name, width, height = _name_and_size(head)
        size, flat = 3 * width * height, np.frombuffer(message.body, np.uint8)
        self._count(size)
        if message.descriptor is None:
            pixels, rest = flat[:size], flat[size:]
        else:
            pixels, rest = mapped(message.descriptor, size), flat
        alpha = rest.reshape(height, width) if head["alpha"] else None
        return Image(pixels.reshape(height, width, 3), alpha, name)

    def _count(self, size: int) -> None:
        """A process that sends images without end is stopped."""
        self._room -= size
        if self.host and self._room < 0:
            raise ValueError("more images than one batch may give")

    def _remember(self, number: int, image: Image) -> None:
        if type(number) is not int or number in self._known:
            raise ValueError("its number")
        self._known[number] = image
        self._numbers[id(image)] = number

    def _drop(self, number: int) -> None:
        image = self._known.pop(number, None)
        if image is not None:
            self._numbers.pop(id(image), None)


def _name_and_size(head: Mapping[str, Any]) -> tuple[str, int, int]:
    name, (width, height) = head["name"], head["size"]
    if not all(type(side) is int and side > 0 for side in (width, height)) or type(name) is not str:
        raise ValueError("its size or name")
    return name, width, height


# -- errors ----------------------------------------------------------------------------------------


def packed_error(error: BaseException) -> list[str]:
    """An error as it crosses: the name of its class, and its message."""
    return [type(error).__name__, str(error)]


def unpacked_error(form: Any) -> Exception:
    """The error of a form: one of visprog's own as itself, another as one of its name."""
    match form:
        case [str() as name, str() as message]:
            cls = getattr(errors, name, None)
            if isinstance(cls, type) and issubclass(cls, VisprogError):
                error: VisprogError = cls.__new__(cls)
                error.args = (message,)
                return error
            other: type[Exception] = type(name if name.isidentifier() else "Error", (Exception,), {})
            return other(message)
    raise Closed("an error that is none")
