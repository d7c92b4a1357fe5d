"""The last rewriting before compilation: RestrictedPython with guards of our own.

RestrictedPython denies every syntax node it does not know and turns attribute, item and write access into
calls of guards. What it refuses although it can be made safe (augmented assignment to items), and what
costs time and protects nothing here (iteration guards: a program can make no type of its own), is replaced
below.

Guards have names that start with an underscore. They enter the tree here, after names were checked, so a
program cannot spell them.
"""

from __future__ import annotations

import ast
import re
from typing import TypeVar

from RestrictedPython import RestrictingNodeTransformer

from .desugar import WRAPPER

_OPERATORS = {ast.Mult: "_mul_", ast.Pow: "_pow_", ast.LShift: "_lshift_", ast.Mod: "_mod_"}
_SMALL = 1024  # a factor that cannot make anything large in one step
_LONG_NUMBER = re.compile(r"\d{5,}")
_Node = TypeVar("_Node", bound=ast.AST)


class Restrictor(RestrictingNodeTransformer):  # type: ignore[misc, unused-ignore]
    """Rewriting that emits calls of the guards of `Guards`; what it refuses is collected in `errors`."""

    # --- names ---

    def check_name(self, node: ast.AST, name: str | None, allow_magic_methods: bool = False) -> None:
        if name is not None and name.startswith("_") and name not in ("_", WRAPPER):
            self.error(node, f"the name {name!r} starts with an underscore")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        self.check_name(node, node.id)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.check_name(node, node.name)
        self.check_function_argument_names(node)
        if node.decorator_list:
            self.not_allowed(node)
        return self._visit_parts(node)

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        self.check_name(node, node.arg)
        return self._visit_parts(node)

    def visit_Import(self, node: ast.Import) -> list[ast.stmt]:
        return [self._binding(node, alias.asname or "math", _name("_math_")) for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> list[ast.stmt]:
        return [
            self._binding(node, alias.asname or alias.name, _call("_getattr_", _name("_math_"), alias.name))
            for alias in node.names
        ]

    def _binding(self, node: ast.stmt, name: str, value: ast.expr) -> ast.stmt:
        self.check_name(node, name)
        return _at(node, ast.Assign([ast.Name(name, ast.Store())], value))

    # --- statements and expressions that need no guard ---

    def _visit_parts(self, node: ast.AST) -> ast.AST:
        visited: ast.AST = self.node_contents_visit(node)
        return visited

    visit_Module = visit_Assign = visit_For = visit_comprehension = visit_Call = _visit_parts

    # --- statements that are not part of the language; the check has refused them before ---

    def _refuse(self, node: ast.AST) -> ast.AST:
        self.not_allowed(node)
        return node

    visit_ClassDef = visit_With = visit_Global = visit_Yield = visit_YieldFrom = _refuse
    visit_MatMult = visit_TemplateStr = visit_Interpolation = _refuse

    # --- exceptions: no handler and no finally may outlive a limit ---

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        self.check_name(node, node.name)
        self._visit_parts(node)
        if node.type is None:
            node.type = _at(node.body[0], _name("_Exception_"))
        node.body.insert(0, _at(node.body[0], ast.Expr(_call("_caught_"))))
        return node

    def visit_Try(self, node: ast.Try) -> ast.AST:
        self._visit_parts(node)
        if node.finalbody:
            node.finalbody.insert(0, _at(node.finalbody[0], ast.Expr(_call("_caught_"))))
        return node

    # --- arithmetic that can make something huge in one step ---

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        bounded = _is_bounded(node)
        self._visit_parts(node)
        guard = _OPERATORS.get(type(node.op))
        if guard is None or bounded:
            return node
        return _at(node, _call(guard, node.left, node.right))

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST | list[ast.stmt]:
        guard = _OPERATORS.get(type(node.op))
        if isinstance(node.target, ast.Attribute):
            return self._refuse(node)
        if guard is None:  # Python's own `_write_(d)[k] += v` evaluates d and k once, in the right order
            return self._visit_parts(node)
        guard = "_i" + guard[1:]
        self._visit_parts(node)
        if isinstance(node.target, ast.Name):
            value = _call(guard, ast.Name(node.target.id, ast.Load()), node.value)
            return _at(node, ast.Assign([node.target], value))
        container, key = self.gen_tmp_name(), self.gen_tmp_name()
        before = _call("_getitem_", _name(container), _name(key))
        place = ast.Subscript(_name(container), _name(key), ast.Store())
        return [
            _at(node, ast.Assign([ast.Name(container, ast.Store())], node.target.value)),
            _at(node, ast.Assign([ast.Name(key, ast.Store())], node.target.slice)),
            _at(node, ast.Assign([place], _call(guard, before, node.value))),
        ]

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        spec = node.format_spec
        plain = spec is None or (
            isinstance(spec, ast.JoinedStr)
            and all(
                isinstance(part, ast.Constant) and not _LONG_NUMBER.search(str(part.value))
                for part in spec.values
            )
        )
        self._visit_parts(node)
        if plain or node.format_spec is None:
            return node
        conversion = "" if node.conversion < 0 else chr(node.conversion)
        node.value = _at(node, _call("_format_", node.value, node.format_spec, conversion))
        node.conversion, node.format_spec = -1, None
        return node


def _is_bounded(node: ast.BinOp) -> bool:
    """Whether an operand shows that the result cannot be much larger than the other one."""
    left, right = _constant(node.left), _constant(node.right)
    match node.op:
        case ast.Mult():
            return any(
                type(side) is float or (type(side) is int and side <= _SMALL) for side in (left, right)
            )
        case ast.Pow():
            return type(right) is float or type(left) is float
        case ast.Mod():
            return type(left) in (int, float)
    return False


def _constant(node: ast.expr) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _call(guard: str, *arguments: ast.expr | str) -> ast.Call:
    return ast.Call(_name(guard), [ast.Constant(a) if isinstance(a, str) else a for a in arguments], [])


def _at(place: ast.AST, node: _Node) -> _Node:
    return ast.fix_missing_locations(ast.copy_location(node, place))
