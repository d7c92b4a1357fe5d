"""The objective matching: what is learned, what the teacher adds to a run, scores, and the backend that tells them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("one_thread")

from safetensors.torch import load_file  # noqa: E402

from visprog.training.data.samples import DataError  # noqa: E402
from visprog.training.fit import fit  # noqa: E402
from visprog.training.objectives.matching import Matching  # noqa: E402
from visprog.training.recipe import load_recipe  # noqa: E402

from .recipes import ALBEF  # noqa: E402

WIDE = [
    *ALBEF, "model.image_encoder.dim=32", "model.image_encoder.hidden=64", "model.text_encoder.dim=32",
    "model.fusion_layers=2", "distillation.momentum=0.9", "distillation.ramp=20",
]  # fmt: skip


def built(*changes: str) -> Matching:
    found = load_recipe("albef", [*WIDE, *changes]).build()
    assert isinstance(found, Matching)
    return found


@pytest.fixture(scope="module")
def learned(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Matching, list[tuple[object, str, object]], Path]:
    """A model that knows eight scenes by heart, and these."""
    torch.manual_seed(0)
    task = built()
    data, rng = task.data("train"), np.random.default_rng(0)
    samples = [data.sample(key, rng) for key in range(8)]
    batch = data.collate(samples)
    optimizer = torch.optim.Adam(task.model.parameters(), 2e-3)
    first = {}
    for _ in range(160):
        optimizer.zero_grad()
        losses = task.loss(batch)
        first = first or losses
        losses["loss"].backward()
        optimizer.step()
        task.after_step()
    assert losses["loss"].item() < 0.5 * first["loss"].item()
    assert losses["matching"].item() < 0.3 < 0.55 < first["matching"].item()
    assert losses["loss"].item() == pytest.approx(
        sum(losses[name].item() for name in ("contrast", "matching", "language")), rel=1e-5
    )
    folder = tmp_path_factory.mktemp("albef")
    task.model.eval()
    task.save(folder)
    return task, samples, folder


def test_what_was_learned_by_heart_is_found_and_matched(learned) -> None:
    task, samples, _ = learned
    with torch.no_grad():
        batch = task.collate(samples, train=False)
        predictions = task.predict(batch)
        scores = task.score(predictions)
    assert scores["image_to_text"] == scores["image_to_text_reranked"] == 1.0
    assert scores["text_to_image"] == scores["text_to_image_reranked"] == 1.0
    assert task.metric == "matching" and scores["matching"] == float(
        (predictions["margins"] > 0).float().mean()
    )
    few = load_recipe("albef", [*WIDE, "candidates=2"]).arguments
    task.config, kept = few, task.config
    similarity = torch.rand(8, 8)
    ranked = task.reranked(
        similarity, lambda rows, columns: (predictions["image_tokens"][rows], predictions["tokens"][columns])
    )
    task.config = kept
    chosen = similarity.topk(2).indices
    assert torch.equal(ranked.isfinite().nonzero()[:, 1].view(8, 2), chosen.sort().values)
    image_tokens = task.model.encode_images(batch["images"])[0]
    want = task.model.matching_logits(image_tokens[:1], batch["tokens"][chosen[0, :1]])
    torch.testing.assert_close(ranked[0, chosen[0, 0]], want[0], atol=2e-2, rtol=1e-2)  # half precision


def test_samples_without_a_false_caption_do_not_count(learned) -> None:
    task, samples, _ = learned
    batch = task.collate(samples, train=False)
    batch["has_false"][3:] = False
    with torch.no_grad():
        predictions = task.predict(batch)
    assert predictions["margins"].isnan().tolist() == [False] * 3 + [True] * 5
    right = float((predictions["margins"][:3] > 0).float().mean())
    assert task.score(predictions)["matching"] == pytest.approx(right)


def test_the_teacher_is_in_no_saved_model(learned) -> None:
    task, _, folder = learned
    assert load_file(folder / "model.safetensors").keys() == {
        name for name in task.model.state_dict() if name != "text_embeddings.words.weight" or True
    }
    assert not any("teacher" in name or "queue" in name for name in load_file(folder / "model.safetensors"))
    assert task.tokenizer.id("<mask>") == task.model.config.text_encoder.mask
    assert task.tokenizer.id("<start>") == task.model.config.text_encoder.start


def test_equal_captions_are_right_for_each_others_images() -> None:
    task = built("distillation=null", "language=0", "matching=0")
    data, rng = task.data("train"), np.random.default_rng(0)
    batch = data.collate([data.sample(key, rng) for key in (0, 1)])
    twice = {name: torch.cat([value, value]) for name, value in batch.items()}
    assert task.loss(twice)["loss"].item() == pytest.approx(
        task.loss(batch)["loss"].item() + np.log(2), abs=1e-5
    )


def test_facts_say_which_captions_are_true() -> None:
    """A caption that claims less than another is true of the other's image: it is no negative of it."""
    task = built("data={source: scenes}", "distillation=null", "length=40")
    data, rng = task.data("train"), np.random.default_rng(0)
    samples = [s for s in (data.sample(key, rng) for key in range(60)) if s[2].claim is not None][:12]
    seen = {}
    losses = task.model.losses
    task.model.losses = lambda *given, **named: seen.update(related=given[2]) or losses(*given, **named)
    task.loss(data.collate(samples))
    for i, (_, _, image) in enumerate(samples):
        for j, (_, text, pair) in enumerate(samples):
            claimed = all(
                any(
                    all(c in (-1, f) for c, f in zip(pair.claim, objects, strict=True))
                    for objects in image.objects
                )
                for _ in (0,)
            ) and any(c >= 0 for c in pair.claim)
            assert bool(seen["related"][i, j]) == (claimed or i == j or text == samples[i][1])


