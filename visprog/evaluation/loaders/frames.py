"""Ground-truth boxes in the frame of the image with its EXIF orientation applied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import VisprogError
from ...files.limits import limits
from ...values.orientation import StoredFrame, read_frame
from .files import BenchmarkFiles


class Frames:
    """The frames of images in a data set, each read once."""

    def __init__(self, files: BenchmarkFiles) -> None:
        self.files = files
        self._known: dict[str, StoredFrame | None] = {}

    def shown(self, name: str, size: tuple[Any, Any], boxes: Sequence[Sequence[float]]) -> list[list[float]]:
        """Convert boxes to the frame of the image with its orientation applied.

        Boxes of a missing or broken image stay as they are: the answers to its questions are errors.

        Args:
            name: Name of the image file.
            size: (width, height) that the annotation states; None or 0 if it states none.
            boxes: Boxes (left, top, right, bottom) in the frame of the annotation.

        Raises:
            VisprogError: The image has another size, or the frame of the annotation is unknown.
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

    def _read(self, name: str) -> StoredFrame | None:
        place = self.files.locate(name)
        if place is None:
            return None
        try:
            return read_frame(self.files.read(place, limits().file_bytes))
        except (VisprogError, ValueError):
            return None
