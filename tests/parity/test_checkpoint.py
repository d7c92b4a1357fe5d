"""Which weights of a folder are read, and what is said of those that are not."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402

from visprog.models import WEIGHTS  # noqa: E402
from visprog.models.checkpoint.weight_files import few  # noqa: E402
from visprog.models.clip.model import Clip, ClipConfig, ImageEncoder, TextEncoder  # noqa: E402
from visprog.models.coca import Coca  # noqa: E402
from visprog.models.llama import Llama, LlamaConfig  # noqa: E402
from visprog.models.llava.model import Llava  # noqa: E402
from visprog.models.owlvit import OwlVit  # noqa: E402
from visprog.models.sam.model import Sam  # noqa: E402
from visprog.models.siglip import Siglip  # noqa: E402

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PARTS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


def hub_llama(folder: Path, seed: int = 0, **changes: Any) -> Any:
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=31,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        **changes,
    )
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(folder)
    return model


def rewrite(folder: Path, **changes: Any) -> None:
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | changes))


def shard(folder: Path) -> dict[str, str]:
    """Cut `model.safetensors` into two files and an index; which file holds what."""
    state = load_file(folder / SINGLE)
    names = sorted(state)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    for file, half in zip(PARTS, halves, strict=True):
        save_file({name: state[name] for name in half}, folder / file)
    (folder / SINGLE).unlink()
    weight_map = {name: file for file, half in zip(PARTS, halves, strict=True) for name in half}
    write_index(folder, weight_map)
    return weight_map


def write_index(folder: Path, weight_map: Any) -> None:
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def same(ours: Any, theirs: Any) -> bool:
    tokens = torch.arange(9)[None]
    return torch.allclose(ours(tokens).logits, theirs.eval()(tokens).logits, atol=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        "model_ema.safetensors", "a.safetensors", "pytorch_model-00001-of-00001.safetensors", "z.safetensors",
        "open_clip_model.safetensors", "model.fp16.safetensors", "adapter_model.safetensors", PARTS[0],
        "consolidated.safetensors", "optimizer.safetensors",
    ],
)  # fmt: skip
@pytest.mark.parametrize("sharded", [False, True])
def test_a_second_file_of_weights_is_left_alone(other: str, sharded: bool, tmp_path: Path) -> None:
    theirs = hub_llama(tmp_path)
    wrong = {name: value * 0 for name, value in load_file(tmp_path / SINGLE).items()}
    if sharded and other != PARTS[0]:
        shard(tmp_path)
    save_file({**wrong, "positional_embedding": torch.zeros(2)}, tmp_path / other)
    assert same(Llama.from_pretrained(tmp_path), theirs)


def test_one_whole_file_counts_before_an_index(tmp_path: Path) -> None:
    theirs = hub_llama(tmp_path)
    whole = (tmp_path / SINGLE).read_bytes()
    shard(tmp_path)
    (tmp_path / SINGLE).write_bytes(whole)
    (tmp_path / PARTS[1]).unlink()
    assert same(Llama.from_pretrained(tmp_path), theirs)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no .safetensors file; there is only"),
        (["pytorch_model.bin"], r"pickled weights \(pytorch_model.bin\) are refused"),
        (["model.fp16.safetensors"], "holds model.fp16.safetensors: copy the one that you mean to"),
        (["weights.safetensors"], "holds weights.safetensors: copy the one"),
        (["open_clip_model.safetensors"], "the layout of open_clip"),
        (["adapter_model.safetensors"], "LoRA adapter .* merge_and_unload"),
        (PARTS, f"the list of the parts, {INDEX}, is missing"),
    ],
)
def test_folders_without_weights_say_what_lies_there(names: list[str], message: str, tmp_path: Path) -> None:
    hub_llama(tmp_path)
    content = (tmp_path / SINGLE).read_bytes()
    (tmp_path / SINGLE).unlink()
    for name in names:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"neither {SINGLE} nor {INDEX}.*{message}"):
        Llama.from_pretrained(tmp_path)


def test_an_adapter_is_not_passed_over(tmp_path: Path) -> None:
    hub_llama(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="LoRA adapter"):
        Llama.from_pretrained(tmp_path)


def test_indexes_that_do_not_fit_their_files(tmp_path: Path) -> None:
    hub_llama(tmp_path / "whole")
    for number, (message, change) in enumerate(
        {
            "lacks gone.safetensors": lambda m: m | {"model.norm.weight": "gone.safetensors"},
            r"names \.\./whole/model\.safetensors: a file": lambda m: m | {"x": "../whole/model.safetensors"},
            r"names /etc/x\.safetensors": lambda m: m | {"x": "/etc/x.safetensors"},
            r"names sub.x\.safetensors": lambda m: m | {"x": "sub\\x.safetensors"},
            r"names model\.bin": lambda m: m | {"x": "model.bin"},
            r"not in the files .* lm_head\.weight": lambda m: m | {"lm_head.weight": PARTS[1]},
            r"not in the files .* extra": lambda m: m | {"extra": PARTS[1]},
            "holds no list of weights": lambda m: list(m),
            "names no weights": lambda m: {},
        }.items()
    ):
        folder = tmp_path / str(number)
        hub_llama(folder)
        write_index(folder, change(shard(folder)))
        with pytest.raises(ValueError, match=message):
            Llama.from_pretrained(folder)


def test_a_key_in_two_parts_is_ambiguous(tmp_path: Path) -> None:
    hub_llama(tmp_path)
    shard(tmp_path)
    first, second = (load_file(tmp_path / part) for part in PARTS)
    save_file(second | {"lm_head.weight": first["lm_head.weight"] * 0}, tmp_path / PARTS[1])
    with pytest.raises(ValueError, match=rf"lm_head\.weight lies in both {PARTS[0]} and {PARTS[1]}"):
        Llama.from_pretrained(tmp_path)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("left", [0, 5, 2000, -1])
def test_files_that_are_cut_are_named(left: int, sharded: bool, tmp_path: Path) -> None:
    hub_llama(tmp_path)
    if sharded:
        shard(tmp_path)
    file = tmp_path / (PARTS[1] if sharded else SINGLE)
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(ValueError, match=rf"{file.name} is cut or damaged"):
        Llama.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "kind", [torch.int8, torch.uint8, torch.float8_e4m3fn, torch.float8_e5m2, torch.bool]
)
def test_quantised_weights_under_the_usual_names_are_refused(kind: Any, tmp_path: Path) -> None:
    hub_llama(tmp_path)
    state = load_file(tmp_path / SINGLE)
    save_file(state | {"lm_head.weight": state["lm_head.weight"].to(kind)}, tmp_path / SINGLE)
    with pytest.raises(ValueError, match=rf"quantised weights.*head\.weight \({str(kind)[6:]}\)"):
        Llama.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, r"quantization_config \(gptq\)"),
        ({"quantization_config": {"quant_method": "awq"}}, r"\(awq\): quantised weights are not read"),
        ({"quantization_config": {"load_in_8bit": True}}, "quantization_config"),
        ({"compression_config": {"format": "int-quantized"}}, "compression_config"),
        ({"sliding_window": 512}, "config.json asks for sliding_window = 512, which is not implemented"),
        ({"use_qk_norm": True}, "use_qk_norm = True"),
        ({"attention_multiplier": 0.5}, "attention_multiplier = 0.5"),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ({"is_decoder": True, "add_cross_attention": True}, "add_cross_attention = True, is_decoder = True"),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads"),
        ({"transformers_weights": "other.safetensors"}, "transformers_weights"),
        ({"auto_map": {"AutoModel": "own.Own"}}, "auto_map"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"rope_parameters": {"rope_type": "linear"}}, "rotary scaling 'linear' has no 'factor'"),
        ({"rope_parameters": {"rope_type": "default", "mscale": 2}}, "rope_parameters asks for mscale = 2"),
        ({"model_type": "mistral"}, "'mistral', not 'llama'"),
        ({"model_type": None, "architectures": ["Qwen2ForCausalLM"]}, "model_type 'qwen2', not 'llama'"),
    ],
)
def test_settings_that_change_the_model_are_refused_by_name(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    hub_llama(tmp_path)
    rewrite(tmp_path, **change)
    with pytest.raises(ValueError, match=message):
        Llama.from_pretrained(tmp_path)


def test_settings_that_change_nothing_are_let_through(tmp_path: Path) -> None:
    theirs = hub_llama(tmp_path)
    rewrite(
        tmp_path, attention_dropout=0.1, use_cache=False, pretraining_tp=2, sliding_window=None, torch_dtype="float16",
        rope_scaling=None, task_specific_params={"a": 1}, pruned_heads={}, unsloth_version="2026", temperature=0.6,
    )  # fmt: skip
    assert same(Llama.from_pretrained(tmp_path), theirs)


@pytest.mark.parametrize("part", ["text_config", "vision_config"])
@pytest.mark.parametrize("kind", ["CLIP", "Siglip", "Owlv2", "Llava"])
def test_so_are_those_of_a_part(kind: str, part: str, tmp_path: Path) -> None:
    from visprog.models.llava.model import LlavaConfig
    from visprog.models.owlvit import OwlVitConfig
    from visprog.models.siglip import SiglipConfig

    ours: Any = {"CLIP": ClipConfig, "Siglip": SiglipConfig, "Owlv2": OwlVitConfig, "Llava": LlavaConfig}[
        kind
    ]
    raw = getattr(transformers, f"{kind}Config")().to_dict()
    ours.from_hub(raw)
    for change in ({"use_qk_norm": True}, {"quantization_config": {"quant_method": "awq"}}):
        with pytest.raises(ValueError, match=next(iter(change))):
            ours.from_hub(raw | {part: raw[part] | change})
    with pytest.raises(ValueError, match="mystery = 1"):
        ours.from_hub(raw | {"mystery": 1})


@pytest.mark.parametrize("model", [Clip, Siglip, Sam, OwlVit, Llama, Llava, ImageEncoder])
@pytest.mark.parametrize("kind", ["sam2", "sam3", "sam_hq", "siglip2", "blip", "llava_next", "qwen2_5_vl"])
def test_other_kinds_are_refused_in_one_sentence_before_their_weights_are_read(
    kind: str, model: Any, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, "vision_config": {"a": 1}}))
    (tmp_path / SINGLE).write_bytes(b"")
    with pytest.raises(ValueError, match=f"'{kind}'") as caught:
        model.from_pretrained(tmp_path)
    assert len(str(caught.value).removeprefix(str(tmp_path))) < 120


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("Sam2Model", "sam2"),
        ("SamHQModel", "samhq"),
        ("CLIPModel", "clip"),
        ("CLIPVisionModelWithProjection", "clip"),
    ],
)
def test_architectures_tell_the_kind_of_a_file_without_it(architecture: str, kind: str) -> None:
    from visprog.models.sam.model import SamConfig

    with pytest.raises(ValueError, match=f"model_type '{kind}', not 'sam'"):
        SamConfig.from_hub({"architectures": [architecture]})
    SamConfig.from_hub({"architectures": ["SamModel"]})


@pytest.mark.parametrize("tower", [ImageEncoder, TextEncoder])
def test_a_tower_of_a_quantised_checkpoint_is_refused(tower: Any, tmp_path: Path) -> None:
    raw = {"model_type": "clip", "quantization_config": {"quant_method": "bitsandbytes"}}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    with pytest.raises(ValueError, match=r"quantization_config \(bitsandbytes\)"):
        tower.from_pretrained(tmp_path)


def test_lists_of_keys_are_cut(tmp_path: Path) -> None:
    hub_llama(tmp_path)
    state = {f"x.{name}": value for name, value in load_file(tmp_path / SINGLE).items()}
    save_file(state, tmp_path / SINGLE)
    with pytest.raises(
        ValueError, match=r"missing key .* and 18 others; unexpected key .* and 18 others$"
    ) as caught:
        Llama.from_pretrained(tmp_path)
    assert len(str(caught.value)) < 700
    assert few("abcdef") == "a, b, c, d and 2 others" and few("abcd") == "a, b, c, d"


def test_gptq_without_a_word_in_its_configuration(tmp_path: Path) -> None:
    hub_llama(tmp_path)
    state = load_file(tmp_path / SINGLE)
    state["model.layers.0.self_attn.q_proj.qweight"] = state.pop(
        "model.layers.0.self_attn.q_proj.weight"
    ).int()
    save_file(state, tmp_path / SINGLE)
    with pytest.raises(ValueError, match=r"holds quantised weights.*attention\.q\.qweight"):
        Llama.from_pretrained(tmp_path)


def test_own_folders_and_public_ones_are_told_apart_by_their_layout(tmp_path: Path) -> None:
    ours = Llama(LlamaConfig(vocab=11, dim=8, layers=1, heads=2, hidden=8))
    ours.save_pretrained(tmp_path / "own")
    theirs = hub_llama(tmp_path / "hub")
    assert Llama.from_pretrained(tmp_path / "own").config == ours.config
    assert same(Llama.from_pretrained(tmp_path / "hub"), theirs)
    for folder in ("own", "hub"):
        for model in (Clip, Sam, Coca):
            with pytest.raises(
                ValueError, match=f"{folder} is a checkpoint of model_type 'llama', not .*load_model"
            ):
                model.from_pretrained(tmp_path / folder)
    (tmp_path / "hub" / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="holds no JSON object"):
        Llama.from_pretrained(tmp_path / "hub")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_named(value: float, tmp_path: Path) -> None:
    hub_llama(tmp_path)
    state = load_file(tmp_path / SINGLE)
    state["model.norm.weight"][3] = value
    save_file(state, tmp_path / SINGLE)
    with pytest.raises(ValueError, match=r"norm\.weight has values that are not finite"):
        Llama.from_pretrained(tmp_path)


def test_one_weight_under_two_names(tmp_path: Path) -> None:
    theirs = hub_llama(tmp_path, tie_word_embeddings=True)
    state = load_file(tmp_path / SINGLE)
    embedding = state.pop("model.embed_tokens.weight")
    for given in ({"model.embed_tokens.weight": embedding}, {"lm_head.weight": embedding}):
        save_file(state | given, tmp_path / SINGLE)
        ours = Llama.from_pretrained(tmp_path)
        assert same(ours, theirs) and ours.head.weight is ours.embed.weight
    both = {"model.embed_tokens.weight": embedding, "lm_head.weight": embedding.clone()}
    save_file(state | both, tmp_path / SINGLE)
    assert same(Llama.from_pretrained(tmp_path), theirs)
    save_file(state | both | {"lm_head.weight": embedding + 1}, tmp_path / SINGLE)
    with pytest.raises(ValueError, match=r"embed\.weight and head\.weight differ, though .* tied"):
        Llama.from_pretrained(tmp_path)
    save_file(state, tmp_path / SINGLE)
    with pytest.raises(ValueError, match=r"missing key embed\.weight; missing key head\.weight"):
        Llama.from_pretrained(tmp_path)


# -- precision -------------------------------------------------------------------------------------


def dtypes(model: Any) -> set[Any]:
    return {parameter.dtype for parameter in model.parameters()}


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
def test_weights_are_read_in_the_precision_that_is_asked_for(stored: Any, tmp_path: Path) -> None:
    hub_llama(tmp_path, tie_word_embeddings=True).to(stored).save_pretrained(tmp_path)
    assert dtypes(Llama.from_pretrained(tmp_path)) == {torch.float32}
    assert dtypes(Llama.from_pretrained(tmp_path, dtype="auto")) == {stored}
    for asked in ("bfloat16", torch.float16, "float32", torch.float64):
        model = Llama.from_pretrained(tmp_path, dtype=asked)
        assert dtypes(model) == {getattr(torch, asked) if isinstance(asked, str) else asked}
        assert model.head.weight is model.embed.weight and model.rotary.frequencies.dtype == torch.float32
    for wrong in ("int8", "half-ish", torch.int8, "float8_e4m3fn"):
        with pytest.raises(ValueError, match='dtype is "auto", "float32"'):
            Llama.from_pretrained(tmp_path, dtype=wrong)


def test_auto_is_what_most_weights_have(tmp_path: Path) -> None:
    """Norms in float32, and the frequencies that old files hold."""
    hub_llama(tmp_path).bfloat16().save_pretrained(tmp_path)
    state = load_file(tmp_path / SINGLE)
    state["model.norm.weight"] = state["model.norm.weight"].float()
    state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(state, tmp_path / SINGLE)
    assert dtypes(Llama.from_pretrained(tmp_path, dtype="auto")) == {torch.bfloat16}


def test_what_half_precision_cannot_hold_is_refused(tmp_path: Path) -> None:
    hub_llama(tmp_path)
    state = load_file(tmp_path / SINGLE)
    state["lm_head.weight"][0, 0] = 1e6
    save_file(state, tmp_path / SINGLE)
    Llama.from_pretrained(tmp_path, dtype="bfloat16")
    with pytest.raises(ValueError, match=r"head\.weight has values that are not finite in float16"):
        Llama.from_pretrained(tmp_path, dtype="float16")


def test_models_own_their_weights(tmp_path: Path) -> None:
    """A file that is written over does not change a model that was read from it."""
    theirs = hub_llama(tmp_path)
    ours = Llama.from_pretrained(tmp_path)
    file = tmp_path / SINGLE
    with file.open("r+b") as stream:
        stream.seek(file.stat().st_size // 2)
        stream.write(b"\0" * (file.stat().st_size // 2))
    assert same(ours, theirs)


@pytest.mark.parametrize("name", ["clip", "sam", "coca"])
def test_reading_a_model_does_not_import_a_compiler(name: str, tmp_path: Path) -> None:
    """Initial weights are not drawn where the file has others; drawing them takes longer than all the rest."""
    import subprocess
    import sys

    load = f"""
        import sys
        from visprog.models import {name.title()}
        {name.title()}.from_pretrained({str(WEIGHTS / name)!r})
        sys.exit("sympy" in sys.modules)
    """
    assert subprocess.run([sys.executable, "-c", inspect.cleandoc(load)], check=False).returncode == 0


# -- the hub: tests/hub ---------------------------------------------------------------------------


def test_a_revision_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from visprog.models import base

    hub_llama(tmp_path / "there")
    asked: list[str | None] = []

    def fetch(source: str, revision: str | None = None) -> Path:
        asked.append(revision)
        return tmp_path / "there"

    with monkeypatch.context() as patch:
        patch.setattr(base, "fetch", fetch)
        Llama.from_pretrained("org/name", revision="v1.5")
    assert asked == ["v1.5"]
    with pytest.raises(ValueError, match=r"is a folder, which has no revision 'v1\.5'"):
        Llama.from_pretrained(tmp_path / "there", revision="v1.5")
