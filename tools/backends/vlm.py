"""`vqa` and `caption` with a vision-language model on this machine: LLaVA (Liu et al., 2023), or any other
image-text-to-text model of transformers that has a chat template.
"""

from __future__ import annotations

import re
from string import Template
from typing import Any, ClassVar, NamedTuple

from visprog import prompts
from visprog.errors import ToolError
from visprog.llm.thoughts import without_thoughts
from visprog.values import Region
from visprog.values.image import Image

from ._batching import answer_together, chunks, look, to_rgb
from ._checkpoint import Checkpoint, first_line, load, unload


class Ask(NamedTuple):
    """One call: what is shown, and what is said to the model."""

    picture: Image
    prompt: str


def question_prompt(question: str) -> str:
    """What a model is told of a question.

    Raises:
        ToolError: it is empty.
    """
    if not question.strip():
        raise ToolError("vqa was given an empty question")
    return Template(prompts.text("vqa.txt")).substitute(question=question.strip()).strip()


def caption_prompt() -> str:
    """What a model is told when a caption is wanted."""
    return prompts.text("caption.txt").strip()


def answer_in(tool: str, model: str, text: str, truncated: bool) -> str | ToolError:
    """The answer in what a model wrote: without its thoughts, on one line, up to the last whole sentence if it was cut.

    A `ToolError` if no answer is left.
    """
    answer = " ".join(without_thoughts(text).split())
    if truncated:
        answer = next(iter(re.findall(r"^.*[.!?](?=\s|$)", answer)), "")
    if answer:
        return answer
    why = "was cut off before it was whole: raise max_tokens" if truncated else "is empty"
    return ToolError(f"{tool}: the answer of '{model}' {why}")


class _OnVlm:
    """What both tools share.

    Args:
        model: a folder, or a hub id.
        device: "cpu", "cuda", "mps"; "auto" takes a GPU where there is one.
        dtype: "float32", "bfloat16", "float16"; "auto" is the checkpoint's own.
        margin: how much wider than a region its crop is, as a share of its longer side.
        max_tokens: of one answer.
        batch_size: how many pictures the network sees at once.
    """

    tool: ClassVar[str]

    def __init__(
        self,
        model: str | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        margin: float = 0.05,
        max_tokens: int = 64,
        batch_size: int = 4,
    ) -> None:
        self.model = model or "llava-hf/llava-1.5-7b-hf"
        self.device = device
        self.dtype = dtype
        self.margin = margin
        self.max_tokens = max_tokens
        self.batch_size = batch_size

    def unload(self) -> None:
        """Let go of the weights."""
        unload(self.model)

    def _answer(self, asked: list[Ask]) -> list[str | ToolError]:
        checkpoint = load(
            self.model, self.tool, "AutoModelForImageTextToText", (), device=self.device, dtype=self.dtype,
            half_on_cpu="bfloat16",
        )  # fmt: skip
        if not getattr(checkpoint.processor, "chat_template", None):
            raise ToolError(
                f"{self.tool}: '{self.model}' has no chat template: give a model that was trained to converse"
            )
        return [text for part in chunks(asked, self.batch_size) for text in self._generate(checkpoint, part)]

    def _generate(self, checkpoint: Checkpoint, asked: Any) -> list[str | ToolError]:
        import jinja2

        processor = checkpoint.processor
        turns = [
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": ask.prompt}]}]
            for ask in asked
        ]
        try:
            texts = [processor.apply_chat_template(turn, add_generation_prompt=True) for turn in turns]
        except jinja2.TemplateError as error:
            raise ToolError(
                f"{self.tool}: the chat template of '{self.model}' fails: {first_line(error)}"
            ) from error
        with checkpoint.running():
            processor.tokenizer.padding_side = "left"  # what is written continues the last token
            inputs = processor(
                images=[[to_rgb(ask.picture)] for ask in asked], text=texts, padding=True, return_tensors="pt"
            )
            written = checkpoint.network.generate(
                **checkpoint.send(inputs),
                max_new_tokens=self.max_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=processor.tokenizer.pad_token_id,
            )
        new = written[:, inputs["input_ids"].shape[1] :]
        ends = _ends(checkpoint)
        return [
            answer_in(
                self.tool,
                self.model,
                processor.tokenizer.decode(row, skip_special_tokens=True),
                len(row) >= self.max_tokens and not ends.intersection(row),
            )
            for row in new.tolist()
        ]


def _ends(checkpoint: Checkpoint) -> set[int]:
    """The tokens that end an answer, or fill up the shorter ones of a batch."""
    tokenizer = checkpoint.processor.tokenizer
    more = checkpoint.network.generation_config.eos_token_id
    return {tokenizer.eos_token_id, tokenizer.pad_token_id, *(more if isinstance(more, list) else [more])} - {
        None
    }


class LlavaVqa(_OnVlm):
    """Short answers to free questions."""

    tool = "vqa"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region, question: str) -> Ask:
        return Ask(look(image, self.margin), question_prompt(question))


class LlavaCaptioner(_OnVlm):
    """One sentence about the picture."""

    tool = "caption"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region) -> Ask:
        return Ask(look(image, self.margin), caption_prompt())
