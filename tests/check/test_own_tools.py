"""The check of programs that call the tools of this package: what their declarations promise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from visprog.check import Diagnostic, check, dry_run
from visprog.check.dry_run import LIBRARY
from visprog.config import Config
from visprog.registry import Registry, default_registry
from visprog.runtime.host import Host
from visprog.sandbox import Limits, Sandbox

OPEN = {
    "detect": {"backend": "owlv2"},
    "vqa": {"backend": "vlm"},
    "verify": {"backend": "siglip"},
    "classify": {"backend": "siglip"},
    "point": {"backend": "vlm"},
    "segment_everything": {"backend": "sam2"},
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    """Tools that can be asked for anything."""
    return Host(default_registry(), Config.of({"tools": OPEN})).in_force


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(cpu=2.0, grace=5.0), library=LIBRARY) as shared:
        yield shared


def about(body: str) -> str:
    """The program of these lines: about a video, some images or one."""
    given = next((name for name in ("video", "images") if name in body), "image")
    return f"def answer({given}):\n    " + body.replace("\n", "\n    ") + "\n"


def found(body: str, registry: Registry, sandbox: Sandbox) -> list[Diagnostic]:
    source = about(body)
    diagnostics = check(source, registry)
    if any(d.severity == "error" for d in diagnostics):
        return diagnostics
    return [*diagnostics, *dry_run(source, registry, sandbox=sandbox)]


@pytest.mark.parametrize(
    "body",
    [
        'return best(track(video, "dog"))',
        'return nth(track(video, "dog"), -1)',
        "return nth(video.frames(every=2), -1)",
        'return nth(when(video, "a dog barks"), 1)',
        'return left_to_right(point(image, "knob"))',
        'return nearest([p.center for p in detect(image, "dog")], Point(3, 4))',
        'return nth(point(image, "knob"), 1)',
        'return topmost(point(image, "knob")).y',
    ],
)
def test_helpers_take_what_they_can_choose_among(body: str, registry: Registry, sandbox: Sandbox) -> None:
    assert found(body, registry, sandbox) == []


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ('return track(video, "dog")[0]', "nth(…)"),
        ('return when(video, "a dog barks")[0]', "nth(…)"),
        ('return max(track(video, "dog"), key=lambda t: t.duration)', "default=…"),
    ],
)
def test_the_way_out_of_an_empty_list_is_one(
    body: str, hint: str, registry: Registry, sandbox: Sandbox
) -> None:
    (only,) = found(body, registry, sandbox)
    assert only.code == "empty-result" and hint in str(only.suggestion) and "best" not in str(only.suggestion)
