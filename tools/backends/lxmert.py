"""`vqa` with LXMERT (Tan & Bansal, 2019), trained by `visprog train lxmert`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from visprog.errors import Refused, ToolError
from visprog.values import Region
from visprog.values.image import Image

from ._regions import Look, RegionBackend


class Question(NamedTuple):
    """One call: what is looked at and read, and the question as it was put."""

    look: Look
    question: str


class LxmertVqa(RegionBackend):
    """The likeliest of the answers that the model was taught. Of a region, only that region counts.

    Args:
        threshold: Minimum probability of an answer; below it the model is not sure, and refuses.
    """

    tool = "vqa"
    model_type = "lxmert"
    recipe = "lxmert"
    parameter = "question"

    def __init__(self, model: str | None = None, *, threshold: float = 0.5, **options: Any) -> None:
        super().__init__(model, **options)
        self.threshold = threshold

    def _prepare(self, image: Image | Region, question: str) -> Question:
        if not question.strip():
            raise ToolError("vqa was given an empty question")
        return Question(self._look(image, self._read(question)), question)

    def _answer(self, asked: Sequence[Question]) -> list[str | Refused]:
        answers, network = self.settings.answers, self.checkpoint.network
        results: list[str | Refused] = []
        for each, (output, row) in zip(asked, self._outputs([each.look for each in asked]), strict=True):
            probabilities = network.answer_logits(output)[row].float().softmax(-1)
            if len(answers) != len(probabilities):
                raise ToolError(
                    f"vqa: {self.model} has {len(probabilities)} classes of answers, and its backend.json names "
                    f"{len(answers)}"
                )
            best = int(probabilities.argmax())
            if float(probabilities[best]) < self.threshold:
                results.append(
                    Refused(
                        f"the model '{self.model}' of vqa is not sure of an answer to '{each.question}': the "
                        f"likeliest, '{answers[best]}', has a probability of {float(probabilities[best]):.2f}"
                    )
                )
            else:
                results.append(answers[best])
        return results
