"""Rows of data sets: what they give back renders, under every chat template that TRL ships, as the plain messages do."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.export.export import export_trajectories
from palaestra.agents.export.template_rows import chat_columns, exact_json
from palaestra.algorithms.trl.datasets import from_dataset, to_dataset
from palaestra.models.tiny_lm import train_tokenizer
from palaestra.types import Message, Outcome, Step, ToolCall, Trajectory

datasets = pytest.importorskip("datasets")
SPEC = find_spec("trl")
FOLDER = Path(str(SPEC.origin)).parent / "chat_templates" if SPEC else Path("chat_templates")
NAMES = sorted(path.stem for path in FOLDER.glob("*.jinja"))
needs_templates = pytest.mark.skipif(not NAMES, reason="TRL, which ships the templates, is not installed")
READ = datasets.Json().decode_example
GET: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get",
        "description": "Take.",
        "parameters": {"type": "object", "properties": {"item": {"type": "string", "description": "What."}}},
    },
}
ARGUMENTS: list[Any] = [
    {"item": "oak"},
    {},
    {"x": 0.0621217, "y": [-0.283901250610023, 3.797e-05, 1.0, -0.0], "z": 2**63 - 1},
    {"item": None, "deep": {"list": [], "none": {}, "text": ""}, "b": [True, False]},
    {"item": 'é "東" 🙂 </tool_call> \\ \n\t\u2028'},
]


def result(call: ToolCall, content: str) -> dict[str, Any]:
    return {"call_id": call.id, "name": call.name, "content": content}


def episode(name: str, calls: tuple[ToolCall, ...], instructions: str, reasoning: str, final: str) -> Trajectory:
    """Return an episode of one move (with native calls, if any) and one answer."""
    first = Message("assistant", "" if calls else "act0", calls, reasoning=reasoning)
    steps = (
        Step("obs0", first, info={"tool_results": [result(call, f"got {call.id}") for call in calls]} if calls else {}),
        Step("obs1", Message("assistant", "done"), 1.0, terminated=True),
    )
    return Trajectory(
        episode_id=name,
        env_id="x",
        task={"key": "k", "split": "train", "type": ""},
        instructions=instructions,
        tools=(GET,) if calls else (),
        steps=steps,
        final_observation=final,
        outcome=Outcome(1.0, True, "success"),
    )


def plain(trajectory: Trajectory) -> list[dict[str, Any]]:
    """Return its messages as somebody would write them by hand."""
    found: list[dict[str, Any]] = []
    if trajectory.instructions:
        found.append({"role": "system", "content": trajectory.instructions})
    found.append({"role": "user", "content": "obs0"})
    action = trajectory.steps[0].action
    answer: dict[str, Any] = {"role": "assistant", "content": action.content}
    if not action.tool_calls:
        if action.reasoning:
            answer["content"] = f"<think>\n{action.reasoning}\n</think>\n\n{action.content}"
        found += [answer, {"role": "user", "content": "obs1"}]
    else:
        if action.reasoning:
            answer["reasoning_content"] = action.reasoning
        answer["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in action.tool_calls
        ]
        found.append(answer)
        found += [
            {"role": "tool", "tool_call_id": call.id, "name": call.name, "content": f"got {call.id}"}
            for call in action.tool_calls
        ]
    found.append({"role": "assistant", "content": "done"})
    if trajectory.final_observation:
        found.append({"role": "user", "content": trajectory.final_observation})
    return found


EPISODES = [
    episode(f"{len(calls)}-{index}-{rules}-{thought}-{final}", calls, rules, thought, final)
    for index, arguments in enumerate(ARGUMENTS)
    for calls in ((), (ToolCall("get", arguments, "call00001"),), tuple(ToolCall("get", arguments, f"c{i}") for i in (1, 2)))
    for rules, thought, final in (("Rules.", "", ""), ("", "I think.", "the end"))
    if calls or not index
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both kinds of rows, once on disk and back."""
    folder = tmp_path_factory.mktemp("rows")
    export_trajectories(EPISODES, folder / "exported", "dataset")
    to_dataset(EPISODES).save_to_disk(str(folder / "made"))
    return {name: datasets.load_from_disk(str(folder / name)).to_list() for name in ("exported", "made")}


