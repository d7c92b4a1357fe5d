"""What the language allows, as tables. Whatever is not listed here is refused."""

from __future__ import annotations

import ast
from collections.abc import Mapping

# --- syntax ---

STATEMENTS: frozenset[type[ast.AST]] = frozenset({
    ast.Module, ast.FunctionDef, ast.Return, ast.Delete, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For,
    ast.While, ast.If, ast.Raise, ast.Try, ast.Assert, ast.Import, ast.ImportFrom, ast.Expr, ast.Pass,
    ast.Break, ast.Continue,
})  # fmt: skip
EXPRESSIONS: frozenset[type[ast.AST]] = frozenset({
    ast.BoolOp, ast.NamedExpr, ast.BinOp, ast.UnaryOp, ast.Lambda, ast.IfExp, ast.Dict, ast.Set, ast.ListComp,
    ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.Compare, ast.Call, ast.FormattedValue, ast.JoinedStr,
    ast.Constant, ast.Attribute, ast.Subscript, ast.Starred, ast.Name, ast.List, ast.Tuple, ast.Slice,
})  # fmt: skip
PARTS: frozenset[type[ast.AST]] = frozenset({
    ast.Load, ast.Store, ast.Del, ast.And, ast.Or, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod, ast.Pow,
    ast.LShift, ast.RShift, ast.BitOr, ast.BitXor, ast.BitAnd, ast.FloorDiv, ast.Invert, ast.Not, ast.UAdd,
    ast.USub, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.In, ast.NotIn,
    ast.comprehension, ast.ExceptHandler, ast.arguments, ast.arg, ast.keyword, ast.alias,
})  # fmt: skip
NODES = STATEMENTS | EXPRESSIONS | PARTS
ANNOTATIONS: frozenset[type[ast.AST]] = frozenset({
    ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.Tuple, ast.List, ast.Starred, ast.Load, ast.BinOp,
    ast.BitOr, ast.UnaryOp, ast.USub,
})  # fmt: skip

REFUSED_SYNTAX: Mapping[str, tuple[str, str]] = {
    "ClassDef": ("a class", "use functions and dicts"),
    "AsyncFunctionDef": ("an async function", "write a plain 'def': tools are called directly"),
    "Await": ("'await'", "call the tool directly: it returns its result"),
    "AsyncFor": ("'async for'", "use a plain 'for'"),
    "AsyncWith": ("'async with'", "call the functions directly"),
    "With": ("'with'", "call the functions directly: there is nothing to open or close"),
    "Match": ("'match'", "use if / elif / else"),
    "TryStar": ("'except*'", "use 'except'"),
    "Global": ("'global'", "pass the value as an argument and return it"),
    "Nonlocal": ("'nonlocal'", "return the new value, or keep it in a list or dict of the outer function"),
    "Yield": ("'yield'", "collect the values in a list and return it"),
    "YieldFrom": ("'yield from'", "collect the values in a list and return it"),
    "MatMult": ("'@'", "write the sum of products out"),
    "TemplateStr": ("a template string", "use an f-string"),
    "TypeAlias": ("a type alias", "leave it out: annotations are not read"),
}
"""Class name of a node to what it is and what to write instead; not every Python has every class."""

# --- names ---

EXCEPTIONS: tuple[type[Exception], ...] = (
    Exception, ArithmeticError, AssertionError, AttributeError, FileNotFoundError, FloatingPointError,
    IndexError, KeyError, LookupError, MemoryError, NameError, NotImplementedError, OSError, OverflowError,
    RecursionError, RuntimeError, StopIteration, TimeoutError, TypeError, UnboundLocalError, UnicodeError,
    ValueError, ZeroDivisionError,
)  # fmt: skip
"""None of them lets a program catch the end of its run: BaseException and its like are not among them."""

PLAIN_BUILTINS = (
    abs, all, any, ascii, bin, bool, chr, dict, divmod, enumerate, filter, float, frozenset, hex, int,
    isinstance, iter, len, list, map, max, min, next, oct, ord, range, repr, reversed, set, slice, sorted, str,
    sum, tuple, zip,
)  # fmt: skip
"""Handed to programs as they are. The guards add those that need a check of their own."""

GUARDED_BUILTINS = ("format", "getattr", "hasattr", "math", "pow", "print", "round")

BUILTIN_NAMES: frozenset[str] = frozenset(
    [builtin.__name__ for builtin in PLAIN_BUILTINS]
    + [error.__name__ for error in EXCEPTIONS]
    + [*GUARDED_BUILTINS, "ToolError"]
)

