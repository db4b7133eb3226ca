"""Gemini through the official `google-genai` SDK: `google:NAME`.

The request is built as the REST API writes it and the answer is read as it was sent; the SDK brings address, headers and key
handling. The signatures of thoughts come back on texts and calls and are returned untouched.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any, Literal

from palaestra.agents.backends.call_ids import read_call_id, unique_call_ids
from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.inside import paid
from palaestra.agents.backends.per_loop import PerLoop
from palaestra.agents.backends.pieces import Piece, arguments_object, message_of, pieces_of, safe_name, shown
from palaestra.agents.backends.responses import body_hook
from palaestra.agents.backends.sdk import ACCEPTED, connection_fault, http_client_arguments, import_sdk
from palaestra.agents.backends.strict_tools import check_number
from palaestra.agents.backends.token_usage import GOOGLE_USAGE, usage_in, usage_of
from palaestra.agents.backends.wire import clean_text, excerpt, read_call
from palaestra.agents.core import Generation, Request
from palaestra.agents.endings import ADVICE, UNREAD, plain_reason, reason_text
from palaestra.errors import ModelError
from palaestra.media.items import Media
from palaestra.types import Json, Message

PROVIDER = "google"
"""The key of this API in `Message.provider` and `ToolCall.provider`."""

GOOGLE_URL = "https://generativelanguage.googleapis.com"
API_VERSION = "v1beta"

_PART_FIELDS = frozenset({"text", "thought", "functionCall"})


class GoogleBackend:
    """A model behind the Gemini API.

    Attributes:
        name: Shown in reports.
        endpoint: Address, key and limits.
        takes_media: Sounds and pictures are sent as inline data; whether the model takes them, its server says.
    """

    takes_media = True

    def __init__(self, endpoint: Endpoint) -> None:
        """Nothing is connected yet.

        Raises:
            MissingExtraError: If the SDK is not installed.
        """
        self.name = endpoint.name
        self.endpoint = endpoint
        self._sdk = import_sdk("google.genai", "google")
        self._transport: Any = _http_package()
        self._clients: PerLoop[_Client] = PerLoop(self._open, _close)

    async def generate(self, request: Request) -> Generation:
        """Ask the server once.

        Raises:
            ModelError: If the server cannot be reached, is too slow, refuses, or answers with something unreadable.
            UsageError: If the request offers more tools than the API takes.
        """
        endpoint = self.endpoint
        check_number(request.tools, endpoint.tool_limit, self.name)
        body = content_body(request, strict=endpoint.strict_tools)
        client = await self._clients.get()
        started = time.perf_counter()
        try:
            async with asyncio.timeout(endpoint.timeout_s):
                answer = await self._post(client, body)
        except self._transport.RequestError as error:
            raise connection_fault(self._transport, endpoint, error) from error
        except TimeoutError:
            raise endpoint.timed_out("answer in full", endpoint.timeout_s) from None
        data = endpoint.decode(answer)
        usage = usage_in(data, GOOGLE_USAGE)
        endpoint.check_inside(data, "candidates", usage)
        with paid(usage):
            generation = read_content(data, request)
        return replace(generation, usage=replace(generation.usage, model_s=time.perf_counter() - started))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._clients.aclose()

    async def _post(self, client: _Client, body: dict[str, Json]) -> bytes:
        """Post the body and return that of the answer."""
        types = self._sdk.types
        # the SDK builds the URL; everything else of the body is laid over its own as it stands
        config = types.GenerateContentConfig(
            http_options=types.HttpOptions(extra_body=body),
            should_return_http_response=True,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        answer = await client.sdk.aio.models.generate_content(model=self.endpoint.model, contents="-", config=config)
        return (answer.sdk_http_response.body or "").encode("utf-8", "surrogatepass")

    def _open(self) -> _Client:
        """Make a client on the running loop."""
        endpoint = self.endpoint
        arguments = http_client_arguments(self._transport, endpoint)
        limits = arguments["timeout"].as_dict()

        async def keep_limits(request: Any) -> None:  # the SDK asks for each request without any
            request.extensions["timeout"] = limits

        arguments["event_hooks"]["request"].insert(0, keep_limits)
        arguments["event_hooks"]["response"].append(
            body_hook(self._transport, endpoint.max_response_bytes, endpoint.too_large)
        )
        http = self._transport.AsyncClient(
            **arguments, headers={"Accept-Encoding": ACCEPTED}, params=endpoint.query_values or None, follow_redirects=True
        )
        options = self._sdk.types.HttpOptions(
            base_url=endpoint.base_url,
            api_version=API_VERSION,
            headers=dict(endpoint.headers),
            httpx_async_client=http,
            httpx_client=self._transport.Client(),  # never used; otherwise the SDK would load certificates for one of its own
        )
        return _Client(self._sdk.Client(vertexai=False, api_key=endpoint.api_key or "none", http_options=options), http)


class _Client:
    """The SDK's client and the HTTP client that it was given."""

    def __init__(self, sdk: Any, http: Any) -> None:
        """Keep both."""
        self.sdk = sdk
        self.http = http


