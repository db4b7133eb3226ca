"""The record of experts and random play on AgentGym's worlds: its page, and its first rows played again."""

import json
from itertools import islice

import pytest

from experiments.agentgym.experts.run import PLAYERS, ROWS, played, table
from palaestra.envs.registration import missing

RECORDED = [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]
NUM_TASKS = 4


def test_the_page_has_the_table_of_the_rows() -> None:
    assert table(RECORDED) in ROWS.with_name("README.md").read_text("utf-8")
    assert {(row["env"], row["player"]) for row in RECORDED} == {(name, player) for name, player, _ in PLAYERS}


@pytest.mark.parametrize(("name", "player", "arguments"), PLAYERS)
def test_the_first_tasks_are_played_as_recorded(name: str, player: str, arguments: dict[str, str]) -> None:
    if lack := missing(f"palaestra/{name}-v0"):
        pytest.skip(lack)
    recorded = (row for row in RECORDED if (row["env"], row["player"]) == (name, player))
    rows = list(played(name, player, arguments, NUM_TASKS))
    assert len(rows) == NUM_TASKS
    for row, before in zip(rows, islice(recorded, NUM_TASKS), strict=True):
        assert {**row, "cpu_s": 0} == {**before, "cpu_s": 0}
