"""Options of backends: what a constructor takes, with the type, default and description of each."""

from __future__ import annotations

from typing import Any

import pytest

from visprog import Image, tool
from visprog.config import Config, ToolConfig
from visprog.errors import ConfigError
from visprog.registry import Registry, backend_options, default_registry
from visprog.registry.options import described_arguments
from visprog.runtime.host import Host


class Base:
    """Counts.

    Args:
        model: Path of the
            weights.
        threshold: Lowest score: 0 to 1.
    """

    def __init__(self, model: str | None = None, *, threshold: float = 0.5) -> None:
        self.threshold = threshold

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [0] * len(calls)


class Derived(Base):
    """Counts more.

    Args:
        size: Side in pixels.
        threshold: Lowest score, which is higher here.

    Raises:
        ConfigError: never.
    """

    def __init__(self, model: str | None = None, *, size: int = 8, **options: Any) -> None:
        super().__init__(model, **options)


def make_open(model: str | None = None, *, size: int = 8, **options: Any) -> Base:
    """Makes one.

    Args:
        size, model: Of both.
    """
    return Base(model)


@tool(backends={"base": Base, "derived": Derived, "open": make_open}, default="base")
def counted(image: Image) -> int:
    """How many there are."""
    raise NotImplementedError


def test_each_option_has_its_type_default_and_description() -> None:
    options = backend_options(counted)
    assert not options.takes_others
    assert {name: (str(o), o.description) for name, o in options.known.items()} == {
        "model": ("model: str | None = None", "Path of the weights."),
        "threshold": ("threshold: float = 0.5", "Lowest score: 0 to 1."),
    }


def test_a_constructor_with_open_options_takes_those_of_its_base() -> None:
    options = backend_options(counted, "derived")
    assert not options.takes_others
    assert {name: o.description for name, o in options.known.items()} == {
        "model": "Path of the weights.",
        "threshold": "Lowest score, which is higher here.",
        "size": "Side in pixels.",
    }


def test_known_options_are_checked_beside_open_ones() -> None:
    options = backend_options(counted, "open")
    assert options.takes_others and options.known["size"].description == "Of both."
    Host(Registry([counted]), settings(size=4, anything="x"))
    with pytest.raises(ConfigError, match="'size' must be int, not"):
        Host(Registry([counted]), settings(size="large"))


def settings(**options: Any) -> Config:
    return Config(tools={"counted": ToolConfig("open", options)})


@pytest.mark.parametrize("doc", ["", "One line.", "No arguments.\n\nRaises:\n    ToolError: never."])
def test_a_docstring_without_arguments_describes_none(doc: str) -> None:
    assert described_arguments(doc) == {}


def test_every_option_of_a_bundled_backend_is_typed_and_described() -> None:
    for each in default_registry().values():
        for backend in each.backends:
            try:
                options = backend_options(each, backend)
            except ImportError:
                continue
            for option in options.known.values():
                where = f"{each.name}, backend {backend}: {option.name}"
                assert option.description and option.type is not Any, where
