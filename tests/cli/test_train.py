from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from palaestra.agents.store.records import Planned
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.run.packaged import find_recipe, packaged_recipes
from palaestra.errors import StoreError, UnknownNameError
from tests.cli.conftest import deaf, listen

RECIPE = """
name = "tiny"
phases = ["sft", "grpo"]
[env]
id = "palaestra/TextCraft-v0"
recipes = "procedural"
max_turns = 6
[model]
hidden_size = 32
num_layers = 1
num_heads = 2
vocab_size = 320
corpus_episodes = 8
[agent]
instructions = false
max_tokens_per_turn = 12
[horizon]
rounds = [2, 4]
interval = 2
[evaluation]
n = 3
every = 2
curve_n = 2
[checkpoint]
every = 1
[sft]
episodes = 8
epochs = 1
batch_size = 4
[grpo]
steps = 3
tasks_per_step = 1
group_size = 2
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def test_a_recipe_trains_evaluates_and_reports(palaestra_run, recipe, tmp_path):
    ran = palaestra_run("train", recipe, "--runs", tmp_path / "runs", "--run", "one")
    assert ran.code == 0, ran.err
    for arm in ("random", "expert", "untrained", "cloned", "trained"):
        assert re.search(rf"\n *{arm} +\d+\.\d %", ran.out), (arm, ran.out)
    report = Path(re.search(r"Report +(\S+)", ran.out)[1])
    html = report.read_text(encoding="utf-8")
    assert "Palaestra training report" in html
    assert 'aria-label="grpo/test_success by training step"' in html
    assert "4 turns from step 3" in html
    again = palaestra_run("train", "--runs", tmp_path / "runs", "--run", "one", "--json")
    data = json.loads(again.out)
    assert (again.code, data["run_id"]) == (0, "one")
    assert set(data["arms"]) == {"random", "expert", "untrained", "cloned", "trained"}
    assert Path(data["policy_path"]).is_dir()


def test_the_trained_policy_plays_as_a_model(palaestra_run, recipe, tmp_path):
    runs = ("--runs", tmp_path / "runs")
    data = json.loads(
        palaestra_run("train", recipe, *runs, "--set", 'phases=["sft"]', "--set", "evaluation.baselines=[]", "--json").out
    )
    words = (
        "--env",
        "palaestra/TextCraft-v0",
        "--set",
        "recipes=procedural",
        "--max-turns",
        "3",
        "--format",
        "text",
        "--max-tokens",
        "8",
    )
    ran = palaestra_run("evaluate", *runs, *words, "--model", f"hf:{data['policy_path']}", "-n", "3", "--json")
    assert ran.code == 0, ran.out
    assert json.loads(ran.out)["runs"][0]["summary"]["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("grpo.lrr=1", "Unknown key 'grpo.lrr'. Did you mean 'lr'"),
        ("grpo.steps=many", "grpo.steps is 'many'"),
        ("nonsense=1", "Unknown key 'nonsense'"),
        ("grpo", "is not an assignment"),
        ('phases=["grop"]', "Did you mean 'grpo'"),
        ("env.id=palaestra/TextCarft-v0", "Did you mean 'palaestra/TextCraft-v0'"),
        ("env.recipies=x", "recipies"),
        ("env.test_split=tset", "Did you mean 'test'"),
        ("env.recipes=/no/such/folder", "/no/such/folder"),
    ],
)
def test_a_wrong_recipe_is_one_line_and_stores_nothing(refused, recipe, tmp_path, change, match):
    refused("train", recipe, "--set", change, "--runs", tmp_path / "runs", match=match)
    with RunStore(tmp_path / "runs") as store:
        assert store.runs() == []


def test_a_missing_or_broken_recipe_is_one_line(refused, recipe, tmp_path):
    runs = ("--runs", tmp_path / "runs")
    refused("train", *runs, match="no recipe to train")
    refused("train", tmp_path / "no.toml", *runs, match="Unknown recipe")
    recipe.write_text("name = ", encoding="utf-8")
    refused("train", recipe, *runs, match="is not valid TOML")
    refused("train", "--run", "nothing", *runs, match="Unknown run 'nothing'")


def test_a_run_keeps_its_recipe(palaestra_run, refused, recipe, tmp_path):
    runs = ("--runs", tmp_path / "runs")
    palaestra_run("evaluate", "--env", "palaestra/TextCraft-v0", "--model", "random", "-n", "1", "--run", "eval", *runs)
    refused("train", "--run", "eval", *runs, match="palaestra evaluate --run eval")
    assert (
        palaestra_run("train", recipe, "--set", "phases=['sft']", "--set", "evaluation.baselines=[]", "--run", "t", *runs).code
        == 0
    )
    refused("train", "--run", "t", "--set", "seed=3", *runs, match="keeps its recipe")
    refused("train", recipe, "--run", "t", *runs, match="started with another recipe")
    refused("evaluate", "--run", "t", *runs, match="palaestra train --run")


def test_recipes_are_found_by_path_and_by_name(tmp_path, recipe):
    assert find_recipe(str(recipe)) == recipe
    for name, path in packaged_recipes().items():
        assert find_recipe(name) == find_recipe(f"{name}.toml") == find_recipe(f"recipes/{name}.toml").resolve() == path
    with pytest.raises(UnknownNameError, match="Give a TOML file"):
        find_recipe("nothing_like_it")


@pytest.mark.parametrize(("hearing", "sent"), [(listen, signal.SIGINT), (listen, signal.SIGTERM), (deaf, signal.SIGTERM)])
def test_ctrl_c_or_sigterm_ends_with_130_and_a_command_that_goes_on(recipe, tmp_path, hearing, sent):
    runs = tmp_path / "runs"
    words = ["train", str(recipe), "--set", "grpo.steps=400", "--runs", str(runs), "--run", "t"]
    command = [sys.executable, "-m", "palaestra.cli.main", *words]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=hearing,
    )
    try:
        _wait_for_steps(runs, process)
        process.send_signal(sent)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    resume = shlex.split(re.search(r"Resume with: (.*)", err)[1])
    assert resume == ["palaestra", "train", "--run", "t", "--runs", str(runs)]
    with RunStore(runs, read_only=True) as store:
        run = store.run("t")
        assert run.status == "interrupted"
        assert re.fullmatch(r"[\d,]+ of 400 steps of grpo, 1 of 2 phases planned", run.note)
        assert run.planned == Planned(1, 2, "phases")
        before = max(record["step"] for record in store.metrics("t") if "grpo/loss" in record or "grpo/success" in record)
    assert before < 400
    done = int(run.note.split()[0])
    assert before - 1 <= done <= before + 1


def _wait_for_steps(runs, process) -> None:
    for _ in range(1200):
        assert process.poll() is None, process.communicate()
        try:
            with RunStore(runs, read_only=True) as store:
                # two: a step is counted after its metrics are written
                if sum("grpo/success" in record for record in store.metrics("t")) > 1:
                    return
        except (StoreError, UnknownNameError):
            pass
        time.sleep(0.05)
    raise AssertionError("no training step within 60 s")


def test_a_dry_run_shows_the_plan_and_stores_nothing(palaestra_run, refused, recipe, tmp_path):
    runs = tmp_path / "runs"
    ran = palaestra_run("train", recipe, "--dry-run", "--runs", runs, "--devices", 2)
    assert ran.code == 0, ran.err
    assert "A step, at most" in ran.out
    assert "A device holds" in ran.out
    assert not runs.exists()
    page = json.loads(palaestra_run("train", recipe, "--dry-run", "--json").out)
    assert page["devices"] == 1
    assert page["peak_bytes"] == max(phase["bytes"]["peak"] for phase in page["phases"])
    ran = palaestra_run("train", recipe, "--dry-run", "--device-memory", 0.001)
    assert ran.code == 2
    assert "GiB on each of 1 devices" in ran.err
    refused("train", recipe, "--devices", 2, match="belong to --dry-run")
    refused("train", recipe, "--dry-run", "--set", "env.train_split=no", match="no")
