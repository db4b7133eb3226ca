import json

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec

from palaestra.envs import check_environment
from palaestra.envs.check import CHECKS, CheckReport, CheckResult
from palaestra.errors import UnknownNameError, UsageError
from tests.envs.broken import BROKEN, Lists, ShowsHowLongItRan
from tests.envs.miniature import COUNTER_ID, MEASURED_ID, CounterEnv, register_miniatures
from tests.envs.seated_toys import DRAWERS_ID, GUESS_ID, register_seated_toys

register_miniatures()
register_seated_toys()


def spec_of(entry_point: type, name: str = "tests/Broken-v0") -> EnvSpec:
    return EnvSpec(name, entry_point=entry_point, vector_entry_point=f"palaestra.envs.core.vector:{name}", order_enforce=False)


@pytest.fixture(autouse=True)
def _registry():
    known = dict(gymnasium.registry)
    yield
    for env_id in set(gymnasium.registry) - set(known):
        del gymnasium.registry[env_id]


@pytest.mark.parametrize("env_id", [COUNTER_ID, MEASURED_ID])
def test_a_sound_environment_passes_every_check(env_id):
    report = check_environment(env_id)
    assert report.ok, str(report)
    assert [result.name for result in report.results] == ["make", *(check.name for check in CHECKS)]


@pytest.mark.parametrize(("env_id", "kwargs"), [(GUESS_ID, {}), (GUESS_ID, {"judge": "last"}), (DRAWERS_ID, {})])
def test_an_environment_with_seats_passes_every_check_from_every_seat(env_id, kwargs):
    report = check_environment(env_id, kwargs=kwargs)
    assert report.ok, str(report)
    env = gymnasium.make(env_id, **kwargs).unwrapped
    again = [f"{check.name} ({seat})" for seat in env.seats[1:] for check in CHECKS if check.every_seat]
    assert [result.name for result in report.results] == ["make", *(check.name for check in CHECKS), *again]
    applied = {result.name for result in report.results if not result.detail.startswith("does not apply")}
    assert {"same either way", "privacy", "multi-agent", f"same either way ({env.seats[-1]})"} <= applied


def test_a_world_that_blocks_needs_no_vector_entry_point_and_others_do():
    gymnasium.register("tests/Slow-v0", "tests.envs.lift:LiftEnv", order_enforce=False)
    gymnasium.register("tests/Quick-v0", "tests.envs.miniature:CounterEnv", order_enforce=False)
    slow, quick = (check_environment(name, only=["vector"]).results[-1] for name in ("tests/Slow-v0", "tests/Quick-v0"))
    assert (slow.ok, slow.detail) == (True, "only mode 'sync' was tried: no vector_entry_point, or wrappers")
    assert (quick.ok, quick.detail) == (False, "There is no vector_entry_point.")


def test_metrics_and_results_are_tried_where_there_are_any():
    found = {result.name: result.detail for result in check_environment(MEASURED_ID, only=["metrics", "results"]).results}
    assert found["metrics"].startswith("distance, directness, lowest in ")
    assert found["results"].startswith("1 tables and ")
    found = {result.name: result.detail for result in check_environment(COUNTER_ID, only=["metrics", "results"]).results}
    assert found["metrics"] == "does not apply: there are no metrics"
    assert found["results"] == "does not apply: it names no results"


def test_a_seat_that_is_asked_for_is_the_only_one_checked():
    report = check_environment(GUESS_ID, kwargs={"seat": "bob"}, only=["privacy", "expert"])
    assert report.ok
    assert [result.name for result in report.results] == ["make", "expert", "privacy"]


@pytest.mark.parametrize(("name", "broken"), BROKEN, ids=[f"{name}-{broken.__name__}" for name, broken in BROKEN])
def test_a_broken_promise_is_noticed_and_the_mend_told(name, broken):
    spec = spec_of(broken)
    gymnasium.registry[spec.id] = spec
    report = check_environment(spec, only=[name] if name != "make" else ["spaces"])
    failures = {result.name: result for result in report.failures}
    assert name in failures, str(report)
    assert failures[name].detail
    assert failures[name].fix
    assert f"FAIL {name}: " in str(report)


