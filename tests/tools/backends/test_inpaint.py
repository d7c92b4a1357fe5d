"""`replace` and `remove`: with OpenCV alone, with a diffusion model of ours, and with a pipeline of diffusers."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from visprog import Agent
from visprog.errors import MissingExtra, Refused, ToolError
from visprog.models.clip.model import TextEncoderConfig
from visprog.models.diffusion.dit import DitConfig
from visprog.models.diffusion.model import Diffusion, DiffusionConfig
from visprog.models.preprocess.image_processor import ImageProcessor
from visprog.models.preprocess.tokenizer import END, word_tokenizer
from visprog.tools.backends import _checkpoint
from visprog.tools.backends.diffusers import DiffusersGenerator, DiffusersRemover, DiffusersReplacer
from visprog.tools.backends.diffusion import DiffusionGenerator, DiffusionRemover, DiffusionReplacer
from visprog.tools.backends.none import NoInpainter
from visprog.tools.backends.opencv import Inpainter
from visprog.tools.imaging.inpainting import Hole, fill, find_hole
from visprog.tools.inpaint import remove, replace
from visprog.values import Box, Circle, Mask, Point, Region
from visprog.values.image import Image


@pytest.fixture
def slope() -> Image:
    """160 x 120, a gradient from left to right, with a red disk and a blue square on it."""
    pixels = np.repeat(np.linspace(40, 200, 160).astype(np.uint8)[None, :, None], 120, 0).repeat(3, 2)
    rows, columns = np.ogrid[:120, :160]
    pixels[(rows - 60) ** 2 + (columns - 50) ** 2 <= 15**2] = (220, 20, 20)
    pixels[20:40, 110:130] = (20, 20, 220)
    return Image(pixels, name="slope.png")


def disk(image: Image) -> Region:
    rows, columns = np.ogrid[:30, :30]
    mask = (rows - 14.5) ** 2 + (columns - 14.5) ** 2 <= 15.5**2
    return Region(Box(35, 45, 65, 75), "disk", 1.0, image, Mask(mask, Box(35, 45, 65, 75)))


def same(a: Image, b: Image) -> bool:
    return np.array_equal(a.pixels, b.pixels)


def changed(a: Image, b: Image) -> Box:
    rows, columns = np.nonzero((a.pixels != b.pixels).any(2))
    return Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


# -- OpenCV --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["telea", "navier-stokes"])
def test_what_is_removed_is_continued_from_around_it(slope: Image, method: Any) -> None:
    image = Image(slope.pixels.copy())
    made = Inpainter(method=method)([{"image": image, "region": disk(image)}])[0]
    truth = np.linspace(40, 200, 160)
    assert made.root is made and made.size == image.size
    assert np.abs(made.pixels[45:76, 35:66] - truth[None, 35:66, None]).mean() < 5
    assert changed(made, image).inside(Box(33, 43, 68, 78), 0)
    assert (made.pixels[20:40, 110:130] == (20, 20, 220)).all()


def test_a_box_is_removed_whole_a_mask_to_its_rim_and_lists_at_once(slope: Image) -> None:
    whole = remove(slope, Box(35, 45, 65, 75))
    masked = remove(slope, disk(slope))
    assert (whole.pixels != slope.pixels).any(2).sum() > (masked.pixels != slope.pixels).any(2).sum()
    both = remove(slope, [disk(slope), Region(Box(110, 20, 130, 40), "square", 1.0, slope)])
    assert (both.pixels.max(2) - both.pixels.min(2)).max() <= 8  # grey everywhere
    shape = remove(slope, Circle(Point(50, 60), 15))
    assert (shape.pixels[:, :100].max(2) - shape.pixels[:, :100].min(2)).max() <= 8


def test_a_crop_is_edited_at_the_right_place_and_alpha_stays(slope: Image) -> None:
    alpha = np.full((120, 160), 255, np.uint8)
    alpha[:5] = 0
    seen = Image(slope.pixels, alpha, "a.png")
    assert np.array_equal(remove(seen, disk(seen)).alpha, alpha)
    crop = slope.crop(Box(20, 30, 100, 110))
    made = remove(crop, disk(slope))
    assert made.size == crop.size and made.root is made
    assert (made.pixels.max(2) - made.pixels.min(2)).max() <= 8


@pytest.mark.parametrize("edit", [remove, lambda image, region: replace(image, region, "a dog")])
def test_regions_that_cannot_be_edited(slope: Image, edit: Any) -> None:
    if edit is not remove:
        edit = lambda image, region: find_hole(image, region, "replace")  # noqa: E731
    for region, message in (
        ([], "got no region: nothing was found"),
        (Region(Box(500, 10, 520, 30), "x", 1.0, slope), r"has no pixel in the image, Box\(0"),
        (Box(10, 10, 10, 30), "has no pixel in the image"),
        ([disk(slope), Box(-20, 0, -10, 9)], "has no pixel in the image"),
    ):
        with pytest.raises(ToolError, match=message):
            edit(slope, region)


def test_the_whole_image_cannot_be_removed(slope: Image) -> None:
    for region in (slope.box, [Box(0, 0, 90, 120), Box(80, 0, 160, 120)], Box(1, 1, 159, 119)):
        with pytest.raises(ToolError, match="remove cannot fill the whole image"):
            remove(slope, region)
    with pytest.raises(ToolError, match="takes no model"):
        Inpainter("x")


# -- windows -------------------------------------------------------------------------------------------


def test_a_model_sees_windows_of_its_size_and_only_the_hole_changes(slope: Image) -> None:
    seen: list[tuple[Any, Any]] = []

    def draw(pixels: Any, mask: Any) -> Any:
        seen.append((pixels, mask))
        return np.where(mask[..., None], np.uint8([0, 255, 0]), 255 - pixels)  # all else is spoilt

    corner = Box(0, 0, 10, 20)
    hole = find_hole(slope, [disk(slope), corner], "replace")
    made = fill(slope, hole, 64, 2.0, draw)
    assert len(seen) == 2 and all(p.shape == (64, 64, 3) and m.shape == (64, 64) for p, m in seen)
    assert 0.1 < seen[0][1].mean() < 0.5
    assert np.array_equal(made.pixels[~hole.pixels], slope.pixels[~hole.pixels])
    assert (np.abs(made.pixels[52:68, 42:58].astype(int) - (0, 255, 0)) < 3).all()
    assert (np.abs(made.pixels[1:15, 1:7].astype(int) - (0, 255, 0)) < 3).all()
    # Beyond the region, what is drawn fades.
    rim = hole.pixels & ~hole.inside
    green = made.pixels[..., 1][rim].astype(int) - slope.pixels[..., 1][rim]
    assert 0 < green.mean() < made.pixels[..., 1][hole.inside].mean() - 60


@pytest.mark.parametrize("size", [(7, 200), (200, 7), (9, 9), (31, 30)])
@pytest.mark.parametrize("context", [1.0, 3.0])
def test_images_smaller_than_a_window(size: tuple[int, int], context: float) -> None:
    image = Image(np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8))
    hole = find_hole(image, Box(1, 1, size[1] - 1, size[0] - 1), "replace")
    made = fill(image, hole, 16, context, lambda pixels, mask: np.full_like(pixels, 7))
    assert made.size == image.size and (made.pixels[1:-1, 1:-1] == 7).all()
    whole = fill(image, find_hole(image, image.box, "replace"), 16, context, lambda p, m: np.full_like(p, 9))
    assert (whole.pixels == 9).all()


def test_a_window_shows_what_lies_around_the_hole() -> None:
    """What a model gives back unchanged is the image itself, wherever the hole lies."""
    image = Image(np.random.default_rng(1).integers(0, 255, (64, 96, 3), dtype=np.uint8))
    for box in (Box(0, 0, 16, 16), Box(80, 48, 96, 64), Box(40, 20, 56, 36), Box(40, 0, 48, 16)):
        inside = np.zeros((64, 96), bool)
        inside[int(box.top) : int(box.bottom), int(box.left) : int(box.right)] = True
        assert np.array_equal(fill(image, Hole(inside, inside), 32, 2.0, lambda p, m: p).pixels, image.pixels)


# -- our own model -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder as `visprog train diffusion` writes it, with random weights."""
    folder = tmp_path_factory.mktemp("diffusion")
    torch.manual_seed(0)
    tokenizer = word_tokenizer(["a red circle", "a blue square"], 8)
    model = Diffusion(
        DiffusionConfig(
            DitConfig(16, 4, 7, 3, 16, 1, 2, 32, classes=None, context=12),
            TextEncoderConfig(len(tokenizer), 8, 12, 1, 2, 24, end=tokenizer.id(END), project=None),
        )
    )
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    half = (0.5, 0.5, 0.5)
    ImageProcessor((16, 16), mean=half, std=half).save_pretrained(folder)
    return str(folder)


