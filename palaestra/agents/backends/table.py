"""Backends by model string.

One line per backend. A third-party package adds its own with the entry-point group `palaestra.backends`:

    [project.entry-points."palaestra.backends"]
    acme = "acme_llm.palaestra:make_backend"

makes `acme:NAME` a model string; the target is called with the text after the colon and the options that were given.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from palaestra.agents.core import Backend
from palaestra.errors import ConfigError, PalaestraError, UsageError, unknown_name

BACKENDS: dict[str, str] = {
    "openai": "palaestra.agents.backends.endpoint:from_name",
    "http": "palaestra.agents.backends.endpoint:from_url",
    "https": "palaestra.agents.backends.endpoint:from_url",
    "hf": "palaestra.agents.backends.local:LocalBackend.from_path",
    "scripted": "palaestra.agents.backends.scripted:ScriptedBackend.from_file",
}
ENTRY_POINT_GROUP = "palaestra.backends"

FORMS = "openai:NAME, http://HOST:PORT/v1#NAME, hf:PATH or scripted:FILE"


def list_backends() -> list[str]:
    """Return the schemes of model strings that can be used, third parties' included."""
    return sorted({*BACKENDS, *_plugins()})


def make_backend(model: str, **options: Any) -> Backend:
    """Make the backend that a model string names."""
    return make_bare_backend(model, **options)


def make_bare_backend(model: str, **options: Any) -> Backend:
    """Make the backend that a model string names, without retries, limits or a cache around it.

    Args:
        model: `openai:NAME`, `http://HOST:PORT/v1#NAME`, `hf:PATH`, `scripted:FILE`, or a third party's.
        **options: Arguments of that backend.

    Raises:
        UsageError: If the string or an option means nothing; the message says what would.
    """
    scheme, rest = _split(model)
    factory = _load(scheme)
    # A URL is its own argument; every other string is a scheme and what it applies to.
    argument = model if scheme in ("http", "https") else rest
    _check_options(factory, scheme, options)
    return factory(argument, **options)


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
    raise unknown_name("backend", scheme, known, hint=f"The model was {model!r}; expected {FORMS}.")


def _plugins() -> dict[str, EntryPoint]:
    """Return the backends that installed packages bring; ours come first where a name is taken twice."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP) if point.name not in BACKENDS}


def _load(scheme: str) -> Callable[..., Backend]:
    """Import the factory of a scheme."""
    target = BACKENDS.get(scheme)
    if target is None:
        try:
            plugin: Callable[..., Backend] = _plugins()[scheme].load()
        except PalaestraError:
            raise
        except Exception as error:  # a third party's module may fail in any way while it is imported
            raise UsageError(
                f"The backend {scheme!r} could not be loaded ({type(error).__name__}: {error}). Repair or remove the package "
                f"that provides it (entry-point group {ENTRY_POINT_GROUP!r})."
            ) from error
        return plugin
    module, _, path = target.partition(":")
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
