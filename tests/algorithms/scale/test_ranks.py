from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed import TCPStore

from palaestra.algorithms.scale.heartbeat import Heartbeat, LostRankError, num_launched
from palaestra.algorithms.scale.ranks import ProcessRanks, join_ranks
from tests.algorithms.rank_work import train_with_fault, trained, updated
from tests.algorithms.toy_recipe import toy_policy
from tests.algorithms.updates import play

pytest.importorskip("accelerate")

ROOT = Path(__file__).parents[3]
ACCELERATE = (sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--main_process_port", "0")
LIMIT_S = 240  # of a machine that does much else; a quiet one needs a tenth


def end(process: int) -> None:
    """A launcher starts its processes in sessions of their own, so its group is not enough."""
    family = [*psutil.Process(process).children(recursive=True), psutil.Process(process)]
    for member in family:
        member.kill()
    psutil.wait_procs(family, timeout=10)


def launched(*command: str, log: Path) -> str:
    """The output of a command that ends in time; it goes to a file, as a full pipe would stop whoever writes to it."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("ACCELERATE", "FSDP"))}
    settings |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT), "HF_HOME": str(log.parent)}
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=output, stderr=subprocess.STDOUT)
        try:
            code = process.wait(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            end(process.pid)
            code = -1
    assert code == 0, f"{code}\n{log.read_text()[-4000:]}"
    return log.read_text()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    policy = toy_policy()
    policy.save(folder / "policy")
    played = play(policy, num_tasks=2, group_size=4)[:7]  # an odd number: no even deal
    torch.save(played, folder / "played.pt")
    found = updated(folder / "policy", played)
    found["trained"] = trained(folder / "alone")
    return folder, found


@pytest.mark.parametrize(
    ("sharing", "options"),
    [("replicated", ["--multi_gpu"]), ("sharded", ["--use_fsdp", "--fsdp_version", "2"])],
    ids=["replicated", "sharded"],
)
def test_two_processes_of_accelerate_launch_make_the_update_of_one(
    alone: tuple[Path, dict[str, Any]], sharing: str, options: list[str]
) -> None:
    folder, expected = alone
    work = ("-m", "tests.algorithms.rank_work", str(folder))
    launched(*ACCELERATE, "--num_processes", "2", *options, *work, log=folder / f"{sharing}.log")
    found = torch.load(folder / f"{sharing}.pt", weights_only=False)
    assert found["team"] == (2, sharing, "gloo")
    for part in ("policy", "critic", "trained"):
        for name, tensor in expected[part].items():
            torch.testing.assert_close(found[part][name], tensor, atol=1e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}")
    for place, moments in expected["adam"].items():
        torch.testing.assert_close(found["adam"][place]["exp_avg"], moments["exp_avg"], atol=1e-6, rtol=1e-3)
    assert found["metrics"] == pytest.approx(expected["metrics"], abs=1e-4, rel=1e-4)


# -- who is late, and who is lost -------------------------------------------------------------------------------------


def meets_with(fault: str, folder: Path) -> list[str]:
    """Two processes train, and rank 1 has a fault; what each of them says at the end, and how it ended."""
    context = multiprocessing.get_context("forkserver")  # what they need is imported once
    context.set_forkserver_preload(["tests.algorithms.rank_work"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    team = [context.Process(target=train_with_fault, args=(rank, port, fault, folder)) for rank in range(2)]
    try:
        for member in team:
            member.start()
        team[0].join(LIMIT_S)
        assert team[0].exitcode is not None, f"rank 0 still waits after {LIMIT_S} s"
        team[1].join(LIMIT_S)
    finally:
        for member in team:
            member.kill()
            member.join()
    said = [folder / f"{rank}.txt" for rank in range(2)]
    return [path.read_text() if path.exists() else "" for path in said]


def test_a_process_that_is_late_is_waited_for(tmp_path: Path) -> None:
    # it must not take for the checkpoint of a killed run what the first one has written since
    assert meets_with("late", tmp_path) == ["finished step-000001"] * 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("dies while it plays", "Nothing was heard of rank 1 for 3 s"),
        ("dies in an exchange", "Rank 0 lost touch with another process in the middle of an exchange"),
        ("fails", r"Rank 1 stopped with OSError: [Errno 28] No space left on device"),
    ],
)
def test_a_lost_process_is_a_clear_error_and_no_hang(tmp_path: Path, fault: str, reason: str) -> None:
    first, _ = meets_with(fault, tmp_path)
    assert first.startswith("LostRankError: ")
    assert reason in first
    assert "start the run again with the same id" in first


@pytest.fixture
def connected() -> Iterator[Callable[[int], Heartbeat]]:
    server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    made: list[Heartbeat] = []

    def make(rank: int, size: int = 2) -> Heartbeat:
        def connect() -> TCPStore:
            return TCPStore("127.0.0.1", server.port, is_master=False, wait_for_workers=False)

        made.append(Heartbeat(rank, size, connect, beat_s=0.05, patience_s=0.5))
        made[-1].start()
        return made[-1]

    yield make
    for heartbeat in made:
        heartbeat.close()


def outcomes(*calls: Callable[[], object]) -> list[str]:
    said = [""] * len(calls)

    def call(place: int) -> None:
        try:
            calls[place]()
        except LostRankError as error:
            said[place] = str(error)

    threads = [threading.Thread(target=call, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return said


def test_barriers_wait_beyond_all_patience_for_those_that_are_alive(connected: Callable[[int], Heartbeat]) -> None:
    first, second = connected(0), connected(1)
    arrived: list[float] = []

    def go(heartbeat: Heartbeat, naps: list[float]) -> None:
        for nap in naps:
            time.sleep(nap)
            arrived.append(time.monotonic())
            heartbeat.barrier("step")
            assert len(arrived) % 2 == 0 or arrived[-1] > arrived[-2]

    assert outcomes(lambda: go(first, [0.0, 0.9, 0.0]), lambda: go(second, [0.9, 0.0, 0.0])) == ["", ""]
    assert len(arrived) == 6


def test_at_a_barrier_all_learn_of_a_loss_that_one_has_seen(connected: Callable[..., Heartbeat]) -> None:
    first, second, third = (connected(rank, 3) for rank in range(3))
    third.close()
    said = outcomes(lambda: first.barrier("step"), lambda: second.barrier("step"))
    assert all(text.startswith("Nothing was heard of rank 2 for 0.5 s") for text in said)
    assert len(said) == 2


def test_processes_that_went_different_ways_do_not_wait_for_each_other(connected: Callable[[int], Heartbeat]) -> None:
    first, second = connected(0), connected(1)
    said = outcomes(lambda: first.barrier("save"), lambda: second.barrier("gather"))
    assert all("'save'" in text and "'gather'" in text for text in said)


def test_a_new_run_in_the_same_processes_forgets_who_was_lost(connected: Callable[[int], Heartbeat]) -> None:
    first, second = connected(0), connected(1)
    second.fail("Rank 1 stopped with KeyError: 'x'")
    assert outcomes(lambda: first.barrier("step"))[0].startswith("Rank 1 stopped with KeyError: 'x'. Look at its output")
    first.start()
    second.start()
    assert outcomes(lambda: first.barrier("step"), lambda: second.barrier("step")) == ["", ""]


def test_a_launch_that_starts_one_process_in_place_of_several_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "ACCELERATE_USE_CPU"):
        monkeypatch.delenv(name, raising=False)
    with join_ranks() as team:
        assert team.size == 1
    assert not caplog.messages
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")  # as accelerate launch --cpu --num_processes 2 leaves it
    monkeypatch.setenv("MASTER_PORT", "29500")
    with join_ranks() as team:
        assert team.size == 1
    assert "--multi_gpu" in caplog.messages[0]


def test_processes_started_by_mpi_are_seen_where_accelerate_wants_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    assert num_launched() == 1  # a cluster's own launcher; who knows what it started
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    assert num_launched() == 4
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert num_launched() == 2


@given(st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(1, 5), st.integers(1, 200))
def test_the_deal_gives_every_row_to_one_rank_and_keeps_all_in_step(lengths: list[int], size: int, budget: int) -> None:
    plans = []
    for rank in range(size):
        member = ProcessRanks.__new__(ProcessRanks)  # a place at the table without a group of processes
        member.rank, member.size = rank, size
        plans.append(member.plan(range(len(lengths)), lengths, budget))
    assert len({len(plan) for plan in plans}) == 1
    counted = [row for plan in plans for part in plan if part.weight for row in part]
    assert sorted(counted) == list(range(len(lengths)))
    shares = [sum(lengths[row] for part in plan if part.weight for row in part) for plan in plans]
    assert max(shares) - min(shares) <= max(lengths)
