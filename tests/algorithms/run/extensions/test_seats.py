import json
import time
from dataclasses import replace

import pytest

from palaestra.agents.store.store import RunStore
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.batch import collate
from palaestra.algorithms.run.extensions.seats import SeatsConfig
from palaestra.algorithms.run.metrics import measured, read_metrics
from palaestra.algorithms.run.phase import Phase
from palaestra.algorithms.run.recipe import Recipe, parse_recipe, read_recipe
from palaestra.algorithms.run.registry import make_learner
from palaestra.algorithms.run.training import train
from palaestra.envs import check_environment
from palaestra.errors import ConfigError, UsageError
from palaestra.types import SeatRecord, Trajectory
from tests.algorithms import toy_env, toy_seats
from tests.algorithms.toy_recipe import toy_recipe

toy_seats.register()
toy_env.register()
BOTH = {"train": ["doer", "caller"]}
GRPO = {"steps": 3, "tasks_per_step": 2, "group_size": 4, "lr": 2e-3, "warmup_updates": 1}


def relay(**tables) -> Recipe:
    return toy_recipe(env={"id": toy_seats.RELAY_ID}, **{"seats": BOTH, **tables})


def phases(*listed) -> Recipe:
    """A recipe with listed phases."""
    data = toy_recipe(env={"id": toy_seats.RELAY_ID}).to_json()
    short = {key: value for key, value in data.items() if key not in ("phases", "sft", "grpo")}
    return parse_recipe({**short, "evaluation": {"n": 6, "baselines": ["untrained"]}, "phase": list(listed)})


def collected(monkeypatch) -> list[list[Trajectory]]:
    """Note what every update of GRPO is given."""
    from palaestra.algorithms.grpo import GRPOLearner

    seen: list[list[Trajectory]] = []
    update = GRPOLearner.update
    monkeypatch.setattr(
        GRPOLearner, "update", lambda self, played, step: (seen.append(list(played)), update(self, played, step))[1]
    )
    return seen


def test_the_toy_keeps_the_contract():
    report = check_environment(toy_seats.RELAY_ID)
    assert report.ok, str(report)


# -- the table --------------------------------------------------------------------------------------------------------


def test_tables_of_seats_are_read_and_written():
    table = {"train": ["asker", "answerer"], "judge": {"model": "openai:M", "options": {"temperature": 0.2}}}
    config = SeatsConfig.model_validate(table)
    assert config.agents["judge"].options == {"temperature": 0.2}
    assert SeatsConfig.model_validate(json.loads(config.model_dump_json())) == config
    recipe = relay(seats={**BOTH, "caller": {"model": "policy"}})
    assert parse_recipe(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"train": ["doer", "caller"], "caller": {"model": "random"}}, "is trained, so the policy plays it"),
        ({"seat": "doer", "doer": {"model": "random"}}, "the seat 'doer' is the policy's"),
        ({"seat": "doer", "train": ["caller"]}, "without the policy's seat 'doer'"),
        ({"caller": {"model": "frozen", "options": {"a": 1}}}, "takes no options"),
        ({"caller": {"modle": "frozen"}}, "modle"),
        ({"trane": ["doer"]}, "Did you mean 'train'"),
    ],
)
def test_a_wrong_table_is_one_clear_error(table, message):
    with pytest.raises(ConfigError, match=message):
        relay(seats=table)


