"""Files of instances: what is opened, what is refused, and that an opened file is read again safely."""

import json
import pickle

import pytest

from palaestra.envs.toolforge import InstanceError, open_instances, write_instances
from palaestra.envs.toolforge.rows import instance_of_row
from palaestra.errors import ConfigError, MissingDataError
from tests.envs.toolforge.made import chain, made, parallel
from tests.envs.toolforge.test_rows import row

TWICE = {"split": "test", "n": {"meta": {"split": "x"}}}
FOUND = [made(chain("a")), made(parallel("bé", meta=TWICE)), made(chain('"c\\', meta={}))]
ROWS = [instance_of_row(row(), number=0), instance_of_row(row(split="train", messages=row()["messages"] * 2), number=1)]


def lines_of(path):
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("name", "form", "instances"),
    [("a.jsonl", "toolenv", FOUND), ("a.jsonl", "toolenv", ROWS), ("a.jsonl", "ftrl", ROWS), ("a.parquet", "ftrl", ROWS)],
)
def test_what_is_written_is_read(tmp_path, name, form, instances):
    path = tmp_path / name
    assert write_instances(path, instances, form=form) == len(instances)
    opened = open_instances(path)
    assert list(opened) == instances
    assert [(head.key, head.split, head.scenario) for head in opened.heads] == [(i.id, i.split, i.scenario) for i in instances]
    again = pickle.loads(pickle.dumps(opened))
    assert again[-1] == instances[-1]
    assert again.heads == opened.heads


def test_heads_do_not_depend_on_how_the_lines_are_spelled(tmp_path):
    values = [one.to_json() for one in FOUND]
    spelled = [
        lambda value: json.dumps(value),
        lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
        lambda value: json.dumps(dict(reversed(value.items()))),
        lambda value: "  " + json.dumps(value, separators=(" , ", " : ")) + "  ",
    ]
    for dump in spelled:
        path = tmp_path / "a.jsonl"
        path.write_text("\n".join(["", *(dump(value) for value in values), ""]), encoding="utf-8")
        opened = open_instances(path)
        assert [(head.key, head.split, head.scenario) for head in opened.heads] == [(i.id, i.split, i.scenario) for i in FOUND]
        assert list(opened) == FOUND


def test_rows_without_an_id_are_numbered(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row()) + "\n" + json.dumps(row(split="train")) + "\n", encoding="utf-8")
    assert [one.id for one in open_instances(path)] == ["ftrl-test-000", "ftrl-train-001"]


def test_only_the_instance_asked_for_is_read_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    broken = made(chain("broken")).to_line().replace('"answer_type":"entity"', '"answer_type":"colour"')
    path.write_text(f"{made(chain('a')).to_line()}\n{broken}\n", encoding="utf-8")
    opened = open_instances(path)
    assert opened[0].id == "a"
    with pytest.raises(InstanceError, match=r"row 2 is not an instance.*answer_type"):
        opened[1]
    with pytest.raises(IndexError):
        opened[2]


def test_a_file_that_changed_is_an_error(tmp_path):
    path = tmp_path / "a.jsonl"
    write_instances(path, [made(chain("a"))])
    opened = open_instances(path)
    write_instances(path, [made(chain("b"))])
    with pytest.raises(InstanceError, match="the file has changed"):
        opened[0]
    path.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        opened[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (made(chain()).to_line()[:-5], "row 1 is not JSON.*cut off"),
        (made(chain()).to_line() + "\n" + json.dumps(row())[:-5], "row 2 is not JSON"),
        (json.dumps(chain(format="toolenv/9")), "row 1 has the format 'toolenv/9'"),
        ('{"a": 1}', "row 1 is neither an instance of toolenv/1 nor a published row"),
        ('{"split": "test", "data_source": "self/none"}', "field 'data_source' is 'self/none'"),
        ("[1]", "row 1"),
        ("1\n", "row 1"),
        ("\n\n", "holds no instances"),
        ("", "holds no instances"),
        (f"{made(chain()).to_line()}\n{made(parallel('made-1')).to_line()}", "instances 1 and 2 have the id 'made-1'"),
    ],
)
def test_what_cannot_be_opened(tmp_path, text, message):
    path = tmp_path / "a.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError if "holds no" in message else InstanceError, match=message):
        list(open_instances(path))


def test_other_places(tmp_path):
    with pytest.raises(MissingDataError, match="There is no file"):
        open_instances(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match="is a folder"):
        open_instances(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(ConfigError, match="cannot be read as parquet"):
        open_instances(tmp_path / "a.parquet")
    with pytest.raises(ConfigError, match="published rows only"):
        write_instances(tmp_path / "b.parquet", FOUND)
