"""An OpenAI-compatible server on loopback that fails on purpose.

It speaks HTTP over bare sockets, so that it can do what a web framework would prevent: cut a body off, drip it, fall
silent. `plan` holds what the next requests meet, in order; when it is empty, `default` holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import threading
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

Fault = Callable[["FaultServer", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Received:
    """One request as it came in."""

    body: dict[str, Any]
    headers: dict[str, str]
    at: float
    target: str = ""


@dataclass
class FaultServer:
    """What the server does and what it saw.

    Attributes:
        base_url: Up to and including /v1.
        plan: Names of `FAULTS` for the coming requests.
        default: Name for all later ones.
        answer: JSON of a good answer, or a function from the request body to it.
        retry_after: Header sent with 429 and 503.
        received: Requests so far.
        location: Where redirects point.
        sent: Bytes sent of endless bodies.
    """

    base_url: str = ""
    plan: deque[str] = field(default_factory=deque)
    default: str = "ok"
    answer: Any = None
    retry_after: str | None = "0.05"
    received: list[Received] = field(default_factory=list)
    location: str = "/v1/chat/completions"
    sent: int = 0

    @property
    def model_string(self) -> str:
        return f"{self.base_url}#stub"

    def completion(self, body: Mapping[str, Any]) -> bytes:
        """Return the body of a good answer."""
        answer = self.answer(body) if callable(self.answer) else self.answer
        return json.dumps(answer or chat_completion("look around")).encode()


def chat_completion(content: str | None, *, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """Return a chat completion as OpenAI's API reference shows it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "stub",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish_reason}
        ],
        "usage": {
            "prompt_tokens": 20,
            "completion_tokens": 5,
            "total_tokens": 25,
            "prompt_tokens_details": {"cached_tokens": 8},
        },
    }


_SAID = "look around"
_USED = {"input_tokens": 20, "output_tokens": 5}
_RESPONSE = {
    "status": "completed",
    "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": _SAID}]}],
    "usage": _USED,
}
PROVIDERS: dict[str, Any] = {
    "openai-responses:stub": _RESPONSE,
    "azure:stub": None,
    "azure-responses:stub": _RESPONSE,
    "anthropic:stub": {"content": [{"type": "text", "text": _SAID}], "stop_reason": "end_turn", "usage": _USED},
    "google:stub": {"candidates": [{"content": {"parts": [{"text": _SAID}]}, "finishReason": "STOP"}]},
    "litellm:openai/stub": None,
    "litellm:mistral/stub": None,
}
"""Models of providers with a client of their own, and the JSON of a good answer; None for a chat completion."""


