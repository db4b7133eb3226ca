"""Backends by model string.

One line per backend. A third-party package adds its own with the entry-point group `palaestra.backends`:

    [project.entry-points."palaestra.backends"]
    acme = "acme_llm.palaestra:make_backend"

makes `acme:NAME` a model string; the target is called with the text after the colon and the options that were given.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from palaestra.agents.backends.cache import ResponseCache
from palaestra.agents.backends.limits import Budget, RateLimit
from palaestra.agents.backends.prices import Prices, PriceTable
from palaestra.agents.backends.reliable import Reliable, RetryPolicy
from palaestra.agents.core import Backend
from palaestra.agents.masking import check_unmasked, masked, masked_errors, remember_secrets
from palaestra.errors import ConfigError, PalaestraError, UsageError, unknown_name
from palaestra.types import Json, plain


@dataclass(frozen=True, slots=True)
class BackendEntry:
    """One kind of model string.

    Attributes:
        target: "module:function", called with the text after the colon (the whole string for URLs) and the options.
        form: How the string is written.
        variables: Environment variables that hold its key, the first that is set.
        extra: Extra that it needs; "" for none.
        is_remote: Whether a server answers: then attempts and requests have time limits, and answers may be cached.
    """

    target: str
    form: str
    variables: tuple[str, ...] = ()
    extra: str = ""
    is_remote: bool = True


_HERE = "palaestra.agents.backends"
BACKENDS: dict[str, BackendEntry] = {
    "openai": BackendEntry(f"{_HERE}.clients:from_name", "openai:NAME", ("OPENAI_API_KEY",), "llm"),
    "openai-responses": BackendEntry(f"{_HERE}.providers:from_responses", "openai-responses:NAME", ("OPENAI_API_KEY",), "llm"),
    "azure": BackendEntry(
        f"{_HERE}.providers:from_azure", "azure:DEPLOYMENT", ("AZURE_OPENAI_AD_TOKEN", "AZURE_OPENAI_API_KEY"), "llm"
    ),
    "azure-responses": BackendEntry(
        f"{_HERE}.providers:from_azure_responses",
        "azure-responses:DEPLOYMENT",
        ("AZURE_OPENAI_AD_TOKEN", "AZURE_OPENAI_API_KEY"),
        "llm",
    ),
    "anthropic": BackendEntry(f"{_HERE}.providers:from_anthropic", "anthropic:NAME", ("ANTHROPIC_API_KEY",), "anthropic"),
    "google": BackendEntry(f"{_HERE}.providers:from_google", "google:NAME", ("GOOGLE_API_KEY", "GEMINI_API_KEY"), "google"),
    "litellm": BackendEntry(f"{_HERE}.providers:from_litellm", "litellm:PROVIDER/NAME", (), "litellm"),
    "http": BackendEntry(f"{_HERE}.clients:from_url", "http://HOST:PORT/v1#NAME", ("PALAESTRA_API_KEY",), "llm"),
    "https": BackendEntry(f"{_HERE}.clients:from_url", "https://HOST/v1#NAME", ("PALAESTRA_API_KEY",), "llm"),
    "hf": BackendEntry(f"{_HERE}.local:LocalBackend.from_path", "hf:PATH", (), "train", is_remote=False),
    "scripted": BackendEntry(f"{_HERE}.scripted:ScriptedBackend.from_file", "scripted:FILE", is_remote=False),
}
S = TypeVar("S", RateLimit, Budget)

ENTRY_POINT_GROUP = "palaestra.backends"

_DEADLINE_S = 1200.0

_SERVICE = frozenset(
    ("api_key", "azure_ad_token", "client", "headers", "timeout_s", "connect_timeout_s", "read_timeout_s", "max_connections")
) | frozenset(("max_response_bytes", "device", "threads", "cache_mb", "max_batch", "max_sessions", "download"))
"""Options that say how answers come, not which."""

FORMS = (
    ", ".join(entry.form for scheme, entry in BACKENDS.items() if scheme not in ("https", "scripted")) + " or scripted:FILE"
)


def list_backends() -> list[str]:
    """Return the schemes of model strings that can be used, third parties' included."""
    return sorted({*BACKENDS, *_plugins()})


