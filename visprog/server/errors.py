"""What the server answers where it does not do what it was asked."""

from __future__ import annotations

import math

from visprog.errors import VisprogError


class Problem(VisprogError):
    """A request that is not served: the HTTP status, and one sentence.

    Args:
        retry_after: seconds after which the client may try again, where that helps.
    """

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = None if retry_after is None else max(1, math.ceil(retry_after))

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}

    @property
    def body(self) -> dict[str, str]:
        """As the commands print it with `--json`."""
        return {"status": "error", "message": str(self)}
