from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents import masking
from palaestra.agents.masking import (
    MASK,
    check_unmasked,
    mask_logs,
    masked,
    masked_error,
    may_hold_secrets,
    remember_secrets,
    without_secrets,
)
from palaestra.agents.secret_spellings import SecretFinder
from palaestra.errors import ConfigError, ModelError

SECRET = "mk-7Zq!x/9+e@r"
words = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-", min_size=1, max_size=12)
secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=20).filter(
    lambda text: MASK not in text
)


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_finder", SecretFinder())


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
NAMES = st.sampled_from(["n", "split", "task_key", "max_tokens", "model"])
PLAIN = st.recursive(LEAVES, lambda leaf: st.lists(leaf, max_size=3) | st.dictionaries(NAMES, leaf, max_size=3), max_leaves=12)


def test_headers_are_masked_whatever_they_are_called() -> None:
    given = {"headers": {"X-Team": "blue", "X": 7}, "extra_headers": [["a", "b"]], "default_query": {"v": "1"}}
    assert masked(given) == {"headers": {"X-Team": MASK, "X": MASK}, "extra_headers": MASK, "default_query": {"v": MASK}}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://user:key@host:8000/v1#name", "http://***@host:8000/v1#name"),
        ("https://key@host/v1?a=1&key=2#m?x=3", "https://***@host/v1?a=***&key=***#m?x=3"),
        ("http://u:p/w@host/v1#m", "http://***@host/v1#m"),
        ("http://u:p#w?d@host/v1#m", "http://***@host/v1#m"),
        ("http://host:8000/v1#claude@2024", "http://host:8000/v1#claude@2024"),
        ("http://[::1]:8000/v1#a@b", "http://[::1]:8000/v1#a@b"),
        ("http://host/v1?bare", "http://host/v1?***"),
        ("http://127.0.0.1:8000/v1#name", "http://127.0.0.1:8000/v1#name"),
        ("openai:gpt-5-mini", "openai:gpt-5-mini"),
        ("hf:/models/x", "hf:/models/x"),
        ("no server at 'http://a:b@c/v1', try again", "no server at 'http://***@c/v1', try again"),
        ("sent Authorization: Bearer abcdef123, refused", "sent Authorization: Bearer ***, refused"),
        ("Incorrect API key provided: sk-abcdefghij0123456789", "Incorrect API key provided: ***"),
    ],
)
def test_texts(url: str, expected: str) -> None:
    assert masked(url) == expected
    assert masked(expected) == expected


@given(secret=secrets, host=words, before=words, after=words)
def test_a_remembered_secret_is_found_in_every_spelling(secret: str, host: str, before: str, after: str) -> None:
    masking._finder = SecretFinder()
    remember_secrets({"headers": {"X-Own": secret}})
    if secret.lower() in masking._PLACEHOLDERS:
        return
    for text in (secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]):
        assert secret not in masked(f"{before} {text} {after}").replace(before, "", 1)
        assert MASK in masked(f"{before}{text}{after}")
        assert masked(masked(f"{before}{text}")) == masked(f"{before}{text}")


@given(PLAIN)
def test_plain_data_without_secrets_stays(data: object) -> None:
    masking._finder = SecretFinder()
    text = json.dumps(data)
    if "://" not in text and "Bearer" not in text:
        assert masked(data) == data
    if not may_hold_secrets(text):
        assert masked(data) == data


def test_password_and_basic_credentials_of_a_url_are_remembered() -> None:
    remember_secrets("http://user:pass-word@host/v1?k=query-value#m")
    assert masked("got pass-word, query-value and dXNlcjpwYXNzLXdvcmQ=") == "got ***, *** and ***"
    assert masked("user") == "user"


