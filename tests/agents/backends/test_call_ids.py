from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.backends import call_ids
from palaestra.agents.backends.call_ids import read_call_id, unique_call_ids
from palaestra.agents.backends.wire import request_body
from palaestra.agents.core import Request
from palaestra.types import Message, ToolCall

ids = st.sampled_from(["", "a", "call_0", "call_0_2", "ABCDEFGH1", "x" * 60])
turns = st.lists(st.lists(ids, max_size=4), max_size=6)


def dialogue(turns: list[list[str]]) -> list[Message]:
    messages = [Message("user", "go")]
    for number, row in enumerate(turns):
        calls = tuple(ToolCall("get", {"n": [number, i]}, name) for i, name in enumerate(row))
        messages.append(Message("assistant", "x", calls))
        messages += [Message("tool", f"{number} {i}", tool_call_id=name) for i, name in enumerate(row)] or [
            Message("user", "m")
        ]
    return messages


@given(turns)
def test_no_id_comes_twice_and_results_name_their_calls(turns: list[list[str]]) -> None:
    before = dialogue(turns)
    after = list(unique_call_ids(before))
    named = [call.id for message in after for call in message.tool_calls if call.id]
    assert len(set(named)) == len(named)
    assert all(len(name) <= 60 for name in named)
    owner = {call.id: call.arguments["n"] for message in after for call in message.tool_calls}  # type: ignore[index]
    for message in after:
        if message.role == "tool" and message.tool_call_id:
            assert "{} {}".format(*owner[message.tool_call_id]) == message.content
    assert [message.content for message in after] == [message.content for message in before]
    assert list(unique_call_ids(after)) == after


@given(turns, st.lists(ids, max_size=3))
def test_a_dialogue_that_grows_keeps_its_names(turns: list[list[str]], more: list[str]) -> None:
    before = dialogue(turns)
    fresh = not {name for row in turns for name in row} & {f"{name}_2" for name in more}
    if fresh:
        assert list(unique_call_ids(dialogue([*turns, more])))[: len(before)] == list(unique_call_ids(before))


def test_a_dialogue_without_repetition_is_left_alone() -> None:
    messages = dialogue([["a", "b"], ["c", ""]])
    assert unique_call_ids(messages) is messages


def test_ids_of_letters_and_digits_stay_ids_of_as_many_letters_and_digits() -> None:
    renamed = unique_call_ids(dialogue([["ABCDEFGH1"]] * 3))
    names = [call.id for message in renamed for call in message.tool_calls]
    assert len(set(names)) == 3
    assert all(name.isalnum() and len(name) == 9 for name in names)


@given(turns)
def test_requests_carry_each_id_once(turns: list[list[str]]) -> None:
    body = request_body("m", Request(tuple(dialogue(turns))))
    sent = [call["id"] for message in body["messages"] for call in message.get("tool_calls", ())]
    assert len(set(sent)) == len(sent)


