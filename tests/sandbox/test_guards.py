"""The guards on their own: programs that the static check has not seen, executed in this process.

The check refuses most of them before they run; here is what holds should it miss one.
"""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from visprog.sandbox import Limits, policy
from visprog.sandbox.engine import Namespace, Refused, RestrictedEngine

LIMITS = Limits(integer=64, sequence=100, recursion=100)


class Stopped(BaseException):
    """In the place of the end of the process."""


def stop(limit: str, why: str) -> NoReturn:
    raise Stopped(limit)


def run(source: str, /, **inputs: Any) -> Any:
    tools = {name: value for name, value in inputs.items() if callable(value)}
    values = {name: value for name, value in inputs.items() if name not in tools}
    return RestrictedEngine().run(source, Namespace(values, tools, {}, {}, lambda text: None, stop, LIMITS))


class Host:
    """An object that no program should hold."""

    secret = "hunter2"

    def __getitem__(self, key: Any) -> str:
        return self.secret

    def __setitem__(self, key: Any, value: Any) -> None:
        raise KeyError(key)


class Text(str):
    """A type that nobody opened, made from one that is open."""


# --- attributes and items ---


@pytest.mark.parametrize(
    "source",
    [
        "return host.secret",
        "return getattr(host, 'secret')",
        "return getattr('', '__class__')",
        "return getattr(lambda: 0, 'func_globals')",
        "return text.upper()",
        "return 'a'.format_map({})",
        "return 'a'.encode()",
        "return Exception.mro()",
        "return str.mro()",
        "return ValueError('x').with_traceback(None)",
        "return [].sort.self",
        "return (x for x in [1]).gi_running",
        "return list(map(getattr, [host], ['secret']))",
        "return max([host], key=lambda h: h.secret)",
    ],
)
def test_attributes_are_open_by_exact_type(source: str) -> None:
    with pytest.raises(AttributeError):
        run(source, host=Host(), text=Text("x"))


def test_what_is_open_is_not_leaky() -> None:
    leaky = {"format_map", "mro", "with_traceback", "add_note", "obj", "name", "encode", "tobytes", "fromhex"}
    for names in policy.TYPE_ATTRIBUTES.values():
        assert not leaky.intersection(names)
        assert not any(
            name.startswith(("_", "gi_", "cr_", "ag_", "tb_", "f_", "co_", "func_")) for name in names
        )


def test_no_exception_catches_the_end_of_a_run() -> None:
    assert all(issubclass(error, Exception) for error in policy.EXCEPTIONS)
    assert not any(issubclass(error, (BaseExceptionGroup, SystemExit)) for error in policy.EXCEPTIONS)


@pytest.mark.parametrize(
    "source", ["return host['x']", "host['x'] = 1\nreturn 1", "host['x'] += 1\nreturn 1"]
)
def test_items_are_open_by_exact_type(source: str) -> None:
    with pytest.raises(TypeError):
        run(source, host=Host())


# --- names and syntax ---


@pytest.mark.parametrize(
    "source",
    [
        "_x = 1\nreturn 1",
        "return _getattr_('', 'upper')",
        "return __import__('os')",
        "return ''.__class__",
        "return (lambda _getattr_: 1)(2)",
        "def _write_(x): pass\nreturn 1",
        "def f(*_getitem_): pass\nreturn 1",
        "def f(a, _getattr_, /): pass\nreturn 1",
        "try: pass\nexcept ValueError as _caught_: pass\nreturn 1",
        "return f(_x=1)",
        "import math as _math_\nreturn 1",
        "return [1 for _getattr_ in [1]]",
        "return (_getattr_ := 1)",
        "class A: pass\nreturn A",
        "with f: pass\nreturn 1",
        "def f():\n    yield 1\nreturn f",
        "def f():\n    global g\n    g = 1\nreturn 1",
        "def f():\n    x = 1\n    def g():\n        nonlocal x\n    return g\nreturn 1",
        "@f\ndef g(): pass\nreturn 1",
        "async def f(): pass\nreturn 1",
        "match 1:\n    case _: pass\nreturn 1",
        "try: pass\nexcept* ValueError: pass\nreturn 1",
        "return 1 @ 2",
        "host.secret += 'x'\nreturn 1",
    ],
)
def test_the_rewriting_refuses(source: str) -> None:
    with pytest.raises(Refused):
        run(source, host=1, f=print)


def test_imports_give_the_facade_alone() -> None:
    assert "math" in run("import os as m\nreturn repr(m)")
    with pytest.raises(AttributeError):
        run("from os import system\nreturn system")
    with pytest.raises(AttributeError):
        run("import math\nreturn math.ulp")


