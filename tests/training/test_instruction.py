"""The instruction objective: who speaks which token, what each stage trains, that it learns, and its backend."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

import PIL.Image  # noqa: E402

from visprog.errors import Refused, ToolError  # noqa: E402
from visprog.models.clip.model import ImageEncoder, ImageEncoderConfig  # noqa: E402
from visprog.models.llama import Llama, LlamaConfig  # noqa: E402
from visprog.models.llava.chat import IMAGE, Chat  # noqa: E402
from visprog.models.preprocess.tokenizer import word_tokenizer  # noqa: E402
from visprog.scenes import Scenes  # noqa: E402
from visprog.scenes.language import cell, from_left  # noqa: E402
from visprog.tools.backends.llava import LlavaVqa  # noqa: E402
from visprog.training.data.samples import BadSample, DataError  # noqa: E402
from visprog.training.data.scenes.conversations import LIST, reasoned  # noqa: E402
from visprog.training.init_from import add_position_codes  # noqa: E402
from visprog.training.objective import Samples  # noqa: E402
from visprog.training.objectives.instruction import IGNORED, Instruction  # noqa: E402
from visprog.training.optim.optimizers import make_optimizers  # noqa: E402
from visprog.training.recipe import OptimizerConfig, load_recipe  # noqa: E402
from visprog.values.image import Image  # noqa: E402

from .recipes import OWL, under  # noqa: E402


def built(name: str, *changes: str) -> Instruction:
    torch.manual_seed(0)
    found = load_recipe(name, changes).build()
    assert isinstance(found, Instruction)
    return found


def on_scenes(encoder: Path, *changes: str, layers: int = 2) -> Instruction:
    """A LLaVA from scratch, with a trained image encoder."""
    text = f"{{dim: 32, layers: {layers}, heads: 2, hidden: 64}}"
    return built(
        "llava",
        f"model={{type: llava, language_model: {text}, feature_layers: [-1], merge: 2}}",
        f"init_from={{image_encoder: '{encoder}'}}",
        "position_codes=true",
        *changes,
    )


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("owl")
    shape = under("model.image_encoder", {"dim": 32, "layers": 2, "hidden": 128})
    load_recipe("owl", [*OWL, *shape]).build().save(folder)
    return folder


@pytest.fixture(scope="module")
def scenes(encoder: Path) -> Instruction:
    return on_scenes(encoder, "data.turns=4", "length=200")


def test_only_what_the_assistant_says_is_learned() -> None:
    tokenizer = word_tokenizer(
        ["user : assistant how many stars two what else nothing ."], 16, special=[IMAGE]
    )
    chat = Chat(tokenizer, tokens_per_image=3)
    ids, spoken = chat.encode([(f"{IMAGE}\nHow many stars", "Two."), ("What else", "Nothing")])
    words = [tokenizer.backend.id_to_token(i) for i in ids]
    image = [IMAGE] * 3
    assert words == [
        "<start>", "user", ":", *image, "how", "many", "stars", "assistant", ":", "two", ".", "<end>",
        "user", ":", "what", "else", "assistant", ":", "nothing", "<end>",
    ]  # fmt: skip
    assert [w for w, s in zip(words, spoken, strict=True) if s] == ["two", ".", "<end>", "nothing", "<end>"]
    open_end = chat.encode([("What else", None)])
    assert not any(open_end.assistant_mask) and open_end.ids[-2:] == ids[-4:-2]


def test_prompts_are_padded_on_the_left() -> None:
    tokenizer = word_tokenizer(["user : assistant one two three"], 16, special=[IMAGE])
    chat = Chat(tokenizer, tokens_per_image=2)
    ids, mask = chat.encode_batch([[(f"{IMAGE}\n{asked}", None)] for asked in ("one two three", "one")])
    assert mask.sum(1).tolist() == [len(ids[0]), len(ids[0]) - 2]
    assert not mask[1, :2].any() and ids[1, 2] == chat.start and ids[0, 0] == chat.start
    assert torch.equal(ids[0, -2:], ids[1, -2:])
    with pytest.raises(ValueError, match="<image>"):
        Chat(word_tokenizer(["one"], 16), tokens_per_image=2)


def test_nothing_long_is_cut_off() -> None:
    chat = Chat(word_tokenizer(["user : assistant one"], 4, special=[IMAGE]), tokens_per_image=1)
    assert len(chat.encode([("one " * 50, "one " * 60)]).ids) == 1 + 2 + 50 + 2 + 60 + 1


def test_conversations_about_scenes_are_true_and_known(scenes: Instruction) -> None:
    data: Any = scenes.source.split("train", 32)
    unknown = scenes.chat.tokenizer.id("<unk>")
    for key in range(30):
        sample = data.sample(key, np.random.default_rng(key))
        scene = data.scenes[key % len(data.scenes)][key]
        truth = {q.text: q.answer_text for q in scene.questions(4)}
        (first, listed), *turns = pairs(sample)
        assert first == f"{IMAGE}\n{LIST}"
        named = [[w for w in words.split() if w.isalpha() and len(w) > 1] for words in listed.split(" ; ")]
        assert scene.agrees(", ".join("a " + " ".join(words) for words in named), complete=True)
        assert [" ".join(words.split()[:2]) for words in listed.split(" ; ")] == [
            cell(one) for one in from_left(scene.objects)
        ]
        for question, answer in turns:
            assert answer.rpartition(" : ")[2] == truth[question]
        assert unknown not in scenes.chat.encode(pairs(sample)).ids


def pairs(sample: Any) -> list[tuple[str, str]]:
    texts = [turn.text for turn in sample.turns]
    return list(zip(texts[::2], texts[1::2], strict=True))


def test_reasons_name_what_the_answer_rests_on() -> None:
    scene = next(s for s in Scenes(32) if len(s.objects) == 4)
    by_cell = {cell(one): one for one in scene.objects}
    for question in scene.questions(40):
        reasons, _, answer = reasoned(question).rpartition(" : ")
        parts = reasons.split(" ; ")
        if question.type in ("size", "relation"):
            lesser, _, greater = parts.pop().partition(" < ")
            if question.type == "relation":
                of = int if lesser.isdigit() else str
                assert answer == ("yes" if of(lesser) < of(greater) else "no")
        assert len(parts) == len(question.grounds)
        for words, (phrase, objects) in zip(parts, question.grounds, strict=True):
            assert words.startswith(f"{phrase} ")
            found = [] if words == f"{phrase} none" else words.removeprefix(f"{phrase} ").split(" , ")
            assert [by_cell[" ".join(each.split()[:2])] for each in found] == sorted(
                objects, key=lambda t: t.x
            )
        counts = [len(ground.objects) for ground in question.grounds]
        if question.type == "count":
            assert answer == str(counts[0])
        if question.type == "compare_counts":
            assert answer == ("yes" if counts[0] > counts[1] else "no")


def test_without_sight_the_list_is_given_and_not_learned(encoder: Path) -> None:
    task = on_scenes(encoder, "data.turns=2", "data.sighted=false")
    data: Any = task.data("train")
    rng = np.random.default_rng(0)
    sample = data.sample(0, rng)
    batch = data.collate([sample])
    assert "images" not in batch and sample.turns[0].text == LIST
    learned = task.chat.tokenizer.decode(batch["labels"][batch["labels"] != IGNORED])
    answers = [answer for _, answer in pairs(sample)[1:]]
    assert learned == task.chat.tokenizer.decode(
        torch.cat([task.chat.tokenizer([answer], special=False).ids[0] for answer in answers])
    )
    val: Any = task.data("val")
    found = task.predict(val.collate([val.sample(key, rng) for key in range(4)]))
    assert found["right"].shape == (4,) and found["groups"][:, 1].tolist() == [False, True, False, True]


def test_one_begins_where_another_ended(scenes: Instruction, encoder: Path, tmp_path: Path) -> None:
    scenes.save(tmp_path)
    start = f"init_from={tmp_path}"
    expected = scenes.model.state_dict()
    for task in (built("llava", start), on_scenes(encoder, start)):
        state = task.model.state_dict()
        assert all(torch.allclose(state[name], expected[name], atol=1e-2) for name in expected)
        assert task.chat.tokenizer.backend.get_vocab() == scenes.chat.tokenizer.backend.get_vocab()
    with pytest.raises(DataError, match="it has no projector"):
        built("llava", f"init_from={encoder}")
    with pytest.raises(DataError, match="holds no model to begin with"):
        built("llava", f"init_from={tmp_path}/nothing")
    with pytest.raises(DataError, match="cannot begin with"):
        on_scenes(encoder, start, layers=1)


def test_labels_and_loss(scenes: Instruction) -> None:
    data: Any = scenes.data("train")
    rng = np.random.default_rng(0)
    samples = [data.sample(key, rng) for key in range(3)]
    batch = data.collate(samples)
    learned = batch["labels"] != IGNORED
    assert torch.equal(batch["labels"][learned], batch["tokens"][learned])
    with torch.no_grad():
        logits = scenes.model(batch["tokens"], batch["images"]).logits[:, :-1]
    expected = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2), batch["labels"][:, 1:], ignore_index=IGNORED
    )
    assert scenes.loss(batch)["loss"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_it_learns_scenes_by_heart_and_the_backend_answers(scenes: Instruction, tmp_path: Path) -> None:
    data: Any = scenes.data("train")
    rng = np.random.default_rng(0)
    samples = [data.sample(key, rng) for key in range(3)]
    samples = [replace(s, turns=s.turns[:4]) for s in samples]
    batch = data.collate(samples)
    scenes.model.image_encoder.requires_grad_(False)
    optimizer = torch.optim.Adam([p for p in scenes.model.parameters() if p.requires_grad], 3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        loss = scenes.loss(batch)["loss"]
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    scenes.save(tmp_path)
    backend = LlavaVqa(str(tmp_path))
    calls: list[dict[str, Any]] = [
        {"image": Image(s.images[0]), "question": s.turns[2].text} for s in samples
    ]
    answers = backend([*calls, {"image": calls[0]["image"], "question": "Where is my xylophone?"}])
    assert answers[:3] == [s.turns[3].text.rpartition(" : ")[2] for s in samples]
    assert isinstance(answers[3], Refused) and "'xylophone'" in str(answers[3])


def test_scores(scenes: Instruction) -> None:
    data: Any = scenes.data("val")
    rng = np.random.default_rng(0)
    batch = data.collate([data.sample(key, rng) for key in range(8)])
    found = scenes.predict(batch)
    assert set(scenes.score(found)) >= {"accuracy", "held_out", "count", "relation"}
    perfect = scenes.score({**found, "right": torch.ones(8, dtype=torch.bool)})
    assert perfect["accuracy"] == perfect["held_out"] == 1


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conversations about images, and a LLaMA with its tokenizer in the hub's layout."""
    from visprog.models.llama import KEYS

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("conversations")
    rng = np.random.default_rng(0)
    records = []
    for i in range(6):
        PIL.Image.fromarray(rng.integers(0, 255, (20, 20, 3), np.uint8)).save(folder / f"{i}.png")
        turns = [
            {"from": "human", "value": f"{IMAGE}\nwhat is this"},
            {"from": "gpt", "value": "it is noise"},
        ]
        records.append({"id": str(i), "image": f"{i}.png", "conversations": turns})
    (folder / "data.json").write_text(json.dumps(records))
    llama = folder / "llama"
    tokenizer = word_tokenizer(["user : assistant what is this it noise"], 64)
    model = Llama(LlamaConfig(vocab=len(tokenizer), dim=16, layers=1, heads=2, hidden=32, tied=False))
    model.save_pretrained(llama)
    from safetensors.torch import save_file

    save_file(
        {k: v.contiguous() for k, v in KEYS.to_theirs(model.state_dict()).items()},
        llama / "model.safetensors",
    )
    config = {"model_type": "llama", "vocab_size": len(tokenizer), "hidden_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 2, "intermediate_size": 32, "rms_norm_eps": 1e-6}  # fmt: skip
    (llama / "config.json").write_text(json.dumps(config))
    tokenizer.save_pretrained(llama)
    return folder


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}


