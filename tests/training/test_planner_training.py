"""The embedded planner's corpus, vocabulary and training."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from visprog.check import check
from visprog.planner.embedded.grammar import FIXED, grammar
from visprog.planner.embedded.planner import finish
from visprog.planner.embedded.vocabulary import QUESTION, Vocabulary, normal_text, normalize
from visprog.registry import default_registry
from visprog.training.planner.corpus import Corpus, Sample, pluralise, templates


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return list(itertools.islice(Corpus(seed=7), 2000))


def test_equal_seeds_draw_equal_samples(samples: list[Sample]) -> None:
    assert list(itertools.islice(Corpus(seed=7), 50)) == samples[:50]
    assert list(itertools.islice(Corpus(seed=8), 50)) != samples[:50]


def test_held_out_templates_are_never_drawn_in_training() -> None:
    seen, unseen = Corpus(1, hold_out=0.1), Corpus(1, hold_out=0.1, held_out=True)
    for pattern, ways in unseen._templates.items():
        kept = {template for said in ways for template in said}
        assert not kept & {template for said in seen._templates.get(pattern, ()) for template in said}
    assert sum(len(said) for ways in unseen._templates.values() for said in ways) > 500


@pytest.mark.parametrize("pattern", sorted(templates()))
def test_every_pattern_writes_programs_that_pass_the_check(pattern: str) -> None:
    corpus = Corpus(seed=3)
    for _ in range(4):
        sample = corpus.draw(pattern)
        assert "{" not in sample.question, sample
        if sample.program == "unsure\n":
            continue
        source = finish(sample.program, sample.question)
        errors = [d for d in check(source, default_registry()) if d.severity == "error"]
        assert not errors, f"{sample.question}\n{source}\n{errors}"


def test_programs_copy_from_their_question(samples: list[Sample]) -> None:
    allowed = {*FIXED, "blur", "pixelate", "emoji", QUESTION, r"\n"}
    for sample in samples:
        question = normal_text(sample.question) + " "
        for phrase in re.findall(r'"([^"]*)"', sample.program):
            assert phrase in allowed or f"{normal_text(phrase)} " in question, sample


def test_plurals() -> None:
    cases = {
        "dog": "dogs",
        "box": "boxes",
        "cherry": "cherries",
        "toy": "toys",
        "knife": "knives",
        "person": "people",
    }
    assert {noun: pluralise(noun) for noun in cases} == cases


def test_questions_are_cut_into_words_that_can_be_copied() -> None:
    words = [w for w, _, _ in normalize("What's the dog's \"STOP\" sign, left-hand side?")]
    assert words == [
        "what",
        "'s",
        "the",
        "dog",
        "'s",
        '"',
        "stop",
        '"',
        "sign",
        ",",
        "left-hand",
        "side",
        "?",
    ]


def test_phrases_come_back_in_the_spelling_of_the_question() -> None:
    text = 'def answer(image):\n    return find_text(image, " exit 7b")\n'
    assert '"EXIT 7b"' in finish(text, "Where does it say EXIT 7b?")
    assert '"dogs"' in finish('return detect(image, " dogs")\n', "Dogs: how many?")
    assert finish(f'return vqa(image, "{QUESTION}")\n', 'Why "so"?') == 'return vqa(image, "Why \\"so\\"?")\n'


def test_vocabulary_writes_back_what_it_reads_and_survives_a_file(
    samples: list[Sample], tmp_path: Path
) -> None:
    vocabulary = Vocabulary.train((s.question for s in samples), list(default_registry()), 1200)
    vocabulary.save(tmp_path / "vocabulary.json")
    again = Vocabulary.load(tmp_path / "vocabulary.json")
    assert len(vocabulary) == len(again) == 1200
    for sample in samples[:300]:
        ids = vocabulary.program(sample.program)
        assert ids == again.program(sample.program)
        assert _close(vocabulary.text(ids)) == _close(sample.program)
        text = vocabulary.text(vocabulary.question(sample.question, sample.several))
        assert text == normal_text(sample.question)


def _close(program: str) -> str:
    """Without the space before a copied phrase."""
    return re.sub(r'" *', '"', program)


def test_the_grammar_accepts_the_corpus(samples: list[Sample]) -> None:
    llguidance = pytest.importorskip("llguidance")
    from visprog.planner.embedded.planner import _Tokens

    registry = default_registry()
    vocabulary = Vocabulary.train((s.question for s in samples), list(registry), 1200)
    tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(_Tokens(vocabulary)))
    for sample in samples[:150]:
        matcher = llguidance.LLMatcher(tokenizer, grammar(sample.question, registry, sample.several))
        ids = vocabulary.program(sample.program)[:-1]
        taken = matcher.try_consume_tokens(ids)
        assert taken == len(ids) and matcher.is_accepting(), (sample, vocabulary.text(ids[taken:]))
    matcher = llguidance.LLMatcher(tokenizer, grammar("How many cats?", registry, False))
    wrong = vocabulary.program('def answer(image):\n    return len(detect(image, "dogs"))\n')
    assert matcher.try_consume_tokens(wrong[:-1]) < len(wrong) - 1  # dogs were not asked for


def test_training_resumes_exactly(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from dataclasses import replace

    from visprog.models.llama import Llama
    from visprog.training.planner.train import PlannerRecipe, train

    small = PlannerRecipe(
        steps=6,
        batch=4,
        vocab=700,
        dim=16,
        layers=1,
        heads=2,
        hidden=16,
        warmup=2,
        checkpoint_every=3,
        cooldown=0.5,
    )
    train(small, tmp_path / "whole")
    # The first half alone would cool down earlier: the schedule is the whole run's, cut after a checkpoint.
    stopped = replace(small, steps=6)
    _killed_after(3, stopped, tmp_path / "resumed")
    train(stopped, tmp_path / "resumed")
    whole, resumed = Llama.from_pretrained(tmp_path / "whole"), Llama.from_pretrained(tmp_path / "resumed")
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ValueError, match="dim"):
        train(replace(small, dim=32), tmp_path / "whole")


def _killed_after(steps: int, recipe, out: Path) -> None:
    """Train, and die right after the checkpoint of that step."""
    from visprog.training.planner import train as module

    class Killed(Exception):
        pass

    original = module._save

    def save_and_die(path, recipe, model, optimizers, step):
        original(path, recipe, model, optimizers, step)
        if step == steps:
            raise Killed

    module._save = save_and_die
    try:
        with pytest.raises(Killed):
            module.train(recipe, out)
    finally:
        module._save = original
