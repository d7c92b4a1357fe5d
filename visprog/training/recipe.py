"""Recipes: everything that a training run depends on, as YAML.

objective: contrastive          # what is learned: a name of `OBJECTIVES`, or module:class
model: {type: clip, image: …}   # settings of the model, as its config_class has them
data: {source: captions, …}     # where samples come from: a name of `SOURCES`, or module:class, and its keys
steps: 3000                     # the trainer's own keys: the fields of `Recipe`
optimizer: {lr: {projector: 1e-3, "": 0}}
length: 32                      # every other key is the objective's: the fields of its Config
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import yaml
from yaml.reader import ReaderError

from visprog.files.limits import MAX_SETTINGS_BYTES
from visprog.files.reading import read_file

from .data.source import FILES, SOURCES, find_source
from .from_plain import RecipeError, Section, build, nearest, plain
from .models import find_model
from .objective import OBJECTIVES, Objective, find_objective

FOLDER = Path(__file__).parent / "recipes"
"""The recipes that are shipped, by file name."""


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights are updated.

    Attributes:
        name: "adamw"; "muon": Muon for the matrices of the model's blocks and AdamW for the rest; or "lars", for large
            batches.
        lr: peak learning rate, or one per component of the model by the prefix of its parameters' names; the longest
            prefix holds, "" is all the rest, 0 freezes.
        weight_decay: decoupled; it acts on the weights of linear and convolution layers alone.
        betas, eps: of AdamW.
        clip: greatest norm of the gradient; null does not clip.
    """

    name: Literal["adamw", "muon", "lars"] = "adamw"
    lr: float | dict[str, float] = 1e-3
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    clip: float | None = 1.0

    def __post_init__(self) -> None:
        rates = self.lr.values() if isinstance(self.lr, Mapping) else [self.lr]
        if not rates or min(rates) < 0:
            raise ValueError("lr must not be negative")
        if self.weight_decay < 0 or (self.clip is not None and self.clip <= 0):
            raise ValueError("weight_decay must not be negative, and clip must be positive")
        if not all(0 <= b < 1 for b in self.betas):
            raise ValueError(f"betas must lie in [0, 1), not {self.betas}")


