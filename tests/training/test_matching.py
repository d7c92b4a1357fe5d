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

from visprog.errors import Refused, ToolError  # noqa: E402
from visprog.tools.backends.albef import AlbefMatcher, AlbefVerifier  # noqa: E402
from visprog.training.data.samples import DataError  # noqa: E402
from visprog.training.fit import fit  # noqa: E402
from visprog.training.from_plain import RecipeError  # noqa: E402
from visprog.training.keys import show_keys  # noqa: E402
from visprog.training.objectives.matching import Matching  # noqa: E402
from visprog.training.recipe import load_recipe  # noqa: E402
from visprog.values import Region  # noqa: E402
from visprog.values.image import Image  # noqa: E402

from .recipes import ALBEF, BLIP2  # noqa: E402

SMALL = "{dim: 16, layers: 1, heads: 2, hidden: 16}"

WIDE = [
    *ALBEF, "model.image_encoder.dim=32", "model.image_encoder.hidden=64", "model.text_encoder.dim=32",
    "model.fusion_layers=2", "distillation.momentum=0.9", "distillation.ramp=20",
    "data={source: scene-relations}", "length=16",
]  # fmt: skip


def built(*changes: str) -> Matching:
    found = load_recipe("albef", [*WIDE, *changes]).build()
    assert isinstance(found, Matching)
    return found


@pytest.fixture(scope="module")
def learned(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Matching, list[tuple[object, str, object, object]], Path]:
    """A model that knows six scenes by heart, and these."""
    torch.manual_seed(0)
    task = built()
    data, rng = task.data("train"), np.random.default_rng(0)
    samples = [data.sample(key, rng) for key in range(6)]
    batch = data.collate(samples)
    optimizer = torch.optim.Adam(task.model.parameters(), 2e-3)
    losses = first = task.loss(batch)
    for _ in range(400):
        optimizer.zero_grad()
        losses["loss"].backward()
        torch.nn.utils.clip_grad_norm_(task.model.parameters(), 1.0)
        optimizer.step()
        task.after_step()
        losses = task.loss(batch)
        if losses["matching"].item() < 0.02:
            break
    assert losses["loss"].item() < 0.5 * first["loss"].item() and losses["matching"].item() < 0.1
    parts = sum(losses[name] for name in ("contrast", "matching", "language"))
    torch.testing.assert_close(losses["loss"], parts)
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
    similarity = torch.rand(6, 6)
    ranked = task.reranked(
        similarity, lambda rows, columns: (predictions["image_tokens"][rows], predictions["tokens"][columns])
    )
    task.config = kept
    chosen = similarity.topk(2).indices
    assert torch.equal(ranked.isfinite().nonzero()[:, 1].view(6, 2), chosen.sort().values)
    image_tokens = task.model.encode_images(batch["images"])[0]
    want = task.model.matching_logits(image_tokens[:1], batch["tokens"][chosen[0, :1]])
    torch.testing.assert_close(ranked[0, chosen[0, 0]], want[0], atol=2e-2, rtol=1e-2)  # half precision


def test_samples_without_a_false_caption_do_not_count(learned) -> None:
    task, samples, _ = learned
    batch = task.collate(samples, train=False)
    batch["has_false"][3:] = False
    with torch.no_grad():
        predictions = task.predict(batch)
    assert predictions["margins"].isnan().tolist() == [False] * 3 + [True] * 3
    right = float((predictions["margins"][:3] > 0).float().mean())
    assert task.score(predictions)["matching"] == pytest.approx(right)


