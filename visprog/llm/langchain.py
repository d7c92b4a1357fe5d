"""Any LangChain chat model: by name through `init_chat_model`, or an object of yours."""

from __future__ import annotations

from typing import Any

from ..errors import ConfigError, MissingExtra, PlannerError, first_line
from .chat import Message, Reply, Tokens, is_cut


class LangChainChat:
    """A LangChain chat model.

    Args:
        model: "PROVIDER:MODEL" as `langchain.chat_models.init_chat_model` takes it, or a chat model. A model
            object keeps its own sampling settings; to vote over several programs, give it a temperature.
        options: further arguments of `init_chat_model` (base_url, api_key, timeout, max_retries, …).

    Raises:
        ConfigError: no model, or neither a name nor a chat model.
    """

    def __init__(self, model: Any, **options: Any) -> None:
        if not model or not (isinstance(model, str) or is_langchain_model(model)):
            raise ConfigError(
                "which LangChain model? write 'langchain:PROVIDER:MODEL', or pass a chat model object"
            )
        if options and not isinstance(model, str):
            raise ConfigError(f"{', '.join(options)}: set this on the LangChain model object itself")
        self.model = model
        self.options = options
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
    ) -> list[Reply]:
        """`n` replies, asked for at the same time. LangChain has no seed: it is not used."""
        model = self._model(temperature, max_tokens)
        turns = [(m["role"], m["content"]) for m in messages]
        try:
            answers = [model.invoke(turns)] if n == 1 else model.batch([turns] * n)
        except Exception as error:  # each provider has its own errors
            raise PlannerError(f"{self.name} failed: {type(error).__name__}: {first_line(error)}") from error
        replies = [_reply(a) for a in answers]
        if not any(r.text.strip() for r in replies):
            raise PlannerError(f"{self.name} gave an empty reply")
        return [r for r in replies if r.text.strip()]

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
    return Reply(text, tokens, any(map(is_cut, reasons)))
