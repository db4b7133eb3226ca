from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.store.store import RunStore
from palaestra.agents.view.access import Access, is_loopback
from palaestra.errors import UsageError
from tests.agents.report import build
from tests.agents.view.serving import get, raw, serving

TOKEN = "a-token-of-24-characters"


@pytest.fixture
def runs(tmp_path):
    with RunStore(tmp_path) as store:
        build.add_evaluation(store, n=2)
    return tmp_path


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "10.0.0.1"])
def test_an_address_that_others_reach_needs_a_token(tmp_path, host):
    with pytest.raises(UsageError, match="can be reached by others, so it needs a token"):
        Access(host)
    Access(host, TOKEN)


def test_a_token_that_can_be_guessed_is_refused():
    with pytest.raises(UsageError, match="has 3 characters; expected at least 16"):
        Access("127.0.0.1", "abc")


def test_an_unknown_name_is_one_clear_error():
    with pytest.raises(UsageError, match=r"'no-such-host\.invalid' is not known here"):
        is_loopback("no-such-host.invalid")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.0.0.2"])
def test_addresses_of_loopback_need_none(host):
    Access(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:9000", "localhost", "LOCALHOST:1", "[::1]", "[::1]:80", "127.9.9.9"])
def test_names_of_this_machine_are_answered_at_any_port(runs, host):
    with serving(runs) as server:
        assert get(server, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example:8742",
        "localhost@evil.example",
        "0.0.0.0",
        "evil.example/localhost",
        "localhost/evil.example",
        "localhost?evil.example",
        "evil.example@localhost",
        "evil.example#localhost",
        "192.0.2.1",
        "[::ffff:192.0.2.1]",
        "[",
        "a b",
        "2130706433",
        "*",
    ],
)
def test_a_page_of_the_web_under_another_name_reads_nothing(runs, host):
    with serving(runs) as server:
        answer = raw(server, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.0 403 ")
    assert b"eval-1" not in answer


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: localhost\r\n", b"Host:\r\n"])
def test_requests_have_one_host(runs, hosts):
    with serving(runs) as server:
        assert raw(server, b"GET / HTTP/1.1\r\n" + hosts + b"\r\n").startswith(b"HTTP/1.0 403 ")


@given(st.text(st.characters(codec="latin-1"), max_size=40))
def test_no_name_but_those_of_loopback_is_ours(name):
    verdict = Access("127.0.0.1").verdict({"host": [name]}, {}, 1)
    bare = name.rpartition(":")[0] if name.rpartition(":")[2].isdecimal() and ":" in name else name
    ours = bare.lower().strip("[]") in ("localhost", "::1") or bare.startswith("127.")
    assert verdict == "wrong host" or ours, name


def test_with_a_token_the_first_visit_gives_a_cookie_that_is_not_the_token(runs):
    with serving(runs, token=TOKEN) as server:
        assert get(server).status_code == 401
        assert "eval-1" not in get(server).text
        first = get(server, f"/run?run=eval-1&token={TOKEN}")
        assert (first.status_code, first.headers["Location"]) == (303, "/run?run=eval-1")
        cookie = first.headers["Set-Cookie"]
        assert TOKEN not in cookie
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        kept = {"Cookie": cookie.partition(";")[0]}
        assert "eval-1" in get(server, "/", headers=kept).text
        assert get(server, "/", headers={"Cookie": kept["Cookie"][:-1] + "x"}).status_code == 401
        assert "eval-1" in get(server, "/", headers={"Authorization": f"Bearer {TOKEN}"}).text
        assert get(server, "/", headers={"Authorization": f"Bearer {TOKEN[:-1]}"}).status_code == 401
        assert get(server, "/", headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401
        assert get(server, "/", headers={**kept, "Host": "behind.a-proxy.example"}).status_code == 200
        for wrong in ("", TOKEN[:-1], TOKEN + "x", "é" * 20):
            assert get(server, "/", params={"token": wrong}).status_code == 401
        for path in ("/static/view.js", "/state", "/episodes?run=eval-1", "/nothing"):
            assert get(server, path).status_code == 401, path


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/nothing", "/%0d%0aSet-Cookie:x=1"])
def test_the_first_visit_leads_to_pages_of_the_view_alone(runs, path):
    with serving(runs, token=TOKEN) as server:
        answer = raw(server, f"GET {path}?token={TOKEN} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()).decode()
    assert "\r\nLocation: /\r\n" in answer
    assert answer.count("Set-Cookie") == 1
