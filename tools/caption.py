"""A sentence about a picture."""

from __future__ import annotations

from typing import Any

from visprog.errors import Refused, ToolError
from visprog.registry import tool
from visprog.registry.sees import Sees
from visprog.values import Region
from visprog.values.image import Image


@tool(
    backends={
        "none": "visprog.tools.caption:NoCaptioner",
        "embedded": "visprog.tools.backends.coca:CocaCaptioner",
        "coca": "visprog.tools.backends.coca:CocaCaptioner",
        "blip": "visprog.tools.backends.blip:BlipCaptioner",
        "llava": "visprog.tools.backends.llava:LlavaCaptioner",
        "openai": "visprog.tools.backends.endpoint:EndpointCaptioner",
    },
    default="none",
)
def caption(image: Image | Region) -> str:
    """One sentence that describes an image, or a thing found in it."""
    raise NotImplementedError  # a backend answers


class NoCaptioner:
    """Refuses: describing a picture in words takes a model, and none is chosen.

    Args:
        model: must be None.
    """

    sees = Sees(
        nothing="no model that describes pictures is chosen: under [tools.caption] in visprog.toml set "
        'backend = "blip" or "llava" (after pip install \'visprog[hf]\'), or "openai" with the model of an endpoint'
    )

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            raise ToolError('caption: a model needs its backend: set backend = "blip" under [tools.caption]')

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [Refused(self.sees.nothing)] * len(calls)