NUMBER = 500
REPEATED = {
    "one id": ["call_0"] * NUMBER,
    "one digest": ["ABCDEFGH1"] * NUMBER,
    "ids that begin alike": [f"{'x' * 60}{n}" for n in range(NUMBER // 2)] * 2,
    "copies that are there": [*(f"a_{n}" for n in range(2, NUMBER // 2)), *["a"] * (NUMBER // 2)],
    "ids that are spelled alike": [f"c{chr(0x4E00 + n)}" for n in range(NUMBER)],
}


@pytest.mark.parametrize("name", REPEATED)
def test_the_work_grows_with_the_dialogue_and_not_with_its_square(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0
    fresh = call_ids._fresh

    def counted(identifier: str, number: int) -> str:
        nonlocal made
        made += 1
        return fresh(identifier, number)

    monkeypatch.setattr(call_ids, "_fresh", counted)
    after = unique_call_ids(dialogue([[one] for one in REPEATED[name]]), lambda text: text.encode("ascii", "replace").decode())
    named = [call.id for message in after for call in message.tool_calls]
    assert len(set(named)) == NUMBER if name != "copies that are there" else len(set(named)) == len(named)
    assert made <= 2 * NUMBER, "an id is tried about once, however often it comes"


@pytest.mark.parametrize(
    ("turns", "names", "results"),
    [
        ([("aa", "aaaa")], "a a_2", "a a_2 a_2 a_2"),
        ([("a", "a"), ("a", "a")], "a a_2", "a a_2"),
        ([("a", "a"), ("aba", "aab")], "a a_2 b a_3", "a a_2 a_3 b"),
        ([("ab", "ab"), ("ba", "abz")], "a b b_2 a_2", "a b a_2 b_2 z"),
        ([("aa", "a"), ("b", "a")], "a a_2 b", "a a"),
    ],
)
def test_results_of_one_id_answer_its_calls_in_their_order(turns: list[tuple[str, str]], names: str, results: str) -> None:
    messages = []
    for called, answered in turns:
        messages.append(Message("assistant", "", tuple(ToolCall("get", {}, name) for name in called)))
        messages += [Message("tool", "ok", tool_call_id=name) for name in answered]
    after = unique_call_ids(messages)
    assert " ".join(call.id for message in after for call in message.tool_calls) == names
    assert " ".join(message.tool_call_id for message in after if message.role == "tool") == results


@pytest.mark.parametrize(
    ("value", "seen", "read"),
    [
        ("a", set(), "a"),
        ("a", {"a"}, "f"),
        ("a", {"a", "f"}, "f_2"),
        ("a", {"a", "f", "f_2", "f_3"}, "f_4"),
        ("", set(), "f"),
        (None, {"f"}, "f_2"),
        (7, set(), "f"),
        ("\ud800b", set(), "?b"),
    ],
)
def test_an_id_of_a_server_is_taken_where_it_is_one_and_numbered_where_it_is_not(
    value: Any, seen: set[str], read: str
) -> None:
    before = set(seen)
    assert read_call_id(value, seen, "f") == read
    assert seen == before | {read}


@pytest.mark.parametrize(
    ("name", "second"), [("x_" * 30, "x_" * 19 + "_2"), ("y-" * 4, "y-" * 4 + "_2"), ("z_" * 20, "z_" * 19 + "_2")]
)
def test_a_copy_of_an_id_is_as_long_as_all_servers_take(name: str, second: str) -> None:
    after = unique_call_ids(dialogue([[name], [name]]))
    assert [call.id for message in after for call in message.tool_calls] == [name, second]


def test_spelled_ids_stay_apart_and_results_follow() -> None:
    messages = [
        Message("assistant", "", (ToolCall("get", {}, "a!"), ToolCall("get", {}, "a?"))),
        *(Message("tool", "ok", tool_call_id=name) for name in ("a?", "a!", "b!")),
    ]
    after = unique_call_ids(messages, lambda name: name.replace("!", "_").replace("?", "_"))
    assert [call.id for call in after[0].tool_calls] == ["a_", "a__2"]
    assert [message.tool_call_id for message in after[1:]] == ["a__2", "a_", "b_"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("a a_2 a a", "a a_2 a_3 a_4"),
        ("a a a_2 a", "a a_3 a_2 a_4"),
        ("a a_2 a_3 a", "a a_2 a_3 a_4"),
        ("a a_3 a a a", "a a_3 a_2 a_4 a_5"),
        ("a a b b a b", "a a_2 b b_2 a_3 b_3"),
        ("a a_2 a_2 a", "a a_2 a_2_2 a_3"),
        (f"{'x' * 50} {'x' * 49}y {'x' * 50} {'x' * 49}y", f"{'x' * 50} {'x' * 49}y {{}} {{}}"),  # digests: any two
        (f"{'-' * 38}a {'-' * 38}b {'-' * 38}a {'-' * 38}b", f"{'-' * 38}a {'-' * 38}b {'-' * 38}_2 {'-' * 38}_3"),
    ],
)
def test_a_copy_gets_the_least_number_that_no_id_of_the_dialogue_has(given: str, named: str) -> None:
    for turns in ([given.split()], [[name] for name in given.split()]):
        after = unique_call_ids(dialogue(turns))
        names = [call.id for message in after for call in message.tool_calls]
        digests = names[named.split().index("{}") :] if "{}" in named else []
        assert names == named.format(*digests).split()
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("a! a? a* a_", "a_ a__2 a__3 a__4"),
        ("a! a__2 a? a*", "a_ a__2 a__3 a__4"),
        ("a! a? a__2 a*", "a_ a__2 a__2_2 a__3"),
        ("a! b! a? b? a* b*", "a_ b_ a__2 b__2 a__3 b__3"),
    ],
)
def test_ids_that_are_spelled_alike_are_numbered_in_their_order(given: str, named: str) -> None:
    after = unique_call_ids(dialogue([given.split()]), lambda name: "".join("_" if c in "!?*" else c for c in name))
    assert [call.id for message in after for call in message.tool_calls] == named.split()
