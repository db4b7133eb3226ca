"""Answers that the limit of a turn cuts off, in training: not played, told, and trained on token by token."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from palaestra.agents.core import Generation, Request, Tokens
from palaestra.agents.endings import TOLD
from palaestra.agents.export.conversations import Conversation
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.data.demonstrations import tokenize
from palaestra.algorithms.math.batch import collate
from palaestra.algorithms.run.feed import TaskFeed
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.player import policy_agent
from palaestra.algorithms.run.recipe_configs import AgentConfig
from palaestra.algorithms.run.training import train
from palaestra.errors import ConfigError
from palaestra.types import Trajectory
from tests.algorithms import toy_env
from tests.algorithms.toy_recipe import toy_policy, toy_recipe

LIMIT = 4
AGENT = {"instructions": False, "max_tokens_per_turn": LIMIT}


class Noted:
    """A sampler that keeps what it sampled, by episode."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.name, self.sampled = inner, "noted", dict[str, list[Tokens]]()

    async def generate(self, request: Request) -> Generation:
        sampling = replace(request.sampling, stop=("e", "u"))  # a policy from scratch hardly ever ends an answer itself
        found: Generation = await self.inner.generate(replace(request, sampling=sampling))
        assert found.tokens is not None
        self.sampled.setdefault(request.session, []).append(found.tokens)
        return found

    async def aclose(self) -> None:
        await self.inner.aclose()


def played(cut: Literal["refuse", "play"]) -> tuple[list[Trajectory], Noted]:
    """Play some episodes as a recipe says."""
    policy = toy_policy()
    recipe = toy_recipe(agent={**AGENT, "cut": cut}, model={"max_positions": 512})
    noted = Noted(policy.sampler(max_batch=16))
    plans = TaskFeed(toy_env.ENV_ID, {}, split="train", seed=0).plans("t", 1, num_tasks=8, group_size=2, max_turns=6)
    return RolloutEngine(16).collect(plans, policy_agent(policy, recipe, backend=noted)), noted


def test_cut_answers_are_told_and_every_sampled_token_counts_once() -> None:
    assert AgentConfig().cut == "refuse"
    trajectories, noted = played("refuse")
    seen = {True: 0, False: 0}
    for one in trajectories:
        tokens = noted.sampled[one.episode_id]
        assert [step.finish_reason == "length" for step in one.steps] == [t.stop == "length" for t in tokens]
        (segment,) = one.segments  # the dialogue goes on behind the very tokens that were sampled
        assert [segment.ids[span.start : span.end] for span in segment.turns] == [t.completion_ids for t in tokens]
        assert [i for i, acts in zip(segment.ids, segment.action, strict=True) if acts] == [
            i for t in tokens for i in t.completion_ids
        ]
        assert [p for p, acts in zip(segment.log_prob, segment.action, strict=True) if acts] == [
            p for t in tokens for p in t.log_probs
        ]
        shown = [*(step.observation for step in one.steps[1:]), one.final_observation]
        for step, after in zip(one.steps, shown, strict=True):
            seen[step.finish_reason == "length"] += 1
            assert (TOLD in after) == (step.finish_reason == "length")
            assert not step.finish_reason or (step.reward == 0.0 and not step.terminated and not step.action.content)
        batch = collate([one])
        assert int(batch.action_mask.sum()) == sum(len(t.completion_ids) for t in tokens)
        assert batch.ids[batch.action_mask].tolist() == [i for t in tokens for i in t.completion_ids]
    assert all(seen.values()), "both kinds of answers were seen"


def test_what_was_cut_is_played_where_the_recipe_says_so() -> None:
    trajectories, noted = played("play")
    stops = [t.stop for tokens in noted.sampled.values() for t in tokens]
    assert "length" in stops
    assert not any(TOLD in step.observation for one in trajectories for step in one.steps)
    assert all(len(one.steps) == 4 for one in trajectories), "each answer is a turn of the toy"


