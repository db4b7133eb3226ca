from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import threading
from multiprocessing.connection import Connection

import pytest

from palaestra.agents.backends.registry import make_bare_backend
from palaestra.agents.backends.reliable import Reliable
from palaestra.agents.core import Backend, Request
from palaestra.agents.sync import run_sync
from palaestra.types import Message
from tests.agents.backends.fault_server import FaultServer

ASK = Request((Message("user", "hello"),))


@pytest.fixture(params=["aiohttp", "openai"])
def backend(request: pytest.FixtureRequest, server: FaultServer) -> Backend:
    return make_bare_backend(server.model_string, client=request.param)


def content(backend: Backend) -> str:
    async def ask() -> str:
        return (await backend.generate(ASK)).message.content

    return asyncio.run(ask())


def test_one_backend_serves_one_loop_after_the_other_and_leaves_nothing_open(backend: Backend) -> None:
    for _ in range(3):
        assert content(backend) == "look around"
    gc.collect()  # an open session or transport would be a ResourceWarning, which fails the test


def test_one_backend_serves_loops_in_several_threads(backend: Backend) -> None:
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(content(backend))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["look around"] * 4


async def test_closing_twice_is_harmless_and_a_closed_backend_opens_again(backend: Backend) -> None:
    await backend.generate(ASK)
    await backend.aclose()
    await backend.aclose()
    await backend.generate(ASK)
    await backend.aclose()


def test_closing_reaches_the_clients_of_other_running_loops(backend: Backend) -> None:
    run_sync(backend.generate(ASK))
    asyncio.run(backend.aclose())
    assert run_sync(backend.generate(ASK)).message.content == "look around"
    run_sync(backend.aclose())


def test_connections_are_kept_between_plain_calls(server: FaultServer) -> None:
    backend = make_bare_backend(server.model_string, client="aiohttp")
    for _ in range(3):
        run_sync(backend.generate(ASK))
    ports = {received.headers.get("connection") for received in server.received}
    assert "close" not in ports
    run_sync(backend.aclose())


def test_limits_hold_across_loops(server: FaultServer) -> None:
    backend = Reliable(make_bare_backend(server.model_string), concurrency=1)
    assert content(backend) == content(backend) == "look around"
    assert backend.usage.calls == 2


def _ask_in_child(backend: Backend, pipe: Connection) -> None:
    pipe.send(run_sync(backend.generate(ASK)).message.content)
    run_sync(backend.aclose())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_opens_its_own_connections(backend: Backend) -> None:
    assert run_sync(backend.generate(ASK)).message.content == "look around"
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_ask_in_child, args=(backend, theirs))
    child.start()
    assert ours.poll(20), "the child never answered"
    assert ours.recv() == "look around"
    child.join(10)
    assert child.exitcode == 0
    assert run_sync(backend.generate(ASK)).message.content == "look around", "the parent's connection still works"
    run_sync(backend.aclose())
