"""An environment from outside, a folder and one line, brings its metrics and tables to every face."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import palaestra
from palaestra.cli.main import main

BACKWARDS = "toys/Backwards-v0"


def test_a_toy_metric_from_outside_shows_up_in_list_show_evaluate_and_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words: str) -> str:
        capsys.readouterr()
        assert main(list(words)) == 0
        return capsys.readouterr().out

    assert BACKWARDS in palaestra.list_envs()
    assert BACKWARDS in run("list")
    assert "letters_right" in run("show", BACKWARDS)
    words = ("evaluate", "--env", BACKWARDS, "--model", "expert", "--model", "random", "-n", "5", "--runs", str(tmp_path))
    text = run(*words)
    assert "Letters right ↑" in text
    assert "Letters missed most" in text
    done = json.loads(run(*words, "--json"))
    assert done["runs"][0]["summary"]["total"]["metrics"]["letters_right"]["mean"] == 1
    assert done["results"][BACKWARDS][0]["rows"][0] == ["expert", "none", "0"]
    page = Path(done["report"]).read_text(encoding="utf-8")
    assert "Letters right" in page
    assert "Letters missed most" in page
    assert '"title":"Answer"' in page
