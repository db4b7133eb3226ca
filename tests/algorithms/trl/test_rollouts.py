from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.trl.rollouts import EnvironmentRollouts, rollout_rows
from palaestra.errors import ConfigError, ModelError, UsageError
from palaestra.types import EpisodeError, Outcome, Trajectory
from tests.algorithms import toy_env
from tests.algorithms.build import episode, segment
from tests.algorithms.toy_recipe import toy_policy, toy_recipe

PLAIN: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": None, "repetition_penalty": 1.0}


def trainer(policy: Policy, **changes: Any) -> Any:
    """What a rollout function uses of a GRPOTrainer."""
    return SimpleNamespace(
        model=policy.model,
        processing_class=policy.tokenizer,
        accelerator=SimpleNamespace(process_index=0, unwrap_model=lambda model: model),
        args=SimpleNamespace(**{**PLAIN, **changes}),
        state=SimpleNamespace(global_step=3),
    )


def rollouts(**options: Any) -> EnvironmentRollouts:
    toy_recipe()  # registers the toy
    return EnvironmentRollouts(
        toy_env.ENV_ID,
        **{"format": "text", "instructions": False, "max_tokens_per_turn": 4, "engine": RolloutEngine(16), **options},
    )


def repeated(rows: Any, times: int) -> list[str]:
    return [prompt for prompt in rows["prompt"] for _ in range(times)]


def test_one_row_per_prompt_with_the_tokens_that_were_sampled() -> None:
    policy = toy_policy()
    collect = rollouts()
    prompts = repeated(collect.dataset(2), 4)
    rows = collect(prompts, trainer(policy))
    assert {len(values) for values in rows.values()} == {8}
    for index, trajectory in enumerate(collect.trajectories):
        (only,) = trajectory.segments
        prompt, completion = rows["prompt_ids"][index], rows["completion_ids"][index]
        assert tuple(prompt + completion) == only.ids
        assert rows["env_mask"][index] == [int(a) for a in only.action[len(prompt) :]]
        assert rows["env_mask"][index][0] == 1
        assert sum(rows["env_mask"][index]) == sum(only.action)
        assert rows["logprobs"][index] == list(only.log_prob[len(prompt) :])
        assert rows["reward"][index] == trajectory.return_
        assert set(only.version) == {-1, 3}
    assert len(set(rows["episode_id"])) == 8


def test_members_of_a_group_share_task_and_seed_and_differ_in_what_they_play() -> None:
    policy = toy_policy()
    collect = rollouts()
    collect(repeated(collect.dataset(2), 4), trainer(policy))
    first, second = collect.trajectories[:4], collect.trajectories[4:]
    assert len({(t.task["key"], t.seed, t.group_id) for t in first}) == 1
    assert first[0].seed != second[0].seed
    assert len({t.segments for t in first}) == 4
    before = {t.segments for t in collect.trajectories}
    collect(repeated(collect.dataset(2), 4), trainer(policy))
    assert not before & {t.segments for t in collect.trajectories}  # the next call samples anew


def test_log_probs_are_those_of_the_trainers_model_as_it_is_now() -> None:
    policy = toy_policy()
    collect = rollouts()
    prompts = repeated(collect.dataset(1), 4)
    collect(prompts, trainer(policy, temperature=0.7))
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.3)
    rows = collect(prompts, trainer(policy, temperature=0.7))
    for prompt, completion, mask, told in zip(
        rows["prompt_ids"], rows["completion_ids"], rows["env_mask"], rows["logprobs"], strict=True
    ):
        ids = torch.tensor([prompt + completion])
        scored = policy.token_log_probs(ids, torch.ones_like(ids), temperature=1.0).log_prob[0, len(prompt) :]
        hot = policy.token_log_probs(ids, torch.ones_like(ids), temperature=0.7).log_prob[0, len(prompt) :]
        chosen = torch.tensor(mask).bool()
        torch.testing.assert_close(torch.tensor(told)[chosen], hot[chosen].detach(), atol=1e-4, rtol=0)
        assert (torch.tensor(told)[chosen] - scored[chosen]).abs().max() > 1e-2