@pytest.mark.parametrize(
    ("env", "table", "message"),
    [
        (
            toy_seats.RELAY_ID,
            {"train": ["doer", "callr"]},
            "names 'callr'; the environment has the seats doer, caller. Did you",
        ),
        (toy_seats.RELAY_ID, {"doer": {"model": "random"}}, "The seat 'doer' is the policy's"),
        (toy_seats.RELAY_ID, {"train": ["caller"]}, "seats.seat = 'caller'"),
        (toy_env.ENV_ID, {"train": ["doer"]}, "has one seat; take the table out"),
        (toy_seats.RELAY_ID, {"caller": {"model": "what"}}, "seats.caller is not an agent: Unknown agent 'what'"),
        (toy_seats.RELAY_ID, {"caller": {"model": "what:ever"}}, "seats.caller is not an agent: .*what"),
        (toy_seats.RELAY_ID, {"caller": {"model": "random", "options": {"sed": 1}}}, "does not take these options"),
        (toy_seats.RELAY_ID, {"caller": {"model": "persona:what"}}, "Unknown caller persona 'what'"),
    ],
)
def test_seats_that_are_not_there_are_told_before_a_run_is_created(env, table, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        train(toy_recipe(env={"id": env}, seats=table), store=tmp_path)
    with RunStore(tmp_path) as store:
        assert store.runs() == []


def test_training_nobody_is_refused_wherever_it_is_written():
    data = toy_recipe(env={"id": toy_seats.RELAY_ID}).to_json()
    for recipe, where in (
        ({**data, "seats": {"train": []}}, "seats.train"),
        ({**data, "sft": {**data["sft"], "seats": {"train": []}}}, "sft.seats.train"),
    ):
        with pytest.raises(ConfigError, match=f"^{where} is empty"):
            read_recipe(recipe)
    with pytest.raises(ConfigError, match=r"^seats\.train is empty"):
        read_recipe(data, ["seats.train=[]"])
    listed = {key: value for key, value in data.items() if key not in ("sft", "grpo", "phases")}
    with pytest.raises(ConfigError, match=r"^phase\.0\.seats\.train is empty"):
        read_recipe({**listed, "phase": [{"algorithm": "sft", "seats": {"train": []}}]})
    recipe = relay(seats={"caller": {"model": "random"}})
    assert "train" not in recipe.to_json()["seats"]
    assert read_recipe(recipe.to_json()) == recipe
    assert parse_recipe({**data, "seats": {"train": [], "caller": {"model": "random"}}}) == recipe  # of an older run


def test_batches_of_several_seats_are_not_refilled():
    with pytest.raises(ConfigError, match="drops equal groups"):
        relay(phases=["sft", "dapo"], grpo=None)


def test_a_batch_takes_no_episode_of_several_seats():
    whole = Trajectory("e", "x/Y-v0", {}, seat="doer", seats={"caller": SeatRecord()})
    with pytest.raises(UsageError, match=r"holds the seats doer, caller; .* trajectory.of_seat\('doer'\)"):
        collate([whole])


# -- training ---------------------------------------------------------------------------------------------------------


def test_every_trained_seat_is_learned_from_in_groups_of_its_own(tmp_path, monkeypatch):
    seen = collected(monkeypatch)
    result = train(relay(), store=tmp_path, run_id="both")
    assert len(seen) == 4
    for batch in seen:
        seats = [t.seat for t in batch]
        assert seats == ["doer"] * 8 + ["caller"] * 8
        assert all(t.seats == {} for t in batch)
        assert all(step.seat == t.seat for t in batch for step in t.steps)
        for t in batch:
            assert t.episode_id.endswith("#caller") == t.group_id.endswith("#caller") == (t.seat == "caller")
            spans = [span.turn for segment in t.segments for span in segment.turns]
            assert spans == list(range(len(t.steps)))
            assert t.steps[0].observation.startswith("do " if t.seat == "doer" else "call ")
        assert len(collate(batch).return_) == 16
    rows = [row for row in read_metrics(result.folder / "metrics.jsonl") if row["phase"] == "grpo"]
    assert {"success.doer", "success.caller", "return_mean.caller"} <= set(rows[-1])
    assert set(result.arms) == {"random", "expert", "untrained", "cloned", "trained"}
    assert result.arms["expert"].summary.success.mean == 1.0
    assert result.arms["trained"].config["seats"]["caller"]["agent"] == "trained"
    with RunStore(tmp_path) as store:
        played = next(iter(store.trajectories("both-trained")))
        assert {step.seat for step in played.steps} == {"doer", "caller"}
        assert played.seats["caller"].usage.calls > 0


def test_only_the_policys_seat_is_learned_from_unless_more_are_named(tmp_path, monkeypatch):
    seen = collected(monkeypatch)
    train(relay(seats={"caller": {"model": "policy"}}, evaluation={"baselines": []}), store=tmp_path)
    assert {t.seat for batch in seen for t in batch} == {"doer"}
    assert all(len(batch) == 8 for batch in seen)


def test_other_seats_are_played_by_agents_and_personas(tmp_path, monkeypatch):
    seen = collected(monkeypatch)
    tables = {"evaluation": {"baselines": []}, "sft": {"episodes": 4, "epochs": 1}, "grpo": {"steps": 1}}
    train(relay(seats={"caller": {"model": "persona:wrong"}}, **tables), store=tmp_path / "persona")
    assert {step.observation for t in seen[0] for step in t.steps} == {"do hold"}
    assert all(t.meta["env_kwargs"] == {"players": {"caller": "wrong"}} for t in seen[0])
    train(relay(seats={"caller": {"model": "random"}}, **tables), store=tmp_path / "random")
    assert len({step.observation for t in seen[1] for step in t.steps}) > 1
    assert {t.seat for t in seen[1]} == {"doer"}


def test_noise_is_put_on_the_rewards_of_each_seat(tmp_path, monkeypatch):
    seen = collected(monkeypatch)
    train(relay(evaluation={"baselines": []}, noise={"kind": "gaussian", "rate": 0.1}), store=tmp_path)
    for batch in seen:
        noisy = {t.seat for t in batch if any("clean_reward" in step.info for step in t.steps)}
        assert noisy == {"doer", "caller"}


def test_asynchronous_collection_and_several_seats_go_together(tmp_path, monkeypatch):
    seen = collected(monkeypatch)
    train(relay(evaluation={"baselines": []}, asynchronous={"max_staleness": 1}, grpo={"correction": "token"}), store=tmp_path)
    assert all({t.seat for t in batch} == {"doer", "caller"} for batch in seen)


def test_two_seats_learn_from_each_other(tmp_path):
    recipe = relay(
        sft={"episodes": 200, "epochs": 8, "batch_size": 32, "lr": 5e-3},
        grpo={"steps": 12, "tasks_per_step": 4, "group_size": 8, "lr": 2e-3},
        evaluation={"n": 60, "baselines": ["untrained"]},
    )
    train(recipe, store=tmp_path, run_id="r")
    means = {}
    with RunStore(tmp_path) as store:
        for arm in ("untrained", "cloned", "trained"):
            for seat in ("doer", "caller"):
                returns = [t.of_seat(seat).return_ for t in store.trajectories(f"r-{arm}") if t.outcome.error is None]
                means[arm, seat] = sum(returns) / max(1, len(returns))
    for seat in ("doer", "caller"):
        assert means["untrained", seat] < 0.4 < means["cloned", seat] < means["trained", seat], means


def test_the_turns_of_both_seats_have_a_gradient(tmp_path, monkeypatch):
    seen = collected(monkeypatch)
    recipe = relay(sft={"episodes": 100, "epochs": 4, "lr": 5e-3}, grpo=GRPO, evaluation={"baselines": []})
    result = train(recipe, store=tmp_path)
    [batch] = seen[:1]
    before = Policy.from_path(max((result.folder / "checkpoints" / "sft").glob("step-*/policy")))
    after = {}
    for name in ("doer", "caller", "both"):
        policy = before.frozen_copy()
        policy.model.requires_grad_(True)
        learner = make_learner("grpo", policy, GRPO)
        metrics = learner.update([t for t in batch if name in (t.seat, "both")], 1)
        assert metrics["no_signal"] == 0.0 < metrics["grad_norm"], name
        after[name] = saved(policy, tmp_path)
    assert (
        len({saved(before, tmp_path), *after.values()}) == 4
    )  # each seat alone moves the weights, and each adds to the other


def test_shared_weights_of_two_seats_are_the_same_to_the_bit_run_twice_or_resumed(tmp_path, monkeypatch):
    recipe = relay(grpo=GRPO, checkpoint={"every": 1})
    first = train(recipe, store=tmp_path / "first", run_id="both")
    again = train(recipe, store=tmp_path / "again", run_id="both")
    log, died = Phase.log, []

    def dies(self, step, metrics, **options):
        if (self.name, step) == ("grpo", 2) and not died:
            died.append(step)
            raise KeyboardInterrupt
        return log(self, step, metrics, **options)

    monkeypatch.setattr(Phase, "log", dies)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, store=tmp_path / "killed", run_id="both")
    resumed = train(recipe, store=tmp_path / "killed", run_id="both")
    assert died == [2]
    for result in (again, resumed):
        assert weights_of(result.policy_path) == weights_of(first.policy_path)
        assert {arm: one.summary.total for arm, one in result.arms.items()} == {
            arm: one.summary.total for arm, one in first.arms.items()
        }


