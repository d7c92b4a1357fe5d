"""What kinds of things look like, in sentences: `cupl_prompts` (CuPL, Pratt et al. 2023, arXiv:2209.03320).

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
from visprog.llm.chat import ChatModel
from visprog.registry import tool
from visprog.registry.sees import Parsed, Sees

from .backends._each import answer_each

MOST_NAMED = 60
"""Categories that are named to a planner."""

SAMPLES = 10
TEMPERATURE = 0.99
MAX_TOKENS = 50


@tool(
    backends={"bundled": "visprog.tools.cupl:BundledSentences", "chat": "visprog.tools.cupl:ChatSentences"},
    default="bundled",
)
def cupl_prompts(category: str) -> list[str]:
    """Sentences that say what a kind of thing looks like, to tell it by sight from other kinds."""
    raise NotImplementedError  # a backend answers


@cache
def questions() -> tuple[str, ...]:
    """What a language model is asked about a category: "{}" is its place, with the article."""
    return tuple(yaml.safe_load(prompts.text("cupl.yaml"))["questions"])


def with_article(category: str) -> str:
    """ "owl" → "an owl"."""
    return f"{'an' if category.lower().startswith(tuple('aeiou')) else 'a'} {category}"


def first_sentence(reply: str) -> str:
    """A reply up to its first full stop, which is kept; "" where there is nothing before it."""
    sentence = " ".join(reply.split(".")[0].split())
    return f"{sentence}." if sentence else ""


class CuPL:
    """Asks a language model, and keeps what it says: one file a question and category, named by all that the
    replies depend on. What was interrupted goes on where it stopped.

    Args:
        chat: any chat model of `visprog.planner`.
        folder: for the replies; None keeps them in memory only.
        samples: replies to a question.
    """

    def __init__(self, chat: ChatModel, folder: Path | None = None, samples: int = SAMPLES) -> None:
        self.chat, self.folder, self.samples = chat, folder, samples
        self._memory: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def sentences(self, category: str) -> list[str]:
        """Sentences about a category, each once, in the order of the questions.

        Raises:
            PlannerError: the model did not reply; what it said before is kept.
            ToolError: it said nothing of use, or there is no category.
        """
        category = " ".join(category.split())
        if not category:
            raise ToolError("cupl_prompts was given an empty category")
        asked = [question.replace("{}", with_article(category)) for question in questions()]
        with self._lock:
            said = [sentence for text in asked for sentence in self._ask(text)]
        if not said:
            raise ToolError(f"{self.chat.name} said nothing about '{category}': try another model")
        return list(dict.fromkeys(said))

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
        said = [sentence for reply in replies if (sentence := first_sentence(reply.text))]
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            draft = file.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(request | {"sentences": said}, indent=1, ensure_ascii=False))
            draft.replace(file)
        return said


class BundledSentences:
    """The sentences that come with visprog.

    Args:
        model: must be None.
    """

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            raise ToolError(
                'cupl_prompts: a model needs its backend: set backend = "chat" under [tools.cupl_prompts]'
            )

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.sentences)

    @property
    def sees(self) -> Sees:
        """The categories."""
        names = list(prompts.class_sentences())
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        return Sees(
            f"{len(names)} categories: {', '.join(names[:MOST_NAMED])}{more}.",
            {"category": Parsed(self.sentences)},
        )

    def sentences(self, category: str) -> list[str]:
        """Raises `Refused` for a category that is not among them."""
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
        model: as planners are named: "openai:MODEL", "langchain:PROVIDER:MODEL", "transformers:FOLDER".
        folder: for the replies; visprog/cupl in the user's cache folder where not given.
        samples: replies to each question.
        options: of the chat model, such as base_url.
    """

    def __init__(
        self, model: str | None = None, *, folder: str | None = None, samples: int = SAMPLES, **options: Any
    ) -> None:
        if not model:
            raise ToolError(
                'cupl_prompts: which language model? Set model = "openai:MODEL" under [tools.cupl_prompts]'
            )
        self.model, self.options, self.samples = model, options, samples
        home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        self.folder = Path(folder).expanduser() if folder else home / "visprog" / "cupl"
        self._cupl: CuPL | None = None

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.sentences)

    def sentences(self, category: str) -> list[str]:
        """As `CuPL.sentences`."""
        if self._cupl is None:
            self._cupl = CuPL(_chat(self.model, self.options), self.folder, self.samples)
        return self._cupl.sentences(category)


def _chat(model: str, options: dict[str, Any]) -> ChatModel:
    from visprog.planner import LLMPlanner, make_planner

    planner = make_planner(model, **options)
    if not isinstance(planner, LLMPlanner):
        raise ToolError(f"cupl_prompts: '{model}' is no language model: write \"openai:MODEL\" or the like")
    return planner.chat


def _read(file: Path | None) -> list[str] | None:
    """What was kept, or None; a broken file is asked for again."""
    if file is None or not file.is_file():
        return None
    try:
        said = json.loads(file.read_text())["sentences"]
    except (ValueError, KeyError, TypeError):
        return None
    return said if isinstance(said, list) else None
