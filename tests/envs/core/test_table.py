"""The state of play between seats, exchange by exchange."""

from __future__ import annotations

from typing import Any

import pytest

from palaestra.envs.core.table import Exchange, Table
from palaestra.errors import EnvironmentFault


def laid() -> Table:
    return Table.laid(iter(["a", "b", "c"]), 7)


def test_nothing_has_happened_at_a_table_that_is_laid() -> None:
    table = laid()
    assert table == Table(7, [], {}, {"a": [], "b": [], "c": []}, {"a": 0, "b": 0, "c": 0}, {"a": 0.0, "b": 0.0, "c": 0.0}, [])
    assert (table.stop_reason, table.is_tick) == ("", False)
    assert all(type(score) is float for score in table.scores.values())
    assert table.inbox["a"] is not table.inbox["b"]


def test_what_is_told_is_heard_once_and_in_order() -> None:
    table = laid()
    table.take(Exchange(told={"a": "one", "b": "x"}))
    table.take(Exchange(told={"a": "two"}))
    assert table.waiting("a") == "one\ntwo"
    assert table.waiting("a") == "one\ntwo", "looking takes nothing away"
    assert table.hear("a") == "one\ntwo"
    assert (table.hear("a"), table.waiting("a"), table.hear("c")) == ("", "", "")
    assert table.hear("b") == "x"


def test_rewards_add_up_and_scores_are_set() -> None:
    table = laid()
    table.take(Exchange(rewards={"a": 1.0, "b": -0.5}))
    table.take(Exchange(rewards={"a": 2.0}, scores={"c": 9}))
    assert table.scores == {"a": 3.0, "b": -0.5, "c": 9.0}
    assert type(table.scores["c"]) is float
    table.take(Exchange(rewards={"c": 1.0}, scores={"c": 2.0}))
    assert table.scores["c"] == 2.0, "a score that is said counts, whatever was added"


def test_who_acts_who_has_won_and_why_it_ended_are_those_of_the_last_exchange() -> None:
    table = laid()
    table.take(Exchange(next=("b", "a", "b"), won=("c",), stop_reason="env_done"))
    assert (table.acting, table.won, table.stop_reason) == (["b", "a"], ["c"], "env_done")
    assert table.is_tick
    table.take(Exchange(next=("a",)))
    assert (table.acting, table.won, table.stop_reason, table.is_tick) == (["a"], [], "", False)
    table.sealed = {"b": None}
    assert table.is_tick, "one is left of a tick"


@pytest.mark.parametrize(
    "exchange",
    [
        Exchange(told={"z": "x"}),
        Exchange(rewards={"z": 1.0}),
        Exchange(scores={"z": 1.0}),
        Exchange(next=("a", "z")),
        Exchange(won=("z",)),
        Exchange(won=("zz",), next=("z",)),
    ],
)
def test_a_seat_that_does_not_exist_is_a_fault_of_the_environment(exchange: Exchange) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        laid().take(exchange)
    said = "An Exchange names the seat 'z'; the seats are a, b, c. Correct _open or _play."
    assert str(caught.value) == said


def test_a_table_comes_back_from_its_state() -> None:
    table = laid()
    table.take(Exchange(told={"a": "one"}, next=("a", "c"), rewards={"b": 2.0}, won=("b",), stop_reason="env_done"))
    table.sealed, table.turns["a"] = {"c": {"say": "hi"}, "a": None}, 3
    state: Any = table.to_json()
    assert set(state) == {"episode", "acting", "sealed", "inbox", "turns", "scores", "won", "stop_reason"}
    assert Table.from_json(state) == table
    for name in state:
        with pytest.raises(TypeError):
            Table.from_json({**state, name: 3.5})
    for name in state.keys() - {"stop_reason"}:
        with pytest.raises(TypeError):
            Table.from_json({key: value for key, value in state.items() if key != name})
