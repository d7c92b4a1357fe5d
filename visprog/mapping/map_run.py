"""The results of a map while they come: an iterator that knows its length and shows how far it is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .progress import ProgressLine

if TYPE_CHECKING:
    from .map import MapResult, Sources


class MapRun(Generator["MapResult", None, None]):
    """Results as `Agent.map` gives them, a generator: nothing runs before it is asked for results.

    `len` is the number of images in all, if it is known: of a folder, or of whatever has a length itself.

    Attributes:
        counts: Number of results so far, per status.
    """

    def __init__(self, results: Generator[MapResult, None, None], images: Sources, progress: bool) -> None:
        self.counts: Counter[str] = Counter()
        self._results = results
        self._images = images
        self._line = ProgressLine() if progress else None
        self._started = time.monotonic()

    def __len__(self) -> int:
        """Raises `TypeError` if the number of images is not known."""
        return len(self._images)

    def __bool__(self) -> bool:
        return True  # as any generator, whatever its length

    @property
    def left_out(self) -> Counter[str]:
        """Number of files of the folder that are no images, per ending; complete after the last result."""
        return self._images.left_out

    def send(self, value: None) -> MapResult:
        return self._advance(lambda: next(self._results))

    def throw(
        self,
        kind: type[BaseException] | BaseException,
        value: object = None,
        trace: TracebackType | None = None,
    ) -> MapResult:
        error: Any = kind if value is None else value
        return self._advance(lambda: self._results.throw(error))

    def close(self) -> None:
        self._results.close()

    def __repr__(self) -> str:
        return f"<MapRun: {self._progress()}>"

    def _advance(self, step: Callable[[], MapResult]) -> MapResult:
        if self._line is None:
            result = step()
        else:
            self._line.show(self._progress)
            try:
                result = step()
            finally:
                self._line.clear()
        self.counts[result.answer.status] += 1
        return result

    def _progress(self) -> str:
        done, total = self.counts.total(), self._images.known_length()
        text = f"{done} images" if total is None else f"{done} of {total} images"
        failed = self.counts["refused"] + self.counts["error"]
        if done:
            rate = done / max(time.monotonic() - self._started, 1e-9)
            text += f", {rate:.1f} per second"
            text += "" if total is None else f", {max(total - done, 0) / rate:.0f} s left"
        return text + (f", {failed} without an answer" if failed else "")