def make_backend(
    model: str,
    *,
    max_retries: int = 5,
    timeout_s: float | None = None,
    deadline_s: float | None = None,
    rate_limit: RateLimit | Mapping[str, Any] | None = None,
    concurrency: int | None = None,
    budget: Budget | Mapping[str, Any] | None = None,
    prices: Prices | Mapping[str, Any] | str | Path | None = None,
    cache: ResponseCache | str | Path | None = None,
    cache_sampled: bool = False,
    retry_seed: int = 0,
    context_window: int | None = None,
    **options: Any,
) -> Reliable:
    """Make the backend that a model string names, with retries, limits, budget, cache and cost around it.

    Args:
        model: `openai:NAME`, `anthropic:NAME`, `google:NAME`, `litellm:PROVIDER/NAME`, `http://HOST:PORT/v1#NAME`, `hf:PATH`,
            `scripted:FILE`, ... (`docs/backends.md` has the table), or a third party's.
        max_retries: Attempts after the first.
        timeout_s: Seconds for one attempt; 300 for servers, none for local backends by default.
        deadline_s: Seconds for a request with all its retries; 1200 for servers, none for local backends by default.
        rate_limit: `requests_per_minute`, `tokens_per_minute`.
        concurrency: Most attempts in flight at once.
        budget: `calls`, `tokens`, `cost`: a `BudgetError` once one is spent.
        prices: Table of prices per million tokens, or a TOML file of one; "litellm" for litellm's map, which is the default of
            `litellm:` models. Without a price, cost is 0 and `has_price` False.
        cache: File in which answers are kept: greedy ones and those sampled with a seed.
        cache_sampled: Keep all others as well, by request and number of the sample.
        retry_seed: Seed of the waits between retries.
        context_window: Tokens that the model takes, prompt and answer: what a server refuses beyond it, it refuses for length.
        **options: Arguments of the backend itself, e.g. `base_url`, `api_key` and `client` ("auto", "openai", "aiohttp") for
            servers; `docs/backends.md` lists them. None stands for the default.

    Raises:
        UsageError: If the string or an option means nothing; the message says what would.
    """
    remember_secrets(model, options)
    with masked_errors():
        scheme, _ = _split(model)
    given = {key: value for key, value in options.items() if value is not None}
    entry = BACKENDS.get(scheme)
    is_remote = entry is None or entry.is_remote
    has_timeout = entry is not None and entry.is_remote  # ours take it themselves; around others it is kept here
    if not is_remote and given.get("client") == "auto":
        del given["client"]
    if not is_remote and cache is not None:
        raise ConfigError(f"cache is for models behind a server; the answers of {model!r} depend on more than the request.")
    if has_timeout and timeout_s is not None:
        given["timeout_s"] = timeout_s
    policy = RetryPolicy(
        retries=max_retries,
        timeout_s=None if has_timeout else timeout_s,
        deadline_s=_DEADLINE_S if deadline_s is None and is_remote else deadline_s,
        seed=retry_seed,
    )
    rates, spending = _settings(RateLimit, rate_limit, "rate_limit"), _settings(Budget, budget, "budget")
    price_table = _prices(prices, scheme)
    backend = make_bare_backend(model, **given)
    return Reliable(
        backend,
        policy=policy,
        rate_limit=rates,
        concurrency=concurrency,
        budget=spending,
        prices=price_table,
        cache=ResponseCache(cache) if isinstance(cache, (str, Path)) else cache,
        cache_sampled=cache_sampled,
        context_window=context_window,
        options=_shaping(given),
    )


def _shaping(options: Mapping[str, Any]) -> dict[str, Json]:
    """Return the options of a backend that its answers depend on, as the record of a run keeps them."""
    found: dict[str, Json] = {}
    for name, value in options.items():
        if name not in _SERVICE:
            with contextlib.suppress(TypeError):  # an object of Python's
                found[name] = plain(value)
    return masked(found)


