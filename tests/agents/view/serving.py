"""A view on loopback for tests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from palaestra.agents.view import ViewServer


@contextmanager
def serving(folder: Path, **settings: object) -> Iterator[ViewServer]:
    """Serve a folder until the block ends."""
    with ViewServer(folder, **settings) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def get(server: ViewServer, path: str = "/", **settings: object) -> httpx.Response:
    """Fetch a page."""
    return httpx.get(server.url.rstrip("/") + path, timeout=30, trust_env=False, **settings)


def raw(server: ViewServer, request: bytes) -> bytes:
    """Send bytes as they are and return what comes back until the server closes."""
    with socket.create_connection((server.host, server.port), timeout=20) as connection:
        connection.sendall(request)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found
