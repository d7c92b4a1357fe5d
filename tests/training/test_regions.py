"""Objectives on regions: that models learn, how they begin, files of regions, resuming, and the tools that ask them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytestmark = pytest.mark.usefixtures("one_thread")

import PIL.Image  # noqa: E402

from visprog.errors import Refused, ToolError  # noqa: E402
from visprog.models.bert import Bert, BertConfig  # noqa: E402
from visprog.models.preprocess.tokenizer import wordpiece_tokenizer  # noqa: E402
from visprog.scenes import Scenes  # noqa: E402
from visprog.tools.backends.lxmert import LxmertVqa  # noqa: E402
from visprog.tools.backends.vilbert import VilbertSelector  # noqa: E402
from visprog.tools.backends.visualbert import VisualBertVerifier  # noqa: E402
from visprog.training.data.samples import DataError  # noqa: E402
from visprog.training.fit import fit  # noqa: E402
from visprog.training.objectives.answers import answered  # noqa: E402
from visprog.training.recipe import load_recipe  # noqa: E402
from visprog.training.regions import RegionObjective, with_heads  # noqa: E402
from visprog.values import Box, Region  # noqa: E402
from visprog.values.image import Image  # noqa: E402

from .recipes import under  # noqa: E402
from .tiny_objective import rows, weights  # noqa: E402

SMALL = under("model", {"dim": 48, "hidden": 96, "heads": 4})
SHAPES = {
    "visualbert": [*SMALL, "model.layers=2"],
    "lxmert": [*SMALL, *under("model", {"layers": 1, "region_layers": 1, "cross_layers": 1})],
    "vilbert-select": [
        *SMALL,
        *under("model", {"layers": 2, "region_width": 48, "region_heads": 4, "region_layers": 1, "region_hidden": 96,
                         "cross_dim": 48, "cross_heads": 4, "text_places": [1], "region_places": [0]}),
    ],
}  # fmt: skip
COUNT = 6


def built(name: str, *changes: str) -> RegionObjective:
    torch.manual_seed(0)
    found = load_recipe(name, [*SHAPES[name], *changes]).build()
    assert isinstance(found, RegionObjective)
    return found


def learn(task: Any, steps: int) -> tuple[Any, list[float]]:
    """Learn a few samples by heart; returns the samples and all losses."""
    data, rng = task.data("train"), np.random.default_rng(1)
    samples = [data.sample(key, rng) for key in range(COUNT) for _ in range(4)]
    batch = data.collate(samples)
    optimizer = torch.optim.Adam(task.model.parameters(), 2e-3)
    losses = []
    task.model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = task.loss(batch)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    task.model.eval()
    return samples, losses


@pytest.fixture(scope="module")
def statements(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Any]:
    task = built("visualbert", "hard=1")
    samples, losses = learn(task, 120)
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    folder = tmp_path_factory.mktemp("visualbert")
    task.save(folder)
    return task, folder, samples


@pytest.fixture(scope="module")
def referring(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Any]:
    task = built("vilbert-select")
    samples, losses = learn(task, 100)
    assert losses[-1] < 0.35 * losses[0]  # an overlap below 1 is a target that leaves a loss
    folder = tmp_path_factory.mktemp("vilbert")
    task.save(folder)
    return task, folder, samples


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, Any]:
    task = built("lxmert", "pretraining=false")
    samples, losses = learn(task, 100)
    assert losses[-1] < 0.1 * losses[0]
    folder = tmp_path_factory.mktemp("lxmert")
    task.save(folder)
    return task, folder, samples


# -- objectives ----------------------------------------------------------------------------------------


def test_texts_of_two_captions_are_read_as_one() -> None:
    task = built("visualbert")
    tokens, mask, types = task.read(["a red star", "a ring"], ["there is a blue ring", "a star"])
    one, other = task.tokenizer(["a red star"]).ids[0], task.tokenizer(["there is a blue ring"]).ids[0]
    assert tokens[0].tolist() == [*one.tolist(), *other[1:].tolist()]
    assert types[0].tolist() == [0] * len(one) + [1] * (len(other) - 1)
    assert mask.sum(1).tolist() == [len(one) + len(other) - 1, 4 + 3]
    assert not tokens[1][~mask[1]].any() and not types[1][~mask[1]].any()
    hidden, labels = task.hide_words(task.read(["a red star"] * 400))
    words = hidden.tokens[labels >= 0]
    assert (words == task.id("<mask>")).float().mean() > 0.7
    assert not ((labels >= 0)[:, [0, -1]]).any()  # start and end are never hidden


def test_captions_of_other_images_and_false_ones_do_not_belong() -> None:
    for hard in (0, 1):
        task = built("visualbert", f"hard={hard}", "paired=false")
        data, rng = task.data("train"), np.random.default_rng(0)
        samples = [data.sample(key, rng) for key in range(30)]
        batch = data.collate(samples)
        assert 5 < batch["matched"].sum() < 25
        said = [task.tokenizer.decode(ids) for ids in batch["texts"].tokens]
        for i, (text, sample) in enumerate(zip(said, samples, strict=True)):
            own = task.tokenizer.decode(task.tokenizer([sample.said[0]]).ids[0])
            scene = Scenes(96, split="train")[i]
            assert (text == own) == bool(batch["matched"][i])
            if hard and not batch["matched"][i]:
                assert not scene.agrees(text)


def test_every_image_is_read_with_its_own_text_and_with_one_that_is_not() -> None:
    task = built("visualbert", "hard=1")
    data, rng = task.data("train"), np.random.default_rng(0)
    samples = [data.sample(key, rng) for key in range(10)]
    batch = data.collate(samples)
    said = [task.tokenizer.decode(ids) for ids in batch["texts"].tokens]
    agrees = [Scenes(96, split="train")[i % 10].agrees(text) for i, text in enumerate(said)]
    assert batch["matched"].tolist() == agrees == [True] * 10 + [False] * 10
    losses = task.loss(batch)
    assert set(losses) == {"loss", "words", "match", "choice"}
    torch.nn.init.zeros_(task.model.match.weight)  # all texts fit alike: to choose is to guess
    assert task.loss(batch)["choice"].item() == pytest.approx(np.log(2), abs=1e-6)


def test_a_model_that_is_certain_still_learns() -> None:
    """The odds of a probability that rounds to 1 would be infinite."""
    task = built("visualbert")
    sure = torch.tensor([[100.0, -100.0], [-100.0, 100.0]], requires_grad=True)
    odds = task.model.match_log_odds(sure)
    assert sorted(odds.tolist()) == [-200.0, 200.0]
    assert task.model.match_probability(sure).sort().values.tolist() == [0.0, 1.0]
    assert torch.isfinite(torch.autograd.grad(odds.sum(), sure)[0]).all()


def test_words_of_texts_that_do_not_belong_can_be_left_out() -> None:
    kept = built("visualbert", "hard=1", "false_words=true"), built("visualbert", "hard=1")
    for task, counted in zip(kept, (True, False), strict=True):
        data, rng = task.data("train"), np.random.default_rng(0)
        batch = data.collate([data.sample(key, rng) for key in range(4)])
        batch["matched"][:] = False
        task.model.eval()
        assert (task.loss(batch)["words"] > 0) == counted


def test_two_captions_need_two() -> None:
    task = built("visualbert", "captions=2")
    assert task.model.config.length == 80
    with pytest.raises(Exception, match="it has one caption, and two are read: captions=1 reads one"):
        task.data("train").sample(0, np.random.default_rng(0))


def test_two_captions_of_an_image_and_one_of_another(tmp_path: Path) -> None:
    lines = ["path,caption"]
    for i in range(40):
        PIL.Image.new("RGB", (8, 8), (6 * i, 0, 0)).save(tmp_path / f"{i}.png")
        lines += [f"{i}.png,{said} number {i}" for said in ("first", "second")]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    given = f"data={{source: captions, path: '{tmp_path}/pairs.csv'}}"
    task = built("visualbert", "captions=2", given, "vocabulary=120", "paired=false")
    data, rng = task.data("train"), np.random.default_rng(0)
    samples = [data.sample(key, rng) for key in range(20)]
    batch = data.collate(samples)
    assert all({text.split()[0] for text in s.said} == {"first", "second"} for s in samples)
    assert all(len({text.split()[-1] for text in s.said}) == 1 for s in samples)
    said = [task.tokenizer.decode(ids).split() for ids in batch["texts"].tokens]
    assert [words[2] == words[-1] for words in said] == batch["matched"].tolist()
    assert 3 < batch["matched"].sum() < 17 and batch["texts"].types.any(1).all()
    assert torch.isfinite(task.loss(batch)["loss"])


def test_every_expression_names_one_object_that_is_proposed(referring: tuple[Any, Path, Any]) -> None:
    task, _, _ = referring
    data, rng = task.data("val"), np.random.default_rng(0)
    batch = data.collate([data.sample(key, rng) for key in range(12)])
    assert batch["real"].sum(1).tolist() == [1] * 12
    regions = task.seen.regions(batch["seen"])
    from visprog.models.vilbert import select_targets

    targets = select_targets(regions.boxes, batch["truth"], batch["real"])
    assert ((targets > 0).sum(1) == 1).all()
    scores = task.score(task.predict(batch))
    assert 0 <= scores["accuracy"] <= 1 and "spurned" not in scores


def test_answers_are_the_final_ones(questions: tuple[Any, Path, Any]) -> None:
    task, folder, _ = questions
    assert {"yes", "no", "red", "circle", "3"} <= set(task.classes)
    assert json.loads((folder / "backend.json").read_text())["answers"] == list(task.classes)
    sample = task.source.split("train", 96).sample(3, np.random.default_rng(0))
    pairs = answered(sample, task.source)
    assert len(pairs) == len(sample.turns) // 2 - 1  # all but the list
    assert all(answer in task.numbers and "<image>" not in question for question, answer in pairs)
    data, rng = task.data("val"), np.random.default_rng(0)
    batch = data.collate([data.sample(key, rng) for key in range(8)])
    assert set(task.score(task.predict(batch))) == set(task.groups)


def test_all_tasks_of_lxmert_are_learned_from_questions() -> None:
    task = built("lxmert")
    data, rng = task.data("train"), np.random.default_rng(0)
    batch = data.collate([data.sample(key, rng) for key in range(12)])
    assert 0 < batch["matched"].sum() < 12
    losses = task.loss(batch)
    names = ["words", "match", "objects", "attributes", "features", "answers"]
    assert list(losses) == ["loss", *names]
    torch.testing.assert_close(losses["loss"], torch.stack([losses[name] for name in names]).sum())


def test_images_that_come_again_are_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    task = built("visualbert")
    data, rng = task.data("train"), np.random.default_rng(0)
    batch = data.collate([data.sample(key, rng) for key in (0, 1, 0)])
    first = task.seen.regions(batch["seen"])
    monkeypatch.setattr(task.seen.encoder, "encode", None)
    again = task.seen.regions(batch["seen"])
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True) if a is not None)
    assert torch.equal(first.features[0], first.features[2])


@pytest.mark.parametrize("name", SHAPES)
def test_a_stopped_run_goes_on_bit_for_bit(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = RegionObjective.data
    monkeypatch.setattr(
        RegionObjective, "data", lambda task, split: train(task, split) if split == "train" else None
    )
    keys = [*SHAPES[name], "batch_size=3", "data.scenes=7", "schedule.warmup=1", "evaluate_every=null"]
    fit(load_recipe(name, [*keys, "steps=4"]), tmp_path / "whole")

    def stop(task: Any, batch: Any) -> Any:
        if (tmp_path / "part/checkpoints").is_dir() and any((tmp_path / "part/checkpoints").iterdir()):
            raise KeyboardInterrupt
        return kept(task, batch)

    recipe = load_recipe(name, [*keys, "steps=4", "checkpoint_every=2"])
    objective = type(recipe.build())
    kept = objective.loss
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(objective, "loss", stop)
        fit(recipe, tmp_path / "part")
    fit(recipe, tmp_path / "part")
    assert rows(tmp_path / "part") == rows(tmp_path / "whole")
    assert weights(tmp_path / "part", "last") == weights(tmp_path / "whole", "last")


# -- how they begin ------------------------------------------------------------------------------------


def test_a_trained_model_goes_on_with_its_words_and_regions(referring: tuple[Any, Path, Any]) -> None:
    task, folder, _ = referring
    again = load_recipe("vilbert-select", ["model=null", "regions=null", f"init_from={folder}"]).build()
    assert again.tokenizer.backend.get_vocab() == task.tokenizer.backend.get_vocab()
    assert again.seen.encoder.config == task.seen.encoder.config
    state = again.model.state_dict()
    assert all(torch.equal(state[n], v.half().float()) for n, v in task.model.state_dict().items())


def test_another_task_gets_new_heads_alone(statements: tuple[Any, Path, Any]) -> None:
    task, folder, _ = statements
    again = load_recipe(
        "lxmert", ["model=null", "regions=null", "pretraining=false", f"init_from={folder}"]
    ).build()
    assert again.model.config.head == "answers" and again.model.config.classes == len(again.classes)
    state = again.model.state_dict()
    kept = {name for name, value in task.model.state_dict().items() if name in state}
    assert all(torch.equal(state[n], task.model.state_dict()[n].half().float()) for n in kept)
    assert set(state) - kept == {"classifier.weight", "classifier.bias"}
    with pytest.raises(DataError, match="reads regions of 261 numbers, and these have 5"):
        with_heads(task.model, {"region_dim": 5})
    with pytest.raises(DataError, match=r"cannot learn by the objective 'select': it has no select"):
        load_recipe("vilbert-select", ["model=null", "regions=null", f"init_from={folder}"]).build()


def test_a_bert_gives_words_and_weights(tmp_path: Path) -> None:
    tokenizer = wordpiece_tokenizer(["a red star is left of the blue ring"] * 3, 60, 16, ("<mask>",))
    torch.manual_seed(1)
    shape = {"vocab": len(tokenizer), "length": 40, "dim": 48, "heads": 4, "hidden": 96}
    bert = Bert(BertConfig(**shape, layers=3))
    bert.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    for name in ("visualbert", "vilbert-select"):
        task = built(name, f"init_from={{text: '{tmp_path}'}}", "length=40")
        assert len(task.tokenizer) == len(tokenizer)
        for part in ("embeddings.words.weight", "blocks.0.mlp.layers.1.weight", "head.layer.weight"):
            assert torch.equal(task.model.state_dict()[part], bert.state_dict()[part])
    embeddings = built("visualbert", f"init_from={{text: '{tmp_path}'}}", "length=40").model.embeddings
    assert torch.equal(embeddings.region_positions.weight, bert.embeddings.positions.weight)
    with pytest.raises(DataError, match=r"init_from\.text: the model cannot begin with .* has another shape"):
        built("visualbert", f"init_from={{text: '{tmp_path}'}}", "model.dim=32")
    with pytest.raises(DataError, match="only a text encoder can be given by itself"):
        built("visualbert", "init_from={image_encoder: owl}")


# -- files of regions ----------------------------------------------------------------------------------


def test_regions_come_from_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["path,caption"]
    (tmp_path / "regions").mkdir()
    for i in range(40):
        PIL.Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
        lines += [f"{i}.png,picture number {i}"]
        regions = {"x": rng.normal(size=(1 + i % 3, 5)), "norm_bb": rng.random((1 + i % 3, 4)),
                   "soft_labels": np.full((1 + i % 3, 4), 0.25)}  # fmt: skip
        np.savez(tmp_path / "regions" / str(i), **regions)
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    data = f"data={{source: captions, path: '{tmp_path}/pairs.csv'}}"
    keys = [data, "regions=null", f"features={tmp_path}/regions", "vocabulary=80"]
    for recipe, shape in (("visualbert", "visualbert"), ("vilbert", "vilbert-select")):
        task = load_recipe(recipe, [*SHAPES[shape], *keys]).build()
        assert task.model.config.region_dim == 5
        data = task.data("train")
        batch = data.collate([data.sample(i, rng) for i in range(4)])
        assert torch.isfinite(task.loss(batch)["loss"])
        assert getattr(task.model.config, "objects", 3) == 3
        task.save(tmp_path)
        assert not (tmp_path / "region_encoder.json").exists()
    np.save(tmp_path / "regions" / "0.npy", np.zeros((2, 5)))
    (tmp_path / "regions" / "1.npz").unlink()
    np.savez(tmp_path / "regions" / "2.npz", x=np.zeros((2, 6)), norm_bb=np.zeros((2, 4)))
    read = task.seen.prepare
    task.seen.files = {path.stem: path for path in (tmp_path / "regions").glob("*.np[yz]")}
    for name, message in (("1.png", "no file"), ("2.png", "6 numbers, not 5")):
        with pytest.raises(Exception, match=message):
            read(np.zeros((8, 8, 3), np.uint8), name)
    task.seen.files["0"] = tmp_path / "regions" / "0.npy"
    with pytest.raises(Exception, match="no boxes, which the model reads"):
        read(np.zeros((8, 8, 3), np.uint8), "0.png")
    with pytest.raises(DataError, match="not both"):
        built("visualbert", f"features={tmp_path}/regions")
    with pytest.raises(DataError, match=r"holds no \.npz"):
        built("visualbert", "regions=null", f"features={tmp_path / 'nothing'}")


# -- tools ---------------------------------------------------------------------------------------------


def test_statements_are_verified(statements: tuple[Any, Path, Any]) -> None:
    _, folder, samples = statements
    verify = VisualBertVerifier(str(folder), certainty=0.5)
    told = [(s.said[0], bool(s.belongs)) for s in samples]
    scenes = [Scenes(96, split="train")[i // 4] for i in range(len(samples))]
    calls = [
        {"image": Image(scene.pixels), "statement": text}
        for scene, (text, _) in zip(scenes, told, strict=True)
    ]
    found = verify(calls)
    right = [answer is True for answer, (_, belongs) in zip(found, told, strict=True) if belongs]
    assert np.mean(right) > 0.8  # true statements that it was taught
    (denied,) = verify([{**calls[0], "statement": "it is not so that " + calls[0]["statement"]}])
    assert isinstance(denied, Refused) and "was not taught what 'it', 'so', 'that' is" in str(denied)
    (unsure,) = VisualBertVerifier(str(folder), certainty=1.0)(calls[:1])
    assert isinstance(unsure, Refused) and "is not sure whether" in str(unsure)
    image = calls[0]["image"]
    one = Region(Box(*scenes[0].boxes[0].tolist()), "", 1.0, image)
    assert isinstance(verify([{"image": one, "statement": "a red star"}])[0], bool)
    assert "left" in str(verify.sees)


def test_the_region_that_an_expression_means_is_selected(referring: tuple[Any, Path, Any]) -> None:
    task, folder, samples = referring
    select = VilbertSelector(str(folder), threshold=0.3)
    right = []
    for i, (_, phrase, boxes) in enumerate(samples):
        scene = Scenes(96, objects=(2, 5))[i // 4]
        if not any(np.allclose(boxes[0], box / 96, atol=1e-4) for box in scene.boxes):
            continue  # the sample took another scene
        image = Image(scene.pixels)
        proposed = task.seen.encoder.encode([scene.pixels]).boxes[0] * 96
        regions = [Region(Box(*box.tolist()), "", 0.9, image) for box in proposed]
        (found,) = select([{"regions": regions, "phrase": phrase}])
        target = Box(*(boxes[0] * 96).tolist())
        right.append(bool(found) and found[0].box.iou(target) >= 0.5)
        assert all(0.3 <= region.score <= 1 for region in found)
    assert len(right) > 12 and np.mean(right) > 0.8
    other = Region(Box(0, 0, 9, 9), "", 1.0, Image(np.zeros((9, 9, 3), np.uint8)))
    none, unknown, many, mixed, far = select(
        [
            {"regions": [], "phrase": "star"},
            {"regions": regions, "phrase": "zebra"},
            {"regions": regions * 9, "phrase": "star"},
            {"regions": [regions[0], other], "phrase": "star"},
            {"regions": [Region(Box(0, 0, 9, 9), "", 1.0)], "phrase": "star"},
        ]
    )
    assert none == []
    assert isinstance(unknown, Refused) and "was not taught what 'zebra' is" in str(unknown)
    assert isinstance(many, Refused) and "to choose among 8 regions" in str(many)
    assert all(isinstance(error, ToolError) and "of one image" in str(error) for error in (mixed, far))


def test_questions_are_answered(questions: tuple[Any, Path, Any]) -> None:
    task, folder, samples = questions
    vqa = LxmertVqa(str(folder), threshold=0.2)
    source = task.source.split("train", 96)
    rng = np.random.default_rng(1)
    calls = []
    for i, asked in enumerate(samples):
        image = source.sample(i // 4, rng).images[0]
        calls.append({"image": Image(image), "question": asked.question})
    found = vqa(calls)
    right = [answer == task.classes[asked.answer] for answer, asked in zip(found, samples, strict=True)]
    assert np.mean(right) > 0.8
    empty, unknown = vqa([{**calls[0], "question": " "}, {**calls[0], "question": "who is the president?"}])
    assert isinstance(empty, ToolError) and "empty question" in str(empty)
    assert isinstance(unknown, Refused) and "'president'" in str(unknown)
    (unsure,) = LxmertVqa(str(folder), threshold=1.0)(calls[:1])
    assert isinstance(unsure, Refused) and "not sure of an answer" in str(unsure)


def test_what_the_detector_was_not_taught_is_refused(statements: tuple[Any, Path, Any]) -> None:
    _, folder, _ = statements
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    (found,) = VisualBertVerifier(str(folder))([{"image": Image(noise), "statement": "a red star"}])
    assert isinstance(found, Refused) and "was taught drawn scenes" in str(found)


def test_a_backend_needs_a_model_that_says_which_regions_it_reads(
    statements: tuple[Any, Path, Any], tmp_path: Path
) -> None:
    with pytest.raises(ToolError, match=r"train one with `visprog train vilbert-select`, and set model = "):
        VilbertSelector()
    image = Image(Scenes(96)[0].pixels)
    (error,) = LxmertVqa(str(statements[1]))([{"image": image, "question": "a red star"}])
    assert isinstance(error, ToolError) and "is of model_type visual_bert" in str(error)
    folder = tmp_path / "alone"
    folder.mkdir()
    built("visualbert").save(folder)
    (folder / "region_encoder.json").unlink()
    (error,) = VisualBertVerifier(str(folder))([{"image": image, "statement": "a red star"}])
    assert isinstance(error, ToolError) and "does not say which regions it reads" in str(error)
