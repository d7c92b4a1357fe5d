"""Chat models behind any OpenAI-compatible endpoint: the vendor's own, vLLM, llama.cpp, Ollama, a gateway."""

from __future__ import annotations

import os
import threading
from typing import Any

from ..errors import ConfigError, MissingExtra, PlannerError
from .base import Tokens
from .chat import Message, Reply, first_line

MODEL_VARIABLE = "VISPROG_OPENAI_MODEL"
URL_VARIABLES = ("VISPROG_OPENAI_BASE_URL", "OPENAI_BASE_URL")
KEY_VARIABLE = "OPENAI_API_KEY"

_OPTIONAL = ("temperature", "seed", "n", "max_tokens", "max_completion_tokens")


class OpenAIChat:
    """A model behind an OpenAI-compatible chat-completions endpoint.

    Requests are retried, with growing pauses, on timeouts, broken connections, and statuses 429 and 5xx.

    Args:
        model: its name at the endpoint; else from VISPROG_OPENAI_MODEL.
        base_url: of the endpoint, up to "/v1"; else from VISPROG_OPENAI_BASE_URL or OPENAI_BASE_URL; else the
            vendor's own.
        api_key: else from OPENAI_API_KEY. An endpoint of your own needs none.
        timeout: seconds for one try.
        max_retries: tries after the first.
        extra_body: further fields of the request, as the endpoint defines them.

    Raises:
        ConfigError: no model is named.
    """

    def __init__(
        self,
        model: str = "",
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 120.0,
        max_retries: int = 3,
        extra_body: dict[str, Any] | None = None,
    ) -> None:
        self.model = model or os.environ.get(MODEL_VARIABLE, "")
        if not self.model:
            raise ConfigError(f"which model? write 'openai:MODEL', or set {MODEL_VARIABLE}")
        self.base_url = base_url or next((os.environ[v] for v in URL_VARIABLES if os.environ.get(v)), None)
        self.timeout = timeout
        self.max_retries = max_retries
        self.extra_body = extra_body
        self._key = api_key
        self._client: Any = None
        self._lock = threading.Lock()
        self._unsupported: set[str] = set()

    @property
    def name(self) -> str:
        return f"openai:{self.model}"

    @property
    def where(self) -> str:
        """The endpoint, for messages."""
        return self.base_url or "the OpenAI API"

    def complete(
        self,
        messages: list[Message],
        *,
        n: int = 1,
        temperature: float = 0.0,
        max_tokens: int | None = None,
        seed: int | None = None,
    ) -> list[Reply]:
        """`n` replies. An endpoint that gives fewer than asked for in one request is asked again."""
        replies: list[Reply] = []
        while len(replies) < n:
            options: dict[str, Any] = {"temperature": temperature}
            if n - len(replies) > 1:
                options["n"] = n - len(replies)
            if seed is not None:
                options["seed"] = seed + len(replies)
            if max_tokens is not None:
                # The vendor's newer models refuse the old name; most compatible servers know only that one.
                options["max_completion_tokens" if self.base_url is None else "max_tokens"] = max_tokens
            replies += self._request(messages, options)
        return replies[:n]

    def _request(self, messages: list[Message], options: dict[str, Any]) -> list[Reply]:
        client = self._connect()
        import openai

        while True:
            options = {k: v for k, v in options.items() if k not in self._unsupported}
            try:
                completion = client.chat.completions.create(
                    model=self.model, messages=messages, extra_body=self.extra_body, **options
                )
                return self._read(completion)
            except openai.BadRequestError as error:
                # Some models refuse a sampling option altogether (a temperature other than 1, n, seed).
                if error.param in options and error.param in _OPTIONAL:
                    self._unsupported.add(error.param)
                    continue
                raise self._explain(error) from error
            except openai.OpenAIError as error:
                raise self._explain(error) from error
            except ValueError as error:  # a body that is not JSON
                raise self._not_an_endpoint() from error

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                try:
                    import openai
                except ImportError:
                    raise MissingExtra("an OpenAI-compatible planner", "openai") from None
                key = self._key or os.environ.get(KEY_VARIABLE)
                if not key and self.base_url is None:
                    raise PlannerError(
                        f"no API key for {self.name}: set {KEY_VARIABLE}, or pass api_key=…; "
                        f"for a server of your own set {URL_VARIABLES[0]}"
                    )
                self._client = openai.OpenAI(
                    base_url=self.base_url or "https://api.openai.com/v1",
                    api_key=key or "none",
                    timeout=self.timeout,
                    max_retries=self.max_retries,
                )
            return self._client

    def _read(self, completion: Any) -> list[Reply]:
        choices = getattr(completion, "choices", None)
        if not isinstance(choices, list):
            raise self._not_an_endpoint()
        usage = getattr(completion, "usage", None)
        tokens = Tokens(usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else None
        replies: list[Reply] = []
        reason = "no choices"
        for choice in choices:
            message = choice.message
            text = getattr(message, "content", None) or ""
            cut = choice.finish_reason == "length"
            if text.strip():
                replies.append(Reply(text, tokens, cut))
                tokens = None if tokens is None else Tokens(0, 0)
            elif getattr(message, "refusal", None):
                reason = f"it declined: {message.refusal}"
            elif cut:
                reason = "cut off before the first word; raise max_tokens"
            else:
                reason = f"finish reason '{choice.finish_reason}'"
        if not replies:
            raise PlannerError(f"{self.name} gave an empty reply ({reason})")
        return replies

    def _explain(self, error: Exception) -> PlannerError:
        """One sentence for each way in which a request fails."""
        import openai

        tries = f"after {self.max_retries + 1} tries" if self.max_retries else "at the first try"
        if isinstance(error, openai.APITimeoutError):
            return PlannerError(
                f"{self.where} did not answer within {self.timeout:g} s ({tries}): raise timeout=…, "
                f"or see whether the server is busy"
            )
        if isinstance(error, openai.APIConnectionError):
            if "Connect" in type(error.__cause__).__name__:
                return PlannerError(f"cannot reach {self.where}: is it running, and is the address right?")
            return PlannerError(f"{self.where} broke off in the middle of its reply ({tries}): try again")
        if isinstance(error, openai.APIStatusError):
            return self._explain_status(error.status_code, error)
        return PlannerError(f"{self.name} failed: {first_line(error)}")

    def _explain_status(self, status: int, error: Any) -> PlannerError:
        tries = f"after {self.max_retries + 1} tries" if self.max_retries else "at the first try"
        said = first_line(Exception(_server_message(error)))
        if status in (401, 403):  # what the server says may quote a part of the key
            return PlannerError(f"{self.where} refused the API key ({status}): check {KEY_VARIABLE}")
        if status == 404:
            return PlannerError(
                f"{self.where} knows no model '{self.model}', or takes no chat completions there: {said}"
            )
        if status == 429:
            if getattr(error, "code", None) == "insufficient_quota":
                return PlannerError(f"the account behind {self.name} has no quota left: {said}")
            return PlannerError(f"{self.name} is rate limited ({tries}): wait a while, or ask less often")
        if getattr(error, "code", None) == "context_length_exceeded":
            return PlannerError(
                f"the prompt is too long for {self.name}: lower max_examples, or offer fewer tools"
            )
        if status >= 500:
            return PlannerError(f"{self.where} failed with status {status} ({tries}): {said}")
        return PlannerError(f"{self.where} refused the request ({status}): {said}")

    def _not_an_endpoint(self) -> PlannerError:
        return PlannerError(
            f"{self.where} does not answer like an OpenAI-compatible endpoint: does its address end in '/v1'?"
        )


def _server_message(error: Any) -> str:
    body = getattr(error, "body", None)
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"])
    return str(getattr(error, "message", error))
