"""`visprog serve`: the local server."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import BackendOption, ConfigOption, JsonOption, PlannerOption, ToolsOption
from .result import Result
from .settings import load_settings

PORT = 8711


def serve(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; any other than this machine's needs a token.")
    ] = ("127.0.0.1"),
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = PORT,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            envvar="VISPROG_TOKEN",
            show_envvar=True,
            help="Token that clients must send. Other users can see the command line: prefer the variable.",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", min=1, max=256, help="Number of requests that are processed at the same time."
        ),
    ] = 4,
    queue: Annotated[
        int, typer.Option("--queue", min=0, help="Maximum number of requests that wait in the queue.")
    ] = 64,
    upload_limit: Annotated[
        int, typer.Option("--upload-limit", metavar="MB", min=1, help="Maximum size of a request, in MB.")
    ] = 32,
    video_limit: Annotated[
        int,
        typer.Option(
            "--video-limit", metavar="MB", min=0, help="Maximum size of a video, in MB. 0: that of a request."
        ),
    ] = 256,
    pixel_limit: Annotated[
        int,
        typer.Option(
            "--pixel-limit",
            metavar="MILLIONS",
            min=1,
            help="Maximum number of pixels per request, or per frame of a video, in millions.",
        ),
    ] = 50,
    uploads: Annotated[
        int,
        typer.Option(
            "--uploads",
            metavar="MB",
            min=1,
            help="Maximum size of all requests that are read, wait or are processed, in MB.",
        ),
    ] = 256,
    videos: Annotated[
        int,
        typer.Option(
            "--videos",
            metavar="MB",
            min=0,
            help="Maximum size on the disk of all videos that are read, wait or are processed, in MB.",
        ),
    ] = 1024,
    chats: Annotated[int, typer.Option("--chats", min=0, help="Maximum number of conversations.")] = 64,
    chat_memory: Annotated[
        int,
        typer.Option(
            "--chat-memory", metavar="MB", min=1, help="Maximum size of all that conversations hold, in MB."
        ),
    ] = 1024,
    chat_minutes: Annotated[
        float,
        typer.Option(
            "--chat-minutes",
            metavar="MINUTES",
            min=0.1,
            help="Time without a question after which a conversation ends, in minutes.",
        ),
    ] = 30.0,
    connections: Annotated[
        int, typer.Option("--connections", min=1, help="Maximum number of open connections.")
    ] = 512,
    share: Annotated[
        float,
        typer.Option(
            "--share",
            min=0.01,
            max=1.0,
            help="Part of the queue, of --uploads, --videos, --chats, --chat-memory and --connections that one address "
            "may take.",
        ),
    ] = 0.5,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--proxy",
            metavar="ADDRESS",
            help="Address of a proxy that names the clients in X-Forwarded-For. May be repeated.",
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            min=0.1,
            help="Time limit per request, its wait included, in seconds.",
        ),
    ] = 120.0,
    memory: Annotated[
        int,
        typer.Option(
            "--memory",
            metavar="MB",
            min=0,
            help="Memory for the weights of models, in MB; the least recently used ones are unloaded. 0: no limit.",
        ),
    ] = 0,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page of the server in a browser.")
    ] = False,
    ray: Annotated[bool, typer.Option("--ray", help="Run the models of tools on Ray Serve.")] = False,
    replicas: Annotated[
        int, typer.Option("--replicas", min=1, help="Number of replicas per model, with --ray.")
    ] = 1,
    gpus: Annotated[
        float,
        typer.Option("--gpus", min=0, help="Number of GPUs per replica, or the share of one, with --ray."),
    ] = 0.0,
    planner: PlannerOption = None,
    backend: BackendOption = None,
    tools: ToolsOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> Result:
    """Answer questions over HTTP and in a browser, with models and sandbox workers that stay warm.

    \b
    visprog serve --open
    visprog ask dog.jpg "How many dogs?" --server http://127.0.0.1:8711
    VISPROG_TOKEN=... visprog serve --host 0.0.0.0 --workers 8
    curl -F question="How many dogs?" -F images=@dog.jpg http://127.0.0.1:8711/v1/ask
    """
    import threading
    import webbrowser
    from contextlib import ExitStack
    from dataclasses import replace

    from ..agent import Agent
    from ..errors import MissingExtra
    from ..registry import BACKENDS, BackendLoader
    from ..runtime.processes.pool import PROCESSES

    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise MissingExtra("the server", "server") from None
    from ..server.app import Service
    from ..server.chats import Chats
    from ..server.guard import check_token
    from ..server.limits import RequestLimits
    from ..server.models import Models
    from ..server.queue import RequestQueue
    from ..server.run import bind, url_of
    from ..server.run import serve as run_server
    from ..server.shares import Shares

    check_token(token, host)
    settings = load_settings(config, tools, backend)
    settings = replace(settings, seconds=min(settings.seconds, timeout))
    models = Models(memory << 20, BACKENDS if settings.in_process else PROCESSES)
    with ExitStack() as stack:
        bound = stack.enter_context(bind(host, port))
        loader: BackendLoader = models
        if ray:
            from ..server.replicas import Replicas

            loader = replicated = Replicas(replicas, gpus)
            stack.callback(replicated.close)
        agent = stack.enter_context(Agent(planner, settings, standby=workers, loader=loader))
        limits = RequestLimits(upload_limit << 20, video_limit << 20, pixel_limit * 1_000_000, timeout)
        service = Service(
            agent,
            RequestQueue(workers, queue, share),
            limits,
            Shares(max(uploads << 20, limits.upload), share, least=limits.upload),
            models.loaded,
            Shares(
                max(videos << 20, limits.upload + limits.video), share, least=limits.upload + limits.video
            ),
            Chats(Shares(chats, share), Shares(chat_memory << 20, share), 60 * chat_minutes),
        )

        def ready() -> None:
            url = url_of(bound)
            print(f"serving on {url}", flush=True)
            if open_page:
                here = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
                # Some browsers are waited for until they are closed.
                threading.Thread(target=webbrowser.open, args=(here,), daemon=True).start()

        run_server(
            service,
            bound,
            host,
            token,
            ready,
            Shares(connections, share),
            frozenset(proxy or ()),
        )
    return Result({"status": "stopped"})
