"""Tools: what `@tool` accepts, what it says of the rest, and what is made from the declaration."""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.plugin_packages import install
from tests.small_tools import REGISTRY, detect, picture
from visprog.errors import ToolDefinitionError, ToolError
from visprog.registry import Registry, Tool, default_registry, load_tools, tool
from visprog.values import Region
from visprog.values.image import Image


@tool(limits="not in the dark")
def look(
    image: Image | Region,
    what: list[str],
    side: Literal["left", "right"] = "left",
    share: float = 0.5,
    note: str | None = None,
) -> dict[str, float]:
    """Looks for things. Tells how sure it is of each.

    More about it.
    """
    return {w: share for w in what}


def test_what_a_declaration_says() -> None:
    assert look.signature == (
        'look(image: Image | Region, what: list[str], side: Literal["left", "right"] = "left", '
        "share: float = 0.5, note: str | None = None) -> dict[str, float]"
    )
    assert look.summary == "Looks for things."
    assert look.description.endswith("Limits: not in the dark")


def test_json_schema() -> None:
    schema = look.schema()
    assert schema["required"] == ["image", "what"]
    assert schema["properties"]["side"] == {"enum": ["left", "right"], "default": "left"}
    assert schema["properties"]["what"] == {"type": "array", "items": {"type": "string"}}
    assert schema["properties"]["note"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert schema["additionalProperties"] is False
    function = look.openai()["function"]
    assert (function["name"], function["parameters"]) == ("look", schema)


def test_a_tool_can_be_called_directly() -> None:
    assert look(picture(), ["a"], share=0.25) == {"a": 0.25}
    with pytest.raises(ToolError, match="'side' must be Literal"):
        look(picture(), ["a"], "up")
    with pytest.raises(RuntimeError, match="fell over"):
        detect(picture(), "crash")


def no_doc(image: Image) -> int:
    return 1


def no_annotation(image, n: int) -> int:  # type: ignore[no-untyped-def]
    """Doc."""
    return n


def no_result(image: Image):  # type: ignore[no-untyped-def]
    """Doc."""


def wrong_default(image: Image, n: int = "three") -> int:  # type: ignore[assignment]
    """Doc."""
    return n


def wrong_none(image: Image, n: int = None) -> int:  # type: ignore[assignment]  # noqa: RUF013
    """Doc."""
    return n


def wrong_literal(image: Image, side: Literal["left"] = "right") -> int:  # type: ignore[assignment]
    """Doc."""
    return 1


def wrong_type(image: Image, where: complex) -> int:
    """Doc."""
    return 1


def bare_list(image: Image, names: list) -> int:  # type: ignore[type-arg]
    """Doc."""
    return 1


def wrong_result(image: Image) -> bytes:
    """Doc."""
    return b""


def starred(image: Image, *names: str) -> int:
    """Doc."""
    return 1


def positional(image: Image, /) -> int:
    """Doc."""
    return 1


def unknown_name(image: Imag) -> int:  # type: ignore[name-defined]  # noqa: F821
    """Doc."""
    return 1


def not_a_type(image: "two words") -> int:  # type: ignore[valid-type]  # noqa: F722
    """Doc."""
    return 1


async def generator(image: Image) -> AsyncIterator[int]:
    """Doc."""
    yield 1


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_doc, "write a docstring"),
        (no_annotation, "annotate the parameter 'image', for example 'image: Image'"),
        (no_result, "annotate its result"),
        (wrong_default, "the default 'three' of 'n' is not int"),
        (wrong_none, r"the default None of 'n' is not int; write '\| None'"),
        (wrong_literal, "the default 'right' of 'side' is not"),
        (wrong_type, "where has the type complex; use Image"),
        (bare_list, "names has the type list: say of what"),
        (wrong_result, "its result has the type bytes"),
        (starred, "'names: .str.' cannot be described|names.* cannot be described"),
        (positional, "cannot be described"),
        (unknown_name, "something that is not imported"),
        (not_a_type, "not types"),
        (generator, "return a list instead of yielding"),
        (type("Detector", (), {}), "from a function, not from the class Detector"),
        (3, "from a function, not from 3"),
        (lambda image: 1, "must be a Python identifier"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_the_remedy(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(ToolDefinitionError, match=message):
        tool(function)


def test_names_and_backends_are_checked() -> None:
    def fine(image: Image) -> int:
        """Doc."""
        return 1

    for name in ("_hidden", "two words", "class"):
        with pytest.raises(ToolDefinitionError, match="pass name="):
            tool(name=name)(fine)
    with pytest.raises(ToolDefinitionError, match="default backend 'b' is not among"):
        tool(backends={"a": "m:C"}, default="b")(fine)
    made = tool(backends={"a": "m:C", "b": "m:D"})(fine)
    assert made.default_backend == "a"
    with pytest.raises(ToolError, match="has no backend 'c'; it has a, b"):
        made.load("c")


def test_two_tools_of_one_name() -> None:
    other = tool(name="detect")(look.function)
    with pytest.raises(ToolDefinitionError, match=r"two tools are called 'detect' .* rename one"):
        Registry([detect, other])
    assert len(Registry([detect, detect])) == 1


def test_only_tools_are_taken() -> None:
    with pytest.raises(ToolDefinitionError, match="decorate the function with @tool"):
        Registry([look.function])  # type: ignore[list-item]


def test_an_unknown_name_is_met_with_the_nearest() -> None:
    with pytest.raises(ToolError, match="there is no tool 'detects'; did you mean 'detect'"):
        REGISTRY.find("detects")
    with pytest.raises(ToolError, match=r"there is no tool 'zzz'$"):
        REGISTRY.find("zzz")


def test_prompt_is_python() -> None:
    import ast

    prompt = REGISTRY.prompt()
    functions = [n for n in ast.parse(prompt).body if isinstance(n, ast.FunctionDef)]
    assert [f.name for f in functions] == list(REGISTRY.offered)
    assert all(ast.get_docstring(f) for f in functions)


def test_union_of_registries() -> None:
    both = Registry([detect]) | [look]
    assert list(both) == ["detect", "look"]
    assert list(both | Registry([look])) == ["detect", "look"]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    made = types.ModuleType("module_of_tools")
    source = (
        "from visprog import Image, tool\n"
        "@tool\ndef blue(image: Image) -> float:\n    'How blue it is.'\n    return 0.5\n"
        "@tool\ndef red(image: Image) -> float:\n    'How red it is.'\n    return 0.5\n"
        "several = [blue, red]\nnothing = 3\n"
    )
    monkeypatch.setitem(sys.modules, made.__name__, made)
    exec(source, made.__dict__)
    return made


def test_load_tools(module: types.ModuleType) -> None:
    assert [t.name for t in load_tools("module_of_tools")] == ["blue", "red"]
    assert [t.name for t in load_tools("module_of_tools:red")] == ["red"]
    assert [t.name for t in load_tools("module_of_tools:several")] == ["blue", "red"]
    for reference in ("module_of_tools:nothing", "module_of_tools:none_such", "module_of_tools:__name__"):
        with pytest.raises(ToolDefinitionError, match="holds no tool"):
            load_tools(reference)


def test_modules_that_cannot_be_imported(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_tools.py").write_text("def (:\n")
    (tmp_path / "bad_tools.py").write_text("from visprog import tool\n@tool\ndef f(x):\n    'Doc.'\n")
    with pytest.raises(ToolDefinitionError, match=r"cannot import tools from 'broken_tools': SyntaxError"):
        load_tools("broken_tools")
    with pytest.raises(ToolDefinitionError, match="annotate"):
        load_tools("bad_tools")
    for name in ("no_such_module", ""):
        with pytest.raises(ToolDefinitionError, match="cannot import tools"):
            load_tools(name)


def test_entry_points_add_tools(
    module: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "colours", colours="module_of_tools:several")
    monkeypatch.syspath_prepend(tmp_path)
    default_registry.cache_clear()
    try:
        registry = default_registry()
    finally:
        default_registry.cache_clear()
    assert "blue" in registry and "red" in registry and "detect" in registry


@pytest.mark.parametrize("searched", ["", "."])
def test_what_lies_in_the_working_folder_is_no_installed_plugin(
    searched: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "holiday", holiday="holiday_module")
    (tmp_path / "holiday_module.py").write_text("raise SystemExit('was run')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [searched, str(tmp_path), *sys.path])
    default_registry.cache_clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert "detect" in default_registry()
    finally:
        default_registry.cache_clear()
    assert "holiday_module" not in sys.modules


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import no_such_module_at_all", "No module named 'no_such_module_at_all'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("class Panic(BaseException): pass\nraise Panic('odd')", "Panic: odd"),
        ("1 / 0", "ZeroDivisionError"),
        ("x = 1", "holds no tool"),
        (
            "from visprog import Image, tool\n@tool\ndef detect(image: Image) -> int:\n    'Doc.'\n    return 1",
            "two tools are called 'detect'",
        ),
    ],
)
def test_a_broken_plugin_is_a_warning_that_names_it(
    body: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_plugin.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_plugin", raising=False)
    install(tmp_path, "broken", broken="broken_plugin")
    default_registry.cache_clear()
    try:
        with pytest.warns(
            UserWarning, match=f"the plugin 'broken' of the package 'broken' cannot be used: .*{said}"
        ):
            registry = default_registry()
        assert len(registry["detect"].backends) > 1
    finally:
        default_registry.cache_clear()
        sys.modules.pop("broken_plugin", None)


def test_default_registry() -> None:
    registry = default_registry()
    wanted = {
        "detect", "find_faces", "segment", "classify", "match", "verify", "retrieve", "caption", "vqa",
        "read_text", "find_text",
        "find_qr_codes", "crop", "crop_left_of", "crop_right_of", "crop_above", "crop_below", "crop_half",
        "dominant_color", "has_color", "find_lines", "find_circles", "find_polygons", "find_grid",
        "blur_background",
        "color_pop", "cover", "tag", "largest", "nearest", "intersections",
    }  # fmt: skip
    assert wanted <= set(registry)
    assert all(isinstance(t, Tool) and t.summary.endswith(".") for t in registry.values())
    assert {n for n, t in registry.items() if not t.pure} == set(registry.called)
