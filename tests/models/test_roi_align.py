"""RoIAlign against interpolation by `grid_sample`, and its borders."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from visprog.models.nn import roi_align  # noqa: E402


def by_interpolation(features, box, size, scale, samples):
    """One box of one map, read by `grid_sample`."""
    height, width = features.shape[-2:]
    left, top, right, bottom = (box * scale).tolist()
    rows, columns = size[0] * samples, size[1] * samples
    y = top + (bottom - top) * (torch.arange(rows, dtype=features.dtype) + 0.5) / rows
    x = left + (right - left) * (torch.arange(columns, dtype=features.dtype) + 0.5) / columns
    grid = torch.stack(torch.meshgrid(2 * y / height - 1, 2 * x / width - 1, indexing="ij")[::-1], -1)
    read = torch.nn.functional.grid_sample(
        features[None], grid[None], align_corners=False, padding_mode="border"
    )
    return torch.nn.functional.avg_pool2d(read, samples)[0]


@pytest.mark.parametrize("size", [(7, 7), (2, 3), (1, 1)])
@pytest.mark.parametrize("samples", [1, 2, 3])
def test_it_is_interpolation(size: tuple[int, int], samples: int) -> None:
    features = torch.randn(3, 5, 12, 9, dtype=torch.float64)
    corner = torch.rand(6, 2, dtype=torch.float64) * 60
    boxes = torch.cat([corner, corner + 1 + 50 * torch.rand(6, 2, dtype=torch.float64)], 1)
    boxes = boxes.clamp(max=torch.tensor([72.0, 96.0, 72.0, 96.0], dtype=torch.float64))
    images = torch.tensor([0, 1, 2, 2, 0, 1])
    found = roi_align(features, boxes, images, size, 1 / 8, samples)
    assert found.shape == (6, 5, *size)
    for i in range(6):
        want = by_interpolation(features[images[i]], boxes[i], size, 1 / 8, samples)
        torch.testing.assert_close(found[i], want)


def test_gradients_reach_maps_and_boxes() -> None:
    features = torch.randn(2, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor(
        [[0.3, 1.1, 4.2, 5.3], [1.2, 0.4, 5.1, 3.7]], dtype=torch.float64, requires_grad=True
    )
    images = torch.tensor([1, 0])
    assert torch.autograd.gradcheck(lambda f, b: roi_align(f, b, images, (2, 2)), (features, boxes))


def test_nothing_lies_far_outside_of_the_map() -> None:
    features = torch.ones(1, 1, 4, 4)
    boxes = torch.tensor([[-9.0, -9.0, -5.0, -5.0], [0.0, 0.0, 4.0, 4.0], [2.0, 2.0, 10.0, 10.0]])
    found = roi_align(features, boxes, torch.zeros(3, dtype=torch.long), (2, 2))
    assert found[0].eq(0).all() and found[1].eq(1).all()
    assert found[2, 0].tolist() == [[0.25, 0.0], [0.0, 0.0]]
    assert roi_align(features, boxes[:0], torch.zeros(0, dtype=torch.long), (2, 2)).shape == (0, 1, 2, 2)
