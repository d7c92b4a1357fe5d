"""The check of programs that call the tools of this package: what their declarations promise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from visprog.check import Diagnostic, check, dry_run
from visprog.check.dry_run import LIBRARY
from visprog.config import Config
from visprog.errors import ToolDefinitionError
from visprog.registry import Registry, default_registry, tool
from visprog.registry.sees import Sees
from visprog.runtime.host import Host
from visprog.sandbox import Limits, Sandbox
from visprog.tools.words.labels import ClassPhrases, Labels
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


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ('return any(t.direction == "upwards" for t in track(video, "car"))', "one of these"),
        ('return dominant_color(image) == "gray"', "write 'grey'"),
        ('return dominant_color(image) in ("golden", "silver")', "write 'yellow'"),
        ('return "golden" in [dominant_color(d) for d in detect(image, "dog")]', "write 'yellow'"),
        ('return classify(image, ["poodle", "beagle"]) != "Poodle"', "write 'poodle'"),
        ('kinds = ["fried", "baked"]\nreturn choose(kinds, caption(image)) == "boiled"', "one of these"),
    ],
)
def test_a_value_that_never_comes_is_an_error(body: str, hint: str, registry: Registry) -> None:
    (only,) = check(about(body), registry)
    assert (only.code, only.severity) == ("always-same", "error") and hint in str(only.suggestion)


@pytest.mark.parametrize(
    "body",
    [
        'return any(t.direction in ("left", "right") for t in track(video, "car"))',
        'return dominant_color(image) in ("gray", "grey")',
        'return "gr" in dominant_color(image)',
        'return dominant_color(image).upper() == "GREY"',
        'return classify(image, [d.label for d in detect(image, "dog")]) == "Poodle"',
        'names = list_items("dogs")\nreturn classify(image, [*names, "none"]) == "poodle"',
        'mode = "a"\nif mode == "b":\n    return 1\nreturn 2',
        'seen = "none"\nfor d in detect(image, "dog"):\n    seen = dominant_color(d)\nreturn seen == "none"',
    ],
)
def test_a_value_that_may_come_is_fine(body: str, registry: Registry) -> None:
    assert check(about(body), registry) == []


def test_a_bare_box_has_no_colour(registry: Registry) -> None:
    (only,) = check(about('d = best(detect(image, "dog"))\nreturn has_color(d.box, "red")'), registry)
    assert only.code == "argument-type" and "give d itself" in str(only.suggestion)


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ('return vqa(image, "Is it a dog?") == True', '.strip().lower().startswith("yes")'),
        ("return Line(Point(1, 2), Point(3, 4)).length", "one tuple of all of them: (Point(1, 2), …)"),
        ('return vqa(video.between(1, 2), "What is it?")', "take a frame: video.between(1, 2).at(time)"),
        ("return caption(video)", "take a frame: video.at(time)"),
        ('return rightmost(track(video, "dog"))', "t.start, t.end or t.at(time)"),
        ('return dominant_color(track(video, "car")[0])', "best_view(video, "),
    ],
)
def test_hints_say_what_works(body: str, hint: str, registry: Registry) -> None:
    assert hint in str(check(about(body), registry)[0].suggestion)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('return nth(detect(image, "cup"), 0)', "argument-type"),
        ('return nth(detect(image, "cup"), n=0)', "argument-type"),
        ('return detect(image, "dog").sort(key=lambda d: d.left)', "no-answer"),
        ('dogs = detect(image, "dog").sort(key=lambda d: d.left)\nreturn dogs', "no-answer"),
        ('return print(len(detect(image, "dog")))', "no-answer"),
        ("return brightness(image) > 0.5", "out-of-range"),
        ("light = brightness(image)\nreturn light < -1", "out-of-range"),
        ("return sharpness(image) < 35", "out-of-range"),
        ('return 50 < area_share(image, "sky")', "out-of-range"),
        ('return verify(image, "How many dogs are there?")', "question-as-statement"),
        ('return when(video, "how many times does the girl clap")', "question-as-statement"),
    ],
)
def test_what_is_certainly_wrong_is_an_error(body: str, code: str, registry: Registry) -> None:
    (only,) = check(about(body), registry)
    assert (only.code, only.severity) == (code, "error") and only.suggestion


@pytest.mark.parametrize(
    "body",
    [
        'return nth(detect(image, "cup"), -1)',
        "return brightness(image) > 65 or brightness(image) == 0 or sharpness(image) >= 1",
        'return 100 * area_share(image, "sky") > 50',
        'return verify(image, "a woman who shows how it is done")',
        'x = detect(image, "dog")\nx.sort(key=lambda d: d.left)\nprint(x)\nreturn x',
        "return None",
        'return detect(image, "black and white cat") + detect(image, "left shoe") + detect(image, "forest")',
    ],
)
def test_what_may_be_meant_is_fine(body: str, registry: Registry) -> None:
    assert check(about(body), registry) == []


@pytest.mark.parametrize(
    ("body", "code", "hint"),
    [
        ('return verify(image, "Is there a dog?")', "question-as-statement", "without a question mark"),
        ('return detect(image, "second cup from the left")', "ranked-phrase", "nth(left_to_right(…), n)"),
        ('return detect(image, "the largest dog")', "ranked-phrase", "largest(…)"),
        ('return detect(image, "forks and spoons")', "several-kinds", "once for each kind"),
        ('return tag(image, detect(image, "cup"), ["mug"])', "argument-type", ""),
    ],
)
def test_what_is_probably_wrong_is_a_warning(
    body: str, code: str, hint: str, registry: Registry, sandbox: Sandbox
) -> None:
    (only,) = found(body, registry, sandbox)
    assert (only.code, only.severity) == (code, "warning") and hint in str(only.suggestion)


def test_a_backend_that_names_its_phrases_is_warned_of_ranks_alone(registry: Registry) -> None:
    coco = Sees(phrases={"what": ClassPhrases(Labels.coco(), "some.onnx")})
    tools = Registry(
        replace(tool, sees=coco) if name == "detect" else tool for name, tool in registry.items()
    )
    assert check(about('return detect(image, "red dog")'), tools) == []
    kinds = check(about('return detect(image, "dog and cat")'), tools)
    assert [(d.code, d.severity) for d in kinds] == [("unseen-phrase", "error")]
    ranked = {d.code: str(d.suggestion) for d in check(about('return detect(image, "second dog")'), tools)}
    assert ranked.keys() == {"ranked-phrase", "unseen-phrase"}
    assert all("nth(left_to_right(…), n)" in suggestion for suggestion in ranked.values())
