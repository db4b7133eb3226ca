"""One answer as every API writes it: texts, calls, a reason and what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from palaestra.agents.backends.registry import make_backend
from palaestra.agents.backends.reliable import Reliable, RetryPolicy
from tests.agents.backends.provider_server import ProviderServer

KEY = "k" * 8
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "openai": ("chat", "{url}/v1#stub", {"client": "openai"}),
    "aiohttp": ("chat", "{url}/v1#stub", {"client": "aiohttp"}),
    "litellm": ("chat", "litellm:openai/stub", {"api_key": KEY, "base_url": "{url}/v1"}),
    "mistral": ("chat", "litellm:mistral/stub", {"api_key": KEY, "base_url": "{url}/v1"}),
    "azure": ("chat", "azure:stub", {"api_key": KEY, "base_url": "{url}"}),
    "anthropic": ("anthropic", "anthropic:stub", {"api_key": KEY, "base_url": "{url}"}),
    "google": ("google", "google:stub", {"api_key": KEY, "base_url": "{url}"}),
    "responses": ("responses", "openai-responses:stub", {"api_key": KEY, "base_url": "{url}/v1"}),
}
CHATS = [kind for kind, (api, *_) in MODELS.items() if api == "chat"]
MISSING = object()
"""Stands for a field that is left out."""


@dataclass(frozen=True)
class Call:
    """A call; its name is anything at all."""

    name: Any = "search_notes"
    arguments: Mapping[str, Any] = field(default_factory=lambda: {"query": "Glass"})
    id: str = ""


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        text: Its text.
        calls: Its calls.
        reason: Why it ended, in the API's own words; what is usual by default.
        prompt: Tokens read, in any spelling; likewise those written.
    """

    text: str = ""
    calls: Sequence[Call] = ()
    reason: Any = None
    prompt: Any = 7
    completion: Any = 3

    def by(self, api: str) -> Any:
        """Return the answer as an API writes it."""
        return {"chat": self.chat, "anthropic": self.anthropic, "google": self.google, "responses": self.responses}[api]()

    def chat(self) -> Any:
        calls = [
            {"id": call.id or f"call_{i}", "type": "function", "function": named(call, arguments=json.dumps(call.arguments))}
            for i, call in enumerate(self.calls)
        ]
        message = {"role": "assistant", "content": self.text or None, **({"tool_calls": calls} if calls else {})}
        reason = self.reason or ("tool_calls" if calls else "stop")
        usage = {"prompt_tokens": self.prompt, "completion_tokens": self.completion, "total_tokens": 10}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return {"id": "c", "object": "chat.completion", "created": 1, "model": "stub", "choices": [choice], "usage": usage}

    def anthropic(self) -> Any:
        content: list[Any] = [{"type": "text", "text": self.text}] if self.text else []
        content += [
            {"type": "tool_use", "id": call.id or f"toolu_{i}", **named(call, input=dict(call.arguments))}
            for i, call in enumerate(self.calls)
        ]
        return {
            "id": "msg", "type": "message", "role": "assistant", "model": "stub", "content": content, "stop_sequence": None,
            "stop_reason": self.reason or ("tool_use" if self.calls else "end_turn"),
            "usage": {"input_tokens": self.prompt, "output_tokens": self.completion},
        }  # fmt: skip

    def google(self) -> Any:
        parts: list[Any] = [{"text": self.text}] if self.text else []
        parts += [{"functionCall": named(call, args=dict(call.arguments))} for call in self.calls]
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": self.reason or "STOP", "index": 0}
        usage = {"promptTokenCount": self.prompt, "candidatesTokenCount": self.completion}
        return {"candidates": [candidate], "usageMetadata": usage}

    def responses(self) -> Any:
        content = [{"type": "output_text", "text": self.text, "annotations": []}]
        output: list[Any] = [{"type": "message", "id": "msg", "role": "assistant", "content": content}] if self.text else []
        output += [
            {"type": "function_call", "id": f"fc_{i}", "call_id": call.id or f"call_{i}"}
            | named(call, arguments=json.dumps(call.arguments))
            for i, call in enumerate(self.calls)
        ]
        usage = {"input_tokens": self.prompt, "output_tokens": self.completion}
        return {"id": "r", "object": "response", "status": self.reason or "completed", "output": output, "usage": usage}


def named(call: Call, **rest: Any) -> dict[str, Any]:
    """Return the fields of a call with its name, where it has one."""
    return rest if call.name is MISSING else {"name": call.name, **rest}


def backend_at(server: ProviderServer, kind: str, *, retries: int = 0, **options: Any) -> Reliable:
    """Make a backend of one kind that asks a server and waits hardly at all between attempts."""
    _, model, fixed = MODELS[kind]
    given = {key: value.format(url=server.url) for key, value in fixed.items()}
    backend = make_backend(model.format(url=server.url), max_retries=retries, **given, **options)
    backend.policy = RetryPolicy(retries=retries, first_wait_s=0.001)
    return backend
