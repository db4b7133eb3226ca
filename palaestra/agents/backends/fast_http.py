"""Chat completions over aiohttp: the lean client for volume.

The `openai` SDK spends milliseconds of CPU on a call, which at hundreds of requests in flight is the limit of a whole
run. This client posts the same JSON to the same endpoints and reads the same answers (`wire.py`) with little more than
what the HTTP library itself needs. It never retries: `reliable.py` does that once, around every backend.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.per_loop import PerLoop
from palaestra.agents.backends.reasoning_back import Form, ReasoningBack
from palaestra.agents.backends.responses import ERROR_BYTES, MAX_REDIRECTS, redirect_within_origin
from palaestra.agents.core import Generation, Request
from palaestra.errors import MissingExtraError
from palaestra.types import Message
from palaestra.types.plain_json import strict_text

if TYPE_CHECKING:
    import aiohttp


class FastHTTPBackend:
    """An OpenAI-compatible endpoint behind aiohttp.

    Attributes:
        name: Shown in reports.
        endpoint: Address, key and limits.
        takes_media: Sounds and pictures are sent as content parts; whether the model takes them, its server says.
    """

    takes_media = True

    def __init__(self, endpoint: Endpoint) -> None:
        """Nothing is connected yet.

        Raises:
            MissingExtraError: If aiohttp is not installed.
        """
        try:
            import aiohttp
        except ImportError:
            raise MissingExtraError("The aiohttp client", "llm") from None
        self.name = endpoint.name
        self.endpoint = endpoint
        self._http = aiohttp
        self._encode = _encoder()
        self._url = endpoint.address(endpoint.url)
        self._headers = {"Content-Type": "application/json", "Accept": "application/json", **endpoint.headers}
        if endpoint.api_key:
            self._headers["Authorization"] = f"Bearer {endpoint.api_key}"
        self._timeout = aiohttp.ClientTimeout(
            total=endpoint.timeout_s, sock_connect=endpoint.connect_timeout_s, sock_read=endpoint.read_timeout_s
        )
        self._reasoning = ReasoningBack(endpoint.send_reasoning, endpoint.model, endpoint.base_url)
        self._sessions: PerLoop[aiohttp.ClientSession] = PerLoop(self._open, _close)

    async def generate(self, request: Request) -> Generation:
        """Post one request; once more where the server asks for the reasoning of earlier turns, or refuses it.

        Raises:
            ModelError: If the server cannot be reached, is too slow, refuses, or answers with no chat completion.
        """
        return await self._reasoning.ask(request, lambda form: self._ask(request, form))

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Estimate the tokens of a dialogue, with the reasoning that goes back."""
        return self._reasoning.count_tokens(messages)

    async def _ask(self, request: Request, reasoning: Form) -> Generation:
        """Post one request, with reasoning in a form."""
        started = time.perf_counter()
        endpoint = self.endpoint
        data = endpoint.decode(await self.post(self._url, endpoint.body(request, reasoning, self._reasoning.names)))
        self._reasoning.note(data)
        generation = endpoint.read_data(data, request)
        return replace(generation, usage=replace(generation.usage, model_s=time.perf_counter() - started))

    async def post(self, url: str, data: Any, headers: Mapping[str, str] | None = None) -> bytes:
        """Post JSON and return the body of the answer; without data, get it.

        Args:
            url: Where.
            data: Plain JSON data, or None to get.
            headers: Further headers.

        Raises:
            ModelError: If the server cannot be reached, is too slow, or refuses.
        """
        endpoint = self.endpoint
        session = await self._sessions.get()
        method, payload = ("GET", None) if data is None else ("POST", self._encode(data))
        try:
            for _ in range(MAX_REDIRECTS + 1):
                async with session.request(method, url, data=payload, headers=headers, allow_redirects=False) as response:
                    if response.status == 200:
                        return await self._read(response)
                    location = response.headers.get("Location")
                    target = redirect_within_origin(str(response.url), response.status, location)
                    if target is None:
                        endpoint.fail(response.status, response.headers, await _read_error(response))
                    url = target
        except self._http.ConnectionTimeoutError:
            raise endpoint.timed_out("accept a connection", endpoint.connect_timeout_s) from None
        except self._http.SocketTimeoutError:
            raise endpoint.timed_out("send anything", endpoint.read_timeout_s) from None
        except TimeoutError:
            raise endpoint.timed_out("answer in full", endpoint.timeout_s) from None
        except (self._http.ClientError, OSError) as error:
            raise endpoint.unreachable(error) from error
        raise endpoint.unreachable(ConnectionError(f"more than {MAX_REDIRECTS} redirects"))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._sessions.aclose()

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Read a body, decompressed, up to the limit."""
        limit = self.endpoint.max_response_bytes
        body = await response.content.readany()
        if response.content.at_eof() and len(body) <= limit:
            return body
        pieces, size = [body], len(body)
        while size <= limit:
            if not (piece := await response.content.readany()):
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
        response.close()  # the rest of the body would have to be read before the connection could serve again
        raise self.endpoint.too_large(size)

    def _open(self) -> aiohttp.ClientSession:
        """Make a session on the running loop."""
        connector = self._http.TCPConnector(limit=self.endpoint.max_connections, ttl_dns_cache=300, keepalive_timeout=30.0)
        return self._http.ClientSession(
            connector=connector, headers=self._headers, timeout=self._timeout, cookie_jar=self._http.DummyCookieJar()
        )


def _encoder() -> Callable[[Any], bytes]:
    """Return what turns a body into JSON bytes: orjson where it is installed anyway, else the standard library."""
    try:
        encode: Callable[[Any], bytes] = import_module("orjson").dumps
    except ImportError:
        return lambda body: strict_text(body, ensure_ascii=False, separators=(",", ":")).encode()
    return encode


async def _read_error(response: aiohttp.ClientResponse) -> bytes:
    """Read as much of an error's body as is worth showing; the rest is never read."""
    pieces, size = [], 0
    while size < ERROR_BYTES and (piece := await response.content.readany()):
        pieces.append(piece[: ERROR_BYTES - size])
        size += len(piece)
    if size >= ERROR_BYTES:
        response.close()
    return b"".join(pieces)


async def _close(session: aiohttp.ClientSession) -> None:
    """Close a session and let its sockets go."""
    await session.close()
    await asyncio.sleep(0)  # the transports finish closing in the loop's next round
