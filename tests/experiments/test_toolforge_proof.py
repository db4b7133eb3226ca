"""The proof of ToolForge in small: agents of known worth on a few instances of each scenario."""

import pytest

from experiments.toolforge.proof.run import AGENTS, BOUNDS, faults, row_of, table
from palaestra.envs.toolforge.graph import SCENARIOS


@pytest.mark.parametrize("agent", AGENTS)
def test_agents_get_what_they_are_worth(agent):
    for scenario in SCENARIOS:
        row = row_of(agent, scenario, 3)
        assert row["episodes"] == 3 * len(AGENTS[agent])
        assert faults(row) == []
        assert scenario in table([row])


def test_a_bound_that_is_missed_is_named():
    row = row_of("guesser", "single_hop", 1)
    assert row["final_correct"] == 1
    assert faults({**row, "solve_recall": 0.5}) == ["guesser, single_hop: solve_recall is 0.5, expected 0 to 0"]
    assert {*BOUNDS} == {*AGENTS}
