"""Noise schedules and samplers against those of diffusers, step by step, and our DiT against its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from visprog.models import Clip, load_model  # noqa: E402
from visprog.models.checkpoint.checkpoint import load_exactly  # noqa: E402
from visprog.models.clip.model import TextEncoderConfig  # noqa: E402
from visprog.models.diffusion.dit import (  # noqa: E402
    Dit,
    DitConfig,
    TextContext,
    from_diffusers_config,
    from_diffusers_weights,
    to_diffusers_weights,
)
from visprog.models.diffusion.model import Diffusion, DiffusionConfig  # noqa: E402
from visprog.models.diffusion.schedule import (  # noqa: E402
    Known,
    NoiseSchedule,
    Sampler,
    diffusion_loss,
    guided,
    resampled,
)

BETAS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
PREDICTIONS = {"epsilon": "epsilon", "v": "v_prediction"}
SHAPE = (2, 3, 8, 8)


@pytest.fixture(params=[(b, p) for b in BETAS for p in PREDICTIONS], ids="-".join)
def schedule(request: pytest.FixtureRequest) -> NoiseSchedule:
    return NoiseSchedule(1000, *request.param)


def theirs(kind: str, ours: NoiseSchedule, **settings: Any) -> Any:
    return getattr(diffusers, f"{kind}Scheduler")(
        num_train_timesteps=ours.steps,
        beta_schedule=BETAS[ours.beta_schedule],
        prediction_type=PREDICTIONS[ours.prediction],
        **settings,
    )


def close(have: torch.Tensor, want: torch.Tensor, tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(have, want, atol=tolerance, rtol=tolerance)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- schedules and steps -------------------------------------------------------------------------------


@pytest.mark.parametrize("beta_schedule", BETAS)
@pytest.mark.parametrize("steps", [50, 1000])
def test_betas_and_noised_images(beta_schedule: Any, steps: int) -> None:
    ours = NoiseSchedule(steps, beta_schedule, "v")
    other = theirs("DDPM", ours)
    close(ours.betas, other.betas)
    close(ours.alphas_cumprod, other.alphas_cumprod)
    images, noise = torch.randn(2, 5, 3, 4, 4)
    timesteps = torch.tensor([0, 1, steps // 3, steps - 2, steps - 1])
    close(ours.add_noise(images, noise, timesteps), other.add_noise(images, noise, timesteps))
    close(ours.target(images, noise, timesteps), other.get_velocity(images, noise, timesteps))
    assert NoiseSchedule(steps, beta_schedule).target(images, noise, timesteps) is noise


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("count", [1, 2, 7, 10, 50, 999, 1000])
def test_timesteps_of_samplers(spacing: Any, count: int) -> None:
    ours = NoiseSchedule()
    other = theirs("DDIM", ours, timestep_spacing=spacing)
    other.set_timesteps(count)
    if count > 1 or spacing != "linspace":  # of one step, theirs is at 0, where there is no noise
        assert ours.timesteps(count, spacing) == other.timesteps.tolist()
    for wrong in (0, 1001):
        with pytest.raises(ValueError, match=f"1 to 1000 steps, not {wrong}"):
            ours.timesteps(wrong, spacing)


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("count", [10, 1000])
def test_ddpm_steps(schedule: NoiseSchedule, variance: Any, clip: bool, count: int) -> None:
    other = theirs(
        "DDPM", schedule, variance_type=f"fixed_{variance}", clip_sample=clip, timestep_spacing="leading"
    )
    other.set_timesteps(count)
    times = [*schedule.timesteps(count, "leading"), -1]
    for i in (0, 1, count // 2, count - 2, count - 1):
        output, x = torch.randn(2, *SHAPE)
        want = other.step(output, times[i], x, generator=seeded(i)).prev_sample
        noise = torch.randn(SHAPE, generator=seeded(i))
        have = schedule.ddpm_step(output, x, times[i], times[i + 1], noise, variance=variance, clip=clip)
        if (
            clip or schedule.beta_schedule == "linear" or i
        ):  # ᾱ of the last timestep is 2e-9 in the cosine schedule
            close(have, want, 1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("spacing", ["trailing", "leading"])
def test_ddim_steps(schedule: NoiseSchedule, eta: float, clip: bool, spacing: Any) -> None:
    other = theirs("DDIM", schedule, clip_sample=clip, timestep_spacing=spacing)
    other.set_timesteps(20)
    times = [*schedule.timesteps(20, spacing), -1]
    for i in (0, 1, 9, 18, 19):
        output, x = torch.randn(2, *SHAPE)
        want = other.step(output, times[i], x, eta, generator=seeded(i)).prev_sample
        noise = torch.randn(SHAPE, generator=seeded(i))
        have = schedule.ddim_step(output, x, times[i], times[i + 1], noise, eta=eta, clip=clip)
        if clip or schedule.beta_schedule == "linear" or i:
            close(have, want, 1e-5)


def drifting(x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
    """A network that is no constant."""
    return torch.sin(3 * x) + 0.1 * torch.cos(timesteps.float())[:, None, None, None]


@pytest.mark.parametrize(
    ("kind", "sampler"),
    [
        ("DDIM", Sampler(20)),
        ("DDIM", Sampler(20, eta=0.7, spacing="leading")),
        ("DDPM", Sampler(25, "ddpm", spacing="leading")),
        ("DDPM", Sampler(25, "ddpm", variance="large", spacing="leading")),
    ],
    ids=str,
)
def test_whole_runs(schedule: NoiseSchedule, kind: str, sampler: Sampler) -> None:
    settings: dict[str, Any] = {"timestep_spacing": sampler.spacing}
    if kind == "DDPM":
        settings["variance_type"] = f"fixed_{sampler.variance}"
    other = theirs(kind, schedule, **settings)
    other.set_timesteps(sampler.steps)
    noise = torch.randn(SHAPE)
    want, draws = noise, seeded(3)
    extra = {"eta": sampler.eta} if kind == "DDIM" else {}
    for t in other.timesteps:
        want = other.step(drifting(want, t[None]), int(t), want, generator=draws, **extra).prev_sample
    have = sampler.sample(drifting, noise, schedule, generator=seeded(3))
    close(have, want, 1e-4)


def test_the_right_predictions_give_the_image_back(schedule: NoiseSchedule) -> None:
    image, noise = torch.rand(SHAPE) * 2 - 1, torch.randn(SHAPE)

    def oracle(x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        alpha = schedule.alphas_cumprod[timesteps][:, None, None, None]
        epsilon = (x - alpha.sqrt() * image) / (1 - alpha).sqrt()
        return schedule.target(image, epsilon, timesteps)

    for method in ("ddim", "ddpm"):
        made = Sampler(20, method).sample(oracle, noise, schedule)  # type: ignore[arg-type]
        close(made, image, 2e-3)


# -- known pixels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "jump", "times"), [(20, 5, 3), (250, 10, 10), (10, 10, 2), (7, 2, 1)])
def test_resampling_visits_the_steps_of_repaint(steps: int, jump: int, times: int) -> None:
    other = diffusers.RePaintScheduler()
    other.set_timesteps(steps, jump, times)
    assert list(resampled(steps, jump, times)) == [*(other.timesteps // (1000 // steps)).tolist(), -1]


def test_steps_with_known_pixels_are_those_of_repaint() -> None:
    schedule = NoiseSchedule()
    other = diffusers.RePaintScheduler(eta=0.0, clip_sample=False)  # theirs clips x_0, but not ε with it
    other.set_timesteps(10, 5, 1)
    image = torch.rand(SHAPE) * 2 - 1
    mask = (torch.rand(2, 1, 8, 8) > 0.5).float()
    noise = torch.randn(SHAPE)
    want, draws = noise, seeded(1)
    for t in other.timesteps:
        want = other.step(drifting(want, t[None]), int(t), want, image, 1 - mask, draws).prev_sample
    sampler = Sampler(10, spacing="leading", clip=False)
    have = sampler.sample(drifting, noise, schedule, known=Known(image, mask), generator=seeded(1))
    close(have, want, 1e-5)
    assert torch.equal(have * (1 - mask), image * (1 - mask))


def test_going_back_in_time_is_the_diffusion_itself() -> None:
    schedule = NoiseSchedule(steps=100)
    image = torch.full((1, 1, 200, 200), 0.5)
    at_20 = schedule.add_noise(image, torch.randn_like(image), torch.tensor([20]))
    at_60 = schedule.renoise(at_20, 20, 60, torch.randn_like(image))
    alpha = schedule.alphas_cumprod[60]
    assert at_60.mean() == pytest.approx(0.5 * alpha.sqrt().item(), abs=0.02)
    assert at_60.var() == pytest.approx(1 - alpha.item(), rel=0.03)
    again = Sampler(20, resamples=3, jump=5)
    known = Known(image, torch.ones_like(image))
    assert torch.isfinite(again.sample(drifting, torch.randn_like(image), schedule, known=known)).all()


def test_guidance_and_loss() -> None:
    with_text, without = torch.randn(2, *SHAPE)
    close(guided(with_text, without, 1.0), with_text)
    close(guided(with_text, without, 0.0), without)
    close(guided(with_text, without, 3.0), 3 * with_text - 2 * without)
    close(diffusion_loss(with_text, without), ((with_text - without) ** 2).mean((1, 2, 3)))


# -- the network ---------------------------------------------------------------------------------------

TINY: dict[str, Any] = {
    "num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 4, "out_channels": 8, "num_layers": 3,
    "sample_size": 8, "patch_size": 2, "num_embeds_ada_norm": 11, "norm_eps": 1e-5,
}  # fmt: skip


@pytest.fixture(scope="module")
def published() -> Any:
    """A network of diffusers, whose blocks share their embeddings as in published checkpoints."""
    torch.manual_seed(0)
    made = diffusers.DiTTransformer2DModel(**TINY)
    for parameter in made.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    first = made.transformer_blocks[0].norm1.emb
    for block in made.transformer_blocks[1:]:
        block.norm1.emb.load_state_dict(first.state_dict())
    return made.eval()


@pytest.fixture
def folder(published: Any, tmp_path: Path) -> Path:
    published.save_pretrained(tmp_path)
    return tmp_path


def hidden(model: Any, module: Any, run: Any) -> torch.Tensor:
    """The output of a module during a run."""
    seen: list[torch.Tensor] = []
    handle = module.register_forward_hook(lambda _, inputs, output: seen.append(output))
    run()
    handle.remove()
    return seen[-1]


@pytest.mark.parametrize("size", [8, 12])
def test_outputs_and_intermediates_are_those_of_diffusers(published: Any, folder: Path, size: int) -> None:
    ours = Dit.from_diffusers(folder).eval()
    x = torch.randn(3, 4, size, size)
    timesteps, labels = torch.tensor([0, 500, 999]), torch.tensor([0, 10, 11])
    have = ours(x, timesteps, labels)

    def run() -> Any:
        return published(x, timesteps, labels)

    close(have.output, run().sample, 1e-5)
    close(have.tokens, hidden(published, published.transformer_blocks[-1], run), 1e-5)
    condition = published.transformer_blocks[0].norm1.emb(timesteps, labels, hidden_dtype=x.dtype)
    close(have.condition, condition, 1e-5)


def test_gradients_are_those_of_diffusers(published: Any, folder: Path) -> None:
    ours = Dit.from_diffusers(folder).eval()
    x, timesteps, labels = (
        torch.randn(4, 4, 8, 8),
        torch.tensor([3, 77, 400, 999]),
        torch.tensor([1, 5, 5, 11]),
    )
    noise = torch.randn(4, 8, 8, 8)
    diffusion_loss(ours(x, timesteps, labels).output, noise).mean().backward()
    published.zero_grad()
    torch.nn.functional.mse_loss(published(x, timesteps, labels).sample, noise).backward()
    embeds = "norm1.emb."
    gradients: dict[str, torch.Tensor] = {}
    for name, parameter in published.named_parameters():
        shared = f"transformer_blocks.0.{embeds}{name.split(embeds)[1]}" if embeds in name else name
        gradients[shared] = gradients.get(shared, 0) + parameter.grad  # shared weights: their sum
    want = from_diffusers_weights(gradients)
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, want[name], atol=1e-5, rtol=1e-4, msg=name)


def test_names_of_weights_go_both_ways(published: Any, folder: Path) -> None:
    ours = Dit.from_diffusers(folder)
    back = to_diffusers_weights(ours.state_dict(), ours.config.layers)
    want = published.state_dict()
    assert back.keys() == want.keys()
    assert all(torch.equal(back[name], value) for name, value in want.items())
    again = Dit(ours.config)
    load_exactly(again, from_diffusers_weights(back), "back")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_class_name": "UNet2DModel"}, "a checkpoint of UNet2DModel"),
        ({"activation_fn": "geglu"}, "activation_fn = 'geglu' is not implemented"),
        ({"new_setting": 3}, "new_setting = 3"),
    ],
)
def test_other_networks_are_refused(folder: Path, change: dict[str, Any], message: str) -> None:
    raw = json.loads((folder / "config.json").read_text())
    assert from_diffusers_config(raw).hidden == 64
    (folder / "config.json").write_text(json.dumps(raw | change))
    with pytest.raises(ValueError, match=message):
        Dit.from_diffusers(folder)


def test_embeddings_per_block_and_missing_files_are_refused(tmp_path: Path) -> None:
    diffusers.DiTTransformer2DModel(**TINY).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="embeddings per block are not implemented"):
        Dit.from_diffusers(tmp_path)
    (tmp_path / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"diffusion_pytorch_model\.safetensors is missing"):
        Dit.from_diffusers(tmp_path)


def test_a_new_network_predicts_nothing_and_its_blocks_are_the_identity() -> None:
    network = Dit(DitConfig(8, 2, 3, 3, 16, 2, 2, 32, classes=None, context=12))
    x, context = (
        torch.randn(2, 3, 8, 8),
        TextContext(torch.randn(2, 5, 12), torch.randn(2, 12), torch.ones(2, 5) > 0),
    )
    out = network(x, torch.tensor([1, 2]), context=context)
    assert not out.output.any()
    block = network.blocks[0]
    tokens = torch.randn(2, 16, 16)
    assert torch.equal(block(tokens, out.condition, context), tokens)
    for wrong in ({}, {"labels": torch.tensor([0, 1])}, {"labels": torch.tensor([0, 1]), "context": context}):
        with pytest.raises(ValueError, match="is conditioned on texts, and was given"):
            network(x, torch.tensor([1, 2]), **wrong)
    with pytest.raises(ValueError, match="multiple of 4 and of the 3 heads"):
        Dit(DitConfig(dim=16, heads=3))


# -- text to image -------------------------------------------------------------------------------------

SMALL = DiffusionConfig(
    DitConfig(8, 4, 7, 3, 16, 2, 2, 32, classes=None, context=12),
    TextEncoderConfig(vocab=20, length=6, dim=12, layers=1, heads=2, hidden=24, end=2, project=None),
    NoiseSchedule(prediction="v", beta_schedule="cosine"),
)
EMPTY = torch.tensor([1, 2])


@pytest.fixture
def model() -> Diffusion:
    torch.manual_seed(0)
    made = Diffusion(SMALL).eval()
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made


def test_text_reaches_the_image_and_padding_does_not(model: Diffusion) -> None:
    x, timesteps = torch.randn(2, 3, 8, 8), torch.tensor([10, 900])
    tokens = torch.tensor([[1, 5, 2, 0], [1, 6, 7, 2]])
    out = model(x, timesteps, model.encode_texts(tokens))
    longer = torch.nn.functional.pad(tokens, (0, 2), value=9)
    close(model(x, timesteps, model.encode_texts(longer)), out, 1e-5)
    for place, changed in ((1, [True, False]), (2, [False, True])):  # the first text ends at 2
        other = tokens.clone()
        other[0 if place == 1 else 1, place] = 8
        difference = (model(x, timesteps, model.encode_texts(other)) - out).abs().amax((1, 2, 3)) > 1e-6
        assert difference.tolist() == changed


def test_cross_attention_and_whole_text_both_count(model: Diffusion) -> None:
    context = model.encode_texts(torch.tensor([[1, 5, 2]]))
    x, timesteps = torch.randn(1, 3, 8, 8), torch.tensor([10])
    out = model(x, timesteps, context)
    for name in ("tokens", "pooled"):
        other = context._replace(**{name: getattr(context, name) + torch.randn(12)})
        assert not torch.allclose(model(x, timesteps, other), out)


def test_images_are_drawn_by_seed_and_known_pixels_stay(model: Diffusion) -> None:
    tokens = torch.tensor([[1, 5, 2], [1, 6, 2]])
    sampler = Sampler(4)

    def draw(seed: int, **more: Any) -> torch.Tensor:
        return model.generate(tokens, EMPTY, sampler=sampler, generator=seeded(seed), **more)

    first = draw(0)
    assert first.shape == (2, 3, 8, 8) and first.abs().max() <= 1
    assert torch.equal(first, draw(0)) and not torch.equal(first, draw(1))
    assert not torch.equal(first, draw(0, guidance=1.0))
    image, mask = torch.rand(2, 3, 8, 8), torch.zeros(2, 1, 8, 8)
    mask[..., :4] = 1
    made = draw(0, known=Known(image, mask))
    assert torch.equal(made[..., 4:], image[..., 4:])
    assert not torch.equal(made[..., :4], draw(0, known=Known(image + 1, mask))[..., :4])
    # All pixels masked: the same as none known.
    assert torch.equal(draw(0, known=Known(image, torch.ones_like(mask))), first)


def test_guidance_holds_a_text_against_the_empty_one(model: Diffusion) -> None:
    tokens = torch.tensor([[1, 5, 2]])
    noise = torch.randn(1, 3, 8, 8, generator=seeded(0))
    timesteps = torch.tensor([999])
    text, none = (model(noise, timesteps, model.encode_texts(t)) for t in (tokens, EMPTY[None]))
    want = SMALL.schedule.ddim_step(guided(text, none, 2.5), noise, 999, -1)
    made = model.generate(tokens, EMPTY, guidance=2.5, sampler=Sampler(1), generator=seeded(0))
    close(made, want, 1e-5)


def test_saved_and_loaded_is_the_same(model: Diffusion, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert isinstance(again, Diffusion) and again.config == SMALL
    x, timesteps, tokens = torch.randn(1, 3, 8, 8), torch.tensor([10]), torch.tensor([[1, 5, 2]])
    close(again(x, timesteps, again.encode_texts(tokens)), model(x, timesteps, model.encode_texts(tokens)))
    with pytest.raises(ValueError, match="'diffusion', not 'clip'"):
        Clip.from_pretrained(tmp_path)
    raw = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(raw | {"sharpness": 1}))
    with pytest.raises(ValueError, match="DiffusionConfig has no sharpness"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("network", "text", "message"),
    [
        ({"channels": 4}, {}, "reads 3 channels, or 7 to inpaint"),
        ({"classes": 3}, {}, "has no classes"),
        ({"context": 13}, {}, r"network\.context must be 12"),
        ({}, {"project": 5}, "no projection"),
    ],
)
def test_models_that_do_not_fit_together(network: Any, text: Any, message: str) -> None:
    from dataclasses import replace

    config = replace(
        SMALL, network=replace(SMALL.network, **network), text_encoder=replace(SMALL.text_encoder, **text)
    )
    with pytest.raises(ValueError, match=message):
        Diffusion(config)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: NoiseSchedule(beta_schedule="sigmoid"),
            "'beta_schedule' must be linear or cosine, not 'sigmoid'",
        ),
        (lambda: NoiseSchedule(prediction="sample"), "'prediction' must be epsilon or v, not 'sample'"),
        (lambda: Sampler(method="euler"), "'method' must be ddim or ddpm, not 'euler'"),
        (lambda: Sampler(spacing="none"), "'spacing' must be trailing or leading or linspace"),
        (lambda: Sampler(variance="learned"), "'variance' must be small or large"),
    ],
)
def test_settings_that_there_are_not_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
