"""Ray, whose clusters trust whoever reaches them, is used only by those who ask for it."""

from __future__ import annotations

import ast

from tests.security.claims import ROOT

ASKED = {"visprog/mapping/ray.py", "visprog/server/replicas.py", "visprog/commands/doctor.py"}
"""Modules that import it: for `on="ray"`, for `--ray`, and to say whether it is installed."""


def test_ray_is_imported_only_where_it_is_asked_for() -> None:
    importing: dict[str, list[ast.stmt]] = {}
    for folder in ("visprog", "tools", "sandbox"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(("visprog/tools", "visprog/sandbox", "visprog/prompts")):
                tree = ast.parse(path.read_text(encoding="utf-8"))
                importing[name] = [node for node in ast.walk(tree) if names_ray(node)]
    assert {name for name, found in importing.items() if found} <= ASKED
    assert importing["visprog/mapping/ray.py"] and importing["visprog/server/replicas.py"]
    for user, module in (
        ("visprog/mapping/job.py", "ray"),
        ("visprog/commands/serve.py", "server.replicas"),
    ):
        tree = ast.parse((ROOT / user).read_text(encoding="utf-8"))
        assert not any(imports(node, module) for node in tree.body)  # in a function alone
        assert any(imports(node, module) for node in ast.walk(tree))


def names_ray(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] == "ray" for alias in node.names)
    return (
        isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").partition(".")[0] == "ray"
    )


def imports(node: ast.AST, module: str) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").removeprefix("visprog.") == module
