"""Language models of Ollama on this machine, through its OpenAI-compatible endpoint."""

from __future__ import annotations

import math
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError, PlannerError
from ..files.plain_text import decode_text, parse_json
from .chat import Message, Reply
from .openai import OpenAIChat

ADDRESS_VARIABLE = "OLLAMA_HOST"
PORT = 11434

MAX_BYTES = 16 << 20
"""Maximum size of the list of models."""


LETTERS_PER_TOKEN = 6
"""Number of characters of a prompt per token, at most."""

MIN_READ = 1000
"""Number of tokens, below which a prompt is not taken for one that was cut off."""


@dataclass(frozen=True)
class OllamaModel:
    """A model that Ollama has pulled.

    Attributes:
        name: as Ollama calls it, "qwen3:8b".
        size: of its file, in bytes.
        family: of its architecture, "qwen3".
    """

    name: str
    size: int
    family: str = ""


class OllamaChat(OpenAIChat):
    """A model of Ollama.

    Args:
        model: its name, as `ollama list` shows it: "qwen3:8b"; without a tag, ":latest" is meant.
        base_url: of the endpoint, up to "/v1"; else at OLLAMA_HOST, else at 127.0.0.1:11434.
        timeout: seconds for one try; the first one loads the model.
        max_retries: tries after the first.
        extra_body: further fields of the request.

    Raises:
        ConfigError: no model is named, or the address cannot be used.
    """

    def __init__(
        self,
        model: str = "",
        *,
        base_url: str | None = None,
        timeout: float = 600.0,
        max_retries: int = 1,
        extra_body: dict[str, Any] | None = None,
    ) -> None:
        if not model.strip():
            raise ConfigError("which model? write 'ollama:NAME', a name that 'ollama list' shows")
        super().__init__(
            model,
            base_url=base_url or f"{ollama_address()}/v1",
            api_key="ollama",  # it asks for none; that of another endpoint must not be sent
            timeout=timeout,
            max_retries=max_retries,
            extra_body=extra_body,
        )
        self._is_checked = False

    @property
    def name(self) -> str:
        return f"ollama:{self.model}"

    def complete(
        self,
        messages: list[Message],
        *,
        n: int = 1,
        temperature: float = 0.0,
        max_tokens: int | None = None,
        seed: int | None = None,
    ) -> list[Reply]:
        """`n` replies, after a look whether Ollama runs and has the model.

        Raises:
            PlannerError: no reply came; the message says which command helps.
        """
        if not self._is_checked:
            self._check()
            self._is_checked = True
        replies = super().complete(messages, n=n, temperature=temperature, max_tokens=max_tokens, seed=seed)
        self._check_length(messages, replies)
        return replies

    def _check_length(self, messages: list[Message], replies: list[Reply]) -> None:
        """Ollama cuts off a prompt that is too long for its context, and says nothing."""
        read = replies[0].tokens.prompt if replies[0].tokens is not None else 0
        letters = sum(len(message["content"]) for message in messages)
        if (
            MIN_READ <= read < letters / LETTERS_PER_TOKEN
        ):  # of a prompt that it remembers, it may count the rest alone
            raise PlannerError(
                f"Ollama read {read} tokens of a prompt of about {letters // 4}: start it with a longer context, "
                f"'OLLAMA_CONTEXT_LENGTH={_context(letters)} ollama serve', or lower max_examples"
            )

    def _check(self) -> None:
        address = str(self.base_url).rstrip("/").removesuffix("/v1")
        pulled = [model.name for model in ollama_models(address)]
        wanted = self.model if ":" in self.model else f"{self.model}:latest"
        if wanted in pulled:
            return
        has = f"it has {', '.join(sorted(pulled)[:6])}" if pulled else "it has none"
        raise PlannerError(f"Ollama has no model '{self.model}' ({has}): run 'ollama pull {self.model}'")


def _context(letters: int) -> int:
    """A length of context that has room for a prompt and a program."""
    return int(2 ** math.ceil(math.log2(letters / 3 + 1024)))


def ollama_address() -> str:
    """The address of Ollama, by OLLAMA_HOST as Ollama itself reads it: a host, a port, or both, with or without a
    scheme."""
    given = os.environ.get(ADDRESS_VARIABLE, "").strip().rstrip("/")
    scheme, separator, rest = given.rpartition("://")
    host, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]"):
        host, port = (rest, "") if not rest.isdigit() else ("", rest)
    if host in ("", "0.0.0.0", "[::]"):  # what a server listens at, which is no address to call
        host = "127.0.0.1"
    usual = {"http": 80, "https": 443}.get(scheme, PORT) if separator else PORT
    return f"{scheme or 'http'}://{host}:{port or usual}"


def ollama_models(address: str = "", timeout: float = 5.0) -> list[OllamaModel]:
    """The models that Ollama has pulled.

    Args:
        address: without "/v1"; that of `ollama_address` if empty.
        timeout: seconds in which it must answer.

    Raises:
        PlannerError: it does not run, or something else answers.
    """
    address = address or ollama_address()
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine
        with opener.open(f"{address}/api/tags", timeout=timeout) as answer:
            raw = parse_json(decode_text(answer.read(MAX_BYTES)))
        return [
            OllamaModel(
                str(each["name"]),
                int(each.get("size") or 0),
                str((each.get("details") or {}).get("family") or ""),
            )
            for each in raw["models"]
        ]
    except (urllib.error.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        raise PlannerError(f"what answers at {address} is not Ollama: set {ADDRESS_VARIABLE}") from None
    except OSError:
        raise PlannerError(
            f"Ollama does not run at {address}: start it with 'ollama serve', or set {ADDRESS_VARIABLE}"
        ) from None


def best_ollama_model(models: list[OllamaModel], most: int) -> OllamaModel | None:
    """The model to propose as planner: the largest that takes at most so many bytes, and writes text."""
    fitting = [m for m in models if 0 < m.size <= most and "bert" not in m.family and "embed" not in m.name]
    return max(fitting, key=lambda m: (m.size, m.name), default=None)