# -- weights of their own ---------------------------------------------------------------------------------------------


def own_weights() -> Recipe:
    sft = {"algorithm": "sft", "episodes": 100, "epochs": 4, "batch_size": 32, "lr": 5e-3, "seats": BOTH}
    doer = {"algorithm": "grpo", "name": "doers", **GRPO, "seats": {"seat": "doer", "caller": {"model": "frozen"}}}
    caller = {"algorithm": "grpo", "name": "callers", **GRPO, "seats": {"seat": "caller", "doer": {"model": "frozen"}}}
    return phases(sft, doer, caller, {**doer, "name": "doers-again"})


def weights_of(path) -> bytes:
    return (path / "model.safetensors").read_bytes()


def saved(policy, folder) -> bytes:
    """Return the weights that a policy holds now."""
    return weights_of(policy.save(folder / f"held-{time.perf_counter_ns()}"))


def test_seats_with_weights_of_their_own_are_trained_in_turns(tmp_path, monkeypatch):
    seen = collected(monkeypatch)
    begun = {}
    resume = Phase.resume

    def noted(self):
        begun[self.name] = (self.reference_path.parts[-3], weights_of(self.reference_path), saved(self.policy, tmp_path))
        return resume(self)

    monkeypatch.setattr(Phase, "resume", noted)
    result = train(own_weights(), store=tmp_path, run_id="own")
    by_phase = {batch[0].episode_id.split("/")[0]: batch for batch in seen}
    assert set(by_phase) == {"doers", "callers", "doers-again"}
    for name, seat in (("doers", "doer"), ("callers", "caller"), ("doers-again", "doer")):
        assert {t.seat for t in by_phase[name]} == {seat}
        assert all(t.meta["env_kwargs"]["seat"] == seat for t in by_phase[name])
    assert set(result.weights) == {"doer", "caller"}
    doer, caller = (weights_of(result.weights[seat]) for seat in ("doer", "caller"))
    assert doer != caller
    assert {name: start for name, (start, _, _) in begun.items()} == {
        "sft": "start",
        "doers": "sft",
        "callers": "sft",
        "doers-again": "doers",
    }
    assert all(expected == held for _, expected, held in begun.values())
    # each arm is played in the seat that was trained, the other seat by its newest weights
    for arm, seat, other, label in (
        ("trained", "doer", "caller", "frozen:sft/"),
        ("trained-callers", "caller", "doer", "frozen:doers/"),
        ("trained-doers-again", "doer", "caller", "frozen:callers/"),
    ):
        config = result.arms[arm].config
        assert config["envs"][0]["env_kwargs"]["seat"] == seat
        assert config["seats"][other]["agent"].startswith(label)
    assert weights_of(result.policy_path) == doer


