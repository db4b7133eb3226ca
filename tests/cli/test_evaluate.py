from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from palaestra.agents.store.store import RunStore
from palaestra.errors import StoreError
from tests.cli.conftest import deaf, listen

TEXTCRAFT = "palaestra/TextCraft-v0"


@pytest.fixture
def evaluate(palaestra_run, tmp_path):
    """Run `palaestra evaluate` into a folder of this test."""

    def run(*words):
        return palaestra_run("evaluate", "--runs", tmp_path / "runs", *words)

    return run


def script(tmp_path, *rows) -> str:
    path = tmp_path / "script.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"scripted:{path}"


def test_the_expert_solves_everything_and_the_report_is_there(evaluate):
    ran = evaluate("--env", TEXTCRAFT, "--model", "expert", "-n", "5")
    assert ran.code == 0
    assert re.search(r"expert\s+100\.0 %\s+56\.6 - 100\.0 %\s+5\.0 %\s+\+95\.0 \(\+\d\d\.\d to \+\d\d\.\d\)\s+1\.000", ran.out)
    report = Path(re.search(r"Report\s+(\S+)", ran.out)[1])
    assert "100.0" in report.read_text(encoding="utf-8")
    assert ran.err == ""


def test_arms_stand_side_by_side_in_table_json_and_report(evaluate, tmp_path):
    ran = evaluate("--env", TEXTCRAFT, "--model", "expert", "--model", "random", "-n", "4", "--samples", "2", "--json")
    data = json.loads(ran.out)
    assert [run["config"]["agent"] for run in data["runs"]] == ["expert", "random"]
    assert [run["summary"]["total"]["num_episodes"] for run in data["runs"]] == [8, 8]
    assert data["runs"][0]["summary"]["samples"] == 2
    assert Path(data["report"]).name == "comparison.html"
    with RunStore(tmp_path / "runs", read_only=True) as store:
        assert {run.status for run in store.runs()} == {"finished"}
        assert all((store.folder / run.run_id / "report.html").exists() for run in store.runs())


def test_a_model_is_asked_in_its_format_and_the_options_are_kept_for_resuming(evaluate, tmp_path):
    spec = script(tmp_path, {"content": "Thought: look.\nAction: inventory", "repeat": True})
    ran = evaluate(
        "--env", TEXTCRAFT, "--model", spec, "-n", "2", "--format", "react", "--max-turns", "3", "--temperature", "0", "--json"
    )
    assert ran.code == 0
    run = json.loads(ran.out)["runs"][0]
    assert run["config"]["model_options"] == {"format": "react", "temperature": 0}
    assert run["summary"]["stop_reasons"] == {"max_rounds": 2}
    with RunStore(tmp_path / "runs", read_only=True) as store:
        trajectory = next(store.trajectories(run["run_id"]))
    assert [step.action.content for step in trajectory.steps] == ["inventory"] * 3
    again = evaluate("--run", run["run_id"], "--json")
    assert again.code == 0
    assert json.loads(again.out)["runs"][0]["summary"] == run["summary"]


def test_errors_end_with_3_are_no_score_and_can_be_played_again(evaluate, tmp_path):
    spec = script(tmp_path, {"error": "the server is down", "status": 400, "repeat": True})
    ran = evaluate("--env", TEXTCRAFT, "--model", spec, "-n", "3", "--retries", "0")
    assert ran.code == 3
    assert "3 episodes of" in ran.out
    assert "model: ModelError (3)" in ran.out
    command = re.search(r"play them again: (.*)", ran.out)[1]
    script(tmp_path, {"content": "inventory", "repeat": True})
    again = evaluate(*shlex.split(command)[2:], "--json")  # --runs stands in the command again: the last one counts
    assert again.code == 0
    total = json.loads(again.out)["runs"][0]["summary"]["total"]
    assert (total["num_episodes"], total["num_errors"], total["success"]["mean"]) == (3, 0, 0)


