"""`vqa` and `caption` with a vision-language model behind an OpenAI-compatible endpoint.

The image leaves this machine: it is sent to the endpoint, and only if this backend is chosen.
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

from visprog.errors import ConfigError, MissingExtra, PlannerError, ToolError
from visprog.llm.chat import ImagePart, Message
from visprog.values import Region
from visprog.values.image import Image

from ._batching import answer_batch, crop_to, to_rgb
from .vlm import ImagePrompt, answer_in, caption_prompt, question_prompt

if TYPE_CHECKING:
    from visprog.llm.openai import OpenAIChat

PNG_PIXELS = 250_000
"""Number of pixels up to which an image is sent without loss, as drawings and small text need; larger ones are JPEG."""


class EndpointModel:
    """A vision-language model behind an endpoint.

    Args:
        model: Name of the model at the endpoint.
        base_url: Address of the endpoint, up to "/v1"; by default that of VISPROG_OPENAI_BASE_URL or
            OPENAI_BASE_URL, else the vendor's own.
        api_key: Key; by default that of OPENAI_API_KEY. An endpoint of your own needs none.
        timeout: Seconds per try.
        max_retries: Number of tries after the first.
        max_tokens: Number of tokens of one answer, at most, thinking included.
        key_header: Header that carries the key, if it is not `Authorization: Bearer`: "api-key" for Azure.
        max_side: Longer side, in pixels, to which larger images are reduced before they are sent.
        margin: Margin of a region's crop on each side, as a share of its longer side.
        parallel: Number of requests at the same time.

    Raises:
        ConfigError: No model is named.
    """

    process = "host"

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

    def _answer(self, asks: list[ImagePrompt]) -> list[Any]:
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
        with ThreadPoolExecutor(max(min(self.parallel, len(asks)), 1)) as pool:
            return list(pool.map(lambda ask: self._request(chat, ask), asks))

    def _request(self, chat: OpenAIChat, ask: ImagePrompt) -> str | Exception:
        parts = [p if isinstance(p, str) else image_part(p, self.max_side) for p in ask.parts]
        messages: list[Message] = [{"role": "user", "content": parts}]
        try:
            (reply,) = chat.complete(messages, max_tokens=self.max_tokens)
        except (PlannerError, ConfigError) as error:
            return ToolError(f"{self.tool}: {error}")
        except MissingExtra:
            return MissingExtra(f"the openai backend of {self.tool}", "openai")
        if reply.without_images:  # what it says is a guess
            return ToolError(f"{self.tool}: {chat.name} takes no images: choose a model that sees them")
        return answer_in(self.tool, f"openai:{self.model}", reply.text, reply.truncated)


class EndpointVqa(EndpointModel):
    """Short answers to free questions."""

    tool = "vqa"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_batch(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region, question: str) -> ImagePrompt:
        return ImagePrompt(crop_to(image, self.margin), question_prompt(question))


class EndpointCaptioner(EndpointModel):
    """One sentence about the image."""

    tool = "caption"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_batch(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region) -> ImagePrompt:
        return ImagePrompt(crop_to(image, self.margin), caption_prompt())


def image_part(image: Image, max_side: int) -> ImagePart:
    """An image as it is sent, reduced to at most `max_side` pixels on its longer side: PNG if small, else JPEG."""
    rgb = to_rgb(image)
    if max(rgb.size) > max_side:
        rgb.thumbnail((max_side, max_side))
    encoding = "png" if rgb.width * rgb.height <= PNG_PIXELS else "jpeg"
    buffer = io.BytesIO()
    rgb.save(buffer, encoding, **({"quality": 92} if encoding == "jpeg" else {}))
    described = f"image {image.width} × {image.height}"
    return ImagePart(buffer.getvalue(), f"image/{encoding}", described, image.digest)
