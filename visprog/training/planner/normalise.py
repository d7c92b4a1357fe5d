"""WrittenProgram questions and programs, made into samples that the embedded planner can learn from.

A program as a person or a language model wrote it is rewritten in the planner's own small language: one statement a
line, variables `a`, `b`, `c` and `x`, `y`, `i`, strings in the words of the question. What cannot be said in that
language is left out. `augment.py` then makes many samples of one.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from visprog.errors import ConfigError
from visprog.files.plain_text import numbered_lines, parse_json, read_text
from visprog.planner.embedded.grammar import FIXED, grammar
from visprog.planner.embedded.vocabulary import normal_text
from visprog.registry import default_registry

from .corpus import Sample, pluralise


class WrittenProgram(NamedTuple):
    """A question and a program, as they were written down."""

    question: str
    program: str


def read_programs(path: Path) -> list[WrittenProgram]:
    """Question and program of each entry of a file; of the rows of an evaluation, only those that are right.

    Args:
        path: .yaml or .json with a list of {question, program}, or .jsonl with one of them a line, such as the
            results.jsonl of `visprog eval`.

    Raises:
        ConfigError: the file cannot be read, or an entry has no question or no program.
    """
    found = []
    for number, entry in enumerate(_entries(path), 1):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("question"), str):
            raise ConfigError(f"{path}, entry {number}: each entry needs a 'question' and a 'program'")
        scores = entry.get("scores")
        if isinstance(scores, Mapping) and next(iter(scores.values()), 1) != 1:
            continue
        program = entry.get("program")
        if not isinstance(program, str) or not program.strip():
            if "scores" in entry:
                continue  # a question of an evaluation for which no program was written
            raise ConfigError(f"{path}, entry {number}: each entry needs a 'question' and a 'program'")
        found.append(WrittenProgram(entry["question"], program))
    return list(dict.fromkeys(found))


def _entries(path: Path) -> list[Any]:
    import yaml

    try:
        text = read_text(path)
        if path.suffix == ".jsonl":
            return [parse_json(line) for _, line in numbered_lines(text)]
        if path.suffix == ".json":
            loaded = parse_json(text)
        else:
            loaded = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise ConfigError(f"{path} {error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(loaded, list):
        raise ConfigError(f"{path} holds no list of {{question, program}} pairs")
    return loaded


def sample_of(recorded: WrittenProgram) -> Sample | None:
    """The sample that a recorded program amounts to; None where the planner's language cannot say it."""
    try:
        program, several = normalise(recorded.program)
    except (SyntaxError, ValueError):
        return None
    worded = in_words_of(recorded.question, program)
    if worded is None or not speakable(recorded.question, worded, several):
        return None
    return Sample(recorded.question, several, worded, "recorded")


def normalise(program: str) -> tuple[str, bool]:
    """A program in the planner's spelling, and whether it takes several pictures.

    Raises:
        SyntaxError: it is no Python.
        ValueError: it is not one function of `image` or `images` made of assignments and one `return`.
    """
    body = ast.parse(program).body
    if len(body) != 1 or not isinstance(body[0], ast.FunctionDef):
        raise ValueError("the program is not one function")
    function = body[0]
    names = [a.arg for a in function.args.args]
    if names not in (["image"], ["images"]):
        raise ValueError("the function does not take image or images")
    renamer = _Renamer()
    lines = []
    for statement in function.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            value = renamer.written(statement.value)
            lines.append(f"{renamer.variable(statement.targets[0].id)} = {value}")
        elif isinstance(statement, ast.Return) and statement.value is not None:
            lines.append(f"return {renamer.written(statement.value)}")
        else:
            raise ValueError(f"line {statement.lineno} is neither an assignment nor a return")
    text = "".join(f"    {line}\n" for line in lines)
    return f"def answer({names[0]}):\n{text}", names == ["images"]


