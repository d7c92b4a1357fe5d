"""The embedded planner: a small language model that comes with the package and writes programs on its own.

It reads the question alone, and its decoding is held to a grammar made from the registry, so what it writes is
well formed and calls known tools on phrases of the question. It knows the patterns of question it was trained on
(`visprog.training.planner`) and says so when a question is not like any of them. Edits and measures of whole images are
read without it, by `image_requests`, and questions about videos by `video`.
"""

from __future__ import annotations

import builtins
import keyword
import math
import re
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import PlannerError, Refused
from ...files.plain_text import read_json
from ...llm.chat import Tokens
from ...models import WEIGHTS
from ...registry import Registry, default_registry
from ...runtime.steps import Step
from ..base import Plan, PlanRequest
from .decoder import Array, Decoder
from .grammar import grammar
from .image_requests import image_program
from .languages import foreign
from .relations import compare_places
from .shapes import detect_instead, missing
from .spelling import written_out
from .support import CorpusWords, lexicon, unsupported, without_asides
from .video import video_program
from .vocabulary import END, QUESTION, SPECIAL, Vocabulary, normalize

SURE = 0.15
"""Below this probability of the whole program, among those that answer at all, none is used."""

DECLINED = 0.9
"""Beyond this probability that the model gives to declining, no program is considered."""

WIDTH = 4
"""Programs that are weighed against each other: the most likely one that the question supports is taken."""

SCARCE = 0.02
"""Where tools that a request lacks leave the others less than this probability, these become no more likely for it."""

NEGLIGIBLE = 0.002
"""Probability below which a program that is being written is given up: it would not be used."""

PROBABLE = 0.5
"""Probability of a program that is being written beyond which the tools that it calls may get ready."""

LONGEST = 160
"""Tokens of a program; the longest in training has fewer."""

_STRING = r'"(?:[^"\\\n]|\\.)*"'

MOST_TRIED = 300
"""Number of the most likely next tokens that are tried on the grammar."""

_SEVERAL = re.compile(
    r"\b(?:which|what(?= \w+ (?:has|have|shows?|contains?)\b)) (?:one )?(?:of (?:the|these|those) )?"
    r"(?:two |three )?{image}"
    r"|\b(?:both|two|three|four|five|six|either|neither|one)(?: of)?(?: the| these| those)? {image}s\b"
    r"|\b(?:second|third|fourth|fifth|2nd|3rd|4th|5th|other|next|previous) {image}\b"
    r"|\bthan(?: in| on)? the (?:other|second|next)(?: one)?\W*$".replace(
        "{image}", "(?:image|picture|photo|photograph|pic|screenshot|scan|frame)"
    ),
    re.IGNORECASE,
)
"""Words for several images, of which one cannot be asked."""

MAX_QUESTION = 1000
"""Characters of a question: time grows with their square, and longer ones are unlike any that it knows."""

UNSURE = (
    "the embedded planner is not sure how to answer this question: put it more simply, or let a language model plan "
    "(--planner openai:MODEL, langchain:PROVIDER:MODEL or transformers:FOLDER)"
)

NOT_ENGLISH = (
    "the embedded planner is not sure how to answer this question, which seems to be in {}, and it reads English "
    "alone: ask in English, or let a language model plan (--planner openai:MODEL, langchain:PROVIDER:MODEL or "
    "transformers:FOLDER)"
)


@dataclass
class _Draft:
    """A program being written: its tokens, what they cost, and where decoder and grammar stand."""

    ids: list[int]
    logprob: float
    decoder: Decoder
    matcher: Any
    logits: Any
    finished: bool = False


