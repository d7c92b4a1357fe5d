"""`vqa` and `caption` with LLaVA (Liu et al., 2023): bundled, trained by `visprog train llava`, or public.

Other image-text-to-text models work under this name, too, as they do under `vlm`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from visprog.errors import Refused, ToolError
from visprog.registry.sees import Parsed, Sees
from visprog.values import Region
from visprog.values.image import Image

from ._backend_file import folder_of, is_trained_here, known_words, words_summary
from ._batching import chunks, crop_to
from ._checkpoint import Checkpoint, CheckpointSource, Processor
from ._features import FEATURES
from ._gate import to_view
from ._loading import generation_config, load, transformers_processor
from .coca import sentence
from .vlm import ImagePrompt, VlmBackend, caption_prompt, eos_tokens, question_prompt

if TYPE_CHECKING:
    from torch import Tensor


class LlavaBackend(VlmBackend):
    """What both tools share.

    Args:
        frame: Side of the square around the crop of a region, as a multiple of its longer side, filled with the pixels
            of its edges, for a model that never saw an object that fills an image; 0 for none; by default that of
            `backend.json`, else 0.
    """

    default_model = "llava-hf/llava-1.5-7b-hf"
    model_type = "llava"

    def __init__(self, model: str | None = None, *, frame: float | None = None, **options: Any) -> None:
        if is_trained_here(folder_of(model or self.default_model)):
            self.default_max_tokens = 96
        super().__init__(model, **options)
        self.frame = self.settings.option("frame", frame, 0.0)

    def _crop(self, image: Image | Region) -> Image:
        return crop_to(to_view(image, self.folder, self.tool), self.margin, self.frame)

    def _load(self, source: CheckpointSource) -> Checkpoint:
        if not is_llava(source.config):
            return super()._load(source)
        return load(source, self.device, self.dtype, processor=_public_processor, half_on_cpu="bfloat16")

    def _answer(self, asked: list[ImagePrompt]) -> list[str | ToolError]:
        source = self._find()
        if not source.trained_here:
            return super()._answer(asked)
        import torch

        checkpoint = load(self._find(self.model_type), self.device, self.dtype, processor=_chat)
        network, chat = checkpoint.network, checkpoint.processor.tokenizer
        images = {prompt.image.digest: prompt.image for prompt in asked}

        def encode(digests: list[str]) -> list[Tensor]:
            pixels = [images[digest].pixels for digest in digests]
            found = network.encode_images(checkpoint.send(checkpoint.processor.image_processor(pixels)))
            return [features.clone() for features in found]

        def encoded(digests: list[str]) -> Tensor:
            return torch.stack(FEATURES.get(checkpoint, "image", digests, encode))

        def describe(digests: list[str]) -> list[str]:
            found: list[str] = chat.first_answers(network, encoded(digests), self.max_tokens)
            return found

        texts: list[str | ToolError] = []
        for part in chunks(asked, self.batch_size):
            digests, questions = [prompt.image.digest for prompt in part], [prompt.text for prompt in part]
            with checkpoint.running():
                first = FEATURES.get(checkpoint, f"first answer in {self.max_tokens}", digests, describe)
                answers = chat.answer_about(network, encoded(digests), first, questions, self.max_tokens)
            texts += [sentence(text) if " " in text else text for text in answers]
        return texts

    def _generate(self, checkpoint: Checkpoint, inputs: dict[str, Any], images: Sequence[Image]) -> Any:
        if not is_llava(checkpoint.source.config):
            return super()._generate(checkpoint, inputs, images)
        import torch

        digests = [image.digest for image in images]

        def encode(missing: list[str]) -> list[Tensor]:
            pixels = inputs["pixel_values"][[digests.index(digest) for digest in missing]]
            return [row.clone() for row in checkpoint.network.encode_images(pixels)]

        return checkpoint.network.generate(
            inputs["input_ids"],
            None,
            self.max_tokens,
            image_features=torch.stack(FEATURES.get(checkpoint, "image", digests, encode)),
            mask=inputs["attention_mask"].bool(),
            stop=sorted(eos_tokens(checkpoint)),
            pad=checkpoint.processor.tokenizer.pad_token_id,
        )


class LlavaVqa(LlavaBackend):
    """Short answers to free questions. The bundled model answers some about simple coloured shapes."""

    tool = "vqa"

    @property
    def sees(self) -> Sees:
        """The words that the model was taught, and the kind of its questions."""
        words, questions = words_summary(self.folder), self.settings.questions
        examples = f"questions such as {_quoted(questions.examples)}, " if questions else ""
        return Sees(examples + words, {"question": Parsed(self._check_words)} if words else {})

    def _prepare(self, image: Image | Region, question: str) -> ImagePrompt:
        if not question.strip():
            raise ToolError("vqa was given an empty question")
        self._check_words(question)
        questions = self.settings.questions
        if questions and not questions.has(question):
            raise Refused(
                f'the model of vqa was not taught to answer "{question}", but {_quoted(questions.examples)}: ask in '
                f"such words, or {_OTHER_BACKEND}"
            )
        return ImagePrompt(self._crop(image), question)

    def _answer(self, asked: list[ImagePrompt]) -> list[str | ToolError]:
        if not self._find().trained_here:
            asked = [ImagePrompt(prompt.image, question_prompt(prompt.text)) for prompt in asked]
        return super()._answer(asked)

    def _check_words(self, question: str) -> None:
        """Raises `Refused` if a question has words that the model does not know."""
        words, known = re.findall(r"\w+|[^\w\s]+", question), known_words(self.folder)
        unknown = [word for word in words if known is not None and word.lower() not in known]
        if unknown:
            raise Refused(
                f"the model '{self.model}' of vqa does not know {', '.join(map(repr, unknown))}: {_OTHER_BACKEND}"
            )


class LlavaCaptioner(LlavaBackend):
    """One sentence about an image."""

    tool = "caption"

    def _prepare(self, image: Image | Region) -> ImagePrompt:
        return ImagePrompt(self._crop(image), caption_prompt())


class EmbeddedVqa(LlavaVqa):
    """The bundled LLaVA, which answers short questions about simple coloured shapes."""

    default_model = "llava"


_OTHER_BACKEND = (
    'set another backend, such as "llava" after pip install '
    "'visprog[hf]', under [tools.vqa] in visprog.toml"
)


def is_llava(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is that of a LLaVA which `visprog.models` implements: on CLIP and LLaMA."""

    def part(name: str, model_type: str) -> bool:
        return bool((config.get(name) or {}).get("model_type", model_type) == model_type)

    return (
        config.get("model_type") == "llava"
        and part("vision_config", "clip_vision_model")
        and part("text_config", "llama")
    )


def _chat(source: CheckpointSource, network: Any) -> Processor:
    from visprog.models.llava.chat import Chat
    from visprog.models.preprocess.image_processor import ImageProcessor

    return Processor(
        Chat.from_pretrained(source.place, network.config.tokens_per_image),
        ImageProcessor.from_pretrained(source.place),
    )


def _public_processor(source: CheckpointSource, network: Any) -> Any:
    # As on the networks of transformers: which tokens end an answer.
    network.generation_config = generation_config(source)
    return transformers_processor(source)


def _quoted(questions: tuple[str, str]) -> str:
    return " and ".join(f'"{question}"' for question in questions)
