"""Published games: where they lie, what they are called, and their integer ids as `MAPPING#N`.

ALFWorld keeps its games as `SPLIT/TASK_TYPE/TRIAL/game.tw-pddl`; such a game is called `TASK_TYPE/TRIAL`. A file with a name
of its own is called by it, without `.tw-pddl`. The integers of AgentGym lead to games only through its mapping files.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from palaestra.envs.agentgym.alfworld.generator import TASK_TYPES
from palaestra.envs.core.data_files import kind_of, place_of, shown
from palaestra.envs.core.tasks import FixedTasks, Task
from palaestra.errors import ConfigError, MissingDataError, UsageError
from palaestra.types.json_records import read_json_records

SUFFIX = ".tw-pddl"
MAX_FILES = 50_000
_SPLITS = ("train", "valid_train", "valid_seen", "valid_unseen", "test_seen", "test_unseen")
_NAMED = re.compile(r"([a-z_]+-[^/\s]+)/(trial_[0-9A-Za-z_]+)")

_MAPPING = re.compile(r"\.jsonl?\Z", re.IGNORECASE)
_NUMBERED = re.compile(r"(?:alfworld_)?\[?([0-9]{1,9})\]?")


class PublishedTasks(FixedTasks):
    """Tasks of games that are at hand.

    Args:
        tasks: The tasks.
        aliases: Published ids and the keys that they lead to.
        absent: Names of games that are not at hand, by published id.
    """

    def __init__(
        self, tasks: Iterable[Task], aliases: Iterable[tuple[str, str]] = (), absent: Mapping[str, str] | None = None
    ) -> None:
        """Index the tasks."""
        super().__init__(tasks, aliases=aliases)
        self._absent = dict(absent or {})

    def resolve(self, name: str) -> Task:
        """Return the task with this key, or with this published id.

        Raises:
            UnknownNameError: If there is none.
            MissingDataError: If its game is not at hand.
            UsageError: If an integer comes without a mapping.
        """
        if (game := self._absent.get(name)) is not None:
            raise MissingDataError(
                f"The published id {name!r} is the game {game}/game{SUFFIX}, which is not at hand. Pass a folder that "
                f"has it as games=PATH."
            )
        return super().resolve(name)


class GameTasks(NamedTuple):
    """Games and the tasks to play them.

    Attributes:
        tasks: A task for each game.
        files: Where each game lies, by key.
    """

    tasks: tuple[Task, ...]
    files: dict[str, Path]


def find_games(places: str | Path | Iterable[str | Path]) -> GameTasks:
    """Return the games at some places.

    Args:
        places: A file, a folder that is searched with its subfolders, or several of both.

    Raises:
        MissingDataError: If a place does not exist or holds no game.
        ConfigError: If there are too many files, or a path cannot be used.
        UsageError: If two games have one name.
    """
    listed = [places] if isinstance(places, str | Path) else list(places)
    if not listed or not all(isinstance(place, str | Path) for place in listed):
        raise ConfigError(f"games is {places!r}; expected the path of a game file or of a folder, or a list of such paths.")
    files: dict[str, Path] = {}
    tasks: list[Task] = []
    for path in (path for place in listed for path in _files_at(place_of(place))):
        key = _key_of(path)
        if key in files:
            raise UsageError(f"Two games are called {key!r}: {shown(files[key])} and {shown(path)}; leave one of them out.")
        files[key] = path
        split = next((part for part in reversed(path.parts[:-1]) if part in _SPLITS), "test")
        task_type = key.partition("-")[0]
        tasks.append(Task(key, split, task_type if task_type in TASK_TYPES else ""))
    return GameTasks(tuple(tasks), files)


def chosen_games(games: GameTasks, wanted: Any) -> PublishedTasks:
    """Return the tasks that the argument `tasks` asks for, with their published ids.

    Args:
        games: What there is.
        wanted: None for all, a list of keys, or mapping files by the name of the mapping that their ids belong to: a path, or
            `{"path": PATH, "split": SPLIT}`. The path of a mapping file alone names no mapping: its games are known by their
            keys only then, and a warning says so.

    Raises:
        MissingDataError: If there is no mapping file, or none of its games.
        ConfigError: If a mapping file cannot be understood.
        UsageError: If a key does not exist.
    """
    by_key = {task.key: task for task in games.tasks}
    if wanted is None:
        return PublishedTasks(games.tasks)
    is_path = isinstance(wanted, Path) or (isinstance(wanted, str) and wanted not in by_key and _MAPPING.search(wanted))
    if is_path:
        warnings.warn(
            f"The integers of {wanted} mean other games in other files. Name the mapping that they belong to: "
            f"tasks={{'upstream': {str(wanted)!r}}} makes them 'upstream#N'. Without it, games are known by their keys only.",
            stacklevel=4,
        )
    elif not isinstance(wanted, Mapping):
        keys = [wanted] if isinstance(wanted, str) else list(wanted) if isinstance(wanted, Iterable) else [None]
        if not all(isinstance(key, str) for key in keys):
            raise ConfigError(
                f"tasks is {repr(wanted)[:200]}; expected a list of keys, e.g. [{next(iter(by_key))!r}], or mapping files by "
                f"the name of their mapping, e.g. {{'upstream': 'mappings_test.json'}}."
            )
        if unknown := [key for key in keys if key not in by_key]:
            raise UsageError(
                f"There is no game {unknown[0]!r}; there are {len(by_key)}, e.g. {next(iter(by_key))!r}. A mapping file is "
                f"named with its mapping: tasks={{'upstream': PATH}}."
            )
        return PublishedTasks(by_key[key] for key in dict.fromkeys(keys))
    found: dict[str, Task] = {}
    aliases = []
    absent: dict[str, str] = {}
    for mapping, source in {"upstream": wanted}.items() if is_path else wanted.items():
        path, split = _source(mapping, source)
        missing: list[str] = []
        for number, names in _rows(path):
            key = next((name for name in names if name in by_key), None)
            if key is None:
                missing.append(names[0])
                absent[f"{mapping}#{number}"] = names[0]
                continue
            task = by_key[key]
            task = Task(key, split, task.type, task.data) if split else task
            if found.setdefault(key, task).split != task.split:
                raise ConfigError(f"The game {key!r} is in the files of two splits, {found[key].split!r} and {task.split!r}.")
            aliases.append((f"{mapping}#{number}", key))
        if missing and not any(alias.startswith(f"{mapping}#") for alias, _ in aliases):
            examples = ", ".join(f"{name}/game{SUFFIX}" for name in missing[:3])
            raise MissingDataError(f"None of the games of {shown(path)} is at hand; expected {len(missing)}, e.g. {examples}.")
        if missing:
            warnings.warn(
                f"{len(missing)} games of {path} are not at hand and left out, e.g. {missing[0]}/game{SUFFIX}.", stacklevel=5
            )
    return PublishedTasks(found.values(), () if is_path else aliases, {} if is_path else absent)


def _files_at(place: Path) -> list[Path]:
    """Return the game files at a place, sorted."""
    kind = kind_of(place)
    if kind == "file":
        return [place]
    expected = f"expected a game file (game{SUFFIX}) or a folder of ALFWorld's games, e.g. json_2.1.1/valid_unseen"
    if kind == "nothing":
        raise MissingDataError(f"There is nothing at {shown(place)}; {expected}.")
    found = []
    for number, (folder, folders, names) in enumerate(os.walk(place)):
        folders.sort()
        found += [Path(folder, name) for name in names if name.endswith(SUFFIX)]
        if number > MAX_FILES or len(found) > MAX_FILES:
            raise ConfigError(f"{shown(place)} holds more than {MAX_FILES:,} folders or games; is it the right folder?")
    if not found:
        raise MissingDataError(f"There is no game (*{SUFFIX}) under {shown(place)}; {expected}.")
    return sorted(found)


def _key_of(path: Path) -> str:
    """Return the name of a game."""
    stem = path.name.removesuffix(SUFFIX)
    return "/".join(path.absolute().parts[-3:-1]) if stem == "game" else stem


def _source(mapping: object, source: object) -> tuple[Path, str]:
    """Return path and split of a mapping file."""
    path, split = source, ""
    if isinstance(source, Mapping) and set(source) <= {"path", "split"}:
        path, split = source.get("path"), source.get("split", "")
    if not isinstance(path, str | Path) or not isinstance(split, str):
        raise ConfigError(
            f"tasks[{mapping!r}] is {source!r}; expected the path of a mapping file, or {{'path': PATH, 'split': 'train'}}."
        )
    place = place_of(path)
    if kind_of(place) != "file":
        raise MissingDataError(
            f"There is no mapping file at {shown(place)}; expected a JSON array of objects with 'item_id', 'task_type' and "
            f"'task_id', as mappings_train.json of AgentGym."
        )
    return place, split


def _rows(path: Path) -> Iterable[tuple[int, tuple[str, ...]]]:
    """Yield the number of each row, and the names that its game may have."""
    for record in read_json_records(path):
        row = record.value if isinstance(record.value, Mapping) else {}
        item = row.get("item_id")
        number = item
        kind, trial = row.get("task_type"), row.get("task_id")
        if isinstance(item, str) and (match := _NAMED.search(item)) is not None:
            kind, trial = match[1], match[2]
        if record.problem or isinstance(item, bool) or not isinstance(kind, str) or not isinstance(trial, str):
            problem = record.problem or f"is {repr(record.value)[:100]}"
            raise ConfigError(
                f"{shown(path)}, {record.place} {problem}; expected 'item_id' (an integer), 'task_type' and 'task_id'. "
                f"Integers alone name no game."
            )
        if not isinstance(number, int):
            digits = _NUMBERED.fullmatch(str(item))
            number = record.number - 1 if digits is None else int(digits[1])
        yield number, (f"{kind}/{trial}", kind, trial)


__all__ = ["GameTasks", "PublishedTasks", "chosen_games", "find_games"]
