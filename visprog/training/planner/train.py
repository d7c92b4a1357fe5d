"""Train the embedded planner: a small LLaMA that writes programs, on the synthetic corpus.

    visprog train planner --steps 2400 --out runs/planner
    visprog train planner --from-runs results.jsonl --out runs/mine

Runs on a CPU. Killed at any step, the same command resumes from the last checkpoint with the same batches. The
learning rate is constant after a warm-up and falls to zero over the last fifth of the steps, so that a run can be
resumed with more steps. With recorded programs, training begins from weights that are there and mixes variations of
these programs into the corpus.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors.torch import load_file
from torch import Tensor

from visprog.files.plain_text import parse_json
from visprog.models import WEIGHTS
from visprog.planner.embedded.vocabulary import FRAGMENTS, SPECIAL, Vocabulary
from visprog.registry import default_registry

from ...models.llama import Llama, LlamaConfig, next_token_loss
from ..optim.muon import Muon
from .corpus import Corpus, Sample
from .known_words import save as save_words
from .mix import Mixed, fragments_of
from .normalise import held_out, samples_of

Row: TypeAlias = tuple[list[int], list[int]]
BUNDLED = "bundled"
CHUNK = 16
"""Steps whose samples are drawn together and sorted by length, so that little is padded."""


@dataclass(frozen=True)
class PlannerRecipe:
    """Everything that a run depends on.

    Attributes:
        start: folder of the weights to begin with, or "bundled"; random ones where empty.
        recorded: files of questions and programs (see `recorded.py`) that are mixed in. Of their questions, one in
            five is kept for validation.
        share: of the samples that are variations of recorded ones.
        fragments: at most so many pieces of code that recorded programs repeat become tokens of their own.
        bfloat16: whether matrix products are computed in bfloat16 (weights and optimizer stay in float32).
    """

    steps: int = 2400
    batch: int = 96
    seed: int = 0
    hold_out: float = 0.02
    vocab: int = 2048
    dim: int = 192
    layers: int = 6
    heads: int = 6
    hidden: int = 512
    matrix_lr: float = 4e-3
    other_lr: float = 4e-3
    weight_decay: float = 0.05
    warmup: int = 100
    cooldown: float = 0.2
    checkpoint_every: int = 100
    start: str = ""
    recorded: tuple[str, ...] = ()
    share: float = 0.5
    fragments: int = 80
    bfloat16: bool = True

    @classmethod
    def from_runs(cls, recorded: Sequence[str], **changes: Any) -> PlannerRecipe:
        """To go on from the bundled weights with programs of one's own."""
        given = {
            "start": BUNDLED,
            "steps": 400,
            "batch": 48,
            "matrix_lr": 1e-3,
            "other_lr": 1e-3,
            "warmup": 20,
        }
        return cls(**{**given, "recorded": tuple(recorded), **changes})