def joined(files: Path, encoder: Path, *changes: str) -> Instruction:
    """A LLaVA of two trained parts."""
    return built(
        "llava-align",
        f"data={files / 'data.json'}",
        f"init_from={{image_encoder: '{encoder}', language_model: '{files / 'llama'}'}}",
        *changes,
    )


def test_the_two_stages_train_what_they_should(files: Path, encoder: Path, tmp_path: Path) -> None:
    first = joined(files, encoder, "data.held=0.34")
    train, val = (first.data(split) for split in ("train", "val"))
    assert isinstance(train, Samples) and isinstance(val, Samples)
    assert len(train) == 4 and len(val) == 2
    assert first.model.language_model.config.vocab == len(first.chat.tokenizer)
    assert changed(*step(first, load_recipe("llava-align").optimizer)) == {"projector"}
    first.save(tmp_path)
    second = built("llava-instruct", f"data={files / 'data.json'}", f"init_from={tmp_path}")
    assert second.data("val") is None
    assert changed(*step(second, load_recipe("llava-instruct").optimizer)) == {"projector", "language_model"}
    batch = val.collate([val.sample(i, np.random.default_rng(0)) for i in range(2)])
    assert first.score(first.predict(batch))["loss"] == pytest.approx(
        first.loss(batch)["loss"].item(), rel=1e-5
    )


