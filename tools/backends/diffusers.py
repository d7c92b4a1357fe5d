"""`generate`, `replace` and `remove` with pipelines of diffusers, such as Stable Diffusion (Rombach et al. 2022)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from visprog.errors import MissingExtra, ToolError
from visprog.files.plain_text import read_json
from visprog.models.checkpoint.hub import fetch

from ._backend_file import folder_of
from ._checkpoint import Checkpoint, CheckpointSource, load_once, pick_device
from ._generation import ImageGenerator, InpaintingBackend, PromptedBackend, Remover, Replacer
from ._loading import quiet

INDEX = "model_index.json"
"""The file of a pipeline that lists its parts."""


class DiffusersBackend(PromptedBackend):
    """What the tools share.

    Args:
        model: Folder of a pipeline, with model_index.json, or a hub id. Its weights must be safetensors.
        steps: Number of steps of the sampler.
        guidance: Factor of the difference that the prompt makes.
        size: Side of the square images that the pipeline makes, in pixels; by default that of its training.
    """

    architecture: ClassVar[str]

    def __init__(
        self,
        model: str | None = None,
        *,
        steps: int = 50,
        guidance: float = 5.0,
        size: int | None = None,
        **options: Any,
    ) -> None:
        if steps < 1:
            raise ToolError(f"{self.tool}: steps must be at least 1, not {steps}")
        super().__init__(model, **options)
        self.steps, self.guidance, self.size = steps, guidance, size

    def _open(self) -> tuple[Checkpoint, int]:
        """The pipeline, and the side of its images, in pixels."""
        checkpoint = load_pipeline(self.model, self.tool, self.architecture, self.device, self.dtype)
        return checkpoint, self.size or side_of(checkpoint.network)

    def _run(
        self, checkpoint: Checkpoint, prompt: str, side: int, generator: Any, **inputs: Any
    ) -> NDArray[np.uint8]:
        """One image, (side, side, 3)."""
        with checkpoint.running():
            made = checkpoint.network(
                prompt=prompt,
                height=side,
                width=side,
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                generator=generator,
                **inputs,
            )
        return np.asarray(made.images[0].convert("RGB"))


class DiffusersGenerator(DiffusersBackend, ImageGenerator):
    """Images of a pipeline that makes images of texts.

    Args:
        candidates: Number of images that are drawn per image that is kept; 1 keeps all, as they are drawn.
    """

    default_model = "stabilityai/stable-diffusion-xl-base-1.0"
    architecture = "AutoPipelineForText2Image"

    def __init__(self, model: str | None = None, *, candidates: int = 1, **options: Any) -> None:
        super().__init__(model, candidates=candidates, **options)

    def _draw(self, text: str, count: int) -> list[NDArray[np.uint8]]:
        import torch

        checkpoint, side = self._open()
        generator = torch.Generator().manual_seed(self.seed)
        return [self._run(checkpoint, text, side, generator) for _ in range(count)]


class DiffusersInpainting(DiffusersBackend, InpaintingBackend):
    """What `replace` and `remove` share."""

    default_model = "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"
    architecture = "AutoPipelineForInpainting"

    def _fill(
        self, checkpoint: Checkpoint, prompt: str, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        import PIL.Image
        import torch

        return self._run(
            checkpoint,
            prompt,
            len(pixels),
            torch.Generator().manual_seed(self.seed),
            image=PIL.Image.fromarray(pixels),
            mask_image=PIL.Image.fromarray(mask.astype(np.uint8) * 255),
        )


class DiffusersReplacer(DiffusersInpainting, Replacer):
    """What the prompt describes."""


class DiffusersRemover(DiffusersInpainting, Remover):
    """What the pipeline draws for a prompt that names no object; none, or "background"."""


def load_pipeline(model: str, tool: str, architecture: str, device: str, dtype: str) -> Checkpoint:
    """A pipeline of diffusers, from memory if it was loaded before. No code that comes with it is run, pickled weights
    are refused, and no safety checker is loaded.

    Args:
        model: A folder, or a hub id.
        tool: The tool that asks, for messages.
        architecture: The class of diffusers that finds the pipeline for a task.
        device: "cpu", "cuda", "cuda:1", "mps"; "auto" takes a GPU if there is one.
        dtype: "float32", "bfloat16", "float16"; "auto" is float32 on a CPU, else float16.

    Raises:
        MissingExtra: Diffusers is not installed.
        ToolError: There is no such pipeline, it cannot be read, or the device cannot take it.
    """
    try:
        import diffusers
        import torch
        import transformers
    except ImportError:
        raise MissingExtra(f"a pipeline for {tool}", "diffusion") from None
    device = pick_device(device)
    if dtype == "auto":
        dtype = "float32" if device == "cpu" else "float16"
    source = CheckpointSource(model, tool, folder_of(model), {})

    def read(place: str) -> tuple[Any, Any]:
        options: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False}
        try:
            folder = source.folder or fetch(model)
            if "safety_checker" in _read_index(folder, model, tool):
                options |= {"safety_checker": None, "requires_safety_checker": False}
            pipeline = getattr(diffusers, architecture).from_pretrained(
                folder, local_files_only=True, torch_dtype=getattr(torch, dtype), **options
            )
        except ToolError:
            raise
        except Exception as error:  # diffusers, the hub's client and safetensors each raise their own kinds
            raise source.failure(error) from error
        pipeline.set_progress_bar_config(disable=True)
        return pipeline, None

    with quiet(diffusers), quiet(transformers):
        return load_once(source, architecture, device, dtype, dtype, read)


def side_of(pipeline: Any) -> int:
    """Side of the images that a pipeline was trained on, in pixels."""
    network = getattr(pipeline, "unet", None) or pipeline.transformer
    return int(network.config.sample_size * pipeline.vae_scale_factor)


def _read_index(folder: Path, model: str, tool: str) -> dict[str, Any]:
    """The list of the parts of a pipeline.

    Raises:
        ToolError: The folder has none, or comes with code.
    """
    if not (folder / INDEX).is_file():
        raise ToolError(f"{tool}: {model} holds no {INDEX}: it is not the folder of a pipeline of diffusers")
    if code := sorted(path.name for path in folder.rglob("*.py")):
        raise ToolError(
            f"{tool}: {model} comes with code ({code[0]}), which is not run: take another pipeline"
        )
    index: dict[str, Any] = read_json(folder / INDEX)
    return index
