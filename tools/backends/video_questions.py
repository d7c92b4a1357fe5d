"""`video_vqa` with models that take several images: on this machine by transformers, or behind an endpoint.

A model gets the frames one after another, each after its time in words. That is how models of images are asked too, so
one that was trained with several images per question is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import Template
from typing import Any, NamedTuple

from visprog import prompts
from visprog.errors import ToolError
from visprog.values.image import Image

from ._batching import answer_batch
from .endpoint import EndpointModel
from .vlm import VlmBackend

MAX_SIDE = 512
"""Longer side of a frame, in pixels, if nothing else is said: there are many of them."""


class FramesPrompt(NamedTuple):
    """One call: frames with their times, and the text that the model gets with them.

    Attributes:
        parts: In the order in which the model gets them.
    """

    parts: Sequence[Image | str]


def frames_prompt(frames: Sequence[Image], times: Sequence[float], question: str) -> FramesPrompt:
    """The prompt for a question about frames.

    Raises:
        ToolError: The question is empty.
    """
    if not question.strip():
        raise ToolError("video_vqa was given an empty question")
    text = Template(prompts.text("video_vqa.txt")).substitute(number=len(frames), question=question.strip())
    timed = (part for time, frame in zip(times, frames, strict=True) for part in (f"At {time:.1f} s:", frame))
    return FramesPrompt((*timed, text.strip()))


class VlmVideoVqa(VlmBackend):
    """Short answers to questions about a whole video, by a model of transformers that takes several images.

    Args:
        max_side: Longer side, in pixels, to which larger frames are reduced.
    """

    tool = "video_vqa"

    def __init__(self, model: str | None = None, *, max_side: int = MAX_SIDE, **options: Any) -> None:
        super().__init__(model, max_side=max_side, **options)

    def _prepare(self, frames: list[Image], times: list[float], question: str) -> FramesPrompt:
        return frames_prompt(frames, times, question)

    def _image_options(self, processor: Any) -> dict[str, Any]:
        """Each frame is seen as a whole, not in tiles."""
        options = ("do_image_splitting", "crop_to_patches")
        return {name: False for name in options if hasattr(processor.image_processor, name)}


class EndpointVideoVqa(EndpointModel):
    """Short answers to questions about a whole video, by a model behind an endpoint. The frames leave this machine."""

    tool = "video_vqa"

    def __init__(self, model: str | None = None, *, max_side: int = MAX_SIDE, **options: Any) -> None:
        super().__init__(model, max_side=max_side, **options)

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_batch(calls, frames_prompt, self._answer)
