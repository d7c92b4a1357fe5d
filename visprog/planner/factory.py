"""Planners by name, as users write them on the command line and in `visprog.toml`."""

from __future__ import annotations

import inspect
from typing import Any

from ..errors import ConfigError
from ..llm.chat import ChatModel
from ..llm.langchain import LangChainChat, is_langchain_model
from ..llm.openai import OpenAIChat
from ..llm.transformers import TransformersChat
from .base import Planner
from .llm import LLMPlanner
from .replay import ReplayPlanner

FORMS = {
    "embedded": "the bundled planner: no network, no key",
    "openai:MODEL": "any OpenAI-compatible endpoint",
    "langchain:PROVIDER:MODEL": "any LangChain chat model",
    "transformers:FOLDER_OR_ID": "a language model on this machine",
    "replay:FILE": "recorded programs",
}
"""How a planner is named, and what it is."""

_CHATS = {"openai": OpenAIChat, "langchain": LangChainChat, "transformers": TransformersChat}


def make_planner(spec: Any, **options: Any) -> Planner:
    """A planner from its name, from a chat model, from a LangChain model, or as it is.

    Args:
        spec: a name as in `FORMS`, a `Planner`, a `ChatModel`, or a LangChain chat model.
        options: for the planner and its chat model: `max_examples`, `temperature`, `base_url`, `timeout`, …

    Raises:
        ConfigError: no such form, or an option that this planner does not have; the message lists them.
    """
    if isinstance(spec, str):
        return _by_name(spec.strip(), options)
    if isinstance(spec, Planner):
        if options:
            raise ConfigError(f"{', '.join(options)}: set this on the planner object itself")
        return spec
    if isinstance(spec, ChatModel):
        return LLMPlanner(spec, **_take(options, _options(LLMPlanner), type(spec).__name__))
    if is_langchain_model(spec):
        return LLMPlanner(LangChainChat(spec), **_take(options, _options(LLMPlanner), type(spec).__name__))
    raise ConfigError(
        f"{type(spec).__name__} is no planner: give {_forms()}, a chat model, or an object with a plan method"
    )


def _by_name(spec: str, options: dict[str, Any]) -> Planner:
    kind, _, rest = spec.partition(":")
    if spec == "embedded":
        from .embedded.planner import EmbeddedPlanner

        return EmbeddedPlanner(**_take(options, _options(EmbeddedPlanner, 0), kind))
    if kind == "replay":
        return ReplayPlanner(rest, **_take(options, _options(ReplayPlanner), kind))
    if kind not in _CHATS:
        raise ConfigError(f"there is no planner '{spec}': write {_forms()}")
    of_planner, of_chat = _options(LLMPlanner), _options(_CHATS[kind])
    if kind != "langchain":  # LangChain's own options are open
        _take(options, of_planner | of_chat, kind)
    chat = _CHATS[kind](rest, **{k: v for k, v in options.items() if k not in of_planner})
    return LLMPlanner(chat, **{k: v for k, v in options.items() if k in of_planner})


def _options(cls: type, positional: int = 1) -> set[str]:
    """What a class's constructor takes by keyword, after its first `positional` parameters."""
    return set(list(inspect.signature(cls).parameters)[positional:])


def _take(options: dict[str, Any], allowed: set[str], kind: str) -> dict[str, Any]:
    unknown = set(options) - allowed
    if unknown:
        raise ConfigError(_unknown(kind, unknown, allowed))
    return options


def _unknown(kind: str, names: set[str], allowed: set[str]) -> str:
    has = f"it has {', '.join(sorted(allowed))}" if allowed else "it has none"
    return f"the planner '{kind}' has no option {', '.join(map(repr, sorted(names)))}; {has}"


def _forms() -> str:
    *most, last = (f"'{form}'" for form in FORMS)
    return f"{', '.join(most)} or {last}"
