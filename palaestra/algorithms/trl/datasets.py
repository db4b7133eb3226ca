"""Hugging Face data sets: tasks to train on, and trajectories in and out.

`task_rows` gives what `GRPOTrainer` with an `environment_factory` trains on; `to_dataset` gives chat data for any trainer
and reads back what it wrote (`from_dataset`), chat data of others too; `token_dataset` gives token ids with the action mask,
which `SFTTrainer` takes as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import gymnasium

from palaestra.agents.export.reading import episode_of
from palaestra.agents.export.template_rows import chat_columns
from palaestra.algorithms.math.seeds import stable_seed
from palaestra.algorithms.run.feed import TaskFeed
from palaestra.errors import MissingExtraError, UsageError
from palaestra.types import Json, Trajectory


def task_rows(
    env_id: str,
    env_kwargs: Mapping[str, Json] | None = None,
    *,
    num_tasks: int,
    split: str = "train",
    seed: int = 0,
    instructions: str | None = None,
) -> Any:
    """Return the data set for `environment_class`: columns `prompt`, `task`, `seed`.

    TRL appends the first observation, which `reset` returns, to the last message of the prompt.

    Args:
        env_id: Registered id.
        env_kwargs: Arguments of the environment.
        num_tasks: Rows; tasks of the split in a shuffled order, a new one every epoch.
        split: Split of the environment.
        seed: Seed of shuffling and episodes.
        instructions: System message; the environment's own if None, no system message if empty.
    """
    datasets = import_datasets()
    kwargs = dict(env_kwargs or {})
    feed = TaskFeed(env_id, kwargs, split=split, seed=seed)
    if instructions is None:
        env = gymnasium.make(env_id, **kwargs)
        try:
            instructions = str(env.reset(seed=seed)[1].get("instructions") or "")
        finally:
            env.close()
    prompt = [{"role": "system", "content": instructions}] if instructions.strip() else []
    prompt.append({"role": "user", "content": ""})
    rows = [{"prompt": prompt, "task": feed.key(i), "seed": stable_seed(seed, f"trl/{i}")} for i in range(num_tasks)]
    return datasets.Dataset.from_list(rows)


def to_dataset(trajectories: Iterable[Trajectory], *, whole: bool = False) -> Any:
    """Return episodes as chat data: one row each, with `messages` and `tools` as chat templates take them.

    Messages have no keys without a value, arguments of calls are objects, and `tools` is None where there are none.
    Episodes that an error ended are left out unless `whole`: they say nothing worth learning.

    Args:
        trajectories: Episodes.
        whole: Add the column `trajectory` with everything, tokens included, as JSON text, for `from_dataset` to read back
            unchanged.
    """
    datasets = import_datasets()
    text, number, free = datasets.Value("string"), datasets.Value("float64"), datasets.Json()
    features = {
        **dict.fromkeys(("episode_id", "env_id", "split", "task_key", "agent"), text),
        # free JSON rather than a struct: a struct would fill every message with the nulls of all others
        "messages": datasets.List(free),
        "tools": datasets.List(free),
        "reward": number,
        "success": datasets.Value("bool"),
        **({"trajectory": text} if whole else {}),
    }
    rows = [_row(t, whole, free.decode_example) for t in trajectories if whole or t.outcome.error is None]
    return datasets.Dataset.from_list(rows, features=datasets.Features(features))


def from_dataset(dataset: Iterable[Mapping[str, Any]], *, env_id: str = "") -> list[Trajectory]:
    """Read episodes from a data set that `to_dataset` made, or from any with chat messages.

    Args:
        dataset: Rows with a column `trajectory` (read back unchanged), or `messages` (or `conversations`) in OpenAI's,
            ShareGPT's or AgentTraj's form.
        env_id: Environment where a row names none.

    Raises:
        UsageError: If a row is neither; the message names it.
    """
    found = []
    for number, row in enumerate(dataset):
        try:
            found.append(episode_of(row, str(number), env_id=env_id))
        except (UsageError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UsageError(
                f"Row {number} is not an episode ({error}); expected chat messages in a column 'messages'."
            ) from error
    return found


def token_dataset(trajectories: Iterable[Trajectory]) -> Any:
    """Return token segments for `SFTTrainer`, which trains on pre-tokenised rows as they are: nothing is encoded again.

    Args:
        trajectories: Episodes with segments: played by a local policy, or given some by `demonstrations.tokenize`.

    Returns:
        Columns `input_ids` and `assistant_masks` (1 at the policy's tokens), one row per segment.

    Raises:
        UsageError: If no episode has a segment.
    """
    datasets = import_datasets()
    kept = [t for t in trajectories if t.outcome.error is None]
    rows = [
        {"input_ids": list(segment.ids), "assistant_masks": [int(action) for action in segment.action]}
        for trajectory in kept
        for segment in trajectory.segments
        if any(segment.action)
    ]
    if not rows:
        raise UsageError(f"None of {len(kept)} episodes has token segments; make some with demonstrations.tokenize.")
    return datasets.Dataset.from_list(rows)


def _row(trajectory: Trajectory, whole: bool, read: Callable[[str], Json]) -> dict[str, Json]:
    """Return the row of an episode."""
    row: dict[str, Json] = {
        "episode_id": trajectory.episode_id,
        "env_id": trajectory.env_id,
        "split": str(trajectory.task.get("split", "")),
        "task_key": str(trajectory.task.get("key", "")),
        "agent": trajectory.agent,
        **chat_columns(trajectory, read),
        "reward": trajectory.return_,
        "success": trajectory.outcome.success,
    }
    # text rather than free JSON, which the package writes with ten digits: log-probs have more
    return {**row, "trajectory": json.dumps(trajectory.to_json())} if whole else row


def import_datasets() -> Any:
    """Import the package, or say what brings it."""
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("Making a Hugging Face data set", "trl") from None
    return datasets


__all__ = ["from_dataset", "import_datasets", "task_rows", "to_dataset", "token_dataset"]
