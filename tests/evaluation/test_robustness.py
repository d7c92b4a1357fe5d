"""Shifts of images against their formulas, and a report on a tiny CLIP."""

from __future__ import annotations

import colorsys
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

torch = pytest.importorskip("torch")

from visprog import cli  # noqa: E402
from visprog.errors import VisprogError  # noqa: E402
from visprog.evaluation.models.benchmark import run_model_benchmark  # noqa: E402
from visprog.evaluation.models.robustness import GROUPS, ClassifiedImages, RobustnessBenchmark  # noqa: E402
from visprog.evaluation.models.shifts import CORRUPTIONS, STYLES, VIEWPOINTS, shifted  # noqa: E402
from visprog.models.clip.model import Clip, ClipConfig, ImageEncoderConfig, TextEncoderConfig  # noqa: E402
from visprog.models.preprocess.image_processor import ImageProcessor  # noqa: E402
from visprog.models.preprocess.tokenizer import word_tokenizer  # noqa: E402

SHADES = {"day": 200, "dusk": 120, "night": 40}


def image(shade: float = 128, seed: int = 0, size: tuple[int, int] = (24, 30)) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 30, (*size, 3))
    return np.clip(shade + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("condition", [*CORRUPTIONS, *VIEWPOINTS])
def test_a_shift_is_the_same_each_time_and_grows_with_its_severity(condition: str) -> None:
    ramp = np.linspace(0, 200, 64)[:, None, None] * np.ones((1, 64, 3))
    pixels = np.clip(ramp + np.random.default_rng(0).normal(0, 20, ramp.shape), 0, 255).astype(np.uint8)
    far = []
    for severity in range(5):
        found = shifted(pixels, condition, severity, seed=7)
        assert found.shape == pixels.shape and found.dtype == np.uint8
        assert np.array_equal(found, shifted(pixels, condition, severity, seed=7))
        far.append(np.abs(found.astype(float) - pixels).mean())
    assert far[0] > 0.1 and far[4] > far[2] > far[0]


def test_corruptions_are_those_of_their_formulas() -> None:
    flat = np.full((60, 60, 3), 128, np.uint8)
    assert (shifted(flat, "noise", 1, 0) / 255.0).std() == pytest.approx(0.12, rel=0.05)
    assert not np.array_equal(shifted(flat, "noise", 1, 0), shifted(flat, "noise", 1, 1))
    pixels = image()
    mean = pixels.mean((0, 1))
    want = ((pixels - mean) * 0.2 + mean).round()
    np.testing.assert_allclose(shifted(pixels, "contrast", 2, 0), want, atol=1)
    bright = shifted(pixels, "brightness", 1, 0)
    for before, after in zip(pixels.reshape(-1, 3)[:50] / 255, bright.reshape(-1, 3)[:50] / 255, strict=True):
        h, s, v = colorsys.rgb_to_hsv(*before)
        np.testing.assert_allclose(after, colorsys.hsv_to_rgb(h, s, min(v + 0.2, 1)), atol=3 / 255)
    assert (shifted(np.zeros((4, 4, 3), np.uint8), "brightness", 0, 0) == 26).all()  # black becomes grey
    blocks = shifted(image(size=(40, 40)), "pixelate", 4, 0)
    assert (blocks.reshape(10, 4, 10, 4, 3) == blocks.reshape(10, 4, 10, 4, 3)[:, :1, :, :1]).all()


def test_viewpoints_keep_the_middle_and_styles_are_those_of_scenes() -> None:
    pixels = np.zeros((41, 41, 3), np.uint8)
    pixels[18:23, 18:23] = 255
    pixels[20, 30] = 255
    for condition in VIEWPOINTS:
        assert shifted(pixels, condition, 4, 0)[20, 20].tolist() == [255, 255, 255]
    assert shifted(pixels, "scale", 3, 0)[20, 25].max() > 100  # half as far from the middle
    assert (shifted(pixels, "inverted", 0, 0) == 255 - pixels).all()
    assert set(GROUPS["styles"]) == set(STYLES) and "infrared" not in STYLES


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = word_tokenizer(["a day dusk night"], 6)
    small = {"dim": 16, "layers": 1, "heads": 2, "hidden": 16, "project": 8}
    text = TextEncoderConfig(vocab=len(tokenizer), length=6, end=None, **small)
    Clip(ClipConfig(ImageEncoderConfig(size=16, patch=8, **small), text)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ImageProcessor(size=(16, 16)).save_pretrained(folder)
    return folder


def shades(count: int = 12) -> ClassifiedImages:
    def part(offset: int) -> list:
        return [
            (lambda shade=shade, i=i: image(shade, 1000 * offset + i), label)
            for label, shade in enumerate(SHADES.values())
            for i in range(count)
        ]

    return ClassifiedImages("shades", "1", tuple(SHADES), part(0), part(1), part(2))


def test_a_report_holds_every_method_under_every_shift_and_is_resumed(model: Path, tmp_path: Path) -> None:
    benchmark = RobustnessBenchmark([str(model)], shades(), draws=2, fine_tuning=3)
    rows: list = []
    summary = run_model_benchmark(benchmark, tmp_path, watch=rows.append)
    methods = summary["models"][str(model)]
    # 12 images per class: the probe of 16 shots is left out
    probes = [f"probe, {n} shot{'s' * (n > 1)}" for n in (1, 2, 4, 8)]
    assert list(methods) == ["zero-shot", *probes, "fine-tuned"]
    assert methods["probe, 8 shots"]["usual"] > 0.9
    assert len(rows) == 1 + len(STYLES) + 5 * 9
    assert [len(values) for values in rows[0]["figures"][str(model)].values()] == [1, 2, 2, 2, 1, 1]
    inverted = summary["conditions"][str(model)]["probe, 8 shots"]["inverted"]
    assert inverted < 0.6  # day is taken for night
    for method in methods.values():
        for group in GROUPS:
            effective = method[group]["effective_robustness"]
            assert 0 <= method[group]["accuracy"] <= 1 and (effective is None or -1 <= effective <= 1)
    tables = benchmark.tables(summary)
    assert len(tables) == 2 and all(len(row) == len(table.columns) for table in tables for row in table.rows)
    again = RobustnessBenchmark([str(model)], shades(), draws=2, fine_tuning=3)
    assert run_model_benchmark(again, tmp_path) == summary and "_fitted" not in vars(
        again
    )  # nothing was measured
    with pytest.raises(VisprogError, match="holds a run with"):
        run_model_benchmark(RobustnessBenchmark([str(model)], shades(), draws=1, fine_tuning=3), tmp_path)


def test_a_folder_of_classes_on_the_command_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, shade in SHADES.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(40):
            PIL.Image.fromarray(image(shade, i)).save(tmp_path / "data" / name / f"{i}.png")
    command = ["eval", "robustness", str(model), "--data", str(tmp_path / "data"), "--template", "a {}"]
    command += ["--fine-tuning", "0", "--draws", "1", "--limit", "5", "-o", str(tmp_path / "run")]
    assert cli.main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == list(SHADES) and found["images"] == 5
    assert "fine-tuned" not in found["models"][str(model)]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    printed = " ".join(printed.split())
    assert "effective robustness" in printed and "pixelate" in printed
    assert (
        cli.main(["eval", "robustness", "sam", "--data", str(tmp_path / "data"), "-o", str(tmp_path / "sam")])
        == 1
    )
    assert "a Sam has no features" in capsys.readouterr().err
    assert cli.main(["eval", "robustness", str(tmp_path / "none")]) == 1
    assert "cannot be measured" in capsys.readouterr().err


def test_data_that_are_too_few_are_refused(model: Path) -> None:
    one = shades()
    with pytest.raises(VisprogError, match="too few images"):
        RobustnessBenchmark(
            [str(model)], ClassifiedImages("few", "", tuple(SHADES), one.train, one.validation, [])
        )
    with pytest.raises(VisprogError, match="one class"):
        RobustnessBenchmark(
            [str(model)], ClassifiedImages("one", "", ("day",), one.train, one.train, one.train)
        )