@needs_templates
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("source", ["exported", "made"])
def test_rows_render_as_the_plain_messages_do(name: str, source: str, rows: dict[str, Any]) -> None:
    tokenizer = train_tokenizer(["words"])
    tokenizer.chat_template = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")

    def rendered(messages: Any, tools: Any) -> str:
        refusal = ""
        # templates of models that see take contents as lists of parts, which their processors make
        in_parts = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in messages]
        for dialogue in (messages, in_parts):
            try:
                text = str(tokenizer.apply_chat_template(dialogue, tools=tools, tokenize=False, bos_token=""))
                if "obs0" in text:
                    return text
            except Exception as error:  # templates raise errors of many kinds
                refusal = f"refused: {type(error).__name__}"
        return refusal

    refused = 0
    for row, trajectory in zip(rows[source], EPISODES, strict=True):
        text = rendered(row["messages"], row["tools"])
        assert text == rendered(plain(trajectory), list(trajectory.tools) or None)
        refused += text.startswith("refused")
    assert refused < len(EPISODES), "no dialogue at all is rendered"


def test_absent_stays_absent(rows: dict[str, Any]) -> None:
    for row in (*rows["exported"], *rows["made"]):
        assert row["tools"] is None or row["tools"]
        for message in row["messages"]:
            assert all(value or key == "content" for key, value in message.items())
            assert all(isinstance(call["function"]["arguments"], dict) for call in message.get("tool_calls", ()))


def test_rows_come_back_as_episodes(rows: dict[str, Any]) -> None:
    for source in rows.values():
        for again, trajectory in zip(from_dataset(source), EPISODES, strict=True):
            assert [step.action.tool_calls for step in again.steps] == [step.action.tool_calls for step in trajectory.steps]
            assert again.tools == trajectory.tools


@pytest.mark.parametrize("arguments", ["{half", "[1]", {"n": 10**30}, {"n": 5e-324}])
def test_calls_that_are_not_objects_or_cannot_be_kept_are_text_and_the_user_shows_their_results(arguments: Any) -> None:
    calls = (ToolCall("get", {"item": "a"}, "c1"), ToolCall("get", arguments, "c2"))
    row = to_dataset([episode("e", calls, "", "", "")])[0]
    assert [message["role"] for message in row["messages"]] == ["user", "assistant", "user", "assistant"]
    said, shown = row["messages"][1]["content"], row["messages"][2]["content"]
    assert said.count("<tool_call>") == 2
    assert (arguments if isinstance(arguments, str) else json.dumps(arguments)) in said.replace('\\"', '"')
    assert shown == "<tool_response>\ngot c1\n</tool_response>\n<tool_response>\ngot c2\n</tool_response>"


def test_results_at_the_end_are_shown_too() -> None:
    whole = episode("e", (ToolCall("get", "{half", "c1"),), "", "", "")
    cut = replace(whole, steps=whole.steps[:1], final_observation="obs1")
    row = to_dataset([cut])[0]
    assert row["messages"][-1] == {"role": "user", "content": "<tool_response>\ngot c1\n</tool_response>"}


def test_numbers_of_schemas_are_rounded_rather_than_lost() -> None:
    schema = {
        **GET,
        "function": {**GET["function"], "parameters": {"type": "object", "maximum": 2**70, "minimum": [0.0621217]}},
    }
    row = to_dataset([replace(EPISODES[1], tools=(schema,))])[0]
    kept = row["tools"][0]["function"]["parameters"]
    assert kept["maximum"] == pytest.approx(2.0**70)
    assert kept["minimum"] == pytest.approx([0.0621217])


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(value=st.dictionaries(texts, values, max_size=3))
def test_json_is_read_back_exactly_or_not_written(value: dict[str, Any]) -> None:
    text = exact_json(value, READ)
    assert not text or READ(text) == json.loads(text) == value


def test_numbers_have_a_notation_that_is_read_right() -> None:
    stream = Random(0)
    numbers = [stream.uniform(-1, 1) * 10.0 ** stream.randint(-6, 12) for _ in range(1000)]
    changed = [number for number in numbers if exact_json({"n": number}, READ) == ""]
    assert len([number for number in numbers if READ(json.dumps(number)) != number]) > 100, "most are safe as they are"
    assert len(changed) <= len(numbers) // 100
    assert READ(exact_json({"n": 0.1 + 0.2}, READ)) == {"n": 0.1 + 0.2}


def test_halves_of_surrogate_pairs_become_question_marks() -> None:
    columns = chat_columns(episode("e", (ToolCall("get", {"item": "a\ud800"}, "c1"),), "", "", ""), READ)
    assert READ(columns["messages"][1])["tool_calls"][0]["function"]["arguments"] == {"item": "a?"}
