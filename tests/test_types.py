import dataclasses
import json
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import UnknownNameError
from palaestra.media import Media, find_media, read_tags
from palaestra.types import (
    EpisodeError,
    Message,
    Outcome,
    SeatRecord,
    Segment,
    Step,
    ToolCall,
    ToolResult,
    ToolStatus,
    Trajectory,
    TurnSpan,
    Usage,
    observation_messages,
    plain,
)
from palaestra.types.trajectory import is_metric_name
from tests.media.drawn import media
from tests.media.drawn import texts as tagged_texts

texts = st.text(max_size=12)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
objects = st.dictionaries(texts, json_values, max_size=3)
attached = st.just({}) | st.dictionaries(st.sampled_from(["chat", "anthropic"]), objects, max_size=2)
calls = st.builds(ToolCall, texts, objects | texts, texts, attached)
results = st.builds(ToolResult, texts, texts, st.sampled_from(get_args(ToolStatus)), texts)
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
    media=st.lists(media, max_size=2).map(tuple),
    provider=attached,
)
usages = st.builds(Usage, *[st.integers(0, 9)] * 5, *[numbers.map(abs)] * 3)
steps = st.builds(Step, texts, messages, numbers, st.booleans(), st.booleans(), objects, st.none() | texts, texts)
errors = st.builds(
    EpisodeError, st.sampled_from(["model", "user", "judge", "tool", "environment", "scoring"]), texts, texts, texts
)
outcomes = st.builds(
    Outcome,
    numbers,
    st.booleans(),
    st.sampled_from(["success", "failure", "max_rounds", ""]),
    metrics=st.dictionaries(texts.filter(is_metric_name), numbers, max_size=3),
) | st.builds(Outcome, error=errors)


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


seat_records = st.builds(
    SeatRecord,
    agent=texts,
    instructions=texts,
    tools=st.lists(objects, max_size=2).map(tuple),
    usage=usages,
    segments=st.lists(segments(), max_size=2).map(tuple),
    final_observation=texts,
)
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
    seat=texts,
    seats=st.dictionaries(texts, seat_records, max_size=2),
)


@given(st.one_of(calls, results, messages, usages, steps, errors, outcomes, segments(), seat_records, trajectories))
def test_everything_goes_through_json_and_back(value):
    data = json.loads(json.dumps(value.to_json()))
    assert type(value).from_json(data) == value


@pytest.mark.parametrize("kind", [Message, Outcome, SeatRecord, Step, ToolCall, ToolResult, Trajectory, Usage])
def test_unknown_keys_of_newer_files_are_ignored(kind):
    examples = {
        Message: Message("user", "x"),
        Outcome: Outcome(1.0, True, "success"),
        SeatRecord: SeatRecord("a", usage=Usage(calls=1)),
        Step: Step("o", Message("assistant", "a")),
        ToolCall: ToolCall("f", {"a": 1}),
        ToolResult: ToolResult("f", "x"),
        Trajectory: Trajectory("e", "x/Y-v0", {"key": "a"}),
        Usage: Usage(calls=3),
    }
    value = examples[kind]
    assert kind.from_json({**value.to_json(), "from_the_future": 1}) == value


def test_an_outcome_without_metrics_is_written_as_before_there_were_any():
    assert list(Outcome(1.0, True, "success").to_json()) == ["score", "success", "stop_reason", "error"]
    assert Outcome(1.0, True, metrics={"wer": 0.5}).to_json()["metrics"] == {"wer": 0.5}


@pytest.mark.parametrize("figures", [{"score": 0.0}, {"success": False}, {"metrics": {"wer": 0.5}}])
def test_an_error_has_no_figures(figures):
    with pytest.raises(ValueError, match="leave them out"):
        Outcome(error=EpisodeError("model", "X", "y"), **figures)


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


class Word(str):
    """A text of a kind of its own."""


