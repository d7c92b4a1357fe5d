"""`visprog train probe` and the backend that reads what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from visprog import cli  # noqa: E402
from visprog.errors import Refused, ToolError  # noqa: E402
from visprog.models import load_model  # noqa: E402
from visprog.models.clip.model import ImageEncoder, ImageEncoderConfig  # noqa: E402
from visprog.models.preprocess.image_processor import ImageProcessor  # noqa: E402
from visprog.tools.backends.probe import ProbeClassifier  # noqa: E402
from visprog.values import Box, Region  # noqa: E402
from visprog.values.image import Image  # noqa: E402

SHADES = {"bright_day": 210, "dusk": 120, "night": 30}


def picture(shade: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 12, (20, 24, 3))
    return np.clip(shade + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe") / "data"
    for name, shade in SHADES.items():
        (folder / name).mkdir(parents=True)
        for i in range(40):
            PIL.Image.fromarray(picture(shade, i)).save(folder / name / f"{i}.png")
    (folder / "dusk" / "broken.png").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def encoder(data: Path) -> Path:
    torch.manual_seed(0)
    folder = data.parent / "encoder"
    config = ImageEncoderConfig(size=16, patch=8, dim=16, layers=1, heads=2, hidden=16, project=None)
    ImageEncoder(config).save_pretrained(folder)
    ImageProcessor(size=(16, 16)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def probe(data: Path, encoder: Path) -> Path:
    assert (
        cli.main(["train", "probe", str(data), "--model", str(encoder), "-o", str(data.parent / "made")]) == 0
    )
    return data.parent / "made"


def ask(backend: ProbeClassifier, image: Image | Region, *options: str):
    return backend([{"image": image, "options": list(options)}])[0]


def test_a_probe_names_its_own_classes(probe: Path) -> None:
    backend = ProbeClassifier(str(probe))
    for name, shade in SHADES.items():
        image = Image(picture(shade, 99))
        assert ask(backend, image, "Night", "a bright day", "dusk") == {
            "bright_day": "a bright day", "dusk": "dusk", "night": "Night"
        }[name]  # fmt: skip
    both = Image(np.concatenate([picture(30, 1), picture(210, 1)], 1))
    assert ask(backend, Region(Box(0, 0, 20, 20), image=both), "bright day", "night") == "night"
    assert "bright day, dusk, night" in backend.sees.summary


def test_what_it_cannot_judge_is_refused(probe: Path) -> None:
    backend, night = ProbeClassifier(str(probe)), Image(picture(30, 99))
    refused = {
        "knows bright day, dusk, night, and not 'fog'": ask(backend, night, "fog", "night"),
        "not sure enough: it gives 'dusk'": ask(backend, night, "bright day", "dusk"),
        "is unlike all that the probe": ask(
            backend, Image(picture(128, 1)[:, :, ::-1] * np.uint8([1, 0, 2])), "dusk"
        ),
    }
    for why, answer in refused.items():
        assert isinstance(answer, Refused) and why in str(answer)
    assert backend.sees.phrases["options"].refusal("fog") and not backend.sees.phrases["options"].refusal(
        "night"
    )
    assert ask(ProbeClassifier(str(probe), threshold=0.0), night, "bright day", "dusk") == "dusk"
    many = backend([{"image": night, "options": o} for o in (["fog"], ["night", "dusk"], [])])
    assert isinstance(many[0], Refused) and many[1] == "night" and "no options" in str(many[2])


def test_the_command_reports_and_writes_a_folder(
    data: Path, encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "probe", str(data), "--model", str(encoder), "-o", str(data.parent / "few"), "--json"]
    assert cli.main([*command, "--shots", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"]["train"] == 6 and found["classes"] == ["bright day", "dusk", "night"]
    assert found["accuracy"] > 0.9 and 0 <= found["calibration_error"] <= 1
    assert load_model(data.parent / "few").config.classes == ("bright day", "dusk", "night")


def test_what_is_wrong_is_said(
    data: Path, probe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, shade in enumerate((30, 210)):
        (tmp_path / "few" / str(number)).mkdir(parents=True)
        PIL.Image.fromarray(picture(shade, 1)).save(tmp_path / "few" / str(number) / "1.png")
    cases = {
        "does not exist": [str(tmp_path / "nowhere")],
        "too few images": [str(tmp_path / "few")],
        "a Sam has no features": [str(data), "--model", "sam"],
        "no probe can be fitted on": [str(data), "--model", str(tmp_path / "none")],
    }
    for why, arguments in cases.items():
        assert cli.main(["train", "probe", *arguments, "-o", str(tmp_path / "out")]) == 1
        assert why in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    nothing = ProbeClassifier()
    assert "run visprog train probe FOLDER" in nothing.sees.nothing
    assert isinstance(ask(nothing, Image(picture(30, 1)), "night"), ToolError)
    other = ProbeClassifier(str(data.parent / "encoder"))
    assert not other.sees.summary
    answer = ask(other, Image(picture(30, 1)), "night")
    assert "clip_vision_model; this backend takes probe" in str(answer)
