from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
import zipfile
from datetime import datetime
from pathlib import Path

import pytest

from palaestra.agents.store.store import RunStore
from palaestra.cli.run_page import settings_lines
from tests.agents.report import build


@pytest.fixture
def runs(tmp_path):
    with RunStore(tmp_path / "runs") as store:
        build.add_evaluation(store, n=6, agents=("cloned", "expert"))
        store.run_folder("eval-1").joinpath("notes.txt").write_text("x")
    return tmp_path / "runs"


def test_runs_are_listed_and_shown(palaestra_run, runs):
    assert "eval-1" in palaestra_run("runs", "list", "--runs", runs).out
    (listed,) = json.loads(palaestra_run("runs", "list", "--runs", runs, "--json").out)
    assert json.loads(palaestra_run("runs", "--runs", runs, "--json").out) == [listed]
    assert (listed["run_id"], listed["num_episodes"], listed["num_success"]) == ("eval-1", 12, 9)
    shown = json.loads(palaestra_run("runs", "show", "eval-1", "--runs", runs, "--json").out)
    assert set(shown["results"]) == {"cloned", "expert"}
    assert shown["files"] == ["notes.txt"]
    text = palaestra_run("runs", "show", "eval-1", "--runs", runs).out
    assert "cloned" in text
    assert "n = 6" in text


@pytest.mark.parametrize(
    ("status", "note", "planned"),
    [
        ("interrupted", "12 of 2,000 planned", {"done": 12, "planned": 2000, "unit": "episodes"}),
        ("running", "2,000 planned", {"done": 12, "planned": 2000, "unit": "episodes"}),
        ("stopped", "3 of 7 calls spent. (12 of 2,000 planned)", {"done": 12, "planned": 2000, "unit": "episodes"}),
        ("failed", "OSError: 5 of 6 planned disks (12 of 2,000 planned)", {"done": 12, "planned": 2000, "unit": "episodes"}),
        ("failed", "disk full", None),
        ("created", "", None),
        ("finished", "", {"done": 12, "planned": 12, "unit": "episodes"}),
    ],
)
def test_every_face_says_how_far_a_run_came_and_that_short_episodes_finish_first(palaestra_run, runs, status, note, planned):
    with RunStore(runs) as store:
        store.set_status("eval-1", status, note)
    (listed,) = json.loads(palaestra_run("runs", "list", "--runs", runs, "--json").out)
    shown = json.loads(palaestra_run("runs", "show", "eval-1", "--runs", runs, "--json").out)
    assert listed["planned"] == shown["planned"] == planned
    is_biased = status not in ("created", "finished")
    lines = palaestra_run("runs", "list", "--runs", runs).out
    page = palaestra_run("runs", "show", "eval-1", "--runs", runs).out
    report = palaestra_run("report", "eval-1", "--runs", runs, "-o", runs / "r.html")
    assert report.code == 0
    html = (runs / "r.html").read_text(encoding="utf-8")
    for face in (lines, page, html):
        assert ("biased towards short episodes, which finish first" in face) == is_biased
        assert ("12 of 2,000 planned" in face) == (is_biased and planned is not None) or (face is page and status == "running")


def test_a_run_is_deleted_when_it_is_meant(palaestra_run, refused, runs):
    refused("runs", "delete", "eval-1", "--runs", runs, match="needs --yes")
    refused("runs", "delete", "eval-2", "--runs", runs, "--yes", match="Unknown run 'eval-2'")
    assert palaestra_run("runs", "delete", "eval-1", "--runs", runs, "--yes").out == "Deleted eval-1 (12 episodes).\n"
    assert not (runs / "eval-1").exists()
    assert json.loads(palaestra_run("runs", "list", "--runs", runs, "--json").out) == []


@pytest.fixture
def trained(runs):
    """The store with a training run, its two evaluations, and a run that only has the name of a third."""
    with RunStore(runs) as store:
        build.add_training(store)
        store.run_folder("train-1-trained").joinpath("report.html").write_text("x")
        config = store.config("train-1")
        store.set_config("train-1", {**config, "arms": [*config["arms"], "by-hand"]})
        store.create_run({"kind": "evaluate"}, "train-1-by-hand")
    return runs


