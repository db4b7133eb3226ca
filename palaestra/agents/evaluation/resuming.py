"""The record of a run: what shapes its episodes, written when it is created and compared when it is resumed.

What a run is made of is in its configuration: the settings of the evaluation, the agent's own (`agent_settings`), those of
agents in other seats (`seat_settings`), and the tasks (`tasks`). An episode of another agent, or of other tasks, is never
added to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from palaestra.agents.core import WEIGHTS, Agent
from palaestra.agents.masking import masked
from palaestra.agents.own import tells_settings
from palaestra.agents.store.store import RunStore
from palaestra.errors import ConfigError, UnknownNameError
from palaestra.types import Json, plain

log = logging.getLogger(__name__)

RECORD = "record_version"
"""Key of the version that wrote a record; `RECORD_VERSION` is the current one."""
RECORD_VERSION = 2
"""Raised whenever agents of this package write names in `_MAY_GROW` that they did not write before.

0 has none of `YOUNGER`, 1 has them without the number, 2 has the number.
"""
SINCE = "agent_settings"
"""Key by which a record of version 1 is known."""
YOUNGER = (SINCE, "seat_settings", "tasks", "make_env", RECORD)

_MAY_GROW = (SINCE, f"{SINCE}.sampling", f"{SINCE}.context")
"""Where a version may write more names than those before it: one that a record of an earlier version lacks is not compared.

