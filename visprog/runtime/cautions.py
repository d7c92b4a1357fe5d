"""What a person should know before they rely on an answer: from its tools, or read from its trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..values.image import Image
from .call import Call


def cautions_on(value: Any, trace: Sequence[Call]) -> tuple[str, ...]:
    """Sentences on an answer, each once.

    They are the cautions of its tools; a tool that was given an empty list, and so left the image as it was; and, for
    an answer that is a share or an image, what was searched and not found. A count of 0 objects needs no sentence.
    """
    sentences = [sentence for call in trace for sentence in call.cautions]
    for call in trace:
        sentences += [
            f"{call.tool} was given an empty list of {name}: nothing was changed"
            for name, given in call.arguments.items()
            if isinstance(given, list | tuple) and not given and isinstance(call.result, Image)
        ]
    if isinstance(value, float | Image):
        sentences += missed(trace)
    return tuple(dict.fromkeys(sentences))


def missed(trace: Sequence[Call]) -> list[str]:
    """What tools looked for and did not find, in the order of the calls."""
    return [
        f"{call.tool} found no {_wanted(call)}"
        for call in trace
        if isinstance(call.result, list) and not call.result
    ]


def _wanted(call: Call) -> str:
    texts = [f"'{v}'" for v in call.arguments.values() if isinstance(v, str) and v]
    return " ".join(texts) or "such object"
