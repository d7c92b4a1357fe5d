"""What installed packages add through entry points: tools, backends, planners, chat models and benchmarks.

In the `pyproject.toml` of such a package:

    [project.entry-points."visprog.tools"]
    blur = "my_package.blur"                    # a Tool, or a module of tools
    [project.entry-points."visprog.backends"]
    "detect.yolo" = "my_package:Yolo"           # TOOL.NAME = the class of a `Backend`
    [project.entry-points."visprog.chat_models"]
    mine = "my_package:MyChat"                  # planner = "mine:MODEL" calls MyChat("MODEL")
    [project.entry-points."visprog.planners"]
    rules = "my_package:RulePlanner"            # planner = "rules:REST" calls RulePlanner("REST")
    [project.entry-points."visprog.benchmarks"]
    shelves = "my_package:Shelves"              # `visprog eval shelves`
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from dataclasses import dataclass
from typing import Any, Literal

from .errors import ConfigError, contained

Group = Literal["tools", "backends", "planners", "chat_models", "benchmarks"]


@dataclass(frozen=True)
class Plugin:
    """An entry point of an installed package.

    Attributes:
        name: of the entry point.
        reference: "module" or "module:attribute".
        package: name of the distribution; empty if it is not known.
    """

    name: str
    reference: str
    package: str = ""

    def __str__(self) -> str:
        return f"the plugin '{self.name}'" + (f" of the package '{self.package}'" if self.package else "")

    def load(self) -> Any:
        """The object that the entry point names, imported.

        Raises:
            ConfigError: its module fails, or has no such attribute.
        """
        module, _, attribute = self.reference.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in attribute.split(".") if attribute else ():
                found = getattr(found, part)
        except BaseException as error:  # a module of somebody else's may fail in any way
            why = contained(error)
            raise ConfigError(f"{self} cannot be used: {type(why).__name__}: {why}") from None
        return found

    def leave_out(self, why: object) -> None:
        """Warn that the plugin cannot be used; everything else works."""
        warnings.warn(f"{self} cannot be used: {why}", stacklevel=3)


def plugins(group: Group) -> list[Plugin]:
    """The plugins of a group.

    Packages in the working folder, which Python may search too, are left out: they were not installed, but may have
    come with the folder.
    """
    from importlib.metadata import distributions

    here = os.path.realpath(os.curdir)
    path = [p for p in sys.path if os.path.realpath(p or os.curdir) != here]
    found = (e for d in distributions(path=path) for e in d.entry_points.select(group=f"visprog.{group}"))
    unique = {(e.name, e.value): Plugin(e.name, e.value, e.dist.name if e.dist else "") for e in found}
    return list(unique.values())


def plugin_named(group: Group, name: str) -> Plugin | None:
    """The plugin of that name; None if no installed package has one."""
    return next((p for p in plugins(group) if p.name == name), None)
