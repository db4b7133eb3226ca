"""The record of the procedural builder: its page, and its first rows made again."""

import json

from experiments.toolforge.builder.run import ROWS, row_of, table
from palaestra.envs.toolforge.build import build_many
from palaestra.envs.toolforge.graph import SCENARIOS

RECORDED = [json.loads(line) for line in ROWS.read_text("utf-8").splitlines()]


def test_the_page_has_the_tables_of_the_rows() -> None:
    assert table(RECORDED) in ROWS.with_name("README.md").read_text("utf-8")


def test_the_first_rows_are_made_again() -> None:
    """An instance that changes needs another version of the builder, and new rows."""
    for scenario in SCENARIOS:
        before = [row for row in RECORDED if row.get("scenario") == scenario]
        assert len(before) == 50
        assert [row_of(instance) for instance in build_many("paper_like", scenario=scenario, count=4)] == before[:4]


def test_the_recorded_agents_got_what_was_promised() -> None:
    rows = [row for row in RECORDED if "scenario" in row]
    assert all(row["golden"] == row["nodes"] and row["whole"] == row["echo"] == 0 for row in rows)
    for scenario in SCENARIOS:
        own = [row for row in rows if row["scenario"] == scenario]
        f1 = [2 * row["quoted"] / (row["quoted_calls"] + row["nodes"]) for row in own]
        assert sum(f1) / len(f1) <= 0.25
    assert sum(row["otherwise"] for row in rows) >= 0.99 * sum(row["otherwise_calls"] for row in rows)
    assert next(row for row in RECORDED if row.get("timed") == 1000)["cpu_s"] <= 30
