"""Fixtures of the chat models' tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.planner.stub_tools import REGISTRY
from visprog.planner import PlanRequest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's package is imported


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "VISPROG_OPENAI_BASE_URL", "VISPROG_OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def plan_request() -> Callable[..., PlanRequest]:
    """Make a request over the stub tools: `plan_request("How many dogs?")`."""

    def make(question: str = "How many dogs are there?", images: int = 1, returns: Any = None) -> PlanRequest:
        return PlanRequest(question, images, returns, REGISTRY)

    return make