def test_a_killed_run_with_weights_of_their_own_resumes_to_the_bit(tmp_path, monkeypatch):
    whole = train(own_weights(), store=tmp_path / "whole", run_id="own")
    log, calls = Phase.log, []

    def dies(self, step, metrics, **options):
        calls.append((self.name, step))
        if calls.count((self.name, step)) == 1 and (self.name, step) in (("callers", 3), ("doers-again", 1)):
            raise KeyboardInterrupt
        return log(self, step, metrics, **options)

    monkeypatch.setattr(Phase, "log", dies)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(own_weights(), store=tmp_path / "killed", run_id="own")
    resumed = train(own_weights(), store=tmp_path / "killed", run_id="own")
    for seat in ("doer", "caller"):
        assert weights_of(resumed.weights[seat]) == weights_of(whole.weights[seat])
    for arm in whole.arms:
        assert resumed.arms[arm].summary.total == whole.arms[arm].summary.total


def test_the_recipe_of_two_seats_that_is_included_runs(tmp_path, monkeypatch):
    seen = collected(monkeypatch)
    sizes = ["model.hidden_size=32", "model.num_layers=1", "model.num_heads=2", "model.corpus_episodes=20"]
    short = ["grpo.steps=2", "grpo.tasks_per_step=2", "grpo.group_size=2", "sft.episodes=300", "sft.epochs=3", "sft.lr=1e-2"]
    overrides = [*sizes, *short, "evaluation.n=4", "evaluation.baselines=['untrained']"]
    result = train("twenty_questions_tiny", overrides=overrides, store=tmp_path, run_id="two")
    assert [{t.seat for t in batch} for batch in seen] == [{"asker", "answerer"}] * 2
    assert list(result.arms) == ["untrained", "cloned", "trained"]
    assert result.arms["trained"].config["seats"]["answerer"]["agent"] == "trained"


def test_episodes_are_measured_by_seat():
    def episode(seat: str, reward: float) -> Trajectory:
        from palaestra.types import Message, Outcome, Step

        step = Step("o", Message("assistant", "a"), reward=reward)
        return Trajectory("e", "x/Y-v0", {}, steps=(step,), outcome=Outcome(reward, reward == 1.0), seat=seat)

    episodes = [episode("doer", 1.0), episode("doer", 0.0), episode("caller", 1.0)]
    found = measured(episodes)
    assert (found["success.doer"], found["success.caller"], found["success"]) == (0.5, 1.0, pytest.approx(2 / 3))
    assert not [name for name in measured(episodes[:2]) if "." in name]
    assert not [name for name in measured([replace(e, seat="") for e in episodes]) if "." in name]
