import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.desk.env import DeskEnv
from palaestra.envs.desk.tasks import LEVELS
from palaestra.envs.formats.hermes import format_message, parse_message
from palaestra.errors import ConfigError, UnknownNameError
from palaestra.types import Message, ToolCall


def play(env, actions):
    rewards = []
    for action in actions:
        _, reward, terminated, truncated, info = env.step(action)
        rewards.append(reward)
        if terminated or truncated:
            break
    return sum(rewards), terminated, info


def at(env, key):
    return env.reset(seed=0, options={"task": key})


@pytest.mark.parametrize("difficulty", list(LEVELS))
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_expert_solves_every_task(difficulty, split):
    env = DeskEnv(difficulty=difficulty, max_turns=30)
    for i in range(200):
        at(env, f"{split}/{i}")
        total, terminated, info = play(env, env.expert())
        assert (total, terminated, info["success"], info["score"]) == (1.0, True, True, 1.0), env.task.key


@pytest.mark.parametrize("difficulty", list(LEVELS))
def test_leaving_out_a_step_that_changes_something_scores_nothing(difficulty):
    env = DeskEnv(difficulty=difficulty)
    num_tried = 0
    for i in range(60):
        at(env, f"train/{i}")
        actions = list(env.expert())
        for left_out, step in enumerate(env.task.data["plan"]):
            if step["name"].startswith(("find_", "search_", "list_")):
                continue
            at(env, f"train/{i}")
            total, terminated, info = play(env, actions[:left_out] + actions[left_out + 1 :])
            assert (total, terminated, info["success"]) == (0.0, True, False), (env.task.key, left_out)
            num_tried += 1
    assert num_tried > 30


def test_a_further_change_scores_nothing():
    env = DeskEnv()
    for i in range(30):
        at(env, f"train/{i}")
        extra = format_message(Message("assistant", "", (ToolCall("add_note", {"title": "Extra", "text": "x"}),)))
        *calls, last = list(env.expert())
        assert play(env, [*calls, extra, last])[0] == 0.0


def test_a_question_needs_the_right_answer():
    env = DeskEnv(difficulty="easy")
    keys = [f"train/{i}" for i in range(60) if env.tasks.find(f"train/{i}").type == "ask_email"]
    assert keys
    for key in keys:
        at(env, key)
        gold = env.task.data["answer"]["gold"]
        assert play(env, [f"It is {gold}."])[0] == 1.0
        at(env, key)
        observation, reward, terminated, *_ = env.step("I do not know.")
        assert (observation, reward, terminated) == ("Not solved: the answer is not right.", 0.0, True)


def test_the_expert_mends_what_went_wrong_before():
    env = DeskEnv(difficulty="hard")
    for i in range(30):
        at(env, f"test/{i}")
        for event in list(env.world.events.values()):
            env.step(Message("assistant", "", (ToolCall("cancel_event", {"event_id": event.id}, "a"),)))
        assert play(env, env.expert())[0] == 1.0


@pytest.mark.parametrize("difficulty", list(LEVELS))
def test_native_calls_and_text_lead_to_the_same_end(difficulty):
    for i in range(20):
        text, native = DeskEnv(difficulty=difficulty), DeskEnv(difficulty=difficulty)
        at(text, f"train/{i}")
        at(native, f"train/{i}")
        for n, action in enumerate(text.expert()):
            message = parse_message(action)
            calls = tuple(ToolCall(c.name, c.arguments, f"call_{n}") for c in message.tool_calls)
            assert text.step(action)[:4] == native.step(Message("assistant", message.content, calls))[:4]
        assert text.snapshot() == native.snapshot()


def test_all_calls_of_a_plan_may_come_in_one_message():
    env = DeskEnv(difficulty="hard", max_calls_per_turn=20)
    at(env, "train/0")
    *calls, last = list(env.expert())
    assert play(env, ["\n".join(calls), last])[0] == 1.0


def test_the_start_shows_the_request_and_the_day():
    _, info = at(DeskEnv(), "train/0")
    assert len(info["tools"]) == 14
    env = DeskEnv()
    observation, _ = at(env, "train/0")
    assert observation == f"Today is Monday, 3 March 2031.\n{env.task.data['request']}"
    easy = DeskEnv(difficulty="easy")
    observation, info = at(easy, "train/0")
    assert observation == easy.task.data["request"]
    assert len(info["tools"]) == 7
    assert len(observation) < 200


def test_what_went_wrong_is_said_at_the_end():
    env = DeskEnv()
    at(env, next(f"train/{i}" for i in range(50) if env.tasks.find(f"train/{i}").type == "add_note"))
    assert env.step("Done.")[0] == "Not solved: the desk does not hold what was asked for."


def test_snapshots_continue_to_the_same_future_in_another_environment():
    env, twin = DeskEnv(difficulty="hard"), DeskEnv(difficulty="hard")
    at(env, "test/3")
    actions = list(env.expert())
    for action in actions[:3]:
        env.step(action)
    twin.restore(env.snapshot())
    assert twin.state_hash() == env.state_hash()
    assert [twin.step(a)[:4] for a in actions[3:]] == [env.step(a)[:4] for a in actions[3:]]
    assert twin.snapshot() == env.snapshot()


def test_environments_pickle_and_go_on_alike():
    env = DeskEnv(difficulty="easy")
    at(env, "train/5")
    actions = list(env.expert())
    env.step(actions[0])
    twin = pickle.loads(pickle.dumps(env))
    assert twin.snapshot() == env.snapshot()
    assert [twin.step(a)[:4] for a in actions[1:]] == [env.step(a)[:4] for a in actions[1:]]


