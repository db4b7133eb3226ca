"""The published tasks of VehicleWorld, read from files that the user has: structured rows, or the published scenario texts.

Nothing is run and nothing is downloaded. A task keeps what is published about it under `data["published"]`, so that scores can
be compared: the changes of the reference, which gold calls it refused, and `flags` of tasks known to be wrong.

Data: OpenMOSS-Team/VehicleWorld (Apache-2.0), 1,291 tasks.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palaestra.envs.core.data_files import files_in, kind_of, place_of, read_data, shown
from palaestra.envs.core.tasks import Task
from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.calls.setup import set_up, take_step
from palaestra.envs.vehicle.car.call_result import Change
from palaestra.envs.vehicle.car.car import Car
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES, PRESETS, car_tables
from palaestra.envs.vehicle.published.scenario_text import Scenario, ScenarioError, parse_gold, parse_scenario, split_scenarios
from palaestra.envs.vehicle.published.scoring import ABSENT, Scope
from palaestra.envs.vehicle.requests.gold import LOOK, gold_effect
from palaestra.envs.vehicle.requests.task import CarRequest, CarTask
from palaestra.errors import ConfigError, MissingDataError, UnknownNameError, UsageError, unknown_name
from palaestra.types import Json

SPLIT = "test"
KINDS = ("no_action", "query", "refuse", "already", "invisible", "act")
"""What is special about a request: nothing is to be done; the gold only asks; the car refuses a gold call; what is asked for
holds already; it changes only what the published scores do not see; it changes something that they see."""
FLAGS = ("shifted_gold", "unassigned_preset", "trunk_by_name", "acts_outside")
"""Known faults: gold that belongs to other requests, a preset built and not assigned, trunk listed only because frontTrunk
contains its name, gold calls of modules that are not listed."""

_SHIFTED = frozenset({"be0be92f8d97d5eab55763e6348a5024"})
MAX_BYTES = 2**30
"""Size at which a file of tasks is refused, unpacked."""
_NAMES = ("tasks.jsonl.gz", "tasks.jsonl")


def load_published(path: str | Path) -> list[Task]:
    """Load the published tasks.

    Args:
        path: A file of one JSON object a line (also gzipped), a file of `<scenario>` texts, or a folder of such files; of a
            folder only `tasks.jsonl.gz` or `tasks.jsonl` is read where one is there.

    Returns:
        The tasks in order, exact duplicates left out: key = published id, split "test", type = interaction class,
        data = `CarTask.to_json()` and `published`.

    Raises:
        MissingDataError: If there is no such file, or none in the folder.
        UsageError: If a file cannot be read as tasks; the message names file, line and field.
    """
    tasks: dict[str, Task] = {}
    for file in _files(place_of(path)):
        for task in _read_file(file):
            tasks.setdefault(task.key, task)
    return list(tasks.values())


def kinds_of(
    calls: Sequence[Call], oks: Sequence[bool], changed: Sequence[Mapping[str, Json]], num_visible: int
) -> tuple[str, ...]:
    """Return the kinds of a request; see `KINDS`.

    Args:
        calls: Gold calls.
        oks: Whether the reference accepted each.
        changed: What they changed, over the whole car.
        num_visible: How many of these changes the published scores see.
    """
    if not calls:
        return ("no_action",)
    kinds = [] if all(oks) else ["refuse"]
    if changed:
        return (*kinds, "act" if num_visible else "invisible")
    if not kinds:
        kinds = ["query" if all(_is_query(call) for call in calls) else "already"]
    return tuple(kinds)


# -- files ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in which file something was read, for errors."""

    file: Path
    line: int

    def error(self, field: str, problem: str) -> UsageError:
        """Return the error of a field."""
        return UsageError(f"{self.file}, line {self.line}, {field}: {problem}.")

    def get(self, row: Any, key: str, kind: type | tuple[type, ...], field: str = "", default: Any = None) -> Any:
        """Return a value of a row, of the type expected; with a default it may be missing."""
        name = f"{field}.{key}" if field else key
        if not isinstance(row, dict):
            raise self.error(field or "the line", f"is {_short(row)}; expected an object")
        if key not in row and default is not None:
            return default
        if key not in row:
            raise self.error(name, "is missing")
        value = row[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            words = " or ".join(_TYPE_NAMES[one] for one in (kind if isinstance(kind, tuple) else (kind,)))
            raise self.error(name, f"is {_short(value)}; expected {words}")
        return value


_TYPE_NAMES = {str: "a text", list: "a list", dict: "an object", int: "a whole number", bool: "true or false"}


def _files(path: Path) -> list[Path]:
    """Return the files to read."""
    kind = kind_of(path)
    if kind == "file":
        return [path]
    if kind == "nothing":
        raise MissingDataError(f"There is no {shown(path)}; give the folder or the file of the published tasks ({_NAMES[0]}).")
    named = [path / name for name in _NAMES if (path / name).is_file()]
    if named:
        return named[:1]
    found = [file for file in files_in(path, "", is_strict=False) if _is_scenarios(file)]
    if not found:
        raise MissingDataError(f"{path} holds no {_NAMES[0]}, no {_NAMES[1]} and no file of <scenario> texts.")
    return found


def _is_scenarios(file: Path) -> bool:
    """Whether a file of a folder holds scenario texts."""
    if file.suffix not in ("", ".txt"):
        return False
    with file.open("rb") as stream:
        return b"<scenario>" in stream.read(4096)


def _read_file(file: Path) -> Iterator[Task]:
    """Yield the tasks of a file."""
    data = read_data(file, max_bytes=MAX_BYTES)
    try:
        if data[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(data)) as unpacked:  # a small file may unpack to any size
                data = unpacked.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise ConfigError(f"{shown(file)} unpacks to more than {MAX_BYTES:,} bytes; is it the right file?")
        text = data.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read ({error}); give a UTF-8 file of tasks, gzipped or not.") from None
    if text.lstrip()[:10].startswith("<scenario>"):
        for line, body in split_scenarios(text):
            yield _from_scenario(_Place(file, line), body)
        return
    for line, row in enumerate(text.splitlines(), 1):
        if row.strip():
            place = _Place(file, line)
            try:
                yield _from_row(place, json.loads(row))
            except json.JSONDecodeError as error:
                raise place.error("the line", f"is not JSON ({error.msg} at column {error.colno})") from None


# -- structured rows --------------------------------------------------------------------------------------------------


def _from_row(place: _Place, row: Any) -> Task:
    """Return the task of a structured row."""
    key = place.get(row, "id", str)
    modules = place.get(row, "modules", list)
    for i, module in enumerate(modules):
        _known(place, f"modules[{i}]", "module", module, MODULES)
    setup = place.get(row, "init", list)
    _check_setup(place, setup)
    dialogue = place.get(row, "dialogue", list)
    if not dialogue:
        raise place.error("dialogue", "is empty; expected at least one request")
    requests = [_request(place, f"dialogue[{i}]", row) for i, row in enumerate(dialogue)]
    return _task(
        key,
        CarTask(tuple(modules), tuple(setup), tuple(request for request, _ in requests)),
        [facts for _, facts in requests],
        interaction=place.get(row, "interaction", str, default=""),
        ineffective=place.get(row, "init_ineffective", list, default=[]),
        extra={"source_index": row["source_index"]} if isinstance(row.get("source_index"), int) else {},
    )


def _request(place: _Place, field: str, row: Any) -> tuple[CarRequest, dict[str, Any]]:
    """Return a request, and what is published about it."""
    text = place.get(row, "query", str, field)
    calls = [_call(place, f"{field}.calls[{i}]", call) for i, call in enumerate(place.get(row, "calls", list, field))]
    oks = place.get(row, "calls_ok", list, field, default=[True] * len(calls))
    if len(oks) != len(calls):
        raise place.error(f"{field}.calls_ok", f"has {len(oks)} entries for {len(calls)} calls; expected one for each")
    changed = place.get(row, "changed", list, field)
    for i, change in enumerate(changed):
        op = place.get(change, "op", str, f"{field}.changed[{i}]")
        place.get(change, "path", str, f"{field}.changed[{i}]")
        if op not in ("set", "add", "del"):
            raise place.error(f"{field}.changed[{i}].op", f"is {_short(op)}; expected set, add or del")
    facts: dict[str, Any] = {"calls_ok": oks, "changed": changed}
    for key in ("metric_n_should_change", "metric_n_unchanged"):
        if key in row:
            facts[key] = place.get(row, key, int, field)
    num_visible = facts.get("metric_n_should_change", len(changed))
    return CarRequest(text, tuple(calls), kinds_of(calls, oks, changed, num_visible)), facts


def _call(place: _Place, field: str, call: Any) -> Call:
    """Return a gold call."""
    if isinstance(call, dict) and "assign" in call:
        code = f"{place.get(call, 'assign', str, field)}={place.get(call, 'expr', str, field)}"
        try:
            (found,) = parse_gold(code, field)
        except (ScenarioError, ValueError) as error:
            raise place.error(field, str(error)) from None
    else:
        found = Call(
            place.get(call, "module", str, field),
            place.get(call, "api", str, field),
            tuple(place.get(call, "args", list, field, default=[])),
            place.get(call, "kwargs", dict, field, default={}),
        )
    _check_call(place, field, found)
    return found


def _check_call(place: _Place, field: str, call: Call) -> None:
    """Refuse a gold call of something that the car does not have."""
    _known(place, f"{field}.module", "module", call.module, (ENVIRONMENT, *MODULES))
    if call.module == ENVIRONMENT:
        properties = [f"set_{row.path}" for row in car_tables().modules[ENVIRONMENT].properties]
        _known(place, f"{field}.api", "setter", call.function, properties)
    elif call.function not in (*PRESETS, LOOK):
        functions = car_tables().modules[call.module].functions
        _known(place, f"{field}.api", f"function of {call.module}", call.function, tuple(functions))


def _check_setup(place: _Place, setup: Sequence[Any]) -> None:
    """Refuse set-up steps that cannot be taken, by taking them."""
    car = Car("published")
    for i, step in enumerate(setup):
        if not isinstance(step, dict):
            raise place.error(f"init[{i}]", f"is {_short(step)}; expected an object")
        if isinstance(step.get("value"), list | dict):
            raise place.error(f"init[{i}].value", f"is {_short(step['value'])}; expected a number or a text")
        try:
            take_step(car, step)
        except KeyError as missing:
            problem = str(missing) if isinstance(missing, UnknownNameError) else f"{missing} is missing"
            raise place.error(f"init[{i}]", problem.rstrip(".")) from None
        except (UsageError, TypeError) as error:
            raise place.error(f"init[{i}]", str(error).rstrip(".")) from None


def _known(place: _Place, field: str, kind: str, name: Any, known: Sequence[str]) -> None:
    """Refuse a name that is not known."""
    if not isinstance(name, str):
        raise place.error(field, f"is {_short(name)}; expected a text")
    if name not in known:
        raise place.error(field, str(unknown_name(kind, name, known)).rstrip("."))


# -- scenario texts ---------------------------------------------------------------------------------------------------


def _from_scenario(place: _Place, text: str) -> Task:
    """Return the task of a scenario text; what its gold changes is found by replaying it in the `published` profile."""
    try:
        scenario = parse_scenario(text)
    except ScenarioError as error:
        raise _Place(place.file, place.line + error.line).error(error.field, error.message) from None
    _check_setup(place, scenario.init)
    car = Car("published")
    set_up(car, scenario.init)
    scope = Scope(scenario.modules)
    requests, facts = [], []
    for i, (query, calls) in enumerate(zip(scenario.queries, scenario.gold, strict=False)):
        for call in calls:
            _check_call(place, f"api_call[{i}]", call)
        num_leaves = scope.count(car.state)
        gold = gold_effect(car, calls)
        oks = [result.ok for result in gold.results]
        changed = [change.to_json() for change in gold.changes]
        counts = _metric_counts(scope, num_leaves, gold.changes)
        requests.append(CarRequest(query, calls, kinds_of(calls, oks, changed, counts["metric_n_should_change"])))
        facts.append({"calls_ok": oks, "changed": changed, **counts})
    task = CarTask(scenario.modules, scenario.init, tuple(requests))
    return _task(scenario.id, task, facts, ineffective=scenario.init_ineffective, shifted=_is_shifted(scenario))


def _is_shifted(scenario: Scenario) -> bool:
    """Whether a scenario has more gold than requests."""
    return len(scenario.gold) > len(scenario.queries)


def _metric_counts(scope: Scope, num_leaves: int, changes: Sequence[Change]) -> dict[str, int]:
    """Return how many leaves are to change and to stay, as the published scores count them."""
    seen = scope.changes(changes)
    num_new = sum(old is ABSENT for old, _ in seen.values())
    return {"metric_n_should_change": len(seen), "metric_n_unchanged": num_leaves - (len(seen) - num_new)}


# -- tasks ------------------------------------------------------------------------------------------------------------


def _task(
    key: str,
    task: CarTask,
    facts: Sequence[Mapping[str, Any]],
    *,
    interaction: str = "",
    ineffective: Sequence[str] = (),
    shifted: bool = False,
    extra: Mapping[str, Json] | None = None,
) -> Task:
    """Return a task with what is published about it."""
    names = {step.get("module") for step in task.setup}
    listed = {ENVIRONMENT, *task.modules}
    outside = any(call.module not in listed for request in task.requests for call in request.calls)
    found = {
        "shifted_gold": shifted or key in _SHIFTED,
        "unassigned_preset": bool(ineffective),
        "trunk_by_name": {"trunk", "frontTrunk"} <= set(task.modules) and "trunk" not in names,
        "acts_outside": outside,
    }
    by_request = {name: [row.get(name) for row in facts] for name in facts[0]} if facts else {}
    published = {"id": key, "flags": [name for name in FLAGS if found[name]], **by_request, **(extra or {})}
    label = interaction or f"{'S' if len(task.requests) == 1 else 'M'}-{'S' if len(task.modules) <= 1 else 'M'}"
    return Task(key, SPLIT, label, {**task.to_json(), "published": published})


def _is_query(call: Call) -> bool:
    """Whether a call only asks."""
    function = car_tables().modules[call.module].functions.get(call.function)
    return call.function == LOOK or (function is not None and function.op == "query")


def _short(value: Any) -> str:
    """Return a value as text that fits into a message."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."
