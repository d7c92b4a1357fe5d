"""What a reasoning model thinks before it answers, and leaving it out. Each family marks it in its own way."""

from __future__ import annotations

import re

_NAMES = r"think|thinking|thought|thoughts|reasoning|reflection|analysis|scratchpad|seed:think"

_TAG = re.compile(
    rf"<(?P<a>/?)(?:{_NAMES})>"  # DeepSeek, Qwen and most others
    rf"|\[(?P<b>/?)(?:THINK|THINKING)\]"  # Mistral
    rf"|◁(?P<c>/?)think▷"  # Kimi
    rf"|<\|(?:begin_of_thought|START_THINKING)\|>|(?P<d><\|(?:end_of_thought|END_THINKING)\|>)"  # Cohere and others
    rf"|<unused94>(?:thought)?|(?P<e><unused95>)"  # MedGemma
    rf"|<\|channel>\s*thought\b|(?P<f><channel\|>)",  # Gemma 4
    re.IGNORECASE,
)
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(?P<name>\w+).*?<\|message\|>(?P<text>.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)
_PLAIN_CHANNELS = re.compile(r"\A\s*analysis.*?assistant\s*final", re.DOTALL)
"""The channels of gpt-oss, if a server has left out the tokens that separate them."""

_WRAPPING = re.compile(
    r"</?answer>|<\|(?:begin|end)_of_(?:box|solution)\|>|<\|(?:START|END)_RESPONSE\|>", re.IGNORECASE
)


def without_thoughts(text: str) -> str:
    """The answer in a reply. Empty if the reply ends before its thoughts do."""
    if "<|channel|>" in text:
        channels = _CHANNEL.finditer(text)
        return "".join(c["text"] for c in channels if c["name"] == "final")
    text = _PLAIN_CHANNELS.sub("", text)
    kept: list[str] = []
    start, inside = 0, False
    for tag in _TAG.finditer(text):
        if _is_quoted(tag):
            continue
        ends = any(tag.groupdict().values())
        if ends and not inside:
            kept.clear()  # the opening tag was part of the prompt, as some chat templates have it
        elif not ends and not inside:
            kept.append(text[start : tag.start()])
        start, inside = tag.end(), not ends
    answer = "".join(kept) if inside else "".join([*kept, text[start:]])
    return _WRAPPING.sub(lambda tag: tag[0] if _is_quoted(tag) else "", answer)


def marks_thoughts(token: str) -> bool:
    """Whether a token begins or ends thoughts, alone or with the word that follows it."""
    return any(_TAG.fullmatch(text) for text in (token, f"{token}thought"))


def _is_quoted(tag: re.Match[str]) -> bool:
    """Whether a program only speaks of the tag."""
    around = tag.string[max(tag.start() - 1, 0) : tag.start()] + tag.string[tag.end() : tag.end() + 1]
    return around in ("''", '""')
