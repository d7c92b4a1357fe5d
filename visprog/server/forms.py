"""Parsing of requests: fields, images and videos, as a multipart form or as JSON, within limits.

Images are encoded bytes. A request that is larger than images may be can only hold a video: its files are written to
the disk as they arrive, and not kept in memory.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import warnings
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from visprog.errors import ImageError
from visprog.values.decode import open_header
from visprog.values.image import Image
from visprog.values.video import is_video

from .errors import Problem
from .limits import RequestLimits
from .videos import VideoUpload

MAX_IMAGES = 64
"""Maximum number of images per request."""
MAX_FIELDS = 16
FILES = ("images", "image", "video")
"""Fields that hold images or a video."""

MULTIPART = "multipart/form-data"

_URL_SAFE = str.maketrans("-_", "+/")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")


@dataclass(frozen=True)
class Upload:
    """An uploaded image: its encoded bytes, and the name of its file, for messages and answers."""

    name: str
    data: bytes


@dataclass
class Form:
    """The content of a request.

    Attributes:
        fields: Values by name; texts if they came in a multipart form.
        uploads: Images in order, each with the name of its field.
        videos: Videos in order.
    """

    fields: Mapping[str, Any]
    uploads: list[tuple[str, Upload]] = field(default_factory=list)
    videos: list[VideoUpload] = field(default_factory=list)

    def close(self) -> None:
        """Remove the videos that it still has."""
        while self.videos:
            self.videos.pop().close()

    def text(self, name: str) -> str:
        """A field that must be a text. Raises `Problem` 400 if it is missing or something else."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise Problem(
                400, f"the field '{name}' is missing" if value is None else f"'{name}' must be a text"
            )
        return value

    def flag(self, name: str) -> bool:
        """A field that is true or false; false if it is missing. Raises `Problem` 400 otherwise."""
        value = self.fields.get(name, False)
        known = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False, "": False}
        if isinstance(value, str) and value.lower() in known:
            return known[value.lower()]
        if not isinstance(value, bool):
            raise Problem(400, f"'{name}' must be true or false, not {value!r:.40}")
        return value

    def table(self, name: str) -> dict[str, Any]:
        """A field that is a JSON object; empty if it is missing. Raises `Problem` 400 otherwise."""
        value = self.fields.get(name, {})
        if isinstance(value, str):
            value = _json(value, f"'{name}'")
        if not isinstance(value, dict):
            raise Problem(400, f"'{name}' must be a JSON object")
        return value

    def check(self, *fields: str) -> None:
        """Raise `Problem` 400 if there is another field than these."""
        for name in self.fields:
            if name not in fields:
                raise Problem(400, f"unknown field '{name:.40}': the fields are {', '.join(fields)}")


def announced_bytes(request: Request, limits: RequestLimits, videos: bool) -> int:
    """Number of bytes that a request will have at most: those that it announces, otherwise `limits.upload`.

    Args:
        request: Request whose body was not read yet.
        limits: Limits of it.
        videos: Whether it may hold a video.

    Raises:
        Problem: 413 if it announces more than it may have.
    """
    # The protocol has checked that it is a number.
    size = int(request.headers.get("content-length", limits.upload))
    if size > limits.upload and not (videos and limits.video and _content_type(request) == MULTIPART):
        raise _too_large(limits, videos)
    if size > limits.upload + limits.video:
        raise _too_large(limits, videos)
    return size


async def read_form(
    request: Request, limits: RequestLimits, size: int, received: Callable[[int], None]
) -> Form:
    """Read a request.

    Args:
        request: Request whose body was not read yet.
        limits: Limits of it.
        size: Number of bytes that it has at most, by `announced_bytes`.
        received: Called with the number of bytes so far, each time that some have arrived.

    Raises:
        Problem: 400 if it cannot be read, 413 if it is too large, 415 if it has another content type, 507 if a video
            has no room on the disk.
    """
    content_type = _content_type(request)
    if content_type == MULTIPART:
        return await _multipart(request, limits, size, received)
    if content_type == "application/json":
        body = b"".join([part async for part in _bounded(request, limits, size, received)])
        return _from_json(_json(body, "the request"))
    raise Problem(415, "send multipart/form-data, or application/json")


def open_images(uploads: list[Upload], max_pixels: int) -> list[Image]:
    """Decode images that have at most `max_pixels` pixels together.

    Raises:
        Problem: 400 if one cannot be read, 413 if they are too large.
    """
    total = 0
    for upload in uploads:
        total += pixels_of(upload.data)  # before any is decoded
        if total > max_pixels:
            raise Problem(
                413, f"{upload.name} is too large: this server accepts {max_pixels:,} pixels per request"
            )
    try:
        return [Image.open(u.data, name=u.name, max_pixels=max_pixels) for u in uploads]
    except ImageError as error:
        raise Problem(400, str(error)) from None


def pixels_of(data: bytes) -> int:
    """Number of pixels by the header of an image; 0 if it cannot be read: `Image.open` then says why."""
    import PIL.Image

    try:
        with warnings.catch_warnings(action="ignore"), open_header(data) as header:
            return header.width * header.height
    except PIL.Image.DecompressionBombError:
        return sys.maxsize
    except Exception:  # decoders raise errors of many types
        return 0


