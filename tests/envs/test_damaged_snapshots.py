"""restore() of anything but a snapshot is one kind of error, in every environment, and the next reset plays."""

import contextlib
import copy
import json

import gymnasium
import numpy as np
import pytest

import palaestra
from experiments.reliability.settings import name_of, players
from palaestra.envs.core.engine_env import EngineEnv
from palaestra.envs.core.snapshots import seal
from palaestra.envs.registration import missing
from palaestra.errors import EnvironmentFault, EpisodeStateError

PLAYERS = players()

every_player = pytest.mark.parametrize(("env_id", "options"), PLAYERS, ids=[name_of(*setting) for setting in PLAYERS])


@pytest.fixture
def begun():
    made = []

    def make(env_id, options):
        made.append(gymnasium.make(env_id, disable_env_checker=True, **options))
        made[0].reset(seed=3)
        made[0].action_space.seed(3)
        made[0].step(made[0].action_space.sample())
        return made[0]

    yield make
    made[0].close()


@every_player
def test_damaged_bytes_are_refused_and_nothing_changes(begun, env_id, options):
    env = begun(env_id, options)
    snapshot = env.unwrapped.snapshot()
    before, rng = env.unwrapped.state_hash(), np.random.default_rng(7)
    for _ in range(60):
        damaged = bytearray(snapshot)
        at = int(rng.integers(len(damaged)))
        damaged[at] ^= int(rng.integers(1, 256))
        for wrong in (bytes(damaged), snapshot[:at], snapshot[at + 1 :]):
            with pytest.raises(EpisodeStateError):
                env.unwrapped.restore(wrong)
    for wrong in (None, 7, "x", {}, [], json.loads(snapshot), snapshot.decode(), b"", b"null"):
        with pytest.raises(EpisodeStateError):
            env.unwrapped.restore(wrong)
    assert env.unwrapped.state_hash() == before
    env.unwrapped.restore(snapshot)
    assert env.unwrapped.state_hash() == before


VALUES = [-1, 0, True, 1.5, 2**63, 10**400, float("inf"), "", "x", None, [], {}, [[1]], {"a": 1}]


