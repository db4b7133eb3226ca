"""The published scorer: against its own outputs, and by hand."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.toolforge.executors import ERROR, published_runner
from palaestra.envs.toolforge.published import answer_verify, parse_qwen, play, stripped, turn_reward
from palaestra.errors import UsageError
from tests.envs.toolforge.published_data import rows

PREFIX = ERROR.partition("{")[0]
SOURCE = """
def find(word, again=False):
    if word == 'raise':
        raise KeyError(word)
    return {'a': 1} if word == 'dict' else [1, 'é'] if word == 'list' else {'x'} if word == 'set' else word
"""
ROW: dict[str, Any] = {
    "messages": [{"role": "user", "content": "?"}],
    "codes": {
        "find": SOURCE,
        "broken": "def broken(:",
        "absent": "x = 1",
        "late": "def late():\n    return 1\nraise ValueError('no')",
    },
    "unsolved_set": {"find": ["one", "two", "one"]},
    "solve_rate": 0.0,
    "answer": "Two",
}


@pytest.fixture(scope="module")
def runner():
    found = published_runner()
    yield found
    found.close()


def instances() -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows("test.jsonl")}


def reference(name: str) -> list[dict[str, Any]]:
    if not (found := rows(f"reference/{name}")):
        pytest.skip(f"no reference/{name} in the folders named by PALAESTRA_FIXTURES")
    return found


def agrees(one: Any, other: Any) -> bool:
    """Whether two values are equal, numbers to 1e-9."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(agrees(one[key], other[key]) for key in one)
    if isinstance(one, float) or isinstance(other, float):
        return one == pytest.approx(other, abs=1e-9)
    return one == other


@pytest.mark.parity
def test_answer_verify_agrees():
    wrong = [
        row["id"]
        for row in reference("answer_verify.jsonl")
        if answer_verify(row["predict"], row["golden"]) != row["expected"]
    ]
    assert wrong == []


@pytest.mark.parity
def test_parse_qwen_agrees():
    for row in reference("parse_qwen.jsonl"):
        assert parse_qwen(row["text"], row["one_tool_only"]) == row["expected"], row["id"]


@pytest.mark.parity
def test_turn_reward_agrees(runner):
    found = instances()
    wrong = []
    for row in reference("turn_reward.jsonl"):
        given = {**row, "codes": found[row["instance"]]["codes"]}
        if not agrees(turn_reward(given, row["response"], runner=runner), row["expected"]):
            wrong.append(row["id"])
    assert wrong == []


@pytest.mark.parity
def test_episodes_agree(runner):
    found = instances()
    wrong = []
    for row in reference("episode.jsonl"):
        result, expected = play(found[row["instance"]], row["turns"], row["max_turns"], runner=runner), row["expected"]
        texts = zip(result["feedback"], expected["feedback"], strict=True)
        same = all(a.startswith(PREFIX) if b.startswith(PREFIX) else a == b for a, b in texts)
        rest = [key for key in expected if key != "feedback"]
        if not same or not all(agrees(a, b) for key in rest for a, b in pairs(result[key], expected[key])):
            wrong.append(row["id"])
    assert wrong == []


def pairs(one: Any, other: Any) -> list[tuple[Any, Any]]:
    """Return two values side by side, item by item for lists."""
    return list(zip(one, other, strict=True)) if isinstance(other, list) else [(one, other)]


@pytest.mark.parity
def test_every_published_call_that_was_found_solves_its_answer(runner):
    found = instances()
    for row in reference("../oracle_calls.jsonl"):
        codes = {k: {"kind": "python", "source": v} for k, v in json.loads(found[row["id"]]["codes"]).items()}
        for call in row["calls"]:
            _, text = runner.call_as_published(codes, call["tool"], json.dumps(call["arguments"], ensure_ascii=False))
            assert answer_verify(text, call["solves"]), (row["id"], call["tool"])
            assert text == call["output"], (row["id"], call["tool"])


@pytest.mark.parametrize(
    ("predict", "golden", "verdict"),
    [
        ("It is 2007-10-10.", "2007-10-10", True),
        ({"k": "Prüm"}, "prüm", True),
        (["a", 1], "1, A", True),
        (True, "true", True),
        (("a",), "('a')", True),
        (None, "none", True),
        ("anything", "", True),
        ("", "x", False),
        ("1 024", "1,024", False),
    ],
)
def test_answer_verify_by_hand(predict, golden, verdict):
    assert answer_verify(predict, golden) is verdict


def call_text(name: Any, **arguments: Any) -> str:
    return "<tool_call>" + json.dumps({"name": name, "arguments": arguments}) + "</tool_call>"


def test_prose_between_blocks_hides_the_next_block():
    text = f"thought {call_text('a')} and {call_text('b')}\n{call_text('c')}"
    message = parse_qwen(text)
    assert message["content"] == "thought"
    assert [call["function"]["name"] for call in message["tool_calls"]] == ["a", "c"]


@pytest.mark.parametrize(
    ("piece", "arguments"),
    [
        ('{"name": "f", "arguments": "{\\"x\\": 1}"}', '{"x": 1}'),
        ('{"name": "f", "arguments": "5"}', "5"),
        ('tool_call {"name": "f", "arguments": {}}', "{}"),
        ('{"name": "f", "arguments": {"x": NaN}}', '{"x": NaN}'),
        ('{"name": "f", "arguments": 5}', None),
        ('{"name": "f"}', None),
        ('{"name": [], "arguments": {}}', None),
        ("[1]", None),
        ("[" * 100_000, None),
    ],
)
def test_what_a_piece_holds(piece, arguments):
    calls = parse_qwen(f"<tool_call>{piece}</tool_call>")["tool_calls"]
    assert calls == (None if arguments is None else [{"type": "function", "function": {"arguments": arguments, "name": "f"}}])


