"""The server process: its socket, its signals, its beginning and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from visprog.errors import ConfigError

from .app import Service, create_app
from .guard import Guard, check_token, hosts_of


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        ConfigError: the address cannot be used.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind)
    except OSError as error:
        raise ConfigError(f"there is no address {host}: {error.strerror or error}") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(1024)
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"cannot serve on {host}:{port}: {error.strerror or error}; choose another with --port"
        ) from None
    return bound


def url_of(bound: socket.socket) -> str:
    """Where clients find the server."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    service: Service, bound: socket.socket, host: str, token: str | None, ready: Callable[[], None]
) -> None:
    """Serve until SIGTERM or SIGINT. The first finishes what runs and refuses the rest, a second ends at once.

    Args:
        host: the address as it was asked for.
        token: that clients must send.
        ready: called once requests are taken.

    Raises:
        ConfigError: the address needs a token.
    """
    guard = Guard(create_app(service), check_token(token, host), hosts_of(host))
    config = uvicorn.Config(
        guard,
        http="h11",
        loop="asyncio",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    asyncio.run(_serve(_Server(config), service, bound, ready))
    if service.line.running:  # work that its clients were told is too late; threads cannot be ended
        service.agent.close()
        os._exit(0)


async def _serve(server: _Server, service: Service, bound: socket.socket, ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if service.line.closed:
            os._exit(128 + signal.SIGTERM)
        service.line.close()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    await loop.run_in_executor(None, service.agent.sandbox.warm)
    service.ready = True
    ready()
    emptied = asyncio.create_task(service.line.emptied())
    await asyncio.wait({serving, emptied}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving


class _Server(uvicorn.Server):
    """Leaves signals alone: they are for the line first."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
