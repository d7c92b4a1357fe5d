"""A file of JSON Lines that is only added to, and of which a kill loses at most the line being written."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import VisprogError
from .locks import claim
from .plain_text import parse_json
from .writing import dumps, open_regular


class Journal:
    """Lines of JSON, each an object. Safe to use from many threads; of processes, one at a time.

    A last line that was torn by a kill is dropped when the file is opened; a file of something else stays as it is.

    Raises:
        VisprogError: the file cannot be written, is not JSON Lines, or another process has it open.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open_regular(self.path, "ab")
        except OSError as error:
            raise VisprogError(f"cannot write {self.path}: {error.strerror or error}") from None
        try:
            claim(self._file.fileno(), self.path)
            self._mend()
        except BaseException:
            self._file.close()
            raise

    def _mend(self) -> None:
        """Drop a last line that is torn; give it its end if only that is missing."""
        last = b""
        for line in _lines(self.path):
            last = line
        if last[-1:] in (b"", b"\n"):
            return
        number = sum(1 for _ in read_lines(self.path)) + 1  # which also refuses a file of something else
        if _completed(last):
            self._file.write(b"\n")
            self._file.flush()
        elif last.startswith(b"{") or not last.strip(b"\0"):  # a crash of the machine can leave null bytes
            self._file.truncate(self.path.stat().st_size - len(last))
        else:
            raise VisprogError(f"{self.path}, line {number} is not JSON: name another file")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The entries, oldest first, read as they are needed."""
        return read_lines(self.path)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add one line. It is with the operating system when this returns.

        Raises:
            VisprogError: it cannot be written, because the disk is full for instance; the lines before it stay.
        """
        line = dump(entry)
        with self._lock:
            start = os.fstat(self._file.fileno()).st_size
            try:
                self._file.write(line)
                self._file.flush()
            except OSError as error:
                self._undo(start)
                raise VisprogError(
                    f"cannot write to {self.path}: {error.strerror or error}; what was written before stays"
                ) from None

    def _undo(self, size: int) -> None:
        """Drop what was written of a line, on disk and in the buffer, which would write it later."""
        descriptor = os.dup(self._file.fileno())
        with contextlib.suppress(OSError):  # the buffer cannot be written, which is why it is dropped
            self._file.close()
        os.truncate(descriptor, size)
        self._file = os.fdopen(descriptor, "ab")

    def rewrite(self, change: Callable[[Iterator[dict[str, Any]]], Iterable[Mapping[str, Any]]]) -> None:
        """Replace the lines by what `change` makes of them, all at once or not at all.

        Raises:
            VisprogError: the new file cannot be written; the old one stays.
        """
        with self._lock:
            replacing(self.path, lambda file: file.writelines(map(dump, change(read_lines(self.path)))))
            self._file.close()
            self._file = open_regular(self.path, "ab")
            claim(self._file.fileno(), self.path)

    def close(self) -> None:
        """Nothing can be added any more."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def dump(entry: Mapping[str, Any]) -> bytes:
    """One line, with its end."""
    return dumps(entry).encode() + b"\n"


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a file of JSON Lines; a last line that was torn is left out.

    Raises:
        VisprogError: it cannot be read, or a line is no JSON object.
    """
    return (entry for _, entry in read_places(path))


def read_places(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Entries of a file of JSON Lines, each with the position of its first byte. Raises as `read_lines` does."""
    start = 0
    for number, line in enumerate(_whole_lines(path), 1):
        if not line.strip():
            start += len(line)
            continue
        try:
            entry = read_line(line)
        except ValueError as error:
            raise VisprogError(f"{path}, line {number} {error}") from None
        if not isinstance(entry, dict):
            raise VisprogError(f"{path}, line {number} is no JSON object")
        yield start, entry
        start += len(line)


def read_line(line: bytes) -> Any:
    """Value of one line. Half surrogate pairs may stand in it as bytes of their own, as once they were written.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        text = line.decode("utf-8", "surrogatepass").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise ValueError("is not JSON: it is not text in UTF-8") from None
    return parse_json(text)


def replacing(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file under another name, and give it its name when it is whole.

    Raises:
        VisprogError: it cannot be written; what has the name already stays.
    """
    target = Path(os.path.realpath(path))  # of a link, the file that it stands for
    draft = target.with_name(f".{target.name}.new")
    try:
        draft.unlink(missing_ok=True)
        with draft.open("xb") as file:
            write(file)
        draft.replace(target)
    except OSError as error:
        raise VisprogError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _whole_lines(path: Path) -> Iterator[bytes]:
    for line in _lines(path):
        yield from [line] if line.endswith(b"\n") else _completed(line)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with open_regular(path, "rb") as file:
            yield from file
    except OSError as error:
        raise VisprogError(f"cannot read {path}: {error.strerror or error}") from None


def _completed(last: bytes) -> list[bytes]:
    """A last line without its end as a whole one, if only its end is missing: an editor may leave it out."""
    try:
        return [last + b"\n"] if isinstance(read_line(last), dict) else []
    except ValueError:
        return []
