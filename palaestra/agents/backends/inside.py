"""Errors that come inside of an answer with a good status.

Gateways put the error of the server behind them into an answer with status 200: at the top, inside a choice, or as an event of
a stream that nobody asked for. They mean what they would mean with the status that they name, and what they cost counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from palaestra.errors import ModelError
from palaestra.types import Json, Usage

_STATUSES = {
    "invalid_request_error": 400,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "UNAUTHENTICATED": 401,
    "billing_error": 402,
    "permission_error": 403,
    "PERMISSION_DENIED": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "NOT_FOUND": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "overloaded_error": 529,
}
"""Words for which a server has a status; all others leave it open whether trying again helps."""


def fault_in(data: Json, part: str = "choices") -> Json:
    """Return the error that an answer with a good status holds, at the top or inside its first choice; None without one.

    Args:
        data: The decoded body.
        part: What a good answer holds: an answer without it that says what went wrong is an error as a whole.
    """
    if isinstance(data, list) and len(data) == 1:  # as Google sends it where answers are streamed
        data = data[0]
    if not isinstance(data, Mapping):
        return None
    found = data.get(part)
    first = found[0] if isinstance(found, list) and found else None
    inside = first.get("error") if isinstance(first, Mapping) else None
    if data.get("error") or inside:
        return data.get("error") or inside
    if found:
        return None
    has_said = any(isinstance(data.get(key), (str, list, Mapping)) and data[key] for key in ("message", "detail", "errors"))
    return data if has_said else None


def fault_status(fault: Json) -> int | None:
    """Return the HTTP status that an error names, by number or by word, where it names one of an error."""
    if not isinstance(fault, Mapping):
        return None
    values = [fault.get(key) for key in ("code", "status", "type")]
    for value in values:
        status = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3 else value
        if isinstance(status, int) and not isinstance(status, bool) and 400 <= status < 600:
            return status
    return next((_STATUSES[value] for value in values if isinstance(value, str) and value in _STATUSES), None)


@contextmanager
def paid(usage: Usage | None) -> Iterator[None]:
    """Put what an answer cost on the error that reading it raises."""
    try:
        yield
    except ModelError as error:
        error.usage = usage if error.usage is None else error.usage
        raise


__all__ = ["fault_in", "fault_status", "paid"]
