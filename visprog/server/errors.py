"""The answer of the server to a request that it does not serve."""

from __future__ import annotations

import math

from visprog.errors import VisprogError


class Problem(VisprogError):
    """A request that is not served: the HTTP status, and one sentence.

    Args:
        status: HTTP status.
        message: The problem and the way out.
        retry_after: Seconds after which the client may try again; None if that does not help.
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
        """The body of the response, in the form of `--json`."""
        return {"status": "error", "message": str(self)}