@dataclass(frozen=True)
class ScheduleConfig:
    """Learning rate over time.

    Attributes:
        warmup: number of steps up to the peak.
        floor: share of the peak at the end of the cosine that follows.
    """

    warmup: int = 100
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.warmup < 0 or not 0 <= self.floor <= 1:
            raise ValueError("warmup must not be negative, and floor must lie in [0, 1]")


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Attributes:
        objective: what is learned, such as contrastive, matching or detection (`OBJECTIVES` names all), or
            module:class.
        arguments: the objective's own keys, as its Config.
        data: `source`, where samples come from, and its keys.
        model: `type` of the model and its settings; null takes those of `init_from`.
        steps: number of updates of the weights; or `epochs`, passes over the data. One of the two.
        epochs: number of passes over the data.
        batch_size: number of samples in a forward pass of one process.
        accumulation: forward passes in a step; a step sees batch_size × accumulation × processes samples.
        optimizer: how weights are updated.
        schedule: learning rate over time.
        ema: decay of the average of the weights that is evaluated and saved; null keeps none.
        precision: of the computation; weights stay in fp32.
        compile: whether the model's blocks are compiled by torch.compile.
        activation_checkpointing: whether activations within the blocks are computed again in the backward pass instead
            of kept.
        fsdp: whether weights, gradients and optimizer state are split over the GPUs (FSDP2).
        seed: of weights, order of the data and everything drawn.
        workers: number of processes that prepare the data beside each training process.
        evaluate_every: number of steps between evaluations; null evaluates at the end only.
        checkpoint_every: number of steps between checkpoints.
        keep: number of checkpoints that are kept.
    """

    objective: str
    arguments: Any
    data: Section
    model: Section | None = None
    steps: int | None = None
    epochs: float | None = None
    batch_size: int = 32
    accumulation: int = 1
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    ema: float | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    activation_checkpointing: bool = False
    fsdp: bool = False
    seed: int = 0
    workers: int = 0
    evaluate_every: int | None = None
    checkpoint_every: int = 500
    keep: int = 2

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs, and leave the other out or null")
        for name in (
            "steps",
            "epochs",
            "batch_size",
            "accumulation",
            "evaluate_every",
            "checkpoint_every",
            "keep",
        ):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be positive, not {value}")
        if self.workers < 0 or not 0 <= self.seed < 2**31:
            raise ValueError("workers and seed must not be negative, and seed must be below 2**31")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema must lie between 0 and 1, not {self.ema}")

    def to_plain(self) -> dict[str, Any]:
        """The keys of the file, all of them, whether given or default."""
        own = plain(self)
        own["data"] = {"source": self.data.name, **own["data"]["config"]}
        if self.model is not None:
            own["model"] = {"type": self.model.name, **own["model"]["config"]}
        return {**{k: v for k, v in own.items() if k != "arguments"}, **own["arguments"]}

    def build(self) -> Objective:
        """The objective with its model and its data.

        Raises:
            VisprogError: the data cannot be read, or model and data do not fit.
        """
        objective = find_objective(self.objective)
        source = find_source(self.data.name, objective.sample_type)(self.data.config)
        return objective(self.arguments, self.model, source)


def load_recipe(source: str | Path, overrides: Sequence[str] = (), *, allow_code: bool = True) -> Recipe:
    """Read a recipe.

    Args:
        source: path of a YAML file, or the name of a shipped recipe.
        overrides: "key=value" with a dotted key and a value in YAML: "optimizer.lr=1e-4". The key of a section may be
            given without it, "val=FILE" for "data.val=FILE", and "data=PATH" is the path of the data.
        allow_code: whether objective and source may be "module:class", which imports the module.

    Raises:
        RecipeError: there is no such file, or a key or value in it cannot be used; the message names it.
    """
    path = find_recipe(source)
    try:
        raw = yaml.load(
            read_file(path, MAX_SETTINGS_BYTES), _Loader
        )  # a safe loader; of bytes, it finds UTF-16 too
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise RecipeError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise RecipeError(f"{path} must be a mapping of keys to values")
    try:
        for text in sorted(overrides, key=lambda text: not text.startswith(_NAMING)):
            _override(raw, text, allow_code)
        if not allow_code:
            _refuse_code(raw)
        return make_recipe(raw)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def make_recipe(raw: Mapping[str, Any]) -> Recipe:
    """A recipe from plain data. Raises `RecipeError` as `load_recipe` does."""
    if "task" in raw:
        raise RecipeError(
            "task is a key of older recipes: name an objective and a source of data instead (docs/train.md)"
        )
    objective = _objective_of(raw)
    own = [f.name for f in fields(Recipe) if f.name != "arguments"]
    theirs = [f.name for f in fields(objective.Config)]
    if both := sorted(set(own) & set(theirs)):
        raise RecipeError(
            f"objective '{raw['objective']}' has keys that are the trainer's own: {', '.join(both)}"
        )
    for key in raw:
        if key not in own and key not in theirs:
            hint = _recipes_with(str(key)) or nearest(str(key), own + theirs)
            raise RecipeError(f"unknown key {_quoted(key)}: {hint}")
    arguments = build(objective.Config, {k: v for k, v in raw.items() if k not in own})
    sections = {"data": None, "model": None} | {
        section: Section(name, build(config, {k: v for k, v in given.items() if k != naming}, section))
        for section, (naming, name, config, given) in _sections(raw, objective).items()
    }
    rest = {k: v for k, v in raw.items() if k in own and k not in sections}
    recipe: Recipe = build(Recipe, {**rest, **sections, "arguments": arguments})
    return recipe


def _objective_of(raw: Mapping[str, Any]) -> type[Objective]:
    if raw.get("objective") is None:
        raise RecipeError("objective is missing: it must be the name of an objective, or module:class")
    return find_objective(build(str, raw["objective"], "objective"))


def _sections(
    raw: Mapping[str, Any], objective: type[Objective]
) -> dict[str, tuple[str, str, type, Mapping[str, Any]]]:
    """Section → the key that names what its other keys belong to, that name, their dataclass, and all keys given."""
    data, model = raw.get("data"), raw.get("model")
    if isinstance(data, str):
        data = {"path": data}
    if not isinstance(data, Mapping):
        raise RecipeError("data is missing: give the path of the data, or a mapping with a source")
    source = data.get("source", FILES.get(objective.sample_type))
    if source is None:
        raise RecipeError("data.source is missing: it must be the name of a source, or module:class")
    config = find_source(build(str, source, "data.source"), objective.sample_type).Config
    found = {"data": ("source", source, config, data)}
    if model is not None:
        if not isinstance(model, Mapping) or model.get("type") is None:
            raise RecipeError("model.type is missing: it must be the model_type of a model, such as clip")
        name = build(str, model["type"], "model.type")
        found["model"] = ("type", name, find_model(name).config_class, model)
    return found


def find_recipe(source: str | Path) -> Path:
    """The file of a recipe, given as a path or as the name of a shipped one.

    Raises:
        RecipeError: there is none.
    """
    path = Path(source)
    shipped = FOLDER / f"{source}.yaml"
    if path.is_file():
        return path
    if path.name == str(source) and not path.suffix and shipped.is_file():
        return shipped
    if path.suffix in (".yaml", ".yml"):
        raise RecipeError(f"there is no recipe {path}")
    raise RecipeError(
        f"there is no file and no shipped recipe '{source}': {nearest(str(source), shipped_recipes())}"
    )


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with visprog."""
    return sorted(p.stem for p in FOLDER.glob("*.yaml"))


