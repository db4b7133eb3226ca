"""Backends of providers with an SDK of their own, from their model strings.

Each factory takes the NAME of the model and options: those that it names, and the fields of `Endpoint`. Keys come from the
environment variable that the provider's own tools read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from palaestra.agents.backends.clients import make_endpoint
from palaestra.agents.backends.endpoint import OPENAI_URL, Endpoint, check_url
from palaestra.agents.backends.strict_tools import OPENAI_MOST
from palaestra.agents.core import Backend
from palaestra.errors import ConfigError, UsageError
from palaestra.types import Json

if TYPE_CHECKING:
    from palaestra.agents.backends.anthropic_sdk import PromptCache

_NOT_CHAT = {
    "max_tokens_field": "the API has one name for the limit on new tokens",
    "send_reasoning": "what the model thought goes back as the API asks for it; leave the option out",
    "return_tokens": "the API reports no token ids; use a vLLM server by its address (http://HOST:PORT/v1#NAME)",
}
_NOT_LITELLM = {
    "max_tokens_field": "litellm names the limit on new tokens as the provider wants it",
    "return_tokens": "litellm hands no token ids out; give the server's address (http://HOST:PORT/v1#NAME)",
}
_TAKEN = ("api_key", "base_url")
"""Options that every provider takes in addition to the fields of `Endpoint`."""


def from_responses(model: str, *, base_url: str | None = None, api_key: str | None = None, **options: Any) -> Backend:
    """Make the backend for `openai-responses:NAME`.

    Args:
        model: The NAME.
        base_url: Another server that speaks the Responses API; the environment variable OPENAI_BASE_URL by default.
        api_key: The environment variable OPENAI_API_KEY by default; needed for OpenAI's own server.
        **options: Further fields of `Endpoint`.
    """
    from palaestra.agents.backends.openai_responses import ResponsesBackend

    endpoint = _hosted(
        "openai-responses", model, "gpt-5-mini", base_url or os.environ.get("OPENAI_BASE_URL"), OPENAI_URL, api_key,
        ("OPENAI_API_KEY",), options, _TAKEN, _NOT_CHAT, path="/responses", like_openai=True,
    )  # fmt: skip
    return ResponsesBackend(endpoint)


def from_azure(
    deployment: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    azure_ad_token: str | None = None,
    api_version: str | None = None,
    **options: Any,
) -> Backend:
    """Make the backend for `azure:DEPLOYMENT`: chat completions.

    Args:
        deployment: Name of the deployment at Azure.
        base_url: URL of the resource, https://NAME.openai.azure.com; the variable AZURE_OPENAI_ENDPOINT by default.
        api_key: The environment variable AZURE_OPENAI_API_KEY by default.
        azure_ad_token: A token of Entra ID in place of a key; the variable AZURE_OPENAI_AD_TOKEN by default.
        api_version: Version of Azure's API; the variable OPENAI_API_VERSION, then 2025-04-01-preview by default.
        **options: Further fields of `Endpoint`.
    """
    from palaestra.agents.backends.azure import AzureBackend

    path = f"/openai/deployments/{deployment}/chat/completions"
    endpoint, uses_token = _azure("azure", deployment, base_url, api_key, azure_ad_token, options, path, {})
    return AzureBackend(endpoint, uses_token=uses_token, **_version(api_version))


def from_azure_responses(
    deployment: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    azure_ad_token: str | None = None,
    api_version: str | None = None,
    **options: Any,
) -> Backend:
    """Make the backend for `azure-responses:DEPLOYMENT`: the Responses API, with the options of `from_azure`."""
    from palaestra.agents.backends.azure import AzureResponsesBackend

    endpoint, uses_token = _azure(
        "azure-responses", deployment, base_url, api_key, azure_ad_token, options, "/openai/responses", _NOT_CHAT
    )
    return AzureResponsesBackend(endpoint, uses_token=uses_token, **_version(api_version))


def from_anthropic(
    model: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    prompt_cache: PromptCache = "auto",
    thinking: int | Mapping[str, Json] | None = None,
    **options: Any,
) -> Backend:
    """Make the backend for `anthropic:NAME`.

    Args:
        model: The NAME.
        base_url: Another server that speaks the Messages API; the variable ANTHROPIC_BASE_URL by default.
        api_key: The environment variable ANTHROPIC_API_KEY by default; needed for Anthropic's own server.
        prompt_cache: "auto" (five minutes), "1h" or "off".
        thinking: Tokens to think with, or a mapping as the API takes it.
        **options: Further fields of `Endpoint`.
    """
    from palaestra.agents.backends.anthropic_sdk import ANTHROPIC_URL, AnthropicBackend

    endpoint = _hosted(
        "anthropic", model, "claude-sonnet-4-5", base_url or os.environ.get("ANTHROPIC_BASE_URL"), ANTHROPIC_URL, api_key,
        ("ANTHROPIC_API_KEY",), options, (*_TAKEN, "prompt_cache", "thinking"), _NOT_CHAT, path="/v1/messages",
    )  # fmt: skip
    return AnthropicBackend(endpoint, prompt_cache=prompt_cache, thinking=thinking)


def from_google(model: str, *, base_url: str | None = None, api_key: str | None = None, **options: Any) -> Backend:
    """Make the backend for `google:NAME`, on the Gemini API.

    Args:
        model: The NAME.
        base_url: Another server that speaks the Gemini API, without its version.
        api_key: The environment variable GOOGLE_API_KEY, then GEMINI_API_KEY by default; needed for Google's own server.
        **options: Further fields of `Endpoint`.
    """
    from palaestra.agents.backends.google_sdk import API_VERSION, GOOGLE_URL, GoogleBackend

    options.setdefault("max_tools", OPENAI_MOST)
    endpoint = _hosted(
        "google", model, "gemini-2.5-flash", base_url, GOOGLE_URL, api_key, ("GOOGLE_API_KEY", "GEMINI_API_KEY"), options,
        _TAKEN, _NOT_CHAT, path=f"/{API_VERSION}/models/{model}:generateContent",
    )  # fmt: skip
    return GoogleBackend(endpoint)


def from_litellm(model: str, *, base_url: str | None = None, api_key: str | None = None, **options: Any) -> Backend:
    """Make the backend for `litellm:PROVIDER/NAME`.

    Args:
        model: PROVIDER/NAME, as litellm writes it.
        base_url: Another server; the provider's own by default.
        api_key: The environment variables that litellm reads for the provider by default.
        **options: Further fields of `Endpoint`.
    """
    from palaestra.agents.backends.litellm_sdk import LiteLLMBackend

    if not model:
        raise UsageError(
            "The model string 'litellm:' names no model. Expected litellm:PROVIDER/NAME, as in litellm:groq/NAME."
        )
    options.setdefault("max_tools", OPENAI_MOST)
    url = check_url(base_url) if base_url else ""
    path = "" if base_url else f"litellm:{model}"  # only shown: the provider's address is litellm's affair
    return LiteLLMBackend(
        make_endpoint(
            options, _TAKEN, _NOT_LITELLM, name=f"litellm:{model}", model=model, base_url=url, api_key=api_key, path=path
        )
    )


def _hosted(
    scheme: str,
    model: str,
    example: str,
    base_url: str | None,
    own_url: str,
    api_key: str | None,
    variables: tuple[str, ...],
    options: Mapping[str, Any],
    taken: tuple[str, ...],
    refused: Mapping[str, str],
    **fixed: Any,
) -> Endpoint:
    """Return the endpoint of a provider, who needs a key at the provider's own address."""
    if not model:
        raise UsageError(f"The model string '{scheme}:' names no model. Expected {scheme}:NAME, as in {scheme}:{example}.")
    url = check_url(base_url or own_url)
    key = api_key or next((os.environ[name] for name in variables if os.environ.get(name)), None)
    if key is None and url == own_url:
        listed = " or ".join(variables)
        raise UsageError(f"No API key for '{scheme}:{model}'. Set the environment variable {listed}, or give api_key=.")
    name = f"{scheme}:{model}"
    return make_endpoint(options, taken, refused, name=name, model=model, base_url=url, api_key=key, **fixed)


