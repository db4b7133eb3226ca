"""Who may read: pages on loopback are for names of loopback alone, any other address asks for a token.

A page of the web can make a browser on this machine send requests to loopback. It cannot read the answers, unless its own name
resolves to loopback too (DNS rebinding); such requests bear that name in `Host` and are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from collections.abc import Mapping, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Literal
from urllib.parse import urlsplit

from palaestra.errors import UsageError

MIN_TOKEN_CHARS = 16
TOKEN_KEY = "token"
"""Key of the query that holds the token on the first visit."""

Verdict = Literal["allowed", "first visit", "wrong host", "no token"]


class Access:
    """Decides about requests.

    Args:
        host: Address that the server listens on.
        token: What readers have to know; empty on loopback for no token.

    Raises:
        UsageError: Without a token for an address that others reach, or with one that is short.
    """

    def __init__(self, host: str, token: str = "") -> None:
        """Check the token."""
        if token and len(token) < MIN_TOKEN_CHARS:
            raise UsageError(
                f"The token has {len(token)} characters; expected at least {MIN_TOKEN_CHARS}, e.g. from: "
                "python -c 'import secrets; print(secrets.token_urlsafe(24))'."
            )
        if not token and not is_loopback(host):
            raise UsageError(
                f"The address {host!r} can be reached by others, so it needs a token: set PALAESTRA_VIEW_TOKEN or --token "
                f"to at least {MIN_TOKEN_CHARS} characters, or stay on 127.0.0.1 and reach it through a tunnel: ssh -L."
            )
        self._host = host.strip("[]").lower()
        self._token = token.encode()
        self._pass = hashlib.sha256(secrets.token_bytes(32) + self._token).hexdigest()  # the cookie is not the token

    def verdict(self, headers: Mapping[str, Sequence[str]], query: Mapping[str, Sequence[str]], port: int) -> Verdict:
        """Decide about a request.

        Args:
            headers: Values of "host", "cookie" and "authorization".
            query: Its query.
            port: Port of the server.
        """
        if not self._token:
            hosts = headers.get("host", ())
            return "allowed" if len(hosts) == 1 and self._is_ours(hosts[0]) else "wrong host"
        if any(self._is_token(value) for value in query.get(TOKEN_KEY, ())):
            return "first visit"
        schemes = [value.partition(" ") for value in headers.get("authorization", ())]
        if any(scheme.lower() == "bearer" and self._is_token(value.strip()) for scheme, _, value in schemes):
            return "allowed"
        given = [_cookie(value, self.cookie_name(port)) for value in headers.get("cookie", ())]
        return "allowed" if any(hmac.compare_digest(value.encode(), self._pass.encode()) for value in given) else "no token"

    def cookie(self, port: int) -> str:
        """Return the value of `Set-Cookie` for a reader who showed the token."""
        return f"{self.cookie_name(port)}={self._pass}; Path=/; HttpOnly; SameSite=Lax"

    @staticmethod
    def cookie_name(port: int) -> str:
        """Return the name of the cookie; browsers send cookies to every port of a host."""
        return f"palaestra-view-{port}"

    def _is_token(self, value: str) -> bool:
        """Compare in a time that tells nothing."""
        return hmac.compare_digest(value.encode("utf-8", "replace"), self._token)

    def _is_ours(self, host: str) -> bool:
        """Whether a `Host` names this machine to itself; any port, as a tunnel has another one."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if set(host) & set("/?#@\\"):
            return False
        return name in ("localhost", self._host) or _is_loopback_address(name)


def is_loopback(host: str) -> bool:
    """Tell whether nobody but this machine reaches an address.

    Raises:
        UsageError: If the name does not resolve.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]") or "0.0.0.0", None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"The address {host!r} is not known here ({error}); use 127.0.0.1, ::1 or localhost.") from None
    return all(_is_loopback_address(str(row[4][0])) for row in found)


def _is_loopback_address(text: str) -> bool:
    """Tell whether a text is a number of loopback."""
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


def _cookie(header: str, name: str) -> str:
    """Return a cookie of a header; empty if it is not there."""
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


__all__ = ["MIN_TOKEN_CHARS", "TOKEN_KEY", "Access", "is_loopback"]
