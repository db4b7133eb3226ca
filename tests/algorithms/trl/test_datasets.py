from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import pytest

import palaestra  # noqa: F401  (registers the environments)
from palaestra.agents.reference import ExpertAgent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.algorithms.data.demonstrations import expert_episodes, tokenize
from palaestra.algorithms.run.feed import TaskFeed
from palaestra.algorithms.run.player import policy_agent
from palaestra.algorithms.trl.datasets import from_dataset, task_rows, to_dataset, token_dataset
from palaestra.errors import UsageError
from palaestra.types import EpisodeError, Message, Outcome, Trajectory
from tests.algorithms import toy_env
from tests.algorithms.toy_recipe import toy_policy, toy_recipe


def episodes(env_id: str, num: int = 3, **kwargs: Any) -> list[Trajectory]:
    toy_env.register()
    feed = TaskFeed(env_id, kwargs, split="train", seed=0)
    return RolloutEngine(4).collect(feed.plans("rows", 1, num_tasks=num), ExpertAgent())


def failed(trajectory: Trajectory) -> Trajectory:
    return dataclasses.replace(trajectory, outcome=Outcome(error=EpisodeError("environment", "EnvironmentFault", "died")))


def test_rows_name_episodes_of_the_split_and_are_the_same_every_time() -> None:
    rows = task_rows("palaestra/Desk-v0", num_tasks=5, split="test", seed=3)
    assert rows.column_names == ["prompt", "task", "seed"]
    assert {key.partition("/")[0] for key in rows["task"]} == {"test"}
    assert len(set(rows["task"])) == len(set(rows["seed"])) == 5
    assert rows.to_list() == task_rows("palaestra/Desk-v0", num_tasks=5, split="test", seed=3).to_list()
    assert rows["seed"] != task_rows("palaestra/Desk-v0", num_tasks=5, split="test", seed=4)["seed"]
    env = gymnasium.make("palaestra/Desk-v0")
    told = env.reset(seed=0, options={"task": rows[0]["task"]})[1]["instructions"]
    assert rows[0]["prompt"] == [{"role": "system", "content": told}, {"role": "user", "content": ""}]


def test_instructions_can_be_others_or_none() -> None:
    assert task_rows("palaestra/Desk-v0", num_tasks=1, instructions="Be kind.")[0]["prompt"][0]["content"] == "Be kind."
    assert task_rows("palaestra/Desk-v0", num_tasks=1, instructions="")[0]["prompt"] == [{"role": "user", "content": ""}]


@pytest.mark.parametrize("env_id", ["palaestra/Desk-v0", toy_env.ENV_ID])
def test_whole_episodes_come_back_unchanged(env_id: str, tmp_path: Any) -> None:
    played = episodes(env_id)
    played = [*played, failed(played[0])]
    rows = to_dataset(played, whole=True)
    assert from_dataset(rows) == [Trajectory.from_json(t.to_json()) for t in played]
    rows.save_to_disk(str(tmp_path / "rows"))
    import datasets

    assert from_dataset(datasets.load_from_disk(str(tmp_path / "rows"))) == from_dataset(rows)


def test_text_that_no_file_can_hold_is_kept_out_of_chats_and_whole_in_episodes() -> None:
    (first,) = episodes(toy_env.ENV_ID, 1)
    odd = dataclasses.replace(first.steps[0], action=Message("assistant", "pu\ud800sh"))
    strange = dataclasses.replace(first, steps=(odd, *first.steps[1:]))
    rows = to_dataset([strange], whole=True)
    assert rows[0]["messages"][1]["content"] == "pu?sh"
    assert from_dataset(rows)[0].steps[0].action.content == "pu\ud800sh"


def test_chat_rows_hold_native_calls_and_leave_failures_out() -> None:
    played = episodes("palaestra/Desk-v0")
    rows = to_dataset([*played, failed(played[0])])
    assert len(rows) == len(played)
    for row, trajectory in zip(rows, played, strict=True):
        assert [m["role"] for m in row["messages"]] == [m.role for m in trajectory.messages()]
        assert [t["function"]["name"] for t in row["tools"]] == [t["function"]["name"] for t in trajectory.tools]
        for message in row["messages"]:
            assert None not in message.values()  # nothing is filled up with nulls
            for call in message.get("tool_calls", ()):
                assert isinstance(call["function"]["arguments"], dict)


@pytest.mark.parametrize("env_id", ["palaestra/Desk-v0", toy_env.ENV_ID])
def test_chat_rows_come_back_as_episodes_that_tokenise_alike(env_id: str) -> None:
    played = episodes(env_id)
    policy = toy_policy()
    recipe = toy_recipe(agent={"format": "auto" if "Desk" in env_id else "text", "instructions": True})
    again = from_dataset(to_dataset(played))
    assert [t.num_turns for t in again] == [t.num_turns for t in played]
    assert [t.outcome.score for t in again] == [t.outcome.score for t in played]
    assert [t.outcome.success for t in again] == [t.outcome.success for t in played]
    agent = policy_agent(policy, recipe)
    mine, theirs = (tokenize(found, agent, policy.template, max_context=10**6)[0] for found in (played, again))
    assert [t.segments for t in mine] == [t.segments for t in theirs]


def test_chat_data_of_others_is_read() -> None:
    rows = [
        {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]},
        {"conversations": [{"from": "human", "value": "2+2"}, {"from": "gpt", "value": "4"}], "reward": 0.5, "id": "sum"},
    ]
    first, second = from_dataset(rows, env_id="x/y")
    assert (first.env_id, first.steps[0].observation, first.steps[0].action.content) == ("x/y", "hi", "hello")
    assert (first.outcome.score, first.outcome.success) == (1.0, True)
    assert (second.episode_id, second.outcome.score, second.outcome.success) == ("sum", 0.5, False)


@pytest.mark.parametrize("row", [{"text": "hi"}, {"messages": []}, {"messages": [{"role": "user", "content": "hi"}]}])
def test_rows_that_are_no_episodes_are_named(row: dict[str, Any]) -> None:
    good = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
    with pytest.raises(UsageError, match="Row 1 is not an episode"):
        from_dataset([good, row])


def test_token_rows_are_the_segments() -> None:
    policy = toy_policy()
    feed = TaskFeed(toy_env.ENV_ID, {}, split="train", seed=0)
    played = expert_episodes(feed.plans("rows", 1, num_tasks=3))
    found, _ = tokenize(played, policy_agent(policy, toy_recipe()), policy.template, max_context=128)
    rows = token_dataset([*found, failed(found[0])])
    assert len(rows) == 3
    for row, trajectory in zip(rows, found, strict=True):
        assert row["input_ids"] == list(trajectory.segments[0].ids)
        assert row["assistant_masks"] == [int(a) for a in trajectory.segments[0].action]
    with pytest.raises(UsageError, match="None of 3 episodes has token segments"):
        token_dataset(played)
