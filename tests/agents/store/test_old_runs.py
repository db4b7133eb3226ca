"""Runs that an earlier version stored open, report, export and resume."""

import hashlib
import json
import math
import tarfile
from pathlib import Path

import pytest

from palaestra.agents import RunStore, export_trajectories, write_report
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.cli.main import main

FOLDER = Path(__file__).parent / "old_runs"
KEPT = json.loads((FOLDER / "runs.json").read_text(encoding="utf-8"))


@pytest.fixture
def runs(tmp_path):
    """A copy of the old store."""
    with tarfile.open(FOLDER / "runs.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "runs_old_small"


def digest(trajectory):
    """SHA-256 of a trajectory without clock readings."""
    data = trajectory.to_json()
    data["usage"] |= {"model_s": 0.0, "env_s": 0.0}
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def told(store, run_id, *, digests=True):
    """What a store says of the episodes of a run."""
    return [
        {
            "episode_id": trajectory.episode_id,
            "score": trajectory.outcome.score,
            "success": trajectory.outcome.success,
            "stop_reason": trajectory.outcome.stop_reason,
            "turns": len(trajectory.steps),
            **({"sha256": digest(trajectory)} if digests else {}),
        }
        for trajectory in sorted(store.trajectories(run_id), key=lambda found: found.episode_id)
    ]


@pytest.mark.parametrize("read_only", [True, False])
def test_every_old_run_opens_with_its_episodes_equal_to_the_byte(runs, read_only):
    with RunStore(runs, read_only=read_only) as store:
        assert {run.run_id for run in store.runs()} == set(KEPT["runs"])
        for run_id, kept in KEPT["runs"].items():
            assert store.status(run_id) == kept["status"]
            assert told(store, run_id) == kept["episodes"]
            assert {(e.episode_id, e.score) for e in store.episodes(run_id)} == {
                (e["episode_id"], e["score"]) for e in kept["episodes"]
            }


def test_old_runs_report_and_export(runs, tmp_path):
    with RunStore(runs) as store:
        for run_id in KEPT["runs"]:
            page = write_report(tmp_path / f"{run_id}.html", [run_id], store=store)
            assert run_id in page.read_text(encoding="utf-8")
        for form in ("jsonl", "agenttraj", "chat"):
            written = export_trajectories(store.trajectories("textcraft-random"), tmp_path / f"export.{form}", form)
            assert written.num_written == len(KEPT["runs"]["textcraft-random"]["episodes"])


@pytest.mark.parametrize("words", [("runs",), *(("runs", "show", run_id) for run_id in KEPT["runs"])], ids=" ".join)
def test_the_command_line_shows_old_runs(runs, words, capsys):
    assert main([*words, "--runs", str(runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_a_stopped_old_evaluation_resumes_to_the_same_episodes(runs, capsys):
    assert main(["evaluate", "--run", "textcraft-stopped", "--runs", str(runs), "--json"]) == 0
    capsys.readouterr()
    with RunStore(runs) as store:
        assert told(store, "textcraft-stopped") == KEPT["resumed"]["textcraft-stopped"]["episodes"]


def test_a_killed_old_training_run_resumes_to_the_same_policy(runs, capsys):
    assert main(["train", "--run", "small-stopped", "--plain", "--runs", str(runs), "--json"]) == 0
    capsys.readouterr()
    with RunStore(runs) as store:
        kept = KEPT["resumed"]["small-stopped-trained"]["episodes"]
        assert told(store, "small-stopped-trained", digests=False) == kept
    rows = [row for row in read_metrics(runs / "small-stopped" / "metrics.jsonl") if row["phase"] == "grpo"]
    for row, wanted in zip(rows, KEPT["resumed"]["small-stopped"]["metrics"], strict=True):
        for name, value in wanted.items():
            # other processors sum in another order, so not to the bit
            assert row[name] == value or math.isclose(row[name], value, rel_tol=1e-3, abs_tol=1e-5), name
