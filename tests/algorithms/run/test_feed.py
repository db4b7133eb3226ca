"""Tasks of one environment and of mixtures: shares, determinism, streams of their own."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.algorithms.run.feed import (
    UNKNOWN_TASKS,
    MixtureFeed,
    Shares,
    TaskFeed,
    by_env,
    env_of,
    make_feed,
    stream_starts,
)
from palaestra.algorithms.run.on_policy import collect_step
from palaestra.algorithms.run.phase import Phase
from palaestra.algorithms.run.recipe_configs import EnvConfig
from palaestra.algorithms.run.registry import algorithm_names
from palaestra.algorithms.run.training import train
from palaestra.errors import ConfigError, UsageError
from palaestra.types import Trajectory
from tests.algorithms import toy_env
from tests.algorithms.build import simple
from tests.algorithms.toy_recipe import toy_recipe

WEIGHTS = st.lists(
    st.one_of(st.integers(1, 6).map(float), st.floats(0.01, 50.0).map(lambda weight: round(weight, 3))), min_size=1, max_size=6
)


def envs(*weights: float, **arguments: Any) -> list[EnvConfig]:
    toy_env.register()
    return [
        EnvConfig(id=toy_env.ENV_ID, name=f"toy{i}", weight=weight, arguments=arguments) for i, weight in enumerate(weights)
    ]


@given(WEIGHTS, st.integers(0, 99), st.integers(1, 200))
def test_every_item_has_its_share_at_every_point(weights: list[float], seed: int, places: int) -> None:
    shares, counts = Shares(weights, seed=seed), [0] * len(weights)
    total = sum(Fraction(str(weight)) for weight in weights)
    bound = 1 - Fraction(1, 2 * len(weights) - 2) if len(weights) > 1 else Fraction(0)
    for place in range(places):
        item, own = shares.at(place)
        assert own == counts[item]  # the stream of an item leaves nothing out
        counts[item] += 1
        for count, weight in zip(counts, weights, strict=True):
            assert abs(count - (place + 1) * Fraction(str(weight)) / total) <= bound  # Tijdeman's bound, below 1


@given(WEIGHTS, st.integers(0, 99), st.lists(st.integers(0, 300), min_size=1, max_size=8))
def test_the_order_is_a_pure_function_of_the_place(weights: list[float], seed: int, places: list[int]) -> None:
    asked = Shares(weights, seed=seed)
    assert [asked.at(place) for place in places] == [Shares(weights, seed=seed).at(place) for place in places]


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.integers(0, 9))
def test_the_order_of_one_round_is_that_of_all(weights: list[int], seed: int) -> None:
    total, shares = sum(weights), Shares(weights, seed=seed)
    first = [shares.at(place) for place in range(total)]
    for rounds in (1, 2, 10**12):  # far places cost no more than near ones
        found = [shares.at(rounds * total + place) for place in range(total)]
        assert found == [(item, count + rounds * weights[item]) for item, count in first]
    # by the rule itself, which knows nothing of rounds
    plain = Shares(weights, seed=seed)
    for place in range(3 * total):
        item = plain._next()
        assert (item, plain._counts[item]) == shares.at(place)
        plain._order.append((item, plain._counts[item]))
        plain._counts[item] += 1


def test_only_the_ratio_of_weights_counts() -> None:
    assert [Shares([2, 1, 1]).at(i) for i in range(99)] == [Shares([0.5, 0.25, 0.25]).at(i) for i in range(99)]


def test_equal_weights_take_turns_and_the_seed_says_who_begins() -> None:
    orders = {tuple(Shares([1, 1], seed=seed).at(place)[0] for place in range(6)) for seed in range(20)}
    assert orders == {(0, 1) * 3, (1, 0) * 3}


@given(
    st.lists(st.integers(1, 4), min_size=2, max_size=4),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(1, 5),
    st.integers(0, 9),
)
def test_a_mixture_deals_whole_groups_from_streams_of_their_own(
    weights: list[int], num_tasks: int, group_size: int, steps: int, seed: int
) -> None:
    configs = envs(*map(float, weights))
    feed = MixtureFeed(configs, seed=seed)
    plans = [
        plan
        for step in range(1, steps + 1)
        for plan in feed.plans("grpo", step, num_tasks=num_tasks, group_size=group_size, max_turns=3)
    ]
    assert len({plan.episode_id for plan in plans}) == len(plans) == steps * num_tasks * group_size
    groups: dict[str, list[Any]] = {}
    for plan in plans:
        groups.setdefault(plan.group_id, []).append(plan)
    for group, members in groups.items():
        assert {(plan.env_id, plan.task_key, plan.seed, env_of(plan.episode_id), plan.max_turns) for plan in members} == {
            (toy_env.ENV_ID, members[0].task_key, members[0].seed, env_of(group), 3)
        }
    for config in configs:
        dealt = [members[0].task_key for group, members in groups.items() if env_of(group) == config.name]
        assert dealt == [feed.feeds[config.name].key(position) for position in range(len(dealt))]
    total = sum(weights)
    counts = Counter(env_of(group) for group in groups)
    for config in configs:
        assert abs(counts[config.name] - len(groups) * config.weight / total) < 1


@given(st.integers(1, 9), st.integers(0, 5))
def test_the_plans_of_a_step_do_not_depend_on_what_was_planned_before(step: int, seed: int) -> None:
    configs = envs(3.0, 1.0, 1.5)
    sizes = {"num_tasks": 4, "group_size": 2}
    used = MixtureFeed(configs, seed=seed)
    for before in range(1, step):
        used.plans("sft", before, num_tasks=7)
    assert used.plans("grpo", step, **sizes) == MixtureFeed(configs, seed=seed).plans("grpo", step, **sizes)


def test_seeds_and_names_make_different_episodes() -> None:
    def of(seed: int, phase: str) -> set[tuple[int | None, str | None]]:
        return {(plan.seed, plan.task_key) for plan in MixtureFeed(envs(1.0, 1.0), seed=seed).plans(phase, 1, num_tasks=8)}

    assert of(0, "grpo").isdisjoint(of(0, "other"))
    assert of(0, "grpo").isdisjoint(of(1, "grpo"))
    plans = MixtureFeed(envs(1.0, 1.0), seed=0).plans("grpo", 1, num_tasks=8)
    assert len({plan.seed for plan in plans}) == 8


def all_phases() -> Any:
    """A phase of every algorithm, twice over, on a split without an end."""
    listed = [{"algorithm": name, "name": f"{name}-{i}"} for i in range(2) for name in algorithm_names()]
    return toy_recipe(sft=None, grpo=None, phase=listed)


def test_every_phase_has_a_stretch_of_tasks_of_its_own() -> None:
    recipe = all_phases()
    starts = stream_starts(recipe)
    assert next(iter(starts.values())) == 0
    ends = [starts[p.name] + getattr(p.settings, "planned_tasks", UNKNOWN_TASKS) for p in recipe.phases]
    assert ends[:-1] == list(starts.values())[1:]
    assert all(end > start for start, end in zip(starts.values(), ends, strict=True))


def test_a_recipe_may_begin_behind_the_tasks_of_the_run_that_made_its_model() -> None:
    assert stream_starts(toy_recipe(first_task=500)) == {"sft": 500, "grpo": 524}
    assert toy_recipe().first_task == 0


class PlannedOnly:
    """A phase that notes the tasks it is asked to play, and gives every group equal returns, so that all of it is refilled."""

    def __init__(self, recipe: Any, name: str) -> None:
        self.name, self.start = name, stream_starts(recipe)[name]
        self.feed = make_feed(recipe.envs, seed=0)
        self.played: list[Any] = []

    def plans(self, step: int, *, num_tasks: int, group_size: int = 1, part: str = "", first: int | None = None) -> list[Any]:
        place = self.start + ((step - 1) * num_tasks if first is None else first)
        return self.feed.plans(f"{self.name}-{part}", step, num_tasks=num_tasks, group_size=group_size, first=place)

    def collect(self, plans: list[Any]) -> list[Trajectory]:
        self.played += plans
        return [
            simple(plan.episode_id, float(hash_of(plan.group_id) % 3 == 0 and plan.sample), group=plan.group_id)
            for plan in plans
        ]


def hash_of(text: str) -> int:
    return sum(text.encode())


@pytest.mark.parametrize("refills", [1, 3])
def test_refills_take_no_task_of_any_step_and_of_no_other_refill(refills: int) -> None:
    table = {"steps": 7, "tasks_per_step": 5, "group_size": 2, "sampling": {"drop_equal_groups": True, "max_refills": refills}}
    recipe = toy_recipe(grpo=table)
    config: Any = recipe.phase("grpo").settings
    phase: Any = PlannedOnly(recipe, "grpo")
    for step in range(1, 8):
        collect_step(phase, config, step)
    groups = {plan.group_id: plan.task_key for plan in phase.played}
    assert len(groups) > 7 * 5  # there were refills
    assert len(set(groups.values())) == len(groups)  # each group has a task that no other had
    places = [int(str(key).rpartition("/")[2]) for key in groups.values()]
    start = stream_starts(recipe)["grpo"]
    assert min(places) == start
    assert max(places) < start + config.planned_tasks


def test_what_learns_from_reward_plays_no_task_that_was_cloned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[str]] = {"demonstrations": set(), "plans": set()}

    def noted(name: str) -> Any:
        plain = getattr(Phase, name)

        def note(self: Phase, *arguments: Any, **options: Any) -> Any:
            found = plain(self, *arguments, **options)
            seen[name] |= {plan.task_key for plan in found}
            return found

        return note

    for name in seen:
        monkeypatch.setattr(Phase, name, noted(name))
    train(toy_recipe(evaluation={"n": 1, "baselines": []}), store=tmp_path)
    assert seen["demonstrations"] == {f"train/{i}" for i in range(24)}
    assert seen["plans"] == {f"train/{24 + i}" for i in range(8)}


def test_every_epoch_has_an_order_of_its_own_and_all_tasks() -> None:
    feed = TaskFeed(toy_env.ENV_ID, {}, split="test", seed=3)
    size = feed._size
    assert size is not None
    epochs = [[feed.key(epoch * size + place) for place in range(size)] for epoch in range(4)]
    assert all(sorted(map(str, epoch)) == sorted(map(str, epochs[0])) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_environments_of_a_mixture_are_shuffled_apart() -> None:
    configs = [config.model_copy(update={"train_split": "test"}) for config in envs(1.0, 1.0, 1.0)]
    feed = MixtureFeed(configs, seed=4)
    orders = {tuple(one.key(place) for place in range(8)) for one in feed.feeds.values()}
    assert len(orders) == 3


def test_one_environment_is_dealt_as_it_always_was() -> None:
    (config,) = envs(2.0)
    feed = make_feed([config], seed=5)
    assert isinstance(feed, TaskFeed)
    assert feed.plans("grpo", 2, num_tasks=2, group_size=2) == TaskFeed(toy_env.ENV_ID, {}, split="train", seed=5).plans(
        "grpo", 2, num_tasks=2, group_size=2
    )
    assert [plan.episode_id for plan in feed.plans("grpo", 2, num_tasks=1, group_size=2)] == [
        "grpo/00002/000/00",
        "grpo/00002/000/01",
    ]


def test_episodes_are_sorted_by_environment_by_their_ids() -> None:
    assert (
        env_of("grpo/00001/003@Desk/02") == env_of("grpo/00001/003@Desk") == env_of("grpo/00001/003@Desk/02#asker") == "Desk"
    )
    assert env_of("grpo/00001/003/02") == env_of("") == ""
    episodes = [Trajectory(f"sft/00001/{i:03d}{mark}/00", "e", {}) for i, mark in enumerate(["@a", "@b", "@a", ""])]
    assert {name: [t.episode_id for t in found] for name, found in by_env(episodes).items()} == {
        "a": ["sft/00001/000@a/00", "sft/00001/002@a/00"],
        "b": ["sft/00001/001@b/00"],
    }


def test_what_cannot_be_made_is_named() -> None:
    with pytest.raises(UsageError, match="Unknown environment 'palaestra/Dek-v0'"):
        make_feed([EnvConfig(id="palaestra/Dek-v0")], seed=0)
    with pytest.raises(ConfigError, match="refuses the arguments"):
        make_feed(envs(1.0, 1.0, no_such_argument=1), seed=0)
    with pytest.raises(UsageError, match="Unknown split 'trian'"):
        make_feed([config.model_copy(update={"train_split": "trian"}) for config in envs(1.0)], seed=0)
