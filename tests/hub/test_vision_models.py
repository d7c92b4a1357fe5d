"""Every architecture of vision through a hub: fetched, loaded by the real path, asked, and as from a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

torch = pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("transformers", reason="the extra 'hf' is not installed")

from tests.hub.fake_hub import FakeHub  # noqa: E402
from tests.tools.backends.conftest import SAVERS, noise  # noqa: E402
from tests.tools.backends.hub_checkpoints import SAVERS as LATER  # noqa: E402
from tests.tools.backends.vision_checkpoints import SAVERS as VISION  # noqa: E402
from visprog.cli import main  # noqa: E402
from visprog.errors import ToolError  # noqa: E402
from visprog.models.catalogue import catalogue  # noqa: E402
from visprog.models.checkpoint.cache import cached  # noqa: E402
from visprog.registry import default_registry  # noqa: E402
from visprog.tools.backends.detr import DetrDetector  # noqa: E402
from visprog.values import Depth, Mask, Region  # noqa: E402
from visprog.values.image import Image  # noqa: E402

ANY = {"threshold": 0.0}
"""Random networks are sure of nothing."""
OPEN = {"threshold": 0.0, "text_threshold": 0.0}


class Published(NamedTuple):
    """A checkpoint of the hub.

    Attributes:
        kind: what a tiny one is saved as.
        tool: a tool that it serves.
        options: of its backend.
    """

    kind: str
    backend: str
    tool: str
    options: dict[str, Any] = {}  # noqa: RUF012  # never changed


PUBLISHED = {
    "google/siglip2-base-patch16-224": Published("siglip2", "siglip", "match"),
    "google/siglip2-so400m-patch16-384": Published("siglip2", "siglip", "match"),
    "google/siglip2-base-patch16-naflex": Published("siglip2-naflex", "siglip", "match"),
    "openai/clip-vit-base-patch32": Published("clip", "clip", "match"),
    "facebook/dinov3-vits16-pretrain-lvd1689m": Published("dinov3", "dino", "retrieve"),
    "facebook/dinov3-convnext-tiny-pretrain-lvd1689m": Published("dinov3-convnext", "dino", "retrieve"),
    "facebook/dinov2-small": Published("dinov2", "dino", "retrieve"),
    "google/owlv2-base-patch16-ensemble": Published("owlv2", "owlv2", "detect", ANY),
    "google/owlvit-base-patch32": Published("owlvit", "owl", "detect", ANY),
    "IDEA-Research/grounding-dino-tiny": Published("grounding-dino", "grounding-dino", "detect", OPEN),
    "openmmlab-community/mm_grounding_dino_large_all": Published(
        "mm-grounding-dino", "grounding-dino", "detect", OPEN
    ),
    "iSEE-Laboratory/llmdet_large": Published("mm-grounding-dino", "grounding-dino", "detect", OPEN),
    "ustc-community/dfine-small-coco": Published("d-fine", "detr", "detect", ANY),
    "ustc-community/dfine-xlarge-coco": Published("d-fine", "detr", "detect", ANY),
    "Roboflow/rf-detr-base": Published("rf-detr", "detr", "detect", ANY),
    "PekingU/rtdetr_v2_r18vd": Published("rt-detr-v2", "detr", "detect", ANY),
    "org/detr-without-timm": Published("detr", "detr", "detect", ANY),
    "florence-community/Florence-2-base": Published("florence2", "florence2", "caption", {"max_tokens": 8}),
    "facebook/sam-vit-base": Published("sam", "sam", "segment"),
    "facebook/sam2.1-hiera-tiny": Published("sam2-video", "sam2", "segment"),
    "facebook/sam2.1-hiera-base-plus": Published("sam2-video", "sam2", "segment"),
    "facebook/sam2.1-hiera-large": Published("sam2", "sam2", "segment"),
    "facebook/sam3": Published("sam3", "sam2", "segment"),
    "org/sam3-as-detector": Published("sam3", "sam3", "detect", ANY),
    "org/edgetam-without-timm": Published("edgetam", "sam2", "segment"),
    "depth-anything/Depth-Anything-V2-Small-hf": Published("depth-anything", "depth-anything", "depth"),
    "depth-anything/Depth-Anything-V2-Metric-Indoor-Small-hf": Published(
        "depth-anything-metric", "depth-anything", "depth"
    ),
    "depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf": Published(
        "depth-anything-metric", "depth-anything", "depth"
    ),
    "Intel/zoedepth-nyu-kitti": Published("zoedepth", "depth-anything", "depth"),
    "Intel/dpt-large": Published("dpt", "depth-anything", "depth", {"values": "inverse"}),
    "vinvino02/glpn-nyu": Published("glpn", "depth-anything", "depth"),
    "apple/DepthPro-hf": Published("depth-pro", "depth-anything", "depth"),
}
"""Those of the catalogue, and one of each other architecture that is read."""

TRIED = {(each.kind, each.backend, "llmdet" in name): name for name, each in PUBLISHED.items()}.values()
"""One of each architecture; LLMDet beside MM-Grounding-DINO, whose network it has."""

LANGUAGE = {"blip", "blip2", "llava", "vlm", "diffusers", "transformers"}
"""Backends of models that write or draw."""


def test_each_row_of_the_catalogue_has_its_architecture() -> None:
    rows = {c.id: c.backend for c in catalogue() if c.backend not in LANGUAGE}
    assert {name: PUBLISHED[name].backend for name in rows} == rows


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[str], Path]:
    """The folder of a new tiny checkpoint of a kind."""

    def save(kind: str) -> Path:
        folder = tmp_path / kind
        folder.mkdir()
        torch.manual_seed(0)
        (SAVERS | LATER | VISION)[kind](folder)
        return folder

    return save


def answer(tool: str, backend: Any, image: Image) -> list[float] | str:
    """What a backend says of an image, as numbers or as a text."""
    if tool == "retrieve":  # by an image
        return [float(v) for row in backend.image_features([image, noise(30, 20, 9)]) for v in row]
    region = Region(image.box, "cat", 0.5, image)
    what = "object" if isinstance(backend, DetrDetector) else "cat"
    calls: dict[str, dict[str, Any]] = {
        "match": {"text": "a cat"}, "detect": {"what": what}, "segment": {"region": region}
    }  # fmt: skip
    (found,) = backend([{"image": image, **calls.get(tool, {})}])
    match found:
        case Depth():
            return [float(found.metric), *found.values.ravel().tolist()]
        case Region(mask=Mask() as mask):
            return [float(mask.area), mask.box.left, mask.box.top]
        case list():
            assert found, "nothing is found"
            return [v for r in found for v in (r.score, r.left, r.top, r.right, r.bottom)]
        case float() | str():
            return found if isinstance(found, str) else [found]
        case ToolError():  # of what random weights write: the end of the sentence, after the name of the model
            return str(found).rpartition("' ")[2]
    raise AssertionError(found)


@pytest.mark.parametrize("name", TRIED)
def test_it_is_fetched_once_and_answers(
    name: str, hub: FakeHub, saved: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("visprog.tools.backends._checkpoint._loaded", {})
    kind, backend, tool, options = PUBLISHED[name]
    folder, image = saved(kind), noise(60, 40, 1)
    hub.add(name, folder)
    declared = default_registry()[tool]

    def load(model: str) -> Any:
        given = tuple({"model": model, "dtype": "float32", **options}.items())
        return declared.load(backend, given)

    from_hub = load(name)
    from_hub.fetch()
    assert cached(name) is not None and sum(f.endswith(".safetensors") for f in hub.fetched()) == 1
    before = len(hub.requests)
    found = answer(tool, from_hub, image)
    assert len(hub.requests) == before
    again = answer(tool, load(str(folder)), image)
    assert found == (again if isinstance(again, str) else pytest.approx(again, abs=1e-4))


@pytest.mark.parametrize(
    "name", ["google/siglip2-base-patch16-224", "facebook/sam2.1-hiera-large"], ids=["own", "transformers"]
)
def test_damaged_weights_name_the_command_that_mends_them(
    name: str,
    hub: FakeHub,
    saved: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("visprog.tools.backends._checkpoint._loaded", {})
    kind, backend, tool, _ = PUBLISHED[name]
    hub.add(name, saved(kind))
    model = default_registry()[tool].load(backend, (("model", name), ("dtype", "float32")))
    model.fetch()
    folder = cached(name)
    assert folder is not None
    weights = (folder / "model.safetensors").resolve()
    weights.write_bytes(bytes(weights.stat().st_size))  # of the same size, which is not noticed before
    image = noise(60, 40, 1)
    calls = {"match": {"text": "a cat"}, "segment": {"region": Region(image.box, "cat", 0.5, image)}}
    (error,) = model([{"image": image, **calls[tool]}])
    assert isinstance(error, ToolError), error
    assert str(error).endswith(f"'visprog models fetch {name}' downloads damaged files again")
    assert main(["models", "fetch", name, "--json"]) == 0
    assert "model.safetensors of " in capsys.readouterr().err
    (found,) = model([{"image": image, **calls[tool]}])
    assert not isinstance(found, Exception)


def test_what_nothing_can_run_is_refused_by_the_command(
    hub: FakeHub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.add("org/brain", {"config.json": b'{"model_type": "brain_2"}', "model.safetensors": b"w" * 1000})
    assert main(["models", "fetch", "org/brain"]) == 1
    said = capsys.readouterr().err
    assert "a model of the type 'brain_2' cannot be run" in said and "\n" not in said.strip()
    assert hub.fetched() == ["config.json"]
