"""`vqa` with the bundled LLaVA, or with one of one's own from `visprog train`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from visprog.errors import Refused
from visprog.registry.sees import Parsed, Sees
from visprog.values import Region
from visprog.values.image import Image

from ._batching import answer_together
from ._bundled import in_frame, in_words, model_folder, read_once, words_of
from ._gate import to_view
from .coca import sentence

if TYPE_CHECKING:
    from ...models.llava.chat import Chat
    from ...models.llava.model import Llava
    from ...models.preprocess.image_processor import ImageArray, ImageProcessor


class Speaker(NamedTuple):
    """What `visprog train` saved of a LLaVA."""

    model: Llava
    chat: Chat
    pixels: ImageProcessor


class Ask(NamedTuple):
    """One call: what is seen, uint8 (height, width, 3), and what is asked."""

    pixels: ImageArray
    question: str


class EmbeddedVqa:
    """A small LLaVA (Liu et al. 2023). The bundled one answers short questions about simple coloured shapes.

    Args:
        model: folder of a model trained with `visprog train llava`; the bundled one where not given.
        margin: how much wider than a region its crop is, as a share of its longer side.
        frame: as in `in_frame`. Where not given, 3 with the bundled model, which knows things in pictures and none
            that fills one, and 0 with one of one's own.
        longest: tokens of an answer at most, its reasons included.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        margin: float = 0.05,
        frame: float | None = None,
        longest: int = 96,
    ) -> None:
        self.folder = model_folder(model, "llava")
        self.bundled = model is None
        self.frame = frame if frame is not None else 3.0 if self.bundled else 0.0
        self.margin, self.longest = margin, longest

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    @property
    def sees(self) -> Sees:
        """The words that the model was taught, and of the bundled one what kind of questions."""
        kind = (
            'questions such as "What color is the star?" and "Is the circle above the red square?", '
            if self.bundled
            else ""
        )
        words = in_words(self.folder)
        return Sees(kind + words, {"question": Parsed(self._known)} if words else {})

    @property
    def speaker(self) -> Speaker:
        """The model, loaded at the first use.

        Raises:
            ToolError: the folder holds no such model.
        """
        return load(self.folder)

    def _prepare(self, image: Image | Region, question: str) -> Ask:
        self._known(question)
        from ...scenes.questions import is_worded

        if self.bundled and not is_worded(question):
            raise Refused(
                f'the bundled model of vqa was not taught to answer "{question}", but "What color is the star?" and '
                '"Is the circle above the red square?": ask in such words, or set another backend, such as "llava" '
                "after pip install 'visprog[hf]', under [tools.vqa] in visprog.toml"
            )
        seen = to_view(image, self.folder, "vqa")
        return Ask(in_frame(seen, self.margin, self.frame), question)

    def _known(self, question: str) -> None:
        """Raises `Refused` where a question has words that the model does not know."""
        words, known = re.findall(r"\w+|[^\w\s]+", question), words_of(self.folder)
        unknown = [word for word in words if known is not None and word.lower() not in known]
        if unknown or not question.strip():
            raise Refused(
                f"the model of vqa in {self.folder.name} does not know "
                f'{", ".join(map(repr, unknown)) or "an empty question"}: set another backend, such as "llava" '
                "after pip install 'visprog[hf]', under [tools.vqa] in visprog.toml"
            )

    def _answer(self, asked: list[Ask]) -> list[str]:
        model, chat, pixels = self.speaker
        images = pixels([ask.pixels for ask in asked])
        texts = chat.answer(model, images, [ask.question for ask in asked], self.longest)
        return [sentence(text) if " " in text else text for text in texts]


@read_once("LLaVA")
def load(folder: Path) -> Speaker:
    """A LLaVA that `visprog train` saved.

    Raises:
        ToolError: the folder holds none.
    """
    from ...models.llava.chat import Chat
    from ...models.llava.model import Llava
    from ...models.preprocess.image_processor import ImageProcessor

    model = Llava.from_pretrained(folder).eval()
    chat = Chat.from_pretrained(folder, model.config.tokens_per_image)
    return Speaker(model, chat, ImageProcessor.from_pretrained(folder))