def test_the_model_is_left_in_training_mode() -> None:
    policy = toy_policy()
    policy.model.train()
    collect = rollouts()
    collect(repeated(collect.dataset(1), 2), trainer(policy))
    assert policy.model.training


def test_a_failed_episode_keeps_its_row_and_no_token_of_it_counts() -> None:
    good = episode("a", [segment([0, 1, 1, 0, 1], [(1, 3, 0), (4, 5, 1)])], [0.0, 1.0])
    bad = dataclasses.replace(good, outcome=Outcome(error=EpisodeError("environment", "EnvironmentFault", "died")))
    early = dataclasses.replace(bad, segments=(), steps=())
    rows = rollout_rows([good, bad, early], filler=9)
    assert rows["prompt_ids"] == [[1], [1], [9]]
    assert rows["completion_ids"] == [[2, 3, 4, 5], [2, 3, 4, 5], [9]]
    assert rows["env_mask"] == [[1, 1, 0, 1], [0, 0, 0, 0], [0]]
    assert rows["reward"] == [1.0, None, None]
    logged: dict[str, float] = {}
    assert rollouts().reward(reward=rows["reward"], log_metric=logged.__setitem__, prompts=[]) == [1.0, None, None]
    assert logged == {"episodes_failed": pytest.approx(2 / 3)}


def test_an_episode_without_a_sampled_token_keeps_its_honest_reward() -> None:
    silent = episode("a", [segment([0, 0, 0], [(3, 3, 0)])], [0.5])
    rows = rollout_rows([silent], filler=9)
    assert (rows["completion_ids"], rows["env_mask"], rows["reward"]) == ([[9]], [[0]], [0.5])


def test_several_segments_are_refused() -> None:
    split = episode("a", [segment([0, 1], [(1, 2, 0)]), segment([0, 0, 1], [(2, 3, 1)])], [0.0, 1.0])
    with pytest.raises(UsageError, match=r"has 2 token segments.*append_only=True"):
        rollout_rows([split], filler=9)
    with pytest.raises(UsageError, match="has no token segments"):
        rollout_rows([dataclasses.replace(split, segments=())], filler=9)


@pytest.mark.parametrize("change", [{"top_p": 0.9}, {"top_k": 5}, {"min_p": 0.1}, {"repetition_penalty": 1.2}])
def test_sampling_that_log_probs_do_not_describe_is_refused(change: dict[str, float]) -> None:
    collect = rollouts()
    with pytest.raises(ConfigError, match="log-probs are those of the temperature alone"):
        collect(repeated(collect.dataset(1), 2), trainer(toy_policy(), **change))


@pytest.mark.parametrize("prompt", ["Solve it.", '{"task": "train/0"}', "[1]", [{"role": "user", "content": "x"}]])
def test_prompts_of_other_data_sets_are_refused(prompt: Any) -> None:
    with pytest.raises(UsageError, match="names no episode"):
        rollouts()([prompt], trainer(toy_policy()))


def test_a_batch_in_which_everything_failed_stops_training() -> None:
    collect = rollouts(format="react", instructions=True)  # more instructions than the toy's context holds
    with pytest.raises(ModelError, match="All 2 episodes failed, the first with ContextWindowError"):
        collect(repeated(collect.dataset(1), 2), trainer(toy_policy()))


def test_a_horizon_cuts_episodes() -> None:
    collect = rollouts(max_turns=2)
    collect(repeated(collect.dataset(1), 2), trainer(toy_policy()))
    assert {t.num_turns for t in collect.trajectories} == {2}
    with pytest.raises(ConfigError, match="max_tokens_per_turn is 0"):
        rollouts(max_tokens_per_turn=0)


def test_trajectories_are_kept_for_those_who_want_them() -> None:
    collect = rollouts()
    collect(repeated(collect.dataset(1), 2), trainer(toy_policy()))
    assert all(isinstance(t, Trajectory) and t.segments for t in collect.trajectories)