def test_a_training_run_is_shown_with_its_arms_phases_curves_and_recipe(palaestra_run, trained):
    shown = json.loads(palaestra_run("runs", "show", "train-1", "--runs", trained, "--json").out)
    assert {name: arm["total"]["success"]["mean"] for name, arm in shown["results"].items()} == {
        "untrained": 3 / 20,
        "trained": 16 / 20,
    }
    assert shown["evaluations"] == ["train-1-untrained", "train-1-trained", "train-1-by-hand"]
    phases, curves = shown["tables"]
    with RunStore(trained, read_only=True) as store:
        success = [record["grpo/success"] for record in store.metrics("train-1") if "grpo/success" in record]
    ends = [f"{100 * success[i]:.1f} %" for i in (0, -1)]
    assert phases["rows"] == [["sft", "sft", "60", "-", "-"], ["grpo", "grpo", "120", *ends]]
    assert [row[0] for row in curves["rows"]][:2] == ["grpo/test_success", "grpo/success"]
    assert curves["rows"][1][-1] == "120"
    text = palaestra_run("runs", "show", "train-1", "--runs", trained).out
    lines = [line.strip() for line in text.splitlines()]
    assert lines[lines.index("[grpo]") + 1] == "lr = 0.0003"
    assert 'phases = ["sft", "grpo"]' in lines
    assert not any("{" in line for line in lines)
    for word in ("Phases", "Curves", "untrained", "80.0 %"):
        assert word in text
    assert "Last 0 episodes" not in text


def test_the_lines_of_settings_are_toml():
    settings = {
        "name": 'a "b"\n',
        "seed": 3,
        "on": True,
        "rates": [0.5, 1e-6],
        "env": [{"id": "x/Y-v0", "arguments": {"n": 2}}, {"id": "x/Z-v0"}],
        "grpo": {"lr": 3e-4, "clip": {"low": 0.2}, "none": []},
    }
    assert tomllib.loads("\n".join(settings_lines(settings))) == settings


def test_a_training_run_is_deleted_with_the_evaluations_of_its_arms(palaestra_run, refused, trained):
    refused("runs", "delete", "train-1", "--runs", trained, match=r"with its 2 evaluations \(40 episodes\) needs --yes")
    with RunStore(trained) as store, store.lock("train-1"):
        ran = palaestra_run("runs", "delete", "train-1", "--runs", trained, "--yes")
        assert (ran.code, "is being played" in ran.err) == (1, True)
        assert store.run("train-1-trained").num_episodes == 20
    deleted = json.loads(palaestra_run("runs", "delete", "train-1", "--runs", trained, "--yes", "--json").out)
    assert deleted == {"deleted": "train-1", "episodes": 40, "evaluations": ["train-1-untrained", "train-1-trained"]}
    left = json.loads(palaestra_run("runs", "list", "--runs", trained, "--json").out)
    assert {run["run_id"] for run in left} == {"eval-1", "train-1-by-hand"}
    assert sorted(path.name for path in trained.iterdir() if path.is_dir()) == ["eval-1"]


SCORERS = """
def shortness(trajectory):
    return {"success": trajectory.outcome.success, "metrics": {"words": len(trajectory.steps)}}

class Strict:
    async def __call__(self, trajectory):
        if trajectory.sample or trajectory.agent == "expert":
            raise ValueError("the judge said nothing")
        return {"score": 0, "success": False}

class Demanding:
    def __init__(self, judge):
        pass

nothing = 3
"""


@pytest.fixture
def scorers(tmp_path, monkeypatch):
    (tmp_path / "my_scorers.py").write_text(SCORERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(tmp_path)])
    yield
    sys.modules.pop("my_scorers", None)


def test_a_run_is_scored_again_next_to_its_old_scores(palaestra_run, runs, scorers):
    words = ("runs", "rescore", "eval-1", "--runs", runs, "--into", "words", "--scorer", "my_scorers:shortness")
    ran = palaestra_run(*words)
    assert ran.code == 0, ran.err
    assert re.search(r"expert · eval-1 .*100\.0 %", ran.out)
    assert re.search(r"expert · words .*100\.0 %", ran.out)
    assert "Words" in ran.out
    assert f"Report  {runs / 'words' / 'report.html'}" in ran.out
    (done,) = json.loads(palaestra_run(*words, "--json").out)["runs"]
    assert done["config"]["scorer"] == "my_scorers:shortness"
    assert done["summary"]["total"]["metrics"]["words"]["n"] == 12
    listed = json.loads(palaestra_run("runs", "list", "--runs", runs, "--json").out)
    assert {run["run_id"]: run["num_success"] for run in listed} == {"eval-1": 9, "words": 9}
    assert "scored by my_scorers:shortness" in palaestra_run("runs", "list", "--runs", runs).out


def test_episodes_that_cannot_be_scored_are_told_with_the_command_that_tries_again(palaestra_run, runs, scorers):
    ran = palaestra_run("runs", "rescore", "eval-1", "--runs", runs, "--scorer", "my_scorers:Strict")
    assert ran.code == 3, ran.err
    assert "6 episodes could not be scored" in ran.out
    again = shlex.split(re.search(r"score them again: (.*)", ran.out)[1])
    assert again[-1] == "--retry-errors"
    assert palaestra_run(*again[1:]).code == 3
    assert len(json.loads(palaestra_run("runs", "list", "--runs", runs, "--json").out)) == 2


