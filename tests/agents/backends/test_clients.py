"""Which key and address a model string takes from where, and which client speaks to it."""

from typing import Any

import pytest

from palaestra.agents.backends.clients import from_name, from_url
from palaestra.errors import UsageError

KEYS = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "PALAESTRA_API_KEY")


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


def endpoint(backend: Any) -> Any:
    return backend.endpoint


@pytest.mark.parametrize(
    ("given", "in_environment", "taken"),
    [
        (None, "mk9-env", "mk9-env"),
        ("mk9-own", "mk9-env", "mk9-own"),
        ("", "mk9-env", "mk9-env"),
        (None, "", None),
        (None, None, None),
    ],
)
@pytest.mark.parametrize("make", ["name", "url"])
def test_a_key_that_is_given_comes_before_that_of_the_environment(
    make: str, given: str | None, in_environment: str | None, taken: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if in_environment is not None:
        monkeypatch.setenv("OPENAI_API_KEY" if make == "name" else "PALAESTRA_API_KEY", in_environment)
    if make == "name":
        made = from_name("m", client="aiohttp", base_url="http://server/v1", api_key=given)
    else:
        made = from_url("http://server/v1#m", api_key=given)
    assert endpoint(made).api_key == taken
    assert (endpoint(made).base_url, endpoint(made).model) == ("http://server/v1", "m")


def test_the_key_of_openai_is_not_sent_to_other_servers_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "mk9-openai")
    monkeypatch.setenv("PALAESTRA_API_KEY", "mk9-other")
    assert endpoint(from_url("http://server/v1#m")).api_key == "mk9-other"
    assert endpoint(from_url("http://user:word@server/v1#m")).api_key is None


def test_the_address_is_that_of_openai_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="No API key for 'openai:m'"):
        from_name("m", client="aiohttp")
    assert endpoint(from_name("m", client="aiohttp", api_key="mk9-k")).base_url == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://server/v2/")
    assert endpoint(from_name("m", client="aiohttp")).base_url == "http://server/v2"
    assert endpoint(from_name("m", client="aiohttp", base_url="http://other/v1")).base_url == "http://other/v1"
