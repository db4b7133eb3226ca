"""Items built from environments: proven right steps, the error that was drawn, the environment's own words."""

import json
from collections import Counter
from dataclasses import replace

import gymnasium as gym
import pytest

import palaestra  # noqa: F401
from palaestra.envs.critic import build_items, of_published, score, to_published
from palaestra.envs.critic.build import LABELS, Golden, unknown_values
from palaestra.envs.critic.record import Action
from palaestra.envs.wrappers.injection import INTERNAL, holds, tool_list
from palaestra.errors import UnknownNameError, UsageError
from palaestra.types import Message, Outcome, Step, ToolCall, Trajectory
from tests.hash_seeds import outputs

pytest.importorskip("jsonschema_rs")

DESK = "palaestra/Desk-v0"
SCRIPT = """
import gymnasium, palaestra
from palaestra.envs.critic import build_items
print(*[one.to_line() for one in build_items(gymnasium.make("palaestra/Desk-v0"), 15, seed=5).records], sep="\\n")
"""


@pytest.fixture(scope="module")
def built():
    return build_items(gym.make(DESK), 60, seed=1)


def last_call(record):
    found = json.loads([one["content"] for one in record.messages if one["role"] == "assistant"][-1])
    return ToolCall(found["name"], found["args"])


def test_every_error_is_equally_frequent_and_what_is_missing_is_said(built):
    counts = Counter(record.label for record in built.records)
    assert set(counts) | set(built.missing) == set(LABELS)
    assert all(counts[label] + built.missing.get(label, 0) == 4 for label in LABELS)
    assert set(built.missing) <= {"stale_result"}
    assert all(any(label == missed for label, _ in built.dropped) for missed in built.missing)
    assert len({record.id for record in built.records}) == len(built.records)


def test_the_error_is_what_its_label_says(built):
    for record in built.records:
        tools = tool_list(record.tools)
        if record.label in INTERNAL:
            right = ToolCall(record.golden.name, record.golden.args)
            assert holds(record.label, record.kind, right, last_call(record), tools)
        elif record.label:
            assert last_call(record) == ToolCall(record.golden_failed.name, record.golden_failed.args)
            assert record.label not in record.messages[-1]["content"]


def test_the_words_after_a_wrong_call_are_the_environments(built):
    env = gym.make(DESK)
    seen = 0
    for record in built.records:
        if record.label not in INTERNAL:
            continue
        env.reset(options={"task": record.provenance["task"]})
        said = [one for one in record.messages if one["role"] in ("assistant", "function")]
        for call, result in zip(said[::2], said[1::2], strict=True):
            found = json.loads(call["content"])
            info = env.step(f"<tool_call>\n{json.dumps({'name': found['name'], 'arguments': found['args']})}\n</tool_call>")[4]
            assert info["tool_results"][0].content == result["content"]
        seen += 1
    assert seen == 16


def test_items_are_scored_and_converted_like_all_others(built):
    for record in built.records:
        back = of_published(record.id, to_published(record))
        assert (back.messages, back.golden, back.golden_failed, back.next, back.k) == (
            record.messages,
            record.golden,
            record.golden_failed,
            record.next,
            record.k,
        )
        if record.golden is not None:
            reply = json.dumps({"error": record.label, **record.golden.to_published()})
            assert score(record, [reply], "internal").credit == pytest.approx(1)
        else:
            assert score(record, [record.golden_failed.text(), record.next.text()], "skip").credit == pytest.approx(1)
        assert "<tool_call>" not in record.messages[0]["content"]  # it would tell of another form of calls


def test_chance_comes_from_the_seed_alone():
    made = outputs(SCRIPT)
    assert len(made) == 1
    assert made.pop().count("\n") >= 13


def test_the_step_after_a_failure_needs_nothing_that_the_failure_hid(built):
    move = Action(name="move_event", args={"event_id": "E1", "date": "2031-04-14"})
    assert unknown_values(move, '[{"id": "E1"}]', "Move it to 2031-04-14.") == ["E1"]
    assert unknown_values(move, '[{"id": "E1"}]', "Move E1 to 2031-04-14.") == []
    assert unknown_values(Action(name="FinishAction", args="DY-385"), "{}", "Which code?") == ["DY-385"]
    assert unknown_values(Action(name="FinishAction", args="Tarnby"), '{"town": "Tarnby"}', "Which town?") == ["Tarnby"]
    assert unknown_values(Action(name="FinishAction", args="Done."), "Moved E1", "Move it.") == []
    env = gym.make(DESK)
    for record in built.records:
        if record.next is not None:
            env.reset(options={"task": record.provenance["task"]})
            shown = "\n".join(one["content"] for one in record.messages[1:])
            for call in [one["content"] for one in record.messages if one["role"] == "assistant"]:
                found = json.loads(call)
                text = json.dumps({"name": found["name"], "arguments": found["args"]})
                info = env.step(f"<tool_call>\n{text}\n</tool_call>")[4]
            assert unknown_values(record.next, info["tool_results"][0].content, shown) == []


class Lazy(gym.Wrapper):
    """Its expert does nothing."""

    def expert(self):
        yield "Done."


def test_a_plan_that_does_not_solve_its_task_gives_nothing():
    found = build_items(Lazy(gym.make(DESK)), 3, labels=["timeout"])
    assert found.records == ()
    assert found.missing == {"timeout": 3}
    assert found.dropped == {("timeout", "expert:failed"): 36}


def stored(env, seed):
    observation, info = env.reset(seed=seed)
    steps = []
    for action in env.unwrapped.expert():
        message = action if isinstance(action, Message) else Message("assistant", action)
        shown, (observation, *_) = observation, env.step(action)
        steps.append(Step(shown, message))
    about = {"task": info["task"], "seed": seed, "steps": tuple(steps), "final_observation": observation}
    return Trajectory("e", DESK, **about, outcome=Outcome(1.0, True))


def test_stored_episodes_are_played_again():
    env = gym.make(DESK)
    played = [stored(env, seed) for seed in range(4)]
    found = build_items(env, 8, seed=2, labels=["timeout", "parameters_key_error"], trajectories=played)
    assert {record.provenance["source"] for record in found.records} == {"trajectory"}
    assert {record.provenance["task"] for record in found.records} <= {one.task["key"] for one in played}
    forged = [replace(one, final_observation="Another.") for one in played]
    assert {reason for _, reason in build_items(env, 1, labels=["timeout"], trajectories=forged).dropped} == {"replay:differs"}
    failed = [replace(one, outcome=replace(one.outcome, success=False)) for one in played]
    with pytest.raises(UsageError, match="None of the 4 episodes"):
        build_items(env, 1, trajectories=failed)


class Harmless(Golden):
    """Says and keeps the same whatever is called."""

    def step(self, action):
        observation, reward, terminated, truncated, info = super().step(action)
        results = tuple(replace(one, content="ok", status="ok") for one in info.get("tool_results", ()))
        return observation, reward, terminated, truncated, {**info, "tool_results": results}

    def state_hash(self):
        return "same"


def test_a_silent_error_without_a_trace_is_none():
    found = build_items(Harmless(gym.make(DESK)), 1, labels=["parameters_value_error"])
    assert {reason for _, reason in found.dropped} == {"error:no_trace"}


def test_wrong_arguments():
    env = gym.make(DESK)
    with pytest.raises(UnknownNameError, match="label"):
        build_items(env, 1, labels=["bad"])
    with pytest.raises(UsageError, match="number is 0"):
        build_items(env, 0)