@pytest.mark.parametrize(
    ("scorer", "match"),
    [
        ("my_scorers", "expected module:function, e.g. my_package.scoring:score"),
        ("no_scorers:x", "which is not installed"),
        ("my_scorers:Demanding", "could not be built: TypeError"),
        ("my_scorers:x", "my_scorers has no x"),
        ("my_scorers:nothing", "is a int; expected a function"),
    ],
)
def test_a_scorer_that_is_none_is_refused_before_anything_is_stored(palaestra_run, refused, runs, scorers, scorer, match):
    refused("runs", "rescore", "eval-1", "--runs", runs, "--scorer", scorer, match=match)
    assert len(json.loads(palaestra_run("runs", "list", "--runs", runs, "--json").out)) == 1


def test_scores_are_not_played_on(refused, palaestra_run, runs, scorers):
    palaestra_run("runs", "rescore", "eval-1", "--runs", runs, "--into", "w", "--scorer", "my_scorers:shortness")
    refused("evaluate", "--run", "w", "--runs", runs, match="palaestra runs rescore RUN --into")


@pytest.mark.parametrize("format", ["agenttraj", "sharegpt", "chat", "messages", "experience", "jsonl", "trajectories"])
def test_episodes_are_exported_in_every_format(palaestra_run, runs, tmp_path, format):
    out = tmp_path / "out.json"
    ran = palaestra_run("export", "eval-1", "--runs", runs, "--format", format, "--out", out, "--json")
    assert ran.code == 0
    assert json.loads(ran.out) == {"path": str(out), "written": 12, "skipped": 0}
    assert out.stat().st_size > 500


def test_a_log_for_inspect_says_what_was_evaluated_and_when(palaestra_run, refused, runs, tmp_path):
    out = tmp_path / "run.eval"
    for format in ("eval", "inspect"):
        ran = palaestra_run("export", "eval-1", "--runs", runs, "--format", format, "--out", out, "--json")
        assert json.loads(ran.out) == {"path": str(out), "written": 12, "skipped": 0}
    with zipfile.ZipFile(out) as log:
        header, summaries = (json.loads(log.read(name)) for name in ("header.json", "summaries.json"))
    with RunStore(runs, read_only=True) as store:
        run, times = store.run("eval-1"), [episode.finished_s for episode in store.episodes("eval-1")]
    assert (header["status"], header["eval"]["run_id"], header["eval"]["metadata"]["config"]) == (
        "success",
        "eval-1",
        run.config,
    )
    assert abs(datetime.fromisoformat(header["eval"]["created"]).timestamp() - run.created_s) <= 1
    stored = [datetime.fromisoformat(summary["completed_at"]).timestamp() for summary in summaries]
    assert all(abs(one - other) <= 1 for one, other in zip(stored, times, strict=True))
    refused("export", "eval-1", "--runs", runs, "--format", "eval", "--out", tmp_path / "run.json", match="end in .eval")


def test_only_solved_episodes_are_exported(palaestra_run, runs, tmp_path):
    ran = palaestra_run(
        "export", "eval-1", "--runs", runs, "--format", "jsonl", "--only-success", "--out", tmp_path / "o.jsonl"
    )
    assert ran.out == f"9 episodes in {tmp_path / 'o.jsonl'}, 3 left out\n"
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(row["outcome"]["success"] for row in rows)


def test_an_export_of_errors_alone_says_why_it_is_empty(palaestra_run, runs, tmp_path):
    with RunStore(runs) as store:
        store.create_run({"kind": "evaluate", "env_id": "test/Crafting-v0"}, "failed")
        for i in range(3):
            store.add("failed", build.with_id(build.broken(i, agent="cloned"), f"failed/{i}"))
    words = ("export", "failed", "--runs", runs, "--out", tmp_path / "o.json")
    ran = palaestra_run(*words)
    assert ran.out == f"0 episodes in {tmp_path / 'o.json'}, 3 left out\n"
    told = ran.err.splitlines()[0]
    assert told.startswith("Nothing was written: 3 of 3 episodes ended in an error")
    assert "--format jsonl or eval" in told
    again = shlex.join(["palaestra", "evaluate", "--run", "failed", "--retry-errors", "--runs", str(runs)])
    assert told.endswith(f"play them again: {again}")
    ran = palaestra_run(*words, "--format", "jsonl", "--only-success")
    assert ran.err.startswith("Nothing was written: 3 of 3 episodes did not solve their task. Leave out --only-success")
    ran = palaestra_run(*words, "--format", "jsonl")
    assert (ran.out, "Nothing" in ran.err) == (f"3 episodes in {tmp_path / 'o.json'}\n", False)


