"""Our dVAE and DALL-E against stored numbers of OpenAI's `dall_e` and of dalle_pytorch (tests/parity/data/make_dalle.py
says how they were made), and their losses, masks and samples against what they must be."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from visprog.models import Dalle, DalleConfig, Dvae, DvaeConfig, load_model  # noqa: E402
from visprog.models.checkpoint.checkpoint import load_exactly  # noqa: E402
from visprog.models.checkpoint.keymap import KeyMap  # noqa: E402
from visprog.models.dalle.dvae import (  # noqa: E402
    dvae_loss,
    logit_laplace_log_prob,
    map_pixels,
    uniform_kl,
    unmap_pixels,
)
from visprog.models.dalle.hub import dvae_keys  # noqa: E402
from visprog.models.dalle.model import attention_mask, dalle_loss, paper_attention  # noqa: E402
from visprog.models.nn.generate import Sampling  # noqa: E402

DVAE = DvaeConfig(image_size=16, group_count=4, n_init=6, n_hid=4, n_blk_per_group=2, vocab_size=16)
GRID = DvaeConfig(image_size=16, group_count=3, n_init=8, n_hid=8, n_blk_per_group=1, vocab_size=13)
TINY = DalleConfig(
    GRID, vocab=11, length=5, dim=12, layers=2, heads=2, head_dim=4, hidden=48, attention=("full", "column")
)
"""The grid of the stored numbers, 4 x 4 tokens out of 13."""

LAYER = "transformer.layers.layers.{}"
KEYS = KeyMap(
    [
        ("text_emb.weight", "text_embed.weight"),
        ("image_emb.weight", "image_embed.weight"),
        ("text_pos_emb.weight", "text_positions"),
        ("image_pos_emb.weights.0", "row_positions"),
        ("image_pos_emb.weights.1", "column_positions"),
        (f"{LAYER}.0.fn.norm.{{}}", "blocks.{}.attention_norm.{}"),
        (
            f"{LAYER}.0.fn.fn.fn.to_qkv.{{}}",
            tuple(f"blocks.{{}}.attention.{x}.{{}}" for x in "qkv"),
        ),
        (f"{LAYER}.0.fn.fn.fn.to_out.0.{{}}", "blocks.{}.attention.out.{}"),
        (f"{LAYER}.1.fn.norm.{{}}", "blocks.{}.mlp_norm.{}"),
        (f"{LAYER}.1.fn.fn.net.0.{{}}", "blocks.{}.mlp.layers.0.{}"),
        (f"{LAYER}.1.fn.fn.net.2.{{}}", "blocks.{}.mlp.layers.1.{}"),
        ("to_logits.0.{}", "norm.{}"),
    ]
)
"""The layout of dalle_pytorch, but for its head, which is both of ours."""


@pytest.fixture(scope="module")
def stored() -> dict[str, torch.Tensor]:
    return load_file(Path(__file__).with_name("data") / "dalle.safetensors")


def part(stored: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}


def dvae_part(stored: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Weights or gradients of the dVAE, under their names."""
    return {k: v for k, v in part(stored, prefix).items() if not k.startswith("dalle.")}


