"""Planners by name, as users write them on the command line and in `visprog.toml`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ConfigError
from ..llm import factory as chat_models
from ..llm.chat import ChatModel
from ..llm.factory import chat_adapter, check_options, in_words, option_names
from ..llm.langchain import LangChainChat, is_langchain_model
from ..plugins import plugin_named
from .base import Planner, PlannerLike
from .llm import LLMPlanner
from .replay import ReplayPlanner

FORMS = {
    "embedded": "the bundled planner: no network, no key",
    **chat_models.FORMS,
    "replay:FILE": "recorded programs",
}
"""How the planners that come with visprog are named, and what they are."""


def make_planner(spec: PlannerLike, **options: Any) -> Planner:
    """A planner from its name, from a chat model, from a LangChain model, or as it is.

    Args:
        spec: a name as in `FORMS`, or of a plugin; a `Planner`, a `ChatModel`, or a LangChain chat model.
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
    if isinstance(spec, ChatModel) or is_langchain_model(spec):
        check_options(f"the planner '{type(spec).__name__}'", options, option_names(LLMPlanner))
        return LLMPlanner(spec if isinstance(spec, ChatModel) else LangChainChat(spec), **options)
    raise ConfigError(
        f"{type(spec).__name__} is no planner: give {in_words(FORMS)}, a chat model, or an object with a plan method"
    )


def _by_name(spec: str, options: dict[str, Any]) -> Planner:
    name, _, rest = spec.partition(":")
    owner = f"the planner '{name}'"
    if spec == "embedded":
        from .embedded.planner import EmbeddedPlanner

        check_options(owner, options, option_names(EmbeddedPlanner, 0))
        return EmbeddedPlanner(**options)
    make = _planner_class(name)
    if make is not None:
        check_options(owner, options, option_names(make))
        return make(rest, **options)
    adapter = chat_adapter(name)
    if adapter is None:
        raise ConfigError(f"there is no planner '{spec}': write {in_words(FORMS)}")
    of_planner, of_chat = option_names(LLMPlanner) or set(), option_names(adapter)
    check_options(owner, options, None if of_chat is None else of_planner | of_chat)
    chat = adapter(rest, **{k: v for k, v in options.items() if k not in of_planner})
    return LLMPlanner(chat, **{k: v for k, v in options.items() if k in of_planner})


def _planner_class(name: str) -> Callable[..., Planner] | None:
    """What makes the planners of a name that are no chat models; None if there is none."""
    if name == "replay":
        return ReplayPlanner
    plugin = plugin_named("planners", name)
    return None if plugin is None else plugin.load()
