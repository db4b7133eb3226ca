"""Where an OpenAI-compatible server is, and what its faults mean.

`Endpoint` is everything the HTTP clients (`openai_sdk.py`, `fast_http.py`) have in common: address, key, limits. The
functions below it turn statuses, headers and bodies into `ModelError`s that say whether to try again, and when.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from palaestra.agents.backends.inside import fault_in, fault_status, paid
from palaestra.agents.backends.reasoning_back import NAMES, Form
from palaestra.agents.backends.responses import redirect_problem
from palaestra.agents.backends.streams import is_stream, read_list, read_stream, without_comments
from palaestra.agents.backends.strict_tools import OPENAI_MOST, check_number, without_nulls
from palaestra.agents.backends.token_usage import usage_in
from palaestra.agents.backends.too_long import says_too_long
from palaestra.agents.backends.waits import asked_wait_s, is_passing
from palaestra.agents.backends.wire import MaxTokensField, excerpt, read_generation, request_body
from palaestra.agents.core import Generation, Request
from palaestra.agents.masking import masked, masked_message, remember_secrets, without_secrets
from palaestra.agents.ranges import MAX_SECONDS, check_range
from palaestra.errors import ConfigError, ContentFilterError, ContextWindowError, ModelError, UsageError
from palaestra.types import Json, Usage

OPENAI_URL = "https://api.openai.com/v1"

# how Azure, OpenAI and others say that a filter refused a prompt
_FILTER_WORDS = (
    "content_filter", "content management policy", "content_policy_violation", "data_inspection_failed",
    "content filtering policy", "flagged as potentially violating",
)  # fmt: skip
_KEY_WORDS = (b"API_KEY_INVALID", b"API key not valid")  # Google's, sent with 400
_SPENT = ("insufficient_quota", "billing_hard_limit_reached", "exceeded_current_quota_error", "余额不足")
"""Sent with 429, but waiting does not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One model on one server.

    Attributes:
        name: Shown in reports, and part of the cache key; secrets in it are masked.
        model: The server's name of the model.
        base_url: Up to and including the version, e.g. "http://127.0.0.1:8000/v1". User and password become a header (basic
            authorization), a query is kept in `query`, so that what is left may be shown.
        api_key: Sent as a bearer token; None sends none.
        headers: Further headers of every request.
        timeout_s: Seconds for one attempt in all, from the connection to the last byte.
        connect_timeout_s: Seconds to connect.
        read_timeout_s: Longest silence of the server in seconds; None leaves it to `timeout_s`, as most servers are
            silent until the answer is complete.
        max_connections: Connections open at once, per event loop.
        max_response_bytes: Size at which an answer is refused.
        max_tokens_field: Name of the limit on new tokens; None chooses by the server.
        send_reasoning: Send the reasoning of earlier turns back to the server; None sends it where the server asks for it.
        return_tokens: Insist on token ids and log-probs (vLLM).
        query: Put after the path of every request, without the question mark.
        strict_tools: Offer tools by strict schemas, where theirs have a strict form.
        max_tools: Most tools in a request; None chooses by the server: 128 for OpenAI's own, else no limit.
        path: Where requests are posted, after the base URL.
        like_openai: Whether it is a service of OpenAI's, whatever its address.
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
    send_reasoning: bool | None = None
    return_tokens: bool = False
    query: str = field(default="", repr=False)
    strict_tools: bool = False
    max_tools: int | None = None
    path: str = "/chat/completions"
    like_openai: bool = False

    def __post_init__(self) -> None:
        """Take secrets out of the URL; refuse what cannot be sent, and limits that would refuse everything."""
        self._check_headers()
        self._part_url()
        for key in ("timeout_s", "connect_timeout_s"):
            check_range(key, getattr(self, key), above=True, high=MAX_SECONDS)
        check_range("read_timeout_s", self.read_timeout_s, above=True, high=MAX_SECONDS, optional="that of timeout_s")
        for key in ("max_connections", "max_response_bytes"):
            check_range(key, getattr(self, key), low=1, whole=True)
        check_range("max_tools", self.max_tools, whole=True, optional="the server's own limit")
        if self.max_tokens_field not in (None, "max_tokens", "max_completion_tokens"):
            raise ConfigError(f"max_tokens_field is {self.max_tokens_field!r}; expected max_tokens or max_completion_tokens.")

    @property
    def is_openai(self) -> bool:
        """Whether this is OpenAI's own service."""
        host = urlsplit(self.base_url).hostname or ""
        return self.like_openai or host == "api.openai.com" or host.endswith(".api.openai.com")

    @property
    def url(self) -> str:
        """Where requests are posted, as it is shown."""
        return f"{self.base_url}{self.path}"

    @property
    def tool_limit(self) -> int | None:
        """Most tools in a request; None for no limit."""
        return OPENAI_MOST if self.max_tools is None and self.is_openai else self.max_tools

    def address(self, url: str) -> str:
        """Return a URL of this server with what every request has to have."""
        return f"{url}?{self.query}" if self.query else url

    @property
    def query_values(self) -> dict[str, str]:
        """The query as names and values."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    def body(
        self, request: Request, reasoning: Form = Form.NONE, reasoning_names: Sequence[str] = NAMES[:1]
    ) -> dict[str, Json]:
        """Return the JSON body of a chat completion for `request`.

        Args:
            request: What to ask.
            reasoning: Form in which the reasoning of earlier turns is sent.
            reasoning_names: Names of the field for it.

        Raises:
            UsageError: If it offers more tools than the server takes.
        """
        check_number(request.tools, self.tool_limit, self.name)
        default: MaxTokensField = "max_completion_tokens" if self.is_openai else "max_tokens"
        return request_body(
            self.model,
            request,
            max_tokens_field=self.max_tokens_field or default,
            send_defaults=not self.is_openai,
            send_reasoning=reasoning,
            reasoning_names=reasoning_names,
            return_tokens=self.return_tokens,
            strict_tools=self.strict_tools,
        )

    def read(self, body: bytes, request: Request) -> Generation:
        """Read the body of a chat completion.

        Raises:
            ModelError: If it is not the JSON of one.
        """
        return self.read_data(self.decode(body), request)

    def read_data(self, data: Json, request: Request) -> Generation:
        """Read the decoded body of a chat completion.

        Raises:
            ModelError: If it is none.
        """
        self.check_inside(data)
        generation = read_generation(data, request, return_tokens=self.return_tokens)
        if self.strict_tools and generation.message.tool_calls:
            return replace(generation, message=without_nulls(generation.message, request.tools))
        return generation

    def check_inside(self, data: Json, part: str = "choices", usage: Usage | None = None) -> None:
        """Raise what an error means that an answer with a good status holds, where it says what it is.

        Args:
            data: The decoded body.
            part: What a good answer holds.
            usage: What the answer cost; read from it, as chat completions say it, by default.

        Raises:
            ModelError: As with the status that the error names.
        """
        fault = fault_in(data, part)
        if (
            fault is None
            and isinstance(data, dict)
            and data
            and part not in data
            and has_clear_words(json.dumps(data).encode())
        ):
            fault = data  # of a form of the provider's own
        if fault is None:
            return
        told, status = json.dumps({"error": fault}).encode(), fault_status(fault)
        if status is not None or has_clear_words(told):
            with paid(usage_in(data) if usage is None else usage):
                self.fail(status or 400, {}, told)

    def decode(self, body: bytes) -> Json:
        """Return the JSON value of a body; of a stream of events what it says as a whole.

        Raises:
            ModelError: If it is not JSON.
        """
        try:
            data = json.loads(without_comments(body))
        except (ValueError, RecursionError) as error:  # invalid UTF-8 is a ValueError too
            if is_stream(body):
                if (found := read_stream(body)) is not None:
                    return without_secrets(found)
                raise ModelError(
                    f"{self.url} answered with a stream of events, which was not asked for: {excerpt(body)}. Turn streaming "
                    "off at the server or the proxy before it."
                ) from None
            hint = " It looks like a web page: check the base URL." if body.lstrip()[:1] == b"<" else ""
            raise ModelError(
                f"{self.url} answered with something that is not JSON ({error}): {excerpt(body)}.{hint}", retryable=True
            ) from None
        if isinstance(data, list):
            data = read_list(data)
        return without_secrets(data)  # a server may repeat what it was sent; an answer is stored

    def fail(self, status: int, headers: Mapping[str, str], body: bytes) -> NoReturn:
        """Raise the error that an answer with an error status, or a redirect that is not followed, means."""
        if 300 <= status < 400:
            problem = redirect_problem(status, headers.get("location"))
            raise ModelError(f"{self.url} answered {status}: {problem}.", status=status)
        text = _error_text(body)
        if says_too_long(status, body):
            raise ContextWindowError(f"{self.url} answered {status}: {text}", status=status)
        if any(word in text.lower() for word in _FILTER_WORDS):
            raise ContentFilterError(f"{self.url} answered {status}: {text}", status=status)
        retryable = is_passing(status) and not any(word in text for word in _SPENT)
        wait = asked_wait_s(headers, body) if retryable else None
        raise ModelError(
            f"{self.url} answered {status}: {text}{_next_move(status, body, self.url)}",
            status=status,
            retryable=retryable,
            retry_after_s=wait,
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
        detail = masked_message(str(error)) or type(error).__name__
        return ModelError(f"The connection to {self.base_url} failed ({detail}). Is the server running?", retryable=True)

    def _check_headers(self) -> None:
        """Refuse headers that are not texts on one line."""
        if not isinstance(self.headers, Mapping):
            raise ConfigError(
                f"headers is a {type(self.headers).__name__}; expected names and values, e.g. {{'X-Team': 'a'}}."
            )
        for name, value in self.headers.items():
            if not isinstance(value, str) or not value.isprintable():
                raise ConfigError(f"The header {name!r} is not a text on one line; give one.")
            if not f"{name}{value}".isascii():
                raise ConfigError(f"The header {name!r} has a character that is not ASCII; give it percent-encoded.")
        given: object = self.api_key
        if given is None:
            return
        if isinstance(given, bool) or not isinstance(given, (str, int, float)):
            raise ConfigError(f"The api_key is a {type(given).__name__}; expected a text.")
        key = str(given)  # on a command line, one of digits is a number
        object.__setattr__(self, "api_key", key)
        if not key.isprintable():
            raise ConfigError("The api_key is not a text on one line; give one.")
        if not key.isascii():
            raise ConfigError("The api_key has a character that is not ASCII, which no header can hold; copy it again.")

    def _part_url(self) -> None:
        """Move user, password and query out of the URL."""
        remember_secrets(self.base_url, self.name, {"api_key": self.api_key, "headers": self.headers})
        object.__setattr__(self, "name", masked(self.name))
        parts = urlsplit(self.base_url)
        if "@" not in parts.netloc and not parts.query:
            return
        user, at, host = parts.netloc.rpartition("@")
        if at and self.api_key:
            raise ConfigError(f"There are an api_key and a user in the base URL {masked(self.base_url)!r}; give one of them.")
        if at:
            name, _, password = user.partition(":")
            token = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
            object.__setattr__(self, "headers", {"Authorization": f"Basic {token}", **self.headers})
        object.__setattr__(self, "query", parts.query)
        object.__setattr__(self, "base_url", urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", "")))


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
        raise UsageError(f"{masked_message(url)!r} is not a base URL. Expected http://HOST:PORT/v1 or https://HOST/v1.")
    return url.rstrip("/")


_OPENAI_PATHS = ("/chat/completions", "/responses")
_VERSIONED = re.compile(r"/v\d|/deployments/")
"""What the address of an OpenAI-compatible service has in front of these, where it is complete."""


def has_clear_words(body: bytes) -> bool:
    """Whether an error says in words, without a status, that a prompt is too long or that a filter refused it."""
    return says_too_long(0, body) or any(word in _error_text(body).lower() for word in _FILTER_WORDS)


def _error_text(body: bytes) -> str:
    """Return what an error body says, in at most a few hundred characters."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return excerpt(body) or "(no text)"
    if isinstance(data, list) and len(data) == 1:  # as Google sends it where answers are streamed
        data = data[0]
    error = data.get("error", data) if isinstance(data, dict) else data
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        named = [error.get(key) for key in ("code", "status", "type")]  # Google's code is a number, vLLM's too
        code = next((name for name in named if isinstance(name, str) and name), error.get("code"))
        return excerpt(error["message"]) + (f" ({excerpt(str(code))})" if isinstance(code, (str, int)) else "")
    return excerpt(error)


def _next_move(status: int, body: bytes, url: str) -> str:
    """Return the advice for statuses that have one cause."""
    if status == 400 and any(word in body for word in _KEY_WORDS):
        status = 401
    advice = {
        401: " Check the API key.",
        402: " Check the API key and the credit of its account.",
        403: " Check the API key and what it may use.",
        404: " Check the base URL and the model's name.",
    }
    base = next((url.removesuffix(path) for path in _OPENAI_PATHS if url.endswith(path)), "")
    missing = ""
    if status == 404 and base and not _VERSIONED.search(urlsplit(url).path):
        missing = f" The base URL has no /v1, with which most servers want it: {base}/v1."
    return advice.get(status, "") + missing
