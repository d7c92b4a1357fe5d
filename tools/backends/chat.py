"""`ask_llm`, `list_items` and `choose` with a chat model: the planner's own, or another one.

What a program hands over may be text that was read in an image. It stands between tags, and what looks like a tag in it
is replaced, so that it cannot pass for anything but data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from string import Template
from typing import Any, ClassVar

from visprog import prompts
from visprog.errors import ConfigError, PlannerError, Refused, ToolError, VisprogError
from visprog.llm.chat import ChatModel, Reply, estimate_tokens
from visprog.llm.factory import make_chat
from visprog.llm.thoughts import without_thoughts
from visprog.registry import Metered, answer_each
from visprog.registry.sees import NOT_SAID, Sees

MAX_ITEMS = 100
MAX_ITEM_LETTERS = 200
_UNKNOWN = re.compile(
    r"""unknown\b[.!]*\Z|i (?:do not|don['’]t) know\b|i(?: am|['’]m) not (?:sure|certain)\b|(?:i )?can(?:not|['’]t)"""
    r""" (?:say|tell|answer|determine)\b""",
    re.IGNORECASE,
)
"""Replies of a model that does not know, in the word that it was asked for or in others."""
_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.DOTALL)


class ChatBackend:
    """A tool that asks a chat model.

    A subclass has `parts`, which gives what its prompt is filled with for the arguments of a call, and `read`, which
    gives the result in a reply.

    Args:
        model: Name of a chat model, such as "openai:MODEL"; without it, the planner's, if that is a chat model.
        max_tokens: Maximum number of tokens of one reply, thinking included.
        chat: The model itself, in place of a name.
        options: Options of the chat model, such as base_url.

    Raises:
        ConfigError: The name has no form of a chat model, or the model has no such option.
    """

    process = "host"
    at_once = 8

    tool: ClassVar[str]
    parts: Callable[..., dict[str, object]]
    read: Callable[..., Any]

    def __init__(
        self,
        model: str | None = None,
        *,
        max_tokens: int = 1024,
        chat: ChatModel | None = None,
        **options: Any,
    ) -> None:
        if model is None and options:
            raise ConfigError(
                f'{self.tool}: options need a model of their own: set model = "openai:MODEL" under [tools.{self.tool}]'
            )
        self.chat = chat if model is None else make_chat(model, **options)
        self.max_tokens = max_tokens

    @property
    def sees(self) -> Sees:
        """Nothing without a chat model."""
        if self.chat is not None:
            return NOT_SAID
        return Sees(
            nothing=f"no language model is chosen, so {self.tool} knows nothing: set planner to one, such as "
            f'"openai:MODEL", or under [tools.{self.tool}] in visprog.toml backend = "chat" and model = "openai:MODEL"'
        )

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.answer)

    def answer(self, **arguments: Any) -> Metered:
        """The result of one call, with the tokens that it took.

        Raises:
            Refused: There is no chat model, or nothing to ask it.
            ToolError: The arguments are wrong, or it does not reply.
        """
        parts = self.parts(**arguments)
        if self.chat is None:
            raise Refused(self.sees.nothing)
        filled = {name: as_data(str(part)) for name, part in parts.items()}
        text = Template(prompts.text(f"{self.tool}.txt")).substitute(filled).strip()
        messages = [{"role": "user", "content": text}]
        try:
            replies = self.chat.complete(messages, temperature=0.0, max_tokens=self.max_tokens)
        except (PlannerError, ConfigError) as error:
            raise ToolError(f"{self.tool}: {error}") from None
        reply = replies[0] if replies else Reply("")
        spent = reply.tokens
        tokens = (
            spent.prompt + spent.completion
            if spent
            else estimate_tokens([*messages, {"content": reply.text}])
        )
        try:
            return Metered(self.read(self._said(reply), **arguments), tokens)
        except VisprogError as error:
            return Metered(error, tokens)

    def _said(self, reply: Reply) -> str:
        """What a reply says after its thoughts. Raises `ToolError` if it is cut off or empty."""
        said = without_thoughts(reply.text).strip()
        if said and not reply.truncated:
            return said
        why = "was cut off: raise max_tokens" if reply.truncated else "is empty"
        raise ToolError(f"{self.tool}: the reply of {self.name} {why}")

    @property
    def name(self) -> str:
        """Name of the chat model."""
        return "" if self.chat is None else self.chat.name


def as_data(text: str) -> str:
    """Text in which nothing looks like a tag."""
    return text.replace("<", "‹").replace(">", "›").strip()


class KnowledgeAnswerer(ChatBackend):
    """Short answers from general knowledge."""

    tool = "ask_llm"

    def parts(self, *, question: str, context: str) -> dict[str, object]:
        """The question and its context."""
        if not question.strip():
            raise ToolError("ask_llm was given an empty question")
        return {"question": question, "context": context}

    def read(self, said: str, *, question: str, context: str) -> str:
        """The reply, on one line."""
        answer = " ".join(said.split())
        if _UNKNOWN.match(answer):
            raise Refused(f"the language model does not know the answer to '{' '.join(question.split())}'")
        return answer


class ItemLister(ChatBackend):
    """Names of a kind."""

    tool = "list_items"

    def parts(self, *, what: str, n: int) -> dict[str, object]:
        """What is listed, and the number."""
        if not what.strip():
            raise ToolError("list_items was not given what to list")
        if not 1 <= n <= MAX_ITEMS:
            raise ToolError(f"list_items gives 1 to {MAX_ITEMS} items, not {n}")
        return {"what": what, "n": n}

    def read(self, said: str, *, what: str, n: int) -> list[str]:
        """The items of a JSON list, each once."""
        fenced = _FENCE.match(said)
        try:
            items = json.loads(fenced[1] if fenced else said)
        except (ValueError, RecursionError):
            items = None
        if not isinstance(items, list) or not all(isinstance(item, str) and item.strip() for item in items):
            raise ToolError(f"list_items: the reply is no JSON list of texts: {said[:80]!r}")
        if not items:
            raise Refused(f"the language model knows no '{' '.join(what.split())}'")
        return list(dict.fromkeys(" ".join(item.split())[:MAX_ITEM_LETTERS] for item in items))[:n]


class OptionChooser(ChatBackend):
    """One of some options, by evidence."""

    tool = "choose"

    def parts(self, *, options: list[str], evidence: str) -> dict[str, object]:
        """The options with their numbers, and the evidence."""
        if not options or not all(option.strip() for option in options):
            raise ToolError("choose needs options, none of them empty")
        if not evidence.strip():
            raise Refused("choose was given no evidence, so it cannot decide")
        numbered = (f"{number}. {' '.join(option.split())}" for number, option in enumerate(options, 1))
        return {"options": "\n".join(numbered), "evidence": evidence}

    def read(self, said: str, *, options: list[str], evidence: str) -> str:
        """The option that a reply names by its number, or by its very words."""
        plain = said.strip().rstrip(".")
        if plain.isascii() and plain.isdigit():
            if int(plain) == 0:
                raise Refused(f"the evidence does not decide between {', '.join(options)}")
            if int(plain) <= len(options):
                return options[int(plain) - 1]
        same = {o for o in options if as_data(" ".join(o.split())).casefold() == plain.casefold()}
        if len(same) != 1:
            raise ToolError(f"choose: the reply names none of the options: {said[:80]!r}")
        return same.pop()
