"""Fixtures of the chat models' tests."""

from __future__ import annotations

import os

import pytest

from tests.planner.conftest import plan_request, registry

__all__ = ["plan_request", "registry"]

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the hub's package is imported


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "VISPROG_OPENAI_BASE_URL", "VISPROG_OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
