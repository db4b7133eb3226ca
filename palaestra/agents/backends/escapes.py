"""What a provider attached and strict JSON in UTF-8 cannot hold: halves of surrogate pairs and numbers beyond every float.

A signature covers what it came with, so such a block is neither dropped nor corrected. It is kept as JSON text, whose escapes
hold everything, and goes back as it came: marks stand for its odd values while an SDK builds the request, and a hook of the
HTTP client writes the values in their place.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from palaestra.types import Json
from palaestra.types.plain_json import is_strict

_KEY = "escaped_json"
_BEGIN = b"<<palaestra:"
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_MARK = re.compile(rb"<<palaestra:u(d[89a-f][0-9a-f]{2})>>")
_NUMBER_MARK = re.compile(rb'"<<palaestra:(-?1e999)>>"')


def kept(own: Mapping[str, Json]) -> dict[str, Json]:
    """Return an attachment in a form that can be stored; one that cannot be written at all is left out."""
    own = dict(own)
    if is_strict(own):
        return own
    try:
        return {_KEY: json.dumps(own)}
    except (TypeError, ValueError, RecursionError):
        return {}


def as_it_came(own: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return the attachment that `kept` made storable, with marks for what a request cannot hold until it is sent."""
    text = own.get(_KEY) if len(own) == 1 else None
    if not isinstance(text, str):
        return own
    try:
        value = _marked(json.loads(text))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, Mapping) else {}


def restored(body: bytes) -> bytes:
    """Return the bytes of a request with the values for which marks stand."""
    if _BEGIN not in body:
        return body
    return _NUMBER_MARK.sub(rb"\1", _SURROGATE_MARK.sub(rb"\\u\1", body))


def request_hook(transport: Any) -> Callable[[Any], Awaitable[None]]:
    """Return the hook of an HTTP client that restores the body of each request.

    Args:
        transport: `httpx` or `httpx2`.
    """

    async def restore(request: Any) -> None:
        try:
            content = request.content
        except transport.RequestNotRead:  # repeated after a redirect, with the body that was restored
            return
        body = restored(content)
        if body is not content:
            request.stream = transport.ByteStream(body)
            request.headers["Content-Length"] = str(len(body))

    return restore


def _marked(value: Json) -> Json:
    """Return JSON data with marks for what cannot be sent; NaN is left out."""
    if isinstance(value, str):
        return _SURROGATE.sub(lambda found: f"<<palaestra:u{ord(found[0]):04x}>>", value)
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "<<palaestra:1e999>>" if value > 0 else "<<palaestra:-1e999>>"
    if isinstance(value, dict):
        return {_marked(key): _marked(item) for key, item in value.items() if item == item}
    return [_marked(item) for item in value] if isinstance(value, list) else value


__all__ = ["as_it_came", "kept", "request_hook", "restored"]
