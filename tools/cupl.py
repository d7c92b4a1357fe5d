"""Sentences that describe categories (CuPL, Pratt et al. 2023, arXiv:2209.03320)."""

from __future__ import annotations

from visprog.registry import tool


@tool(
    backends={
        "bundled": "visprog.tools.backends.sentences:BundledSentences",
        "chat": "visprog.tools.backends.sentences:ChatSentences",
    },
    default="bundled",
)
def cupl_prompts(category: str) -> list[str]:
    """Sentences that say what a kind of object looks like, to tell it by sight from other kinds."""
    raise NotImplementedError  # a backend answers