def test_what_cannot_be_written_to_is_refused(refused, runs, tmp_path):
    (tmp_path / "afile").write_text("kept")
    refused("export", "eval-1", "--runs", runs, "--format", "hf", "--out", tmp_path / "afile", match="afile is a file, and a")
    assert (tmp_path / "afile").read_text() == "kept"
    for command in ("export", "report"):
        refused(command, "eval-1", "--runs", runs, "--out", "-", match="--out is '-'; .*Name a file")
    assert not Path("-").exists()


def test_an_export_of_a_run_that_was_cut_off_says_so(palaestra_run, runs, tmp_path):
    with RunStore(runs) as store:
        store.set_status("eval-1", "interrupted", "12 of 2,000 planned")
    words = ("export", "eval-1", "--runs", runs, "--out", tmp_path / "o.json")
    ran = palaestra_run(*words)
    assert (ran.code, ran.out) == (0, f"12 episodes in {tmp_path / 'o.json'}\n")
    assert ran.err == (
        "Run 'eval-1' is interrupted: 12 of 2,000 planned; its numbers are those so far, and biased towards short episodes, "
        "which finish first.\n"
    )
    assert json.loads(palaestra_run(*words, "--json").out)["caveat"] == ran.err.strip()
    with RunStore(runs) as store:
        store.set_status("eval-1", "stopped", "Play them again.")
    assert "is stopped: Play them again; its numbers are" in palaestra_run(*words).err


def test_exporting_a_run_without_episodes_names_its_evaluations(refused, runs, tmp_path):
    with RunStore(runs) as store:
        for run_id in ("eval", "bare"):
            store.create_run({"env": "palaestra/TextCraft-v0"}, run_id=run_id)
    for run_id, hint in (("eval", "its evaluations are eval-1"), ("bare", "palaestra runs lists those that do")):
        refused("export", run_id, "--runs", runs, "--out", tmp_path / "o", match=hint)
        assert not (tmp_path / "o").exists()


def test_a_report_is_written_where_it_is_wanted(palaestra_run, runs, tmp_path):
    assert palaestra_run("report", "eval-1", "--runs", runs).out == f"{(runs / 'eval-1' / 'report.html').resolve()}\n"
    out = tmp_path / "deep" / "page.html"
    ran = palaestra_run(
        "report", "eval-1", "--runs", runs, "--out", out, "--title", "My <page>", "--transcripts", "3", "--json"
    )
    assert json.loads(ran.out) == {"report": str(out), "runs": ["eval-1"]}
    html = out.read_text(encoding="utf-8")
    assert "<title>My &lt;page&gt;</title>" in html
    assert "3 of 12 episodes" in html


def test_mistakes_are_one_line(refused, palaestra_run, runs, tmp_path):
    refused("runs", "show", "eval", "--runs", runs, match="Did you mean 'eval-1'")
    refused("report", "eval", "--runs", runs, match="Did you mean 'eval-1'")
    refused(
        "export", "eval-1", "--runs", runs, "--format", "agentraj", "--out", tmp_path / "o", match="Did you mean 'agenttraj'"
    )
    for words in (("runs", "list"), ("export", "x", "--out", tmp_path / "o")):
        ran = palaestra_run(*words, "--runs", tmp_path / "nowhere")
        assert ran.code == 1
        assert "There is no run store" in ran.err
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "palaestra.db").write_bytes(b"this is no database" * 100)
    ran = palaestra_run("runs", "list", "--runs", tmp_path / "bad")
    assert ran.code == 1
    assert "damaged or no run store" in ran.err
    assert ran.err.count("\n") == 1


def test_training_runs_are_compared_under_the_labels_given(palaestra_run, refused, tmp_path):
    with RunStore(tmp_path / "runs") as store:
        for seed in range(4):
            store.create_run({"kind": "train", "name": "x", "arms": [], "recipe": {"seed": seed % 2}}, f"x-{seed}")
            for step in (1, 2):
                store.log_metrics(f"x-{seed}", step, {"/success": 0.1 * step + 0.01 * seed})
    where = ("--runs", tmp_path / "runs")
    ran = palaestra_run("report", "--label", "first way=x-0,x-1", "--label", "second way=x-2, x-3", *where, "--json")
    assert ran.code == 0, ran.err
    data = json.loads(ran.out)
    assert data["runs"] == ["x-0", "x-1", "x-2", "x-3"]
    html = Path(data["report"]).read_text(encoding="utf-8")
    assert "first way" in html
    assert "second way" in html
    refused("report", *where, match="at least one run")
    refused("report", "--label", "first way", *where, match="expected NAME=ID,ID")
    refused("report", "--label", "a=x-0", "--label", "b=x-0", *where, match="has the labels 'a' and 'b'; give it one")
