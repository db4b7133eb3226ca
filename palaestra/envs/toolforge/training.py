"""Training on single turns: the states of an episode as published rows, and their reward as a function for trainers.

`snapshots` gives a row for the start of an episode and for its state after every message with calls; the final answer gives
none. `states` gives the same as tasks of the environment, `collected` does either for many episodes. `training_rows` gives the
columns that a data set of prompts needs, `turn_rewards` scores completions of those prompts without any state, as TRL's GRPO
asks for it.

Source: Feng et al. 2025 (arXiv:2508.08791), section 3.3; bytedance/FTRL, `Code/data_sample`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from palaestra.envs.formats.hermes import ensure_call_ids
from palaestra.envs.toolforge.instance import Instance
from palaestra.envs.toolforge.published import turn_reward
from palaestra.envs.toolforge.rows import answer_text, instance_of_row, row_of_instance
from palaestra.envs.toolforge.tasks import ForgeTasks
from palaestra.errors import UsageError, unknown_name
from palaestra.types import Json, Message, Trajectory

Form = Literal["ftrl", "toolenv"]
FORMS: tuple[Form, ...] = get_args(Form)
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


def states(tasks: ForgeTasks, trajectory: Trajectory) -> list[Instance]:
    """Return the instances of an episode's start and of its state after every message with calls, to be continued there.

    Unlike rows they keep golden calls and dependencies; what came before is played again (`meta["prefix"]`).

    Args:
        tasks: The tasks of the environment that played it.
        trajectory: An episode of `palaestra/ToolForge-v0`.

    Raises:
        UsageError: If the episode is of another environment's task.
    """
    found = [Instance.of(dict(tasks.find(str(trajectory.task.get("key"))).data))]
    for number, step in enumerate(trajectory.steps, start=1):
        if step.terminated:
            break
        if step.info.get("tool_results"):
            found.append(Instance.of(dict(tasks.with_prefix(trajectory, number).data)))
    return found


def collected(tasks: ForgeTasks, trajectories: Iterable[Trajectory], *, form: Form = "ftrl") -> Iterator[Instance]:
    """Yield the states of many episodes, each with an id of its own: `write_instances` takes them.

    Every task's start is there once; states of its second episode and of later ones have ids that end in `~2` and so on.

    Args:
        tasks: The tasks of the environment that played them.
        trajectories: The episodes; those that an error ended are left out.
        form: "ftrl" for published rows (of `snapshots`), "toolenv" for tasks of this environment (of `states`).

    Raises:
        UnknownNameError: If there is no such form, at once.
        UsageError: If an episode is not one of these tasks.
    """
    if form not in FORMS:
        raise unknown_name("form", form, FORMS)
    return _collected(tasks, trajectories, form)


def _collected(tasks: ForgeTasks, trajectories: Iterable[Trajectory], form: Form) -> Iterator[Instance]:
    """Yield the states of episodes."""
    times: Counter[str] = Counter()
    for trajectory in trajectories:
        if trajectory.outcome.error is not None:
            continue
        key = str(trajectory.task.get("key"))
        times[key] += 1
        if form == "toolenv":
            found = states(tasks, trajectory)
        else:
            instance = Instance.of(dict(tasks.find(key).data))
            found = [instance_of_row(row) for row in snapshots(instance, trajectory)]
        for place, one in enumerate(found):
            if place and times[key] > 1:
                yield one.model_copy(update={"id": f"{one.id}~{times[key]}"})
            elif place or times[key] == 1:
                yield one


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


__all__ = ["FORMS", "SCHEMES", "Form", "collected", "snapshots", "states", "training_rows", "turn_rewards"]
