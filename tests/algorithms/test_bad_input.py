"""Bad input is one clear error or a counted exclusion, for every algorithm that it can reach; never silent."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch

from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.algorithms.grpo import GRPOConfig
from palaestra.algorithms.learner.learner import OnPolicyConfig
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.learner.policy_update import PolicyConfig
from palaestra.algorithms.math.batch import collate
from palaestra.algorithms.run.feed import TaskFeed
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.player import policy_agent
from palaestra.algorithms.run.recipe import parse_recipe
from palaestra.algorithms.run.registry import algorithm_names, get_algorithm, make_learner
from palaestra.algorithms.run.training import train
from palaestra.envs.core.text_env import Turn
from palaestra.errors import ConfigError, UsageError
from palaestra.types import Message, Trajectory
from tests.algorithms import toy_env
from tests.algorithms.toy_env import FeedbackKeysEnv
from tests.algorithms.toy_recipe import toy_policy, toy_recipe

ON_POLICY = [name for name in algorithm_names() if issubclass(get_algorithm(name).config, OnPolicyConfig)]
CORRECTING = [name for name in ON_POLICY if issubclass(get_algorithm(name).config, PolicyConfig)]
COMPARING = [name for name in ON_POLICY if issubclass(c := get_algorithm(name).config, GRPOConfig) and c().group_size > 1]
BROKEN_ENV = "test/BrokenKeys-v0"


class BrokenKeysEnv(FeedbackKeysEnv):
    """Gives a last reward that is no number, or dies, in every second episode."""

    def __init__(self, fault: str = "nan", **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]
        self.fault = fault

    def _act(self, action: str | Message) -> Turn:
        turn = super()._act(action)
        if not turn.terminated or self._keys[0] in ("red", "green", "blue"):
            return turn
        if self.fault == "dies":
            raise RuntimeError("the engine died")
        return replace(turn, reward=float(self.fault), score=0.0)


def broken(fault: str) -> dict[str, Any]:
    if BROKEN_ENV not in gymnasium.registry:
        gymnasium.register(BROKEN_ENV, entry_point=BrokenKeysEnv)
    return {"id": BROKEN_ENV, "fault": fault}


def build(name: str, policy: Policy, **config: Any) -> Any:
    return make_learner(name, policy, {"steps": 3, "warmup_updates": 0, **config}, reference=policy.frozen_copy)


def episodes(policy: Policy) -> list[Trajectory]:
    """Two groups of three with rewards as if by chance; each step carries a digest of its own."""
    feed = TaskFeed(toy_env.ENV_ID, {}, split="train", seed=0)
    engine = RolloutEngine(8, record_state_hash=True)
    played = engine.collect(feed.plans("x", 1, num_tasks=2, group_size=3), policy_agent(policy, toy_recipe()))
    return [with_reward(t, float(i % 3)) for i, t in enumerate(played)]


def with_reward(trajectory: Trajectory, reward: float) -> Trajectory:
    *before, last = trajectory.steps
    return replace(
        trajectory, steps=(*before, replace(last, reward=reward)), outcome=replace(trajectory.outcome, score=reward)
    )


def without_tokens(trajectory: Trajectory) -> Trajectory:
    """As if a server had answered every turn with nothing."""
    silent = []
    for part in trajectory.segments:
        n = len(part.ids)
        turns = tuple(replace(span, start=span.end) for span in part.turns)
        silent.append(replace(part, action=(False,) * n, log_prob=(0.0,) * n, version=(-1,) * n, turns=turns))
    return replace(trajectory, segments=tuple(silent))


def weights(policy: Policy) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in policy.parameters()])


@pytest.mark.parametrize("name", ON_POLICY)
@pytest.mark.parametrize("reward", [math.nan, math.inf, -math.inf])
def test_rewards_that_are_no_numbers_are_left_out_and_counted(name: str, reward: float) -> None:
    policy = toy_policy()
    played = episodes(policy)
    spoilt = [with_reward(t, reward) if i == 2 else t for i, t in enumerate(played)]
    metrics = build(name, policy).update(spoilt, 1)
    assert metrics["excluded_rewards"] == 1.0
    assert bool(weights(policy).isfinite().all())
    other = toy_policy()
    failed = [replace(t, outcome=replace(t.outcome, score=None)) if i == 2 else t for i, t in enumerate(played)]
    build(name, other).update(failed, 1)
    assert torch.equal(weights(policy), weights(other))  # the same as an episode that never had a score


@pytest.mark.parametrize("name", ON_POLICY)
def test_a_batch_of_nothing_but_bad_rewards_moves_nothing(name: str) -> None:
    policy = toy_policy()
    before = weights(policy)
    metrics = build(name, policy).update([with_reward(t, math.nan) for t in episodes(policy)], 1)
    assert (metrics["excluded_rewards"], metrics["no_signal"]) == (6.0, 1.0)
    assert torch.equal(weights(policy), before)


@pytest.mark.parametrize("name", ON_POLICY)
def test_empty_completions_are_counted_and_are_no_crash(name: str) -> None:
    policy = toy_policy()
    played = episodes(policy)
    some = build(name, policy).update([without_tokens(played[0]), *played[1:]], 1)
    assert some["excluded_empty"] == 1.0
    assert bool(weights(policy).isfinite().all())
    before = weights(policy)
    none = build(name, policy).update([without_tokens(t) for t in played], 1)
    assert (none["excluded_empty"], none["no_signal"]) == (6.0, 1.0)
    assert torch.equal(weights(policy), before)


def test_preferences_are_made_of_finite_rewards_only() -> None:
    from palaestra.algorithms.trl.preferences import preference_pairs

    played = episodes(toy_policy())
    for bad in (math.nan, math.inf):
        pairs, counts = preference_pairs([with_reward(played[0], bad), *played[1:3], without_tokens(played[3])])
        assert counts.unusable == 2
        assert {pair.chosen for pair in pairs} == {played[2].episode_id}


@pytest.mark.parametrize("name", COMPARING)
def test_groups_whose_members_are_all_alike_or_alone_move_nothing(name: str) -> None:
    policy = toy_policy()
    before = weights(policy)
    alike = [with_reward(t, 1.0) for t in episodes(policy)]
    if get_algorithm(name).config().advantage.needs_states:  # type: ignore[attr-defined]
        # turns that begin in equal states may end differently; here none does
        alike = [
            replace(t, steps=tuple(replace(s, state_hash=f"{i}/{j}") for j, s in enumerate(t.steps)))
            for i, t in enumerate(alike)
        ]
    if name != "turn_rloo":  # which tells turns apart by what came after them
        assert build(name, policy).update(alike, 1)["no_signal"] == 1.0
    alone = [
        replace(t, group_id=f"alone/{i}", steps=tuple(replace(s, state_hash=f"{i}/{j}") for j, s in enumerate(t.steps)))
        for i, t in enumerate(episodes(policy))
    ]
    metrics = build(name, policy).update(alone, 1)
    assert metrics["no_signal"] == 1.0
    assert metrics["groups_single"] == 6.0
    assert torch.equal(weights(policy), before)


@pytest.mark.parametrize("name", COMPARING)
def test_turns_that_differ_teach_where_turns_are_compared_though_returns_are_alike(name: str) -> None:
    policy = toy_policy()
    alike = []
    for i, trajectory in enumerate(episodes(policy)):  # one point each, in another turn
        steps = tuple(
            replace(step, reward=float(turn == i % 3), state_hash="start" if turn == 0 else f"{i}/{turn}")
            for turn, step in enumerate(trajectory.steps)
        )
        alike.append(replace(trajectory, steps=steps))
    by_turn = hasattr(get_algorithm(name).config().advantage, "gamma")  # type: ignore[attr-defined]
    learner = build(name, policy, **({"gamma": 0.5} if by_turn else {}))
    assert learner.update(alike, 1)["no_signal"] == float(not by_turn)


@pytest.mark.parametrize("fault", ["nan", "inf", "dies"])
def test_a_world_that_goes_wrong_costs_its_episodes_and_rings(
    fault: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = {"steps": 2, "tasks_per_step": 8, "group_size": 1, "critic": {"epochs": 1}}
    recipe = toy_recipe(phases=["ppo"], ppo=table, env=broken(fault), evaluation={"n": 1, "baselines": []})
    with caplog.at_level(logging.WARNING):
        result = train(recipe, store=tmp_path)
    rows = read_metrics(result.folder / "metrics.jsonl")
    assert all(0 < row["errors"] < 8 and row["excluded_errors"] == row["errors"] for row in rows)
    assert [row["alarm_errors"] for row in rows] == [float(row["errors"] > 2) for row in rows]
    assert any(row["alarm_errors"] for row in rows)
    assert sum("alarm_errors" in record.message for record in caplog.records) == 1
    assert all(bool(p.isfinite().all()) for p in Policy.from_path(result.policy_path).parameters())


def test_a_context_that_is_too_short_is_told(tmp_path: Path) -> None:
    quiet = {"n": 1, "baselines": []}
    short = {"max_positions": 64}
    long_text = {"agent": {"max_tokens_per_turn": 60, "instructions": False}}
    with pytest.raises(UsageError, match=r"fits into 64 tokens; raise model\.max_positions"):
        train(toy_recipe(phases=["sft"], model=short, env={"num_turns": 12}, evaluation=quiet), store=tmp_path / "sft")
    table = {"steps": 1, "tasks_per_step": 4, "group_size": 1, "critic": {"epochs": 1}}
    recipe = toy_recipe(phases=["ppo"], ppo=table, model=short, evaluation=quiet, **long_text)
    (row,) = read_metrics(train(recipe, store=tmp_path / "ppo").folder / "metrics.jsonl")
    assert row["truncated_tokens"] > 0
    assert row["errors"] == 0


@pytest.mark.parametrize(
    ("name", "table", "match"),
    [
        *(
            (name, {"group_size": 1}, "group_size")
            for name in ("grpo", "dr_grpo", "dapo", "gspo", "rloo", "turn_rloo", "gigpo")
        ),
        ("dpo", {"group_size": 1}, "group_size"),
        *((name, {"aggregation": "constant", "constant_length": None}, "constant_length") for name in [*CORRECTING, "sft"]),
        ("reinforce_pp", {"group_baseline": True}, "advantage 'reinforce_pp' compares 2 episodes"),
        ("dapo", {"overlong_limit": 100, "overlong_buffer": 100}, "overlong.buffer is 100; expected less than overlong.limit"),
        ("vrpo", {"bootstrap_truncated": True, "critic": {"bottleneck_over": "turn"}}, "bottleneck_over 'turn' knows only"),
        *((name, {"lrr": 1}, rf"Unknown key '{name}.lrr'") for name in algorithm_names()),
        *(
            (name, {"lr": 0}, rf"{name}.lr is 0")
            for name in algorithm_names()
            if "lr" in get_algorithm(name).config.model_fields
        ),
    ],
)
def test_tables_that_contradict_themselves_are_refused_before_anything_runs(
    name: str, table: dict[str, Any], match: str
) -> None:
    with pytest.raises(ConfigError, match=match):
        parse_recipe({"env": {"id": toy_env.ENV_ID}, "phases": [name], name: table})


@pytest.mark.parametrize("name", CORRECTING)
def test_a_divergence_without_a_reference_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"needs? a (reference policy|frozen language model)"):
        make_learner(name, toy_policy(), {"kl": {"coefficient": 0.1}})


@pytest.mark.parametrize("name", CORRECTING)
def test_older_weights_without_a_correction_are_refused_before_anything_runs(name: str) -> None:
    tables: dict[str, Any] = {name: {"steps": 1, "sampling": {"max_refills": 0}}, "asynchronous": {"max_staleness": 2}}
    with pytest.raises(ConfigError, match=rf"{name}\.correction is 'off'. Set {name}\.correction = 'token'"):
        toy_recipe(phases=[name], **tables)


@pytest.mark.parametrize("name", [name for name in ON_POLICY if name not in CORRECTING])
def test_older_weights_are_refused_by_learners_that_cannot_correct(name: str) -> None:
    learner = build(name, toy_policy())
    learner.accept_staleness(0)
    with pytest.raises(ConfigError, match="has no correction for tokens of older weights"):
        learner.accept_staleness(1)


def test_a_run_whose_checkpoints_are_all_cut_begins_its_phase_anew_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = {"steps": 2, "tasks_per_step": 4, "group_size": 1, "critic": {"epochs": 1}}
    recipe = toy_recipe(phases=["ppo"], ppo=table, evaluation={"n": 1, "baselines": []}, checkpoint={"every": 1})
    whole = train(recipe, store=tmp_path, run_id="run")
    first = weights(Policy.from_path(whole.policy_path))
    for state in (whole.folder / "checkpoints" / "ppo").glob("*/state.pt"):
        state.write_bytes(state.read_bytes()[:-100])
    with caplog.at_level(logging.WARNING):
        again = train(recipe, store=tmp_path, run_id="run")
    assert sum("is damaged" in record.message for record in caplog.records) >= 2
    assert torch.equal(weights(Policy.from_path(again.policy_path)), first)
    assert [row["step"] for row in read_metrics(again.folder / "metrics.jsonl")] == [1, 2]


def test_a_batch_without_a_single_row_is_a_batch() -> None:
    batch = collate([])
    for name in ON_POLICY:
        assert build(name, toy_policy()).learn(batch, 1)["no_signal"] == 1.0
