from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from palaestra.agents.export.export import export_trajectories
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.algorithms.data.demonstrations import expert_episodes, read_agent_traj, tokenize
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.batch import collate
from palaestra.algorithms.math.episode_weights import given_weights, regression_weights, scaled_to_mean_one, task_index
from palaestra.algorithms.math.losses import token_weights
from palaestra.algorithms.run.feed import TaskFeed
from palaestra.algorithms.run.player import policy_agent
from palaestra.algorithms.sft import Passes, SFTConfig, SFTLearner, clone_loss, imitation_batch
from palaestra.errors import MissingDataError, UsageError
from palaestra.types import Message, Outcome, Trajectory
from tests.algorithms import toy_env
from tests.algorithms.toy_recipe import toy_policy, toy_recipe


def demonstrations(policy: Policy, n: int = 8) -> list[Trajectory]:
    recipe = toy_recipe()
    feed = TaskFeed(toy_env.ENV_ID, {}, split="train", seed=0)
    played = expert_episodes(feed.plans("sft", 1, num_tasks=n), engine=RolloutEngine(8))
    found, too_long = tokenize(played, policy_agent(policy, recipe), policy.template, max_context=policy.max_context)
    assert too_long == 0
    return found


def test_demonstrations_are_what_the_policy_would_have_seen_and_written() -> None:
    policy = toy_policy()
    end = policy.tokenizer.eos_token_id
    for episode in demonstrations(policy):
        assert len(episode.segments) == 1
        segment = episode.segments[0]
        dialogue: list[Message] = []
        for span, step in zip(segment.turns, episode.steps, strict=True):
            dialogue.append(Message("user", step.observation))
            assert segment.ids[: span.start] == policy.template.render(dialogue)
            written = segment.ids[span.start : span.end]
            assert policy.template.decode(written[:-1]) == step.action.content
            assert written[-1] == end
            dialogue.append(step.action)
        assert sum(segment.action) == sum(span.end - span.start for span in segment.turns)


def test_demonstrations_leave_out_what_the_policy_would_not_have_been_sent() -> None:
    policy = toy_policy()
    episode = demonstrations(policy, 1)[0]
    steps = [dataclasses.replace(step, observation=f"<state>\n{i}\n</state>") for i, step in enumerate(episode.steps * 2)][:2]
    told = dataclasses.replace(episode, steps=tuple(steps), meta={"format": "text", "transient": ["state"]})
    agent = policy_agent(policy, toy_recipe())
    found, _ = tokenize([told], agent, policy.template, max_context=policy.max_context)
    assert len(found[0].segments) == 2
    second = found[0].segments[1]
    prompt = policy.template.decode(second.ids[: second.turns[0].start])
    assert "left out" in prompt
    assert "\n0\n" not in prompt
    assert "\n1\n" in prompt


def test_text_that_looks_like_a_control_token_is_not_one() -> None:
    policy = toy_policy()
    episode = demonstrations(policy, 1)[0]
    steps = (dataclasses.replace(episode.steps[0], action=Message("assistant", "push<|end|><|user|>")), *episode.steps[1:])
    found, _ = tokenize(
        [dataclasses.replace(episode, steps=steps)], policy_agent(policy, toy_recipe()), policy.template, max_context=128
    )
    span = found[0].segments[0].turns[0]
    written = found[0].segments[0].ids[span.start : span.end]
    assert written.count(policy.tokenizer.eos_token_id) == 1
    assert policy.tokenizer.decode(written[:-1]) == "push<|end|><|user|>"


def test_episodes_that_do_not_fit_are_left_out_and_counted() -> None:
    policy = toy_policy()
    played = demonstrations(policy, 3)
    assert tokenize(played, policy_agent(policy, toy_recipe()), policy.template, max_context=10) == ([], 3)


def test_observations_get_exactly_zero_gradient() -> None:
    policy = toy_policy()
    batch = collate(demonstrations(policy))
    log_prob = policy.token_log_probs(batch.ids, batch.attention_mask).log_prob.detach().requires_grad_()
    clone_loss(log_prob, token_weights(batch.action_mask, batch.episode_index, "token_mean")).backward()
    assert log_prob.grad is not None
    assert (log_prob.grad[~batch.action_mask] == 0).all()
    torch.testing.assert_close(
        log_prob.grad[batch.action_mask], torch.full((batch.num_action_tokens,), -1 / batch.num_action_tokens)
    )


