"""Generated cockpit tasks: task *i* of a split is made alone, from (options, split, i).

Splits do not meet: the goal of a request, i.e. the set of the calls that it asks for (with their arguments, however they are
said and whatever state the car is in; asked-for calls that the car refuses included), belongs by its hash to one split, and a
task only has requests of its own split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from random import Random
from typing import NamedTuple

from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.envs.vehicle.car.car import PROFILES, Car, Profile, profile_named
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES, PRESETS, SEATS, car_tables
from palaestra.envs.vehicle.requests.dialogue import Dialogue, Wish, suited
from palaestra.envs.vehicle.requests.goals import Clash
from palaestra.envs.vehicle.requests.kinds import COUPLED_MODULES, KIND_WISHES
from palaestra.envs.vehicle.requests.phrases import phrasebooks
from palaestra.envs.vehicle.requests.task import CarTask
from palaestra.errors import UsageError, unknown_name

SEED = 20310305
NUM_TEST_TASKS = 1000
SPLITS = ("train", "test")
INTERACTIONS = ("S-S", "S-M", "M-S", "M-M")
_ATTEMPTS = 3000


class Level(NamedTuple):
    """What a difficulty means.

    Attributes:
        modules: Modules asked about; empty for all.
        interactions: Weight of each class.
        wishes: Weight of each kind of request.
        num_requests: Weights of 2, 3, 4, 5 requests, where there are several.
        num_parts: Weights of 1, 2, 3 parts of a request.
        num_disturbances: Largest number of things done before the first request.
        is_easy: Whether goals without amounts in simple words are asked for.
    """

    modules: tuple[str, ...]
    interactions: dict[str, float]
    wishes: dict[str, float]
    num_requests: tuple[float, ...]
    num_parts: tuple[float, ...]
    num_disturbances: int
    is_easy: bool = False


_EASY_MODULES = (
    "door", "window", "bluetooth", "fogLight", "hazardLight", "tailLight", "positionLight", "highBeamHeadlight",
    "sunroof", "wiper",
)  # fmt: skip
LEVELS = {
    "easy": Level(_EASY_MODULES, {"S-S": 1}, {"act": 1}, (1,), (1,), 0, is_easy=True),
    "normal": Level(
        (),
        {"S-S": 0.4, "S-M": 0.15, "M-S": 0.25, "M-M": 0.2},
        {"act": 0.42, "follow": 0.22, "refuse": 0.14, "already": 0.09, "if": 0.06, "like": 0.02, "every": 0.05},
        (5, 3, 1, 1),
        (8, 2, 0),
        2,
    ),
    "hard": Level(
        (),
        {"S-S": 0.05, "S-M": 0.25, "M-S": 0.2, "M-M": 0.5},
        {"act": 0.28, "follow": 0.22, "refuse": 0.17, "already": 0.08, "if": 0.12, "like": 0.05, "every": 0.08},
        (3, 4, 3, 2),
        (5, 4, 2),
        4,
    ),
}
"""Difficulties by name."""


@dataclass(frozen=True)
class Options:
    """What is generated.

    Attributes:
        difficulty: One of `LEVELS`.
        modules: Only requests about these modules; empty for all of the difficulty.
        interactions: Only tasks of these classes; empty for all.
        kinds: Only tasks with a request of one of these kinds; empty for all.
        profile: Profile of the car in which gold plans are found.
        seed: Chooses another endless sequence of tasks.
    """

    difficulty: str = "normal"
    modules: tuple[str, ...] = ()
    interactions: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    profile: Profile = "fixed"
    seed: int = SEED

    def __post_init__(self) -> None:
        """Check the names."""
        if self.difficulty not in LEVELS:
            raise unknown_name("difficulty", self.difficulty, LEVELS)
        if self.profile not in PROFILES:
            raise unknown_name("profile", self.profile, PROFILES)
        for module in self.modules:
            if module not in phrasebooks():
                raise unknown_name("module", module, phrasebooks())
        for name in self.interactions:
            if name not in LEVELS[self.difficulty].interactions:
                raise unknown_name(f"interaction class of {self.difficulty} tasks", name, LEVELS[self.difficulty].interactions)
        if len(self.scope) == 1 and all(name.endswith("M") for name in self.classes):
            raise UsageError(f"Tasks of class {', '.join(self.classes)} need two modules; modules holds only {self.scope[0]}.")

    @property
    def stream(self) -> str:
        """The name of the stream of chance that tasks are drawn from.

        The published profile stands in it by its first name, so that every key goes on meaning the task that it always meant.
        """
        return repr(self).replace("profile='published'", "profile='paper'")

    @property
    def level(self) -> Level:
        """What the difficulty means."""
        return LEVELS[self.difficulty]

    @property
    def scope(self) -> tuple[str, ...]:
        """Modules that requests are about."""
        return self.modules or tuple(name for name in self.level.modules or MODULES if name in phrasebooks())

    @property
    def classes(self) -> tuple[str, ...]:
        """Interaction classes."""
        return self.interactions or tuple(self.level.interactions)


@dataclass(frozen=True)
class MakeTask:
    """The generator for some options, as a value that pickles."""

    options: Options

    def __call__(self, split: str, index: int) -> Task:
        """Return task number `index` of `split`."""
        return generate_task(split, index, self.options)


def vehicle_tasks(
    difficulty: str = "normal",
    *,
    modules: Sequence[str] | None = None,
    interactions: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    profile: Profile = "fixed",
    seed: int = SEED,
) -> GeneratedTasks:
    """Return generated tasks: "train" without end, and `NUM_TEST_TASKS` in "test".

    Args:
        difficulty: "easy" (one short request without amounts about one of a few modules), "normal" or "hard" (mostly several
            modules and requests, conditions, refusals).
        modules: Only requests about these modules.
        interactions: Only tasks of these classes ("S-S", "S-M", "M-S", "M-M").
        kinds: Only tasks that have a request of one of these kinds (see `CarRequest.kinds`), e.g. "refuse" or "C4".
        profile: Profile of the car in which the gold plans hold.
        seed: Chooses another sequence of tasks; the splits stay apart over all seeds.

    Raises:
        UnknownNameError: For an unknown name.
        UsageError: If the options contradict each other.
    """
    options = Options(
        difficulty, tuple(modules or ()), tuple(interactions or ()), tuple(kinds or ()), profile_named(profile), seed
    )
    return GeneratedTasks(MakeTask(options), {"train": None, "test": NUM_TEST_TASKS})


@lru_cache(maxsize=1024)
def generate_task(split: str, index: int, options: Options | None = None) -> Task:
    """Make one task.

    Args:
        split: "train" or "test".
        index: Number of the task, from 0.
        options: What is generated; by default normal tasks about the whole car.
    """
    return draw_task(split, index, options)[0]


def draw_task(split: str, index: int, options: Options | None = None) -> tuple[Task, list[tuple[str, ...]]]:
    """Make one task, and the keys of the goals of each of its requests.

    Raises:
        UsageError: If the options leave nothing to be asked for.
    """
    options = options or Options()
    rng = Random(f"{split}/{index}/{options.stream}")
    for _ in range(_ATTEMPTS):
        try:
            car, keys = _draw(rng, split, options)
        except Clash:
            continue  # parts that do not go together: draw again from the same stream
        if options.kinds and not any(kind in request.kinds for request in car.requests for kind in options.kinds):
            continue
        return Task(f"{split}/{index}", split, car.interaction, car.to_json()), keys
    raise UsageError(f"No task was found for {options} in {_ATTEMPTS} attempts; ask for more kinds, modules or classes.")


def _draw(rng: Random, split: str, options: Options) -> tuple[CarTask, list[tuple[str, ...]]]:
    """Draw a dialogue, a car made ready for it, and let it be served."""
    level = options.level
    weights = [level.interactions[name] for name in options.classes]
    interaction = rng.choices(options.classes, weights)[0]
    wishes = _wishes(rng, interaction, options)
    modules = tuple(dict.fromkeys(module for wish in wishes for module in wish.modules))
    dialogue = Dialogue(rng, split, Car(options.profile), is_easy=level.is_easy)
    _furnish(dialogue, modules, level)
    for wish in wishes:
        dialogue.ready(wish)
    dialogue.car.state.forget()
    for wish in wishes:
        dialogue.serve(wish)
    named = {module for served in dialogue.served for module in served.modules}
    car = CarTask(
        tuple(module for module in MODULES if module in named),
        tuple(dialogue.setup),
        tuple(served.request for served in dialogue.served),
    )
    if car.interaction != interaction:
        raise Clash
    return car, [served.keys for served in dialogue.served]


def _wishes(rng: Random, interaction: str, options: Options) -> list[Wish]:
    """Draw what each request is to be like."""
    level = options.level
    num_requests = 1 if interaction[0] == "S" else rng.choices((2, 3, 4, 5)[: len(level.num_requests)], level.num_requests)[0]
    modules = _modules(rng, 1 if interaction[2] == "S" else rng.choices((2, 3), (3, 1))[0], options)
    wishes: list[Wish] = []
    focus = rng.randrange(num_requests), _focus(options.kinds, KIND_WISHES)
    for number in range(num_requests):
        kind = rng.choices(tuple(level.wishes), tuple(level.wishes.values()))[0]
        if number == focus[0] and focus[1]:
            kind = rng.choice(focus[1])
        num_parts = rng.choices((1, 2, 3)[: len(level.num_parts)], level.num_parts)[0]
        if interaction == "S-M":
            kind, parts = "act", modules[: max(2, num_parts)]
        elif number < len(modules):
            last = number == num_requests - 1
            parts = modules[number:] if last else modules[number : number + 1]
            kind = "act" if kind == "follow" or len(parts) > 1 else kind
        else:
            parts = (rng.choice(modules),)
            if kind == "act" and num_parts > 1:
                parts = tuple(rng.choice(modules) for _ in range(num_parts))
        if kind in ("refuse", "like", "already", "every", "if") and not _is_possible(parts[0], kind):
            kind = "act"
        wishes.append(Wish(kind, parts))
    for wish, after in pairwise(wishes):
        if after.kind == "follow" and wish.kind != "follow" and len(wish.modules) == 1:
            wish.kind = "lead"
    return wishes


def _focus(kinds: tuple[str, ...], table: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return what leads to wanted kinds; empty if anything may."""
    if not kinds or any(kind not in table for kind in kinds):
        return ()
    return tuple(dict.fromkeys(item for kind in kinds for item in table[kind]))