class _InMemory(MultiPartParser):
    """A parser that writes no temporary files."""

    spool_max_size = 1 << 40


class _OnDisk(MultiPartParser):
    """A parser that writes every file to the disk, without a name."""

    spool_max_size = 1


async def _multipart(
    request: Request, limits: RequestLimits, size: int, received: Callable[[int], None]
) -> Form:
    on_disk = size > limits.upload
    parser = (_OnDisk if on_disk else _InMemory)(
        request.headers,
        _bounded(request, limits, size, received),
        max_files=MAX_IMAGES,
        max_fields=MAX_FIELDS,
        max_part_size=limits.upload // MAX_FIELDS if on_disk else limits.upload,
    )
    try:
        parts = await parser.parse()
    except MultiPartException as error:
        raise Problem(400, f"the form cannot be read: {error.message}") from None
    except OSError:
        raise Problem(507, "the server has no room on its disk for this video: try it again later") from None
    form = Form({})
    try:
        await _sort(parts, form, limits)
    except BaseException:
        form.close()
        raise
    finally:
        await parts.close()
    return form


async def _sort(parts: FormData, form: Form, limits: RequestLimits) -> None:
    """Add the parts of a multipart form to a form as texts, images and videos."""
    fields: dict[str, Any] = {}
    form.fields, left = fields, limits.upload
    for name, part in parts.multi_items():
        if isinstance(part, str):
            if name in fields:
                raise Problem(400, f"the field '{name:.40}' is given twice")
            if name in FILES:
                raise Problem(400, f"'{name}' must be a file, not a text: with curl, -F {name}=@FILE")
            fields[name] = part
            continue
        file_name, size = _file_name(part.filename, name), part.size or 0
        if size > limits.upload:
            form.videos.append(await _large_video(file_name, part, size, limits))
            continue
        left -= size
        if left < 0:
            raise _too_large(limits, videos=True)
        if part.filename or size:  # a browser also sends a file field that was left empty
            _add_file(form, name, file_name, await part.read())


async def _large_video(name: str, part: UploadFile, size: int, limits: RequestLimits) -> VideoUpload:
    """A file of a form that is too large for an image. Raises `Problem` 413 if it is no video, or too large for one."""
    start = await part.read(512)
    if size > limits.video or not (start.startswith(b"GIF8") or is_video(start)):
        raise _too_large(limits, videos=True)
    part.file.flush()
    file, part.file = part.file, io.BytesIO()  # which the form closes in its place
    return VideoUpload(name, file, size)


def _add_file(form: Form, field_name: str, name: str, data: bytes) -> None:
    if is_video(data):
        form.videos.append(VideoUpload(name, data, len(data)))
    else:
        form.uploads.append((field_name, Upload(name, data)))


def _from_json(data: Any) -> Form:
    if not isinstance(data, dict):
        raise Problem(400, "the request must be a JSON object")
    images, video = data.pop("images", []), data.pop("video", None)
    if isinstance(images, list):
        named = [("images", f"image{i}", text) for i, text in enumerate(images, 1)]
    elif isinstance(images, dict):
        named = [(name, name, text) for name, text in images.items()]
    else:
        raise Problem(400, "'images' must hold images in base64")
    if len(named) > MAX_IMAGES:
        raise Problem(413, f"a request may hold {MAX_IMAGES} images")
    form = Form(data)
    if video is not None:
        named.append(("video", "video", video))
    for field_name, name, text in named:
        _add_file(form, field_name, _file_name(name, field_name), _decoded(text, name))
    return form


async def _bounded(
    request: Request, limits: RequestLimits, max_bytes: int, received: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    """The body in parts."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > max_bytes:
            raise _too_large(limits, videos=False)
        received(size)
        yield part


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_large(limits: RequestLimits, videos: bool) -> Problem:
    other = f", or a video of {limits.video / 2**20:g} MiB as a file of a multipart form, not in base64"
    return Problem(
        413,
        f"the request is too large: this server accepts {limits.upload / 2**20:g} MiB"
        f"{other if videos and limits.video > limits.upload else ''}",
    )


def _json(text: str | bytes, what: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"{what} is not valid JSON: {error}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _decoded(given: Any, name: str) -> bytes:
    """Decode an image in base64: either alphabet, with or without padding, line breaks and `data:` prefix.

    Raises:
        Problem: 400 if it is not base64; the message names the mistake.
    """
    what = f"the image '{name:.40}'"
    if not isinstance(given, str):
        found = {dict: "an object", list: "a list", bool: "true or false", type(None): "null"}.get(
            type(given)
        )
        raise Problem(400, f"{what} must be a text in base64, not {found or 'a number'}")
    text = given.strip()
    scheme = text[:8].lower()
    if scheme.startswith(("http://", "https://", "file://")):
        raise Problem(400, f"{what} is a URL, and this server downloads nothing: send the bytes in base64")
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
        raise Problem(400, f"{what} is incomplete: its base64 ends in the middle of a byte")
    return base64.b64decode(text + "=" * (-len(text) % 4))


def _file_name(given: str | None, otherwise: str) -> str:
    """The last part of a name that a client gave, for messages only: no file is opened by it."""
    name = (given or "").replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in name if c.isprintable())[:100] or otherwise
