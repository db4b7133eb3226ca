"""A small HTTP server for the pages: GET alone, loopback first, bounded in requests, time and size.

The standard library's server is enough for one reader on one machine, and keeps the base installation light. Whatever is asked
for, nothing is written: the store is opened read-only for each page.
"""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from palaestra.agents.masking import masked_message
from palaestra.agents.view.access import TOKEN_KEY, Access
from palaestra.agents.view.pages import Answer, Pages
from palaestra.errors import UsageError

MOST_AT_ONCE = 32
"""Requests that are answered at once; further ones are told to come again."""

REQUEST_S = 15.0
"""Longest time that a request may take to arrive, and an answer to be taken."""

MOST_FIELDS = 64
"""Most keys and values of a query."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src data:; "
        "media-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_BUSY = b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class ViewServer(ThreadingHTTPServer):
    """Serves the pages about a folder of runs until it is closed.

    Args:
        folder: Folder of the run store; it need not be there yet.
        host: Address to listen on; any but those of loopback needs a token.
        port: Port; 0 for any that is free.
        token: What readers have to know, at least 16 characters; empty for none.

    Raises:
        UsageError: If the address cannot be used, or needs a token.
    """

    daemon_threads = True
    block_on_close = False  # a reader that hangs must not keep the server from ending
    request_queue_size = 64

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0, *, token: str = "") -> None:
        """Listen; nothing is answered before `serve_forever`."""
        self.access = Access(host, token)
        self.pages = Pages(folder)
        self._slots = threading.BoundedSemaphore(MOST_AT_ONCE)
        bare = host.strip("[]")
        self.address_family = socket.AF_INET6 if ":" in bare else socket.AF_INET
        try:
            super().__init__((bare, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(f"Port {port} of {host} cannot be used ({error}); choose another with --port.") from None
        self.host, self.port = host, int(self.server_address[1])

    def server_bind(self) -> None:
        """Bind without asking a name server for the name of this machine."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @property
    def url(self) -> str:
        """Address of the first page."""
        bare = self.host.strip("[]")
        return f"http://{f'[{bare}]' if ':' in bare else bare}:{self.port}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, if not too many are at work."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        try:
            request.settimeout(1.0)
            request.sendall(_BUSY)
        except OSError:
            pass
        finally:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then let the next one in."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in one line what failed; a reader that goes away is not a failure."""
        error = sys.exception()
        if not isinstance(error, (ConnectionError, TimeoutError)):
            print(masked_message(f"palaestra view: {type(error).__name__}: {error}"), file=sys.stderr)

    def answer(self, target: str, headers: Message) -> Answer:
        """Return the answer to a GET request.

        Args:
            target: Path and query as sent.
            headers: Headers as sent.
        """
        try:
            parts = urlsplit(target)
            query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="replace")
        except ValueError:
            return _plain(HTTPStatus.BAD_REQUEST, "This address cannot be read.")
        said = {name: headers.get_all(name) or [] for name in ("host", "cookie", "authorization")}
        match self.access.verdict(said, query, self.port):
            case "allowed":
                return self.pages.answer(parts.path, query)
            case "first visit":
                rest = urlencode(
                    {key: value for key, value in query.items() if key != TOKEN_KEY}, doseq=True, errors="replace"
                )
                path = parts.path if self.pages.knows(parts.path) else "/"
                to = {"Location": f"{path}?{rest}" if rest else path, "Set-Cookie": self.access.cookie(self.port)}
                return Answer(b"", HTTPStatus.SEE_OTHER, "text/plain; charset=utf-8", to)
            case "no token":
                return _plain(
                    HTTPStatus.UNAUTHORIZED,
                    "This view needs its token: open ADDRESS/?token=TOKEN once, or send it as Authorization: Bearer TOKEN.",
                )
            case "wrong host":
                return _plain(
                    HTTPStatus.FORBIDDEN,
                    "This view answers to 127.0.0.1 and localhost alone. Behind another name, start it with a token.",
                )


class _Handler(BaseHTTPRequestHandler):
    """Reads one request and writes one answer."""

    server: ViewServer
    server_version, sys_version = "palaestra", ""
    timeout = REQUEST_S

    def parse_request(self) -> bool:
        """Take GET requests alone, whatever the others are called."""
        if not super().parse_request():
            return False
        if self.command == "GET":
            return True
        self._send(_plain(HTTPStatus.METHOD_NOT_ALLOWED, "Pages can only be read.", {"Allow": "GET"}))
        return False

    def do_GET(self) -> None:
        """Answer a request."""
        self._send(self.server.answer(self.path, self.headers))

    def _send(self, answer: Answer) -> None:
        """Write an answer."""
        self.send_response(answer.status)
        for name, value in {**_HEADERS, "Content-Type": answer.type, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that cannot be read, without repeating any of it."""
        self.close_connection = True
        self.request_version = "HTTP/1.0"  # without a version that could be read there would be no status line
        self._send(_plain(HTTPStatus(code), "This request cannot be read."))

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: addresses may hold the token."""


def _plain(status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> Answer:
    """Return an answer of one line."""
    return Answer(f"{text}\n".encode(), status, "text/plain; charset=utf-8", headers or {})


__all__ = ["ViewServer"]
