"""Which precision a model gets on this machine, and that its answers decide."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.parity.test_precision import make  # noqa: E402
from visprog.models import measured, precision  # noqa: E402
from visprog.models.llama import Llama, LlamaConfig  # noqa: E402
from visprog.models.nn.quantised import Int8Linear, quantise  # noqa: E402
from visprog.models.precision import RULES, Precision, load_fastest  # noqa: E402

LLAMA = LlamaConfig(vocab=64, dim=64, layers=2, heads=4, hidden=96)
TOKENS = torch.tensor([[5, 9, 2, 7]])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(precision, "MIN_PARAMETERS", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    Llama(LLAMA).save_pretrained(tmp_path / "llama")
    return tmp_path / "llama"


Machine = Callable[..., list[str]]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Makes a machine with given features, on which half precision and int8 weights are so many times as fast; gives
    what is asked of it."""

    def made(features: list[str], half: float, int8: float) -> list[str]:
        asked: list[str] = []

        def measure(what: str, *_: Any) -> float:
            asked.append(what)
            return {"half": half, "int8": int8}[what]

        monkeypatch.setattr(precision, "cpu_features", lambda: features)
        monkeypatch.setattr(precision, "_measure", measure)
        return asked

    return made


def state(model: Any) -> dict[str, Any]:
    return dict(model.state_dict())


def same(a: Any, b: Any) -> bool:
    first, second = state(a), state(b)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_without_bfloat16_a_model_stays_as_it_is(folder: Path, machine: Machine) -> None:
    asked = machine([], half=5.0, int8=0.9)
    model, found = load_fastest(folder)
    assert found.dtype == "float32" and not found.int8 and same(model, Llama.from_pretrained(folder))
    assert asked == ["int8"]


@pytest.mark.parametrize("half", [0.3, 1.0, 1.15])
def test_what_is_not_clearly_faster_is_not_taken(half: float, folder: Path, machine: Machine) -> None:
    machine(["AVX512-BF16"], half=half, int8=1.0)
    model, found = load_fastest(folder)
    assert found.dtype == "float32" and same(model, Llama.from_pretrained(folder))


def test_what_is_faster_is_taken_where_answers_agree(folder: Path, machine: Machine) -> None:
    machine(["AMX"], half=3.0, int8=2.0)
    model, found = load_fastest(folder)
    assert (found.dtype, found.int8) == ("bfloat16", True)
    assert "int8 weights 2.0 times as fast" in found.reason and "tokens differ by" in found.reason
    assert isinstance(model.blocks[0].attention.q, Int8Linear) and isinstance(model.head, Int8Linear)
    assert model.embed.weight.dtype == torch.bfloat16
    want = Llama.from_pretrained(folder).eval()(TOKENS).logits.log_softmax(-1)
    have = model(TOKENS).logits.float()
    assert float((want.amax(-1) - want.gather(-1, have.argmax(-1, keepdim=True))[..., 0]).max()) < 0.25
    assert model.generate(TOKENS, 5).shape == (1, 5)


def test_a_machine_with_int8_alone(folder: Path, machine: Machine) -> None:
    machine([], half=0.1, int8=2.0)
    model, found = load_fastest(folder)
    assert (found.dtype, found.int8) == ("float32", True)
    assert model.embed.weight.dtype == torch.float32 and model.generate(TOKENS, 5).shape == (1, 5)


