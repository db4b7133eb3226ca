import copy
import json
from importlib.resources import files
from typing import Any

import pytest

from palaestra.envs.vehicle.car.tables import MODULES
from palaestra.envs.vehicle.requests.check import main, problems
from palaestra.envs.vehicle.requests.phrases import phrasebooks, read_phrasebook
from palaestra.errors import ConfigError


def door() -> dict[str, Any]:
    text = (files("palaestra.envs.vehicle.requests") / "phrases" / "door.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def faults(data: dict[str, Any]) -> str:
    return "\n".join(problems({"door": read_phrasebook("door", data)}))


@pytest.mark.parametrize("module", MODULES)
def test_the_phrasings_of_every_module_are_right(module: str) -> None:
    assert module in phrasebooks()
    assert problems(phrasebooks(), [module]) == []


def test_a_file_without_fault_has_none() -> None:
    assert faults(door()) == ""


def lock(data: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = data["intents"][0]
    return row


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data["intents"].pop(), "no intent uses carcontrol_carDoor_angle_set"),
        (lambda data: lock(data)["say"].__delitem__(slice(0, 4)), "4 phrasings for true; expected at least 6"),
        (lambda data: lock(data)["say"].append("lock {place:door}"), "does not tell true from false"),
        (lambda data: lock(data)["say"].append("[lock|unlock] {seat}"), "unknown slot {seat}"),
        (lambda data: lock(data)["say"].append("[lock|unlock] the carDoor"), "gives away the API's word 'carDoor'"),
        (lambda data: lock(data)["say"].append("set is_locked [on|off]"), "holds '_'"),
        (lambda data: lock(data)["say"].append("[open|close] {place:door}"), "also means door.lock"),
        (lambda data: lock(data)["say"].append("[lock|unlock] {place:door}."), "ends with a full stop"),
        (lambda data: lock(data)["arguments"].update(side="left"), "has no parameter 'side'"),
        (lambda data: lock(data)["arguments"].pop("switch"), "argument switch is required"),
        (lambda data: data["intents"][2]["arguments"].update(action="{flag:open/shut}"), "flag word 'shut' is none of"),
        (lambda data: data["intents"][3]["amount"].update(inch=[1, 2, 1]), "amount has the unit 'inch'"),
        (lambda data: data["intents"][5]["say"].append("set {place:door}"), "does not say where to"),
        (lambda data: data["intents"][4]["prepare"].append(["open", {}]), "prepare or forbid names 'open'"),
        (lambda data: data["conditions"][0].update(path="doors.{seat}.locked"), "is no leaf of the car"),
        (lambda data: data["conditions"][3].update({"is": "ajar"}), "expected one of open, closed"),
    ],
)
def test_a_fault_in_a_file_is_told(change: Any, told: str) -> None:
    data = copy.deepcopy(door())
    change(data)
    assert told in faults(data)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: lock(data).update(function="lock_door"), "Unknown function of door 'lock_door'"),
        (lambda data: lock(data).update(speak=[]), r"unknown keys \['speak'\]"),
        (lambda data: lock(data).update(name="open"), "two intents named 'open'"),
        (lambda data: lock(data).update(slots={"x": {"from": 1}}), "slot 'x' is"),
        (lambda data: data.update(module="doors"), "has module 'doors'"),
    ],
)
def test_a_file_of_another_form_is_refused(change: Any, told: str) -> None:
    data = copy.deepcopy(door())
    change(data)
    with pytest.raises(ConfigError, match=told):
        read_phrasebook("door", data)


def test_the_command_prints_problems_and_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["door"]) == 0
    assert main(["doors"]) == 1
    assert "Unknown module 'doors'" in capsys.readouterr().out
