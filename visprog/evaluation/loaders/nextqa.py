"""NExT-QA: questions about events in short videos, with five choices each. (Xiao et al., 2021)"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...errors import ImageError
from ..answers import choice_of
from ..benchmark import Item
from ..metrics import Row, accuracy
from .files import BenchmarkFiles
from .published import Published

FRAMES = 8
"""Number of frames per video."""
KINDS = {"C": "causal", "T": "temporal", "D": "descriptive"}


class NExTQA(Published):
    """Reads the multiple-choice `SPLIT.csv` (val, test, train: video, question, answer, qid, type, a0 … a4) and the
    videos `VIDEO.mp4`, found by their number or by `map_vid_vidorID.json`.

    A program gets 8 frames at equal distances; a choice is answered by its words or its letter. Metrics:
    accuracy, and that of causal, temporal and descriptive questions, which are the kinds.
    """

    name = "nextqa"

    def entries(self) -> Iterable[tuple[str, Any]]:
        return self.files.rows(self.files.find(f"{self.split or 'val'}.csv"))

    def items(self, entry: Any) -> Iterable[Item]:
        choices = [entry[f"a{k}"].strip() for k in range(5)]
        listed = " ".join(f"({'abcde'[k]}) {choice}" for k, choice in enumerate(choices))
        video = entry["video"]
        video_file = self._film(video)
        yield Item(
            f"{video}_{entry['qid']}",
            f"{entry['question'].strip().rstrip('?')}? {listed}",
            tuple(VideoFrame(self.files, video_file, k, FRAMES) for k in range(FRAMES)),
            choices[int(entry["answer"])],
            str,
            video,
            {"kind": KINDS[entry["type"][0]], "choices": choices},
        )

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        choices = item.details["choices"]
        return {"correct": float(choice_of(value, choices) == choices.index(item.answer))}

    def summary(self, rows: Sequence[Row]) -> Mapping[str, float]:
        parts = {kind: [r for r in rows if r["kind"] == kind] for kind in KINDS.values()}
        return {"accuracy": accuracy(rows), **{k: accuracy(part) for k, part in parts.items() if part}}

    def _film(self, video: str) -> str:
        name = f"{self._folders.get(video, video)}.mp4"
        return self.files.locate(name) or name

    @cached_property
    def _folders(self) -> Mapping[str, str]:
        name = self.files.locate("map_vid_vidorID.json")
        found: Mapping[str, str] = self.files.json(name) if name else {}
        return found


@dataclass(frozen=True)
class VideoFrame:
    """One of `count` frames at equal distances in a video, decoded when `Image.open` asks for its bytes."""

    files: BenchmarkFiles
    video_file: str
    number: int
    count: int

    @property
    def name(self) -> str:
        return f"{self.video_file}, frame {self.number + 1} of {self.count}"

    def read(self) -> bytes:
        """The frame as a PNG. Raises `ImageError` if the video is missing or cannot be decoded."""
        path = self.files.path_of(self.video_file)
        if path is not None:
            return self._decode(path)
        if self.files.locate(self.video_file) is None:
            raise ImageError(f"there is no video {self.video_file} in {self.files.path}")
        with tempfile.TemporaryDirectory() as folder:  # decoders read only from files
            copy = Path(folder) / "film.mp4"
            copy.write_bytes(self.files.read(self.video_file))
            return self._decode(copy)

    def _decode(self, path: Path) -> bytes:
        import cv2

        video_file = cv2.VideoCapture(str(path))
        try:
            total = int(video_file.get(cv2.CAP_PROP_FRAME_COUNT))
            video_file.set(cv2.CAP_PROP_POS_FRAMES, int((self.number + 0.5) * total / self.count))
            there, pixels = video_file.read()
        finally:
            video_file.release()
        if not there:
            raise ImageError(f"{self.name} cannot be decoded")
        return bytes(cv2.imencode(".png", pixels)[1])
