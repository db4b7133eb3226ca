"""SQLite may fail in any statement of any call: the error says what was being done, and nothing is stored by halves."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.store.store import RunStore
from palaestra.errors import StoreError
from tests.agents.store.killed import episode

Call = Callable[[RunStore], Any]


def locked(store: RunStore) -> None:
    with store.lock("a"):
        pass


CALLS: dict[str, tuple[str, Call]] = {
    "create_run": ("create a run", lambda store: store.create_run({"x": 1}, "b")),
    "set_config": ("change a run's configuration", lambda store: store.set_config("a", {"x": 2})),
    "set_status": ("set a run's status", lambda store: store.set_status("a", "failed", "why")),
    "delete_run": ("delete a run", lambda store: store.delete_run("a")),
    "add": ("store an episode", lambda store: store.add("a", episode(2))),
    "log_metrics": ("store metrics", lambda store: store.log_metrics("a", 2, {"loss": 2.0})),
    "lock": ("lock a run", locked),
    "unlock": ("unlock a run", lambda store: store.unlock("a")),
    "runs": ("read", lambda store: store.runs()),
    "run_ids": ("read", lambda store: store.run_ids()),
    "run": ("read", lambda store: store.run("a")),
    "config": ("read", lambda store: store.config("a")),
    "status": ("read", lambda store: store.status("a")),
    "finished": ("read", lambda store: store.finished("a")),
    "episodes": ("read", lambda store: store.episodes("a")),
    "some episodes": ("read", lambda store: store.episodes("a", success=True, limit=1)),
    "get": ("read", lambda store: store.get("a", "e0")),
    "trajectories": ("read", lambda store: list(store.trajectories("a"))),
    "metrics": ("read", lambda store: store.metrics("a")),
}


class Failing:
    """A connection whose statement of some number fails, and others as they would."""

    def __init__(self, connection: sqlite3.Connection, at: int = -1) -> None:
        self.connection, self.at, self.said = connection, at, list[str]()

    def execute(self, query: str, *values: Any) -> Any:
        self.said.append(query)
        if len(self.said) - 1 == self.at:
            error = sqlite3.OperationalError("it failed")
            error.sqlite_errorname = "SQLITE_MISUSE"  # type: ignore[misc]
            raise error
        return self.connection.execute(query, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


def content(store: RunStore) -> str:
    """All that a store holds, times aside."""
    told = [
        (run_id, store.config(run_id), store.status(run_id), store.run(run_id).note, store.metrics(run_id),
         [one.to_json() for one in store.trajectories(run_id)])
        for run_id in store.run_ids()
    ]  # fmt: skip
    return json.dumps(told, default=str)


def filled(folder: Path) -> RunStore:
    store = RunStore(folder)
    store.create_run({"x": 0}, "a")
    for number in range(2):
        store.add("a", episode(number))
    store.log_metrics("a", 1, {"loss": 1.0})
    return store


@pytest.mark.parametrize("name", CALLS)
def test_a_statement_that_fails_is_told_and_undone(name: str, tmp_path: Path) -> None:
    doing, call = CALLS[name]
    with filled(tmp_path / "whole") as store:
        store._connection = whole = Failing(store._connection)  # type: ignore[assignment]
        call(store)
    statements = list(whole.said)
    assert statements
    with filled(tmp_path / "failing") as store:
        connection, before = store._connection, content(store)
        for at, statement in enumerate(statements):
            store._connection = Failing(connection, at)  # type: ignore[assignment]
            with pytest.raises(StoreError) as caught:
                call(store)
            store._connection = connection
            told = str(caught.value).partition(":")[0].removeprefix("Could not ")
            assert told in (doing, "read", *(("lock a run", "unlock a run") if name in ("lock", "delete_run") else ())), (
                statement
            )
            assert str(caught.value).startswith(f"Could not {told}: {store.file}: it failed. If it keeps happening")
            assert not connection.in_transaction, statement
            if name == "delete_run" and told == "unlock a run":
                return  # the run is gone, and its lock with it
            assert content(store) == before, statement
            store.unlock("a")
        call(store)
