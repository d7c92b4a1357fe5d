"""The program is found in whatever a chat model writes around it."""

from __future__ import annotations

import pytest

from visprog.planner.extract import find_program, find_refusal

PROGRAM = 'def answer(image):\n    return len(detect(image, "dog"))\n'
OTHER = 'def answer(image):\n    return len(detect(image, "cat"))\n'


def fence(code: str, language: str = "python") -> str:
    return f"```{language}\n{code}```"


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(PROGRAM, id="bare"),
        pytest.param(fence(PROGRAM), id="fenced"),
        pytest.param(fence(PROGRAM, ""), id="no language"),
        pytest.param(fence(PROGRAM, "Python"), id="capital"),
        pytest.param(fence(PROGRAM, "py title=a.py"), id="info string"),
        pytest.param(fence(PROGRAM).replace("```", "~~~~"), id="tildes"),
        pytest.param(f"Sure! Here it is:\n\n{fence(PROGRAM)}\n\nIt counts the dogs.", id="prose around"),
        pytest.param(f"```python\n{PROGRAM}", id="fence not closed"),
        pytest.param(f"```python\n{PROGRAM}``", id="fence half closed"),
        pytest.param(fence(OTHER) + "\nBetter:\n" + fence(PROGRAM), id="the last of two"),
        pytest.param(fence(PROGRAM) + "\nOutput:\n" + fence("3\n", "text"), id="output after it"),
        pytest.param(fence(PROGRAM) + "\nInstall:\n" + fence("pip install x\n", "bash"), id="shell after it"),
        pytest.param(
            fence("x = 1\n") + "\n" + fence(PROGRAM) + "\n" + fence("print(x)\n"), id="snippets around"
        ),
        pytest.param("<think>Maybe\n" + fence(OTHER) + "</think>\n" + fence(PROGRAM), id="thought"),
        pytest.param(fence(OTHER) + "\nhm</think>" + fence(PROGRAM), id="thought without its start"),
        pytest.param(
            "1. First:\n   ```python\n" + "".join(f"   {x}\n" for x in PROGRAM.splitlines()) + "   ```",
            id="in a list",
        ),
        pytest.param(PROGRAM.replace("\n", "\r\n"), id="windows line ends"),
        pytest.param("\ufeff" + PROGRAM, id="byte order mark"),
        pytest.param(
            f"Here is the program.\n\n{PROGRAM}\nIt counts the dogs, as you asked.", id="unfenced prose"
        ),
        pytest.param('{"program": ' + repr(PROGRAM).replace('"', '\\"').replace("'", '"') + "}", id="json"),
        pytest.param(
            '```json\n{"code": "def answer(image):\\n    return len(detect(image, \\"dog\\"))"}\n```',
            id="fenced json",
        ),
    ],
)
def test_finds_the_program(reply: str) -> None:
    assert find_program(reply) == PROGRAM


@pytest.mark.parametrize(
    "program",
    [
        'result = len(detect(image, "dog"))\n',
        'dogs = detect(image, "dog")\nreturn len(dogs)\n',
        "def helper(x):\n    return x\n\n\ndef answer(image):\n    return helper(1)\n",
        "import math\n\n\ndef answer(image):\n    return math.pi\n",
    ],
)
def test_finds_scripts_and_helpers(program: str) -> None:
    assert find_program(f"Here:\n{fence(program)}") == program
    assert find_program(f"Here you go.\n\n{program}") == program


def test_a_broken_program_is_given_back_for_the_check_to_explain() -> None:
    broken = 'def answer(image)\n    return len(detect(image, "dog")\n'
    assert find_program(fence(broken)) == broken
    assert find_program("Here:\n" + broken) == broken


def test_a_working_block_is_preferred_to_a_broken_one_after_it() -> None:
    assert find_program(fence(PROGRAM) + "\nOr:\n" + fence("def answer(image:\n  retur\n")) == PROGRAM


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "   \n",
        "I'm sorry, I cannot see the image.",
        "There are three dogs. return the number of them.",
        "```\nno code here, just words\n```",
        "<think>def answer(image):\n    return 1",
        "CANNOT: there is no tool for sound",
    ],
)
def test_no_program(reply: str) -> None:
    assert find_program(reply) is None


