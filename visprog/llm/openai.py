"""Chat models behind any OpenAI-compatible endpoint: the vendor's own, vLLM, llama.cpp, Ollama, a gateway."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..errors import ConfigError, MissingExtra, PlannerError, first_line, readable
from .chat import (
    Message,
    Reply,
    Tokens,
    ToolSchema,
    describe_images,
    has_images,
    is_at_limit,
    is_cut,
    without_system,
)
from .endpoint_errors import (
    error_in,
    field,
    names,
    refused_option,
    refuses_images,
    refuses_system,
    refuses_tools,
    said_in,
)
from .wire import calls_in, to_wire

MODEL_VARIABLE = "VISPROG_OPENAI_MODEL"
URL_VARIABLES = ("VISPROG_OPENAI_BASE_URL", "OPENAI_BASE_URL")
KEY_VARIABLE = "OPENAI_API_KEY"


class OpenAIChat:
    """A model behind an OpenAI-compatible chat-completions endpoint.

    Requests are retried, with growing pauses, on timeouts, broken connections, and statuses 429 and 5xx. An endpoint
    that refuses images is given descriptions of them from then on.

    Args:
        model: its name at the endpoint; else from VISPROG_OPENAI_MODEL.
        base_url: of the endpoint, up to "/v1"; else from VISPROG_OPENAI_BASE_URL or OPENAI_BASE_URL; else the
            vendor's own.
        api_key: else from OPENAI_API_KEY. An endpoint of your own needs none.
        timeout: seconds for one try.
        max_retries: tries after the first.
        extra_body: further fields of the request, as the endpoint defines them.
        key_header: header that carries the key, if it is not `Authorization: Bearer`: "api-key" for Azure.
        headers: further headers of the request.

    What follows `?` in `base_url`, such as `api-version=…`, is sent with every request.

    Raises:
        ConfigError: no model is named, or address or key cannot be used.
    """

    takes_tools = True

    def __init__(
        self,
        model: str = "",
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 120.0,
        max_retries: int = 3,
        extra_body: dict[str, Any] | None = None,
        key_header: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.model = (model or os.environ.get(MODEL_VARIABLE, "")).strip()
        if not self.model:
            raise ConfigError(f"which model? write 'openai:MODEL', or set {MODEL_VARIABLE}")
        given = base_url or next((os.environ[v] for v in URL_VARIABLES if os.environ.get(v)), None)
        self.base_url = None if given is None else checked_address(given)
        self.key_header = key_header
        self.headers = {name: value.strip() for name, value in (headers or {}).items()}
        self.timeout = timeout
        self.max_retries = max_retries
        self.extra_body = extra_body
        self._key = api_key
        self._client: Any = None
        self._lock = threading.Lock()
        self._unsupported: set[str] = set()
        self._renamed = False
        self._takes_system = True
        self.takes_images = True

    @property
    def name(self) -> str:
        return f"openai:{self.model}"

    @property
    def where(self) -> str:
        """The endpoint, for messages: without a password and what follows `?`, which may hold a key."""
        if self.base_url is None:
            return "the OpenAI API"
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

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
                newer = (self.base_url is None) != self._renamed
                options["max_completion_tokens" if newer else "max_tokens"] = max_tokens
            try:
                replies += self._request(messages, options, tools)
            except RecursionError as error:  # a body that is nested too deeply
                raise self._not_an_endpoint() from error
        return replies[:n]

    def _request(
        self, messages: list[Message], options: dict[str, Any], tools: Sequence[ToolSchema]
    ) -> list[Reply]:
        client = self._connect()
        import openai

        offered: dict[str, Any] = {"tools": list(tools)} if tools else {}
        with_images = has_images(messages)
        while True:
            options = {k: v for k, v in options.items() if k not in self._unsupported}
            shown = with_images and self.takes_images
            described = describe_images(messages) if with_images and not shown else messages
            sent = [to_wire(m) for m in (described if self._takes_system else without_system(described))]
            try:
                completion = client.chat.completions.create(
                    model=self.model, messages=sent, extra_body=self.extra_body, **options, **offered
                )
            except openai.APIStatusError as error:
                known = error.status_code in (401, 403, 429)
                said = error.body or error.message
                if tools and not known and refuses_tools(said):
                    why = first_line(Exception(_server_message(error)))
                    raise PlannerError(
                        f"{self.name} calls no tools ({why}): leave tool_calls out, and it writes programs"
                    ) from error
                if known or not self._adapt(said, options, shown):
                    raise self._explain(error) from error
            except openai.OpenAIError as error:
                raise self._explain(error) from error
            except (ValueError, TypeError) as error:
                if isinstance(error, UnicodeError) and not isinstance(error, UnicodeDecodeError):
                    raise self._not_sent(error) from error  # a host or a name of a model that none can have
                raise self._not_an_endpoint() from error  # a body that is not JSON, or not of this kind
            else:
                refusal = None if field(completion, "choices") else error_in(completion)
                if refusal is None or not self._adapt(refusal, options, shown):
                    replies = self._read(completion)
                    unseen = with_images and not shown
                    return [replace(r, without_images=True) for r in replies] if unseen else replies

    def _adapt(self, error: Any, options: dict[str, Any], with_images: bool) -> bool:
        """Whether the request can be made again without what the endpoint refuses: images, a sampling option altogether
        (a temperature other than 1, n, seed), another name for one, a system message. It is then left out from now on.
        """
        if with_images and refuses_images(error):
            self.takes_images = False
            return True
        if self._takes_system and refuses_system(error):
            self._takes_system = False
            return True
        refused = refused_option(error, options)
        if refused in ("max_tokens", "max_completion_tokens") and not self._renamed:
            other = "max_tokens" if refused == "max_completion_tokens" else "max_completion_tokens"
            if names(error, other):
                self._renamed = True
                options[other] = options.pop(refused)
                return True
        if refused is None:
            return False
        self._unsupported.add(refused)
        return True

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                try:
                    import openai
                except ImportError:
                    raise MissingExtra("an OpenAI-compatible planner", "openai") from None
                key = checked_key(self._key or os.environ.get(KEY_VARIABLE) or "")
                if not key and self.base_url is None:
                    raise PlannerError(
                        f"no API key for {self.name}: set {KEY_VARIABLE}, or pass api_key=…; "
                        f"for a server of your own set {URL_VARIABLES[0]}"
                    )
                address, _, query = (self.base_url or "https://api.openai.com/v1").partition("?")
                headers = {**self.headers, **({self.key_header: key} if self.key_header else {})}
                try:
                    self._client = openai.OpenAI(
                        base_url=address,
                        api_key=key or "none",
                        timeout=self.timeout,
                        max_retries=self.max_retries,
                        default_headers=headers or None,
                        default_query=dict(parse_qsl(query, keep_blank_values=True)) or None,
                    )
                except Exception as error:  # of proxies and certificates that the environment names
                    raise PlannerError(f"cannot connect to {self.where}: {first_line(error)}") from error
            return self._client

    def _read(self, completion: Any) -> list[Reply]:
        """The replies in a body of any shape.

        Raises:
            PlannerError: there is none.
        """
        choices = field(completion, "choices")
        error = None if choices else error_in(completion)
        if error is not None:
            raise PlannerError(f"{self.where} answered with an error: {readable(said_in(error), 200)}")
        if not isinstance(choices, list):
            raise self._not_an_endpoint()
        tokens = _tokens(field(completion, "usage"))
        replies: list[Reply] = []
        reason = "no choices"
        for choice in choices:
            message, finish = field(choice, "message"), field(choice, "finish_reason")
            text = text_in(field(message, "content")) or text_in(field(choice, "text"))
            refusal = text_in(field(message, "refusal"))
            calls = calls_in(field(message, "tool_calls"))
            if text.strip() or calls:
                replies.append(Reply(text, tokens, is_cut(finish), calls))
                tokens = None if tokens is None else Tokens(0, 0)
            elif refusal:
                reason = f"it declined: {readable(refusal, 200)}"
            elif field(choice, "error"):
                reason = f"it failed: {readable(said_in(field(choice, 'error')), 200)}"
            elif is_at_limit(finish):
                reason = "cut off before the first word; raise max_tokens"
            elif any(text_in(field(message, k)) for k in ("reasoning_content", "reasoning")):
                reason = "it holds thoughts and no answer; raise max_tokens"
            else:
                reason = f"finish reason {finish!r:.40}"
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
            why = str(error.__cause__ or error)
            if "CERTIFICATE_VERIFY_FAILED" in why or "certificate" in why.lower():
                return PlannerError(
                    f"the certificate of {self.where} cannot be verified ({first_line(Exception(why), 80)}): let "
                    "SSL_CERT_FILE name that of its authority"
                )
            if "SSL" in why or "TLS" in why:
                return PlannerError(f"{self.where} does not speak HTTPS there: write http:// in its address")
            if "Name or service" in why or "getaddrinfo" in why or "name resolution" in why:
                return PlannerError(f"there is no host of the name in {self.where}: is the address right?")
            if "Connect" in type(error.__cause__).__name__:
                return PlannerError(f"cannot reach {self.where}: is it running, and is the address right?")
            kind = type(error.__cause__).__name__
            if "Protocol" in kind and "Remote" not in kind:
                return self._not_sent(Exception(why))
            return PlannerError(f"{self.where} broke off in the middle of its reply ({tries}): try again")
        if isinstance(error, openai.APIStatusError):
            return self._explain_status(error.status_code, error)
        return PlannerError(f"{self.name} failed: {first_line(error)}")

    def _explain_status(self, status: int, error: Any) -> PlannerError:
        tries = f"after {self.max_retries + 1} tries" if self.max_retries else "at the first try"
        reason = first_line(Exception(_server_message(error)))
        if status in (401, 403):  # what the server says may quote a part of the key
            return PlannerError(f"{self.where} refused the API key ({status}): check {KEY_VARIABLE}")
        if status == 404:
            return PlannerError(
                f"{self.where} knows no model '{self.model}', or takes no chat completions there: {reason}"
            )
        if status == 429:
            if getattr(error, "code", None) == "insufficient_quota":
                return PlannerError(f"the account behind {self.name} has no quota left: {reason}")
            return PlannerError(
                f"{self.name} is rate limited ({tries}; {reason}): wait a while, or ask less often"
            )
        if getattr(error, "code", None) == "context_length_exceeded":
            return PlannerError(
                f"the prompt is too long for {self.name}: lower max_examples, or offer fewer tools"
            )
        if status >= 500:
            return PlannerError(f"{self.where} failed with status {status} ({tries}): {reason}")
        return PlannerError(f"{self.where} refused the request ({status}): {reason}")

    def _not_sent(self, why: Exception) -> PlannerError:
        return PlannerError(f"nothing could be sent to {self.where}: {first_line(why, 120)}")

    def _not_an_endpoint(self) -> PlannerError:
        return PlannerError(
            f"{self.where} does not answer like an OpenAI-compatible endpoint: does its address end in '/v1'?"
        )


def checked_address(address: str) -> str:
    """The address of an endpoint, without blanks around it.

    Raises:
        ConfigError: it has no scheme or no host, or blanks inside.
    """
    address = address.strip()
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"the address {address!r} cannot be used: {error}") from None
    if "://" in address and parts.scheme not in ("http", "https"):
        raise ConfigError(f"the address {address!r} is neither http:// nor https://")
    if parts.scheme not in ("http", "https"):
        raise ConfigError(
            f"the address {address!r} has no scheme: write http://{address} or https://{address}"
        )
    if not parts.hostname or any(c.isspace() or not c.isprintable() for c in address):
        raise ConfigError(f"the address {address!r} cannot be used: it is like http://HOST:PORT/v1")
    return address


def checked_key(key: str) -> str:
    """An API key as it can stand in a header, without blanks around it.

    Raises:
        ConfigError: it holds blanks, line breaks or other characters that no key has.
    """
    key = key.strip()
    if key.lower().startswith("bearer "):
        key = key[len("bearer ") :].strip()
    if not all("!" <= c <= "~" for c in key):
        raise ConfigError(
            f"the API key holds a blank, a line break or a letter that no key has: check {KEY_VARIABLE}"
        )
    return key


def text_in(content: Any) -> str:
    """The text of a message, which some endpoints send in parts; thoughts and images among these are left out."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(map(text_in, content))
    kind = str(field(content, "type") or "text")
    if kind not in ("text", "output_text"):
        return ""
    found = field(content, "text")
    return text_in(found if found is not None else field(content, "value")) if content is not None else ""


def _tokens(usage: Any) -> Tokens | None:
    counts = [field(usage, name) for name in ("prompt_tokens", "completion_tokens")]
    if not any(isinstance(c, int) for c in counts):
        return None
    read, written = (c if isinstance(c, int) else 0 for c in counts)
    return Tokens(read, written)


def _server_message(error: Any) -> str:
    body = getattr(error, "body", None)
    return said_in(body) if body else str(getattr(error, "message", error))
