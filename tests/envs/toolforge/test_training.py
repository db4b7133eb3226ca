"""States of episodes as published rows, and their reward as a function."""

import json
from dataclasses import replace

import pytest

from palaestra.envs.formats.hermes import format_call, parse_message
from palaestra.envs.toolforge import instance_of_row, snapshots, training_rows, turn_rewards, write_instances
from palaestra.envs.toolforge.env import ToolForgeEnv
from palaestra.envs.toolforge.rows import row_of_instance
from palaestra.envs.toolforge.tasks import FileTasks
from palaestra.envs.toolforge.training import collected
from palaestra.errors import UnknownNameError, UsageError
from palaestra.types import Outcome, Step, ToolCall, Trajectory
from palaestra.types.trajectory import EpisodeError
from tests.envs.toolforge.made import chain, made

FIRST = ToolCall("founder_of", {"company": "Velmora"})
SECOND = ToolCall("born_in", {"person": "Iska Tarn"})


@pytest.fixture
def episode(tmp_path):
    path = tmp_path / "made.jsonl"
    write_instances(path, [made(chain("chain"))])
    env = ToolForgeEnv(instances=path)
    observation, _ = env.reset(options={"task": "chain"})
    steps = []
    for action in (format_call(FIRST), "<tool_call>{bad</tool_call>", format_call(SECOND), "1931"):
        told, _, terminated, _, info = env.step(action)
        info["tool_results"] = [one.to_json() for one in info["tool_results"]]
        steps.append(Step(observation, parse_message(action), terminated=terminated, info=info))
        observation = told
    env.close()
    return Trajectory("e", "palaestra/ToolForge-v0", {"key": "chain"}, steps=tuple(steps))


def test_a_row_for_the_start_and_for_every_message_with_calls(episode):
    rows = snapshots(made(chain("chain")), episode)
    assert [row["id"] for row in rows] == ["chain", "chain@1", "chain@2", "chain@3"]
    assert [row["solve_rate"] for row in rows] == [0, 0.5, 0.5, 1]
    assert json.loads(rows[0]["unsolved_set"]) == {"founder_of": ["Iska Tarn"], "born_in": ["1931"]}
    assert json.loads(rows[1]["unsolved_set"]) == {"founder_of": [], "born_in": ["1931"]}
    assert json.loads(rows[3]["unsolved_set"]) == {"founder_of": [], "born_in": []}
    assert [message["role"] for message in rows[1]["messages"]] == ["user", "assistant", "tool"]
    call, result = rows[1]["messages"][1]["tool_calls"][0], rows[1]["messages"][2]
    assert call["id"] == result["tool_call_id"] == "call_1_1"
    assert "Iska Tarn" in result["content"]
    again = [instance_of_row(row) for row in rows]
    assert [len(one.nodes) for one in again] == [2, 1, 1, 0]


def test_rows_are_prompts_and_the_reward_needs_nothing_else(episode):
    columns = training_rows(snapshots(made(chain("chain")), episode))
    assert set(columns[0]) == {"id", "prompt", "tools", "codes", "unsolved_set", "solve_rate", "answer"}
    texts = [format_call(FIRST), [{"role": "assistant", "content": format_call(SECOND)}], "no idea", "It is 1931."]
    given = {name: [one[name] for one in columns] for name in columns[0]}
    assert turn_rewards(given.pop("prompt"), texts, **given) == [1, 1, 0, 1]
    assert turn_rewards([""], [f"{format_call(FIRST)}\n{format_call(FIRST)}"], **{k: v[:1] for k, v in given.items()}) == [
        pytest.approx(2 / 3)
    ]
    assert turn_rewards(
        [""], ['<tool_call>{"name": [1], "arguments": {}}</tool_call>'], **{k: v[:1] for k, v in given.items()}
    ) == [-0.3]
    with pytest.raises(UnknownNameError, match="scheme"):
        turn_rewards([], [], scheme="f1", **{k: [] for k in ("codes", "unsolved_set", "solve_rate", "answer")})


def test_episodes_of_other_tasks_are_refused(episode):
    with pytest.raises(UsageError, match="is of the task 'chain'"):
        snapshots(made(chain("other")), episode)


def test_states_of_several_episodes_are_tasks_that_continue_them(tmp_path, episode):
    write_instances(tmp_path / "chain.jsonl", [made(chain("chain"))])
    failed = replace(episode, outcome=Outcome(error=EpisodeError("model", "ModelError", "no answer")))
    found = list(collected(FileTasks(tmp_path / "chain.jsonl"), [episode, failed, episode], form="toolenv"))
    assert [one.id for one in found] == ["chain", "chain@1", "chain@2", "chain@3", "chain@1~2", "chain@2~2", "chain@3~2"]
    assert write_instances(tmp_path / "states.jsonl", found) == 7
    env = ToolForgeEnv(instances=tmp_path / "states.jsonl", reward="paper_turn", max_turns=1)
    told = []
    for task, action, reward in (("chain", FIRST, 1), ("chain@1", SECOND, 1), ("chain@1", FIRST, 0), ("chain@3~2", "1931", 1)):
        told.append(env.reset(options={"task": task})[0])
        _, paid, terminated, truncated, _ = env.step(action if isinstance(action, str) else format_call(action))
        assert (paid, terminated or truncated) == (reward, True)
    assert "You wrote:" in told[1]
    env.reset(options={"task": "chain@1"})
    assert "born_in" in next(env.expert())
    env.close()


def test_collected_rows_are_the_snapshots(tmp_path, episode):
    write_instances(tmp_path / "chain.jsonl", [made(chain("chain"))])
    tasks = FileTasks(tmp_path / "chain.jsonl")
    rows = snapshots(made(chain("chain")), episode)
    assert [row_of_instance(one) for one in collected(tasks, [episode])] == rows
    assert [one.id for one in collected(tasks, [episode, episode])][4:] == ["chain@1~2", "chain@2~2", "chain@3~2"]
    with pytest.raises(UnknownNameError, match="form"):
        collected(tasks, [], form="parquet")
