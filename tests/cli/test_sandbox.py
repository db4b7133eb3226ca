import json

from palaestra.cli.main import main
from palaestra.envs.sandbox import doctor
from palaestra.envs.sandbox.doctor import Finding


def test_the_doctor_prints_a_line_a_point_and_says_by_its_code_whether_all_works(monkeypatch, capsys):
    findings = [Finding("monty", True, "1.4.0"), Finding("bubblewrap", False, "not installed")]
    monkeypatch.setattr(doctor, "examine", lambda: iter(findings))
    assert main(["sandbox", "doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["ok", "MISSING"]
    assert "not installed" in lines[1]
    monkeypatch.setattr(doctor, "examine", lambda: iter(findings[:1]))
    assert main(["sandbox", "doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"name": "monty", "works": True, "told": "1.4.0"}]
