"""Zero-shot classification: what an ensemble is, and that each class is encoded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from visprog.models.clip.model import Clip, ClipConfig, ImageEncoderConfig, TextEncoderConfig  # noqa: E402
from visprog.models.preprocess.image_processor import ImageProcessor  # noqa: E402
from visprog.models.preprocess.tokenizer import END, Tokenizer, word_tokenizer  # noqa: E402
from visprog.models.zero_shot import ZeroShot, ensemble, fill_templates  # noqa: E402
from visprog.prompts import templates  # noqa: E402

FRAMES = ("a photo of a {}.", "art of the {}.", "{}")


@pytest.fixture
def tokenizer() -> Tokenizer:
    return word_tokenizer(["a photo of a cat.", "art of the dog and owl."], 12)


@pytest.fixture
def model(tokenizer: Tokenizer) -> Clip:
    torch.manual_seed(0)
    image = ImageEncoderConfig(size=16, patch=8, dim=16, layers=1, heads=2, hidden=32, project=8)
    text = TextEncoderConfig(len(tokenizer), 12, 16, 1, 2, 32, end=tokenizer.id(END), project=8)
    return Clip(ClipConfig(image, text)).eval()


class Counting:
    """A model that counts the texts that it encodes."""

    def __init__(self, model: Clip) -> None:
        self.model, self.texts = model, 0

    def encode_images(self, images):
        return self.model.encode_images(images)

    def encode_texts(self, tokens):
        self.texts += len(tokens)
        return self.model.encode_texts(tokens)


def test_the_published_templates() -> None:
    assert len(set(templates())) == 80
    assert len(templates("simple")) == 7 and set(templates("simple")) <= set(templates())
    assert all(frame.count("{}") == 1 for frame in templates())
    with pytest.raises(ValueError, match="no templates 'best': one of imagenet, simple"):
        templates("best")


def test_an_ensemble_is_normalised_before_and_after_the_mean() -> None:
    features = torch.tensor([[3.0, 0.0], [0.0, 0.5]])
    assert ensemble(features).tolist() == pytest.approx(
        [0.5**0.5, 0.5**0.5]
    )  # without the first step: 6 to 1
    uneven = torch.randn(5, 7, dtype=torch.double) * torch.arange(1, 6)[:, None]
    unit = np.stack([row / np.linalg.norm(row) for row in uneven.numpy()]).mean(0)
    np.testing.assert_allclose(ensemble(uneven).numpy(), unit / np.linalg.norm(unit), rtol=1e-12)


def test_classes_are_ensembles_and_the_nearest_wins(model: Clip, tokenizer: Tokenizer) -> None:
    zero_shot = ZeroShot(
        model, tokenizer, ImageProcessor(size=(16, 16)), describe=fill_templates(FRAMES), batch_size=2
    )
    names = ["cat", "dog", "owl"]
    have = zero_shot.encode_classes(names)
    for row, name in zip(have, names, strict=True):
        lines = [frame.replace("{}", name) for frame in FRAMES]
        want = ensemble(model.text_encoder(tokenizer(lines).ids).projected)
        torch.testing.assert_close(row, want, atol=1e-6, rtol=1e-6)
    pictures = [np.random.default_rng(i).integers(0, 256, (20, 30, 3), dtype=np.uint8) for i in range(5)]
    cosines = zero_shot.cosines(pictures, names)
    assert cosines.shape == (5, 3)
    assert zero_shot(pictures, names) == [names[i] for i in cosines.argmax(1)]
    torch.testing.assert_close(
        cosines[3], have @ zero_shot.encode_images(pictures[3:4])[0], atol=1e-6, rtol=1e-6
    )


def test_a_class_is_encoded_once(model: Clip, tokenizer: Tokenizer) -> None:
    counting = Counting(model)
    zero_shot = ZeroShot(counting, tokenizer, ImageProcessor(), describe=fill_templates(FRAMES))
    first = zero_shot.encode_classes(["cat", "dog"])
    assert counting.texts == 6
    again = zero_shot.encode_classes(["dog", "owl", "cat"])
    assert counting.texts == 9
    assert torch.equal(again[[2, 0]], first)


def test_features_on_disk_serve_only_for_the_same_weights(
    model: Clip, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    def make() -> tuple[ZeroShot, list[int]]:
        seen: list[int] = []
        encode = Clip.encode_texts
        model.encode_texts = lambda ids: (seen.append(len(ids)), encode(model, ids))[1]
        return ZeroShot(
            model, tokenizer, ImageProcessor(), describe=fill_templates(FRAMES), cache=tmp_path
        ), seen

    zero_shot, seen = make()
    first = zero_shot.encode_classes(["cat", "dog"])
    assert sum(seen) == 6 and len(list(tmp_path.glob("*.safetensors"))) == 2
    zero_shot, seen = make()
    assert torch.equal(zero_shot.encode_classes(["cat", "dog"]), first) and not seen
    with torch.no_grad():
        model.text_encoder.positions += 0.1
    zero_shot, seen = make()
    assert not torch.equal(zero_shot.encode_classes(["cat", "dog"]), first)
    assert sum(seen) == 6


def test_a_class_of_which_nothing_is_said_is_named(model: Clip, tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="no sentence for the class 'owl'"):
        ZeroShot(model, tokenizer, ImageProcessor(), describe=lambda name: []).encode_classes(["owl"])
