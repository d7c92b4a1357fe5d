"""Sentences that describe categories: bundled ones, or those of a language model (CuPL, Pratt et al. 2023).

A language model is asked a few questions about a category, several times each with much freedom; the first
sentences of its replies, encoded like the templates of CLIP and averaged, tell the category from others better
than its name does.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from visprog import prompts
from visprog.errors import Refused, ToolError
from visprog.files.plain_text import read_json
from visprog.llm.chat import ChatModel
from visprog.llm.factory import make_chat
from visprog.registry import answer_each
from visprog.registry.sees import Parsed, Sees

MAX_NAMED = 20
"""Number of categories that are named to a planner."""

SAMPLES = 10
TEMPERATURE = 0.99
MAX_TOKENS = 50


@cache
def questions() -> tuple[str, ...]:
    """Questions to a language model about a category, which takes the place of "{}", with its article."""
    return tuple(yaml.safe_load(prompts.text("cupl.yaml"))["questions"])


def with_article(category: str) -> str:
    """A category with its article: "owl" → "an owl"."""
    return f"{'an' if category.lower().startswith(tuple('aeiou')) else 'a'} {category}"


def first_sentence(reply: str) -> str:
    """A reply up to its first full stop, which is kept; "" if there is nothing before it."""
    sentence = " ".join(reply.split(".")[0].split())
    return f"{sentence}." if sentence else ""


class CuPL:
    """Asks a language model, and keeps its sentences: one file per question and category, named by all that the
    replies depend on. An interrupted run resumes where it stopped.

    Args:
        chat: Chat model.
        folder: Folder of the kept sentences; None keeps them in memory only.
        samples: Number of replies per question.
    """

    def __init__(self, chat: ChatModel, folder: Path | None = None, samples: int = SAMPLES) -> None:
        self.chat, self.folder, self.samples = chat, folder, samples
        self._memory: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def sentences(self, category: str) -> list[str]:
        """Sentences about a category, each once, in the order of the questions.

        Raises:
            PlannerError: The model did not reply; the sentences before are kept.
            ToolError: Its replies hold no sentence, or there is no category.
        """
        category = " ".join(category.split())
        if not category:
            raise ToolError("cupl_prompts was given an empty category")
        texts = [question.replace("{}", with_article(category)) for question in questions()]
        with self._lock:
            sentences = [sentence for text in texts for sentence in self._ask(text)]
        if not sentences:
            raise ToolError(f"{self.chat.name} gave no sentence about '{category}': try another model")
        return list(dict.fromkeys(sentences))

    def _ask(self, question: str) -> list[str]:
        request = {
            "model": self.chat.name,
            "question": question,
            "samples": self.samples,
            "temperature": TEMPERATURE,
            "max_tokens": MAX_TOKENS,
        }
        key = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
        if key not in self._memory:
            file = self.folder / f"{key}.json" if self.folder else None
            self._memory[key] = _read(file) or self._complete(request, file)
        return self._memory[key]

    def _complete(self, request: dict[str, Any], file: Path | None) -> list[str]:
        replies = self.chat.complete(
            [{"role": "user", "content": request["question"]}],
            n=self.samples,
            temperature=TEMPERATURE,
            max_tokens=MAX_TOKENS,
        )
        sentences = [sentence for reply in replies if (sentence := first_sentence(reply.text))]
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(request | {"sentences": sentences}, indent=1, ensure_ascii=False))
            draft.replace(file)
        return sentences


class BundledSentences:
    """The sentences that come with visprog.

    Args:
        model: Must be None.
    """

    process = "native"

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            raise ToolError(
                'cupl_prompts: a model needs its backend: set backend = "chat" under [tools.cupl_prompts]'
            )

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.sentences)

    @property
    def sees(self) -> Sees:
        """The categories that have sentences."""
        names = list(prompts.class_sentences())
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        return Sees(
            f"{len(names)} categories: {', '.join(names[:MAX_NAMED])}{more}.",
            {"category": Parsed(self.sentences)},
        )

    def sentences(self, category: str) -> list[str]:
        """The sentences about a category.

        Raises:
            Refused: The category is not among the bundled ones.
        """
        name = " ".join(category.lower().split())
        for article in ("a ", "an ", "the "):
            name = name.removeprefix(article)
        if name not in prompts.class_sentences():
            raise Refused(
                f"no sentences about '{category}' come with visprog: set backend = \"chat\" and a model such as "
                '"openai:MODEL" under [tools.cupl_prompts] in visprog.toml'
            )
        return list(prompts.class_sentences()[name])


class ChatSentences:
    """Sentences by a language model, kept on disk.

    Args:
        model: Name of a chat model: "openai:MODEL", "langchain:PROVIDER:MODEL" or "transformers:FOLDER".
        folder: Folder of the kept sentences; by default visprog/cupl in the user's cache folder.
        samples: Number of replies per question.
        options: Options of the chat model, such as base_url.

    Raises:
        ToolError: No model is named.
        ConfigError: The name has no form of a chat model, or the model has no such option.
    """

    process = "host"

    def __init__(
        self, model: str | None = None, *, folder: str | None = None, samples: int = SAMPLES, **options: Any
    ) -> None:
        if not model:
            raise ToolError(
                'cupl_prompts: which language model? Set model = "openai:MODEL" under [tools.cupl_prompts]'
            )
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        kept = Path(folder).expanduser() if folder else cache / "visprog" / "cupl"
        self.cupl = CuPL(make_chat(model, **options), kept, samples)

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.cupl.sentences)


def _read(file: Path | None) -> list[str] | None:
    """Kept sentences; None if there is no file, or it is broken."""
    if file is None or not file.is_file():
        return None
    try:
        sentences = read_json(file)["sentences"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return sentences if isinstance(sentences, list) else None
