"""The docstrings of public names: Google style, a summary first, and no argument that does not exist.

Files are parsed, not imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from docstring_parser import DocstringStyle, ParseError, parse

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("visprog", "tools", "sandbox", "prompts")
SECTIONS = ("Args:", "Attributes:", "Returns:", "Raises:", "Yields:", "Example:", "Examples:", "Note:")

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | Definition


def modules(folder: str) -> list[Path]:
    """The files of a folder. Links in `visprog` lead to the other folders, and are left out."""
    files = sorted((ROOT / folder).rglob("*.py"))
    return [f for f in files if folder != "visprog" or f.relative_to(ROOT / folder).parts[0] not in FOLDERS]


def public(tree: ast.Module) -> Iterator[tuple[str, Documented]]:
    """The module, and its public classes, functions and methods, with their dotted names."""
    yield "", tree

    def within(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Documented]]:
        for node in body:
            if not isinstance(node, Definition) or (node.name.startswith("_") and node.name != "__init__"):
                continue
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from within(node.body, f"{prefix}{node.name}.")

    yield from within(tree.body, "")


def parameters(node: Documented) -> set[str] | None:
    """Names that `Args:` may hold; None if a class takes them from its base."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        given = node.args
        names = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        return {a.arg for a in names if a is not None} - {"self", "cls"}
    if isinstance(node, ast.ClassDef):
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef) and inner.name in ("__init__", "__new__"):
                return parameters(inner)
        fields = {
            f.target.id for f in node.body if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)
        }
        return fields or None
    return set()


def faults(node: Documented) -> Iterator[str]:
    """What is wrong with the docstring of a public name."""
    text = ast.get_docstring(node)
    if text is None:
        return
    if text.lstrip().startswith(SECTIONS):
        yield f"it begins with '{text.split()[0]}': write a summary sentence first"
        return
    try:
        read = parse(text, DocstringStyle.GOOGLE)
    except ParseError as error:
        yield f"it cannot be read as Google style: {error}"
        return
    known = parameters(node)
    documented = [n.strip(" *") for p in read.params if p.args[0] == "param" for n in p.arg_name.split(",")]
    if known is not None:
        yield from (f"'{name}' is not an argument" for name in documented if name not in known)


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_of_public_names_are_readable(folder: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 1)} {name or 'module'}: {fault}"
        for file in modules(folder)
        for name, node in public(ast.parse(file.read_text(encoding="utf-8")))
        for fault in faults(node)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("docstring", "fault"),
    [
        ("Args:\n    a: First.\n", "begins with 'Args:'"),
        ("A sum.\n\n    Args:\n        b: Second.\n", "'b' is not an argument"),
        ("A sum.\n\n    Args:\n        a: First.\n\n    Raises:\n        ValueError: If a is 0.\n", ""),
    ],
)
def test_faults_are_found(docstring: str, fault: str) -> None:
    (function,) = ast.parse(f'def f(a):\n    """{docstring}    """\n').body
    assert isinstance(function, ast.FunctionDef)
    found = list(faults(function))
    assert (len(found) == 1 and fault in found[0]) if fault else not found
