"""Chat completions through the official `openai` SDK: the client for fidelity.

The SDK brings OpenAI's own transport, headers and key handling. Its retries are off (`reliable.py` retries once, around
every backend), and the answer is read as it was sent, with a bound on its size, by the code that all clients share.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.per_loop import PerLoop
from palaestra.agents.backends.responses import MAX_REDIRECTS, BoundedBody, response_hook
from palaestra.agents.core import Generation, Request
from palaestra.errors import MissingExtraError, ModelError
from palaestra.types import Json

if TYPE_CHECKING:
    import openai

# Fields that the SDK's method takes by name; all others go into `extra_body`.
_NAMED = ("model", "messages", "tools", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed")


class OpenAIBackend:
    """An OpenAI-compatible endpoint behind the official SDK.

    Attributes:
        name: Shown in reports.
        endpoint: Address, key and limits.
        takes_media: Sounds and pictures are sent as content parts; whether the model takes them, its server says.
    """

    takes_media = True

    def __init__(self, endpoint: Endpoint) -> None:
        """Nothing is connected yet.

        Raises:
            MissingExtraError: If the SDK is not installed.
        """
        try:
            import openai
        except ImportError:
            raise MissingExtraError("The openai client", "llm") from None
        self.name = endpoint.name
        self.endpoint = endpoint
        self._sdk = openai
        # httpx2, or httpx in older releases: what breaks while a body is read is raised by it, past the SDK
        bases = (base.__module__.partition(".")[0] for base in openai.DefaultAsyncHttpxClient.__mro__)
        self._transport: Any = import_module(next(name for name in bases if name.startswith("httpx")))
        self._clients: PerLoop[openai.AsyncOpenAI] = PerLoop(self._open, _close)

    async def generate(self, request: Request) -> Generation:
        """Ask the server once.

        Raises:
            ModelError: If the server cannot be reached, is too slow, refuses, or answers with no chat completion.
        """
        endpoint = self.endpoint
        body = endpoint.body(request)
        client = await self._clients.get()
        started = time.perf_counter()
        try:
            async with asyncio.timeout(endpoint.timeout_s):
                answer = await self._post(client, body)
        except (self._sdk.APIConnectionError, self._transport.RequestError, self._transport.InvalidURL) as error:
            if isinstance(error.__cause__, ModelError):  # the hook's
                raise error.__cause__ from None
            raise self._connection_fault(error.__cause__ or error) from error
        except TimeoutError:
            raise endpoint.timed_out("answer in full", endpoint.timeout_s) from None
        generation = endpoint.read(answer, request)
        return replace(generation, usage=replace(generation.usage, model_s=time.perf_counter() - started))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._clients.aclose()

    async def _post(self, client: openai.AsyncOpenAI, body: dict[str, Json]) -> bytes:
        """Post the body and read the answer up to the limit."""
        limit = self.endpoint.max_response_bytes
        named: dict[str, Any] = {key: body.pop(key) for key in _NAMED if key in body}
        async with client.chat.completions.with_streaming_response.create(**named, extra_body=body or None) as response:
            answer = BoundedBody(response.headers.get("content-encoding", ""), limit)
            try:
                async for piece in response.http_response.aiter_raw():
                    if not answer.add(piece):
                        break
            except zlib.error as error:
                raise self.endpoint.unreachable(error) from None
        if not answer.is_readable:
            raise self.endpoint.unreachable(ConnectionError("an answer in a compression that was not asked for"))
        if answer.is_cut:
            raise self.endpoint.too_large(limit)
        return answer.content

    def _connection_fault(self, error: BaseException) -> ModelError:
        """Return the error for a connection that failed, broke off or fell silent."""
        endpoint = self.endpoint
        if isinstance(error, self._transport.ConnectTimeout):
            return endpoint.timed_out("accept a connection", endpoint.connect_timeout_s)
        if isinstance(error, self._transport.TimeoutException):
            return endpoint.timed_out("send anything", endpoint.read_timeout_s or endpoint.timeout_s)
        return endpoint.unreachable(error)

    def _open(self) -> openai.AsyncOpenAI:
        """Make a client on the running loop."""
        endpoint = self.endpoint
        timeout = self._sdk.Timeout(
            endpoint.timeout_s, connect=endpoint.connect_timeout_s, read=endpoint.read_timeout_s or endpoint.timeout_s
        )
        limits = self._transport.Limits(max_connections=endpoint.max_connections, max_keepalive_connections=None)
        # the SDK insists on a key; servers without keys ignore it
        return self._sdk.AsyncOpenAI(
            api_key=endpoint.api_key or "none",
            base_url=endpoint.base_url,
            max_retries=0,
            default_headers={"Accept-Encoding": "gzip, deflate", **endpoint.headers},
            default_query=endpoint.query_values,
            http_client=self._sdk.DefaultAsyncHttpxClient(
                timeout=timeout,
                limits=limits,
                max_redirects=MAX_REDIRECTS,
                event_hooks={"response": [response_hook(endpoint.fail)]},
            ),
        )


async def _close(client: openai.AsyncOpenAI) -> None:
    """Close a client's connections."""
    await client.close()
