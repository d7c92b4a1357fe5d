"""`classify` with a linear probe that `visprog train probe` fitted on a folder of classes."""

from __future__ import annotations

from typing import Any, NamedTuple

from visprog.errors import Refused, ToolError, VisprogError
from visprog.registry.sees import Parsed, Sees
from visprog.values import Region
from visprog.values.image import Image

from ._batching import chunks, crop_to
from ._dual_encoder import plain
from ._loading import load
from ._model_backend import ModelBackend

NO_MODEL = (
    'the backend "probe" of classify needs a probe: run visprog train probe FOLDER, and set model = "runs/probe" under '
    "[tools.classify] in visprog.toml"
)

SHOWN = 20
"""Number of classes that a message names."""


class _Ask(NamedTuple):
    """One call: an image, and each option with its class."""

    image: Image
    options: dict[str, int]


class ProbeClassifier(ModelBackend):
    """The likeliest of the options, which must be classes of the probe. Images that are unlike those that it was fitted
    on are refused, and so are those for which no option is likely enough.

    Args:
        threshold: Minimum probability of the option, among all classes of the probe; 0 always names one.
        familiar: Whether images that are unlike all that the probe was fitted on are refused.
        margin: Width added to a region on each side, as a share of its longer side.
        batch_size: Number of images that the network encodes at once.
    """

    tool = "classify"
    default_model = ""  # there is none

    def __init__(
        self,
        model: str | None = None,
        *,
        threshold: float = 0.5,
        familiar: bool = True,
        margin: float = 0.05,
        batch_size: int = 32,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.threshold, self.familiar = threshold, familiar
        self.margin, self.batch_size = margin, batch_size

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, from `config.json`.

        Raises:
            ToolError: There is no such probe.
        """
        if not self.model:
            raise ToolError(NO_MODEL)
        return tuple(self._find("probe").config.get("classes", ()))

    @property
    def sees(self) -> Sees:
        """The classes."""
        if not self.model:
            return Sees(nothing=NO_MODEL)
        try:
            summary = f"options among its classes: {', '.join(self.classes)}"
        except VisprogError:  # said again by each call
            return Sees()
        return Sees(summary, {"options": Parsed(self._class_of)})

    def _class_of(self, option: str) -> int:
        """Index of the class that an option names.

        Raises:
            Refused: It names none.
        """
        known = {plain(name): number for number, name in enumerate(self.classes)}
        if plain(option) not in known:
            names = [*self.classes[:SHOWN], *(["…"] if len(self.classes) > SHOWN else [])]
            raise Refused(
                f"the probe '{self.model}' of classify knows {', '.join(names)}, and not '{option}'"
            )
        return known[plain(option)]

    def _prepare(self, image: Image | Region, options: list[str]) -> _Ask:
        if not options:
            raise ToolError("classify was given no options to choose from")
        return _Ask(crop_to(image, self.margin), {option: self._class_of(option) for option in options})

    def _answer(self, asked: list[_Ask]) -> list[str | Refused]:
        checkpoint = load(self._find("probe"), self.device, self.dtype)
        answers: list[str | Refused] = []
        for part in chunks(asked, self.batch_size):
            inputs = checkpoint.processor.image_processor([ask.image.pixels for ask in part])
            with checkpoint.running():
                found = checkpoint.network(checkpoint.send(inputs))
                strange = (found.distance > checkpoint.network.farthest).tolist()
            rows = found.probabilities.float().tolist()
            answers += [self._judge(*each) for each in zip(part, rows, strange, strict=True)]
        return answers

    def _judge(self, ask: _Ask, probabilities: list[float], strange: bool) -> str | Refused:
        if strange and self.familiar:
            return Refused(
                f"the image is unlike all that the probe '{self.model}' of classify was fitted on "
                "(set familiar = false under [tools.classify] to classify it anyway)"
            )
        best = max(ask.options, key=lambda option: probabilities[ask.options[option]])
        sure = probabilities[ask.options[best]]
        if sure >= self.threshold:
            return best
        first = max(range(len(probabilities)), key=probabilities.__getitem__)
        return Refused(
            f"the probe '{self.model}' of classify is not sure enough: it gives '{best}' {sure:.0%}, less than the "
            f"threshold of {self.threshold:.0%}, and '{self.classes[first]}' {probabilities[first]:.0%}"
        )