def _azure(
    scheme: str,
    deployment: str,
    base_url: str | None,
    api_key: str | None,
    token: str | None,
    options: Mapping[str, Any],
    path: str,
    refused: Mapping[str, str],
) -> tuple[Endpoint, bool]:
    """Return the endpoint of a deployment, and whether its key is a token."""
    name = f"{scheme}:{deployment}"
    if not deployment:
        raise UsageError(f"The model string '{scheme}:' names no deployment. Expected {scheme}:DEPLOYMENT.")
    url = base_url or os.environ.get("AZURE_OPENAI_ENDPOINT")
    if not url:
        raise UsageError(
            f"No address for {name!r}. Set the environment variable AZURE_OPENAI_ENDPOINT, as in "
            f"https://RESOURCE.openai.azure.com, or give base_url=."
        )
    if api_key and token:
        raise ConfigError("There are an api_key and an azure_ad_token; give one of them.")
    if not api_key and not token:
        token = os.environ.get("AZURE_OPENAI_AD_TOKEN")
        api_key = None if token else os.environ.get("AZURE_OPENAI_API_KEY")
    if not api_key and not token:
        raise UsageError(f"No API key for {name!r}. Set the environment variable AZURE_OPENAI_API_KEY, or give api_key=.")
    fixed = {"path": path, "like_openai": True, "api_key": token or api_key}
    taken = (*_TAKEN, "azure_ad_token", "api_version")
    return make_endpoint(options, taken, refused, name=name, model=deployment, base_url=check_url(url), **fixed), bool(token)


def _version(api_version: str | None) -> dict[str, str]:
    """Return the option for the version of Azure's API, where one is named."""
    version = api_version or os.environ.get("OPENAI_API_VERSION")
    return {"api_version": version} if version else {}


__all__ = ["from_anthropic", "from_azure", "from_azure_responses", "from_google", "from_litellm", "from_responses"]
