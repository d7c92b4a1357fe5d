"""Chat models by name, as users write them on the command line and in `visprog.toml`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ConfigError
from ..plugins import plugin_named
from .chat import ChatModel
from .langchain import LangChainChat
from .ollama import OllamaChat
from .openai import OpenAIChat
from .transformers import TransformersChat

FORMS = {
    "openai:MODEL": "any OpenAI-compatible endpoint",
    "langchain:PROVIDER:MODEL": "any LangChain chat model",
    "ollama:NAME": "a language model of Ollama on this machine",
    "transformers:FOLDER_OR_ID": "a language model on this machine",
}
"""How the chat models that come with visprog are named, and what they are."""

_ADAPTERS: Mapping[str, Callable[..., ChatModel]] = {
    "openai": OpenAIChat,
    "langchain": LangChainChat,
    "ollama": OllamaChat,
    "transformers": TransformersChat,
}


def make_chat(spec: str, **options: Any) -> ChatModel:
    """A chat model from its name.

    Args:
        spec: a name as in `FORMS`, or "NAME:MODEL" with the name of a plugin.
        options: keyword arguments of its adapter: `base_url`, `timeout`, …

    Raises:
        ConfigError: there is no such form, or the adapter has no such option; the message lists them.
    """
    name, _, model = spec.strip().partition(":")
    adapter = chat_adapter(name)
    if adapter is None:
        raise ConfigError(f"there is no chat model '{spec}': write {in_words(FORMS)}")
    check_options(f"the chat model '{name}'", options, option_names(adapter))
    return adapter(model, **options)


def chat_adapter(name: str) -> Callable[..., ChatModel] | None:
    """What makes the chat models of a name: one that comes with visprog, or a plugin's; None if there is none.

    Raises:
        ConfigError: the plugin of that name cannot be imported.
    """
    if name in _ADAPTERS:
        return _ADAPTERS[name]
    plugin = plugin_named("chat_models", name)
    if plugin is None:
        return None
    made: Callable[..., ChatModel] = plugin.load()
    return made


def option_names(make: Callable[..., Any], positional: int = 1) -> set[str] | None:
    """Names of the keyword arguments of a constructor after its first `positional` parameters; None if it takes any."""
    parameters = list(inspect.signature(make).parameters.values())[positional:]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return {p.name for p in parameters}


def check_options(owner: str, given: Mapping[str, Any], allowed: set[str] | None) -> None:
    """Raise `ConfigError` if options are given that are not allowed; the message lists those that are.

    Args:
        owner: of the options, for the message.
        allowed: None allows any.
    """
    unknown = set() if allowed is None else set(given) - allowed
    if unknown:
        has = f"it has {', '.join(sorted(allowed or ()))}" if allowed else "it has none"
        raise ConfigError(f"{owner} has no option {', '.join(map(repr, sorted(unknown)))}; {has}")


def in_words(forms: Mapping[str, str]) -> str:
    """The forms as a list in a sentence."""
    *most, last = (f"'{form}'" for form in forms)
    return f"{', '.join(most)} or {last}"