def test_a_server_that_is_not_there_is_a_model_error(evaluate):
    ran = evaluate("--env", TEXTCRAFT, "--model", "http://127.0.0.1:9/v1#none", "-n", "2", "--retries", "0", "--json")
    assert ran.code == 3
    summary = json.loads(ran.out)["runs"][0]["summary"]
    assert summary["errors"] == {"model": 2}
    assert summary["total"]["success"]["mean"] is None


def test_a_spent_budget_stops_the_run_and_a_larger_one_goes_on(evaluate, tmp_path):
    spec = script(tmp_path, {"content": "inventory", "repeat": True})
    words = ("--env", TEXTCRAFT, "--model", spec, "-n", "4", "--max-turns", "5", "--concurrency", "1")
    ran = evaluate(*words, "--budget-calls", "12")
    assert ran.code == 3
    assert "stopped" in ran.out
    assert "(2 of 4 planned)" in ran.out
    assert "biased towards short episodes, which finish first" in ran.out
    command = shlex.split(re.search(r"go on: (.*)", ran.out)[1])[2:]
    again = evaluate(*command, "--budget-calls", "1000", "--json")
    assert again.code == 0
    assert json.loads(again.out)["runs"][0]["summary"]["total"]["num_episodes"] == 4


def test_each_value_of_an_argument_is_an_arm_of_every_model(evaluate, tmp_path):
    words = ("--env", TEXTCRAFT, "--model", "expert", "--model", "random", "-n", "2")
    ran = evaluate(*words, "--each", "distractors=0,3", "--set", "action_format=text")
    assert ran.code == 0, ran.err
    names = [f"{model} · distractors={value}" for model in ("expert", "random") for value in (0, 3)]
    assert [line.split("  ")[0].strip() for line in ran.out.splitlines() if "distractors=" in line] == names
    with RunStore(tmp_path / "runs", read_only=True) as store:
        kwargs = {run.run_id.split("-", 3)[3]: run.config["envs"][0]["env_kwargs"] for run in store.runs()}
        ids = [run.run_id for run in store.runs()]
    arms = [(model, value) for model in ("expert", "random") for value in (0, 3)]
    assert kwargs == {f"{model}-{value}": {"action_format": "text", "distractors": value} for model, value in arms}
    again = evaluate(*(word for run_id in ids for word in ("--run", run_id)), "--json")
    assert again.code == 0, again.err
    data = json.loads(again.out)
    assert {run["run_id"] for run in data["runs"]} == set(ids)
    assert "results" not in data  # TextCraft has no tables of its own


def test_arms_that_do_not_share_their_tasks_are_told(evaluate):
    for run, n in (("two", "2"), ("three", "3")):
        assert evaluate("--env", TEXTCRAFT, "--model", "random", "-n", n, "--run", run, "--max-turns", "1").code == 0
    ran = evaluate("--run", "two", "--run", "three")
    assert ran.code == 0, ran.err
    assert f"The arms of {TEXTCRAFT} do not share their tasks: 2 are common to all (" in ran.out
    assert "do not share" not in evaluate("--run", "two").out
    [told] = json.loads(evaluate("--run", "two", "--run", "three", "--json").out)["notices"]
    assert told in ran.out
    assert "notices" not in json.loads(evaluate("--run", "two", "--json").out)


def test_seeds_of_the_command_reach_the_agent(evaluate, tmp_path):
    for run, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        words = ("--env", TEXTCRAFT, "--model", "random", "-n", "2", "--max-turns", "2")
        assert evaluate(*words, "--seed", seed, "--run", run).code == 0
    with RunStore(tmp_path / "runs", read_only=True) as store:
        acts = [[[s.action.content for s in t.steps] for t in store.trajectories(run)] for run in "abc"]
    assert acts[0] == acts[1]
    assert acts[0] != acts[2]


