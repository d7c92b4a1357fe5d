"""Backends on the bundled models: small, trained by the recipes of this repository, no network needed."""

from __future__ import annotations

from importlib.util import find_spec

from visprog.errors import MissingExtra


def need_torch() -> None:
    """Raises `MissingExtra` where PyTorch, which all of them run on, is not installed."""
    if find_spec("torch") is None:
        raise MissingExtra("a bundled model", "torch")
