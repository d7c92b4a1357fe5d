"""Videos that clients upload: files without a name, whose content is gone when their request or conversation ends."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from typing import BinaryIO

from visprog.runtime.cancellation import Cancelled
from visprog.values.elsewhere import OpenFile
from visprog.values.video import Video


class VideoUpload:
    """An uploaded video.

    Args:
        name: Name of its file, for messages and answers.
        content: Its bytes, or a file that holds them and belongs to this object from now on.
        size: Number of its bytes.
    """

    def __init__(self, name: str, content: bytes | BinaryIO, size: int) -> None:
        self.name = name
        self.size = size
        self._content: bytes | BinaryIO | None = content
        self._lock = threading.Lock()

    def open(self, max_pixels: int) -> Video:
        """The video, whose frames are decoded in a confined process.

        Args:
            max_pixels: Larger frames are refused.

        Raises:
            Cancelled: Its content is gone.
            ImageError: It is broken, or too large or too long.
            MissingExtra: PyAV is not installed.
            OSError: There is no room for it on the disk.
        """
        with self._lock:
            if self._content is None:
                raise Cancelled
            if isinstance(self._content, bytes):
                self._content = _file_of(self._content)
            opened = OpenFile(os.dup(self._content.fileno()))
        return Video.open(opened, name=self.name, max_pixels=max_pixels)

    def close(self) -> None:
        """Remove its content, also for those who have the file open: a decoder keeps the last ones that it read."""
        with self._lock:
            content, self._content = self._content, None
        if content is not None and not isinstance(content, bytes):
            with contextlib.suppress(OSError):
                content.truncate(0)
            content.close()


def _file_of(data: bytes) -> BinaryIO:
    file = tempfile.TemporaryFile()  # noqa: SIM115 (it outlives this function)
    try:
        file.write(data)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file