def test_an_agent_of_a_model_is_built_anew_for_each_value(evaluate, tmp_path):
    spec = script(tmp_path, {"content": "inventory", "repeat": True})
    words = ("--env", TEXTCRAFT, "--model", spec, "-n", "2", "--max-turns", "2", "--format", "text")
    ran = evaluate(*words, "--each", "distractors=0,1,2", "--json")
    assert ran.code == 0, ran.err
    assert [run["summary"]["total"]["num_episodes"] for run in json.loads(ran.out)["runs"]] == [2, 2, 2]


def test_one_command_gives_the_papers_table_of_the_car_and_its_own_numbers_apart(evaluate):
    words = ("--env", "palaestra/VehicleWorld-v0", "--model", "expert", "--model", "nothing", "-n", "3")
    ran = evaluate(*words, "--each", "mode=fc,sfc,hybrid")
    assert ran.code == 0, ran.err
    assert re.search(r"Model\s+FC acc\.\s+FC F1\+\s+FC F1-\s+SFC acc\..*Hybrid F1-", ran.out)
    assert re.search(r"\n expert(\s+100\.0){9}", ran.out)
    assert "Strict scores" in ran.out
    assert "Costs per task" in ran.out
    assert ran.out.index("For reference: accuracy in the paper") > ran.out.index("Strict scores")
    as_json = evaluate("--env", "palaestra/VehicleWorld-v0", "--model", "expert", "-n", "2", "--json")
    results = json.loads(as_json.out)["results"]["palaestra/VehicleWorld-v0"]
    assert [arm["name"] for arm in results["arms"]] == ["expert · mode=fc"]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ([], "no agent to evaluate; name one with --model"),
        (["--model", "random"], "name one with --env"),
        (["--env", "palaestra/TextCraf-v0", "--model", "random"], "Did you mean 'palaestra/TextCraft-v0'"),
        (["--env", TEXTCRAFT, "--model", "randm"], "Did you mean 'random'"),
        (["--env", TEXTCRAFT, "--model", "opnai:gpt"], "opnai"),
        (["--env", TEXTCRAFT, "--model", "scripted:/no/such.jsonl"], "/no/such.jsonl"),
        (["--env", TEXTCRAFT, "--model", "hf:/no/such/model"], "/no/such/model"),
        (["--env", TEXTCRAFT, "--model", "human"], "palaestra play"),
        (["--env", TEXTCRAFT, "--model", "random", "--split", "tset"], "Did you mean 'test'"),
        (["--env", TEXTCRAFT, "--model", "random", "-n", "0"], "-n is '0'"),
        (["--env", TEXTCRAFT, "--model", "random", "--samples", "0"], "samples is 0"),
        (["--env", TEXTCRAFT, "--model", "random", "--seed", "-1"], "seed is -1; expected a whole number of at least 0"),
        (["--env", TEXTCRAFT, "--model", "random", "--seed", str(2**63)], "and at most 9223372036854775807"),
        (["--env", "palaestra/Desk-v0", "--model", "random", "--split", "train", "-n", str(10**24)], "at most 10,000,000"),
        (["--env", TEXTCRAFT, "--model", "random", "--samples", str(10**24)], "at most 10,000,000"),
        (["--env", "../x:y", "--model", "random"], "expected the dotted name of a module"),
        (["--env", "no_such_module:y", "--model", "random"], "'no_such_module', which is not installed"),
        (["--env", TEXTCRAFT, "--model", "random", "--temperature", "1"], "take no options"),
        (["--env", TEXTCRAFT, "--model", "random", "--set", "x"], "expected KEY=VALUE"),
        (["--env", TEXTCRAFT, "--model", "random", "--set", "distractors=lots"], "lots"),
        (["--env", TEXTCRAFT, "--model", "random", "--run", "a", "--run", "b"], "one --run per model"),
        (["--env", TEXTCRAFT, "--model", "random", "--run", "../x"], "is not a plain name"),
        (["--env", TEXTCRAFT, "--model", "random", "--each", "distractors"], "expected KEY=VALUE,VALUE"),
        (["--env", TEXTCRAFT, "--model", "random", "--each", "distractors=0,lots"], "lots"),
        (["--env", TEXTCRAFT, "--model", "random", "--each", "distractor=0,1"], "Did you mean 'distractors'"),
        (
            ["--env", TEXTCRAFT, "--model", "random", "--each", "distractors=0,1", "--run", "a"],
            "one --run per model and value",
        ),
        (["--env", TEXTCRAFT, "--model", "random", "--each", "x=0,1", "--set", "x=2"], "given by --set and by --each"),
        (
            ["--env", TEXTCRAFT, "--model", "random", "--set", "split=train"],
            "given split='train', .*--split",
        ),
        (["--env", TEXTCRAFT, "--model", "random", "--each", "split=train,test", "--split", "test"], "given split='train'"),
        (["--run", "nothing", "--each", "distractors=0,1"], "--each distractors=... starts new runs"),
        (["--env", "palaestra/Desk-v0", "--model", "expert", "--split", "train", "-n", "all"], "no end"),
        (["--run", "nothing"], "Unknown run 'nothing'"),
        (["--env", TEXTCRAFT, "--model", "random", "--workers", "-1"], "Invalid value for '--workers'"),
        (["--env", TEXTCRAFT, "--model", "random", "--worker-kind", "ray"], "'ray'; expected 'process' or 'thread'"),
        (["--env", TEXTCRAFT, "--model", "random", "--step-timeout", "0"], "step_timeout_s is 0.0; expected"),
        (["--env", TEXTCRAFT, "--model", "random", "--step-timeout", "5"], "runs in the event loop.* --workers N"),
        (
            ["--env", TEXTCRAFT, "--model", "random", "--workers", "0", "--step-timeout", "5"],
            "step_timeout_s needs env_workers",
        ),
    ],
)
def test_mistakes_are_one_line_and_store_nothing(refused, tmp_path, words, match):
    refused("evaluate", "--runs", tmp_path / "runs", *words, match=match)
    with RunStore(tmp_path / "runs") as store:
        assert store.runs() == []


