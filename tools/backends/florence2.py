"""`caption`, `detect`, `read_text` and `find_text` with Florence-2 (Xiao et al., 2023), by transformers.

The model writes places as tokens, "<loc_0>" to "<loc_999>", in thousandths of the image's width and height.
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from visprog.errors import ToolError
from visprog.values import Box, Region
from visprog.values.image import Image

from ..words.phrase import read_phrase
from ._batching import crop_to, in_batches, to_rgb
from ._checkpoint import Checkpoint
from ._loading import load_by_transformers
from ._model_backend import ModelBackend
from ._phrase_detector import PhraseDetector, Search
from .text_lines import TextLine, box_of
from .vlm import answer_in

BINS = 1000
"""Number of places along a side of an image."""


LOCATION = re.compile(r"<loc_(\d+)>")
"""A token that stands for a place along a side."""


class Task(NamedTuple):
    """One call: an image, and the prompt of a task with its text."""

    image: Image
    prompt: str


class Writing(NamedTuple):
    """What the model wrote about an image, without the tokens that begin, end and fill up.

    Attributes:
        tokens: Its tokens; a place is "<loc_12>".
        probabilities: The probability of each when the model chose it.
        whole: Whether it came to an end.
    """

    tokens: tuple[str, ...]
    probabilities: tuple[float, ...]
    whole: bool


class WrittenPlace(NamedTuple):
    """An object or a line of text that the model wrote down.

    Attributes:
        name: What stands before the place.
        box: In pixels of the image.
        score: Geometric mean of the probabilities of the tokens of the place.
    """

    name: str
    box: Box
    score: float


class Florence2Backend(ModelBackend):
    """What the tools share.

    Args:
        max_tokens: Maximum number of tokens that the model writes about an image.
        batch_size: Number of images that the network sees at once.
    """

    default_model = "florence-community/Florence-2-base"
    model_types = ("florence2",)

    def __init__(
        self, model: str | None = None, *, max_tokens: int = 1024, batch_size: int = 4, **options: Any
    ) -> None:
        super().__init__(model, **options)
        self.max_tokens, self.batch_size = max_tokens, batch_size

    def _answer(self, asked: list[Any]) -> list[Any]:
        checkpoint = load_by_transformers(
            self._find(),
            "AutoModelForImageTextToText",
            self.device,
            self.dtype,
            half_on_cpu="bfloat16",
        )
        tokenizer = checkpoint.processor.tokenizer
        tasks = [Task(call.image, self._prompt(call)) for call in asked]
        written = in_batches(checkpoint, tasks, self.batch_size, lambda part: self._write(checkpoint, part))
        return [
            self._result(call, writing, tokenizer.convert_tokens_to_string)
            for call, writing in zip(asked, written, strict=True)
        ]

    @abstractmethod
    def _prompt(self, call: Any) -> str:
        """The prompt for what `_prepare` made of a call."""

    @abstractmethod
    def _result(self, call: Any, writing: Writing, join: Callable[[Sequence[str]], str]) -> Any:
        """What the tool gives for what the model wrote; `join` makes a text of tokens."""

    def _write(self, checkpoint: Checkpoint, tasks: Sequence[Task]) -> list[Writing]:
        from transformers import LogitsProcessorList

        tokenizer, chosen = checkpoint.processor.tokenizer, list[Any]()

        def remember(ids: Any, scores: Any) -> Any:
            chosen.append(scores.float().softmax(-1).amax(-1).cpu())  # the likeliest token is taken
            return scores

        with checkpoint.running():
            inputs = checkpoint.processor(
                images=[to_rgb(task.image) for task in tasks],
                text=[task.prompt for task in tasks],
                padding=True,
                return_tensors="pt",
            )
            ids = checkpoint.network.generate(
                **checkpoint.send_all(inputs),
                max_new_tokens=self.max_tokens,
                do_sample=False,
                num_beams=1,
                logits_processor=LogitsProcessorList([remember]),
            )[:, -len(chosen) :].tolist()
        outside = {tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id}
        written = []
        for row, numbers in enumerate(ids):
            kept = [i for i, number in enumerate(numbers) if number not in outside]
            written.append(
                Writing(
                    tuple(tokenizer.convert_ids_to_tokens([numbers[i] for i in kept])),
                    tuple(float(chosen[i][row]) for i in kept),
                    tokenizer.eos_token_id in numbers[1:],
                )
            )
        return written


class Florence2Captioner(Florence2Backend):
    """One sentence about an image.

    Args:
        margin: Width added to a region on each side, as a share of its longer side.
    """

    tool = "caption"

    def __init__(self, model: str | None = None, *, margin: float = 0.05, **options: Any) -> None:
        super().__init__(model, **options)
        self.margin = margin

    def _prepare(self, image: Image | Region) -> Task:
        return Task(crop_to(image, self.margin), "<CAPTION>")

    def _prompt(self, call: Task) -> str:
        return call.prompt

    def _result(self, call: Task, writing: Writing, join: Callable[[Sequence[str]], str]) -> str | ToolError:
        said = [token for token in writing.tokens if not LOCATION.fullmatch(token)]
        return answer_in(self.tool, self.model, join(said), not writing.whole)


class Florence2Detector(Florence2Backend, PhraseDetector):
    """Any phrase. The score of a box is how surely the model wrote it down, which says little about whether the object
    is there: asked for what is not in the image, the model often names something else.
    """

    default_threshold = 0.0

    def __init__(self, model: str | None = None, *, batch_size: int = 4, **options: Any) -> None:
        super().__init__(model, batch_size=batch_size, **options)

    def _prompt(self, call: Search) -> str:
        if read_phrase(call.what).everything:
            return "<OD>"
        return "<OPEN_VOCABULARY_DETECTION>" + re.sub(r"[<>]", " ", call.what)

    def _result(self, call: Search, writing: Writing, join: Callable[[Sequence[str]], str]) -> list[Region]:
        places = [place for place in read_places(writing, 4, call.image, join) if place.box.area > 0]
        corners = np.array([[p.box.left, p.box.top, p.box.right, p.box.bottom] for p in places]).reshape(
            -1, 4
        )
        scores = np.array([place.score for place in places], np.float32)
        if not read_phrase(call.what).everything:
            return self._regions(call, corners, scores)
        names = dict.fromkeys(place.name for place in places)
        return [
            region
            for name in names
            for mine in [[i for i, place in enumerate(places) if place.name == name]]
            for region in self._regions(call._replace(what=name or "object"), corners[mine], scores[mine])
        ]


class Florence2TextReader(Florence2Backend):
    """Text in the order in which the model reads it, line by line."""

    tool = "read_text"

    def _prepare(self, image: Image | Region) -> Task:
        return Task(crop_to(image, 0.0), "<OCR_WITH_REGION>")

    def _prompt(self, call: Task) -> str:
        return call.prompt

    def _result(self, call: Task, writing: Writing, join: Callable[[Sequence[str]], str]) -> str | ToolError:
        if not writing.whole:
            return _cut_off(self.tool, self.max_tokens)
        names = [place.name for place in read_places(writing, 8, call.image, join)]
        return "\n".join(name for name in names if name)


class TextSearch(NamedTuple):
    """One call: an image, and the text to look for; "" for all."""

    image: Image
    text: str


class Florence2TextFinder(Florence2Backend):
    """Lines of text as regions; the words of a line are not told apart."""

    tool = "find_text"

    def _prepare(self, image: Image, text: str = "") -> TextSearch:
        return TextSearch(image, text)

    def _prompt(self, call: TextSearch) -> str:
        return "<OCR_WITH_REGION>"

    def _result(
        self, call: TextSearch, writing: Writing, join: Callable[[Sequence[str]], str]
    ) -> list[Region] | ToolError:
        if not writing.whole:
            return _cut_off(self.tool, self.max_tokens)
        lines = [
            TextLine(place.name, call.image.to_root(place.box), place.score, ())
            for place in read_places(writing, 8, call.image, join)
            if place.box.area > 0
        ]
        return [
            Region(line.box, line.text, line.score, call.image.root)
            for line in lines
            if not call.text or box_of(line, call.text)
        ]


def read_places(
    writing: Writing, count: int, image: Image, join: Callable[[Sequence[str]], str]
) -> Iterator[WrittenPlace]:
    """The places in what the model wrote: names, each followed by one or several places of `count` tokens.

    Args:
        count: 4 for a box as left, top, right, bottom; 8 for the x and y of four corners.
        join: Makes a text of tokens.
    """
    name, run = list[str](), list[tuple[int, float]]()
    for token, probability in [*zip(writing.tokens, writing.probabilities, strict=True), ("", 0.0)]:
        found = LOCATION.fullmatch(token)
        if found:
            run.append((int(found[1]), probability))
            continue
        if run:
            said = " ".join(join(name).split())
            for part in (run[i : i + count] for i in range(0, len(run) - count + 1, count)):
                x, y = (
                    [(number + 0.5) * side / BINS for number, _ in part[axis::2]]
                    for axis, side in enumerate((image.width, image.height))
                )
                score = math.exp(sum(math.log(max(p, 1e-9)) for _, p in part) / count)
                yield WrittenPlace(said, Box(min(x), min(y), max(x), max(y)), score)
            name, run = [], []
        name.append(token)


def _cut_off(tool: str, max_tokens: int) -> ToolError:
    return ToolError(
        f"{tool}: there is more text than Florence-2 writes down in {max_tokens} tokens: raise max_tokens, or read the "
        "parts of the image one by one"
    )