def test_other_answers_are_refused(folder: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(["AMX"], half=3.0, int8=2.0)
    monkeypatch.setattr(precision, "disagreement", lambda want, have: {"tokens": 0.3})
    model, found = load_fastest(folder)
    assert found.dtype == "float32" and "would change answers: tokens differ by 0.3" in found.reason
    assert same(model, Llama.from_pretrained(folder))


@pytest.mark.parametrize("refused", [0, 1])
def test_one_of_two_is_refused(
    refused: int, folder: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(["AMX"], half=3.0, int8=2.0)
    values = [0.3 if i == refused else 0.0 for i in range(2)]
    monkeypatch.setattr(precision, "disagreement", lambda want, have: {"tokens": values.pop(0)})
    model, found = load_fastest(folder)
    if refused:
        assert (found.dtype, found.int8) == ("bfloat16", False)
        assert same(model, Llama.from_pretrained(folder, dtype="bfloat16"))
    else:
        assert (found.dtype, found.int8) == ("float32", True)
        assert torch.equal(model.norm.weight, Llama.from_pretrained(folder).norm.weight)


def test_a_model_that_overflows_is_left_alone(folder: Path, machine: Machine) -> None:
    machine(["AMX"], half=3.0, int8=1.0)
    model = Llama.from_pretrained(folder)
    answers = precision.answers(model)
    broken = {name: value.clone() for name, value in answers.items()}
    next(iter(broken.values()))[0, 0] = float("nan")
    assert precision.disagreement(answers, broken)["tokens"] == float("inf")


def test_a_checkpoint_is_checked_once(
    folder: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = machine(["AMX"], half=3.0, int8=2.0)
    first, found = load_fastest(folder)
    measurements = len(asked)
    monkeypatch.setattr(precision, "answers", lambda model: pytest.fail("checked again"))
    second, again = load_fastest(folder)
    assert again == found and same(first, second) and len(asked) == measurements
    (kept,) = measured.recall_all("checked").values()
    assert kept["name"] == str(folder) and kept["int8"] and kept["loaded"] == "bfloat16"


def test_other_weights_are_checked_again(folder: Path, machine: Machine) -> None:
    machine(["AMX"], half=3.0, int8=2.0)
    load_fastest(folder)
    torch.manual_seed(1)
    Llama(LLAMA).save_pretrained(folder)
    load_fastest(folder)
    assert len(measured.recall_all("checked")) == 2


@pytest.mark.parametrize("content", ["", "[]", '{"checked": 3, "speed": []}', '{"checked": {', "[" * 5000])
def test_a_broken_file_of_measurements_is_written_anew(content: str, folder: Path, machine: Machine) -> None:
    machine(["AMX"], half=3.0, int8=1.0)
    file = measured.model_cache() / "precision.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    assert load_fastest(folder)[1].dtype == "bfloat16"
    assert json.loads(file.read_text())["checked"]


def test_a_cache_that_cannot_be_written_keeps_nothing(
    folder: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(["AMX"], half=3.0, int8=1.0)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert load_fastest(folder)[1].dtype == "bfloat16"
    assert not measured.recall_all("checked")


def test_small_models_stay_as_they_are(
    folder: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = machine(["AMX"], half=3.0, int8=2.0)
    monkeypatch.setattr(precision, "MIN_PARAMETERS", 20_000_000)
    assert load_fastest(folder)[1] == Precision("float32") and not asked


def test_the_measurement_itself_is_made_and_kept() -> None:
    device, before = torch.device("cpu"), torch.float32
    first = precision.speedup_of("int8", (64, 96), device, before, torch.int8)
    assert first > 0 and len(measured.recall_all("speed")) == 1
    assert precision.speedup_of("int8", (64, 96), device, before, torch.int8) == pytest.approx(
        first, abs=0.01
    )
    assert precision.speedup_of("half", (64, 96), device, before, torch.bfloat16) > 0


@pytest.mark.parametrize(
    "name", sorted(set(RULES) & {"clip", "siglip", "owlv2", "sam", "coca", "llama", "llava"})
)
def test_all_types_answer_in_both_precisions(name: str) -> None:
    model = make(name)
    want = precision.answers(model)
    assert {answer.split()[0] for answer in want} <= precision.TOLERANCES.keys()
    assert max(precision.disagreement(want, precision.answers(model)).values()) < 1e-5
    precision.convert(model, Precision("bfloat16", bool(RULES[name].writers)))
    have = precision.answers(model)
    assert all(torch.isfinite(value).all() for value in have.values())
    assert precision.disagreement(want, have).keys() == {answer.split()[0] for answer in want}
    assert precision.disagreement(want, have).get("features", 0.0) < 0.01
    for part in RULES[name].encoders:
        assert {p.dtype for p in precision._part(model, part).parameters()} == {torch.bfloat16}


# -- int8 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [(1,), (2, 3), (40,), (2, 20)])
@pytest.mark.parametrize(
    ("inputs", "outputs", "bias"), [(128, 96, True), (128, 97, False), (100, 31, True), (24, 16, False)]
)
def test_int8_layers_are_close(
    inputs: int, outputs: int, bias: bool, rows: tuple[int, ...], dtype: Any
) -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(inputs, outputs, bias=bias).to(dtype)
    x = torch.randn(*rows, inputs).to(dtype)
    layer = Int8Linear(linear)
    with torch.no_grad():
        have, want = layer(x), linear.float()(x.float())
    assert have.dtype == dtype and have.shape == want.shape
    error = (have.float() - want).norm() / want.norm()
    assert error < 0.012


def test_a_row_of_zeros_stays_one() -> None:
    linear = torch.nn.Linear(16, 3, bias=False)
    torch.nn.init.zeros_(linear.weight)
    layer = Int8Linear(linear)
    assert torch.equal(layer(torch.randn(2, 16)), torch.zeros(2, 3))


def test_all_linear_layers_within_a_module_are_replaced() -> None:
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 8), torch.nn.ModuleList([torch.nn.Sequential(torch.nn.Linear(8, 8))])
    )
    outer = torch.nn.Module()
    outer.model = model
    quantise(outer, "model")
    assert not any(type(module) is torch.nn.Linear for module in outer.modules())
    assert sum(isinstance(module, Int8Linear) for module in outer.modules()) == 2


# -- how far answers are apart ---------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e10])
def test_directions_of_features_count_whatever_their_size(scale: float) -> None:
    want = scale * torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    assert precision.disagreement({"features": want}, {"features": 2 * want})["features"] == 0
    turned = scale * torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    assert precision.disagreement({"features": want}, {"features": turned})["features"] == pytest.approx(
        0.293, abs=1e-3
    )


def test_only_clear_pixels_of_masks_count() -> None:
    want = torch.tensor([5.0, -5.0, 0.1, -0.1])
    assert (
        precision.disagreement({"masks": want}, {"masks": torch.tensor([5.0, -5.0, -0.1, 0.1])})["masks"] == 0
    )
    assert (
        precision.disagreement({"masks": want}, {"masks": torch.tensor([-5.0, -5.0, 0.1, -0.1])})["masks"]
        == 0.5
    )


def test_another_token_may_be_as_likely() -> None:
    want = torch.tensor([[0.5, 0.4, 0.1]]).log()
    near, far = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    assert (
        precision.disagreement({"tokens a": want}, {"tokens a": near})["tokens"]
        < precision.TOLERANCES["tokens"]
    )
    assert (
        precision.disagreement({"tokens a": want}, {"tokens a": far})["tokens"]
        > precision.TOLERANCES["tokens"]
    )
