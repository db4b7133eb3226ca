"""Requests and answers as OpenAI chat-completions JSON, shared by every HTTP client.

`request_body` turns a `Request` into the JSON to post, `read_generation` turns the JSON of the answer into a
`Generation`. Nothing here touches the network, and nothing in an answer is trusted: every field is checked or ignored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import Any, Literal, TypeGuard

from palaestra.agents.backends.call_ids import read_call_id, unique_call_ids
from palaestra.agents.backends.inside import fault_in, is_filtered
from palaestra.agents.backends.reasoning_back import BLANK, NAMES, Form, with_reasoning
from palaestra.agents.backends.strict_tools import strict_function
from palaestra.agents.backends.token_usage import usage_in, usage_of
from palaestra.agents.backends.too_long import says_too_long
from palaestra.agents.backends.wire_media import audio_answer, with_media
from palaestra.agents.core import Generation, Request, Sampling, Tokens
from palaestra.agents.endings import Ending, check_reason, ending_of, is_cut, reason_text
from palaestra.agents.masking import masked_message
from palaestra.envs.formats.reasoning import without_reasoning
from palaestra.errors import ContextWindowError, ModelError
from palaestra.media.items import Media, escape_tags
from palaestra.types import MAX_DEPTH, Json, Message, Role, ToolCall, is_deep
from palaestra.types.openai_form import PROVIDER, UNREADABLE, call_provider, message_provider
from palaestra.types.plain_json import strict_json, strict_text, text_of

MaxTokensField = Literal["max_tokens", "max_completion_tokens"]

_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_media_of = attrgetter("media")
_EXCERPT = 200  # characters of a server's answer shown in an error
_LOOKED_AT = 2**15  # characters that they are taken from: blanks may come first
_LONGEST_SECRET = 2**12


def request_body(
    model: str,
    request: Request,
    *,
    max_tokens_field: MaxTokensField = "max_tokens",
    send_defaults: bool = True,
    send_reasoning: bool | Form = False,
    reasoning_names: Sequence[str] = NAMES[:1],
    return_tokens: bool = False,
    strict_tools: bool = False,
) -> dict[str, Json]:
    """Build the JSON body of `POST /chat/completions`.

    Args:
        model: The server's name of the model.
        request: What to ask.
        max_tokens_field: Name under which the limit on new tokens is sent.
        send_defaults: Send temperature 1 and top_p 1 too. Many servers fill in a model's own defaults for what is missing;
            OpenAI's fills in 1 and refuses the fields for some models.
        send_reasoning: Send the reasoning of earlier turns back: as a field, or in a form.
        reasoning_names: Names of that field.
        return_tokens: Ask for token ids and log-probs (vLLM's `return_token_ids`).
        strict_tools: Offer tools by strict schemas, where theirs have a strict form.

    Returns:
        A plain dict. `sampling.extra` is laid over it last; a None there takes a field out.
    """
    dialogue = unique_call_ids(request.messages)
    messages = [
        message_to_wire(message, send_reasoning=send_reasoning, reasoning_names=reasoning_names) for message in dialogue
    ]
    if any(map(_media_of, dialogue)):
        messages = with_media(dialogue, messages)
    body: dict[str, Json] = {"model": model, "messages": messages}
    if request.tools:
        body["tools"] = [strict_function(tool) for tool in request.tools] if strict_tools else list(request.tools)
    body.update(_sampling_fields(request.sampling, max_tokens_field, send_defaults))
    if (seed := request.seed) is not None:
        body["seed"] = seed
    if return_tokens:
        body.update(logprobs=True, top_logprobs=0, return_token_ids=True)
    for key, value in request.sampling.extra.items():
        if value is None:
            body.pop(key, None)
        else:
            body[key] = value
    return body


def message_to_wire(
    message: Message, *, send_reasoning: bool | Form = False, reasoning_names: Sequence[str] = NAMES[:1]
) -> dict[str, Json]:
    """Return a message as the chat-completions API writes it, its content as text (`request_body` adds what it shows).

    Calls are sent as native ones if each has an id; calls without ids were read from text and go back as text. What a provider
    attached through this API goes back as it came.
    """
    data: dict[str, Json] = {"role": message.role, "content": clean_text(message.content)}
    if message.role == "assistant":
        if message.tool_calls and all(call.id for call in message.tool_calls):
            data["tool_calls"] = [_call_to_wire(call) for call in message.tool_calls]
        elif message.tool_calls or message.error:
            data["content"] = clean_text(message.raw or _calls_as_text(message))
        if send_reasoning is Form.TAGS:
            data["content"] = with_reasoning(data["content"], clean_text(message.reasoning))
        elif send_reasoning is Form.FILLED or (send_reasoning in (True, Form.FIELD) and message.reasoning):
            data.update(dict.fromkeys(reasoning_names, clean_text(message.reasoning) or BLANK))
        if message.provider:
            data.update(message.provider.get(PROVIDER, {}))
    elif message.role == "tool":
        data["tool_call_id"] = message.tool_call_id
        if message.name:
            data["name"] = message.name
    return data


def message_from_wire(data: Mapping[str, Json], *, id_prefix: str = "call", audio_format: str = "") -> Message:
    """Read one message of the chat-completions API.

    Args:
        data: The message as JSON.
        id_prefix: Calls that come without an id, or with the id of another call of the message, are numbered after it.
        audio_format: Format of audio that was asked for.

    Raises:
        ModelError: If the message has not the shape of one.
    """
    role: Role | None = _ROLES.get(text_of(data.get("role") or "assistant"))
    if role is None:
        raise ModelError(f"The server sent a message of role {text_of(data['role'])!r}; expected 'assistant'.", retryable=True)
    reasoning = data.get("reasoning_content") or data.get("reasoning") or _thinking(data.get("content"))
    content = _text(data.get("content")) or _text(data.get("refusal"))
    media: tuple[Media, ...] = ()
    if data.get("audio"):
        content, media = audio_answer(content, data["audio"], audio_format)
    return Message(
        role=role,
        content=content,
        tool_calls=_calls_from_wire(data.get("tool_calls") or _legacy_call(data.get("function_call")), id_prefix),
        tool_call_id=_text(data.get("tool_call_id")),
        name=_text(data.get("name")),
        reasoning=_text(reasoning),
        media=media,
        provider=message_provider(data),
    )


def read_generation(data: Json, request: Request, *, return_tokens: bool = False) -> Generation:
    """Read the JSON that answers a chat completion.

    Args:
        data: The decoded body.
        request: What was asked; a Hermes-tagged answer is read as calls only if tools were offered.
        return_tokens: Insist on token ids and log-probs.

    Raises:
        ModelError: If there is no answer in `data`: an error object, no choices, a wrong shape, or no tokens where
            they were asked for.
    """
    if not isinstance(data, Mapping) and fault_in(data) is None:
        raise ModelError(f"The server answered with JSON that is not an object: {excerpt(data)}", retryable=True)
    try:
        return _read_completion(data, request, return_tokens)
    except ModelError as error:
        error.usage = usage_in(data)
        raise


def _read_completion(data: Mapping[str, Json], request: Request, return_tokens: bool) -> Generation:
    """Read the object that answers a chat completion; see `read_generation`."""
    if (fault := fault_in(data)) is not None:
        if says_too_long(0, json.dumps({"error": fault}, default=str)):
            raise ContextWindowError(f"The server answered with an error: {excerpt(fault)}")
        raise ModelError(f"The server answered with an error: {excerpt(fault)}", retryable=True)
    choices = data.get("choices")
    if not isinstance(choices, Sequence) or isinstance(choices, str) or not choices:
        raise ModelError(f"The server's answer holds no choices: {excerpt(data)}", retryable=True)
    choice = choices[0]
    if not isinstance(choice, Mapping) or not isinstance(choice.get("message"), Mapping):
        raise ModelError(f"The server's first choice holds no message: {excerpt(choice)}", retryable=True)
    prefix = f"call_{len(request.messages)}"
    reason = "content_filter" if is_filtered(data, choice) else _reason_of(choice)
    check_reason(reason, "The server")
    message = message_from_wire(choice["message"], id_prefix=prefix, audio_format=_audio_format(request.sampling))
    message = without_reasoning(message)
    finish_reason = clean_text(reason) or ("tool_calls" if message.tool_calls else "stop")
    if request.tools and not message.tool_calls and "<tool_call>" in message.content:
        message = _with_tagged_calls(message, prefix)
        finish_reason = "tool_calls" if message.tool_calls and finish_reason == "stop" else finish_reason
    return Generation(
        message=message,
        finish_reason=finish_reason,
        usage=usage_of(data.get("usage")),
        tokens=_tokens(data, choice, finish_reason) if return_tokens else None,
    )


def _reason_of(choice: Mapping[str, Json]) -> str:
    """Return why a choice ended: in the gateway's word, or in that of the server behind it where this one says more."""
    reason, native = reason_text(choice.get("finish_reason")), reason_text(choice.get("native_finish_reason"))
    says_little = ending_of(reason) in (Ending.WHOLE, Ending.UNKNOWN, Ending.FAILED)
    says_more = ending_of(native) not in (Ending.WHOLE, Ending.UNKNOWN)
    return native if says_little and says_more else reason


def excerpt(value: object) -> str:
    """Return the beginning of a server's answer, on one line and without secrets, for an error message."""
    if isinstance(value, bytes):
        value = value[: 4 * _LOOKED_AT].decode("utf-8", "replace")
    if isinstance(value, str):
        text = value
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, default=str)
        except RecursionError:
            text = text_of(value)
    shown = masked_message(text[:_LOOKED_AT])  # before it is cut: half a secret would not be found
    if len(text) > _LOOKED_AT:
        shown = shown[:-_LONGEST_SECRET]  # the first half of one may stand there
    text = " ".join(shown.split())
    return text if len(text) <= _EXCERPT else text[:_EXCERPT] + "..."


