"""Files of items."""

import json

import pytest

from palaestra.envs.critic.files import open_items, write_items
from palaestra.envs.critic.record import to_published
from palaestra.errors import ConfigError, MissingDataError
from tests.envs.critic.made_items import external, internal
from tests.envs.critic.published_data import names
from tests.fixtures import need_fixtures

RECORDS = [internal(), external()]


@pytest.mark.parametrize("name", ["items.jsonl", "items.json"])
def test_items_are_written_and_read(tmp_path, name):
    assert write_items(tmp_path / name, RECORDS) == 2
    assert open_items(tmp_path / name).records == tuple(RECORDS)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_published_folder_tells_stages_and_thoughts_apart(tmp_path):
    for name, cot in (("base_data_wo_cot", False), ("evol_data_wo_cot", False), ("base_data_w_cot", True)):
        for family, record in (("internal", internal(cot=cot)), ("external", external(cot=cot))):
            (tmp_path / f"{family}_error").mkdir(exist_ok=True)
            file = tmp_path / f"{family}_error" / f"{name}.json"
            file.write_text(json.dumps({record.id: to_published(record)}), encoding="utf-8")
    found = open_items(tmp_path)
    assert [record.id for record in found] == ["base-wo/i", "base-w/i", "evol-wo/i", "base-wo/e", "base-w/e", "evol-wo/e"]
    assert [record.evolution for record in found] == [[], [], ["evolved"]] * 2
    assert [record.cot for record in found] == [False, True, False] * 2


def test_published_folders_hold_no_faults():
    for folder in need_fixtures(*names("synthetic")):
        assert open_items(folder).faults == {}


def test_an_item_that_cannot_be_used_does_not_stop_the_others(tmp_path):
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"bad": {}, "i": to_published(internal())}), encoding="utf-8")
    found = open_items(path)
    assert [record.id for record in found] == ["i"]
    assert "bad: query_prompt is NoneType" in found.faults["bad"]
    lines = tmp_path / "items.jsonl"
    lines.write_text(f"{{\n\n{internal().to_line()}\n[]\n", encoding="utf-8")
    assert [key.rpartition(", ")[2] for key in open_items(lines).faults] == ["line 1", "line 4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[]", "holds list; expected an object of items"),
        ("{}", "holds dict; expected an object of items by id, at least one"),
        ('{"bad": 1}', "no item that can be used, of 1: bad: the item is int"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_file_of_something_else(tmp_path, text, message):
    path = tmp_path / "items.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        open_items(path)


def test_nothing_there(tmp_path):
    with pytest.raises(MissingDataError, match="There is no file or folder"):
        open_items(tmp_path / "none")
    with pytest.raises(MissingDataError, match=r"holds none of the files internal_error/base_data_wo_cot\.json"):
        open_items(tmp_path)


def test_ids_are_unique(tmp_path):
    with pytest.raises(ConfigError, match="'i' stands twice"):
        write_items(tmp_path / "x.jsonl", [internal(), internal()])
    (tmp_path / "x.jsonl").write_text((internal().to_line() + "\n") * 2, encoding="utf-8")
    with pytest.raises(ConfigError, match="'i' stands twice"):
        open_items(tmp_path / "x.jsonl")
