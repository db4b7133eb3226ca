"""What is exported is what is read, in every form, with its marks; what cannot be read is told with file, line and field."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.export.conversations import Conversation, action_text, chat_record, is_trained_on
from palaestra.agents.export.export import export_trajectories
from palaestra.agents.export.origins import Origin
from palaestra.agents.export.reading import (
    BadRecordWarning,
    episode_of,
    load_conversations,
    load_episodes,
    load_trajectories,
)
from palaestra.envs.formats.hermes import format_results
from palaestra.errors import MissingDataError, UsageError
from palaestra.types import EpisodeError, Message, Outcome, Step, ToolCall, ToolResult, Trajectory

FORMS: dict[str, Callable[[Trajectory], dict[str, Any]]] = {
    "agenttraj": lambda episode: Conversation.of(episode).to_agenttraj(),
    "experience": lambda episode: Conversation.of(episode).to_experience(),
    "sharegpt": lambda episode: Conversation.of(episode).to_sharegpt(),
    "chat": chat_record,
}
REWRITTEN: dict[str, Callable[[Conversation], dict[str, Any]]] = {
    "agenttraj": Conversation.to_agenttraj,
    "experience": Conversation.to_experience,
    "sharegpt": Conversation.to_sharegpt,
}
TOOLS = tuple(
    {"type": "function", "function": {"name": name, "description": "d", "parameters": {"type": "object", "properties": {}}}}
    for name in ("get", "say")
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\u2028\x85<>&\n\ufeff"), max_size=12)
CONTENTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def played(draw: st.DrawFn, native: bool) -> tuple[tuple[Step, ...], str]:
    """Draw the steps of an episode and its end; with native calls, what is seen after one is its results."""
    found: list[Step] = []
    observation = draw(TEXTS)
    for number in range(draw(st.integers(1, 4))):
        info: dict[str, Any] = {} if draw(st.booleans()) else {"trained": False}
        action = Message("assistant", draw(TEXTS))
        following = draw(TEXTS)
        if native and draw(st.booleans()):
            names = draw(st.lists(st.sampled_from(["get", "say"]), min_size=1, max_size=3))
            calls = tuple(ToolCall(name, {"x": draw(CONTENTS)}, f"c{number}{k}") for k, name in enumerate(names))
            results = [ToolResult(call.name, draw(CONTENTS), "ok", call.id) for call in calls]
            action = Message("assistant", draw(TEXTS), calls, reasoning=draw(CONTENTS))
            info["tool_results"] = [result.to_json() for result in results]
            following = format_results(results)
        found.append(Step(observation, action, info=info))
        observation = following
    return tuple(found), observation


@st.composite
def episodes(draw: st.DrawFn) -> Trajectory:
    native = draw(st.booleans())
    solved = draw(st.booleans())
    steps, end = draw(played(native))
    return Trajectory(
        "e",
        "",
        {"key": "k", "split": "train", "type": ""},
        instructions=draw(TEXTS),
        tools=TOOLS if native else (),
        steps=steps,
        final_observation=end,
        outcome=Outcome(1.0 if solved else 0.25, solved),
        meta={"weight": 2.0} if draw(st.booleans()) else {},
    )


def essence(episode: Trajectory) -> dict[str, Any]:
    """Return what a policy would learn from an episode."""
    return {
        "instructions": episode.instructions,
        "tools": list(episode.tools),
        "steps": [(step.observation, action_text(step.action), is_trained_on(step)) for step in episode.steps],
        "end": episode.final_observation,
        "weight": episode.meta.get("weight"),
    }


@settings(max_examples=100, deadline=None)
@given(
    episode=episodes(),
    origin=st.builds(Origin, *(st.sampled_from(["", "x", "test", "train/1", "Ä\u2028"]) for _ in range(3))),
    form=st.sampled_from(list(FORMS)),
    then=st.sampled_from(list(REWRITTEN)),
)
def test_where_an_episode_was_played_survives_every_form_and_is_never_made_up(
    episode: Trajectory, origin: Origin, form: str, then: str
) -> None:
    task = {"key": origin.task_key, "split": origin.split, "type": ""}
    record = stored(FORMS[form](replace(episode, env_id=origin.env_id, task=task)))
    for one in (record, stored(REWRITTEN[then](Conversation.from_record(record)))):
        read = Origin.of(episode_of(one, "name"))
        assert (read.env_id, read.split) == (origin.env_id, origin.split)
        assert read.task_key == origin.task_key or not origin.task_key
        assert Origin.of(episode_of(one, "name", env_id="given")).env_id == (origin.env_id or "given")


@pytest.mark.parametrize("field", ["env_id", "split", "task_key"])
def test_where_an_episode_was_played_is_a_text_or_a_number(field: str) -> None:
    record = {"item_id": "a", "conversations": TURNS}
    assert Origin.of(episode_of({**record, field: 7, "item_id": "7"})).to_json()[field] == "7"
    assert episode_of({**record, field: None}).env_id == ""
    for value in (True, 0.5, ["x"], {"x": 1}):
        with pytest.raises(UsageError, match=rf"{field} is .*; expected a text"):
            episode_of({**record, field: value})


def stored(record: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(record))


@settings(max_examples=150, deadline=None)
@given(episode=episodes(), form=st.sampled_from(list(FORMS)))
def test_what_is_exported_is_what_is_read(episode: Trajectory, form: str) -> None:
    back = Conversation.from_record(stored(FORMS[form](episode))).to_trajectory()
    assert essence(back) == essence(episode)
    if form == "chat":
        assert back.messages() == episode.messages()
    if form in REWRITTEN:
        assert FORMS[form](back)["conversations"] == FORMS[form](episode)["conversations"]


@settings(max_examples=150, deadline=None)
@given(episode=episodes(), first=st.sampled_from(list(FORMS)), then=st.sampled_from(list(REWRITTEN)))
def test_one_form_after_the_other_loses_neither_marks_nor_texts(episode: Trajectory, first: str, then: str) -> None:
    once = Conversation.from_record(stored(FORMS[first](episode)))
    twice = Conversation.from_record(stored(REWRITTEN[then](once)))
    marks = [mark for _, _, mark in essence(episode)["steps"]]
    read = twice.to_trajectory()
    assert [is_trained_on(step) for step in read.steps] == marks
    assert [action_text(step.action) for step in read.steps] == [action_text(step.action) for step in episode.steps]
    assert (read.instructions, list(read.tools)) == (episode.instructions, list(episode.tools))
    if first != "chat":  # which shows results of native calls one by one
        assert essence(read) == essence(episode)


@settings(max_examples=100, deadline=None)
@given(episode=episodes(), first=st.sampled_from(["agenttraj", "chat", "sharegpt"]))
def test_sharegpt_has_an_even_number_of_turns_in_alternation(episode: Trajectory, first: str) -> None:
    record = Conversation.from_record(stored(FORMS[first](episode))).to_sharegpt()
    speakers = [turn["from"] for turn in record["conversations"]]
    if speakers[0] == "system":
        speakers.pop(0)
    assert len(speakers) == 2 * len(episode.steps)
    assert set(speakers[::2]) <= {"human", "observation"}
    assert set(speakers[1::2]) == {"gpt"}


@settings(max_examples=30, deadline=None)
@given(found=st.lists(episodes(), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_forms_may_be_mixed_in_a_file(tmp_path_factory: pytest.TempPathFactory, found: list[Trajectory], seed: int) -> None:
    names = list(FORMS)
    records = [FORMS[names[(seed + number) % len(names)]](episode) for number, episode in enumerate(found)]
    path = tmp_path_factory.mktemp("mixed") / "in.json"
    path.write_text("\ufeff" + json.dumps(records, ensure_ascii=False, indent=seed % 3 or None), encoding="utf-8")
    back = [conversation.to_trajectory() for conversation in load_conversations(path)]
    assert [essence(episode) for episode in back] == [essence(episode) for episode in found]


def test_llama_factory_records_are_read_with_their_columns() -> None:
    function = TOOLS[0]["function"]
    call = [{"name": "get", "arguments": {"item": "x"}}, {"name": "say", "arguments": '{"words": []}'}]
    record = {
        "system": "Help.",
        "tools": json.dumps([function]),
        "conversations": [
            {"from": "human", "value": "Get x."},
            {"from": "function_call", "value": "<think>\nx\n</think>\n\n" + json.dumps(call)},
            {"from": "observation", "value": "ok"},
            {"from": "gpt", "value": "done"},
        ],
    }
    read = Conversation.from_record(record).to_trajectory()
    assert (read.instructions, read.tools) == ("Help.", (TOOLS[0],))
    first, second = read.steps
    assert first.action.tool_calls == (ToolCall("get", {"item": "x"}), ToolCall("say", {"words": []}))
    assert (first.action.reasoning, second.observation, second.action.content) == ("x", "ok", "done")


@pytest.mark.parametrize("form", ["sharegpt", "roles"])
def test_a_first_pair_without_marks_is_played(form: str) -> None:
    names = ("human", "gpt", "from", "value") if form == "sharegpt" else ("user", "assistant", "role", "content")
    turns = [{names[2]: names[i % 2], names[3]: f"{names[i % 2]}{i}"} for i in range(4)]
    key = "conversations" if form == "sharegpt" else "messages"
    for nulls in ({}, {"loss": None}, {"weight": None}):
        read = Conversation.from_record({"id": "a", key: [{**turn, **nulls} for turn in turns]}).to_trajectory()
        assert (read.num_turns, read.instructions) == (2, "")


@pytest.mark.parametrize("mark", [{"loss": False}, {"weight": 0}, {"train": False}, {"training": False}, {"trained": False}])
def test_every_mark_in_use_is_read(mark: dict[str, Any]) -> None:
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}]
    record = {"id": "a", "conversations": [*turns, {"from": "gpt", "value": "d", **mark}]}
    assert [is_trained_on(step) for step in Conversation.from_record(record).to_trajectory().steps] == [True, False]


@pytest.mark.parametrize(
    ("reward", "success", "expected"),
    [
        (None, None, (1.0, True)),
        (None, 0, (0.0, False)),
        (None, 1, (1.0, True)),
        (0.5, None, (0.5, False)),
        (0, None, (0.0, False)),
    ],
)
def test_null_rewards_are_those_of_what_was_kept_to_learn_from(reward: Any, success: Any, expected: Any) -> None:
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    read = episode_of({"item_id": "a_1", "conversations": turns, "reward": reward, "success": success})
    assert (read.outcome.score, read.outcome.success) == expected
    assert read.return_ == expected[0]


TURNS = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
BAD = [
    ({"item_id": "a", "conversations": [{"from": "robot", "value": "x"}]}, r"conversations\[0\].from is 'robot'"),
    ({"item_id": "a", "conversations": [TURNS[0], {"from": "gpt", "value": 3}]}, r"conversations\[1\].value is 3"),
    ({"item_id": "a", "conversations": [TURNS[0], {**TURNS[1], "loss": "no"}]}, r"conversations\[1\].loss is 'no'"),
    ({"item_id": "a", "conversations": [TURNS[0], {**TURNS[1], "weight": 0.5}]}, r"conversations\[1\].weight is 0.5"),
    (
        {"item_id": "a", "conversations": [TURNS[0], {"from": "function_call", "value": "x"}]},
        r"conversations\[1\].value is 'x'",
    ),
    (
        {"messages": [{"role": "user"}, {"role": "assistant", "tool_calls": [{}]}]},
        r"messages\[1\].tool_calls\[0\] is",
    ),
    ({"item_id": "a", "conversations": [TURNS[1]]}, "an assistant message before any other"),
    ({"item_id": "a", "conversations": [*TURNS, TURNS[1]]}, "two assistant messages in a row"),
    ({"item_id": "a", "conversations": []}, "holds no message of an assistant"),
    ({"item_id": "a", "conversations": None}, "holds no message of an assistant"),
    ({"item_id": "a", "conversations": TURNS, "tools": "[{"}, "tools is a text that is not JSON"),
    ({"item_id": "a", "conversations": TURNS, "tools": [3]}, r"tools\[0\] is 3"),
    ({"item_id": "a", "conversations": TURNS, "system": 3}, "system of item 'a' is a int"),
    ({"item_id": "a", "conversations": TURNS, "reward": "good"}, "reward is 'good'"),
    ({"item_id": "a", "conversations": TURNS, "success": "yes"}, "success is 'yes'"),
    ({"item_id": "a", "conversations": TURNS, "weight": -1}, "weight is -1"),
    ({"item_id": "a", "conversations": TURNS, "weight": 10**400}, "weight is 1000"),
    ({"item_id": "a", "conversations": TURNS, "reward": 10**400}, "reward is 1000"),
    ({"item_id": "a", "conversations": TURNS, "metrics": {"m": 10**400}}, r"metrics\['m'\] is 1000"),
    ({"item_id": "a", "conversations": TURNS, "success": 10**400}, "success is 1000"),
    ({"question": "x"}, "A record has the keys"),
    ("x", "is a str"),
]


@pytest.mark.parametrize(("record", "problem"), BAD)
def test_a_bad_record_names_file_line_and_field_and_the_others_are_read(tmp_path: Path, record: Any, problem: str) -> None:
    good = {"item_id": "g", "conversations": TURNS}
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in (good, record, good)))
    with pytest.warns(BadRecordWarning, match=rf"in\.jsonl, line 2, record 2.*{problem}"):
        assert [episode.episode_id for episode in load_episodes(path)] == ["g#0", "g#2"] or not isinstance(record, dict)
    told: list[str] = []
    assert len(list(load_episodes(path, on_bad=told.append))) == 2
    assert len(told) == 1
    path.write_text(json.dumps([record]))
    with pytest.raises(UsageError, match=rf"in\.jsonl, line 1, record 1.*{problem}"):
        list(load_episodes(path))


def test_of_many_bad_records_the_first_are_told_and_all_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"item_id": "g", "conversations": TURNS}) + "\n" + '{"x": 1}\n' * 50)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert len(list(load_episodes(path))) == 1
    assert len(told) == 21
    assert "30 more records cannot be read" in str(told[-1].message)


@pytest.mark.parametrize("format", ["agenttraj", "experience", "sharegpt", "chat", "jsonl", "dataset"])
def test_what_export_writes_is_read_to_learn_from(tmp_path: Path, format: str) -> None:
    if format == "dataset":
        pytest.importorskip("datasets")
    call = ToolCall("get", {"item": "x"}, "c0")
    result = ToolResult("get", "ok", "ok", "c0")
    whole = Trajectory(
        "e",
        "x/Y-v0",
        {"key": "k", "split": "train", "type": ""},
        instructions="Rules.",
        tools=TOOLS,
        steps=(
            Step("go", Message("assistant", "", (call,)), info={"tool_results": [result.to_json()], "trained": False}),
            Step(format_results([result]), Message("assistant", "done"), 1.0, True),
        ),
        outcome=Outcome(1.0, True, "success"),
    )
    failed = Trajectory("f", "x/Y-v0", {"key": "k"}, outcome=Outcome(error=EpisodeError("model", "ModelError", "503")))
    path = tmp_path / "out"
    export_trajectories([whole, failed], path, format)
    [read, *failures] = load_episodes(path, env_id="another/Env-v0")
    assert essence(read) == essence(whole)
    assert (read.outcome.score, read.outcome.success, read.env_id) == (1.0, True, "x/Y-v0")
    assert Origin.of(read) == Origin("x/Y-v0", "train", "k"), "it carries where it was played"
    assert len(failures) == (format == "jsonl")
    if format == "jsonl":
        assert list(load_trajectories(path)) == [whole, failed]
    if format in ("chat", "dataset"):
        assert read.messages() == whole.messages()


@pytest.mark.parametrize("format", ["agenttraj", "experience", "sharegpt", "chat", "jsonl", "dataset"])
def test_how_an_episode_ended_survives_every_form(tmp_path: Path, format: str) -> None:
    if format == "dataset":
        pytest.importorskip("datasets")
    step = Step("go", Message("assistant", "x"))
    ends = [(1.0, True), (0.0, False), (-0.5, False), (0.5, False), (0.5, True), (1.0, False)]
    played = [
        Trajectory(
            f"e{k}", "x/Y-v0", {"key": f"{k}"}, steps=(step, replace(step, reward=reward)), outcome=Outcome(reward, won)
        )
        for k, (reward, won) in enumerate(ends)
    ]
    error = EpisodeError("model", "ModelError", "503")
    broken = replace(played[0], episode_id="b", outcome=Outcome(error=error))
    path = tmp_path / "out"
    export_trajectories([*played, broken], path, format, select="all")
    *read, last = load_episodes(path)
    assert [(one.return_, one.outcome.score, one.outcome.success) for one in read] == [(r, r, won) for r, won in ends]
    assert last.outcome.error == error, "what an error ended is not a demonstration either"
    assert last.return_ == (1.0 if format in ("jsonl", "dataset") else 0.0), "and has no reward of one that was kept"
    for form in REWRITTEN.values() if format in FORMS else ():
        again = [episode_of(stored(form(one))) for one in load_conversations(path)]
        assert [(one.return_, one.outcome.success) for one in again[:-1]] == ends
        assert again[-1].outcome.error == error


def test_an_error_column_of_another_kind_is_not_an_ending() -> None:
    for error in (None, "", "none", 3, {"message": "x"}, {"boundary": 1, "type": "a", "message": "b"}, "{"):
        read = episode_of({"item_id": "a", "conversations": TURNS, "error": error})
        assert (read.outcome.error, read.outcome.success) == (None, True)


WHOLE = Trajectory(
    "e",
    "x/Y-v0",
    {"key": "k", "split": "train", "type": ""},
    seed=3,
    tools=TOOLS,
    steps=(
        Step("a", Message("assistant", "b", (ToolCall("get", {"item": None}, "c1"),), reasoning="r"), info={"x": None}),
        Step("c", Message("assistant", "d"), 1.0, True),
    ),
    outcome=Outcome(1.0, True, "success", metrics={"m": 0.5}),
    meta={"weight": 2.0, "note": None},
)
HARMS: list[tuple[tuple[Any, ...], Any, str]] = [
    (("episode_id",), 5, "episode_id is 5"),
    (("env_id",), 5, "env_id is 5"),
    (("env_id",), None, "it is not a trajectory, without env_id"),
    (("task",), None, "it is not a trajectory, without task"),
    (("task",), "k", "task is 'k'"),
    (("task", "split"), ["test"], r"task.split is \['test'\]"),
    (("instructions",), 1, "instructions is 1"),
    (("tools",), {}, r"tools is \{\}"),
    (("tools", 0), 3, r"tools\[0\] is 3"),
    (("steps",), 3, "steps is 3"),
    (("steps",), [], "steps is empty"),
    (("steps", 1), "x", r"steps\[1\] is 'x'"),
    (("steps", 1, "observation"), 5, r"steps\[1\].observation is 5"),
    (("steps", 1, "observation"), None, r"steps\[1\].observation is None"),
    (("steps", 1, "action"), "d", r"steps\[1\].action is 'd'"),
    (("steps", 1, "action", "role"), "user", r"steps\[1\].action.role is 'user'"),
    (("steps", 1, "action", "content"), ["d"], r"steps\[1\].action.content is"),
    (("steps", 0, "action", "tool_calls"), "x", r"steps\[0\].action.tool_calls is 'x'"),
    (("steps", 0, "action", "tool_calls", 0), {}, r"steps\[0\].action.tool_calls\[0\] is"),
    (("steps", 0, "action", "tool_calls", 0, "arguments"), 5, r"steps\[0\].action.tool_calls\[0\].arguments is 5"),
    (("steps", 0, "action", "tool_calls", 0, "id"), 5, r"steps\[0\].action.tool_calls\[0\].id is 5"),
    (("steps", 1, "reward"), "1", r"steps\[1\].reward is '1'"),
    (("steps", 1, "reward"), True, r"steps\[1\].reward is True"),
    (("steps", 1, "reward"), 10**400, r"steps\[1\].reward is 1000"),
    (("steps", 1, "terminated"), "no", r"steps\[1\].terminated is 'no'"),
    (("steps", 1, "info"), [], r"steps\[1\].info is \[\]"),
    (("outcome",), "won", "outcome is 'won'"),
    (("outcome", "success"), "no", "outcome.success is 'no'"),
    (("outcome", "score"), "1", "outcome.score is '1'"),
    (("outcome", "score"), 10**400, "outcome.score is 1000"),
    (("outcome", "metrics"), {"m": 10**400}, r"outcome.metrics\['m'\] is 1000"),
    (("outcome", "error"), {"type": "x"}, "outcome.error.boundary is None"),
    (("meta",), [1], r"meta is \[1\]"),
    (("meta", "weight"), -1, "meta.weight is -1"),
    (("meta", "weight"), "heavy", "meta.weight is 'heavy'"),
    (("meta", "weight"), 10**400, "meta.weight is 1000"),
]


@pytest.mark.parametrize(("place", "value", "problem"), HARMS)
def test_a_bad_field_of_a_whole_trajectory_is_named_and_the_others_are_read(
    tmp_path: Path, place: tuple[Any, ...], value: Any, problem: str
) -> None:
    good = stored(WHOLE.to_json())
    bad = stored(WHOLE.to_json())
    spot = bad
    for key in place[:-1]:
        spot = spot[key]
    spot[place[-1]] = value
    path = tmp_path / "in.jsonl"
    for rows in ([good, bad, good], [{"trajectory": json.dumps(one)} for one in (good, bad, good)]):
        path.write_text("\n".join(map(json.dumps, rows)))
        with pytest.warns(BadRecordWarning, match=rf"in\.jsonl, line 2, record 2: {problem}"):
            assert list(load_episodes(path)) == [WHOLE, WHOLE]


@pytest.mark.parametrize("column", ["{", "[1]", "3", [1], 3])
def test_a_column_that_is_not_a_trajectory_is_told(tmp_path: Path, column: Any) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"trajectory": column}))
    with pytest.raises(UsageError, match=r"line 1, record 1: trajectory is .*expected a whole trajectory as JSON text"):
        list(load_episodes(path))


def filled(value: Any, keys: tuple[str, ...]) -> Any:
    """Fill objects with nulls for the keys that they do not have, as data sets and data frames do."""
    if isinstance(value, list):
        return [filled(one, keys) for one in value]
    return {**dict.fromkeys(keys), **{k: filled(v, keys) for k, v in value.items()}} if isinstance(value, dict) else value


RECORD_KEYS = (
    "item_id",
    "id",
    "conversations",
    "messages",
    "system",
    "tools",
    "reward",
    "success",
    "error",
    "weight",
    "metrics",
)
RECORD_KEYS += ("env_id", "split", "task_key", "final_observation", "steps", "outcome", "trajectory", "episode_id", "agent")
TURN_KEYS = ("from", "role", "value", "content", "loss", "weight", "tool_calls", "tool_call_id", "name", "reasoning", "id")
TURN_KEYS += ("reasoning_content", "function", "type")


@settings(max_examples=100, deadline=None)
@given(episode=episodes(), form=st.sampled_from(list(FORMS)))
def test_a_null_column_is_one_that_is_not_there(episode: Trajectory, form: str) -> None:
    record = stored(FORMS[form](episode))
    key = "messages" if "messages" in record else "conversations"
    turns = filled(record[key], TURN_KEYS)
    for turn, said in zip(turns, record[key], strict=True):
        for call, written in zip(turn["tool_calls"] or (), said.get("tool_calls", ()), strict=True):
            call["function"]["arguments"] = written["function"]["arguments"]
    null = {**dict.fromkeys(RECORD_KEYS), **record, key: turns}
    assert episode_of(null, "n") == episode_of(record, "n")
    bare = {**record, "tools": [{**tool["function"], "function": None, "type": None} for tool in episode.tools]}
    assert [one["function"]["name"] for one in episode_of(bare).tools] == [one["function"]["name"] for one in episode.tools]


@pytest.mark.parametrize("key", sorted(WHOLE.to_json().keys() - {"episode_id", "env_id", "task", "steps", "outcome"}))
def test_a_null_of_a_whole_trajectory_is_a_field_that_is_not_there(key: str) -> None:
    without = {name: value for name, value in WHOLE.to_json().items() if name != key}
    assert episode_of({**without, key: None}) == Trajectory.from_json(without)
    step = {"observation": "a", "action": {"role": "assistant", "content": "b"}}
    null = {**step, "action": {**step["action"], **dict.fromkeys(("tool_calls", "raw", "media", "provider", "name", "error"))}}
    null |= dict.fromkeys(("reward", "terminated", "info", "seat"))
    outcome = {"success": True, "metrics": None, "error": None, "stop_reason": None}
    assert episode_of({**without, "steps": [null], "outcome": outcome}) == Trajectory.from_json(
        {**without, "steps": [step], "outcome": {"success": True}}
    )


@settings(max_examples=50, deadline=None)
@given(order=st.permutations(range(3)))
def test_results_belong_to_the_calls_that_their_ids_name(order: list[int]) -> None:
    calls = [{"id": f"c{k}", "type": "function", "function": {"name": "get", "arguments": "{}"}} for k in range(3)]
    results = [{"role": "tool", "tool_call_id": f"c{k}", "content": f"result {k}"} for k in order]
    asked = [{"role": "user", "content": "o"}, {"role": "assistant", "content": None, "tool_calls": calls}]
    read = episode_of({"messages": [*asked, *results, {"role": "assistant", "content": "done"}]})
    noted = [(one["call_id"], one["content"]) for one in read.steps[0].info["tool_results"]]
    assert noted == [(f"c{k}", f"result {k}") for k in range(3)]
    assert [one.content for one in read.messages() if one.role == "tool"] == [f"result {k}" for k in range(3)]


@pytest.mark.parametrize("then", [None, *REWRITTEN])
def test_a_system_message_in_the_middle_is_seen_where_it_stands(then: str | None) -> None:
    said = [("system", "S"), ("system", "T"), ("user", "a"), ("assistant", "b"), ("system", "now"), ("user", "c")]
    said += [("assistant", "d"), ("system", "end")]
    record: dict[str, Any] = {"id": "x", "messages": [{"role": role, "content": text} for role, text in said]}
    if then:
        record = stored(REWRITTEN[then](Conversation.from_record(record)))
    read = episode_of(record)
    assert [(step.observation, step.action.content) for step in read.steps] == [("a", "b"), ("now\nc", "d")]
    assert (read.instructions, read.final_observation) == ("S\n\nT", "end")


def test_a_column_is_the_instructions_where_no_system_message_opens_the_dialogue() -> None:
    turns = [*TURNS, {"from": "system", "value": "now"}, TURNS[1]]
    read = episode_of({"id": "x", "conversations": turns, "system": "S"})
    assert (read.instructions, [step.observation for step in read.steps]) == ("S", ["a", "now"])


def test_folders_and_files_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="There is no file"):
        list(load_episodes(tmp_path / "absent.json"))
    pytest.importorskip("datasets")
    with pytest.raises(UsageError, match="is not a data set"):
        list(load_episodes(tmp_path))
