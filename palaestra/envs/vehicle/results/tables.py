"""Results of VehicleWorld in the form of its paper, with the strict scores, their intervals and the costs next to it.

`requests` reads the requests of stored episodes, `scores` sums them up; here they become tables.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import files
from math import isfinite

from palaestra.envs.vehicle.results.blocks import request_blocks
from palaestra.envs.vehicle.results.requests import EpisodeRequests, TaskFinder, episode_requests
from palaestra.envs.vehicle.results.scores import CarScores, car_scores
from palaestra.results.statistics import Estimate, mean_interval
from palaestra.results.tables import Arm, EnvResults, ResultTable, arm_name
from palaestra.types import Json

MODE_NAMES = {"fc": "FC", "sfc": "SFC", "hybrid": "Hybrid"}
MODES = tuple(MODE_NAMES)
_SHARES = ("accuracy", "f1_positive", "f1_negative")
COSTS = ("model_calls", "prompt_tokens", "completion_tokens", "calls", "failed_calls", "writes", "wall_s")


@dataclass(frozen=True, slots=True)
class ArmResults:
    """Results of one agent in one mode.

    Attributes:
        name: Agent and the arguments that tell the arms apart.
        model: The same without the mode.
        mode: "fc", "sfc" or "hybrid".
        total: All requests.
        by_class: By interaction class: single or multi turn, then single or multi module.
        by_domain: By domain of the task's modules; a task counts in each of its domains.
        by_module: By module that the task lists.
        by_kind: By what is special about a request.
        costs: Per episode: model calls, tokens, calls, failed calls, writes, seconds.
        num_errors: Episodes that failed outside the model and are left out.
    """

    name: str
    model: str
    mode: str
    total: CarScores
    by_class: Mapping[str, CarScores]
    by_domain: Mapping[str, CarScores]
    by_module: Mapping[str, CarScores]
    by_kind: Mapping[str, CarScores]
    costs: Mapping[str, Estimate]
    num_errors: int

    def to_json(self) -> dict[str, Json]:
        """Return a plain dict."""
        groups = {"by_class": self.by_class, "by_domain": self.by_domain, "by_module": self.by_module, "by_kind": self.by_kind}
        return {
            "name": self.name,
            "model": self.model,
            "mode": self.mode,
            "total": self.total.to_json(),
            **{name: {key: scores.to_json() for key, scores in group.items()} for name, group in groups.items()},
            "costs": {key: value.to_json() for key, value in self.costs.items()},
            "num_errors": self.num_errors,
        }


class VehicleResults:
    """Results of several arms.

    Args:
        arms: One for each agent and mode.
    """

    def __init__(self, arms: Sequence[ArmResults]) -> None:
        """Keep the arms."""
        self.arms = tuple(arms)

    @cached_property
    def published(self) -> dict[str, Json]:
        """Numbers of the paper."""
        text = (files("palaestra.envs.vehicle.published") / "numbers.json").read_text(encoding="utf-8")
        numbers: dict[str, Json] = json.loads(text)
        return numbers

    def to_json(self) -> dict[str, Json]:
        """Return everything as plain data."""
        return {"arms": [arm.to_json() for arm in self.arms], "published": self.published}

    def tables(self) -> list[ResultTable]:
        """Return the paper's table, the strict scores, costs, groups, and the paper's own numbers."""
        if not self.arms:
            return []
        return [self._paper_table(), self._strict_table(), self._cost_table(), *self._group_tables(), self._reference_table()]

    @cached_property
    def by_model(self) -> dict[str, dict[str, ArmResults]]:
        """The arms by model and mode."""
        found: dict[str, dict[str, ArmResults]] = {}
        for arm in self.arms:
            found.setdefault(arm.model, {})[arm.mode] = arm
        return found

    def _paper_table(self) -> ResultTable:
        """Return the published scores: a row for each model, three columns for each mode."""
        modes = sorted({arm.mode for arm in self.arms}, key=MODES.index)
        rows = []
        for model, arms in self.by_model.items():
            cells = [_percent(getattr(arms[mode].total, name)) if mode in arms else "-" for mode in modes for name in _SHARES]
            rows.append((model, *cells))
        columns = [f"{MODE_NAMES[mode]} {name}" for mode in modes for name in ("acc.", "F1+", "F1-")]
        idle = self.arms[0].total.idle["accuracy"]
        return ResultTable(
            "Published scores (percent)",
            ("Model", *columns),
            tuple(rows),
            f"Doing nothing has an accuracy of {100 * idle:.1f} on these tasks.",
        )

    def _strict_table(self) -> ResultTable:
        """Return the strict scores, a row for each arm."""
        columns = (
            "Arm",
            "Request success",
            "95 % interval",
            "Loose",
            "Task success",
            "Refusals",
            "Side effects",
            "Acc. - idle",
            "Succ. - idle",
        )
        rows = []
        for arm in self.arms:
            total = arm.total
            rows.append(
                (
                    arm.name,
                    _percent(total.request_success),
                    _ends(total.request_success),
                    _percent(total.loose_success),
                    _percent(total.task_success),
                    _percent(total.refusal),
                    _number(total.side_effects, 2),
                    _percent(total.normalised_accuracy),
                    _percent(total.normalised_success),
                )
            )
        notes = ["Whole car, exact values, nothing else touched; side effects per request; '- idle': doing nothing has 0."]
        for arm in self.arms:
            if arm.total.num_unplayed:
                notes.append(f"{arm.name}: {arm.total.num_unplayed:,} requests were never played and count as nothing done.")
            if arm.total.num_incomparable:
                notes.append(
                    f"{arm.name}: {arm.total.num_incomparable:,} requests made a number something else; counted as wrong."
                )
            if arm.num_errors:
                notes.append(f"{arm.name}: {arm.num_errors:,} episodes failed outside the model and are left out.")
        return ResultTable("Strict scores (percent)", columns, tuple(rows), "\n".join(notes))

    def _cost_table(self) -> ResultTable:
        """Return what a task cost, a row for each arm."""
        columns = ("Arm", "Model calls", "Prompt tokens", "Completion tokens", "Calls", "Failed calls", "Writes", "Seconds")
        digits = (2, 0, 0, 2, 2, 2, 2)
        rows = [
            (arm.name, *(_number(arm.costs[name], places) for name, places in zip(COSTS, digits, strict=True)))
            for arm in self.arms
        ]
        return ResultTable("Costs per task (means, as measured)", columns, tuple(rows))

    def _group_tables(self) -> list[ResultTable]:
        """Return accuracy and request success by class, domain and kind of request, a table for each model."""
        tables = []
        for model, arms in self.by_model.items():
            rows: list[tuple[str, ...]] = []
            for word in ("class", "domain", "kind"):
                groups: list[Mapping[str, CarScores]] = [getattr(arm, f"by_{word}") for arm in arms.values()]
                for name in sorted({name for group in groups for name in group}):
                    found = [group.get(name) for group in groups]
                    count = max(scores.num_requests for scores in found if scores is not None)
                    cells = [cell for scores in found for cell in _pair(scores)]
                    rows.append((f"{word}: {name}", f"{count:,}", *cells))
            columns = [f"{MODE_NAMES[mode]} {what}" for mode in arms for what in ("acc.", "success")]
            title = f"By class, domain and kind of request (percent): {model}"
            tables.append(ResultTable(title, ("Group", "Requests", *columns), tuple(rows)))
        return tables

    def _reference_table(self) -> ResultTable:
        """Return the numbers of the paper."""
        numbers = self.published
        rows = [
            (f"{model} ({table})", *("-" if value is None else f"{value:.1f}" for value in values))
            for table, models in numbers["tables"].items()
            for model, values in models.items()
        ]
        return ResultTable(
            "For reference: accuracy in the paper (percent)",
            ("Model", "FC", "SFC", "Hybrid"),
            tuple(rows),
            f"{numbers['source']}. {numbers['settings']}. Other tasks and settings than above unless you chose the same.",
        )


def vehicle_results(arms: Sequence[Arm]) -> EnvResults:
    """Return the tables of arms, and the blocks of single requests; what `VehicleWorldEnv.results` names."""
    found = read_results(arms)
    return EnvResults(tuple(found.tables()), found.to_json(), request_blocks)


def read_results(arms: Sequence[Arm]) -> VehicleResults:
    """Read the results of arms from their episodes."""
    finder = TaskFinder()
    results = [_arm_results(arm, finder) for arm in arms]
    cells = [(result.model, result.mode) for result in results]
    for i, arm in enumerate(arms):
        if cells.count(cells[i]) > 1:  # one cell of the table cannot hold two arms: the runs tell them apart
            name, model = (f"{text} · {arm.run_id}" for text in (results[i].name, results[i].model))
            results[i] = replace(results[i], name=name, model=model)
    return VehicleResults(results)


def _arm_results(arm: Arm, finder: TaskFinder) -> ArmResults:
    """Return the results of one arm."""
    mode = str(arm.env_kwargs.get("mode", MODES[0]))
    name = arm.name or arm.agent
    episodes: list[EpisodeRequests] = []
    num_errors = 0
    for trajectory in arm.episodes:
        found = episode_requests(trajectory, finder)
        if found is None:
            num_errors += 1
        else:
            episodes.append(found)
    return ArmResults(
        name=name if "mode" in arm.settings else arm_name(name, {"mode": mode}),
        model=name.replace(f" · mode={arm.settings.get('mode')}", ""),
        mode=mode,
        total=car_scores((episode.task, episode.requests) for episode in episodes),
        by_class=_by(episodes, lambda episode: (episode.interaction,)),
        by_domain=_by(episodes, lambda episode: episode.domains),
        by_module=_by(episodes, lambda episode: episode.modules),
        by_kind=_by_kind(episodes),
        costs={
            name: mean_interval(_by_task([(episode.task, float(getattr(episode.costs, name))) for episode in episodes]))
            for name in COSTS
        },
        num_errors=num_errors,
    )


def _by(episodes: Sequence[EpisodeRequests], names: Callable[[EpisodeRequests], Sequence[str]]) -> dict[str, CarScores]:
    """Return the scores of episodes by a name that each may have several of."""
    found = sorted({name for episode in episodes for name in names(episode)})
    return {
        name: car_scores((episode.task, episode.requests) for episode in episodes if name in names(episode)) for name in found
    }


def _by_kind(episodes: Sequence[EpisodeRequests]) -> dict[str, CarScores]:
    """Return the scores of requests by what is special about them."""
    kinds = sorted({kind for episode in episodes for row in episode.requests for kind in row.kinds})
    return {
        kind: car_scores((episode.task, [row for row in episode.requests if kind in row.kinds]) for episode in episodes)
        for kind in kinds
    }


def _by_task(values: Sequence[tuple[str, float]]) -> list[list[float]]:
    """Return values by task."""
    groups: dict[str, list[float]] = {}
    for task, value in values:
        groups.setdefault(task, []).append(value)
    return list(groups.values())


def _pair(scores: CarScores | None) -> tuple[str, str]:
    """Return accuracy and request success as percent."""
    return ("-", "-") if scores is None else (_percent(scores.accuracy), _percent(scores.request_success))


def _percent(estimate: Estimate) -> str:
    """Return a share as percent; a dash if nothing was observed."""
    return f"{100 * estimate.mean:.1f}" if estimate.n else "-"


def _ends(estimate: Estimate) -> str:
    """Return the ends of an interval as percent."""
    return f"{100 * estimate.low:.1f} - {100 * estimate.high:.1f}" if estimate.n and isfinite(estimate.low) else "-"


def _number(estimate: Estimate, digits: int) -> str:
    """Return a mean; a dash if nothing was observed."""
    return f"{estimate.mean:,.{digits}f}" if estimate.n else "-"


__all__ = ["ArmResults", "VehicleResults", "read_results", "vehicle_results"]
