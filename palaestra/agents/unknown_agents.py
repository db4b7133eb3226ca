"""Errors for texts that name neither an agent, a model nor a module, with the nearest thing that was meant."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from palaestra.agents.from_module import names_a_module
from palaestra.errors import UnknownNameError, unknown_name

_FAMILIES = (
    (re.compile(r"(chat)?gpt[-\d]|o[1-9](\b|-)", re.IGNORECASE), "openai"),
    (re.compile(r"claude", re.IGNORECASE), "anthropic"),
    (re.compile(r"gemini", re.IGNORECASE), "google"),
)
"""How names of well-known models begin, and the backend that their maker serves them by."""

_OWN = "An agent of your own is MODULE:NAME: my_agents:Crafter is Crafter in my_agents.py, without the .py."


def unknown_target(spec: str, backends: Sequence[str]) -> UnknownNameError | None:
    """Return the error for a text with a colon whose first part is not a backend.

    Args:
        spec: The text, e.g. "my_agent:Crafter".
        backends: Schemes of model strings that can be used.

    Returns:
        None where a misspelt backend or a URL is likelier than a module.
    """
    head, _, name = spec.partition(":")
    if name.startswith("//") or head.lower() in backends:
        return None
    if not head:
        return UnknownNameError(f"{spec!r} names no module before the colon. {_OWN}")
    meant = _module_meant(head, backends)
    if meant in backends:
        return None
    suggested = f" Did you mean '{meant}:{name or 'NAME'}'?" if meant else ""
    if meant == head:  # there is such a module: it is the name that is missing or misspelt
        problem = f"{spec!r} does not name anything in the module {head!r}."
    else:
        problem = f"No module {head!r} was found, in the working directory either, and there is no backend of that name."
    return UnknownNameError(f"{problem}{suggested} {_OWN} Backends: {', '.join(backends)}.")


def unknown_agent(spec: str, agents: Sequence[str], backends: Sequence[str]) -> UnknownNameError:
    """Return the error for a text without a colon.

    Args:
        spec: The text, e.g. "gpt-4o" or "my_agents.Crafter".
        agents: Names of agents.
        backends: Schemes of model strings that can be used.
    """
    forms = (
        f"Give {', '.join(agents)}, or a model: openai:NAME, anthropic:NAME, google:NAME, litellm:PROVIDER/NAME, "
        f"http://HOST:PORT/v1#NAME, hf:PATH, scripted:FILE, or an agent of your own: MODULE:NAME."
    )
    meant = _without_colon(spec, backends)
    if meant is None:
        return unknown_name("agent", spec, agents, hint=forms)
    return UnknownNameError(f"Unknown agent {spec!r}. Did you mean {meant!r}? {forms}")


def _without_colon(spec: str, backends: Sequence[str]) -> str | None:
    """Return the form with a colon that a text stands for, if it is plain."""
    if spec.lower() in backends:
        is_url = spec.lower() in ("http", "https")
        return f"{spec.lower()}://HOST:PORT/v1#NAME" if is_url else f"{spec.lower()}:NAME"
    for family, backend in _FAMILIES:
        if family.match(spec):
            return f"{backend}:{spec}"
    if spec.endswith(".py"):
        found = _module_meant(spec, ())
        return f"{found}:NAME" if found else None
    module, dot, name = spec.rpartition(".")
    if dot and name.isidentifier() and _is_module(module):
        return f"{module}:{name}"
    if spec.strip() and os.path.isdir(spec):
        return f"hf:{spec}"
    return None


def _module_meant(head: str, backends: Sequence[str]) -> str | None:
    """Return the module, or the backend, that is meant by what stands before the colon."""
    written = head.removesuffix(".py").removeprefix("./").strip("/").replace("/", ".")
    for candidate in dict.fromkeys((written, written.replace("-", "_"))):
        if _is_module(candidate):
            return candidate
    near = difflib.get_close_matches(written, [*_modules_here(), *backends], n=1, cutoff=0.6)
    return near[0] if near else None


def _is_module(name: str) -> bool:
    """Whether a module of that name can be found."""
    return names_a_module(f"{name}:agent")


def _modules_here() -> list[str]:
    """Return the modules and packages of the working directory."""
    try:
        files = [path.stem for path in Path().glob("*.py")]
        packages = [path.parent.name for path in Path().glob("*/__init__.py")]
    except OSError:
        return []
    return sorted(name for name in {*files, *packages} if name.isidentifier())


__all__ = ["unknown_agent", "unknown_target"]
