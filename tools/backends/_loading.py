"""Networks and their processors, read from a checkpoint.

Checkpoints of the types that `visprog.models` implements are loaded by it, the others by transformers; the
`model_type` in `config.json` decides. A checkpoint is data: weights are safetensors, and no code that comes with one is
run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from visprog.errors import MissingExtra, ToolError, first_line
from visprog.files.plain_text import read_json
from visprog.models import BUNDLED
from visprog.models.preprocess import processors

from ._checkpoint import Checkpoint, CheckpointSource, Processor, load_once

_quieting = threading.RLock()


def load(
    source: CheckpointSource,
    device: str,
    dtype: str,
    *,
    processor: Callable[[CheckpointSource, Any], Any] | None = None,
    half_on_cpu: str = "float32",
) -> Checkpoint:
    """A checkpoint in the implementation of `visprog.models`, from memory if it was loaded before.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps"; "auto" takes that of `backend.json`, else a GPU if there is one.
        dtype: "float32", "bfloat16", "float16"; "auto" is what is fastest here without other answers
            (`visprog.models.precision`). Of what is too small for that it is float32 for a model that was trained here,
            else the checkpoint's own.
        processor: Makes the processor of the source and its network; `read_processor` if not given.
        half_on_cpu: Precision that "auto" gives a float16 checkpoint on a CPU, where float16 is slow.

    Raises:
        ToolError: It cannot be read, or the device cannot take it.
    """

    if dtype == "auto" and source.name in BUNDLED:
        dtype = "float32"  # as their scores were measured

    def read(place: str) -> tuple[Any, Any]:
        from visprog.models.base import load_model
        from visprog.models.precision import load_fastest

        try:
            if dtype == "auto":
                network, precision = load_fastest(source.given, device=place)
                network = network.float() if source.trained_here and not precision.reason else network
            else:
                network = load_model(source.given, dtype=dtype, device=place).eval()
            return network, (processor or read_processor)(source, network)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise source.failure(error) from error

    return load_once(source, "visprog", device, dtype, half_on_cpu, read)


def load_file(model: str, tool: str, read: Callable[[Path, str], Any], device: str, dtype: str) -> Checkpoint:
    """A checkpoint that is one file in a layout of its authors, from memory if it was loaded before.

    Args:
        read: Makes the network of the file, in a precision; a ValueError says that it is another.
        device, dtype: as `load`.

    Raises:
        ToolError: There is no such file, it cannot be read, or the device cannot take it.
    """
    if find_spec("torch") is None:
        raise MissingExtra(f"a model for {tool}", "torch")
    file = Path(model).expanduser()
    if not file.is_file():
        raise ToolError(f"{tool}: no such file: {model}")
    source = CheckpointSource(model, tool, None, {})

    def make(place: str) -> tuple[Any, Any]:
        from visprog.models.precision import fastest, file_digest

        def in_precision(precision: str) -> Any:
            return read(file, precision).to(place)

        try:
            if dtype == "auto":
                return fastest(in_precision, model, file_digest(file), place)[0], Processor(None, None)
            return in_precision(dtype).eval(), Processor(None, None)
        except ValueError as error:
            raise ToolError(f"{tool}: cannot load {model}: {first_line(error)}") from error

    return load_once(source, "file", device, dtype, "float32", make)


def load_by_transformers(
    source: CheckpointSource,
    architecture: str,
    device: str,
    dtype: str,
    *,
    processor: Callable[[CheckpointSource], Any] | None = None,
    half_on_cpu: str = "float32",
) -> Checkpoint:
    """A public checkpoint in the implementation of transformers, from memory if it was loaded before.

    Args:
        architecture: The class of transformers that builds the network, such as "AutoModel".
        device: as `load`.
        dtype: as `load`, but "auto" is that of the file, or what `visprog.models.precision.half_precision` says.
        processor: Makes the processor; `transformers_processor` if not given.
        half_on_cpu: as `load`; "bfloat16" is for what writes text, and as well in half precision.

    Raises:
        MissingExtra: Transformers is not installed.
        ToolError: It cannot be read, lacks weights, or the device cannot take it.
    """

    check_network(source, architecture)

    def read(place: str) -> tuple[Any, Any]:
        network, report = _transformers(
            source, architecture, use_safetensors=True, dtype=dtype, output_loading_info=True
        )
        if dtype == "auto":
            from visprog.models.precision import half_precision

            network = network.to(half_precision(network, place, half_on_cpu == "bfloat16"))
        if missing := report["missing_keys"]:
            raise ToolError(
                f"{source.tool}: '{source.name}' lacks {len(missing)} of the weights that "
                f"{type(network).__name__} needs, such as {min(missing)}: it is for another task"
            )
        return network.eval(), (processor or transformers_processor)(source)

    return load_once(source, architecture, device, dtype, half_on_cpu, read)


def read_processor(source: CheckpointSource, network: Any) -> Processor:
    """The tokenizer and the image processor of a checkpoint, as far as its folder has them."""
    from visprog.models.checkpoint.hub import locate
    from visprog.models.preprocess.image_processor import ImageProcessor
    from visprog.models.preprocess.tokenizer import Tokenizer

    folder = locate(source.place)

    def has(*names: str) -> bool:
        return any((folder / f"{name}.json").is_file() for name in names)

    tokenizer = image_processor = None
    if has("tokenizer", "vocab"):
        siglip = source.model_type == "siglip"
        tokenizer = Tokenizer.from_pretrained(
            folder,
            length=getattr(getattr(network.config, "text_encoder", None), "length", None),
            full=siglip,  # it was trained on texts filled up to full length
            clean=_siglip_cleaner(folder) if siglip else None,
        )
    if has("image_processor", "processor_config", "preprocessor_config"):
        image_processor = ImageProcessor.from_pretrained(folder)
    return Processor(tokenizer, image_processor)


def image_processor_alone(source: CheckpointSource) -> Processor:
    """The image processor of a checkpoint that takes no texts."""
    from visprog.models.preprocess.image_processor import ImageProcessor

    return Processor(None, ImageProcessor.from_pretrained(source.place))


def _siglip_cleaner(folder: Path) -> Callable[[str], str] | None:
    """What the tokenizer of a public SigLIP does in code, and not in its `tokenizer.json`: that of SigLIP drops
    punctuation, that of SigLIP 2 lowers the case."""
    from visprog.models.siglip import canonical

    file = folder / "tokenizer_config.json"
    settings = read_json(file) if file.is_file() else {}
    cleaners = {"SiglipTokenizer": canonical, "GemmaTokenizer": str.lower, "Siglip2Tokenizer": str.lower}
    return cleaners.get(settings.get("tokenizer_class", "").removesuffix("Fast"))


def transformers_processor(source: CheckpointSource) -> Any:
    """The processor of transformers for a public checkpoint.

    Raises:
        MissingExtra: Transformers is not installed.
        ToolError: It cannot be read.
    """
    return _by_transformers(
        source, lambda _, place, options: processors.load_processor(place, source.model_type, **options)
    )


def transformers_image_processor(source: CheckpointSource) -> Any:
    """The image processor of transformers for a public checkpoint.

    Raises:
        MissingExtra: Transformers is not installed.
        ToolError: It cannot be read.
    """
    return _by_transformers(
        source,
        lambda _, place, options: processors.load_image_processor(place, source.model_type, **options),
    )


def transformers_tokenizer(source: CheckpointSource) -> Any:
    """The tokenizer of transformers for a public checkpoint.

    Raises:
        MissingExtra: Transformers is not installed.
        ToolError: It cannot be read.
    """
    return _transformers(source, "AutoTokenizer")


def generation_config(source: CheckpointSource) -> Any:
    """The settings of generation of a public checkpoint, as transformers reads them.

    Raises:
        MissingExtra: Transformers is not installed.
    """
    try:
        return _transformers(source, "GenerationConfig")
    except ToolError:  # older checkpoints have no generation_config.json
        from transformers import GenerationConfig

        text = source.config.get("text_config") or {}
        return GenerationConfig(eos_token_id=source.config.get("eos_token_id", text.get("eos_token_id")))


def check_network(source: CheckpointSource, architecture: str) -> None:
    """Refuse a checkpoint that transformers cannot run here, by its settings, before its weights are fetched.

    Args:
        architecture: The class of transformers that is to build the network; "" if another library does.

    Raises:
        MissingExtra: Transformers is not installed.
        ToolError: The class does not know this type of model, or a part of it is one of timm, which is missing.
    """
    if _has_timm(source.config) and find_spec("timm") is None:
        raise ToolError(
            f"{source.tool}: '{source.name}' has an image encoder of timm, which is not installed: choose another "
            "model, or pip install timm with the torchvision that fits your torch"
        )
    if architecture.startswith("AutoModelFor"):
        known = getattr(_library(source), architecture)._model_mapping
        types = getattr(known, "_model_mapping", {})
        if types and source.config.get("model_type") not in types:
            raise source.refusal(sorted(types))


def _has_timm(config: Mapping[str, Any]) -> bool:
    """Whether a part of a model, by its `config.json`, is one of timm."""
    return (
        config.get("model_type") in ("timm_wrapper", "timm_backbone")
        or config.get("use_timm_backbone") is True
        or any(_has_timm(part) for part in config.values() if isinstance(part, Mapping))
    )


def _transformers(source: CheckpointSource, name: str, **options: Any) -> Any:
    """What a class of transformers reads from a checkpoint."""
    return _by_transformers(
        source,
        lambda library, place, common: getattr(library, name).from_pretrained(place, **common, **options),
    )


def _library(source: CheckpointSource) -> Any:
    """Transformers.

    Raises:
        MissingExtra: It is not installed.
        ToolError: It does not work beside the torchvision that is installed.
    """
    try:
        import torch  # noqa: F401  # transformers hides its models where torch is missing
        import transformers
    except ImportError:
        raise MissingExtra(f"a pretrained model for {source.tool}", "hf") from None
    if problem := processors.torchvision_problem():
        raise ToolError(f"{source.tool}: {problem}")
    return transformers


def _by_transformers(source: CheckpointSource, read: Callable[[Any, str, dict[str, Any]], Any]) -> Any:
    """What `read` gets from a checkpoint, of transformers, of the folder of the checkpoint, and of the options of
    `from_pretrained`."""
    from visprog.models.checkpoint.hub import fetch

    transformers = _library(source)
    with quiet(transformers):
        try:
            place = str(source.folder or fetch(source.name))
            return read(transformers, place, {"trust_remote_code": False, "local_files_only": True})
        except ToolError as error:
            raise ToolError(f"{source.tool}: cannot load '{source.name}': {error}") from error
        except Exception as error:
            # transformers, the hub's client, safetensors and the HTTP library each raise their own kinds.
            raise source.failure(error) from error


@contextmanager
def quiet(library: Any) -> Iterator[None]:
    """No progress bars and no warnings of transformers, or of diffusers, for a while; for one thread at a time, since
    their settings are those of the whole process."""
    with _quieting:
        logging = library.utils.logging
        bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()
