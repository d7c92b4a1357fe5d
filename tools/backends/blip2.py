"""`match`, `verify`, `caption` and `vqa` with BLIP-2 (Li et al., 2023): public, or trained by `visprog train
blip2-stage1` or `blip2-stage2`.

Public checkpoints for retrieval run by our own BLIP-2; those with a language model, OPT or Flan-T5, by transformers.
"""

from __future__ import annotations

from typing import Any

from visprog.errors import Refused, ToolError
from visprog.registry.sees import Sees

from ._backend_file import known_words, words_summary
from ._batching import chunks, in_batches, to_rgb
from ._checkpoint import Checkpoint
from ._loading import load, load_by_transformers
from ._pair_matcher import PairMatcher, PairVerifier
from .coca import sentence
from .llava import LlavaBackend, LlavaCaptioner, LlavaVqa
from .vlm import ImagePrompt, answer_in, end_tokens

RETRIEVAL = "Salesforce/blip2-itm-vit-g"


class Blip2Matcher(PairMatcher):
    """The probability that a text belongs to an image, as the Q-Former judges that sees both."""

    default_model = RETRIEVAL
    model_type = "blip2"


class Blip2Verifier(PairVerifier):
    """True if a statement belongs to an image more likely than not, as the Q-Former judges that sees both. A statement
    with "not" is true if the one without is false.

    Args:
        threshold: Minimum probability.
    """

    default_model = RETRIEVAL
    model_type = "blip2"


class Blip2Backend(LlavaBackend):
    """What both tools share."""

    default_model = "Salesforce/blip2-opt-2.7b"
    model_type = "blip2_generator"

    def _answer(self, asked: list[ImagePrompt]) -> list[str | ToolError]:
        source = self._find(self.model_type)
        if source.trained_here:
            return super()._answer(asked)
        checkpoint = load_by_transformers(
            source, "Blip2ForConditionalGeneration", self.device, self.dtype, half_on_cpu="bfloat16"
        )
        return in_batches(checkpoint, asked, self.batch_size, lambda part: self._complete(checkpoint, part))

    def _complete(self, checkpoint: Checkpoint, asked: Any) -> list[str | ToolError]:
        processor, network = checkpoint.processor, checkpoint.network
        if processor.num_query_tokens is None or network.config.image_token_index is None:
            raise ToolError(
                f"{self.tool}: '{self.model}' does not say where the image stands in its prompts "
                "(num_query_tokens in processor_config.json, image_token_index in config.json): download its present "
                "files"
            )
        # A decoder continues the last token; an encoder counts distances from the image at the beginning.
        decoder = network.config.use_decoder_only_language_model
        with checkpoint.running():
            processor.tokenizer.padding_side = "left" if decoder else "right"
            inputs = processor(
                images=[to_rgb(prompt.image) for prompt in asked],
                text=[prompt.text for prompt in asked],
                padding=True,
                return_tensors="pt",
            )
            ids = network.generate(
                **checkpoint.send_all(inputs), max_new_tokens=self.max_tokens, do_sample=False, num_beams=1
            )
        if decoder:
            ids = ids[:, inputs["input_ids"].shape[1] :]
        ends = end_tokens(checkpoint)
        return [
            answer_in(
                self.tool,
                self.model,
                processor.tokenizer.decode(row, skip_special_tokens=True),
                len(row) >= self.max_tokens and not ends.intersection(row),
            )
            for row in ids.tolist()
        ]


class Blip2Vqa(Blip2Backend, LlavaVqa):
    """Short answers to free questions."""

    def _answer(self, asked: list[ImagePrompt]) -> list[str | ToolError]:
        if not self._find().trained_here:
            asked = [ImagePrompt(each.image, f"Question: {each.text.strip()} Answer:") for each in asked]
        return super()._answer(asked)


class Blip2Captioner(Blip2Backend, LlavaCaptioner):
    """One sentence about an image: of a public checkpoint, by its language model; of a model of stage 1 that was
    trained here, by its Q-Former."""

    @property
    def sees(self) -> Sees:
        """The words that the model was taught."""
        return Sees(words_summary(self.folder))

    def _answer(self, asked: list[ImagePrompt]) -> list[str | ToolError]:
        source = self._find("blip2", self.model_type)
        if source.model_type != "blip2":
            if not source.trained_here:
                asked = [ImagePrompt(each.image, "") for each in asked]
            elif known_words(self.folder) is not None:
                raise Refused(
                    f"the model '{self.model}' was taught to answer questions in few words, not to describe images: "
                    "take a model of stage 1 for caption"
                )
            return super()._answer(asked)
        checkpoint = load(source, self.device, self.dtype)
        network, (tokenizer, processor) = checkpoint.network, checkpoint.processor
        if network.config.caption_start is None:
            raise ToolError(
                f"caption: '{self.model}' compares images and texts, and writes none: use it for match and verify, "
                f'and "{self.default_model}" here'
            )
        texts: list[str | ToolError] = []
        for part in chunks(asked, self.batch_size):
            with checkpoint.running():
                images = checkpoint.send(processor([prompt.image.pixels for prompt in part]))
                ids = network.generate(images, self.max_tokens, stop=[tokenizer.id("<end>")])
            texts += [sentence(tokenizer.decode(row)) for row in ids]
        return texts