def head(status: int, length: int | None, *headers: str, kind: str = "application/json") -> bytes:
    """Return status line and headers."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answers(status: int, body: bytes, kind: str = "application/json", wait: bool = False) -> Fault:
    """Answer with a fixed status and body, with `Retry-After` if `wait`."""

    async def send(server: FaultServer, writer: asyncio.StreamWriter) -> None:
        headers = [f"Retry-After: {server.retry_after}"] if wait and server.retry_after is not None else []
        writer.write(head(status, len(body), *headers, kind=kind) + body)

    return send


async def _hang(server: FaultServer, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def _drip(server: FaultServer, writer: asyncio.StreamWriter) -> None:
    body = server.completion({})
    writer.write(head(200, len(body)))
    for byte in body:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


async def _cut(server: FaultServer, writer: asyncio.StreamWriter) -> None:
    body = server.completion({})
    writer.write(head(200, len(body)) + body[: len(body) // 2])
    await writer.drain()
    writer.close()


async def _cut_chunk(server: FaultServer, writer: asyncio.StreamWriter) -> None:
    writer.write(head(200, None, "Transfer-Encoding: chunked") + b'80\r\n{"choices": [')
    await writer.drain()
    writer.close()


async def _drop(server: FaultServer, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _no_http(server: FaultServer, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP ready\r\n\r\n")
    await writer.drain()
    writer.close()


async def _huge(server: FaultServer, writer: asyncio.StreamWriter) -> None:
    writer.write(head(200, None, "Transfer-Encoding: chunked"))
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    for _ in range(1600):  # 100 MiB, unless the client hangs up
        writer.write(piece)
        await writer.drain()
    writer.write(b"0\r\n\r\n")


_PACKED = gzip.compress(bytes(4 * 2**20))


def _bomb(status: int) -> Fault:
    """Send some kilobytes that unpack to 256 MiB."""

    async def send(server: FaultServer, writer: asyncio.StreamWriter) -> None:
        body = _PACKED * 64
        writer.write(head(status, len(body), "Content-Encoding: gzip") + body)

    return send


def _encoded(name: str, body: bytes) -> Fault:
    """Send a body under a name of a compression."""

    async def send(server: FaultServer, writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, len(body), f"Content-Encoding: {name}") + body)

    return send


def _stream(ends: bytes) -> Fault:
    """Stream an answer in events that nobody asked for, as some proxies do, and end in the middle."""

    async def send(server: FaultServer, writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, None, "Transfer-Encoding: chunked", kind="text/event-stream"))
        for word in ("look", " around"):
            event = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": word}}]}).encode() + b"\n\n"
            writer.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            await writer.drain()
        writer.write(ends)
        await writer.drain()
        if not ends.endswith(b"0\r\n\r\n"):
            writer.close()

    return send


async def _endless(server: FaultServer, writer: asyncio.StreamWriter) -> None:
    writer.write(head(500, None, "Transfer-Encoding: chunked"))
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    while not writer.is_closing():  # until the client hangs up
        writer.write(piece)
        await writer.drain()
        server.sent += len(piece)


def _redirect(status: int, *headers: str) -> Fault:
    async def send(server: FaultServer, writer: asyncio.StreamWriter) -> None:
        writer.write(head(status, 0, f"Location: {server.location}", *headers))

    return send


async def _date(server: FaultServer, writer: asyncio.StreamWriter) -> None:
    when = formatdate(time.time() + 1.0, usegmt=True)  # whole seconds: 0 to 1 s from now
    writer.write(head(429, 2, f"Retry-After: {when}") + b"{}")


def _error(message: str, code: str = "error") -> bytes:
    return json.dumps({"error": {"message": message, "type": code, "code": code}}).encode()


FAULTS: dict[str, Fault] = {
    "400": answers(400, _error("bad field", "invalid_request_error")),
    "401": answers(401, _error("wrong key", "invalid_api_key")),
    "404": answers(404, _error("no such model", "model_not_found")),
    "429": answers(429, _error("slow down", "rate_limit_exceeded"), wait=True),
    "429 date": _date,
    "429 spent": answers(429, _error("no credit left", "insufficient_quota")),
    "500": answers(500, _error("oops")),
    "500 text": answers(500, b"Internal Server Error", "text/plain"),
    "503": answers(503, _error("loading"), wait=True),
    "hang": _hang,
    "drip": _drip,
    "drop": _drop,
    "no http": _no_http,
    "cut body": _cut,
    "cut chunk": _cut_chunk,
    "huge": _huge,
    "truncated json": answers(200, b'{"choices": [{"message": {"content": "lo'),
    "not utf-8": answers(200, b'{"choices": [{"message": {"content": "\xff\xfe"}}]}'),
    "nested": answers(200, b"[" * 100_000),
    "empty": answers(200, b""),
    "html": answers(200, b"<!doctype html><title>Welcome</title>", "text/html"),
    "list": answers(200, b"[]"),
    "no choices": answers(200, b'{"choices": []}'),
    "null choices": answers(200, b'{"choices": null}'),
    "no message": answers(200, b'{"choices": [{"index": 0}]}'),
    "bad role": answers(200, b'{"choices": [{"message": {"role": "wizard", "content": "x"}}]}'),
    "bad calls": answers(200, b'{"choices": [{"message": {"content": "", "tool_calls": {"id": "1"}}}]}'),
    "bomb": _bomb(200),
    "500 bomb": _bomb(500),
    "500 endless": _endless,
    "stream without a reason": _stream(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"),
    "stream cut": _stream(b""),
    "stream cut in a chunk": _stream(b"40\r\ndata: {"),
    "deflate bomb": _encoded("deflate", zlib.compress(bytes(64 * 2**20))),
    "packed twice": _encoded("gzip, gzip", gzip.compress(gzip.compress(bytes(2**24)))),
    "unknown packing": _encoded("br", b"\x0b\x02\x80look\x03"),
    "not packed": _encoded("gzip", b'{"choices": []}'),
    "cut packing": _encoded("gzip", gzip.compress(b'{"choices": []}' * 99)[:40]),
    "error object": answers(200, _error("upstream failed")),
}

REDIRECTS = {f"{status} redirect": _redirect(status) for status in (301, 302, 303, 307, 308)}

# What the same request may not mend. Everything else in FAULTS is worth another try.
FINAL = ("400", "401", "404", "429 spent")


@contextmanager
def fault_server() -> Iterator[FaultServer]:
    """Run a server in a thread of its own until the block ends."""
    server = FaultServer()
    loop = asyncio.new_event_loop()
    started = threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        listener = await asyncio.start_server(lambda r, w: _serve_connection(server, r, w), "127.0.0.1", 0)
        server.base_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
        started.set()
        await stop.wait()
        listener.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def run() -> None:
        with contextlib.closing(loop):
            loop.run_until_complete(serve())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


async def _serve_connection(server: FaultServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while not writer.is_closing():
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            server.received.append(Received(body, headers, time.monotonic(), lines[0].split(" ")[1]))
            name = server.plan.popleft() if server.plan else server.default
            if name == "ok":
                payload = server.completion(body)
                writer.write(head(200, len(payload)) + payload)
            else:
                await {**FAULTS, **REDIRECTS}[name](server, writer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        pass
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()
