from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents import masking
from palaestra.agents.backends.registry import BACKENDS
from palaestra.agents.masking import MASK, masked, masked_message, remember_secrets
from palaestra.agents.secret_places import mask_shapes
from palaestra.agents.secret_spellings import SecretFinder
from palaestra.cli.seats import masked_word

S = "Zq7-secretvalue"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_finder", SecretFinder())


@pytest.mark.parametrize(
    "text",
    [
        "http://host/app;jsessionid={}",
        "http://host/app;jsessionid={}/page?x=1",
        "http://host/a;v=1;sid={}#m",
        "http://host/#access_token={}",
        "https://host/cb#state=1&access_token={}&token_type=bearer",
        "http://host/v1#key={}",
        "http://host/v1#/route?api_key={}",
        "http://host/v1?a&k={}#m",
        "http://user:{}@host/v1",
        "postgres://user:{}@host:5432/db",
    ],
)
def test_places_in_urls(text: str) -> None:
    url = text.format(S)
    for shown in (
        masked(url),
        masked(f"no answer of {url} today"),
        masked({"base_url": url})["base_url"],
        masked_message(url),
    ):
        assert S not in shown
        assert MASK in shown
        assert "host" in shown
    remember_secrets({"base_url": url})
    assert masked(f"it said {S.upper()}") == f"it said {MASK}"


@pytest.mark.parametrize(
    "url", ["http://host/v1#model", "http://host/v1#m?x=3", "http://h/v1#org/name:tag", "http://h/v1#a=b", "http://h/a;b/c"]
)
def test_names_of_models_in_urls_stay(url: str) -> None:
    assert masked(url) == url


@pytest.mark.parametrize(
    "text",
    [
        "api_key={}",
        "api_key:{}",
        "api_key: {}",
        "api_key => {}",
        "--option api_key:{}",
        "--option api_key={} --env x",
        "--api-key={}",
        "--header 'Authorization: Bearer {}'",
        '--header "Authorization: Bearer {}" http://h',
        "-H 'X-Api-Key: {}'",
        "Authorization: Token {}, refused",
        "authorization: bearer {}",
        "Proxy-Authorization: Basic {}",
        "export DB_PASSWORD='{}'",
        'OPENAI_API_KEY="{}"',
        "OPENAI_API_KEY={}\nHOME=/root",
        "set ACME_TOKEN = {}",
        '{{"token": "{}"}}',
        '{{\\"client_secret\\": \\"{}\\"}}',
        "{{'password': '{}', 'user': 'me'}}",
        "Cookie: theme=dark; session={}; lang=en",
        "Set-Cookie: sid={}; Path=/",
        "AWS4-HMAC-SHA256 Credential={}/x, SignedHeaders=host, Signature={}",
        "jsessionid={}",
        "u:{}@host.example",
        "u:{}@h",
        "psql user:{}@localhost:5432/db",
        "base URL 'u:{}@10.0.0.1' has no scheme",
        "AccountName=x;AccountKey={};EndpointSuffix=core",
    ],
)
@pytest.mark.parametrize("secret", [S, "mk9+/=="])
def test_places_in_messages(text: str, secret: str) -> None:
    shown = masked_message(text.format(secret, secret))
    assert secret.rstrip("=") not in shown
    assert MASK in shown
    assert masked_message(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "password: required",
        "token: expected a text",
        "the token: it was refused",
        "my_package.auth:TokenAgent has no act",
        "api_key=None",
        "max_tokens=500, token_budget: 12345678",
        "KEY=VALUE",
        "Basic understanding of the bearer token",
        "mailto:ann@host.example",
        "at 12:30 me@host.example wrote",
        "image:tag@sha256",
        "is a == b? token",
        "give --option api_key=*** again",
    ],
)
def test_prose_stays(text: str) -> None:
    assert masked_message(text) == text


@pytest.mark.parametrize("scheme", [*BACKENDS, "vllm", "vertex_ai"])
def test_model_strings_stay(scheme: str) -> None:
    for model in (f"{scheme}:org/name@main", f"{scheme}:name@main", f"{scheme}:name@2024-05-01", "my.auth:Agent"):
        assert masked_message(f"Unknown model {model!r}.") == f"Unknown model {model!r}." or scheme in ("http", "https")
        assert masked(model) == model
        assert masked({"model": model, "system_prompt": "Enter password=abc1234 to win."}) == {
            "model": model,
            "system_prompt": "Enter password=abc1234 to win.",
        }


def test_addresses_without_a_scheme_are_masked_in_settings() -> None:
    assert masked({"base_url": f"me:{S}@host.example/v1"}) == {"base_url": f"{MASK}@host.example/v1"}
    remember_secrets({"base_url": f"me:{S}@host.example/v1"})
    assert masked(f"got {S}") == f"got {MASK}"


