"""Which folder may import what: the layers of the design, read from the source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "visprog": "visprog",
    "sandbox": "visprog.sandbox",
    "tools": "visprog.tools",
    "prompts": "visprog.prompts",
}
LIGHT = {
    "numpy",
    "PIL",
    "yaml",
    "rich",
    "typer",
    "RestrictedPython",
    "safetensors",
    "tokenizers",
    "llguidance",
}
"""Of the plain install; `visprog` may import them, the heavier of them not while it is being imported."""

SERVER = {"fastapi", "starlette", "uvicorn"}
"""`visprog.server` is imported by `visprog serve` alone, when it runs."""


def modules(folder: str) -> Iterator[tuple[Path, str]]:
    """Files of a folder, and their names; what the links in `visprog/` lead to belongs to other folders."""
    for file in sorted((ROOT / folder).rglob("*.py")):
        inner = file.relative_to(ROOT / folder)
        if folder == "visprog" and inner.parts[0] in FOLDERS:
            continue
        yield file, ".".join((FOLDERS[folder], *inner.with_suffix("").parts)).removesuffix(".__init__")


def imports(file: Path, name: str, *, at_import: bool = False) -> Iterator[tuple[str, int]]:
    """Absolute names of what a file imports; with `at_import`, only what it needs to be imported itself."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]

    def walk(node: ast.AST) -> Iterator[ast.stmt]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                yield child
            if at_import and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            yield from walk(child)

    for node in walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            yield base, node.lineno
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def top(name: str) -> str:
    return name.partition(".")[0]


def within(name: str, *packages: str) -> bool:
    return any(name == p or name.startswith(p + ".") for p in packages)


def foreign(name: str) -> bool:
    """Neither the standard library nor our own."""
    return top(name) not in sys.stdlib_module_names and top(name) not in ("visprog", "__future__")


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_is_read(folder: str) -> None:
    assert len(list(modules(folder))) > 0


def test_the_sandbox_knows_nothing_of_vision() -> None:
    for file, name in modules("sandbox"):
        for imported, line in imports(file, name):
            where = f"{file.name}:{line} imports {imported}"
            assert not foreign(imported) or top(imported) == "RestrictedPython", where
            assert top(imported) != "visprog" or within(imported, "visprog.sandbox"), where


def test_the_sandbox_is_used_through_its_face() -> None:
    import visprog.sandbox

    for folder in ("visprog", "tools", "prompts"):
        for file, name in modules(folder):
            for imported, line in imports(file, name):
                inner = imported.removeprefix("visprog.sandbox").removeprefix(".")
                fine = not within(imported, "visprog.sandbox") or inner in ("", *visprog.sandbox.__all__)
                assert fine, f"{file}:{line} imports {imported}"


def test_what_the_worker_loads_is_the_standard_library() -> None:
    names = {"geometry", "region", "helpers", "library"}
    for file, name in modules("visprog"):
        if file.parent.name == "values" and file.stem in names | {"__init__"}:
            for imported, line in imports(file, name, at_import=True):
                assert not foreign(imported), f"{file.name}:{line} imports {imported}"
                allowed = within(imported, "visprog.values", "visprog.sandbox") or top(imported) != "visprog"
                assert allowed, f"{file.name}:{line} imports {imported}"


def test_the_framework_reaches_tools_through_the_registry_alone() -> None:
    for file, name in modules("visprog"):
        for imported, line in imports(file, name, at_import=True):
            assert not within(imported, "visprog.tools"), f"{file}:{line} imports {imported}"
        # `visprog train` starts the training, `visprog eval scenes` asks about the scenes that it learns from.
        if name not in ("visprog.commands.train", "visprog.evaluation.loaders.scenes"):
            for imported, line in imports(file, name):
                assert not within(imported, "visprog.tools"), f"{file}:{line} imports {imported}"


def test_the_framework_imports_nothing_heavy() -> None:
    for file, name in modules("visprog"):
        allowed = LIGHT | SERVER if within(name, "visprog.server") else LIGHT
        for imported, line in imports(file, name, at_import=True):
            assert not foreign(imported) or top(imported) in allowed, f"{file}:{line} imports {imported}"


def test_prompts_are_text() -> None:
    for file, name in modules("prompts"):
        for imported, line in imports(file, name):
            assert not foreign(imported) or top(imported) == "yaml", f"{file.name}:{line} imports {imported}"
            assert top(imported) != "visprog" or within(imported, "visprog.prompts"), f"{file.name}:{line}"


def test_layers_and_models_know_torch_and_each_other_alone() -> None:
    # How checkpoints and inputs are read, and the assignment of boxes to things.
    more = {"safetensors", "huggingface_hub", "tokenizers", "PIL", "yaml", "scipy"}
    for file, name in modules("tools"):
        nn, models = within(name, "visprog.models.nn"), within(name, "visprog.models")
        if not (nn or models):
            continue
        for imported, line in imports(file, name):
            where = f"{file}:{line} imports {imported}"
            known = {"torch", "numpy"} | (more if models else set())
            assert not foreign(imported) or top(imported) in known, where
            allowed = (
                ("visprog.models.nn",) if nn else ("visprog.models.nn", "visprog.models", "visprog.prompts")
            )
            assert top(imported) != "visprog" or within(imported, *allowed), where


def test_tools_do_not_reach_into_the_framework() -> None:
    allowed = (
        "visprog.values",
        "visprog.registry",
        "visprog.registry.sees",
        "visprog.errors",
        "visprog.prompts",
        "visprog.tools",
        "visprog.registry.types",
    )
    for file, name in modules("tools"):
        if within(name, "visprog.training"):
            continue
        for imported, line in imports(file, name):
            ours = top(imported) == "visprog" and imported not in (
                "visprog",
                "visprog.Image",
                "visprog.tool",
                "visprog.prompts",
            )
            # One adapter for endpoints is enough: that of the planner serves the tools as well. So does the reading
            # of what reasoning models write.
            shared = name == "visprog.tools.backends.endpoint" and within(imported, "visprog.llm.openai")
            shared |= name == "visprog.tools.backends.vlm" and imported.startswith("visprog.llm.thoughts")
            shared |= name == "visprog.tools.cupl" and within(imported, "visprog.planner")
            assert not ours or shared or within(imported, *allowed), f"{file}:{line} imports {imported}"


def test_tools_import_the_heavy_packages_when_they_are_called() -> None:
    heavy = {"torch", "transformers", "openai", "segment_anything", "rapidocr", "langchain", "torchvision"}
    for file, name in modules("tools"):
        if within(name, "visprog.models.nn", "visprog.models", "visprog.training"):
            continue
        for imported, line in imports(file, name, at_import=True):
            assert top(imported) not in heavy, f"{file}:{line} imports {imported}"
