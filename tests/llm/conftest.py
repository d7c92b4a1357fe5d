"""Fixtures of the chat models' tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.planner.stub_tools import REGISTRY
from visprog.planner import Task

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's package is imported


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "VISPROG_OPENAI_BASE_URL", "VISPROG_OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def task() -> Callable[..., Task]:
    """Make a task over the stub tools: `task("How many dogs?")`."""

    def make(question: str = "How many dogs are there?", images: int = 1, returns: Any = None) -> Task:
        return Task(question, images, returns, REGISTRY)

    return make