def test_first_answers_are_the_same_either_way() -> None:
    (refused, _), (taken, _) = played("refuse"), played("play")
    for one, other in zip(refused, taken, strict=True):
        mine, theirs = one.segments[0], other.segments[0]
        first = mine.turns[0].end
        assert (mine.ids[:first], mine.log_prob[:first]) == (theirs.ids[:first], theirs.log_prob[:first])


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_training_goes_on_over_cut_answers(tmp_path: Path, algorithm: str) -> None:
    table = {"steps": 2, "tasks_per_step": 2, "group_size": 4, "lr": 1e-3}
    recipe = toy_recipe(
        phases=[algorithm],
        agent={**AGENT, "cut": "refuse"},
        model={"max_positions": 512},
        horizon={"rounds": [6], "interval": 1},
        evaluation={"n": 4, "max_turns": 6, "baselines": []},
        sft=None,
        grpo=table if algorithm == "grpo" else None,
        **({} if algorithm == "grpo" else {"ppo": {**table, "group_size": 1, "tasks_per_step": 4}}),
    )
    result = train(recipe, store=tmp_path, run_id="run")
    rows = [row for row in read_metrics(result.folder / "metrics.jsonl") if row["phase"] == algorithm and row["step"]]
    assert all(row["errors"] == 0 and row["invalid_actions"] > 0 for row in rows)
    assert "cut" in result.arms["trained"].summary.answers
    with RunStore(tmp_path) as store:
        for one in store.trajectories("run-trained"):
            assert [s.finish_reason == "length" for s in one.steps] == [t.stop == "length" for t in one.segments[0].turns]


def test_a_run_that_is_older_than_the_key_played_cut_answers(tmp_path: Path) -> None:
    small = {"evaluation": {"n": 1, "baselines": []}, "phases": ["sft"], "sft": {"episodes": 4, "epochs": 1}}
    train(toy_recipe(**small), store=tmp_path / "runs", run_id="toy")
    shutil.copytree(tmp_path / "runs", tmp_path / "copy")
    with RunStore(tmp_path / "copy") as store:
        config = store.config("toy")
        del config["recipe"]["agent"]["cut"]
        store.set_config("toy", config)
        assert train(toy_recipe(**small), store=store, run_id="toy").policy_path.is_dir()
        with pytest.raises(ConfigError, match=r"different: agent\.cut\)"):
            train(toy_recipe(**small, agent={"cut": "refuse"}), store=store, run_id="toy")


def test_other_words_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"agent\.cut is 'end'.*'refuse' or 'play'"):
        toy_recipe(agent={"cut": "end"})


def test_no_gradient_reaches_what_follows_a_cut_answer() -> None:
    trajectories, _ = played("refuse")
    cut = next(one for one in trajectories if one.steps[0].finish_reason)
    batch = collate([cut])
    first = cut.segments[0].turns[0]
    assert torch.equal(batch.action_mask[0, first.start : first.end], torch.ones(first.end - first.start, dtype=torch.bool))
    assert not batch.action_mask[0, first.end]


def test_cut_answers_are_no_examples() -> None:
    trajectories, _ = played("refuse")
    recipe = toy_recipe(agent={**AGENT, "cut": "refuse"}, model={"max_positions": 512})
    policy = toy_policy()
    stored = [Trajectory.from_json(one.to_json()) for one in trajectories]
    cloned, _ = tokenize(stored, policy_agent(policy, recipe), policy.template, max_context=512)
    assert len(cloned) == len(trajectories)
    for one, again in zip(trajectories, cloned, strict=True):
        whole = [step.finish_reason != "length" for step in one.steps]
        acts = {span.turn: any(segment.action[span.start : span.end]) for segment in again.segments for span in segment.turns}
        assert [acts.get(turn, False) for turn in range(len(one.steps))] == whole
        dialogue = Conversation.of(one)
        assert [loss for loss in dialogue.loss if loss is not None][-len(whole) :] == whole
        assert Conversation.of(dialogue.to_trajectory()).loss == dialogue.loss
