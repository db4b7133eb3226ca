"""Success next to what is for free: the best agent that knows nothing, and how far success lies above it.

The floor of an environment is on its audit card, for the settings that the card was made with. Runs that were played in
another way have no floor on a card: then it is measured, where arms of agents that know nothing were played next to them, or
it is said what is missing. A floor that is not known is never taken for 0.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from palaestra.agents.evaluation.arms import ArmSummary
from palaestra.agents.evaluation.summary import Summary
from palaestra.agents.store.records import RunSummary
from palaestra.results.statistics import Estimate, above_floor, wilson_interval
from palaestra.types import Json

if TYPE_CHECKING:
    from palaestra.envs.audit.shipped import Floor

KNOW_NOTHING = ("nothing", "random")
"""Agents by whose arms a floor is measured where no card has one."""

_MEASURE = f"Or play {' '.join(f'--model {name}' for name in KNOW_NOTHING)} in the same way, and report the runs together."
_ITSELF = "arms of agents that know nothing are the floor of the others."
_NOT_KNOWN = Estimate(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True, slots=True)
class AboveFloor:
    """What an environment gives for free, and how far success is above it.

    Attributes:
        env_id: Environment.
        floor: The best of the agents that know nothing; None if it is not known.
        above: Success minus the floor with its 95 % interval, from -1 to 1; NaN without a floor or without success. The
            floor counts as an independent estimate from the tasks it was measured on.
        missing: Why there is no floor, and how to get one; empty if there is one.
    """

    env_id: str
    floor: Floor | None = None
    above: Estimate = _NOT_KNOWN
    missing: str = ""

    @property
    def told(self) -> str:
        """The floor in a sentence."""
        if self.floor is None:
            return f"No floor of {self.env_id} is known: {self.missing}"
        source = "audit card" if self.floor.source == "card" else "measured next to it"
        return (
            f"Floor of {self.env_id}: the agent {self.floor.agent!r}, which knows nothing of its task, solves "
            f"{100 * (self.floor.success or 0.0):.1f} % of {self.floor.n:,} tasks ({source})."
        )

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict; None where there is no number, `missing` only where there is no floor."""
        if self.floor is None:
            return {"floor": None, "above_floor": None, "missing": self.missing}
        above = None if math.isnan(self.above.mean) else self.above.to_json()
        return {"floor": self.floor.to_json(), "above_floor": above}


def floors_of(arms: Sequence[ArmSummary]) -> list[AboveFloor]:
    """Return the floor of each arm, from cards, or from arms among them of agents that know nothing.

    Args:
        arms: Shown together. Those of agents in `KNOW_NOTHING` are the floor of the others that were played in the same way,
            where no card has one.
    """
    found = []
    for arm in arms:
        own = floor_for(arm.arm.env_id, arm.arm.env_kwargs, arm.arm.split, arm.summary.success, arm.config)
        found.append(own if own.floor is not None else _measured(arm, arms) or own)
    return found


def floor_of_run(run: RunSummary) -> AboveFloor | None:
    """Return the floor of a listed run from its card, with success above it but no interval; None if it has not one task set.

    A line about a run does not say which of its episodes are samples of one task: an interval needs `floors_of`.
    """
    scored = run.num_episodes - run.num_errors
    rate = run.num_success / scored if scored else math.nan
    try:
        if run.config.get("kind") not in ("evaluate", "rescore") or len(run.config.get("envs", ())) != 1:
            return None
        [found] = _in(run.config, lambda env_id: Estimate(rate, math.nan, math.nan, scored)).values()
    except (TypeError, ValueError, KeyError, AttributeError):  # a record of other types than ours; it is listed all the same
        return None
    return found


def floors_in(config: Mapping[str, Json], summary: Summary) -> dict[str, AboveFloor]:
    """Return the floor of each environment of a run from its card, by id.

    Args:
        config: Settings of the run.
        summary: Its results.
    """
    return _in(config, lambda env_id: summary.by_env[env_id].success if env_id in summary.by_env else _NOT_KNOWN)


