"""The world of BabyAI: the view as minigrid computes it, states that travel, fixed numbers."""

import contextlib
import io
import json

import numpy as np
import pytest

pytest.importorskip("minigrid", reason="the extra agentgym is not installed")

from palaestra.envs.agentgym.babyai.engine import LEVELS
from palaestra.envs.agentgym.babyai.expert import Route
from palaestra.envs.agentgym.babyai.plans import Choices
from palaestra.envs.agentgym.babyai.tasks import published_level
from palaestra.envs.agentgym.babyai.world import NO_CHANGE, BabyAIWorld


def act_at_random(world, rng, turns=6):
    """Play listed actions and return what was told; stops where the episode ends."""
    told = []
    for _ in range(turns):
        texts = list(world.choices.actions)
        reply = world.act(texts[int(rng.integers(len(texts)))])
        told.append((reply, world.listed()))
        if reply.ended:
            break
    return told


@pytest.mark.parametrize("level", LEVELS)
def test_a_state_in_mid_episode_travels_as_json_and_has_the_same_future(level):
    rng = np.random.default_rng(LEVELS.index(level))
    for seed in range(2):
        world = BabyAIWorld.begin(level, seed)
        assert world.copy() == world
        if any(reply.ended for reply, _ in act_at_random(world, rng)):
            continue
        state = json.loads(json.dumps(world.to_json()))
        twin = BabyAIWorld.from_json(state)
        assert twin == world
        assert twin.view == world.view
        seeds = int(rng.integers(2**31))
        futures = [act_at_random(one, np.random.default_rng(seeds), 12) for one in (world, twin)]
        assert futures[0] == futures[1]
        assert twin == world


@pytest.mark.parametrize("seed", [7, 19, 20, 62])
@pytest.mark.parametrize("where", [None, "front", "left"])
def test_walls_that_a_mission_means_travel_with_the_state(seed, where):
    """minigrid's "a grey object" means every wall too; its "grey object in front of you" only the walls there."""
    world = BabyAIWorld.begin("PickupDistDebug", seed)
    described = world.level.instrs.desc
    assert (described.type, described.color) == (None, "grey")
    described.loc = where
    described.find_matching_objs(world.level)
    assert any(thing.type == "wall" for thing in described.obj_set)
    twin = BabyAIWorld.from_json(json.loads(json.dumps(world.to_json())))
    assert twin == world
    for _ in range(2):
        meant = [one.level.instrs.desc.find_matching_objs(one.level, use_location=False) for one in (world, twin)]
        assert meant[0][1] == meant[1][1] == twin.level.instrs.desc.obj_poss
        assert [thing.type for thing in meant[0][0]] == [thing.type for thing in meant[1][0]]
        assert world.act("turn left") == twin.act("turn left")


@pytest.mark.parametrize("level", ["GoToObjMazeS7", "BossLevel", "OneRoomS20", "PutNextS7N4Carrying", "UnlockLocalDist"])
def test_two_views_are_the_same_exactly_where_minigrids_pictures_are(level):
    from minigrid.minigrid_env import MiniGridEnv

    rng = np.random.default_rng(5)
    world = BabyAIWorld.begin(level, 3)
    seen: dict[bytes, tuple] = {}
    for _ in range(40):
        reply = world.play([int(rng.choice([0, 1, 2, 2, 2, 3, 4, 5]))])
        picture = MiniGridEnv.gen_obs(world.level)["image"].tobytes()
        assert seen.setdefault(picture, world.view.image) == world.view.image
        if reply.ended:
            break
    assert len(set(seen.values())) == len(seen)


def test_what_changes_nothing_says_so_and_keeps_the_steps():
    world = BabyAIWorld.begin("GoToRedBallGrey", 0)
    before = world.to_json()
    for text, told in (
        ("fly", "The action is not recognized"),
        ("pickup red ball 9", "not recognized"),
        ("drop", "not carrying anything"),
        ("", NO_CHANGE),
        ("check it", "You can take the following actions: turn left"),
    ):
        assert told in world.act(text).text
        assert world.to_json() == before
    assert not world.act("Pick Up grey key 1").problem
    assert world.view.carried == "grey key"


def test_minigrids_prints_do_not_reach_the_output_and_others_do():
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        print("mine")
        for number in range(200, 400):
            level, seed = published_level(number)
            if level in ("SynthLoc", "PickupLoc", "GoToImpUnlock", "UnblockPickup", "SynthS5R2"):
                BabyAIWorld.begin(level, seed)
    assert output.getvalue() == "mine\n"


def test_with_fixed_numbers_a_box_is_opened_and_shows_what_it_holds():
    for seed in range(5):
        world = BabyAIWorld.begin("KeyInBox", seed, is_fixed=True)
        route = Route(world)
        while (command := route.next_command(world)) != "toggle":
            assert command
            world.act(command)
        assert "toggle" not in Choices(world.view).actions
        before = world.observation()
        assert not world.act("toggle").problem
        assert before.count(" key ") < world.observation().count(" key ")


@pytest.mark.parametrize(
    "change",
    [
        {"agent": [0, 0, 0]},
        {"agent": [1, 1, 7]},
        {"agent": [10**6, 1, 0]},
        {"grid": []},
        {"grid": [-1] * 64},
        {"grid": [99] * 64},
        {"carrying": 99},
        {"carrying": -2},
        {"carrying": True},
        {"level": "Nowhere"},
        {"steps": -1},
        {"max_steps": 0},
        {"mission": 3},
        {"instruction": {"kind": "DoInstr", "strict": False}},
        {"objects": [{"kind": "dragon", "colour": "red", "at": None}]},
        {"objects": "x"},
        {"is_fixed": 1},
    ],
)
def test_what_is_not_a_state_is_refused(change):
    state = BabyAIWorld.begin("GoToRedBallGrey", 0).to_json()
    with pytest.raises((KeyError, TypeError, ValueError)):
        BabyAIWorld.from_json({**state, **change})


def test_a_grey_object_that_minigrid_takes_walls_for_can_be_picked_up():
    world = BabyAIWorld.begin("PickupDistDebug", 5042)
    assert world.goal == "pick up a grey object"
    meant = world.level.instrs.desc.obj_set
    assert {"wall"} < {thing.type for thing in meant}
    route = Route(world)
    replies = []
    while command := route.next_command(world):
        replies.append(world.act(command))
        if replies[-1].ended:
            break
    assert replies[-1].value > 0
