"""`python -m visprog` is the command `visprog`."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    code = main()
    if "visprog.tools.training.failures" in sys.modules:  # torchrun starts the processes of a training so
        from visprog.tools.training.failures import leave

        leave(code)
    raise SystemExit(code)
