"""Backends of tools on Ray Serve: on several devices or machines, behind the same server."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
from collections.abc import Callable
from typing import Any

from visprog.errors import ConfigError, MissingExtra, Refused, ToolError, VisprogError
from visprog.registry import Backend, BackendLoader
from visprog.registry.loader import Options
from visprog.registry.sees import NOT_SAID

LARGEST = 32
"""Calls in a batch."""
PATIENCE = 0.01
"""Seconds that a replica waits for a batch to fill."""


class Replicas(BackendLoader):
    """Each backend is a Ray Serve deployment, made when it is first asked for.

    Where a Ray cluster is running that RAY_ADDRESS names, it is used; otherwise one is started on this machine.

    Args:
        count: replicas of each model.
        gpus: that each replica takes, a share of one too.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigError: no cluster can be started or reached.
    """

    def __init__(self, count: int = 1, gpus: float = 0.0) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
            from ray import serve
        except ImportError:
            raise MissingExtra("serving models on several machines", "ray") from None
        super().__init__()
        self.count = count
        self.gpus = gpus
        self._deployed: list[Deployed] = []
        self._connected = not ray.is_initialized()
        if self._connected:
            try:
                ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
            except Exception as error:  # Ray has no class of its own for this
                raise ConfigError(f"Ray does not start here: {str(error).splitlines()[0]}") from error
        serve.start(proxy_location="Disabled")  # visprog's own server is the one that answers

    def hold(self, name: str, make: Callable[..., Backend], options: Options) -> Backend:
        """A backend that hands its calls to the replicas."""
        local = make(**dict(options))  # raises here if the options are wrong; weights are not loaded yet
        deployed = Deployed(name, make, options, self.count, self.gpus)
        deployed.sees = getattr(local, "sees", NOT_SAID)
        self._deployed.append(deployed)
        return deployed

    def close(self) -> None:
        """End the replicas, and the cluster where it was started for them."""
        import ray

        with self._lock:
            for deployed in self._deployed:
                deployed.close()
            self._deployed.clear()
            self._held.clear()
        if self._connected:
            ray.shutdown()


class Deployed:
    """One backend, deployed at its first call."""

    def __init__(
        self, name: str, make: Callable[..., Backend], options: Options, count: int, gpus: float
    ) -> None:
        # Other servers may use the cluster too: what is not ours must not be replaced or ended.
        self.name = f"visprog-{name.replace(':', '-')}-{secrets.token_hex(4)}"
        self.make = make
        self.options = options
        self.count = count
        self.gpus = gpus
        self.sees = NOT_SAID
        self._handle: Any = None
        self._lock = threading.Lock()

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        handle = self._deploy()
        replies = [handle.remote(call) for call in calls]
        return [_received(reply) for reply in replies]

    def close(self) -> None:
        """End its replicas."""
        from ray import serve

        with self._lock:
            if self._handle is not None:
                serve.delete(self.name)
            self._handle = None

    def _deploy(self) -> Any:
        from ray import serve

        with self._lock:
            if self._handle is None:
                deployment = serve.deployment(
                    name=self.name,
                    num_replicas=self.count,
                    max_ongoing_requests=2 * LARGEST,
                    ray_actor_options={"num_cpus": 0, "num_gpus": self.gpus},
                )(_replica())
                bound = deployment.bind(self.make, self.options)
                self._handle = serve.run(bound, name=self.name, route_prefix=None)
            return self._handle


def _replica() -> type:
    """The class of a replica; Ray is not imported before it is needed."""
    from ray import serve

    class Replica:
        """A backend in a process of its own, which is given calls one by one and takes them in batches."""

        def __init__(self, make: Callable[..., Backend], options: Options) -> None:
            self.backend = make(**dict(options))

        @serve.batch(max_batch_size=LARGEST, batch_wait_timeout_s=PATIENCE)  # type: ignore[untyped-decorator]
        async def __call__(self, calls: list[dict[str, Any]]) -> list[tuple[Any, str, str]]:
            try:
                results = await asyncio.to_thread(self.backend, calls)
            except Exception as error:  # the whole batch failed; each caller gets the error
                results = [error] * len(calls)
            return [portable(result) for result in results]

    return Replica


def portable(result: Any) -> tuple[Any, str, str]:
    """A result as it travels: value, kind of error, its message. Not every exception survives the journey."""
    if not isinstance(result, Exception):
        return result, "", ""
    if isinstance(result, Refused | MissingExtra):
        return None, "refused", str(result)
    message = str(result) if isinstance(result, VisprogError) else f"{type(result).__name__}: {result}"
    return None, "error", message


def _received(reply: Any) -> Any:
    from ray.exceptions import RayError

    try:
        value, kind, message = reply.result()
    except RayError as error:
        return ToolError(f"a replica failed: {str(error).strip().splitlines()[0]}")
    return value if not kind else Refused(message) if kind == "refused" else ToolError(message)