def content_body(request: Request, *, strict: bool = False) -> dict[str, Json]:
    """Build the JSON body of `POST /models/NAME:generateContent`.

    Args:
        request: What to ask.
        strict: Have the server hold calls to their schemas (function calling mode VALIDATED).
    """
    sampling = request.sampling
    config: dict[str, Json] = {}
    if sampling.temperature != 1.0:
        config["temperature"] = sampling.temperature
    if sampling.top_p != 1.0:
        config["topP"] = sampling.top_p
    if sampling.max_tokens is not None:
        config["maxOutputTokens"] = sampling.max_tokens
    if sampling.stop:
        config["stopSequences"] = [clean_text(text) for text in sampling.stop]
    if (seed := request.seed) is not None:
        config["seed"] = seed
    body: dict[str, Json] = {"contents": _contents(unique_call_ids(request.messages))}
    system = [{"text": clean_text(m.content)} for m in request.messages if m.role == "system" and m.content]
    if system:
        body["systemInstruction"] = {"parts": system}
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_tool(tool) for tool in request.tools]}]
        if strict:
            body["toolConfig"] = {"functionCallingConfig": {"mode": "VALIDATED"}}
    if config:
        body["generationConfig"] = config
    for key, value in sampling.extra.items():
        if value is None:
            body.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(body.get(key), dict):
            body[key] = {**body[key], **value}  # `generationConfig` holds ours and theirs
        else:
            body[key] = value
    return body


def read_content(data: Json, request: Request) -> Generation:
    """Read the JSON that answers `generateContent`.

    Args:
        data: The decoded body.
        request: What was asked.

    Raises:
        ModelError: If there is no answer in it.
    """
    if not isinstance(data, Mapping):
        raise ModelError(f"The server answered with JSON that is not an object: {excerpt(data)}", retryable=True)
    usage = usage_of(data.get("usageMetadata"), GOOGLE_USAGE)
    candidates = data.get("candidates")
    feedback = data.get("promptFeedback")
    if not candidates and isinstance(feedback, Mapping) and feedback.get("blockReason"):
        return Generation(Message("assistant"), "content_filter", usage)
    candidate = candidates[0] if isinstance(candidates, list) and candidates else None
    if not isinstance(candidate, Mapping):
        raise ModelError(f"The server's answer holds no candidates: {excerpt(data)}", retryable=True)
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, Mapping) else None
    message = _message(parts if isinstance(parts, list) else [], f"call_{len(request.messages)}")
    reason = reason_text(candidate.get("finishReason"))
    finish = plain_reason(reason, has_calls=bool(message.tool_calls))
    if finish in UNREAD and not message.tool_calls:
        said = candidate.get("finishMessage")
        said = clean_text(said) if isinstance(said, str) else ""
        return Generation(replace(message, content="", raw=said or message.content, error=ADVICE), finish, usage)
    return Generation(message, finish, usage)


def _message(parts: list[Json], prefix: str) -> Message:
    """Read the parts of an answer."""
    pieces: list[Piece] = []
    thoughts: list[str] = []
    ids: set[str] = set()
    for index, part in enumerate(parts):
        if not isinstance(part, Mapping):
            continue
        own = {key: value for key, value in part.items() if key not in _PART_FIELDS and value}
        call = part.get("functionCall")
        if isinstance(call, Mapping):
            pieces.append(_read_call(call, f"{prefix}_{index}", ids, own))
        elif isinstance(part.get("text"), str) and part.get("thought") is True:
            thoughts.append(part["text"])
            if own:  # a signature on a thought: it goes back with it
                pieces.append(Piece("opaque", own=part))
        elif isinstance(part.get("text"), str):
            pieces.append(Piece("text", clean_text(part["text"]), own=own))
        else:
            pieces.append(Piece("opaque", own=part))
    return message_of(pieces, PROVIDER, reasoning=clean_text("".join(thoughts)))


