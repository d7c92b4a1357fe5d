"""How long a run takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

Run = Callable[[], Any]


def seconds(run: Run, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds by a clock; `time.process_time` is that of the processors, which other programs change less."""
    start = clock()
    run()
    return clock() - start
