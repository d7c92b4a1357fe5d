"""SigLIP 2 with the tokenizer of Gemma: texts are lowered and filled up as published, scores those of transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from visprog.tools.backends._checkpoint import find
from visprog.tools.backends._dual_encoder import dual_encoder
from visprog.tools.backends.siglip import SiglipMatcher
from visprog.values.image import Image

Folder = Callable[[str], str]
TEXTS = ["a cat", "A Cat", "two dogs, and a red car!", "naïve ☕", "a dog " * 20]


def published_ids(folder: str) -> Any:
    """The ids of texts: lowered, an end, filled up to 16 at the right."""
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(Path(folder) / "tokenizer.json"), pad_token="<pad>", padding_side="right"
    )
    lowered = [text.lower() for text in TEXTS]
    return tokenizer(lowered, padding="max_length", truncation=True, max_length=16, return_tensors="pt")[
        "input_ids"
    ]


def test_texts_are_read_as_published(checkpoint: Folder) -> None:
    folder = checkpoint("siglip2")
    want = published_ids(folder)
    assert want.shape == (5, 16) and want[0].tolist()[-12:] == [0] * 12
    assert (want[0] == want[1]).all() and (want[:, -1] == 0).sum() >= 3 and 1 in want[0].tolist()
    encoder = dual_encoder(find(folder, "match"), "cpu", "float32")
    assert torch.equal(encoder.checkpoint.processor.tokenizer(TEXTS).ids, want)
    theirs = transformers.Siglip2Tokenizer.from_pretrained(folder, padding_side="right")
    inputs = theirs(TEXTS, padding="max_length", truncation=True, max_length=16, return_tensors="pt")
    assert torch.equal(inputs["input_ids"], want)


@pytest.mark.parametrize("kind", ["siglip2", "siglip2-naflex"])
def test_scores_are_those_of_transformers(kind: str, checkpoint: Folder, pictures: list[Image]) -> None:
    folder = checkpoint(kind)
    network = transformers.AutoModel.from_pretrained(folder).eval()
    images = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")(
        images=[picture.to_pil() for picture in pictures], return_tensors="pt"
    )
    with torch.inference_mode():
        want = network(input_ids=published_ids(folder), **images).logits_per_image.numpy()
    encoder = dual_encoder(find(folder, "match"), "cpu", "float32")
    features = encoder.encode_images(pictures, 3)
    texts = encoder.encode_texts(TEXTS, ("{}",), 2)
    found = encoder.logit_scale * features @ texts.T + (encoder.logit_bias or 0.0)
    np.testing.assert_allclose(found, want, atol=1e-3)
    assert np.ptp(want) > 0.1


def test_the_case_of_a_text_does_not_matter(checkpoint: Folder, pictures: list[Image]) -> None:
    matcher = SiglipMatcher(checkpoint("siglip2"))
    one, two, other = matcher([{"image": pictures[0], "text": text} for text in ("a Cat", "a cat", "a dog")])
    assert one == two != other