@given(st.text(st.sampled_from('<tool_call>{}"name: f,arguments/[] \n'), max_size=80), st.booleans())
def test_any_text_is_read_as_content_or_calls(text, one_tool_only):
    message = parse_qwen(text, one_tool_only)
    assert message["tool_calls"] is None or message["tool_calls"]
    assert message["content"] == message["content"].strip()
    assert message["content"] in text


def test_marks_at_the_end_are_taken_off_once_each():
    assert stripped(" a <|im_end|> <|endoftext|> ") == "a"
    assert stripped("a<|endoftext|><|im_end|>") == "a<|endoftext|>"
    assert stripped("a<|im_end|><|im_end|>") == "a<|im_end|>"


@pytest.mark.parametrize(
    ("response", "rewards"),
    [
        (call_text("find", word="one"), (1, 1, 1, 1)),
        (call_text("find", word="one") * 2, (4 / 3, 1, 2, 2)),
        (call_text("find", word="two") * 2, (2 / 3, 0.5, 1, 0.5)),
        (call_text("find", one=1), (1, 1, 1, 1)),
        (call_text("find", word="nothing"), (0, 0, 0, 0)),
        ("<|im_end|>", (-0.5,) * 4),
        ("<tool_call>{", (-0.3,) * 4),
        ("the <tool_parsed_response>", (-0.3,) * 4),
        ("It is two.", (0.25,) * 4),
        ("no idea", (0,) * 4),
        (call_text(["find"], word="one"), ({"raises": "TypeError"},) * 4),
    ],
)
def test_turn_reward_by_hand(runner, response, rewards):
    before = json.dumps(ROW)
    found = turn_reward(ROW, response, runner=runner)
    assert agrees(found, dict(zip(("solve_f1", "solve_precision", "solve_rate", "solve_pr"), rewards, strict=True)))
    assert json.dumps(ROW) == before


def test_a_message_after_everything_is_solved(runner):
    solved = {**ROW, "unsolved_set": '{"find": []}', "solve_rate": 1.0}
    assert turn_reward(solved, "two", runner=runner)["solve_f1"] == 1
    assert turn_reward(solved, "three", runner=runner)["solve_f1"] == 0.5
    assert turn_reward({**solved, "answer": None}, "three", runner=runner)["solve_f1"] == 0.5


def test_the_order_of_the_expected_answers_decides(runner):
    row = {**ROW, "unsolved_set": {"find": ["1", "12"]}}
    assert turn_reward(row, call_text("find", word="12") + call_text("find", word="1"), runner=runner)["solve_rate"] == 1
    row = {**ROW, "unsolved_set": {"find": ["12", "1"]}}
    assert turn_reward(row, call_text("find", word="12") + call_text("find", word="1"), runner=runner)["solve_rate"] == 2


@pytest.mark.parametrize(
    ("name", "arguments", "status", "text"),
    [
        ("find", '{"word": "dict"}', "ok", '{"a": 1}'),
        ("find", '{"word": "list"}', "ok", '[1, "é"]'),
        ("find", '{"word": "set"}', "ok", "{'x'}"),
        ("find", '{"word": 2.0}', "ok", "2.0"),
        ("find", '{"word": null}', "ok", "None"),
        ("find", '{"word": NaN}', "ok", "nan"),
        ("find", '{"word": "raise"}', "error", "'raise'"),
        ("find", "{}", "error", "find() missing 1 required positional argument: 'word'"),
        ("find", '{"wörd": 1}', "error", "find() got an unexpected keyword argument 'wörd'"),
        ("find", "5", "error", "argument after ** must be a mapping, not int"),
        ("find", "{bad", "invalid_arguments", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("none", "{}", "unknown_tool", "'none'"),
        ("broken", "{}", "error", "<string>, line 1"),
        ("absent", "{}", "error", "name absent is not defined"),
        ("late", "{}", "error", "no"),
    ],
)
def test_status_and_text_of_calls(runner, name, arguments, status, text):
    codes = {key: {"kind": "python", "source": source} for key, source in ROW["codes"].items()}
    found = runner.call_as_published(codes, name, arguments)
    assert found[0] == status
    assert found[1].endswith(text) if status == "ok" else text in found[1]
    assert found[1].startswith(f"{PREFIX}{name}: ") == (status != "ok")


def test_an_episode_by_hand(runner):
    turns = [
        {"content": "", "tool_calls": [{"name": "find", "arguments": {"word": "one"}}, {"name": "find", "arguments": "{"}]},
        {"content": "", "tool_calls": [{"name": "find", "arguments": {"word": "one two"}}]},
    ]
    found = play(ROW, turns, runner=runner)
    assert found["metrics"] == {"solve_precision": 2 / 3, "solve_rate": 2 / 3, "solve_f1": 4 / 6}
    assert found["n_messages"] == 7
    assert [one["unsolved_set"] for one in found["snapshots"]] == [{"find": ["two", "one"]}, {"find": ["one"]}]
    assert found["snapshots"][-1]["n_messages"] == 6
    assert play(ROW, turns, 1, runner=runner)["n_messages"] == 4
    assert play(ROW, [], runner=runner)["metrics"] == {"solve_precision": 1.0, "solve_rate": 0.0, "solve_f1": 0.0}
    with pytest.raises(UsageError, match="expects no answers"):
        play({**ROW, "unsolved_set": {"find": []}}, turns, runner=runner)
