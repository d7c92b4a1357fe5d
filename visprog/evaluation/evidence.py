"""Evidence of a run: answers as JSON with small images, for the report."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..answer import Answer
from ..files.journal import Journal
from ..values.decode import open_header

MAX_WRONG, MAX_RIGHT = 200, 20
"""Maximum number of failures, and of right answers, that are kept with their images."""

MAX_SIDE = 320
"""Maximum length of the longer side of these images, in pixels."""


class Evidence(Journal):
    """Journal of the answers that the report shows in full, up to MAX_WRONG and MAX_RIGHT."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._left = {False: MAX_WRONG, True: MAX_RIGHT}
        for entry in self:
            self._left[entry["right"]] -= 1

    def keep(self, row: Mapping[str, Any], answer: Answer) -> None:
        """Append the answer of a row, if the maximum is not reached."""
        if self._left[row["right"]] > 0:
            self._left[row["right"]] -= 1
            data = answer.to_json()
            smaller = {digest: _smaller(kept) for digest, kept in data["pictures"].items()}
            self.append({"id": row["id"], "right": row["right"], "answer": {**data, "pictures": smaller}})


def _smaller(kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """Scale an image of the JSON form of answers to MAX_SIDE. Width and height stay those of the original."""
    with open_header(base64.b64decode(kept["data"])) as image:
        if max(image.size) <= MAX_SIDE:
            return kept
        image.thumbnail((MAX_SIDE, MAX_SIDE))
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "jpeg", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    scale = MAX_SIDE / max(kept["width"], kept["height"])
    return {**kept, "data": data, "mime": "image/jpeg", "scale": scale}
