"""Attachments that strict JSON cannot hold go back as they came: stored as text, marked in a request, restored when sent."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.backends.escapes import as_it_came, kept, request_hook, restored
from palaestra.types.plain_json import is_strict

ANY_TEXT = st.text(st.characters(codec="utf-8") | st.characters(categories=["Cs"]), max_size=5)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=8,
)


def sent(value: Any) -> Any:
    """What a server reads of a value: NaN is null in lists and left out of maps, halves of a pair side by side are joined."""
    if isinstance(value, dict):
        pairs = {key: item for key, item in value.items() if item == item}
        return {sent(key): sent(item) for key, item in pairs.items()}
    if isinstance(value, list):
        return [sent(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return json.loads(json.dumps(value)) if isinstance(value, str) else value


@given(st.dictionaries(ANY_TEXT, ANY_JSON, max_size=4), st.booleans())
def test_any_attachment_is_stored_as_strict_json_and_sent_as_it_came(own: dict[str, Any], ascii_only: bool) -> None:
    stored = kept(own)
    assert is_strict(stored)
    assert (stored == own) if is_strict(own) else (list(stored) == ["escaped_json"])
    request = as_it_came(json.loads(json.dumps(stored)))
    body = json.dumps(request, ensure_ascii=ascii_only, allow_nan=False).encode()
    assert json.loads(restored(body)) == sent(json.loads(json.dumps(own)))


@pytest.mark.parametrize(
    ("value", "marked", "written"),
    [
        ("a\ud800b", "a<<palaestra:ud800>>b", r'"a\ud800b"'),
        ("\udfff", "<<palaestra:udfff>>", r'"\udfff"'),
        ("\udabc \udc0f", "<<palaestra:udabc>> <<palaestra:udc0f>>", r'"\udabc \udc0f"'),
        (math.inf, "<<palaestra:1e999>>", "1e999"),
        (-math.inf, "<<palaestra:-1e999>>", "-1e999"),
        ([math.inf, "\ud800", 1.5], ["<<palaestra:1e999>>", "<<palaestra:ud800>>", 1.5], r'[1e999, "\ud800", 1.5]'),
        ({"\ud800": [math.nan]}, {"<<palaestra:ud800>>": [None]}, r'{"\ud800": [null]}'),
    ],
)
def test_marks_stand_for_odd_values_until_a_request_is_sent(value: Any, marked: Any, written: str) -> None:
    stored = kept({"block": value})
    assert stored == {"escaped_json": json.dumps({"block": value})}
    assert as_it_came(stored) == {"block": marked}
    assert restored(json.dumps({"block": marked}).encode()).decode() == f'{{"block": {written}}}'


@pytest.mark.parametrize("own", [{"a": object()}, {"a": {1, 2}}, {"a": {(1, 2): 3}}])
def test_what_cannot_be_written_is_left_out(own: dict[str, Any]) -> None:
    assert kept(own) == {}
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    assert kept({"a": nested}) == {}


@pytest.mark.parametrize(
    "stored", [{"escaped_json": "{"}, {"escaped_json": "[1]"}, {"escaped_json": "2"}, {"escaped_json": "[" * 100_000}]
)
def test_a_stored_text_that_is_not_an_attachment_is_left_out(stored: dict[str, Any]) -> None:
    assert as_it_came(stored) == {}


@pytest.mark.parametrize("own", [{}, {"a": 1}, {"escaped_json": 5}, {"escaped_json": "{}", "a": 1}])
def test_other_attachments_are_what_they_are(own: dict[str, Any]) -> None:
    assert as_it_came(own) == own


@pytest.mark.parametrize(
    "body", [b"", b'{"a": "<<palaestra"}', b'"<<palaestra:u0041>>"', b"<<palaestra:1e999>>", b'"<<palaestra:1e99>>"', b"\xff"]
)
def test_a_body_without_marks_is_left_as_it_is(body: bytes) -> None:
    assert restored(body) == body


@pytest.mark.parametrize("name", ["httpx", "httpx2"])
async def test_the_body_of_a_request_is_restored_with_its_length(name: str) -> None:
    transport = pytest.importorskip(name, reason="a client of the SDKs")
    restore = request_hook(transport)
    marked = transport.Request("POST", "http://server/v1", content=b'["<<palaestra:-1e999>>", "<<palaestra:udabc>>"]')
    await restore(marked)
    wanted = b'[-1e999, "\\udabc"]'
    assert b"".join([piece async for piece in marked.stream]) == wanted
    assert marked.headers["Content-Length"] == str(len(wanted))

    plain = transport.Request("POST", "http://server/v1", content=b'{"a": 1}')
    stream = plain.stream
    await restore(plain)
    assert plain.stream is stream
    assert plain.headers["Content-Length"] == "8"

    unread = transport.Request("POST", "http://server/v1", content=pieces(b"<<palaestra:udabc>>"))
    await restore(unread)
    assert b"".join([piece async for piece in unread.stream]) == b"<<palaestra:udabc>>"


async def pieces(*parts: bytes) -> Any:
    """A body that is sent piece by piece."""
    for part in parts:
        yield part
