"""A server on loopback that stands for a provider, and an episode of Desk to play against it.

Each test of a provider re-states its wire format; here are HTTP and what is played: two calls at once, then one, then the
last word, each after what it needs has come back.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import gymnasium as gym

import palaestra  # noqa: F401  registers the environments
from palaestra.agents import EpisodePlan, LLMAgent, RolloutEngine, Sampling, make_backend
from palaestra.envs.formats.hermes import parse_message
from palaestra.types import Message, ToolCall, Trajectory

DESK = "palaestra/Desk-v0"
DESK_SEED = 3  # a task of three calls, the first two of which do not need one another


@dataclass(frozen=True)
class Reply:
    """What the server answers.

    Attributes:
        body: JSON, or bytes as they are.
        status: HTTP status.
        headers: In addition to type and length.
        is_packed: Send it as gzip.
    """

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    is_packed: bool = False


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: Any


class ProviderServer:
    """Answers with what `answer` says.

    Attributes:
        answer: From a request to a reply, or to the JSON of a good one.
        asked: Requests so far.
        url: Scheme, host and port.
    """

    def __init__(self, answer: Callable[[Asked], Any]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked = Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(body) if body else None)
                provider.asked.append(asked)
                try:
                    reply = provider.answer(asked)
                except Exception as error:  # a check of the stand-in failed: the test sees it in the episode's error
                    reply = Reply({"error": {"message": f"{type(error).__name__}: {error}"}}, 418)
                reply = reply if isinstance(reply, Reply) else Reply(reply)
                data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                with contextlib.suppress(ConnectionError):  # a client that has given up
                    self.send(reply, data)

            def send(self, reply: Reply, data: bytes) -> None:
                self.send_response(reply.status)
                if reply.is_packed:
                    data = gzip.compress(data)
                    self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@contextmanager
def provider_server(answer: Callable[[Asked], Any]) -> Iterator[ProviderServer]:
    """Run a server until the block ends."""
    server = ProviderServer(answer)
    try:
        yield server
    finally:
        server.close()


def desk_turns() -> list[Sequence[ToolCall] | str]:
    """Return what a model says in each turn of the task: calls, or a text."""
    env = gym.make(DESK)
    env.reset(seed=DESK_SEED)
    calls: list[ToolCall] = []
    last = ""
    for action in env.unwrapped.expert():  # type: ignore[attr-defined]
        message = action if isinstance(action, Message) else parse_message(action)
        calls += message.tool_calls
        last = message.content
        env.step(action)
    env.close()
    assert len(calls) == 3
    return [tuple(calls[:2]), tuple(calls[2:]), last]


def play_desk(model: str, *, sampling: Sampling | None = None, **options: Any) -> Trajectory:
    """Play the task with a model and return the episode."""

    async def play() -> Trajectory:
        agent = LLMAgent(make_backend(model, max_retries=0, **options), sampling=sampling)
        [trajectory] = [t async for t in RolloutEngine(1).run([EpisodePlan("e", DESK, {}, seed=DESK_SEED)], agent)]
        await agent.aclose()
        return trajectory

    return asyncio.run(play())


def picture() -> bytes:
    """Return a PNG of one pixel."""
    return base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
