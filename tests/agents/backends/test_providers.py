"""Each provider's address, key and settings, from its model string, its options and its variables."""

from __future__ import annotations

from typing import Any

import pytest

from palaestra.agents.backends import providers
from palaestra.agents.backends.azure import AzureBackend, AzureResponsesBackend
from palaestra.agents.backends.providers import (
    from_anthropic,
    from_azure,
    from_azure_responses,
    from_google,
    from_litellm,
    from_responses,
)
from palaestra.errors import ConfigError, UsageError

KEYS = {
    from_responses: ("OPENAI_API_KEY",),
    from_azure: ("AZURE_OPENAI_API_KEY",),
    from_azure_responses: ("AZURE_OPENAI_API_KEY",),
    from_anthropic: ("ANTHROPIC_API_KEY",),
    from_google: ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
}
URLS = {
    from_responses: "OPENAI_BASE_URL",
    from_azure: "AZURE_OPENAI_ENDPOINT",
    from_azure_responses: "AZURE_OPENAI_ENDPOINT",
    from_anthropic: "ANTHROPIC_BASE_URL",
}
OWN = {
    from_responses: ("openai-responses:m", "https://api.openai.com/v1", "/responses", True, 128),
    from_anthropic: ("anthropic:m", "https://api.anthropic.com", "/v1/messages", False, None),
    from_google: (
        "google:m",
        "https://generativelanguage.googleapis.com",
        "/v1beta/models/m:generateContent",
        False,
        128,
    ),
}
AZURE = {
    from_azure: ("azure:m", "/openai/deployments/m/chat/completions"),
    from_azure_responses: ("azure-responses:m", "/openai/responses"),
}
OTHER = "https://there.example/x"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {name for keys in KEYS.values() for name in keys} | set(URLS.values())
    for name in (*names, "AZURE_OPENAI_AD_TOKEN", "OPENAI_API_VERSION"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("make", OWN)
def test_a_provider_has_its_own_address_and_needs_a_key_there(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name, url, path, like_openai, max_tools = OWN[make]
    variables = " or ".join(KEYS[make])
    with pytest.raises(UsageError) as caught:
        make("m")
    assert str(caught.value) == f"No API key for '{name}'. Set the environment variable {variables}, or give api_key=."
    for variable in reversed(KEYS[make]):  # each is enough, and the first wins
        monkeypatch.setenv(variable, f"of-{variable}")
        endpoint = make("m").endpoint
        assert endpoint.api_key == f"of-{variable}"
    assert (endpoint.name, endpoint.model, endpoint.base_url, endpoint.path) == (name, "m", url, path)
    assert (endpoint.like_openai, endpoint.tool_limit) == (like_openai, max_tools)
    assert make("m", api_key="given").endpoint.api_key == "given"
    monkeypatch.setenv(KEYS[make][0], "")
    assert make("m", base_url=OTHER, timeout_s=7.0).endpoint.timeout_s == 7.0


@pytest.mark.parametrize("make", OWN)
def test_another_server_needs_no_key(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = make("m", base_url=f"{OTHER}/").endpoint
    assert (endpoint.base_url, endpoint.api_key) == (OTHER, None)
    assert endpoint.url == OTHER + OWN[make][2]
    if make in URLS:
        monkeypatch.setenv(URLS[make], "https://variable.example")
        assert make("m").endpoint.base_url == "https://variable.example"
        assert make("m", base_url=OTHER).endpoint.base_url == OTHER
    assert make("m", base_url=OTHER, max_tools=3).endpoint.tool_limit == 3


@pytest.mark.parametrize(
    ("make", "example"),
    [
        (from_responses, "openai-responses:gpt-5-mini"),
        (from_anthropic, "anthropic:claude-sonnet-4-5"),
        (from_google, "google:gemini-2.5-flash"),
        (from_litellm, "litellm:groq/NAME"),
    ],
)
def test_a_string_without_a_model_is_told_of_one(make: Any, example: str) -> None:
    scheme = example.partition(":")[0]
    expected = "PROVIDER/NAME" if scheme == "litellm" else "NAME"
    with pytest.raises(UsageError) as caught:
        make("", api_key="k")
    said = f"The model string '{scheme}:' names no model. Expected {scheme}:{expected}, as in {example}."
    assert str(caught.value) == said


@pytest.mark.parametrize("make", AZURE)
def test_a_deployment_needs_an_address_and_a_key_or_a_token(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name, path = AZURE[make]
    with pytest.raises(UsageError, match=f"No address for '{name}'"):
        make("m", api_key="k")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://r.openai.azure.com/")
    with pytest.raises(UsageError, match=f"No API key for '{name}'"):
        make("m")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "variable")
    backend = make("m")
    endpoint = backend.endpoint
    assert isinstance(backend, AzureBackend if make is from_azure else AzureResponsesBackend)
    assert (endpoint.name, endpoint.model, endpoint.base_url) == (name, "m", "https://r.openai.azure.com")
    assert (endpoint.path, endpoint.like_openai, endpoint.tool_limit) == (path, True, 128)
    assert (endpoint.api_key, backend._uses_token, backend._api_version) == ("variable", False, "2025-04-01-preview")
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "entra")
    assert (make("m").endpoint.api_key, make("m")._uses_token) == ("entra", True), "a token before a key"
    given = make("m", api_key="given", base_url=OTHER, read_timeout_s=3.0)
    assert (given.endpoint.api_key, given._uses_token, given.endpoint.base_url) == ("given", False, OTHER)
    assert given.endpoint.read_timeout_s == 3.0
    assert make("m", azure_ad_token="t")._uses_token
    assert make("m", azure_ad_token="t").endpoint.api_key == "t"
    monkeypatch.setenv("OPENAI_API_VERSION", "2030-01-01")
    assert make("m")._api_version == "2030-01-01"
    assert make("m", api_version="2031-01-01")._api_version == "2031-01-01"
    with pytest.raises(ConfigError, match="give one of them"):
        make("m", api_key="k", azure_ad_token="t")
    with pytest.raises(UsageError, match=f"'{name[:-1]}' names no deployment. Expected {name[:-1]}DEPLOYMENT"):
        make("", api_key="k")


def test_what_only_anthropic_has_reaches_its_backend() -> None:
    plain = from_anthropic("m", api_key="k")
    assert (plain.prompt_cache, plain.thinking) == ("auto", None)  # type: ignore[attr-defined]
    for prompt_cache in ("auto", "1h", "off"):
        made = from_anthropic("m", api_key="k", prompt_cache=prompt_cache, thinking=2048)  # type: ignore[arg-type]
        assert (made.prompt_cache, made.thinking) == (prompt_cache, {"type": "enabled", "budget_tokens": 2048})  # type: ignore[attr-defined]
    assert from_anthropic("m", api_key="k", thinking={"type": "adaptive"}).thinking == {"type": "adaptive"}  # type: ignore[attr-defined]
    for options in ({"prompt_cache": "2h"}, {"thinking": 1023}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            from_anthropic("m", api_key="k", **options)  # type: ignore[arg-type]


REFUSED = {
    "max_tokens_field": "max_tokens",
    "send_reasoning": True,
    "return_tokens": True,
}


@pytest.mark.parametrize("option", REFUSED)
@pytest.mark.parametrize("make", [from_responses, from_azure_responses, from_anthropic, from_google])
def test_an_option_without_effect_is_refused_with_the_reason(make: Any, option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make("m", api_key="k", base_url=OTHER, **{option: REFUSED[option]})
    assert str(caught.value).endswith(f": {providers._NOT_CHAT[option]}.")
    assert f"The option {option} would have no effect on '" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "own"),
    [
        (from_responses, set()),
        (from_azure, {"azure_ad_token", "api_version", "max_tokens_field", "send_reasoning", "return_tokens"}),
        (from_azure_responses, {"azure_ad_token", "api_version"}),
        (from_anthropic, {"prompt_cache", "thinking"}),
        (from_google, set()),
    ],
)
def test_a_misspelt_option_is_told_of_all_that_there_are(make: Any, own: set[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        make("m", api_key="k", base_url=OTHER, galaxy=1)
    listed = str(caught.value).partition("Its options: ")[2].rstrip(".").split(", ")
    general = {"api_key", "base_url", "headers", "timeout_s", "connect_timeout_s", "read_timeout_s", "max_connections"}
    general |= {"max_response_bytes", "strict_tools", "max_tools"}
    assert set(listed) == general | own
