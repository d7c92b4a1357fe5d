"""The experiments on claims: what is kept, what is measured again, and what tables say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402

from benchmarks.claims import runner as claims  # noqa: E402
from benchmarks.claims.claim import Check, Claim, find_claims, statistic  # noqa: E402
from benchmarks.claims.small_models import prefers, recall_at_1, small_clip, train  # noqa: E402
from benchmarks.claims.world import (  # noqa: E402
    FACTS,
    OPPOSITE,
    Scene,
    Shape,
    pairs_of_shapes,
    share_right,
    single_shapes,
    world_words,
)  # fmt: skip

CALLS: list[tuple[str, int]] = []


def measure(condition: str, seed: int) -> dict[str, float]:
    CALLS.append((condition, seed))
    return {"score": seed + (condition == "better")}


CLAIM = Claim(
    "x0", "better is better", "nobody", ("plain", "better"), measure, {"score": 0.5},
    (Check("better wins", lambda r: r["better"]["score"].mean > r["plain"]["score"].mean),
     Check("plain wins", lambda r: r["plain"]["score"].mean > r["better"]["score"].mean)),
)  # fmt: skip


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(claims, "find_claims", lambda: {"x0": CLAIM})
    CALLS.clear()
    claims.run_seed("x0", 0, tmp_path, 1)
    claims.result_file(tmp_path, CLAIM, "better", 0).unlink()
    broken = claims.result_file(tmp_path, CLAIM, "plain", 1)
    broken.write_text("{")
    assert claims.collect(CLAIM, tmp_path, 2) is None
    for seed in (0, 1):
        claims.run_seed("x0", seed, tmp_path, 1)
    assert CALLS == [("plain", 0), ("better", 0), ("better", 0), ("plain", 1), ("better", 1)]
    old = json.loads(broken.read_text()) | {"code": "of another version"}
    broken.write_text(json.dumps(old))
    claims.run_seed("x0", 1, tmp_path, 1)
    assert CALLS[-1] == ("plain", 1)

    claims.report([CLAIM], tmp_path, 2, as_json=False)
    printed = capsys.readouterr().out
    assert "| plain | 0.5 ± 0.71 |" in printed and "| better | 1.5 ± 0.71 |" in printed
    assert "- holds: better wins" in printed and "**does not hold**: plain wins" in printed
    assert (tmp_path / "x0" / "plot.png").stat().st_size > 1000
    claims.report([CLAIM], tmp_path, 2, as_json=True)
    found = json.loads(capsys.readouterr().out)["x0"]
    assert found["results"]["better"]["score"]["mean"] == 1.5 and found["checks"]["better wins"] is True


def test_every_claim_is_complete() -> None:
    for name, claim in find_claims().items():
        assert claim.name == name and claim.title and claim.source and claim.checks, name
        assert len(set(claim.conditions)) == len(claim.conditions) > 1 and claim.metrics, name


def test_a_seed_has_one_world_and_captions_are_true_of_it() -> None:
    pool, again = pairs_of_shapes(40, 3), pairs_of_shapes(40, 3)
    assert np.array_equal(pool.images, again.images) and pool.scenes == again.scenes
    assert not np.array_equal(pool.images, pairs_of_shapes(40, 4).images)
    rng = np.random.default_rng(0)
    for scene in pool.scenes:
        a, b = scene.shapes
        true = {"left of": a.x < b.x, "right of": a.x > b.x, "above": a.y < b.y, "below": a.y > b.y}
        assert true[scene.relation] and not true[OPPOSITE[scene.relation]]
        false = {scene.other_relation, scene.swapped_colors, scene.other_object(rng)}
        assert scene.caption not in false and len(false) == 3
    for image, scene in zip(single_shapes(20, 0).images, single_shapes(20, 0).scenes, strict=True):
        left, top, right, bottom = scene.shapes[0].box
        dark = np.argwhere(image.min(2) < 160)
        assert dark.min(0)[0] >= top - 1 and dark.max(0)[0] <= bottom + 1
        assert dark.min(0)[1] >= left - 1 and dark.max(0)[1] <= right + 1
    words = world_words()
    caption = pool.scenes[0].caption
    assert words.decode(words([caption])[0, 1:].tolist()) == caption


def test_a_small_model_learns_and_its_measures_are_right() -> None:
    words = world_words()
    model = small_clip(words, 0, dim=32, layers=1)
    pool = single_shapes(32, 0)
    ids = words([scene.caption for scene in pool.scenes])

    def loss(step: int) -> torch.Tensor:
        images, texts = model.encode_images(pool.pixels(slice(None))), model.encode_texts(ids)
        return torch.nn.functional.cross_entropy(10 * images @ texts.T, torch.arange(32))

    losses = train(model.parameters(), loss, 20, lr=3e-3, warmup=5)
    assert losses[-1] < losses[0]
    eye = torch.eye(3)
    assert recall_at_1(eye, eye.flip(0), ["a", "b", "c"]) == pytest.approx(1 / 3)
    assert recall_at_1(eye, eye.flip(0), ["a", "b", "a"]) == 1
    assert prefers(eye, eye, eye.flip(0)) == pytest.approx(2 / 3)
    assert statistic([1.0, 3.0]).mean == 2 and statistic([1.0]).deviation == 0


def test_what_is_true_of_two_shapes_does_not_depend_on_which_comes_first() -> None:
    red, blue = Shape("red", "square", 12, 20, 6), Shape("blue", "circle", 36, 22, 6)
    scene, turned = Scene((red, blue), "left of"), Scene((blue, red), "right of")
    assert scene.captions == ("a red square left of a blue circle", "a blue circle right of a red square")
    assert set(scene.captions) == set(turned.captions)
    assert (
        set(scene.facts) == set(turned.facts) == {"square=red", "square=left", "circle=blue", "circle=right"}
    )
    assert Scene((red,)).captions == ("a red square",)
    assert share_right([scene, turned], [turned.caption, "a red square left of a red circle"]) == 0.5
    words = world_words(FACTS)
    slots = words.facts([scene, turned], 8, torch.Generator().manual_seed(0))
    assert slots.shape == (2, 8) and not torch.equal(slots[0], slots[1])
    assert all(sorted(words.decode(row).split()) == sorted(scene.facts) for row in slots.tolist())
