"""The tasks of SciWorld: 30 kinds with 10 to 1386 variations each, in the simulator's own three splits.

Numbers of variations are facts of scienceworld 1.2.3, kept here so that tasks are known without a JVM.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from itertools import accumulate
from typing import NamedTuple

from palaestra.envs.core.tasks import Task, TaskSet
from palaestra.errors import UsageError, unknown_name


class Kind(NamedTuple):
    """A kind of task.

    Attributes:
        id: Number in the paper, e.g. "1-1".
        name: Name in the simulator, e.g. "boil".
        variations: How many there are.
    """

    id: str
    name: str
    variations: int


KINDS = (
    Kind("1-1", "boil", 30),
    Kind("1-2", "melt", 30),
    Kind("1-3", "freeze", 30),
    Kind("1-4", "change-the-state-of-matter-of", 30),
    Kind("2-1", "use-thermometer", 540),
    Kind("2-2", "measure-melting-point-known-substance", 436),
    Kind("2-3", "measure-melting-point-unknown-substance", 300),
    Kind("3-1", "power-component", 20),
    Kind("3-2", "power-component-renewable-vs-nonrenewable-energy", 20),
    Kind("3-3", "test-conductivity", 900),
    Kind("3-4", "test-conductivity-of-unknown-substances", 600),
    Kind("4-1", "find-living-thing", 300),
    Kind("4-2", "find-non-living-thing", 300),
    Kind("4-3", "find-plant", 300),
    Kind("4-4", "find-animal", 300),
    Kind("5-1", "grow-plant", 126),
    Kind("5-2", "grow-fruit", 126),
    Kind("6-1", "chemistry-mix", 32),
    Kind("6-2", "chemistry-mix-paint-secondary-color", 36),
    Kind("6-3", "chemistry-mix-paint-tertiary-color", 36),
    Kind("7-1", "lifespan-longest-lived", 125),
    Kind("7-2", "lifespan-shortest-lived", 125),
    Kind("7-3", "lifespan-longest-lived-then-shortest-lived", 125),
    Kind("8-1", "identify-life-stages-1", 14),
    Kind("8-2", "identify-life-stages-2", 10),
    Kind("9-1", "inclined-plane-determine-angle", 168),
    Kind("9-2", "inclined-plane-friction-named-surfaces", 1386),
    Kind("9-3", "inclined-plane-friction-unnamed-surfaces", 162),
    Kind("10-1", "mendelian-genetics-known-plant", 120),
    Kind("10-2", "mendelian-genetics-unknown-plant", 480),
)
_LONG = frozenset({"1-1", "1-2", "1-3", "1-4", "2-2", "2-3", "5-1", "5-2", "9-1", "9-2", "9-3", "10-1", "10-2"})
TURNS = sorted(KINDS, key=lambda kind: kind.id in _LONG)
"""Kinds in the order in which they take turns in a split: those with short solutions first."""

BY_NAME = {name: kind for kind in KINDS for name in (kind.name, kind.id)}
SPLITS = ("train", "dev", "test")

_NOT_SERVED = frozenset({"5-1", "5-2", "9-1", "9-2", "9-3", "10-1", "10-2"})
LAYOUTS = {
    "upstream": tuple(kind for kind in KINDS if kind.id not in _NOT_SERVED),
    "published_ids": tuple(kind for kind in KINDS if kind.id not in _NOT_SERVED | {"2-3"}),
}
"""Kinds that the integers of a mapping run through, all variations of one after the other.

`upstream` is the `data_idx` of AgentGym's server. `published_ids` are the ids of AgentTraj-L and AgentEval, according to the
maintainers (WooooDyy/AgentGym, issue 49); under it the published train and eval sets do not meet.
"""
LAYOUTS["upstream_code"] = LAYOUTS["upstream"]


def split_of(kind: Kind, variation: int) -> str:
    """Return the split of a variation: the first half is "train", the third quarter "dev", the rest "test".

    Source: allenai/ScienceWorld, PythonInterface.getSets.
    """
    quarter = kind.variations // 4
    return "train" if variation < 2 * quarter else "dev" if variation < 3 * quarter else "test"


@cache
def unsolved() -> Mapping[str, frozenset[int]]:
    """Return the variations for which the simulator's own solution is known to fail, by name of the kind."""
    text = (resources.files("palaestra.envs.agentgym.sciworld") / "unsolved.json").read_text(encoding="utf-8")
    return {name: frozenset(numbers) for name, numbers in json.loads(text).items()}


