"""`palaestra audit`: one id, all ids, and the pages that they write."""

import json
import math

import gymnasium
import pytest

from palaestra.cli.main import main
from palaestra.envs.audit import Card, audit, cards
from palaestra.envs.audit.effort import EFFORTS
from palaestra.spaces import TextSpace

TEXTCRAFT = "palaestra/TextCraft-v0"


@pytest.fixture
def few(monkeypatch):
    """Let there be one id and one that cannot be made, short audits, and the points of floors only."""
    monkeypatch.setattr(cards, "EFFORTS", {level: effort._replace(quick=1) for level, effort in EFFORTS.items()})
    monkeypatch.setattr(cards, "list_envs", lambda: [TEXTCRAFT, "palaestra/VehicleWorld-v0"])
    monkeypatch.setattr(cards, "missing", lambda env_id: "" if env_id == TEXTCRAFT else "Install Java.")
    monkeypatch.setattr(audit, "JUDGES", [judge for judge in audit.JUDGES if judge.name in ("floor", "ceiling")])


def test_all_prints_a_line_for_each_card_writes_pages_and_says_what_was_skipped(few, tmp_path, capsys):
    assert main(["audit", "--all", "-n", "3", "-o", str(tmp_path / "cards")]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[:3] for line in out.splitlines() if TEXTCRAFT in line] == [
        [TEXTCRAFT, "test", "pass"],
        [TEXTCRAFT, "train", "pass"],
    ]
    assert "palaestra/VehicleWorld-v0 was not audited: Install Java." in err
    assert "The expert solves all of 3 tasks." in (tmp_path / "cards" / "TextCraft-v0.md").read_text()
    rows = json.loads((tmp_path / "cards" / "audit_cards.json").read_text())
    assert [Card.from_json(row).split for row in rows] == ["test", "train"]


def test_all_as_json(few, capsys):
    assert main(["audit", "--all", "-n", "2", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [(row["env"], row["split"], row["n"]) for row in data["cards"]] == [(TEXTCRAFT, "test", 2), (TEXTCRAFT, "train", 2)]
    assert data["skipped"] == {"palaestra/VehicleWorld-v0": "Install Java."}


def test_an_id_with_a_folder_is_audited_in_every_split(few, tmp_path, capsys):
    assert main(["audit", TEXTCRAFT, "-n", "2", "-o", str(tmp_path), "--json", "--set", "recipes=procedural"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [row["split"] for row in data["cards"]] == ["test", "train"]
    assert 'with `recipes="procedural"`' in (tmp_path / "TextCraft-v0.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Name what is to be audited"),
        ([TEXTCRAFT, "--all"], "--all audits every id as it is registered"),
        (["--all", "--set", "depth=2"], "--all audits every id as it is registered"),
        (["--all", "--split", "train"], "--all audits every id as it is registered"),
        ([TEXTCRAFT, "-o", "-"], "--out is '-'"),
    ],
)
def test_requests_that_say_too_little_or_too_much_are_refused(words, said, capsys):
    assert main(["audit", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_failing_card_is_exit_code_1(few, monkeypatch, capsys):
    monkeypatch.setattr(audit, "JUDGES", ())
    assert main(["audit", TEXTCRAFT, "-n", "1"]) == 0
    from palaestra.envs.audit import Judge, failed

    monkeypatch.setattr(audit, "JUDGES", (Judge("bad", lambda subject: [failed("bad", "It is.")], "?"),))
    assert main(["audit", TEXTCRAFT, "-n", "1"]) == 1
    assert main(["audit", "--all", "-n", "1"]) == 1
    assert "FAIL bad: It is." in capsys.readouterr().out


class Unpriced(gymnasium.Env):
    """Pays what is not a number."""

    observation_space = action_space = TextSpace()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return "Say something.", {}

    def step(self, action):
        return "", math.nan, True, False, {"success": False}


def test_a_return_that_is_not_a_number_is_shown_as_unknown(few, capsys):
    gymnasium.register("tests/Unpriced-v0", Unpriced)
    try:
        main(["audit", "tests/Unpriced-v0", "-n", "2"])
        shown = capsys.readouterr().out
        main(["audit", "tests/Unpriced-v0", "-n", "2", "--json"])
        data = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    finally:
        gymnasium.registry.pop("tests/Unpriced-v0")
    rows = [line.split() for line in shown.splitlines() if line.strip().startswith("nothing")]
    assert rows[0][1:3] == ["0.000", "-"]
    assert data["floors"]["nothing"]["return"] is None