BROKEN_MODULES = {
    "raises_here": ("x = 1\nraise RuntimeError('boom')\n", r"RuntimeError: boom \(raises_here\.py, line 2\)"),
    "leaves_here": ("import sys\nsys.exit(3)\n", r"SystemExit: 3 \(leaves_here\.py, line 2\)"),
    "lacks_here": ("import no_such_dependency\n", r"No module named 'no_such_dependency' \(lacks_here\.py, line 1\)"),
}


@pytest.mark.parametrize(
    "words",
    [
        ("show", "{}:x/Y-v0"),
        ("check", "{}:x/Y-v0"),
        ("play", "{}:x/Y-v0"),
        ("evaluate", "--env", "{}:x/Y-v0", "--model", "random"),
        ("evaluate", "--env", TEXTCRAFT, "--model", "{}:Agent"),
    ],
)
@pytest.mark.parametrize("module", BROKEN_MODULES)
def test_a_module_of_ones_own_that_fails_is_one_line_that_names_it(refused, tmp_path, monkeypatch, words, module):
    source, message = BROKEN_MODULES[module]
    (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    refused(*(word.format(module) for word in words), match=f"names the module '{module}'.*{message}")
    assert not (tmp_path / "runs" / "runs.db").exists()


def test_an_unknown_format_or_option_of_a_model_is_refused(refused, tmp_path):
    spec = script(tmp_path, {"content": "x", "repeat": True})
    words = ("evaluate", "--runs", tmp_path / "runs", "--env", TEXTCRAFT, "--model", spec)
    refused(*words, "--format", "raect", match="Did you mean 'react'")
    refused(*words, "--option", "nonsense=1", match="nonsense")


def test_environments_play_in_workers_if_that_is_asked_for_with_the_same_results(evaluate, monkeypatch):
    from palaestra.envs.agentgym.textcraft.env import TextCraftEnv

    used = set()
    act = TextCraftEnv._act

    def noted(self, action):
        used.add(threading.current_thread())
        return act(self, action)

    monkeypatch.setattr(TextCraftEnv, "_act", noted)
    words = ("--env", TEXTCRAFT, "--model", "expert", "-n", "6", "--json")
    here = json.loads(evaluate(*words).out)["runs"][0]["summary"]
    assert used == {threading.current_thread()}
    used.clear()
    there = json.loads(evaluate(*words, "--workers", "2", "--worker-kind", "thread", "--step-timeout", "30").out)
    assert {**there["runs"][0]["summary"], "usage": 0} == {**here, "usage": 0}  # it has the seconds
    assert 1 <= len(used) <= 2
    assert threading.current_thread() not in used


def test_a_resumed_run_keeps_its_settings(evaluate, refused, tmp_path):
    assert evaluate("--env", TEXTCRAFT, "--model", "random", "-n", "3", "--run", "mine").code == 0
    assert evaluate("--run", "mine", "-n", "3").code == 0
    runs = ("--runs", tmp_path / "runs", "--run", "mine")
    refused("evaluate", *runs, "-n", "4", match="created with n=3, now n=4")
    refused("evaluate", *runs, "--seed", "4", match="created with seed=0, now seed=4")
    refused(
        "evaluate",
        *runs,
        "--env",
        TEXTCRAFT,
        "--model",
        "expert",
        "-n",
        "3",
        match="created with other settings: agent was 'random'",
    )


def test_a_secret_is_not_kept_in_the_store(evaluate, tmp_path):
    evaluate(
        "--env", TEXTCRAFT, "--model", "http://127.0.0.1:9/v1#none", "-n", "1", "--retries", "0", "--option", "api_key=S3CRET"
    )
    assert b"S3CRET" not in (tmp_path / "runs" / "palaestra.db").read_bytes()
    assert not any(b"S3CRET" in path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file())


TWENTY = ("--env", "palaestra/TwentyQuestions-v1", "--split", "test", "--set", "things=6", "--set", "max_turns=8")


def test_another_seat_is_played_by_a_model_a_persona_or_an_agent(evaluate, tmp_path):
    user = script(tmp_path, {"content": "Yes.", "repeat": True})
    ran = evaluate(*TWENTY, "--model", "expert", "-n", "3", "--seat", f"answerer={user}", "--run", "mine", "--json")
    assert ran.code == 0
    config = json.loads(ran.out)["runs"][0]["config"]
    assert config["seat_models"] == {"answerer": {"model": user, "options": {}}}
    assert config["seats"]["answerer"]["agent"] == "scripted:script.jsonl"
    assert config["envs"][0]["env_kwargs"] == {"things": 6, "max_turns": 8}
    with RunStore(tmp_path / "runs") as store:
        whole = next(iter(store.trajectories("mine")))
        assert {step.action.content for step in whole.steps if step.seat == "answerer"} == {"Yes."}
        calls = sum(len(one.of_seat("answerer").steps) for one in store.trajectories("mine"))
        assert sum(line.calls for line in store.episodes("mine")) == calls > 0
    ran = evaluate(*TWENTY, "--model", "expert", "-n", "3", "--seat", "answerer=persona:liar", "--json")
    config = json.loads(ran.out)["runs"][0]["config"]
    assert config["envs"][0]["env_kwargs"]["players"] == {"answerer": "liar"}
    assert "seats" not in config
    ran = evaluate(*TWENTY, "--model", "expert", "-n", "2", "--set", "judge=each", "--seat", "judge=expert", "--json")
    assert json.loads(ran.out)["runs"][0]["summary"]["total"]["success"]["mean"] == 1.0


def test_a_run_with_other_seats_resumes_with_the_same_agents_only(evaluate, refused, tmp_path):
    user = script(tmp_path, {"content": "Yes.", "repeat": True})
    words = (*TWENTY, "--model", "expert", "--seat", f"answerer={user}", "--seat-option", "answerer.temperature=0.5")
    assert evaluate(*words, "-n", "2", "--run", "mine").code == 0
    assert evaluate("--run", "mine").code == 0
    assert evaluate("--run", "mine", "--seat", f"answerer={user}", "--seat-option", "answerer.temperature=0.5").code == 0
    runs = ("--runs", tmp_path / "runs", "--run", "mine")
    refused("evaluate", *runs, "--seat", f"answerer={user}", match="created with scripted:.* in the seat 'answerer'")
    refused("evaluate", *runs, "--seat", "judge=expert", match="created with nobody in the seat 'judge', now expert")
    refused("evaluate", *runs, "--seat", "answerer=persona:liar", match="env_kwargs")


def test_a_person_sits_in_a_seat(evaluate, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n" * 40))
    ran = evaluate(*TWENTY, "--model", "expert", "-n", "2", "--seat", "answerer=human", "--json")
    assert ran.code == 0
    json.loads(ran.out)
    assert ran.err.count("You are the answerer.") == 2
    assert "Question 1: " in ran.err
    assert "It is one of these" not in ran.err  # that is for the asker
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))
    ran = evaluate(*TWENTY, "--model", "expert", "-n", "2", "--seat", "answerer=human")
    assert ran.code == 3
    assert "user: EOFError" in ran.out


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--seat", "answerer"], "expected NAME=MODEL, NAME=persona:NAME or NAME=human"),
        (["--seat", "answerer=persona:"], "expected NAME=MODEL"),
        (["--seat", "answerer=expert", "--seat", "answerer=random"], "names answerer twice"),
        (["--seat", "answrer=expert"], "Unknown seat 'answrer'. Did you mean 'answerer'"),
        (["--seat", "asker=expert"], "is the policy's"),
        (["--seat", "answerer=persona:lier"], "Unknown answerer persona 'lier'"),
        (["--seat", "answerer=persona:liar", "--set", "players={}"], "by --set and by --seat"),
        (["--seat", "answerer=expert", "--seat-option", "answerer.temperature=1"], "is for a model in that seat"),
        (["--seat-option", "answerer.temperature=1"], "is for a model in that seat"),
        (["--seat", "answerer=scripted:x", "--seat-option", "temperature=1"], "expected NAME.KEY=VALUE"),
        (["--seat", "answerer=nonsense"], "nonsense"),
    ],
)
def test_mistakes_about_seats_are_one_line_and_store_nothing(refused, tmp_path, words, match):
    refused("evaluate", "--runs", tmp_path / "runs", *TWENTY, "--model", "expert", *words, match=match)
    with RunStore(tmp_path / "runs") as store:
        assert store.runs() == []


