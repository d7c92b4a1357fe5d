"""`vqa` and `caption` with a vision-language model behind an OpenAI-compatible endpoint.

The picture leaves this machine: it is sent to the endpoint, and only where this backend is chosen.
"""

from __future__ import annotations

import base64
import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

from visprog.errors import ConfigError, MissingExtra, PlannerError, ToolError
from visprog.values import Region
from visprog.values.image import Image

from ._batching import answer_batch, crop_to, to_rgb
from .vlm import Prompt, answer_in, caption_prompt, question_prompt

if TYPE_CHECKING:
    from visprog.llm.openai import OpenAIChat

PNG_PIXELS = 250_000
"""Up to this size a picture is sent without loss; drawings and small text need it. Larger ones are JPEG."""


class _AtEndpoint:
    """What both tools share.

    Args:
        model: its name at the endpoint.
        base_url: of the endpoint, up to "/v1"; else from VISPROG_OPENAI_BASE_URL or OPENAI_BASE_URL; else the
            vendor's own.
        api_key: else from OPENAI_API_KEY. An endpoint of your own needs none.
        timeout: seconds for one try.
        max_retries: tries after the first.
        max_tokens: of one answer; thinking counts where the model thinks.
        key_header: header that carries the key, if it is not `Authorization: Bearer`: "api-key" for Azure.
        max_side: larger pictures are sent at this length of their longer side, in pixels.
        margin: how much wider than a region its crop is, as a share of its longer side.
        parallel: requests under way at once.

    Raises:
        ConfigError: no model is named.
    """

    tool: ClassVar[str]

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 60.0,
        max_retries: int = 2,
        max_tokens: int = 1024,
        key_header: str = "",
        max_side: int = 1536,
        margin: float = 0.05,
        parallel: int = 4,
    ) -> None:
        if not model:
            raise ConfigError(
                f'{self.tool}: which model of the endpoint? set model = "NAME" under [tools.{self.tool}]'
            )
        self.model = model
        self.base_url = base_url
        self.api_key = api_key
        self.timeout = timeout
        self.max_retries = max_retries
        self.max_tokens = max_tokens
        self.key_header = key_header
        self.max_side = max_side
        self.margin = margin
        self.parallel = parallel
        self._chat: OpenAIChat | None = None

    def _answer(self, asked: list[Prompt]) -> list[Any]:
        if self._chat is None:
            from visprog.llm.openai import OpenAIChat

            self._chat = OpenAIChat(
                self.model,
                base_url=self.base_url,
                api_key=self.api_key,
                timeout=self.timeout,
                max_retries=self.max_retries,
                key_header=self.key_header,
            )
        chat = self._chat
        with ThreadPoolExecutor(max(min(self.parallel, len(asked)), 1)) as pool:
            return list(pool.map(lambda ask: self._request(chat, ask), asked))

    def _request(self, chat: OpenAIChat, ask: Prompt) -> str | Exception:
        content = [
            {"type": "image_url", "image_url": {"url": data_url(ask.image, self.max_side)}},
            {"type": "text", "text": ask.text},
        ]
        messages: list[Any] = [{"role": "user", "content": content}]
        try:
            (reply,) = chat.complete(messages, max_tokens=self.max_tokens)
        except (PlannerError, ConfigError) as error:
            return ToolError(f"{self.tool}: {error}")
        except MissingExtra:
            return MissingExtra(f"the openai backend of {self.tool}", "openai")
        return answer_in(self.tool, f"openai:{self.model}", reply.text, reply.truncated)


class EndpointVqa(_AtEndpoint):
    """Short answers to free questions."""

    tool = "vqa"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_batch(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region, question: str) -> Prompt:
        return Prompt(crop_to(image, self.margin), question_prompt(question))


class EndpointCaptioner(_AtEndpoint):
    """One sentence about the picture."""

    tool = "caption"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_batch(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region) -> Prompt:
        return Prompt(crop_to(image, self.margin), caption_prompt())


def data_url(image: Image, max_side: int) -> str:
    """The picture, at most `max_side` pixels long, as a data URL: PNG where it is small, else JPEG."""
    picture = to_rgb(image)
    if max(picture.size) > max_side:
        picture.thumbnail((max_side, max_side))
    kind = "png" if picture.width * picture.height <= PNG_PIXELS else "jpeg"
    buffer = io.BytesIO()
    picture.save(buffer, kind, **({"quality": 92} if kind == "jpeg" else {}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
