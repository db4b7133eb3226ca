"""What litellm's names, errors and time-outs mean for an endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from palaestra.agents.backends import providers
from palaestra.agents.backends.providers import from_litellm
from palaestra.errors import ConfigError, ModelError

OTHER = "https://there.example/x"
SLOW = {"connect_timeout_s": 3.0, "timeout_s": 50.0}


def test_a_model_of_litellm_has_litellms_name_and_its_own_address_where_one_is_given() -> None:
    endpoint = from_litellm("openai/m", api_key="k").endpoint  # type: ignore[attr-defined]
    assert (endpoint.name, endpoint.model, endpoint.url) == ("litellm:openai/m", "openai/m", "litellm:openai/m")
    assert (endpoint.api_key, endpoint.tool_limit) == ("k", 128)
    endpoint = from_litellm("openai/m", base_url=f"{OTHER}/", api_key="k", max_tools=5).endpoint  # type: ignore[attr-defined]
    assert (endpoint.url, endpoint.tool_limit) == (OTHER, 5)


@pytest.mark.parametrize(("option", "value"), [("max_tokens_field", "max_tokens"), ("return_tokens", True)])
def test_an_option_without_effect_on_litellm_is_refused_with_the_reason(option: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        from_litellm("openai/m", api_key="k", **{option: value})
    assert str(caught.value).endswith(f": {providers._NOT_LITELLM[option]}.")


def failed(error: Exception, **options: Any) -> ModelError:
    """Return the error that an exception of litellm becomes."""
    backend: Any = from_litellm("openai/m", api_key="k", **SLOW, **options)
    with pytest.raises(ModelError) as caught:
        backend._fail(error)
    return caught.value


def test_a_time_out_names_the_limit_that_was_kept() -> None:
    import httpx
    import litellm

    assert "within 3 s" in str(failed(httpx.ConnectTimeout("slow")))
    assert "within 50 s" in str(failed(httpx.ReadTimeout("slow")))
    assert "within 7 s" in str(failed(httpx.ReadTimeout("slow"), read_timeout_s=7.0))
    inner = RuntimeError("outer")
    inner.__cause__ = httpx.ConnectTimeout("slow")
    assert "within 3 s" in str(failed(inner))
    assert "within 50 s" in str(failed(litellm.exceptions.Timeout("slow", model="m", llm_provider="openai")))
    found = failed(RuntimeError("nothing known"))
    assert found.retryable
    assert "litellm (openai): nothing known. Is the server running?" in str(found)


def test_what_a_server_asks_to_wait_is_read_from_its_headers() -> None:
    import httpx
    import litellm

    response = httpx.Response(429, headers={"retry-after": "11"}, request=httpx.Request("POST", OTHER))
    limited = litellm.exceptions.RateLimitError("slow down", llm_provider="openai", model="m", response=response)
    found = failed(limited)
    assert (found.status, found.retryable) == (429, True)
    assert found.retry_after_s == pytest.approx(11.0)
    limited.litellm_response_headers = {"retry-after": "5"}
    assert failed(limited).retry_after_s == pytest.approx(5.0)
