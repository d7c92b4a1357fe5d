"""Which types of models can be run: those of this package and those of transformers."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ..errors import VisprogError
from ..files.plain_text import read_json


def check_model_type(file: Path) -> None:
    """Refuse a `config.json` of a model that nothing here can run.

    Raises:
        VisprogError: the model comes with code of its own, or its type is not known.
    """
    from ..models.checkpoint.hub_config import architecture

    try:
        config = read_json(file)
    except ValueError:  # damaged: its reader says so
        return
    found = architecture(config) if isinstance(config, dict) else None
    if found is None or config.get("layout") or find_spec("transformers") is None:
        return
    from transformers import __version__
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    from ..models.base import MODEL_TYPES

    if {found, config.get("model_type")} & {*MODEL_TYPES, *CONFIG_MAPPING_NAMES}:
        return
    if config.get("auto_map"):
        raise VisprogError(
            f"a model of the type '{found}' comes with code of its own, which is never run: choose one that 'visprog "
            "models' lists"
        )
    raise VisprogError(
        f"a model of the type '{found}' cannot be run: transformers {__version__} does not know it; choose one that "
        "'visprog models' lists, or pip install -U transformers"
    )