class EmbeddedPlanner:
    """Plans with the bundled weights, or with a model of one's own from `visprog train planner`.

    Args:
        folder: where `model.safetensors`, `config.json` and `vocabulary.json` lie; the bundled ones by default.
        sure: least probability of a program that is not refused as a guess.
    """

    name = "embedded"
    mends_refusals = False  # it reads the question alone: another program would be a guess

    def __init__(self, folder: str | Path | None = None, sure: float = SURE) -> None:
        self.folder = str(folder or "")
        self.sure = sure

    def load(self) -> None:
        """Load the weights and the words, which the first plan would load otherwise.

        Raises:
            PlannerError: the weights are not there.
        """
        _load(self.folder)
        load_words(self.folder)
        _english()
        lexicon()

    def likely(self, question: str) -> frozenset[str]:
        """What the words of a question may ask for, tools among it: known before there is a program."""
        words = (word for word, _, _ in normalize(question[:MAX_QUESTION]))
        text = " ".join(word for word in words if not lexicon().function.fullmatch(word))
        return frozenset().union(*(e.means for e in lexicon().entries if e.words.search(text)))

    def plan(self, request: PlanRequest, *, failed: Step | None = None, n: int = 1) -> list[Plan]:
        """The most likely program, or up to `n` of them; others than the one that `failed`.

        Raises:
            Refused: the question is unlike what it was trained on.
            PlannerError: the question is empty, or the weights are not there.
        """
        start = time.perf_counter()
        if not request.question.strip():
            raise PlannerError("the question is empty")
        if len(request.question) > MAX_QUESTION:
            raise Refused(f"{UNSURE} (it is longer than {MAX_QUESTION} characters)")
        # Half of a surrogate pair, which a byte of a terminal that is not UTF-8 becomes, has no tokens.
        request = replace(request, question=request.question.encode("utf-8", "replace").decode())
        if request.video:
            program = video_program(request, load_words(self.folder))
            if failed is not None and program == failed.program:
                raise Refused("the embedded planner knows no other program for this question about a video")
            seconds = time.perf_counter() - start
            return [Plan(program, self.name, probability=1.0, tokens=Tokens(0, 0), seconds=seconds)]
        if request.images == 1 and _SEVERAL.search(request.question):
            raise Refused("the question is about several images, and one was given: give the others too")
        _, vocabulary, _ = _load(self.folder)
        known = load_words(self.folder)
        question = written_out(request.question, known.vocabulary, _english())
        registry = request.registry
        edit_or_measure = image_program(replace(request, question=question), known)
        if edit_or_measure is not None and (failed is None or edit_or_measure != failed.program):
            seconds = time.perf_counter() - start
            return [Plan(edit_or_measure, self.name, probability=1.0, tokens=Tokens(0, 0), seconds=seconds)]
        absent = missing(registry)
        request = replace(request, question=question, registry=registry | absent)
        plans, reasons = list[Plan](), list[str]()
        for asked in dict.fromkeys((question, without_asides(question))):
            prompt = len(vocabulary.question(asked, request.images > 1))
            drafts = self._search(replace(request, question=asked), max(n + 1, WIDTH))
            texts = [finish(vocabulary.text(draft.ids), asked) for draft in drafts]
            texts = [compare_places(text, lexicon().states) for text in texts]
            declined = sum(
                math.exp(d.logprob) for d, t in zip(drafts, texts, strict=True) if t.startswith("unsure")
            )
            if declined > DECLINED:
                continue
            for draft, written in zip(drafts, texts, strict=True):
                probability = math.exp(draft.logprob) / (1 - declined)
                if probability < self.sure:
                    break
                if written.startswith("unsure"):
                    continue
                against = unsupported(question, written, known)
                if against:
                    reasons = reasons or against
                    continue
                source = detect_instead(written, question, absent, registry)
                if source is None or (failed is not None and source == failed.program):
                    continue
                tokens = Tokens(prompt, len(draft.ids))
                seconds = time.perf_counter() - start
                plans.append(Plan(source, self.name, probability=probability, tokens=tokens, seconds=seconds))
            if plans:
                return plans[:n]
        if language := foreign(request.question, _english()):
            raise Refused(NOT_ENGLISH.format(language))
        raise Refused(f"{UNSURE}{_because(reasons)}{_added(registry)}")

    def _search(self, request: PlanRequest, width: int) -> list[_Draft]:
        """Beam search under the grammar (greedy for `width` 1); finished drafts, the most likely first."""
        import llguidance

        decoder, vocabulary, tokenizer = _load(self.folder)
        matcher = llguidance.LLMatcher(
            tokenizer, grammar(request.question, request.registry, request.images > 1)
        )
        if matcher.is_error():
            raise PlannerError(f"no grammar could be made for this question: {matcher.get_error()}")
        end = SPECIAL.index(END)
        absent = _absent(self.folder, frozenset(request.registry))
        # Divided by what is not declined, a program must reach `sure`.
        least = math.log(max(min(NEGLIGIBLE, self.sure * (1 - DECLINED)), 1e-300))
        first = copy(decoder)
        first.reset()
        logits = first.feed(vocabulary.question(request.question, request.images > 1))
        drafts = [_Draft([], 0.0, first, matcher, logits)]
        while not all(d.finished for d in drafts):
            grown = [d for d in drafts if d.finished]
            for draft in (d for d in drafts if not d.finished):
                if len(draft.ids) >= LONGEST:
                    continue
                logprobs = _among_present(draft.logits, absent)
                draft.logits[absent] = -np.inf
                for token in self._allowed(draft, width, end):
                    grown.append(self._extend(draft, token, float(logprobs[token]), end))
            grown.sort(key=lambda d: -d.logprob)
            drafts = [d for d in grown[:width] if d.logprob >= least or d is grown[0]]
            if drafts:
                self._expect(drafts[0], request)
            for draft in drafts:
                if not draft.finished and draft.logits is None:
                    if width > 1:
                        draft.decoder, draft.matcher = copy(draft.decoder), draft.matcher.deep_copy()
                        draft.decoder.fork()
                    draft.matcher.consume_token(draft.ids[-1])
                    draft.logits = draft.decoder.feed(draft.ids[-1:])
        return drafts

    @staticmethod
    def _allowed(draft: _Draft, count: int, end: int) -> list[int]:
        """The `count` most likely tokens that the grammar takes next.

        Asked token by token: a whole mask would also hold text that the grammar forces to one way of cutting it
        into tokens, which need not be the way in which the model learned to write it.
        """
        found: list[int] = []
        for token in map(int, np.argsort(-draft.logits)[:MOST_TRIED]):
            if token == end:
                good = draft.matcher.is_accepting()
            else:
                good = token >= len(SPECIAL) and draft.matcher.validate_tokens([token]) == 1
            if good:
                found.append(token)
                if len(found) == count:
                    break
        return found

    def _expect(self, draft: _Draft, request: PlanRequest) -> None:
        """Say which tool a draft has just begun to call, if it does and is probable."""
        if draft.logprob < math.log(PROBABLE):
            return
        name = _load(self.folder)[1].text(draft.ids[-1:]).removesuffix("(")
        tool = request.registry.get(name)
        if tool is not None and not tool.pure:
            request.expect(name)

    @staticmethod
    def _extend(draft: _Draft, token: int, logprob: float, end: int) -> _Draft:
        """The draft with one more token, which decoder and grammar read only if it survives the pruning."""
        total = draft.logprob + logprob
        if token == end:
            return _Draft(draft.ids, total, draft.decoder, draft.matcher, draft.logits, finished=True)
        return _Draft([*draft.ids, token], total, draft.decoder, draft.matcher, None)