@pytest.mark.parametrize("name", ["Authorization: Bearer {}", "X-Api-Key: {}", "mk9-0123456789-abc{}"])
def test_headers_whose_name_holds_the_secret(name: str) -> None:
    options = {"headers": {name.format(S): "x", "X-Team": "y"}}
    shown = masked(options)["headers"]
    assert S not in str(shown)
    assert len(shown) == 2
    assert shown["X-Team"] == MASK
    remember_secrets(options)
    assert S not in masked(f"refused {name.format(S)}")
    assert S.lower() not in masked(f"refused {name.format(S).lower()}")


def test_names_of_known_secrets_are_masked_in_mappings() -> None:
    remember_secrets({"api_key": S})
    assert masked({S: 1, S.upper(): 2, "a": 3}) == {MASK: 1, f"{MASK} 2": 2, "a": 3}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (f"api_key={S}", f"api_key={MASK}"),
        (f"api_key:{S}", f"api_key:{MASK}"),
        ("api_key:ab", f"api_key:{MASK}"),
        ("user.api_key=ab", f"user.api_key={MASK}"),
        ("pwd=ab", f"pwd={MASK}"),
        ("headers={X-Team='ab'}", f"headers={MASK}"),
        (f"Authorization: Bearer {S}", f"Authorization:{MASK}"),
        (f"u:{S}@host.example", f"{MASK}@host.example"),
        (f"http://u:{S}@h/v1#m", f"http://{MASK}@h/v1#m"),
        ("max_tokens=12", "max_tokens=12"),
        ("openai:gpt-5", "openai:gpt-5"),
        ("palaestra/Desk-v0", "palaestra/Desk-v0"),
    ],
)
def test_words_of_a_command_that_is_shown(word: str, expected: str) -> None:
    assert masked_word(word) == expected


@pytest.mark.parametrize("end", [" ", "\n", "\r\n", "\t"])
@pytest.mark.parametrize("start", ["", " "])
def test_a_key_is_known_without_the_blanks_it_was_given_with(start: str, end: str) -> None:
    remember_secrets({"api_key": f"{start}{S}{end}", "headers": {"X": f"Bearer mk9-bearer1{end}"}})
    assert masked(f"<{S}> <mk9-bearer1>") == f"<{MASK}> <{MASK}>"


@given(
    st.text(st.sampled_from("abZ09-é"), min_size=2, max_size=8), st.text(st.sampled_from("abZ09-:é"), min_size=6, max_size=12)
)
def test_basic_authorization_is_known_decoded(user: str, password: str) -> None:
    import base64

    masking._finder = SecretFinder()
    coded = base64.b64encode(f"{user}:{password}".encode()).decode()
    for value in (f"Basic {coded}", f"basic {coded.rstrip('=')}"):
        masking._finder = SecretFinder()
        remember_secrets({"headers": {"Authorization": value}})
        for leaked in (coded, coded.rstrip("="), f"{user}:{password}", password, base64.b64encode(password.encode()).decode()):
            assert password not in (shown := masked(f"it said <{leaked}>."))
            assert MASK in shown


@pytest.mark.parametrize(
    ("length", "alone", "within"),
    [(1, False, False), (2, False, False), (3, False, False), (4, True, False), (5, True, False), (6, True, True)],
)
def test_how_short_a_secret_is_looked_for(length: int, alone: bool, within: bool) -> None:
    secret = "q8w7e6"[:length]
    remember_secrets({"api_key": secret}, f"http://u:{secret}@h/v1")
    page = "A page of text: quite a few letters q, w and e, 8 of 7 and 6."
    assert masked(page) == page
    assert masked_message(page) == page
    assert (MASK in masked(f"wrong key '{secret}'.")) == alone
    assert (MASK in masked(f"abc{secret}def")) == within
    for shown in (masked({"api_key": secret}), masked(f"http://u:{secret}@h/v1"), masked_message(f"api_key={secret}")):
        assert MASK in str(shown)
        assert secret not in str(shown).replace("api_key", "").replace("http://", "")


@pytest.mark.parametrize(
    "key",
    [
        *("sk-abcdefghij0123456789", "sk-proj-abc_DEF-0123456789", "rk_live_0123456789abcdefg", "hf_abcdefghij0123456789"),
        *(
            "ghp_abcdefghij0123456789",
            "github_pat_11ABCDEFG0123456789",
            "glpat-abcdefghij0123456789",
            "xoxb-123456789012-abcdef",
        ),
        *("AIzaabcdefghijklmnopqrstuvwxyz0123456", "AKIAABCDEFGHIJKLMNOP", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_123"),
    ],
)
def test_shapes_of_keys(key: str) -> None:
    assert mask_shapes(f"a {key}, b") == f"a {MASK}, b"
    assert mask_shapes(f"Bearer {key}") == f"Bearer {MASK}"
