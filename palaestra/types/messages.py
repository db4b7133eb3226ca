"""One message of a dialogue, its tool calls, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from palaestra.errors import UsageError
from palaestra.media.items import MARK, Media, read_tags
from palaestra.types.openai_form import from_openai, to_openai
from palaestra.types.plain_json import Json

Role = Literal["system", "user", "assistant", "tool"]
ToolStatus = Literal["ok", "unknown_tool", "invalid_arguments", "error", "timeout", "crash", "blocked"]
"""What came of a call: "error" is the tool's own refusal; runners of code add "timeout", "crash" and "blocked" (by rules)."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool by an agent.

    Attributes:
        name: Name of the tool.
        arguments: The parsed JSON object, or the raw text if it did not parse as one.
        id: Identifier that the result refers to; empty where the format has none.
        provider: What a provider attached to the call for its own use, as JSON; see `Message.provider`.
    """

    name: str
    arguments: Mapping[str, Json] | str = field(default_factory=dict)
    id: str = ""
    provider: Mapping[str, Json] = field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; `provider` is left out where there is nothing."""
        arguments = self.arguments if isinstance(self.arguments, str) else dict(self.arguments)
        data: dict[str, Json] = {"id": self.id, "name": self.name, "arguments": arguments}
        return {**data, "provider": dict(self.provider)} if self.provider else data

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> ToolCall:
        """Rebuild from `to_json()`."""
        return cls(data["name"], data.get("arguments", {}), data.get("id", ""), data.get("provider", {}))


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What one tool call gave.

    Attributes:
        name: Name of the tool that was called.
        content: Text for the agent; JSON for structured results.
        status: "ok", or why the call did nothing.
        call_id: `ToolCall.id` of the call.
    """

    name: str
    content: str
    status: ToolStatus = "ok"
    call_id: str = ""

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        return {"call_id": self.call_id, "name": self.name, "status": self.status, "content": self.content}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> ToolResult:
        """Rebuild from `to_json()`."""
        return cls(data["name"], data["content"], data.get("status", "ok"), data.get("call_id", ""))


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a dialogue.

    Attributes:
        role: Who speaks.
        content: Text; empty if the message is only tool calls.
        tool_calls: Calls made by an assistant message, in order.
        tool_call_id: For role "tool": the call that is answered.
        name: For role "tool": the tool's name.
        reasoning: Thinking that the model reported apart from the content.
        raw: What the model wrote verbatim, where `content` and `tool_calls` are only the action read from it.
        error: Why no action could be read from `raw`; an environment answers with this text and changes nothing.
        media: Sounds and pictures that the tags in `content` name, each once, in order (`palaestra.media`).
        provider: What a provider attached for its own use (signatures of thoughts, encrypted reasoning), as JSON by the name
            of the API it came through: "chat" for OpenAI-compatible chat completions, "anthropic", "google", "responses", ...
            It goes back untouched with the message, to backends of that API only, and means nothing to anybody else.
        finish_reason: Why a model's answer ended, where it did not end as it should: "length" (cut off by a limit; then
            `error` says so and nothing is run), "empty" (it holds nothing), or a server's word that is not known (it is
            played); empty for every other message.
    """

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""
    reasoning: str = ""
    raw: str = ""
    error: str = ""
    media: tuple[Media, ...] = ()
    provider: Mapping[str, Json] = field(default_factory=dict, hash=False)
    finish_reason: str = ""

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict without empty optional fields."""
        data: dict[str, Json] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            data["tool_calls"] = [call.to_json() for call in self.tool_calls]
        for key in ("tool_call_id", "name", "reasoning", "raw", "error"):
            if value := getattr(self, key):
                data[key] = value
        if self.media:
            data["media"] = [media.to_json() for media in self.media]
        if self.provider:
            data["provider"] = dict(self.provider)
        if self.finish_reason:
            data["finish_reason"] = self.finish_reason
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Message:
        """Rebuild from `to_json()`."""
        return cls(
            role=data["role"],
            content=data.get("content") or "",
            tool_calls=tuple(ToolCall.from_json(call) for call in data.get("tool_calls", ())),
            tool_call_id=data.get("tool_call_id", ""),
            name=data.get("name", ""),
            reasoning=data.get("reasoning", ""),
            raw=data.get("raw", ""),
            error=data.get("error", ""),
            media=tuple(Media.from_json(media) for media in data.get("media", ())),
            provider=data.get("provider", {}),
            finish_reason=data.get("finish_reason", ""),
        )

    @classmethod
    def from_openai(cls, message: object) -> Message:
        """Return the message that one of OpenAI's chat completions stands for.

        Args:
            message: A dict, or an object with `model_dump()`, such as `completion.choices[0].message` of the `openai` SDK.
                Content parts, calls and reasoning are read; what a provider attached is kept in `provider`.

        Raises:
            UsageError: If it has not the shape of one.
        """
        return cls.from_json(from_openai(message))

    def to_openai(self) -> dict[str, Json]:
        """Return a message of OpenAI's chat completions, as `messages=` takes it.

        Raises:
            UnsupportedMediaError: If a user shows a sound that is neither WAV nor MP3.
        """
        return to_openai(self.to_json(), self.media)

    @classmethod
    def of_text(cls, role: Role, text: str, **fields: Any) -> Message:
        """Return the message that a text form stands for: what tags in it name are its media."""
        if MARK not in text:
            return cls(role, text, **fields)
        content, media = read_tags(text)
        return cls(role, content, media=media, **fields)

    def with_content(self, content: str) -> Message:
        """Return a copy with content made from this one's; its media are those still named."""
        content, media = read_tags(content) if self.media else (content, ())
        return replace(self, content=content, media=media)


def known_status(status: ToolStatus) -> ToolStatus:
    """Return a status, or refuse one that no consumer knows.

    Raises:
        UsageError: If it is not one of `ToolStatus`.
    """
    if status not in get_args(ToolStatus):
        raise UsageError(f"The status of a tool call is {status!r}; expected one of {', '.join(get_args(ToolStatus))}.")
    return status


def result_messages(calls: Sequence[ToolCall], results: Sequence[ToolResult], observation: str) -> list[Message]:
    """Answer native tool calls with one "tool" message each, or fall back to one "user" message."""
    if not calls or len(results) != len(calls) or not all(call.id for call in calls):
        return [Message("user", observation) if MARK not in observation else Message.of_text("user", observation)]
    return [
        Message.of_text("tool", result.content, tool_call_id=call.id, name=call.name)
        for call, result in zip(calls, results, strict=True)
    ]