def test_loss_is_the_mean_over_action_tokens_however_it_is_cut() -> None:
    losses = []
    steps: list[torch.Tensor] = []
    for budget in (1, 64, 10**6):
        policy = toy_policy()
        batch = collate(demonstrations(policy))
        with torch.no_grad():
            scored = policy.token_log_probs(batch.ids, batch.attention_mask, batch.action_mask).log_prob
        learner = SFTLearner(policy, SFTConfig(max_tokens_per_microbatch=budget, warmup_updates=0, lr=1e-3), total=1)
        losses.append(learner.learn(batch, 1)["loss"])
        assert losses[-1] == pytest.approx(-float(scored[batch.action_mask].mean()), rel=1e-5)
        steps.append(torch.cat([p.detach().flatten() for p in policy.parameters()]))
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
    torch.testing.assert_close(steps[0], steps[2], atol=1e-5, rtol=1e-5)


def conversation(**extra: object) -> dict[str, object]:
    turns = [
        {"from": "human", "loss": None, "value": "You craft items."},
        {"from": "gpt", "loss": False, "value": "OK. I'll follow."},
        {"from": "human", "loss": None, "value": "start red"},
        {"from": "gpt", "loss": True, "value": "push"},
        {"from": "human", "loss": None, "value": "ok blue"},
        {"from": "gpt", "loss": False, "value": "pull"},
        {"from": "human", "loss": None, "value": "ok gold"},
        {"from": "gpt", "loss": True, "value": "turn"},
        {"from": "human", "loss": None, "value": "done"},
    ]
    return {"item_id": "textcraft_7", "conversations": turns, **extra}


def test_agent_traj_files_are_read_and_marked_turns_are_not_trained_on(tmp_path: Path) -> None:
    file = tmp_path / "traj.json"
    file.write_text(json.dumps([conversation(), conversation(reward=0.25)]))
    first, second = read_agent_traj(file, env_id="x")
    assert first.instructions == "You craft items."
    assert [step.observation for step in first.steps] == ["start red", "ok blue", "ok gold"]
    assert first.final_observation == "done"
    assert (first.outcome.score, second.outcome.score) == (1.0, 0.25)
    assert first.episode_id != second.episode_id
    policy = toy_policy()
    found, _ = tokenize([first], policy_agent(policy, toy_recipe()), policy.template, max_context=512)
    segment = found[0].segments[0]
    trained = [policy.template.decode(segment.ids[span.start : span.end]) for span in segment.turns]
    assert trained == ["push", "", "turn"]
    assert "pull" in policy.template.decode(segment.ids)


@pytest.mark.parametrize("format", ["agenttraj", "experience", "sharegpt", "chat", "jsonl", "dataset"])
@pytest.mark.parametrize("env_id", ["palaestra/Desk-v0", toy_env.ENV_ID])
def test_training_reads_what_export_writes(tmp_path: Path, env_id: str, format: str) -> None:
    toy_env.register()
    found = expert_episodes(TaskFeed(env_id, {}, split="train", seed=0).plans("rows", 1, num_tasks=3))
    marked = replace(found[0].steps[0], info={**found[0].steps[0].info, "trained": False})
    played = [replace(found[0], steps=(marked, *found[0].steps[1:])), *found[1:]]
    export_trajectories(played, tmp_path / "out", format)
    policy = toy_policy()
    agent = policy_agent(policy, toy_recipe(agent={"format": "auto" if "Desk" in env_id else "text", "instructions": True}))
    read = read_agent_traj(tmp_path / "out", env_id=env_id)
    mine, theirs = (tokenize(some, agent, policy.template, max_context=10**6)[0] for some in (played, read))
    assert [one.segments for one in theirs] == [one.segments for one in mine]
    assert mine[0].segments[0].turns[0].start == mine[0].segments[0].turns[0].end
    if "Desk" in env_id:  # tools are shown, and their calls are not escaped
        text = policy.template.decode(mine[1].segments[0].ids)
        assert "find_contacts" in text
        assert "<tool_call>\n{" in text
        assert "&lt;" not in text


def test_role_and_content_records_are_read(tmp_path: Path) -> None:
    file = tmp_path / "traj.jsonl"
    turns = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "push", "reasoning_content": "hm"}]
    file.write_text("\n".join(json.dumps({"item_id": f"maze_{i}", "conversations": turns}) for i in range(2)))
    found = read_agent_traj(file)
    assert [t.task["key"] for t in found] == ["maze_0", "maze_1"]
    assert found[0].steps[0].action.reasoning == "hm"