def test_an_environment_with_one_seat_takes_no_agents_for_others(refused, tmp_path):
    words = ("evaluate", "--runs", tmp_path / "runs", "--env", TEXTCRAFT, "--model", "expert")
    refused(*words, "--seat", "user=expert", match="has one seat; leave out --seat user=")
    refused(*words, "--seat", "user=persona:kind", match="players")


@pytest.mark.parametrize(("hearing", "sent"), [(listen, signal.SIGINT), (listen, signal.SIGTERM), (deaf, signal.SIGTERM)])
def test_ctrl_c_or_sigterm_ends_with_130_and_a_command_that_finishes_the_run(evaluate, tmp_path, hearing, sent):
    runs = tmp_path / "runs"
    words = ["evaluate", "--env", TEXTCRAFT, "--model", "random", "-n", "40", "--samples", "25", "--runs", str(runs)]
    command = [sys.executable, "-m", "palaestra.cli.main", *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}, preexec_fn=hearing
    )
    try:
        _wait_for_episodes(runs, process)
        process.send_signal(sent)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert out == ""
    assert err.count("\n") == 1
    resume = shlex.split(re.search(r"Resume with: (.*)", err)[1])
    run_id = resume[resume.index("--run") + 1]
    with RunStore(runs, read_only=True) as store:
        before = store.finished(run_id)
        assert 0 < len(before) < 1000
        assert store.status(run_id) == "interrupted"
        assert store.run(run_id).note == f"{len(before):,} of 1,000 planned"
    ran = evaluate(*resume[2:], "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["runs"][0]["summary"]["total"]["num_episodes"] == 1000


def test_ctrl_c_among_several_arms_goes_on_with_all_of_them(evaluate, tmp_path):
    runs = tmp_path / "runs"
    words = [
        "evaluate",
        "--env",
        TEXTCRAFT,
        "--model",
        "random",
        "--model",
        "expert",
        "-n",
        "10",
        "--samples",
        "80",
        "--runs",
        str(runs),
    ]
    command = [sys.executable, "-m", "palaestra.cli.main", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=listen)
    try:
        _wait_for_episodes(runs, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    resume = shlex.split(re.search(r"Resume with: (.*)", err)[1])
    assert resume[:-4] == ["palaestra", *words]
    ran = evaluate(*resume[2:], "--json")
    assert ran.code == 0, ran.err
    assert [run["summary"]["total"]["num_episodes"] for run in json.loads(ran.out)["runs"]] == [800, 800]


def _wait_for_episodes(runs, process) -> None:
    for _ in range(600):
        assert process.poll() is None, process.communicate()
        try:
            with RunStore(runs, read_only=True) as store:
                if any(run.num_episodes for run in store.runs()):
                    return
        except StoreError:
            pass
        time.sleep(0.05)
    raise AssertionError("no episode was stored within 30 s")


def test_an_agent_of_ones_own_is_a_module_and_a_name(evaluate, tmp_path, monkeypatch):
    (tmp_path / "walkers.py").write_text(
        "class Walker:\n"
        "    def __init__(self, word='look'): self.word = word\n"
        "    def act(self, observation, info): return self.word\n"
        "def silent(observation, info): return None\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "walkers", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    ran = evaluate("--env", TEXTCRAFT, "--model", "walkers:Walker", "--option", "word=inventory", "-n", "2", "--json")
    [run] = json.loads(ran.out)["runs"]
    assert (run["config"]["agent"], run["config"]["model"]) == ("Walker", "walkers:Walker")
    assert run["config"]["model_options"] == {"word": "inventory"}
    assert (ran.code, run["summary"]["total"]["num_errors"]) == (0, 0)
    again = evaluate("--run", run["run_id"], "--json")
    assert json.loads(again.out)["runs"][0]["summary"] == run["summary"]

    for model, message in [
        ("walkers:Runner", "Unknown name in 'walkers' 'Runner'"),
        ("walkers:silent", "The agent 'silent' returned a NoneType; expected an assistant Message or a str"),
        ("wakers:Walker", "No module 'wakers' was found.* Did you mean 'walkers:Walker'.* MODULE:NAME"),
    ]:
        ran = evaluate("--env", TEXTCRAFT, "--model", model, "-n", "2")
        assert ran.code == 2
        assert re.search(message, ran.err)


def test_the_first_message_of_each_cause_is_printed(evaluate, tmp_path):
    model = script(tmp_path, {"error": "There is no model 'tiny' here.", "status": 404, "repeat": True})
    ran = evaluate("--env", TEXTCRAFT, "--model", model, "-n", "40")
    assert ran.code == 3
    assert "model: ModelError, first: There is no model 'tiny' here." in ran.out
    assert "The first 10 episodes ended in the same error and none was scored" in " ".join(ran.out.split())
    assert "--retry-errors" in ran.out


def test_a_run_stopped_without_a_score_says_which_moves_can_be_made(evaluate, palaestra_run, tmp_path):
    (tmp_path / "good").mkdir()
    wrong = script(tmp_path, {"error": "There is no model 'tiny' here.", "status": 404, "repeat": True})
    right = script(tmp_path / "good", {"content": "inventory", "repeat": True})
    words = ("--seed", "1", "--max-turns", "2", "--option", "temperature=0.5", "--option", "system_prompt=a b")
    ran = evaluate("--env", TEXTCRAFT, "--model", wrong, "-n", "40", *words, "--run", "first")
    lines = ran.out.splitlines()
    (go_on,) = [shlex.split(line.partition(": ")[2]) for line in lines if line.startswith("  go on: ")]
    (other,) = [shlex.split(line.partition(": ")[2]) for line in lines if line.startswith("  with another model or address: ")]
    assert go_on[-1] == "--retry-errors"
    assert "play them again:" not in ran.out
    assert "its numbers are those so far" not in ran.out
    assert "Another model or address is another run" in " ".join(ran.out.split())
    table = ran.out.partition("first stopped")[0]
    assert not re.search(r"depth|\(no type\)", table), "types without a score have no rows"
    assert other[other.index("--run") + 1] == "first-2"
    assert palaestra_run(*other[1:]).code == 3, "the line can be played as it is"
    (again,) = [line for line in evaluate(*go_on[2:4]).out.splitlines() if "with another model" in line]
    assert "--run first-3" in again
    corrected = [right if word == wrong else "last" if word == "first-2" else word for word in other[1:]]
    assert palaestra_run(*corrected).code == 0
    with RunStore(tmp_path / "runs", read_only=True) as store:
        first, last = store.config("first"), store.config("last")
        assert {key for key in first if first[key] != last[key]} <= {"model", "agent", "agent_settings"}
        assert first["model_options"] == last["model_options"] == {"temperature": 0.5, "system_prompt": "a b"}
    Path(tmp_path / "script.jsonl").write_text(json.dumps({"content": "inventory", "repeat": True}) + "\n", encoding="utf-8")
    assert palaestra_run(*go_on[1:]).code == 0


def test_a_short_run_without_a_score_says_the_same_moves(evaluate, tmp_path):
    wrong = script(tmp_path, {"error": "There is no model 'tiny' here.", "status": 404, "repeat": True})
    ran = evaluate("--env", TEXTCRAFT, "--model", wrong, "-n", "3", "--run", "short")
    assert "go on" not in ran.out
    assert re.search(r"  play them again: palaestra evaluate --run short .*--retry-errors\n", ran.out)
    assert re.search(r"  with another model or address: palaestra evaluate .* --run short-2 ", ran.out)


def test_a_split_with_fewer_tasks_than_asked_for_says_so(evaluate):
    ran = evaluate("--env", "toys/Lamp-v0", "--model", "expert", "-n", "5")
    assert "the split 'test' has 1 task; -n 5 plays it whole." in ran.out
    for n in ("1", "all"):
        assert "the split" not in evaluate("--env", "toys/Lamp-v0", "--model", "expert", "-n", n, "--samples", "2").out


@pytest.mark.parametrize("option", ["base_url=http://127.0.0.1:9/v1", "temperature=0.5", "max_tokens=20", "format=react"])
def test_options_that_have_a_flag_are_taken_as_options_too(evaluate, refused, tmp_path, option):
    key, _, value = option.partition("=")
    words = ("--env", TEXTCRAFT, "--model", "openai:none", "-n", "1", "--max-turns", "1", "--option", "api_key=S3CRET")
    url = () if key == "base_url" else ("--base-url", "http://127.0.0.1:9/v1")
    ran = evaluate(*words, *url, "--option", option, "--retries", "5", "--option", "max_retries=0", "--json")
    (run,) = json.loads(ran.out)["runs"]
    assert str(run["config"]["model_options"][key]) == value
    assert "failed" in str(run["summary"]), "the server is not there, and was asked once"
    flag = f"--{key.replace('_', '-')}"
    again = ("evaluate", *words, *url, "--option", option, flag, value, "--runs", tmp_path / "again")
    refused(*again, match=rf"{flag} and --option {key}=... are both given")


def test_retries_and_limits_are_for_models_and_leave_other_agents_alone(evaluate, tmp_path, monkeypatch):
    (tmp_path / "retried_agents.py").write_text("def looks(observation, info):\n    return 'look'\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    ran = evaluate(
        "--env",
        TEXTCRAFT,
        "--model",
        "retried_agents:looks",
        "--model",
        "random",
        "-n",
        "1",
        "--max-turns",
        "1",
        "--retries",
        "0",
    )
    assert ran.code == 0, ran.err
