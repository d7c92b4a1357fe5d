"""ARO's tests of compositionality: what a model that reads order scores, and one that does not."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visprog import cli
from visprog.errors import VisprogError
from visprog.evaluation.models.aro import Choice, read_aro
from visprog.evaluation.models.benchmark import run_model_benchmark
from visprog.evaluation.models.compositionality import (
    SCENES,
    Compositionality,
    choose,
    retrieval,
    scene_choices,
)
from visprog.evaluation.models.scorers import load_scorer
from visprog.evaluation.models.word_order import ORDERS, prepared, shuffled
from visprog.scenes.related import RelatedPairs

CAPTION = "a red square left of a blue circle"


# -- word order ----------------------------------------------------------------------------------------


def test_orders_keep_the_words() -> None:
    rng = np.random.default_rng(0)
    for caption in (CAPTION, "two dogs run past the old wooden fence near a lake", "a man"):
        for order in ORDERS.values():
            assert Counter(order(caption, rng).split()) == Counter(caption.split())
    nouns, others, within, trigrams = shuffled(CAPTION, rng)
    assert nouns.split()[0::4] == ["a", "of"] and nouns.split()[3] == "left"
    assert {nouns.split()[1], nouns.split()[6]} == {"red", "blue"}
    kept = [word for word in others.split() if word in ("red", "square", "blue", "circle")]
    assert kept == ["red", "square", "blue", "circle"]
    assert [others.split()[i] for i in (1, 2, 6, 7)] == kept
    for i in (0, 3, 6):
        assert set(within.split()[i : i + 3]) == set(CAPTION.split()[i : i + 3])
    assert all(" ".join(CAPTION.split()[i : i + 3]) in trigrams for i in (0, 3, 6))
    assert CAPTION not in (nouns, others, within, trigrams)


def test_captions_are_prepared_as_published() -> None:
    assert prepared('A man (left) says:  "Hi!" to; his dog.\n') == "a man left says hi to his dog"
    assert shuffled("a man", np.random.default_rng(0)) == []


# -- models ---------------------------------------------------------------------------------------------


class Reader:
    """Knows the captions of images by their pixels. A bag of words compares words without their order."""

    size = 32

    def __init__(self, ordered: bool) -> None:
        self.ordered, self.calls = ordered, 0
        pairs = RelatedPairs(32, split="val")
        self.known = {pairs[i].scene.pixels.tobytes(): (pairs[i].caption, pairs[i].listed) for i in range(40)}

    def scores(self, images: Sequence[np.ndarray], texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        self.calls += 1
        return [
            np.array([max(self.score(text, known) for known in self.known[image.tobytes()]) for text in row])
            for image, row in zip(images, texts, strict=True)
        ]

    def score(self, text: str, known: str) -> float:
        if self.ordered:
            return float(text == known)
        one, other = Counter(text.split()), Counter(known.split())
        return float(-sum(((one - other) + (other - one)).values()))


def test_who_reads_order_is_right_and_a_bag_of_words_is_not(tmp_path: Path) -> None:
    reader, bag = Reader(True), Reader(False)
    benchmark = Compositionality([], limit=40, scorers={"reader": reader, "bag": bag})
    summary = run_model_benchmark(benchmark, tmp_path)
    for test in SCENES:
        figure = summary["models"]["reader"][test]
        assert figure["accuracy"] == 1 and figure["chance"] == (0.2 if test == "order" else 0.5)
    found = summary["models"]["bag"]
    assert found["attribute"]["accuracy"] == 0 == found["order"]["accuracy"]  # ties are not right
    assert found["object"]["accuracy"] == 1 and found["relation"]["accuracy"] == 0.5  # half change a word
    assert found["retrieval"]["image_to_text"] > 0.9 and found["retrieval"]["chance"] == pytest.approx(1 / 40)
    assert set(summary["models"]["reader"]["relation"]["groups"]) <= {"left of", "right of", "above", "below"}
    (table,) = benchmark.tables(summary)
    assert [row[0] for row in table.rows] == ["reader", "bag", "chance"] and len(table.columns) == 7
    again = Compositionality([], limit=40, scorers={"reader": reader, "bag": bag})
    calls = reader.calls
    assert run_model_benchmark(again, tmp_path) == summary and reader.calls == calls
    with pytest.raises(VisprogError, match="limit 40, not 39"):
        run_model_benchmark(Compositionality([], limit=39, scorers={"reader": reader, "bag": bag}), tmp_path)


def test_scenes_are_as_their_captions_say() -> None:
    for test in SCENES:
        for choice in scene_choices(test, 25, 32):
            scene = choice.view.pair.scene
            right, *wrong = (text.replace("the ", "a ") for text in choice.captions)
            assert scene.agrees(right) and len({right, *wrong}) == len(choice.captions)
            assert test == "order" or not any(scene.agrees(text) for text in wrong), choice.captions


def test_a_score_that_is_no_number_is_an_error() -> None:
    class Broken(Reader):
        def score(self, text: str, known: str) -> float:
            return float("nan")

    with pytest.raises(VisprogError, match="no number"):
        choose(Broken(True), list(scene_choices("relation", 3, 32)))
    with pytest.raises(VisprogError, match="without a single entry"):
        choose(Reader(True), [])


# -- ARO in its layout ---------------------------------------------------------------------------------


@pytest.fixture
def aro(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for i in range(3):
        pixels = np.zeros((30, 40, 3), np.uint8)
        pixels[:, 20:] = (200, 0, 50 * i)
        Image.fromarray(pixels).save(tmp_path / f"images/{i}.png")
    entry = {"image_id": 1, "bbox_x": 20, "bbox_y": 5, "bbox_w": 20, "bbox_h": 15}
    relation = [
        {**entry, "image_path": f"{i}.png", "true_caption": f"the dog is on the bed {i}",
         "false_caption": f"the bed is on the dog {i}", "relation_name": ("on", "under")[i % 2]}
        for i in range(3)
    ]  # fmt: skip
    attribute = [
        {**entry, "image_path": "1.png", "attributes": ["red", "old"],
                  "true_caption": "the red dog and the old bed", "false_caption": "the old dog and the red bed"}
    ]  # fmt: skip
    order = [
        {"image": f"images/{i}.png", "caption": [f"A red dog sits on an old bed number {i}.", "dog"]}
        for i in (0, 1)
    ]
    (tmp_path / "visual_genome_relation.json").write_text(json.dumps(relation))
    (tmp_path / "visual_genome_attribution.json").write_text(json.dumps(attribute))
    (tmp_path / "coco_karpathy_test.json").write_text(json.dumps(order))
    return tmp_path


def test_the_published_layout_is_read(aro: Path) -> None:
    found = read_aro(aro, None)
    assert {test: len(choices) for test, choices in found.items()} == {
        "relation": 3,
        "attribute": 1,
        "order": 2,
    }
    choice = found["relation"][1]
    assert (
        choice.captions == ("the dog is on the bed 1", "the bed is on the dog 1") and choice.group == "under"
    )
    assert choice.view.pixels().shape == (15, 20, 3) and (choice.view.pixels() == (200, 0, 50)).all()
    assert found["attribute"][0].group == "red_old"
    assert found["order"][0].captions[0] == "a red dog sits on an old bed number 0"
    assert len(set(found["order"][0].captions)) == 5 and found["order"][0].view.pixels().shape == (30, 40, 3)
    assert read_aro(aro / "visual_genome_relation.json", 2).keys() == {"visual_genome_relation"}
    karpathy = {"images": [
        {"filepath": "images", "filename": "0.png", "split": "test", "sentences": [{"raw": CAPTION}, {"raw": CAPTION}]},
        {"filepath": "images", "filename": "1.png", "split": "train", "sentences": [{"raw": CAPTION}]}]}  # fmt: skip
    (aro / "coco_karpathy_test.json").unlink()
    (aro / "dataset_coco.json").write_text(json.dumps(karpathy))
    assert len(read_aro(aro, None)["order"]) == 2


def test_the_macro_mean_is_over_relations(aro: Path) -> None:
    class First:
        size = 32

        def scores(self, images: Sequence[np.ndarray], texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
            return [np.array([float("1" in text) for text in row]) - (0, 0.5)[: len(row)] for row in texts]

    choices = [Choice(c.view, c.captions, c.group) for c in read_aro(aro, None)["relation"]]
    found = choose(First(), choices)
    assert found["count"] == 3 and found["accuracy"] == 1 and found["macro"] == 1 and found["chance"] == 0.5


def test_data_that_are_not_aro_are_named(aro: Path, tmp_path: Path) -> None:
    with pytest.raises(VisprogError, match="holds no test of ARO"):
        read_aro(aro / "images", None)
    (aro / "mine.json").write_text(json.dumps([{"true_caption": "a dog"}]))
    with pytest.raises(VisprogError, match=r"mine.json, entry 0, is not as in ARO"):
        read_aro(aro / "mine.json", None)
    (aro / "mine.json").write_text(json.dumps([]))
    with pytest.raises(VisprogError, match="no list of entries"):
        read_aro(aro / "mine.json", None)
    missing = [{"image_path": "none.png", "true_caption": "a dog", "false_caption": "a cat"}]
    (aro / "mine.json").write_text(json.dumps(missing))
    with pytest.raises(VisprogError, match=r"none.png"):
        retrieval(Reader(True), read_aro(aro / "mine.json", None)["mine"], 5)


# -- the command ------------------------------------------------------------------------------------------


def test_the_command_measures_a_bundled_model(
    tmp_path: Path, aro: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    command = ["eval", "compositionality", "clip", "--limit", "6", "-o", str(tmp_path / "run")]
    assert cli.main([*command, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["models"]["clip"]
    assert set(figures) == {*SCENES, "retrieval"} and figures["object"]["count"] == 6
    assert cli.main(command) == 0
    assert "chance" in capsys.readouterr().out
    assert cli.main([*command[:3], "--data", str(aro), "-o", str(tmp_path / "aro"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["models"]["clip"]
    assert set(figures) == {"relation", "attribute", "order", "retrieval"}


def test_a_model_that_reads_both_together_is_scored(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from visprog.models import Albef, AlbefConfig, AlbefImageEncoderConfig
    from visprog.models.bert import BertConfig
    from visprog.models.preprocess.image_processor import ImageProcessor
    from visprog.models.preprocess.tokenizer import word_tokenizer

    torch.manual_seed(0)
    tokenizer = word_tokenizer([CAPTION], 12)
    text = BertConfig(vocab=len(tokenizer), dim=16, layers=2, heads=2, hidden=32, length=16)
    image = AlbefImageEncoderConfig(size=32, patch=8, dim=16, layers=1, heads=2, hidden=32)
    model = Albef(AlbefConfig(image, text, project=8)).eval()
    processor = ImageProcessor(size=(32, 32))
    for part in (model, tokenizer, processor):
        part.save_pretrained(tmp_path)
    scorer = load_scorer(str(tmp_path))
    images = [np.full((32, 32, 3), 40 * i, np.uint8) for i in range(2)]
    found = scorer.scores(images, [[CAPTION, "a circle"], ["red"]])
    with torch.inference_mode():
        wanted = model.match(processor([images[0]] * 2), tokenizer([CAPTION, "a circle"]).ids).logit()
    assert np.allclose(found[0], wanted.numpy(), atol=1e-4) and found[1].shape == (1,)


@pytest.mark.parametrize(
    ("model", "message"), [("sam", "does not say how well a text fits"), ("nowhere", "no folder nowhere")]
)
def test_what_cannot_be_measured_is_refused(model: str, message: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(VisprogError, match=message):
        run_model_benchmark(Compositionality([model]), tmp_path)
