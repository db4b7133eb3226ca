"""TextCraft against AgentGym's published recipes, goals and traces."""

import json
from pathlib import Path
from typing import Any

import pytest

from palaestra.envs.agentgym.textcraft.books import load_book
from palaestra.envs.agentgym.textcraft.env import TextCraftEnv
from palaestra.envs.agentgym.textcraft.tasks import explicit_task, task_from_observation
from tests.fixtures import need_fixtures, need_rows

pytestmark = pytest.mark.parity

FOLDER = "agentgym/textcraft"


@pytest.fixture(scope="module")
def recipes() -> Path:
    return need_fixtures(f"{FOLDER}/recipes")[0]


@pytest.fixture(scope="module")
def env(recipes: Path) -> TextCraftEnv:
    return TextCraftEnv(recipes, max_turns=None)


def play(env: TextCraftEnv, actions: Any) -> float:
    reward = 0.0
    for action in actions:
        _, reward, terminated, _, _ = env.step(action)
        if terminated:
            break
    return float(reward)


def test_every_trace_is_reproduced_word_for_word(env: TextCraftEnv) -> None:
    for trace in need_rows(f"{FOLDER}/traces.jsonl"):
        task = explicit_task(env.book, trace["goal"], trace["commands"])
        observation, _ = env.reset(options={"task": task})
        assert observation == trace["first_observation"]
        assert task.type == f"depth-{trace['min_depth']}"
        assert task_from_observation(env.book, observation) == task
        for step in trace["steps"]:
            observation, reward, terminated, truncated, _ = env.step(step["action"])
            assert (observation, reward, terminated) == (step["observation"], step["reward"], step["done"]), trace["goal"]
            assert not truncated


def test_a_failed_command_of_a_trace_changes_nothing(env: TextCraftEnv) -> None:
    for trace in need_rows(f"{FOLDER}/traces.jsonl"):
        env.reset(options={"task": explicit_task(env.book, trace["goal"], trace["commands"])})
        for step in trace["steps"]:
            before = env.world.to_json()
            _, _, _, _, info = env.step(step["action"])
            failed = step["observation"].startswith(("Could not", "Wrong"))
            assert bool(info["action_error"]) == failed
            if failed:
                assert env.world.to_json() == before


def test_goals_have_the_published_order_depth_and_recipes(recipes: Path) -> None:
    book = load_book(recipes)
    for row in need_rows(f"{FOLDER}/goals.jsonl"):
        assert book.goals[row["idx"]] == row["goal"]
        assert book.depth[row["goal"]] == row["min_depth"]
        assert {book.line(recipe) for recipe in book.needed_recipes(row["goal"])} == set(row["needed_recipes"])


def test_every_published_plan_ends_in_success(env: TextCraftEnv) -> None:
    for row in need_rows(f"{FOLDER}/goals.jsonl"):
        if row["oracle_plan"] is not None:
            env.reset(options={"task": row["goal"]})
            assert play(env, row["oracle_plan"]) == 1, row["goal"]


def test_the_expert_solves_every_goal_of_the_pack_in_no_more_commands_than_the_published_plan(env: TextCraftEnv) -> None:
    published = {row["goal"]: row["oracle_plan"] for row in need_rows(f"{FOLDER}/goals.jsonl")}
    for goal in env.book.goals:
        env.reset(options={"task": goal})
        assert play(env, env.expert()) == 1, goal
        if published.get(goal):
            assert env._num_turns <= len(published[goal]), goal


def test_published_goals_are_divided_between_the_splits(env: TextCraftEnv) -> None:
    train = {task.key for task in env.tasks.split("train")}
    test = {task.key for task in env.tasks.split("test")}
    assert train
    assert test
    assert not train & test
    assert train | test == set(env.book.goals)


def test_the_published_servers_replies_are_those_of_every_trace(recipes: Path) -> None:
    env = TextCraftEnv(recipes, max_turns=None, compat="upstream")
    for trace in need_rows(f"{FOLDER}/traces.jsonl"):
        _, info = env.reset(options={"task": explicit_task(env.book, trace["goal"], trace["commands"])})
        assert info["upstream"] == {"observation": trace["first_observation"], "reward": 0, "done": False}
        for step in trace["steps"]:
            info = env.step(step["action"])[4]
            assert info["upstream"] == {key: step[key] for key in ("observation", "reward", "done")}, trace["goal"]


def test_published_ids_lead_to_the_traces_that_they_number(recipes: Path, tmp_path: Path) -> None:
    traces = need_rows(f"{FOLDER}/traces.jsonl")
    rows = [
        {"item_id": f"textcraft_{t['idx']}", "conversations": [{"from": "human", "value": t["first_observation"]}]}
        for t in traces
    ]
    (tmp_path / "traces.json").write_text(json.dumps(rows), encoding="utf-8")
    env = TextCraftEnv(recipes, tasks={"upstream": tmp_path / "traces.json"}, max_turns=None)
    assert len(env.tasks.aliases) == len(traces)
    for trace in traces:
        observation, info = env.reset(options={"task": f"upstream#{trace['idx']}"})
        assert (observation, env.world.goal) == (trace["first_observation"], trace["goal"])
        assert info["task"]["key"].startswith(trace["goal"])
        assert play(env, [step["action"] for step in trace["steps"]]) == 1


def test_every_listed_action_works_and_the_goals_can_be_reached_by_listed_actions_alone(env: TextCraftEnv) -> None:
    for goal in env.book.goals[::20]:
        env.reset(options={"task": goal})
        reward = 0.0
        while not reward:
            action = next(env.expert())
            words = str(action).split(" ", 2)
            alone = [action] if words[0] == "craft" else [f"get 1 {words[2]}"] * int(words[1])
            for command in alone:
                assert command in env.available_actions()
                reward = float(env.step(command)[1])
        assert env.available_actions() == []
