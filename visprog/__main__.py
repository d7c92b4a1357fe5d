"""`python -m visprog` is the command `visprog`."""

from __future__ import annotations

import sys

from .cli import main

if __name__ == "__main__":
    code = main()
    if "visprog.training.distributed.failures" in sys.modules:  # in a process that torchrun started
        from .training.distributed.failures import leave

        leave(code)
    raise SystemExit(code)
