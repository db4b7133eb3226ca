"""What clients do with answers that are not a success: error bodies to a limit, redirects only within an origin.

A body of an error is shown in a few hundred characters, so that no more than `ERROR_BYTES` of it are read, compressed or not.
A redirect to another origin would carry the prompt and the keys to a server that nobody named, and 301, 302 and 303 turn a
POST into a GET: only 307 and 308 within the origin are followed.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

from palaestra.agents.masking import masked_message
from palaestra.errors import ModelError

ERROR_BYTES = 64 * 2**10
MAX_REDIRECTS = 3
REPEATING = (307, 308)  # the request is sent again as it was

Fail = Callable[[int, Mapping[str, str], bytes], NoReturn]


class BoundedBody:
    """Collects a body, decompressed, up to a limit.

    Args:
        encoding: Header `Content-Encoding`; "gzip", "deflate" and none are read.
        limit: Most bytes that are kept.

    Attributes:
        content: What was collected.
        is_cut: Whether there was more.
        is_readable: Whether the encoding is one that is read.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        """Begin empty."""
        self._encoding = encoding.strip().lower()
        self._limit = limit
        self._decoder: Any = None
        self._pieces: list[bytes] = []
        self._size = 0
        self.is_cut = False
        self.is_readable = self._encoding in ("", "identity", "gzip", "x-gzip", "deflate")

    @property
    def content(self) -> bytes:
        """What was collected, at most `limit` bytes."""
        return b"".join(self._pieces)

    def add(self, piece: bytes) -> bool:
        """Take a piece as it came; return whether there is room for more.

        Raises:
            zlib.error: If it is not compressed as the header says.
        """
        if not self.is_readable:
            return False
        if self._encoding in ("", "identity"):
            self._keep(piece)
        while piece and self._encoding not in ("", "identity") and not self.is_cut:
            if self._decoder is None:
                self._decoder = _decoder(self._encoding, piece)
            self._keep(self._decoder.decompress(piece, self._limit - self._size + 1))
            piece = self._decoder.unconsumed_tail or self._decoder.unused_data
            if self._decoder.eof:  # a further member may follow
                self._decoder = None
        return not self.is_cut

    def _keep(self, data: bytes) -> None:
        """Keep what there is room for."""
        room = self._limit - self._size
        if len(data) > room:
            data, self.is_cut = data[:room], True
        self._pieces.append(data)
        self._size += len(data)


def redirect_within_origin(url: str, status: int, location: str | None) -> str | None:
    """Return where to send a request again, or None if it must not be.

    Args:
        url: Where it was sent.
        status: Status of the answer.
        location: Its header `Location`.
    """
    if status not in REPEATING or not location:
        return None
    target = urljoin(url, location)
    try:
        return target if _origin(target) == _origin(url) else None
    except ValueError:  # a port that is not a number
        return None


def redirect_problem(status: int, location: str | None) -> str:
    """Say for an error message what a redirect that is not followed was."""
    where = f"a redirect to {masked_message(location)[:200]!r}" if location else "a redirect to nowhere"
    why = "to another origin" if status in REPEATING else f"of status {status}"
    return f"{where}. Redirects {why} are not followed; if it is the right server, give its address as the base URL"


def response_hook(fail: Fail, limit: int = ERROR_BYTES) -> Callable[[Any], Awaitable[None]]:
    """Return a response hook for clients on httpx (or httpx2), which otherwise read error bodies whole.

    Args:
        fail: Raises the error that status, headers and body mean.
        limit: Bytes of the body that are read.
    """

    async def check(response: Any) -> None:
        status, headers = response.status_code, response.headers
        if status < 300:
            return
        target = redirect_within_origin(str(response.request.url), status, headers.get("location"))
        # the client reads the body of a redirect that it follows: it has to be short
        if target and (headers.get("content-length") or "").isdecimal() and int(headers["content-length"]) <= limit:
            return
        body = BoundedBody(headers.get("content-encoding", ""), limit)
        try:
            async for piece in response.aiter_raw():
                if not body.add(piece):
                    break
        except zlib.error:
            pass  # what could be read is enough
        await response.aclose()
        fail(status, headers, body.content)

    return check


def body_hook(
    transport: Any, limit: int, too_large: Callable[[int], ModelError], keep: Callable[[bytes], None] | None = None
) -> Callable[[Any], Awaitable[None]]:
    """Return a response hook that reads the body of a good answer to a limit, for SDKs that would read it whole.

    Args:
        transport: `httpx` or `httpx2`.
        limit: Most bytes of the body, decompressed.
        too_large: Makes the error for a larger one.
        keep: Is told the body, for those whose SDK does not hand it out.
    """

    async def read(response: Any) -> None:
        if response.status_code >= 300:
            return
        stream = response.stream
        body = BoundedBody(response.headers.pop("content-encoding", ""), limit)
        try:
            async for piece in stream:
                if not body.add(piece):
                    break
        except zlib.error as error:
            raise ModelError(f"The server's answer cannot be decompressed ({error}).", retryable=True) from None
        finally:
            await stream.aclose()
        if not body.is_readable:
            raise ModelError("The server's answer is in a compression that was not asked for.", retryable=True)
        if body.is_cut:
            raise too_large(limit)
        content = body.content
        if keep is not None:
            keep(content)
        response.stream = transport.ByteStream(content)

    return read


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _decoder(encoding: str, first: bytes) -> Any:
    """Return a decompressor; some servers send "deflate" without the header of zlib."""
    if encoding == "deflate":
        return zlib.decompressobj(15 if first[0] & 0x0F == 8 else -15)
    return zlib.decompressobj(31)


__all__ = [
    "ERROR_BYTES",
    "MAX_REDIRECTS",
    "BoundedBody",
    "body_hook",
    "redirect_problem",
    "redirect_within_origin",
    "response_hook",
]
