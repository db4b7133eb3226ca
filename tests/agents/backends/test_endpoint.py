import json
from typing import Any

import pytest

from palaestra.agents.backends.endpoint import Endpoint, check_url
from palaestra.errors import ConfigError, ContentFilterError, ContextWindowError, ModelError, UsageError

ENDPOINT = Endpoint(name="m", model="m", base_url="http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    "error",
    [
        {"code": "context_length_exceeded", "message": "Too long."},
        {"message": "This model's maximum context length is 8192 tokens."},
        {"message": "the request exceeds the available context size"},
    ],
)
def test_a_prompt_beyond_the_context_is_told_apart_from_other_refusals(error):
    with pytest.raises(ContextWindowError, match="answered 400"):
        ENDPOINT.fail(400, {}, json.dumps({"error": error}).encode())


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": {"message": "No.", "code": 5, "type": "bad"}}', "No. (bad)"),
        (b'{"error": {"message": "No.", "code": "x", "type": "bad"}}', "No. (x)"),
        (b'{"error": {"message": "No.", "status": "S", "code": 5}}', "No. (S)"),
        (b'{"error": {"message": "No.", "code": 5}}', "No. (5)"),
        (b'[{"error": {"message": "No."}}]', "No."),
        (b'{"message": "No.", "code": ""}', "No. ()"),
        (b'{"error": "No  way."}', "No way."),
        (b'{"detail": [1]}', '{"detail": [1]}'),
        (b"[1, 2]", "[1, 2]"),
        (b"<p>No.</p>", "<p>No.</p>"),
        (b"", "(no text)"),
        (b'{"error": {"message": "' + b"x" * 500 + b'"}}', "x" * 200 + "..."),
    ],
)
def test_what_an_error_says_is_told_with_its_code(body, text):
    with pytest.raises(ModelError) as caught:
        ENDPOINT.fail(418, {}, body)
    assert str(caught.value) == f"http://127.0.0.1:9/v1/chat/completions answered 418: {text}"


@pytest.mark.parametrize(
    ("option", "refused", "taken", "expected"),
    [
        (
            "timeout_s",
            [0, -1, 10**8 + 1, None, float("nan"), True],
            [1e-9, 10**8],
            "a number above 0 and at most 100,000,000.",
        ),
        ("connect_timeout_s", [0, 10**8 + 1, None], [1e-9, 10**8], "a number above 0 and at most 100,000,000."),
        (
            "read_timeout_s",
            [0, 10**8 + 1],
            [1e-9, 10**8, None],
            "a number above 0 and at most 100,000,000, or None for that of",
        ),
        ("max_connections", [0, 1.5, None, 10**15 + 1], [1, 10**15], "a whole number of at least 1 and at most"),
        ("max_response_bytes", [0, 1.5, None, 10**15 + 1], [1, 10**15], "a whole number of at least 1 and at most"),
        (
            "max_tools",
            [-1, 1.5],
            [0, 128, None],
            "a whole number of at least 0 and at most .*, or None for the server's own limit.",
        ),
        (
            "max_tokens_field",
            ["tokens", ""],
            [None, "max_tokens", "max_completion_tokens"],
            "max_tokens or max_completion_tokens",
        ),
    ],
)
def test_limits_are_taken_up_to_their_bounds(option, refused, taken, expected):
    for value in taken:
        assert getattr(Endpoint(name="m", model="m", base_url="http://127.0.0.1:9/v1", **{option: value}), option) == value
    for value in refused:
        with pytest.raises(ConfigError, match=f"{option} is {value!r}; expected {expected}"):
            Endpoint(name="m", model="m", base_url="http://127.0.0.1:9/v1", **{option: value})


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://h/v1/", "http://h/v1"),
        ("http://h/v1//", "http://h/v1"),
        ("https://h", "https://h"),
        ("http://h/vX/", "http://h/vX"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1"),
    ],
)
def test_a_base_url_loses_its_last_slashes_and_nothing_else(given, kept):
    assert check_url(given) == kept


@pytest.mark.parametrize(
    "url", ["", "h/v1", "ftp://h/v1", "http://", "http://h:0/v1", "http://h:x/v1", "http://h /v1", "http://[::1/v1"]
)
def test_what_is_no_base_url_is_refused(url):
    with pytest.raises(UsageError, match=r"is not a base URL\. Expected http://HOST:PORT/v1 or https://HOST/v1"):
        check_url(url)


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (404, False), (429, True), (500, True)])
def test_other_refusals_are_plain_model_errors(status, retryable):
    with pytest.raises(ModelError) as caught:
        ENDPOINT.fail(status, {}, b'{"error": {"message": "no such tool"}}')
    assert type(caught.value) is ModelError
    assert (caught.value.status, caught.value.retryable) == (status, retryable)


