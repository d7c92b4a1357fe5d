"""The default backends of tools that need a model: they refuse, and say which backends would answer."""

from __future__ import annotations

from typing import Any, ClassVar

from visprog.errors import Refused, ToolError
from visprog.registry.sees import Sees


class _NoModel:
    """Refuses every call.

    Args:
        model: Must be None.
    """

    process = "host"

    sees: ClassVar[Sees]
    model_error: ClassVar[str]

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            raise ToolError(self.model_error)

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [Refused(self.sees.nothing)] * len(calls)


class NoCaptioner(_NoModel):
    """Refuses: a caption takes a model, and none is chosen."""

    model_error = 'caption: a model needs its backend: set backend = "blip" under [tools.caption]'
    sees = Sees(
        nothing="no model that describes images is chosen: run 'visprog models setup', or "
        "under [tools.caption] in visprog.toml set "
        'backend = "blip" or "llava" (after pip install \'visprog[hf]\'), or "openai" with the model of an endpoint'
    )


class NoVqa(_NoModel):
    """Refuses: free questions take a vision-language model, and none is chosen."""

    model_error = 'vqa: a model needs its backend: set backend = "llava" under [tools.vqa]'
    way_out = (
        "run 'visprog models setup', or under [tools.vqa] in visprog.toml set backend = \"llava\" (after pip install "
        "'visprog[hf]'), or \"openai\" with the model of an endpoint"
    )
    sees = Sees(nothing=f"no model that answers free questions is chosen, so vqa cannot answer: {way_out}")

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [
            Refused(
                "no model that answers free questions is chosen, "
                f"so vqa cannot answer '{call['question']}': {self.way_out}"
            )
            for call in calls
        ]


class NoVideoVqa(_NoModel):
    """Refuses: questions about a whole video take a model that sees several images, and none is chosen."""

    model_error = 'video_vqa: a model needs its backend: set backend = "vlm" under [tools.video_vqa]'
    sees = Sees(
        nothing="no model that answers questions about a whole video is chosen: run 'visprog models setup', or under "
        '[tools.video_vqa] in visprog.toml set backend = "vlm" (after pip install \'visprog[hf]\'), or "openai" with '
        "the model of an endpoint"
    )


class NoRetriever(_NoModel):
    """Refuses: finding images by a text takes a model, and none is chosen."""

    model_error = 'retrieve: a model needs its backend: set backend = "siglip" under [tools.retrieve]'
    sees = Sees(
        nothing="no model that finds images by a text is chosen: run 'visprog models setup', or "
        "under [tools.retrieve] in visprog.toml set "
        'backend = "siglip" or "clip" (after pip install \'visprog[hf]\'), or "embedded" for drawn shapes'
    )


class NoInpainter(_NoModel):
    """Refuses: to draw what a prompt describes takes a model, and none is chosen."""

    model_error = 'replace: a model needs its backend: set backend = "diffusers" under [tools.replace]'
    sees = Sees(
        nothing="no model that draws is chosen: run 'visprog models setup', or "
        "under [tools.replace] in visprog.toml set "
        'backend = "diffusers" (after '
        "pip install 'visprog[diffusion]'), or \"diffusion\" with the folder that visprog train diffusion made"
    )


class NoDepth(_NoModel):
    """Refuses: distance from the camera takes a model, and none is chosen."""

    model_error = 'depth: a model needs its backend: set backend = "depth-anything" under [tools.depth]'
    sees = Sees(
        nothing="no model that measures depth is chosen, so distance from the camera is not known: under [tools.depth] "
        "in visprog.toml set backend = \"depth-anything\" (after pip install 'visprog[hf]')"
    )


class NoPointer(_NoModel):
    """Refuses: pointing takes a model, or a detector that is chosen for it."""

    model_error = 'point: a model needs its backend: set backend = "vlm" under [tools.point]'
    sees = Sees(
        nothing='no model that points is chosen: under [tools.point] in visprog.toml set backend = "vlm" (after pip '
        'install \'visprog[hf]\'), "openai" with the model of an endpoint, or "detect" for the centres of what '
        "detect finds"
    )


class NothingSegmented(_NoModel):
    """Refuses: segmenting everything takes a model, and none is chosen."""

    model_error = 'segment_everything: a model needs its backend: set backend = "sam"'
    sees = Sees(
        nothing="no model that finds everything is chosen: run 'visprog models setup', or "
        "under [tools.segment_everything] in visprog.toml set "
        'backend = "sam" (after pip install \'visprog[hf]\'), or "embedded" for drawn shapes'
    )


class NoGenerator(_NoModel):
    """Refuses: images of a text take a model, and none is chosen."""

    model_error = 'generate: a model needs its backend: set backend = "dalle" under [tools.generate]'
    sees = Sees(
        nothing="no model that makes images of texts is chosen: run 'visprog models setup', or "
        "under [tools.generate] in visprog.toml set "
        'backend = "dalle" and model = the folder of a run of `visprog train dalle`, or backend = "diffusers" '
        "(after pip install 'visprog[diffusion]')"
    )


class NothingSelected(_NoModel):
    """Refuses: which region an expression means takes a model that sees all of them, and none is chosen."""

    model_error = 'select: a model needs its backend: set backend = "vilbert"'
    sees = Sees(
        nothing="no model of referring expressions is chosen: train one with `visprog train vilbert-select`, and under "
        '[tools.select] in visprog.toml set backend = "vilbert" and model = "FOLDER"'
    )
