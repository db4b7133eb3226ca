import re
from pathlib import Path

import gymnasium

from palaestra.envs import check_environment

PAGE = Path(__file__).parents[2] / "docs" / "seats.md"


def test_the_examples_of_the_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert said[0] in ("Yes.", "No.")
    assert "palaestra/TwentyQuestions-v1" in said[1]
    assert said[-1] == "1.0"
    assert set(names["result"].config["seats"]) == {"answerer"}
    assert [step.seat for step in names["whole"].steps] == ["asker", "answerer"] * 2
    assert names["aec"].agents == []


def test_the_environment_of_the_page_keeps_the_contract(monkeypatch):
    names = {"__name__": "echo_of_the_page"}
    block = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[-1]
    exec(compile(block, str(PAGE), "exec"), names)
    spec = gymnasium.envs.registration.EnvSpec("docs/Echo-v0", entry_point=names["Echo"], order_enforce=False)
    report = check_environment(spec, only=["same either way", "privacy", "multi-agent", "expert", "snapshot", "bad actions"])
    assert report.ok, str(report)