In a record of the current version a name that is missing is a difference, as everything else is.
"""

_CHOOSE_TASKS = ("envs", "split", "n")
_SHOWN = 200  # characters of a value in a message


def player_record(
    agent: Agent, make_env: Callable[..., Any] | None = None, *, is_of_training: bool = False
) -> dict[str, Json]:
    """Return the part of a record that says who plays, in every seat, and who makes the environments.

    Args:
        agent: Plays.
        make_env: Makes the environments in place of `gymnasium.make`; kept by module and name.
        is_of_training: Whether a training run plays it: the weights are those of its checkpoints, and not named.
    """
    others: Mapping[str, Agent] = getattr(agent, "others", {}) if agent.seats else {}
    record: dict[str, Json] = {RECORD: RECORD_VERSION, SINCE: plain(agent.shaped_by())}
    if others:
        record["seat_settings"] = {seat: plain(one.shaped_by()) for seat, one in others.items()}
    for settings in (record[SINCE], *record.get("seat_settings", {}).values()) if is_of_training else ():
        if isinstance(backend := settings.get("backend"), dict):
            backend.pop(WEIGHTS, None)
    if make_env is not None:
        named = make_env if hasattr(make_env, "__qualname__") else type(make_env)
        record["make_env"] = f"{named.__module__}:{named.__qualname__}"
    return record


def open_run(store: RunStore, run_id: str | None, config: Mapping[str, Json]) -> str:
    """Create a run, or check that the one to resume was created with the same settings; return its name.

    A run that failed before its first episode gives its name to another one. The record of an earlier version may lack names
    of what shapes the agent, and the tasks: these are not compared, and are written down now if there is something left to
    play. From then on the record is one of the current version, in which everything is compared.

    Raises:
        ConfigError: If it was created with other settings; the message names them.
    """
    if run_id is None:
        return store.create_run(config)
    try:
        stored, given = store.config(run_id), masked(plain(config))
    except UnknownNameError:
        return store.create_run(config, run_id)
    written_by = _version(stored)
    is_older = written_by < _version(given)
    known = {key: value for key, value in given.items() if key not in YOUNGER} if is_older and not written_by else given
    known = {**known, RECORD: stored.get(RECORD)}  # who wrote it is not a setting
    if any(stored.get(key) != known.get(key) for key in _CHOOSE_TASKS) and "tasks" in known:
        known = {**known, "tasks": stored.get("tasks")}  # they follow, and need not be told
    may_grow = _MAY_GROW if is_older else ()
    different = list(_differences(stored, known, may_grow))
    if different and store.status(run_id) == "failed" and not store.episodes(run_id):
        store.delete_run(run_id)  # a mistake ended it before its first episode: there is nothing to keep, or to resume
        return store.create_run(config, run_id)
    if different:
        raise ConfigError(
            f"Run {run_id!r} was created with other settings: {'; '.join(different)}. Use the same, or another run id."
        )
    if is_older and ((run := store.run(run_id)).status != "finished" or run.num_errors):
        if missing := list(_missing(stored, given, may_grow)) if written_by else ["the settings of its agent and its tasks"]:
            log.warning(
                "Run %r was created by an earlier version, whose record does not name %s: what its %d episodes were played "
                "with is not compared. It is resumed with the current ones, which are recorded.",
                *(run_id, ", ".join(missing), run.num_episodes),
            )
        store.set_config(run_id, {**stored, **given})
    return run_id


def warn_of_untold(store: RunStore, run_id: str, agent: Agent) -> None:
    """Warn if a run is resumed with agents that have settings of which its record says nothing.

    Args:
        store: Where the run is.
        run_id: The run, opened.
        agent: Plays it, with the agents in other seats.
    """
    seated: Mapping[str, Agent] = getattr(agent, "others", {}) if agent.seats else {}
    policy: Agent = getattr(agent, "policy", agent) if agent.seats else agent
    agents = {f"the agent {policy.name!r}": policy, **{f"the agent in the seat {seat!r}": one for seat, one in seated.items()}}
    untold = [who for who, one in agents.items() if not tells_settings(one)]
    if not untold or not (run := store.run(run_id)).num_episodes or (run.status == "finished" and not run.num_errors):
        return
    log.warning(
        "Run %r is resumed with %s, whose settings its record does not name: whether its %d episodes were played with the "
        "same ones cannot be compared. Give it a shaped_by(), or a version that changes with them (a function: make it an "
        "object with act).",
        *(run_id, " and ".join(untold), run.num_episodes),
    )


def briefly(config: Mapping[str, Any]) -> dict[str, Json]:
    """Return a configuration for readers: of its tasks number and digest, without the keys; not who wrote the record."""
    config = {key: value for key, value in config.items() if key != RECORD}
    if "tasks" not in config:
        return config
    tasks = [f"{one['count']:,}" + (f" (digest {one['digest']})" if "digest" in one else "") for one in config["tasks"]]
    return {**config, "tasks": ", ".join(tasks)}


def check_planned(store: RunStore, run_id: str, episode_ids: Collection[str]) -> None:
    """Refuse to resume a run that holds episodes which are not among the planned ones.

    Args:
        store: Where the run is.
        run_id: The run, with settings that were compared.
        episode_ids: Those planned now.

    Raises:
        ConfigError: If there are any: the tasks are not those that it was created with.
    """
    strangers = sorted(store.finished(run_id).difference(episode_ids))
    if strangers:
        raise ConfigError(
            f"Run {run_id!r} holds {len(strangers):,} episodes of tasks that are not planned any more, the first of them "
            f"{strangers[0]!r}: the task set was changed since. Resume it with the tasks it was created with, or use another "
            f"run id."
        )


def _version(record: Mapping[str, Any]) -> int:
    """Return the version that wrote a record."""
    found = record.get(RECORD)
    return found if type(found) is int else int(SINCE in record)


def _missing(old: Mapping[str, Any], new: Mapping[str, Any], may_grow: Collection[str]) -> Iterator[str]:
    """Yield the dotted names of a record that an older one lacks where names may be added."""
    for place in may_grow:
        was: Any = old
        now: Any = new
        for key in place.split("."):
            was, now = (one.get(key) if isinstance(one, Mapping) else None for one in (was, now))
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from (f"{place}.{key}" for key in sorted(now.keys() - was.keys()))


def _differences(old: Any, new: Any, may_grow: Collection[str], prefix: str = "") -> Iterator[str]:
    """Yield what differs in two records, in words, by dotted names; in `may_grow` the old one may lack names."""
    if prefix == "tasks" and isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for was, now in zip(old, new, strict=True):
            if was != now:
                yield f"the tasks were {_told(was)}, now {_told(now)}{_why(was, now)}"
    elif isinstance(old, Mapping) and isinstance(new, Mapping) and (not prefix or prefix.startswith(YOUNGER)):
        for key in sorted(old.keys() | new.keys()):
            if key in old or prefix not in may_grow:
                yield from _differences(old.get(key), new.get(key), may_grow, f"{prefix}.{key}" if prefix else key)
    elif old != new:
        yield f"{prefix} was {_short(old)}, now {_short(new)}"


def _told(tasks: Mapping[str, Any]) -> str:
    """Say which tasks a record names."""
    keys = tasks.get("keys") or ()
    shown = ", ".join(map(repr, keys[:3]))
    return f"{tasks.get('count'):,}" + (f" ({shown}{', ...' if len(keys) > 3 else ''})" if keys else "")


def _why(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say what is different where number and keys are the same."""
    same = was.get("count") == now.get("count") and was.get("keys") == now.get("keys")
    return ", and under the same keys others than before" if same and was.get("keys") else ""


def _short(value: object) -> str:
    """Return a value for a message."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


__all__ = ["RECORD", "SINCE", "briefly", "check_planned", "open_run", "player_record", "warn_of_untold"]
