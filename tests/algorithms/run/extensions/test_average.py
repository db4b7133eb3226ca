"""`[average]`: the mean of the weights is evaluated and kept, and training goes on as without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.run import best
from palaestra.algorithms.run.arms import ArmEvaluations
from palaestra.algorithms.run.checkpoint import Checkpoints
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.phase import ProgressEvent
from palaestra.algorithms.run.training import TrainingResult, train
from palaestra.errors import ConfigError
from tests.algorithms.toy_recipe import toy_recipe

STEPS = 5
# a critic that knows nothing yet gives an untrained policy something to learn
SMALL: dict[str, Any] = {"steps": STEPS, "tasks_per_step": 4, "epochs": 1, "lr": 1e-2, "warmup_updates": 0}


def weights(path: Path) -> torch.Tensor:
    return torch.cat([t.flatten() for t in AutoModelForCausalLM.from_pretrained(path).state_dict().values()])


def run(folder: Path, average: dict[str, Any] | None, progress: Any = None, **tables: Any) -> TrainingResult:
    given = {} if average is None else {"average": average}
    evaluation = {"n": 2, "baselines": [], "every": 2, "curve_n": 24}
    recipe = toy_recipe(
        phases=["ppo"], ppo=SMALL, evaluation=evaluation, checkpoint={"every": 1, "keep": 9, **tables.pop("checkpoint", {})},
        **given, **tables,
    )  # fmt: skip
    return train(recipe, store=folder, run_id="r", progress=progress)


def curve(result: TrainingResult, *without: str) -> list[dict[str, Any]]:
    left = ("seconds", "tokens_per_second", *without)
    rows = read_metrics(result.folder / "metrics.jsonl")
    return [{k: v for k, v in row.items() if not k.startswith(left)} for row in rows]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return run(tmp_path_factory.mktemp("plain"), None)


def trained(result: TrainingResult) -> list[torch.Tensor]:
    """The weights after each step, of the run without a mean."""
    steps = Checkpoints(result.folder / "checkpoints" / "ppo")
    found = [steps.at(step) for step in range(1, STEPS + 1)]
    return [weights(one.policy_path) for one in found if one is not None]


@pytest.mark.parametrize(
    ("average", "shares"),
    [
        ({"decay": 1.0}, [0.2] * 5),
        ({"decay": 1.0, "begin": 4}, [0, 0, 0, 0.5, 0.5]),
        ({"decay": 0.5}, [1 / 16, 1 / 16, 1 / 8, 1 / 4, 1 / 2]),
    ],
    ids=str,
)
def test_the_result_is_the_mean_of_the_steps_and_training_goes_on_without_it(
    tmp_path: Path, plain: TrainingResult, average: dict[str, Any], shares: list[float]
) -> None:
    result = run(tmp_path, average)
    expected = sum(share * one for share, one in zip(shares, trained(plain), strict=True))
    torch.testing.assert_close(weights(result.policy_path), expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(weights(result.policy_path), weights(plain.policy_path), atol=1e-4)
    assert curve(result, "test_") == curve(plain, "test_")
    before = Checkpoints(result.folder / "checkpoints" / "ppo").at(STEPS - 1)
    assert before is not None
    assert torch.equal(weights(before.policy_path), trained(plain)[-2])  # a run resumes from what is trained


def test_the_learning_curve_is_that_of_the_mean(
    tmp_path: Path, plain: TrainingResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    measure = ArmEvaluations.curve

    def noted(self: ArmEvaluations, policy: Policy) -> dict[str, float]:
        seen.append(torch.cat([t.detach().flatten() for t in policy.model.state_dict().values()]))
        return measure(self, policy)

    monkeypatch.setattr(ArmEvaluations, "curve", noted)
    run(tmp_path, {"decay": 1.0})
    for found, steps in zip(seen, (2, 4), strict=True):
        torch.testing.assert_close(found, torch.stack(trained(plain)[:steps]).mean(dim=0), atol=1e-5, rtol=1e-4)


def test_a_killed_run_gives_the_same_mean(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(event: ProgressEvent) -> None:
        if event.phase == "ppo" and event.done == 4:
            raise Killed

    whole = run(tmp_path / "whole", {"decay": 0.7})
    with pytest.raises(Killed):
        run(tmp_path / "cut", {"decay": 0.7}, progress=kill)
    cut = run(tmp_path / "cut", {"decay": 0.7})
    assert torch.equal(weights(cut.policy_path), weights(whole.policy_path))
    assert curve(cut) == curve(whole)


def test_the_next_phase_begins_with_the_mean(tmp_path: Path) -> None:
    phases = [{"algorithm": "ppo", "name": name, **SMALL, "steps": steps} for name, steps in (("one", 3), ("two", 1))]
    recipe = toy_recipe(
        phase=phases, sft=None, grpo=None, average={"decay": 1.0}, evaluation={"n": 1, "baselines": []},
        checkpoint={"every": 1, "keep": 9},
    )  # fmt: skip
    folder = train(recipe, store=tmp_path).folder / "checkpoints"
    ends, begins = Checkpoints(folder / "one").at(3), Checkpoints(folder / "two").at(0)
    assert ends is not None
    assert begins is not None
    assert torch.equal(weights(ends.policy_path), weights(begins.policy_path))


@pytest.mark.parametrize("played", [False, True])
def test_the_best_step_is_that_of_the_mean_unless_it_is_chosen_by_what_was_played(
    tmp_path: Path, plain: TrainingResult, monkeypatch: pytest.MonkeyPatch, played: bool
) -> None:
    monkeypatch.setattr(best, "AFTER_UPDATE", "test_" if played else "grad_")
    norms = [row["grad_norm"] for row in read_metrics(plain.folder / "metrics.jsonl")]
    step = norms.index(max(norms[1:])) + 1
    mode = "max" if norms[step - 1] == max(norms) else "min"
    step = step if mode == "max" else norms.index(min(norms)) + 1
    result = run(tmp_path, {"decay": 1.0}, checkpoint={"best": "grad_norm", "best_mode": mode})
    assert result.policy_path.parent.name == f"step-{step:06d}"
    expected = trained(plain)[step - 2] if played else torch.stack(trained(plain)[:step]).mean(dim=0)
    torch.testing.assert_close(weights(result.policy_path), expected, atol=1e-5, rtol=1e-4)


def test_rounds_that_begin_again_have_no_mean(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[average\] is active in the phase rft"):
        toy_recipe(phases=["rft"], average={"decay": 0.9})
    toy_recipe(phases=["sft", "rft"], rft={"average": False}, average={"decay": 0.9})


@pytest.mark.parametrize("table", [{"decay": 0.0}, {"decay": 1.5}, {"begin": 0}])
def test_impossible_means_are_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="average"):
        toy_recipe(average=table)
