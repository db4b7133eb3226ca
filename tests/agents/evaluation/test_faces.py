"""Metrics and results of an environment's own appear on every face, without code of that environment anywhere else."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.reference import ExpertAgent, RandomAgent
from palaestra.agents.report import render_report
from palaestra.agents.store.store import RunStore
from palaestra.cli.main import main
from palaestra.envs.core.declared import Declared, declared
from tests.agents.report.page import chromium, in_browser, parse
from tests.envs.broken import GivesPercent, GivesUndeclared
from tests.envs.miniature import MEASURED_ID, MeasuredEnv, register_miniatures

register_miniatures()

NAMES = [metric.name for metric in MeasuredEnv.metrics]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words: str) -> str:
        capsys.readouterr()
        assert main(list(words)) == 0
        return capsys.readouterr().out

    return run


def test_the_declaration_is_read_without_making_an_environment() -> None:
    assert declared(MEASURED_ID)[:2] == (MeasuredEnv.metrics, "tests.envs.miniature:measured_results")
    assert declared("not/Installed-v0") == declared("tests/Foreign-v0") == ((), "", False, False)


MODULE = """
import gymnasium
from tests.envs.miniature import MeasuredEnv, measured_results

class Env(MeasuredEnv):
    results = f"{__name__}:measured_results"