def dalle_part(stored: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Weights or gradients of the transformer, under our names."""
    found = KEYS.to_ours(part(stored, f"{prefix}dalle."))
    for name in ("row_positions", "column_positions"):
        found[name] = found[name].flatten(0, 2)
    for kind in ("weight", "bias"):
        head = found.pop(f"to_logits.1.{kind}")
        found[f"text_head.{kind}"], found[f"image_head.{kind}"] = head[:16], head[16:]
    return found


def close(found: torch.Tensor, want: torch.Tensor, name: str = "") -> None:
    torch.testing.assert_close(found, want, atol=1e-5, rtol=1e-4, msg=lambda text: f"{name}: {text}")


# -- the discrete autoencoder --------------------------------------------------------------------------


def test_dvae_is_that_of_the_package(stored: dict[str, torch.Tensor]) -> None:
    model = Dvae(DVAE)
    keys = dvae_keys(DVAE.group_count, DVAE.n_blk_per_group)
    theirs = dvae_part(stored, "weight.")
    load_exactly(model, keys.to_ours(theirs), "dalle.safetensors")
    back = keys.to_theirs(model.state_dict())
    assert back.keys() == theirs.keys() and all(torch.equal(back[k], theirs[k]) for k in theirs)
    logits = model.encode(stored["dvae.images"])
    stats = model.decoder(stored["dvae.tokens"])
    close(logits, stored["dvae.logits"])
    close(stats, stored["dvae.stats"])
    close(unmap_pixels(stats[:, :3].sigmoid()), stored["dvae.pixels"])
    loss = (logits * stored["dvae.logits_weight"]).sum() + (stats * stored["dvae.stats_weight"]).sum()
    loss.backward()
    want = keys.to_ours(dvae_part(stored, "grad."))
    assert want.keys() == dict(model.named_parameters()).keys()
    for name, parameter in model.named_parameters():
        close(parameter.grad, want[name], name)


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_files_of_the_package_are_read(stored: dict[str, torch.Tensor], tmp_path: Path, ending: str) -> None:
    theirs = dvae_part(stored, "weight.")
    files = []
    for half in ("encoder", "decoder"):
        files.append(tmp_path / f"{half}{ending}")
        state = {k.removeprefix(f"{half}."): v for k, v in theirs.items() if k.startswith(half)}
        (torch.save if ending == ".pt" else save_file)(state, files[-1])
    model = Dvae.from_dall_e(*files)
    assert (model.config.n_init, model.config.n_hid, model.config.vocab_size) == (6, 4, 16)
    assert (model.config.group_count, model.config.n_blk_per_group) == (4, 2)
    close(model.encode(stored["dvae.images"]), stored["dvae.logits"])
    (torch.save if ending == ".pt" else save_file)({"x": torch.zeros(1)}, files[0])
    with pytest.raises(ValueError, match=r"lacks 'encoder\.blocks\.input\.w'"):
        Dvae.from_dall_e(*files)


class Module:
    """Runs code when it is unpickled, as the modules in the public files could."""

    def __reduce__(self) -> Any:
        return print, ("unpickled",)


def test_pickled_modules_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(Module(), tmp_path / "encoder.pkl")
    with pytest.raises(ValueError, match=r"is no file of tensors.*save their tensors: torch\.save"):
        Dvae.from_dall_e(tmp_path / "encoder.pkl", tmp_path / "decoder.pkl")
    with pytest.raises(ValueError, match=r"there is no file .*decoder.pt$"):
        torch.save({"x": torch.zeros(1)}, tmp_path / "encoder.pt")
        Dvae.from_dall_e(tmp_path / "encoder.pt", tmp_path / "decoder.pt")
    assert "unpickled" not in capsys.readouterr().out


def test_gradient_of_the_whole_loss_is_that_of_its_formula() -> None:
    torch.manual_seed(0)
    model = Dvae(GRID)
    images = torch.rand(2, 3, 16, 16)
    torch.manual_seed(7)
    losses = dvae_loss(model(images, temperature=0.5), images, kl_weight=6.6)
    losses["loss"].backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()

    torch.manual_seed(7)
    x = 0.8 * images + 0.1
    logits = model.encoder(x)
    noise = -torch.empty_like(logits).exponential_().log()
    mu, ln_b = model.decoder(((logits + noise) / 0.5).softmax(1)).split(3, 1)
    b, logit = ln_b.exp(), (x / (1 - x)).log()
    density = torch.exp(-(logit - mu).abs() / b) / (2 * b * x * (1 - x))
    q = logits.softmax(1)
    divergence = (q * (q * 13).log()).sum(1)  # 13 tokens, 16 places of 4 x 4 pixels
    loss = (-density.log().sum() + 6.6 * divergence.sum()) / images.numel()
    close(losses["loss"], loss)
    close(losses["nll"], -density.log().mean())
    close(losses["kl"], divergence.mean())
    loss.backward()
    for name, parameter in model.named_parameters():
        close(parameter.grad, found[name], name)


def test_divergence_is_that_of_dalle_pytorch(stored: dict[str, torch.Tensor]) -> None:
    torch.testing.assert_close(
        uniform_kl(stored["kl.logits"]).sum(), stored["kl.sum"].reshape(()), atol=1e-4, rtol=1e-4
    )
    peaked = torch.zeros(1, 8, 1, 1)
    assert uniform_kl(peaked).item() == pytest.approx(0, abs=1e-6)
    peaked[0, 3] = 50
    assert uniform_kl(peaked).item() == pytest.approx(math.log(8))


def test_logit_laplace_is_a_density() -> None:
    x = torch.linspace(0, 1, 200_001, dtype=torch.float64)[1:-1]
    for mu, ln_b in ((0.0, -1.0), (1.3, 0.2)):
        log_prob = logit_laplace_log_prob(x, torch.tensor(mu), torch.tensor(ln_b))
        assert torch.trapezoid(log_prob.exp(), x).item() == pytest.approx(1, abs=1e-3)
    assert map_pixels(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([0.1, 0.9])
    close(unmap_pixels(map_pixels(x)), x)


def test_a_low_temperature_draws_whole_tokens() -> None:
    torch.manual_seed(0)
    model, images = Dvae(GRID), torch.rand(2, 3, 16, 16)
    warm, cold = model(images, 1.0).tokens, model(images, 1e-3).tokens
    close(warm.sum(1), torch.ones(2, 4, 4))
    assert warm.amax(1).max() < 0.99 and cold.amax(1).min() > 0.99
    tokens = model.encode_images(images)
    mu, _ = model.decoder(F.one_hot(tokens, 13).permute(0, 3, 1, 2).float()).chunk(2, 1)
    close(model.decode(tokens), unmap_pixels(mu.sigmoid()))


def test_other_sizes_and_wrong_settings() -> None:
    model = Dvae(GRID)
    assert model.encode_images(torch.rand(1, 3, 8, 20)).shape == (1, 2, 5)
    with pytest.raises(ValueError, match="18 x 16 pixels has no whole tokens of 4 pixels"):
        model.encode(torch.rand(1, 3, 16, 18))
    for wrong, message in (
        ({"image_size": 18}, "image_size must be a multiple of 4"),
        ({"n_hid": 6}, "n_hid must be a multiple of 4"),
        ({"group_count": 0}, "group_count and n_blk_per_group must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            DvaeConfig(**{"group_count": 3, "image_size": 16, **wrong})


# -- the transformer -----------------------------------------------------------------------------------


@pytest.fixture
def model() -> Dalle:
    torch.manual_seed(0)
    config = DalleConfig(GRID, vocab=11, length=5, dim=16, layers=4, heads=2, head_dim=8, hidden=32, kernel=3)
    model = Dalle(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def test_logits_loss_and_gradients_are_those_of_dalle_pytorch(stored: dict[str, torch.Tensor]) -> None:
    model = Dalle(TINY)
    own = dalle_part(stored, "weight.")
    load_exactly(
        model,
        own | {k: v for k, v in model.state_dict().items() if k.startswith("dvae.")},
        "dalle.safetensors",
    )
    text, image = stored["dalle.text"], stored["dalle.image"]
    out = model(text, image)
    logits = stored["dalle.logits"]
    close(out.text_logits, logits[:, :5, :16])
    close(out.image_logits, logits[:, 5:, 16:])
    impossible = torch.finfo(torch.float32).max  # what theirs has where ours has no logit
    assert (logits[:, :5, 16:] == -impossible).all() and (logits[:, 5:, :16] == -impossible).all()
    losses = dalle_loss(out, model.padded(text), image)
    close(losses["loss"], stored["dalle.loss"])
    losses["loss"].backward()
    want = dalle_part(stored, "grad.")
    for name, parameter in model.named_parameters():
        if not name.startswith("dvae."):
            close(parameter.grad, want[name], name)
            own.pop(name)
    assert not own


def test_names_of_dalle_pytorch_both_ways(stored: dict[str, torch.Tensor]) -> None:
    theirs = part(stored, "weight.dalle.")
    back = KEYS.to_theirs(KEYS.to_ours(theirs))
    assert back.keys() == theirs.keys() and all(torch.equal(back[k], theirs[k]) for k in theirs)


def test_loss_weighs_image_and_text_seven_to_one(model: Dalle) -> None:
    text, image = torch.randint(1, 11, (2, 5)), torch.randint(0, 13, (2, 16))
    out = model(text, image)
    out = out._replace(text_logits=torch.zeros(2, 5, 16), image_logits=torch.zeros(2, 16, 13))
    losses = dalle_loss(out, model.padded(text), image)
    assert losses["loss"].item() == pytest.approx((math.log(16) + 7 * math.log(13)) / 8)
    equal = dalle_loss(out, model.padded(text), image, image_weight=1)
    assert equal["loss"].item() == pytest.approx((math.log(16) + math.log(13)) / 2)


def allowed(name: str, prefix: int, side: int, kernel: int, query: int, key: int) -> bool:
    """Whether one position attends to another, from the words of the paper."""
    if key > query:
        return False
    if key < prefix or query < prefix:
        return True
    (row, column), (above, left) = divmod(query - prefix, side), divmod(key - prefix, side)
    if name == "column":
        return column == left
    if name == "row":  # the last tokens in raster order, down to the one in the same column of the row above
        return (above, left) >= (row - 1, column)
    if (
        name == "convolution"
    ):  # with wraparound: the offset of a row and a column, as a distance in raster order
        half = kernel // 2
        steps = range(-half, half + 1)
        return any(query - key == side * a + b for a in steps for b in steps)
    return True


@pytest.mark.parametrize(("side", "kernel"), [(4, 3), (5, 3), (6, 5), (3, 11)])
@pytest.mark.parametrize("name", ["row", "column", "convolution", "full"])
def test_masks_are_those_of_the_paper(name: str, side: int, kernel: int) -> None:
    prefix, n = 7, 6 + side**2
    want = [[allowed(name, prefix, side, kernel, q, k) for k in range(n)] for q in range(n)]
    assert attention_mask(name, prefix, side, kernel).tolist() == want


def test_figure_11() -> None:
    """Six text tokens without a start, a grid of 4 x 4: each image token attends to five tokens in row attention."""
    assert attention_mask("row", 6, 4, 3)[12, 6:].int().tolist() == [0, 0, 1, 1, 1, 1, 1] + [0] * 8
    assert attention_mask("column", 6, 4, 3)[14, 6:].int().tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 1] + [0] * 6
    assert (
        attention_mask("convolution", 6, 4, 3)[15, 6:].int().tolist()
        == [0, 0, 0, 0, 1, 1, 1, 0, 1, 1] + [0] * 5
    )
    assert paper_attention(8) == ("row", "column", "row", "row", "row", "column", "row", "convolution")


def test_every_layer_is_attention_with_its_mask(model: Dalle) -> None:
    """The blocks in closed form, with `F.scaled_dot_product_attention` and the masks of `allowed`."""
    text, image = torch.tensor([[3, 9, 4, 0, 0], [7, 8, 0, 0, 0]]), torch.randint(0, 13, (2, 16))
    out = model(text, image)
    ids = torch.tensor([[0, 3, 9, 4, 11 + 3, 11 + 4], [0, 7, 8, 11 + 2, 11 + 3, 11 + 4]])
    places = torch.arange(15)
    x = torch.cat(
        [
            model.text_embed.weight[ids] + model.text_positions,
            model.image_embed.weight[image[:, :15]]
            + model.row_positions[places // 4]
            + model.column_positions[places % 4],
        ],
        1,
    )
    close(out.embeds, x)
    for block, name in zip(model.blocks, ("row", "column", "row", "convolution"), strict=True):
        mask = torch.tensor([[allowed(name, 6, 4, 3, q, k) for k in range(21)] for q in range(21)])
        y, attention = block.attention_norm(x), block.attention
        q, k, v = (getattr(attention, p)(y).unflatten(-1, (2, 8)).transpose(1, 2) for p in ("q", "k", "v"))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + attention.out(y.transpose(1, 2).flatten(2))
        x = x + block.mlp.layers[1](F.gelu(block.mlp.layers[0](block.mlp_norm(x))))
    close(out.hidden, x)
    x = model.norm(x)
    close(out.text_logits, model.text_head(x[:, :5]))
    close(out.image_logits, model.image_head(x[:, 5:]))


def test_tokens_depend_on_the_text_and_on_earlier_tokens_only(model: Dalle) -> None:
    text, image = torch.randint(1, 11, (1, 5)), torch.randint(0, 13, (1, 16))
    before = model(text, image)
    changed = image.clone()
    changed[0, 9] = (image[0, 9] + 1) % 13
    after = model(text, changed)
    torch.testing.assert_close(after.image_logits[:, :10], before.image_logits[:, :10])
    torch.testing.assert_close(after.text_logits, before.text_logits)
    assert not torch.allclose(after.image_logits[:, 10], before.image_logits[:, 10])
    assert (model(text % 10 + 1, image).image_logits != before.image_logits).any(-1).all()


def test_padding_is_another_token_at_each_position(model: Dalle) -> None:
    assert model.padded(torch.tensor([[3, 9], [4, 0]])).tolist() == [[3, 9, 13, 14, 15], [4, 12, 13, 14, 15]]
    image = torch.randint(0, 13, (1, 16))
    short, long = torch.tensor([[3, 9]]), torch.tensor([[3, 9, 0, 0, 0]])
    assert torch.equal(model(short, image).image_logits, model(long, image).image_logits)
    with pytest.raises(ValueError, match="6 tokens, 5 are the most"):
        model.padded(torch.ones(1, 6, dtype=torch.long))


def test_images_are_drawn_token_by_token(model: Dalle) -> None:
    text = torch.tensor([[3, 9, 4], [7, 0, 0]])
    image = torch.zeros(2, 16, dtype=torch.long)
    for place in range(16):
        image[:, place] = model(text, image).image_logits[:, place].argmax(-1)
    greedy = Sampling(top_k=1)
    assert torch.equal(model.generate(text, search=greedy), image)
    assert torch.equal(model.generate(text, 3, search=greedy), image.repeat_interleave(3, 0))

    def drawn(seed: int) -> torch.Tensor:
        return model.generate(text, 4, search=Sampling(generator=torch.Generator().manual_seed(seed)))

    assert torch.equal(drawn(0), drawn(0)) and not torch.equal(drawn(0), drawn(1))
    pixels = model.decode_images(image)
    assert pixels.shape == (2, 3, 16, 16) and pixels.min() >= 0 and pixels.max() <= 1
    assert torch.equal(model.encode_images(pixels), model.dvae.encode_images(pixels).flatten(1))


def test_samples_have_the_probabilities_of_the_model(model: Dalle) -> None:
    text, count = torch.tensor([[3, 9, 4]]), 4000
    drawn = model.generate(text, count, search=Sampling(0.7, generator=torch.Generator().manual_seed(0)))
    first = model(text, drawn[:1]).image_logits[0, 0].div(0.7).softmax(-1)
    share = torch.bincount(drawn[:, 0], minlength=13) / count
    assert (share - first).abs().max() < 4 * (0.25 / count) ** 0.5


def test_saved_and_loaded_is_the_same(model: Dalle, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "dalle")
    text, image = torch.randint(1, 11, (2, 5)), torch.randint(0, 13, (2, 16))
    again = load_model(tmp_path / "dalle")
    assert isinstance(again, Dalle) and again.config == model.config
    torch.testing.assert_close(again(text, image).image_logits, model(text, image).image_logits)
    greedy = Sampling(top_k=1)
    assert torch.equal(again.generate(text, search=greedy), model.generate(text, search=greedy))
    model.dvae.save_pretrained(tmp_path / "dvae")
    dvae = load_model(tmp_path / "dvae")
    assert isinstance(dvae, Dvae) and dvae.config == GRID
    with pytest.raises(ValueError, match="model_type 'dvae', not 'dalle'"):
        Dalle.from_pretrained(tmp_path / "dvae")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"attention": ("row",)}, "attention names 1 layers, and there are 2"),
        ({"attention": ("row", "axial")}, "attention 'axial' is not known: use row, column"),
        ({"kernel": 4}, "kernel must be odd"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DalleConfig(**{"layers": 2, **wrong})
