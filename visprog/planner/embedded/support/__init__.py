"""The second judge of the embedded planner: is every word of the question accounted for by the program?

A language model's own probability does not tell a misreading from a reading: it can be sure of a program that leaves
out a condition. So a program is only used if

- each content word of the question is copied into an argument, or is known (from `support.yaml`) to ask for something
  that the program does;
- each tool, number, negation and comparison of the program is asked for by some word;
- colours, relations, superlatives and comparisons apply to the objects that the question names with them;
- the type of the answer fits the form of the question.

What is not accounted for is named, so that the refusal can say which words were not understood.
"""

from __future__ import annotations

import ast

from ..vocabulary import normalize
from .arguments import misplaced, predicate, unread
from .bindings import bindings
from .features import ProgramFeatures
from .form import form
from .lexicon import CorpusWords, lexicon
from .numbers import numbers
from .question import AskedQuestion
from .words import asides, unaccounted, unanswerable, unasked

__all__ = ["CorpusWords", "lexicon", "signature", "unsupported", "without_asides"]


def signature(program: str) -> str:
    """What kind of program it is, whatever it looks for."""
    return ProgramFeatures(ast.parse(program)).kind


def without_asides(question: str) -> str:
    """The question without clauses in which the speaker only tells of themselves: what is left is easier to read."""
    words = normalize(question)
    left_out = asides(AskedQuestion([w for w, _, _ in words]), set())
    kept = [i for i in range(len(words)) if i not in left_out]
    if not left_out or not kept:
        return question
    return question[words[kept[0]][1] : words[kept[-1]][2]].strip(" ,;:-")


def unsupported(question: str, program: str, known: CorpusWords) -> list[str]:
    """What speaks against a program as the reading of a question, as phrases for a message; empty if nothing does."""
    asked = AskedQuestion([w for w, _, _ in normalize(question)])
    try:
        done = ProgramFeatures(ast.parse(program))
    except SyntaxError:
        return ["it is no program"]
    return [
        *unanswerable(asked, done),
        *unaccounted(asked, done, known),
        *unasked(asked, done),
        *misplaced(asked, done, known),
        *predicate(asked, done, known),
        *unread(question, done),
        *numbers(asked, done),
        *bindings(asked, done),
        *form(asked, done),
    ]