@pytest.mark.parametrize(
    "name",
    [
        *["open", "eval", "exec", "compile", "type", "object", "super", "vars", "dir", "globals", "locals"],
        *[
            "setattr",
            "delattr",
            "id",
            "hash",
            "input",
            "memoryview",
            "bytearray",
            "breakpoint",
            "classmethod",
        ],
        *["BaseException", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "BaseExceptionGroup"],
    ],
)
def test_builtins_that_are_not_there(name: str) -> None:
    with pytest.raises(NameError):
        run(f"return {name}")


# --- the end of a run cannot be caught ---


@pytest.mark.parametrize("wrapped", ["try: {}\nexcept: pass", "try: {}\nexcept Exception: pass"])
@pytest.mark.parametrize("limit", ["2 ** n", "fail()"])
def test_no_handler_outlives_a_limit(wrapped: str, limit: str) -> None:
    def fail() -> NoReturn:
        raise MemoryError

    with pytest.raises(Stopped):
        run(wrapped.format(limit) + "\nreturn 'alive'", n=999, fail=fail)


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_no_finally_outlives_a_limit(error: type[Exception]) -> None:
    def fail() -> NoReturn:
        raise error

    with pytest.raises(Stopped):
        run("try: fail()\nfinally: return 'alive'", fail=fail)


def test_recursion_is_bounded() -> None:
    with pytest.raises(Stopped, match="recursion"):
        run("def f(n):\n    return 1 if n == 300 else f(n + 1)\nreturn f(0)")


# --- what would be huge is not made ---

HUGE = {
    "product": ("integer", "return big * big"),
    "product in place": ("integer", "x = big\nx *= big\nreturn x"),
    "power": ("integer", "return 2 ** n"),
    "power in place": ("integer", "x = 2\nx **= n\nreturn x"),
    "power of items": ("integer", "x = [2]\nx[0] **= n\nreturn x"),
    "pow": ("integer", "return pow(2, n)"),
    "shift": ("integer", "return 1 << n"),
    "shift in place": ("integer", "x = 1\nx <<= n\nreturn x"),
    "round": ("integer", "return round(1, -n)"),
    "factorial": ("integer", "return math.factorial(n)"),
    "comb": ("integer", "return math.comb(n, 50)"),
    "perm": ("integer", "return math.perm(n, 50)"),
    "prod": ("integer", "return math.prod([big, big])"),
    "lcm": ("integer", "return math.lcm(big, big - 1)"),
    "times a constant": ("sequence", "return [0] * 2000"),
    "list times": ("sequence", "return [0] * n"),
    "times list": ("sequence", "return n * [0]"),
    "tuple times": ("sequence", "return (0,) * n"),
    "text times": ("sequence", "return 'x' * n"),
    "list in place": ("sequence", "x = [0]\nx *= n\nreturn x"),
    "join": ("sequence", "return 'x'.join(['', 'x' * 60, 'y' * 60])"),
    "replace": ("sequence", "return ('x' * 50).replace('x', 'yyyy')"),
    "expandtabs": ("sequence", "return '\\t'.expandtabs(n)"),
    "center": ("sequence", "return ''.center(n)"),
    "zfill": ("sequence", "return str.zfill('', n)"),
    "f-string": ("sequence", "return f'{1:12345}'"),
    "f-string of a variable": ("sequence", "w = 12345\nreturn f'{1:{w}}'"),
    "format": ("sequence", "return format(1, '12345')"),
    "str.format": ("sequence", "return '{:{}}'.format(1, 12345)"),
    "percent": ("sequence", "return '%12345d' % 1"),
    "percent of a variable": ("sequence", "return '%*d' % (12345, 1)"),
    "percent in place": ("sequence", "x = '%12345d'\nx %= 1\nreturn x"),
    "percent with a key": ("sequence", "return '%((a))99999d' % {'(a)': 1}"),
}


@pytest.mark.parametrize("what", HUGE)
def test_nothing_huge_is_made(what: str) -> None:
    limit, source = HUGE[what]
    with pytest.raises(Stopped, match=limit):
        run(source, n=999, big=2**40)


@pytest.mark.parametrize("source", ["factorial(n)", "comb(n, 50)", "perm(n, 50)"])
def test_factors_are_judged_first(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The product of very many numbers is not made to see how large it is."""
    monkeypatch.setattr("visprog.sandbox.sizes.math", None)
    with pytest.raises(Stopped, match="integer"):
        run(f"return math.{source}", n=999)


@pytest.mark.parametrize(
    "source",
    ["'{0.real}'.format(1)", "'{0[0]}'.format([1])", "'{a.real}'.format(a=1)", "str.format('{0.real}', 1)",
     "'{:{0.real}}'.format(1, 2)", "list(map('{0.real}'.format, [1]))"],
)  # fmt: skip
def test_format_walks_into_nothing(source: str) -> None:
    with pytest.raises(ValueError, match=r"attributes or indices|switch from"):
        run(f"return {source}")