gymnasium.register("elsewhere/Measured-v0", entry_point=Env, order_enforce=False)
"""


def test_a_stored_run_of_an_id_with_a_module_is_shown_as_after_playing(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "measured_elsewhere.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    env_id = "measured_elsewhere:elsewhere/Measured-v0"

    def forget() -> None:  # as in a new process
        del gymnasium.registry["elsewhere/Measured-v0"], sys.modules["measured_elsewhere"]

    try:
        played = json.loads(run("evaluate", "--env", env_id, "--model", "expert", "-n", "3", "--json"))
        run_id = played["runs"][0]["run_id"]
        forget()
        text = run("runs", "show", run_id)
        assert "Longest walks" in text
        assert "100.0 %" in next(line for line in text.splitlines() if "Directness" in line and "-" in line)
        forget()
        page = parse(Path(run("report", run_id).strip()).read_text(encoding="utf-8"))
        assert "Longest walks" in page.text
        assert "Directness ↑" in page.text
    finally:
        gymnasium.registry.pop("elsewhere/Measured-v0", None)
        sys.modules.pop("measured_elsewhere", None)


@pytest.mark.parametrize("body", ["raise SystemExit(3)", "raise ValueError('broken')", "import no_such_module", "x = 1"])
def test_a_module_that_fails_declares_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    (tmp_path / "failing_elsewhere.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "failing_elsewhere", raising=False)
    assert declared("failing_elsewhere:elsewhere/Failing-v0") == Declared()


@pytest.mark.parametrize("is_stored", [True, False])
def test_an_evaluation_carries_metrics_and_tables(tmp_path: Path, is_stored: bool) -> None:
    done = evaluate(MEASURED_ID, ExpertAgent(), n=3, store=tmp_path if is_stored else None)
    assert sorted(done.summary.total.metrics) == sorted(NAMES)
    assert done.summary.total.metrics["directness"].mean == 1
    assert [table.title for table in done.results[MEASURED_ID].tables] == ["Longest walks"]
    data = json.loads(json.dumps(done.to_json()))
    assert [metric["name"] for metric in data["metrics"][MEASURED_ID]] == NAMES
    assert data["results"][MEASURED_ID][0]["rows"][0][0] == "expert"
    assert set(data["summary"]["by_type"]["far"]["metrics"]) == set(NAMES)
    assert evaluate(MEASURED_ID, ExpertAgent(), n=1, results=False).results == {}


def test_the_terminal_and_its_json_show_them(run: Any) -> None:
    words = ("evaluate", "--env", MEASURED_ID, "--model", "expert", "--model", "random", "-n", "4")
    text = run(*words)
    head = next(line for line in text.splitlines() if "Directness" in line)
    assert "Success" in head
    assert "Distance" not in head  # only leading metrics have a column next to the success
    assert "Lowest" in text
    assert text.index("Longest walks") > text.index("Distance ↓")
    data = json.loads(run(*words, "--json"))
    assert [set(one["summary"]["total"]["metrics"]) for one in data["runs"]] == [set(NAMES)] * 2
    assert [row[0] for row in data["results"][MEASURED_ID][0]["rows"]] == ["expert", "random"]
    run_id = data["runs"][1]["run_id"]
    shown = run("runs", "show", run_id)
    assert "Directness ↑" in shown
    assert "Longest walks" in shown
    shown = json.loads(run("runs", "show", run_id, "--json"))
    assert set(shown["results"]["random"]["total"]["metrics"]) == set(NAMES)
    assert shown["env_results"][MEASURED_ID][0]["title"] == "Longest walks"


def test_the_page_of_the_environment_lists_its_metrics(run: Any) -> None:
    assert [metric["name"] for metric in json.loads(run("show", MEASURED_ID, "--json"))["metrics"]] == NAMES
    assert "Share of the moves that led towards the goal." in run("show", MEASURED_ID)
    assert json.loads(run("show", "palaestra/Desk-v0", "--json"))["metrics"] == []


def test_the_report_and_its_viewer_show_them(tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        evaluate(MEASURED_ID, RandomAgent(), n=4, store=store, run_id="r")
        page = parse(render_report(["r"], store=store))
        detours = {
            (played.episode_id, i)
            for played in store.trajectories("r")
            for i, step in enumerate(played.steps)
            if step.action.content.strip().lower() == "down"
        }
    assert "Directness ↑" in page.text
    assert "The lowest number that was reached." in page.text
    assert "Longest walks" in page.text
    assert "Of all episodes." in page.text
    for episode in page.data["episodes"]:
        assert [name for name, _ in episode["metrics"] if name != "Directness"] == ["Distance", "Lowest"]
        assert all(dict(step["metrics"])["Lowest"].endswith(" steps") for step in episode["steps"])
    shown = {(e["id"], i) for e in page.data["episodes"] for i, step in enumerate(e["steps"]) if "blocks" in step}
    assert shown == detours


def test_the_viewer_draws_blocks_and_metrics(tmp_path: Path) -> None:
    chromium()
    with RunStore(tmp_path) as store:
        evaluate(MEASURED_ID, RandomAgent(), n=5, store=store, run_id="r")
        path = tmp_path / "report.html"
        path.write_text(render_report(["r"], store=store), encoding="utf-8")
    found = in_browser(
        path,
        """
        for (let i = 0; i < 5 && !doc.querySelector(".block"); i++) press("j");
        const block = doc.querySelector(".block");
        return {
          facts: doc.querySelector(".facts").innerText, head: doc.querySelector(".turn-head").innerText,
          block: block.querySelector(".block-head").innerText, kind: block.querySelector("table").className,
          cells: [...block.querySelectorAll("tbody tr > *")].map((cell) => cell.textContent),
          marks: [...block.querySelectorAll(".verdict")].map((node) => node.className),
        };
        """,
        tmp_path,
    )
    assert "distance" in found["facts"].lower()
    assert "lowest" in found["head"]
    assert found["block"].startswith("Detour")
    assert (found["kind"], found["cells"]) == ("texts", ["down", "wrong way"])
    assert found["marks"][:2] == ["verdict bad", "verdict bad"]


@pytest.mark.parametrize(
    ("env_class", "name", "message"),
    [(GivesUndeclared, "lowest", "is given but not declared"), (GivesPercent, "directness", "is 100.0; .*expected 0 to 1")],
)
def test_a_metric_that_is_not_what_was_declared_is_logged_once(
    env_class: type, name: str, message: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = gymnasium.envs.registration.EnvSpec("tests/Strange-v0", env_class)
    monkeypatch.setitem(gymnasium.registry, "tests/Strange-v0", spec)
    done = evaluate("tests/Strange-v0", ExpertAgent(), n=4)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert re.match(f"tests/Strange-v0: metric '{name}' {message}", told[0])
    assert done.summary.total.metrics[name].n == 4
    assert not done.summary.errors


def test_a_metric_that_is_what_was_declared_is_not_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = gymnasium.envs.registration.EnvSpec("tests/Strange-v0", MeasuredEnv)
    monkeypatch.setitem(gymnasium.registry, "tests/Strange-v0", spec)
    evaluate("tests/Strange-v0", ExpertAgent(), n=4)
    assert not caplog.records
