"""`palaestra toolforge`: build, describe, check, export."""

import json

import pytest

from palaestra.cli.main import main
from palaestra.envs.toolforge.build import build_many
from palaestra.envs.toolforge.env import ToolForgeEnv
from palaestra.envs.toolforge.files import open_instances
from tests.agents.backends.fault_server import chat_completion, fault_server
from tests.envs.toolforge.test_llm_build import QUESTION, Model


@pytest.fixture
def built(tmp_path, capsys):
    path = tmp_path / "tiny.jsonl"
    assert main(["toolforge", "build", "--preset", "tiny", "-n", "6", "--split", "test", "--seed", "4", "-o", str(path)]) == 0
    assert "6 instances" in capsys.readouterr().out
    return path


def test_built_instances_are_those_of_the_function(built):
    assert list(open_instances(built)) == list(build_many("tiny", split="test", count=6, seed=4))


def test_scenario_and_levels_are_passed_on(tmp_path):
    path = tmp_path / "x.jsonl"
    command = [
        "toolforge",
        "build",
        "--preset",
        "easy",
        "--scenario",
        "multi_hop",
        "--level",
        "params=0",
        "-n",
        "2",
        "-o",
        str(path),
    ]
    assert main(command) == 0
    expected = list(build_many("easy", scenario="multi_hop", levels={"params": 0}, count=2))
    assert list(open_instances(path)) == expected