class _Renamer(ast.NodeTransformer):
    """Gives the variables of a program the letters that the planner knows."""

    def __init__(self) -> None:
        self.assigned: dict[str, str] = {}
        self.bound: dict[str, str] = {}
        self.generators: list[str] = []

    def variable(self, name: str) -> str:
        """The letter of an assigned variable."""
        if name not in self.assigned:
            free = [letter for letter in "abc" if letter not in self.assigned.values()]
            if not free:
                raise ValueError("the program has more than three variables")
            self.assigned[name] = free[0]
        return self.assigned[name]

    def written(self, expression: ast.expr) -> str:
        """An expression as one line."""
        text = ast.unparse(ast.fix_missing_locations(self.visit(expression)))
        for number in reversed(range(len(self.generators))):
            text = text.replace(f"__generator_{number}__", self.generators[number])
        self.generators.clear()
        return _double_quoted(text)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Name(self.bound.get(node.id) or self.assigned.get(node.id) or node.id, node.ctx)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if len(node.args) == 1 and isinstance(node.args[0], ast.GeneratorExp):
            # written without the second pair of parentheses that `ast.unparse` puts around it
            self.generators.append(ast.unparse(node.args[0])[1:-1])
            node.args = [ast.Name(f"__generator_{len(self.generators) - 1}__", ast.Load())]
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.expr:
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.expr:
        return self._comprehension(node)

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp) -> ast.expr:
        outer = dict(self.bound)
        for clause in node.generators:
            clause.iter = self.visit(clause.iter)
            if not isinstance(clause.target, ast.Name):
                raise ValueError("a loop over pairs")
            self._bind(clause.target.id)
            clause.target = self.visit(clause.target)
            clause.ifs = [self.visit(condition) for condition in clause.ifs]
        node.elt = self.visit(node.elt)
        self.bound = outer
        return node

    def _bind(self, name: str) -> None:
        if name in ("image", "images"):
            return
        free = [letter for letter in "xyi" if letter not in self.bound.values()]
        if not free:
            raise ValueError("the program has more than three loops in one another")
        self.bound[name] = free[0]


def _double_quoted(code: str) -> str:
    """The code with its strings in double quotes."""
    out, at = "", 0
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.STRING:
            out += code[at : token.start[1]] + json.dumps(ast.literal_eval(token.string), ensure_ascii=False)
            at = token.end[1]
    return out + code[at:]


def in_words_of(question: str, program: str) -> str | None:
    """The program with its strings as the question has them ("dogs" for "dog"); None where one is not there."""
    text = f"{normal_text(question)} "

    def found(match: re.Match[str]) -> str:
        phrase = match[1]
        forms = (phrase, pluralise(phrase), phrase.removesuffix("s"))
        for form in forms:
            if form in FIXED:
                return f'"{form}"'
        for form in forms:
            if f"{normal_text(form)} " in text:
                return f'"{form}"'
        raise LookupError(phrase)

    try:
        return re.sub(r'"([^"\\\n]*)"', found, program)
    except LookupError:
        return None


def speakable(question: str, program: str, several: bool) -> bool:
    """Whether the grammar that the planner's decoding is held to accepts a program.

    Its strings are normalised as in training: each word with a space before it.
    """
    import llguidance

    def spelled(match: re.Match[str]) -> str:
        return match[0] if match[1] in FIXED else f'"{normal_text(match[1])}"'

    matcher = llguidance.LLMatcher(_bytes(), grammar(question, default_registry(), several))
    text = re.sub(r'"([^"\\\n]*)"', spelled, program)
    return bool(matcher.consume_tokens(list(text.encode())) and matcher.is_accepting())


@cache
def _bytes() -> Any:
    """A tokenizer that has each byte as a token."""
    import llguidance

    return llguidance.LLTokenizer("byte")


def samples_of(paths: Sequence[Path]) -> list[Sample]:
    """The samples of several files.

    Raises:
        ConfigError: a file cannot be read, or no program in them can be said in the planner's language.
    """
    samples = [s for path in paths for s in map(sample_of, read_programs(path)) if s is not None]
    if not samples:
        raise ConfigError("none of the recorded programs can be said in the embedded planner's language")
    return samples


def held_out(question: str) -> bool:
    """Whether a recorded question is kept for validation: one in five, by a hash of its words."""
    return zlib.crc32(normal_text(question).encode()) % 5 == 0
