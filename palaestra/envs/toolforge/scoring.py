"""Stored messages of agents, played again: the measures of each episode, and their means by scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from palaestra.envs.core.data_files import place_of, read_text, shown
from palaestra.envs.toolforge.env import ToolForgeEnv
from palaestra.envs.toolforge.graph import SCENARIOS
from palaestra.envs.toolforge.instance import InstanceError, json_of
from palaestra.envs.toolforge.results import MEASURES
from palaestra.results.tables import ResultTable
from palaestra.types import Json, Message, ToolCall

DONE = "done"
"""Said by an agent whose messages are used up, as by the published scorer."""
MAX_BYTES = 1_000_000_000


def scored(
    file: str | Path,
    episodes: str | Path,
    *,
    profile: str = "strict",
    max_turns: int = 20,
    executor: str = "auto",
) -> Iterator[dict[str, Json]]:
    """Yield the measures of stored episodes.

    Args:
        file: Instances.
        episodes: JSON lines, `{"instance": ID, "turns": [{"content", "tool_calls": [{"name", "arguments"}]}]}`; `id` names the
            episode, and the instance too where `instance` is missing.
        profile: "strict" or "published".
        max_turns: Messages after which an episode is cut off.
        executor: What runs Python tools.

    Raises:
        InstanceError: If a line is not an episode; the message names it.
        UnknownNameError: If an instance is not in the file.
    """
    text = read_text(place_of(episodes), max_bytes=MAX_BYTES)
    with closing(ToolForgeEnv(instances=file, profile=profile, max_turns=max_turns, executor=executor)) as env:
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield _played(
                    env, json_of(line, f"{shown(str(episodes))}, row {number}"), f"{shown(str(episodes))}, row {number}"
                )


def scores_table(found: Sequence[Mapping[str, Json]]) -> ResultTable:
    """Return the means of scored episodes by scenario.

    Args:
        found: Measures of episodes.
    """
    rows = []
    for scenario in (*SCENARIOS, "all"):
        chosen = [one for one in found if scenario in ("all", one["scenario"])]
        if chosen:
            means = [sum(one[name] for one in chosen) / len(chosen) for name in (*(name for name, _ in MEASURES), "success")]
            rows.append((scenario, str(len(chosen)), *(f"{100 * mean:.2f}" for mean in means)))
    columns = ("scenario", "episodes", *(title for _, title in MEASURES), "Success")
    return ResultTable("Stored episodes (percent)", columns, tuple(rows), "Means over episodes.")


def _played(env: ToolForgeEnv, episode: Any, where: str) -> dict[str, Json]:
    """Play the messages of one episode and return its measures."""
    turns = episode.get("turns") if isinstance(episode, Mapping) else None
    key = episode.get("instance", episode.get("id")) if isinstance(episode, Mapping) else None
    if not isinstance(turns, list) or not isinstance(key, str):
        raise InstanceError(f'{where} is not an episode; expected {{"instance": ID, "turns": [...]}}.')
    messages = [_message(turn, where) for turn in turns]
    env.reset(seed=0, options={"task": key})
    info: dict[str, Any] = {}
    for message in (*messages, *[Message("assistant", DONE)] * (env.max_turns or 1)):
        _, _, terminated, truncated, info = env.step(message)
        if terminated or truncated:
            break
    scenario = env.instance.scenario
    name = episode.get("id", key)
    return {"id": name, "instance": key, "scenario": scenario, "success": bool(info["success"]), **info["metrics"]}


def _message(turn: Any, where: str) -> Message:
    """Return a stored message of an agent."""
    try:
        calls = tuple(ToolCall(call["name"], call["arguments"]) for call in turn.get("tool_calls") or ())
        content = turn.get("content") or ""
        if isinstance(content, str) and all(isinstance(call.name, str) for call in calls):
            return Message("assistant", content, calls)
    except (AttributeError, KeyError, TypeError):
        pass
    raise InstanceError(f'{where} holds a turn that is not {{"content", "tool_calls": [{{"name", "arguments"}}]}}.')


__all__ = ["DONE", "scored", "scores_table"]
