"""Pretrained weights from a local folder or the Hugging Face hub: loaded once, shared by the tools.

A checkpoint is data: weights are safetensors, and no code that comes with one is run. With HF_HUB_OFFLINE=1
nothing is downloaded, and what the local cache holds is used.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visprog.errors import MissingExtra, ToolError


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A network ready to run, and the processor that prepares its inputs.

    Attributes:
        name: the folder or hub id that it came from.
        network: the model of transformers, in evaluation mode on its device.
        processor: its processor (images and text).
    """

    name: str
    network: Any
    processor: Any
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def kind(self) -> str:
        """The architecture, as transformers calls it: "clip", "sam", …"""
        return str(self.network.config.model_type)

    def send(self, inputs: Any) -> dict[str, Any]:
        """A processor's output on the network's device, floats in its precision."""
        import torch

        device, dtype = self.network.device, self.network.dtype
        return {
            key: value.to(device, dtype if value.is_floating_point() else value.dtype)
            for key, value in inputs.items()
            if isinstance(value, torch.Tensor)
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """The network for one thread at a time, without gradients.

        Raises:
            ToolError: the device has too little memory.
        """
        import torch

        with self.lock, torch.inference_mode():
            try:
                yield
            except torch.OutOfMemoryError as error:
                raise ToolError(
                    f"'{self.name}' needs more memory than {self.network.device} has: "
                    f'lower batch_size, or set device = "cpu"'
                ) from error


_loaded: dict[tuple[str, ...], Checkpoint] = {}
_loading = threading.Lock()


def load(
    model: str,
    tool: str,
    architecture: str,
    kinds: Sequence[str],
    *,
    device: str = "auto",
    dtype: str = "auto",
    half_on_cpu: str = "float32",
) -> Checkpoint:
    """The checkpoint, from memory where it was loaded before.

    Args:
        model: a folder that `save_pretrained` wrote, or a hub id ("ORG/NAME").
        tool: the tool that asks, for messages.
        architecture: the class of transformers that builds the network, for example "AutoModel".
        kinds: model types that the caller can run; empty for any.
        device: "cpu", "cuda", "cuda:1", "mps"; "auto" takes a GPU where there is one.
        dtype: "float32", "bfloat16", "float16"; "auto" is the checkpoint's own.
        half_on_cpu: what "auto" makes of a float16 checkpoint on a CPU, where float16 is slow.

    Raises:
        MissingExtra: torch or transformers is not installed.
        ToolError: there is no such checkpoint, it is of another kind, holds only pickled weights or lacks
            some, or the device cannot take it.
    """
    source = _locate(model, tool)
    with _loading:
        key = (source, architecture, device, dtype, half_on_cpu)
        if key not in _loaded:
            network, processor = _read(source, model, tool, architecture, kinds, dtype)
            _loaded[key] = Checkpoint(model, _place(network, model, device, dtype, half_on_cpu), processor)
        return _loaded[key]


def unload(model: str) -> None:
    """Forget a checkpoint: it leaves memory as soon as nobody uses it any more."""
    with _loading:
        for key in [key for key, checkpoint in _loaded.items() if checkpoint.name == model]:
            del _loaded[key]


def pick_device(device: str) -> str:
    """The device that a setting means: "auto" is CUDA, else Apple's MPS, else the CPU."""
    import torch

    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def first_line(error: BaseException, limit: int = 200) -> str:
    """The first line of what an error says, shortened, without its full stop."""
    lines = str(error).strip().splitlines()
    line = lines[0].strip().rstrip(".") if lines else type(error).__name__
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _locate(model: str, tool: str) -> str:
    """What to hand to transformers: the path of a folder that looks right, or a hub id."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        if folder.exists():
            raise ToolError(
                f"{tool}: {model} is a file; give the folder that holds config.json and *.safetensors"
            )
        if model.startswith((".", "/", "~", "\\")) or model.count("/") > 1:
            raise ToolError(f"{tool}: no such folder: {model}")
        return model
    if not (folder / "config.json").is_file():
        raise ToolError(f"{tool}: {model} holds no config.json: it is not a checkpoint saved by transformers")
    if (folder / "adapter_config.json").is_file():
        raise ToolError(
            f"{tool}: {model} holds a LoRA adapter (adapter_config.json): merge it into its base model with peft's "
            "merge_and_unload, and save that"
        )
    if not any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        other = sorted(path.name for path in folder.glob("*.safetensors"))
        if other:
            raise ToolError(
                f"{tool}: {model} holds neither model.safetensors nor model.safetensors.index.json, only {other[0]}: "
                "copy the weights that you mean to model.safetensors"
            )
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt*"))
        raise ToolError(
            f"{tool}: {model} holds only pickled weights, which can run code: save them as safetensors"
            if pickled
            else f"{tool}: {model} holds no *.safetensors: save the model again with save_pretrained"
        )
    return str(folder)


def _read(
    source: str, model: str, tool: str, architecture: str, kinds: Sequence[str], dtype: str
) -> tuple[Any, Any]:
    try:
        import torch  # noqa: F401  # transformers hides its models where torch is missing
        import transformers
    except ImportError:
        raise MissingExtra(f"a pretrained model for {tool}", "hf") from None
    local = Path(source).is_dir()
    common = {"trust_remote_code": False, "local_files_only": local}
    with _quiet(transformers):
        try:
            config = transformers.AutoConfig.from_pretrained(source, **common)
            if kinds and config.model_type not in kinds:
                raise ToolError(
                    f"{tool}: '{model}' is of kind {config.model_type}; this backend takes "
                    f"{' or '.join(kinds)}"
                )
            network, report = getattr(transformers, architecture).from_pretrained(
                source, use_safetensors=True, dtype=dtype, output_loading_info=True, **common
            )
            processor = transformers.AutoProcessor.from_pretrained(source, **common)
        except ToolError:
            raise
        except Exception as error:
            # transformers, the hub's client, safetensors and the HTTP library each raise their own kinds.
            said = first_line(error)
            if not local:
                raise ToolError(
                    f"{tool}: cannot get '{model}' from the hub ({said}): download it where there is a "
                    f'network, and set model = "FOLDER" under [tools.{tool}] in visprog.toml'
                ) from error
            raise ToolError(f"{tool}: cannot load {model}: {said}") from error
    if report["missing_keys"]:
        raise ToolError(
            f"{tool}: '{model}' lacks {len(report['missing_keys'])} of the weights that "
            f"{type(network).__name__} needs, such as {min(report['missing_keys'])}: it is for another task"
        )
    return network.eval(), processor


def _place(network: Any, model: str, device: str, dtype: str, half_on_cpu: str) -> Any:
    import torch

    device = pick_device(device)
    if dtype == "auto" and device == "cpu" and network.dtype == torch.float16:
        network = network.to(getattr(torch, half_on_cpu))
    try:
        return network.to(device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise ToolError(f"cannot put '{model}' on the device '{device}': {first_line(error)}") from error


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No progress bars and no warnings of transformers for a while."""
    logging = transformers.utils.logging
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
