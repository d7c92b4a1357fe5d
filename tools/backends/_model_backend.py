"""The base of backends that run a pretrained model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

from visprog.models import BUNDLED
from visprog.models.checkpoint.cache import cached, is_hub_id

from ._backend_file import backend_file, folder_of, read_json
from ._batching import answer_batch
from ._checkpoint import CheckpointSource, find, get_weights, unload
from ._loading import check_network

Precision = Literal["auto", "float32", "bfloat16", "float16"]


class ModelBackend:
    """What backends on a pretrained model share.

    A subclass has `_prepare`, which checks the arguments of one call, and `_answer`, which gives the results of a batch
    of what was prepared.

    Args:
        model: Name of a bundled model, a folder, such as one that `visprog train` or `save_pretrained` wrote, or a hub
            id.
        device: "cpu", "cuda", "cuda:1", "mps"; "auto" takes a GPU if there is one.
        dtype: "float32", "bfloat16", "float16"; "auto" is what is fastest here and gives the same answers, or the
            checkpoint's own for models that run on transformers.
    """

    confined = True
    tool: ClassVar[str]
    default_model: ClassVar[str]
    model_types: ClassVar[tuple[str, ...]] = ()
    """Types of the models that it takes; any if none is named."""
    network_class: ClassVar[str] = ""
    """Class of transformers that builds its networks, if it takes all types that this class knows."""
    _prepare: Callable[..., Any]
    _answer: Callable[[list[Any]], Sequence[Any]]

    def __init__(self, model: str | None = None, *, device: str = "auto", dtype: Precision = "auto") -> None:
        self.model = model or self.default_model
        self.folder = folder_of(self.model)
        self.settings = backend_file(self.folder)
        self.device, self.dtype = device, dtype

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_batch(calls, self._prepare, self._answer)

    @property
    def process(self) -> str:
        """The process that it works in: one for all bundled models, else one for each checkpoint."""
        return "bundled" if self.model in BUNDLED else str(self.folder or self.model)

    def load(self) -> None:
        """Load the weights before the first call, if they are on this machine: nothing is fetched for a call that may
        not come."""
        if self.folder is not None:
            _ = getattr(self, "checkpoint", None)

    def fetch(self) -> None:
        """Download the weights, if they are on the hub and not here, and of a type that it takes.

        Raises:
            ToolError: They cannot be had.
        """
        if self.folder is None and is_hub_id(self.model) and cached(self.model) is None:
            check_network(self._find(), self.network_class)
        get_weights(self.model, self.tool)

    def unload(self) -> None:
        """Let go of the weights."""
        unload(self.model)

    def _config_here(self) -> dict[str, Any]:
        """The `config.json` of the model, if it is on this machine and can be read."""
        folder = self.folder or (cached(self.model) if is_hub_id(self.model) else None)
        try:
            return read_json(folder / "config.json") if folder else {}
        except (OSError, ValueError):
            return {}

    def _find(self, *model_types: str) -> CheckpointSource:
        """The model, if it is of one of the types; by default those of `model_types`, of any if that names none.

        Raises:
            ToolError: There is no such model, or it is of another type.
        """
        source = find(self.model, self.tool)
        wanted = model_types or self.model_types
        if wanted and source.model_type not in wanted:
            raise source.refusal(wanted)
        return source
