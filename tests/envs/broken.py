"""Environments that break one promise each; `BROKEN` names the check that has to notice."""

from __future__ import annotations

import functools
import random
import threading
import time
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np

from palaestra.envs import FixedTasks, GeneratedTasks, Task
from palaestra.media import current_media, describe, png_bytes
from palaestra.results import EnvResults, Metric, ResultTable, StepBlock
from palaestra.spaces import ActionSpace
from palaestra.types import ToolResult
from tests.envs.miniature import CounterEnv, MeasuredEnv, draw_action, make_task, measured_results
from tests.envs.seated_toys import GuessEnv


class CannotBeMade(CounterEnv):
    def __init__(self, **kwargs: Any) -> None:
        raise OSError("no such engine")


class NamesWhatNobodyPut(CounterEnv):
    def _begin(self, task):
        return super()._begin(task) + png_tag(bytes(12))


class PutsOnceAProcess(CounterEnv):
    def _begin(self, task):
        return super()._begin(task) + png_tag_put_once()


def png_tag(pixels: bytes) -> str:
    return describe(png_bytes(np.frombuffer(pixels, np.uint8).reshape(2, 2, 3))).tag


@functools.cache
def png_tag_put_once() -> str:
    return current_media().put(png_bytes(np.ones((2, 2, 3), np.uint8))).tag


class ReusesInfo(CounterEnv):
    def reset(self, **kwargs):
        observation, info = super().reset(**kwargs)
        self.kept = vars(self).get("kept", {})
        self.kept.update(info)
        return observation, self.kept


