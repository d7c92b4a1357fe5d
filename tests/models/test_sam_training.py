"""The rules by which SAM is trained: losses, drawn prompts, corrections."""

from __future__ import annotations

from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")

from visprog.models.nn import dice_loss, focal_loss, mask_iou, nms  # noqa: E402
from visprog.models.sam.model import Sam, SamConfig  # noqa: E402
from visprog.models.sam.training import (  # noqa: E402
    best_masks,
    correction_points,
    interactive_losses,
    interactive_rounds,
    mask_boxes,
    mask_loss,
    noisy_boxes,
    random_points,
)

TINY = SamConfig(
    image_size=32, patch=8, dim=16, layers=1, heads=2, hidden=16, window_size=2, global_attn_indexes=(), width=16,
    mask_channels=8, decoder_heads=2, decoder_hidden=16, iou_head_hidden_dim=8,
)  # fmt: skip


def blobs(*shape: int, chance: float = 0.2, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < chance


def test_losses_equal_an_independent_implementation() -> None:
    theirs = pytest.importorskip("transformers.loss.loss_for_object_detection")
    logits = 3 * torch.randn(5, 7, 9)
    targets = blobs(5, 7, 9).float()
    for i in range(5):
        flat, wanted = logits[i].flatten()[None], targets[i].flatten()[None]
        focal = theirs.sigmoid_focal_loss(flat, wanted, 1, alpha=0.25, gamma=2.0)
        torch.testing.assert_close(focal_loss(logits, targets)[i], focal)
        torch.testing.assert_close(dice_loss(logits, targets)[i], theirs.dice_loss(flat, wanted, 1))


def test_perfect_and_worst_masks() -> None:
    target = blobs(1, 8, 8, chance=0.5).float()
    sure = 50 * (2 * target - 1)
    assert focal_loss(sure, target).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(sure, target).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(-sure, target).item() > 0.95
    assert focal_loss(torch.zeros(1, 8, 8), torch.ones(1, 8, 8)).item() == pytest.approx(
        0.25 * 0.6931 * 0.25, abs=1e-4
    )


def test_iou_of_masks() -> None:
    a = torch.tensor([[[1, 1, 0]], [[1, 0, 0]], [[0, 0, 0]]]).bool()
    b = torch.tensor([[[0, 1, 1]], [[0, 1, 0]], [[0, 0, 0]]]).bool()
    assert mask_iou(a, b).tolist() == pytest.approx([1 / 3, 0, 0])


def test_suppression_keeps_the_best_of_each_place() -> None:
    boxes = torch.tensor(
        [[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 0, 10, 5], [2, 0, 12, 10]]
    ).float()
    scores = torch.tensor([0.5, 0.9, 0.1, 0.8, 0.7])
    assert nms(boxes, scores, 0.6).tolist() == [1, 3, 2]
    assert nms(boxes, scores, 0.43).tolist() == [1, 3, 2]
    assert nms(boxes, scores, 0.42).tolist() == [1, 2]
    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


def test_only_the_best_mask_is_trained() -> None:
    targets = blobs(2, 3, 16, 16, chance=0.4)
    masks = torch.randn(2, 3, 3, 4, 4, requires_grad=True)
    iou = torch.zeros(2, 3, 3, requires_grad=True)
    loss = mask_loss(masks, iou, targets)
    loss.loss.backward()
    touched = masks.grad.flatten(3).abs().sum(-1) > 0
    assert torch.equal(touched.int().argmax(-1), loss.best)
    assert (touched.sum(-1) == 1).all()
    rated = iou.grad != 0
    assert torch.equal(rated, touched & (loss.iou[..., None] > 0))


def test_the_best_is_the_one_with_the_least_loss_and_its_iou_is_learnt() -> None:
    target = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    target[..., 2:6, 2:6] = True
    sure = 20.0 * (2 * target.float() - 1)
    masks = torch.stack([-sure, sure, sure.roll(2, -1)], 2)
    iou = torch.tensor([[[0.0, 0.75, 0.0]]])
    loss = mask_loss(masks, iou, target)
    assert loss.best.item() == 1
    assert loss.iou.item() == 1
    assert loss.iou_error.item() == pytest.approx(0.25**2)
    assert loss.loss.item() == pytest.approx(0.25**2, abs=1e-5)
    every = mask_loss(masks, iou, target, every_iou=True)
    assert every.loss.item() == pytest.approx((0.25**2 + (1 / 3) ** 2) / 3, abs=1e-5)


def test_relaxed_winner_takes_most() -> None:
    targets = blobs(1, 2, 8, 8, chance=0.4)
    masks = torch.randn(1, 2, 3, 8, 8, requires_grad=True)
    iou = torch.zeros(1, 2, 3)
    mask_loss(masks, iou, targets, wta_eps=0.3).loss.backward()
    relaxed = masks.grad.clone()
    masks.grad = None
    strict = mask_loss(masks, iou, targets)
    strict.loss.backward()
    won = torch.zeros(1, 2, 3, dtype=torch.bool).scatter(-1, strict.best[..., None], True)
    torch.testing.assert_close(relaxed[won], (0.7 + 0.1) * masks.grad[won])
    assert (relaxed[~won].flatten(1).abs().sum(-1) > 0).all()
    assert (masks.grad[~won] == 0).all()


def test_points_lie_in_their_region_and_everywhere_in_it() -> None:
    torch.manual_seed(0)
    regions = blobs(3, 4, 9, 11)
    x, y = random_points(regions).long().unbind(-1)
    picture, thing = torch.meshgrid(torch.arange(3), torch.arange(4), indexing="ij")
    assert regions[picture, thing, y, x].all()
    few = torch.zeros(4000, 3, 5, dtype=torch.bool)
    few[:, 0, 1] = few[:, 2, 0] = few[:, 2, 4] = True
    x, y = random_points(few).unbind(-1)
    counts = torch.bincount((5 * y + x).long(), minlength=15)
    assert counts.nonzero()[:, 0].tolist() == [1, 10, 14]
    assert counts[[1, 10, 14]].min() > 1200  # a third each
    assert torch.isfinite(random_points(torch.zeros(2, 3, 3, dtype=torch.bool))).all()


def test_boxes_are_tight() -> None:
    masks = torch.zeros(3, 6, 8, dtype=torch.bool)
    masks[0, 1:4, 2:7] = True
    masks[1, 5, 0] = masks[1, 0, 7] = True
    assert mask_boxes(masks).tolist() == [[2, 1, 7, 4], [0, 0, 8, 6], [0, 0, 0, 0]]


def test_noise_of_boxes_follows_their_sides_up_to_a_limit() -> None:
    torch.manual_seed(0)
    boxes = torch.tensor([[10.0, 20.0, 60.0, 120.0]]).expand(20000, 4)
    moved = noisy_boxes(boxes, limit=1e9) - boxes
    torch.testing.assert_close(moved.std(0), torch.tensor([5.0, 10.0, 5.0, 10.0]), rtol=0.03, atol=0)
    torch.testing.assert_close(moved.mean(0), torch.zeros(4), rtol=0, atol=0.3)
    assert (noisy_boxes(boxes, limit=3.0) - boxes).abs().max() == 3


def test_corrections_are_clicks_on_what_is_wrong() -> None:
    torch.manual_seed(0)
    targets, masks = blobs(4, 5, 12, 12, seed=1), blobs(4, 5, 12, 12, seed=2)
    masks[0, 0] = targets[0, 0]
    points, labels = correction_points(masks, targets)
    assert points.shape == (4, 5, 1, 2) and labels.shape == (4, 5, 1)
    for i in range(4):
        for j in range(5):
            x, y = points[i, j, 0].long().tolist()
            assert labels[i, j, 0] == targets[i, j, y, x]
            if (i, j) == (0, 0):
                assert not targets[i, j, y, x]  # all is right: a point beside the thing
            else:
                assert masks[i, j, y, x] != targets[i, j, y, x]


def test_rounds_are_eleven_and_end_without_a_click() -> None:
    torch.manual_seed(0)
    places = set()
    for _ in range(200):
        rounds = interactive_rounds(8)
        assert len(rounds) == 10 and sum(rounds) == 8 and not rounds[-1]  # after the first prompt
        places.add(rounds.index(False))
    assert places == set(range(9))
    assert interactive_rounds(0) == [False]


def test_a_training_step_follows_the_published_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = Sam(TINY)
    seen = []
    decode = type(model.mask_decoder).forward

    def spy(self, image, image_pe, sparse, dense, multimask_output):
        answer = decode(self, image, image_pe, sparse, dense, multimask_output)
        seen.append((sparse, dense, multimask_output, answer))
        return answer

    encodes = []
    model.image_encoder.register_forward_hook(lambda *_: encodes.append(1))
    monkeypatch.setattr(type(model.mask_decoder), "forward", spy)
    targets = blobs(2, 40, 32, 32, chance=0.3)
    rounds = [True, False, True, False]
    losses = interactive_losses(model, torch.randn(2, 3, 32, 32), targets, rounds)
    assert len(losses) == 5 and len(encodes) == 1
    assert [s[2] for s in seen] == [True, False, False, False, False]
    assert [s[3][0].shape[2] for s in seen] == [3, 1, 1, 1, 1]
    assert [s[0].shape[2] for s in seen] == [2, 3, 3, 4, 4]
    first = seen[0][0]
    no_point = (first[:, :, 1] == model.prompt_encoder.not_a_point_embed).all(-1)
    assert 20 < no_point.sum() < 60  # about half of 80 are points, the others boxes
    assert seen[0][1].shape[1] == 1
    for before, after in pairwise(seen):
        fed = best_masks(before[3][0], before[3][1])
        torch.testing.assert_close(after[1], model.prompt_encoder.embed_masks(fed))
        assert torch.equal(after[0][:, :, : before[0].shape[2]], before[0])
    torch.stack([loss.loss for loss in losses]).mean().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_fed_back_mask_is_the_one_rated_best() -> None:
    masks = torch.arange(2 * 3 * 4.0).view(1, 2, 3, 2, 2)
    iou = torch.tensor([[[0.1, 0.9, 0.3], [0.8, 0.1, 0.2]]])
    assert best_masks(masks, iou).flatten().tolist() == [4, 5, 6, 7, 12, 13, 14, 15]


def test_a_tiny_model_learns_one_image() -> None:
    torch.manual_seed(0)
    model = Sam(TINY)
    images = torch.randn(1, 3, 32, 32)
    targets = torch.zeros(1, 2, 32, 32, dtype=torch.bool)
    targets[0, 0, 4:20, 4:16], targets[0, 1, 18:30, 16:30] = True, True
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    values = []
    for _ in range(60):
        losses = interactive_losses(model, images, targets, [True, False], box_limit=2)
        loss = torch.stack([answer.loss for answer in losses]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert sum(values[-5:]) < 0.5 * sum(values[:5])
