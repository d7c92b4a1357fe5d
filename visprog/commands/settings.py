"""The settings in force, with the changes of the command line. Nothing heavy is imported here."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..agent import Agent
    from ..config import Config
    from ..planner.base import Planner
    from ..registry import Registry
    from ..runtime.host import Host


def load_settings(
    path: Path | None,
    tools: Sequence[str] | None = None,
    backends: Sequence[str] | None = None,
    **given: Any,
) -> Config:
    """The settings in force, with the changes of the command line."""
    from ..config import Config
    from ..files.limits import use_limits

    config = Config.load(path)
    for text in backends or ():
        config = config.with_backend(text)
    given = {name: value for name, value in given.items() if value}
    config = replace(config, extra_tools=(*config.extra_tools, *(tools or ())), **given)
    use_limits(config.limits)
    _import_from_here(config)
    return config


def planner_in_force(settings: Config, named: str | None = None) -> Planner | None:
    """The planner that the settings or the command line name; None if it is one that asks no chat model. Nothing is
    loaded, and no model is called.

    Args:
        named: On the command line; the options in the settings are for the planner that they name.

    Raises:
        ConfigError: There is no such planner, or it cannot be made with its options.
    """
    spec = named or settings.planner
    if spec == "embedded" or spec.startswith("replay:"):
        return None
    from ..planner.factory import make_planner

    return make_planner(spec, **(settings.planner_options if spec == settings.planner else {}))


def host_in_force(settings: Config, planner: Planner | None) -> Host:
    """The tools with the backends in force, as an agent with this planner has them."""
    from ..llm.chat import ChatModel
    from ..registry import chosen_registry
    from ..runtime.host import Host, with_chat

    registry, chat = chosen_registry(settings), getattr(planner, "chat", None)
    return Host(with_chat(registry, chat) if isinstance(chat, ChatModel) else registry, settings)


def registry_in_force(settings: Config) -> Registry:
    """The tools with what the backends in force can see, as planners and the check get them.

    Raises:
        ConfigError: The settings name a planner, a tool or a backend that does not exist.
    """
    return host_in_force(settings, planner_in_force(settings)).in_force


def _import_from_here(config: Config) -> None:
    """Make modules of the working folder importable, if the settings name tools or backends that are not built in.

    The folder comes last on the path: a file in it never replaces an installed module.
    """

    def built_in(name: str, backend: str) -> bool:
        from ..registry import default_registry  # slow to import

        return not backend or name not in (tools := default_registry()) or backend in tools[name].backends

    chosen = ((name, each.backend) for name, each in config.tools.items())
    named = bool(config.extra_tools) or not all(built_in(name, backend) for name, backend in chosen)
    if named and "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def open_agent(
    planner: str | None = None,
    config: Path | None = None,
    tools: Sequence[str] | None = None,
    backends: Sequence[str] | None = None,
    record: Path | None = None,
    replay: Path | None = None,
    **settings: Any,
) -> Agent:
    """An agent with the settings in force and the changes of the command line, which is to run programs on images.

    Its processes get ready while the rest is imported.
    """
    from ..runtime.processes.launch import DECODER, NATIVE, launch_early

    loaded = load_settings(config, tools, backends, **settings)
    gc.disable()  # what is imported stays
    try:
        if not loaded.in_process:
            launch_early(DECODER)
        _import_numpy()
        from ..agent import Agent

        if not loaded.in_process:
            launch_early(NATIVE)
        return Agent(planner, loaded, record=record, replay=replay)
    finally:
        gc.enable()


def _import_numpy() -> None:
    """Import NumPy on one thread: the matrices of the planner are so small that more would wait for each other."""
    name = "OPENBLAS_NUM_THREADS"
    chosen = name in os.environ
    os.environ.setdefault(name, "1")  # read when it is loaded
    import numpy  # noqa: F401

    if not chosen:  # it is not for other processes
        del os.environ[name]
