"""What AgentGym's server and client say."""

import pytest

from palaestra.envs.agentgym.alfworld.env import ALFWorldEnv
from palaestra.envs.agentgym.alfworld.upstream import first_reply, never_sent, reply, shown_by_client
from palaestra.types import Message, ToolCall
from tests.envs.agentgym.alfworld.toys import number_of
from tests.fixtures import need_fixtures, read_rows

CLEAN = f"train/{number_of('pick_clean_then_place_in_recep')}"


def test_the_first_paragraph_and_the_arrival_are_left_out():
    first = first_reply("-= Welcome =-\n\nYou see a desk 1.\n\nYour task is to: look.", ["look"], "a")
    assert first == {
        "observation": "You see a desk 1.\nYour task is to: look.",
        "available_actions": ["look"],
        "task_type": "a",
    }
    assert reply("You arrive at loc 3. On the desk 1, you see a. b.", [], is_won=False)["observation"] == (
        "On the desk 1, you see a. b."
    )
    won = reply("You arrive at desk 1. On it.", ["x"], is_won=True)
    assert won == {"observation": "You arrive at desk 1. On it.", "reward": 1.0, "available_actions": ["x"], "done": True}


def test_the_client_shows_commands_with_the_first_observation_and_after_what_it_cannot_read():
    assert shown_by_client("You see.", ["a", "b"]) == "You see.\nAVAILABLE ACTIONS: a,b"
    assert never_sent("You see.", ["a"])["observation"] == "Invalid Action.\n\nYou see.\nAVAILABLE ACTIONS: a"


@pytest.mark.parametrize("action_format", ["text", "react", "json", "code"])
def test_replies_come_with_reset_and_every_step(action_format):
    env = ALFWorldEnv(compat="upstream", action_format=action_format)
    observation, info = env.reset(options={"task": CLEAN})
    told = info["upstream"]
    assert told["observation"] == "\n".join(observation.split("\n\n")[1:])
    assert told["available_actions"] == env.world.commands()
    assert told["task_type"] == "pick_clean_then_place_in_recep"
    assert "help" not in told["available_actions"]
    for action in env.expert():
        observation, reward, terminated, _, info = env.step(action)
        told = info["upstream"]
        assert not told["observation"].startswith("You arrive at loc")
        assert observation.endswith(told["observation"])
        assert (told["reward"], told["done"]) == (reward, terminated)
        assert told["available_actions"] == env.world.commands()
    assert terminated


def test_a_message_that_the_client_cannot_read_is_never_sent():
    env = ALFWorldEnv(compat="upstream", action_format="json")
    _, info = env.reset(options={"task": CLEAN})
    first = info["upstream"]["observation"]
    for action in ("no json", '{"function_name": "fly", "arguments": {}}', '{"function_name": "look", "arguments": {"a": 1}}'):
        told = env.step(action)[4]["upstream"]
        assert told["observation"].startswith(f"Invalid Action.\n\n{first}\nAVAILABLE ACTIONS: go to")
        assert (told["reward"], told["done"]) == (0.0, False)
    kept = env.snapshot()
    last = env.step('{"function_name": "look", "arguments": {}}')[4]["upstream"]["observation"]
    assert env.step("no json")[4]["upstream"]["observation"].startswith(f"Invalid Action.\n\n{last}\n")
    env.restore(kept)
    assert env.step("no json")[4]["upstream"]["observation"].startswith(f"Invalid Action.\n\n{first}\n")


def test_the_reply_to_several_calls_is_that_to_the_last():
    env = ALFWorldEnv(compat="upstream")
    env.reset(options={"task": CLEAN})
    calls = (ToolCall("look", {}), ToolCall("inventory", {}))
    told = env.step(Message("assistant", "", calls))[4]["upstream"]
    assert told["observation"] == "You are not carrying anything."


@pytest.mark.parity
def test_published_games_are_played_in_the_servers_dialect() -> None:
    for folder in need_fixtures("agentgym/alfworld"):
        for trace in read_rows(folder / "traces.jsonl"):
            env = ALFWorldEnv(folder / "games" / trace["game"], compat="upstream", max_turns=None)
            _, info = env.reset()
            assert info["upstream"]["available_actions"] == trace["first_admissible"][: len(trace["first_admissible"])] or (
                set(trace["first_admissible"]) - set(info["upstream"]["available_actions"]) == {"help"}
            )
            for step in trace["steps"]:
                told = env.step(step["action"])[4]["upstream"]
                assert told["done"] == step["won"]
                if step["feedback"].startswith("You arrive at"):
                    assert told["observation"] == step["feedback"].partition(". ")[2]
                elif step["feedback"].startswith("You move the"):
                    assert told["observation"].startswith("You put the")
                else:
                    assert told["observation"] == step["feedback"]
