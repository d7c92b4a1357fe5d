"""Options of the backends on models: typed, described, and checked when an agent is made."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from visprog import Agent
from visprog.errors import VisprogError
from visprog.registry import Tool, backend_options
from visprog.tools.backends._model_backend import ModelBackend
from visprog.tools.caption import caption
from visprog.tools.classify import classify, match, verify
from visprog.tools.detect import detect
from visprog.tools.retrieve import retrieve
from visprog.tools.segment import segment, segment_everything
from visprog.tools.select import select
from visprog.tools.text import find_text, read_text
from visprog.tools.vqa import vqa

BUNDLED: list[Tool[..., Any]] = [
    detect,
    segment,
    segment_everything,
    classify,
    match,
    verify,
    caption,
    vqa,
    retrieve,
]
TOOLS = [*BUNDLED, select, read_text, find_text]
ON_MODELS = [
    pytest.param(tool, name, id=f"{tool.name}-{name}")
    for tool in TOOLS
    for name in tool.backends
    if inspect.isclass(made := tool.backend_class(name)) and issubclass(made, ModelBackend)
]


def test_every_architecture_is_there() -> None:
    names = {str(param.values[1]) for param in ON_MODELS}
    assert names >= {"clip", "siglip", "owlv2", "grounding-dino", "sam", "coca", "blip", "llava", "embedded",
                     "visualbert", "vilbert", "lxmert", "vlm", "detr", "sam2", "florence2"}  # fmt: skip


@pytest.mark.parametrize(("tool", "backend"), ON_MODELS)
def test_options_are_typed_and_described(tool: Tool[..., Any], backend: str) -> None:
    options = backend_options(tool, backend)
    assert not options.takes_others and {"model", "device", "dtype"} <= options.known.keys()
    for name, option in options.known.items():
        assert option.type is not Any and option.description, name
    made: Any = tool.backend_class(backend)
    assert made(model="clip").tool == tool.name


@pytest.mark.parametrize(
    ("settings", "part"),
    [({"dtype": "float99"}, "dtype"), ({"margins": 3}, "margins"), ({"batch_size": "many"}, "batch_size")],
)
def test_wrong_options_are_errors_when_the_agent_is_made(settings: dict[str, Any], part: str) -> None:
    with pytest.raises(VisprogError, match=part):
        Agent(config={"tools": {"classify": {"backend": "clip", **settings}}})


def test_the_bundled_models_are_the_defaults_of_embedded() -> None:
    bundled = {tool.name: str(getattr(tool.load("embedded"), "model", "")) for tool in BUNDLED}
    assert bundled == {
        "detect": "owl", "segment": "sam", "segment_everything": "sam", "classify": "clip", "match": "clip",
        "verify": "clip", "caption": "coca", "vqa": "llava", "retrieve": "clip",
    }  # fmt: skip
