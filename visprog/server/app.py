"""The endpoints: ask, run, tools, health, metrics, and their OpenAPI description."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

import visprog
from visprog.agent import Agent
from visprog.answer import Thumbnails
from visprog.errors import Refused, ToolError, VisprogError
from visprog.registry import Tool
from visprog.registry.types import answer_type, render
from visprog.runtime.host import RunEnded
from visprog.values.codec import Writer
from visprog.values.image import Image

from .arguments import arguments_of
from .errors import Problem
from .forms import Form, announced_bytes, open_images, read_form
from .limits import RequestLimits
from .metrics import CONTENT_TYPE, Metrics, resident_bytes
from .openapi import ASK, ERRORS, RUN, TOOL, answer_schemas, page
from .queue import CLOSING, RETRY_AFTER, RequestQueue
from .readiness import Readiness
from .shares import Shares, client_of

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
    "visprog_model_bytes": "Size of the weights in memory, by model.",
    "visprog_resident_bytes": "Memory of the server process.",
}

log = logging.getLogger(__name__)


class Service:
    """An agent behind HTTP.

    Args:
        agent: Agent that answers; it is used from several threads.
        queue: Queue of the requests.
        limits: Limits of one request.
        uploads: Bytes of the requests that are read, wait or are processed; by default, without a bound.
        models: Returns name → bytes of the models in memory, for the metrics.
    """

    def __init__(
        self,
        agent: Agent,
        queue: RequestQueue,
        limits: RequestLimits,
        uploads: Shares | None = None,
        models: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self.agent = agent
        agent.host.discreet = True
        self.queue = queue
        self.limits = limits
        self.models = models
        self.uploads = uploads or Shares(sys.maxsize)
        self.metrics = Metrics(HELP)
        self.readiness = Readiness(queue, agent.sandbox)
        self._reading: set[asyncio.Timeout] = set()

    def close(self) -> None:
        """Refuse every request that is not being processed."""
        self.queue.close()
        for deadline in self._reading:
            if not deadline.expired():
                deadline.reschedule(0)

    # -- endpoints -------------------------------------------------------------------------------

    async def ask(self, request: Request) -> Response:
        """Answer a question about one or more images: a program is planned, checked and run."""
        return await self._serve(request, "ask", self._ask)

    async def run(self, request: Request) -> Response:
        """Check a program and run it on images."""
        return await self._serve(request, "run", self._run)

    async def call(self, request: Request, name: str) -> Response:
        """Call one tool."""
        return await self._serve(request, "tool", lambda form: self._call(name, form))

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
            "visprog_resident_bytes": resident_bytes(),
            "visprog_model_bytes": models,
        }
        return PlainTextResponse(self.metrics.text(gauges), media_type=CONTENT_TYPE)

    # -- implementation --------------------------------------------------------------------------

    async def _serve(self, request: Request, endpoint: str, work: Callable[[Form], bytes]) -> Response:
        """Serve one request, from its first byte to its answer; errors become answers too."""
        started, client = time.monotonic(), _client(request)
        try:
            async with asyncio.timeout(self.limits.seconds):
                with self._reserved(request, client):
                    form = await self._read(request)
                    with self.queue.admit(client):
                        body = await self.queue.run(
                            client,
                            lambda: work(form),
                            request.is_disconnected,
                            started + self.limits.seconds,
                        )
            response = Response(body, media_type="application/json")
        except TimeoutError:
            response = problem_response(Problem(504, f"there was no answer within {self.limits.seconds:g} s"))
        except Problem as problem:
            response = problem_response(problem)
        except ClientDisconnect:  # during its upload
            response = problem_response(Problem(499, "the client disconnected"))
        except Exception:
            log.exception("a bug in visprog, in POST %s", request.url.path)
            response = problem_response(Problem(500, "a bug in visprog: the server's log has the details"))
        self.metrics.count("visprog_requests_total", endpoint=endpoint, status=str(response.status_code))
        self.metrics.observe("visprog_request_seconds", time.monotonic() - started, endpoint=endpoint)
        return response

    @contextmanager
    def _reserved(self, request: Request, client: str) -> Iterator[None]:
        """Reserve memory for the bytes of a request, before any is read, until it is answered.

        Raises:
            Problem: 413 if it is too large, 429 if the memory is in use, or if the queue would not take the request.
        """
        self.queue.check(client)
        size = announced_bytes(request, self.limits.upload)
        if self.uploads.refuses(client, size):
            whose = "the server" if self.uploads.full(size) else "your address"
            raise Problem(
                429, f"too many bytes are being processed for {whose}: try again later", self.limits.stall
            )
        self.uploads.take(client, size)
        try:
            yield
        finally:
            self.uploads.give_back(client, size)

    async def _read(self, request: Request) -> Form:
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
                return await read_form(request, self.limits.upload, received)
        except TimeoutError:
            if self.queue.closed:
                raise Problem(503, CLOSING, RETRY_AFTER) from None
            raise Problem(
                408,
                f"the request arrived too slowly: send at least {self.limits.rate / 2**10:g} KiB a second",
            ) from None
        finally:
            self._reading.discard(deadline)

    def _ask(self, form: Form) -> bytes:
        form.check("question", "returns", "evidence")
        images = self._images(form)
        question, returns, evidence = form.text("question"), _returns(form), form.flag("evidence")
        try:
            answer = self.agent.ask(question, *images, returns=returns)
        except VisprogError as error:  # a wrong argument; any later error is an answer
            raise Problem(400, str(error)) from None
        return self._answered(answer, evidence)

    def _run(self, form: Form) -> bytes:
        form.check("program", "returns", "evidence")
        images = self._images(form)
        # The line end keeps `run` from taking the text for the path of a file.
        program, returns, evidence = form.text("program") + "\n", _returns(form), form.flag("evidence")
        return self._answered(self.agent.run(program, *images, returns=returns), evidence)

    def _answered(self, answer: visprog.Answer, evidence: bool) -> bytes:
        self.metrics.count("visprog_answers_total", status=answer.status)
        for call in answer.trace:
            self.metrics.count("visprog_tool_calls_total", tool=call.tool, cached=str(call.cached).lower())
        return _encoded(answer.to_json(pictures=evidence))

    def _call(self, name: str, form: Form) -> bytes:
        form.check("arguments", "values", "evidence")
        tool = self._tool(name)
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
        return _encoded({**result, **facts, **({"pictures": kept.data} if evidence else {})})

    def _images(self, form: Form) -> list[Image]:
        for name, _ in form.uploads:
            if name not in ("images", "image"):
                raise Problem(400, f"send images as 'images', not as '{name:.40}'")
        return open_images([upload for _, upload in form.uploads], self.limits.pixels)

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
    add("/v1/run", service.run, methods=["POST"], responses=ERRORS, openapi_extra=RUN)
    add("/v1/tools", service.tools)
    add("/v1/tools/{name}", service.call, methods=["POST"], responses=ERRORS, openapi_extra=TOOL)
    add("/health", service.health)
    add("/metrics", service.measured, response_class=PlainTextResponse)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(app.openapi()))

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