def test_a_model_that_learns_from_no_teacher_is_refused_one() -> None:
    with pytest.raises(DataError, match=r"a Coca cannot learn by the objective 'matching': it has no losses"):
        load_recipe("coca", ["objective=matching", "caption=null"][:1]).build()


COMMON = ["steps=30", "batch_size=4", "evaluate_every=null", "checkpoint_every=3", "schedule.warmup=1", "ema=0.9",
          "distillation.momentum=0.8", "distillation.ramp=20", "data.scenes=64"]  # fmt: skip


def test_a_run_killed_at_any_step_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """Teacher, queues and the share of the teacher are as they were."""
    recipe = load_recipe("albef", [*ALBEF, *COMMON])
    summary = fit(recipe, tmp_path / "whole")
    model = recipe.build()
    assert summary["parameters"] == sum(p.numel() for p in model.model.parameters())
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from pathlib import Path; from visprog.training.fit import fit\n"
        "from visprog.training.recipe import load_recipe\n"
        f"fit(load_recipe('albef', {[*ALBEF, *COMMON]!r}), Path(sys.argv[1]))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(killed)], env=environment, stderr=subprocess.PIPE
    )
    while not (killed / "log.csv").exists() or len((killed / "log.csv").read_text().splitlines()) < 12:
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (killed / "last").exists()
    fit(recipe, killed)

    def rows(run: Path) -> list[dict[str, str]]:
        with (run / "log.csv").open() as file:
            return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]

    assert rows(killed) == rows(tmp_path / "whole") and len(rows(killed)) == 30
    states = [
        torch.load(run / "checkpoints" / "step-00000030" / "state.pt", weights_only=True)["model"]
        for run in (killed, tmp_path / "whole")
    ]
    assert {"teacher.image_queue", "teacher.pair_queue", "teacher.step"} <= states[0].keys()
    assert states[0]["teacher.step"] == 30 and states[0]["teacher.written"] == 120
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())
    assert json.loads((killed / "summary.json").read_text())["parameters"] == summary["parameters"]