def test_seeds_decide_which_task_is_drawn():
    keys = [DeskEnv(split="test").reset(seed=seed)[1]["task"]["key"] for seed in (1, 1, 2)]
    assert keys[0] == keys[1] != keys[2]
    assert keys[0].startswith("test/")


def test_an_unknown_difficulty_is_refused():
    with pytest.raises(UnknownNameError, match="Known: easy, hard, normal"):
        DeskEnv(difficulty="x")


def test_sampled_actions_reach_every_tool():
    env = DeskEnv()
    env.action_space.seed(1)
    at(env, "train/0")
    called, statuses = set(), set()
    for _ in range(300):
        *_, terminated, _, info = env.step(env.action_space.sample())
        called |= {r.name for r in info["tool_results"]}
        statuses |= {r.status for r in info["tool_results"]}
        if terminated:
            env.reset()
    assert called == set(env.toolkit.names)
    assert statuses == {"ok", "error"}


FUZZED = DeskEnv(difficulty="easy")
raw_texts = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "<tool_call>",
                "</tool_call>",
                "<think>",
                "</think>",
                '{"name": "delete_note", "arguments": {"note_id": "N1"}}',
                "\n",
            ]
        ),
        st.text(max_size=8),
    ),
    max_size=6,
).map("".join)
raw_calls = st.builds(
    ToolCall,
    st.one_of(st.sampled_from(FUZZED.toolkit.names), st.text(max_size=5)),
    st.one_of(
        st.text(max_size=8),
        st.dictionaries(st.sampled_from(["query", "note_id", "event_id", "title", "text"]), st.text(max_size=3)),
    ),
    st.text(max_size=2),
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(raw_texts, st.builds(Message, st.just("assistant"), raw_texts, st.lists(raw_calls, max_size=3).map(tuple))))
def test_any_action_is_answered_and_one_that_is_wrong_changes_nothing(action):
    at(FUZZED, "train/1")
    before = FUZZED.state_hash()
    observation, reward, terminated, _, info = FUZZED.step(action)
    observation.encode()
    if info["action_error"]:
        assert FUZZED.state_hash() == before
        assert not terminated
    for result in info["tool_results"]:
        assert (result.status == "ok") != result.content.startswith("Error: ")
    assert reward in (0.0, 1.0)


def test_random_play_is_the_same_for_the_same_seed():
    def episode():
        env = DeskEnv()
        env.action_space.seed(4)
        env.reset(seed=4)
        rng = np.random.default_rng(0)
        return [env.step(env.action_space.sampler(rng))[0] for _ in range(5)]

    assert episode() == episode()


def shaped_play(env, key, choices, length):
    """Play what a coin chooses: the expert's next call, or a random one."""
    at(env, key)
    env.action_space.seed(length)
    rewards, parts, over = [], [], False
    for is_expert in choices[:length]:
        action = next(env.expert()) if is_expert else env.action_space.sample()
        _, reward, terminated, truncated, info = env.step(action)
        rewards.append(reward)
        parts.append(info["reward_parts"])
        over = terminated or truncated
        if over:
            break
    return rewards, parts, over, info


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 400), st.lists(st.booleans(), min_size=7, max_size=7), st.sampled_from(["easy", "normal", "hard"]))
def test_shaped_rewards_add_up_to_the_outcome_whatever_is_played(number, choices, difficulty):
    key = f"train/{number}"
    plain, _, _, plain_info = shaped_play(DeskEnv(difficulty=difficulty, max_turns=7), key, choices, 7)
    shaped, parts, over, info = shaped_play(DeskEnv(difficulty=difficulty, max_turns=7, shaping=0.7), key, choices, 7)
    assert over
    assert sum(shaped) == pytest.approx(sum(plain))
    assert [part["task"] for part in parts] == plain
    assert (info["score"], info["success"]) == (plain_info["score"], plain_info["success"])


def test_the_call_that_mends_is_paid_at_once_and_the_end_takes_it_back():
    env = DeskEnv(difficulty="easy", max_turns=8, shaping=0.5)
    for i in range(40):
        at(env, f"train/{i}")
        if env.task.type == "ask_email":
            continue
        gains = []
        for action in env.expert():
            _, _, terminated, _, info = env.step(action)
            gains.append(info["reward_parts"]["progress"])
        assert terminated
        assert gains[:-2] == [0.0] * (len(gains) - 2)  # looking up changes nothing
        assert gains[-2:] == [0.5, -0.5]


def test_progress_falls_when_more_is_broken_and_never_below_minus_one():
    env = DeskEnv(difficulty="easy", shaping=1.0)
    at(env, next(f"train/{i}" for i in range(50) if at(env, f"train/{i}")[1]["task"]["type"] == "add_note"))
    note = format_message(Message("assistant", "", (ToolCall("add_note", {"title": "Extra", "text": "x"}),)))
    assert env.progress() == 0.0
    _, first, _, _, info = env.step(note)
    _, second, _, _, _ = env.step(note)
    assert (first, second, env.progress(), info["score"]) == (-1.0, 0.0, -1.0, 0.0)


@pytest.mark.parametrize("shaping", [-0.1, float("inf"), float("nan"), True, "1"])
def test_a_weight_that_is_none_is_refused(shaping):
    with pytest.raises(ConfigError, match="shaping is"):
        DeskEnv(shaping=shaping)
