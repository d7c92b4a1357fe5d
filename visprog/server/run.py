"""The server process: socket, signals, start and shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn

from visprog.errors import ConfigError

from .app import Service, create_app
from .connections import bounded_connections
from .guard import Guard, check_token, hosts_of
from .shares import Shares

MAX_OPEN_FILES = 16_384
"""Number of open files that the server asks the system for."""


def bind(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes a free port.

    Raises:
        ConfigError: The address cannot be used.
    """
    try:
        family, type_, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, type_)
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
    """URL of the server, for clients."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    service: Service,
    bound: socket.socket,
    host: str,
    token: str | None,
    ready: Callable[[], None],
    connections: Shares,
    proxies: frozenset[str] = frozenset(),
) -> None:
    """Serve until SIGTERM or SIGINT.

    The first signal finishes running requests and refuses the rest, a second one ends the process at once.

    Args:
        service: Service to run.
        bound: Listening socket.
        host: Address as the user wrote it.
        token: Token that clients must send; None for no token.
        ready: Called when the server accepts requests.
        connections: Connections that may be open.
        proxies: Addresses of the proxies in front of the server, which name the client in `X-Forwarded-For`.

    Raises:
        ConfigError: The address needs a token.
    """
    _allow_open_files()
    guard = Guard(create_app(service), check_token(token, host), hosts_of(host))
    config = uvicorn.Config(
        guard,
        http=bounded_connections(service.limits, connections, proxies),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=sorted(proxies),
    )
    asyncio.run(_serve(_Server(config), service, bound, ready))
    if service.queue.running:  # work past its time limit, already answered with 504: threads cannot be ended
        service.agent.close()
        os._exit(0)


def _allow_open_files() -> None:
    """Raise the limit of open files: each connection is one, and each image that this process shares with a tool's."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _serve(server: _Server, service: Service, bound: socket.socket, ready: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if service.queue.closed:
            os._exit(128 + signal.SIGTERM)
        service.close()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    await loop.run_in_executor(None, service.agent.sandbox.warm)
    service.readiness.started = True
    ready()
    emptied = asyncio.create_task(service.queue.wait_until_empty())
    await asyncio.wait({serving, emptied}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving


class _Server(uvicorn.Server):
    """A server that leaves signals alone: `_serve` handles them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