def _read_call(call: Mapping[str, Json], fallback: str, ids: set[str], own: dict[str, Json]) -> Piece:
    """Read a call; whether its id is the provider's own is kept, as others are not sent back."""
    call_id = read_call_id(call.get("id"), ids, fallback)
    if call_id == call.get("id"):
        own = {**own, "id": call_id}
    return Piece("call", call=read_call(call.get("name"), call, call_id, call.get("args")), own=own)


def _contents(messages: Sequence[Message]) -> list[dict[str, Json]]:
    """Return the dialogue in turns: users' messages and tool results in a row are one turn."""
    turns: list[dict[str, Json]] = []
    names: dict[str, str] = {}
    given: set[str] = set()
    for message in messages:
        if message.role == "system":
            continue
        role: Literal["model", "user"] = "model" if message.role == "assistant" else "user"
        if role == "model":
            names.update((call.id, call.name) for call in message.tool_calls)
            pieces = pieces_of(message, PROVIDER)
            given |= {piece.call.id for piece in pieces if piece.call and piece.own.get("id") == piece.call.id}
            parts = [_part_of(piece) for piece in pieces]
        elif message.role == "tool":
            parts = _result(message, message.name or names.get(message.tool_call_id, ""), message.tool_call_id in given)
        else:
            parts = [_part(part) for part in shown(message)]
        if turns and turns[-1]["role"] == role:
            turns[-1]["parts"] += parts
        else:
            turns.append({"role": role, "parts": parts})
    for turn in turns:
        turn["parts"] = turn["parts"] or [{"text": " "}]  # the API refuses empty turns
        turn["parts"].sort(key=lambda part: turn["role"] == "user" and "functionResponse" not in part)
    return turns


def _part_of(piece: Piece) -> dict[str, Json]:
    """Return one part of what the model wrote."""
    if piece.kind == "opaque":
        return dict(piece.own)
    own = {key: value for key, value in piece.own.items() if key not in (*_PART_FIELDS, "id")}
    if piece.call is None:
        return {**own, "text": piece.text}
    call: dict[str, Json] = {"name": safe_name(piece.call.name), "args": arguments_object(piece.call)}
    if piece.own.get("id") == piece.call.id:
        call["id"] = piece.call.id
    return {**own, "functionCall": call}


def _result(message: Message, name: str, has_id: bool) -> list[dict[str, Json]]:
    """Return the part that answers a call, and those of what it shows."""
    texts: list[str] = []
    media: list[dict[str, Json]] = []
    for part in shown(message):
        if isinstance(part, str):
            texts.append(part)
        else:
            kind = part[0].kind
            media += [{"text": f"{kind.capitalize()} {len(media) // 2 + 1} of {name}:"}, _part(part)]
            texts.append(f"({kind} {len(media) // 2})")
    response: dict[str, Json] = {"name": safe_name(name), "response": {"output": "".join(texts)}}
    if has_id:
        response["id"] = message.tool_call_id
    return [{"functionResponse": response}, *media]


def _part(part: str | tuple[Media, bytes]) -> dict[str, Json]:
    """Return one part of text, sound or picture."""
    if isinstance(part, str):
        return {"text": part}
    media, data = part
    return {"inlineData": {"mimeType": media.type, "data": base64.b64encode(data).decode("ascii")}}


def _tool(tool: Mapping[str, Json]) -> dict[str, Json]:
    """Return a function schema as this API writes it."""
    function = tool["function"]
    declared: dict[str, Json] = {"name": function["name"], "description": function.get("description", "")}
    if (function.get("parameters") or {}).get("properties"):
        declared["parametersJsonSchema"] = function["parameters"]
    return declared


def _http_package() -> Any:
    """Return the HTTP package that the SDK brings."""
    try:
        return import_module("httpx2")
    except ImportError:
        return import_sdk("httpx", "google")


async def _close(client: _Client) -> None:
    """Close a client's connections."""
    await client.http.aclose()


__all__ = ["API_VERSION", "GOOGLE_URL", "GoogleBackend", "content_body", "read_content"]
