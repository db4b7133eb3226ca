"""A loopback server in OpenAI's wire format whose answers come from a function of the request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Answer = dict[str, Any] | bytes | tuple[int, Any]


class AnsweringServer:
    """Answers every request with what `answer` makes of its body.

    Attributes:
        answer: From the body of a request to a chat completion, raw bytes, or a status with either.
        headers: Sent with every answer.
        received: Bodies of all requests.
    """

    def __init__(self) -> None:
        self.answer: Callable[[dict[str, Any]], Answer] = lambda body: chat("ok")
        self.headers: dict[str, str] = {}
        self.received: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                """Keep quiet."""

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = json.loads(text, parse_constant=_refuse)
                owner.received.append(body)
                answer = owner.answer(body)
                status, answer = answer if isinstance(answer, tuple) else (200, answer)
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                for name, value in owner.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1#stub"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def chat(content: Any = None, finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    """Return a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "stub", "choices": [choice], "usage": usage}


def call(name: str | None, arguments: Any, id: str = "c1") -> dict[str, Any]:
    """Return a native tool call."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _refuse(constant: str) -> Any:
    raise AssertionError(f"The request holds {constant}, which is not JSON.")