def train(recipe: PlannerRecipe, out: Path, *, resume: bool = True) -> Path:
    """Train until `recipe.steps` and write weights, vocabulary, words and log into `out`; the folder is returned.

    Raises:
        ValueError: `out` holds a run of another recipe (more or fewer steps are the same recipe).
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    out.mkdir(parents=True, exist_ok=True)
    recorded = samples_of([Path(p) for p in recipe.recorded]) if recipe.recorded else []
    learned = [s for s in recorded if not held_out(s.question)] or recorded
    vocabulary = _vocabulary(recipe, out, learned)
    save_words(out / "words.json", learned)
    torch.manual_seed(recipe.seed)
    model = Llama(
        LlamaConfig(
            vocab=len(vocabulary),
            dim=recipe.dim,
            layers=recipe.layers,
            heads=recipe.heads,
            hidden=recipe.hidden,
        )
    )
    if recipe.start:
        _begin(model, vocabulary, _folder(recipe))
    optimizers = _optimizers(model, recipe)
    checkpoint, step = out / "checkpoint.pt", 0
    if resume and checkpoint.exists():
        step = _restore(checkpoint, recipe, model, optimizers)
    corpus: Corpus | Mixed = Corpus(recipe.seed, recipe.hold_out)
    unseen = list(itertools.islice(Corpus(recipe.seed + 1, recipe.hold_out, held_out=True), 300))
    if recorded:
        corpus = Mixed(Corpus(recipe.seed, recipe.hold_out), learned, recipe.share)
    validation = [s for s in recorded if held_out(s.question)]
    mean, batches = 0.0, list[list[Row]]()
    with (
        (out / "log.csv").open("a" if step else "w", newline="") as file,
        Progress(
            TextColumn("planner"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("loss {task.fields[loss]:.3f}  exact on unseen questions {task.fields[exact]}"),
        ) as progress,
    ):
        log = csv.writer(file)
        task = progress.add_task("", total=recipe.steps, completed=step, loss=0.0, exact="–")
        while step < recipe.steps:
            if not batches or step % CHUNK == 0:
                batches = chunk(corpus, recipe, step // CHUNK, vocabulary)
            tokens, weight = collate(batches[step % CHUNK])
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
                logits = model(tokens).logits
            loss = next_token_loss(logits.float(), tokens, weight)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scale = _schedule(step, recipe)
            for optimizer, rate in zip(optimizers, (recipe.matrix_lr, recipe.other_lr), strict=True):
                for group in optimizer.param_groups:
                    group["lr"] = rate * scale
                optimizer.step()
                optimizer.zero_grad()
            step += 1
            mean = loss.item() if mean == 0 else 0.98 * mean + 0.02 * loss.item()
            progress.update(task, completed=step, loss=mean)
            if step % recipe.checkpoint_every == 0 or step == recipe.steps:
                exact = exact_match(model, vocabulary, unseen)
                progress.update(task, exact=f"{exact:.1%}")
                kept = f"{exact_match(model, vocabulary, validation):.4f}" if validation else ""
                log.writerow([step, f"{mean:.4f}", f"{exact:.4f}", kept])
                file.flush()
                _save(checkpoint, recipe, model, optimizers, step)
    model.save_pretrained(out, torch.float16)
    return out


def chunk(
    corpus: Corpus | Mixed, recipe: PlannerRecipe, number: int, vocabulary: Vocabulary
) -> list[list[Row]]:
    """The batches of `CHUNK` steps, each of samples of about equal length, in random order."""
    corpus.reseed(f"{recipe.seed}/{number}")
    rows = [encode(s, vocabulary) for s in itertools.islice(corpus, recipe.batch * CHUNK)]
    rows.sort(key=lambda row: len(row[0]) + len(row[1]))
    batches = [rows[i : i + recipe.batch] for i in range(0, len(rows), recipe.batch)]
    random.Random(number).shuffle(batches)
    return batches


def encode(sample: Sample, vocabulary: Vocabulary) -> Row:
    """Token ids of the question and of the program."""
    return vocabulary.question(sample.question, sample.several), vocabulary.program(sample.program)


def collate(rows: list[Row]) -> tuple[Tensor, Tensor]:
    """Token ids (batch, length), right-padded, and loss weights: 1 on the program, 0 elsewhere."""
    length = max(len(q) + len(p) for q, p in rows)
    tokens = torch.zeros(len(rows), length, dtype=torch.long)
    weight = torch.zeros(len(rows), length)
    for i, (question, program) in enumerate(rows):
        tokens[i, : len(question) + len(program)] = torch.tensor(question + program)
        weight[i, len(question) : len(question) + len(program)] = 1
    return tokens, weight


@torch.no_grad()
def exact_match(model: Llama, vocabulary: Vocabulary, samples: list[Sample]) -> float:
    """Share of samples whose whole program is the most likely one, token by token."""
    right = 0
    for start in range(0, len(samples), 100):
        tokens, weight = collate([encode(s, vocabulary) for s in samples[start : start + 100]])
        guess = model(tokens).logits[:, :-1].argmax(-1)
        wrong = (guess != tokens[:, 1:]) & (weight[:, 1:] > 0)
        right += int((~wrong.any(1)).sum())
    return right / len(samples)


def _vocabulary(recipe: PlannerRecipe, out: Path, recorded: Sequence[Sample]) -> Vocabulary:
    path = out / "vocabulary.json"
    if path.exists():
        return Vocabulary.load(path)
    if recipe.start:
        old = Vocabulary.load(_folder(recipe) / "vocabulary.json")
        names = [*FRAGMENTS, *(f"{name}(" for name in default_registry())]
        known = [*old.fragments, *names]
        more = [*names, *fragments_of(recorded, known, recipe.fragments)]
        vocabulary = Vocabulary(tuple(dict.fromkeys((*old.fragments, *more))), old.tokenizer_json)
        vocabulary.save(path)
        return vocabulary
    questions = (s.question for s in itertools.islice(Corpus(recipe.seed), 100_000))
    vocabulary = Vocabulary.train(questions, list(default_registry()), recipe.vocab)
    vocabulary.save(path)
    return vocabulary


def _folder(recipe: PlannerRecipe) -> Path:
    """Where the weights to begin with lie."""
    return WEIGHTS / "planner" if recipe.start == BUNDLED else Path(recipe.start)


def _begin(model: Llama, vocabulary: Vocabulary, folder: Path) -> None:
    """Load weights that may know fewer fragments; a new fragment begins as the mean of the pieces that it joins.

    Raises:
        ValueError: the weights are of a model of another size.
    """
    old = Vocabulary.load(folder / "vocabulary.json")
    weights = {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}
    embedding = weights["embed.weight"]
    first, more = len(SPECIAL) + len(old.fragments), len(vocabulary.fragments) - len(old.fragments)
    new = [embedding[old.program(text)[:-1]].mean(0) for text in vocabulary.fragments[len(old.fragments) :]]
    rows = [embedding[:first], *([torch.stack(new)] if more else []), embedding[first:]]
    table = torch.cat(rows)
    try:
        model.load_state_dict({**weights, "embed.weight": table, "head.weight": table})  # the two are tied
    except RuntimeError:
        raise ValueError(f"the weights in {folder} are of another size than the recipe's model") from None


def _optimizers(model: Llama, recipe: PlannerRecipe) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the blocks' matrices, AdamW for embeddings and norms."""
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [
        Muon(matrices, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(rest, lr=recipe.other_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _schedule(step: int, recipe: PlannerRecipe) -> float:
    falling = max(1, round(recipe.cooldown * recipe.steps))
    return min(1.0, (step + 1) / recipe.warmup, (recipe.steps - step) / falling)


def _save(
    path: Path, recipe: PlannerRecipe, model: Llama, optimizers: list[torch.optim.Optimizer], step: int
) -> None:
    state = {
        "recipe": json.dumps(asdict(recipe)),
        "step": step,
        "model": model.state_dict(),
        "optimizers": [o.state_dict() for o in optimizers],
    }
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)  # a kill while writing leaves the last good one


def _restore(path: Path, recipe: PlannerRecipe, model: Llama, optimizers: list[torch.optim.Optimizer]) -> int:
    state = torch.load(path, weights_only=True)
    free = {"steps", "cooldown", "checkpoint_every"}
    before, now = parse_json(state["recipe"]), json.loads(json.dumps(asdict(recipe)))
    changed = [k for k in now if k not in free and before.get(k) != now[k]]
    if changed:
        raise ValueError(
            f"{path.parent} holds a run with other values of {', '.join(changed)}: choose another folder"
        )
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return int(state["step"])
