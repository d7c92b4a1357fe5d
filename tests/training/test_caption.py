"""The caption objective: what they learn to say is true, equal captions are no negatives, and the backend says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

import PIL.Image  # noqa: E402

from visprog.errors import ToolError  # noqa: E402
from visprog.tools.backends.coca import CocaCaptioner, moved, sentence  # noqa: E402
from visprog.training.data.samples import DataError  # noqa: E402
from visprog.training.init_from import load_image_encoder  # noqa: E402
from visprog.training.objectives.caption import Captioning  # noqa: E402
from visprog.training.recipe import load_recipe  # noqa: E402
from visprog.values import Box, Region  # noqa: E402
from visprog.values.image import Image  # noqa: E402

from .recipes import COCA, OWL, under  # noqa: E402

SHAPE = [
    *COCA,
    *under("model.image_encoder", {"dim": 32, "hidden": 128}),
    *under("model", {"dim": 32, "hidden": 128, "queries": 8, "project": 32}),
]


def built(*changes: str, name: str = "coca") -> Captioning:
    found = load_recipe(name, [*SHAPE, "init_from=null", *changes]).build()
    assert isinstance(found, Captioning)
    return found


NAMED = "data.unnamed_colors=0"


def learn(task: Captioning, keys: range, steps: int) -> float:
    data, rng = task.data("train"), np.random.default_rng(0)
    batch = data.collate([data.sample(key, rng) for key in keys])
    optimizer = torch.optim.Adam(task.model.parameters(), 3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = task.loss(batch)["caption"]
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Captioning, Path]:
    """A captioner that knows four scenes by heart."""
    torch.manual_seed(0)
    task = built(NAMED)
    assert learn(task, range(4), 150) < 0.1
    folder = tmp_path_factory.mktemp("coca")
    task.save(folder)
    return task, folder


def test_unnamed_colors_are_for_training_on_scenes_of_the_normal_style() -> None:
    task = built("data.unnamed_colors=0.5")
    plain = built(NAMED)
    keys, unknown = range(40), task.tokenizer.id("<unk>")

    def captions(task: Captioning, split: Literal["train", "val"]) -> list[str]:
        data = task.data(split)
        assert data is not None
        return [data.sample(key, np.random.default_rng(key))[1] for key in keys]

    assert captions(task, "val") == captions(plain, "val")
    changed = captions(task, "train")
    assert sum(a != b for a, b in zip(changed, captions(plain, "train"), strict=True)) > 20
    assert unknown not in task.tokenizer(changed).ids
    with pytest.raises(DataError, match=r"data.unnamed_colors: the style must be normal, not 'sketch'"):
        built("data.unnamed_colors=0.5", "data.style=sketch")


def test_captions_are_true_complete_and_have_no_unknown_word() -> None:
    task = built(NAMED)
    unknown = task.tokenizer.id("<unk>")
    for split in ("train", "val"):
        data: Any = task.source.split(split, 32)
        for key in range(40):
            pair = data.sample(key, np.random.default_rng(0))
            (text,) = pair.captions
            ids = task.tokenizer([text]).ids[0]
            assert pair.key == key and unknown not in ids and len(ids) < task.model.config.length
            assert data.scene(key).agrees(task.tokenizer.decode(ids), complete=True)


def test_it_writes_what_it_learned_and_the_backend_says_it(learned: tuple[Captioning, Path]) -> None:
    task, folder = learned
    data, rng = task.data("train"), np.random.default_rng(0)
    samples = [data.sample(key, rng) for key in range(4)]
    backend = CocaCaptioner(str(folder))
    said = backend([{"image": Image(pixels)} for pixels, _, _ in samples])
    assert [s.lower() for s in said] == [sentence(text).lower() for _, text, _ in samples]
    whole = Image(samples[0][0])
    (again,) = CocaCaptioner(str(folder), margin=0)([{"image": Region(whole.box, "", 1.0, whole)}])
    assert again == said[0]


def test_scores_tell_right_captions_from_wrong_ones(learned: tuple[Captioning, Path]) -> None:
    task, _ = learned
    data = task.data("val")
    rng = np.random.default_rng(0)
    batch = data.collate([data.sample(key, rng) for key in range(6)])
    rows = {"written": torch.nn.functional.pad(batch["tokens"], (0, 3))}
    rows |= {name: batch[name] for name in ("keys", "groups")}
    assert task.score(rows) == {"facts": 1.0, "held_out": 1.0}
    rows["written"] = rows["written"].roll(1, 0)
    assert max(task.score(rows).values()) < 1
    assert set(task.predict(batch)) == set(rows)


def test_an_image_is_looked_at_from_five_places() -> None:
    image = torch.arange(2 * 3 * 4 * 5, dtype=torch.float32).view(2, 3, 4, 5)
    looks = moved(image, 2)
    assert looks.shape == (5, 2, 3, 4, 5) and torch.equal(looks[0], image)
    assert torch.equal(looks[1][..., 2:], image[..., :-2])  # to the right, then to the left, down, up
    assert torch.equal(looks[2][..., :-2], image[..., 2:])
    assert torch.equal(looks[3][..., 2:, :], image[..., :-2, :])
    assert torch.equal(looks[4][..., :-2, :], image[..., 2:, :])
    assert torch.equal(looks[1][..., 0], image[..., 0])
    assert torch.equal(moved(image, 0), image[None])


def test_equal_captions_are_no_negatives() -> None:
    torch.manual_seed(0)
    task = built(NAMED, "caption=0")
    data, rng = task.data("train"), np.random.default_rng(0)
    batch = data.collate([data.sample(key, rng) for key in (0, 1)])
    twice = {name: torch.cat([value, value]) for name, value in batch.items()}
    # Both captions are right for either copy: the best that can be reached is to be undecided between the two.
    assert task.loss(twice)["contrast"].item() == pytest.approx(
        task.loss(batch)["contrast"].item() + np.log(2), abs=1e-5
    )


def test_a_trained_image_encoder_is_where_it_begins(learned: tuple[Captioning, Path], tmp_path: Path) -> None:
    torch.manual_seed(1)
    shape = under("model.image_encoder", {"size": 48, "dim": 32, "hidden": 128})
    owl = load_recipe("owl", [*OWL, *shape]).build()
    owl.save(tmp_path)
    start = f"init_from={{image_encoder: '{tmp_path}'}}"
    task = built(start)
    half = owl.model.image_encoder.blocks[0].mlp.layers[0].weight.half().float()
    assert torch.equal(task.model.image_encoder.blocks[0].mlp.layers[0].weight, half)
    assert torch.equal(load_image_encoder(str(tmp_path)).blocks[0].mlp.layers[0].weight, half)
    for wrong in ("model.image_encoder.dim=64", "model.image_encoder.layers=2"):
        with pytest.raises(DataError, match=r"the model cannot begin with .* does not fit"):
            built(start, wrong)
    with pytest.raises(DataError, match="holds no image encoder"):
        load_image_encoder(str(tmp_path / "nothing"))
    with pytest.raises(
        DataError, match=r"is a OwlVit, not a Coca; of another model only a part can be taken"
    ):
        built(f"init_from={tmp_path}")
    with pytest.raises(
        DataError, match=r"init_from\.text: only an image_encoder or a dvae can be given by itself"
    ):
        built(f"init_from={{text: '{tmp_path}'}}")


def test_a_trained_captioner_goes_on_with_its_own_words(
    learned: tuple[Captioning, Path], tmp_path: Path
) -> None:
    task, folder = learned
    again = load_recipe("coca", ["model=null", f"init_from={folder}", NAMED]).build()
    assert again.tokenizer.backend.get_vocab() == task.tokenizer.backend.get_vocab()
    state = again.model.state_dict()
    assert all(torch.equal(state[n], v.half().float()) for n, v in task.model.state_dict().items())
    copied = built(f"init_from={folder}", NAMED).model.state_dict()
    assert all(torch.equal(copied[name], value) for name, value in state.items())


def test_files_of_captions(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(24):
        pixels = rng.integers(0, 255, (20, 20, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text(f"picture number {i}")
    task = built(f"data={tmp_path}", "vocabulary=300", "length=24", name="coca-captions")
    data = task.data("train")
    batch = data.collate([data.sample(i, rng) for i in range(4)])
    assert torch.isfinite(task.loss(batch)["loss"])
    score = task.score(task.predict(batch))["loss"]
    assert score == pytest.approx(task.loss(batch)["caption"].item(), rel=1e-5)


def test_a_folder_without_a_captioner(tmp_path: Path) -> None:
    (error,) = CocaCaptioner(str(tmp_path))([{"image": Image(np.zeros((8, 8, 3), np.uint8))}])
    assert isinstance(error, ToolError) and "holds no config.json" in str(error)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a red star , a cross and an oval", "A red star, a cross and an oval."),
        ("", ""),
        ("fine .", "Fine."),
    ],
)
def test_words_become_a_sentence(words: str, expected: str) -> None:
    assert sentence(words) == expected


def test_a_region_outside_its_image_concerns_its_call_alone(learned: tuple[Captioning, Path]) -> None:
    image = Image(np.zeros((16, 16, 3), np.uint8))
    results = CocaCaptioner(str(learned[1]))(
        [{"image": image}, {"image": Region(Box(50, 50, 60, 60), "", 1.0, image)}]
    )
    assert isinstance(results[0], str) and isinstance(results[1], Exception)