@pytest.mark.parametrize("recipe", ["albef", "blip2-stage1"])
def test_captions_with_words_exchanged_match_no_image(recipe: str) -> None:
    scenes = "data={source: scene-relations, scenes: 1000}"
    small = WIDE if recipe == "albef" else [*BLIP2, "init_from=null"]
    task = load_recipe(recipe, [*small, scenes, "length=16", "swaps=2"]).build()
    data, rng = task.data("train"), np.random.default_rng(0)
    samples = [data.sample(key, rng) for key in range(5)]
    batch = data.collate(samples)
    assert batch["owners"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    said = [task.tokenizer.decode(ids) for ids in batch["swapped"]]
    own = [samples[i][1] for i in batch["owners"]]
    assert all(sorted(a.split()) == sorted(b.split()) and a != b for a, b in zip(said, own, strict=True))
    assert "swapped" not in task.collate(samples, train=False)
    torch.manual_seed(0)
    before = task.loss(batch)
    without = {name: value for name, value in batch.items() if name not in ("swapped", "owners")}
    torch.manual_seed(0)
    apart = task.loss(without)
    tokens = task.model.encode_images(batch["images"])[0][batch["owners"]]
    image_tokens = task.model.encode_images(batch["images"])[0]
    odds = task.model.matching_logits(tokens, batch["swapped"])
    true = task.model.matching_logits(image_tokens, batch["tokens"])[batch["owners"]]
    rejected = torch.nn.functional.softplus(odds).sum()
    whole = (15 * apart["matching"] + rejected) / 25  # of 5 true pairs, 10 false ones, and 10 with swaps
    whole = whole + torch.nn.functional.softplus(odds - true).mean()
    torch.testing.assert_close(before["matching"], whole, atol=1e-5, rtol=0)


def test_the_teacher_is_in_no_saved_model(learned) -> None:
    task, _, folder = learned
    assert task.teacher is not None
    assert load_file(folder / "model.safetensors").keys() == task.model.state_dict().keys()
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
    for i, (_, _, image, _) in enumerate(samples):
        for j, (_, text, pair, _) in enumerate(samples):
            claimed = max(pair.claim) >= 0 and any(
                all(c in (-1, f) for c, f in zip(pair.claim, facts, strict=True)) for facts in image.objects
            )
            assert bool(seen["related"][i, j]) == (claimed or i == j or text == samples[i][1])


def test_models_that_do_not_fit_are_refused() -> None:
    clip = f"model={{type: clip, image_encoder: {SMALL}, text_encoder: {SMALL}}}"
    with pytest.raises(DataError, match=r"a Clip cannot learn by the objective 'matching': it has no losses"):
        load_recipe("albef", [clip, "init_from=null"]).build()
    with pytest.raises(DataError, match=r"distillation: a Blip2 learns from no teacher: set it to null"):
        load_recipe("blip2-stage1", [*BLIP2, "distillation={queue: 4}"]).build()
    with pytest.raises(RecipeError, match=r"distillation: alpha and momentum must lie in \[0, 1\]"):
        load_recipe("albef", ["distillation.alpha=2"])


def test_the_keys_of_the_teacher_are_explained() -> None:
    keys = show_keys(load_recipe("albef"))
    assert "distillation.alpha=0.4\n      share of the teacher's probabilities" in keys
    assert "distillation=null" in show_keys(load_recipe("albef", ["distillation=null"]))


def test_the_backend_says_what_matches(learned, tmp_path: Path) -> None:
    task, samples, folder = learned
    matcher, verifier = AlbefMatcher(str(folder)), AlbefVerifier(str(folder))
    images = [Image(pixels) for pixels, *_ in samples]
    texts = [text for _, text, *_ in samples]
    true = matcher([{"image": image, "text": text} for image, text in zip(images, texts, strict=True)])
    false = matcher(
        [{"image": image, "text": text} for image, text in zip(images, texts[1:] + texts[:1], strict=True)]
    )
    assert min(true) > 0.5 > np.mean(false) and max(map(abs, [*true, *false])) <= 1
    batch = task.collate(samples, train=False)
    with torch.no_grad():
        want = task.model.match(batch["images"], batch["tokens"])
    assert true == pytest.approx(want.tolist(), abs=5e-3)  # saved in half precision
    alone = [
        AlbefMatcher(str(folder), batch_size=1)([{"image": i, "text": t}])[0]
        for i, t in zip(images, texts, strict=True)
    ]
    assert alone == pytest.approx(true, abs=1e-5)
    said = verifier(
        [{"image": images[0], "statement": texts[0]}, {"image": images[0], "statement": f"not {texts[0]}"}]
    )
    assert said == [True, False]
    whole = Region(images[0].box, "", 1.0, images[0])
    (part,) = AlbefMatcher(str(folder), margin=0)([{"image": whole, "text": texts[0]}])
    assert part == pytest.approx(true[0], abs=1e-5)
    unknown, empty = matcher([{"image": images[0], "text": "a zebra"}, {"image": images[0], "text": " "}])
    assert isinstance(unknown, Refused) and "was not taught what 'zebra' is" in str(unknown)
    assert isinstance(empty, ToolError)
    (unset,) = AlbefVerifier()([{"image": images[0], "statement": "a"}])
    assert isinstance(unset, ToolError) and 'set model = "FOLDER"' in str(unset)
    (other,) = AlbefMatcher("coca")([{"image": images[0], "text": "a"}])
    assert isinstance(other, ToolError) and "of model_type coca; this backend takes albef" in str(other)


COMMON = ["steps=30", "batch_size=4", "evaluate_every=null", "checkpoint_every=3", "schedule.warmup=1", "ema=0.9",
          "distillation.momentum=0.8", "distillation.ramp=20", "data.scenes=64", "candidates=1"]  # fmt: skip


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
