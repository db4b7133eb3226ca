"""What an episode remembers, and the figures that follow."""

import pytest

from palaestra.envs.toolforge.progress import MAX_REMEMBERED, METRICS, Tally, measures, reward_of_answer, solved_of
from palaestra.types import ToolCall, ToolResult
from tests.envs.toolforge.made import chain, made


def test_a_tally_counts_and_comes_back():
    tally = Tally()
    calls = [ToolCall("a", {"x": 1}), ToolCall("a", {"x": 1}), ToolCall("a", "{\ud800")]
    tally.note(calls, [ToolResult("a", "", "ok"), ToolResult("a", "", "error"), ToolResult("a", "", "invalid_arguments")])
    tally.note(calls[:1], [ToolResult("a", "", "ok")])
    assert (tally.turns, tally.calls, tally.failed, tally.redundant, tally.widest) == (2, 4, 2, 2, 3)
    assert Tally.from_json(tally.to_json()) == tally
    tally.note([ToolCall("b", {"x": index}) for index in range(2 * MAX_REMEMBERED)], [])
    assert len(tally.seen) == MAX_REMEMBERED


@pytest.mark.parametrize("changes", [{"calls": -1}, {"calls": "1"}, {"more": 1}, {"seen": [1]}, {"final_correct": 1}])
def test_what_is_not_a_tally_is_refused(changes):
    with pytest.raises(TypeError):
        Tally.from_json({**Tally().to_json(), **changes})


@pytest.mark.parametrize("data", [{"n9": [0, 0]}, {"n1": [0]}, {"n1": [0, -1]}, {"n1": "0"}, [], None])
def test_what_is_not_solved_nodes_is_refused(data):
    with pytest.raises(TypeError):
        solved_of(made(chain()), data)


def test_every_declared_measure_has_a_value():
    found = measures(made(chain()), {"n2": [0, 0], "n1": [0, 1]}, Tally(calls=4), no_calls=0.0)
    assert list(found) == [metric.name for metric in METRICS]
    assert (found["solve_recall"], found["solve_ordered"], found["solve_precision"]) == (1, 0.5, 0.5)
    assert measures(made(chain()), {}, Tally(), no_calls=1.0)["solve_precision"] == 1


@pytest.mark.parametrize(
    ("is_correct", "num_open", "free", "no_free"),
    [(True, 0, 1, 1), (True, 1, 0.5, 0), (False, 0, 0.5, 0.5), (False, 2, 0, 0)],
)
def test_rewards_of_answers(is_correct, num_open, free, no_free):
    assert reward_of_answer(is_correct=is_correct, num_open=num_open, no_free_guess=False) == free
    assert reward_of_answer(is_correct=is_correct, num_open=num_open, no_free_guess=True) == no_free