def test_our_model_draws_into_the_region_alone(slope: Image, trained: str) -> None:
    def run(prompt: str = "a red circle", **options: Any) -> Image:
        backend = DiffusionReplacer(trained, **{"steps": 4, **options})
        (made,) = backend([{"image": slope, "region": disk(slope), "prompt": prompt}])
        assert isinstance(made, Image), made
        return made

    first = run()
    hole = find_hole(slope, disk(slope), "replace")
    assert np.array_equal(first.pixels[~hole.pixels], slope.pixels[~hole.pixels])
    assert (first.pixels[hole.inside] != slope.pixels[hole.inside]).any(1).mean() > 0.9
    assert same(first, run())
    for other in (
        run(seed=1),
        run("a blue square"),
        run(guidance=1.0),
        run(resamples=2, steps=12),
        run(context=3.0),
    ):
        assert not same(first, other)
    (removed,) = DiffusionRemover(trained, steps=4)([{"image": slope, "region": disk(slope)}])
    assert np.array_equal(removed.pixels[~hole.pixels], slope.pixels[~hole.pixels]) and not same(
        removed, first
    )


def test_words_that_our_model_was_not_taught_are_refused(slope: Image, trained: str) -> None:
    backend = DiffusionReplacer(trained)
    assert "circle" in backend.sees.summary and not backend.sees.phrases["prompt"].refusal("a red square")
    results = backend([{"image": slope, "region": disk(slope), "prompt": p} for p in ("a dragon", " ")])
    assert isinstance(results[0], Refused) and "was not taught what 'dragon' is" in str(results[0])
    assert isinstance(results[1], ToolError) and "empty text" in str(results[1])


