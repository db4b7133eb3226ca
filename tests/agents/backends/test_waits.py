from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.backends.waits import asked_wait_s


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def retry_info(delay: object) -> bytes:
    detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    return json.dumps({"error": {"code": 429, "details": [{"@type": "x"}, detail]}}).encode()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "20ms"}, None),
        ({"x-ratelimit-remaining-tokens": "0"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, None),
        (
            {
                "anthropic-ratelimit-requests-remaining": "4",
                "anthropic-ratelimit-requests-reset": "in 300",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "in 60",
                "anthropic-ratelimit-tokens-remaining": "0",
                "anthropic-ratelimit-tokens-reset": "in 30",
            },
            60.0,
        ),
        ({"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "in -9"}, 0.0),
        ({"retry-after": "3", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "9s"}, 3.0),
    ],
)
def test_limits_that_are_exhausted_say_when_they_begin_again(headers: dict[str, str], seconds: float | None) -> None:
    headers = {name: in_seconds(float(value[3:])) if value.startswith("in ") else value for name, value in headers.items()}
    wait = asked_wait_s(headers)
    if seconds is None:
        assert wait is None
    else:
        assert wait is not None
        assert seconds - 20 < wait <= seconds


@pytest.mark.parametrize(
    ("delay", "seconds"), [("7.5s", 7.5), ("34s", 34.0), ("-1s", None), (5, None), ("s", None), ("", None)]
)
def test_google_writes_the_wait_into_the_body(delay: object, seconds: float | None) -> None:
    assert asked_wait_s({}, retry_info(delay)) == seconds
    assert asked_wait_s({"retry-after": "1"}, retry_info(delay)) == 1.0


@given(st.binary(max_size=60).map(lambda data: b"RetryInfo" + data) | st.text().map(lambda text: retry_info(text)))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    wait = asked_wait_s({}, body)
    assert wait is None or wait >= 0


@given(st.dictionaries(st.sampled_from(["x-ratelimit-remaining-a", "x-ratelimit-reset-a", "retry-after"]), st.text()))
def test_no_header_breaks_the_reader(headers: dict[str, str]) -> None:
    wait = asked_wait_s(headers)
    assert wait is None or wait >= 0