@pytest.mark.parametrize(
    ("base_url", "path", "is_missing"),
    [
        ("http://127.0.0.1:9", "/chat/completions", True),
        ("http://127.0.0.1:9", "/responses", True),
        ("http://127.0.0.1:9/proxy", "/chat/completions", True),
        ("http://127.0.0.1:9/v1", "/chat/completions", False),
        ("http://127.0.0.1:9/api/v3", "/chat/completions", False),
        ("http://127.0.0.1:9", "/openai/deployments/x/chat/completions", False),
        ("http://127.0.0.1:9", "/v1/messages", False),
        ("http://127.0.0.1:9", "/generate", False),  # no path of this form of server
    ],
)
def test_a_404_says_that_the_base_url_has_no_version(base_url, path, is_missing):
    endpoint = Endpoint(name="m", model="m", base_url=base_url, path=path)
    with pytest.raises(ModelError) as caught:
        endpoint.fail(404, {}, b"{}")
    assert str(caught.value).endswith(f"want it: {base_url}/v1.") == is_missing
    assert ("has no /v1" in str(caught.value)) == is_missing
    with pytest.raises(ModelError) as other:
        endpoint.fail(401, {}, b"{}")
    assert "/v1, with" not in str(other.value)


KEY_REFUSED = b'[{"error": {"message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}]'


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b"{}", "{} Check the API key."),
        (402, b"{}", "{} Check the API key and the credit of its account."),
        (403, b"{}", "{} Check the API key and what it may use."),
        (404, b"{}", "{} Check the base URL and the model's name."),
        (400, b"{}", "{}"),
        (409, b"{}", "{}"),
        (500, b"{}", "{}"),
        (400, b'{"message": "API_KEY_INVALID"}', "API_KEY_INVALID Check the API key."),
        (
            400,
            KEY_REFUSED,
            "API key not valid. Please pass a valid API key. (INVALID_ARGUMENT) Check the API key.",
        ),
        (409, b'{"message": "API_KEY_INVALID"}', "API_KEY_INVALID"),
        (402, b'{"message": "API_KEY_INVALID"}', "API_KEY_INVALID Check the API key and the credit of its account."),
    ],
)
def test_a_refusal_with_one_cause_ends_with_the_next_move(status: int, body: bytes, said: str) -> None:
    with pytest.raises(ModelError) as caught:
        ENDPOINT.fail(status, {}, body)
    assert str(caught.value) == f"http://127.0.0.1:9/v1/chat/completions answered {status}: {said}"


@pytest.mark.parametrize(
    ("error", "filtered"),
    [
        ({"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}, True),
        ({"code": "invalid_prompt", "message": "Your prompt was flagged as potentially violating our usage policy."}, True),
        ({"code": "invalid_prompt", "message": "The input is not a list."}, False),
    ],
)
def test_refusals_of_filters_are_told_apart_from_others(error, filtered):
    with pytest.raises(ModelError) as caught:
        ENDPOINT.fail(400, {}, json.dumps({"error": error}).encode())
    assert isinstance(caught.value, ContentFilterError) is filtered


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        ({"type": "exceeded_current_quota_error", "message": "Your account is suspended."}, False),
        ({"code": "1113", "message": "余额不足或无可用资源包,请充值。"}, False),
        ({"code": "1302", "message": "您当前使用该API的并发数过高"}, True),
    ],
)
def test_a_spent_account_is_not_asked_again(error, retryable):
    with pytest.raises(ModelError) as caught:
        ENDPOINT.fail(429, {}, json.dumps({"error": error}).encode())
    assert caught.value.retryable is retryable


@pytest.mark.parametrize("key", [["mk9-key-1"], {"a": "mk9-key-1"}, ("mk9-key-1",), True, b"mk9-key-1"])
def test_a_key_that_is_not_a_text_is_refused_unseen(key: object) -> None:
    with pytest.raises(ConfigError, match=f"The api_key is a {type(key).__name__}; expected a text") as refused:
        Endpoint(name="s", model="m", base_url="http://h/v1", api_key=key)  # type: ignore[arg-type]
    assert "mk9" not in str(refused.value)


@pytest.mark.parametrize("given", [{"api_key": "mk9-schlüssel"}, {"headers": {"X-T": "mk9-é"}}, {"headers": {"X-é": "mk9"}}])
def test_keys_and_headers_are_ascii_or_refused_unseen(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="not ASCII") as refused:
        Endpoint(name="s", model="m", base_url="http://h/v1", **given)
    assert "mk9" not in str(refused.value)
    assert Endpoint(name="s", model="m", base_url="http://h/v1", api_key=12.5).api_key == "12.5"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "token", "base_url", "query"),
    [
        ("http://user:word@h:80/v1/", "dXNlcjp3b3Jk", "http://h:80/v1", ""),
        ("http://us%40er:w%3Ard@h/v1?a=b", "dXNAZXI6dzpyZA==", "http://h/v1", "a=b"),
        ("http://user@h", "dXNlcjo=", "http://h", ""),
        ("http://h/v1?a=b&c", None, "http://h/v1", "a=b&c"),
        ("http://h/v1", None, "http://h/v1", ""),
    ],
)
def test_user_and_query_of_an_address_become_header_and_query(url: str, token: str | None, base_url: str, query: str) -> None:
    made = Endpoint(name="m", model="m", base_url=url, headers={"X-T": "a"})
    assert dict(made.headers) == {**({"Authorization": f"Basic {token}"} if token else {}), "X-T": "a"}
    assert (made.base_url, made.query) == (base_url, query)
    own = Endpoint(name="m", model="m", base_url=url, headers={"Authorization": "Own x"})
    assert dict(own.headers) == {"Authorization": "Own x"}
