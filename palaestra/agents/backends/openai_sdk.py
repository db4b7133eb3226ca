"""Chat completions through the official `openai` SDK: the client for fidelity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.reasoning_back import Form, ReasoningBack
from palaestra.agents.backends.sdk import SDKBackend
from palaestra.agents.core import Generation, Request
from palaestra.types import Json, Message
from palaestra.types.plain_json import finite


class OpenAIBackend(SDKBackend):
    """An OpenAI-compatible endpoint behind the official SDK."""

    package = "openai"
    extra = "llm"
    named: ClassVar[frozenset[str]] = frozenset(
        ("model", "messages", "tools", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed")
    )

    def __init__(self, endpoint: Endpoint) -> None:
        """Nothing is connected yet."""
        super().__init__(endpoint)
        self._reasoning = ReasoningBack(endpoint.send_reasoning, endpoint.model, endpoint.base_url)

    async def generate(self, request: Request) -> Generation:
        """Ask the server; once more where it asks for the reasoning of earlier turns, or refuses it.

        Raises:
            ModelError: As `SDKBackend.generate` does.
            UsageError: Likewise.
        """
        return await self._reasoning.ask(request, lambda form: self._ask(request, self._body(request, form)))

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Estimate the tokens of a dialogue, with the reasoning that goes back."""
        return self._reasoning.count_tokens(messages)

    def _body(self, request: Request, reasoning: Form = Form.NONE) -> dict[str, Json]:
        """Return the JSON of a chat completion."""
        body: dict[str, Json] = finite(
            self.endpoint.body(request, reasoning, self._reasoning.names)
        )  # the SDK's transport fails on numbers that JSON has not
        return body

    def _read(self, body: bytes, request: Request) -> Generation:
        """Read a chat completion."""
        data = self.endpoint.decode(body)
        self._reasoning.note(data)
        return self.endpoint.read_data(data, request)

    def _method(self, client: Any) -> Any:
        """Return the method for chat completions."""
        return client.chat.completions.with_streaming_response.create

    def _client(self, **common: Any) -> Any:
        """Make a client of any server; the SDK insists on a key, and servers without keys ignore it."""
        return self._sdk.AsyncOpenAI(api_key=self.endpoint.api_key or "none", base_url=self.endpoint.base_url, **common)


__all__ = ["OpenAIBackend"]
