"""Published VehicleWorld data for the parity tests: rows, states, and what two leaves must agree in."""

import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from palaestra.envs.vehicle.car.call_result import CallResult
from palaestra.envs.vehicle.car.car import Profile
from palaestra.envs.vehicle.world import VehicleWorld
from tests.fixtures import fixture_files

FOLDER = "vehicleworld"
WALL_CLOCK = 1744545600.0
ABSENT = object()
NOT_DATA = {"success", "status", "message", "error"}


def files(name: str) -> list[Path]:
    """Return every file of this name: in a fixture folder itself, or in its folder for this environment."""
    return fixture_files(f"{FOLDER}/{name}", name)


@cache
def rows(name: str) -> list[dict[str, Any]]:
    """Return all rows of a compressed JSON-lines file, over all fixture folders."""
    return [json.loads(line) for file in files(name) for line in gzip.open(file, "rt", encoding="utf-8")]


@cache
def trace_states() -> dict[str, dict[str, Any]]:
    """Return the descriptions of initial states by name."""
    return {row["state"]: row for row in rows("trace_states.jsonl.gz")}


def build(description: dict[str, Any], profile: Profile) -> VehicleWorld:
    """Return a world as a trace state or a sequence describes it."""
    steps: list[dict[str, Any]] = []
    if description["env_preset"]:
        steps.append({"op": "env_preset", "preset": description["env_preset"]})
    for module, preset in description["module_presets"].items():
        steps.append({"op": "module_preset", "module": module, "preset": preset})
    world = VehicleWorld(profile)
    world.set_up(steps)
    for call in description["setup"]:
        world.call_with(call["module"], call["api"], call.get("args", ()), call["kwargs"])
    world.state.forget()
    return world


def changes(changed: list[dict[str, Any]], *, clock: bool = False) -> dict[str, tuple[Any, Any]]:
    """Return expected changes as path -> (old, new); without those that only carry the wall clock."""
    found = {
        row["path"]: (row.get("old", ABSENT), row.get("new", ABSENT))
        for row in changed
        if row["op"] != "set" or row["old"] != row["new"] or type(row["old"]) is bool or type(row["new"]) is bool  # 0.0 is 0
    }
    return found if clock else {path: pair for path, pair in found.items() if not _is_clock(path)}


def result_changes(result: CallResult) -> dict[str, tuple[Any, Any]]:
    """Return what a call changed, in the form of `changes`."""
    return changes([change.to_json() for change in result.changes])


def _is_clock(path: str) -> bool:
    """Whether the published implementation writes the wall clock here."""
    return path == "positionLight.last_operation_timestamp" or (
        path.endswith(".timestamp") and path.startswith(("conversation.call_records", "conversation.messages"))
    )


def differences(expected: list[dict[str, Any]], result: CallResult) -> list[str]:
    """Return the paths in which a call's changes differ from the expected ones, readable."""
    want, got = changes(expected), result_changes(result)
    return [
        f"{path}: expected {want.get(path, 'no change')}, got {got.get(path, 'no change')}"
        for path in sorted(want.keys() | got.keys())
        if want.get(path) != got.get(path)
    ]


def answer_problems(row: dict[str, Any], result: CallResult) -> list[str]:
    """Return how the answer of a query differs from the published one, texts of messages apart."""
    if result.ok is not row["ok"]:
        return [f"ok: expected {row['ok']}, got {result.ok} ({result.error})"]
    if not result.ok:
        return []
    data, want = result.data or {}, {key: value for key, value in row["return"].items() if key not in NOT_DATA}
    return [
        f"{key}: expected {want.get(key, 'nothing')}, got {data.get(key, 'nothing')}"
        for key in sorted(want.keys() | data.keys())
        if want.get(key, ABSENT) != data.get(key, ABSENT)
    ]


def by_module(name: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the rows of a file by module."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows(name):
        grouped.setdefault(row["module"], []).append(row)
    yield from grouped.items()
