"""Results in the form of the paper: its columns and Overall, the behaviours, next to the published figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from palaestra.envs.critic.report import (
    behaviour_table,
    behaviours,
    breakdown,
    overall,
    paper_columns,
    paper_table,
    published_numbers,
    published_table,
)
from palaestra.envs.critic.scoring import Scored
from palaestra.results.tables import Arm, Blocks, EnvResults, Mark, StepBlock
from palaestra.types import Json, Trajectory


def critic_results(arms: Sequence[Arm]) -> EnvResults:
    """Return the tables of some arms: the modes of one agent with the same arguments are one row.

    Args:
        arms: One for each agent and set of arguments.
    """
    rows: dict[str, list[Scored]] = {}
    settings: dict[str, dict[str, Json]] = {}
    for arm in arms:
        found = [scored for one in arm.episodes if (scored := scored_of(one)) is not None]
        if found:
            about = {name: arm.env_kwargs.get(name, usual) for name, usual in (("profile", "paper"), ("similarity", "bow"))}
            about |= {name: value for name, value in arm.env_kwargs.items() if name not in ("mode", "max_turns")}
            name = _name(arm, about, arms)
            rows.setdefault(name, []).extend(found)
            settings[name] = about
    if not rows:
        return EnvResults(blocks=blocks)
    note = "; ".join(sorted({f"profile {one['profile']}, similarity {one['similarity']}" for one in settings.values()}))
    columns = {name: paper_columns(found) for name, found in rows.items()}
    tables = (
        paper_table([*columns.items()], f"{note}. Overall needs all three modes."),
        behaviour_table({name: behaviours(found) for name, found in rows.items()}),
        published_table(),
    )
    data = [
        {
            "agent": name,
            "settings": settings[name],
            "n": len(found),
            "columns": columns[name],
            "overall": overall(columns[name]),
        }
        | {"groups": breakdown(found), "behaviours": behaviours(found)}
        for name, found in rows.items()
    ]
    return EnvResults(tables, {"arms": data, "published": published_numbers()}, blocks)


def scored_of(trajectory: Trajectory) -> Scored | None:
    """Return the scores of an episode; None if it has none, as after an error.

    Args:
        trajectory: What was played.
    """
    found = _kept(trajectory)
    if trajectory.outcome.error is not None or found is None:
        return None
    about = (found["id"], found["family"], found["label"], tuple(found["evolution"]), found["cot"], found["mode"])
    return Scored(*about, found["scores"], found["behaviour"])


def blocks(trajectory: Trajectory) -> Blocks:
    """Return the block of an episode's last step: the error, the behaviour and the scores.

    Args:
        trajectory: What was played.
    """
    found = _kept(trajectory)
    if found is None:
        return {}
    notes = tuple(f"{name} {value:.2f}" for name, value in found["scores"].items())
    title = found["label"].replace("_", " ") or "no error named"
    mark: Mark = "good" if found["credit"] > 0.99 else "bad"
    block = StepBlock(title, found["behaviour"].replace("_", " "), mark, tags=tuple(found["evolution"]), notes=notes)
    return {len(trajectory.steps) - 1: [block]}


def _kept(trajectory: Trajectory) -> dict[str, Any] | None:
    """Return the scores that the last step holds."""
    found = trajectory.steps[-1].info.get("scored") if trajectory.steps else None
    return found if isinstance(found, dict) else None


def _name(arm: Arm, about: dict[str, Json], arms: Sequence[Arm]) -> str:
    """Return the name of a row: the agent, and the arguments other than the mode in which the arms differ."""
    kwargs = [{name: value for name, value in one.env_kwargs.items() if name not in ("mode", "max_turns")} for one in arms]
    telling = [
        name
        for name in sorted({key for one in kwargs for key in one})
        if any(one.get(name) != kwargs[0].get(name) for one in kwargs)
    ]
    return " · ".join([arm.agent or arm.run_id, *(f"{name}={about.get(name)}" for name in telling)])


__all__ = ["blocks", "critic_results", "scored_of"]
