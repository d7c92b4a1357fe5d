"""Planners: from a question to a program, by a bundled model, any chat model, or a recording."""

from __future__ import annotations

from ..llm.chat import ChatModel, Message, Reply, Tokens
from .base import NoProgram, Plan, Planner, PlanRequest
from .factory import FORMS, make_planner
from .llm import LLMPlanner
from .repair import RepairLoop
from .replay import ReplayPlanner
from .vote import Vote, vote

__all__ = [
    "FORMS",
    "ChatModel",
    "LLMPlanner",
    "Message",
    "NoProgram",
    "Plan",
    "PlanRequest",
    "Planner",
    "RepairLoop",
    "ReplayPlanner",
    "Reply",
    "Tokens",
    "Vote",
    "make_planner",
    "vote",
]