class SciWorldTasks(TaskSet):
    """The tasks, kinds in turns: the first thirty of a split are one of each kind, those with short solutions first.

    A split holds the variations that the simulator's own solution solves, as far as known; `find` knows all.

    Args:
        chosen: Only these: names or ids of kinds ("boil", "1-1"), and keys ("boil/15"), which may also be unsolved ones.

    Raises:
        UnknownNameError: If there is no such kind or task.
    """

    splits = SPLITS

    def __init__(self, chosen: Iterable[str] | None = None) -> None:
        """Look up the choice."""
        self.aliases = PublishedIds()
        self._by_split = _all_places() if chosen is None else _chosen_places([self._places_of(name) for name in chosen])

    def size(self, split: str) -> int:
        """Return the number of tasks in `split`."""
        return len(self._by_split[split])

    def at(self, split: str, index: int) -> Task:
        """Return task number `index` of `split`."""
        places = self._by_split[split]
        if not 0 <= index < len(places):
            raise IndexError(f"Split {split!r} has {len(places)} tasks; there is no number {index}.")
        return _task(*places[index])

    def find(self, key: str) -> Task:
        """Return the task with this key, `KIND/VARIATION`."""
        name, _, number = str(key).rpartition("/")
        kind = BY_NAME.get(name)
        if kind is None or kind.name != name or not number.isdecimal() or number != str(int(number[:9])):
            keys = [f"{kind.name}/{int(number[:9]) if number.isascii() and number.isdecimal() else 0}" for kind in KINDS]
            raise unknown_name("task", key, keys, hint="Keys read 'KIND/VARIATION', e.g. 'boil/15'.")
        if int(number) >= kind.variations:
            raise unknown_name("task", key, [], hint=f"{name} has the variations 0 to {kind.variations - 1}.")
        return _task(kind, int(number))

    def _places_of(self, name: str) -> list[tuple[Kind, int]]:
        """Return the variations that a name stands for."""
        if not isinstance(name, str):
            raise UsageError(f"A task is {name!r}; expected the name of a kind, e.g. 'boil', or a key, e.g. 'boil/15'.")
        kind = BY_NAME.get(name)
        if kind is not None:
            return _solved(kind)
        if "/" not in name and "#" not in name:
            raise unknown_name("kind of task", name, [kind.name for kind in KINDS])
        task = self.resolve(name)
        return [(BY_NAME[task.type], int(task.data["variation"]))]


class PublishedIds(Mapping[str, str]):
    """Keys by published id, `MAPPING#N`: computed, since there are more than ten thousand."""

    __slots__ = ()

    def __getitem__(self, alias: str) -> str:
        """Return the key that a published id leads to."""
        mapping, _, number = alias.partition("#")
        if mapping not in LAYOUTS or not number.isdecimal() or len(number) > 9 or number != str(int(number)):
            raise KeyError(alias)
        kinds, ends = LAYOUTS[mapping], _ends(mapping)
        place = bisect_right(ends, int(number))
        if place == len(ends):
            raise KeyError(alias)
        return f"{kinds[place].name}/{int(number) - ends[place] + kinds[place].variations}"

    def __iter__(self) -> Iterator[str]:
        """Iterate over the published ids."""
        return (f"{mapping}#{number}" for mapping in LAYOUTS for number in range(_ends(mapping)[-1]))

    def __len__(self) -> int:
        """Return the number of published ids."""
        return sum(_ends(mapping)[-1] for mapping in LAYOUTS)


@cache
def _ends(mapping: str) -> tuple[int, ...]:
    """Return the first number after each kind of a layout."""
    return tuple(accumulate(kind.variations for kind in LAYOUTS[mapping]))


def _task(kind: Kind, variation: int) -> Task:
    """Return one task."""
    key, split = f"{kind.name}/{variation}", split_of(kind, variation)
    return Task(key, split, kind.name, {"task": kind.name, "variation": variation})


def _solved(kind: Kind) -> list[tuple[Kind, int]]:
    """Return the variations of a kind that are not known to be unsolved."""
    left_out = unsolved().get(kind.name, frozenset())
    return [(kind, variation) for variation in range(kind.variations) if variation not in left_out]


@cache
def _all_places() -> dict[str, list[tuple[Kind, int]]]:
    """Return kinds and variations by split, one kind after the other in turns."""
    return _chosen_places([_solved(kind) for kind in TURNS])


def _chosen_places(groups: list[list[tuple[Kind, int]]]) -> dict[str, list[tuple[Kind, int]]]:
    """Return kinds and variations by split, those of all groups in turns."""
    found: dict[str, list[tuple[int, int, tuple[Kind, int]]]] = {split: [] for split in SPLITS}
    for number, group in enumerate(groups):
        ranks = dict.fromkeys(SPLITS, 0)
        for place in group:
            split = split_of(*place)
            found[split].append((ranks[split], number, place))
            ranks[split] += 1
    return {split: list(dict.fromkeys(place for _, _, place in sorted(places))) for split, places in found.items()}


__all__ = ["BY_NAME", "KINDS", "LAYOUTS", "SPLITS", "TURNS", "Kind", "PublishedIds", "SciWorldTasks", "split_of", "unsolved"]
