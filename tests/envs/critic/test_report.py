"""Means in the paper's columns, and breakdowns."""

import json

import pytest

from palaestra.envs.critic import behaviours, breakdown, overall, paper_columns
from palaestra.envs.critic.report import COLUMNS, published_numbers, published_table, tables
from palaestra.envs.critic.scoring import score
from tests.envs.critic.made_items import FAILED, external, internal, said
from tests.envs.critic.published_data import published_results

NAMES = ("detect", "category", "correct_tool", "correct_args", "retry", "break", "skip_tool", "skip_args")
SELECT = "tool_select_error"


@pytest.mark.parametrize("table", ["base_vs_evolved", "base_vs_evolved_cot"])
def test_overall_recomputes_for_every_published_model(table):
    found = published_results()[table]
    for row in found["rows"]:
        values = dict(zip(found["columns"], row, strict=True))
        columns = {column: values[f"{name}_base"] for column, name in zip(COLUMNS, NAMES, strict=True)}
        assert overall(columns) == pytest.approx(values["overall_base"], abs=0.15), values["model"]


def test_the_numbers_of_the_paper_are_those_of_its_table():
    found = published_results()["main"]
    assert [[row["model"], *row["values"]] for row in published_numbers()["rows"]] == found["rows"]
    assert len(published_table().rows) == len(found["rows"])


def test_columns_are_means_over_items_and_modes():
    retry = json.dumps(FAILED)
    scored = [
        score(internal(), [said(error=SELECT)], "internal"),
        score(internal(label=""), [said(error=SELECT)], "internal"),
        score(external(), [retry, said()], "skip"),
        score(external(), [retry] * 4, "skip"),
        score(external(), [said("FinishAction", "It failed.")], "finish"),
    ]
    columns = paper_columns(scored)
    assert columns == {
        **{"detect": 0.5, "category": 1, "tool": 1, "args": 1},
        **{"retry": 0.5, "break": 0.75, "external_tool": 0.75, "external_args": 0.5},
    }
    assert overall(columns) == pytest.approx(0.2 * 0.75 + 0.3 + 0.05 * 0.5 + 0.45 * 2 / 3)
    assert overall(paper_columns(scored[:2])) is None
    rows = {row["group"]: row for row in breakdown(scored)}
    assert next(iter(rows)) == "all"
    assert rows["mode skip"]["n"] == 2
    assert rows[SELECT]["credit"] == {"mean": 1, "low": 1, "high": 1, "n": 1}
    assert "category" not in rows["no error"]
    assert behaviours(scored)["skip"]["endless_retry"] == 1
    assert behaviours(scored)["no error"] == {"proceed": 0, "over_reflection": 1, "unparsable": 0}
    shown = tables(scored, "bow", "paper")
    assert [table.title for table in shown] == ["CriticTool", "Groups (percent)", "Behaviour"]
    assert shown[0].rows[0][-1] == f"{100 * overall(columns):.1f}"
