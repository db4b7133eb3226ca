from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from palaestra.agents.core import Agent
from palaestra.agents.sync import run_sync
from palaestra.errors import UsageError
from palaestra.types import Message


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


class Echo(Agent):
    loops: set[int] = set()  # noqa: RUF012

    async def aact(self, observation: str, info: object) -> Message:
        await asyncio.sleep(0)
        self.loops.add(id(asyncio.get_running_loop()))
        return Message("assistant", observation)


def test_plain_code_gets_results_and_exceptions() -> None:
    async def fail() -> None:
        raise ValueError("no")

    assert run_sync(double(4)) == 8
    with pytest.raises(ValueError, match="no"):
        run_sync(fail())


async def test_it_works_inside_a_running_loop() -> None:
    assert run_sync(double(4)) == 8


def test_it_works_from_many_threads() -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda n=n: results.append(run_sync(double(n)))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 2, 4, 6, 8, 10, 12, 14]


def test_waiting_for_oneself_is_refused() -> None:
    async def nested() -> int:
        return run_sync(double(1))

    with pytest.raises(UsageError, match="use 'await' there"):
        run_sync(nested())


def test_agents_act_without_asyncio_on_one_loop() -> None:
    agent = Echo()
    assert [agent.act(text, {}).content for text in ("a", "b")] == ["a", "b"]
    assert len(agent.loops) == 1


def test_what_is_left_running_ends_with_the_process() -> None:
    code = (
        "import asyncio\n"
        "from palaestra.agents.sync import run_sync\n"
        "async def start():\n"
        "    async def linger():\n"
        "        try:\n"
        "            await asyncio.sleep(60)\n"
        "        finally:\n"
        "            print('ended')\n"
        "    asyncio.get_running_loop().keep = asyncio.create_task(linger())\n"
        "    await asyncio.sleep(0)\n"
        "run_sync(start())\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-X", "dev", "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")
