"""Fixtures of the planner's tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.planner.stub_tools import REGISTRY
from visprog.planner import Message, PlanRequest, Reply, Tokens
from visprog.registry import Registry

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's package is imported


@pytest.fixture
def registry() -> Registry:
    return REGISTRY


@pytest.fixture
def plan_request(registry: Registry) -> Callable[..., PlanRequest]:
    """Make a request over the stub tools: `plan_request("How many dogs?")`."""

    def make(question: str = "How many dogs are there?", images: int = 1, returns: Any = None) -> PlanRequest:
        return PlanRequest(question, images, returns, registry)

    return make


class ScriptedChat:
    """A chat model that says what it is told to, and remembers what it was sent."""

    name = "scripted"

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.sent: list[list[Message]] = []
        self.temperatures: list[float] = []

    def complete(
        self,
        messages: list[Message],
        *,
        n: int = 1,
        temperature: float = 0.0,
        max_tokens: int | None = None,
        seed: int | None = None,
    ) -> list[Reply]:
        self.sent.append(messages)
        self.temperatures.append(temperature)
        said, self.replies = self.replies[:n], self.replies[n:]
        return [Reply(text, Tokens(10, 5)) for text in said]


@pytest.fixture
def scripted() -> type[ScriptedChat]:
    return ScriptedChat


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "VISPROG_OPENAI_BASE_URL", "VISPROG_OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
