"""Questions about generated scenes with exact ground truth: nothing needs to be downloaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import MissingExtra, VisprogError
from ...values.image import Image
from ..answers import same
from ..benchmark import Benchmark, Item
from ..metrics import Row, accuracy
from .scene_truth import SceneTruth

if TYPE_CHECKING:
    from visprog.scenes import Scenes

SIZE = 224
"""Width and height of the images, in pixels."""


class SceneQuestions(Benchmark):
    """Scenes of `visprog.scenes` with one question each, written `scenes:COUNT` or `scenes:COUNT:SEED`.

    A split is test (the usual one), train, val or held_out, whose combinations training never shows. Metric: accuracy.
    Kinds are the types of questions (existence, count, relation, …). The oracle knows every object; a right program is
    in the details.

    Raises:
        VisprogError: The text has another form, or there is no such split.
    """

    name = "scenes"

    def __init__(self, data: Path, split: str | None = None) -> None:
        super().__init__(data, split)
        read = re.fullmatch(r"(?:scenes:)?(\d{1,7})(?::(\d{1,9}))?", str(data))
        if read is None:
            raise VisprogError(f"scenes are written scenes:COUNT or scenes:COUNT:SEED, not '{data}'")
        try:
            from visprog.scenes import Scenes
        except ImportError:
            raise MissingExtra("the generator of scenes", "train") from None
        self.count, seed = int(read[1]), int(read[2] or 0)
        try:
            self.scenes: Scenes = Scenes(SIZE, seed, split or "test")
        except ValueError as error:
            raise VisprogError(str(error)) from None

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Item]:
        asked = ((n, scene, q) for n, scene in enumerate(self.scenes) for q in scene.questions(1))
        for number, scene, question in islice(asked, self.count):
            yield Item(
                f"{number:05d}",
                question.text,
                (Image(scene.pixels, name=f"scene {number}"),),
                question.answer,
                type(question.answer),
                details={"kind": question.type, "program": question.program, "scene": scene},
            )

    def check(self, limit: int | None = None) -> None:
        """Does nothing: generated scenes are valid, and generating all of them takes long."""

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        return {"correct": float(value is not None and same(value, item.answer))}

    def summary(self, rows: Sequence[Row]) -> Mapping[str, float]:
        return {"accuracy": accuracy(rows)}

    def oracle(self, item: Item) -> Mapping[str, Callable[..., Any]]:
        return SceneTruth(item.details["scene"]).tools()