@pytest.mark.parametrize(
    "text", ["[1]", '[{"item_id": "a", "conversations": [{"from": "robot", "value": "x"}]}]', "{", '{"a": 1}']
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "traj.json"
    file.write_text(text)
    with pytest.raises(UsageError, match="line 1, record 1"):
        read_agent_traj(file)
    with pytest.raises(MissingDataError, match="There is no file"):
        read_agent_traj(tmp_path / "absent.json")


def test_slips_are_played_but_never_imitated_and_the_expert_recovers() -> None:
    policy = toy_policy()
    recipe = toy_recipe()
    env = {"recipes": "procedural", "name_words": 1, "num_names": 40, "depth": [1, 1], "distractors": 2}
    feed = TaskFeed("palaestra/TextCraft-v0", env, split="train", seed=0)
    plans = feed.plans("sft", 1, num_tasks=12)
    played = expert_episodes(plans, slip_rate=0.4, seed=1)
    slips = {(t.episode_id, i) for t in played for i, s in enumerate(t.steps) if s.info.get("trained") is False}
    turns = sum(len(t.steps) for t in played)
    assert all(t.outcome.success for t in played)
    assert 0.2 * turns < len(slips) < 0.6 * turns
    found, _ = tokenize(played, policy_agent(policy, recipe), policy.template, max_context=10**6)
    for episode in found:
        for segment in episode.segments:
            for span in segment.turns:
                assert (span.end == span.start) == ((episode.episode_id, span.turn) in slips)
    again = expert_episodes(plans, slip_rate=0.4, seed=1)
    assert [t.steps for t in again] == [t.steps for t in played]


def test_an_expert_without_slips_is_imitated_whole() -> None:
    assert all(all(s.info.get("trained") is not False for s in t.steps) for t in demonstrations(toy_policy()))


# -- how much an episode counts -----------------------------------------------------------------------------------------


def worth(episode: Trajectory, return_: float, task: str = "t", **meta: float) -> Trajectory:
    """The episode with another return."""
    steps = tuple(dataclasses.replace(step, reward=return_ if i == 0 else 0.0) for i, step in enumerate(episode.steps))
    outcome = Outcome(score=return_, success=return_ >= 1)
    return dataclasses.replace(episode, steps=steps, outcome=outcome, task={**episode.task, "key": task}, meta=meta)


def test_regression_weighs_by_the_return_above_the_mean_of_the_task() -> None:
    returns = torch.tensor([1.0, 0.0, 0.5, 0.5, float("nan")])
    tasks = torch.tensor([7, 7, 3, 3, 3])
    found = regression_weights(returns, tasks, temperature=0.5)
    torch.testing.assert_close(found, torch.tensor([math.e, 1 / math.e, 1.0, 1.0, 0.0]))
    by_batch = regression_weights(returns, tasks, temperature=0.25, baseline="batch")
    torch.testing.assert_close(by_batch, torch.tensor([math.exp(2), math.exp(-2), 1.0, 1.0, 0.0]))


def test_weights_are_bounded_even_where_the_exponential_is_not_finite() -> None:
    found = regression_weights(torch.tensor([1e6, 0.0]), torch.tensor([0, 0]), temperature=1e-3)
    assert found.tolist() == [pytest.approx(20.0), 0.0]
    assert regression_weights(torch.zeros(0), torch.zeros(0, dtype=torch.long), temperature=1.0).shape == (0,)


def test_the_loss_of_weighted_episodes_is_their_weighted_mean_however_it_is_cut() -> None:
    for budget in (1, 10**6):
        policy = toy_policy()
        first, second = demonstrations(policy, 2)
        episodes = [worth(first, 1.0, weight=3.0), worth(second, 1.0, weight=1.0)]
        batch = imitation_batch(episodes, SFTConfig())
        with torch.no_grad():
            scored = policy.token_log_probs(batch.ids, batch.attention_mask, batch.action_mask).log_prob
        sums = (scored * batch.action_mask).sum(dim=1)
        expected = -float(1.5 * sums[0] + 0.5 * sums[1]) / batch.num_action_tokens
        config = SFTConfig(max_tokens_per_microbatch=budget, warmup_updates=0)
        assert SFTLearner(policy, config, total=1).learn(batch, 1)["loss"] == pytest.approx(expected, rel=1e-5)


def test_an_episode_that_weighs_nothing_has_no_gradient() -> None:
    policy = toy_policy()
    first, second = demonstrations(policy, 2)
    rows = imitation_batch([worth(first, 0.0), worth(second, 1.0, weight=0.0)], SFTConfig())
    alone = imitation_batch([worth(first, 0.0)], SFTConfig(aggregation="constant", constant_length=8))
    weights = [rows.extra["episode_weight"][row][rows.action_mask[row]] for row in range(2)]
    assert [set(w.tolist()) for w in weights] == [{2.0}, {0.0}]
    assert "episode_weight" not in alone.extra


def test_regression_learns_from_the_better_of_two_plays_of_a_task() -> None:
    policy = toy_policy()
    good, bad = demonstrations(policy, 2)
    config = SFTConfig(weighting="regression", regression_temperature=0.1, warmup_updates=0, lr=3e-3)
    batch = imitation_batch([worth(good, 1.0), worth(bad, 0.0)], config)
    weights = batch.extra["episode_weight"].amax(dim=1)
    assert float(weights[0]) == pytest.approx(2.0, abs=1e-3)
    assert float(weights[1]) < 1e-2
    with torch.no_grad():
        before = policy.token_log_probs(batch.ids, batch.attention_mask, batch.action_mask).log_prob.sum(dim=1)
    learner = SFTLearner(policy, config, total=4)
    for _ in range(4):
        learner.learn(batch, 1)
    with torch.no_grad():
        after = policy.token_log_probs(batch.ids, batch.attention_mask, batch.action_mask).log_prob.sum(dim=1)
    assert after[0] - before[0] > 1.0


def test_equal_weights_are_no_weights() -> None:
    episodes = [worth(episode, 1.0, weight=2.5) for episode in demonstrations(toy_policy(), 2)]
    assert "episode_weight" not in imitation_batch(episodes, SFTConfig()).extra
    assert scaled_to_mean_one(torch.tensor([1.0, 3.0])).tolist() == [0.5, 1.5]
    assert task_index(episodes).tolist() == [0, 0]


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf"), True, "2"])
def test_weights_that_are_none_are_refused(weight: Any) -> None:
    episode = worth(demonstrations(toy_policy(), 1)[0], 1.0, weight=weight)
    with pytest.raises(UsageError, match="has weight"):
        given_weights([episode])


def test_episodes_that_all_weigh_nothing_are_refused() -> None:
    episode = worth(demonstrations(toy_policy(), 1)[0], 1.0, weight=0.0)
    with pytest.raises(UsageError, match="All 1 episodes weigh 0"):
        imitation_batch([episode], SFTConfig())


def test_weights_are_read_from_files(tmp_path: Path) -> None:
    file = tmp_path / "traj.json"
    file.write_text(json.dumps([conversation(weight=2.0), conversation()]))
    assert given_weights(read_agent_traj(file)).tolist() == [2.0, 1.0]


def test_only_the_last_turn_of_an_episode_is_imitated_if_asked_for() -> None:
    episodes = demonstrations(toy_policy(), 3)
    batch = imitation_batch(episodes, SFTConfig(loss_on="last_turn"))
    for row, episode in enumerate(episodes):
        last = episode.segments[0].turns[-1]
        assert torch.nonzero(batch.action_mask[row]).squeeze(1).tolist() == list(range(last.start, last.end))


def test_every_pass_sees_every_row_once_in_an_order_of_its_own() -> None:
    batch = imitation_batch(demonstrations(toy_policy(), 7), SFTConfig())
    passes = Passes(batch, SFTConfig(batch_size=3, epochs=2), seed=0, name="sft")
    assert (passes.per_epoch, passes.total) == (3, 6)
    epochs = [[int(i) for step in steps for i in passes.rows(step).episode_index] for steps in ((1, 2, 3), (4, 5, 6))]
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 2
    assert epochs[0] != epochs[1]
    assert Passes(batch, SFTConfig(batch_size=3, epochs=2, max_updates=4), seed=0, name="sft").total == 4


def test_less_than_a_tenth_of_what_is_trained_on_is_padding() -> None:
    policy = toy_policy()
    long = demonstrations(policy, 4)
    short = [dataclasses.replace(t, steps=t.steps[:1], episode_id=f"short{i}") for i, t in enumerate(long)]
    cut, _ = tokenize(short, policy_agent(policy, toy_recipe()), policy.template, max_context=128)
    found = SFTLearner(policy, SFTConfig(), total=1).learn(collate([*long, *cut]), 1)
    assert 0 <= found["padding_waste"] < 0.1
