"""Our LLaMA against transformers' and our numpy decoder against our LLaMA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from visprog.errors import PlannerError  # noqa: E402
from visprog.models import WEIGHTS  # noqa: E402
from visprog.models.llama import KEYS, Llama, LlamaConfig, RopeScaling, answer_loss, next_token_loss  # noqa: E402
from visprog.planner.embedded.decoder import Decoder  # noqa: E402

SHAPES = {
    "plain": {},
    "grouped": {"num_key_value_heads": 2},
    "one key": {"num_key_value_heads": 1, "num_hidden_layers": 3},
    "tied": {
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500.0},
        "rms_norm_eps": 1e-3,
    },
    "biased, wide heads": {"attention_bias": True, "head_dim": 12, "num_key_value_heads": 2},
    "linear": {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}},
    "llama3": {
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 24,
        }
    },
}
UNKNOWN = {
    "mlp_bias True": {"mlp_bias": True},
    "hidden_act 'gelu'": {"hidden_act": "gelu"},
    "rotary scaling 'yarn'": {"rope_scaling": {"type": "yarn", "factor": 2.0}},
    "rotary scaling 'dynamic'": {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}},
    "a part of the channels": {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
    "model_type 'qwen2'": {"model_type": "qwen2"},
}


@pytest.fixture(params=SHAPES, ids=str)
def pair(request: pytest.FixtureRequest, tmp_path: Path):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        **{
            "vocab_size": 101,
            "hidden_size": 32,
            "intermediate_size": 56,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "initializer_range": 0.2,
            **SHAPES[request.param],
        }
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    theirs.save_pretrained(tmp_path, max_shard_size="20KB" if request.param == "grouped" else "5GB")
    return theirs, Llama.from_pretrained(tmp_path).eval()


def test_outputs_intermediates_loss_and_gradients_agree(pair) -> None:
    theirs, ours = pair
    tokens = torch.randint(0, 101, (3, 17), generator=torch.Generator().manual_seed(1))
    want = theirs(tokens, labels=tokens, output_hidden_states=True)
    have = ours(tokens, collect=True)
    torch.testing.assert_close(have.logits, want.logits, atol=1e-5, rtol=1e-5)
    assert len(have.hidden) == len(want.hidden_states) - 1
    for layer, hidden in enumerate(have.hidden[:-1]):  # their last one is after the final norm
        torch.testing.assert_close(hidden, want.hidden_states[layer + 1], atol=1e-5, rtol=1e-5)
    loss = next_token_loss(have.logits, tokens, torch.ones_like(tokens))
    torch.testing.assert_close(loss, want.loss, atol=1e-5, rtol=1e-5)
    loss.backward()
    want.loss.backward()
    gradients = KEYS.to_theirs({k: p.grad for k, p in ours.named_parameters()})
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-5, rtol=1e-4)


def test_left_padding_changes_nothing(pair) -> None:
    theirs, ours = pair
    tokens = torch.randint(0, 101, (2, 9), generator=torch.Generator().manual_seed(2))
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[0, :4] = False
    want = theirs(
        tokens, attention_mask=mask.long(), position_ids=(mask.long().cumsum(-1) - 1).clamp(min=0)
    ).logits
    have = ours(tokens, mask).logits
    torch.testing.assert_close(have[mask], want[mask], atol=1e-5, rtol=1e-5)


def test_cached_decoding_equals_the_whole_and_generation_agrees(pair) -> None:
    theirs, ours = pair
    tokens = torch.randint(0, 101, (2, 12), generator=torch.Generator().manual_seed(3))
    whole = ours(tokens).logits
    cache = ours.new_cache(2, 12)
    parts = [ours(tokens[:, a:b], cache=cache).logits for a, b in ((0, 5), (5, 6), (6, 12))]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="holds 12 positions"):
        ours(tokens[:, :1], cache=cache)
    want = theirs.generate(tokens, max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert torch.equal(ours.generate(tokens, 8), want[:, 12:])
    assert ours.generate(tokens, 8).requires_grad is False


def test_key_map_is_its_own_reverse(pair) -> None:
    theirs, ours = pair
    back = KEYS.to_theirs(ours.state_dict())
    theirs.load_state_dict(back)  # strict
    assert set(KEYS.to_ours(theirs.state_dict())) == set(ours.state_dict())


def test_loss_with_logits_of_the_answers_only(pair) -> None:
    _, ours = pair
    tokens = torch.randint(0, 101, (3, 9), generator=torch.Generator().manual_seed(4))
    weight = torch.tensor([[0.0] * 4 + [1.0] * 5, [0.0] * 7 + [2.0] * 2, [0.0] * 9])
    out = ours(tokens)
    want = next_token_loss(out.logits, tokens, weight)
    have = answer_loss(out.features, ours.head.weight, tokens, weight)
    torch.testing.assert_close(have, want)


@pytest.mark.parametrize("message", UNKNOWN)
def test_what_is_not_implemented_is_refused(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LlamaConfig.from_hub(UNKNOWN[message])


def test_old_files_say_it_in_other_words() -> None:
    config = LlamaConfig.from_hub({"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_theta": 5e5})
    assert config.scaling == RopeScaling("linear", 2.0) and config.theta == 5e5
    assert (config.vocab, config.dim, config.layers, config.hidden) == (32000, 4096, 32, 11008)


def test_scaled_positions_are_saved(tmp_path: Path) -> None:
    config = LlamaConfig(vocab=11, dim=8, layers=1, heads=2, hidden=8, scaling=RopeScaling("llama3", 8.0))
    Llama(config).save_pretrained(tmp_path)
    assert Llama.from_pretrained(tmp_path).config == config


def test_missing_keys_are_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    Llama(LlamaConfig(vocab=11, dim=8, layers=1, heads=2, hidden=8)).save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["norm.weight"]
    save_file({**state, "surplus": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"missing key norm.weight; unexpected key surplus"):
        Llama.from_pretrained(tmp_path)


@pytest.mark.parametrize("tied", [True, False])
def test_numpy_decoder_agrees(tmp_path: Path, tied: bool) -> None:
    torch.manual_seed(0)
    model = Llama(LlamaConfig(vocab=53, dim=24, layers=3, heads=4, hidden=40, tied=tied))
    for parameter in model.parameters():
        parameter.data.normal_(std=0.3)
    model.save_pretrained(tmp_path, torch.float16)
    model = Llama.from_pretrained(tmp_path).eval()  # float16 on disk: compare with what was read back
    tokens = list(range(1, 20))
    want = model(torch.tensor([tokens])).logits[0].detach().numpy()
    decoder = Decoder(tmp_path)
    np.testing.assert_allclose(decoder.feed(tokens[:7]), want[6], atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(decoder.feed(tokens[7:8]), want[7], atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(decoder.feed(tokens[8:]), want[-1], atol=1e-4, rtol=1e-4)
    decoder.reset()
    np.testing.assert_allclose(decoder.feed(tokens), want[-1], atol=1e-4, rtol=1e-4)


def test_numpy_decoder_refuses_another_model() -> None:
    with pytest.raises(PlannerError, match=r"the model_type in .*config\.json is 'sam', not 'llama'"):
        Decoder(WEIGHTS / "sam")
