"""Opening an environment for a command: mistakes in its id or arguments become one clear line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from palaestra.envs.registration import find_spec
from palaestra.errors import ConfigError, EnvironmentFault, PalaestraError, unknown_name
from palaestra.types import Json


def open_env(env_id: str, settings: Mapping[str, Json] | None = None, **options: Any) -> Any:
    """Make an environment, without Gymnasium's type checks around it.

    Args:
        env_id: Registered id.
        settings: Arguments given by the user.
        **options: Arguments that the command itself sets.

    Raises:
        UsageError: For an unknown id, an unknown argument or a value the environment refuses.
        EnvironmentFault: If its code fails otherwise.
    """
    import gymnasium

    find_spec(env_id)
    settings = dict(settings or {})
    try:
        return gymnasium.make(env_id, disable_env_checker=True, **{**options, **settings})
    except PalaestraError:
        raise
    except TypeError as error:
        if found := re.search(r"unexpected keyword argument '(\w+)'", str(error)):
            known = [name for name in arguments(env_id) if name not in ("self", "kwargs")]
            raise unknown_name(f"argument of {env_id}", found[1], known) from None
        raise ConfigError(f"{env_id} refuses its arguments {settings}: {error}. See: palaestra show {env_id}") from error
    except Exception as error:
        raise EnvironmentFault(f"{env_id} cannot be made: {type(error).__name__}: {error}") from error


def env_class(env_id: str) -> type[Any]:
    """Return the class behind an id, also of one that cannot be made here.

    Raises:
        UnknownNameError: If there is no such id.
        ImportError: If something that its module imports is not installed.
    """
    from palaestra.envs import registration

    return registration.env_class(find_spec(env_id).id)  # type: ignore[no-any-return]


def arguments(env_id: str) -> dict[str, str]:
    """Return the arguments of an environment with their defaults as source text; those fixed by the id win."""
    defaults = {
        parameter.name: "required" if parameter.default is parameter.empty else repr(parameter.default)
        for parameter in _parameters(env_class(env_id))
    }
    return {**defaults, **{key: repr(value) for key, value in find_spec(env_id).kwargs.items()}}


def _parameters(creator: Any) -> list[inspect.Parameter]:
    """Return the named parameters of a class or function; those of base classes too, where `**kwargs` passes them on."""
    found: dict[str, inspect.Parameter] = {}
    for owner in creator.__mro__ if isinstance(creator, type) else [creator]:
        if isinstance(owner, type) and "__init__" not in vars(owner):
            continue
        parameters = list(inspect.signature(owner).parameters.values())
        for parameter in parameters:
            # what a base takes by position is for its subclasses to give
            if parameter.kind is parameter.KEYWORD_ONLY or (
                owner is creator and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
            ):
                found.setdefault(parameter.name, parameter)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return list(found.values())


def first_line(text: str | None) -> str:
    """Return the first line of a docstring, or a dash."""
    lines = (text or "").strip().splitlines()
    return lines[0].strip() if lines else "-"


def split_sizes(env: Any) -> dict[str, int | None]:
    """Return the number of tasks by split, None for no end; empty for environments without a task set."""
    tasks = getattr(env.unwrapped, "tasks", None)
    return {} if tasks is None else {split: tasks.size(split) for split in tasks.splits}


def tool_names(env: Any) -> list[str]:
    """Return the names of an environment's tools."""
    tools = getattr(env.unwrapped, "tools", None)
    return [tool["function"]["name"] for tool in (tools() if callable(tools) else ())]
