"""Visual question answering: free questions about an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from visprog.registry import tool
from visprog.values import Region
from visprog.values.image import Image


def comparable(
    image: Image | Region, question: str
) -> tuple[list[dict[str, Any]], Callable[[Sequence[str]], str]]:
    """The call as it is, and an answer that is no more than yes or no in the form that programs compare with."""

    def plain(answers: Sequence[str]) -> str:
        word = answers[0].strip().rstrip(".!").lower()
        return word if word in ("yes", "no") else answers[0]

    return [{"image": image, "question": question}], plain


@tool(
    backends={
        "none": "visprog.tools.backends.none:NoVqa",
        "embedded": "visprog.tools.backends.llava:EmbeddedVqa",
        "blip2": "visprog.tools.backends.blip2:Blip2Vqa",
        "llava": "visprog.tools.backends.llava:LlavaVqa",
        "lxmert": "visprog.tools.backends.lxmert:LxmertVqa",
        "vlm": "visprog.tools.backends.vlm:VlmVqa",
        "openai": "visprog.tools.backends.endpoint:EndpointVqa",
    },
    default="none",
    spread=comparable,
)
def vqa(image: Image | Region, question: str) -> str:
    """A short answer, in words, to a question about an image or about an object found in it: "yes", "no", "two"."""
    raise NotImplementedError  # a backend answers