def test_without_a_model_replace_refuses_and_remove_does_not(slope: Image) -> None:
    with pytest.raises(Refused, match=r"\[tools\.replace\] .* backend = \"diffusers\""):
        replace(slope, disk(slope), "a dog")
    with pytest.raises(ToolError, match="a model needs its backend"):
        NoInpainter("x")
    for backend in (DiffusionReplacer(), DiffusionRemover()):
        assert "visprog train diffusion" in backend.sees.nothing
        call = {"image": slope, "region": disk(slope), "prompt": "a"}
        (refusal,) = backend(
            [call if backend.tool == "replace" else {k: call[k] for k in ("image", "region")}]
        )
        assert isinstance(refusal, Refused)


def test_programs_edit_with_the_backend_of_the_settings(slope: Image, trained: str) -> None:
    box = "Box(35, 45, 65, 75)"
    program = f"def answer(image):\n    return replace(remove(image, {box}), [{box}], 'a red circle')\n"
    config = {"tools": {"replace": {"backend": "diffusion", "model": trained, "steps": 2}}}
    made = Agent(config=config).run(program, slope).unwrap()
    assert isinstance(made, Image) and made.size == slope.size and not same(made, slope)
    assert Agent().run(program, slope).status == "refused"


def test_our_model_makes_whole_images(trained: str) -> None:
    def run(n: int, **options: Any) -> list[Image]:
        backend = DiffusionGenerator(trained, **{"steps": 3, "candidates": 1, **options})
        (made,) = backend([{"prompt": "A red circle.", "n": n}])
        assert isinstance(made, list), made
        return made

    first = run(3)
    assert [image.size for image in first] == [(16, 16)] * 3
    assert len({image.digest for image in first}) == 3 and first[0].name == "A red circle. (seed 0)"
    assert [image.digest for image in run(3)] == [image.digest for image in first]
    assert run(1, seed=1)[0].digest != first[0].digest
    assert len(run(5, batch_size=2)) == 5
    results = DiffusionGenerator(trained)([{"prompt": p, "n": n} for p, n in (("a dragon", 1), ("a", 100))])
    assert isinstance(results[0], Refused) and "n must be between 1 and 64" in str(results[1])
    assert "visprog train diffusion" in DiffusionGenerator().sees.nothing
    assert isinstance(DiffusionGenerator()([{"prompt": "a", "n": 1}])[0], Refused)


@pytest.mark.parametrize("options", [{"steps": 0}, {"context": 0.5}])
@pytest.mark.parametrize("backend", [DiffusionReplacer, DiffusersRemover])
def test_wrong_options(backend: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match="must be at least 1"):
        backend("x", **options)