def _because(reasons: Sequence[str]) -> str:
    """What the most likely program does not account for, as the end of a message."""
    words = [r for r in dict.fromkeys(reasons) if r.startswith("'") and r.endswith("'")]
    reason = f"not understood: {', '.join(words[:4])}" if words else "; ".join(reasons[:2])
    return f" ({reason})" if reason else ""


def finish(text: str, question: str) -> str:
    """The program as it is shown and run: phrases in the spelling of the question, without the leading space."""
    words = normalize(question)
    joined = "".join(f" {word}" for word, _, _ in words)

    def restore(match: re.Match[str]) -> str:
        phrase = match[1]
        if phrase == QUESTION:
            return _quoted(question)
        at = f"{joined} ".find(f"{phrase} ")
        if at < 0 or not phrase.startswith(" "):
            return match[0]
        first = joined[:at].count(" ")
        last = first + phrase.count(" ") - 1
        original = question[words[first][1] : words[last][2]]
        return _quoted(original[:1].lower() + original[1:] if first == 0 else original)

    return _readable(re.sub(r'"([^"\\\n]*)"', restore, text))


def _readable(program: str) -> str:
    """The program with its variables `a`, `b`, `c` called after what they hold: `dogs = detect(image, "dogs")`."""
    taken = set(re.findall(r"\w+", re.sub(_STRING, "", program))) | set(keyword.kwlist) | set(dir(builtins))
    for letter, phrase in re.findall(r'^    ([abc]) = [^"\n]*"([^"\n]*)"', program, re.MULTILINE):
        name = re.sub(r"\W+", "_", phrase.lower()).strip("_")
        if name.isidentifier() and name.isascii() and name not in taken and len(name) <= 24:
            taken.add(name)
            parts = re.split(f"({_STRING})", program)
            parts[::2] = [re.sub(rf"(?<![\w.]){letter}\b", name, code) for code in parts[::2]]
            program = "".join(parts)
    return program


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


