"""Our OWL-ViT and OWLv2 against transformers': intermediates, outputs and gradients; the loss against DETR's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from visprog.models.nn.boxes import generalized_iou, iou, to_center, to_corners  # noqa: E402
from visprog.models.owlvit import OwlVit, Target, assign, detection_loss, keys  # noqa: E402

CLASSES = {
    "owlvit": (transformers.OwlViTConfig, transformers.OwlViTForObjectDetection),
    "owlv2": (transformers.Owlv2Config, transformers.Owlv2ForObjectDetection),
}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "gelu, eps": {"vision": {"hidden_act": "gelu", "layer_norm_eps": 1e-3}, "text": {"hidden_act": "gelu"}},
    "other widths": {
        "vision": {"hidden_size": 24, "num_attention_heads": 2, "patch_size": 5, "image_size": 20},
        "text": {"num_hidden_layers": 3, "num_attention_heads": 2, "max_position_embeddings": 9},
    },
}


@pytest.fixture(params=[(kind, variant) for kind in CLASSES for variant in VARIANTS], ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, OwlVit]:
    kind, variant = request.param
    extra = VARIANTS[variant]
    make_config, make_model = CLASSES[kind]
    torch.manual_seed(0)
    config = make_config(
        text_config={
            "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 4, "max_position_embeddings": 8, **extra.get("text", {}),
        },
        vision_config={
            "hidden_size": 40, "intermediate_size": 56, "num_hidden_layers": 2, "num_attention_heads": 4,
            "image_size": 32, "patch_size": 8, **extra.get("vision", {}),
        },
        projection_dim=32,
    )  # fmt: skip
    theirs = make_model(config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    theirs.save_pretrained(tmp_path)
    return theirs, OwlVit.from_pretrained(tmp_path).eval()


def make_inputs(theirs: Any, batch: int = 2, queries: int = 3) -> dict[str, Any]:
    """Texts that end with the largest id and are padded with 0; one query is padding throughout."""
    torch.manual_seed(batch)
    size, length = theirs.config.vision_config.image_size, theirs.config.text_config.max_position_embeddings
    ids = torch.randint(1, 60, (batch, queries, length))
    for i in range(batch * queries):
        end = 2 + i % (length - 2)
        row = ids.view(-1, length)[i]
        row[end], row[end + 1 :] = 63, 0
    ids[-1, -1] = 0
    return {"images": torch.randn(batch, 3, size, size), "tokens": ids, "mask": ids > 0}


def close(ours: Any, theirs: Any, **tolerance: float) -> None:
    torch.testing.assert_close(ours, theirs, **{"atol": 1e-5, "rtol": 1e-5, **tolerance})


@pytest.mark.parametrize("masked", [True, False])
def test_outputs_intermediates_and_gradients_agree(pair: Any, masked: bool) -> None:
    theirs, ours = pair
    given = make_inputs(theirs)
    real = given["tokens"][..., 0] > 0
    flat = {"input_ids": given["tokens"].flatten(0, 1), "pixel_values": given["images"]}
    if masked:
        flat["attention_mask"] = given["mask"].flatten(0, 1).long()
    want = theirs(**flat)
    have = ours(given["images"], given["tokens"], given["mask"] if masked else None, collect=True)
    close(have.logits, want.logits)
    close(have.boxes, want.pred_boxes)
    close(have.class_embeds, want.class_embeds)
    close(have.features, want.image_embeds.flatten(1, 2))
    close(have.query_embeds[real], want.text_embeds[real])
    close(have.image.tokens, want.vision_model_output.last_hidden_state)
    close(have.text.tokens[real.flatten()], want.text_model_output.last_hidden_state[real.flatten()])
    assert len(have.image.hidden) == 2
    weight = torch.randn(have.logits.shape) * real[:, None]
    loss = (have.logits.masked_fill(~real[:, None], 0) * weight).sum() + have.boxes.square().sum()
    wanted = (want.logits.masked_fill(~real[:, None], 0) * weight).sum() + want.pred_boxes.square().sum()
    if have.objectness is not None:
        close(have.objectness, want.objectness_logits)
        loss, wanted = loss + have.objectness.square().sum(), wanted + want.objectness_logits.square().sum()
    loss.backward()
    wanted.backward()
    gradients = keys(ours.config).to_theirs(
        {k: p.grad if p.grad is not None else torch.zeros_like(p) for k, p in ours.named_parameters()}
    )
    for name, parameter in theirs.named_parameters():
        grad = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        close(gradients[name], grad, rtol=1e-4, atol=1e-5 * max(1, float(grad.abs().max())))


def test_another_size_interpolates_the_positions(pair: Any) -> None:
    theirs, ours = pair
    given = make_inputs(theirs, batch=1)
    patch = theirs.config.vision_config.patch_size
    images = torch.randn(1, 3, 3 * patch, 5 * patch)
    want = theirs(input_ids=given["tokens"][0], pixel_values=images, interpolate_pos_encoding=True)
    have = ours(images, given["tokens"])
    close(have.logits, want.logits)
    close(have.boxes, want.pred_boxes)


def test_key_map_is_its_own_reverse(pair: Any) -> None:
    theirs, ours = pair
    state = keys(ours.config).to_theirs(ours.state_dict())
    assert set(state) == set(theirs.state_dict())
    theirs.load_state_dict(state)


def test_what_is_saved_loads(pair: Any, tmp_path: Path) -> None:
    _, ours = pair
    ours.save_pretrained(tmp_path / "ours", None)
    again = OwlVit.from_pretrained(tmp_path / "ours")
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), again.parameters(), strict=True))


def test_another_kind_of_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "detr"}')
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="model_type 'detr'"):
        OwlVit.from_pretrained(tmp_path)


# -- boxes and the loss ------------------------------------------------------------------------------


def random_boxes(*shape: int) -> Any:
    low, extent = torch.rand(*shape, 2) * 0.6, torch.rand(*shape, 2) * 0.3 + 0.05
    return torch.cat([low, low + extent], -1)


def test_boxes_agree_with_those_of_detr() -> None:
    from transformers.loss.loss_for_object_detection import box_iou, generalized_box_iou

    torch.manual_seed(0)
    a, b = random_boxes(5), random_boxes(7)
    close(iou(a[:, None], b[None]), box_iou(a, b)[0])
    close(generalized_iou(a[:, None], b[None]), generalized_box_iou(a, b))
    close(to_corners(to_center(a)), a)


def test_the_assignment_is_the_cheapest(pair: Any) -> None:
    """Against all assignments there are."""
    from itertools import permutations

    torch.manual_seed(1)
    logits, boxes = torch.randn(5, 2), to_center(random_boxes(5))
    target = Target(to_center(random_boxes(3)), torch.tensor([[1, 0], [0, 1], [1, 1]]).bool())
    p = logits.sigmoid()
    gain = 0.25 * (1 - p) ** 2 * -(p + 1e-8).log() - 0.75 * p**2 * -(1 - p + 1e-8).log()

    def cost(token: int, thing: int) -> float:
        named = gain[token][target.queries[thing]].mean()
        far = (boxes[token] - target.boxes[thing]).abs().sum()
        return float(named + far - generalized_iou(to_corners(boxes[token]), to_corners(target.boxes[thing])))

    best = min(permutations(range(5), 3), key=lambda tokens: sum(cost(t, i) for i, t in enumerate(tokens)))
    tokens, things = assign(logits, boxes, target)
    assert dict(zip(things.tolist(), tokens.tolist(), strict=True)) == dict(enumerate(best))


def test_the_loss_by_hand_and_that_it_can_be_learned() -> None:
    from visprog.models.clip.model import ImageEncoderConfig, TextEncoderConfig
    from visprog.models.owlvit import OwlVitConfig

    torch.manual_seed(0)
    image = ImageEncoderConfig(size=16, patch=8, dim=16, layers=1, heads=2, hidden=32, project=16)
    text = TextEncoderConfig(vocab=20, length=4, dim=16, layers=1, heads=2, hidden=32, end=None, project=16)
    model = OwlVit(OwlVitConfig(image, text, objectness=True))
    images, tokens = torch.randn(2, 3, 16, 16), torch.tensor([[[1, 5, 19], [1, 6, 19]]] * 2)
    targets = [
        Target(torch.tensor([[0.25, 0.25, 0.2, 0.2], [0.7, 0.7, 0.3, 0.4]]), torch.eye(2).bool()),
        Target(torch.zeros(0, 4), torch.zeros(0, 2).bool()),
    ]
    output = model(images, tokens)
    losses = detection_loss(output.logits, output.boxes, output.objectness, targets)
    chosen, things = assign(output.logits[0], output.boxes[0], targets[0])
    found, truth = output.boxes[0, chosen], targets[0].boxes[things]
    close(losses["l1"], (found - truth).abs().sum() / 2 / 2)  # two things, two images
    close(losses["giou"], (1 - generalized_iou(to_corners(found), to_corners(truth))).sum() / 2 / 2)
    p = output.logits.sigmoid()
    named = torch.zeros_like(p)
    named[0, chosen, things] = 1
    right = torch.where(named == 1, p, 1 - p)
    focal = torch.where(named == 1, 0.3, 0.7) * (1 - right) ** 2 * -right.log()
    close(losses["class"], (focal[0].sum() / 2 + focal[1].sum()) / 2)
    close(losses["loss"], losses["class"] + losses["l1"] + losses["giou"] + losses["objectness"])
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        now = model(images, tokens)
        loss = detection_loss(now.logits, now.boxes, now.objectness, targets)["loss"]
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2 * losses["loss"].item()
