"""Work that nobody asked for is not done, and what is asked for stays the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch.nn.functional as F  # noqa: E402

from tests.parity.test_precision import IMAGE, IMAGES, PROMPTS, TEXT, TOKENS, make  # noqa: E402
from visprog.models.clip.model import Clip, ClipConfig  # noqa: E402
from visprog.models.owlvit import OwlVit, OwlVitConfig  # noqa: E402


def widths(module: Any) -> list[int]:
    """Number of positions that a module gets, filled at each of its calls."""
    seen: list[int] = []
    module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    return seen


@pytest.mark.parametrize("name", ["llama", "llava"])
@pytest.mark.parametrize("where", [slice(-1, None), slice(1, 3), torch.tensor([4, 0]), slice(0, 0)])
def test_logits_of_asked_positions(where: Any, name: str) -> None:
    model = make(name)
    given = (PROMPTS, IMAGES) if name == "llava" else (TOKENS,)
    head = model.language_model.head if name == "llava" else model.head
    with torch.no_grad():
        whole = model(*given)
        seen = widths(head)
        part = model(*given, logits_at=where)
    torch.testing.assert_close(part.logits, whole.logits[:, where])
    torch.testing.assert_close(part.features, whole.features)
    assert seen == [part.logits.shape[1]]


@pytest.mark.parametrize("end", [None, 19])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("detector", [False, True])
def test_what_follows_the_last_end_is_not_read(detector: bool, masked: bool, end: int | None) -> None:
    torch.manual_seed(0)
    text = replace(TEXT, end=end, length=9, project=16 if detector else 8)
    model: Any = Clip(ClipConfig(IMAGE, text))
    if detector:
        model = OwlVit(OwlVitConfig(replace(IMAGE, project=16), text))
    tokens = torch.randint(1, 19, (3, 9))
    ends = torch.tensor([2, 5, 4])
    tokens[torch.arange(3), ends] = 19
    mask = torch.arange(9)[None] <= ends[:, None] if masked else None

    def encode() -> Any:
        found = model.encode_texts(tokens, mask)
        return found[1] if detector else found

    results = []
    seen = widths(model.text_encoder.blocks)
    for run in (encode, lambda: F.normalize(model.text_encoder(tokens, mask).projected, dim=-1)):
        model.zero_grad()
        found = run()
        (found * torch.arange(found.numel()).view_as(found)).sum().backward()
        results.append([found, *(p.grad.clone() for p in model.text_encoder.parameters())])
    assert seen == [6, 9]
    for have, want in zip(*results, strict=True):
        torch.testing.assert_close(have, want, atol=1e-5 * max(1, float(want.abs().max())), rtol=1e-5)


def test_texts_without_an_end_are_read_as_before() -> None:
    torch.manual_seed(0)
    model = Clip(ClipConfig(IMAGE, replace(TEXT, end=19)))
    with torch.no_grad():
        tokens = torch.randint(1, 19, (2, 6))
        want = F.normalize(model.text_encoder(tokens).projected, dim=-1)
        torch.testing.assert_close(model.encode_texts(tokens), want)
        assert model.encode_texts(tokens[:0]).shape == (0, 8)
