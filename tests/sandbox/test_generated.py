"""Programs made from the grammar of the language give what plain CPython gives.

Nothing in the grammar can double a value: a few doublings in nested loops would outgrow the machine.
"""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visprog.sandbox import Limits, check
from visprog.sandbox.engine import Namespace, Refused, RestrictedEngine

NAMES = ["a", "b", "c"]
numbers = st.integers(-9, 9).map(str)
atoms = (
    st.sampled_from(NAMES)
    | numbers
    | st.sampled_from(["'xy'", "[1, 2, 3]", "(4, 5)", "{'k': 1}", "None", "True", "0.5"])
)


METHODS = ["upper()", "count(1)", "get('k')", "index(2)", "join(['a', 'b'])", "keys()"]
FUNCTIONS = ["len", "sorted", "list", "abs", "bool", "tuple", "max", "repr", "set", "str"]
OPERATORS = ["+", "-", "*", "/", "//", "%", "&", "|", "^", "<", "==", "in", "and", "or", "is"]
constants = numbers | st.sampled_from(["'xy'", "[6]", "(4, 5)", "None", "True", "0.5"])


def expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def form(template: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.tuples(*parts).map(lambda values: template.format(*values))

    return st.one_of(
        form("({} {} {})", inner, st.sampled_from(OPERATORS), constants),
        form("({} {} {})", constants, st.sampled_from(OPERATORS), inner),
        form("({} if {} else {})", inner, inner, inner),
        form("[{}, *[{}]]", inner, constants),
        form("{{'p': {}, **{{'q': {}}}}}", inner, constants),
        form("({})[{}]", inner, inner),
        form("({})[1:]", inner),
        form("[x for x in {} if x]", inner),
        form("{{x: y for x, y in {}}}", inner),
        form("sum(x for x in {})", inner),
        form("(lambda x=1, *y: (x, y))(*{})", inner),
        form("'%s|%5s' % ({}, 1)", inner),
        form("'{{}}-{{:>4}}'.format({}, 2)", inner),
        form("{}({})", st.sampled_from(FUNCTIONS), inner),
        form("({}).{}", inner, st.sampled_from(METHODS)),
        form("(n := {})", inner),
    )


expression = st.recursive(atoms, expressions, max_leaves=4)


def indent(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]


def blocks(inner: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    body = st.lists(inner, min_size=1, max_size=3).map(
        lambda parts: [line for part in parts for line in part]
    )
    return st.one_of(
        st.tuples(expression, body, body).map(
            lambda t: [f"if {t[0]}:", *indent(t[1]), "else:", *indent(t[2])]
        ),
        st.tuples(expression, body).map(
            lambda t: [f"for i, a in enumerate({t[0]}):", *indent(t[1]), "else:", "    b = 7"]
        ),
        body.map(lambda b: ["for c in range(2):", *indent(b), "    if c: continue", "    b = c"]),
        st.tuples(body, body, body).map(
            lambda t: [
                "try:",
                *indent(t[0]),
                "except (TypeError, KeyError) as e:",
                *indent(t[1]),
                "except Exception:",
                "    a = 'caught'",
                "finally:",
                *indent(t[2]),
            ]
        ),
        st.tuples(body, expression).map(
            lambda t: ["def f(a, b=2, *c):", *indent(t[0]), f"    return {t[1]}", "a = f(a, b)"]
        ),
    )


simple = st.one_of(
    st.tuples(st.sampled_from(NAMES), expression).map(lambda t: [f"{t[0]} = {t[1]}"]),
    st.tuples(st.sampled_from(NAMES), st.sampled_from("+-*%&"), constants).map(
        lambda t: [f"{t[0]} {t[1]}= {t[2]}"]
    ),
    st.tuples(constants, st.sampled_from("+*-")).map(lambda t: [f"d['k'] {t[1]}= {t[0]}"]),
    st.tuples(expression, expression).map(lambda t: [f"d[{t[0]}] = {t[1]}"]),
    expression.map(lambda e: [f"a, *b = {e}"]),
    expression.map(lambda e: [f"print({e})"]),
    expression.map(lambda e: [f"c: 'anything' = {e}"]),
)
statement = st.recursive(simple, blocks, max_leaves=4)
programs = st.lists(statement, min_size=1, max_size=5).map(
    lambda parts: [line for part in parts for line in part]
)


class Stopped(BaseException):
    pass


def stop(limit: str, why: str) -> NoReturn:
    raise Stopped(limit)


def plain(source: str) -> tuple[Any, list[str]]:
    printed: list[str] = []
    names: dict[str, Any] = {"print": lambda *values: printed.append(" ".join(map(str, values)) + "\n")}
    try:
        exec(source, names)
        return repr(names["answer"]()), printed
    except Exception as error:
        return type(error), printed


def guarded(source: str) -> tuple[Any, list[str]]:
    printed: list[str] = []
    try:
        return repr(
            RestrictedEngine().run(source, Namespace({}, {}, {}, {}, printed.append, stop, Limits()))
        ), printed
    except Refused:
        return SyntaxError, printed  # what CPython cannot compile either
    except Exception as error:
        return type(error), printed


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@given(programs)
@settings(max_examples=150, deadline=None)
def test_results_equal_those_of_cpython(lines: list[str]) -> None:
    start = ["d = {'k': 1}", "n = 0", "a, b, c = 1, [2, 3], 'z'"]
    source = "\n".join(["def answer():", *indent([*start, *lines]), "    return [a, b, c, d, n]"])
    assert check(source) == []
    assert guarded(source) == plain(source), source
