"""`palaestra critic`: convert, evolve, build, score."""

import json

import pytest

from palaestra.cli.main import main
from palaestra.envs.critic import open_items, write_items
from palaestra.envs.critic.generate import make_record
from tests.envs.critic.made_items import FAILED, external, internal, said

RECORDS = [internal(), external()]


@pytest.fixture
def items(tmp_path):
    write_items(tmp_path / "items.jsonl", RECORDS)
    return tmp_path / "items.jsonl"


@pytest.fixture
def replies(tmp_path):
    lines = [
        {"id": "i", "reply": said(error="tool_select_error")},
        {"id": "e", "replies": [json.dumps(FAILED), said()]},
        {"id": "e", "replies": [json.dumps(FAILED)] * 4, "mode": "finish"},
    ]
    (tmp_path / "replies.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return tmp_path / "replies.jsonl"


def test_there_and_back(items, tmp_path, capsys):
    assert main(["critic", "convert", str(items), "-o", str(tmp_path / "items.json")]) == 0
    assert "2 items" in capsys.readouterr().out
    assert "query_prompt" in json.loads((tmp_path / "items.json").read_text("utf-8"))["i"]
    assert main(["critic", "convert", str(tmp_path / "items.json"), "-o", str(tmp_path / "again.jsonl")]) == 0
    assert open_items(tmp_path / "again.jsonl").records == tuple(RECORDS)


def test_items_that_are_left_out_are_named(items, tmp_path, capsys):
    items.write_text(items.read_text("utf-8") + "{}\n", encoding="utf-8")
    assert main(["critic", "convert", str(items), "-o", str(tmp_path / "items.json")]) == 1
    assert "left out: " in capsys.readouterr().out
    assert len(open_items(tmp_path / "items.json")) == 2


@pytest.mark.parametrize("profile", ["paper", "published"])
def test_replies_are_scored(items, replies, profile, capsys):
    assert main(["critic", "score", str(items), str(replies), "--profile", profile, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["n"], found["profile"], found["similarity"], found["faults"]) == (3, profile, "bow", {})
    assert found["columns"]["detect"] == found["columns"]["external_args"] == pytest.approx(1)
    assert found["columns"]["break"] == 0.5
    assert found["behaviours"]["finish"]["endless_retry"] == 1
    assert main(["critic", "score", str(items), str(replies), "--profile", profile]) == 0
    shown = capsys.readouterr().out
    assert "endless_retry" in shown
    assert f"Profile {profile}, similarity bow" in shown


def test_lines_that_cannot_be_scored_do_not_stop_the_others(items, replies, capsys):
    bad = ["{", "[]", '{"id": "x", "reply": ""}', '{"id": "i"}', '{"id": "i", "replies": ["", ""]}', '{"id": "e", "reply": 1}']
    replies.write_text(replies.read_text("utf-8") + "\n".join(bad), encoding="utf-8")
    assert main(["critic", "score", str(items), str(replies), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["n"] == 3
    assert [*found["faults"]] == [f"line {number}" for number in range(4, 10)]
    assert "Unknown item 'x'" in found["faults"]["line 6"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--profile", "mine"], "Unknown profile 'mine'"),
        (["--mode", "internal"], "Unknown mode 'internal'"),
        (["--similarity", "words"], "expected 'bow'"),
    ],
)
def test_wrong_options(items, replies, options, message, capsys):
    assert main(["critic", "score", str(items), str(replies), *options]) == 2
    assert message in capsys.readouterr().err


def test_no_replies(items, tmp_path, capsys):
    assert main(["critic", "score", str(items), str(tmp_path / "none.jsonl")]) == 2
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    assert main(["critic", "score", str(items), str(tmp_path / "empty.jsonl")]) == 2
    assert "no line that can be scored" in capsys.readouterr().err


def test_items_are_made_harder_and_scored_by_way(tmp_path, capsys):
    records = [make_record("internal", "test", index) for index in range(6)]
    write_items(tmp_path / "base.jsonl", records)
    out = tmp_path / "harder.jsonl"
    assert (
        main(["critic", "evolve", str(tmp_path / "base.jsonl"), "--strategy", "noisy_query", "--seed", "2", "-o", str(out)])
        == 0
    )
    assert "6 of 6 items" in capsys.readouterr().out
    harder = open_items(out)
    replies = "".join(json.dumps({"id": one.id, "reply": one.golden.text()}) + "\n" for one in harder)
    (tmp_path / "replies.jsonl").write_text(replies, encoding="utf-8")
    write_items(tmp_path / "all.jsonl", [*records, *harder])
    replies += "".join(json.dumps({"id": one.id, "reply": one.golden.text()}) + "\n" for one in records)
    (tmp_path / "replies.jsonl").write_text(replies, encoding="utf-8")
    assert main(["critic", "score", str(tmp_path / "all.jsonl"), str(tmp_path / "replies.jsonl"), "--json"]) == 0
    groups = {one["group"]: one["n"] for one in json.loads(capsys.readouterr().out)["groups"]}
    assert (groups["base"], groups["evolved"], groups["evolved by noisy_query"]) == (6, 6, 6)
    assert main(["critic", "evolve", str(out), "--strategy", "noisy_query", "-o", str(tmp_path / "again.jsonl")]) == 1
    assert "noisy_query:again" in capsys.readouterr().out


def test_a_model_that_answers_prose_makes_nothing_harder_and_every_request_is_on_record(tmp_path, capsys):
    script, out = tmp_path / "script.json", tmp_path / "harder.jsonl"
    script.write_text(json.dumps({"content": "I would rather not.", "repeat": True}), encoding="utf-8")
    write_items(tmp_path / "base.jsonl", [make_record("internal", "test", index) for index in range(2)])
    words = [str(tmp_path / "base.jsonl"), "--strategy", "noisy_query", "--model", f"scripted:{script}", "-o", str(out)]
    assert main(["critic", "evolve", *words]) == 1
    shown = capsys.readouterr().out
    assert "0 of 2 items" in shown
    assert shown.count("left out: ") == 2
    records = [json.loads(line) for line in (tmp_path / "harder.jsonl.audit.jsonl").read_text("utf-8").splitlines()]
    assert [(record["outcome"], len(record["attempts"])) for record in records] == [("dropped", 6)] * 2
    assert json.loads((tmp_path / "harder.jsonl.cache.json").read_text("utf-8")) == {}


def test_items_are_built_from_an_environment(tmp_path, capsys):
    pytest.importorskip("jsonschema_rs")
    out = tmp_path / "built.jsonl"
    wanted = ["--label", "timeout", "--label", "tool_select_error"]
    assert main(["critic", "build", "--env", "palaestra/Desk-v0", "-n", "4", *wanted, "--seed", "1", "-o", str(out)]) == 0
    assert "4 of 4 items" in capsys.readouterr().out
    assert sorted(one.label for one in open_items(out)) == ["timeout"] * 2 + ["tool_select_error"] * 2
    assert main(["critic", "build", "--env", "palaestra/Desk-v0", "-n", "1", "--label", "stale_result", "-o", str(out)]) == 1
    assert "missing: 1 of stale_result" in capsys.readouterr().out
