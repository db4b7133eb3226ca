"""Where an OpenAI-compatible server is, and what its faults mean.

`Endpoint` is everything the HTTP clients (`openai_sdk.py`, `fast_http.py`) have in common: address, key, limits. The
functions below it turn statuses, headers and bodies into `ModelError`s that say whether to try again, and when.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NoReturn
from urllib.parse import urlsplit

from palaestra.agents.backends.wire import MaxTokensField, excerpt, read_generation, request_body
from palaestra.agents.core import Backend, Generation, Request
from palaestra.errors import ConfigError, ContextWindowError, ModelError, UsageError, unknown_name
from palaestra.types import Json

OPENAI_URL = "https://api.openai.com/v1"

Client = Literal["auto", "openai", "aiohttp"]
CLIENTS = ("auto", "openai", "aiohttp")

# how OpenAI, vLLM, llama.cpp and others say that a prompt is too long
_CONTEXT_WORDS = ("context_length", "context length", "context window", "context size")
_RETRYABLE = frozenset({408, 409, 425, 429})  # beside every 5xx; 409 is a lock that timed out
_SPENT = ("insufficient_quota", "billing_hard_limit_reached")  # sent with 429, but waiting does not help


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One model on one server.

    Attributes:
        name: Shown in reports, and part of the cache key.
        model: The server's name of the model.
        base_url: Up to and including the version, e.g. "http://127.0.0.1:8000/v1".
        api_key: Sent as a bearer token; None sends none.
        headers: Further headers of every request.
        timeout_s: Seconds for one attempt in all, from the connection to the last byte.
        connect_timeout_s: Seconds to connect.
        read_timeout_s: Longest silence of the server in seconds; None leaves it to `timeout_s`, as most servers are
            silent until the answer is complete.
        max_connections: Connections open at once, per event loop.
        max_response_bytes: Size at which an answer is refused.
        max_tokens_field: Name of the limit on new tokens; None chooses by the server.
        send_reasoning: Send the reasoning of earlier turns back to the server.
        return_tokens: Insist on token ids and log-probs (vLLM).
    """

    name: str
    model: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 300.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float | None = None
    max_connections: int = 512
    max_response_bytes: int = 16 * 2**20
    max_tokens_field: MaxTokensField | None = None
    send_reasoning: bool = False
    return_tokens: bool = False

    def __post_init__(self) -> None:
        """Refuse limits that would refuse everything."""
        for key in ("timeout_s", "connect_timeout_s", "max_connections", "max_response_bytes"):
            if getattr(self, key) <= 0:
                raise ConfigError(f"{key} is {getattr(self, key)!r}; expected a number above 0.")
        if self.max_tokens_field not in (None, "max_tokens", "max_completion_tokens"):
            raise ConfigError(f"max_tokens_field is {self.max_tokens_field!r}; expected max_tokens or max_completion_tokens.")

    @property
    def is_openai(self) -> bool:
        """Whether this is OpenAI's own service."""
        host = urlsplit(self.base_url).hostname or ""
        return host == "api.openai.com" or host.endswith(".api.openai.com")

    @property
    def url(self) -> str:
        """Where chat completions are posted."""
        return f"{self.base_url}/chat/completions"

    def body(self, request: Request) -> dict[str, Json]:
        """Return the JSON body for `request`."""
        default: MaxTokensField = "max_completion_tokens" if self.is_openai else "max_tokens"
        return request_body(
            self.model,
            request,
            max_tokens_field=self.max_tokens_field or default,
            send_defaults=not self.is_openai,
            send_reasoning=self.send_reasoning,
            return_tokens=self.return_tokens,
        )

    def read(self, body: bytes, request: Request) -> Generation:
        """Read the body of a successful answer.

        Raises:
            ModelError: If it is not the JSON of a chat completion.
        """
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:  # invalid UTF-8 is a ValueError too
            hint = " It looks like a web page: check the base URL." if body.lstrip()[:1] == b"<" else ""
            raise ModelError(
                f"{self.url} answered with something that is no JSON ({error}): {excerpt(body)}.{hint}", retryable=True
            ) from None
        return read_generation(data, request, return_tokens=self.return_tokens)

    def fail(self, status: int, headers: Mapping[str, str], body: bytes) -> NoReturn:
        """Raise the error that an answer with an error status means."""
        text = _error_text(body)
        if 400 <= status < 500 and any(word in text.lower() for word in _CONTEXT_WORDS):
            raise ContextWindowError(f"{self.url} answered {status}: {text}", status=status)
        retryable = (status in _RETRYABLE or status >= 500) and not any(word in text for word in _SPENT)
        wait = retry_after_s(headers) if retryable else None
        raise ModelError(
            f"{self.url} answered {status}: {text}{_next_move(status)}", status=status, retryable=retryable, retry_after_s=wait
        )

    def too_large(self, size: int) -> ModelError:
        """Return the error for an answer of more than `max_response_bytes`."""
        return ModelError(
            f"{self.url} sent {size} bytes or more; the limit is {self.max_response_bytes}. Lower max_tokens or raise "
            "max_response_bytes.",
            retryable=True,
        )

    def timed_out(self, kind: str, limit_s: float | None) -> ModelError:
        """Return the error for a server that was too slow."""
        limit = "" if limit_s is None else f" within {limit_s:g} s"
        return ModelError(f"{self.url} did not {kind}{limit}. Raise timeout_s if the model is slow.", retryable=True)

    def unreachable(self, error: BaseException) -> ModelError:
        """Return the error for a connection that failed or broke off."""
        detail = str(error) or type(error).__name__
        return ModelError(f"The connection to {self.base_url} failed ({detail}). Is the server running?", retryable=True)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Read how long the server asks us to wait: `retry-after-ms`, or `Retry-After` in seconds or as an HTTP date.

    Args:
        headers: Response headers; looked up as they are, so give a case-insensitive mapping.

    Returns:
        Seconds from now, at least 0, or None if the server asks for nothing readable.
    """
    for key, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        value = (headers.get(key) or "").strip()
        if not value:
            continue
        try:
            seconds = float(value) * scale
        except ValueError:
            continue
        if 0.0 <= seconds < float("inf"):
            return seconds
    try:
        moment = parsedate_to_datetime(headers.get("retry-after") or "")
    except (ValueError, TypeError, IndexError):
        return None
    return max(0.0, moment.timestamp() - time.time())


def from_name(
    model: str, *, client: Client = "auto", base_url: str | None = None, api_key: str | None = None, **options: Any
) -> Backend:
    """Make the backend for `openai:NAME`.

    Args:
        model: The NAME.
        client: The official SDK unless "aiohttp" is asked for.
        base_url: Another server; the environment variable OPENAI_BASE_URL, then OpenAI's own by default.
        api_key: The environment variable OPENAI_API_KEY by default; needed for OpenAI's own server.
        **options: Further fields of `Endpoint`.
    """
    if not model:
        raise UsageError("The model string 'openai:' names no model. Expected openai:NAME, as in openai:gpt-5-mini.")
    url = check_url(base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL)
    key = api_key or os.environ.get("OPENAI_API_KEY") or None
    endpoint = _endpoint(options, name=f"openai:{model}", model=model, base_url=url, api_key=key)
    if key is None and endpoint.is_openai:
        raise UsageError(f"No API key for 'openai:{model}'. Set the environment variable OPENAI_API_KEY, or give api_key=.")
    return make_client(endpoint, "openai" if client == "auto" else client)


def from_url(
    url: str, *, client: Client = "auto", base_url: str | None = None, api_key: str | None = None, **options: Any
) -> Backend:
    """Make the backend for `http://HOST:PORT/v1#NAME`.

    Args:
        url: The whole model string.
        client: The aiohttp client unless "openai" is asked for.
        base_url: Not taken: the string holds it.
        api_key: The environment variable PALAESTRA_API_KEY by default; OPENAI_API_KEY is not sent to other servers unasked.
        **options: Further fields of `Endpoint`.
    """
    if base_url is not None:
        raise UsageError(f"base_url is {base_url!r}, but the model {url!r} holds a URL already; give one of them.")
    address, _, model = url.partition("#")
    if not model:
        raise UsageError(f"The model {url!r} names a server but no model. Add its name after '#': {address.rstrip('/')}#NAME")
    key = api_key or os.environ.get("PALAESTRA_API_KEY") or None
    endpoint = _endpoint(options, name=url, model=model, base_url=check_url(address), api_key=key)
    return make_client(endpoint, "aiohttp" if client == "auto" else client)


def make_client(endpoint: Endpoint, client: str) -> Backend:
    """Make the named client for an endpoint."""
    if client == "openai":
        from palaestra.agents.backends.openai_sdk import OpenAIBackend

        return OpenAIBackend(endpoint)
    if client == "aiohttp":
        from palaestra.agents.backends.fast_http import FastHTTPBackend

        return FastHTTPBackend(endpoint)
    raise ConfigError(f"client is {client!r}; expected one of {', '.join(CLIENTS)}.")


def _endpoint(options: Mapping[str, Any], **own: Any) -> Endpoint:
    """Build an endpoint, naming the options that it has not."""
    known = ["client", "base_url", "api_key", *(f.name for f in fields(Endpoint) if f.name not in own)]
    for name in options:
        if name not in known:
            raise ConfigError(str(unknown_name("option of an HTTP backend", name, known)))
    return Endpoint(**own, **options)


def check_url(url: str) -> str:
    """Return a base URL without its last slash.

    Raises:
        UsageError: If it is none.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, or a broken IPv6 address
        valid = False
    if not valid or any(character.isspace() for character in url):
        raise UsageError(f"{url!r} is no base URL. Expected http://HOST:PORT/v1 or https://HOST/v1.")
    return url.rstrip("/")


def _error_text(body: bytes) -> str:
    """Return what an error body says, in at most a few hundred characters."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return excerpt(body) or "(no text)"
    error = data.get("error", data) if isinstance(data, dict) else data
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        code = error.get("code") or error.get("type")
        return excerpt(error["message"]) + (f" ({code})" if isinstance(code, (str, int)) else "")
    return excerpt(error)


def _next_move(status: int) -> str:
    """Return the advice for statuses that have one cause."""
    advice = {
        401: " Check the API key.",
        403: " Check the API key and what it may use.",
        404: " Check the base URL and the model's name.",
    }
    return advice.get(status, "")
