"""The evidence kept of a run: answers as JSON with small pictures, for the report."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..answer import Answer
from ..files.journal import Journal
from ..values.decode import open_header

WRONG, RIGHT = 200, 20
"""So many failures, and so many right answers, are kept with their pictures."""

SIDE = 320
"""Longest side of these pictures, in pixels."""


class Evidence(Journal):
    """Appends the answers that the report shows in full, up to WRONG and RIGHT."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._left = {False: WRONG, True: RIGHT}
        for entry in self:
            self._left[entry["right"]] -= 1

    def keep(self, row: Mapping[str, Any], answer: Answer) -> None:
        """The answer of a row, where there is room for it."""
        if self._left[row["right"]] > 0:
            self._left[row["right"]] -= 1
            data = answer.to_json()
            pictures = {digest: _smaller(picture) for digest, picture in data["pictures"].items()}
            self.append({"id": row["id"], "right": row["right"], "answer": {**data, "pictures": pictures}})


def _smaller(picture: Mapping[str, Any]) -> Mapping[str, Any]:
    """A picture of the JSON form of answers, no larger than SIDE. Width and height stay those of the original."""
    with open_header(base64.b64decode(picture["data"])) as image:
        if max(image.size) <= SIDE:
            return picture
        image.thumbnail((SIDE, SIDE))
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "jpeg", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    scale = SIDE / max(picture["width"], picture["height"])
    return {**picture, "data": data, "mime": "image/jpeg", "scale": scale}
