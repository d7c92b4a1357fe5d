"""Tokens of the prompt, whole and with `prompt_tokens`, and whether a small one shows the tools that programs call.

python benchmarks/prompt_size.py                                            # examples left one out, NLVR's programs
python benchmarks/prompt_size.py --blindtest blindtest_dev.zip --questions questions.jsonl --tokens 4000

A program is covered if the prompt for its question shows every tool that it calls. Questions without a recorded program
(BlindTest, --questions) have that of the embedded planner, as far as it writes one. Tokens are those of o200k_base if
`tiktoken` or `bpe_openai` is installed and has the file of that encoding, and the estimate of `visprog.llm.chat`
otherwise; the first line says which.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import mean

from visprog import prompts
from visprog.agent import Agent
from visprog.errors import ConfigError, VisprogError
from visprog.evaluation.benchmark import open_benchmark
from visprog.llm.chat import Message, Reply, estimate_tokens
from visprog.planner import LLMPlanner, PlanRequest
from visprog.planner.examples import calls
from visprog.prompts import Example
from visprog.registry import Registry
from visprog.training.planner.normalise import read_programs

NLVR = Path(__file__).resolve().parent.parent / "visprog" / "training" / "planner" / "nlvr_programs.yaml"

Count = Callable[[Sequence[Message]], int]


class Silent:
    """A chat model that is never asked."""

    name = "none"

    def complete(self, *args: object, **options: object) -> list[Reply]:
        raise AssertionError("no model is asked here")


def counter() -> tuple[str, Count]:
    """How tokens are counted, and the function."""
    for module in ("tiktoken", "bpe_openai"):
        try:
            encode = import_module(module).get_encoding("o200k_base").encode
        except Exception:  # not installed, or its file cannot be fetched
            continue
        return f"o200k_base by {module}", partial(_counted, encode)
    return "the estimate of visprog, which is above o200k_base", estimate_tokens


def _counted(encode: Callable[[str], Sequence[int]], messages: Sequence[Message]) -> int:
    return sum(len(encode(message["content"])) for message in messages)


def of_embedded(agent: Agent, asked: Sequence[tuple[str, int]]) -> Iterator[Example]:
    """Questions and numbers of images → those for which the embedded planner writes a program."""
    for question, images in dict.fromkeys(asked):
        try:
            plan = agent.plan(question, images)
        except VisprogError:
            continue
        yield Example(question, plan.program, images)


def named(prompt: str) -> set[str]:
    """Functions that a system prompt describes."""
    alike = re.findall(r"Called in the same way: ([\w, ]+)", prompt)
    return {
        *re.findall(r"^def (\w+)", prompt, re.MULTILINE),
        *(n for names in alike for n in names.split(", ")),
    }


def report(
    name: str,
    cases: Sequence[Example],
    registry: Registry,
    limit: int,
    count: Count,
    *,
    left_out: bool = False,
) -> None:
    """One line for a set of questions with programs, and the tools that were missing most."""
    whole, small, missing = [], [], Counter[str]()
    covered = fitting = 0
    for case in cases:
        examples = [e for e in prompts.examples() if not (left_out and e.question == case.question)]
        request = PlanRequest(case.question, case.images, registry=registry)
        whole.append(count(LLMPlanner(Silent(), examples=examples).prompt(request)))
        try:
            messages = LLMPlanner(Silent(), examples=examples, prompt_tokens=limit).prompt(request)
        except ConfigError as error:
            print(f"{name}: {case.question}: {error}")
            continue
        small.append(count(messages))
        fitting += small[-1] <= limit
        absent = {n for n in calls(case.program) if n in registry} - named(messages[0]["content"])
        covered += not absent
        missing.update(absent)
    print(
        f"{name:22} {len(cases):4} questions: whole {mean(whole):5.0f} tokens (at most {max(whole)}); limited "
        f"{mean(small):5.0f} (at most {max(small)}), {fitting} within {limit}; all tools shown for {covered} "
        f"({covered / len(cases):.1%}); missing {dict(missing.most_common(8))}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=4000, help="prompt_tokens")
    parser.add_argument("--blindtest", type=Path, help="zip archive of BlindTest")
    parser.add_argument("--questions", type=Path, help="lines of JSON with a question and n_images")
    options = parser.parse_args()
    how, count = counter()
    print(f"tokens: {how}")
    with Agent() as agent:
        registry = agent.host.in_force
        usable = [
            e for e in prompts.examples() if calls(e.program) <= registry.offered.keys() | {"Box", "Point"}
        ]
        report("examples, left one out", usable, registry, options.tokens, count, left_out=True)
        nlvr = [Example(r.question, r.program) for r in read_programs(NLVR)]
        report("NLVR", nlvr, registry, options.tokens, count)
        if options.blindtest is not None:
            items = open_benchmark("blindtest", options.blindtest)
            asked = [(item.question, 1) for item in items]
            report("BlindTest", list(of_embedded(agent, asked)), registry, options.tokens, count)
        if options.questions is not None:
            rows = [json.loads(line) for line in options.questions.read_text().splitlines() if line.strip()]
            written = list(of_embedded(agent, [(row["question"], row["n_images"]) for row in rows]))
            report("questions", written, registry, options.tokens, count)
            rest = [Example(r["question"], "", r["n_images"]) for r in rows]
            report("questions, all", rest, registry, options.tokens, count)


if __name__ == "__main__":
    main()