@pytest.mark.parametrize("full_return", [None, 1, -3.5])
def test_the_expert_is_held_to_the_return_that_the_class_declares(full_return):
    class Declares(CounterEnv):
        def _act(self, action):
            turn = super()._act(action)
            turn.reward *= 7 if full_return is None else full_return
            return turn

    Declares.full_return = full_return
    report = check_environment(spec_of(Declares), only=["expert"])
    assert report.ok, str(report)
    Declares.full_return = 7.5
    (failure,) = check_environment(spec_of(Declares), only=["expert"]).failures
    assert "expected 7.5" in failure.detail


def test_a_list_of_actions_is_tried():
    report = check_environment(spec_of(Lists), only=["available actions"])
    assert report.ok, str(report)
    assert report.results[-1].detail == "2 at the start"
    assert "no list" in check_environment(spec_of(CounterEnv), only=["available actions"]).results[-1].detail


def test_an_environment_that_blocks_may_measure_durations():
    class MeasuresDurations(ShowsHowLongItRan):
        blocks = True

    report = check_environment(spec_of(MeasuresDurations), only=["clock"])
    assert report.ok, str(report)


def test_every_check_can_fail():
    untried = {check.name for check in CHECKS} - {name for name, _ in BROKEN}
    assert untried == {"identity"}  # in the next test


def test_an_id_without_namespace_or_version_is_told():
    for name in ("Counter", "tests/Counter", "Counter-v0"):
        (_, result) = check_environment(spec_of(CounterEnv, name), only=["identity"]).results
        assert not result.ok
        assert "namespace/Name-vN" in result.detail


def test_a_foreign_environment_is_told_what_it_lacks():
    report = check_environment("tests/Foreign-v0")
    failed = {result.name for result in report.failures}
    assert {"reset info", "step info", "tasks", "snapshot", "expert", "turn limit", "spaces"} <= failed
    assert {"make", "identity", "close", "global randomness"}.isdisjoint(failed)
    assert all(result.fix for result in report.failures)


def test_an_environment_without_spec_is_copied():
    env = CounterEnv()
    report = check_environment(env, only=["seeding", "snapshot", "other process", "identity", "turn limit"])
    assert {result.name for result in report.failures} == {"identity", "turn limit"}
    assert "no spec" in report.failures[0].detail


def test_an_environment_is_made_again_from_its_spec():
    report = check_environment(gymnasium.make(COUNTER_ID, max_turns=9), only=["turn limit", "seeding"])
    assert report.ok, str(report)


def test_arguments_are_passed_on_and_shown():
    report = check_environment(COUNTER_ID, kwargs={"split": "test"}, only=["reset info"])
    assert report.ok
    assert report.env_id == "tests/Counter-v0(split='test')"


def test_unknown_checks_and_environments_are_errors():
    with pytest.raises(UnknownNameError, match="Did you mean 'snapshot'"):
        check_environment(COUNTER_ID, only=["snapshots"])
    with pytest.raises(UnknownNameError, match="Unknown environment"):
        check_environment("tests/NoSuch-v0")


def test_a_report_goes_through_json_and_reads_well():
    report = CheckReport("x/Y-v0", (CheckResult("pickle", True), CheckResult("copy", False, "shared", "copy it")))
    data = json.loads(json.dumps(report.to_json()))
    assert (data["ok"], data["results"][1]["fix"]) == (False, "copy it")
    assert str(report).splitlines() == [
        "x/Y-v0: 1 of 2 checks passed",
        "  ok   pickle",
        "  FAIL copy: shared",
        "       -> copy it",
    ]


def test_an_id_with_its_module_is_checked_as_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "lamp_module.py").write_text(
        "from palaestra.envs.registration import register_env\n"
        "register_env('lamp/Desk-v0', 'palaestra.envs.desk.env:DeskEnv', difficulty='easy')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    report = check_environment("lamp_module:lamp/Desk-v0", only=["identity"])
    assert report.ok
    with pytest.raises(UnknownNameError, match="Did you mean 'palaestra/TextCraft-v0'"):
        check_environment("palaestra/TextCrft-v0")
    with pytest.raises(UsageError, match="names the module 'no_such_module', which is not installed"):
        check_environment("no_such_module:lamp/Desk-v0")
