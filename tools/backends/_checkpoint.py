"""Pretrained weights from a folder or the Hugging Face hub: what and where they are, and those that are in memory,
which all tools share. `_loading` reads them.

With HF_HUB_OFFLINE=1 nothing is downloaded, and the local cache is used.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from visprog.errors import MissingExtra, ToolError, first_line
from visprog.files.limits import limits
from visprog.files.plain_text import read_json
from visprog.files.reading import read_file

from ._backend_file import LAYOUT, backend_file, folder_of

MAX_NAMED = 8
"""Number of types of models that a message names."""


@dataclass(frozen=True)
class CheckpointSource:
    """Where a checkpoint lies, and what its `config.json` says.

    Attributes:
        name: The model as it was configured.
        tool: The tool that asks, for messages.
        folder: Its folder; None for a hub id.
        config: The object in `config.json`.
    """

    name: str
    tool: str
    folder: Path | None
    config: Mapping[str, Any]

    @property
    def model_type(self) -> str:
        from visprog.models.checkpoint.hub_config import architecture

        return architecture(self.config) or "unknown"

    @property
    def trained_here(self) -> bool:
        """Whether the folder was saved by this package; else it is a public checkpoint."""
        return bool(self.config.get("layout") == LAYOUT)

    @property
    def given(self) -> str:
        """The path of the folder, or the hub id."""
        return str(self.folder or self.name)

    @property
    def place(self) -> str:
        """The path of the folder; that of a hub id, which is downloaded if it is not here.

        Raises:
            ValueError: The hub does not give it.
        """
        from visprog.models.checkpoint.hub import fetch

        return str(self.folder or fetch(self.name))

    def refusal(self, model_types: Sequence[str]) -> ToolError:
        """The error for a checkpoint that a backend cannot run."""
        named = " or ".join(model_types[:MAX_NAMED])
        more = f" or {len(model_types) - MAX_NAMED} others" if len(model_types) > MAX_NAMED else ""
        return ToolError(
            f"{self.tool}: '{self.name}' is of model_type {self.model_type}; this backend takes {named}{more}"
        )

    def failure(self, error: Exception) -> ToolError:
        """The error for a checkpoint that cannot be fetched or read."""
        from visprog.models.checkpoint.hub_errors import HubError

        if isinstance(error, HubError):
            return ToolError(
                f'{self.tool}: {error}, or set model = "FOLDER" under [tools.{self.tool}] in visprog.toml'
            )
        text = f"{self.tool}: cannot load {self.name}: {first_line(error)}"
        if self.folder is None and (
            type(error).__name__ == "SafetensorError" or "cut or damaged" in str(error)
        ):
            text += f": 'visprog models fetch {self.name}' downloads damaged files again"
        return ToolError(text)


class OutOfDeviceMemory(ToolError):
    """A device has too little memory for what it was asked to compute."""


class Processor(NamedTuple):
    """What prepares the inputs of a model of `visprog.models`.

    Attributes:
        tokenizer: None for a model without texts.
        image_processor: None if the folder does not say how images are prepared.
    """

    tokenizer: Any
    image_processor: Any


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A network ready to run, and the processor that prepares its inputs.

    Attributes:
        source: Where it came from.
        network: The model, in evaluation mode on its device.
        processor: For images and text: a `Processor`, or that of transformers.
        lock: Held while the network works.
    """

    source: CheckpointSource
    network: Any
    processor: Any
    lock: threading.RLock = field(default_factory=threading.RLock)

    def send(self, value: Any) -> Any:
        """A tensor on the network's device, floats in its precision."""
        weight = next(self.network.parameters())
        return value.to(weight.device, weight.dtype if value.is_floating_point() else value.dtype)

    def send_all(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The tensors in a processor's output, as `send` gives them."""
        import torch

        return {key: self.send(value) for key, value in inputs.items() if isinstance(value, torch.Tensor)}

    @contextmanager
    def running(self) -> Iterator[None]:
        """The network for one thread at a time, without gradients.

        Raises:
            OutOfDeviceMemory: The device has too little memory.
        """
        import torch

        with self.lock, torch.inference_mode():
            try:
                yield
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                raise OutOfDeviceMemory(
                    f"'{self.source.name}' needs more memory than its device has: "
                    f'lower batch_size, take a smaller model, or set device = "cpu"'
                ) from error

    def unload_others(self) -> bool:
        """Let go of all other checkpoints on the same device; they are loaded again when they are needed. False if
        there are none."""
        return _unload_from(next(self.network.parameters()).device, keep=self)


_loaded: dict[tuple[str, ...], Checkpoint] = {}
_loading: dict[tuple[str, ...], threading.Lock] = {}
_changing = threading.Lock()
"""Held while one of the two is changed; a checkpoint is loaded under its own lock, so that others load beside it."""


def find(model: str, tool: str) -> CheckpointSource:
    """What a model is, before its weights are read.

    Args:
        model: Name of a bundled model, a folder, or a hub id ("ORG/NAME").
        tool: The tool that asks, for messages.

    Raises:
        MissingExtra: Torch is not installed.
        ToolError: There is no such checkpoint, or it holds only pickled weights or none.
    """
    if find_spec("torch") is None:
        raise MissingExtra(f"a model for {tool}", "torch")
    folder = _checked(model, tool)
    source = CheckpointSource(model, tool, folder, {})
    try:
        config = _hub_config(model) if folder is None else _read_config(folder / "config.json")
    except MissingExtra:
        raise
    except Exception as error:  # the hub's client and the HTTP library each raise their own kinds
        raise source.failure(error) from error
    return CheckpointSource(model, tool, folder, config)


def checkpoint_digest(source: CheckpointSource) -> str:
    """What tells a checkpoint from others: its settings, and size and time of its weights.

    Raises:
        ToolError: It cannot be fetched.
    """
    from visprog.models.checkpoint.hub import fetch

    try:
        folder = source.folder or fetch(source.name)
        digest = blake2b(digest_size=16)
        for file in sorted(folder.glob("*.json")):
            digest.update(file.name.encode() + b"\0" + read_file(file, limits().text_bytes) + b"\0")
        for file in sorted(folder.glob("*.safetensors")):
            status = file.stat()
            digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\0".encode())
    except (OSError, ValueError) as error:
        raise source.failure(error) from error
    return digest.hexdigest()


def get_weights(model: str, tool: str) -> None:
    """Download a checkpoint of the hub, if it is not here.

    Args:
        model: As `find` takes it; what is no hub id is left alone.
        tool: The tool that asks, for messages.

    Raises:
        MissingExtra: The client of the hub is not installed.
        ToolError: It cannot be had.
    """
    from visprog.models.checkpoint.cache import is_hub_id
    from visprog.models.checkpoint.hub import fetch

    if folder_of(model) is None and is_hub_id(model) and not Path(model).expanduser().exists():
        try:
            fetch(model)
        except (ValueError, OSError) as error:
            raise CheckpointSource(model, tool, None, {}).failure(error) from error


def unload(model: str) -> None:
    """Forget a checkpoint: it leaves memory when its last user is done."""
    place = str(folder_of(model) or model)
    with _changing:
        for key in [key for key in _loaded if key[0] == place]:
            del _loaded[key]


def _unload_from(device: Any, keep: Checkpoint | None = None) -> bool:
    """Forget the checkpoints on a device; False if there are none, except for `keep`."""
    import torch

    with _changing:
        there = [
            key
            for key, other in _loaded.items()
            if other is not keep and next(other.network.parameters()).device == device
        ]
        for key in there:
            del _loaded[key]
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return bool(there)


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def pick_device(device: str) -> str:
    """The device that a setting means: "auto" is CUDA, else Apple's MPS, else the CPU."""
    import torch

    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _place(network: Any, name: str, device: str, dtype: str = "auto", half_on_cpu: str = "float32") -> Any:
    """A network on a device, as `load` says.

    Raises:
        ToolError: The device cannot take it.
    """
    import torch

    if dtype == "auto" and device == "cpu" and next(network.parameters()).dtype == torch.float16:
        network = network.to(getattr(torch, half_on_cpu))
    try:
        return network.to(device)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise ToolError(f"cannot put '{name}' on the device '{device}': {first_line(error)}") from error


def _checked_device(device: str, name: str) -> str:
    """The device that a setting means, if it is there.

    Raises:
        ToolError: It is not.
    """
    import torch

    device = pick_device(device)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise ToolError(f"cannot put '{name}' on the device '{device}': {first_line(error)}") from error
    return device


def load_once(
    source: CheckpointSource,
    architecture: str,
    device: str,
    dtype: str,
    half_on_cpu: str,
    read: Callable[[str], tuple[Any, Any]],
) -> Checkpoint:
    """A checkpoint from memory, or as `read` gives its network and its processor, on its device.

    Args:
        architecture: What it is loaded as.
        read: Gets the device; what it gives may still be elsewhere.
        device, dtype, half_on_cpu: as `load`.

    Raises:
        ToolError: The device cannot take it.
    """
    if device == "auto":
        device = backend_file(source.folder).device
    key = (source.given, architecture, device, dtype, half_on_cpu)
    with _changing:
        lock = _loading.setdefault(key, threading.Lock())
    with lock:
        if key in _loaded:
            return _loaded[key]
        place = _checked_device(device, source.name)

        def make() -> Checkpoint:
            network, processor = read(place)
            return Checkpoint(source, _place(network, source.name, place, dtype, half_on_cpu), processor)

        checkpoint = _with_room(make, source.name, place)
        with _changing:
            _loaded[key] = checkpoint
        return checkpoint


def _with_room(make: Callable[[], Checkpoint], name: str, device: str) -> Checkpoint:
    """The checkpoint that `make` loads; if the device has too little memory, once more without the others there.

    Raises:
        ToolError: It does not fit there alone.
    """
    import torch

    try:
        return make()
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
    _unload_from(torch.empty(0, device=device).device)
    try:
        return make()
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        raise ToolError(
            f"'{name}' does not fit into the memory of the device '{device}': take a smaller model, or set "
            'device = "cpu"'
        ) from error


def _checked(model: str, tool: str) -> Path | None:
    """The folder of a model, if it looks right; None for a hub id."""
    folder = folder_of(model)
    if folder is None:
        if Path(model).expanduser().exists():
            raise ToolError(
                f"{tool}: {model} is a file; give the folder that holds config.json and *.safetensors"
            )
        if model.startswith((".", "/", "~", "\\")) or model.count("/") > 1:
            raise ToolError(f"{tool}: no such folder: {model}")
        return None
    if not (folder / "config.json").is_file():
        raise ToolError(f"{tool}: {model} holds no config.json: it is not the folder of a model")
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
    return folder


@cache
def _hub_config(model: str) -> dict[str, Any]:
    """The `config.json` of a hub id; its file is downloaded once."""
    from visprog.models.checkpoint.hub import fetch_config

    return _read_config(fetch_config(model))


def _read_config(file: Path) -> dict[str, Any]:
    config = read_json(file)
    if not isinstance(config, dict):
        raise ValueError("config.json holds no JSON object")
    return config
