from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents import NothingAgent, RandomAgent, Seats, evaluate
from palaestra.agents.evaluation.arms import PlayedRun
from palaestra.agents.evaluation.comparing import compare_arms
from palaestra.agents.evaluation.deciding import KEY, Deciding, UntilDecided, in_drawn_order
from palaestra.agents.evaluation.planning import plan_evaluation
from palaestra.agents.report import render_report
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.store.records import BIASED, DECIDED
from palaestra.agents.store.store import RunStore
from palaestra.cli.main import main
from palaestra.errors import ConfigError, UsageError
from palaestra.types import EpisodeError, Outcome
from tests.agents.report.page import parse
from tests.cli.test_compare import episode

CAR = "palaestra/VehicleWorld-v0"
MODULE = '''
import hashlib, os, signal
from palaestra.agents import ExpertAgent
from palaestra.types import Message


class Sometimes(ExpertAgent):
    """Solves a share of the tasks, and says nothing in the others; ends its process by force where it is told to."""

    begun = 0

    def __init__(self, share: float = 0.5, salt: str = "") -> None:
        super().__init__()
        self.share, self.salt = share, salt

    def shaped_by(self):
        return {"share": self.share, "salt": self.salt}

    def reset(self, info, *, env=None, session=""):
        super().reset(info, env=env, session=session)
        Sometimes.begun += 1
        if Sometimes.begun == int(os.environ.get("END_AT", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
        drawn = hashlib.blake2b(f"{self.salt}{session}".encode(), digest_size=4).digest()
        self.is_lucky = int.from_bytes(drawn, "big") / 2**32 < self.share

    async def aact(self, observation, info):
        return await super().aact(observation, info) if self.is_lucky else Message("assistant", "I wait.")
'''


@pytest.fixture(scope="module")
def sometimes(tmp_path_factory):
    """The class of `MODULE`, with the folder that holds it."""
    folder = tmp_path_factory.mktemp("agents")
    (folder / "sometimes.py").write_text(MODULE, encoding="utf-8")
    names: dict[str, object] = {}
    exec(compile(MODULE, "sometimes", "exec"), names)
    found = names["Sometimes"]
    found.folder = folder
    return found


@pytest.fixture
def store(tmp_path, sometimes):
    """A store with a finished run of 200 tasks, of which an agent solves about a third."""
    with RunStore(tmp_path / "runs") as opened:
        evaluate(CAR, sometimes(0.3, "old"), n=200, store=opened, run_id="base", results=False)
        yield opened


def played(name, groups, samples=1, share=0.5, rng=None, base=None):
    """Summaries of episodes, each sample solved by chance."""
    return [
        episode(f"t{i}", sample, bool(rng.random() < share), episode_id=f"t{i}#{sample}", group_id=f"t{i}", agent=name)
        for i in range(groups)
        for sample in range(samples)
    ]


def tasks(groups, samples=1):
    return {f"t{i}": [f"t{i}#{sample}" for sample in range(samples)] for i in range(groups)}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.sampled_from([0.3, 0.5, 0.9]))
