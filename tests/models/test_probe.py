"""Probes: few shots, a sweep, calibration, and a model that knows what it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from visprog.models import Coca, CocaConfig, CocaImageEncoderConfig, Probe, Sam, SamConfig, Simclr, load_model  # noqa: E402
from visprog.models.clip.model import Clip, ClipConfig, ImageEncoder, ImageEncoderConfig, TextEncoderConfig  # noqa: E402
from visprog.models.linear_probe import (  # noqa: E402
    LinearProbe,
    calibrate,
    calibration_error,
    choose,
    few_shot,
    fit,
)
from visprog.models.probe import image_encoder_of, image_features  # noqa: E402
from visprog.models.siglip import Siglip, SiglipConfig, SiglipImageEncoderConfig, SiglipTextEncoderConfig  # noqa: E402
from visprog.models.simclr import SimclrConfig  # noqa: E402

CLASSES = ("dark", "grey", "light")
ENCODER = ImageEncoderConfig(size=16, patch=8, dim=16, layers=1, heads=2, hidden=16, project=None)


def blobs(n: int, seed: int, spread: float = 1.0, classes: int = 4):
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, 6, generator=torch.Generator().manual_seed(0)) * 2
    labels = torch.randint(0, classes, (n,), generator=generator)
    return centres[labels] + spread * torch.randn(n, 6, generator=generator) + 5, labels


@pytest.mark.parametrize("c", [1e-4, 0.1, 1.0, 1e3])
@pytest.mark.parametrize("classes", [2, 5])
def test_probabilities_are_those_of_scikit_learn(c: float, classes: int) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    (features, labels), (others, _) = blobs(200, 1, 2.0, classes), blobs(50, 2, 2.0, classes)
    mean, std = features.double().mean(0), features.double().std(0)
    # Of two classes scikit-learn has one vector of weights, whose square is twice that of ours.
    theirs = linear_model.LogisticRegression(C=c if classes > 2 else 2 * c, max_iter=1000, tol=1e-10)
    theirs.fit(((features.double() - mean) / std).numpy(), labels.numpy())
    want = torch.from_numpy(theirs.predict_proba(((others.double() - mean) / std).numpy()))
    torch.testing.assert_close(fit(features, labels, c).probabilities(others), want, atol=1e-4, rtol=1e-3)


def test_where_a_fit_begins_does_not_matter_and_classes_may_be_missing() -> None:
    features, labels = blobs(150, 1, 2.0)
    far = fit(features, labels, 1e3)
    torch.testing.assert_close(fit(features, labels, 1.0, start=far)(features), fit(features, labels, 1.0)(features),
                               atol=1e-3, rtol=1e-3)  # fmt: skip
    assert fit(features, labels, 1.0, classes=6)(features).shape == (150, 6)


def test_few_shots_are_balanced_nested_and_drawn_by_seed() -> None:
    labels = torch.tensor([0] * 30 + [1] * 3 + [2] * 30)[
        torch.randperm(63, generator=torch.Generator().manual_seed(9))
    ]
    four = few_shot(labels, 4, seed=1)
    assert labels[four].bincount().tolist() == [4, 3, 4]
    assert set(four.tolist()) < set(few_shot(labels, 8, seed=1).tolist())
    assert torch.equal(four, few_shot(labels, 4, seed=1)) and not torch.equal(
        four, few_shot(labels, 4, seed=2)
    )


def test_more_shots_are_right_more_often() -> None:
    (features, labels), validation, test = blobs(400, 1, 2.0), blobs(200, 2, 2.0), blobs(400, 3, 2.0)

    def accuracy(shots: int) -> float:
        drawn = [few_shot(labels, shots, seed) for seed in range(3)]
        return sum(choose((features[d], labels[d]), validation).accuracy(*test) for d in drawn) / 3

    assert accuracy(1) < accuracy(8) < accuracy(64)


def test_calibrated_probabilities_are_as_often_right_as_they_say() -> None:
    train, validation, test = blobs(30, 1, 3.0), blobs(300, 2, 3.0), blobs(2000, 3, 3.0)
    sure = fit(*train, 1e4)
    calibrated = calibrate(sure, *validation)
    assert torch.equal(sure(test[0]).argmax(1), calibrated(test[0]).argmax(1))
    before, after = (calibration_error(p.probabilities(test[0]), test[1]) for p in (sure, calibrated))
    assert after < 0.06 < 0.2 < before
    # A handful of right answers makes no certainty.
    easy = blobs(40, 1, 0.1), blobs(6, 2, 0.1)
    highest = calibrate(fit(*easy[0], 1e4), *easy[1]).probabilities(easy[1][0]).amax(1)
    assert 0.75 < float(highest.mean()) < 0.95


def test_calibration_error_by_hand() -> None:
    probabilities = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.45, 0.55]])
    # 0.9 is right once of twice; 0.6 is right; 0.55 is wrong: |1 - 1.8|, |1 - 0.6|, |0 - 0.55| over 4.
    labels = torch.tensor([0, 1, 1, 0])
    assert calibration_error(probabilities, labels) == pytest.approx((0.8 + 0.4 + 0.55) / 4)


def encoders():
    text = TextEncoderConfig(vocab=9, length=4, dim=16, layers=1, heads=2, hidden=16, end=None, project=8)
    yield Clip(ClipConfig(ImageEncoderConfig(**{**ENCODER.__dict__, "project": 8}), text)), 16
    yield Simclr(SimclrConfig(ENCODER)), 16
    yield ImageEncoder(ENCODER), 16
    siglip = SiglipImageEncoderConfig(size=16, patch=8, dim=16, layers=1, heads=2, hidden=16)
    words = SiglipTextEncoderConfig(vocab=9, length=4, dim=16, layers=1, heads=2, hidden=16, project=16)
    yield Siglip(SiglipConfig(siglip, words)), 16
    layers = {
        "unimodal_layers": 1,
        "multimodal_layers": 1,
        "heads": 2,
        "hidden": 16,
        "queries": 3,
        "pool_heads": 2,
    }
    patches = CocaImageEncoderConfig(size=16, patch=8, dim=12, layers=1, heads=2, hidden=16)
    yield Coca(CocaConfig(patches, vocab=9, length=4, dim=8, project=8, **layers)), 8


@pytest.mark.parametrize("case", range(5))
def test_a_probe_on_any_encoder_is_saved_and_loaded(case: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, dim = list(encoders())[case]
    encoder = image_encoder_of(model.eval())
    levels = torch.tensor([-1.0, 0.0, 1.0])
    labels = torch.arange(60) % 3
    images = (levels[labels, None, None, None] + 0.3 * torch.randn(60, 3, 16, 16)).clamp(-2, 2)
    with torch.inference_mode():
        features = image_features(encoder, images)
        assert features.shape == (60, dim)
        parts = [(features[part], labels[part]) for part in (slice(40), slice(40, None))]
        probe = Probe.fit(encoder, CLASSES, *parts)
        probe.save_pretrained(tmp_path)
        again = load_model(tmp_path).eval()
        assert isinstance(again, Probe) and again.config.classes == CLASSES
        out, same = probe(images), again(images)
    for name in out._fields:
        torch.testing.assert_close(getattr(same, name), getattr(out, name), msg=name)
    assert float((out.probabilities.argmax(1) == labels).float().mean()) > 0.9
    assert float(out.distance[:40].max()) < 0.05  # each is known
    assert float((out.distance[40:] <= again.farthest).float().mean()) >= 0.9
    assert not any(name.startswith("text_encoder") for name, _ in again.image_encoder.named_parameters())


def test_what_is_unlike_the_training_is_told_from_it() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(ENCODER)
    train, validation = ((torch.randn(n, 16) + 3 * torch.eye(16)[torch.arange(n) % 2]) for n in (200, 50))
    labels = torch.arange(200) % 2
    probe = Probe.fit(encoder, ["a", "b"], (train, labels), (validation, labels[:50]))
    strange, more = 8 * torch.eye(16)[2:], torch.randn(100, 16) + 3 * torch.eye(16)[0]
    assert float((probe.distance(strange) > probe.farthest).float().mean()) > 0.9
    assert float((probe.distance(more) > probe.farthest).float().mean()) < 0.1
    assert probe.known.shape == (200, 16)


def test_a_model_without_features_of_images_is_refused() -> None:
    sam = Sam(SamConfig(image_size=32, patch=16, dim=16, layers=1, heads=2, hidden=32, width=16, decoder_heads=2,
                        decoder_hidden=16, iou_head_hidden_dim=16))  # fmt: skip
    with pytest.raises(ValueError, match="a Sam has no features of whole images"):
        image_encoder_of(sam)
    with pytest.raises(ValueError, match="two classes or more"):
        Probe.fit(
            ImageEncoder(ENCODER), ["one"], *[(torch.randn(4, 16), torch.zeros(4, dtype=torch.long))] * 2
        )
    assert isinstance(LinearProbe(torch.zeros(2, 3), torch.zeros(2), 1.0)(torch.ones(1, 3)), torch.Tensor)
