"""Models as recipes name them: by type and settings, with the words of the data, or as they were trained before."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from visprog.models.base import MODEL_TYPES, PretrainedModel
from visprog.models.checkpoint.hub import fetch
from visprog.models.preprocess.image_processor import ImageProcessor
from visprog.models.preprocess.tokenizer import END, START, Tokenizer, bpe_tokenizer, word_tokenizer

from .data.samples import DataError
from .data.source import Source
from .from_plain import RecipeError, Section, nearest
from .init_from import InitFrom, init_model, load_start


def find_model(name: str) -> type[PretrainedModel]:
    """The class of a `model.type`.

    Raises:
        RecipeError: there is none.
    """
    if name not in MODEL_TYPES:
        raise RecipeError(f"model.type '{name}' is not known: {nearest(name, list(MODEL_TYPES))}")
    module, _, attribute = MODEL_TYPES[name].partition(":")
    found: type[PretrainedModel] = getattr(importlib.import_module(f"visprog.models.{module}"), attribute)
    return found


def new_model(section: Section, **vocabulary: Any) -> Any:
    """A model from scratch, with settings that follow from the tokenizer (see `with_vocabulary`)."""
    try:
        return find_model(section.name)(with_vocabulary(section.config, **vocabulary))
    except ValueError as error:
        raise DataError(f"model: {error}") from None


def trained_source(init_from: InitFrom) -> str:
    """The trained model that gives the settings if a recipe has none.

    Raises:
        DataError: there is none.
    """
    if not isinstance(init_from, str):
        raise DataError("model: give its type and settings, or init_from=MODEL to begin with a trained one")
    return init_from


def build_reader(
    section: Section | None, config: Any, source: Source, prime: Callable[[Any], None] = lambda model: None
) -> tuple[Any, Tokenizer, ImageProcessor]:
    """A model that reads texts, its tokenizer and its image processor.

    Args:
        section: type and settings of the model; None takes all three from `config.init_from`.
        config: keys of the objective: `init_from`, `length`, `vocabulary`.
        source: whose texts a new tokenizer is made for.
        prime: changes the first weights of a new model, before it takes those of `init_from`.

    Raises:
        DataError: there are neither settings nor a trained model, or the two do not fit.
    """
    if section is None:
        trained = trained_source(config.init_from)
        model = load_start(trained)
        return model, load_tokenizer(trained), load_processor(trained) or square_processor(model, source)
    special: Mapping[str, str] = getattr(find_model(section.name), "special_tokens", {})
    tokenizer = make_tokenizer(source, config.length, config.vocabulary, tuple(special.values()))
    ids = {name: tokenizer.id(token) for name, token in special.items()}
    model = new_model(
        section,
        vocab=len(tokenizer),
        length=config.length,
        start=tokenizer.id(START),
        end=tokenizer.id(END),
        **ids,
    )
    prime(model)
    init_model(model, config.init_from, tokenizer)
    return model, tokenizer, square_processor(model, source)


def square_processor(model: Any, source: Source) -> ImageProcessor:
    """An image processor that makes every image as large as the model's; it stretches, unless shapes matter."""
    size = image_size(model.config)
    return ImageProcessor(size=(size, size), square=source.square)


def make_tokenizer(
    source: Source, length: int | None, vocabulary: int, special: tuple[str, ...] = ()
) -> Tokenizer:
    """A tokenizer for the texts of a source: a token per word if its vocabulary is closed, else byte pairs."""
    if source.closed_vocabulary:
        return word_tokenizer(source.texts(), length, special)
    return bpe_tokenizer(source.texts(), vocabulary, length or 0, special)


def load_tokenizer(source: str) -> Tokenizer:
    """The tokenizer of a trained model.

    Raises:
        DataError: its folder has none.
    """
    try:
        return Tokenizer.from_pretrained(fetch(source))
    except (OSError, ValueError) as error:
        raise DataError(f"init_from: {source} has no tokenizer: {error}") from None


def load_processor(source: str) -> ImageProcessor | None:
    """The image processor of a trained model, if its folder has one that makes every image equally large."""
    try:
        found = ImageProcessor.from_pretrained(fetch(source))
    except (OSError, ValueError):
        return None
    return found if found.fixed else None


def with_vocabulary(config: Any, **values: Any) -> Any:
    """Settings with values that follow from the tokenizer, such as `length` and `end`, in the part that has a
    `vocab`."""
    names = {field.name for field in fields(config)}
    changes: dict[str, Any] = {
        name: with_vocabulary(getattr(config, name), **values)
        for name in names
        if is_dataclass(getattr(config, name))
    }
    if "vocab" in names:
        changes |= {name: value for name, value in values.items() if name in names}
    return replace(config, **changes)


def check_model(model: Any, objective: str, needs: tuple[str, ...]) -> None:
    """Refuse a model that lacks what an objective needs.

    Raises:
        DataError: the message names what is missing.
    """
    missing = [name for name in needs if not hasattr(model, name)]
    if missing:
        raise DataError(
            f"model: a {type(model).__name__} cannot learn by the objective '{objective}': it has no "
            f"{', '.join(missing)}"
        )


def image_size(config: Any) -> int:
    """Side of the images that a model is made for, in pixels."""
    return int(config.image_size if hasattr(config, "image_size") else config.image_encoder.size)
