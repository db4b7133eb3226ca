"""Published ids of tasks: `MAPPING#N` leads to a stable key.

The integers of a published data set name other tasks in another directory order, index definition or library version. An
integer is therefore never resolved alone, only together with the name of the mapping that it belongs to.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from palaestra.errors import UsageError

NO_ALIASES: Mapping[str, str] = MappingProxyType({})

_ALIAS = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*)#(0|[1-9][0-9]{0,17})")


def checked_aliases(
    aliases: Mapping[str, str] | Iterable[tuple[str, str]], has_key: Callable[[str], bool]
) -> Mapping[str, str]:
    """Return aliases as a mapping of their own.

    Args:
        aliases: Published ids and the keys that they lead to.
        has_key: Whether a task with this key exists.

    Raises:
        UsageError: If an alias is not of the form `MAPPING#N`, leads to two tasks or to none, or is a task's key itself.
    """
    found: dict[str, str] = {}
    for alias, key in aliases.items() if isinstance(aliases, Mapping) else aliases:
        if not isinstance(alias, str) or _ALIAS.fullmatch(alias) is None:
            raise UsageError(f"The published id {alias!r} is not of the form 'MAPPING#N', e.g. 'upstream#160'.")
        if found.setdefault(alias, key) != key:
            raise UsageError(
                f"The published id {alias!r} leads to the task {found[alias]!r} and to {key!r}; give one of the two mappings "
                f"another name."
            )
        if has_key(alias):
            raise UsageError(
                f"The published id {alias!r} is also the key of a task; give the mapping {mapping_of(alias)!r} another name."
            )
        if not isinstance(key, str) or not has_key(key):
            raise UsageError(f"The published id {alias!r} leads to {key!r}, which is not the key of a task here.")
    return found


def mapping_of(name: str) -> str:
    """Return the mapping of a published id; empty for a text of another form."""
    match = _ALIAS.fullmatch(name)
    return "" if match is None else match[1]


def mappings(aliases: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the mappings, sorted."""
    return tuple(sorted({mapping_of(alias) for alias in aliases}))


def is_bare_number(name: object) -> bool:
    """Whether a task is asked for by an integer alone."""
    return isinstance(name, str) and name.isascii() and name.isdecimal()


def bare_number(number: object, aliases: Mapping[str, str]) -> UsageError:
    """Return the error of an integer without a mapping."""
    return UsageError(
        f"{number!r} does not name a task: an integer means another task in each published mapping. {_choices(aliases)}"
    )


def warn_of_bare_number(number: str, aliases: Mapping[str, str]) -> None:
    """Warn that an integer was taken as a task's own key, where there are published ids as well."""
    warnings.warn(
        f"{number!r} is taken as the key of a task, not as an id of a published mapping. {_choices(aliases)}", stacklevel=4
    )


def unknown_alias(name: str, aliases: Mapping[str, str]) -> UsageError | None:
    """Return the error of a published id that nobody knows; None if the text does not look like one of these mappings."""
    mapping = mapping_of(name)
    numbers = [int(alias.rpartition("#")[2]) for alias in aliases if mapping_of(alias) == mapping]
    if not mapping or not numbers:
        return None
    return UsageError(
        f"The mapping {mapping!r} has no number {name.rpartition('#')[2]}; it has {len(numbers)} ids, "
        f"{mapping}#{min(numbers)} to {mapping}#{max(numbers)}."
    )


def _choices(aliases: Mapping[str, str]) -> str:
    """Say which mappings there are."""
    names = mappings(aliases)
    if not names:
        return "This task set has no published mapping; give a key, e.g. env.unwrapped.tasks.split('test')[0].key."
    return f"Name the mapping, 'MAPPING#N'; there {'is' if len(names) == 1 else 'are'}: {', '.join(names)}."


__all__ = [
    "NO_ALIASES",
    "bare_number",
    "checked_aliases",
    "is_bare_number",
    "mapping_of",
    "mappings",
    "unknown_alias",
    "warn_of_bare_number",
]
