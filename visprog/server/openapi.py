"""Additions to the OpenAPI description that FastAPI generates, and the page `/docs`, which loads nothing external."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any

from visprog.answer import json_schema

_BYTES = {"type": "string", "contentMediaType": "application/octet-stream"}
_BASE64 = {"type": "string", "contentEncoding": "base64", "description": "An encoded image: PNG, JPEG, …"}
_EVIDENCE = {"type": "boolean", "default": False, "description": "Whether to send the images involved too."}
_HTML = {
    "type": "boolean",
    "default": False,
    "description": "In a stream: whether to send the evidence as a page.",
}
_RETURNS = {"enum": ["bool", "int", "float", "str", "list"], "description": "Type that the answer must have."}
_VALUES = {
    "type": "object",
    "description": "Values by id, in the form of results; their images must be uploaded too.",
    "additionalProperties": {"$ref": "#/components/schemas/value"},
}
_ARGUMENTS = {
    "type": "object",
    "description": "Arguments by name, as GET /v1/tools describes them; images and other values are given by id.",
}


def _request(
    fields: Mapping[str, Any], required: list[str], files: Mapping[str, Any], texts: Mapping[str, Any]
) -> dict[str, Any]:
    """Schemas of a request: a multipart form with files, and JSON with texts in their place."""
    form = {"type": "object", "required": required, "properties": {**fields, **files}}
    plain = {"type": "object", "required": required, "properties": {**fields, **texts}}
    content = {"multipart/form-data": {"schema": form}, "application/json": {"schema": plain}}
    return {"requestBody": {"required": True, "content": content}}


def _answered(reference: str, stream: bool = False) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": f"#/components/schemas/{reference}"}}}
    if stream:
        content["text/event-stream"] = {
            "schema": {
                "type": "string",
                "description": "With 'Accept: text/event-stream'. Events: planned, checked, call_started, call_ended, "
                "answered; at the end left_out (number of steps that were not read in time), evidence and answer, or "
                "problem. Data are JSON; that of answer is the JSON response.",
            }
        }
    return {"200": {"description": "See its status.", "content": content}}


_FILES = {
    "images": {"type": "array", "items": _BYTES, "description": "Files; the field may be repeated."},
    "video": {**_BYTES, "description": "A file, in the place of images; it may also be sent as images."},
}
_TEXTS = {
    "images": {"type": "array", "items": _BASE64},
    "video": {**_BASE64, "description": "A small video, in the place of images."},
}
_QUESTION = {"question": {"type": "string"}, "returns": _RETURNS, "evidence": _EVIDENCE, "html": _HTML}
_PROGRAM = {
    "program": {"type": "string", "description": "Python."},
    "returns": _RETURNS,
    "evidence": _EVIDENCE,
    "html": _HTML,
}

ASK = {
    **_request(_QUESTION, ["question"], _FILES, _TEXTS),
    "responses": _answered("answer", stream=True),
}
RUN = {**_request(_PROGRAM, ["program"], _FILES, _TEXTS), "responses": _answered("answer", stream=True)}
CHAT = {**_request({}, [], _FILES, _TEXTS), "responses": _answered("chat")}
CHAT_ASK = {**_request(_QUESTION, ["question"], {}, {}), "responses": _answered("answer", stream=True)}
TOOL = {
    **_request(
        {"arguments": _ARGUMENTS, "values": _VALUES, "evidence": _EVIDENCE},
        ["arguments"],
        {"images": {**_BYTES, "description": "Image files; the name of each field is the id of its image."}},
        {"images": {"type": "object", "additionalProperties": _BASE64, "description": "Images by id."}},
    ),
    "responses": _answered("result"),
}

_PROBLEM = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["status", "message"],
            "properties": {"status": {"const": "error"}, "message": {"type": "string"}},
        }
    }
}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": _PROBLEM}
    for status, text in {
        400: "The request cannot be understood, or an image or video cannot be read.",
        401: "The token is missing or wrong.",
        403: "The Host header names another machine, or a web page of another origin sent the request.",
        404: "There is no such tool or conversation.",
        408: "The request arrived too slowly.",
        409: "The conversation is answering another question.",
        413: "Too many bytes, or too many pixels.",
        415: "Neither a multipart form nor JSON.",
        429: "The queue or the room for requests, videos or conversations is full, or holds this client's share; "
        "Retry-After says when to try again.",
        501: "Videos cannot be read here.",
        503: "The server is shutting down, or has too many connections; Retry-After says when to try again.",
        504: "No answer within the time limit.",
        507: "There is no room on the disk for a video.",
    }.items()
}


def answer_schemas() -> dict[str, Any]:
    """The schemas of answers and of their parts, by the names that references use."""
    text = json.dumps(json_schema())
    schema = json.loads(text.replace('"#/$defs/', '"#/components/schemas/'))
    parts: dict[str, Any] = schema.pop("$defs")
    schema.pop("$schema")
    result = {
        "type": "object",
        "required": ["status", "value", "message", "seconds", "cached", "backend"],
        "properties": {
            "status": {"enum": ["ok", "refused", "error"]},
            "value": {"$ref": "#/components/schemas/value"},
            "message": {"type": "string", "description": "Why there is no value; empty if there is one."},
            "seconds": {"type": "number"},
            "cached": {"type": "boolean"},
            "backend": {"type": "string"},
            "pictures": schema["properties"]["pictures"],
        },
    }
    chat = {
        "type": "object",
        "required": ["id", "follows", "seconds"],
        "properties": {
            "id": {"type": "string"},
            "follows": {"type": "boolean", "description": "Whether a question may refer to those before."},
            "seconds": {"type": "number", "description": "Time without a question after which it ends."},
        },
    }
    return {**parts, "answer": schema, "result": result, "chat": chat}


def page(described: Mapping[str, Any]) -> str:
    """The OpenAPI description as a plain HTML page."""
    style = (
        "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
        "code,pre{font:14px monospace;background:#8881;padding:.1rem .3rem}pre{padding:.6rem;overflow:auto}"
        "td{padding:.1rem 1rem .1rem 0;vertical-align:top}"
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>visprog</title><style>{style}</style>"
        f"<h1>visprog {html.escape(described['info']['version'])}</h1>"
        "<p>The whole description, for tools: <a href=/openapi.json>/openapi.json</a>.</p>"
        f"{''.join(_operations(described))}</html>"
    )


def _operations(described: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>"
            yield f"<p>{html.escape(operation.get('description', ''))}</p>"
            for content_type, body in operation.get("requestBody", {}).get("content", {}).items():
                yield f"<p><code>{html.escape(content_type)}</code></p>{_fields(body['schema'])}"
            answers = operation["responses"].items()
            yield _table((status, answer["description"]) for status, answer in answers)


def _fields(schema: Mapping[str, Any]) -> str:
    rows = []
    for name, value in schema["properties"].items():
        type_ = value.get("type") or " | ".join(map(str, value.get("enum", ())))
        if type_ == "array":
            type_ = f"array of {value['items'].get('contentEncoding', 'bytes')}"
        must = "required" if name in schema["required"] else ""
        rows.append((name, type_, must, value.get("description", "")))
    return _table(rows)


def _table(rows: Any) -> str:
    cells = ("".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"
