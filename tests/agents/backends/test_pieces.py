"""The parts of a message come back in their order, and nothing is lost whatever lies where the order should."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaestra.agents.backends.pieces import Piece, arguments_object, laid_over, message_of, pieces_of, safe_name
from palaestra.types import Message, ToolCall

CALLS = (ToolCall("look", {"at": 1}, "a"), ToolCall("get", {}, "b"))
SIGNED = {"signature": "SIG"}

words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | words, lambda inner: st.lists(inner, max_size=3), max_leaves=4
)
items = (
    values
    | st.tuples(st.sampled_from(["text", "call", "opaque", "other"]), values | st.just(SIGNED)).map(list)
    | st.sampled_from(
        [["text", 5], ["text", 0], ["call", 0], ["call", 1], ["opaque", SIGNED], ["opaque", SIGNED, 1], ["text"], "te"]
    )
)


def said_of(pieces: list[Piece]) -> tuple[str, tuple[ToolCall | None, ...]]:
    """Return the text and the calls of some parts."""
    return "".join(piece.text for piece in pieces), tuple(piece.call for piece in pieces if piece.kind == "call")


@given(
    order=values | st.lists(items, max_size=5), content=st.sampled_from(["", "hello", "héllo wörld"]), number=st.integers(0, 2)
)
@example(order=[["text", 5], ["text"]], content="hello", number=0)
@example(order=[["call", 0], 7], content="", number=1)
@example(order=["", ["call", 0], ["call", 1]], content="", number=2)
def test_whatever_the_order_is_the_text_and_each_call_go_back_once(order: Any, content: str, number: int) -> None:
    calls = CALLS[:number]
    pieces = pieces_of(Message("assistant", content, calls, provider={"api": order}), "api")
    assert said_of(pieces) == (content, calls)
    opaque = [piece for piece in pieces if piece.kind == "opaque"]
    kept = (
        [item for item in order if isinstance(item, list) and item[:1] == ["opaque"] and item[1:] == [SIGNED]]
        if isinstance(order, list)
        else []
    )
    assert [piece.own for piece in opaque if piece.own] == [SIGNED] * len(kept)


@pytest.mark.parametrize(
    "order",
    [
        [["opaque", SIGNED], ["text", 5], ["call", 0]],
        [["opaque", SIGNED], ["text", 5], ["call", 0], ["call", 0]],
        [["opaque", SIGNED], ["text", 4], ["call", 0], ["call", 1]],
        [["opaque", SIGNED], ["text", 6], ["call", 0], ["call", 1]],
        [["opaque", SIGNED], ["text", 5], ["call", 1], ["call", 0]],
        [["opaque", SIGNED], ["text", -1], ["text", 6], ["call", 0], ["call", 1]],
        [["opaque", SIGNED], ["text", "5"], ["call", 0], ["call", 1]],
        [["opaque", SIGNED], ["call", 0], ["call", 1], ["text", 5], ["call"]],
        [["call", 0], ["call", 1], ["text", 5], ["opaque", SIGNED], ["opaque"]],
        [["call", 0], ["call", 1], ["text", 5], ["opaque", SIGNED], ["opaque", 3]],
        [["call", 0], ["call", 1], ["text", 5], ["opaque", SIGNED], "te"],
    ],
)
def test_an_order_of_another_text_or_other_calls_is_left(order: Any) -> None:
    pieces = pieces_of(Message("assistant", "hello", CALLS, provider={"api": order}), "api")
    assert pieces == [
        Piece("opaque", own=SIGNED),
        Piece("text", "hello"),
        *(Piece("call", call=call) for call in CALLS),
    ]


def test_an_order_that_fits_is_kept() -> None:
    order: list[Any] = [["call", 0], ["text", 2, SIGNED], ["opaque", {"data": "E"}], ["text", 3], ["call", 1]]
    message = Message("assistant", "hello", CALLS, provider={"api": order})
    assert pieces_of(message, "api") == [
        Piece("call", call=CALLS[0]),
        Piece("text", "he", own=SIGNED),
        Piece("opaque", own={"data": "E"}),
        Piece("text", "llo"),
        Piece("call", call=CALLS[1]),
    ]
    plain = [Piece("text", "hello"), *(Piece("call", call=call) for call in CALLS)]
    assert pieces_of(message, "another") == plain
    assert pieces_of(Message("assistant", "", CALLS), "api") == plain[1:]


parts = st.lists(
    st.builds(lambda text: Piece("text", text), words)
    | st.builds(lambda text: Piece("text", text, own=SIGNED), words)
    | st.builds(lambda text: Piece("opaque", own={"data": text}), words)
    | st.builds(lambda own: Piece("call", own=own), st.sampled_from([{}, SIGNED])),
    max_size=6,
)


@given(parts)
def test_what_a_model_wrote_comes_back_part_by_part(drawn: list[Piece]) -> None:
    pieces = [
        Piece("call", call=ToolCall("look", {"at": i}, f"c{i}"), own=piece.own) if piece.kind == "call" else piece
        for i, piece in enumerate(drawn)
    ]
    message = message_of(pieces, "api", reasoning="why")
    assert message.reasoning == "why"
    back = pieces_of(message, "api")
    assert [(piece.kind, piece.text, piece.own) for piece in back] == [(piece.kind, piece.text, piece.own) for piece in pieces]
    assert [piece.call.id for piece in back if piece.call] == [piece.call.id for piece in pieces if piece.call]
    is_plain = all(piece.kind == "call" or not piece.own for piece in pieces) and [piece.kind for piece in pieces] == sorted(
        (piece.kind for piece in pieces), reverse=True
    )
    assert bool(message.provider) == (not is_plain or sum(piece.kind == "text" for piece in pieces) > 1)


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"a": "é"}, {"a": "é"}),
        ({}, {}),
        ("[1]", {"arguments": "[1]"}),
        ("", {"arguments": ""}),
        ("\ud800x", {"arguments": "\ufffd\ufffd\ufffdx"}),
        ({"a": "\ud800"}, {"a": "\ufffd\ufffd\ufffd"}),
    ],
)
def test_arguments_are_an_object(arguments: Any, sent: Any) -> None:
    assert arguments_object(ToolCall("look", arguments, "a")) == sent


@pytest.mark.parametrize(
    ("name", "safe"),
    [("get_it-2", "get_it-2"), ("gét it", "g_t_it"), ("", "unreadable_call"), ("x" * 65, "x" * 64), ("AZaz09", "AZaz09")],
)
def test_a_name_has_the_characters_that_every_api_takes(name: str, safe: str) -> None:
    assert safe_name(name) == safe
    assert safe_name("y" * 200, 128) == "y" * 128


def test_fields_laid_over_win_and_none_takes_one_out() -> None:
    body = {"a": 1, "b": 2, "c": None}
    assert laid_over(body, {"b": None, "d": 4, "a": 0}) == {"a": 0, "c": None, "d": 4}
    assert body == {"a": 1, "b": 2, "c": None}
