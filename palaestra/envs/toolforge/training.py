"""Training on single turns: the states of an episode as published rows, and their reward as a function for trainers.

`snapshots` gives a row for the start of an episode and for its state after every message with calls; the final answer gives
none. `training_rows` gives the columns that a data set of prompts needs, `turn_rewards` scores completions of those prompts
without any state, as TRL's GRPO asks for it.

Source: Feng et al. 2025 (arXiv:2508.08791), section 3.3; bytedance/FTRL, `Code/data_sample`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from palaestra.envs.formats.hermes import ensure_call_ids
from palaestra.envs.toolforge.instance import Instance
from palaestra.envs.toolforge.published import turn_reward
from palaestra.envs.toolforge.rows import answer_text, row_of_instance
from palaestra.errors import UsageError, unknown_name
from palaestra.types import Json, Message, Trajectory

SCHEMES = ("solve_f1", "solve_precision", "solve_rate", "solve_pr")
UNREADABLE = -0.3
"""Reward where the published scorer raises: the name of a call is not a text."""
_COLUMNS = ("codes", "unsolved_set", "solve_rate", "answer")


def snapshots(instance: Instance, trajectory: Trajectory) -> list[dict[str, Json]]:
    """Return the published rows of an episode: its start, and its state after every message with calls.

    Args:
        instance: The instance that was played.
        trajectory: An episode of `palaestra/ToolForge-v0`.

    Raises:
        UsageError: If the episode is of another task, or its steps do not say what was solved.
    """
    key = trajectory.task.get("key")
    if key != instance.id:
        raise UsageError(f"The episode is of the task {key!r}, and the instance is {instance.id!r}.")
    first = row_of_instance(instance)
    rows, messages = [first], list(first["messages"])
    for number, step in enumerate(trajectory.steps, start=1):
        results = step.info.get("tool_results") or ()
        if not results:
            continue
        if "solved" not in step.info:
            raise UsageError(f"Step {number} of the episode does not say what is solved; play it with palaestra/ToolForge-v0.")
        action = ensure_call_ids(step.action, f"call_{number}")
        messages.append(action.to_openai())
        contents = [one["content"] if isinstance(one, Mapping) else one.content for one in results]
        for call, content in zip(action.tool_calls, contents, strict=False):
            messages.append(Message("tool", content, tool_call_id=call.id, name=call.name).to_openai())
        open_ones = [node for node in instance.nodes if node.id not in step.info["solved"]]
        unsolved: dict[str, list[Json]] = {tool: [] for tool in json.loads(first["unsolved_set"])}
        for node in open_ones:
            unsolved[node.tool].append(node.answer if instance.source == "ftrl" else answer_text(node.answer))
        state = {
            "messages": list(messages),
            "unsolved_set": json.dumps(unsolved, ensure_ascii=False),
            "solve_rate": 1 - len(open_ones) / len(instance.nodes) if instance.nodes else 1.0,
        }
        rows.append({**first, **state, "id": f"{instance.id}@{number}"})
    return rows


def training_rows(rows: Iterable[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """Return the columns of a data set of prompts: `prompt`, `tools`, and those that `turn_rewards` needs.

    Args:
        rows: Published rows, e.g. of `snapshots`; `datasets.Dataset.from_list` takes the result.
    """
    return [
        {
            "id": row.get("id", ""),
            "prompt": row["messages"],
            "tools": row["tools"],
            **{name: row[name] for name in _COLUMNS},
        }
        for row in rows
    ]


def turn_rewards(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    *,
    codes: Sequence[Any],
    unsolved_set: Sequence[Any],
    solve_rate: Sequence[float],
    answer: Sequence[str | None],
    scheme: str = "solve_f1",
    **others: Any,
) -> list[float]:
    """Return the published reward of each completion as the next turn of its prompt; a reward function for TRL.

    Tools run in the sandbox; nothing is kept between calls, and equal arguments give equal rewards.

    Args:
        prompts: Not looked at: everything that counts stands in the columns.
        completions: Texts, or lists of chat messages of which the contents count.
        codes: Sources by tool, of each prompt; an object or its JSON.
        unsolved_set: Open answers by tool, of each prompt.
        solve_rate: Share that is solved.
        answer: Final answers.
        scheme: solve_f1, solve_precision, solve_rate or solve_pr.
        **others: Further columns of the data set; not looked at.

    Raises:
        UnknownNameError: If there is no such scheme.
    """
    del prompts, others
    if scheme not in SCHEMES:
        raise unknown_name("scheme", scheme, SCHEMES)
    found = []
    for completion, *columns in zip(completions, codes, unsolved_set, solve_rate, answer, strict=True):
        row = dict(zip(_COLUMNS, columns, strict=True))
        value = turn_reward(row, _text_of(completion))[scheme]
        found.append(UNREADABLE if isinstance(value, Mapping) else float(value))
    return found


def _text_of(completion: Any) -> str:
    """Return the text of a completion."""
    if isinstance(completion, str):
        return completion
    return "".join(str(message.get("content") or "") for message in completion)


__all__ = ["SCHEMES", "snapshots", "training_rows", "turn_rewards"]
