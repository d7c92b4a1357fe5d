"""What a client sent: fields and pictures, as a multipart form or as JSON, within limits. Pictures are bytes."""

from __future__ import annotations

import base64
import json
import re
import sys
import warnings
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from visprog.errors import ImageError
from visprog.values.decode import open_header
from visprog.values.image import Image

from .errors import Problem

PICTURES = 64
"""In one request."""
FIELDS = 16

_URL_SAFE = str.maketrans("-_", "+/")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")


@dataclass(frozen=True)
class Picture:
    """A picture as it was uploaded: its encoded bytes, and the name of its file, for messages and answers."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Form:
    """A request's content.

    Attributes:
        fields: by name; texts where they came in a multipart form.
        pictures: with the names of their fields, in order.
    """

    fields: Mapping[str, Any]
    pictures: list[tuple[str, Picture]] = field(default_factory=list)

    def text(self, name: str) -> str:
        """A field that must be a text. Raises `Problem` 400 where it is not there, or something else."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise Problem(
                400, f"the field '{name}' is missing" if value is None else f"'{name}' must be a text"
            )
        return value

    def flag(self, name: str) -> bool:
        """A field that is true or false, and false where it is not there. Raises `Problem` 400 otherwise."""
        value = self.fields.get(name, False)
        known = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False, "": False}
        if isinstance(value, str) and value.lower() in known:
            return known[value.lower()]
        if not isinstance(value, bool):
            raise Problem(400, f"'{name}' must be true or false, not {value!r:.40}")
        return value

    def table(self, name: str) -> dict[str, Any]:
        """A field that is a JSON object, empty where it is not there. Raises `Problem` 400 otherwise."""
        value = self.fields.get(name, {})
        if isinstance(value, str):
            value = _json(value, f"'{name}'")
        if not isinstance(value, dict):
            raise Problem(400, f"'{name}' must be a JSON object")
        return value

    def check(self, *fields: str) -> None:
        """Raises `Problem` 400 where there is another field than these."""
        for name in self.fields:
            if name not in fields:
                raise Problem(400, f"there is no field '{name:.40}' here; there are {', '.join(fields)}")


async def read_form(request: Request, most: int) -> Form:
    """Read a request of at most `most` bytes.

    Raises:
        Problem: 400 where it cannot be read, 413 where it is too large, 415 where it is of another kind.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _multipart(request, most)
    if kind == "application/json":
        body = b"".join([part async for part in _bounded(request, most)])
        return _from_json(_json(body, "the request"))
    raise Problem(415, "send multipart/form-data, or application/json")


def open_pictures(pictures: list[Picture], pixels: int) -> list[Image]:
    """Decode pictures that have at most so many pixels together.

    Raises:
        Problem: 400 where one is no picture that can be read, 413 where they are too large.
    """
    total = 0
    for picture in pictures:
        total += pixels_of(picture.data)  # before anything is decoded
        if total > pixels:
            raise Problem(413, f"{picture.name} is too large: this server takes {pixels:,} pixels a request")
    try:
        return [Image.open(p.data, name=p.name, max_pixels=pixels) for p in pictures]
    except ImageError as error:
        raise Problem(400, str(error)) from None


def pixels_of(data: bytes) -> int:
    """Number of pixels by the header of an image; 0 if it cannot be read, of which `Image.open` says why."""
    import PIL.Image

    try:
        with warnings.catch_warnings(action="ignore"), open_header(data) as header:
            return header.width * header.height
    except PIL.Image.DecompressionBombError:
        return sys.maxsize
    except Exception:  # libraries raise many kinds
        return 0


class _InMemory(MultiPartParser):
    """Writes no file, however large a part is: the request as a whole is bounded."""

    spool_max_size = 1 << 40


async def _multipart(request: Request, most: int) -> Form:
    parser = _InMemory(
        request.headers,
        _bounded(request, most),
        max_files=PICTURES,
        max_fields=FIELDS,
        max_part_size=most,
    )
    try:
        parts = await parser.parse()
    except MultiPartException as error:
        raise Problem(400, f"the form cannot be read: {error.message}") from None
    fields: dict[str, Any] = {}
    pictures = []
    for name, part in parts.multi_items():
        if isinstance(part, str):
            if name in fields:
                raise Problem(400, f"the field '{name:.40}' is given twice")
            if name in ("images", "image"):
                raise Problem(400, f"'{name}' must be a file, not a text: with curl, -F {name}=@FILE")
            fields[name] = part
            continue
        data = await part.read()
        if part.filename or data:  # a browser sends a file field that was left empty
            pictures.append((name, Picture(_file_name(part.filename, name), data)))
    await parts.close()
    return Form(fields, pictures)


def _from_json(data: Any) -> Form:
    if not isinstance(data, dict):
        raise Problem(400, "the request must be a JSON object")
    images = data.pop("images", [])
    if isinstance(images, list):
        named = [("images", f"image{i}", text) for i, text in enumerate(images, 1)]
    elif isinstance(images, dict):
        named = [(name, name, text) for name, text in images.items()]
    else:
        raise Problem(400, "'images' must hold pictures in base64")
    if len(named) > PICTURES:
        raise Problem(413, f"a request may hold {PICTURES} pictures")
    return Form(
        data, [(field, Picture(_file_name(name, field), _decoded(text, name))) for field, name, text in named]
    )


async def _bounded(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The body in parts. One that is too large is read to some length, so that its sender sees the answer."""
    problem = Problem(413, f"the request is too large: this server takes {most / 2**20:g} MiB")
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= most:
            yield part
        elif size > 8 * most:
            break
    if size > most:
        raise problem


def _json(text: str | bytes, what: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"{what} is not valid JSON: {error}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _decoded(given: Any, name: str) -> bytes:
    """The bytes of an image in base64: of either alphabet, with or without padding, line breaks and `data:` prefix.

    Raises:
        Problem: 400 if it is something else; the message says what.
    """
    what = f"the image '{name:.40}'"
    if not isinstance(given, str):
        kind = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}.get(type(given))
        raise Problem(400, f"{what} must be a text in base64, not {kind or 'a number'}")
    text = given.strip()
    scheme = text[:8].lower()
    if scheme.startswith(("http://", "https://", "file://")):
        raise Problem(
            400, f"{what} is an address, from which nothing is downloaded: send its bytes in base64"
        )
    if scheme.startswith("data:"):
        header, comma, text = text.partition(",")
        if not comma or not header.rstrip().lower().endswith(";base64"):
            raise Problem(400, f"{what} is a data URL that is not in base64: write data:image/png;base64,…")
        text = unquote(text)
    text = "".join(text.split()).translate(_URL_SAFE).rstrip("=")
    wrong = _NOT_BASE64.search(text)
    if wrong:
        raise Problem(400, f"{what} is not in base64: it holds {wrong[0]!a}")
    if len(text) % 4 == 1:
        raise Problem(400, f"{what} is not whole: its base64 ends in the middle of a byte")
    return base64.b64decode(text + "=" * (-len(text) % 4))


def _file_name(given: str | None, otherwise: str) -> str:
    """The last part of a name that a client gave: nothing is ever opened by it."""
    name = (given or "").replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in name if c.isprintable())[:100] or otherwise
