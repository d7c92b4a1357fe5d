"""The documentation is true: its imports work, its links and paths lead somewhere, its API reference is up to date.

`python tests/test_docs.py` writes docs/api.md.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
API = ROOT / "docs" / "api.md"
LINKED = {"visprog.tools": "tools", "visprog.prompts": "prompts", "visprog.sandbox": "sandbox"}

HEAD = """# API reference

The public names and the first sentence of each docstring; `help(NAME)` shows the rest. This page is generated from the
source: `python tests/test_docs.py` writes it, and a test compares it.
"""
MODULES = (
    "visprog", "visprog.errors", "visprog.registry", "visprog.registry.sees", "visprog.check",
    "visprog.planner", "visprog.sandbox", "visprog.runtime.recording", "visprog.mapping.results",
    "visprog.integrations.langchain", "visprog.server.client", "visprog.mapping.map", "visprog.models",
    "visprog.evaluation",
)  # fmt: skip
"""Modules of the reference; a name stands under the first of them that offers it."""

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def source_of(module: str) -> Path:
    """The file of a module, found without importing it."""
    root = next((name for name in LINKED if f"{module}.".startswith(f"{name}.")), "")
    path = ROOT / (module.replace(root, LINKED[root], 1) if root else module).replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def offered(module: str) -> Iterator[tuple[str, str]]:
    """The public names of a module, each with the module that it comes from."""
    file = source_of(module)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    if file.name != "__init__.py":
        yield from ((n.name, module) for n in tree.body if isinstance(n, Definition))
        return
    exported: list[str] | None = None
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and node.module:
            base = module.split(".")[: len(module.split(".")) + 1 - node.level]
            found |= {a.asname or a.name: ".".join([*base, node.module]) for a in node.names}
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            strings = [n.value for n in ast.walk(node.value) if isinstance(n, ast.Constant)]
            computed = any(isinstance(n, ast.Starred | ast.Call) for n in ast.walk(node.value))
            exported = None if computed else strings
    yield from ((name, home) for name, home in found.items() if exported is None or name in exported)


def definition(name: str, module: str) -> Definition | None:
    """The class or function of a name, through re-exports; None for constants and the like."""
    tree = ast.parse(source_of(module).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, Definition) and node.name == name and not is_marked(node, "overload"):
            return node
    return next(
        (definition(name, home) for other, home in offered(module) if other == name and home != module), None
    )


def arguments(node: Definition) -> str | None:
    """The names of the arguments, as in a call; None for a property, or a class without arguments of its own."""
    if isinstance(node, ast.ClassDef):
        if is_marked(node, "dataclass"):
            fields = [
                n
                for n in node.body
                if isinstance(n, ast.AnnAssign) and "ClassVar" not in ast.unparse(n.annotation)
            ]
            return ", ".join(name for n in fields if not (name := ast.unparse(n.target)).startswith("_"))
        made = next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)
        return None if made is None else arguments(made)
    if is_marked(node, "property"):
        return None
    given = node.args
    names = [a.arg for a in (*given.posonlyargs, *given.args) if a.arg not in ("self", "cls")]
    names += [f"*{given.vararg.arg}"] if given.vararg else ["*"] if given.kwonlyargs else []
    names += [a.arg for a in given.kwonlyargs] + ([f"**{given.kwarg.arg}"] if given.kwarg else [])
    return ", ".join(names)


def is_marked(node: Definition, decorator: str) -> bool:
    return any(decorator in ast.unparse(d) for d in node.decorator_list)


def line(node: Definition, indent: str = "") -> str:
    """An entry: the name with its arguments, and the first sentence of the docstring."""
    given = arguments(node)
    shown = node.name if given is None else f"{node.name}({given})"
    text = " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
    sentence = re.split(r"(?<=[^.\s]\.)\s+(?=[A-Z])", text)[0]
    return f"{indent}- `{shown}`{': ' + sentence if sentence else ''}"


def reference() -> str:
    """The page docs/api.md."""
    parts, seen = [HEAD], set()
    for module in MODULES:
        lines = []
        for name, home in sorted(offered(module), key=lambda pair: pair[0].lower()):
            node = definition(name, home)
            if node is None or name.startswith("_") or (name, node.lineno) in seen:
                continue
            seen.add((name, node.lineno))
            lines.append(line(node))
            if isinstance(node, ast.ClassDef):
                lines += [
                    line(inner, "  ")
                    for inner in node.body
                    if isinstance(inner, Definition)
                    and not inner.name.startswith("_")
                    and ast.get_docstring(inner)
                ]
        about = ast.get_docstring(ast.parse(source_of(module).read_text(encoding="utf-8"))) or ""
        parts.append(
            f"## {module}\n\n{' '.join(about.partition(chr(10) * 2)[0].split())}\n\n"
            + "\n".join(lines)
            + "\n"
        )
    return "\n".join(parts)


def blocks() -> Iterator[tuple[str, str]]:
    """The imports of the Python blocks of the documentation, with the page of each."""
    for page in PAGES:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            for node in ast.parse(block).body:
                if isinstance(node, ast.Import | ast.ImportFrom):
                    yield page.name, ast.unparse(node)


@pytest.mark.parametrize(("page", "statement"), sorted(set(blocks())))
def test_imports_of_the_documentation_work(page: str, statement: str) -> None:
    for extra in ("langchain", "IPython", "torch"):
        if extra in statement or ("visprog.models" in statement and extra == "torch"):
            pytest.importorskip(extra)
    exec(statement, {})


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name) if name else page
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            heads = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            known = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in known, f"{page.name} links to {target}"


def test_paths_of_the_layout_exist() -> None:
    text = (ROOT / "docs" / "layout.md").read_text(encoding="utf-8")
    paths = re.findall(r"`([\w/]+(?:/|\.\w+))`", text)
    assert len(paths) > 40
    assert [p for p in paths if not (ROOT / p).exists()] == []


def test_every_page_is_linked_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in PAGES[1:] if f"({p.relative_to(ROOT)})" not in text] == []
    assert text.count("\n") <= 110


def test_the_api_reference_is_up_to_date() -> None:
    assert API.read_text(encoding="utf-8") == reference(), "run: python tests/test_docs.py"


if __name__ == "__main__":
    API.write_text(reference(), encoding="utf-8")
