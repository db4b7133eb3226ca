"""OpenAI's Responses API through the official SDK: `openai-responses:NAME`, and `azure-responses:DEPLOYMENT`.

The dialogue is sent whole with every request and nothing is stored at OpenAI (`store` is false). Reasoning is asked for in its
encrypted form and is returned untouched, in its place between texts and calls, so that the model thinks on where it stopped.
What comes without that form is known to the server by its id alone, which it refuses where nothing is stored: it is not sent.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from palaestra.agents.backends.call_ids import read_call_id, unique_call_ids
from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.inside import is_filtered, paid
from palaestra.agents.backends.pieces import Piece, laid_over, message_of, pieces_of, safe_name, shown
from palaestra.agents.backends.sdk import SDKBackend
from palaestra.agents.backends.strict_tools import check_number, strict_parameters, without_nulls
from palaestra.agents.backends.token_usage import RESPONSES_USAGE, usage_in, usage_of
from palaestra.agents.backends.wire import clean_text, excerpt, read_call
from palaestra.agents.core import Generation, Request
from palaestra.agents.endings import Ending, ending_of, is_cut, plain_reason, reason_text
from palaestra.errors import ContextWindowError, ModelError, UnsupportedMediaError, UsageError
from palaestra.media.items import Media
from palaestra.types import Json, Message

PROVIDER = "responses"
"""The key of this API in `Message.provider` and `ToolCall.provider`."""

_UNREASONING = re.compile(r"(?:chat)?gpt-(?:3|4)|gpt-5-chat")
"""Names of models of OpenAI's that do not reason."""
_RETRYABLE = ("server_error", "rate_limit_exceeded", "vector_store_timeout", "overloaded")
_MESSAGE_FIELDS = frozenset({"type", "role", "content"})
_CALL_FIELDS = frozenset({"type", "call_id", "name", "arguments"})


class ResponsesBackend(SDKBackend):
    """A model behind OpenAI's Responses API."""

    package = "openai"
    extra = "llm"
    named: ClassVar[frozenset[str]] = frozenset(
        ("model", "input", "tools", "temperature", "top_p", "max_output_tokens", "store", "include", "reasoning")
    )

    _encrypts = True

    async def generate(self, request: Request) -> Generation:
        """Ask the server; once more, without encrypted reasoning, where it says that the model has none.

        Raises:
            ModelError: As `SDKBackend.generate` does.
            UsageError: Likewise.
        """
        asked = self._encrypts
        try:
            return await super().generate(request)
        except ModelError as error:
            if not asked or "include" in request.sampling.extra or not _refuses_encryption(error):
                raise
            self._encrypts = False  # a request that is refused costs nothing
            return await super().generate(request)

    def _body(self, request: Request) -> dict[str, Json]:
        """Return the JSON of a request for a response."""
        return responses_body(self.endpoint, request, encrypts=self._encrypts)

    def _read(self, body: bytes, request: Request) -> Generation:
        """Read a response."""
        data = self.endpoint.decode(body)
        usage = usage_in(data, RESPONSES_USAGE)
        self.endpoint.check_inside(data, "output", usage)
        with paid(usage):
            return read_response(self.endpoint, data, request)

    def _method(self, client: Any) -> Any:
        """Return the method for responses."""
        return client.responses.with_streaming_response.create

    def _client(self, **common: Any) -> Any:
        """Make a client of OpenAI's server, or of another that speaks this API."""
        return self._sdk.AsyncOpenAI(api_key=self.endpoint.api_key or "none", base_url=self.endpoint.base_url, **common)


def responses_body(endpoint: Endpoint, request: Request, *, encrypts: bool = True) -> dict[str, Json]:
    """Build the JSON body of `POST /responses`.

    Args:
        endpoint: Model and options.
        request: What to ask.
        encrypts: Ask for encrypted reasoning where nothing is stored and the model may reason.

    Raises:
        UsageError: If the request holds what this API does not take: stop texts, sounds, too many tools.
    """
    sampling = request.sampling
    if sampling.stop:
        raise UsageError(
            f"The Responses API takes no stop texts (stop={list(sampling.stop)!r}); leave them out, or use openai:NAME."
        )
    check_number(request.tools, endpoint.tool_limit, endpoint.name)
    is_stored = "store" in sampling.extra and sampling.extra["store"] is not False  # the API's own default is true
    body: dict[str, Json] = {"model": endpoint.model, "input": _input(request, is_stored), "store": False}
    if request.tools:
        body["tools"] = [_tool(tool, endpoint.strict_tools) for tool in request.tools]
    if sampling.temperature != 1.0:
        body["temperature"] = sampling.temperature
    if sampling.top_p != 1.0:
        body["top_p"] = sampling.top_p
    if sampling.max_tokens is not None:
        body["max_output_tokens"] = sampling.max_tokens
    # models that do not reason refuse the field
    if encrypts and not is_stored and ("reasoning" in sampling.extra or not _UNREASONING.match(endpoint.model)):
        body["include"] = ["reasoning.encrypted_content"]
    return laid_over(body, sampling.extra)


