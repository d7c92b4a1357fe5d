"""Limits of size of everything that comes from outside or is made for a program: settings, with their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import ConfigError, close_match

MAX_SETTINGS_BYTES = 1 << 20
"""Maximum size of a file of settings, of a user's examples, or of a recipe."""


@dataclass(frozen=True)
class SizeLimits:
    """Limits of size. What is larger is refused, before memory is taken for it.

    Attributes:
        file_bytes: Size of the file of an image.
        text_bytes: Size of a text file, such as annotations.
        archive_ratio: Size of a member of an archive as a multiple of its packed size, if it is larger than 64 MiB.
        video_bytes: Size of the file of a video.
        video_seconds: Length of a video.
        frames: Number of frames of videos that tools look at in a run.
        images: Number of images of a question.
        image_side: Longer side, in pixels, of an image that a tool is given.
        list_items: Number of values in a list that a tool is given.
        text_letters: Number of characters of a text that a tool is given.
        values: Number of values in all arguments of a call together, with those in lists and the points of shapes.
        new_pixels: Number of pixels of all images that the tools make in a run, by their memory: a crop of whole rows
            is a view and has none, and a pixel of a mask counts as a third.
        chat_tokens: Number of tokens that the tools of a program may exchange with language models.
        answer_pixels: Number of pixels of all images that an answer's JSON form holds. Beyond it, it holds thumbnails,
            and says so.
    """

    file_bytes: int = 256 * 1024**2
    text_bytes: int = 2 * 1024**3
    archive_ratio: int = 200
    video_bytes: int = 8 * 1024**3
    video_seconds: int = 4 * 3600
    frames: int = 50_000
    images: int = 1_000
    image_side: int = 65_536
    list_items: int = 1_000
    text_letters: int = 4_096
    values: int = 20_000
    new_pixels: int = 400_000_000
    chat_tokens: int = 50_000
    answer_pixels: int = 60_000_000

    @classmethod
    def of(cls, raw: Any) -> SizeLimits:
        """Limits from a table of settings.

        Raises:
            ConfigError: It has an unknown key or a wrong value.
        """
        if isinstance(raw, SizeLimits):
            return raw
        if not isinstance(raw, Mapping):
            raise ConfigError(f"'limits' must be a table, [limits], not {raw!r:.80}")
        known = [f.name for f in fields(cls)]
        for name, value in raw.items():
            if name not in known:
                close = close_match(str(name), known)
                hint = f"did you mean '{close}'?" if close else f"it has {', '.join(known)}"
                raise ConfigError(f"[limits] has no key '{name}'; {hint}")
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(
                    f"[limits]: '{name}' must be a whole number of at least 1, not {value!r:.80}"
                )
        return cls(**raw)


_in_force = SizeLimits()


def limits() -> SizeLimits:
    """The limits of this process, for files that no agent reads."""
    return _in_force


def use_limits(chosen: SizeLimits) -> None:
    """Set the limits of this process."""
    global _in_force
    _in_force = chosen
