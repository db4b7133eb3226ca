"""States of episodes as published rows, and their reward as a function."""

import json

import pytest

from palaestra.envs.formats.hermes import format_call, parse_message
from palaestra.envs.toolforge import instance_of_row, snapshots, training_rows, turn_rewards, write_instances
from palaestra.envs.toolforge.env import ToolForgeEnv
from palaestra.errors import UnknownNameError, UsageError
from palaestra.types import Step, ToolCall, Trajectory
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
