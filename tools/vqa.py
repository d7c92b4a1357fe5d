"""Free questions about a picture."""

from __future__ import annotations

from typing import Any

from visprog.errors import Refused, ToolError
from visprog.registry import tool
from visprog.registry.sees import Sees
from visprog.values import Region
from visprog.values.image import Image


@tool(
    backends={
        "none": "visprog.tools.vqa:NoVqa",
        "embedded": "visprog.tools.backends.llava:EmbeddedVqa",
        "llava": "visprog.tools.backends.llava:LlavaVqa",
        "openai": "visprog.tools.backends.endpoint:EndpointVqa",
    },
    default="none",
)
def vqa(image: Image | Region, question: str) -> str:
    """A short answer, in words, to a question about an image or about a thing found in it."""
    raise NotImplementedError  # a backend answers


class NoVqa:
    """Refuses: free questions take a vision-language model, and none is chosen.

    Args:
        model: must be None.
    """

    WAY_OUT = (
        "under [tools.vqa] in visprog.toml set backend = \"llava\" (after pip install 'visprog[hf]'), "
        'or "openai" with the model of an endpoint'
    )
    sees = Sees(nothing=f"no model that answers free questions is chosen, so vqa cannot answer: {WAY_OUT}")

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            raise ToolError('vqa: a model needs its backend: set backend = "llava" under [tools.vqa]')

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [
            Refused(
                "no model that answers free questions is chosen, "
                f"so vqa cannot answer '{call['question']}': {self.WAY_OUT}"
            )
            for call in calls
        ]
