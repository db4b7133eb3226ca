"""What the official SDKs of OpenAI and Anthropic have in common, which are built alike.

An SDK brings its provider's own transport, headers and key handling. Its retries are off (`reliable.py` retries once, around
every backend), it follows no redirect to another server, and the answer is read as it was sent, with a bound on its size.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from abc import ABC, abstractmethod
from dataclasses import replace
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar

from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.escapes import request_hook
from palaestra.agents.backends.per_loop import PerLoop
from palaestra.agents.backends.responses import MAX_REDIRECTS, BoundedBody, response_hook
from palaestra.agents.core import Generation, Request
from palaestra.errors import MissingExtraError, ModelError
from palaestra.types import Json

ACCEPTED = "gzip, deflate"
"""Compressions that are read to a limit."""


class SDKBackend(ABC):
    """A model behind the SDK of its provider.

    Attributes:
        name: Shown in reports.
        endpoint: Address, key and limits.
        takes_media: Sounds and pictures are sent as content parts; whether the model takes them, its server says.
    """

    takes_media = True
    package: ClassVar[str]
    """Package of the SDK."""
    extra: ClassVar[str]
    """Extra that brings it."""
    named: ClassVar[frozenset[str]]
    """Fields of the body that the SDK's method takes by name; all others go into `extra_body`."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Nothing is connected yet.

        Raises:
            MissingExtraError: If the SDK is not installed.
        """
        self.name = endpoint.name
        self.endpoint = endpoint
        self._sdk = import_sdk(self.package, self.extra)
        # what breaks while a body is read is raised by the transport, past the SDK
        self._transport: Any = transport_of(self._sdk.DefaultAsyncHttpxClient)
        self._clients: PerLoop[Any] = PerLoop(self._open, _close)

    async def generate(self, request: Request) -> Generation:
        """Ask the server once.

        Raises:
            ModelError: If the server cannot be reached, is too slow, refuses, or answers with something unreadable.
            UsageError: If the request cannot be put to this server.
        """
        return await self._ask(request, self._body(request))

    async def _ask(self, request: Request, body: dict[str, Json]) -> Generation:
        """Post a body and read the answer."""
        endpoint = self.endpoint
        method = self._method(await self._clients.get())  # the SDK imports what it needs now, outside of the time limit
        started = time.perf_counter()
        try:
            async with asyncio.timeout(endpoint.timeout_s):
                answer = await self._post(method, body)
        except (self._sdk.APIConnectionError, self._transport.RequestError, self._transport.InvalidURL) as error:
            if isinstance(error.__cause__, ModelError):  # the hook's
                raise error.__cause__ from None
            cause = error.__cause__ or error
            raise connection_fault(self._transport, endpoint, cause) from error
        except TimeoutError:
            raise endpoint.timed_out("answer in full", endpoint.timeout_s) from None
        generation = self._read(answer, request)
        return replace(generation, usage=replace(generation.usage, model_s=time.perf_counter() - started))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._clients.aclose()

    @abstractmethod
    def _body(self, request: Request) -> dict[str, Json]:
        """Return the JSON body to post."""

    @abstractmethod
    def _read(self, body: bytes, request: Request) -> Generation:
        """Read the body of a good answer."""

    @abstractmethod
    def _method(self, client: Any) -> Any:
        """Return the method of the SDK's client that posts and hands the body of the answer out unread."""

    @abstractmethod
    def _client(self, **common: Any) -> Any:
        """Make the SDK's client from the arguments that all of them take."""

    async def _post(self, method: Any, body: dict[str, Json]) -> bytes:
        """Post the body and read the answer."""
        named: dict[str, Any] = {key: body.pop(key) for key in self.named if key in body}
        limit = self.endpoint.max_response_bytes
        async with method(**named, extra_body=body or None) as response:
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

    def _open(self) -> Any:
        """Make a client on the running loop."""
        endpoint = self.endpoint
        return self._client(
            max_retries=0,
            default_headers={"Accept-Encoding": ACCEPTED, **endpoint.headers},
            default_query=endpoint.query_values,
            http_client=self._sdk.DefaultAsyncHttpxClient(**http_client_arguments(self._transport, endpoint)),
        )


def http_client_arguments(transport: Any, endpoint: Endpoint) -> dict[str, Any]:
    """Return the arguments of an httpx client that keeps to an endpoint's limits.

    It follows no redirect to another server, and raises what an error status means.

    Args:
        transport: `httpx` or `httpx2`.
        endpoint: Where the limits stand.
    """
    read_s = endpoint.read_timeout_s or endpoint.timeout_s
    return {
        "timeout": transport.Timeout(endpoint.timeout_s, connect=endpoint.connect_timeout_s, read=read_s),
        "limits": transport.Limits(max_connections=endpoint.max_connections, max_keepalive_connections=None),
        "max_redirects": MAX_REDIRECTS,
        "event_hooks": {"request": [request_hook(transport)], "response": [response_hook(endpoint.fail)]},
    }


def transport_of(client_class: type[Any]) -> Any:
    """Return the package that an SDK's HTTP client comes from: `httpx2`, or `httpx` in older releases."""
    bases = (base.__module__.partition(".")[0] for base in client_class.__mro__)
    return import_module(next(name for name in bases if name.startswith("httpx")))


def connection_fault(transport: Any, endpoint: Endpoint, error: BaseException) -> ModelError:
    """Return the error for a connection that failed, broke off or fell silent.

    Args:
        transport: `httpx` or `httpx2`.
        endpoint: Who was asked.
        error: What the transport raised.
    """
    if isinstance(error, transport.ConnectTimeout):
        return endpoint.timed_out("accept a connection", endpoint.connect_timeout_s)
    if isinstance(error, transport.TimeoutException):
        return endpoint.timed_out("send anything", endpoint.read_timeout_s or endpoint.timeout_s)
    return endpoint.unreachable(error)


def import_sdk(package: str, extra: str) -> ModuleType:
    """Import an SDK when it is first needed.

    Args:
        package: Dotted name.
        extra: Extra that brings it.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        return import_module(package)
    except ImportError:
        raise MissingExtraError(f"The {package} client", extra) from None


async def _close(client: Any) -> None:
    """Close a client's connections."""
    await client.close()


__all__ = ["ACCEPTED", "SDKBackend", "connection_fault", "http_client_arguments", "import_sdk", "transport_of"]
