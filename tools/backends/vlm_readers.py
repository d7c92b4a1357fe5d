"""`read_text` and `read_table` with document readers (GLM-OCR, PaddleOCR-VL), or any other image-text-to-text model.

They write down what an image says, and cannot tell where it stands there: `find_text` has no such backend.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from visprog import prompts
from visprog.errors import Refused, ToolError
from visprog.llm.thoughts import without_thoughts
from visprog.registry.sees import Sees
from visprog.values import Region
from visprog.values.image import Image

from ..words.written_tables import CELL_TOKEN, written_tables
from ._batching import crop_to
from ._checkpoint import Checkpoint
from .vlm import ImagePrompt, VlmBackend

NO_TEXT = "NO TEXT"
"""What a model writes that was asked for the text in an image without any."""


_FENCE = re.compile(r"```\w*\n(.*)\n```", re.DOTALL)
"""What some models put around a text that they write down."""


class DocumentReader(VlmBackend):
    """What both tools share.

    Args:
        prompt: What the model gets with the image; by default what it was trained with, if that is known.
    """

    default_model = "zai-org/GLM-OCR"
    known = "GLM-OCR, PaddleOCR-VL, LightOnOCR or Qwen3-VL"
    trained: ClassVar[Mapping[str, str]]
    """Type of a model → the prompt with which it was trained."""

    def __init__(
        self, model: str | None = None, *, prompt: str | None = None, max_side: int = 2048, **options: Any
    ) -> None:
        super().__init__(model, max_side=max_side, **options)
        self.prompt = prompt

    def _prepare(self, image: Image | Region) -> ImagePrompt:
        return ImagePrompt(crop_to(image, 0.0), self.prompt or "")

    def _answer(self, asked: list[ImagePrompt]) -> list[Any]:
        if self.prompt is None:
            other = prompts.text(f"{self.tool}.txt").strip()
            usual = self.trained.get(self._find().model_type, other)
            asked = [ask._replace(text=usual) for ask in asked]
        return super()._answer(asked)

    def _template_options(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """None for a model that was trained for this: its thoughts are not asked for, nor forbidden."""
        return {} if checkpoint.source.model_type in self.trained else super()._template_options(checkpoint)

    def _cut_off(self) -> ToolError:
        return ToolError(
            f"{self.tool}: the text that '{self.model}' reads is longer than {self.max_tokens} tokens: raise "
            "max_tokens, or read the parts of the image one by one"
        )


class VlmTextReader(DocumentReader):
    """Text as a model writes it down."""

    tool = "read_text"
    default_max_tokens = 2048
    trained: ClassVar = {"glm_ocr": "Text Recognition:", "paddleocr_vl": "OCR:", "lighton_ocr": ""}

    def _result(self, text: str, truncated: bool) -> str | ToolError:
        if truncated:
            return self._cut_off()
        said = without_thoughts(text).strip()
        fenced = _FENCE.fullmatch(said)
        plain = CELL_TOKEN.sub(
            lambda token: "\n" if token[0] == "<nl>" else " ", fenced[1] if fenced else said
        )
        lines = [line.strip() for line in plain.splitlines()]
        read = "\n".join(line for line in lines if line)
        return "" if read.strip(" .\"'").upper() == NO_TEXT else read


class VlmTableReader(DocumentReader):
    """The table in an image as a model writes it down: in HTML, OTSL or Markdown."""

    tool = "read_table"
    default_max_tokens = 4096
    trained: ClassVar = {
        "glm_ocr": "Table Recognition:",
        "paddleocr_vl": "Table Recognition:",
        "lighton_ocr": "",
    }

    @property
    def sees(self) -> Sees:
        """One table."""
        return Sees("one table, ruled or not; crop to it if there are several")

    def _result(self, text: str, truncated: bool) -> list[list[str]] | ToolError:
        if truncated:
            return self._cut_off()
        try:
            tables = written_tables(without_thoughts(text))
        except ValueError as error:
            return ToolError(f"read_table: '{self.model}' wrote {error}: crop to a part of the table")
        if not tables:
            return Refused(f"'{self.model}' found no table in the image: crop to the table, or use read_text")
        if len(tables) > 1:
            return Refused(f"'{self.model}' found {len(tables)} tables in the image: crop to one of them")
        return tables[0]