@given(
    st.dictionaries(
        texts.map(Word) | texts | st.integers(), json_values | texts.map(Word) | st.tuples(json_values), max_size=4
    )
)
def test_plain_copies_and_changes_nothing_but_the_form(value):
    found = plain(value)
    assert found == {str(key): list(item) if isinstance(item, tuple) else item for key, item in value.items()}
    assert found is not value
    assert json.loads(json.dumps(found)) == found
    assert plain(found) == found


def said(text: str) -> Message:
    return Message("assistant", text)


def span_of(turn: int) -> Segment:
    """A segment of one prompt token and one sampled token that caused step `turn`."""
    return Segment((1, 2), (False, True), (0.0, -0.5), (-1, 0), (TurnSpan(1, 2, turn),))


def table() -> Trajectory:
    """A user opens, the policy answers, the user pays, the policy ends it, a judge has the last word."""

    def info(**more):
        return {"score": 0.0, "success": False, "stop_reason": "", "reward_parts": {"task": 0.0}, **more}

    steps = (
        Step("begin", said("hello"), info=info(rewards={"user": 0.5}, scores={"user": 0.5}), seat="user"),
        Step("hello", said("what?"), 0.25, info=info(score=0.25, reward_parts={"task": 0.25}), seat="policy"),
        Step(
            "what?",
            said("that"),
            0.5,
            info=info(score=0.75, reward_parts={"tip": 0.5}, rewards={"policy": 0.5, "user": -0.25}, scores={"user": 9.0}),
            seat="user",
        ),
        Step("that", said("done"), info=info(score=0.75, exchange={"secret": 1}, metrics={"n": 1}), seat="policy"),
        Step(
            "judge it",
            said("good"),
            0.25,
            True,
            info=info(score=1.0, success=True, stop_reason="success", rewards={"judge": 1.0}, won=["policy", "judge"]),
            seat="judge",
        ),
    )
    return Trajectory(
        "e",
        "x/Y-v0",
        {},
        agent="A",
        instructions="be brief",
        steps=steps,
        final_observation="bye",
        outcome=Outcome(1.0, True, "success"),
        usage=Usage(calls=2),
        segments=(span_of(1), span_of(3)),
        group_id="g",
        meta={"unfinished_action": {"role": "assistant", "content": "?"}, "unfinished_seat": "judge"},
        seat="policy",
        seats={
            "user": SeatRecord("U", "want a thing", usage=Usage(calls=3), segments=(span_of(2),), final_observation="done"),
            "judge": SeatRecord("J", usage=Usage(calls=5), segments=(span_of(4),)),
        },
    )


def test_the_episode_of_a_seat_is_what_it_lived_through():
    policy, user, judge = (table().of_seat(name) for name in ("", "user", "judge"))
    assert [step.action.content for step in policy.steps] == ["what?", "done"]
    assert [step.reward for step in policy.steps] == [0.75, 0.25]
    assert [step.info["reward_parts"] for step in policy.steps] == [{"task": 0.25, "tip": 0.5}, {"task": 0.0}]
    assert [step.info["score"] for step in policy.steps] == [0.75, 1.0]
    assert [(step.terminated, step.info["success"]) for step in policy.steps] == [(False, False), (True, True)]
    assert (policy.episode_id, policy.group_id, policy.outcome) == ("e", "g", Outcome(1.0, True, "success"))
    assert [span.turn for segment in policy.segments for span in segment.turns] == [0, 1]

    assert [step.action.content for step in user.steps] == ["hello", "that"]
    assert [step.reward for step in user.steps] == [0.5, -0.25]
    assert [step.info["score"] for step in user.steps] == [0.5, 9.0]  # its native score where it is known
    assert user.outcome == Outcome(9.0, False, "failure")  # the policy won, the user did not
    assert (user.episode_id, user.group_id, user.agent, user.final_observation) == ("e#user", "g#user", "U", "done")
    assert [span.turn for segment in user.segments for span in segment.turns] == [1]
    assert user.usage == Usage(calls=3)

    assert (judge.return_, judge.outcome.success, judge.steps[0].info["success"]) == (1.0, True, True)
    assert judge.meta["unfinished_action"]
    assert "unfinished_action" not in policy.meta
    for own in (policy, user, judge):
        assert own.seats == {}
        assert own.of_seat() is own
        assert all(step.info.keys().isdisjoint({"rewards", "scores", "won", "exchange"}) for step in own.steps)


