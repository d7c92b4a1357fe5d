"""Folders of images: which of their files are asked about, and which are left out."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..errors import VisprogError
from ..files.endings import IMAGE_ENDINGS, VIDEO_ENDINGS
from ..files.reading import printable
from ..files.writing import open_regular
from ..values.video import is_video

_QUIET = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"))
"""Files of file managers, which nobody means."""

_IMAGE = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|BM.{4}\0{4}|P[1-6]\s+[#\d]|RIFF.{4}WEBP|.{4}ftypavi[fs]",
    re.DOTALL,
)
_TIFF = re.compile(rb"II\*\0|MM\0\*")
"""Counts without an ending only: raw photographs and slides of microscopes, under theirs, are TIFF files whose
first image is a thumbnail."""

_MAX_REASONS = 8
"""Bound of the reasons that a notice names."""


class ImageFolder:
    """The images in a folder and below, in the order of their names; or the videos.

    A file counts by its ending, or by its content if it has another ending or none. Hidden files and folders are
    not looked at, links to folders are not followed.

    Args:
        path: Of the folder.
        videos: Whether the videos are meant, and the animated GIFs and PNGs.

    Attributes:
        left_out: Number of files per ending, or per other reason, that are no images; counted by each complete
            iteration.
    """

    def __init__(self, path: Path, videos: bool = False) -> None:
        self.path = path
        self.videos = videos
        self.left_out: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def __iter__(self) -> Iterator[Path]:
        """Raises `VisprogError` if a folder cannot be read."""
        left_out: Counter[str] = Counter()
        self._examples = {}
        folders = [_entries(self.path)]
        while folders:
            entry = next(folders[-1], None)
            if entry is None:
                folders.pop()
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(_entries(Path(entry.path)))
                continue
            reason = _why_no_video(entry) if self.videos else _why_left_out(entry)
            if reason is None:
                yield Path(entry.path)
            else:
                left_out[reason] += 1
                self._examples.setdefault(reason, entry.name)
        self.left_out = left_out

    @property
    def notice(self) -> str:
        """What is left out, in one sentence; empty if there is nothing."""
        count = self.left_out.total()
        if not count:
            return ""
        parts = (
            f"{number} {reason} ({printable(self._examples[reason], 60)}{' …' if number > 1 else ''})"
            for reason, number in self.left_out.most_common(_MAX_REASONS)
        )
        more = ", and others" if len(self.left_out) > _MAX_REASONS else ""
        kind = "videos" if self.videos else "images"
        return (
            f"{count} file{'s' * (count > 1)} left out, no {kind} that can be read: {', '.join(parts)}{more}"
        )


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            shown = [e for e in found if not e.name.startswith(".") and e.name.lower() not in _QUIET]
    except OSError as error:
        raise VisprogError(f"cannot read the folder {printable(folder)}: {error.strerror or error}") from None
    return iter(sorted(shown, key=lambda e: e.name))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _why_no_video(entry: os.DirEntry[str]) -> str | None:
    """The ending of a file that is no video, or what it is instead of a file; None for a video."""
    if _is_folder(entry):
        return "linked folder"
    ending = os.path.splitext(entry.name)[1].lower()
    if ending in VIDEO_ENDINGS or is_video(entry.path):
        return None
    return printable(ending, 20) or "without an ending"


def _why_left_out(entry: os.DirEntry[str]) -> str | None:
    """The ending of a file that is no image, or what it is instead of a file; None for an image."""
    if _is_folder(entry):
        return "linked folder"
    ending = os.path.splitext(entry.name)[1].lower()
    if ending in IMAGE_ENDINGS:  # be it whatever it may: opening it gives an image, or says why not
        return None
    try:
        with open_regular(entry.path, "rb") as file:
            start = file.read(32)
    except OSError:
        start = b""
    if _IMAGE.match(start) or (not ending and _TIFF.match(start)):
        return None
    return printable(ending, 20) or "without an ending"
