"""Checks of what an environment says about its episodes: declared metrics, and tables of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from palaestra.envs.check.report import CheckFailed, expect
from palaestra.envs.check.subject import Action, Env, Subject, next_expert_action, shown
from palaestra.envs.wrappers.record_trajectory import RecordTrajectory
from palaestra.results.metrics import metrics_of, problems
from palaestra.results.tables import Arm, EnvResults, StepBlock, distinguish, load_results
from palaestra.types import Trajectory

MAX_TURNS = 1000  # of the expert
MAX_DRAWN_TURNS = 50

METRICS_ADVICE = (
    "Declare metrics = (palaestra.results.Metric(...), ...) on the class, and give each at the latest with the last Turn."
)


def check_metrics(subject: Subject) -> str:
    """What an environment measures is what it declares: known names, finite numbers, each of them given."""
    with subject.open() as env:
        given = getattr(env.unwrapped, "metrics", ())
        declared = metrics_of(given)
        expect(
            bool(declared) or given in ((), []),
            f"metrics is {shown(given)}; expected a tuple of palaestra.results.Metric.",
        )
        twice = [name for name, count in Counter(metric.name for metric in declared).items() if count > 1]
        expect(not twice, f"metrics declares {', '.join(twice)} more than once.")
        on_class = {metric.name for metric in metrics_of(getattr(type(env.unwrapped), "metrics", ()))}
        unknown = sorted({metric.name for metric in declared} - on_class)
        expect(
            not unknown,
            f"{', '.join(unknown)} stands in self.metrics and not on the class.",
            "List on the class whatever the environment may measure; reports read it there.",
        )
    episodes = _recorded(subject)
    found: set[str] = set()
    for number, trajectory in enumerate(episodes):
        for turn, step in enumerate(trajectory.steps):
            values = step.info.get("metrics", {})
            place = f"Step {turn} of episode {number}"
            expect(isinstance(values, dict), f"{place}: info['metrics'] is {shown(values)}; expected numbers by name.")
            expect(bool(declared) or not values, f"{place}: info['metrics'] has {shown(values)}, and no metric is declared.")
            wrong = problems(declared, values)
            expect(not wrong, f"{place}: {'; '.join(wrong)}.")
            found |= values.keys()
    if not declared:
        return "does not apply: there are no metrics"
    missing = [metric.name for metric in declared if metric.name not in found]
    expect(not missing, f"{', '.join(missing)} is declared and was never given in {len(episodes)} episodes.")
    return f"{', '.join(metric.name for metric in declared)} in {len(episodes)} episodes"


def check_results(subject: Subject) -> str:
    """The function that `results` names makes tables and blocks of stored episodes, and does without any."""
    with subject.open() as env:
        spec = getattr(env.unwrapped, "results", "")
        expect(
            isinstance(spec, str) and spec == getattr(type(env.unwrapped), "results", ""),
            f"results is {shown(spec)}; expected the text module:function on the class.",
        )
    if not spec:
        return "does not apply: it names no results"
    function = load_results(spec)
    # a stored episode is plain JSON, which has no tuples and no numpy
    stored = [Trajectory.from_json(json.loads(json.dumps(played.to_json()))) for played in _recorded(subject)]
    half = (len(stored) + 1) // 2
    env_id = stored[0].env_id if stored else subject.name
    parts = {"one": stored[:half], "other": stored[half:]}
    arms = distinguish([Arm(f"run-{name}", name, env_id, episodes=part) for name, part in parts.items() if part])
    results = function(arms)
    expect(isinstance(results, EnvResults), f"{spec} returned a {type(results).__name__}; expected an EnvResults.")
    for data in (results.to_json(), [table.to_json() for table in results.tables]):
        json.dumps(data, allow_nan=False)
    for table in results.tables:
        cells = [cell for row in table.rows for cell in row]
        expect(all(isinstance(cell, str) for cell in cells), f"A cell of table {table.title!r} is not a text.")
    num_blocks = 0
    for trajectory in stored:
        for index, blocks in results.blocks(trajectory).items():
            expect(
                isinstance(index, int) and 0 <= index < len(trajectory.steps),
                f"blocks() has a block for step {index!r}; the episode has {len(trajectory.steps)} steps.",
            )
            expect(all(isinstance(block, StepBlock) for block in blocks), f"blocks() of step {index} are not StepBlocks.")
            json.dumps([block.to_json() for block in blocks], allow_nan=False)
            num_blocks += len(blocks)
    silent = replace(stored[0], steps=())  # its agent failed before it said anything
    of_silence = function([Arm("run-silent", "silent", env_id, name="silent", episodes=[silent])])
    expect(isinstance(of_silence, EnvResults), f"{spec} returned a {type(of_silence).__name__} for an episode without steps.")
    empty = function(())
    expect(not empty.tables, f"{spec} returned {len(empty.tables)} tables for no arms; expected none.")
    results.blocks(Trajectory("empty", env_id, {"key": ""}))
    return f"{len(results.tables)} tables and {num_blocks} blocks of {len(stored)} episodes"


def _recorded(subject: Subject) -> list[Trajectory]:
    """Play episodes to their end, the expert's and drawn ones of each split, and return what was played."""
    with subject.open() as env:
        recorder = RecordTrajectory(env)
        tasks = getattr(env.unwrapped, "tasks", None)
        num = subject.budget.expert_tasks  # of the expert, and of drawn actions, per split
        keys = [task.key for split in tasks.splits for task in tasks.split(split).first(num)] if tasks else [None]
        for number, key in enumerate(keys):
            options = None if key is None else {"task": key}
            for actions in (_expert(recorder), _drawn(recorder)):
                recorder.reset(seed=subject.seed + number, options=options)
                recorder.action_space.seed(subject.seed + number)
                for action in actions:
                    _, _, terminated, truncated, _ = recorder.step(action)
                    if terminated or truncated:
                        break
        recorder.reset(seed=subject.seed)  # completes an episode that was not played to its end
        if not recorder.trajectories:
            raise CheckFailed("No episode could be played: there is no expert and no action to draw.")
        return recorder.trajectories


def _expert(env: Env) -> Iterator[Action]:
    """Yield what the expert does, one action at a time, until it knows no more."""
    for _ in range(MAX_TURNS):
        action = next_expert_action(env)
        if action is None:
            return
        yield action


def _drawn(env: Env) -> Iterator[Action]:
    """Yield drawn actions."""
    return islice(iter(env.action_space.sample, object()), MAX_DRAWN_TURNS)


__all__ = ["METRICS_ADVICE", "check_metrics", "check_results"]
