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

_MINIMAX = {
    1000: 500, 1001: 408, 1002: 429, 1004: 401, 1008: 402, 1013: 500, 1024: 500, 1026: 400, 1027: 400, 1033: 500, 1039: 429,
    1041: 429, 1042: 400, 2013: 400, 2045: 429, 2049: 401, 2056: 402, 2061: 403,
}  # fmt: skip
_MINIMAX_FILTERED = (1026, 1027)
_FILTER_RESULTS = frozenset({"content_filter_results", "content_filter_result", "content_filters", "prompt_filter_results"})


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
    inside = first if isinstance(first, Mapping) else {}
    said = inside.get("message") if part == "choices" else None
    holders = (data, inside, said if isinstance(said, Mapping) else {})
    if (fault := next((holder["error"] for holder in holders if holder.get("error")), None)) is not None:
        return fault
    if (fault := _base_fault(data.get("base_resp"))) is not None:
        return fault
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


def is_filtered(data: Mapping[str, Json], choice: Mapping[str, Json] | None = None) -> bool:
    """Whether a filter has blocked an answer, whatever the reason says for which it ended.

    Args:
        data: The decoded body: Azure's results of its filters, MiniMax's marks.
        choice: Its first choice.
    """
    if data.get("output_sensitive") is True or data.get("input_sensitive") is True:
        return True
    message = (choice or {}).get("message")
    holders = (data, choice or {}, message if isinstance(message, Mapping) else {})
    telling = [holder for holder in holders if not _FILTER_RESULTS.isdisjoint(holder)]  # nearly always none
    return any(_has_block(holder.get(name), 5) for holder in telling for name in _FILTER_RESULTS)


def _has_block(results: Json, levels: int) -> bool:
    """Whether results of filters hold one that has blocked."""
    if levels <= 0:
        return False
    if isinstance(results, list):
        return any(_has_block(item, levels - 1) for item in results[:50])
    if not isinstance(results, Mapping):
        return False
    if results.get("filtered") is True or results.get("blocked") is True:
        return True
    return any(_has_block(item, levels - 1) for item in results.values())


def _base_fault(base: Json) -> Json:
    """Return the error that MiniMax puts next to an answer, in the form of others; None without one."""
    code = base.get("status_code") if isinstance(base, Mapping) else None
    code = int(code) if isinstance(code, str) and code.isascii() and code.isdigit() else code
    if not isinstance(code, int) or code in (0, 200):
        return None
    word = {"type": "content_filter"} if code in _MINIMAX_FILTERED else {}
    return {"message": f"{base.get('status_msg') or 'error'} ({code})", "code": _MINIMAX.get(code, code), **word}


@contextmanager
def paid(usage: Usage | None) -> Iterator[None]:
    """Put what an answer cost on the error that reading it raises."""
    try:
        yield
    except ModelError as error:
        error.usage = usage if error.usage is None else error.usage
        raise


__all__ = ["fault_in", "fault_status", "is_filtered", "paid"]