class OtherSpaces(CounterEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.observation_space = gymnasium.spaces.Text(5)


class UnseededSampler(CounterEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.action_space = ActionSpace(sampler=draw_from_anywhere)


def draw_from_anywhere(rng):
    return draw_action(np.random.default_rng())


class DrawsProse(CounterEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.action_space = ActionSpace()


class TellsNoTask(CounterEnv):
    def reset(self, **kwargs):
        observation, info = super().reset(**kwargs)
        del info["task"]
        return observation, info


class PartsDoNotAddUp(CounterEnv):
    def _act(self, action):
        turn = super()._act(action)
        turn.reward_parts = {"task": 0.5}
        return turn


class ForgetsStopReason(CounterEnv):
    def step(self, action):
        *values, info = super().step(action)
        info["stop_reason"] = "because"
        return (*values, info)


class BadToolName(CounterEnv):
    def tools(self):
        return [{"type": "function", "function": {"name": "count up", "description": "x", "parameters": {"type": "object"}}}]


class RequiresUnknown(CounterEnv):
    def tools(self):
        parameters = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["m"]}
        return [{"type": "function", "function": {"name": "up", "description": "Count.", "parameters": parameters}}]


class SplitsMeet(CounterEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tasks = FixedTasks([Task("a", "train", data={"goal": 2}), Task("b", "test", data={"goal": 2})])


class KeysRepeat(CounterEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tasks = GeneratedTasks(lambda split, i: Task("same", split, data={"goal": 2 + i}), {"train": 3, "test": 3})


class IgnoresTheTask(CounterEnv):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)


class StepsAfterTheEnd(CounterEnv):
    def step(self, action):
        self._playing = self.task is not None
        return super().step(action)


class IgnoresTheLimit(CounterEnv):
    def __init__(self, *, max_turns=None, **kwargs: Any) -> None:
        super().__init__(max_turns=None, **kwargs)


class RaisesOnNonsense(CounterEnv):
    def _act(self, action):
        if action not in ("up", "down", "UP", "up  "):
            raise KeyError(action)
        return super()._act(action)


class RefusesTooLate(CounterEnv):
    def _act(self, action):
        self.number += 1
        return super()._act(action)


class TakesNumbers(CounterEnv):
    def step(self, action):
        return super().step(str(action) if isinstance(action, (int, float)) else action)


class LostExpert(CounterEnv):
    def expert(self):
        yield from ["down", "down"]


class RefusedExpert(CounterEnv):
    def expert(self):
        yield "please"
        yield from super().expert()


class SwallowsFaults(CounterEnv):
    def step(self, action):
        try:
            return super().step(action)
        except RuntimeError:
            return "oops", 0.0, True, False, {"action_error": "", "success": False, "score": 0.0, "stop_reason": "failure"}


class RendersNothing(CounterEnv):
    def render(self):
        return None


class ClosesOnce(CounterEnv):
    is_closed = False

    def close(self):
        if self.is_closed:
            raise RuntimeError("already closed")
        self.is_closed = True


class CarriesOver(CounterEnv):
    def _begin(self, task):
        number = self.number
        observation = super()._begin(task)
        self.number += number % 2
        return f"{observation} ({self.number})"


class IgnoresTheSeed(CounterEnv):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=0, options=options)


class DependsOnHashSeed(CounterEnv):
    def _begin(self, task):
        super()._begin(task)
        return f"code {hash(task.key)}"


class UsesGlobalRandom(CounterEnv):
    def _act(self, action):
        turn = super()._act(action)
        turn.observation += f" {random.random()}"
        return turn


class UsesGlobalNumpy(CounterEnv):
    def _begin(self, task):
        np.random.random()
        return super()._begin(task)


class ShowsTheDate(CounterEnv):
    def _begin(self, task):
        return super()._begin(task) + f" in {int(time.time()) // 86400}"


class ShowsHowLongItRan(CounterEnv):
    def _begin(self, task):
        return super()._begin(task) + f" on day {int(time.monotonic()) // 86400}"


class BlocksAndShowsTheDate(ShowsTheDate):
    blocks = True


class ForgetsHalf(CounterEnv):
    def _save(self):
        return self.goal

    def _load(self, task, state):
        self.goal, self.number = state, 0


class SavesHashes(CounterEnv):
    def _save(self):
        return [self.number, self.goal, hash("salt")]

    def _load(self, task, state):
        self.number, self.goal, salt = state
        if salt != hash("salt"):
            self.number = -9


class TrustsSnapshots(CounterEnv):
    def restore(self, snapshot):
        self.number = 77
        super().restore(snapshot)


class HoldsALock(CounterEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lock = threading.Lock()


class SharesItsWorld(CounterEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.box = Shared()

    def _act(self, action):
        self.box.value += 1
        return super()._act(action)

    def _begin(self, task):
        self.box.value = 0
        return super()._begin(task)

    def _save(self):
        return [self.number, self.goal, self.box.value]

    def _load(self, task, state):
        self.number, self.goal, self.box.value = state


class Shared:
    value = 0

    def __deepcopy__(self, memo):
        return self


class CountsEnvironments(CounterEnv):
    alive = 0

    def _begin(self, task):
        type(self).alive += 1
        return super()._begin(task) + f" number {type(self).alive}"


class UnstorableInfo(CounterEnv):
    def _act(self, action):
        turn = super()._act(action)
        turn.tool_results = [ToolResult("up", object())]  # type: ignore[arg-type]
        return turn


class RenamesTasks(CounterEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tasks = Unfindable(make_task, {"train": 5, "test": 5})


class Unfindable(GeneratedTasks):
    def find(self, key):
        return self.at("train", 0)


class DrawsElsewhere(GuessEnv):
    """Its scripted Ann draws from the stream of the world."""

    def _scripted(self, seat, observation):
        return str(self.np_random.integers(16)) if seat == "ann" else super()._scripted(seat, observation)


class RemembersOutside(GuessEnv):
    """Its scripted Bob counts in an attribute that is not part of the state."""

    answers = 0

    def _scripted(self, seat, observation):
        self.answers += seat == "bob"
        return "less" if seat == "bob" and self.answers % 3 == 2 else super()._scripted(seat, observation)


class ShowsTheSecret(GuessEnv):
    """Whoever acts is shown the secret."""

    def _turn(self, *args, **kwargs):
        turn = super()._turn(*args, **kwargs)
        turn.observation += f" (psst: {self.state['secret']})"
        return turn


class PublishesRewards(GuessEnv):
    """Everybody's rewards are in the info of the one-seat face."""

    def _turn(self, *args, **kwargs):
        turn = super()._turn(*args, **kwargs)
        turn.info = {**(turn.info or {}), "rewards": dict(self._table.scores)}
        return turn


class TellsMetricsEarly(GuessEnv):
    """What is measured is in the info of every step."""

    def _turn(self, *args, **kwargs):
        turn = super()._turn(*args, **kwargs)
        turn.metrics = {"guesses": self.state["guesses"], "hints": 1}
        return turn


class SamplesAnything(GuessEnv):
    """The actions drawn for seats do not follow their seed."""

    @staticmethod
    def _sample(seat, rng):
        return str(random.SystemRandom().randrange(16))


class GivesUndeclared(MeasuredEnv):
    metrics = MeasuredEnv.metrics[:2]


class GivesWithoutDeclaring(CounterEnv):
    def _act(self, action):
        turn = super()._act(action)
        turn.metrics = {"moves": 1.0}
        return turn


class NeverGives(MeasuredEnv):
    metrics = (*MeasuredEnv.metrics, Metric("patience"))


class GivesNaN(MeasuredEnv):
    def _act(self, action):
        turn = super()._act(action)
        turn.metrics["lowest"] = float("nan")
        return turn


class GivesPercent(MeasuredEnv):
    def _act(self, action):
        turn = super()._act(action)
        if "directness" in turn.metrics:
            turn.metrics["directness"] *= 100
        return turn


class DeclaresTwice(MeasuredEnv):
    metrics = (*MeasuredEnv.metrics, Metric("distance"))


class DeclaresNames(CounterEnv):
    metrics = ("distance",)


class NeedsAnAnswer(MeasuredEnv):
    results = "tests.envs.broken:longest_words"


def longest_words(arms):
    rows = [(a.name, max((s.action.content for played in a.episodes for s in played.steps), key=len)) for a in arms]
    return EnvResults((ResultTable("Longest words", ("Arm", "Word"), tuple(rows), text_columns=2),) if arms else ())


class DeclaresOnItself(CounterEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.metrics = (Metric("moves"),)

    def _act(self, action):
        turn = super()._act(action)
        turn.metrics = {"moves": 1.0}
        return turn


class NamesNoFunction(MeasuredEnv):
    results = "tests.envs.broken:nothing"


class NamesAFunctionOfItsOwn(MeasuredEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.results = "tests.envs.miniature:detours"


class NamesAListOfTables(MeasuredEnv):
    results = "tests.envs.broken:list_of_tables"


class NamesNumbers(MeasuredEnv):
    results = "tests.envs.broken:numbers_in_cells"


class NeedsArms(MeasuredEnv):
    results = "tests.envs.broken:needs_arms"


class BlocksBeyondTheEnd(MeasuredEnv):
    results = "tests.envs.broken:block_too_far"


class NeedsSteps(MeasuredEnv):
    results = "tests.envs.broken:block_of_the_last_step"


class WritesInfinity(MeasuredEnv):
    results = "tests.envs.broken:infinite_data"


def list_of_tables(arms):
    return list(measured_results(arms).tables)


def numbers_in_cells(arms):
    return EnvResults((ResultTable("T", ("Arm", "Steps"), tuple((arm.name, 3) for arm in arms)),) if arms else ())


def needs_arms(arms):
    return EnvResults((ResultTable("T", ("Arm",), ((arms[0].name,),)),))


def block_too_far(arms):
    return replace(measured_results(arms), blocks=lambda trajectory: {len(trajectory.steps): [StepBlock("Late")]})


def block_of_the_last_step(arms):
    return replace(measured_results(arms), blocks=lambda trajectory: {0: [StepBlock(trajectory.steps[-1].observation)]})


def infinite_data(arms):
    return replace(measured_results(arms), data={"best": float("inf")})


class EarnsLess(CounterEnv):
    full_return = 2.0


class DeclaresAText(CounterEnv):
    full_return = "1"  # type: ignore[assignment]


class Lists(CounterEnv):
    def available_actions(self):
        return ["up", "down"] if self._playing else []


class ListsWhatItRefuses(Lists):
    def available_actions(self):
        return [*super().available_actions(), "left"]


class ListsTwice(Lists):
    def available_actions(self):
        return super().available_actions() * 2


class ListsBeyondTheEnd(Lists):
    def available_actions(self):
        return ["up", "down"]


class MovesWhileListing(Lists):
    def available_actions(self):
        self.number += 1
        return super().available_actions()


class ListsInEveryStep(Lists):
    def _act(self, action):
        self.available_actions()
        return super()._act(action)


class ListsAText(Lists):
    def available_actions(self):
        return "up"


class LeadsNowhere(CounterEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tasks.aliases = {"upstream#1": "train/1", "upstream#2": "train/77"}


BROKEN: list[tuple[str, type[gymnasium.Env]]] = [
    ("make", CannotBeMade),
    ("gymnasium", ReusesInfo),
    ("spaces", OtherSpaces),
    ("spaces", UnseededSampler),
    ("samples", DrawsProse),
    ("reset info", TellsNoTask),
    ("step info", PartsDoNotAddUp),
    ("step info", ForgetsStopReason),
    ("step info", UnstorableInfo),
    ("media", NamesWhatNobodyPut),
    ("media", PutsOnceAProcess),
    ("tools", BadToolName),
    ("tools", RequiresUnknown),
    ("tasks", SplitsMeet),
    ("tasks", KeysRepeat),
    ("tasks", RenamesTasks),
    ("tasks", LeadsNowhere),
    ("task options", IgnoresTheTask),
    ("order", StepsAfterTheEnd),
    ("turn limit", IgnoresTheLimit),
    ("bad actions", RaisesOnNonsense),
    ("bad actions", RefusesTooLate),
    ("wrong types", TakesNumbers),
    ("expert", LostExpert),
    ("expert", RefusedExpert),
    ("expert", EarnsLess),
    ("expert", DeclaresAText),
    ("available actions", ListsWhatItRefuses),
    ("available actions", ListsTwice),
    ("available actions", ListsBeyondTheEnd),
    ("available actions", MovesWhileListing),
    ("available actions", ListsInEveryStep),
    ("available actions", ListsAText),
    ("metrics", GivesUndeclared),
    ("metrics", GivesWithoutDeclaring),
    ("metrics", NeverGives),
    ("metrics", GivesNaN),
    ("metrics", GivesPercent),
    ("metrics", DeclaresTwice),
    ("metrics", DeclaresNames),
    ("metrics", DeclaresOnItself),
    ("results", NeedsAnAnswer),
    ("results", NamesNoFunction),
    ("results", NamesAFunctionOfItsOwn),
    ("results", NamesAListOfTables),
    ("results", NamesNumbers),
    ("results", NeedsArms),
    ("results", BlocksBeyondTheEnd),
    ("results", NeedsSteps),
    ("results", WritesInfinity),
    ("faults", SwallowsFaults),
    ("render", RendersNothing),
    ("close", ClosesOnce),
    ("seeding", CarriesOver),
    ("seeding", IgnoresTheSeed),
    ("other process", DependsOnHashSeed),
    ("global randomness", UsesGlobalRandom),
    ("global randomness", UsesGlobalNumpy),
    ("clock", ShowsTheDate),
    ("clock", ShowsHowLongItRan),
    ("clock", BlocksAndShowsTheDate),
    ("snapshot", ForgetsHalf),
    ("snapshot elsewhere", SavesHashes),
    ("foreign snapshot", TrustsSnapshots),
    ("pickle", HoldsALock),
    ("copy", SharesItsWorld),
    ("same either way", DrawsElsewhere),
    ("same either way", RemembersOutside),
    ("privacy", ShowsTheSecret),
    ("privacy", PublishesRewards),
    ("privacy", TellsMetricsEarly),
    ("multi-agent", SamplesAnything),
    ("vector", CountsEnvironments),
]