def test_a_huge_reply_is_searched_in_bounded_time() -> None:
    for noise in ("x = (\n", "<think>", "```python\n", "{", "(", "</think>"):
        assert find_program(noise * (90_000 // len(noise))) is None
    assert find_program("for example\n" * 5_000 + PROGRAM) == PROGRAM


def test_refusal() -> None:
    assert find_refusal("CANNOT: there is no tool for sound.") == "there is no tool for sound."
    assert find_refusal("<think>CANNOT: x</think>\n**CANNOT**: no audio") == "no audio"
    assert find_refusal("I cannot do this") is None


DRAFT = fence("def answer(image):\n    return 1\n")
WHY = "CANNOT: no tool hears sounds"


@pytest.mark.parametrize(
    "reply",
    [
        f"[THINK]draft\n{DRAFT}\n[/THINK]\n{WHY}",
        f"<|channel|>analysis<|message|>draft\n{DRAFT}\n<|end|><|start|>assistant<|channel|>final<|message|>{WHY}",
        f"analysisdraft\n{DRAFT}\nassistantfinal{WHY}",
        f"<think>{DRAFT}</think>{WHY}",
        f"<thoughts>\n{DRAFT}\n</thoughts>\n{WHY}",
        f"◁think▷{DRAFT}◁/think▷{WHY}",
        f"<|START_THINKING|>{DRAFT}<|END_THINKING|><|START_RESPONSE|>{WHY}<|END_RESPONSE|>",
        f"<unused94>thought\n{DRAFT}<unused95>{WHY}",
        f"{DRAFT}\nOn second thoughts:\n{WHY}",
        f"{DRAFT}\n**CANNOT**: no tool hears sounds",
        f"<|channel>thought\n{DRAFT}\n<channel|>{WHY}",
        f"{DRAFT}\nCannot: no tool hears sounds",
        f"{DRAFT}\nCANNOT – no tool hears sounds",
        f"{DRAFT}\nFinal answer: CANNOT: no tool hears sounds",
    ],
)
def test_a_draft_that_was_taken_back_is_no_program(reply: str) -> None:
    assert find_program(reply) is None
    assert find_refusal(reply) == "no tool hears sounds"


def test_a_program_after_a_doubt_counts() -> None:
    assert find_program(f"{WHY}? No, it can be seen:\n{DRAFT}") == "def answer(image):\n    return 1\n"


@pytest.mark.parametrize(
    ("reply", "whole"),
    [
        ("```python\ndef answer(image):\n    return 1", False),
        ("def answer(image):\n    return 1", False),
        ('{"program": "def answer(image):\\n    return 1"', False),
        (DRAFT, True),
        (f"{DRAFT}\nThis program", True),
        (f"{DRAFT}\nBetter:\n```python\ndef answer(image):\n    return 1 + len(", False),
    ],
)
def test_of_a_reply_that_was_cut_only_a_closed_block_is_whole(reply: str, whole: bool) -> None:
    assert (find_program(reply, truncated=True) is not None) == whole


@pytest.mark.parametrize("tag", ["<think>", "</think>", "[/THINK]", "<answer>"])
def test_a_program_that_speaks_of_a_tag_is_whole(tag: str) -> None:
    program = f"def answer(image):\n    return '{tag}' in read_text(image)\n"
    assert find_program(f"<think>so</think>{fence(program)}") == program


def test_the_line_ends_of_an_old_system() -> None:
    assert find_program(DRAFT.replace("\n", "\r")) == "def answer(image):\n    return 1\n"


def test_typeset_quotes_and_blanks_are_mended() -> None:
    program = find_program(
        fence("def answer(image):\n\u00a0\u00a0\u00a0 return len(detect(image, \u201cdog\u201d))\n")
    )
    assert program == 'def answer(image):\n    return len(detect(image, "dog"))\n'
    kept = fence('def answer(image):\n    return read_text(image) == "\u201cdog\u201d"\n')
    assert "\u201cdog\u201d" in str(find_program(kept))
