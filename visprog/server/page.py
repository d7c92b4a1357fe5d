"""The page for people, at `/`: one file that loads nothing, and an example image.

Its sources are `page/page.html`, `page/page.css` and `page/page.js`. The browser runs no script but this one, applies
no style sheet but this one, and connects to this server alone.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from fastapi.responses import HTMLResponse, Response

STYLE, SCRIPT = "/* page.css */", "/* page.js */"
"""What stands in `page.html` in the place of the other two files."""


async def page() -> Response:
    """The page."""
    text, policy = _page()
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }
    return HTMLResponse(text, headers=headers)


async def example() -> Response:
    """The example image."""
    return Response((files(__package__) / "page/example.png").read_bytes(), media_type="image/png")


@cache
def _page() -> tuple[str, str]:
    """The page and its Content-Security-Policy."""
    text = _source("page.html")
    hashes = {}
    for place, name in ((STYLE, "page.css"), (SCRIPT, "page.js")):
        content = _source(name)
        hashes[name] = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        text = text.replace(place, content, 1)
    policy = {
        "default-src": "'none'",
        "script-src": f"'sha256-{hashes['page.js']}'",
        "style-src": f"'sha256-{hashes['page.css']}'",
        # The evidence is shown in a sandboxed frame, which has this policy too, and its styles in attributes.
        "style-src-attr": "'unsafe-inline'",
        "img-src": "data: blob:",
        "media-src": "blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        # No text becomes HTML, but the evidence in its frame.
        "require-trusted-types-for": "'script'",
        "trusted-types": "evidence",
    }
    return text, "; ".join(f"{name} {value}" for name, value in policy.items())


def _source(name: str) -> str:
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")
