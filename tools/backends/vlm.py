"""`vqa`, `caption` and `verify` with image-text-to-text models of transformers that have a chat template.

They run on this machine; a model behind an endpoint is the backend `openai`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import Template
from typing import Any, NamedTuple

from visprog import prompts
from visprog.errors import ToolError, first_line
from visprog.llm.control_tokens import control_tokens, without_control_tokens
from visprog.llm.thoughts import marks_thoughts, without_thoughts
from visprog.models.preprocess.processors import resize_as_torchvision, type_problem
from visprog.registry.sees import Sees
from visprog.values import Region
from visprog.values.image import Image

from ..words.written_tables import CELL_TOKEN
from ._batching import crop_to, in_batches, to_rgb
from ._checkpoint import Checkpoint, CheckpointSource
from ._loading import load_by_transformers, transformers_processor
from ._model_backend import ModelBackend


class ImagePrompt(NamedTuple):
    """One call: an image, and the text that the model gets with it."""

    image: Image
    text: str

    @property
    def parts(self) -> Sequence[Image | str]:
        """Images and texts, in the order in which the model gets them."""
        return self.image, self.text


def question_prompt(question: str) -> str:
    """The prompt for a question.

    Raises:
        ToolError: The question is empty.
    """
    return _filled("vqa", "question", question)


def caption_prompt() -> str:
    """The prompt for a caption."""
    return prompts.text("caption.txt").strip()


def statement_prompt(statement: str) -> str:
    """The prompt that asks whether a statement is true.

    Raises:
        ToolError: The statement is empty.
    """
    return _filled("verify", "statement", statement)


def _filled(tool: str, slot: str, text: str) -> str:
    if not text.strip():
        raise ToolError(f"{tool} was given an empty {slot}")
    return Template(prompts.text(f"{tool}.txt")).substitute({slot: text.strip()}).strip()


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
    """What the tools share.

    Args:
        margin: Width added to a region on each side, as a share of its longer side.
        max_side: Longer side, in pixels, to which larger images are reduced: it bounds the tokens of an image.
        max_tokens: Maximum number of tokens of one answer; by default that of `backend.json`, else 64 (2,048 to read
            text, 4,096 to read a table), or 96 for a LLaVA that was trained here, whose answers may begin with their
            reasons.
        batch_size: Number of images that the network sees at once; by default that of `backend.json`, else 4. It is
            lowered if the memory of the device does not suffice.
    """

    default_model = "Qwen/Qwen3-VL-4B-Instruct"
    default_max_tokens = 64
    known = (
        "Qwen3-VL, Qwen3.5, SmolVLM2, Molmo2, LLaVA-OneVision (of llava-hf), Gemma 3 and 4, InternVL (whose names end "
        "with -HF) and LFM2-VL"
    )
    """Models that run here, for messages."""

    def __init__(
        self,
        model: str | None = None,
        *,
        margin: float = 0.05,
        max_side: int = 1536,
        max_tokens: int | None = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.max_tokens = self.settings.option("max_tokens", max_tokens, self.default_max_tokens)
        self.batch_size = self.settings.option("batch_size", batch_size, 4)
        self.margin, self.max_side = margin, max_side
        for name in ("max_tokens", "batch_size", "max_side"):
            if getattr(self, name) < 1:
                raise ToolError(f"{self.tool}: {name} must be at least 1, not {getattr(self, name)}")

    def fetch(self) -> None:
        """Download the weights, if they are on the hub and not here.

        Raises:
            ToolError: They cannot be had, or are of a type that cannot be run: nothing is downloaded then.
        """
        from visprog.models.checkpoint.cache import cached, is_hub_id

        if self.folder is None and is_hub_id(self.model) and cached(self.model) is None:
            self._find()
        super().fetch()

    def _find(self, *model_types: str) -> CheckpointSource:
        source = super()._find(*model_types)
        model_type = source.config.get("model_type") or source.model_type
        problem = "" if source.trained_here else type_problem(model_type)
        if problem:
            raise ToolError(
                f"{self.tool}: '{self.model}' is of model_type {model_type}, {problem}: choose another, such as "
                f"{self.known}"
            )
        return source

    def _answer(self, asked: list[ImagePrompt]) -> list[Any]:
        checkpoint = self._load(self._find())
        processor = checkpoint.processor
        tokenizer = getattr(processor, "tokenizer", None)
        if not getattr(processor, "chat_template", None):
            processor.chat_template = getattr(tokenizer, "chat_template", None)
        if tokenizer is None or not processor.chat_template:
            raise ToolError(
                f"{self.tool}: '{self.model}' has no chat template: give a model that was trained to converse"
            )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token  # for texts of a batch that are shorter than others
        return in_batches(
            checkpoint, asked, self.batch_size, lambda part: self._complete_each(checkpoint, part)
        )

    def _load(self, source: CheckpointSource) -> Checkpoint:
        return load_by_transformers(
            source, "AutoModelForImageTextToText", self.device, self.dtype, processor=_processor,
            half_on_cpu="bfloat16",
        )  # fmt: skip

    def _complete_each(self, checkpoint: Checkpoint, asked: Any) -> list[Any]:
        """The results of a batch. One that a processor or a network cannot take fails alone: processors have their own
        limits, such as that of the aspect ratio."""
        try:
            return self._complete(checkpoint, asked)
        except ToolError:
            raise
        except Exception as error:
            if len(asked) > 1:
                return [result for ask in asked for result in self._complete_each(checkpoint, [ask])]
            width, height = next(part.size for part in asked[0].parts if isinstance(part, Image))
            return [
                ToolError(
                    f"{self.tool}: '{self.model}' fails at an image of {width} x {height} pixels: {first_line(error)}"
                )
            ]

    def _complete(self, checkpoint: Checkpoint, asked: Any) -> list[Any]:
        processor = checkpoint.processor
        options = self._template_options(checkpoint)
        texts = [self._chat_prompt(processor, prompt.parts, options) for prompt in asked]
        images = [[part for part in prompt.parts if isinstance(part, Image)] for prompt in asked]
        bos = processor.tokenizer.bos_token
        with checkpoint.running():
            processor.tokenizer.padding_side = "left"  # new tokens continue the last one
            inputs = processor(
                images=[list(map(self._reduced, several)) for several in images],
                text=texts,
                padding=True,
                return_tensors="pt",
                **({"add_special_tokens": False} if bos and texts[0].startswith(bos) else {}),
                **self._image_options(processor),
            )
            seen = [several[0] for several in images]
            new = self._generate(checkpoint, checkpoint.send_all(inputs), seen).tolist()
        ends = end_tokens(checkpoint)
        return [
            self._result(
                decode(row, processor.tokenizer),
                len(row) >= self.max_tokens and not ends.intersection(row),
            )
            for row in new
        ]

    def _image_options(self, processor: Any) -> dict[str, Any]:
        """Arguments of the processor beside images and texts."""
        return {}

    def _template_options(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """What the chat template gets. Answers are short: models that can think first, or not, do not."""
        thinks = "enable_thinking" in str(checkpoint.processor.chat_template)
        return {"enable_thinking": False} if thinks else {}

    def _chat_prompt(self, processor: Any, parts: Sequence[Image | str], options: dict[str, Any]) -> str:
        """A conversation that begins with images and texts, up to where the model answers. What a text has of control
        tokens is no control token: it may come from an image."""
        import jinja2

        content = [
            {"type": "text", "text": without_control_tokens(part, processor)}
            if isinstance(part, str)
            else {"type": "image"}
            for part in parts
        ]
        try:
            prompt: str = processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, **options
            )
        except jinja2.TemplateError as error:
            raise ToolError(
                f"{self.tool}: the chat template of '{self.model}' fails: {first_line(error)}"
            ) from error
        return prompt

    def _reduced(self, image: Image) -> Any:
        rgb = to_rgb(image)
        if max(rgb.size) > self.max_side:
            rgb.thumbnail((self.max_side, self.max_side))
        return rgb

    def _generate(self, checkpoint: Checkpoint, inputs: dict[str, Any], images: Sequence[Image]) -> Any:
        """The ids (batch, new) that the network adds to those of the prompts.

        Args:
            inputs: What the processor made of prompts and images.
            images: The first image of each prompt.
        """
        ids = checkpoint.network.generate(
            **inputs,
            max_new_tokens=self.max_tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=checkpoint.processor.tokenizer.pad_token_id,
        )
        return ids[:, inputs["input_ids"].shape[1] :]

    def _result(self, text: str, truncated: bool) -> Any:
        """What a tool gives for the output of the model, which may be cut off; an exception if it is no answer."""
        return answer_in(self.tool, self.model, text, truncated)


def _processor(source: CheckpointSource) -> Any:
    """The processor of transformers, whose images are those of torchvision."""
    processor = transformers_processor(source)
    if hasattr(processor, "image_processor"):
        processor.image_processor = resize_as_torchvision(processor.image_processor)
    return processor


def decode(ids: Sequence[int], tokenizer: Any) -> str:
    """The text of tokens, without control tokens other than those that tell thoughts or the cells of a table apart."""
    kept = (CELL_TOKEN.fullmatch, marks_thoughts)
    left_out = {t for t in control_tokens(tokenizer) if not any(keeps(t) for keeps in kept)}
    out = set(tokenizer.convert_tokens_to_ids(sorted(left_out)))
    text: str = tokenizer.decode([number for number in ids if number not in out], skip_special_tokens=False)
    return text


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


class VlmVerifier(VlmBackend):
    """True if the model says yes to a statement, false if it says no."""

    tool = "verify"

    @property
    def sees(self) -> Sees:
        """Any statement."""
        return Sees("any statement about what is to be seen.")

    def _prepare(self, image: Image | Region, statement: str) -> ImagePrompt:
        return ImagePrompt(crop_to(image, self.margin), statement_prompt(statement))

    def _result(self, text: str, truncated: bool) -> bool | ToolError:
        said = re.findall(r"\w+", without_thoughts(text).lower())[:1]
        if said in (["yes"], ["true"], ["no"], ["false"]):
            return said in (["yes"], ["true"])
        shown = " ".join(text.split())[:60]
        return ToolError(f"verify: '{self.model}' was asked for yes or no, and answered '{shown}'")