def test_sizes_are_shown(built, capsys):
    capsys.readouterr()
    assert main(["toolforge", "describe", str(built), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["scenario"] for row in rows} <= {"single_hop", "parallel_single_hop", "multi_hop", "all"}
    assert rows[-1]["instances"] == "6"
    assert main(["toolforge", "describe", str(built)]) == 0
    assert "single_hop" in capsys.readouterr().out


def test_a_check_passes_and_a_damaged_answer_fails_it(built, tmp_path, capsys):
    assert main(["toolforge", "check", str(built)]) == 0
    assert "6 instances, 0 with faults" in capsys.readouterr().out
    data = json.loads(built.read_text("utf-8").splitlines()[0])
    data["nodes"][0]["answer"] = "z9z9"
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_text(json.dumps(data) + "\n", encoding="utf-8")
    assert main(["toolforge", "check", str(damaged), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["with_faults"] == 1
    assert report["found"][0]["faults"]


def test_rows_are_exported(built, tmp_path):
    rows = tmp_path / "rows.jsonl"
    assert main(["toolforge", "export", str(built), "-o", str(rows)]) == 0
    assert [one.scenario for one in open_instances(rows)] == [one.scenario for one in open_instances(built)]
    assert all(
        "def " in source
        for line in rows.read_text("utf-8").splitlines()
        for source in json.loads(json.loads(line)["codes"]).values()
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--preset", "huge"], "huge"),
        (["--level", "params"], "KEY=VALUE"),
        (["--level", "params=many"], "NAME=NUMBER"),
        (["--model", "scripted:x.json"], "go together"),
        (["--scenario", "two"], "two"),
    ],
)
def test_wrong_usage_is_one_line(options, said, tmp_path, capsys):
    assert main(["toolforge", "build", *options, "-o", str(tmp_path / "x.jsonl")]) == 2
    assert said in capsys.readouterr().err


def test_a_model_builds_and_what_it_gets_wrong_is_dropped_with_a_reason(tmp_path, capsys):
    """A model that answers prose drops every item; the record says so."""
    script, topics, out = tmp_path / "script.json", tmp_path / "topics.txt", tmp_path / "x.jsonl"
    script.write_text(json.dumps({"content": "I would rather not.", "repeat": True}), encoding="utf-8")
    topics.write_text("cities\n\nships\n", encoding="utf-8")
    assert main(["toolforge", "build", "--model", f"scripted:{script}", "--topics", str(topics), "-o", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "0 of 2 instances" in shown
    assert "dropped: 2 with L1:invalid" in shown
    records = [json.loads(line) for line in (tmp_path / "x.jsonl.audit.jsonl").read_text("utf-8").splitlines()]
    assert [len(record["attempts"]) for record in records] == [12, 12]


def test_a_server_that_fails_at_first_builds_in_the_end_and_is_not_asked_twice(tmp_path, capsys):
    topics, out = tmp_path / "topics.txt", tmp_path / "x.jsonl"
    topics.write_text("cities\n", encoding="utf-8")
    model = Model()
    with fault_server() as server:
        server.answer = lambda body: chat_completion(model(body["messages"]))
        server.plan.extend(["500", "429", "ok", "503"])
        command = ["toolforge", "build", "--model", server.model_string, "--topics", str(topics), "-o", str(out)]
        assert main(command) == 0
        assert "1 of 1 instances" in capsys.readouterr().out
        [instance] = open_instances(out)
        assert (instance.question, instance.source) == (QUESTION, "llm")
        asked = len(server.received)
        assert asked == 9 + 3
        assert main(command) == 0
        assert list(open_instances(out)) == [instance]
        assert len(server.received) == asked


def test_a_server_that_refuses_the_key_lets_nothing_pass(tmp_path, capsys):
    topics, out = tmp_path / "topics.txt", tmp_path / "x.jsonl"
    topics.write_text("cities\n", encoding="utf-8")
    with fault_server() as server:
        server.default = "401"
        assert main(["toolforge", "build", "--model", server.model_string, "--topics", str(topics), "-o", str(out)]) == 0
    assert "dropped: 1 with L1:unreachable" in capsys.readouterr().out
    assert out.read_text("utf-8") == ""


def test_stored_messages_are_scored(built, tmp_path, capsys):
    instance = open_instances(built)[0]
    turns = [{"tool_calls": [{"name": node.tool, "arguments": node.golden_args}]} for node in instance.nodes]
    episodes = tmp_path / "episodes.jsonl"
    episodes.write_text(json.dumps({"id": instance.id, "turns": turns}), encoding="utf-8")
    for profile in ("strict", "published"):
        assert main(["toolforge", "score", str(built), str(episodes), "--profile", profile, "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        assert (found["solve_f1"], found["final_correct"]) == (1, 0)
    assert main(["toolforge", "score", str(built), str(episodes)]) == 0
    assert "Solve-F1" in capsys.readouterr().out
    assert main(["toolforge", "score", str(built), str(episodes), "--profile", "loose"]) != 0
    assert "profile" in capsys.readouterr().err


def test_states_of_a_run_are_collected_and_played_on(tmp_path, capsys):
    runs, out = str(tmp_path / "runs"), tmp_path / "states.jsonl"
    settings = ["--set", "preset=tiny", "--set", "scenario=multi_hop", "--set", "expert_noise=0.4"]
    model = ["--model", "expert", "-n", "3", "--run", "made", "--runs", runs]
    assert main(["evaluate", "--env", "palaestra/ToolForge-v0", *model, *settings]) == 0
    assert main(["toolforge", "collect", "made", "-o", str(out), "--form", "toolenv", "--runs", runs]) == 0
    states = list(open_instances(out))
    assert f"{len(states)} states of 3 episodes" in capsys.readouterr().out
    assert len(states) >= 9  # the start, and two calls or more
    assert sum("@" not in state.id for state in states) == 3
    env = ToolForgeEnv(instances=out, split="test", max_turns=1, reward="paper_turn")
    for state in states:
        env.reset(options={"task": state.id})
        assert env.step(next(env.expert()))[1] == 1  # a hop solved, or the answer after all of them
    env.close()
    assert main(["toolforge", "collect", "made", "-o", str(out), "--runs", runs]) == 0
    assert [row.id for row in open_instances(out)] == [state.id for state in states]
    assert main(["toolforge", "collect", "made", "-o", str(out), "--form", "csv", "--runs", runs]) == 2
    assert "csv" in capsys.readouterr().err
