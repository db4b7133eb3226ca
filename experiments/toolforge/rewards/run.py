"""Does reward teach a tiny policy to use tools better than its clone, and which reward: per turn, or at the end?

    python -m experiments.toolforge.rewards.run --work FOLDER --minutes 60

For every seed a policy is cloned from an expert that errs in 40 % of its calls (`recipes/toolforge_tiny.toml`), and every arm
starts from that clone, on tasks that the clone has not seen: two estimators (`grpo` compares episodes, `turn_rloo` turns),
crossed with three rewards, and more cloning for about the same CPU time. `paper_turn` is summed over the episode by `grpo`,
and each turn is judged alone by `turn_rloo` (`gamma = 0`), as the paper trains. One JSON line per finished run goes to
`rows.jsonl`; the same command takes up what is missing. `--only-page` writes the page and runs nothing.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from experiments.common.comparison import Arm, Experiment
from experiments.common.from_clones import OutOfTime, Runs
from experiments.common.rows import append_row, find_row, read_rows
from experiments.common.threads import one_thread

HERE = Path(__file__).parent
ROWS = HERE / "rows.jsonl"
SEEDS = (0, 1, 2, 3, 4)
LR = 1e-3


def _arm(estimator: str, reward: str) -> Arm:
    """Return an arm: an estimator and a reward."""
    groups = {"tasks_per_step": 8, "group_size": 8, "aggregation": "token_mean"}
    advantage: dict[str, object] = {"estimator": estimator}
    if reward == "paper_turn":
        advantage |= {"gamma": 0.0} if estimator == "turn_rloo" else {"sum_turn_rewards": True}
    return Arm("grpo", {**groups, "advantage": advantage}, {"env": {"reward": reward}}, lr=LR)


MORE_CLONING = Arm("sft", {"episodes": 4000, "epochs": 3}, lr=3e-3, steps=500)
ARMS = {
    "turn_rloo_paper_turn": _arm("turn_rloo", "paper_turn"),
    "grpo_success": _arm("grpo", "success"),
    "more_cloning": MORE_CLONING,
    "grpo_paper_turn": _arm("grpo", "paper_turn"),
    "turn_rloo_success": _arm("turn_rloo", "success"),
    "grpo_episode_f1": _arm("grpo", "episode_f1"),
    "turn_rloo_episode_f1": _arm("turn_rloo", "episode_f1"),
}
"""In the order in which they are run, each pass over all seeds: the first three answer the first question."""
PASSES = (tuple(ARMS)[:3], tuple(ARMS)[3:])

EXPERIMENT = Experiment(
    name="toolforge/rewards",
    recipe="toolforge_tiny.toml",
    tables={"evaluation": {"n": 300, "max_turns": 6}},
    settings={"epochs": 2, "warmup_updates": 10, "beta2": 0.95},
    arms=ARMS,
    steps=12,
    tuning_steps=0,
    rates=(LR,),
    tasks_apart=50_000,
)


def note_changes(runs: Runs, arm: str, seed: int) -> None:
    """Add the line of how far the modules of a policy moved from its clone, unless it is there or its weights are not."""
    from experiments.toolforge.rewards.changes import changes
    from palaestra.algorithms.run.checkpoint import Checkpoints

    if find_row(runs.rows, kind="changes", arm=arm, seed=seed) is not None:
        return
    spec, store = ARMS[arm], runs.work / "store"
    run_id = f"{arm}-{seed}-{spec.lr or LR:g}-{EXPERIMENT.steps_of(arm)}"
    clone = Checkpoints(store / f"clone-{seed}" / "checkpoints" / "sft").latest()
    policy = Checkpoints(store / run_id / "checkpoints" / spec.algorithm).latest()
    if clone is not None and policy is not None:
        row = {"kind": "changes", "arm": arm, "seed": seed, "changes": changes(clone.policy_path, policy.policy_path)}
        runs.rows.append(row)
        append_row(runs.path, row)


def main(arguments: list[str] | None = None) -> int:
    """Make the runs that are missing, and the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("runs") / "experiments", help="training runs and checkpoints")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so long; the same command goes on")
    parser.add_argument("--rows", type=Path, default=ROWS, help="file of the lines")
    parser.add_argument("--only-page", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    if not options.only_page:
        one_thread()  # before torch is loaded
        import palaestra  # noqa: F401  # registers the environments

        work = options.work / "toolforge_rewards"
        work.mkdir(parents=True, exist_ok=True)
        runs = Runs(EXPERIMENT, work, options.rows, time.monotonic() + 60 * options.minutes)
        try:
            for arms in PASSES:
                for seed in options.seeds:
                    runs.clone(seed)
                    for arm in arms:
                        runs.arm(arm, seed, ARMS[arm].lr or LR)
                        note_changes(runs, arm, seed)
        except OutOfTime:
            print("Out of time; the same command goes on.", flush=True)
    from experiments.toolforge.rewards.page import written

    (options.rows.parent / "README.md").write_text(written(read_rows(options.rows)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
