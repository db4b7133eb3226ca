"""Stored messages played again."""

import json

import pytest

from palaestra.envs.toolforge import InstanceError, write_instances
from palaestra.envs.toolforge.published import play
from palaestra.envs.toolforge.scoring import scored, scores_table
from palaestra.errors import UnknownNameError
from tests.envs.toolforge.made import chain, made
from tests.envs.toolforge.published_data import rows
from tests.fixtures import fixture_files

TURNS = [
    {"content": "", "tool_calls": [{"name": "founder_of", "arguments": {"company": "Velmora"}}]},
    {"content": "", "tool_calls": [{"name": "born_in", "arguments": {"person": "Iska Tarn"}}]},
    {"content": "1931"},
]


@pytest.fixture
def files(tmp_path):
    write_instances(tmp_path / "made.jsonl", [made(chain("chain"))])

    def written(*episodes):
        text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in episodes)
        (tmp_path / "episodes.jsonl").write_text(text, encoding="utf-8")
        return tmp_path / "made.jsonl", tmp_path / "episodes.jsonl"

    return written


def test_measures_of_stored_messages(files):
    paths = files({"id": "e", "instance": "chain", "turns": TURNS}, "", {"id": "chain", "turns": TURNS[1:2]})
    whole, half = scored(*paths)
    assert (whole["id"], whole["scenario"], whole["success"], whole["solve_f1"]) == ("e", "multi_hop", True, 1)
    assert (half["instance"], half["success"], half["solve_recall"], half["solve_ordered"]) == ("chain", False, 0.5, 0)
    table = scores_table([whole, half])
    assert [row[:2] for row in table.rows] == [("multi_hop", "2"), ("all", "2")]
    assert table.rows[0][3] == "75.00"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("{", InstanceError),
        ("[]", InstanceError),
        ('{"turns": []}', InstanceError),
        ('{"id": "chain", "turns": [3]}', InstanceError),
        ('{"id": "chain", "turns": [{"tool_calls": [{"name": 3, "arguments": {}}]}]}', InstanceError),
        ('{"id": "none", "turns": []}', UnknownNameError),
    ],
)
def test_lines_that_are_not_episodes(files, line, error):
    with pytest.raises(error):
        list(scored(*files(line)))


@pytest.mark.parity
def test_the_published_profile_measures_the_reference_episodes_as_the_plain_functions_do(tmp_path):
    if not (episodes := rows("reference/episode.jsonl")[:12]):
        pytest.skip("no reference/episode.jsonl in the folders named by PALAESTRA_FIXTURES")
    path = fixture_files("ftrl/test.jsonl", "test.jsonl")[0]
    instances = {row["id"]: row for row in rows("test.jsonl")}
    kept = [one for one in episodes if one["max_turns"] == 20 and one["instance"] in instances]
    (tmp_path / "e.jsonl").write_text("\n".join(map(json.dumps, kept)), encoding="utf-8")
    for row, found in zip(kept, scored(path, tmp_path / "e.jsonl", profile="published"), strict=True):
        expected = play(instances[row["instance"]], row["turns"])["metrics"]
        assert (found["solve_precision"], found["solve_recall"], found["solve_f1"]) == pytest.approx(tuple(expected.values()))
