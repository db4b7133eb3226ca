from __future__ import annotations

import json

import gymnasium
import pytest
from gymnasium.envs.registration import registry

import palaestra
from palaestra.envs import registration
from palaestra.envs.check import Checked, CheckReport, CheckResult, check_environment, check_every, every
from palaestra.envs.check.subject import BUDGETS
from palaestra.envs.registration import register_env
from palaestra.errors import ConfigError, MissingDataError, UnknownNameError
from tests.envs.miniature import CounterEnv, register_miniatures

register_miniatures()


@pytest.fixture
def ids():
    """Ids that keep the contract, that break it, and that cannot be tried here."""
    known = set(registry)
    register_env("every/Sound-v0", "tests.envs.miniature:CounterEnv")
    register_env("every/Broken-v0", "tests.envs.broken:KeysRepeat")
    register_env("every/NeedsProgram-v0", "no_such_module:Env", needs=("no-such-program",))
    register_env("every/NeedsData-v0", f"{__name__}:needs_data")
    yield ["every/Broken-v0", "every/NeedsData-v0", "every/NeedsProgram-v0", "every/Sound-v0"]
    for env_id in set(registry) - known:
        del registry[env_id]
        registration._conditions.pop(env_id, None)


def needs_data() -> CounterEnv:
    raise MissingDataError("needs the files a.json and b.json; pass data=FOLDER.")


def test_each_environment_is_checked_or_it_is_told_why_not(ids):
    found = list(check_every(ids, only=["tasks", "spaces"]))
    assert [checked.env_id for checked in found] == ids
    assert [checked.ok for checked in found] == [False, False, False, True]
    assert [checked.report is None for checked in found] == [False, True, True, False]
    assert found[1].not_tried == "needs the files a.json and b.json; pass data=FOLDER."
    assert found[2].not_tried.startswith("needs no-such-program")
    assert found[0].report is not None
    assert [result.name for result in found[0].report.failures] == ["tasks"]
    assert json.loads(json.dumps(found[2].to_json()))["not_tried"].startswith("needs no-such-program")


def test_several_processes_say_the_same_as_one():
    some = ["palaestra/TextCraft-v0", "toys/Backwards-v0", "toys/Lighthouse-v0"]
    only = ["tasks", "seeding", "expert"]
    reports = [[str(one.report).split("(address")[0] for one in check_every(some, only=only, jobs=jobs)] for jobs in (1, 2)]
    assert reports[0] == reports[1]


def test_without_ids_all_are_checked(monkeypatch):
    seen = []
    monkeypatch.setattr(every, "_check_one", lambda env_id, **options: seen.append((env_id, options)) or Checked(env_id, None))
    list(check_every(seed=3))
    assert seen == [(env_id, {"seed": 3, "only": None}) for env_id in palaestra.list_envs()]


def test_impossible_wishes_are_refused():
    with pytest.raises(ConfigError, match="jobs is 0"):
        list(check_every(jobs=0))
    for jobs in (1, 2):
        with pytest.raises(UnknownNameError, match="Did you mean 'tasks'"):
            list(check_every(["toys/Backwards-v0", "toys/Meeting-v0"], only=["task"], jobs=jobs))


def test_what_a_step_costs_decides_how_much_is_played(monkeypatch):
    played = {}
    step = CounterEnv.step

    def counted(self, action):
        played[self.spec.id] = played.get(self.spec.id, 0) + 1
        return step(self, action)

    monkeypatch.setattr(CounterEnv, "step", counted)
    for cost in BUDGETS:
        env_id = f"every/{cost.title()}-v0"
        register_env(env_id, "tests.envs.miniature:CounterEnv", cost=cost)
        report = check_environment(env_id, only=["spaces", "samples", "bad actions", "seeding", "expert", "vector", "order"])
        assert report.ok, str(report)
        del gymnasium.registry[env_id]
    assert played["every/Cheap-v0"] > 1.5 * played["every/Engine-v0"] > 2 * played["every/Browser-v0"]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_command_counts_those_that_keep_the_contract(capsys, monkeypatch, ids, jobs):
    from palaestra.cli.main import main

    some = [one for one in ids if one != "every/Broken-v0"]
    monkeypatch.setattr(every, "list_envs", lambda: some if jobs == "1" else ["toys/Backwards-v0", "toys/Lighthouse-v0"])
    assert main(["check", "--all", "--jobs", jobs, "--only", "tasks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    if jobs == "2":
        assert lines[-1] == "2 of 2 environments keep the contract"
        assert lines[0] == "ok   toys/Backwards-v0: 2 of 2 checks passed"
        return
    assert lines[-1] == "1 of 3 environments keep the contract; 2 not tried"
    assert lines[1].startswith("-    every/NeedsProgram-v0: not tried: needs no-such-program: there is no program")
    monkeypatch.setattr(every, "list_envs", lambda: ids)
    assert main(["check", "--all", "--only", "tasks"]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "1 of 4 environments keep the contract; 1 failed: every/Broken-v0; 2 not tried"
    assert "FAIL tasks" in out
    assert main(["check", "--all", "--only", "tasks", "--json"]) == 1
    page = json.loads(capsys.readouterr().out)
    assert (page["ok"], page["num_ok"], page["num_environments"]) == (False, 1, 4)


def test_the_command_refuses_what_contradicts_itself(capsys, ids):
    from palaestra.cli.main import main

    for words, message in (
        (["check"], "name one (palaestra list), or check all of them with --all"),
        (["check", "toys/Backwards-v0", "--all"], "--all checks every environment as it is"),
        (["check", "--all", "--set", "max_turns=3"], "--all checks every environment as it is"),
        (["check", "--all", "--jobs", "0"], "--jobs"),
        (["check", "every/NeedsProgram-v0"], "every/NeedsProgram-v0 needs no-such-program: there is no program"),
        (["check", "toys/Lighthouse-v0"], "needs the argument 'address'"),
        (["show", "every/NeedsProgram-v0"], "needs no-such-program"),
        (["evaluate", "--env", "toys/Lighthouse-v0", "--model", "expert"], "needs the argument 'address'"),
    ):
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert message in err


def test_a_report_of_something_not_tried_goes_through_json():
    checked = Checked("x/Y-v0", CheckReport("x/Y-v0", (CheckResult("pickle", True),)))
    assert checked.to_json() == {**checked.report.to_json(), "not_tried": ""}
    assert Checked("x/Y-v0", None, "needs java").to_json() == {
        "env_id": "x/Y-v0",
        "ok": None,
        "results": [],
        "not_tried": "needs java",
    }