def test_a_secret_of_the_environment_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", "the-acme-key")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:proxy-pass@proxy:3128")
    remember_secrets()
    assert masked("the-acme-key proxy-pass") == "*** ***"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("PWD", "{folder}"), ("OLDPWD", "{folder}"), ("GOOGLE_APPLICATION_CREDENTIALS", "{folder}/key.json")),
        *(("POSTGRES_PASSWORD", "palaestra"), ("ACME_TOKEN", "random"), ("SSH_AUTH_SOCK", "{folder}/s")),
    ],
)
def test_folders_and_words_of_the_environment_are_no_secrets(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key.json").write_text("{}")
    monkeypatch.setenv(name, value.format(folder=tmp_path))
    remember_secrets()
    kept = {"env_id": "palaestra/Desk-v0", "folder": str(tmp_path), "file": f"{tmp_path}/key.json", "agent": "random"}
    assert masked(kept) == kept


PATHS = st.lists(st.sampled_from(["extra", "metadata", "list", "tuple", "name and value", "JSON"]), max_size=5)


def nested(value: object, path: list[str]) -> object:
    for step in path:
        match step:
            case "list":
                value = ["a", value]
            case "tuple":
                value = (value, 1)
            case "name and value":
                value = {"name": "model", "value": value}
            case "JSON":
                value = json.dumps(value)
            case _:
                value = {"n": 1, step: value}
    return value


@given(PATHS, st.sampled_from(["api_key", "clientSecret", "credentials", "headers", "token"]), PATHS, st.booleans())
def test_what_stands_under_the_name_of_a_secret_is_remembered_at_any_depth(
    outside: list[str], name: str, inside: list[str], beside: bool
) -> None:
    masking._finder = SecretFinder()
    value = nested(SECRET, [step for step in inside if step != "JSON"])
    given_ = nested({"name": name, "value": value} if beside and name != "headers" else {name: value}, outside)
    remember_secrets({"options": given_})
    assert SECRET not in str(masked(given_))
    assert masked(f"it said {SECRET}") == f"it said {MASK}"
    assert without_secrets({"a": [f"it said {SECRET}"]}) == {"a": [f"it said {MASK}"]}


@given(
    st.recursive(
        st.text(st.sampled_from("aZ0-!x"), min_size=8, max_size=12) | st.integers() | st.floats(allow_nan=False),
        lambda leaf: (
            st.lists(leaf, max_size=3)
            | st.dictionaries(st.sampled_from(["token", "a", "b_key", "api_key", "headers", "X-Own", "field", "value"]), leaf)
        ),
    )
)
def test_what_is_masked_in_options_is_remembered(options: object) -> None:
    def leaves(value: object) -> set[str]:
        if isinstance(value, dict):
            return {leaf for item in value.values() for leaf in leaves(item)}
        if isinstance(value, list):
            return {leaf for item in value for leaf in leaves(item)}
        return {str(value)}

    masking._finder = SecretFinder()
    hidden = leaves(options) - leaves(masked(options))
    remember_secrets({"options": options})
    for text in hidden:
        if len(text) >= 4 and text.lower() not in masking._PLACEHOLDERS:
            assert MASK in masked(f"it said {text} again")


@pytest.mark.parametrize(
    "value", ["mk-7Zq-number", b"mk-7Zq-number", ["mk-7Zq-number"], {"mk-7Zq-number"}, 12345678, 1234.5678]
)
def test_values_of_any_kind_are_remembered(value: object) -> None:
    remember_secrets({"api_key": value})
    text = "mk-7Zq-number" if not isinstance(value, (int, float)) else str(value)
    assert masked(f"it said {text}") == "it said ***"


def test_settings_with_names_and_values_are_looked_through() -> None:
    stored = [{"name": "X_API_KEY", "value": "a"}, {"key": "model", "value": "b"}, {"name": "password"}]
    assert may_hold_secrets(json.dumps(stored))
    assert masked(stored) == [{"name": "X_API_KEY", "value": MASK}, stored[1], stored[2]]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY", "SOCKS_PROXY"])
@pytest.mark.parametrize("form", ["http://me:{}@proxy:3128", "socks5h://me:{}@[::1]:1", "me:{}@proxy:3128"])
def test_passwords_of_proxies_are_looked_for_in_answers(name: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, form.format("proxy-pass-1"))
    remember_secrets()
    assert masked("it said proxy-pass-1") == "it said ***"
    assert without_secrets(["it said proxy-pass-1"]) == ["it said ***"]


def test_words_that_stand_for_no_key_are_not_masked_elsewhere() -> None:
    remember_secrets({"api_key": "EMPTY"}, {"api_key": "none"}, {"token": "x"})
    remember_secrets({"password": "password"})
    kept = "none is empty, x is EMPTY; a password"
    assert masked(kept) == kept


def test_headers_that_say_who_asks_are_masked_where_they_are_given_and_nowhere_else() -> None:
    headers = {"X-Title": "Palaestra", "HTTP-Referer": "https://u:pass-word@example.com", "Accept": "application/json"}
    remember_secrets({"headers": headers | {"X-Team": "blue-team"}})
    kept = {"env_id": "palaestra/Desk-v0", "format": "application/json", "page": "https://example.com"}
    assert masked(kept) == kept
    assert masked({"headers": headers}) == {"headers": dict.fromkeys(headers, MASK)}
    assert masked("pass-word blue-team") == "*** ***"


def test_each_value_of_a_cookie_is_remembered() -> None:
    remember_secrets({"headers": {"Cookie": "sid=7Zq9x-Rk; theme=dark"}})
    assert masked("7Zq9x-Rk on a dark page") == "*** on a dark page"


class Odd(Exception):
    """Its text is made of an attribute that cannot be set."""

    __slots__ = ("_kept",)

    def __init__(self, kept: str) -> None:
        super().__init__()
        self._kept = kept

    def __str__(self) -> str:
        return self._kept


class Described(Exception):
    """Its text is made of an attribute."""

    def __init__(self, body: str) -> None:
        super().__init__("x")
        self.body = {"error": body}

    def __str__(self) -> str:
        return f"body {self.body}"


def raise_three() -> None:
    try:
        try:
            raise Odd(SECRET)
        except Odd as odd:
            raise Described(f"got {SECRET}") from odd
    except Described:
        raise ValueError("outer", SECRET)  # noqa: B904


def test_errors_are_masked_with_what_they_were_raised_from() -> None:
    remember_secrets({"api_key": SECRET})
    with pytest.raises(ValueError, match="outer") as caught:
        raise_three()
    error = caught.value
    error.add_note(f"note {SECRET}")
    assert masked_error(error) is error
    assert error.args == ("outer", MASK)
    assert error.__notes__ == [f"note {MASK}"]
    inner = error.__context__
    assert isinstance(inner, Described)
    assert SECRET not in str(inner)
    assert inner.__cause__ is None


def test_members_of_groups_and_both_origins_of_an_error_are_masked() -> None:
    remember_secrets({"api_key": SECRET})
    cause, context = ValueError(f"cause {SECRET}"), KeyError("context", SECRET.encode(), ("a", [f"b {SECRET}"]))
    outer = RuntimeError("outer")
    outer.__context__, outer.__cause__ = context, cause
    group = ExceptionGroup("several", [ValueError(f"inner {SECRET}"), outer])
    assert masked_error(group) is group
    assert not [line for line in traceback.format_exception(group) if SECRET in line]
    assert context.args == ("context", MASK.encode(), ("a", [f"b {MASK}"]))
    assert cause.args == (f"cause {MASK}",)
    assert str(group.exceptions[0]) == f"inner {MASK}"


def test_a_group_with_a_member_that_cannot_be_changed_is_replaced() -> None:
    remember_secrets({"api_key": SECRET})
    group = ExceptionGroup("several", [ValueError("a"), ExceptionGroup("inner", [OSError(5, f"tls {SECRET}")])])
    safe = masked_error(group)
    assert isinstance(safe, ModelError)
    assert SECRET not in "".join(traceback.format_exception(safe))
    outer = RuntimeError("outer")
    outer.__cause__ = group
    assert masked_error(outer) is outer
    assert SECRET not in "".join(traceback.format_exception(outer))


def test_named_tuples_and_other_attributes_of_errors_keep_their_type() -> None:
    remember_secrets({"api_key": SECRET})
    request, error = Request(f"http://h/?k={SECRET}", 5), RuntimeError("x")
    error.request, error.number, error.body = request, 7, b"got " + SECRET.encode()  # type: ignore[attr-defined]
    masked_error(error)
    assert error.request == Request(f"http://h/?k={MASK}", 5)  # type: ignore[attr-defined]
    assert isinstance(error.request, Request)  # type: ignore[attr-defined]
    assert (error.number, error.body) == (7, b"got ***")  # type: ignore[attr-defined]


class Request(NamedTuple):
    """What some clients attach to their errors."""

    url: str
    tries: int


def test_an_error_that_cannot_be_changed_is_replaced() -> None:
    remember_secrets({"api_key": SECRET})
    safe = masked_error(Odd(f"got {SECRET}"))
    assert isinstance(safe, ModelError)
    assert str(safe) == f"Odd: got {MASK}"


def test_logs_of_clients_are_masked(caplog: pytest.LogCaptureFixture) -> None:
    child = logging.getLogger("httpx2.some_child")
    remember_secrets({"api_key": SECRET})
    mask_logs()
    mask_logs()
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="openai"):
        child.info("HTTP Request: %s", f"http://a:b@c/?k={SECRET}")
        logging.getLogger("openai").debug({"headers": {"x": SECRET}})
    assert SECRET not in caplog.text
    assert "http://***@c/?k=***" in caplog.text