def _recipes_with(key: str) -> str:
    """Which shipped recipes have a key that this one has not; empty if none has."""
    ready = [name for name in shipped_recipes() if any(key in _names(type(part)) for part in _parts_of(name))]
    return f"it is a key of the recipes {', '.join(ready)}" if ready else ""


def _parts_of(name: str) -> tuple[Any, Any]:
    """The keys of a shipped recipe beside the trainer's: of its objective and of its source."""
    recipe = load_recipe(name)
    return recipe.arguments, recipe.data.config


def _override(raw: dict[str, Any], text: str, allow_code: bool) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise RecipeError(f"{_quoted(text)} is no override: write key=value, such as optimizer.lr=1e-4")
    try:
        parsed = yaml.load(value, _Loader)  # a safe loader
    except ReaderError:  # characters that YAML forbids, such as those of a file name that is not UTF-8
        parsed = value
    except (yaml.YAMLError, RecursionError, ValueError):
        raise RecipeError(f"the value of {_quoted(text)} is not valid YAML: put text in quotes") from None
    if allow_code or not _code_in(raw):
        key, parsed = _in_section(raw, key, parsed)
    *parents, last = key.split(".")
    table = raw
    for i, name in enumerate(parents):
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            where = ".".join(parents[: i + 1])
            raise RecipeError(f"'{key}' cannot be set: {where} is {table!r} here, not a mapping")
    table[last] = parsed


_NAMING = ("objective=", "data=", "data.source=", "model=", "model.type=")
"""Overrides that say which keys there are, and so come first."""


def _in_section(raw: Mapping[str, Any], key: str, value: Any) -> tuple[str, Any]:
    """An override whose key was given without its section, with it. A text as `data` is the path of the recipe's own
    source if that reads files, else of the source of files that fits the objective."""
    first = key.split(".")[0]
    try:
        objective = _objective_of(raw)
        names = {name: _names(config) for name, (_, _, config, _) in _sections(raw, objective).items()}
    except RecipeError:  # raised again, with all keys at hand
        return key, value
    if key == "data" and isinstance(value, str):
        return ("data.path", value) if "path" in names["data"] else (key, {"path": value})
    if first in _names(Recipe) | _names(objective.Config):
        return key, value
    return next((f"{section}.{key}" for section, known in names.items() if first in known), key), value


def _names(config: type) -> set[str]:
    return {field.name for field in fields(config)}


def _code_in(raw: Mapping[str, Any]) -> str:
    """The first "module:class" in a recipe, with its key; empty if there is none."""
    data = raw.get("data")
    given = {
        "objective": raw.get("objective"),
        "source": data.get("source") if isinstance(data, Mapping) else None,
    }
    return next((f"{key} {name!r}" for key, name in given.items() if ":" in str(name)), "")


def _refuse_code(raw: Mapping[str, Any]) -> None:
    if found := _code_in(raw):
        known = OBJECTIVES if found.startswith("objective") else SOURCES
        raise RecipeError(
            f"{found} runs code of a module: give --allow-code if you trust it, or take one of {', '.join(known)}"
        )


def _quoted(text: object) -> str:
    """A text in quotes, in characters that every terminal can show."""
    shown = f"'{text}'"
    return shown if shown.isprintable() else ascii(str(text))


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, of which YAML would drop the first."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := [name for name in names if names.count(name) > 1 and name != "<<"]:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{twice[0]}' stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)
