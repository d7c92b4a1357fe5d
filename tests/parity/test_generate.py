"""Generation against transformers': the same tokens from the same weights."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from visprog.models.checkpoint.checkpoint import load_exactly  # noqa: E402
from visprog.models.llama import KEYS, Llama, LlamaConfig  # noqa: E402
from visprog.models.nn.generate import Beams, Sampling, generate  # noqa: E402

PAD, VOCAB = 1, 23


@pytest.fixture(scope="module", params=[0, 1])
def pair(request: pytest.FixtureRequest):
    torch.manual_seed(request.param)
    config = transformers.LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.35,
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    theirs.generation_config.pad_token_id = PAD
    ours = Llama(LlamaConfig.from_hub(config.to_dict())).eval()
    load_exactly(ours, KEYS.to_ours(theirs.state_dict()), "here")
    return theirs, ours


def prompts(batch: int = 3, length: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Left-padded prompts of different lengths."""
    tokens = torch.randint(2, VOCAB, (batch, length), generator=torch.Generator().manual_seed(batch))
    mask = torch.ones(batch, length, dtype=torch.bool)
    for row in range(1, batch):
        mask[row, : row + 1] = False
    return tokens.masked_fill(~mask, PAD), mask


def reference(theirs, tokens, mask, max_new: int, **settings) -> torch.Tensor:
    out = theirs.generate(
        tokens, attention_mask=mask.long(), max_new_tokens=max_new, pad_token_id=PAD, **settings
    )
    return out[:, tokens.shape[1] :]


@pytest.mark.parametrize("stop", [(), (5,), (5, 9, 17)], ids=str)
def test_greedy(pair, stop) -> None:
    theirs, ours = pair
    tokens, mask = prompts()
    want = reference(theirs, tokens, mask, 20, do_sample=False, eos_token_id=list(stop) or None)
    assert torch.equal(ours.generate(tokens, 20, mask=mask, stop=stop, pad=PAD), want)
    from_embeddings = ours.generate(None, 20, embeddings=ours.embed(tokens), mask=mask, stop=stop, pad=PAD)
    assert torch.equal(from_embeddings, want)


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize(
    ("count", "stop", "length_penalty"),
    [
        (2, (5,), 1.0),
        (4, (5, 9, 17), 1.0),
        (3, (5, 9), 0.0),
        (3, (5, 9, 17), 2.5),
        (3, (5,), -1.0),
        (3, (), 1.0),
    ],
    ids=str,
)
def test_beams(pair, count, stop, length_penalty, early_stopping) -> None:
    theirs, ours = pair
    for batch, length, max_new in ((3, 6, 7), (1, 2, 10)):
        tokens, mask = prompts(batch, length)
        want = reference(
            theirs, tokens, mask, max_new, do_sample=False, num_beams=count, eos_token_id=list(stop) or None,
            length_penalty=length_penalty, early_stopping=early_stopping,
        )  # fmt: skip
        beams = Beams(count, length_penalty, early_stopping)
        have = ours.generate(tokens, max_new, mask=mask, stop=stop, pad=PAD, search=beams)
        assert torch.equal(have, want)


@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 0.6}, {"top_k": 4}, {"top_p": 0.7}, {"temperature": 1.5, "top_k": 9, "top_p": 0.8}],
    ids=str,
)
def test_sampling_probabilities(settings) -> None:
    logits = 3 * torch.randn(50, VOCAB, generator=torch.Generator().manual_seed(0))
    want = logits
    processors = transformers.generation.logits_process
    if "temperature" in settings:
        want = processors.TemperatureLogitsWarper(settings["temperature"])(None, want)
    if "top_k" in settings:
        want = processors.TopKLogitsWarper(settings["top_k"])(None, want)
    if "top_p" in settings:
        want = processors.TopPLogitsWarper(settings["top_p"])(None, want)
    torch.testing.assert_close(Sampling(**settings).probabilities(logits), want.softmax(-1))


def test_sampling_draws_from_them_and_repeats_with_its_seed(pair) -> None:
    _, ours = pair
    logits = torch.tensor([[0.0, 1.0, 2.0, -30.0]]).expand(20_000, -1)
    drawn = Sampling(generator=torch.Generator().manual_seed(0)).draw(logits)
    frequencies = drawn.bincount(minlength=4) / len(drawn)
    torch.testing.assert_close(frequencies, logits[0].softmax(-1), atol=0.015, rtol=0)
    tokens, mask = prompts()
    runs = [
        ours.generate(tokens, 12, mask=mask, search=Sampling(generator=torch.Generator().manual_seed(seed)))
        for seed in (3, 3, 4)
    ]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
    cold = ours.generate(tokens, 12, mask=mask, search=Sampling(temperature=1e-4))
    assert torch.equal(cold, ours.generate(tokens, 12, mask=mask))


@dataclass
class Script:
    """Always wants to write the same words: sentence i of `sentences` in row i."""

    sentences: torch.Tensor
    step: int = 0
    read: int = 0

    @property
    def logits(self) -> torch.Tensor:
        return torch.nn.functional.one_hot(self.sentences[:, self.step], VOCAB).float()

    def advance(self, tokens: torch.Tensor) -> None:
        self.step += 1
        self.read += 1

    def reorder(self, rows: torch.Tensor) -> None:
        self.sentences = self.sentences[rows]


def test_a_finished_sequence_is_padded_and_the_batch_stops_early() -> None:
    script = Script(torch.tensor([[4, 7, 8, 9, 3, 3], [4, 5, 6, 7, 8, 7]]))
    assert generate(script, 6, stop=[7], pad=0).tolist() == [[4, 7, 0, 0], [4, 5, 6, 7]]
    assert script.read == 3  # the last token is never read
    assert generate(Script(script.sentences), 6, stop=[7]).tolist() == [[4, 7, 7, 7], [4, 5, 6, 7]]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature must be above 0"):
        Sampling(temperature=0)
    with pytest.raises(ValueError, match="top_p must be above 0 and at most 1"):
        Sampling(top_p=1.5)
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        Sampling(top_k=0)
    with pytest.raises(ValueError, match="count must be at least 1"):
        Beams(0)
    with pytest.raises(ValueError, match="max_new must be at least 1"):
        generate(Script(torch.tensor([[1]])), 0)
