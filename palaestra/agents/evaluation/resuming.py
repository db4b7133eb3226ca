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
from palaestra.agents.store.store import RunStore
from palaestra.errors import ConfigError, UnknownNameError
from palaestra.types import Json, plain

log = logging.getLogger(__name__)

SINCE = "agent_settings"
"""Key by which a record of this version is known; earlier ones have none of `YOUNGER`."""
YOUNGER = (SINCE, "seat_settings", "tasks", "make_env")

_MAY_GROW = (SINCE, f"{SINCE}.sampling", f"{SINCE}.context")
"""Where a later version may write more names than an earlier one: a name that the stored record lacks is not compared."""

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
    record: dict[str, Json] = {SINCE: plain(agent.shaped_by())}
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

    A run that failed before its first episode gives its name to another one. The record of an earlier version lacks what
    shapes the agent, and the tasks: these are not compared, and are written down now if there is something left to play.

    Raises:
        ConfigError: If it was created with other settings; the message names them.
    """
    if run_id is None:
        return store.create_run(config)
    try:
        stored, given = store.config(run_id), masked(plain(config))
    except UnknownNameError:
        return store.create_run(config, run_id)
    is_older = SINCE not in stored
    known = {key: value for key, value in given.items() if key not in YOUNGER} if is_older else given
    if any(stored.get(key) != known.get(key) for key in _CHOOSE_TASKS) and "tasks" in known:
        known = {**known, "tasks": stored.get("tasks")}  # they follow, and need not be told
    different = list(_differences(stored, known))
    if different and store.status(run_id) == "failed" and not store.episodes(run_id):
        store.delete_run(run_id)  # a mistake ended it before its first episode: there is nothing to keep, or to resume
        return store.create_run(config, run_id)
    if different:
        raise ConfigError(
            f"Run {run_id!r} was created with other settings: {'; '.join(different)}. Use the same, or another run id."
        )
    if is_older and SINCE in given and ((run := store.run(run_id)).status != "finished" or run.num_errors):
        log.warning(
            "Run %r was created by an earlier version, whose record does not name the settings of its agent and its tasks: "
            "what its %d episodes were played with is not compared. It is resumed with the current ones, which are recorded.",
            run_id,
            run.num_episodes,
        )
        store.set_config(run_id, {**stored, **given})
    return run_id


def briefly(config: Mapping[str, Any]) -> dict[str, Json]:
    """Return a configuration for readers: of its tasks number and digest, without the keys."""
    if "tasks" not in config:
        return dict(config)
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


def _differences(old: Any, new: Any, prefix: str = "") -> Iterator[str]:
    """Yield what differs in two records, in words, by dotted names."""
    if prefix == "tasks" and isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for was, now in zip(old, new, strict=True):
            if was != now:
                yield f"the tasks were {_told(was)}, now {_told(now)}{_why(was, now)}"
    elif isinstance(old, Mapping) and isinstance(new, Mapping) and (not prefix or prefix.startswith(YOUNGER)):
        for key in sorted(old.keys() | new.keys()):
            if key in old or prefix not in _MAY_GROW:
                yield from _differences(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else key)
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


__all__ = ["SINCE", "briefly", "check_planned", "open_run", "player_record"]