REFUSED_NAMES: Mapping[str, str] = {
    "eval": "write the expression itself",
    "exec": "write the statements themselves",
    "compile": "write the code itself",
    "open": "programs have no files: use the inputs and the tools",
    "input": "use the program's inputs",
    "type": "use isinstance(value, kind)",
    "object": "use None or a string as a marker",
    "super": "use functions and dicts",
    "property": "use a function",
    "classmethod": "use a function",
    "staticmethod": "use a function",
    "vars": "name the attribute",
    "dir": "name the attribute",
    "globals": "use variables",
    "locals": "use variables",
    "setattr": "values do not change: make a new one",
    "delattr": "values do not change: make a new one",
    "id": "compare values with == or is",
    "hash": "use the value itself as the key",
    "callable": "use isinstance, or know what you pass",
    "bytes": "use strings and numbers",
    "bytearray": "use strings and numbers",
    "memoryview": "use strings and numbers",
    "complex": "use float",
    "breakpoint": "use print",
    "help": "leave it out",
    "exit": "use return",
    "quit": "use return",
    "BaseException": "use Exception",
    "BaseExceptionGroup": "use Exception",
    "ExceptionGroup": "use Exception",
    "KeyboardInterrupt": "use Exception",
    "SystemExit": "use return to end the program",
    "GeneratorExit": "use Exception",
    "issubclass": "use isinstance(value, kind)",
    "aiter": "use a plain 'for'",
    "anext": "use next",
    "__import__": "only math can be imported",
    "__name__": "leave the test of it out: the program is always run as a whole",
}

TYPING_MODULES = frozenset({"typing", "__future__", "collections.abc"})
"""Imports that serve annotations only. They are dropped, and bind nothing."""

# --- attributes ---

_SEQUENCE = "count index"
_SET = "copy difference intersection isdisjoint issubset issuperset symmetric_difference union"
_INTEGER = "as_integer_ratio bit_count bit_length conjugate denominator imag is_integer numerator real"
_STRING = """
capitalize casefold center count endswith expandtabs find format index isalnum isalpha isascii isdecimal
isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip maketrans
partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines
startswith strip swapcase title translate upper zfill
"""

TYPE_ATTRIBUTES: Mapping[type, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in {
        str: _STRING,
        list: "append clear copy count extend index insert pop remove reverse sort",
        tuple: _SEQUENCE,
        range: _SEQUENCE + " start stop step",
        slice: "start stop step",
        dict: "clear copy fromkeys get items keys pop popitem setdefault update values",
        type({}.keys()): "isdisjoint",
        type({}.items()): "isdisjoint",
        set: _SET + " add clear difference_update discard intersection_update pop remove"
        " symmetric_difference_update update",
        frozenset: _SET,
        int: _INTEGER,
        bool: _INTEGER,
        float: "as_integer_ratio conjugate imag is_integer real",
    }.items()
} | {error: frozenset({"args"}) for error in EXCEPTIONS}
"""By exact type: what a program may read on a value. Nothing for every type that is not listed."""

MATH_NAMES: frozenset[str] = frozenset({
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "comb", "copysign", "cos",
    "cosh", "degrees", "dist", "e", "erf", "erfc", "exp", "exp2", "expm1", "fabs", "factorial", "floor",
    "fmod", "frexp", "fsum", "gamma", "gcd", "hypot", "inf", "isclose", "isfinite", "isinf", "isnan",
    "isqrt", "lcm", "ldexp", "lgamma", "log", "log10", "log1p", "log2", "modf", "nan", "perm", "pi", "pow",
    "prod", "radians", "remainder", "sin", "sinh", "sqrt", "sumprod", "tan", "tanh", "tau", "trunc",
})  # fmt: skip
"""What the module `math` has for programs."""

BUILTIN_ATTRIBUTES: frozenset[str] = frozenset().union(MATH_NAMES, *TYPE_ATTRIBUTES.values())

TYPES: frozenset[type] = frozenset({str, int, float, bool, list, tuple, set, frozenset, dict})
"""Whose methods may be read as functions: `str.lower`, `dict.fromkeys`."""

SUBSCRIPTABLE: frozenset[type] = frozenset({str, list, dict, tuple, range})
GENERIC: frozenset[type] = frozenset({list, tuple, set, frozenset, dict})
"""Whose types may be subscripted, as in `Point = tuple[float, float]`."""
WRITABLE: frozenset[type] = frozenset({list, dict})
