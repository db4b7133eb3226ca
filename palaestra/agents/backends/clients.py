"""Clients of OpenAI-compatible servers, from the model strings `openai:NAME` and `http(s)://HOST:PORT/v1#NAME`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal
from urllib.parse import urlsplit

from palaestra.agents.backends.endpoint import OPENAI_URL, Endpoint, check_url
from palaestra.agents.core import Backend
from palaestra.agents.masking import masked
from palaestra.errors import ConfigError, UsageError, unknown_name

Client = Literal["auto", "openai", "aiohttp"]
CLIENTS = ("auto", "openai", "aiohttp")
_INTERNAL = ("query", "path", "like_openai")
_TAKEN = ("client", "api_key", "base_url")


def from_name(
    model: str, *, client: Client = "auto", base_url: str | None = None, api_key: str | None = None, **options: Any
) -> Backend:
    """Make the backend for `openai:NAME`.

    Args:
        model: The NAME.
        client: The official SDK unless "aiohttp" is asked for.
        base_url: Another server; the environment variable OPENAI_BASE_URL, then OpenAI's own by default.
        api_key: The environment variable OPENAI_API_KEY by default; needed for OpenAI's own server.
        **options: Further fields of `Endpoint`.
    """
    if not model:
        raise UsageError("The model string 'openai:' names no model. Expected openai:NAME, as in openai:gpt-5-mini.")
    url = check_url(base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL)
    key = api_key or os.environ.get("OPENAI_API_KEY") or None
    endpoint = make_endpoint(options, _TAKEN, name=f"openai:{model}", model=model, base_url=url, api_key=key)
    if key is None and endpoint.is_openai:
        raise UsageError(f"No API key for 'openai:{model}'. Set the environment variable OPENAI_API_KEY, or give api_key=.")
    return make_client(endpoint, "openai" if client == "auto" else client)


def from_url(
    url: str, *, client: Client = "auto", base_url: str | None = None, api_key: str | None = None, **options: Any
) -> Backend:
    """Make the backend for `http://HOST:PORT/v1#NAME`.

    Args:
        url: The whole model string.
        client: The aiohttp client unless "openai" is asked for.
        base_url: Not taken: the string holds it.
        api_key: The environment variable PALAESTRA_API_KEY by default; OPENAI_API_KEY is not sent to other servers unasked.
        **options: Further fields of `Endpoint`.
    """
    if base_url is not None:
        raise UsageError(
            f"base_url is {masked(base_url)!r}, but the model {masked(url)!r} holds a URL already; give one of them."
        )
    address, _, model = url.partition("#")
    if not model:
        if not address.partition("://")[2].strip("/"):
            raise UsageError(f"The model {url!r} names no server. Expected http://HOST:PORT/v1#NAME.")
        address = masked(address.rstrip("/"))
        raise UsageError(f"The model {masked(url)!r} names a server but no model. Add its name after '#': {address}#NAME")
    base_url = check_url(address)  # first: urlsplit raises at what is no address
    has_user = "@" in urlsplit(address).netloc
    key = api_key or (None if has_user else os.environ.get("PALAESTRA_API_KEY")) or None
    endpoint = make_endpoint(options, _TAKEN[:-1], name=url, model=model, base_url=base_url, api_key=key)
    return make_client(endpoint, "aiohttp" if client == "auto" else client)


def make_client(endpoint: Endpoint, client: str) -> Backend:
    """Make the named client for an endpoint."""
    if client == "openai":
        from palaestra.agents.backends.openai_sdk import OpenAIBackend

        return OpenAIBackend(endpoint)
    if client == "aiohttp":
        from palaestra.agents.backends.fast_http import FastHTTPBackend

        return FastHTTPBackend(endpoint)
    raise ConfigError(f"client is {client!r}; expected one of {', '.join(CLIENTS)}.")


def unknown_option(backend: str, name: str, known: Sequence[str]) -> ConfigError:
    """Return the error for an option that a backend does not have; it names all that there are."""
    hint = f"Its options: {', '.join(sorted(known))}."
    return ConfigError(str(unknown_name(f"option of {backend}", name, known, hint=hint)))


def make_endpoint(
    options: Mapping[str, Any], taken: Sequence[str] = (), refused: Mapping[str, str] | None = None, **own: Any
) -> Endpoint:
    """Build an endpoint.

    Args:
        options: Further fields of it, as a user names them.
        taken: Options that the backend takes in addition to these.
        refused: Fields that would have no effect on this backend, with the reason.
        **own: Fields that the backend sets itself.

    Raises:
        ConfigError: For an option that is not known, or that would have no effect; the message says which there are.
    """
    refused = refused or {}
    further = [f.name for f in fields(Endpoint) if f.init and f.name not in (*own, *_INTERNAL, *refused)]
    for name in options:
        if name in refused:
            raise ConfigError(f"The option {name} would have no effect on {masked(str(own['name']))!r}: {refused[name]}.")
        if name not in further:
            raise unknown_option("an HTTP backend", name, [*taken, *further])
    return Endpoint(**own, **options)