@cache
def _load(folder: str) -> tuple[Decoder, Vocabulary, Any]:
    import llguidance

    path = Path(folder) if folder else WEIGHTS / "planner"
    if not (path / "model.safetensors").exists():
        raise PlannerError(
            f"there are no planner weights in {path}: train some with 'visprog train planner', or name another planner"
        )
    decoder, vocabulary = Decoder(path), Vocabulary.load(path / "vocabulary.json")
    tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(_Tokens(vocabulary)))
    return decoder, vocabulary, tokenizer


@cache
def load_words(folder: str = "") -> CorpusWords:
    """What the corpus of a planner knows of words; that of the bundled one if the folder has none."""
    path = Path(folder or WEIGHTS / "planner") / "words.json"
    path = path if path.exists() else WEIGHTS / "planner" / "words.json"
    table: dict[str, Any] = read_json(path)
    return CorpusWords(table)


@cache
def _english() -> frozenset[str]:
    return frozenset((files(__package__) / "english.txt").read_text("utf-8").split())


def _among_present(logits: Array, absent: Sequence[int]) -> Array:
    """Log probabilities of the next token, -inf for those of absent tools. The others share their probability, as far
    as they had any: where an absent tool was nearly all that came to mind, no other becomes likely in its place."""
    present = np.exp(logits - logits.max())
    total = present.sum()
    present[absent] = 0.0
    with np.errstate(divide="ignore"):
        found: Array = np.log(present / max(present.sum(), SCARCE * total))
    return found


@cache
def _absent(folder: str, registry: frozenset[str]) -> list[int]:
    """Tokens that name a tool of the default registry which a request does not have: no alternatives to the others."""
    _, vocabulary, _ = _load(folder)
    names = [re.escape(name) for name in default_registry() if name not in registry]
    if not names:
        return []
    pattern = re.compile(rf"\b(?:{'|'.join(names)})\(".encode())
    return [i for i, text in enumerate(vocabulary.bytes) if pattern.search(text)]


def _added(registry: Registry) -> str:
    """A remark on tools that do not come with visprog, which these weights have never met."""
    names = [n for n, t in registry.called.items() if not getattr(t, "__module__", "").startswith("visprog.")]
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return (
        f"; it never uses added tools ({', '.join(names[:3])}{more}): choose a language model as planner, or run a "
        "program that calls them"
    )


class _Tokens:
    """The vocabulary as `llguidance` wants it: the bytes of each token."""

    bos_token_id = None
    eos_token_id = SPECIAL.index(END)

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.special_token_ids = list(range(len(SPECIAL)))
        self.tokens = [b or b"\xff" + SPECIAL[i].encode() for i, b in enumerate(vocabulary.bytes)]

    def __call__(self, text: str | bytes) -> list[int]:
        """Text into tokens: never needed to check tokens one by one, but asked for when the grammar is set up."""
        return []
