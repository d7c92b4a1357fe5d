"""The convolutional stem: shapes, locality, and what it refuses."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from visprog.models.clip.model import ImageEncoder, ImageEncoderConfig  # noqa: E402
from visprog.models.nn import ConvStem  # noqa: E402


@pytest.mark.parametrize(("dim", "patch", "refine"), [(32, 2, 0), (64, 8, 2), (96, 16, 1)])
def test_a_token_a_patch_row_by_row(dim: int, patch: int, refine: int) -> None:
    torch.manual_seed(0)
    stem = ConvStem(dim, patch, refine).eval()
    images = torch.randn(1, 3, 6 * patch, 7 * patch)
    before = stem(images)
    assert before.shape == (1, 42, dim)
    images[:, :, 4 * patch : 5 * patch, 5 * patch : 6 * patch] *= -1
    change = (stem(images) - before).norm(dim=-1)[0].view(6, 7)
    near, far = change[4:6, 5:7].max(), change[:2, :3].max()
    assert near == change.max() and near > 3 * far


def test_it_refuses_what_it_cannot_divide() -> None:
    for dim, patch in ((64, 6), (64, 1), (40, 8)):
        with pytest.raises(ValueError, match="power of two"):
            ConvStem(dim, patch, 1)
    with pytest.raises(ValueError, match="no whole patches"):
        ConvStem(32, 8, 0)(torch.zeros(1, 3, 20, 16))


def test_a_tower_with_a_stem_has_the_tokens_of_one_without() -> None:
    tower = ImageEncoder(
        ImageEncoderConfig(size=32, patch=8, dim=32, layers=1, heads=2, hidden=64, project=None, stem=1)
    )
    out = tower(torch.randn(2, 3, 32, 32))
    assert out.tokens.shape == (2, 17, 32)
    assert tower(torch.randn(1, 3, 48, 32)).tokens.shape == (1, 25, 32)
