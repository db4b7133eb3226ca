"""`compat="upstream"`: the replies of the published server, next to ours."""

from __future__ import annotations

import json

import gymnasium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.textcraft.env import TextCraftEnv
from palaestra.envs.agentgym.textcraft.text_book import parse_book
from palaestra.envs.agentgym.textcraft.upstream import UpstreamEngine
from palaestra.errors import UnknownNameError
from palaestra.types import Message, ToolCall
from tests.envs.agentgym.textcraft.books import small_book

BOOK = small_book()
QUIET = {"reward": 0, "done": False}


def engine(goal="toy:crate", **inventory):
    return UpstreamEngine(BOOK, goal, (), {f"toy:{name}": count for name, count in inventory.items()})


def told(observation, **more):
    return {"observation": observation, **QUIET, **more}


@pytest.mark.parametrize("action_format", ["text", "react"])
def test_every_reply_of_the_expert_is_the_published_one_in_its_shape(action_format):
    env = gymnasium.make("palaestra/TextCraft-v0", compat="upstream", action_format=action_format)
    plain = gymnasium.make("palaestra/TextCraft-v0", action_format=action_format)
    for seed in range(5):
        observation, info = env.reset(seed=seed)
        assert info.pop("upstream") == told(observation)
        assert (observation, info) == plain.reset(seed=seed)
        for action in env.unwrapped.expert():
            observation, reward, terminated, truncated, info = env.step(action)
            assert info.pop("upstream") == {"observation": observation, "reward": reward, "done": terminated}
            assert (observation, reward, terminated, truncated, info) == plain.step(action)
        assert terminated


def test_what_the_published_engine_does_otherwise():
    double = "craft 1 crate using 1 pick, 4 oak plank, 1 oak plank"
    have = engine(pick=1, oak_plank=4)  # four planks, listed as four and one: each is looked up alone
    assert have.answer(double) == {"error": "'toy:oak_plank'"}  # taken twice, though none is left
    assert have.inventory == {}  # and the rest is gone
    have = engine(pick=1, oak_plank=5)
    assert have.answer(double) == told("Crafted 1 toy:crate", reward=1, done=True)
    have = engine(pick=1, oak_plank=4)
    have.inventory["toy:oak_plank"] = 4
    assert have.answer("craft 1 crate using 1 pick, 1 oak plank, 4 oak plank")["observation"].startswith(
        "Could not find a valid recipe"
    )  # the plank ingredient takes the first plank listed, and its count is wrong
    have = engine()
    assert have.answer("get 0 twig") == told("Got 0 twig")
    assert have.answer("get 007 pebble") == told("Got 7 pebble")
    assert have.answer("get 99999999 oak log") == told("Got 99999999 oak log")
    assert have.answer("inventory") == told("Inventory: [twig] (0) [pebble] (7) [oak log] (99999999) ")
    assert have.answer("get 1 stick") == told("Could not find stick")
    assert have.answer("dance") == told("Could not execute dance")
    ten = ", ".join(["1 pebble"] * 10)
    assert have.answer(f"craft 1 pick using {ten}")["observation"].startswith("Could not find a valid recipe")


def test_a_negative_count_is_carried_on():
    book = parse_book(
        "tag wood: oak, pine\ncraft 1 oak using 1 seed\ncraft 1 pine using 1 cone\ncraft 1 mast using 3 wood, 3 oak"
    )
    have = UpstreamEngine(book, "mast", (), {})
    have.inventory[book.id_of("oak")] = 4
    assert have.answer("craft 1 mast using 3 oak, 3 oak")["observation"].startswith("Crafted 1 ")
    assert have.answer("inventory")["observation"].startswith("Inventory: [oak] (-2) ")


def test_counts_without_end_are_kept_up_to_a_bound():
    have = engine()
    for _ in range(3):
        assert have.answer("get " + "9" * 5000 + " twig")["observation"] == "Got " + "9" * 5000 + " twig"
    assert have.inventory == {"toy:twig": 10**15}


def env_of(**options):
    env = TextCraftEnv(compat="upstream", max_turns=None, **options)
    env.reset(seed=0)
    return env


def test_where_ours_and_theirs_part_each_keeps_its_own_state():
    env = env_of()
    before = env.state_hash()
    observation, _, _, _, info = env.step("get 0 oak log")
    assert observation == "Could not execute get 0 oak log"
    assert info["upstream"] == told("Got 0 oak log")
    assert (env.state_hash(), env.world.inventory) == (before, {})  # a refused action changes nothing of ours
    again = env_of()
    again.restore(env.snapshot())
    for one in (env, again):
        observation, _, _, _, info = one.step("inventory")
        assert observation == "Inventory: You are not carrying anything."
        assert info["upstream"] == told("Inventory: [oak log] (0) ")
    env.reset(seed=0)
    assert env.step("inventory")[4]["upstream"] == told("Inventory: You are not carrying anything.")


def test_what_never_reaches_the_server_is_answered_by_the_published_client():
    env = env_of(action_format="react")
    for action in (
        "Action: inventory\nAction: inventory",
        "nothing to do",
        "x" * 200_000,
        Message("assistant", error="unreadable"),
    ):
        observation, reward, _, _, info = env.step(action)
        assert (reward, info["upstream"]) == (0.0, told(observation))
    unknown = Message("assistant", tool_calls=(ToolCall("dance", {}, "1"),))
    observation, _, _, _, info = env.step(unknown)
    assert info["upstream"] == told(observation)


def test_of_several_calls_it_is_the_reply_to_the_last():
    env = env_of()
    calls = (ToolCall("get", {"item": "oak log", "count": 2}, "1"), ToolCall("inventory", {}, "2"))
    _, _, _, _, info = env.step(Message("assistant", tool_calls=calls))
    assert info["upstream"] == told("Inventory: [oak log] (2) ")


def test_by_default_there_is_no_reply_and_nothing_more_in_a_snapshot():
    env = TextCraftEnv()
    assert "upstream" not in env.reset(seed=0)[1]
    assert "upstream" not in env.step("inventory")[4]
    assert "upstream" not in json.loads(env.snapshot())
    with pytest.raises(UnknownNameError, match=r"Unknown compat 'agentgym'\. Known: upstream"):
        TextCraftEnv(compat="agentgym")


names = st.sampled_from(["oak log", "oak plank", "pine plank", "stick", "twig", "pebble", "pick", "plank"])
amounts = st.integers(1, 5)
commands = st.one_of(
    st.builds("get {} {}".format, amounts, names),
    st.builds(
        lambda name, inputs: f"craft 1 {name} using " + ", ".join(f"{n} {item}" for item, n in inputs.items()),
        names,
        st.dictionaries(names, amounts, min_size=1, max_size=3),
    ),
    st.sampled_from([*map(BOOK.line, BOOK.recipes), "inventory", "dance"]),
)


@settings(max_examples=200)
@given(st.lists(commands, max_size=12))
def test_without_double_listings_and_odd_counts_both_engines_say_the_same(played):
    from palaestra.envs.agentgym.textcraft.world import TextCraftWorld

    ours, theirs = TextCraftWorld(BOOK, "toy:crate", ()), engine()
    for command in played:
        reply = ours.act(command)
        assert theirs.answer(command) == told(reply.text, reward=int(reply.is_solved), done=reply.is_solved)
        assert theirs.inventory == ours.inventory
        theirs = UpstreamEngine.carrying(BOOK, theirs.goal, json.loads(json.dumps(theirs.carried())))
