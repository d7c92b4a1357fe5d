"""A language model on this machine, through `transformers`: from a local folder or a hub id. One that also reads images
is shown them."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import MissingExtra, PlannerError, ToolError, first_line
from ..files.plain_text import read_json
from ..models.catalogue import PLANNER, catalogue
from ..models.checkpoint.hub import fetch, locate
from .chat import ImagePart, Message, Reply, Tokens, parts_of, without_system
from .control_tokens import without_control_tokens

MAX_NEW_TOKENS = 1024
"""Where the caller sets no limit: programs are short, and a model that rambles must end."""


class TransformersChat:
    """A causal language model, or an image-text-to-text model, loaded at the first question. Weights are safetensors;
    no code of the checkpoint is run.

    Args:
        model: a folder with config.json, tokenizer and *.safetensors; a hub id ("ORG/NAME"); or "small", "base" or
            "large", for the checkpoint of that size in the catalogue of `visprog models`. "small" if empty.
        device: "cpu", "cuda", …; a GPU where there is one.
        dtype: "auto" (the checkpoint's own), "float32", "bfloat16", …
    """

    def __init__(self, model: str, *, device: str | None = None, dtype: str = "auto") -> None:
        self.model = default_planner(model or "small") or model
        self.device = device
        self.dtype = dtype
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None
        self._processor: Any = None  # of a model that reads images

    @property
    def name(self) -> str:
        return f"transformers:{self.model}"

    @property
    def takes_images(self) -> bool:
        """Whether the model reads images; it is loaded to know that. Raises as `complete` does."""
        with self._lock:
            self._load()
            return self._processor is not None

    def complete(
        self,
        messages: list[Message],
        *,
        n: int = 1,
        temperature: float = 0.0,
        max_tokens: int | None = None,
        seed: int | None = None,
    ) -> list[Reply]:
        """`n` replies; greedy (and then all the same) at temperature 0."""
        with self._lock:  # one model, one generation at a time
            tokenizer, network = self._load()
            import torch

            encoded = (
                self._encode(tokenizer, messages) if self._processor is None else self._prepare(messages)
            )
            inputs = {k: _like(network, v) for k, v in encoded.items() if isinstance(v, torch.Tensor)}
            length = int(inputs["input_ids"].shape[1])
            limit = max_tokens or MAX_NEW_TOKENS
            room = getattr(network.config.get_text_config(), "max_position_embeddings", None)
            if room is not None and length >= room:
                raise PlannerError(
                    f"the prompt has {length} tokens and {self.name} takes {room}: lower max_examples, "
                    f"or offer fewer tools"
                )
            sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
            if temperature > 0:
                sampling = {"do_sample": True, "temperature": temperature, "num_return_sequences": n}
            with torch.inference_mode(), torch.random.fork_rng(enabled=seed is not None):
                if seed is not None:
                    torch.manual_seed(seed)
                written = network.generate(
                    **inputs,
                    max_new_tokens=min(limit, room - length) if room is not None else limit,
                    pad_token_id=_pad(tokenizer),
                    **sampling,
                )
        ends = _ends(tokenizer, network)
        replies = [
            _reply(tokenizer, row[length:].tolist(), ends, 0 if i else length)
            for i, row in enumerate(written)
        ]
        if not any(r.text.strip() for r in replies):
            raise PlannerError(f"{self.name} gave an empty reply")
        return (replies * n)[:n] if temperature <= 0 else [r for r in replies if r.text.strip()]

    def _encode(self, tokenizer: Any, messages: list[Message]) -> Any:
        if not tokenizer.chat_template:  # a model that only continues text
            text = "\n\n".join(m["content"] for m in messages) + "\n\n"
            return tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        arguments = {"return_tensors": "pt", "return_dict": True}
        return self._templated(tokenizer, messages, dict, **arguments)

    def _prepare(self, messages: list[Message]) -> Any:
        """What the processor makes of a conversation with images. What a text has of control tokens is none: it may
        come from an image."""
        import PIL.Image

        processor = self._processor
        images = []
        for part in (part for message in messages for part in parts_of(message)):
            if isinstance(part, ImagePart):
                with PIL.Image.open(io.BytesIO(part.data), formats=("PNG", "JPEG")) as image:
                    images.append(image.convert("RGB"))

        def form(message: Message) -> Message:
            return {"role": message["role"], "content": [_content(p, processor) for p in parts_of(message)]}

        text = self._templated(processor, messages, form, tokenize=False)
        bos = processor.tokenizer.bos_token
        has_bos = {"add_special_tokens": False} if bos and text.startswith(bos) else {}
        try:
            return processor(images=[images] if images else None, text=[text], return_tensors="pt", **has_bos)
        except (ValueError, TypeError, RuntimeError) as error:
            raise PlannerError(
                f"{self.name} cannot be given the conversation: {first_line(error)}"
            ) from error

    def _templated(
        self, template: Any, messages: list[Message], form: Callable[[Message], Message], **arguments: Any
    ) -> Any:
        """A conversation by a chat template, up to where the model answers.

        Args:
            template: A tokenizer or a processor.
            form: Gives a message as the template reads it.
        """
        import jinja2

        error = Exception()
        for said in (messages, without_system(messages)):  # some templates know no system role
            try:
                return template.apply_chat_template(
                    [*map(form, said)], add_generation_prompt=True, **arguments
                )
            except jinja2.TemplateError as failed:
                error = failed
        raise PlannerError(f"the chat template of {self.name} fails: {first_line(error)}") from error

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is not None:
            return self._loaded
        folder = Path(self.model).expanduser()
        is_folder = folder.is_dir()
        if is_folder:
            self._look_at(folder)
        elif self.model.startswith((".", "/", "~", "\\")) or self.model.count("/") > 1 or folder.exists():
            raise PlannerError(f"no such folder: {self.model}")
        try:
            import torch
            import transformers
        except ImportError:
            raise MissingExtra("a local language model", "hf") from None
        try:
            source = str(folder if is_folder else fetch(self.model))
        except ValueError as error:
            raise PlannerError(first_line(error, 500)) from error
        common = {"trust_remote_code": False, "local_files_only": True}
        bars = transformers.utils.logging.is_progress_bar_enabled()
        transformers.utils.logging.disable_progress_bar()
        try:
            processor = self._read_processor(source, **common)
            if processor is None:
                tokenizer = transformers.AutoTokenizer.from_pretrained(source, **common)
            else:
                tokenizer = processor.tokenizer
            kind = "AutoModelForCausalLM" if processor is None else "AutoModelForImageTextToText"
            network = getattr(transformers, kind).from_pretrained(
                source, use_safetensors=True, dtype=self.dtype, **common
            )
        except (OSError, ValueError, RuntimeError, ImportError, ToolError) as error:
            raise PlannerError(f"cannot load '{self.model}': {first_line(error)}") from error
        finally:
            if bars:
                transformers.utils.logging.enable_progress_bar()
        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            network = network.to(device).eval()
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
            raise PlannerError(
                f"cannot put '{self.model}' on the device '{device}': {first_line(error)}"
            ) from error
        self._loaded, self._processor = (tokenizer, network), processor
        return self._loaded

    def _read_processor(self, source: str, **options: Any) -> Any:
        """The processor of an image-text-to-text model with a chat template; None for a model of texts.

        Raises:
            PlannerError: Such a model cannot be run here.
        """
        from ..models.preprocess.processors import (
            load_processor,
            resize_as_torchvision,
            sees_images,
            type_problem,
        )

        config = read_json(locate(source) / "config.json")
        if not sees_images(config):
            return None
        model_type = str(config.get("model_type"))
        if problem := type_problem(model_type):
            raise PlannerError(f"'{self.model}' is of model_type {model_type}, {problem}: choose another")
        processor = load_processor(source, model_type, **options)
        if hasattr(processor, "image_processor"):
            processor.image_processor = resize_as_torchvision(processor.image_processor)
        if not getattr(processor, "chat_template", None):
            processor.chat_template = processor.tokenizer.chat_template
        if not processor.chat_template:
            raise PlannerError(
                f"'{self.model}' has no chat template: choose one that was trained to converse"
            )
        return processor

    def _look_at(self, folder: Path) -> None:
        if not (folder / "config.json").is_file():
            raise PlannerError(f"{folder} holds no config.json: it is not a model saved by transformers")
        if not any(folder.glob("*.safetensors")):
            raise PlannerError(f"{folder} holds no *.safetensors: save the model again with save_pretrained")


def default_planner(size: str) -> str:
    """The hub id of the language model of a size, by the catalogue; empty if the text is no size."""
    rows = (c for c in catalogue() if PLANNER in c.tools and c.backend == "transformers" and c.size == size)
    return next((c.id for c in rows), "")


def _content(part: str | ImagePart, processor: Any) -> dict[str, str]:
    """A part of a message as chat templates read it."""
    if isinstance(part, ImagePart):
        return {"type": "image"}
    return {"type": "text", "text": without_control_tokens(part, processor)}


def _like(network: Any, value: Any) -> Any:
    """A tensor on the device of a network, floats in its precision."""
    return value.to(network.device, network.dtype if value.is_floating_point() else value.dtype)


def _pad(tokenizer: Any) -> int | None:
    pad: int | None = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return pad


def _ends(tokenizer: Any, network: Any) -> set[int]:
    """The tokens that end a reply: the tokenizer's, and those that the model was set up with."""
    more = network.generation_config.eos_token_id
    return {tokenizer.eos_token_id, *(more if isinstance(more, list) else [more])} - {None}


def _reply(tokenizer: Any, ids: list[int], ends: set[int], prompt: int) -> Reply:
    """What was written up to the end token; shorter rows of a batch are filled up after it."""
    length = next((i for i, token in enumerate(ids) if token in ends), None)
    text = tokenizer.decode(ids[:length], skip_special_tokens=True)
    return Reply(text, Tokens(prompt, len(ids) if length is None else length + 1), length is None)
