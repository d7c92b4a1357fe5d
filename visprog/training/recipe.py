"""Recipes: everything that a training run depends on, as YAML.

task: clip              # what is trained: a name of `TASKS`, or module:class
steps: 3000             # the trainer's own keys: the fields of `Recipe`
batch_size: 128
optimizer: {lr: {projector: 1e-3, "": 0}}
data: photographs/      # every other key is the task's: the fields of its Config
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import yaml
from yaml.reader import ReaderError

from .from_plain import RecipeError, build, nearest, plain
from .task import TASKS, find_task

FOLDER = Path(__file__).parent / "recipes"
"""The recipes that are shipped, by file name."""


@dataclass(frozen=True)
class OptimizerConfig:
    """How weights are updated.

    Attributes:
        name: "adamw", or "muon": Muon for the matrices of the task's blocks and AdamW for the rest.
        lr: peak learning rate, or one for each component of the model by the prefix of its parameters' names;
            the longest prefix holds, "" is all the rest, 0 freezes.
        weight_decay: decoupled; see `make_optimizers` for what it acts on.
        betas: of AdamW.
        eps: of AdamW.
        clip: greatest norm of the gradient; null does not clip.
    """

    name: Literal["adamw", "muon"] = "adamw"
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
    """Learning rate over time: `warmup` steps up to the peak, then a cosine down to `floor` of it."""

    warmup: int = 100
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.warmup < 0 or not 0 <= self.floor <= 1:
            raise ValueError("warmup must not be negative, and floor must lie in [0, 1]")


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Attributes:
        task: what is trained; see `find_task`.
        arguments: the task's own keys, as its Config.
        steps: updates of the weights; or `epochs`, passes over the data. One of the two.
        batch_size: samples in a forward pass of one process.
        accumulation: forward passes in a step; a step sees batch_size × accumulation × processes samples.
        ema: decay of the average of the weights that is evaluated and saved; null keeps none.
        precision: of the computation; weights stay in fp32.
        compile: torch.compile for the task's blocks.
        activation_checkpointing: forget the activations within the task's blocks and compute them again when needed.
        fsdp: split weights, gradients and optimizer state over the GPUs (FSDP2).
        seed: of weights, order of the data and everything drawn.
        workers: processes that prepare the data beside each training process.
        evaluate_every: in steps; null evaluates at the end only.
        checkpoint_every: in steps.
        keep: so many checkpoints are kept.
    """

    task: str
    arguments: Any
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
        """As it stands in a file: with every key, whether given or default."""
        own = plain(self)
        return {**{k: v for k, v in own.items() if k != "arguments"}, **own["arguments"]}


def load_recipe(source: str | Path, overrides: Sequence[str] = (), *, allow_code: bool = True) -> Recipe:
    """Read a recipe.

    Args:
        source: path of a YAML file, or the name of a shipped recipe.
        overrides: "key=value" with a dotted key and a value in YAML: "optimizer.lr=1e-4".
        allow_code: whether the task may be "module:class", which imports the module.

    Raises:
        RecipeError: there is no such file, or a key or value in it cannot be used; the message names it.
    """
    path = find_recipe(source)
    try:
        raw = yaml.load(path.read_bytes(), _Loader)  # a safe loader; of bytes, it finds UTF-16 too
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise RecipeError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise RecipeError(f"{path} must be a mapping of keys to values")
    try:
        for text in overrides:
            _override(raw, text)
        if not allow_code and ":" in str(raw.get("task")):
            raise RecipeError(
                f"task {raw['task']!r} runs code of a module: give --allow-code if you trust it, "
                f"or take one of {', '.join(TASKS)}"
            )
        return make_recipe(raw)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def make_recipe(raw: Mapping[str, Any]) -> Recipe:
    """A recipe from plain data. Raises `RecipeError` as `load_recipe` does."""
    own = [f.name for f in fields(Recipe) if f.name != "arguments"]
    if raw.get("task") is None:
        raise RecipeError("task is missing: it must be the name of a task, or module:class")
    task = build(str, raw["task"], "task")
    config = find_task(task).Config
    theirs = [f.name for f in fields(config)]
    if both := sorted(set(own) & set(theirs)):
        raise RecipeError(f"task '{task}' has keys that are the trainer's own: {', '.join(both)}")
    for key in raw:
        if key not in own and key not in theirs:
            hint = _tasks_with(str(key)) or nearest(str(key), own + theirs)
            raise RecipeError(f"unknown key {_quoted(key)}: {hint}")
    arguments = build(config, {k: v for k, v in raw.items() if k not in own})
    recipe: Recipe = build(Recipe, {**{k: v for k, v in raw.items() if k in own}, "arguments": arguments})
    return recipe


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


def _tasks_with(key: str) -> str:
    """Which tasks and shipped recipes have a key that this task has not; empty if none has."""
    tasks = [name for name in TASKS if key in (f.name for f in fields(find_task(name).Config))]
    if not tasks:
        return ""
    ready = [name for name in shipped_recipes() if load_recipe(name).task in tasks]
    return (
        f"it is a key of the tasks {', '.join(tasks)}; shipped recipes with it: {', '.join(ready) or 'none'}"
    )


def _override(raw: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise RecipeError(f"{_quoted(text)} is no override: write key=value, such as optimizer.lr=1e-4")
    try:
        parsed = yaml.load(value, _Loader)  # a safe loader
    except ReaderError:  # characters that YAML forbids, such as those of a file name that is not UTF-8
        parsed = value
    except (yaml.YAMLError, RecursionError, ValueError):
        raise RecipeError(f"the value of {_quoted(text)} is not valid YAML: put text in quotes") from None
    *parents, last = key.split(".")
    table = raw
    for i, name in enumerate(parents):
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            where = ".".join(parents[: i + 1])
            raise RecipeError(f"'{key}' cannot be set: {where} is {table!r} here, not a mapping")
    table[last] = parsed


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
