"""Does cloning under injected errors make a tiny policy recover more often? Paired over seeds and tasks, on the easy desk.

    python -m experiments.critic.run --seeds 0 1 2 3 4

Two arms with the same settings, updates and tasks: `recipes/desk_tiny_inject.toml` as it is ("errors"), and without its
table `[inject]` ("flawless"). Each policy then plays the same test requests three times: clean, with a service that fails on
one of its first two calls ("outage"), and with a wrong call run in place of one of them ("slip"). Only episodes in which the
error was really injected count. One JSON line per seed and arm goes to `rows.jsonl`, and `README.md` is written from the
lines (`--only-page`: nothing else).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.common.rows import append_row, find_row, folder_of, read_rows
from experiments.common.threads import one_thread
from experiments.critic.page import ARMS, CONDITIONS, page

NAME = "critic"
RECIPE = Path(__file__).parents[2] / "recipes" / "desk_tiny_inject.toml"
NUM_TASKS = 100  # test requests of each condition


def run(
    arm: str, seed: int, *, changes: Mapping[str, Mapping[str, Any]] | None = None, num_tasks: int = NUM_TASKS
) -> dict[str, Any]:
    """Train one policy, let it play under the three conditions, and return its line.

    Args:
        arm: "errors" or "flawless".
        seed: Of model, order and episodes.
        changes: Of the recipe, by table.
        num_tasks: Test requests of each condition.
    """
    import palaestra  # noqa: F401  # registers the environments
    from palaestra.agents.rollout.engine import RolloutEngine
    from palaestra.algorithms.learner.policy import Policy
    from palaestra.algorithms.run.feed import TaskFeed
    from palaestra.algorithms.run.player import policy_agent
    from palaestra.algorithms.run.recipe import parse_recipe
    from palaestra.algorithms.run.training import train

    data = tomllib.loads(RECIPE.read_text(encoding="utf-8"))
    for name, table in (changes or {}).items():
        data[name] = {**data.get(name, {}), **table}
    data["evaluation"] |= {"n": 4, "baselines": []}
    errors = dict(data["inject"])
    if arm == "flawless":
        del data["inject"]
    recipe = parse_recipe({**data, "seed": seed})
    with tempfile.TemporaryDirectory() as folder:
        result = train(recipe, store=folder, run_id="run")
        policy = Policy.from_path(result.policy_path)
    env = recipe.envs[0]
    plans = TaskFeed(env.id, env.arguments, split="test", seed=0).plans(
        "test", 1, num_tasks=num_tasks, max_turns=recipe.evaluation.max_turns
    )
    row: dict[str, Any] = {"arm": arm, "seed": seed, "cpu_s": round(result.cpu_seconds), "wall_s": round(result.seconds)}
    agent = policy_agent(policy, recipe)
    for condition in CONDITIONS:
        began = time.process_time()
        played = RolloutEngine(64).collect([_under(plan, condition, errors) for plan in plans], agent)
        row[condition] = _marks(played, condition)
        row[f"{condition}_cpu_s"] = round(time.process_time() - began)
    return row


def _under(plan: Any, condition: str, errors: Mapping[str, Any]) -> Any:
    """Return a plan under one condition, with an error in every episode that gets so far."""
    from palaestra.algorithms.run.extensions.inject import InjectConfig

    if condition == "clean":
        return plan
    return InjectConfig(**{**errors, "modes": (condition,), "rate": 1.0, "seed": 1}).disturbed(plan)


def _marks(played: list[Any], condition: str) -> dict[str, str]:
    """Return a character per episode, by figure: "1", "0", or "-" where the error was not injected."""
    from palaestra.envs.wrappers.injection.summary import has_recovered, was_injected

    counts = [condition == "clean" or was_injected(one) for one in played]
    solved = [bool(one.outcome.success) for one in played]
    back = [has_recovered(one) for one in played]
    return {
        "solved": "".join("-" if not counted else str(int(value)) for counted, value in zip(counts, solved, strict=True)),
        "recovered": "".join("-" if not counted else str(int(value)) for counted, value in zip(counts, back, strict=True)),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, and write the page."""
    parser = argparse.ArgumentParser(description="Cloning under injected errors.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--only-page", action="store_true")
    options = parser.parse_args(arguments)
    one_thread()  # before torch is loaded
    path = folder_of(NAME) / "rows.jsonl"
    for seed in () if options.only_page else options.seeds:
        for arm in ARMS:
            if find_row(read_rows(path), arm=arm, seed=seed) is None:
                row = run(arm, seed)
                append_row(path, row)
                print({name: value for name, value in row.items() if not isinstance(value, dict)}, flush=True)
    (folder_of(NAME) / "README.md").write_text(page(read_rows(path)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