def clean_text(text: str) -> str:
    """Return `text` with lone surrogates replaced, as UTF-8 cannot carry them."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return text


def _sampling_fields(sampling: Sampling, max_tokens_field: MaxTokensField, send_defaults: bool) -> dict[str, Json]:
    """Return the fields of the body that say how to write."""
    fields: dict[str, Json] = {}
    if send_defaults or sampling.temperature != 1.0:
        fields["temperature"] = sampling.temperature
    if send_defaults or sampling.top_p != 1.0:
        fields["top_p"] = sampling.top_p
    if sampling.max_tokens is not None:
        fields[max_tokens_field] = sampling.max_tokens
    if sampling.stop:
        fields["stop"] = [clean_text(text) for text in sampling.stop]
    return fields


def _call_to_wire(call: ToolCall) -> dict[str, Json]:
    """Return one call; arguments are always the text of a JSON value."""
    arguments = call.arguments
    if not isinstance(arguments, str):
        text = strict_text(dict(arguments), ensure_ascii=False)
    elif isinstance(_parse(arguments), (list, int, float)):
        text = arguments
    else:
        # Several servers parse the arguments of earlier calls and refuse the whole dialogue if they cannot, so that
        # one slip of the model would end the episode: what is no JSON travels as a JSON string.
        text = json.dumps(arguments, ensure_ascii=False)
    name = call.name or UNREADABLE
    function: dict[str, Json] = {"name": name, "arguments": clean_text(text)}
    if not call.provider:
        return {"id": call.id, "type": "function", "function": function}
    own = dict(call.provider.get(PROVIDER, {}))
    function.update(own.pop("function", {}))
    return {"id": call.id, "type": "function", "function": function, **own}


def _calls_from_wire(calls: Json, id_prefix: str) -> tuple[ToolCall, ...]:
    """Read the native calls of a message."""
    if not calls:
        return ()
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise ModelError(f"The server's tool_calls are not a list: {excerpt(calls)}", retryable=True)
    read: list[ToolCall] = []
    seen: set[str] = set()
    for index, call in enumerate(calls):
        function = call.get("function") if isinstance(call, Mapping) else None
        identifier = read_call_id(call.get("id") if isinstance(call, Mapping) else None, seen, f"{id_prefix}_{index}")
        if not isinstance(function, Mapping):
            read.append(read_call(None, call, identifier))
            continue
        own = call_provider(call, function)
        read.append(read_call(function.get("name"), function, identifier, function.get("arguments"), own))
    return tuple(read)


def _legacy_call(function: Json) -> Json:
    """Return a call in the form that older servers write as the list that took its place."""
    return [{"function": function}] if function else None


def read_call(
    name: Json, whole: Json, identifier: str, arguments: Json = None, provider: Mapping[str, Json] | None = None
) -> ToolCall:
    """Return a native call; one without a name is the model's slip, told as advice next to calls that are run.

    Args:
        name: What stands for the name of the tool.
        whole: The call as it came.
        identifier: Its id.
        arguments: Its arguments, an object or the text of one.
        provider: What the provider attached to it.
    """
    if not isinstance(name, str) or not name.strip():
        return ToolCall("", f"(a call without a name) {excerpt(whole)}", identifier)
    return ToolCall(clean_text(name), read_arguments(arguments), identifier, provider or {})


def read_arguments(arguments: Json) -> Mapping[str, Json] | str:
    """Return the arguments of a call as a dict, or as the raw text if they are not a JSON object of at most 64 levels."""
    if is_deep(arguments):
        return f"(nested deeper than {MAX_DEPTH} levels)"
    if isinstance(arguments, Mapping):
        try:
            json.dumps(dict(arguments), allow_nan=False)
        except (TypeError, ValueError):  # infinities, that a server's own reader took
            return json.dumps(dict(arguments), ensure_ascii=False, default=str)
        return dict(arguments)
    if arguments is None or arguments == "":
        return {}
    if not isinstance(arguments, str):
        return json.dumps(arguments, ensure_ascii=False)
    value = _parse(arguments)
    return value if isinstance(value, dict) else arguments


def _parse(text: str) -> Json:
    """Return the JSON value in `text`, or None if there is none, or one nested too deeply."""
    try:
        value = strict_json(text)
    except (ValueError, RecursionError):
        return None
    return None if is_deep(value) else value


def _calls_as_text(message: Message) -> str:
    """Return a message whose calls have no ids in the canonical text form."""
    from palaestra.envs.formats.hermes import format_message

    return format_message(replace(message, reasoning=""))


def _with_tagged_calls(message: Message, prefix: str) -> Message:
    """Read Hermes tags that a server without tool support left in the content."""
    from palaestra.envs.formats.hermes import ensure_call_ids, parse_message

    content = message.content if message.media else escape_tags(message.content)  # what it wrote is text, no medium
    parsed = parse_message(content, lenient=True)
    if not parsed.tool_calls:
        return message
    reasoning = message.reasoning or parsed.reasoning
    read = replace(parsed, reasoning=reasoning, raw=message.content, provider=message.provider)
    return ensure_call_ids(read, prefix)


def _audio_format(sampling: Sampling) -> str:
    """Return the format of audio that a request asks for; empty if it asks for none."""
    audio = sampling.extra.get("audio") if sampling.extra else None
    return str(audio.get("format", "")) if isinstance(audio, Mapping) else ""


def _text(value: Json) -> str:
    """Return a text field: a string, the texts of a list of parts, or nothing."""
    if isinstance(value, list):
        parts = (part.get("text") for part in value if isinstance(part, Mapping) and not _is_thinking(part))
        value = "".join(part for part in parts if isinstance(part, str))
    return clean_text(value) if isinstance(value, str) else ""


def _is_thinking(part: Mapping[str, Json]) -> bool:
    """Whether a part of a content is reasoning, as Mistral's models send it."""
    return part.get("type") in ("thinking", "reasoning", "redacted_thinking")


