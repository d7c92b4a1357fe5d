"""`vqa` and `caption` with any image-text-to-text model of transformers that has a chat template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import Template
from typing import Any, NamedTuple

from visprog import prompts
from visprog.errors import ToolError, first_line
from visprog.llm.thoughts import without_thoughts
from visprog.values import Region
from visprog.values.image import Image

from ._batching import chunks, crop_to, to_rgb
from ._checkpoint import Checkpoint, CheckpointSource, load_by_transformers
from ._model_backend import ModelBackend


class ImagePrompt(NamedTuple):
    """One call: an image, and the text that the model gets with it."""

    image: Image
    text: str


def question_prompt(question: str) -> str:
    """The prompt for a question.

    Raises:
        ToolError: The question is empty.
    """
    if not question.strip():
        raise ToolError("vqa was given an empty question")
    return Template(prompts.text("vqa.txt")).substitute(question=question.strip()).strip()


def caption_prompt() -> str:
    """The prompt for a caption."""
    return prompts.text("caption.txt").strip()


def answer_in(tool: str, model: str, text: str, truncated: bool) -> str | ToolError:
    """The answer in the output of a model: without its thoughts, on one line, up to the last whole sentence if it was
    cut off. A `ToolError` if no answer is left."""
    answer = " ".join(without_thoughts(text).split())
    if truncated:
        answer = next(iter(re.findall(r"^.*[.!?](?=\s|$)", answer)), "")
    if answer:
        return answer
    why = "was cut off before it was whole: raise max_tokens" if truncated else "is empty"
    return ToolError(f"{tool}: the answer of '{model}' {why}")


class VlmBackend(ModelBackend):
    """What both tools share.

    Args:
        margin: Width added to a region on each side, as a share of its longer side.
        max_tokens: Maximum number of tokens of one answer; by default that of `backend.json`, else 64, or 96 for a
            LLaVA that was trained here, whose answers may begin with their reasons.
        batch_size: Number of images that the network sees at once; by default that of `backend.json`, else 4.
    """

    default_max_tokens = 64

    def __init__(
        self,
        model: str | None = None,
        *,
        margin: float = 0.05,
        max_tokens: int | None = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.max_tokens = self.settings.option("max_tokens", max_tokens, self.default_max_tokens)
        self.batch_size = self.settings.option("batch_size", batch_size, 4)
        self.margin = margin

    def _answer(self, asked: list[ImagePrompt]) -> list[str | ToolError]:
        checkpoint = self._load(self._find())
        if not getattr(checkpoint.processor, "chat_template", None):
            raise ToolError(
                f"{self.tool}: '{self.model}' has no chat template: give a model that was trained to converse"
            )
        return [text for part in chunks(asked, self.batch_size) for text in self._complete(checkpoint, part)]

    def _load(self, source: CheckpointSource) -> Checkpoint:
        return load_by_transformers(
            source, "AutoModelForImageTextToText", self.device, self.dtype, half_on_cpu="bfloat16"
        )

    def _complete(self, checkpoint: Checkpoint, asked: Any) -> list[str | ToolError]:
        import jinja2

        processor = checkpoint.processor
        turns = [
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt.text}]}]
            for prompt in asked
        ]
        try:
            texts = [processor.apply_chat_template(turn, add_generation_prompt=True) for turn in turns]
        except jinja2.TemplateError as error:
            raise ToolError(
                f"{self.tool}: the chat template of '{self.model}' fails: {first_line(error)}"
            ) from error
        with checkpoint.running():
            processor.tokenizer.padding_side = "left"  # new tokens continue the last one
            images = [[to_rgb(prompt.image)] for prompt in asked]
            inputs = processor(images=images, text=texts, padding=True, return_tensors="pt")
            seen = [prompt.image for prompt in asked]
            new = self._generate(checkpoint, checkpoint.send_all(inputs), seen).tolist()
        ends = end_tokens(checkpoint)
        return [
            answer_in(
                self.tool,
                self.model,
                processor.tokenizer.decode(row, skip_special_tokens=True),
                len(row) >= self.max_tokens and not ends.intersection(row),
            )
            for row in new
        ]

    def _generate(self, checkpoint: Checkpoint, inputs: dict[str, Any], images: Sequence[Image]) -> Any:
        """The ids (batch, new) that the network adds to those of the prompts.

        Args:
            inputs: What the processor made of prompts and images.
            images: The image of each prompt.
        """
        ids = checkpoint.network.generate(
            **inputs,
            max_new_tokens=self.max_tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=checkpoint.processor.tokenizer.pad_token_id,
        )
        return ids[:, inputs["input_ids"].shape[1] :]


def eos_tokens(checkpoint: Checkpoint) -> set[int]:
    """The tokens at which the network stops."""
    found = checkpoint.network.generation_config.eos_token_id
    return set(found if isinstance(found, list) else [found]) - {None}


def end_tokens(checkpoint: Checkpoint) -> set[int]:
    """The tokens that end an answer, or fill up the shorter ones of a batch."""
    tokenizer = checkpoint.processor.tokenizer
    return {tokenizer.eos_token_id, tokenizer.pad_token_id, *eos_tokens(checkpoint)} - {None}


class VlmVqa(VlmBackend):
    """Short answers to free questions."""

    tool = "vqa"

    def _prepare(self, image: Image | Region, question: str) -> ImagePrompt:
        return ImagePrompt(crop_to(image, self.margin), question_prompt(question))


class VlmCaptioner(VlmBackend):
    """One sentence about an image."""

    tool = "caption"

    def _prepare(self, image: Image | Region) -> ImagePrompt:
        return ImagePrompt(crop_to(image, self.margin), caption_prompt())
