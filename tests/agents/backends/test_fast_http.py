from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.fast_http import FastHTTPBackend

COOKIE = "session=mk9-own"


@pytest.fixture
def asked() -> Iterator[tuple[int, list[dict[str, str]]]]:
    """A server that gives a cookie with every answer: its port, and the headers of what it is sent."""
    received: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            """Keep quiet."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            received.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.send_header("Set-Cookie", f"{COOKIE}; Path=/")
            self.end_headers()
            self.wfile.write(b"{}")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server.server_port, received
    server.shutdown()
    server.server_close()


async def test_cookies_of_a_server_are_not_sent_back(asked: tuple[int, list[dict[str, str]]]) -> None:
    port, received = asked
    url = f"http://localhost:{port}/v1"  # of addresses in numbers no client keeps cookies
    backend = FastHTTPBackend(Endpoint(name="s", model="m", base_url=url, api_key="mk9-key1"))
    for _ in range(3):
        assert await backend.post(f"{url}/chat/completions", {}) == b"{}"
    await backend.aclose()
    assert [headers["authorization"] for headers in received] == ["Bearer mk9-key1"] * 3
    assert not any("cookie" in headers for headers in received)
