"""Knowledge of the world: what a language model knows, and no image shows."""

from __future__ import annotations

from visprog.registry import tool


@tool(
    backends={
        "planner": "visprog.tools.backends.chat:KnowledgeAnswerer",
        "chat": "visprog.tools.backends.chat:KnowledgeAnswerer",
    },
    default="planner",
    limits="sees no image: give what was found as context",
)
def ask_llm(question: str, context: str = "") -> str:
    """A short answer, in words, from general knowledge: ask_llm("Which country is this monument in?", context=name).

    Args:
        context: what was found in the image, such as text that was read.
    """
    raise NotImplementedError  # a backend answers


@tool(
    backends={
        "planner": "visprog.tools.backends.chat:ItemLister",
        "chat": "visprog.tools.backends.chat:ItemLister",
    },
    default="planner",
)
def list_items(what: str, n: int = 10) -> list[str]:
    """At most n names of a kind, from general knowledge, the best known first: list_items("breeds of dog", 20). They
    can be options of classify."""
    raise NotImplementedError  # a backend answers


@tool(
    backends={
        "planner": "visprog.tools.backends.chat:OptionChooser",
        "chat": "visprog.tools.backends.chat:OptionChooser",
    },
    default="planner",
)
def choose(options: list[str], evidence: str) -> str:
    """The one of the options that evidence in words supports, spelled as given: choose(["baked", "fried"],
    f"how to cook {food}"). It refuses if the evidence does not decide."""
    raise NotImplementedError  # a backend answers