def test_the_decision_follows_from_the_episodes_whatever_ends_first(seed, samples, share):
    rng = np.random.default_rng(seed)
    rival, own = (played(name, 60, samples, one, rng) for name, one in (("b", 0.5), ("a", share)))
    until = UntilDecided("b", 0.2)
    in_order = Deciding(until, tasks(60, samples), rival)
    for one in own:
        if in_order.add(one):
            break
    at_once = Deciding(until, tasks(60, samples), rival, own)
    mixed = Deciding(until, tasks(60, samples), rival)
    for i in rng.permutation(len(own)):
        mixed.add(own[i])
    half = Deciding(until, tasks(60, samples), rival, own[: len(own) // 2])
    for one in own[len(own) // 2 :]:
        half.add(one)
    found = [(one.decision, one.num_tasks, one.difference()) for one in (in_order, at_once, mixed, half)]
    assert found.count(found[0]) == 4


def test_false_alarms_stay_below_five_percent_though_every_task_is_looked_at():
    rng = np.random.default_rng(3)
    decided = {"better": 0, "worse": 0, "not better": 0, "": 0}
    for _ in range(400):
        rival, own = (played(name, 150, 2, 0.4, rng) for name in "ab")
        decided[Deciding(UntilDecided("b", 0.1), tasks(150, 2), rival, own).decision] += 1
    assert (decided["better"] + decided["worse"]) / 400 <= 0.05
    assert decided["not better"] >= 200  # and it stops


def test_a_sorted_split_is_not_decided_by_its_first_kind_of_tasks():
    """Two agents that are equally good, each on another half of a sorted split: in plan order the first half would decide."""
    groups = [f"t{i}" for i in range(400)]
    wrong = in_order = 0
    for seed in range(60):
        own = [episode(f"t{i}", 0, i < 200, episode_id=f"t{i}#0", group_id=f"t{i}") for i in range(400)]
        rival = [episode(f"t{i}", 0, i >= 200, episode_id=f"t{i}#0", group_id=f"t{i}") for i in range(400)]
        plans = [
            dataclasses.replace(one, group_id=group, episode_id=f"{group}#0") for one, group in zip(PLANS, groups, strict=True)
        ]
        drawn = {plan.group_id: [plan.episode_id] for plan in in_drawn_order(plans, seed)}
        wrong += Deciding(UntilDecided("b", 0.1), drawn, rival, own).decision in ("better", "worse")
        in_order += Deciding(UntilDecided("b", 0.1), tasks(400), rival, own).decision == "better"
    assert in_order == 60
    assert wrong <= 6  # 5 % are allowed


PLANS = plan_evaluation(
    {"envs": [{"env_id": CAR, "env_kwargs": {}}], "split": "test", "n": 400, "samples": 1, "seed": 0, "max_turns": None}
)


def test_the_drawn_order_keeps_samples_together_and_changes_with_the_seed():
    plans = plan_evaluation(
        {"envs": [{"env_id": CAR, "env_kwargs": {}}], "split": "test", "n": 30, "samples": 3, "seed": 0, "max_turns": None}
    )
    one, again, other = in_drawn_order(plans, 0), in_drawn_order(plans, 0), in_drawn_order(plans, 1)
    assert one == again
    assert [p.group_id for p in one] != [p.group_id for p in other]
    assert sorted(p.episode_id for p in one) == sorted(p.episode_id for p in plans)
    assert all(len({p.group_id for p in one[i : i + 3]}) == 1 for i in range(0, 90, 3))
    assert [p.sample for p in one] == [0, 1, 2] * 30


def test_samples_that_an_error_took_leave_the_others_and_a_task_without_any_is_left_out():
    def failed(task, sample):
        return episode(task, sample, False, episode_id=f"{task}#{sample}", group_id=task, error_boundary="model")

    def won(task, sample):
        return episode(task, sample, True, episode_id=f"{task}#{sample}", group_id=task)

    rival = [episode(f"t{i}", k, False, episode_id=f"t{i}#{k}", group_id=f"t{i}") for i in range(2) for k in range(2)]
    own = [won("t0", 0), failed("t0", 1), failed("t1", 0), failed("t1", 1)]
    found = Deciding(UntilDecided("b"), tasks(2, 2), rival, own)
    assert (found.num_tasks, found.test.num_tasks, found.difference().mean) == (2, 1, 1.0)


def test_an_evaluation_stops_when_it_is_decided_and_says_so_everywhere(store, sometimes, capsys):
    until = UntilDecided("base", difference=0.2)
    found = evaluate(CAR, sometimes(0.9, "new"), n=200, store=store, run_id="new", until_decided=until, results=False)
    assert (found.status, found.decided["decision"]) == ("decided", "better")
    assert found.decided["num_tasks"] < 100
    result = found.decided["result"]
    assert result["p_value"] <= 0.05
    assert 0 < result["low"] < result["mean"] <= result["high"]
    run = store.run("new")
    assert run.num_episodes < 200
    assert (run.status, run.caveat) == ("decided", f"{DECIDED}.")
    assert BIASED not in run.cut_off
    assert (run.planned.done, run.planned.planned) == (run.num_episodes, 200)
    assert run.note.startswith(f"better than run 'base' after {found.decided['num_tasks']} tasks; difference +")
    text = parse(render_report(["new"], store=store)).text
    assert DECIDED in text
    assert run.note in text.replace("’", "'")
    # the comparison is that of the decision, also the other way round
    pair = compare_arms([PlayedRun.of(store, name) for name in ("new", "base")]).pairs[0]
    assert pair.difference.to_json() == result
    assert pair.verdict == "first"
    assert np.isnan(pair.exact)
    turned = compare_arms([PlayedRun.of(store, name) for name in ("base", "new")]).pairs[0]
    assert (turned.verdict, turned.difference.low) == ("second", -result["high"])
    folder = str(store.folder)
    assert main(["compare", "new", "base", "--runs", folder]) == 0
    out = capsys.readouterr().out
    assert "hold at any stop" in out
    assert DECIDED in out
    # nothing is left to play, and nothing is played
    again = evaluate(CAR, sometimes(0.9, "new"), n=200, store=store, run_id="new", until_decided=until, results=False)
    assert (again.status, again.decided) == (found.status, found.decided)
    assert store.run("new").num_episodes == run.num_episodes


def test_an_undecided_run_is_finished_and_says_that_it_is_not(store, sometimes):
    until = UntilDecided("base", difference=0.01)
    found = evaluate(CAR, sometimes(0.33, "new"), n=200, store=store, run_id="new", until_decided=until, results=False)
    assert (found.status, found.decided["decision"]) == ("finished", None)
    assert found.note.startswith("undecided against run 'base' after 200 tasks")
    assert store.run("new").caveat == ""


@pytest.mark.parametrize("concurrency", [1, 7])
def test_how_many_are_played_at_once_changes_nothing_that_is_decided(store, sometimes, concurrency):
    found = evaluate(
        CAR,
        sometimes(0.6, "new"),
        n=200,
        store=store,
        run_id=f"at-{concurrency}",
        until_decided=UntilDecided("base", difference=0.2),
        engine=RolloutEngine(concurrency),
        results=False,
    )
    whole = evaluate(CAR, sometimes(0.6, "new"), n=200, store=store, run_id=f"whole-{concurrency}", results=False)
    expected = Deciding(
        UntilDecided("base", difference=0.2),
        {plan.group_id: [plan.episode_id] for plan in in_drawn_order(PLANS[:200], 0)},
        store.episodes("base"),
        store.episodes(whole.run_id),
    )
    assert found.decided == expected.to_json()
    assert store.run(found.run_id).num_episodes <= expected.num_tasks + 3 * concurrency


def test_a_run_that_is_killed_again_and_again_comes_to_the_same_decision(store, sometimes):
    agent = ["--model", "sometimes:Sometimes", "--option", "share=0.6", "--option", 'salt="new"']
    words = ["evaluate", *agent, "--until-decided", "--against", "base", "--difference", "0.2", "--concurrency", "4", "--json"]
    command = [sys.executable, "-m", "palaestra.cli.main", *words, "--runs", str(store.folder.resolve())]

    def run(run_id, end_at=0, first=True):
        resumed = command if first else [*command[:3], "evaluate", "--json", "--runs", str(store.folder.resolve())]
        env = {**os.environ, "END_AT": str(end_at), "PYTHONPATH": os.pathsep.join([".", *sys.path])}
        return subprocess.run(
            [*resumed, "--run", run_id], cwd=sometimes.folder, env=env, capture_output=True, text=True, timeout=120
        )

    whole = run("whole")
    assert whole.returncode == 0, whole.stderr
    expected = json.loads(whole.stdout)["runs"][0]
    assert expected["status"] == "decided"
    for count, end_at in enumerate((9, 12)):
        killed = run("killed", end_at, first=count == 0)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert store.status("killed") == "interrupted"
    last = run("killed", first=False)
    assert last.returncode == 0, last.stderr
    found = json.loads(last.stdout)["runs"][0]
    assert (found["status"], found["decided"]) == (expected["status"], expected["decided"])
    assert store.run("killed").status == "decided"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"n": 150}, r"its tasks are others \(200, now 150\)"),
        ({"split": "train"}, "split was 'test', now 'train'"),
        ({"samples": 2}, "samples was 1, now 2"),
        ({"seed": 4}, "seed was 0, now 4"),
        ({"max_turns": 3}, "max_turns was None, now 3"),
        ({"env_kwargs": {"mode": "sfc"}}, "envs was"),
        ({"env_id": "palaestra/TextCraft-v0"}, "envs was"),
    ],
)
def test_a_run_of_other_tasks_or_settings_is_refused_and_nothing_is_stored(store, given, why):
    wanted = {"env_id": CAR, "n": 200, **given}
    with pytest.raises(UsageError, match=why):
        evaluate(wanted.pop("env_id"), NothingAgent(), store=store, run_id="x", until_decided=UntilDecided("base"), **wanted)
    assert store.run_ids() == ["base"]


