"""Our ALBEF against stored numbers of torchmultimodal's (tests/parity/data/make_albef.py says how they were made) and
against the parts of transformers that it is made of, and its losses and its teacher against what they must be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import torch.nn.functional as F  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from transformers.models.bert.modeling_bert import BertLayer, BertLMPredictionHead  # noqa: E402

from visprog.models import Albef, load_model  # noqa: E402
from visprog.models.albef.authors import (  # noqa: E402
    authors_tokenizer,
    from_authors,
    to_authors,
)
from visprog.models.albef.distillation import AlbefTeacher, Distillation, distilled_loss, spread  # noqa: E402
from visprog.models.albef.model import AlbefConfig, AlbefImageEncoderConfig  # noqa: E402
from visprog.models.bert import IGNORED, BertConfig, mask_tokens  # noqa: E402
from visprog.models.checkpoint.checkpoint import load_exactly  # noqa: E402
from visprog.models.checkpoint.keymap import KeyMap  # noqa: E402
from visprog.models.nn import hard_negatives  # noqa: E402
from visprog.models.preprocess.tokenizer import Tokenizer  # noqa: E402

TINY = AlbefConfig(
    AlbefImageEncoderConfig(size=12, patch=4, dim=12, layers=2, heads=2, hidden=20),
    BertConfig(31, 8, 2, 12, 2, 3, 20, dropout=0.0, start=1, mask=2),
    fusion_layers=2,
    project=5,
)
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def text_layers(theirs: str, ours: str) -> list[tuple[str, str]]:
    names = {
        "attention_layernorm": "attention_norm",
        "cross_attention_layernorm": "cross_norm",
        "feedforward_layernorm": "mlp_norm",
        "feedforward.model.0": "mlp.layers.0",
        "feedforward.model.2": "mlp.layers.1",
    }
    for kind, own in (("attention", "attention"), ("cross_attention", "cross")):
        names |= {f"{kind}.{word}": f"{own}.{word[0]}" for word in ("query", "key", "value")}
        names[f"{kind}.output"] = f"{own}.out"
    return [(f"{theirs}.layer.{{}}.{a}.{{}}", f"{ours}.{{}}.{b}.{{}}") for a, b in names.items()]


VIT = {f"attention.{x}_proj": f"attention.{x}" for x in "qkv"} | {
    "attention.o_proj": "attention.out",
    "layernorm_before": "attention_norm",
    "layernorm_after": "mlp_norm",
    "mlp.fc1": "mlp.layers.0",
    "mlp.fc2": "mlp.layers.1",
}
IMAGE, EMBEDDINGS = "albef_model.vision_encoder.vit.", "albef_model.text_encoder.embeddings."
TORCHMULTIMODAL = KeyMap(
    [
        (f"{IMAGE}embeddings.cls_token", "image_encoder.class_token"),
        (f"{IMAGE}embeddings.position_embeddings", "image_encoder.positions"),
        (f"{IMAGE}embeddings.patch_embeddings.projection.{{}}", "image_encoder.patches.projection.{}"),
        (f"{IMAGE}layernorm.{{}}", "image_encoder.norm.{}"),
        *((f"{IMAGE}layers.{{}}.{a}.{{}}", f"image_encoder.blocks.{{}}.{b}.{{}}") for a, b in VIT.items()),
        (f"{EMBEDDINGS}word_embeddings.weight", "text_embeddings.words.weight"),
        (f"{EMBEDDINGS}position_embeddings.weight", "text_embeddings.positions.weight"),
        (f"{EMBEDDINGS}token_type_embeddings.weight", "text_embeddings.types.weight"),
        (f"{EMBEDDINGS}layer_norm.{{}}", "text_embeddings.norm.{}"),
        *text_layers("albef_model.text_encoder.encoder", "text_blocks"),
        *text_layers("albef_model.multimodal_encoder", "fusion_blocks"),
        ("vision_proj.{}", "image_projection.{}"),
        ("text_proj.{}", "text_projection.{}"),
        ("temp", "temperature"),
    ]
)


def part(stored: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Their weights or gradients, under our names."""
    found = TORCHMULTIMODAL.to_ours(
        {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
    )
    for name in ("class_token", "positions"):
        found[f"image_encoder.{name}"] = found[f"image_encoder.{name}"].squeeze()
    return found


def test_two_steps_are_those_of_torchmultimodal(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = load_file(Path(__file__).with_name("data") / "albef.safetensors")
    model = Albef(TINY)
    heads = {k: v for k, v in model.state_dict().items() if k.startswith(("matching_head", "language_head"))}
    load_exactly(model, part(stored, "weight.") | heads, "albef.safetensors")
    teacher = AlbefTeacher(model, Distillation(alpha=0.4, ramp=0, momentum=0.9, queue=6))
    teacher.image_queue.copy_(stored["image_queue"])
    teacher.text_queue.copy_(stored["text_queue"])
    teacher.step += 1  # the share of the teacher is whole
    monkeypatch.setattr(torch, "multinomial", lambda weights, count: weights.argmax(1, keepdim=True))
    seen: dict[str, Any] = {}
    model.matching_head.register_forward_pre_hook(lambda _, inputs: seen.update(fused=inputs[0]))
    teacher.register_forward_hook(lambda _, inputs, lesson: seen.update(lesson=lesson))
    for step, names in enumerate(([0, 1, 2], [3, 2, 4])):
        if step:
            teacher.update(model)
        images, texts = stored[f"{step}.images"], stored[f"{step}.texts"]
        out = model(images, texts)
        for name in ("image_tokens", "text_tokens", "fused_tokens"):
            torch.testing.assert_close(getattr(out, name), stored[f"{step}.{name}"], **CLOSE, msg=name)
        pairs = torch.tensor([[1 + name, 100 + 10 * step + i] for i, name in enumerate(names)])
        losses = model.losses(images, texts, torch.eye(3).bool(), pairs, teacher=teacher)
        torch.testing.assert_close(seen["fused"], stored[f"{step}.fused"], **CLOSE)
        torch.testing.assert_close(losses["contrast"], stored[f"{step}.contrast"], **CLOSE)
        for name in ("to_texts", "to_images"):
            torch.testing.assert_close(
                getattr(seen["lesson"], name), stored[f"{step}.teacher_{name}"], **CLOSE
            )
        model.zero_grad()
        (losses["contrast"] + seen["fused"].sin().sum()).backward()
        want = part(stored, f"{step}.grad.")
        for name, parameter in model.named_parameters():
            if name not in heads:
                torch.testing.assert_close(parameter.grad, want[name], atol=1e-5, rtol=1e-4, msg=name)
                parameter.data -= 0.01 * parameter.grad


# -- the parts of transformers, in the layout of the authors' checkpoints -------------------------------


class Authors(nn.Module):
    """The authors' model, put together from parts of transformers; its state has the authors' names."""

    def __init__(self, seed: int, patch: int, layers: tuple[int, int, int]) -> None:
        super().__init__()
        torch.manual_seed(seed)
        of_image, of_text, of_fusion = layers
        rest = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        self.vit = transformers.ViTModel(
            transformers.ViTConfig(
                hidden_size=64, num_hidden_layers=of_image, num_attention_heads=1, intermediate_size=40,
                image_size=3 * patch, patch_size=patch, layer_norm_eps=1e-6, **rest,
            ),
            add_pooling_layer=False,
        )  # fmt: skip
        shape = {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 40, "vocab_size": 31}
        bert = transformers.BertConfig(
            **shape, num_hidden_layers=of_text, max_position_embeddings=9, attn_implementation="eager", **rest
        )
        self.bert = transformers.BertModel(bert, add_pooling_layer=False)
        fusion = transformers.BertConfig(
            **shape, is_decoder=True, add_cross_attention=True, attn_implementation="eager", **rest
        )
        self.fusion = nn.ModuleList(BertLayer(fusion, i) for i in range(of_fusion))
        for layer in self.fusion:  # keys and values of the image have its width
            layer.crossattention.self.key = nn.Linear(64, 128)
            layer.crossattention.self.value = nn.Linear(64, 128)
        self.head = BertLMPredictionHead(bert)
        self.head.decoder.weight = self.bert.embeddings.word_embeddings.weight
        self.head.decoder.bias = self.head.bias
        self.vision_proj, self.text_proj, self.itm_head = (
            nn.Linear(64, 5),
            nn.Linear(128, 5),
            nn.Linear(128, 2),
        )
        self.temp = nn.Parameter(torch.tensor(0.07))
        for parameter in self.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)

    def forward(self, images: Tensor, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
        image = self.vit(images).last_hidden_state
        text = self.bert(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        x, added = text, torch.where(mask, 0.0, -1e30)[:, None, None]
        for layer in self.fusion:
            x = layer(x, added, image)
            x = x[0] if isinstance(x, tuple) else x
        return {
            "image_tokens": image,
            "image_embeds": F.normalize(self.vision_proj(image[:, 0]), dim=-1),
            "text_tokens": text,
            "text_embeds": F.normalize(self.text_proj(text[:, 0]), dim=-1),
            "fused_tokens": x,
            "matching_logits": self.itm_head(x[:, 0]),
            "language_logits": self.head(x),
        }

    def named(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights or gradients by the authors' names."""
        text = len(self.bert.encoder.layer)
        found = {}
        for key, value in values.items():
            start, _, rest = key.partition(".")
            if start == "vit":
                rest = rest.replace("embeddings.cls_token", "cls_token").replace(
                    "embeddings.position_embeddings", "pos_embed"
                )
                rest = rest.replace("embeddings.patch_embeddings.projection", "patch_embed.proj").replace(
                    "layernorm_before", "norm1"
                )
                rest = (
                    rest.replace("layernorm_after", "norm2")
                    .replace("attention.o_proj", "attn.proj")
                    .replace("layers.", "blocks.")
                )
                key = f"visual_encoder.{rest.replace('layernorm', 'norm')}"
            elif start == "bert":
                key = f"text_encoder.{key}"
            elif start == "fusion":
                number, _, rest = rest.partition(".")
                key = f"text_encoder.bert.encoder.layer.{int(number) + text}.{rest}"
            elif start == "head":
                key = f"text_encoder.cls.predictions.{rest}"
            found[key] = value
        for key in [key for key in found if "attention.q_proj" in key]:
            fused = [found.pop(key.replace("q_proj", f"{x}_proj")) for x in "qkv"]
            found[key.replace("attention.q_proj", "attn.qkv")] = torch.cat(fused)
        return found


SHAPES = [(4, (1, 1, 1)), (8, (2, 3, 2))]


def state_of(authors: Authors) -> dict[str, Tensor]:
    """What the authors' files hold: with momentum copies, queues and a second copy of the words."""
    state = {k: v.clone() for k, v in authors.named(authors.state_dict()).items()}
    return state | {
        "visual_encoder_m.blocks.0.attn.qkv.weight": torch.zeros(2, 2),
        "text_encoder_m.bert.embeddings.word_embeddings.weight": torch.zeros(2, 2),
        "vision_proj_m.weight": torch.zeros(2),
        "image_queue": torch.zeros(2),
        "queue_ptr": torch.zeros(1),
        "text_encoder.bert.embeddings.position_ids": torch.arange(9)[None],
    }


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [0, 3])
def test_outputs_and_gradients_are_those_of_transformers(shape: Any, seed: int, tmp_path: Path) -> None:
    authors = Authors(seed, *shape)
    torch.save({"model": state_of(authors), "epoch": 30}, tmp_path / "ALBEF.pth")
    model = Albef.from_albef(tmp_path / "ALBEF.pth").eval()
    assert model.config.image_encoder.size == 3 * shape[0] and model.config.fusion_layers == shape[1][2]
    images, tokens = torch.randn(3, 3, 3 * shape[0], 3 * shape[0]), torch.randint(1, 31, (3, 7))
    mask = torch.arange(7) < torch.tensor([[7], [4], [1]])
    tokens = tokens.masked_fill(~mask, 0)
    want, found = authors(images, tokens, mask), model(images, tokens)
    for name, value in want.items():
        real = mask if name in ("text_tokens", "fused_tokens", "language_logits") else slice(None)
        torch.testing.assert_close(getattr(found, name)[real], value[real], **CLOSE, msg=name)

    def scalar(outputs: dict[str, Tensor]) -> Tensor:
        words = F.cross_entropy(outputs["language_logits"][mask], tokens[mask])
        matching = F.cross_entropy(outputs["matching_logits"], torch.tensor([1, 0, 1]))
        cosines = outputs["image_embeds"] @ outputs["text_embeds"].T
        return words + matching + (cosines.sin() * outputs["temp"]).sum()

    scalar({**want, "temp": authors.temp}).backward()
    scalar({**found._asdict(), "temp": model.temperature}).backward()
    gradients = {name: p.grad for name, p in authors.named_parameters()}
    ours = to_authors({name: p.grad for name, p in model.named_parameters()}, *shape[1][1:])
    for name, value in authors.named(gradients).items():
        torch.testing.assert_close(ours[name], value, atol=1e-5, rtol=1e-4, msg=name)
    assert ours.keys() == authors.named(gradients).keys()

    model.save_pretrained(tmp_path / "saved")
    again = load_model(tmp_path / "saved")
    assert isinstance(again, Albef) and again.config == model.config
    assert torch.equal(again.eval()(images, tokens).matching_logits, found.matching_logits)


def test_the_authors_names_are_found_again() -> None:
    authors = Authors(0, *SHAPES[1])
    state = authors.named(authors.state_dict())
    state = {k: v for k, v in state.items() if not k.startswith("text_encoder.cls.predictions.decoder")}
    layers = SHAPES[1][1][1:]
    theirs = to_authors(from_authors(state, *layers), *layers)
    assert theirs.keys() == state.keys()
    assert all(torch.equal(theirs[key], value) for key, value in state.items())


def test_captions_are_cleaned_as_the_authors_do(tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "it", "##s", "a", "black", "white", "dog"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = authors_tokenizer(tmp_path, length=8)
    found = tokenizer(["It's a black-white dog!", "a (dog): a dog/dog, a dog a dog"]).ids
    plain = tokenizer(["its a black white dog", "a dog a dog dog a dog a dog"]).ids
    assert torch.equal(found, plain) and words.index("[UNK]") not in found and found.shape == (2, 8)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    assert torch.equal(Tokenizer.from_pretrained(tmp_path)(["It's a black-white dog!"]).ids, found[:1])


def test_other_files_are_refused(tmp_path: Path) -> None:
    state = state_of(Authors(0, *SHAPES[0]))
    lacking = {k: v for k, v in state.items() if k != "text_proj.weight"}
    file = tmp_path / "other.pth"
    for content, message in (
        ([1], "holds no tensors by name"),
        (lacking, "is no checkpoint of the pre-training of ALBEF: it lacks 'text_proj.weight'"),
        (state | {"surplus": torch.zeros(1)}, "unexpected key surplus"),
        ({k: v for k, v in state.items() if k != "temp"}, "missing key temperature"),
    ):
        torch.save(content, file)
        with pytest.raises(ValueError, match=message):
            Albef.from_albef(file)
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "albef.safetensors")
    assert Albef.from_albef(tmp_path / "albef.safetensors").config.project == 5


# -- losses and teacher ---------------------------------------------------------------------------------


def batch(n: int = 4, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(seed)
    tokens = torch.randint(3, 31, (n, 7))
    tokens[:, 0], tokens[1, 4:] = 1, 0
    pairs = torch.stack([torch.arange(n), torch.arange(n) + 100], 1) + 1000 * seed + 1
    return torch.randn(n, 3, 12, 12), tokens, pairs


def randomised(seed: int = 0) -> Albef:
    torch.manual_seed(seed)
    model = Albef(TINY)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("step", [0, 5, 20])
def test_words_learn_from_the_teacher(step: int) -> None:
    """(1 - a) of the plain cross-entropy and a of that against the teacher's probabilities, which ramps up."""
    model, other = randomised(0), randomised(1)
    teacher = AlbefTeacher(other, Distillation(alpha=0.4, ramp=10, queue=8))
    teacher.step += step
    images, tokens, pairs = batch()
    torch.manual_seed(7)
    losses = model.losses(images, tokens, torch.eye(4).bool(), pairs, teacher=teacher)
    torch.manual_seed(7)
    masked, labels = mask_tokens(tokens, torch.tensor([0, 1]), 2, 31)
    chosen = labels != IGNORED
    alpha = 0.4 * min(step / 10, 1)
    logits, soft = (
        model(images, masked).language_logits[chosen],
        other(images, masked).language_logits[chosen],
    )
    plain = F.cross_entropy(logits, labels[chosen])
    taught = -(soft.softmax(1) * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(losses["language"], (1 - alpha) * plain + alpha * taught, **CLOSE)


def test_matching_is_the_cross_entropy_of_a_true_and_two_false_pairs_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = randomised()
    images, tokens, pairs = batch()
    related = torch.eye(4).bool()
    related[0, 1] = True  # text 1 is true of image 0 too, but text 0 not of image 1
    drawn = []
    multinomial = torch.multinomial
    monkeypatch.setattr(
        torch, "multinomial", lambda *a: drawn.append((a[0], multinomial(*a))) or drawn[-1][1]
    )
    losses = model.losses(images, tokens, related, pairs)
    (by_text, image), (by_image, text) = ((weights, found[:, 0]) for weights, found in drawn)
    own = torch.arange(4)
    logits = [model(images[i], tokens[t]).matching_logits for i, t in ((own, own), (image, own), (own, text))]
    want = F.cross_entropy(torch.cat(logits), torch.tensor([1] * 4 + [0] * 8))
    torch.testing.assert_close(losses["matching"], want, **CLOSE)
    out = model(images, tokens)
    cosines = out.image_embeds @ out.text_embeds.T / model.temperature
    for weights, logits_of, right in ((by_image, cosines, related), (by_text, cosines.T, related.T)):
        wanted = logits_of.softmax(1).masked_fill(right, 0)
        torch.testing.assert_close(weights, wanted / wanted.sum(1, keepdim=True), **CLOSE)
    both = [F.cross_entropy(c, spread(r)) for c, r in ((cosines, related), (cosines.T, related.T))]
    torch.testing.assert_close(losses["contrast"], sum(both) / 2, **CLOSE)


def test_rows_without_a_wrong_column_have_no_negative() -> None:
    right = torch.tensor([[True, True], [False, True], [True, True]])
    rows, columns = hard_negatives(torch.tensor([[0.0, 1.0], [-900.0, 900.0], [0.0, 0.0]]), right)
    assert rows.tolist() == [1] and columns.tolist() == [0]
    assert hard_negatives(torch.zeros(2, 2), torch.ones(2, 2).bool())[0].numel() == 0
    model, (images, tokens, pairs) = randomised(), batch()
    losses = model.losses(images[:1], tokens[:1], torch.ones(1, 1).bool(), pairs[:1])
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_the_softmax_draws_hard_negatives_most() -> None:
    torch.manual_seed(0)
    logits = torch.tensor([[9.0, 2.0, 0.0]]).expand(4000, 3)
    right = torch.tensor([True, False, False]).expand(4000, 3)
    share = (hard_negatives(logits, right)[1] == 1).float().mean()
    assert abs(float(share) - float(torch.tensor(2.0).sigmoid())) < 0.02


def test_nothing_masked_gives_no_loss() -> None:
    empty = torch.zeros(0, 5, requires_grad=True)
    loss = distilled_loss(empty, torch.zeros(0, dtype=torch.long), empty, 0.4)
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize("size", [0, 3, 6, 10])
def test_the_queue_holds_the_newest_pairs(size: int) -> None:
    model = randomised()
    teacher = AlbefTeacher(model, Distillation(queue=size))
    features, numbers = [], []
    for seed in range(3):
        images, tokens, pairs = batch(4, seed)
        model.losses(images, tokens, torch.eye(4).bool(), pairs, teacher=teacher)
        features.append(teacher.model.encode_images(images)[1])
        numbers.append(pairs)
    newest = torch.cat(numbers)[12 - min(size, 12) :]
    order = teacher.pair_queue[:, 0].argsort()
    assert teacher.pair_queue[order].tolist() == newest.tolist()
    kept = torch.cat(features)[12 - min(size, 12) :]
    torch.testing.assert_close(teacher.image_queue[order], kept, **CLOSE)


def test_the_teacher_follows_slowly_and_is_no_part_of_the_model() -> None:
    model = randomised()
    teacher = AlbefTeacher(model, Distillation(momentum=0.9, queue=4))
    before = {name: p.clone() for name, p in teacher.model.named_parameters()}
    buffers = [queue.data_ptr() for queue in teacher.buffers()]
    for parameter in model.parameters():
        parameter.data += 1
    teacher.update(model)
    for name, p in teacher.model.named_parameters():
        torch.testing.assert_close(p, before[name] + 0.1, atol=1e-5, rtol=1e-5)
        assert not p.requires_grad
    images, tokens, pairs = batch()
    model.losses(images, tokens, torch.eye(4).bool(), pairs, teacher=teacher)["contrast"].backward()
    assert [queue.data_ptr() for queue in teacher.buffers()] == buffers
    assert all(p.grad is None for p in teacher.parameters())
    assert not any("teacher" in name or "queue" in name for name in model.state_dict())


def test_the_temperature_is_kept_in_bounds() -> None:
    model, (images, tokens, pairs) = randomised(), batch()
    for given, kept in ((7.0, 0.5), (-1.0, 0.001)):
        model.temperature.data.fill_(given)
        model.losses(images, tokens, torch.eye(4).bool(), pairs)
        assert model.temperature.item() == pytest.approx(kept)


def test_a_probability_of_matching() -> None:
    model, (images, tokens, _) = randomised().eval(), batch()
    want = model(images, tokens).matching_logits.softmax(1)[:, 1]
    torch.testing.assert_close(model.match(images, tokens), want)
    longer = F.pad(tokens, (0, 1))
    torch.testing.assert_close(model.match(images, longer), want, **CLOSE)
    large = torch.randn(2, 3, 17, 20)  # other sizes: positions are interpolated, part of a patch is left out
    assert model.encode_images(large)[0].shape == (2, 1 + 4 * 5, 12)