def read_response(endpoint: Endpoint, data: Json, request: Request) -> Generation:
    """Read the JSON of a response.

    Args:
        endpoint: Where it came from.
        data: The decoded body.
        request: What was asked.

    Raises:
        ModelError: If the response failed, or is none.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("output"), list):
        if isinstance(data, Mapping) and isinstance(data.get("error"), Mapping):
            _fail(data["error"])
        raise ModelError(f"The server's answer holds no output: {excerpt(data)}", retryable=True)
    if data.get("status") in ("failed", "cancelled"):
        _fail(data.get("error"))
    pieces, reasoning = _pieces(data["output"], f"call_{len(request.messages)}")
    message = message_of(pieces, PROVIDER, reasoning=reasoning)
    if endpoint.strict_tools:
        message = without_nulls(message, request.tools)
    finish = plain_reason(_ending(data), has_calls=bool(message.tool_calls))
    return Generation(message, finish, usage_of(data.get("usage"), RESPONSES_USAGE))


def _ending(data: Mapping[str, Json]) -> str:
    """Return why a response ended; one that its server calls incomplete is never a whole one."""
    if is_filtered(data):
        return "content_filter"
    status = reason_text(data.get("status"))
    if ending_of(status) is Ending.WHOLE and any(map(_is_cut_item, data["output"])):
        return "incomplete"
    details = data.get("incomplete_details")
    reason = reason_text(details.get("reason")) if isinstance(details, Mapping) else ""
    if reason and ending_of(reason) not in (Ending.WHOLE, Ending.UNKNOWN):
        return reason
    return status


def _is_cut_item(item: Json) -> bool:
    """Whether an item of a response that calls itself complete is not."""
    return isinstance(item, Mapping) and is_cut(reason_text(item.get("status")))


def _refuses_encryption(error: ModelError) -> bool:
    """Whether a server refused a request for the field that asks for encrypted reasoning."""
    return error.status in (400, 422) and re.search(r"encrypted|\binclude\b", str(error), re.IGNORECASE) is not None


def _input(request: Request, is_stored: bool) -> list[Json]:
    """Return the dialogue as items."""
    items: list[Json] = []
    for message in unique_call_ids(request.messages):
        if message.role == "assistant":
            items += _said(pieces_of(message, PROVIDER), is_stored)
        elif message.role == "tool":
            output = _content(message)
            items.append({"type": "function_call_output", "call_id": message.tool_call_id, "output": output})
        else:
            items.append({"role": message.role, "content": _content(message)})
    return items


def _said(pieces: Sequence[Piece], is_stored: bool) -> list[dict[str, Json]]:
    """Return the items of what the model wrote.

    Reasoning that is neither stored nor there is left out, and then the ids of the items around it, which belong to it.
    """
    kept = [piece for piece in pieces if is_stored or not _is_bare(piece)]
    items = [_item(piece) for piece in kept]
    if len(kept) == len(pieces):
        return items
    return [item if item.get("type") == "reasoning" else {k: v for k, v in item.items() if k != "id"} for item in items]


def _is_bare(piece: Piece) -> bool:
    """Whether a part is reasoning without anything in it but an id and a summary for people."""
    own = piece.own
    return (
        piece.kind == "opaque" and own.get("type") == "reasoning" and not (own.get("encrypted_content") or own.get("content"))
    )


def _item(piece: Piece) -> dict[str, Json]:
    """Return one item of what the model wrote."""
    if piece.kind == "opaque":
        return dict(piece.own)
    if piece.call is not None:
        call = piece.call
        arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(dict(call.arguments), ensure_ascii=False)
        if isinstance(call.arguments, str):
            arguments = json.dumps({"arguments": arguments}, ensure_ascii=False)
        own = {key: value for key, value in piece.own.items() if key not in _CALL_FIELDS}
        return {
            **own,
            "type": "function_call",
            "call_id": call.id,
            "name": safe_name(call.name),
            "arguments": clean_text(arguments),
        }
    if not piece.own:
        return {"role": "assistant", "content": piece.text}
    own = {key: value for key, value in piece.own.items() if key not in _MESSAGE_FIELDS}
    content = [{"type": "output_text", "text": piece.text, "annotations": []}]
    return {**own, "type": "message", "role": "assistant", "content": content}


def _content(message: Message) -> str | list[Json]:
    """Return what a user, a system message or a tool shows: a text, or parts where there are pictures."""
    parts = shown(message)
    if not any(isinstance(part, tuple) for part in parts):
        return "".join(part for part in parts if isinstance(part, str))
    return [_part(part) for part in parts]


def _part(part: str | tuple[Media, bytes]) -> dict[str, Json]:
    """Return one content part."""
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    media, data = part
    if media.kind != "image":
        raise UnsupportedMediaError(
            f"The sound {media.sha256} cannot be sent: the Responses API takes text and pictures. Use openai:NAME (chat "
            f"completions) with a model for sound, or the option media='text'."
        )
    return {"type": "input_image", "image_url": data_url(media, data), "detail": "auto"}


def data_url(media: Media, data: bytes) -> str:
    """Return a medium as a URL that holds its bytes."""
    return f"data:{media.type};base64,{base64.b64encode(data).decode('ascii')}"


def _tool(tool: Mapping[str, Json], strict: bool) -> dict[str, Json]:
    """Return a function schema; `strict` is always said, as this API takes true for its default."""
    function = tool["function"]
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    closed = strict_parameters(parameters) if strict else None
    return {
        "type": "function",
        "name": function["name"],
        "description": function.get("description", ""),
        "parameters": parameters if closed is None else closed,
        "strict": closed is not None,
    }


def _pieces(output: list[Json], prefix: str) -> tuple[list[Piece], str]:
    """Read the items of a response: its parts, and what was thought.

    Commentary is said before a call. Without one it is no answer: it goes back as it came, and is read as thought.
    """
    pieces: list[Piece] = []
    has_calls = any(isinstance(item, Mapping) and item.get("type") == "function_call" for item in output)
    thoughts: list[str] = []
    ids: set[str] = set()
    for index, item in enumerate(output):
        kind = item.get("type") if isinstance(item, Mapping) else None
        if kind == "message" and item.get("phase") == "commentary" and not has_calls:
            pieces.append(Piece("opaque", own=item))
            thoughts.append(_text_of(item))
        elif kind == "message":
            pieces.append(Piece("text", _text_of(item), own=_own(item, _MESSAGE_FIELDS)))
        elif kind == "function_call":
            call_id = read_call_id(item.get("call_id"), ids, f"{prefix}_{index}")
            call = read_call(item.get("name"), item, call_id, item.get("arguments"))
            pieces.append(Piece("call", call=call, own=_own(item, _CALL_FIELDS)))
        elif isinstance(item, Mapping):
            pieces.append(Piece("opaque", own=item))
            if kind == "reasoning":
                thoughts += [part["text"] for part in _parts(item, "content") or _parts(item, "summary")]
    return pieces, clean_text("\n\n".join(text for text in thoughts if text))


def _text_of(item: Mapping[str, Json]) -> str:
    """Return the text of a message item; a refusal is what the model says."""
    content = item.get("content")
    texts = []
    for part in content if isinstance(content, list) else ():
        if isinstance(part, Mapping):
            value = part.get("text") if part.get("type") == "output_text" else part.get("refusal")
            texts.append(value if isinstance(value, str) else "")
    return clean_text("".join(texts))


def _parts(item: Mapping[str, Json], key: str) -> list[Mapping[str, Json]]:
    """Return the text parts under a key of a reasoning item."""
    parts = item.get(key)
    found = parts if isinstance(parts, list) else []
    return [part for part in found if isinstance(part, Mapping) and isinstance(part.get("text"), str)]


def _own(item: Mapping[str, Json], known: frozenset[str]) -> dict[str, Json]:
    """Return the fields of an item that are the provider's own."""
    return {key: value for key, value in item.items() if key not in known and value is not None}


def _fail(error: Json) -> None:
    """Raise what a failed response means."""
    code = error.get("code") if isinstance(error, Mapping) else None
    text = excerpt(error.get("message") if isinstance(error, Mapping) else error)
    if code == "context_length_exceeded":
        raise ContextWindowError(f"The response failed: {text} ({code})")
    raise ModelError(f"The response failed: {text} ({code})", retryable=code is None or code in _RETRYABLE)


__all__ = ["PROVIDER", "ResponsesBackend", "read_response", "responses_body"]