def _thinking(content: Json) -> str:
    """Return the reasoning among the parts of a content."""
    parts = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    texts = [_text(part.get("thinking") or part.get("text")) for part in parts if _is_thinking(part)]
    return "\n\n".join(text for text in texts if text)


def _tokens(data: Mapping[str, Json], choice: Mapping[str, Json], finish_reason: str) -> Tokens:
    """Read token ids and log-probs as vLLM reports them."""
    prompt = data.get("prompt_token_ids") or choice.get("prompt_token_ids")
    completion = choice.get("token_ids")
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not _is_ids(prompt) or not _is_ids(completion) or not isinstance(content, list):
        raise ModelError(
            "The server reports no token ids and log-probs, which return_tokens=True asks for. Text alone serves for "
            "evaluation, not for policy gradients: use a vLLM server (return_token_ids) or a local model (hf:PATH)."
        )
    log_probs = [_log_prob(item) for item in content]
    if len(log_probs) != len(completion):
        raise ModelError(f"The server sent {len(completion)} token ids but {len(log_probs)} log-probs; expected one each.")
    stop: Literal["eos", "length", "stop_string"] = "eos"
    if is_cut(finish_reason):
        stop = "length"
    elif isinstance(choice.get("stop_reason"), str):  # vLLM: the stop text; None after the end token, an id for others
        stop = "stop_string"
    return Tokens(tuple(prompt), tuple(completion), tuple(log_probs), stop=stop)


def _is_ids(value: Any) -> TypeGuard[list[int]]:
    """Tell whether `value` is a list of token ids."""
    return isinstance(value, list) and all(isinstance(item, int) and item >= 0 for item in value)


def _log_prob(item: Json) -> float:
    """Return one finite log-prob."""
    value = item.get("logprob") if isinstance(item, Mapping) else None
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ModelError(f"The server sent {excerpt(item)} where a finite log-prob was expected.")
    return float(value)