def paths(value, at=()):
    """Yield the way to every part of plain data."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from paths(item, (*at, key))


def mutated(state, rng):
    """Return the contents of a snapshot with one part taken away, doubled or put in the place of something else."""
    state = copy.deepcopy(state)
    ways = [way for way in paths(state) if way and way[0] != "digest"]
    short = [way for way in ways if len(way) < 3]
    *begin, last = _one(short if rng.random() < 0.3 else ways, rng)
    node = state
    for key in begin:
        node = node[key]
    kind = rng.random()
    if kind < 0.1:
        del node[last]
    elif kind < 0.2 and isinstance(node, list):
        node.append(copy.deepcopy(node[last]))
    else:
        node[last] = VALUES[int(rng.integers(len(VALUES)))]
    return state


def _one(items, rng):
    return items[int(rng.integers(len(items)))]


@every_player
def test_forged_contents_are_refused_or_play_and_never_raise_anything_else(begun, env_id, options):
    env = begun(env_id, options)
    inner, rng = env.unwrapped, np.random.default_rng(11)
    state = json.loads(inner.snapshot())
    refused = 0
    # an engine plays the actions again; where it answers otherwise than the contents say, that is a fault which says so
    told = (EpisodeStateError, EnvironmentFault) if isinstance(inner, EngineEnv) else (EpisodeStateError,)
    for _ in range(40):
        try:
            inner.restore(seal(mutated(state, rng)))
        except told:
            refused += 1
            continue
        if not env_id.startswith("palaestra/"):  # by authors who take what a sealed snapshot holds
            continue
        inner.state_hash(), inner.snapshot(), inner._render_ansi(), next(iter(inner.expert()), None)
        with contextlib.suppress(*told):  # it may be over
            inner.step(env.action_space.sample())
    assert refused > 10
    env.reset(seed=3)
    env.step(env.action_space.sample())


OTHERS = {
    "palaestra/ALFWorld": [
        {"action_format": "code"},
        {"dialect": "put"},
        {"names": "shuffled"},
        {"tolerant": True},
        {"compat": "upstream"},
        {"max_turns": 7},
    ],
    "palaestra/BabyAI": [{"action_format": "react"}, {"numbering": "fixed"}, {"compat": "upstream"}, {"max_turns": 7}],
    "palaestra/CriticTool": [
        {"mode": "skip"},
        {"cot": True},
        {"profile": "published"},
        {"form": "calls"},
        {"max_turns": 7},
    ],
    "palaestra/Desk": [
        {"difficulty": "hard"},
        {"lenient": True},
        {"shaping": 0.5},
        {"max_calls_per_turn": 3},
        {"max_turns": 7},
    ],
    "palaestra/Maze": [{"action_format": "react"}, {"compat": "upstream"}, {"max_turns": 7}],
    "palaestra/SciWorld": [
        {"action_format": "json"},
        {"simplifications": "easy"},
        {"compat": "upstream"},
        {"max_turns": 7},
    ],
    "palaestra/TextCraft": [
        {"action_format": "react"},
        {"compat": "upstream"},
        {"recipes": "procedural"},
        {"max_turns": 7},
    ],
    "palaestra/ToolForge": [
        {"profile": "published"},
        {"reward": "episode_f1"},
        {"scheme": "pr"},
        {"no_free_guess": False},
        {"malformed": "terminate"},
        {"max_calls_per_turn": 3},
        {"tool_timeout_s": 1.0},
        {"lenient": True},
        {"max_turns": 7},
    ],
    "palaestra/TwentyQuestions": [
        {"judge": "each"},
        {"labels": "numbers"},
        {"seat": "answerer"},
        {"players": {"answerer": "liar"}},
        {"max_turns": 7},
    ],
    "palaestra/VehicleWorld": [
        *({"mode": mode} for mode in ("sfc", "hybrid")),
        *({name: True} for name in ("few_shot", "plan", "constants", "mixed")),
        {"profile": "published"},
        {"reflections": 1},
        {"state_form": "wrapped"},
        {"schema": False},
        {"calls": "tools"},
        {"reward": "accuracy"},
        {"max_turns": 7},
    ],
    "palaestra/Wordle": [{"action_format": "react"}, {"compat": "upstream"}, {"max_turns": 7}],
}
"""For every registered id, arguments that each decide how an episode continues."""
SAME = {
    "palaestra/ALFWorld": [{"expert_knows": "seen"}, {"split": "test"}],
    "palaestra/BabyAI": [{"levels": "GoToRedBall"}, {"split": "test"}],
    "palaestra/CriticTool": [{"mode": "internal", "max_turns": 1}, {"split": "test"}],
    "palaestra/Desk": [{"difficulty": "normal", "shaping": 0}, {"split": "test"}],
    "palaestra/Maze": [{"action_format": "text"}, {"split": "test"}],
    "palaestra/SciWorld": [{"simplifications": []}, {"split": "test"}],
    "palaestra/TextCraft": [{"action_format": "text", "max_turns": 30}, {"split": "test"}, {"distractors": 3}],
    "palaestra/ToolForge": [
        {"profile": "strict", "max_turns": 20},
        {"preset": "tiny"},
        {"expert_noise": 0.2},
        {"split": "test"},
    ],
    "palaestra/TwentyQuestions": [{"seat": "asker", "players": {"answerer": "honest"}}, {"things": 20}, {"split": "test"}],
    "palaestra/VehicleWorld": [{"mode": "fc", "reflections": 3}, {"difficulty": "hard"}, {"split": "test"}],
    "palaestra/Wordle": [{"max_turns": 8}, {"split": "test"}],
}
"""Spellings of the same settings, and arguments that only say which tasks are drawn."""


OURS = [env_id for env_id in palaestra.list_envs() if env_id.startswith("palaestra/") and not missing(env_id)]


@pytest.mark.parametrize("env_id", OURS)
def test_a_snapshot_of_other_settings_is_refused_by_their_names(env_id):
    with contextlib.closing(gymnasium.make(env_id, disable_env_checker=True)) as env:
        env.reset(seed=3)
        snapshot, digest = env.unwrapped.snapshot(), env.unwrapped.state_hash()
        for arguments in SAME[env_id.rpartition("-")[0]]:
            with contextlib.closing(gymnasium.make(env_id, disable_env_checker=True, **arguments)) as other:
                other.unwrapped.restore(snapshot)
                assert other.unwrapped.state_hash() == digest
                assert other.unwrapped.snapshot() == snapshot
        for arguments in OTHERS[env_id.rpartition("-")[0]]:
            with contextlib.closing(gymnasium.make(env_id, disable_env_checker=True, **arguments)) as other:
                (name,) = arguments
                with pytest.raises(EpisodeStateError, match=f"was taken with .*{name}=.*Make it with the same arguments"):
                    other.unwrapped.restore(snapshot)
                other.reset(seed=3)
                with pytest.raises(EpisodeStateError, match=f"{name}="):
                    env.unwrapped.restore(other.unwrapped.snapshot())
        assert env.unwrapped.state_hash() == digest
