"""Whatever is played under whatever plan: one error at most, told truly, and the same again after a snapshot."""

import json

import gymnasium
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import palaestra  # noqa: F401  (registers the environments)
from palaestra.envs import InjectErrors
from palaestra.envs.core.actions import read_message
from palaestra.envs.wrappers.injection import EXTENDED, EXTERNAL, INTERNAL
from palaestra.types import Message, ToolCall, plain

CRITIQUE = '<critique>{"error": "tool_select_error"}</critique>'
REPORT = ToolCall("report_error", {"category": "none"})
WORLDS = [
    gymnasium.make("palaestra/Desk-v0", difficulty="tiny", disable_env_checker=True),
    gymnasium.make("palaestra/TextCraft-v0", disable_env_checker=True),
]

plans = st.fixed_dictionaries(
    {
        "step": st.sampled_from([1, 2, 3, "random"]),
        "label": st.sampled_from(["", *INTERNAL, *EXTERNAL, *EXTENDED]),
        "persistence": st.sampled_from([1, 2, 5, "always"]),
    }
)


def chosen(env, rng):
    """Return the expert's next action or a drawn one, now and then with a critique in front and a report beside it."""
    action = next(env.expert(), None) if rng.random() < 0.5 else None
    action = env.action_space.sample() if action is None else action
    if isinstance(action, str) and rng.random() < 0.3:
        read = read_message(action)
        if read.tool_calls and not read.error:
            calls = (*read.tool_calls, REPORT) if rng.random() < 0.5 else read.tool_calls
            return Message("assistant", CRITIQUE, calls)
    return action


def plain_step(env, action):
    return json.dumps(plain(list(env.step(action))))


@given(plans, st.sampled_from(["slip", "outage"]), st.sampled_from([None, "text", "tool"]), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_any_play_keeps_the_promises(plan, mode, critique, seed):
    if plan["label"] and (plan["label"] in INTERNAL) is not (mode == "slip"):
        plan = {**plan, "label": ""}
    inner, rng = WORLDS[seed % 2], np.random.default_rng(seed)
    env = InjectErrors(inner, plan=plan, mode=mode, critique=critique, seed=seed)
    env.reset(seed=seed)
    env.action_space.seed(seed)
    num_errors, is_over, info = 0, False, {}
    for _ in range(8):
        action = chosen(env, rng)
        saved, before = env.snapshot(), inner.unwrapped.state_hash()
        first = plain_step(env, action)
        env.restore(saved)
        _, reward, terminated, truncated, info = env.step(action)
        env.restore(saved)
        assert plain_step(env, action) == first
        assert abs(sum(info["reward_parts"].values()) - float(reward)) < 1e-9
        error = info.get("injection") or {}
        num_errors += "label" in error and not error.get("again")
        if error.get("family") == "external" and len(info["tool_results"]) == 1:
            assert inner.unwrapped.state_hash() == before
            assert info["action_error"]
            assert not info["success"]
        if error.get("family") == "internal" and not error["changed"]:
            assert inner.unwrapped.state_hash() == before or len(info["tool_results"]) > 1
        is_over = terminated or truncated
        if is_over:
            break
    assert num_errors <= 1
    if is_over and plan["label"] and not num_errors:
        assert info["injection"]["why"]
