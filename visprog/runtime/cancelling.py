"""Work in another thread that ends early if nobody waits for it any more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from .host import CANCELLED

T = TypeVar("T")


async def in_thread(call: Callable[[], T]) -> T:
    """Call a function in a thread of its own. If the caller is cancelled, the runs in it end at their next call."""
    import asyncio  # not needed to ask, and slow to import

    cancelled = threading.Event()
    token = CANCELLED.set(cancelled)  # the thread works in a copy of this context
    try:
        return await asyncio.to_thread(call)
    except asyncio.CancelledError:
        cancelled.set()
        raise
    finally:
        CANCELLED.reset(token)
