"""The endpoints: ask, run, conversations, tools, health, metrics, and their OpenAPI description."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from importlib.util import find_spec
from typing import Any, TypeAlias

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

import visprog
from visprog.agent import Agent
from visprog.answer import Thumbnails
from visprog.errors import ImageError, MissingExtra, Refused, ToolError, VisprogError
from visprog.registry import Tool
from visprog.registry.types import answer_type, render
from visprog.report import html
from visprog.runtime.cancellation import Cancelled
from visprog.runtime.events import Listener
from visprog.runtime.host import RunEnded
from visprog.values import codec
from visprog.values.codec import Writer
from visprog.values.image import Image
from visprog.values.video import Video

from .arguments import arguments_of
from .chats import Chats, ServedChat, follows
from .errors import Problem
from .forms import FILES, MAX_IMAGES, Form, announced_bytes, open_images, read_form
from .limits import RequestLimits
from .metrics import CONTENT_TYPE, Metrics, resident_bytes
from .openapi import ASK, CHAT, CHAT_ASK, ERRORS, RUN, TOOL, answer_schemas
from .openapi import page as description_page
from .page import example, page
from .queue import CLOSING, RETRY_AFTER, RequestQueue
from .readiness import Readiness
from .shares import Shares, client_of
from .streams import AnsweredResponse, EventStream, Streamed, wants_events

RETURNS = ("bool", "int", "float", "str", "list")

HELP = {
    "visprog_requests_total": "Requests by endpoint and HTTP status.",
    "visprog_request_seconds": "Seconds from the arrival of a request to its answer, by endpoint.",
    "visprog_answers_total": "Answers by status.",
    "visprog_tool_calls_total": "Tool calls by name, and whether the result came from the cache.",
    "visprog_requests_running": "Requests that are being processed.",
    "visprog_requests_waiting": "Requests that wait in the queue.",
    "visprog_requests_overdue": "Requests that are being processed although their time is over.",
    "visprog_upload_bytes": "Bytes of the requests that are read, wait or are processed.",
    "visprog_video_bytes": "Bytes of the large videos among them, on the disk.",
    "visprog_chats": "Conversations.",
    "visprog_chat_bytes": "Bytes that the conversations hold.",
    "visprog_model_bytes": "Size of the weights in memory, by model.",
    "visprog_resident_bytes": "Memory of the server process.",
}

log = logging.getLogger(__name__)

Work: TypeAlias = "Callable[[Form, Listener | None], Any]"
"""Processes a request in a thread; events of a run go to the listener, if the client wants them."""


class Service:
    """An agent behind HTTP.

    Args:
        agent: Agent that answers; it is used from several threads.
        queue: Queue of the requests.
        limits: Limits of one request.
        uploads: Bytes of the requests that are read, wait or are processed; by default, without a bound.
        models: Returns name → bytes of the models in memory, for the metrics.
        videos: Bytes of the large videos among the requests, on the disk; by default, without a bound.
        chats: Conversations; by default, without a bound.
    """

    def __init__(
        self,
        agent: Agent,
        queue: RequestQueue,
        limits: RequestLimits,
        uploads: Shares | None = None,
        models: Callable[[], Mapping[str, int]] = dict,
        videos: Shares | None = None,
        chats: Chats | None = None,
    ) -> None:
        self.agent = agent
        agent.host.discreet = True
        self.queue = queue
        self.limits = limits
        self.models = models
        self.uploads = uploads or Shares(sys.maxsize)
        self.videos = videos or Shares(sys.maxsize)
        self.chats = chats or Chats(Shares(sys.maxsize), Shares(sys.maxsize))
        self.metrics = Metrics(HELP)
        self.readiness = Readiness(queue, agent.sandbox)
        self._reading: set[asyncio.Timeout] = set()

    def close(self) -> None:
        """Refuse every request that is not being processed, and end the conversations."""
        self.queue.close()
        self.chats.close()
        for deadline in self._reading:
            if not deadline.expired():
                deadline.reschedule(0)

    # -- endpoints -------------------------------------------------------------------------------

    async def ask(self, request: Request) -> Response:
        """Answer a question about images or a video: a program is planned, checked and run."""
        return await self._respond(request, "ask", self._ask)

    async def run(self, request: Request) -> Response:
        """Check a program and run it on images or a video."""
        return await self._respond(request, "run", self._run)

    async def begin_chat(self, request: Request) -> Response:
        """Begin a conversation about images or a video, which stay with the server for its questions."""

        def opened(form: Form, talk: Any) -> Response:
            videos, form.videos = form.videos, []
            try:
                made = self.chats.add(_client(request), talk, videos)
            except Problem:
                form.videos = videos
                raise
            return JSONResponse({"id": made.id, "follows": talk.follows, "seconds": self.chats.seconds})

        try:
            self.chats.check(_client(request))
        except Problem as problem:
            return problem_response(problem)
        return await self._serve(request, "chat", self._open_chat, finish=opened)

    async def ask_in_chat(self, request: Request, id: str) -> Response:
        """Answer a question of a conversation, which may refer to those before if the planner follows them."""
        try:
            chat = self.chats.find(id, _client(request))
        except Problem as problem:
            return problem_response(problem)

        def work(form: Form, listener: Listener | None) -> Response:
            form.check("question", "returns", "evidence", "html")
            if form.uploads or form.videos:
                raise Problem(400, "the images of a conversation are those that it began with: begin another")
            with chat.turn() as talk:
                question, returns = form.text("question"), _returns(form)
                return self._answered(
                    form, listener, lambda: talk.ask(question, returns=returns, on_event=listener)
                )

        return await self._respond(request, "chat_ask", work, chat)

    async def end_chat(self, request: Request, id: str) -> Response:
        """End a conversation; what it holds is removed, and a question that it is answering is cancelled."""
        try:
            self.chats.remove(self.chats.find(id, _client(request)))
        except Problem as problem:
            return problem_response(problem)
        return JSONResponse({"status": "ended"})

    async def call(self, request: Request, name: str) -> Response:
        """Call one tool."""
        return await self._serve(request, "tool", lambda form, listener: self._call(name, form), videos=False)

    async def about(self) -> dict[str, Any]:
        """The planner, whether it follows a conversation, and the limits of a request."""
        limits = self.limits
        return {
            "version": visprog.__version__,
            "planner": self.agent.planner.name,
            "follows": follows(self.agent),
            "limits": {
                "bytes": limits.upload,
                "video_bytes": max(limits.video, limits.upload) if find_spec("av") else 0,
                "pixels": limits.pixels,
                "images": MAX_IMAGES,
                "seconds": limits.seconds,
            },
        }

    async def tools(self) -> dict[str, Any]:
        """The tools that programs call, with the JSON schema of their arguments."""
        return {"tools": [self._described(t) for t in self.agent.registry.called.values()]}

    async def health(self, request: Request) -> Response:
        """Any answer means that the server is alive; 200 means that it accepts questions of this client."""
        reason = await self.readiness.missing(_client(request))
        state = {"alive": True, "ready": not reason, "version": visprog.__version__}
        return JSONResponse({**state, "message": reason} if reason else state, 503 if reason else 200)

    async def measured(self) -> Response:
        """Counts, latencies, length of the queue and memory of models, in the text format of Prometheus."""
        models = {(("model", name),): float(size) for name, size in self.models().items()}
        gauges: dict[str, Any] = {
            "visprog_requests_running": self.queue.running,
            "visprog_requests_waiting": self.queue.waiting,
            "visprog_requests_overdue": self.queue.overdue,
            "visprog_upload_bytes": self.uploads.used,
            "visprog_video_bytes": self.videos.used,
            "visprog_chats": self.chats.number.used,
            "visprog_chat_bytes": self.chats.memory.used,
            "visprog_resident_bytes": resident_bytes(),
            "visprog_model_bytes": models,
        }
        return PlainTextResponse(self.metrics.text(gauges), media_type=CONTENT_TYPE)

    # -- implementation --------------------------------------------------------------------------

    async def _respond(
        self, request: Request, endpoint: str, work: Work, chat: ServedChat | None = None
    ) -> Response:
        """Serve a request whose client may want the steps as they happen."""
        videos = chat is None
        if wants_events(request):
            return Streamed(
                lambda stream: self._serve(request, endpoint, work, stream, videos=videos, chat=chat)
            )
        return await self._serve(request, endpoint, work, videos=videos, chat=chat)

    async def _serve(
        self,
        request: Request,
        endpoint: str,
        work: Work,
        stream: EventStream | None = None,
        *,
        videos: bool = True,
        chat: ServedChat | None = None,
        finish: Callable[[Form, Any], Response] = lambda form, response: response,
    ) -> Response:
        """Serve one request, from its first byte to its answer; errors become answers too.

        Args:
            request: Request whose body was not read yet.
            endpoint: Name for the metrics.
            work: Processes it in a thread.
            stream: Where its steps are sent, if its client wants them.
            videos: Whether it may hold a video.
            chat: Conversation that it belongs to.
            finish: Makes the response of the form and of what `work` returns.
        """
        started, client = time.monotonic(), _client(request)
        try:
            async with asyncio.timeout(self.limits.seconds):
                with (
                    self._reserved(request, client, videos) as size,
                    self.chats.counting(chat) as cancellation,
                ):
                    form = await self._read(request, size)
                    with closing(form), self.queue.admit(client):

                        def job() -> Any:
                            with cancellation.in_force():
                                return work(form, None if stream is None else stream.listen)

                        async with _connected(request):
                            done = await self.queue.run(client, job, started + self.limits.seconds)
                        response = finish(form, done)
        except TimeoutError:
            response = problem_response(Problem(504, f"there was no answer within {self.limits.seconds:g} s"))
        except Problem as problem:
            response = problem_response(problem)
        except (ClientDisconnect, Cancelled):
            response = problem_response(Problem(499, "the client disconnected"))
        except Exception:
            log.exception("a bug in visprog, in POST %s", request.url.path)
            response = problem_response(Problem(500, "a bug in visprog: the server's log has the details"))
        self.metrics.count("visprog_requests_total", endpoint=endpoint, status=str(response.status_code))
        self.metrics.observe("visprog_request_seconds", time.monotonic() - started, endpoint=endpoint)
        return response

    @contextmanager
    def _reserved(self, request: Request, client: str, videos: bool) -> Iterator[int]:
        """Reserve room for the bytes of a request, before any is read, until it is answered; gives their number.

        Raises:
            Problem: 413 if it is too large, 429 if the room is in use, or if the queue would not take the request.
        """
        self.queue.check(client)
        size = announced_bytes(request, self.limits, videos)
        in_memory, on_disk = (size, 0) if size <= self.limits.upload else (self.limits.upload, size)
        for shares, amount in ((self.uploads, in_memory), (self.videos, on_disk)):
            if amount and shares.refuses(client, amount):
                whose = "the server" if shares.full(amount) else "your address"
                raise Problem(
                    429, f"too many bytes are being processed for {whose}: try again later", self.limits.stall
                )
        self.uploads.take(client, in_memory)
        self.videos.take(client, on_disk)
        try:
            yield size
        finally:
            self.uploads.give_back(client, in_memory)
            self.videos.give_back(client, on_disk)

    async def _read(self, request: Request, size: int) -> Form:
        """Read a request, which must arrive in time.

        Raises:
            Problem: 408 if it arrives too slowly, 503 if the server is shutting down, or another of `read_form`.
        """
        start, deadline = asyncio.get_running_loop().time(), asyncio.timeout(self.limits.stall)

        def received(size: int) -> None:
            if not self.queue.closed:
                deadline.reschedule(start + self.limits.transfer(size))

        self._reading.add(deadline)
        try:
            async with deadline:
                return await read_form(request, self.limits, size, received)
        except TimeoutError:
            if self.queue.closed:
                raise Problem(503, CLOSING, RETRY_AFTER) from None
            raise Problem(
                408,
                f"the request arrived too slowly: send at least {self.limits.rate / 2**10:g} KiB a second",
            ) from None
        finally:
            self._reading.discard(deadline)

    def _ask(self, form: Form, listener: Listener | None) -> Response:
        form.check("question", "returns", "evidence", "html")
        given = self._inputs(form)
        question, returns = form.text("question"), _returns(form)
        return self._answered(
            form, listener, lambda: self.agent.ask(question, *given, returns=returns, on_event=listener)
        )

    def _run(self, form: Form, listener: Listener | None) -> Response:
        form.check("program", "returns", "evidence", "html")
        given = self._inputs(form)
        # The line end keeps `run` from taking the text for the path of a file.
        program, returns = form.text("program") + "\n", _returns(form)
        return self._answered(
            form, listener, lambda: self.agent.run(program, *given, returns=returns, on_event=listener)
        )

    def _open_chat(self, form: Form, listener: Listener | None) -> Any:
        form.check()
        given = self._inputs(form)
        try:
            return self.agent.chat(*given)
        except VisprogError as error:  # no image was sent
            raise Problem(400, str(error)) from None

    def _answered(self, form: Form, listener: Listener | None, ask: Callable[[], visprog.Answer]) -> Response:
        evidence, page = form.flag("evidence"), form.flag("html")
        if page and listener is None:
            raise Problem(400, "'html' is sent in a stream: ask for it with 'Accept: text/event-stream'")
        try:
            answer = ask()
        except VisprogError as error:  # a wrong argument; any later error is an answer
            raise error if isinstance(error, Problem) else Problem(400, str(error)) from None
        self.metrics.count("visprog_answers_total", status=answer.status)
        for call in answer.trace:
            self.metrics.count("visprog_tool_calls_total", tool=call.tool, cached=str(call.cached).lower())
        data = answer.to_json(pictures=evidence or page)
        others = {"evidence": _encoded({"html": html.page(data, codec)})} if page else {}
        return AnsweredResponse(
            _encoded(data if evidence else {k: v for k, v in data.items() if k != "pictures"}), others
        )

    def _call(self, name: str, form: Form) -> Response:
        form.check("arguments", "values", "evidence")
        tool = self._tool(name)
        if form.videos:
            raise Problem(400, f"{form.videos[0].name} is a video: ask about it, or run a program on it")
        images = open_images([upload for _, upload in form.uploads], self.limits.pixels)
        named = {id: image for (id, _), image in zip(form.uploads, images, strict=True)}
        arguments = arguments_of(
            tool, form.table("arguments"), form.table("values"), named, self.limits.pixels
        )
        run, status, message, value = self.agent.host.new_run(), "ok", "", None
        try:
            value = run.call(tool, **arguments)
        except RunEnded as end:
            status, message = "error", str(end.reason)
        except VisprogError as error:
            status, message = "refused" if isinstance(error, Refused) else "error", str(error)
        evidence, kept = form.flag("evidence"), Thumbnails()
        writer = Writer(kept.keep_value) if evidence else Writer()
        result = {"status": status, "value": writer.value(value), "message": message}
        call = run.calls[-1]  # after those that the tool itself made
        self.metrics.count("visprog_tool_calls_total", tool=name, cached=str(call.cached).lower())
        facts = {"seconds": round(call.seconds, 6), "cached": call.cached, "backend": call.backend}
        return AnsweredResponse(
            _encoded({**result, **facts, **({"pictures": kept.data} if evidence else {})})
        )

    def _inputs(self, form: Form) -> list[Image | Video]:
        """The images of a form, or its one video.

        Raises:
            Problem: 400 if one cannot be read, 413 if they are too large, 501 if no video can be read here, 507 if
                there is no room for one.
        """
        for name, upload in form.uploads:
            if name not in FILES:
                raise Problem(400, f"send images as 'images', not as '{name:.40}'")
            if name == "video":
                raise Problem(400, f"{upload.name} is no video of a format that is read here")
        if not form.videos:
            return [*open_images([upload for _, upload in form.uploads], self.limits.pixels)]
        if form.uploads or len(form.videos) > 1:
            raise Problem(400, "a question is about one video, or about images: send the one or the others")
        try:
            return [form.videos[0].open(self.limits.pixels)]
        except MissingExtra as error:
            raise Problem(501, str(error)) from None
        except ImageError as error:
            raise Problem(400, str(error)) from None
        except OSError:
            raise Problem(
                507, "the server has no room on its disk for this video: try it again later"
            ) from None

    def _tool(self, name: str) -> Tool:
        try:
            tool = self.agent.registry.find(name)
        except ToolError as error:
            raise Problem(404, str(error)) from None
        if tool.pure:
            raise Problem(404, f"{name} works on values inside programs: call it in a program")
        return tool

    def _described(self, tool: Tool) -> dict[str, Any]:
        return {
            "name": tool.name,
            "signature": tool.signature,
            "description": tool.description,
            "parameters": tool.schema(),
            "returns": render(tool.returns),
            "backend": self.agent.host.backend_of(tool),
        }


def create_app(service: Service) -> FastAPI:
    """The ASGI application of a service, without its guard."""
    app = FastAPI(
        title="visprog",
        version=visprog.__version__,
        summary="Ask questions about images.",
        docs_url=None,  # the usual pages load their scripts from elsewhere
        redoc_url=None,
    )
    add = app.add_api_route
    add("/v1/ask", service.ask, methods=["POST"], responses=ERRORS, openapi_extra=ASK)
    add("/v1/chats", service.begin_chat, methods=["POST"], responses=ERRORS, openapi_extra=CHAT)
    add("/v1/chats/{id}/ask", service.ask_in_chat, methods=["POST"], responses=ERRORS, openapi_extra=CHAT_ASK)
    add("/v1/chats/{id}", service.end_chat, methods=["DELETE"], responses=ERRORS)
    add("/v1/run", service.run, methods=["POST"], responses=ERRORS, openapi_extra=RUN)
    add("/v1/tools", service.tools)
    add("/v1/tools/{name}", service.call, methods=["POST"], responses=ERRORS, openapi_extra=TOOL)
    add("/v1/about", service.about)
    add("/health", service.health)
    add("/metrics", service.measured, response_class=PlainTextResponse)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(description_page(app.openapi()))

    add("/", page, include_in_schema=False)
    add("/example.png", example, include_in_schema=False)

    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> Response:
        endpoint = f"{request.method} {request.url.path}"
        message = (
            f"there is no endpoint {endpoint}: see /docs" if error.status_code in (404, 405) else error.detail
        )
        return problem_response(Problem(error.status_code, message))

    described = app.openapi()
    described.setdefault("components", {}).setdefault("schemas", {}).update(answer_schemas())
    app.openapi_schema = described
    return app


@asynccontextmanager
async def _connected(request: Request) -> AsyncIterator[None]:
    """While a client is connected: raise `Problem` 499 as soon as it has disconnected."""
    gone = asyncio.timeout(None)

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone.reschedule(0)

    try:
        async with gone:
            watcher = asyncio.create_task(watch())
            try:
                yield
            finally:
                watcher.cancel()
    except TimeoutError:
        if gone.expired():
            raise Problem(499, "the client disconnected") from None
        raise


def problem_response(problem: Problem) -> Response:
    """The HTTP response of a problem."""
    return JSONResponse(problem.body, problem.status, headers=problem.headers)


def _client(request: Request) -> str:
    return client_of(request.client.host if request.client else "")


def _returns(form: Form) -> Any:
    name = form.fields.get("returns")
    if name in (None, ""):
        return None
    if not isinstance(name, str) or name not in RETURNS:
        raise Problem(400, f"'returns' must be one of {', '.join(RETURNS)}, not {name!r:.40}")
    return answer_type(name)


def _encoded(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, allow_nan=False).encode()
