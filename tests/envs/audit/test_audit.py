"""The audit of whole environments."""

import json

import pytest

from palaestra.cli.main import main
from palaestra.envs import audit_environment
from palaestra.errors import ConfigError, UnknownNameError

TEXTCRAFT = "palaestra/TextCraft-v0"


def test_textcraft_from_the_command_line(capsys):
    assert main(["audit", TEXTCRAFT, "-n", "20", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["env"] == TEXTCRAFT
    assert data["verdict"] == "pass"
    assert data["floors"]["nothing"]["success"] == data["floors"]["nothing"]["return"] == 0
    assert data["ceiling"]["success"] == 1
    assert {"name", "verdict", "reason"} <= set(data["points"][0])


def test_two_audits_are_alike():
    assert audit_environment(TEXTCRAFT, 4, seed=3) == audit_environment(TEXTCRAFT, 4, seed=3)


def test_the_arguments_are_the_environments():
    card = audit_environment(TEXTCRAFT, n=2, recipes="procedural", depth=2)
    assert card.arguments == {"recipes": "procedural", "depth": 2}


@pytest.mark.parametrize("n", [0, -1, True, 2.0, "3"])
def test_wrong_numbers_of_tasks_are_refused(n):
    with pytest.raises(ConfigError, match="expected a whole number of at least 1"):
        audit_environment(TEXTCRAFT, n)


def test_unknown_names_are_refused():
    with pytest.raises(UnknownNameError, match="TextCraft"):
        audit_environment("palaestra/TextCraf-v0", 1)
    with pytest.raises(UnknownNameError, match="split"):
        audit_environment(TEXTCRAFT, 1, split="dev")
