"""CuPL: questions to a language model, its first sentences, kept so that nothing is asked twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from visprog.errors import ConfigError, PlannerError, Refused, ToolError
from visprog.llm.chat import Reply
from visprog.prompts import class_sentences
from visprog.tools.backends import sentences
from visprog.tools.backends.sentences import CuPL, first_sentence, questions, with_article
from visprog.tools.cupl import cupl_prompts
from visprog.tools.words.phrase import read_yaml


class Script:
    """A chat model that says the same of everything, and may break after some requests."""

    name = "script"

    def __init__(self, replies: list[str], breaks_after: int = 1000) -> None:
        self.replies, self.breaks_after = replies, breaks_after
        self.requests: list[dict[str, Any]] = []

    def complete(self, messages, *, n=1, temperature=0.0, max_tokens=None, seed=None):
        if len(self.requests) == self.breaks_after:
            raise PlannerError("the line is down")
        self.requests.append(
            {"text": messages[0]["content"], "n": n, "temperature": temperature, "max": max_tokens}
        )
        return [Reply(reply) for reply in self.replies]


def test_the_questions_are_the_published_ones() -> None:
    script = Script(["It has two round eyes. And a beak."])
    assert CuPL(script).sentences("owl") == ["It has two round eyes."]
    assert [r["text"] for r in script.requests] == [
        "Describe what an owl looks like",
        "How can you identify an owl?",
        "What does an owl look like?",
        "Describe an image from the internet of an owl",
        "A caption of an image of an owl:",
    ]
    assert {(r["n"], r["temperature"], r["max"]) for r in script.requests} == {(10, 0.99, 50)}


def test_articles_and_first_sentences() -> None:
    assert [with_article(w) for w in ("owl", "cat", "Umbrella", "")] == [
        "an owl",
        "a cat",
        "an Umbrella",
        "a ",
    ]
    assert first_sentence(" A cat\n has fur. It purrs.") == "A cat has fur."
    assert first_sentence("cut off at the limit of tok") == "cut off at the limit of tok."
    assert first_sentence(" .") == ""


def test_what_was_said_is_kept_and_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    broken = Script(["It is round.", "It is red."], breaks_after=3)
    with pytest.raises(PlannerError, match="line is down"):
        CuPL(broken, tmp_path).sentences("ball")
    assert len(list(tmp_path.glob("*.json"))) == 3
    whole = Script(["It is round.", "It is red."])
    assert CuPL(whole, tmp_path).sentences("ball") == ["It is round.", "It is red."]
    assert [r["text"] for r in whole.requests] == [q.replace("{}", "a ball") for q in questions()[3:]]
    silent = Script([], breaks_after=0)
    again = CuPL(silent, tmp_path)
    assert again.sentences(" ball ") == ["It is round.", "It is red."] == again.sentences("ball")
    file = next(tmp_path.glob("*.json"))
    assert json.loads(file.read_text())["model"] == "script"
    file.write_text("{")  # a broken file is asked for again
    repaired = Script(["It is round.", "It is red."])
    assert CuPL(repaired, tmp_path).sentences("ball") == ["It is round.", "It is red."]
    assert len(repaired.requests) == 1


def test_a_model_that_says_nothing_is_named() -> None:
    with pytest.raises(ToolError, match="script gave no sentence about 'ball'"):
        CuPL(Script(["", " . "])).sentences("ball")
    with pytest.raises(ToolError, match="empty category"):
        CuPL(Script(["x."])).sentences("  ")


def test_the_bundled_sentences_cover_what_is_shown() -> None:
    from visprog import prompts
    from visprog.scenes import COLORS, SHAPES, TEXTURES

    coco = [c["name"] for c in read_yaml("coco")["classes"]]
    cifar = "airplane automobile bird cat deer dog frog horse ship truck".split()
    for name in (*coco, *cifar, *SHAPES, *COLORS, *TEXTURES):
        said = class_sentences()[name]
        assert len(set(said)) == len(said) >= 10, name
        assert all(s[0].isupper() and s.endswith(".") and s.count(".") == 1 for s in said), name
    assert "cupl_sentences" not in prompts.text("cupl.yaml")


def test_the_tool_gives_the_bundled_sentences_or_says_what_to_set() -> None:
    assert cupl_prompts("a Zebra")[0] == class_sentences()["zebra"][0]
    with pytest.raises(Refused, match=r"no sentences about 'wug'.*backend = \"chat\""):
        cupl_prompts("wug")
    with pytest.raises(ToolError, match=r"which language model\?"):
        cupl_prompts.load("chat")
    with pytest.raises(ConfigError, match="there is no chat model 'embedded': write 'openai:MODEL'"):
        cupl_prompts.load("chat", (("model", "embedded"),))


def test_the_chat_backend_asks_and_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(["A cat has whiskers."])
    monkeypatch.setattr(sentences, "make_chat", lambda model, **options: script)
    backend = sentences.ChatSentences("openai:any", folder=str(tmp_path), samples=2)
    assert backend([{"category": "cat"}, {"category": "cat"}]) == [["A cat has whiskers."]] * 2
    assert len(script.requests) == 5 == len(list(tmp_path.glob("*.json")))