def test_tasks_of_the_same_keys_and_other_contents_are_other_tasks(store):
    config = store.config("base")
    config["tasks"] = [{**config["tasks"][0], "digest": "0" * 16}]
    store.set_config("base", config)
    with pytest.raises(UsageError, match="its tasks are others"):
        evaluate(CAR, NothingAgent(), n=200, store=store, until_decided=UntilDecided("base"))


def test_other_players_and_other_versions_of_the_record_are_refused(tmp_path):
    with RunStore(tmp_path) as store:
        twenty = "palaestra/TwentyQuestions-v1"
        evaluate(twenty, Seats(RandomAgent(), answerer=RandomAgent()), n=3, store=store, run_id="base")
        with pytest.raises(UsageError, match="seat"):
            evaluate(twenty, RandomAgent(), n=3, store=store, until_decided=UntilDecided("base"))
        store.set_config("base", {**store.config("base"), "record_version": 1})
        with pytest.raises(UsageError, match="record_version was 1"):
            evaluate(
                twenty, Seats(RandomAgent(), answerer=RandomAgent()), n=3, store=store, until_decided=UntilDecided("base")
            )


@pytest.mark.parametrize("status", ["created", "running", "stopped", "failed", "interrupted", "decided"])
def test_a_run_that_is_not_finished_is_nothing_to_decide_against(store, status):
    store.set_status("base", status, "")
    with pytest.raises(UsageError, match=r"Run 'base' is .*resume one with: palaestra evaluate --run base"):
        evaluate(CAR, NothingAgent(), n=200, store=store, until_decided=UntilDecided("base"))


