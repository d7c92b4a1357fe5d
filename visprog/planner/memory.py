"""What a conversation keeps: its images, the values of its programs, the questions so far, and what values rest on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..answer import Answer
from ..registry.types import annotation_of, render
from ..runtime.steps import Step
from ..runtime.workspace import Workspace
from ..values.image import Image
from ..values.video import Video, is_video, key_frames
from .observations import in_words, quoted

if TYPE_CHECKING:
    from ..registry import Registry

MAX_EXCHANGES = 10
"""Number of earlier questions that a chat model is reminded of."""

MAX_VALUES = 30
"""Number of kept values that it is reminded of, the latest ones."""


@dataclass(frozen=True)
class Exchange:
    """A question of a conversation, and the step that its answer comes from."""

    question: str
    step: Step


@dataclass(frozen=True)
class _Origin:
    """Where a kept value comes from.

    Attributes:
        step: The step that gave it.
        taken: Names of the kept values that its program was given.
    """

    step: Step
    taken: tuple[str, ...]


@dataclass
class ChatMemory:
    """What is kept from one question to the next.

    It knows which steps a kept value rests on, so that an answer which takes the value brings their evidence and
    cautions with it.

    Attributes:
        images: The images that it is about; of a video a few frames.
        workspace: The images or the video, and the values of programs, by name.
        video: Whether it is about a video.
        past: Earlier questions, the oldest first.
    """

    images: tuple[Image, ...]
    workspace: Workspace
    video: bool = False
    past: list[Exchange] = field(default_factory=list)
    _origins: dict[str, _Origin] = field(default_factory=dict)

    @classmethod
    def about(cls, given: Sequence[Image | Video], registry: Registry) -> ChatMemory:
        """A new conversation about images: `image`, or `images` and each of them as `image1`, `image2`, …; or about a
        `video`."""
        if len(given) == 1:
            values: dict[str, Any] = {"video" if is_video(given[0]) else "image": given[0]}
        else:
            values = {"images": list(given), **{f"image{n}": image for n, image in enumerate(given, 1)}}
        return cls(key_frames(given), Workspace(values, taken=registry), "video" in values)

    def keep(self, step: Step, taken: Iterable[str] = ()) -> Step:
        """Keep the value of a step under a name of its own.

        Args:
            taken: Names of the kept values that its program was given.

        Returns:
            The step with the name.
        """
        step = replace(step, kept_as=self.workspace.add(step.value))
        self._origins[step.kept_as] = _Origin(step, tuple(taken))
        return step

    def add_parts(self, name: str, parts: Iterable[str]) -> None:
        """Say that values with names of their own are parts of a kept value."""
        if name in self._origins:
            self._origins.update(dict.fromkeys(parts, self._origins[name]))

    def update(self, step: Step) -> None:
        """Replace the step that a kept value comes from by the same with more said of it."""
        old = self._origins[step.kept_as]
        for name, origin in self._origins.items():
            if origin is old:
                self._origins[name] = replace(old, step=step)

    def basis(self, name: str) -> list[Step]:
        """The steps that a kept value rests on: that which gave it, and those whose values that took, the oldest
        first."""
        found: dict[str, Step] = {}
        waiting = [name]
        while waiting:
            origin = self._origins.get(waiting.pop())
            if origin is not None and origin.step.kept_as not in found:
                found[origin.step.kept_as] = origin.step
                waiting += origin.taken
        return [found[each] for each in self._origins if each in found]

    def keep_fallback(self, answer: Answer) -> None:
        """Keep what the fallback answered to the latest question, with the caution that no program did."""
        question = self.past[-1].question
        caution = f"no program answered '{question}': the vqa tool was asked plainly"
        step = Step(
            "",
            status="answered",
            value=answer.value,
            trace=answer.trace,
            cautions=(*answer.cautions, caution),
        )
        self.past[-1] = Exchange(question, self.keep(step))

    def describe(self) -> str:
        """What was asked before, and which values are kept; empty at the first question."""
        if not self.past:
            return ""
        asked = []
        for exchange in self.past[-MAX_EXCHANGES:]:
            step = exchange.step
            lines = [f"Question: {exchange.question}"]
            if step.program and step.kept_as:
                lines.append(f"```python\n{step.program.strip()}\n```")
            if step.kept_as:
                lines.append(f"Answer, kept as {step.kept_as}:\n{quoted(in_words(step.value))}")
            else:
                lines.append("No answer.")
            if step.cautions:
                lines.append("What to know of it:\n" + quoted("\n".join(step.cautions)))
            asked.append("\n".join(lines))
        given = 1 if self.video else len(self.images) + (len(self.images) > 1)
        values = [
            f"{name}: {render(annotation_of(self.workspace[name]))}"
            for name in self.workspace.ids[given:][-MAX_VALUES:]
        ]
        kept = f"Values that are kept, by name: {'; '.join(values)}." if values else ""
        what = "video" if self.video else "images"
        return "\n\n".join([f"Asked before about the same {what}, the oldest first:", *asked, kept]).strip()
