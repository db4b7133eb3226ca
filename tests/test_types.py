import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.types import (
    EpisodeError,
    Message,
    Outcome,
    Segment,
    Step,
    ToolCall,
    ToolResult,
    Trajectory,
    TurnSpan,
    Usage,
    observation_messages,
    plain,
)

texts = st.text(max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
objects = st.dictionaries(texts, json_values, max_size=3)
calls = st.builds(ToolCall, texts, objects | texts, texts)
results = st.builds(ToolResult, texts, texts, st.sampled_from(["ok", "unknown_tool", "invalid_arguments", "error"]), texts)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=texts,
    tool_calls=st.lists(calls, max_size=2).map(tuple),
    tool_call_id=texts,
    name=texts,
    reasoning=texts,
    raw=texts,
    error=texts,
)
usages = st.builds(Usage, *[st.integers(0, 9)] * 5, *[numbers.map(abs)] * 3)
steps = st.builds(Step, texts, messages, numbers, st.booleans(), st.booleans(), objects, st.none() | texts)
errors = st.builds(EpisodeError, st.sampled_from(["model", "tool", "environment", "scoring"]), texts, texts, texts)
outcomes = st.builds(Outcome, numbers, st.booleans(), st.sampled_from(["success", "failure", "max_rounds", ""])) | st.builds(
    Outcome, error=errors
)


@st.composite
def segments(draw) -> Segment:
    """Draw a segment: prompt and sampled tokens in turn."""
    ids, action, log_prob, version, turns = [], [], [], [], []
    for turn in range(draw(st.integers(0, 3))):
        for is_sampled in (False, True):
            start = len(ids)
            for _ in range(draw(st.integers(0, 4))):
                ids.append(draw(st.integers(0, 99)))
                action.append(is_sampled)
                log_prob.append(-draw(st.floats(0, 9)) if is_sampled else 0.0)
                version.append(draw(st.integers(0, 5)) if is_sampled else -1)
        turns.append(TurnSpan(start, len(ids), turn, draw(st.sampled_from(["eos", "length", "stop_string"]))))
    return Segment(tuple(ids), tuple(action), tuple(log_prob), tuple(version), tuple(turns))


trajectories = st.builds(
    Trajectory,
    episode_id=texts,
    env_id=texts,
    task=objects,
    seed=st.none() | st.integers(0, 2**40),
    agent=texts,
    instructions=texts,
    tools=st.lists(objects, max_size=2).map(tuple),
    steps=st.lists(steps, max_size=2).map(tuple),
    final_observation=texts,
    outcome=outcomes,
    usage=usages,
    segments=st.lists(segments(), max_size=2).map(tuple),
    group_id=texts,
    sample=st.integers(0, 9),
    max_turns=st.none() | st.integers(1, 99),
    meta=objects,
)


@given(st.one_of(calls, results, messages, usages, steps, errors, outcomes, segments(), trajectories))
def test_everything_goes_through_json_and_back(value):
    data = json.loads(json.dumps(value.to_json()))
    assert type(value).from_json(data) == value


@pytest.mark.parametrize("kind", [Message, Outcome, Step, ToolCall, ToolResult, Trajectory, Usage])
def test_unknown_keys_of_newer_files_are_ignored(kind):
    examples = {
        Message: Message("user", "x"),
        Outcome: Outcome(1.0, True, "success"),
        Step: Step("o", Message("assistant", "a")),
        ToolCall: ToolCall("f", {"a": 1}),
        ToolResult: ToolResult("f", "x"),
        Trajectory: Trajectory("e", "x/Y-v0", {"key": "a"}),
        Usage: Usage(calls=3),
    }
    value = examples[kind]
    assert kind.from_json({**value.to_json(), "from_the_future": 1}) == value


def test_values_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Message("user").content = "x"  # type: ignore[misc]


def test_usage_adds_up_field_by_field():
    total = Usage(1, 2, 3, 4, 5, 0.5, 1.5, 2.5) + Usage(10, 20, 30, 40, 50, 5.0, 15.0, 25.0)
    assert total == Usage(11, 22, 33, 44, 55, 5.5, 16.5, 27.5)


def test_an_error_is_never_a_score():
    error = EpisodeError("model", "ModelError", "down")
    for score, success in ((0.0, None), (None, False), (1.0, True)):
        with pytest.raises(ValueError, match="no score"):
            Outcome(score, success, error=error)


def test_a_segment_needs_tuples_of_one_length():
    with pytest.raises(ValueError, match=r"different lengths \[1, 2\]"):
        Segment((1, 2), (True,), (0.0, 0.0), (0, 0), ())


def test_the_return_is_the_sum_of_rewards():
    step = Step("o", Message("assistant", "a"), reward=0.25)
    trajectory = Trajectory("e", "x/Y-v0", {}, steps=(step, step))
    assert (trajectory.return_, trajectory.num_turns) == (0.5, 2)
    assert trajectory.with_outcome(Outcome(1.0, True)).outcome.success


def test_a_trajectory_reads_as_a_dialogue():
    trajectory = Trajectory(
        "e",
        "x/Y-v0",
        {},
        instructions="rules",
        steps=(Step("first", Message("assistant", "a")), Step("second", Message("assistant", "b"))),
        final_observation="end",
    )
    roles = [(message.role, message.content) for message in trajectory.messages()]
    assert roles == [
        ("system", "rules"),
        ("user", "first"),
        ("assistant", "a"),
        ("user", "second"),
        ("assistant", "b"),
        ("user", "end"),
    ]


def calling(*ids: str, results: list) -> Step:
    calls = tuple(ToolCall(f"tool{i}", {}, call_id) for i, call_id in enumerate(ids))
    return Step("o", Message("assistant", tool_calls=calls), info={"tool_results": results})


def test_results_of_native_calls_answer_them_one_by_one():
    results = [ToolResult("tool0", "x", call_id="a"), ToolResult("tool1", "y", "error", "b").to_json()]
    messages = observation_messages(calling("a", "b", results=results), "x and y")
    assert messages == [
        Message("tool", "x", tool_call_id="a", name="tool0"),
        Message("tool", "y", tool_call_id="b", name="tool1"),
    ]


@pytest.mark.parametrize(
    "step",
    [
        None,
        Step("o", Message("assistant", "text")),
        calling("a", "b", results=[ToolResult("tool0", "x", call_id="a")]),
        calling("", results=[ToolResult("tool0", "x")]),
        calling("a", results=[]),
    ],
)
def test_other_observations_are_one_user_message(step):
    assert observation_messages(step, "seen") == [Message("user", "seen")]


def test_plain_takes_numpy_sets_and_our_own_types():
    value = {1: np.float32(0.5), "a": np.arange(2), "s": {"b", "a"}, "m": Message("user", "x"), "t": (None, True)}
    assert plain(value) == {
        "1": 0.5,
        "a": [0, 1],
        "s": ["a", "b"],
        "m": {"role": "user", "content": "x"},
        "t": [None, True],
    }
    with pytest.raises(TypeError, match="object has no plain JSON form"):
        plain([object()])
