"""Agents that a text names: `my_module:MyAgent` from a module, and names that installed packages bring.

A third-party package names its agents in the entry-point group `palaestra.agents`:

    [project.entry-points."palaestra.agents"]
    parrot = "my_package.parrot:ParrotAgent"

A target is a class, which is called with the options given, or an instance or a function, which takes none.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Mapping
from typing import Any

from palaestra.agents.core import Agent
from palaestra.agents.own import as_agent
from palaestra.errors import ConfigError, PalaestraError, UsageError, unknown_name
from palaestra.lazy import entry_points_of, import_users, look_in_working_directory

ENTRY_POINTS = "palaestra.agents"

_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def plugin_agents() -> dict[str, str]:
    """Return the agents of installed packages: `module:attribute` by name."""
    return entry_points_of(ENTRY_POINTS)


def names_a_module(spec: str) -> bool:
    """Whether a text has the form `module:Name` and there is such a module, in the working directory too."""
    if _TARGET.fullmatch(spec) is None:
        return False
    look_in_working_directory()
    module = spec.partition(":")[0]
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:
        return not f"{module}.".startswith(f"{error.name}.")
    except BaseException:  # a package above it that cannot be imported: loading it says why
        return True


def load_agent(target: str, options: Mapping[str, Any]) -> Agent:
    """Import what `module:Name` names and return it as an agent.

    Args:
        target: A class, an instance or a function; `Name` may have dots.
        options: Arguments of the class.

    Raises:
        UsageError: If the module cannot be imported, has no such name, or what it names cannot play.
        ConfigError: If an option is not an argument of the class.
    """
    module, _, path = target.partition(":")
    look_in_working_directory()
    found: Any = import_users(module, f"The agent {target!r}")
    for name in path.split("."):
        if not hasattr(found, name):
            raise unknown_name(f"name in {module!r}", name, [one for one in dir(found) if not one.startswith("_")])
        found = getattr(found, name)
    return as_agent(_built(target, found, options), f"The agent {target!r}")


def _built(target: str, found: Any, options: Mapping[str, Any]) -> Any:
    """Return the player that a target stands for: a class is called."""
    if not isinstance(found, type):
        if options:
            given = ", ".join(options)
            raise ConfigError(f"The agent {target!r} is not a class and takes no options; leave out {given}, or name a class.")
        return found
    try:
        inspect.signature(found).bind(**options)
    except TypeError as error:
        raise ConfigError(
            f"{target}{inspect.signature(found)} does not take the options given ({error}). Options are the arguments of the "
            f"class: --option KEY=VALUE, or make_agent({target!r}, KEY=VALUE)."
        ) from None
    except ValueError:  # classes without a signature of their own check it themselves
        pass
    try:
        return found(**options)
    except PalaestraError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"The agent {target!r} could not be built: {type(error).__name__}: {error}.") from error


__all__ = ["ENTRY_POINTS", "load_agent", "names_a_module", "plugin_agents"]