def test_neither_is_one_that_was_itself_played_until_decided(store, sometimes):
    until = UntilDecided("base", difference=0.01)
    evaluate(CAR, sometimes(0.33, "new"), n=200, store=store, run_id="new", until_decided=until, results=False)
    with pytest.raises(UsageError, match="was itself played until decided"):
        evaluate(CAR, NothingAgent(), n=200, store=store, until_decided=UntilDecided("new"))


def test_nor_itself_nor_nothing_nor_one_without_a_verdict(store, tmp_path):
    for name, run_id, why in (("base", "base", "cannot be compared with itself"), ("bass", None, "Did you mean 'base'")):
        with pytest.raises(UsageError, match=why):
            evaluate(CAR, NothingAgent(), n=200, store=store, run_id=run_id, until_decided=UntilDecided(name))
    with pytest.raises(UsageError, match="there has to be a store"):
        evaluate(CAR, NothingAgent(), n=200, until_decided=UntilDecided("base"))
    config = store.config("base")
    store.create_run(config, "broken")
    failed = store.get("base", store.episodes("base")[0].episode_id)
    error = Outcome(error=EpisodeError("model", "ModelError", "no answer"))
    store.add("broken", dataclasses.replace(failed, outcome=error))
    store.set_status("broken", "finished")
    with pytest.raises(UsageError, match=r"No episode of run 'broken' was scored.*--retry-errors"):
        evaluate(CAR, NothingAgent(), n=200, store=store, until_decided=UntilDecided("broken"))


def test_a_baseline_that_was_changed_in_between_is_noticed(store, sometimes):
    until = UntilDecided("base", difference=0.2)
    evaluate(CAR, sometimes(0.9, "new"), n=200, store=store, run_id="new", until_decided=until, results=False)
    changed = store.get("base", store.episodes("base")[0].episode_id)
    turned = dataclasses.replace(changed.outcome, success=not changed.outcome.success)
    store.add("base", dataclasses.replace(changed, outcome=turned), replace=True)
    with pytest.raises(ConfigError, match=KEY):
        evaluate(CAR, sometimes(0.9, "new"), n=200, store=store, run_id="new", until_decided=until)


@pytest.mark.parametrize("numbers", [{"difference": 0.0}, {"difference": float("nan")}, {"power": 1.0}, {"alpha": 0.0}])
def test_numbers_out_of_range_are_refused(store, numbers):
    with pytest.raises(ConfigError, match="expected all above 0"):
        evaluate(CAR, NothingAgent(), n=200, store=store, until_decided=UntilDecided("base", **numbers))
    assert store.run_ids() == ["base"]


def test_the_command_takes_settings_from_the_other_run_and_refuses_halves_of_the_option(store, capsys):
    runs = ["--runs", str(store.folder)]
    assert main(["evaluate", "--model", "expert", "--until-decided", "--against", "base", "--run", "n", *runs]) == 0
    out = capsys.readouterr().out
    assert "n: better than run 'base' after" in out
    assert DECIDED in out
    assert store.config("n")["n"] == 200
    assert main(["evaluate", "--run", "n", "--json", *runs]) == 0  # its settings are kept
    assert json.loads(capsys.readouterr().out)["runs"][0]["decided"]["decision"] == "better"
    assert main(["evaluate", "--model", "nothing", "--env", CAR, "-n", "2", "--run", "plain", *runs]) == 0
    for words, why in (
        (["--model", "expert", "--until-decided"], "--against RUN"),
        (["--model", "expert", "--against", "base"], "add --until-decided"),
        (["--model", "expert", "--power", "0.5"], "add --until-decided"),
        (["--model", "expert", "--until-decided", "--against", "nobody"], "nothing to decide against"),
        (["--model", "expert", "--until-decided", "--against", "base", "-n", "3"], "its tasks are others"),
        (["--model", "expert", "--until-decided", "--against", "base", "--difference", "2"], "expected all above 0"),
        (["--run", "n", "--until-decided", "--against", "base", "--difference", "0.3"], "now until decided with"),
        (["--run", "plain", "--until-decided", "--against", "base"], "to the end of its plan"),
    ):
        assert main(["evaluate", *words, *runs]) == 2
        assert why in capsys.readouterr().err
