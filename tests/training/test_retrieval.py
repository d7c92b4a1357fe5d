"""Recall where images have several captions, and captions several images."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from visprog.training.metrics.retrieval import fingerprint, recall  # noqa: E402


def ids(*texts: str) -> torch.Tensor:
    return torch.tensor([fingerprint(text) for text in texts])


def test_a_perfect_model_is_perfect_with_five_captions_an_image() -> None:
    images = ids(*(f"{i}.png" for i in range(4) for _ in range(5)))
    captions = ids(*(f"caption {i}" for i in range(20)))
    cosines = (images[:, None] == images[None]).float()
    assert recall(cosines, images, captions) == recall(cosines.T, captions, images) == 1.0


def test_a_caption_of_two_images_is_right_for_both() -> None:
    images, captions = ids("a", "b", "c"), ids("a dog", "a dog", "a cat")
    cosines = torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert recall(cosines, images, captions) == recall(cosines.T, captions, images) == 1.0


def test_each_distinct_query_counts_once() -> None:
    images, captions = ids("a", "a", "a", "b"), ids("1", "2", "3", "4")
    wrong_for_b = torch.tensor([[1.0, 0, 0, 0]] * 4)
    assert recall(wrong_for_b, images, captions) == 0.5
    assert recall(wrong_for_b.T, captions, images) == 1.0 / 4 * 3


def test_fingerprints_differ_and_fit_in_int64() -> None:
    texts = [*map(str, range(1000)), "", "é", "\udce9"]
    assert len(set(ids(*texts).tolist())) == len(texts)
