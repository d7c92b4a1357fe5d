"""`python -m visprog` is the command `visprog`."""

from __future__ import annotations

from .cli import main
from .commands.result import leave

if __name__ == "__main__":
    code = main()
    leave(code)
    raise SystemExit(code)
