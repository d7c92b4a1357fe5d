"""Any LangChain chat model: by name through `init_chat_model`, or an object of yours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import ConfigError, MissingExtra, PlannerError, first_line
from .chat import Message, Reply, Tokens, ToolCall, ToolSchema, describe_images, has_images, is_cut
from .endpoint_errors import refuses_images
from .wire import to_wire


class LangChainChat:
    """A LangChain chat model.

    Args:
        model: "PROVIDER:MODEL" as `langchain.chat_models.init_chat_model` takes it, or a chat model. A model
            object keeps its own sampling settings; to vote over several programs, give it a temperature.
        options: further arguments of `init_chat_model` (base_url, api_key, timeout, max_retries, …).

    Raises:
        ConfigError: no model, or neither a name nor a chat model.
    """

    takes_tools = True

    def __init__(self, model: Any, **options: Any) -> None:
        if not model or not (isinstance(model, str) or is_langchain_model(model)):
            raise ConfigError(
                "which LangChain model? write 'langchain:PROVIDER:MODEL', or pass a chat model object"
            )
        if options and not isinstance(model, str):
            raise ConfigError(f"{', '.join(options)}: set this on the LangChain model object itself")
        self.model = model
        self.options = options
        self.takes_images = True
        self._made: dict[tuple[float, int | None], Any] = {}

    @property
    def name(self) -> str:
        if isinstance(self.model, str):
            return f"langchain:{self.model}"
        label = getattr(self.model, "model_name", None) or getattr(self.model, "model", None)
        kind = type(self.model).__name__
        return f"langchain:{kind}:{label}" if isinstance(label, str) else f"langchain:{kind}"

    def complete(
        self,
        messages: list[Message],
        *,
        n: int = 1,
        temperature: float = 0.0,
        max_tokens: int | None = None,
        seed: int | None = None,
        tools: Sequence[ToolSchema] = (),
    ) -> list[Reply]:
        """`n` replies, asked for at the same time. LangChain has no seed: it is not used."""
        model = self._model(temperature, max_tokens)
        unseen = has_images(messages) and not self.takes_images
        turns = [to_wire(m) for m in (describe_images(messages) if unseen else messages)]
        try:
            bound = model.bind_tools(list(tools)) if tools else model
            answers = [bound.invoke(turns)] if n == 1 else bound.batch([turns] * n)
        except Exception as error:  # each provider has its own errors
            if not unseen and has_images(messages) and refuses_images(str(error)):
                self.takes_images = False
                return self.complete(
                    messages, n=n, temperature=temperature, max_tokens=max_tokens, seed=seed, tools=tools
                )
            raise PlannerError(f"{self.name} failed: {type(error).__name__}: {first_line(error)}") from error
        replies = [r for r in map(_reply, answers) if r.text.strip() or r.calls]
        if not replies:
            raise PlannerError(f"{self.name} gave an empty reply")
        return [replace(r, without_images=True) for r in replies] if unseen else replies

    def _model(self, temperature: float, max_tokens: int | None) -> Any:
        if not isinstance(self.model, str):
            return self.model
        if (temperature, max_tokens) not in self._made:
            try:
                from langchain.chat_models import init_chat_model
            except ImportError:
                raise MissingExtra("a LangChain planner", "langchain") from None
            options = {"temperature": temperature, "max_tokens": max_tokens, **self.options}
            try:
                made = init_chat_model(self.model, **{k: v for k, v in options.items() if v is not None})
            except Exception as error:  # an unknown provider, its package or key missing: it says which
                raise PlannerError(f"cannot make the model '{self.name}': {first_line(error)}") from error
            self._made[temperature, max_tokens] = made
        return self._made[temperature, max_tokens]


def is_langchain_model(model: object) -> bool:
    """True for what looks like a LangChain chat model (without importing LangChain)."""
    return all(callable(getattr(model, name, None)) for name in ("invoke", "batch", "ainvoke"))


def _reply(answer: Any) -> Reply:
    text = answer if isinstance(answer, str) else str(answer.text)
    usage = getattr(answer, "usage_metadata", None)
    tokens = Tokens(usage.get("input_tokens", 0), usage.get("output_tokens", 0)) if usage else None
    metadata = getattr(answer, "response_metadata", None) or {}
    reasons = [metadata.get(k) for k in ("finish_reason", "stop_reason", "done_reason", "status")]
    return Reply(text, tokens, any(map(is_cut, reasons)), tuple(_calls(answer)))


def _calls(answer: Any) -> list[ToolCall]:
    found = getattr(answer, "tool_calls", None) or []
    broken = getattr(answer, "invalid_tool_calls", None) or []
    return [
        ToolCall(
            str(call.get("id") or f"call{number}"),
            str(call["name"]),
            call["args"] if isinstance(call["args"], str) else json.dumps(call["args"]),
        )
        for number, call in enumerate([*found, *broken], 1)
    ]
