"""LLM clients with 256 requests in flight: CPU time of the client per call.

A stub server in another process answers every request with the same chat completion. Ours, the official `openai` SDK and
bare aiohttp (post the same bytes, decode the JSON, nothing else) take turns on it, round by round; each figure is the
best round. CPU time is compared, as it is what limits a run with many episodes and does not depend on the server.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.rows import Row

IN_FLIGHT = 256
CALLS = 2048
ROUNDS = 4
TARGET_US = 250.0

TOOLS = tuple(
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Does {name} in the world and tells what came of it.",
            "parameters": {"type": "object", "properties": {"target": {"type": "string"}}, "required": ["target"]},
        },
    }
    for name in ("look", "take", "craft")
)
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "stub",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "I need planks first.",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "craft", "arguments": '{"target": "oak planks"}'},
                    }
                ],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": {"prompt_tokens": 200, "completion_tokens": 20, "total_tokens": 220},
}


class _Stub(asyncio.Protocol):
    """Answers each request on a connection with the same bytes."""

    body = json.dumps(COMPLETION).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def __init__(self) -> None:
        self.buffer = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.index(b"content-length:") + len(b"content-length:")
            whole = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
            if len(self.buffer) < whole:
                return
            self.buffer = self.buffer[whole:]
            self.transport.write(self.answer)


def serve(ready: Connection) -> None:
    """Run the stub server and send its port."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(_Stub, "127.0.0.1", 0, backlog=1024)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


async def measure_round(call: Callable[[], Awaitable[object]]) -> float:
    """Return CPU microseconds per call."""
    left = CALLS

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await call()

    started = time.process_time()
    await asyncio.gather(*[worker() for _ in range(IN_FLIGHT)])
    return (time.process_time() - started) / CALLS * 1e6


async def measure(base_url: str) -> dict[str, float]:
    """Return the best round of each client, in CPU microseconds per call."""
    import aiohttp
    import openai

    from palaestra.agents.backends.registry import make_bare_backend
    from palaestra.agents.backends.reliable import Reliable
    from palaestra.agents.core import Request, Sampling
    from palaestra.types import Message

    messages = (Message("system", "You craft things. " * 20), Message("user", "Goal: craft oak planks. " * 10))
    request = Request(messages, tools=TOOLS, sampling=Sampling(max_tokens=64), session="bench")
    fast = make_bare_backend(f"{base_url}#stub", client="aiohttp", max_connections=IN_FLIGHT)
    reliable = Reliable(fast)
    sdk = make_bare_backend(f"{base_url}#stub", client="openai", max_connections=IN_FLIGHT)
    wire = [{"role": message.role, "content": message.content} for message in messages]
    arguments: dict[str, Any] = {"model": "stub", "messages": wire, "tools": list(TOOLS), "temperature": 1.0, "max_tokens": 64}
    client = openai.AsyncOpenAI(api_key="none", base_url=base_url, max_retries=0)
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT))

    url, headers = f"{base_url}/chat/completions", {"Content-Type": "application/json"}

    async def bare() -> object:
        async with session.post(url, data=json.dumps(arguments).encode(), headers=headers) as answer:
            return json.loads(await answer.read())

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "aiohttp client": lambda: fast.generate(request),
        "aiohttp client with retries and limits": lambda: reliable.generate(request),
        "openai client": lambda: sdk.generate(request),
        "openai SDK": lambda: client.chat.completions.create(**arguments),
        "raw aiohttp": bare,
    }
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            best[name] = min(best[name], await measure_round(call))
    await asyncio.gather(fast.aclose(), sdk.aclose(), client.close(), session.close())
    return best


def run() -> list[Row]:
    """Return the rows of the benchmark table."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    server = context.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        best = asyncio.run(measure(f"http://127.0.0.1:{ours.recv()}/v1"))
    finally:
        server.terminate()
        server.join()
    name = f"LLM client, {IN_FLIGHT} in flight, per call"
    raw, sdk = best["raw aiohttp"], best["openai SDK"]
    fast, whole, careful = (best[key] for key in ("aiohttp client", "aiohttp client with retries and limits", "openai client"))
    target = f"<= {TARGET_US:g} µs"
    return [
        Row(name, fast, "µs CPU", "raw aiohttp", raw, target, fast <= TARGET_US),
        Row(f"{name}, with retries and limits", whole, "µs CPU", "openai SDK", sdk, target, whole <= TARGET_US),
        # streaming the body to bound its size costs the SDK path something; it is there for fidelity, not for volume
        Row(f"{name}, client='openai'", careful, "µs CPU", "openai SDK", sdk, "<= 1.5x", careful <= 1.5 * sdk),
    ]


if __name__ == "__main__":
    for row in run():
        print(row)
