"""Client of `visprog serve`, made with the standard library alone, so that it starts fast."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from visprog.errors import ImageError, VisprogError
from visprog.files.endings import VIDEO_ENDINGS
from visprog.files.limits import limits
from visprog.files.plain_text import parse_json
from visprog.files.reading import printable, read_file, read_stream
from visprog.files.writing import open_regular

TIMEOUT = 900.0
"""Seconds to wait for an answer; the server has its own limit."""

BLOCK = 1 << 20
"""Number of bytes of a video that are read at once."""

Part = tuple[str, str | None, bytes | BinaryIO]
"""One part of a form: name of the field, name of the file or None, content as bytes or as an open file."""


class ServerError(VisprogError):
    """A request that no server answered, or that the server refused.

    Attributes:
        status: HTTP status; 0 if there was no answer.
        retry_after: Seconds after which the client may try again, if the server says so.
    """

    def __init__(self, message: str, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Client:
    """Connection to a server.

    Args:
        url: Address such as "http://127.0.0.1:8711".
        token: Token of the server; VISPROG_TOKEN by default.
        timeout: Seconds to wait for an answer.

    Raises:
        ServerError: The address is not valid.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout: float = TIMEOUT) -> None:
        self.url = url.rstrip("/")
        self.token = token if token is not None else os.environ.get("VISPROG_TOKEN", "")
        self.timeout = timeout
        try:
            parts = urlsplit(self.url)
            self._port = parts.port
        except ValueError:
            parts, self._port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServerError(
                f"'{url}' is not the address of a server: use one such as http://127.0.0.1:8711"
            )
        self._secure, self._host, self._path = parts.scheme == "https", parts.hostname, parts.path

    def ask(
        self,
        question: str,
        *images: str | os.PathLike[str] | bytes,
        returns: str = "",
        evidence: bool = False,
    ) -> dict[str, Any]:
        """Ask a question about images or a video.

        Args:
            question: Question in natural language.
            images: Paths, or encoded images; a video by its path is sent in parts, and not read into memory.
            returns: Name of the type that the answer must have; empty for any.
            evidence: Whether the answer holds the images involved.

        Returns:
            The answer in its JSON form, which `visprog.answer.json_schema` describes.

        Raises:
            ImageError: An image cannot be read.
            ServerError: There is no answer.
        """
        fields = {"question": question, "returns": returns, "evidence": "true" if evidence else ""}
        return self._post("/v1/ask", fields, images)

    def run(
        self, program: str, *images: str | os.PathLike[str] | bytes, returns: str = "", evidence: bool = False
    ) -> dict[str, Any]:
        """Run a program, given as source; arguments and result are those of `ask`."""
        fields = {"program": program, "returns": returns, "evidence": "true" if evidence else ""}
        return self._post("/v1/run", fields, images)

    def tools(self) -> list[dict[str, Any]]:
        """The tools of the server, with the JSON schemas of their arguments. Raises as `ask` does."""
        tools: list[dict[str, Any]] = self._request("GET", "/v1/tools")["tools"]
        return tools

    def health(self) -> dict[str, Any]:
        """State of the server; "ready" is true if it accepts questions. Raises as `ask` does."""
        return self._request("GET", "/health", accept=(200, 503))

    def _post(self, path: str, fields: Mapping[str, str], images: Iterable[Any]) -> dict[str, Any]:
        parts: list[Part] = [(name, None, text.encode()) for name, text in fields.items() if text]
        with contextlib.ExitStack() as stack:
            parts += [("images", *_read(image, stack)) for image in images]
            content_type, pieces = _encoded(parts)
            size = sum(map(_size, pieces))
            headers = {"Content-Type": content_type, "Content-Length": str(size)}
            return self._request("POST", path, _read_in_parts(pieces), headers)

    def _request(
        self,
        method: str,
        path: str,
        body: Iterable[bytes | bytearray] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (200,),
    ) -> dict[str, Any]:
        sent = {**(headers or {}), **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        make = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = make(self._host, self._port, timeout=self.timeout)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise ServerError(
                    f"no server answers at {self.url} ({error.strerror or error}): start one with 'visprog serve', "
                    "or ask without --server"
                ) from None
            reply, content = _exchange(connection, method, self._path + path, body, sent)
        except TimeoutError:
            raise ServerError(f"the server at {self.url} gave no answer within {self.timeout:g} s") from None
        except (OSError, http.client.HTTPException):
            raise ServerError(f"the server at {self.url} ended before it answered: ask again") from None
        finally:
            connection.close()
        return self._parsed(reply, content, accept)

    def _parsed(
        self, reply: http.client.HTTPResponse, content: bytes, accept: tuple[int, ...]
    ) -> dict[str, Any]:
        try:
            data: dict[str, Any] = parse_json(content.decode())
            message = data.get("message", "")
        except (ValueError, AttributeError):
            raise ServerError(
                f"there is no visprog server at {self.url}: the reply (HTTP {reply.status}) is not JSON",
                reply.status,
            ) from None
        if reply.status in accept:
            return data
        wait = reply.headers.get("Retry-After", "")
        message = message or f"the server at {self.url} answered with HTTP {reply.status}"
        raise ServerError(message, reply.status, float(wait) if wait.isdigit() else None)


def encode(parts: Iterable[Part]) -> tuple[str, bytes]:
    """Encode a multipart form (RFC 7578).

    Returns:
        The content type and the body.
    """
    content_type, pieces = _encoded(parts)
    return content_type, b"".join(_read_in_parts(pieces))


def _encoded(parts: Iterable[Part]) -> tuple[str, list[bytearray | BinaryIO]]:
    """The content type of a form, and its body in pieces: open files, and all that lies between two of them."""
    boundary = secrets.token_hex(16)
    pieces: list[bytearray | BinaryIO] = [bytearray()]
    for name, file, content in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'
        if file is not None:
            head += f'; filename="{_quoted(file)}"\r\nContent-Type: application/octet-stream'
        for piece in (f"{head}\r\n\r\n".encode(), content, b"\r\n"):
            _add(pieces, piece)
    _add(pieces, f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", pieces


def _add(pieces: list[bytearray | BinaryIO], content: bytes | BinaryIO) -> None:
    last = pieces[-1]
    if not isinstance(content, bytes):
        pieces.append(content)
    elif isinstance(last, bytearray):
        last += content
    else:
        pieces.append(bytearray(content))


def _size(piece: bytearray | BinaryIO) -> int:
    return len(piece) if isinstance(piece, bytearray) else os.fstat(piece.fileno()).st_size


def _read_in_parts(pieces: Iterable[bytearray | BinaryIO]) -> Iterator[bytes | bytearray]:
    for piece in pieces:
        if isinstance(piece, bytearray):
            yield piece
            continue
        left = _size(piece)  # a file that grows meanwhile is sent as it was
        while left and (part := piece.read(min(BLOCK, left))):
            left -= len(part)
            yield part


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Iterable[bytes | bytearray] | None,
    headers: Mapping[str, str],
) -> tuple[http.client.HTTPResponse, bytes]:
    try:
        connection.request(method, path, body, dict(headers))
    except (
        BrokenPipeError,
        ConnectionResetError,
    ):  # the server may have answered before it had read everything
        reply = http.client.HTTPResponse(connection.sock, method=method)
        reply.begin()
        return reply, _content(reply)
    reply = connection.getresponse()
    return reply, _content(reply)


def _content(reply: http.client.HTTPResponse) -> bytes:
    content = read_stream(reply, limits().text_bytes, "the answer")
    if reply.length:  # it ended before the length that it had named
        raise http.client.IncompleteRead(content, reply.length)
    return content


def _read(image: str | os.PathLike[str] | bytes, stack: contextlib.ExitStack) -> tuple[str, bytes | BinaryIO]:
    """Name and content of an image or a video. Raises `ImageError`, with the messages of `Image.open`."""
    if isinstance(image, bytes):
        return "bytes", image
    if "://" in str(image):
        raise ImageError(
            f"{printable(image)} is a URL: download it first, the server accepts image files only"
        )
    path, shown = os.fsdecode(image), printable(image)
    name = printable(os.path.basename(path))
    try:
        if path.lower().endswith(VIDEO_ENDINGS):
            return name, stack.enter_context(open_regular(path, "rb"))
        return name, read_file(path, limits().file_bytes)
    except FileNotFoundError:
        raise ImageError(f"no such file: {shown}") from None
    except IsADirectoryError:
        raise ImageError(f"{shown} is a folder, not an image") from None
    except OSError as error:
        raise ImageError(f"cannot read {shown}: {error.strerror or error}") from None
    except ValueError:
        raise ImageError(f"'{shown}' is not the path of a file") from None


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
