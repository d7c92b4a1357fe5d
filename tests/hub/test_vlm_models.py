"""Every class of image-text-to-text models that `vlm` names, from the hub to an answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("transformers", reason="the extra 'hf' is not installed")

from tests.hub.checkpoints import end_at_a_word  # noqa: E402
from tests.hub.fake_hub import FakeHub  # noqa: E402
from tests.tools.backends.hub_checkpoints import SAVERS as LATER  # noqa: E402
from tests.tools.backends.vlm_checkpoints import SAVERS  # noqa: E402
from visprog.cli import main  # noqa: E402
from visprog.errors import ToolError  # noqa: E402
from visprog.tools.backends import _checkpoint  # noqa: E402
from visprog.tools.caption import caption  # noqa: E402
from visprog.tools.classify import verify  # noqa: E402
from visprog.tools.point import point  # noqa: E402
from visprog.tools.text import read_text  # noqa: E402
from visprog.tools.vqa import vqa  # noqa: E402
from visprog.values.image import Image  # noqa: E402

SIGNS = Path(__file__).resolve().parents[2] / "examples" / "signs.png"
MODELS = {
    "Qwen/Qwen3-VL-4B-Instruct": ("qwen3-vl", vqa, {"question": "What colour is it?"}),
    "Qwen/Qwen3.5-4B": ("qwen3-5", caption, {}),
    "HuggingFaceTB/SmolVLM2-500M-Video-Instruct": ("smolvlm", caption, {}),
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": ("llava-onevision", vqa, {"question": "What colour is it?"}),
    "OpenGVLab/InternVL3_5-1B-HF": ("internvl", caption, {}),
    "allenai/Molmo2-4B": ("molmo2", point, {"what": "the red car"}),
    "google/gemma-3-4b-it": ("gemma3", verify, {"statement": "a red car"}),
    "google/gemma-4-E2B-it": ("gemma4", caption, {}),
    "google/gemma-4-12B-it": ("gemma4-unified", vqa, {"question": "What colour is it?"}),
    "LiquidAI/LFM2-VL-450M": ("lfm2-vl", vqa, {"question": "What colour is it?"}),
    "zai-org/GLM-OCR": ("glm-ocr", read_text, {}),
    "PaddlePaddle/PaddleOCR-VL": ("paddleocr-vl", read_text, {}),
    "lightonai/LightOnOCR-2-1B": ("lighton-ocr", read_text, {}),
}


@pytest.fixture(autouse=True)
def _nothing_is_loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(_checkpoint, "_loaded", {})
    _checkpoint._hub_config.cache_clear()
    yield
    _checkpoint._hub_config.cache_clear()
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_fetched_and_asked(
    name: str, hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, tool, arguments = MODELS[name]
    torch.manual_seed(0)
    (tmp_path / "model").mkdir()
    (LATER | SAVERS)[kind](tmp_path / "model")
    end_at_a_word(tmp_path / "model")
    hub.add(name, tmp_path / "model")
    assert main(["models", "fetch", name]) == 0
    assert f"{name} is in " in capsys.readouterr().out
    requests = len(hub.requests)
    (answer,) = tool.backend_class("vlm")(name)([{"image": Image.open(SIGNS), **arguments}])
    if tool in (verify, point):  # random weights say neither yes nor where
        assert isinstance(answer, ToolError) and ("yes or no" in str(answer) or "no points" in str(answer))
    else:
        assert isinstance(answer, str) and answer.isprintable()
    assert len(hub.requests) == requests


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("qwen3", "is no image-text-to-text model that transformers"),
        ("internvl_chat", "is no image-text-to-text model that transformers"),
        ("kimi_k25", "prepares images with torchvision, and that is not installed"),
    ],
)
def test_a_type_that_cannot_be_run_is_refused_before_its_download(
    kind: str, reason: str, hub: FakeHub
) -> None:
    hub.add("org/name", {"config.json": b'{"model_type": "%s"}' % kind.encode(), "model.safetensors": b"w"})
    for tool in (vqa, read_text):
        with pytest.raises(ToolError, match=r"choose another, such as (Qwen3-VL|GLM-OCR), ") as caught:
            tool.backend_class("vlm")("org/name").fetch()
        assert f"model_type {kind}, which {reason}" in str(caught.value)
    assert set(hub.fetched()) == {"config.json"}
