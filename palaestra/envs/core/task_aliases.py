"""Published ids of tasks: `MAPPING#N` leads to a stable key.

The integers of a published data set name other tasks in another directory order, index definition or library version. An
integer is therefore never resolved alone, only together with the name of the mapping that it belongs to.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from palaestra.errors import ConfigError, UnknownNameError, UsageError


class Aliases(Mapping[str, str]):
    """Keys of tasks by published id; read-only, and it pickles.

    Args:
        found: The keys by published id.
    """

    __slots__ = ("_found",)

    def __init__(self, found: Mapping[str, str]) -> None:
        """Keep a copy."""
        self._found = dict(found)

    def __getitem__(self, alias: str) -> str:
        """Return the key that a published id leads to."""
        return self._found[alias]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the published ids."""
        return iter(self._found)

    def __len__(self) -> int:
        """Return the number of published ids."""
        return len(self._found)

    def __repr__(self) -> str:
        """Show the ids and keys."""
        return f"Aliases({self._found!r})"


NO_ALIASES: Mapping[str, str] = Aliases({})

_ALIAS = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*)#(0|[1-9][0-9]{0,17})")


def checked_aliases(
    aliases: Mapping[str, str] | Iterable[tuple[str, str]], has_key: Callable[[str], bool]
) -> Mapping[str, str]:
    """Return aliases as a mapping of their own.

    Args:
        aliases: Published ids and the keys that they lead to.
        has_key: Whether a task with this key exists.

    Raises:
        ConfigError: If they are not pairs.
        UsageError: If an alias is not of the form `MAPPING#N`, leads to two tasks or to none, or is a task's key itself.
    """
    found: dict[str, str] = {}
    for alias, key in _pairs(aliases):
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
    return Aliases(found)


def _pairs(aliases: Any) -> list[tuple[Any, Any]]:
    """Return aliases as pairs; ConfigError if they are none."""
    given = aliases
    if isinstance(aliases, Mapping):
        aliases = aliases.items()
    pairs = list(aliases) if isinstance(aliases, Iterable) and not isinstance(aliases, (str, bytes)) else [aliases]
    if not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise ConfigError(
            f"The aliases of a task set are {repr(given)[:200]}; expected a mapping of published ids to keys, or such "
            f'pairs, e.g. {{"upstream#160": "train/3"}}; () for none.'
        )
    return [(alias, key) for alias, key in pairs]


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
    """Return the error of a published id that nobody knows; None if the text does not look like one, or there are none."""
    mapping = mapping_of(name)
    if not aliases:
        return None
    if not mapping:
        if "#" not in name:
            return None
        return UnknownNameError(
            f"Unknown task {name[:200]!r}: a published id is 'MAPPING#N' with an integer from 0 in the digits 0 to 9, without "
            f"leading zeros. {_choices(aliases)}"
        )
    numbers = [int(alias.rpartition("#")[2]) for alias in aliases if mapping_of(alias) == mapping]
    if not numbers:
        return UnknownNameError(f"Unknown task {name!r}: there is no published mapping {mapping!r}. {_choices(aliases)}")
    return UsageError(
        f"The mapping {mapping!r} has no number {name.rpartition('#')[2]}; it has {len(numbers)} ids, "
        f"{mapping}#{min(numbers)} to {mapping}#{max(numbers)}."
    )


def without_aliases(error: UnknownNameError) -> UnknownNameError:
    """Return the error of a published id where no mapping is known, with the next move added."""
    return UnknownNameError(
        f"{error} There are no published ids here: they come with the published data. Name its path, and its mapping if the "
        f"environment asks for one, in the arguments of the environment, e.g. tasks={{'upstream': PATH}}."
    )


def _choices(aliases: Mapping[str, str]) -> str:
    """Say which mappings there are."""
    names = mappings(aliases)
    if not names:
        return "This task set has no published mapping; give a key, e.g. env.unwrapped.tasks.split('test')[0].key."
    return f"Name the mapping, 'MAPPING#N'; there {'is' if len(names) == 1 else 'are'}: {', '.join(names)}."


__all__ = [
    "NO_ALIASES",
    "Aliases",
    "bare_number",
    "checked_aliases",
    "is_bare_number",
    "mapping_of",
    "mappings",
    "unknown_alias",
    "warn_of_bare_number",
    "without_aliases",
]
