"""The static check: everything that a program may not do, found before anything runs.

A pure function over the syntax tree. The worker checks again, and alone compiles.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from difflib import get_close_matches

from . import policy
from .desugar import Function, bound_names
from .library import EMPTY, Library
from .limits import DEFAULT, Limits
from .parsing import Diagnostic, parse
from .protocol import MAX_KEYWORDS

MAX_INTEGER_BITS = 1024
MAX_DIAGNOSTICS = 100
MAX_HINTS = 10  # to search the nearest name takes time, and thousands of names fit into a program


def check(
    source: str | ast.Module,
    names: Iterable[str] = (),
    *,
    tools: Iterable[str] = (),
    attributes: Iterable[str] = (),
    library: Library = EMPTY,
    limits: Limits = DEFAULT,
) -> list[Diagnostic]:
    """What is wrong with a program, in the order of its lines, 100 diagnostics at most; if none, it may run.

    Args:
        source: the program, or the tree that `parse` made of it.
        names: defined for it besides the builtins and the library: inputs, names of types.
        tools: names among these, or further ones, that it may call and not rebind.
        attributes: what may be read on its inputs and results, besides builtin types and library values.
        library: the value types and functions next to the program.
        limits: bounds of its size.
    """
    parsed = parse(source, limits) if isinstance(source, str) else source
    if isinstance(parsed, Diagnostic):
        return [parsed]
    tools = frozenset(tools)
    known = tools.union(names, library.names, policy.BUILTIN_NAMES)
    readable = policy.BUILTIN_ATTRIBUTES.union(attributes, library.attributes)
    checker = _Checker(known, tools, readable)
    checker.run(parsed)
    return sorted(dict.fromkeys(checker.found), key=lambda diagnostic: (diagnostic.line, diagnostic.column))


class _Checker(ast.NodeVisitor):
    def __init__(self, known: frozenset[str], tools: frozenset[str], attributes: frozenset[str]) -> None:
        self.found: list[Diagnostic] = []
        self._scopes: list[set[str]] = [set(known)]
        self._tools = tools
        self._attributes = attributes
        self._typing: set[str] = set()
        self._caught: set[ast.Name] = set()
        self._place: ast.AST | None = None

    def run(self, tree: ast.Module) -> None:
        self._scopes.append(bound_names(tree))
        for statement in tree.body:
            self.visit(statement)

    def report(
        self, node: ast.AST, code: str, message: str, suggestion: str | None = None, name: str = ""
    ) -> None:
        if len(self.found) >= MAX_DIAGNOSTICS:
            return
        place = node if hasattr(node, "lineno") else self._place  # operators have no place of their own
        line, column = getattr(place, "lineno", 1), getattr(place, "col_offset", 0)
        self.found.append(Diagnostic(code, line, column, message, suggestion, name=name))

    def _near(self, name: str, names: Iterable[str]) -> str | None:
        near = get_close_matches(name, sorted(names), 1) if len(self.found) < MAX_HINTS else None
        return f"did you mean {near[0]!r}?" if near else None

    def visit(self, node: ast.AST) -> None:
        if hasattr(node, "lineno"):
            self._place = node
        super().visit(node)

    def generic_visit(self, node: ast.AST) -> None:
        if type(node) in policy.NODES:
            super().generic_visit(node)
            return
        name = type(node).__name__
        what, instead = policy.REFUSED_SYNTAX.get(name, (f"{name} syntax", "write it with plain statements"))
        code = "forbidden-statement" if isinstance(node, ast.stmt) else "forbidden-expression"
        self.report(node, code, f"{what} is not part of the language", instead)
        if not isinstance(node, ast.ClassDef):
            self._visit_inside(node)

    def _visit_inside(self, node: ast.AST) -> None:
        """Visit the statements and expressions in a construct that is refused as a whole."""
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.stmt, ast.expr)):
                self.visit(child)
            else:
                self._visit_inside(child)

    # --- names ---

    def bind(self, node: ast.AST, name: str) -> None:
        if name.startswith("_") and name != "_":
            message = f"the name {name!r} starts with an underscore"
            self.report(node, "forbidden-name", message, "rename it", name)
        elif name in self._tools:
            message = f"{name!r} is a tool and cannot be rebound"
            self.report(node, "rebound-tool", message, "use another name", name)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bind(node, node.id)
        elif any(node.id in scope for scope in self._scopes):
            return
        elif node.id.startswith("_"):
            message = f"the name {node.id!r} starts with an underscore"
            self.report(node, "forbidden-name", message, policy.REFUSED_NAMES.get(node.id), node.id)
        elif node.id in policy.REFUSED_NAMES:
            instead = policy.REFUSED_NAMES[node.id]
            self.report(node, "forbidden-name", f"{node.id!r} is not part of the language", instead, node.id)
        elif node.id in self._typing:
            message = f"{node.id!r} is there for annotations alone"
            self.report(node, "undefined-name", message, "leave it out: annotations are not read", node.id)
        else:
            hint = self._near(node.id, set().union(*self._scopes))
            if node in self._caught:
                hint = "use ToolError for what a tool raises, or Exception"
            self.report(node, "undefined-name", f"{node.id!r} is not defined", hint, node.id)

    def _in_scope(self, names: set[str], nodes: Iterable[ast.AST]) -> None:
        self._scopes.append(names)
        for node in nodes:
            self.visit(node)
        self._scopes.pop()

    def _function(self, node: Function, body: list[ast.stmt] | list[ast.expr]) -> None:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        for argument in [*every, arguments.vararg, arguments.kwarg]:
            if argument is not None:
                self.bind(argument, argument.arg)
                self._annotation(argument.annotation)
        for default in [*arguments.defaults, *arguments.kw_defaults]:
            if default is not None:
                self.visit(default)
        self._in_scope(bound_names(node), body)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.bind(node, node.name)
        for decorator in node.decorator_list:
            self.report(
                decorator, "forbidden-statement", "a decorator is not part of the language", "call it"
            )
        if getattr(node, "type_params", None):
            self.report(
                node, "forbidden-statement", "type parameters are not part of the language", "leave them out"
            )
        self._annotation(node.returns)
        self._function(node, node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        what, instead = policy.REFUSED_SYNTAX["AsyncFunctionDef"]
        self.report(node, "forbidden-statement", f"{what} is not part of the language", instead)
        self._function(node, node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, [node.body])

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        targets = {
            name.id
            for part in node.generators
            for name in ast.walk(part.target)
            if isinstance(name, ast.Name)
        }
        if any(isinstance(getattr(node, field, None), ast.Starred) for field in ("elt", "key")):
            self.report(node, "forbidden-expression", "unpacking in a comprehension", "use a nested 'for'")
        for part in node.generators:
            if part.is_async:
                self.report(
                    part.target, "forbidden-expression", "'async for' in a comprehension", "use 'for'"
                )
        self._in_scope(targets, ast.iter_child_nodes(node))

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name is not None:
            self.bind(node, node.name)
        if node.type is not None:
            self._caught.update(n for n in ast.walk(node.type) if isinstance(n, ast.Name))
        super().generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        self._annotation(node.annotation)
        if node.value is not None:
            self.visit(node.value)

    def _annotation(self, annotation: ast.expr | None) -> None:
        """Annotations are dropped: their names need not be defined. They hold types, and nothing else."""
        if annotation is None:
            return
        for node in ast.walk(annotation):
            name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
            if type(node) not in policy.ANNOTATIONS or name.startswith("_"):
                self.report(
                    annotation, "forbidden-expression", "an annotation that is no type", "leave it out"
                )
                return

    # --- imports ---

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name in policy.TYPING_MODULES:
                self._typing.add((alias.asname or alias.name).partition(".")[0])
                continue
            self.bind(node, alias.asname or alias.name)
            if alias.name != "math":
                self._refuse_import(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module in policy.TYPING_MODULES and not node.level:
            self._typing.update(alias.asname or alias.name for alias in node.names)
            return
        if node.module != "math" or node.level:
            self._refuse_import(node, node.module or ".")
            return
        for alias in node.names:
            self.bind(node, alias.asname or alias.name)
            if alias.name not in policy.MATH_NAMES:
                hint = self._near(alias.name, policy.MATH_NAMES) or "name what is needed"
                self.report(node, "forbidden-import", f"math has no {alias.name!r} here", hint, alias.name)

    def _refuse_import(self, node: ast.AST, module: str) -> None:
        self.report(
            node,
            "forbidden-import",
            f"module {module!r} cannot be imported",
            "only math can; the tools and builtins are there without an import",
            module,
        )

    # --- attributes, literals, calls ---

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr.startswith("_"):
            self.report(
                node,
                "forbidden-attribute",
                f"the attribute {node.attr!r} starts with an underscore",
                "use the public attributes and the tools",
                node.attr,
            )
        elif not isinstance(node.ctx, ast.Load):
            self.report(
                node,
                "forbidden-attribute",
                f"the attribute {node.attr!r} cannot be set: values do not change",
                "keep the value in a variable or dict",
                node.attr,
            )
        elif node.attr not in self._attributes:
            hint = self._near(node.attr, self._attributes) or "use the attributes that the tools describe"
            message = f"no value has an attribute {node.attr!r}"
            self.report(node, "forbidden-attribute", message, hint, node.attr)
        self.visit(node.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if type(node.value) is int and node.value.bit_length() > MAX_INTEGER_BITS:
            self.report(node, "too-large", f"an integer of more than {MAX_INTEGER_BITS} bits")
        elif type(node.value) in (bytes, complex):
            kind = type(node.value).__name__
            self.report(
                node, "forbidden-expression", f"{kind} is not part of the language", "use str or float"
            )

    def visit_Call(self, node: ast.Call) -> None:
        if len(node.keywords) > MAX_KEYWORDS:
            self.report(node, "too-large", f"more than {MAX_KEYWORDS} keyword arguments in one call")
        for keyword in node.keywords:
            if keyword.arg is not None and keyword.arg.startswith("_"):
                message = f"the keyword {keyword.arg!r} starts with an underscore"
                self.report(keyword, "forbidden-name", message, "rename it", keyword.arg)
        function = node.func
        if isinstance(function, ast.Name) and function.id == "print":
            for keyword in node.keywords:
                if keyword.arg not in ("sep", "end", "flush", None):
                    message = f"print has no {keyword.arg!r} here"
                    self.report(
                        keyword,
                        "forbidden-expression",
                        message,
                        "use print(values, sep=..., end=...)",
                        keyword.arg,
                    )
        if isinstance(function, ast.Attribute) and function.attr == "format":
            self._format(function.value)
        super().generic_visit(node)

    def _format(self, template: ast.expr) -> None:
        if isinstance(template, ast.Constant) and type(template.value) is str:
            fields = template.value.replace("{{", "").split("{")[1:]
            if any(set(".[") & set(field.partition("}")[0].partition(":")[0]) for field in fields):
                self.report(
                    template,
                    "forbidden-expression",
                    "str.format with attributes or indices",
                    'write an f-string: f"{value.name}"',
                )