def _in(config: Mapping[str, Json], success_of: Callable[[str], Estimate]) -> dict[str, AboveFloor]:
    """Return the floor of each environment of a run from its card, by id."""
    envs = config.get("envs", ())
    tasks = [*config.get("tasks", ()), *({"digest": ""} for _ in envs)]  # records of earlier versions do not name them
    found: dict[str, AboveFloor] = {}
    for env, planned in zip(envs, tasks, strict=False):
        env_id = str(env["env_id"])
        if env_id in found:
            found[env_id] = AboveFloor(env_id, missing="the run has several settings of it; its report has the floor of each.")
            continue
        split = config.get("split") if "digest" in planned else None
        found[env_id] = floor_for(env_id, env.get("env_kwargs", {}), split, success_of(env_id), config)
    return found


def floor_for(
    env_id: str,
    arguments: Mapping[str, Json],
    split: str | None,
    success: Estimate,
    config: Mapping[str, Json],
) -> AboveFloor:
    """Return the floor that a card has for what was played, and how far success is above it.

    Args:
        env_id: Environment.
        arguments: Its arguments.
        split: Split that was played; empty or None where there are no tasks.
        success: Share of solved tasks, with its interval.
        config: Settings of the run.
    """
    if way := " and ".join(_other_ways(config)):
        return AboveFloor(
            env_id, missing=f"cards hold for the settings of the environment alone, and the run has {way}. {_MEASURE}"
        )
    try:
        from palaestra.envs.audit.shipped import shipped_floor

        floor = shipped_floor(env_id, arguments, split or None)
    except (Exception, SystemExit) as error:  # the card, or the class, of a third party
        return AboveFloor(env_id, missing=f"its card cannot be read ({type(error).__name__}: {error}). {_MEASURE}")
    if floor is None:
        settings = "".join(f" --set {name}={json.dumps(value, default=repr)}" for name, value in arguments.items())
        where = f" --split {split}" if split else ""
        return AboveFloor(
            env_id,
            missing=f"no card holds for these settings. Make one with: palaestra audit {env_id}{settings}{where}. {_MEASURE}",
        )
    return AboveFloor(env_id, floor, above_floor(success, estimate_of(floor)))


def estimate_of(floor: Floor) -> Estimate:
    """Return the success of a floor with Wilson's interval of the tasks behind it; NaN if it says none."""
    if floor.success is None or not 0 <= floor.success <= 1 or floor.n < 1:
        return _NOT_KNOWN
    return Estimate(floor.success, *wilson_interval(floor.success * floor.n, floor.n), floor.n)


def _other_ways(config: Mapping[str, Json]) -> Iterator[str]:
    """Yield in which ways a run was played, scored or recorded that no card is about."""
    if not config.get("envs"):
        yield "a record that does not name the arguments of its environment"
    if config.get("max_turns") is not None:
        yield f"max_turns = {config['max_turns']}"
    if config.get("seats") or config.get("seat_models") or config.get("seat_settings"):
        yield "agents in other seats"
    if config.get("make_env"):
        yield f"environments made by {config['make_env']}"
    if config.get("wrappers"):
        yield f"wrappers ({', '.join(config['wrappers'])})"
    if config.get("kind") == "rescore":
        yield f"scores by {config.get('scorer')}"


def _measured(arm: ArmSummary, arms: Sequence[ArmSummary]) -> AboveFloor | None:
    """Return the floor that arms of agents that know nothing set for another one; None without any."""
    from palaestra.envs.audit.shipped import Floor

    if arm.agent in KNOW_NOTHING:
        return AboveFloor(arm.arm.env_id, missing=_ITSELF) if len(arms) > 1 else None
    free = [one for one in arms if one.agent in KNOW_NOTHING and one.num_scored and _way(one) == _way(arm)]
    if not free:
        return None
    best = max(free, key=lambda one: one.summary.success.mean)
    success = best.summary.success
    floor = Floor(best.agent, success.mean, best.summary.total.return_.mean, best.num_scored, "measured")
    return AboveFloor(arm.arm.env_id, floor, above_floor(arm.summary.success, success))


def _way(arm: ArmSummary) -> str:
    """Return all that an arm shares with those that were played and scored in the same way, as a text."""
    names = ("max_turns", "seats", "seat_models", "seat_settings", "make_env", "wrappers", "kind", "scorer")
    settings = [arm.config.get(name) for name in names]
    return json.dumps([arm.arm.env_id, dict(arm.arm.env_kwargs), arm.arm.split, settings], sort_keys=True, default=repr)


__all__ = ["KNOW_NOTHING", "AboveFloor", "estimate_of", "floor_for", "floor_of_run", "floors_in", "floors_of"]