def step(task: Instruction, optimizer: OptimizerConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The weights before and after one update of a stage."""
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    optimizers = make_optimizers(task, optimizer)
    data: Any = task.data("train")
    rng = np.random.default_rng(0)
    task.loss(data.collate([data.sample(i, rng) for i in range(3)]))["loss"].backward()
    for each in optimizers:
        each.step()
    return before, task.model.state_dict()


def test_what_does_not_fit_is_named(files: Path, encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="init_from: give a trained model, or both parts of a new one"):
        built("llava-align", f"data={files / 'data.json'}")
    data: Any = joined(files, encoder, "length=9").data("train")
    with pytest.raises(BadSample, match="9 are the most"):
        data.sample(0, np.random.default_rng(0))
    (error,) = LlavaVqa(str(tmp_path))([{"image": Image(np.zeros((8, 8, 3), np.uint8)), "question": "why?"}])
    assert isinstance(error, ToolError) and "holds no config.json" in str(error)


def test_an_image_encoder_says_where_its_tokens_are() -> None:
    """Row and column can be read off linearly, and the class token stays as it was."""
    encoder = ImageEncoder(
        ImageEncoderConfig(size=48, patch=8, dim=64, layers=1, heads=2, hidden=64, project=None)
    )
    before = encoder.positions.detach().clone()
    add_position_codes(encoder)
    assert torch.equal(encoder.positions[0], before[0])
    codes = torch.cat([(encoder.positions - before)[1:].detach(), torch.ones(36, 1)], 1)
    places = torch.stack([torch.arange(36) // 6, torch.arange(36) % 6], 1).float()
    read = codes @ torch.linalg.lstsq(codes, places, driver="gelsd").solution
    torch.testing.assert_close(read, places, atol=0.3, rtol=0)