def test_a_table_counts_the_policys_turns_and_everybodys_usage():
    whole = table()
    assert (whole.num_turns, whole.return_) == (2, 1.0)
    assert whole.total_usage == Usage(calls=10)
    assert [message.content for message in whole.messages()] == ["be brief", "hello", "what?", "that", "done", "bye"]


def test_an_episode_with_one_seat_is_its_own_and_says_nothing_of_seats():
    alone = Trajectory("e", "x/Y-v0", {}, steps=(Step("o", said("a")),), usage=Usage(calls=1))
    assert alone.of_seat() is alone
    assert alone.total_usage == alone.usage
    assert "seat" not in json.dumps(alone.to_json())
    with pytest.raises(UnknownNameError, match="Unknown seat 'user'"):
        alone.of_seat("user")
    with pytest.raises(UnknownNameError, match="Known: judge, policy, user"):
        table().of_seat("nobody")


def test_a_failed_episode_failed_for_every_seat_and_one_without_steps_has_none():
    failed = dataclasses.replace(table(), outcome=Outcome(error=EpisodeError("user", "SeatFault", "silent")))
    assert all(failed.of_seat(name).outcome == failed.outcome for name in ("policy", "user", "judge"))
    unplayed = dataclasses.replace(table(), steps=())
    assert all(unplayed.of_seat(name).steps == () for name in ("policy", "user", "judge"))


SOUND = Media("a" * 64, "audio/wav", 2.5, 16_000)


def test_media_are_absent_from_the_json_of_a_message_without_any():
    assert Message("user", "hello").to_json() == {"role": "user", "content": "hello"}
    assert ToolCall("f", {}, "1").to_json() == {"id": "1", "name": "f", "arguments": {}}
    assert Message("user", SOUND.tag, media=(SOUND,)).to_json() == {
        "role": "user",
        "content": SOUND.tag,
        "media": [{"kind": "audio", "sha256": "a" * 64, "type": "audio/wav", "seconds": 2.5, "rate": 16_000}],
    }


@given(tagged_texts)
def test_a_message_of_a_text_has_the_media_that_it_names(text):
    message = Message.of_text("tool", text, tool_call_id="c")
    assert (message.content, message.media) == read_tags(text)
    assert (message.role, message.tool_call_id) == ("tool", "c")


@given(tagged_texts, st.integers(0, 200))
def test_a_message_that_is_cut_keeps_the_media_that_are_left(text, end):
    message = Message.of_text("user", text)
    cut = message.with_content(message.content[:end])
    assert cut.media == (find_media(text[:end]) if message.media else ())
    assert cut == Message.of_text("user", text[:end]) if message.media else cut.content == message.content[:end]


def test_observations_and_results_that_name_media_become_messages_with_media():
    step = Step(
        "",
        Message("assistant", tool_calls=(ToolCall("hear", id="c"),)),
        info={"tool_results": [ToolResult("hear", SOUND.tag)]},
    )
    assert observation_messages(step, "unused") == [
        Message("tool", SOUND.tag, tool_call_id="c", name="hear", media=(SOUND,)),
    ]
    assert observation_messages(None, f"Listen: {SOUND.tag}") == [Message("user", f"Listen: {SOUND.tag}", media=(SOUND,))]
    assert observation_messages(None, f"Prose: &lt;{SOUND.tag[1:]}") == [Message("user", f"Prose: {SOUND.tag}")]
