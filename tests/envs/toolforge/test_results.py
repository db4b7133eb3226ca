"""The paper's table of stored episodes."""

import pytest

from palaestra.envs.toolforge.results import forge_results
from palaestra.results.tables import Arm
from palaestra.types import EpisodeError, Outcome, Trajectory


def episode(key, scenario, f1, success, error=None):
    measured = {
        "solve_f1": f1,
        "solve_precision": f1,
        "solve_recall": f1,
        "solve_ordered": f1,
        "final_correct": float(success),
    }
    outcome = Outcome(error=error) if error else Outcome(float(success), success, metrics=measured)
    return Trajectory(f"{key}-{f1}", "palaestra/ToolForge-v0", {"key": key, "type": scenario}, outcome=outcome)


def test_means_over_tasks_by_scenario_next_to_the_published_figures():
    episodes = [
        episode("a", "single_hop", 1.0, True),
        episode("a", "single_hop", 0.0, False),
        episode("b", "single_hop", 1.0, True),
        episode("c", "multi_hop", 0.5, False),
        episode("d", "multi_hop", 0.0, False, EpisodeError("environment", "E", "broke")),
    ]
    found = forge_results([Arm("", "one", "palaestra/ToolForge-v0", name="one", episodes=episodes)])
    rows = {row[1]: row for row in found.tables[0].rows}
    assert list(rows) == ["single_hop", "multi_hop", "all"]
    assert rows["single_hop"][2:] == ("3", "75.0", "75.0", "75.0", "75.0", "75.0", "75.0", rows["single_hop"][-1])
    assert rows["multi_hop"][2:5] == ("1", "50.0", "50.0")
    assert rows["multi_hop"][-1] == "-"
    assert rows["all"][5] == f"{100 * (0.5 + 1 + 0.5) / 3:.1f}"
    published = {(row[0], row[1]): row[2:] for row in found.tables[1].rows}
    assert published["GPT", "4o"] == ("33.43", "42.01", "33.39")
    assert found.to_json()["arms"][0]["solve_f1"] == pytest.approx(0.75)


def test_nothing_played_is_no_table():
    assert forge_results([]).tables == ()
    assert forge_results([Arm("", "one", "palaestra/ToolForge-v0", name="one")]).tables == ()