def make_bare_backend(model: str, **options: Any) -> Backend:
    """Make the backend that a model string names, without retries, limits or a cache around it.

    Args:
        model: A model string, as `make_backend` takes it.
        **options: Arguments of that backend.

    Raises:
        UsageError: If the string or an option means nothing; the message says what would.
    """
    remember_secrets(model, options)
    with masked_errors():
        check_unmasked("the model", model)
        for name, value in options.items():
            check_unmasked(name, value)
        scheme, rest = _split(model)
        factory = _load(scheme)
        # A URL is its own argument; every other string is a scheme and what it applies to.
        argument = model if scheme in ("http", "https") else rest
        _check_options(factory, scheme, options)
        return factory(argument, **options)


def _settings(kind: type[S], value: S | Mapping[str, Any] | None, name: str) -> S | None:
    """Read a group of limits given as an object or as a mapping, as recipes and command lines give them."""
    if value is None or isinstance(value, kind):
        return value
    known = [field.name for field in fields(kind)]
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} is {value!r}; expected a mapping with {', '.join(known)}, e.g. {{{known[0]!r}: 60}}.")
    for key in value:
        if key not in known:
            raise ConfigError(str(unknown_name(f"key of {name}", key, known)))
    return kind(**value)


def _prices(prices: Prices | Mapping[str, Any] | str | Path | None, scheme: str) -> Prices | None:
    """Return the table of prices that is asked for."""
    if prices == "litellm" or (prices is None and scheme == "litellm"):
        from palaestra.agents.backends.litellm_prices import LiteLLMPrices

        return LiteLLMPrices()
    if prices is None or not isinstance(prices, (str, Path, Mapping)):
        return prices
    return PriceTable.load(prices)


def _split(model: str) -> tuple[str, str]:
    """Return scheme and rest of a model string."""
    if not isinstance(model, str) or not model.strip():
        raise UsageError(f"The model is {model!r}; expected {FORMS}.")
    scheme, colon, rest = model.partition(":")
    if not colon:
        meant = f"hf:{model}" if Path(model).is_dir() else f"openai:{model}"
        raise UsageError(f"The model {model!r} does not say where it runs. Expected {FORMS}. Did you mean {meant!r}?")
    known = list_backends()
    if scheme in known:
        return scheme, rest
    if scheme.lower() in known:
        raise UsageError(f"The model {model!r} begins with {scheme!r}; write it in small letters: '{scheme.lower()}:{rest}'.")
    hint = f"Known: {', '.join(known)}. The model was {model!r}; expected {FORMS}, or MODULE:NAME of an agent of your own."
    raise unknown_name("backend", scheme, known, hint=hint)


def _plugins() -> dict[str, EntryPoint]:
    """Return the backends that installed packages bring; ours come first where a name is taken twice."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP) if point.name not in BACKENDS}


def _load(scheme: str) -> Callable[..., Backend]:
    """Import the factory of a scheme."""
    entry = BACKENDS.get(scheme)
    if entry is None:
        try:
            plugin: Callable[..., Backend] = _plugins()[scheme].load()
        except PalaestraError:
            raise
        except (Exception, SystemExit) as error:  # a third party's module may fail in any way while it is imported
            raise UsageError(
                f"The backend {scheme!r} could not be loaded ({type(error).__name__}: {error}). Repair or remove the package "
                f"that provides it (entry-point group {ENTRY_POINT_GROUP!r})."
            ) from error
        return plugin
    module, _, path = entry.target.partition(":")
    found: Any = import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    factory: Callable[..., Backend] = found
    return factory


def _check_options(factory: Callable[..., Backend], scheme: str, options: Mapping[str, object]) -> None:
    """Refuse options that the factory does not take, in one line."""
    known = option_names(factory)
    for name in options:
        if known is not None and name not in known:
            listed = ", ".join(known) or "none"
            raise ConfigError(f"The backend {scheme!r} takes no option {name!r}. Its options: {listed}.")


def option_names(factory: Callable[..., Backend]) -> list[str] | None:
    """Return the names of a factory's options, or None if it checks them itself (it has `**options`)."""
    parameters = list(inspect.signature(factory).parameters.values())
    names = [p.name for p in parameters[1:] if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return names
