"""What all models share: a configuration, a folder on disk, and a name that says which model the folder holds.

A saved folder has `config.json`, whose `model_type` names the model and whose `layout` says that names of weights and
settings are those of this package, and `model.safetensors`. Folders and hub ids without that `layout` are read as
public checkpoints, in the layout that transformers writes.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, get_args, get_type_hints

import torch
from torch import Tensor, nn

from .checkpoint.checkpoint import assemble, read_json, save_weights
from .checkpoint.hub import fetch
from .checkpoint.hub_config import architecture
from .checkpoint.weight_files import few
from .checkpoint.weights import read_weights

C = TypeVar("C")
Rename = Callable[[dict[str, Tensor]], dict[str, Tensor]]
"""Gives the weights of a public checkpoint the names here."""

LAYOUT = "visprog"
"""The `layout` of the folders that `PretrainedModel.save_pretrained` writes."""

MODEL_TYPES = {
    "albef": "albef.model:Albef",
    "bert": "bert:Bert",
    "blip2": "blip2.model:Blip2",
    "blip2_generator": "blip2.generator:Blip2Generator",
    "clip": "clip.model:Clip",
    "clip_text_model": "clip.model:TextEncoder",
    "clip_vision_model": "clip.model:ImageEncoder",
    "coca": "coca:Coca",
    "dalle": "dalle.model:Dalle",
    "diffusion": "diffusion.model:Diffusion",
    "dit": "diffusion.dit:Dit",
    "dvae": "dalle.dvae:Dvae",
    "llama": "llama:Llama",
    "llava": "llava.model:Llava",
    "lxmert": "lxmert:Lxmert",
    "owlv2": "owlvit:OwlVit",
    "owlvit": "owlvit:OwlVit",
    "probe": "probe:Probe",
    "sam": "sam.model:Sam",
    "siglip": "siglip:Siglip",
    "siglip_vision_model": "siglip:SiglipImageEncoder",
    "simclr": "simclr:Simclr",
    "vilbert": "vilbert:Vilbert",
    "visual_bert": "visualbert:VisualBert",
}
"""`model_type` of a folder → module and class that read it."""


class PretrainedModel(nn.Module):
    """A model that knows its configuration, and is saved to and loaded from a folder.

    Args:
        config: an instance of `config_class`.

    Attributes:
        model_type: name of the model in `config.json`.
        config_class: frozen dataclass of its settings.
    """

    model_type: ClassVar[str]
    config_class: ClassVar[type[Any]]

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write `config.json` and `model.safetensors`.

        Args:
            folder: made if it does not exist.
            dtype: precision of the floating-point weights on disk; their own if not given.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(self, folder, dtype)
        (folder / "config.json").write_text(json.dumps(self.settings(), indent=1) + "\n", encoding="utf-8")

    def settings(self) -> dict[str, Any]:
        """What `config.json` holds: `layout`, `model_type`, and the fields of the configuration."""
        return {"layout": LAYOUT, "model_type": self.model_type, **asdict(self.config)}

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        dtype: str | torch.dtype = "float32",
        device: str | torch.device = "cpu",
        revision: str | None = None,
    ) -> Self:
        """Load a model that `save_pretrained` wrote, or a public checkpoint of the same type.

        Args:
            source: a folder, the name of a bundled model ("clip"), or a hub id ("openai/clip-vit-base-patch32").
            dtype: precision of the weights: "float32", "bfloat16", "float16", or "auto", that of the file.
            device: device that the weights are put on, one by one.
            revision: branch, tag or commit of a hub id.

        Raises:
            ValueError: the folder holds another model, settings that are not implemented, or weights that do not fit
                it; the message names them.
        """
        folder = fetch(source, revision)
        config, rename = cls._read_config(read_json(folder / "config.json"), source)
        return assemble(lambda: cls(config), read_weights(folder), source, dtype, rename, device)

    @classmethod
    def from_public(cls, raw: Mapping[str, Any]) -> tuple[Any, Rename]:
        """The configuration and the names of weights of a public checkpoint, from its `config.json`.

        Raises:
            ValueError: it is of another type, or asks for something that is not implemented.
        """
        raise ValueError(
            f"public checkpoints of {cls.__name__} are not read, only what save_pretrained wrote"
        )

    @classmethod
    def _read_config(cls, raw: dict[str, Any], source: str | Path) -> tuple[Any, Rename]:
        check_type(model_type(raw, source), cls, source)
        if not is_own(raw):
            return cls.from_public(raw)
        return cls.config_from(raw, source), dict

    @classmethod
    def config_from(cls, settings: Mapping[str, Any], source: str | Path) -> Any:
        """The configuration in what `settings` gave.

        Raises:
            ValueError: there are settings that it does not have.
        """
        own = {key: value for key, value in settings.items() if key not in ("layout", "model_type")}
        return from_json(cls.config_class, own, source)


def load_model(
    source: str | Path,
    *,
    dtype: str | torch.dtype = "float32",
    device: str | torch.device = "cpu",
    revision: str | None = None,
) -> PretrainedModel:
    """Load a model of any type, which its `config.json` names.

    Arguments as `PretrainedModel.from_pretrained`.

    Raises:
        ValueError: the type is missing or unknown, or as `PretrainedModel.from_pretrained`.
    """
    folder = fetch(source, revision)
    found = _class_of(model_type(read_json(folder / "config.json"), source), source)
    return found.from_pretrained(folder, dtype=dtype, device=device)


def build_model(settings: Mapping[str, Any], source: str | Path) -> PretrainedModel:
    """A model with fresh weights, of the type and the configuration in `settings`, as `PretrainedModel.settings` gives
    them.

    Raises:
        ValueError: the type is missing or unknown, or there are settings that it does not have.
    """
    found = _class_of(model_type(settings, source), source)
    return found(found.config_from(settings, source))


def model_type(raw: Mapping[str, Any], source: str | Path) -> str:
    """The type of model that a `config.json` names, or that follows from the `architectures` of a public one.

    Raises:
        ValueError: it names none.
    """
    found = architecture(raw)
    if found is None:
        raise ValueError(
            f"{source}: config.json has no model_type: save the model again with save_pretrained, "
            f"or add one of {', '.join(MODEL_TYPES)}"
        )
    return found


def is_own(raw: Mapping[str, Any]) -> bool:
    """Whether a `config.json` is of `save_pretrained`, not of a public checkpoint."""
    return raw.get("layout") == LAYOUT


def check_type(found: str, cls: type[PretrainedModel], source: str | Path) -> None:
    """Refuse a folder of another type.

    Raises:
        ValueError: `found` is no type that the class reads.
    """
    types = [name for name, path in MODEL_TYPES.items() if path.endswith(f":{cls.__name__}")]
    if found not in types:
        remedy = ": visprog.models.load_model reads it" if found in MODEL_TYPES else ""
        wanted = " or ".join(map(repr, types))
        raise ValueError(f"{source} is a checkpoint of model_type '{found}', not {wanted}{remedy}")


def from_json(config_class: type[C], raw: Mapping[str, Any], source: str | Path) -> C:
    """An instance of a dataclass from the JSON object that `dataclasses.asdict` gave, nested ones included.

    Raises:
        ValueError: the object has settings that the dataclass does not have.
    """
    hints = get_type_hints(config_class)
    unknown = raw.keys() - {field.name for field in fields(config_class)}  # type: ignore[arg-type]
    if unknown:
        raise ValueError(f"{source}: {config_class.__name__} has no {few(sorted(unknown))}")
    return config_class(**{name: _plain(hints[name], value, source) for name, value in raw.items()})


def _plain(hint: Any, value: Any, source: str | Path) -> Any:
    nested = [t for t in (hint, *get_args(hint)) if isinstance(t, type) and is_dataclass(t)]
    if nested and isinstance(value, dict):
        return from_json(nested[0], value, source)
    return tuple(value) if isinstance(value, list) else value


def _class_of(name: str, source: str | Path) -> type[PretrainedModel]:
    if name not in MODEL_TYPES:
        raise ValueError(
            f"{source} is a checkpoint of model_type '{name}', which is not implemented: "
            f"known are {', '.join(MODEL_TYPES)}"
        )
    module, _, attribute = MODEL_TYPES[name].partition(":")
    found: type[PretrainedModel] = getattr(importlib.import_module(f".{module}", __package__), attribute)
    return found