def _is_possible(module: str, kind: str) -> bool:
    """Whether a module has intents, and conditions where they are needed, for a kind of request."""
    if kind == "if" and not phrasebooks()[module].conditions:
        return False
    if kind == "every" and not any(condition.that for condition in phrasebooks()[module].conditions):
        return False
    return bool(suited(module, kind))


def _modules(rng: Random, count: int, options: Options) -> tuple[str, ...]:
    """Draw modules, more often those that can do more."""
    scope = options.scope
    if len(scope) < count:
        raise Clash
    focus = [module for module in _focus(options.kinds, COUPLED_MODULES) if module in scope]
    found: list[str] = [rng.choice(focus)] if focus else []
    while len(found) < count:
        module = rng.choices(scope, _module_weights(scope, options.level.is_easy))[0]
        if module not in found:
            found.append(module)
    return tuple(found)


@cache
def _module_weights(scope: tuple[str, ...], is_easy: bool) -> list[int]:
    """Return how often each module is asked about."""
    return [1 if is_easy else 4 + len(phrasebooks()[module].intents) for module in scope]


def _furnish(dialogue: Dialogue, modules: tuple[str, ...], level: Level) -> None:
    """Put the car into some state: presets, who speaks, things done before."""
    rng = dialogue.rng
    if not level.is_easy and rng.random() < 0.5:
        presets = tuple(car_tables().modules[ENVIRONMENT].presets)
        dialogue.take_step({"op": "env_preset", "preset": rng.choice(presets)})
    speaker = rng.choice(SEATS) if rng.random() < 0.6 else SEATS[0]
    if speaker != dialogue.chooser.speaker:
        dialogue.take_step({"op": "env_set", "property": "speaker", "value": speaker})
    others = rng.sample(MODULES, 2) if level.num_disturbances else []
    for module in dict.fromkeys((*modules, *others)):
        if rng.random() < 0.5:
            dialogue.take_step({"op": "module_preset", "module": module, "preset": rng.choice(PRESETS[1:])})
    for _ in range(rng.randint(0, level.num_disturbances)):
        dialogue.disturb(rng.choice(modules))


__all__ = ["LEVELS", "NUM_TEST_TASKS", "Options", "draw_task", "generate_task", "vehicle_tasks"]
