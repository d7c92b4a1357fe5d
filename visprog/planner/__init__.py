"""Planners: from a question to a program, by a bundled model, any chat model, or a recording."""

from __future__ import annotations

from ..llm.chat import ChatModel, Message, Reply, Tokens
from .base import Feedback, NoProgram, Plan, Planner, PlanRequest, aplan
from .factory import FORMS, make_planner
from .llm import LLMPlanner
from .repair import plan_checked, plans_checked, replan
from .replay import RecordingPlanner, ReplayPlanner
from .vote import Vote, vote

__all__ = [
    "FORMS",
    "ChatModel",
    "Feedback",
    "LLMPlanner",
    "Message",
    "NoProgram",
    "Plan",
    "PlanRequest",
    "Planner",
    "RecordingPlanner",
    "ReplayPlanner",
    "Reply",
    "Tokens",
    "Vote",
    "aplan",
    "make_planner",
    "plan_checked",
    "plans_checked",
    "replan",
    "vote",
]
