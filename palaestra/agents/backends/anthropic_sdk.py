"""Claude through the official `anthropic` SDK: `anthropic:NAME`.

Answers are not streamed. Thinking comes back with its signatures and is returned untouched, in its place between texts and
calls. The system prompt and the end of the dialogue are marked for the prompt cache, so that a turn pays for what is new.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from palaestra.agents.backends.call_ids import read_call_id, unique_call_ids
from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.inside import paid
from palaestra.agents.backends.pieces import (
    Piece,
    arguments_object,
    laid_over,
    message_of,
    pieces_of,
    safe_name,
    shown,
)
from palaestra.agents.backends.sdk import SDKBackend
from palaestra.agents.backends.strict_tools import check_number
from palaestra.agents.backends.token_usage import ANTHROPIC_USAGE, token_count, usage_in, usage_of
from palaestra.agents.backends.wire import clean_text, excerpt, read_call
from palaestra.agents.core import Generation, Request
from palaestra.agents.endings import plain_reason, reason_text
from palaestra.errors import ConfigError, ModelError, UnsupportedMediaError
from palaestra.media.items import Media
from palaestra.types import Json, Message

PROVIDER = "anthropic"
"""The key of this API in `Message.provider` and `ToolCall.provider`."""

ANTHROPIC_URL = "https://api.anthropic.com"
MAX_TOKENS = 16_384
"""Most new tokens where the request sets no limit, which this API insists on; a budget of thinking comes on top."""

PromptCache = Literal["auto", "1h", "off"]
PROMPT_CACHES = ("auto", "1h", "off")
_PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_CALL_FIELDS = frozenset({"type", "id", "name", "input"})


class AnthropicBackend(SDKBackend):
    """A model behind Anthropic's Messages API.

    Args:
        endpoint: Address, key and limits.
        prompt_cache: "auto" marks what later turns repeat for five minutes, "1h" for an hour, "off" marks nothing.
        thinking: Tokens that the model may think with, at least 1,024, or a mapping as the API takes it, such as
            `{"type": "adaptive"}`; None leaves it to the model.
    """

    package = "anthropic"
    extra = "anthropic"
    named: ClassVar[frozenset[str]] = frozenset(
        ("model", "messages", "max_tokens", "system", "tools", "stop_sequences", "thinking")
    )  # `temperature` and `top_p` are not arguments of the SDK's method any more

    def __init__(
        self, endpoint: Endpoint, *, prompt_cache: PromptCache = "auto", thinking: int | Mapping[str, Json] | None = None
    ) -> None:
        """Nothing is connected yet.

        Raises:
            ConfigError: If an option has an impossible value.
        """
        if prompt_cache not in PROMPT_CACHES:
            raise ConfigError(f"prompt_cache is {prompt_cache!r}; expected one of {', '.join(PROMPT_CACHES)}.")
        self.prompt_cache = prompt_cache
        self.thinking = _thinking(thinking)
        super().__init__(endpoint)

    def _body(self, request: Request) -> dict[str, Json]:
        """Return the JSON of a request for a message."""
        check_number(request.tools, self.endpoint.tool_limit, self.name)
        body = messages_body(self.endpoint.model, request, thinking=self.thinking, prompt_cache=self.prompt_cache)
        if self.endpoint.strict_tools:
            for tool in body.get("tools", ()):
                tool.update(input_schema=self._sdk.transform_schema(tool["input_schema"]), strict=True)
        return body

    def _read(self, body: bytes, request: Request) -> Generation:
        """Read a message."""
        data = self.endpoint.decode(body)
        usage = usage_in(data, ANTHROPIC_USAGE)
        self.endpoint.check_inside(data, "content", usage)
        with paid(usage):
            return read_message_json(data, request)

    def _method(self, client: Any) -> Any:
        """Return the method for messages."""
        return client.messages.with_streaming_response.create

    def _client(self, **common: Any) -> Any:
        """Make a client; the SDK insists on a key, and servers without keys ignore it."""
        url = self.endpoint.base_url
        return self._sdk.AsyncAnthropic(api_key=self.endpoint.api_key or "none", base_url=url, **common)


def messages_body(
    model: str, request: Request, *, thinking: Mapping[str, Json] | None = None, prompt_cache: PromptCache = "auto"
) -> dict[str, Json]:
    """Build the JSON body of `POST /v1/messages`.

    Args:
        model: Anthropic's name of the model.
        request: What to ask. A seed is not sent: the API has none.
        thinking: How the model may think, as the API takes it.
        prompt_cache: What is marked for the prompt cache.

    Raises:
        UnsupportedMediaError: If a message shows a sound, or a picture of a kind that the API does not take.
    """
    sampling = request.sampling
    system = [{"type": "text", "text": text} for text in _system_texts(request.messages)]
    budget = token_count(thinking.get("budget_tokens")) if thinking else 0
    body: dict[str, Json] = {
        "model": model,
        "max_tokens": MAX_TOKENS + budget if sampling.max_tokens is None else sampling.max_tokens,
        "messages": _turns(unique_call_ids(request.messages, _id)),
    }
    if system:
        body["system"] = system
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if thinking is not None:
        body["thinking"] = dict(thinking)
    if sampling.temperature != 1.0:
        body["temperature"] = sampling.temperature
    if sampling.top_p != 1.0:
        body["top_p"] = sampling.top_p
    if sampling.stop:
        body["stop_sequences"] = [clean_text(text) for text in sampling.stop]
    has_turns = bool(request.tools) or any(message.role == "assistant" for message in request.messages)
    if prompt_cache == "1h" or (prompt_cache == "auto" and has_turns):
        _mark(body, {"type": "ephemeral", **({"ttl": "1h"} if prompt_cache == "1h" else {})})
    return laid_over(body, sampling.extra)


def read_message_json(data: Json, request: Request) -> Generation:
    """Read the JSON of a message.

    Args:
        data: The decoded body.
        request: What was asked.

    Raises:
        ModelError: If there is no message in it.
    """
    blocks = data.get("content") if isinstance(data, Mapping) else None
    if not isinstance(blocks, list):
        raise ModelError(f"The server's answer holds no content: {excerpt(data)}", retryable=True)
    pieces: list[Piece] = []
    thoughts: list[str] = []
    ids: set[str] = set()
    for index, block in enumerate(blocks):
        kind = block.get("type") if isinstance(block, Mapping) else None
        if kind == "text" and isinstance(block.get("text"), str):
            own = {key: value for key, value in block.items() if key not in ("type", "text") and value}
            pieces.append(Piece("text", clean_text(block["text"]), own=own))
        elif kind == "tool_use":
            pieces.append(_read_call(block, f"call_{len(request.messages)}_{index}", ids))
        elif isinstance(block, Mapping):
            pieces.append(Piece("opaque", own=block))
            if isinstance(block.get("thinking"), str):
                thoughts.append(block["thinking"])
    message = message_of(pieces, PROVIDER, reasoning=clean_text("\n\n".join(text for text in thoughts if text)))
    finish = plain_reason(reason_text(data.get("stop_reason")), has_calls=bool(message.tool_calls))
    return Generation(message, finish, usage_of(data.get("usage"), ANTHROPIC_USAGE))


def _thinking(value: int | Mapping[str, Json] | None) -> Mapping[str, Json] | None:
    """Return the option as the API takes it."""
    if isinstance(value, Mapping) or value is None:
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value < 1024:
        raise ConfigError(
            f"thinking is {value!r}; expected a number of tokens from 1024, or a mapping such as {{'type': 'adaptive'}}."
        )
    return {"type": "enabled", "budget_tokens": value}


def _system_texts(messages: Sequence[Message]) -> list[str]:
    """Return the texts of the system messages, which go apart from the dialogue."""
    return [clean_text(message.content) for message in messages if message.role == "system" and message.content.strip()]


def _turns(messages: Sequence[Message]) -> list[dict[str, Json]]:
    """Return the dialogue in turns: users' messages and tool results in a row are one turn, results first."""
    turns: list[dict[str, Json]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _said(message) if role == "assistant" else _shown(message)
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        turn["content"] = turn["content"] or [{"type": "text", "text": "(empty)"}]  # the API refuses empty turns
        turn["content"].sort(key=lambda block: block["type"] != "tool_result" and turn["role"] == "user")
    return turns


def _said(message: Message) -> list[dict[str, Json]]:
    """Return the blocks of what the model wrote."""
    blocks: list[dict[str, Json]] = []
    for piece in pieces_of(message, PROVIDER):
        if piece.kind == "opaque":
            if _is_whole(piece.own):
                blocks.append(dict(piece.own))
        elif piece.call is not None:
            call = piece.call
            own = {key: value for key, value in piece.own.items() if key not in _CALL_FIELDS}
            use = {"type": "tool_use", "id": call.id, "name": safe_name(call.name, 128), "input": arguments_object(call)}
            blocks.append({**own, **use})
        elif piece.text.strip():  # a text of blanks is refused
            blocks.append({**piece.own, "type": "text", "text": piece.text})
    return blocks


def _is_whole(block: Mapping[str, Json]) -> bool:
    """Whether a block of thinking was finished: one that was cut has no signature, and the API refuses it."""
    needed = {"thinking": "signature", "redacted_thinking": "data"}.get(str(block.get("type")))
    return needed is None or bool(block.get(needed))


def _shown(message: Message) -> list[dict[str, Json]]:
    """Return the blocks of what a user or a tool shows."""
    blocks = [_block(part) for part in shown(message) if not isinstance(part, str) or part.strip()]
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": blocks or "(empty)"}]
    return blocks


def _block(part: str | tuple[Media, bytes]) -> dict[str, Json]:
    """Return one block of text or a picture."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    media, data = part
    if media.type not in _PICTURES:
        raise UnsupportedMediaError(
            f"The medium {media.sha256} is {media.type!r}; Anthropic's API takes {', '.join(_PICTURES)}. Use another model, "
            f"or the option media='text', which shows tags."
        )
    source = {"type": "base64", "media_type": media.type, "data": base64.b64encode(data).decode("ascii")}
    return {"type": "image", "source": source}


def _tool(tool: Mapping[str, Json]) -> dict[str, Json]:
    """Return a function schema as this API writes it."""
    function = tool["function"]
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return {"name": function["name"], "description": function.get("description", ""), "input_schema": schema}


def _mark(body: dict[str, Json], mark: dict[str, Json]) -> None:
    """Mark the end of what stays the same all episode, and the end of the dialogue."""
    stable = body.get("system") or body.get("tools")
    if stable:
        stable[-1] = {**stable[-1], "cache_control": mark}
    last = body["messages"][-1]["content"] if body["messages"] else []
    if last and last[-1]["type"] in ("text", "tool_result", "image"):
        last[-1] = {**last[-1], "cache_control": mark}


def _read_call(block: Mapping[str, Json], fallback: str, ids: set[str]) -> Piece:
    """Read a `tool_use` block."""
    call_id = read_call_id(block.get("id"), ids, fallback)
    own = {key: value for key, value in block.items() if key not in _CALL_FIELDS and value}
    return Piece("call", call=read_call(block.get("name"), block, call_id, block.get("input")), own=own)


def _id(call_id: str) -> str:
    """Return an id of letters that the API takes."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", call_id)


__all__ = ["ANTHROPIC_URL", "MAX_TOKENS", "AnthropicBackend", "PromptCache", "messages_body", "read_message_json"]
