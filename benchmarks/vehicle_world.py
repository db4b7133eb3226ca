"""VehicleWorld: cars, calls, state texts, scores, tasks and pictures, next to the implementation that its paper came with.

The peer cannot be installed beside us, so it is not measured in this run: its figures are ours, taken once on another machine
with two cores, and its paper gives none. Nothing is judged by them, only by floors. The replay of the published tasks needs
their file: name its folder in PALAESTRA_FIXTURES (joined by `os.pathsep`), else that row is left out.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, cpu_us
from benchmarks.vehicle_calls import sensible_calls
from palaestra.envs.vehicle.car.views import plain_state, state_text
from palaestra.envs.vehicle.published.scoring import Scope
from palaestra.envs.vehicle.published.tasks import load_published
from palaestra.envs.vehicle.reference import follow_gold, replay
from palaestra.envs.vehicle.render.cockpit import cockpit_text
from palaestra.envs.vehicle.render.picture import car_picture
from palaestra.envs.vehicle.requests.generator import Options, draw_task
from palaestra.envs.vehicle.requests.gold import gold_effect
from palaestra.envs.vehicle.requests.task import CarTask
from palaestra.envs.vehicle.strict import judge_request
from palaestra.envs.vehicle.world import VehicleWorld

PEER = "the paper's implementation, measured by us earlier, on another machine"
CONSTRUCT_US, COPY_US, EXPORT_US, TEXT_US, SCORE_US, REPLAY_MS = 308.0, 4300.0, 817.0, 2200.0, 6000.0, 9.3
CALL_US = 91.0
NUM_TASKS, NUM_CARS = 1000, 300
CALL_ROUNDS = 60


def run() -> list[Row]:
    """Measure everything; CPU time, as other programs run beside."""
    return [*_worlds(), *_calls(), *_texts(), *_scores(), *_replay(), *_generated(), *_drawings()]


def _worlds() -> list[Row]:
    """Build and copy a car."""
    world = VehicleWorld()
    times = cpu_us({"construct": _repeat(VehicleWorld), "copy": _repeat(world.copy)}, number=200)
    return [
        _row("construct the default car", times["construct"], CONSTRUCT_US, 30.0),
        _row("copy a car", times["copy"], COPY_US, 30.0),
    ]


def _calls() -> list[Row]:
    """Time every function with up to six sensible sets of arguments; each call begins in the same state."""
    calls = sensible_calls()
    clock_us = _clock_us()
    typical: list[float] = []
    for world, module, name, arguments in calls:
        state = world.state
        times = []
        for _ in range(CALL_ROUNDS):
            mark = len(state.log)
            begin = time.process_time_ns()
            world.call_with(module, name, (), arguments)
            times.append((time.process_time_ns() - begin) / 1e3 - clock_us)
            state.undo(mark)
        typical.append(statistics.median(times))
    slowest = max(range(len(calls)), key=typical.__getitem__)
    functions = len({(module, name) for _, module, name, _ in calls})
    _, module, name, _ = calls[slowest]
    what = f"call, {functions} functions, {len(calls)} sets of arguments"
    return [
        _row(f"{what}: median", statistics.median(typical), 5.0, 5.0, peer="floor"),
        _row(f"{what}: worst ({module}.{name})", typical[slowest], CALL_US, 20.0, peer=f"{PEER}, worst"),
    ]


def _clock_us() -> float:
    """Return what a look at the CPU clock takes, in microseconds: not nothing next to a call."""
    times = []
    for _ in range(1000):
        begin = time.process_time_ns()
        times.append((time.process_time_ns() - begin) / 1e3)
    return statistics.median(times)


def _texts() -> list[Row]:
    """Write the whole state: of one car again and again, and of many cars once."""
    world = VehicleWorld()
    times = cpu_us({"warm": _repeat(state_text, world), "plain": _repeat(plain_state, world)}, number=20)
    cars = [_car(index) for index in range(NUM_CARS)]
    begin = time.process_time_ns()
    for car in cars:
        state_text(car)
    cold = (time.process_time_ns() - begin) / 1e3 / NUM_CARS
    return [
        _row("whole state as JSON text, the same car again", times["warm"], TEXT_US, 200.0),
        _row(f"whole state as JSON text, {NUM_CARS} cars once each", cold, TEXT_US, 200.0),
        Row("whole state as nested data", times["plain"], "µs", PEER, EXPORT_US),
    ]


def _car(index: int) -> VehicleWorld:
    """Return a car after the requests of a generated task."""
    task = CarTask.from_json(draw_task("test", index)[0].data)
    world = VehicleWorld()
    world.set_up(task.setup)
    for request in task.requests:
        gold_effect(world, request.calls)
    return world


def _scores() -> list[Row]:
    """Score requests of generated tasks by all published and strict scores; the agent follows the gold plan."""
    requests = []
    for index in range(150):
        task = CarTask.from_json(draw_task("test", index)[0].data)
        world = VehicleWorld()
        world.set_up(task.setup)
        scope = Scope(task.modules)
        for request in task.requests:
            past = world.copy().state
            gold = gold_effect(world, request.calls)
            requests.append((scope, past, gold.changes, gold.changes, gold.degree_paths, world.copy().state))

    def judge(n: int) -> None:
        for _ in range(n):
            for scope, past, wanted, made, degrees, agent in requests:
                judge_request(scope, past, wanted, made, degrees, agent=agent)

    time_us = cpu_us({"judge": judge}, number=1, rounds=15)["judge"] / len(requests)
    return [_row(f"score a request, published and strict, mean of {len(requests)}", time_us, SCORE_US, 200.0)]


def _replay() -> list[Row]:
    """Replay the published tasks with scoring."""
    folders = [Path(folder) for folder in os.environ.get("PALAESTRA_FIXTURES", "").split(os.pathsep) if folder]
    names = ("vehicleworld/tasks.jsonl.gz", "tasks.jsonl.gz")
    files = [folder / name for folder in folders for name in names if (folder / name).exists()]
    if not files:
        print(f"replay left out: no {' or '.join(names)} in the folders named by PALAESTRA_FIXTURES", file=sys.stderr)
        return []
    tasks = [CarTask.from_json(task.data) for file in files for task in load_published(file)]
    replay(tasks[0], follow_gold)  # compiles the operations
    seconds = []
    for _ in range(3):
        begin = time.process_time()
        for task in tasks:
            replay(task, follow_gold)
        seconds.append(time.process_time() - begin)
    best, peer_s = min(seconds), REPLAY_MS / 1000 * len(tasks)
    return [Row(f"replay {len(tasks)} published tasks with scoring", best, "s", PEER, peer_s, "<= 1 s", best <= 1.0)]


def _generated() -> list[Row]:
    """Generate tasks with their gold plans."""
    draw_task("train", 0)  # reads the phrases
    options = Options(seed=987654321)
    begin = time.process_time()
    for index in range(NUM_TASKS):
        draw_task("train", index, options)
    seconds = time.process_time() - begin
    return [Row(f"generate {NUM_TASKS:,} tasks", seconds, "s", "floor", 5.0, "<= 5 s", seconds <= 5.0)]


def _drawings() -> list[Row]:
    """Draw the car, as a picture and in characters."""
    world = VehicleWorld()
    for module in list(world.tables.modules)[1:]:
        world.apply_preset(module, "init2")
    car_picture(world.state)
    times = cpu_us({"picture": _repeat(car_picture, world.state), "text": _repeat(cockpit_text, world.state)}, number=1)
    picture, text = times["picture"] / 1e3, times["text"] / 1e3
    return [
        Row("car as a picture, 960 x 720", picture, "ms", "floor", 30.0, "<= 30 ms", picture <= 30.0),
        Row("cockpit in characters", text, "ms", "floor", 5.0, "<= 5 ms", text <= 5.0),
    ]


def _row(name: str, ours: float, peer_value: float, limit: float, *, peer: str = PEER) -> Row:
    """Return a row in microseconds with a limit."""
    return Row(name, ours, "µs", peer, peer_value, f"<= {limit:g} µs", ours <= limit)


def _repeat(act: Callable[..., object], *arguments: Any) -> Callable[[int], None]:
    """Return a loop of one call."""
    given: Sequence[Any] = arguments

    def loop(number: int) -> None:
        for _ in range(number):
            act(*given)

    return loop


if __name__ == "__main__":
    for row in run():
        print(row)
