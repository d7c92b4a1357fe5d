"""The check of programs that call the tools of this package: what their declarations promise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from visprog.check import Diagnostic, check, dry_run
from visprog.check.dry_run import LIBRARY
from visprog.config import Config
from visprog.errors import ToolDefinitionError
from visprog.registry import Registry, default_registry, tool
from visprog.runtime.host import Host
from visprog.sandbox import Limits, Sandbox
from visprog.values import Image


@pytest.fixture(scope="module")
def registry() -> Registry:
    """Tools that can be asked for anything: no backend is in force."""
    return default_registry()


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


@pytest.mark.parametrize("index", ["0", "-1"])
def test_a_video_has_a_frame(index: str, registry: Registry, sandbox: Sandbox) -> None:
    assert found(f"return caption(video.frames(every=5)[{index}])", registry, sandbox) == []
    more = found("return caption(video.frames()[1])", registry, sandbox)
    assert {d.code for d in more} == {"empty-result", "few-results"}


@pytest.fixture(scope="module")
def closed() -> Registry:
    """A `detect` of the 80 classes of COCO; no `verify` but of colours."""
    return Host(
        default_registry(), Config.of({"tools": {"detect": {"backend": "onnx", "model": "none.onnx"}}})
    ).in_force


@pytest.mark.parametrize(
    "body",
    [
        'return track(video, "{}")',
        'return count_unique(video, "{}")',
        'return max(n for _, n in count_over_time(video, "{}"))',
        'return area_share(image, "{}")',
        'return detect(video.at(1), "{}")',
    ],
)
def test_what_detect_cannot_see_nothing_that_calls_it_sees(body: str, closed: Registry) -> None:
    (only,) = check(about(body.format("unicorn")), closed)
    assert (only.code, only.severity) == ("unseen-phrase", "error") and "'unicorn'" in only.message
    assert check(about(body.format("horse")), closed) == []
    assert check(about("return area_share(image, find_faces(image))"), closed) == []


def test_what_verify_cannot_judge_when_does_not(closed: Registry) -> None:
    (only,) = check(about('return when(video, "a man is angry")'), closed)
    alone = check(about('return verify(image, "a man is angry")'), closed)[0]
    assert (only.code, only.message) == (alone.code, alone.message)


def test_a_prompt_says_what_tools_of_videos_see(closed: Registry) -> None:
    assert "Sees: what `detect` sees" in closed["track"].description
    man = check(about('return track(video, "man")'), closed)[0]
    assert "track(…, 'person')" in str(man.suggestion) and "image" not in str(man.suggestion)


def test_a_tool_cannot_answer_without_the_one_that_it_calls() -> None:
    @tool(phrases={"question": "vqa.question"})
    def ask_twice(image: Image, question: str) -> str:
        """The second answer."""
        raise NotImplementedError

    vqa = default_registry()["vqa"]
    in_force = Host(Registry([vqa, ask_twice])).in_force
    assert in_force["ask_twice"].sees.nothing == in_force["vqa"].sees.nothing != ""
    with pytest.raises(ToolDefinitionError, match="no parameter of it: query"):
        tool(phrases={"query": "vqa.question"})(ask_twice.function)


@pytest.mark.parametrize(
    "body",
    [
        "return color_pop(image, [r.mask for r in segment_everything(image)])",
        "return sum(r.mask.area for r in compare_images(images[0], images[1]))",
        'return segment(image, topmost(point(image, "knob"))).mask.area',
        "return color_pop(image, [largest(segment_everything(image)).mask])",
    ],
)
def test_promised_masks_are_there(body: str, registry: Registry, sandbox: Sandbox) -> None:
    assert [d for d in found(body, registry, sandbox) if d.code != "empty-result"] == []


def test_masks_that_nobody_promised_may_be_missing(registry: Registry, sandbox: Sandbox) -> None:
    (only,) = found('return [r.mask.area for r in detect(image, "cup")]', registry, sandbox)
    assert only.code == "may-fail" and "None" in str(only.suggestion)
