"""Which folder may import what: the layers of the design, read from the source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
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

SERVER = {"fastapi", "starlette", "uvicorn", "h11"}
"""`visprog.server` is imported by `visprog serve` alone, when it runs."""


def modules(folder: str) -> Iterator[tuple[Path, str]]:
    """Files of a folder, and their names; what the links in `visprog/` lead to belongs to other folders."""
    for file in sorted((ROOT / folder).rglob("*.py")):
        inner = file.relative_to(ROOT / folder)
        if folder == "visprog" and inner.parts[0] in FOLDERS:
            continue
        yield file, ".".join((FOLDERS[folder], *inner.with_suffix("").parts)).removesuffix(".__init__")


@cache
def is_module(name: str) -> bool:
    """Whether a dotted name is one of our modules, not something that a module defines."""
    for folder, package in sorted(FOLDERS.items(), key=lambda each: -len(each[1])):
        if within(name, package):
            path = ROOT.joinpath(folder, *name.removeprefix(package).split("."))
            return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
    return False


def imports(
    file: Path, name: str, *, at_import: bool = False, typing: bool = False
) -> Iterator[tuple[str, int]]:
    """Absolute names of what a file imports.

    Args:
        at_import: only what it needs to be imported itself.
        typing: also what type checkers alone import.
    """
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]

    def walk(node: ast.AST) -> Iterator[ast.stmt]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                yield child
            if at_import and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if not typing and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            yield from walk(child)

    for node in walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            if not all(is_module(f"{base}.{alias.name}") for alias in node.names):
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
    names = {"geometry", "region", "helpers", "library", "track"}
    for file, name in modules("visprog"):
        if file.parent.name == "values" and file.stem in names | {"__init__"}:
            for imported, line in imports(file, name, at_import=True):
                assert not foreign(imported), f"{file.name}:{line} imports {imported}"
                allowed = within(imported, "visprog.values", "visprog.sandbox") or top(imported) != "visprog"
                assert allowed, f"{file.name}:{line} imports {imported}"


def test_the_framework_imports_nothing_heavy() -> None:
    for file, name in modules("visprog"):
        if within(name, "visprog.models", "visprog.training", "visprog.scenes"):
            continue
        allowed = LIGHT | SERVER if within(name, "visprog.server") else LIGHT
        for imported, line in imports(file, name, at_import=True):
            assert not foreign(imported) or top(imported) in allowed, f"{file}:{line} imports {imported}"


def test_prompts_are_text() -> None:
    for file, name in modules("prompts"):
        for imported, line in imports(file, name):
            assert not foreign(imported) or top(imported) == "yaml", f"{file.name}:{line} imports {imported}"
            assert top(imported) != "visprog" or within(imported, "visprog.prompts"), f"{file.name}:{line}"


LAYERS = (
    {"errors"},
    {"plugins", "files", "prompts", "sandbox", "models", "language"},
    {"trust", "report", "llm"},
    {"config", "values"},
    {"registry", "retrieval"},
    {"program"},
    {"check", "runtime"},
    {"answer"},
    {"planner"},
    {"pipeline"},
    {"mapping", "chat", "camera"},
    {"agent"},
    {"integrations", "server", "evaluation"},
    {"commands"},
    {"cli"},
    {"__main__"},
)
"""Packages and modules of `visprog`, the lowest first. Each may import its own layer and those below it."""

BESIDE = {
    "models": {"models", "files", "errors"},
    "scenes": {"scenes", "values", "errors"},
    "training": {
        "training",
        "models",
        "scenes",
        "planner",
        "llm",
        "registry",
        "values",
        "prompts",
        "files",
        "language",
        "errors",
    },
    "tools": {"tools", "registry", "retrieval", "models", "llm", "values", "prompts", "files", "errors"},
}
"""What stands beside the layers, and all that it may import."""

ABOVE = {"evaluation": {"scenes"}, "commands": {"training"}}
"""What a layer may import of that."""


LAZY = {"visprog", "visprog.models"}
"""Packages that import nothing before it is asked for."""


def room(name: str) -> str:
    """The package or module of `visprog` that a module belongs to; empty for `visprog` itself."""
    return name.split(".")[1] if "." in name else ""


def every_module() -> Iterator[tuple[Path, str]]:
    for folder in FOLDERS:
        yield from modules(folder)


def test_no_arrow_runs_upwards() -> None:
    wrong = []
    for file, name in every_module():
        own = room(name)
        allowed = set(BESIDE.get(own, ()))
        if not allowed:
            for layer in LAYERS:
                allowed |= layer
                if own in layer:
                    break
            allowed |= ABOVE.get(own, set())
        for imported, line in imports(file, name, typing=True):
            if own and within(imported, "visprog") and room(imported) not in {*allowed, "", "__version__"}:
                wrong.append(f"{file.relative_to(ROOT)}:{line} imports {imported}")
    assert not wrong, "\n".join(wrong)


def test_no_circles() -> None:
    names = {name for _, name in every_module()}
    graph = {
        name: {imported for imported, _ in imports(file, name, typing=True)} & names - {name} - LAZY
        for file, name in every_module()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path[path.index(name) :], name))
        if name not in done:
            for each in sorted(graph[name]):
                visit(each, (*path, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_models_know_torch_and_each_other_alone() -> None:
    known = {"torch", "numpy"}
    # How checkpoints and inputs are read, and the assignment of boxes to objects.
    wraps = (
        "visprog.models.preprocess.processors"  # the processors of transformers, where torchvision is missing
    )
    more = known | {"safetensors", "huggingface_hub", "tokenizers", "PIL", "yaml", "scipy"}
    for file, name in modules("visprog"):
        if within(name, "visprog.models"):
            for imported, line in imports(file, name):
                allowed = known if within(name, "visprog.models.nn") else more
                allowed = allowed | {"transformers"} if name == wraps else allowed
                where = f"{file}:{line} imports {imported}"
                assert not foreign(imported) or top(imported) in allowed, where
                inside = within(imported, "visprog.models.nn")
                assert not within(name, "visprog.models.nn") or top(imported) != "visprog" or inside, where


def test_tools_import_the_heavy_packages_when_they_are_called() -> None:
    heavy = {"torch", "transformers", "openai", "segment_anything", "rapidocr", "langchain", "torchvision"}
    for file, name in modules("tools"):
        for imported, line in imports(file, name, at_import=True):
            assert top(imported) not in heavy, f"{file}:{line} imports {imported}"


def test_declaration_import_no_backend() -> None:
    shared, backends = ("imaging", "words", "drawing"), "visprog.tools.backends"
    for file, name in modules("tools"):
        inside = name.removeprefix("visprog.tools").lstrip(".").partition(".")[0]
        for imported, line in imports(file, name, typing=True):
            if inside == "backends" or not within(imported, "visprog.tools"):
                continue
            where = f"{file.relative_to(ROOT)}:{line} imports {imported}"
            assert not within(imported, backends), where
            assert inside not in shared or within(imported, *(f"visprog.tools.{s}" for s in shared)), where


SHARED = {"Diagnostic", "ToolError", "Refused"}
"""Names that the sandbox, which stands alone, gives its own classes: programs and callers see one word for both."""


def test_no_two_public_classes_have_one_name() -> None:
    homes: dict[str, list[str]] = {}
    for file, name in every_module():
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name not in SHARED:
                homes.setdefault(node.name, []).append(name)
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}