def test_what_nobody_remembered_is_masked_after_its_name_in_errors_and_logs(caplog: pytest.LogCaptureFixture) -> None:
    error = ValueError("refused api_key=unknown-1", {"body": '{"token": "unknown-2"}'})
    masked_error(error)
    assert error.args == ("refused api_key=***", {"body": '{"token": "***"}'})
    mask_logs()
    with caplog.at_level(logging.DEBUG, logger="httpx"):  # whatever level others have set
        logging.getLogger("httpx").info("sent client_secret=%s", "unknown-3")
    assert "client_secret=***" in caplog.text


def test_the_error_that_a_client_logs_is_masked(caplog: pytest.LogCaptureFixture) -> None:
    remember_secrets({"api_key": SECRET})
    mask_logs()
    with caplog.at_level(logging.DEBUG):
        try:
            raise RuntimeError(f"tls of {SECRET}")
        except RuntimeError:
            logging.getLogger("openai").exception("failed")
    assert "tls of ***" in caplog.text
    assert SECRET not in caplog.text


def test_secrets_are_remembered_one_after_another_with_and_without_escapes() -> None:
    remember_secrets({"api_key": "first-key-1"})
    remember_secrets({"api_key": "second%2Fkey%202"})
    assert masked("first-key-1, second/key 2, second%2Fkey%202, second/key+2") == "***, ***, ***, ***"


def test_what_the_context_of_an_error_was_raised_from_is_masked() -> None:
    remember_secrets({"api_key": SECRET})
    error, cause, context = RuntimeError("outer"), ValueError("cause"), KeyError("context")
    error.__context__, error.__cause__, context.__cause__ = context, cause, ValueError(f"deep {SECRET}")
    masked_error(error)
    assert str(context.__cause__) == "deep ***"


def test_what_was_stored_without_its_secrets_is_refused() -> None:
    for value in (MASK, {"X-Key": MASK}, "http://***@host/v1#m", ["a", {"b": "http://h/v1?k=***"}]):
        with pytest.raises(ConfigError, match="without its secrets; give the whole value again"):
            check_unmasked("headers", value)
    check_unmasked("system_prompt", "Rules\n***\nGo.")
