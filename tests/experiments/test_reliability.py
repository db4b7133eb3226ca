"""The attacks of `experiments/reliability`, in a size that fits into the tests."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from experiments.reliability import cycles, generators
from experiments.reliability.generators import END, failures, indices
from experiments.reliability.settings import BEGUN, TESTED, makers, name_of
from palaestra.envs import FixedTasks, Task

MAKERS = makers()

every_maker = pytest.mark.parametrize(("env_id", "options"), MAKERS, ids=[name_of(*setting) for setting in MAKERS])


@pytest.fixture
def env(env_id: str, options: dict[str, Any]) -> Iterator[gymnasium.Env[Any, Any]]:
    env = gymnasium.make(env_id, disable_env_checker=True, **options)
    yield env.unwrapped
    env.close()


@every_maker
def test_every_generator_makes_2000_tasks_of_each_split_and_each_begins(env: gymnasium.Env[Any, Any], env_id: str) -> None:
    count = TESTED.get(env_id, 2000)
    for split in env.unwrapped.tasks.splits:  # type: ignore[attr-defined]
        size = env.unwrapped.tasks.size(split)  # type: ignore[attr-defined]
        made, wrong = failures(env, split, count, BEGUN.get(env_id))
        assert wrong == []
        assert made == min(count, count if size is None else size)


def test_indices_walk_a_finite_split_and_reach_far_into_an_endless_one() -> None:
    assert list(indices(5, 100)) == [0, 1, 2, 3, 4]
    assert list(indices(5, 3)) == [0, 1, 2]
    endless = list(indices(None, 100))
    assert endless[:50] == list(range(50))
    assert len(set(endless)) == 100
    assert END // 2 < max(endless) < END


def test_a_task_that_cannot_be_made_is_told() -> None:
    class Broken(FixedTasks):
        def at(self, split: str, index: int) -> Task:
            if index == 1:
                raise ValueError("high <= 0")
            return super().at(split, index)

    class Env:
        tasks = Broken([Task(f"t/{i}", "train") for i in range(3)])

        def reset(self, **kwargs: Any) -> None:
            if kwargs["options"]["task"].key == "t/2":
                raise KeyError("goal")

    assert failures(Env(), "train", 10) == (3, ["train 1: ValueError: high <= 0", "train 2: KeyError: 'goal'"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("most", "begun"), [(None, list(range(10))), (10, list(range(10))), (4, [2, 5, 8]), (5, [1, 3, 5, 7, 9]), (1, [9])]
)
def test_tasks_that_are_begun_are_spread_over_those_that_are_made(most: int | None, begun: list[int]) -> None:
    seeds: list[int] = []

    class Env:
        tasks = FixedTasks([Task(f"t/{i}", "train") for i in range(10)])

        def reset(self, *, seed: int, options: Any) -> None:
            assert options["task"].key == f"t/{seed}"
            seeds.append(seed)

    assert failures(Env(), "train", 100, most) == (10, [])  # type: ignore[arg-type]
    assert seeds == begun


def test_rows_say_how_many_tasks_were_made_and_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(generators, "folder_of", lambda name: tmp_path)
    assert generators.main(["--only", "TextCraft-v0", "-n", "30", "--begun", "7"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "generators.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {(row["made"], row["begun"], row["failed"]) for row in rows} == {(30, 6, 0)}
    assert {row["split"] for row in rows} == {"train", "test"}


CYCLES = 200
PLAYED = list(cycles.settings())


@pytest.mark.parametrize(
    ("env_id", "options", "seat"), PLAYED, ids=[f"{name_of(env_id, options)},{seat}" for env_id, options, seat in PLAYED]
)
def test_cycles_leave_memory_descriptors_and_threads_where_they_were(env_id: str, options: dict[str, Any], seat: str) -> None:
    before, after = cycles.left_behind(env_id, options, seat, warm_up=cycles.SEEDS, count=CYCLES)
    assert cycles.leaks(before, after, CYCLES, cycles.BOUNDED.get(env_id, (0, 0))) == []


def test_every_seat_and_the_open_table_are_cycled() -> None:
    seats = {seat for env_id, _, seat in PLAYED if env_id == "palaestra/TwentyQuestions-v1"}
    assert seats == {"", "asker", "answerer", cycles.TABLE}


def test_what_is_left_behind_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept: list[Any] = []
    files: list[Any] = []
    stop = threading.Event()

    def leaky(env_id: str, options: dict[str, Any], seat: str, seed: int) -> None:
        kept.append([seed, object()])
        if seed == 5 and not files:
            files.append((tmp_path / "open").open("w"))
            threading.Thread(target=stop.wait, daemon=True).start()

    monkeypatch.setattr(cycles, "cycle", leaky)
    before, after = cycles.left_behind("any", {}, "", warm_up=5, count=2000)
    grown = cycles.leaks(before, after, 2000)
    stop.set()
    files[0].close()
    assert [line.split()[0] for line in grown] == ["descriptors", "threads", "blocks"]
    assert cycles.leaks(before, before, 2000) == []


@pytest.mark.parametrize(
    ("count", "bounded", "least"),
    [
        (60, (0, 0), 200 / 60),
        (200, (0, 0), 1.0),
        (1000, (0, 0), 1.0),
        (10000, (0, 0), 1.0),
        (200, (20, 30000), 20.0),
        (2000, (20, 30000), 15.0),
        (10000, (20, 30000), 3.0),
        (40000, (20, 30000), 1.0),
    ],
)
def test_few_cycles_say_from_which_rate_on_a_leak_is_told(count: int, bounded: tuple[int, int], least: float) -> None:
    assert cycles.told_from(count, bounded) == pytest.approx(least)
    held = cycles.Held(5000, 0, 0, 0, 0)
    for blocks, is_told in ((round(least * count) + 1, True), (round(least * count) - 1, False)):
        assert bool(cycles.leaks(held, replace(held, blocks=5000 + blocks), count, bounded)) is is_told


@pytest.mark.parametrize(("count", "is_said"), [(20, True), (1000, False)])
def test_what_is_not_judged_is_said_and_written(
    count: int, is_said: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cycles, "cycle", lambda *args: None)
    monkeypatch.setattr(cycles, "settings", lambda: iter([("any/Thing-v0", {}, "")]))
    monkeypatch.setattr(cycles, "folder_of", lambda name: tmp_path)
    assert cycles.main(["-n", str(count), "--warm-up", str(cycles.SEEDS)]) == 0
    row = json.loads((tmp_path / "cycles.jsonl").read_text(encoding="utf-8"))
    assert (row["told_from_blocks_a_cycle"], row["leaks"]) == (max(1, 200 / count), [])
    assert ("memory is not judged below 10 blocks a cycle" in capsys.readouterr().out) is is_said


def test_a_warm_up_plays_every_seed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cycles.main(["--warm-up", str(cycles.SEEDS - 1)])
    assert "--warm-up is 49; at least 50 cycles are needed" in capsys.readouterr().err
    played: list[int] = []
    monkeypatch.setattr(cycles, "cycle", lambda env_id, options, seat, seed: played.append(seed))
    cycles.left_behind("any", {}, "", warm_up=4, count=5, seeds=3)
    assert played == [0, 1, 2, 0, 1, 2, 0, 1, 2]


def test_names_that_the_interpreter_keeps_for_its_look_ups_are_no_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    def looks_up(env_id: str, options: dict[str, Any], seat: str, seed: int) -> None:
        assert not any(hasattr(cycles, f"missing_{seed}_{i}") for i in range(100))

    monkeypatch.setattr(cycles, "cycle", looks_up)
    before, after = cycles.left_behind("any", {}, "", warm_up=1, count=100)
    assert after.blocks - before.blocks < cycles.NOISE