# -- diffusers -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny Stable Diffusion that inpaints, saved the way that real ones are."""
    diffusers = pytest.importorskip("diffusers")
    folder = tmp_path_factory.mktemp("pipeline")
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=16, in_channels=9, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=16, norm_num_groups=4, attention_head_dim=4,
    )  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=[8, 16], in_channels=3, out_channels=3, latent_channels=4, norm_num_groups=4,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
    )  # fmt: skip
    (folder / "words").mkdir()
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2, "b</w>": 3}
    (folder / "words" / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "words" / "merges.txt").write_text("#version: 0.2\n")
    text = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            vocab_size=10,
            bos_token_id=0,
            eos_token_id=1,
            max_position_embeddings=20,
        )
    )
    files = [str(folder / "words" / name) for name in ("vocab.json", "merges.txt")]
    tokenizer = transformers.CLIPTokenizer(*files, model_max_length=20)
    made = diffusers.StableDiffusionInpaintPipeline(
        vae, text, tokenizer,
        unet, diffusers.DDIMScheduler(steps_offset=1), None, None, requires_safety_checker=False,
    )  # fmt: skip
    for parameter in (*unet.parameters(), *text.parameters()):  # or a word would not show in 8 bits
        parameter.data += 0.2 * torch.randn_like(parameter)
    made.save_pretrained(folder / "sd", safe_serialization=True)
    return str(folder / "sd")


def test_a_pipeline_draws_into_the_region_alone(slope: Image, pipeline: str) -> None:
    def run(prompt: str = "a", **options: Any) -> Image:
        backend = DiffusersReplacer(pipeline, steps=2, device="cpu", **options)
        (made,) = backend([{"image": slope, "region": disk(slope), "prompt": prompt}])
        assert isinstance(made, Image), made
        return made

    first = run()
    hole = find_hole(slope, disk(slope), "replace")
    assert np.array_equal(first.pixels[~hole.pixels], slope.pixels[~hole.pixels])
    assert (first.pixels[hole.inside] != slope.pixels[hole.inside]).any(1).mean() > 0.9
    assert same(first, run())
    assert not any(same(first, other) for other in (run(seed=1), run("b"), run(size=48)))
    (removed,) = DiffusersRemover(pipeline, steps=2, prompt="b")([{"image": slope, "region": disk(slope)}])
    assert same(removed, run("b"))
    assert len(_checkpoint._loaded) == 1  # both tools share one
    backend = DiffusersReplacer(pipeline)
    backend.unload()
    assert not _checkpoint._loaded


def test_a_pipeline_makes_whole_images(pipeline: str, tmp_path: Path) -> None:
    diffusers = pytest.importorskip("diffusers")
    inpainting = diffusers.StableDiffusionInpaintPipeline.from_pretrained(pipeline)
    parts = inpainting.components
    config = {**parts["unet"].config, "in_channels": 4}
    unet = diffusers.UNet2DConditionModel.from_config(config)
    diffusers.StableDiffusionPipeline(
        **{**parts, "unet": unet}, requires_safety_checker=False
    ).save_pretrained(tmp_path)
    backend = DiffusersGenerator(str(tmp_path), steps=2)
    first, again = (backend([{"prompt": "a", "n": 2}])[0] for _ in range(2))
    assert [image.size for image in first] == [(32, 32)] * 2 and not same(*first)
    assert [image.digest for image in again] == [image.digest for image in first]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model_index.json").unlink(), "holds no model_index.json"),
        (lambda folder: (folder / "unet" / "mine.py").write_text("1/0"), r"comes with code \(mine\.py\)"),
        (lambda folder: pickled(folder / "unet"), "cannot load"),
        (lambda folder: other_class(folder), "cannot load"),
    ],
)
def test_pipelines_that_are_not_run(
    slope: Image, pipeline: str, tmp_path: Path, spoil: Callable[[Path], Any], message: str
) -> None:
    folder = tmp_path / "sd"
    shutil.copytree(pipeline, folder)
    spoil(folder)
    (error,) = DiffusersReplacer(str(folder))([{"image": slope, "region": disk(slope), "prompt": "a"}])
    assert isinstance(error, ToolError) and "\n" not in str(error)
    with pytest.raises(ToolError, match=message):
        raise error


def pickled(folder: Path) -> None:
    """Weights as a pickle alone."""
    (file,) = folder.glob("*.safetensors")
    from safetensors.torch import load_file

    torch.save(load_file(file), folder / "diffusion_pytorch_model.bin")
    file.unlink()


def other_class(folder: Path) -> None:
    """A pipeline that is defined by code beside it."""
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": ["pipeline", "Mine"]}))


def test_a_hub_id_without_a_network_and_a_missing_extra(
    slope: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = {"image": slope, "region": disk(slope), "prompt": "a"}
    (error,) = DiffusersReplacer("nobody/nothing")([call])
    assert isinstance(error, ToolError) and "cannot get 'nobody/nothing' from the hub" in str(error)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    (error,) = DiffusersReplacer("nobody/nothing")([call])
    assert isinstance(error, MissingExtra) and "visprog[diffusion]" in str(error)
