"""TextCraft on a folder of Minecraft recipes: what does GRPO add to a clone, on goals that were cloned and on others?

    python -m experiments.textcraft_book.run --recipes PATH/TO/recipes --work FOLDER --seeds 0 1 2

For each seed a policy is cloned from expert play on the training goals of one or two crafting levels
(`recipes/textcraft.toml`, but for `CHANGES`); from the clone begin GRPO, and more cloning. Each policy is judged on all test
goals of such depths and on as many training goals. One JSON line per policy goes to `rows.jsonl`, and `README.md` is written
from the lines (`--only-page`: nothing else). Without `--recipes` the built-in book is played.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.common.rows import append_row, find_row, folder_of, read_rows
from experiments.common.threads import one_thread
from palaestra.results.statistics import mean_interval, paired_difference

NAME = "textcraft_book"
RECIPE = Path(__file__).parents[2] / "recipes" / "textcraft.toml"
DEPTHS = (1, 2)
GOALS = {"test": "goals kept out of training", "train": "goals of training"}
NUM_GOALS = 45  # of a depth: all test goals have no more
SAMPLES = 2  # plays of each
MAX_TURNS = 15

CHANGES: dict[str, dict[str, Any]] = {
    "env": {"depth": [1, 2]},
    "evaluation": {"baselines": [], "every": 0, "n": 1, "max_turns": MAX_TURNS},
    "sft": {"episodes": 4000},
}
ARMS: dict[str, dict[str, Any]] = {
    "more_cloning": {"phases": ["sft"], "sft": {"episodes": 4000}},
    "grpo": {
        "phases": ["grpo"],
        "grpo": {"steps": 24, "sampling": {"drop_equal_groups": True, "max_refills": 1}},
        "horizon": {"rounds": [8, 12], "interval": 12},
    },
}
"""From the clone: tables of the recipe that differ."""

ALL_ARMS = ("clone", *ARMS)
_PLACES = tuple((split, depth) for split in GOALS for depth in DEPTHS)


def recipe_of(arm: str, seed: int, recipes: str | None, *, clone: str = "", small: Mapping[str, Any] | None = None) -> Any:
    """Return the recipe of an arm as plain data.

    Args:
        arm: "clone", or one of `ARMS`.
        seed: Of the model, the order of tasks and the plays.
        recipes: Folder of recipe files; None for the built-in book.
        clone: Path of the clone's policy, from which the arms begin.
        small: Tables that differ in addition, for a short run.
    """
    data = {**tomllib.loads(RECIPE.read_text(encoding="utf-8")), "name": NAME, "seed": seed, "phases": ["sft"]}
    for tables in (CHANGES, ARMS.get(arm, {}), small or {}):
        for name, value in tables.items():
            data[name] = {**data.get(name, {}), **value} if isinstance(value, Mapping) else value
    for table in ("grpo", "horizon") if data["phases"] == ["sft"] else ():
        data.pop(table, None)
    if recipes is not None:
        data["env"]["recipes"] = recipes
    if clone:
        data["model"] = {"path": clone}
        data["first_task"] = data["sft"]["episodes"]  # the book's goals come again, in other lists of commands
    return data


def run(
    arm: str, seed: int, work: Path, recipes: str | None, *, small: Mapping[str, Any] | None = None, num_goals: int = NUM_GOALS
) -> dict[str, Any]:
    """Train an arm, judge its policy, and return its line; training that is there is not done again."""
    from palaestra.algorithms.learner.policy import Policy
    from palaestra.algorithms.run.metrics import read_metrics
    from palaestra.algorithms.run.player import policy_agent
    from palaestra.algorithms.run.recipe import parse_recipe
    from palaestra.algorithms.run.training import train

    clone = ""
    if arm != "clone":
        first = train(parse_recipe(recipe_of("clone", seed, recipes, small=small)), store=work, run_id=f"clone-{seed}")
        clone = str(first.policy_path)
    recipe = parse_recipe(recipe_of(arm, seed, recipes, clone=clone, small=small))
    result = train(recipe, store=work, run_id=f"{arm}-{seed}")
    policy = Policy.from_path(result.policy_path)
    row: dict[str, Any] = {"arm": arm, "seed": seed, "parameters": policy.num_parameters}
    row["train_cpu_s"] = round(sum(result.train_cpu_s.values()))
    metrics = [point for point in read_metrics(result.folder / "metrics.jsonl") if point.get("success") is not None]
    if metrics:
        row["train_success"] = [round(point["success"], 3) for point in metrics]
    for split in GOALS:
        row[split] = judged(policy_agent(policy, recipe), recipe.envs[0].arguments, split, num_goals)
    return row


def judged(agent: Any, env_kwargs: Mapping[str, Any], split: str, num_goals: int) -> dict[str, Any]:
    """Return, by depth, the share of plays in which the goal was reached, the plays and the goals."""
    from palaestra.agents.evaluation.evaluation import evaluate

    row = {}
    for depth in DEPTHS:
        chosen = {**env_kwargs, "depth": depth}
        options = {"split": split, "n": num_goals, "samples": SAMPLES, "max_turns": MAX_TURNS}
        total = evaluate("palaestra/TextCraft-v0", agent, env_kwargs=chosen, **options).summary.total
        row[f"depth-{depth}"] = [round(total.success.mean, 4), total.num_episodes, total.num_episodes // SAMPLES]
    return row


def page(rows: Sequence[Mapping[str, Any]], command: str, seeds: Sequence[int]) -> str:
    """Return the page, from the lines alone.

    Args:
        rows: The lines.
        command: What makes and continues them.
        seeds: Seeds that were planned.
    """
    shares = {
        (row["arm"], row["seed"], place): 100 * row[place[0]][f"depth-{place[1]}"][0] for row in rows for place in _PLACES
    }
    done = {arm: [seed for seed in seeds if (arm, seed, _PLACES[0]) in shares] for arm in ALL_ARMS}
    lines = ["# TextCraft on Minecraft's recipes: goals that were cloned, and others", ""]
    lines.append("\n\n".join(textwrap.fill(paragraph, width=125) for paragraph in _ABOUT))
    heads = " | ".join(f"{GOALS[split]}, {depth} deep" for split, depth in _PLACES)
    if rows:
        lines += ["", "## Success", ""]
        lines += ["Means over seeds in percent, Student's t intervals over seeds; differences in points, seed by seed.", ""]
        lines += [f"| | seeds | {heads} | CPU s |", "|---|---:|" + "---|" * len(_PLACES) + "---:|"]
        for arm, found in done.items():
            if found:
                cells = [_shown(mean_interval([[shares[arm, seed, place]] for seed in found])) for place in _PLACES]
                cost = statistics.mean(row["train_cpu_s"] for row in rows if row["arm"] == arm)
                lines.append(f"| {arm} | {len(found)} | {' | '.join(cells)} | {cost:.0f} |")
        for first, second in (("grpo", "clone"), ("more_cloning", "clone"), ("grpo", "more_cloning")):
            if both := [seed for seed in done[first] if seed in done[second]]:
                values = ([[shares[arm, seed, place] for seed in both] for arm in (first, second)] for place in _PLACES)
                gaps = [_shown(paired_difference(*pair), "+") for pair in values]
                lines.append(f"| {first} - {second} | {len(both)} | {' | '.join(gaps)} | |")
        lines += ["", "Goals of training less goals kept out of it, in points, seed by seed:", ""]
        lines += [f"| | seeds | {' | '.join(f'{depth} deep' for depth in DEPTHS)} |", "|---|---:|" + "---|" * len(DEPTHS)]
        for arm, found in done.items():
            if found:
                values = [
                    [[shares[arm, seed, (split, depth)] for seed in found] for split in ("train", "test")] for depth in DEPTHS
                ]
                lines.append(
                    f"| {arm} | {len(found)} | {' | '.join(_shown(paired_difference(*pair), '+') for pair in values)} |"
                )
        lines += ["", "## By seed", "", f"| seed | arm | {heads} | CPU s |"]
        lines.append("|---:|---|" + "---:|" * (len(_PLACES) + 1))
    for row in sorted(rows, key=lambda row: (row["seed"], ALL_ARMS.index(row["arm"]))):
        cells = [f"{shares[row['arm'], row['seed'], place]:.1f}" for place in _PLACES]
        lines.append(f"| {row['seed']} | {row['arm']} | {' | '.join(cells)} | {row['train_cpu_s']} |")
    if rows:
        remarks = (textwrap.fill(remark, 125, initial_indent="- ", subsequent_indent="  ") for remark in _REMARKS)
        lines += ["", "## What it shows, and what not", "", "\n".join(remarks)]
    if missing := [f"{arm} of seed {seed}" for seed in seeds for arm in ALL_ARMS if seed not in done[arm]]:
        lines += ["", "## Not there yet", "", textwrap.fill(", ".join(missing) + ".", width=125)]
    lines += ["", "Made, continued and written by:", "", "```", command, "```", ""]
    return "\n".join(lines)


def command_of(seeds: Sequence[int]) -> str:
    """Return the command that makes, continues and writes everything."""
    return f"python -m experiments.{NAME}.run --recipes PATH/TO/recipes --seeds {' '.join(map(str, seeds))}"


def main(arguments: list[str] | None = None) -> int:
    """Make the rows that are missing, and the page."""
    parser = argparse.ArgumentParser(description="GRPO and more cloning on a recipe book.")
    parser.add_argument("--work", type=Path, default=Path("runs") / "experiments" / NAME, help="checkpoints")
    parser.add_argument("--recipes", help="folder of Minecraft recipe files; the built-in book without")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=ALL_ARMS, default=list(ALL_ARMS), help="arms that are run")
    parser.add_argument("--rows", type=Path, help="file of the lines")
    parser.add_argument("--only-page", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    one_thread()  # before torch is loaded
    import palaestra  # noqa: F401  # registers the environments

    path = options.rows or folder_of(NAME) / "rows.jsonl"
    for seed in () if options.only_page else options.seeds:
        for arm in options.arms:
            if find_row(read_rows(path), arm=arm, seed=seed) is None:
                append_row(path, run(arm, seed, options.work, options.recipes))
    (path.parent / "README.md").write_text(page(read_rows(path), command_of(options.seeds), options.seeds), encoding="utf-8")
    return 0


def _shown(estimate: Any, sign: str = "") -> str:
    """Return a mean with its interval; alone where one seed gives none."""
    interval = f" [{estimate.low:.1f}, {estimate.high:.1f}]" if estimate.n > 1 else ""
    return f"{estimate.mean:{sign}.1f}{interval}"


_ABOUT = (
    "`recipes/textcraft.toml` on the recipe files of Minecraft 1.16 (`--recipes`; AgentGym's, 860 files), narrowed to "
    "goals of one or two crafting levels: 351 goals of training and 65 test goals, which are never goals in training. "
    "For each seed a policy of 0.25 M parameters is cloned from 4,000 episodes of expert play, read twice, 1,000 "
    "updates of 8. From the clone begin GRPO (24 steps of 8 groups of 8, rate 3e-4, KL .02, equal groups dropped with "
    "one refill, 8 turns and then 12) and more cloning (1,000 updates more on as many episodes, from a new "
    "optimiser).",
    "Judged are all test goals of the two depths, and of the training goals 45 of each depth, the first ones in the "
    "order of their names; each is played twice, at temperature 1, with at most 15 turns. A goal of training that is "
    "played here has another list of commands than in training.",
)

_REMARKS = (
    "After 1,000 updates a clone reaches half as many of the goals that it was never shown as of those it was cloned "
    "on: 22.5 against 46.7 % one level deep, 8.9 against 24.4 % two levels deep; lower with each of the three seeds, "
    "though with 20 and 45 test goals and three seeds the gap is certain at the second level only.",
    "GRPO with this setting moves nothing: +.4 and +1.9 points on goals of training, +3.3 and +1.1 on test goals, "
    "every interval with 0 in it, for 1.7 times the compute of the rival. That it can gain nothing with more steps or "
    "another setting is not shown. Single runs of the whole recipe, all depths, ended at 6 % of 87 test goals with a "
    "rate of 1e-3, from a clone of 17 %, and no higher than the clone with 3e-4.",
    "More cloning gains 25.2 points [3.0, 47.3] and 22.6 [16.8, 28.3] on goals of training, and on others nothing that "
    "is certain (-.8 [-24.3, 22.7], +9.6 [-6.3, 25.6]). The gap between the two kinds of goals then doubles, to 50.2 "
    "points [43.7, 56.7] and 28.5 [4.7, 52.3]. What limits a policy of this size here is thus less the length of plans or "
    "the reward than that it learns what to do for the items it was shown, and hardly to read a recipe off the list "
    "of commands, which shows every recipe that is needed.",
    "On one seed that is not reported (100) success on test goals rose all through cloning, 1.5, 1.5, 6.2 and 13.8 % "
    "after 250, 500, 750 and 1,000 updates (65 plays each); at a "
    "temperature of .3 such a clone reached as few (12.3 %) as at 1.",
)

if __name__ == "__main__":
    sys.exit(main())
