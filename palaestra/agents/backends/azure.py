"""OpenAI's models at Azure through the official SDK: `azure:DEPLOYMENT` and `azure-responses:DEPLOYMENT`."""

from __future__ import annotations

from typing import Any

from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.openai_responses import ResponsesBackend
from palaestra.agents.backends.openai_sdk import OpenAIBackend
from palaestra.agents.backends.sdk import SDKBackend

API_VERSION = "2025-04-01-preview"
"""Version of Azure's API that is asked for where neither the option nor OPENAI_API_VERSION names one."""


class _AtAzure(SDKBackend):
    """A deployment at Azure.

    Args:
        endpoint: Its `base_url` is that of the resource, its `model` the deployment.
        api_version: Version of Azure's API.
        uses_token: The key of the endpoint is a token of Entra ID.
    """

    def __init__(self, endpoint: Endpoint, *, api_version: str = API_VERSION, uses_token: bool = False) -> None:
        """Nothing is connected yet."""
        super().__init__(endpoint)
        self._api_version = api_version
        self._uses_token = uses_token

    def _client(self, **common: Any) -> Any:
        """Make a client of the resource."""
        key = {"azure_ad_token" if self._uses_token else "api_key": self.endpoint.api_key}
        url = self.endpoint.base_url
        return self._sdk.AsyncAzureOpenAI(azure_endpoint=url, api_version=self._api_version, **key, **common)


class AzureBackend(_AtAzure, OpenAIBackend):
    """Chat completions of a deployment at Azure."""


class AzureResponsesBackend(_AtAzure, ResponsesBackend):
    """The Responses API of a deployment at Azure."""


__all__ = ["API_VERSION", "AzureBackend", "AzureResponsesBackend"]
