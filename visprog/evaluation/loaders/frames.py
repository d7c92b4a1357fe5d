"""True boxes in the frame of the image as it is shown, whichever one they were drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import VisprogError
from ...files.reading import MAX_BYTES
from ...values.orientation import Frame, read_frame
from .files import Files


class Frames:
    """The frames of images among files, read once each."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self._known: dict[str, Frame | None] = {}

    def shown(self, name: str, size: tuple[Any, Any], boxes: Sequence[Sequence[float]]) -> list[list[float]]:
        """Boxes (left, top, right, bottom) in the image as it is shown.

        Those of an image that is missing or broken stay as they are: its questions are answered by an error.

        Args:
            name: of the image's file.
            size: (width, height) of the image as its annotation states it, None or 0 if it does not.

        Raises:
            VisprogError: the image has another size, or it cannot be known which frame is meant.
        """
        if name not in self._known:
            self._known[name] = self._read(name)
        frame = self._known[name]
        if frame is None or not boxes:
            return [list(box) for box in boxes]
        try:
            stored = frame.stated(*size)
        except ValueError as error:
            raise VisprogError(f"{name} {error}") from None
        found: list[list[float]] = (frame.turn_boxes(np.array(boxes)) if stored else np.array(boxes)).tolist()
        return found

    def _read(self, name: str) -> Frame | None:
        place = self.files.locate(name)
        if place is None:
            return None
        try:
            return read_frame(self.files.read(place, MAX_BYTES))
        except (VisprogError, ValueError):
            return None
