"""Which answers are worth another attempt, and how long a server asks its clients to wait before it.

First `Retry-After`, which nearly all send; then what Google writes into the body of the error; then the times at which
exhausted limits begin again, in the headers of OpenAI, Azure and Anthropic.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from palaestra.types import Json

_LIMITS = re.compile(r"(x|anthropic)-ratelimit-((?:[a-z]+-)*)remaining((?:-[a-z]+)*)", re.IGNORECASE)
_PASSING = frozenset({408, 409, 425, 429})  # beside every 5xx; 409 is a lock that timed out
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_STEP = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def is_passing(status: int) -> bool:
    """Return whether an error with this status may be gone at the next attempt: a limit, a lock, a fault of the server."""
    return status in _PASSING or status >= 500


def asked_wait_s(headers: Mapping[str, str], body: bytes = b"") -> float | None:
    """Return how many seconds a server asks us to wait, or None if it asks for nothing readable.

    Args:
        headers: Headers of the error; looked up as they are, so give a case-insensitive mapping.
        body: Body of the error.
    """
    wait = retry_after_s(headers)
    if wait is None and b"RetryInfo" in body:
        wait = _retry_info_s(body)
    return _reset_s(headers) if wait is None else wait


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


def _retry_info_s(body: bytes) -> float | None:
    """Read Google's `google.rpc.RetryInfo`."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return None
    data = data[0] if isinstance(data, list) and data else data
    error = data.get("error") if isinstance(data, Mapping) else None
    details = error.get("details") if isinstance(error, Mapping) else None
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, Mapping) and str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
            return _span_s(detail.get("retryDelay"))
    return None


def _reset_s(headers: Mapping[str, str]) -> float | None:
    """Return when the last of the exhausted limits begins again, in seconds from now."""
    waits = []
    for name in headers:
        found = _LIMITS.fullmatch(name)
        if found and headers[name].strip() == "0":
            value = headers.get(f"{found[1]}-ratelimit-{found[2]}reset{found[3]}") or ""
            wait = _span_s(value.strip())
            wait = _moment_s(value.strip()) if wait is None else wait
            if wait is not None:
                waits.append(wait)
    return max(waits, default=None)


def _span_s(value: Json) -> float | None:
    """Read a span such as "7.5s", "6m0s" or "20ms"."""
    if not isinstance(value, str) or len(value) > 40 or not _SPAN.fullmatch(value):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _STEP.findall(value))


def _moment_s(value: str) -> float | None:
    """Return the seconds until a moment in RFC 3339, at least 0."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time()) if moment.tzinfo else None


__all__ = ["asked_wait_s", "is_passing", "retry_after_s"]
