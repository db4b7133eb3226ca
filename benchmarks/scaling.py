"""What limits training on 1 to 512 accelerators: a discrete simulation fed with costs, most of them assumptions.

    python -m benchmarks.scaling                      # the table of docs/scaling.md
    python -m benchmarks.scaling --measure            # first measure the driver's cost per turn on this machine
    python -m benchmarks.scaling --spread 1.2 --seeds 5

Episodes are sequences of turns: tokens are decoded at a speed that depends on how many episodes share a replica, then the
driver works, then the environment. A batch is trained on when enough episodes are complete. Four ways to run:

* `sync`: all play, all wait for the last episode, all update.
* `interleaved`: as `[asynchronous] max_staleness = m` in one process: all play and all update, nobody waits for stragglers;
  episodes stand still during an update.
* `disjoint`: the best share tried of the accelerators update while the others play on; bounded staleness m.
* `disjoint, 1 driver`: the same with a single event loop in place of one for every 64 samplers.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

CLIENT_S = 0.00025  # an HTTP client's processor time per request, the target of benchmarks/llm_client.py
SLOTS = 64  # episodes that a replica decodes side by side, at most


@dataclass(frozen=True)
class Costs:
    """Seconds and sizes of a dense 7 B model in bfloat16 on 80 GB accelerators: assumptions, unless marked as measured.

    Attributes:
        step_s: One decoding step of a replica with one episode: 14 GB of weights at 3.35 TB/s, 65 % of the bandwidth reached.
        step_per_episode_s: What each further episode adds: 0.5 GB of keys and values at the same bandwidth.
        prefill_s: Reading what the environment answered, per turn: 300 tokens at 20 000 tokens/s.
        driver_s: Event loop per turn: engine and ids as JSON as `measure` finds them, and an HTTP client.
        env_s: Mean of an environment's step (exponential); worlds in this process take far less, browsers and shells more.
        turns: Mean turns of an episode.
        spread: Sigma of the lognormal number of turns; 0.8 gives a 99th percentile of 4.7 times the mean.
        tokens: Mean tokens sampled per turn (lognormal, sigma 0.6).
        observed: Tokens read per turn.
        flops_per_token: Forward and backward of an update with recomputed activations, and one scoring forward: 10 N.
        speed: Of an update, per accelerator: 40 % of 990 Tflop/s.
        exchange_s: Gradients and weights through a 400 Gbit/s link per node of 8, not hidden behind computation.
        transfer_s: New weights to the samplers, while these stand still: files and reload.
        switch_s: From sampling to training and back where the same accelerators do both.
    """

    step_s: float = 0.0064
    step_per_episode_s: float = 0.00023
    prefill_s: float = 0.015
    driver_s: float = 0.0012
    env_s: float = 0.2
    turns: float = 10.0
    spread: float = 0.8
    tokens: float = 200.0
    observed: float = 300.0
    flops_per_token: float = 10 * 7e9
    speed: float = 0.4 * 990e12
    exchange_s: float = 0.8
    transfer_s: float = 6.0
    switch_s: float = 4.0

    def update_s(self, turns: int, accelerators: int) -> float:
        """Return the seconds of an update on a batch with this many turns in all."""
        compute = turns * (self.tokens + self.observed) * self.flops_per_token / (self.speed * accelerators)
        return compute + (self.exchange_s if accelerators > 8 else 0.0)


@dataclass
class Result:
    """What one simulation gave; the first third of the steps is left out."""

    episodes_per_hour: float
    step_s: float
    update_s: float
    waiting: float
    load: float
    driver: float
    staleness_mean: float
    staleness_max: int


@dataclass
class _Run:
    """One simulation under way. Times of episodes stand still while everybody pauses."""

    costs: Costs
    samplers: int
    trainers: int
    batch: int
    staleness: int
    colocated: bool
    drivers: int
    seed: int
    events: list[tuple[float, int, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.load = [0] * self.samplers
        self.free: list[tuple[int, int]] = [(0, place) for place in range(self.samplers)]
        self.driver_free = [0.0] * self.drivers
        self.driver_busy = 0.0
        self.begun: list[tuple[int, int]] = []  # version at the start and turns, by episode
        self.waiting = 0  # admitted, without a place
        self.finished: list[int] = []
        self.version = 0
        self.open = 0
        self.clock = 0.0
        self.paused = 0.0
        self.load_time = 0.0

    def admit(self) -> None:
        room = (self.staleness + 1) * self.batch - self.open
        self.waiting += room
        self.open += room
        self.start_waiting()

    def start_waiting(self) -> None:
        while self.waiting and self.free:
            count, place = heapq.heappop(self.free)
            if count != self.load[place]:
                if self.load[place] < SLOTS:
                    heapq.heappush(self.free, (self.load[place], place))
                continue
            mean = math.log(self.costs.turns) - self.costs.spread**2 / 2
            turns = max(1, min(10 * int(self.costs.turns), round(self.draw.lognormvariate(mean, self.costs.spread))))
            self.begun.append((self.version, turns))
            self.load[place] += 1
            self.waiting -= 1
            if self.load[place] < SLOTS:
                heapq.heappush(self.free, (self.load[place], place))
            self.schedule(len(self.begun) - 1, place, turns)

    def schedule(self, episode: int, place: int, left: int) -> None:
        """Play one turn: decode beside whoever is there now, then driver, then environment."""
        costs = self.costs
        tokens = self.draw.lognormvariate(math.log(costs.tokens) - 0.18, 0.6)
        decoded = self.clock + costs.prefill_s + tokens * (costs.step_s + costs.step_per_episode_s * self.load[place])
        driver = place % self.drivers
        served = max(decoded, self.driver_free[driver]) + costs.driver_s
        self.driver_free[driver] = max(self.driver_free[driver], self.clock) + costs.driver_s
        self.driver_busy += costs.driver_s
        heapq.heappush(self.events, (served + self.draw.expovariate(1 / costs.env_s), episode, place, left))

    def advance(self) -> None:
        when, episode, place, left = heapq.heappop(self.events)
        self.load_time += (when - self.clock) * (self.open - self.waiting - len(self.finished))
        self.clock = when
        if left > 1:
            self.schedule(episode, place, left - 1)
            return
        self.load[place] -= 1
        heapq.heappush(self.free, (self.load[place], place))
        self.finished.append(episode)
        self.start_waiting()


def simulate(
    costs: Costs,
    accelerators: int,
    batch: int,
    *,
    mode: str,
    staleness: int,
    steps: int = 9,
    seed: int = 0,
    share: float = 0.125,
) -> Result:
    """Simulate some training steps.

    Args:
        costs: What things cost.
        accelerators: Number of them.
        batch: Episodes per step.
        mode: "sync", "interleaved", "disjoint", or "disjoint, 1 driver".
        staleness: Batches open beyond the one being collected.
        steps: Training steps.
        seed: Of the episodes.
        share: Of the accelerators that update, where they are disjoint.
    """
    colocated = not mode.startswith("disjoint")
    trainers = accelerators if colocated else max(1, round(accelerators * share))
    samplers = accelerators if colocated else accelerators - trainers
    drivers = 1 if mode.endswith("1 driver") else max(1, samplers // 64)
    run = _Run(costs, samplers, trainers, batch, 0 if mode == "sync" else staleness, colocated, drivers, seed)
    run.admit()
    ends: list[float] = []
    updates: list[float] = []
    waits: list[float] = []
    ages: list[int] = []
    trainer_end: float | None = None
    last_free = 0.0
    while len(ends) < steps:
        wall = run.clock + run.paused
        if trainer_end is None and len(run.finished) >= batch:
            taken, run.finished = sorted(run.finished)[:batch], sorted(run.finished)[batch:]
            run.open -= batch
            update = costs.update_s(sum(run.begun[episode][1] for episode in taken), trainers)
            updates.append(update)
            waits.append(wall - last_free)
            ages += [run.version - run.begun[episode][0] for episode in taken] if len(ends) >= steps // 3 else []
            if colocated:
                run.paused += update + costs.switch_s
                run.version += 1
                last_free = run.clock + run.paused
                ends.append(last_free)
            else:
                trainer_end = wall + update
            run.admit()
            continue
        if trainer_end is not None and (not run.events or trainer_end <= run.events[0][0] + run.paused):
            run.clock = max(run.clock, trainer_end - run.paused)
            run.paused += costs.transfer_s
            run.version += 1
            last_free = trainer_end + costs.transfer_s
            ends.append(last_free)
            trainer_end = None
            continue
        run.advance()
    first = steps // 3
    seconds = (ends[-1] - ends[first - 1]) / (steps - first)
    return Result(
        episodes_per_hour=batch / seconds * 3600,
        step_s=seconds,
        update_s=statistics.fmean(updates[first:]),
        waiting=statistics.fmean(waits[first:]) / seconds,
        load=run.load_time / max(1e-9, run.clock) / samplers,
        driver=run.driver_busy / drivers / max(1e-9, run.clock),
        staleness_mean=statistics.fmean(ages),
        staleness_max=max(ages),
    )


def measure(episodes: int = 400, ids: int = 5000) -> tuple[float, float]:
    """Measure processor seconds per turn: the engine with a procedural TextCraft world, and a prompt as JSON and back."""
    from palaestra.agents.reference import RandomAgent
    from palaestra.agents.rollout.engine import RolloutEngine
    from palaestra.agents.rollout.plans import EpisodePlan

    plans = [EpisodePlan(f"{i}", "palaestra/TextCraft-v0", {"recipes": "procedural"}, seed=i) for i in range(episodes)]
    engine, agent = RolloutEngine(64), RandomAgent(seed=0)
    engine.collect(plans[:20], agent)
    started = time.process_time()
    turns = sum(len(trajectory.steps) for trajectory in engine.collect(plans, agent))
    per_turn = (time.process_time() - started) / turns
    body = {"prompt": [random.Random(i).randrange(150_000) for i in range(ids)]}
    started = time.process_time()
    for _ in range(100):
        json.loads(json.dumps(body))
    return per_turn, (time.process_time() - started) / 100


def table(costs: Costs, *, seeds: int, staleness: int) -> Iterator[str]:
    """Yield the rows of the page's table."""
    names = ["accelerators", "batch", "mode", "episodes/h", "each/h", "step s", "update s"]
    names += ["trainer waits", "episodes per sampler", "driver busy", "staleness"]
    yield f"| {' | '.join(names)} |"
    yield "|---" * len(names) + "|"
    for accelerators in (1, 8, 64, 512):
        batch = min(4096, 64 * accelerators)
        modes = ("sync", "interleaved") if accelerators == 1 else ("sync", "interleaved", "disjoint", "disjoint, 1 driver")
        for mode in modes:
            shares = (0.25, 0.5) if mode.startswith("disjoint") else (0.125,)
            best: tuple[float, float, list[Result]] | None = None
            for share in shares:
                found = [
                    simulate(costs, accelerators, batch, mode=mode, staleness=staleness, seed=seed, share=share)
                    for seed in range(seeds)
                ]
                speed = statistics.fmean(result.episodes_per_hour for result in found)
                if best is None or speed > best[0]:
                    best = (speed, share, found)
            assert best is not None
            speed, share, found = best
            shown = f"{mode} ({share:.3g} train)" if mode.startswith("disjoint") else mode

            def mean(name: str, found: list[Result] = found) -> float:
                return statistics.fmean(getattr(result, name) for result in found)

            yield (
                f"| {accelerators} | {batch} | {shown} | {speed:.0f} | {speed / accelerators:.0f} | {mean('step_s'):.0f} | "
                f"{mean('update_s'):.1f} | {mean('waiting'):.0%} | {mean('load'):.0f} | {mean('driver'):.0%} | "
                f"{mean('staleness_mean'):.2f} (max {max(r.staleness_max for r in found)}) |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="What limits training on 1 to 512 accelerators.")
    parser.add_argument("--measure", action="store_true", help="measure the driver's cost per turn here, and use it")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--staleness", type=int, default=2)
    parser.add_argument("--spread", type=float, default=Costs.spread, help="sigma of the lognormal number of turns")
    parser.add_argument("--env-s", type=float, default=Costs.env_s, help="mean seconds of an environment's step")
    arguments = parser.parse_args()
    costs = replace(Costs(), spread=arguments.spread, env_s=arguments.env_s)
    if arguments.measure:
        engine, ids = measure()
        print(f"processor time per turn: engine and world {engine * 1e3:.3f} ms, ids as JSON {ids * 1e3:.3f} ms")
        costs = replace(costs, driver_s=engine + ids + CLIENT_S)
    for row in table(costs, seeds=arguments.seeds, staleness=arguments.staleness):
        print(row, flush=True)


if __name__ == "__main__":
    main()
