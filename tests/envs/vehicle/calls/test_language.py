import re
from itertools import count
from typing import Any

import pytest

from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.calls.language import CodeRun, Limits, extract_code, run_call, run_code
from palaestra.envs.vehicle.world import VehicleWorld

LOCK = "carcontrol_carDoor_lock_switch"


def run(code: str, **options: Any) -> tuple[VehicleWorld, CodeRun]:
    world = VehicleWorld()
    return world, run_code(world, code, **options)


def codes(done: CodeRun) -> list[str | None]:
    return [None if executed.result.error is None else executed.result.error.code for executed in done.calls]


def test_a_call_changes_the_car_and_is_told_in_one_line() -> None:
    world, done = run("vw.door.carcontrol_carDoor_lock_switch(switch=True, position=['passenger seat'])")
    assert world.state.values["door.doors.passenger seat.is_locked"] is True
    assert done.ok
    (line,) = done.feedback.splitlines()
    assert line.startswith("vw.door.carcontrol_carDoor_lock_switch(switch=True, position=['passenger seat']) -> {\"ok\":true")
    assert '"door.doors.passenger seat.is_locked":true' in line


def test_several_calls_stand_in_one_line_and_one_call_over_several() -> None:
    code = f"vw.door.{LOCK}(True); vw.tailLight.switch(True)  #\nvw.door.{LOCK}(\n    switch=False,\n    position=['all'],\n)"
    world, done = run(code)
    assert [executed.call.function for executed in done.calls] == [LOCK, "switch", LOCK]
    assert world.state.values["tailLight.is_on"] is True


def test_results_steer_loops_and_conditions() -> None:
    world, done = run(
        f"""
doors = vw.door.to_dict()["doors"]
for seat, door in doors.items():
    if door["status"] == "closed" and seat not in ("third row left", "third row right"):
        first = vw.door.{LOCK}(switch=True, position=[seat])
        if first["ok"] and first.get("nothing") is None:
            continue
    elif seat == "third row left":
        pass
    else:
        break
    vw.tailLight.switch(True)
"""
    )
    assert done.error is None
    locked = [path for path, value in world.state.values.items() if path.endswith("is_locked") and value and "door" in path]
    assert len(locked) == 4
    assert world.state.values["tailLight.is_on"] is True
    assert len(done.calls) == 5


def test_a_refused_call_is_a_result_and_the_code_goes_on() -> None:
    world, done = run(
        "x = vw.door.open_sesame()\nvw.muzic.play()\nif x['error']['code'] == 'unknown_function': vw.tailLight.switch(True)"
    )
    assert codes(done) == ["unknown_function", "unknown_module", None]
    assert "Did you mean 'music'" in done.calls[1].line
    assert world.state.values["tailLight.is_on"] is True
    assert not done.ok


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("import os", "Import"),
        ("from os import path", "Import"),
        ("def f(): pass", "A function definition"),
        ("class A: pass", "A class definition"),
        ("while True: pass", "While"),
        ("x = [s for s in ['a']]", "A comprehension"),
        ("x = lambda: 1", "Lambda"),
        ("with open('x') as f: pass", "With"),
        ("try:\n    pass\nexcept Exception:\n    pass", "Try"),
        ("x = 2 ** 3", r"The operator \*\*"),
        ("x = 'a'[0:1]", "A slice"),
        ("x = vw", "The bare name vw"),
        ("x = vw.environment", r"the attribute \.environment"),
        ("x = ().__class__", r"the attribute \.__class__"),
        ("open('x')", r"The function open\(\)"),
        ("exec('x')", r"The function exec\(\)"),
        ("vw.door.doors.open()", "has the form vw"),
        ("vw['door'].x()", "This call"),
        ("vw.environment.volume = 3", "Assigning to anything but a name"),
        ("vw = 3", "Assigning to vw"),
        ("del x", "Del"),
        ("assert True", "Assert"),
        ("x: int = 3", "An annotated assignment"),
        ("print((y := 3))", "An assignment inside an expression"),
        ("vw.tailLight.switch(*[True])", "An unpacking"),
        ("vw.tailLight.switch(**{'switch': True})", "An unpacking"),
        ("x = f'{1:>9}'", "A format"),
        ("x = {1, 2}", "A set"),
        ("break", "break outside a loop"),
        ("x = b'a'", "The literal bytes"),
        ("true", "write True"),
    ],
)
def test_everything_else_is_refused_by_name_after_what_came_before(statement: str, named: str) -> None:
    world, done = run(f"vw.tailLight.switch(True)\n{statement}\nvw.tailLight.switch(False)")
    assert world.state.values["tailLight.is_on"] is True
    assert done.error is not None
    assert done.error.code == "forbidden_syntax"
    assert "line 2" in done.error.message
    assert re.search(named, done.error.message)
    assert "Traceback" not in done.feedback
    assert "/" not in done.feedback.split("Stopped")[1]


def test_text_that_is_no_code_does_nothing() -> None:
    world, done = run("vw.tailLight.switch(True)\nI would now open the door")
    assert world == VehicleWorld()
    assert done.error is not None
    assert done.error.code == "forbidden_syntax"
    assert "Line 2" in done.error.message


def test_line_ends_written_as_two_characters_are_understood() -> None:
    _, done = run("vw.tailLight.switch(True)\\nvw.fuelPort.lock_switch(True)")
    assert done.ok
    assert len(done.calls) == 2


@pytest.mark.parametrize(
    ("code", "code_of_error"),
    [
        ("x = {'a': 1}\nx['b']", "not_found"),
        ("x = [1]\nx[1]", "not_found"),
        ("x = [1]\nx['a']", "invalid_type"),
        ("1 / 0", "invalid_value"),
        ("'a' * 9", "invalid_type"),
        ("'a' < 1", "invalid_type"),
        ("len(3)", "invalid_type"),
        ("for x in 'abc': pass", "invalid_type"),
        ("round(5, -10**9)", "forbidden_syntax"),
        ("round(5, -1000000000)", "invalid_value"),
        ("999999999999 * 999999999999", "invalid_value"),
        ("a, b = [1]", "invalid_type"),
        ("vw.door.to_dict(1)", "invalid_value"),
        ("vw.nothing.to_dict()", "unknown_module"),
        ("get_module_API()", "missing_argument"),
        ("get_module_API(modules=[1])", "invalid_type"),
        ("get_module_API(modules=['nothing'])", "unknown_module"),
        ("get_modules(1)", "invalid_value"),
        ("for i in range(100000): pass", "limit"),
        ("for i in range(2000):\n  for j in range(2000): x = i", "limit"),
        ("x = 'a'\nfor i in range(90): x = x + x", "limit"),
        ("x = [1]\nfor i in range(90): x = x + x", "limit"),
        ("x = [1]\nfor i in range(90): x = [x, x]", "limit"),
        ("for i in range(65): vw.tailLight.switch(True)", "limit"),
        ("for i in range(65): vw.tailLight.to_dict()", "limit"),
        ("x = " + "1+" * 300 + "1", "limit"),
        ("x = " + "(" * 400 + "1" + ")" * 400, "forbidden_syntax"),
        ("x = '\\ud800'", "invalid_value"),
        ("x = 'a\x00'", "forbidden_syntax"),
        ("x = " + "9" * 5000, "forbidden_syntax"),
        ("#" * 60_000, "limit"),
    ],
)
def test_what_goes_wrong_has_a_code(code: str, code_of_error: str) -> None:
    _, done = run(code)
    assert done.error is not None
    assert done.error.code == code_of_error


def test_calls_before_the_limit_stay_in_force() -> None:
    world, done = run("for i in range(9): vw.tailLight.switch(i == 3)", limits=Limits(calls=4))
    assert len(done.calls) == 4
    assert world.state.values["tailLight.is_on"] is True
    assert done.error is not None
    assert "may make 4 calls" in done.error.message


def test_the_clock_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "for i in range(1000): x = i\nvw.tailLight.switch(True)"
    world, done = run(code)
    ticks = count(0, 60)
    for name in ("time", "monotonic", "perf_counter", "process_time"):
        monkeypatch.setattr(f"time.{name}", lambda: float(next(ticks)))
    again, slow = run(code)
    assert slow.feedback == done.feedback
    assert slow.error is None
    assert again == world


LONG = "x = '" + "a" * 15_000 + "'\n"
LISTS = "a = range(1999)\nb = range(1999)\n"


@pytest.mark.parametrize(
    "code",
    [
        LONG + "y = x + x\nfor i in range(60):\n  c = " + " or ".join(["'" + "a" * 90 + "b' in y"] * 40),
        LONG + "y = x + 'b'\nfor i in range(1900):\n  c = x == y or x < y",
        LONG + "for i in range(1900):\n  y = x + x",
        LONG + "for i in range(1900):\n  y = f'{x}{x}'",
        LONG + "for i in range(1900):\n  y = {'a': 1}.get(x)",
        LONG + "y = {x: 1}\nfor i in range(1900):\n  z = y.get(x + 'b')",
        LONG + "y = [x, x, x, x, x, x, x, x, x, x]\ny = [y, y, y, y, y, y, y, y, y, y]\nz = str([y, y, y, y, y, y])",
        LONG + "y = [x, x, x, x, x, x, x, x, x, x]\ny = [y, y, y, y, y, y, y, y, y, y]\nprint([y, y, y, y, y, y])",
        LONG + "y = [x, x, x, x, x, x, x, x, x, x]\ny = [y, y, y, y, y, y, y, y, y, y]\nvw.door.none([y, y, y, y, y, y])",
        LISTS + "for i in range(1900):\n  c = a == b",
        LISTS + "for i in range(1900):\n  c = 'z' in a",
        LISTS + "for i in range(1900):\n  c = sorted(a)",
        LISTS + "for i in range(1900):\n  c = max(a)",
        LISTS + "for i in range(1900):\n  c = min(a)",
        LISTS + "for i in range(1900):\n  c = a[0:1] if 0 else str(a)",
        "x = '" + "0" * 4000 + "'\nfor i in range(1900):\n  y = int(x)",
        "for i in range(1900):\n  y = '" + "a" * 15_000 + "'",
    ],
)
def test_work_is_counted_by_the_size_of_what_is_gone_through(code: str) -> None:
    _, done = run(code)
    assert done.error is not None
    assert done.error.code == "limit"
    assert "more than 20000 steps" in done.error.message


def test_long_code_is_refused_by_its_size_before_it_is_read() -> None:
    for code in ("vw.door.none(" + "1, " * 20_000 + ")", "(" * 20_001, "x = 1\n" * 5_000):
        _, done = run(code)
        assert done.error is not None
        assert done.error.code == "limit"
        assert "at most 20000 are read" in done.error.message


def test_a_large_value_in_a_message_is_shown_by_its_beginning() -> None:
    x = LONG + "y = [x, x, x, x]\n"
    for code, start in (("z = y + 1", "['aaaa"), ("z = {'k': y}['n']", "'n'"), ("z = len(x + 'b', y)", "['aaaa")):
        _, done = run(x + code)
        assert done.error is not None
        assert start in done.error.message
        assert len(done.error.message) < 500


def test_arguments_are_told_as_they_were_worked_out() -> None:
    _, done = run("n = 3\nfor s in ['left', 'right']: vw.door.none(f'second row {s}', n + 1, [n, -n], key={'a': None})")
    assert [executed.call.args[0] for executed in done.calls] == ["second row left", "second row right"]
    assert done.calls[0].call == Call("door", "none", ("second row left", 4, [3, -3]), {"key": {"a": None}})


def test_discovery_shows_modules_functions_and_state() -> None:
    _, done = run(
        "m = get_modules()\nif 'door' in m: get_module_API(modules=['door'])\nprint(vw.environment.to_dict()['volume'])"
    )
    assert done.calls == []
    assert done.lookups == 3
    assert '"door":' in done.lines[0]
    assert "vw.door.carcontrol_carDoor_lock_switch(switch: bool" in done.lines[1]
    assert done.lines[-1] == "print: 50"


def test_only_offered_modules_may_be_used() -> None:
    world, done = run("vw.door.to_dict()\nvw.tailLight.switch(True)\nget_modules()", modules=["door"])
    assert codes(done) == ["unknown_module"]
    assert "not offered" in done.calls[0].line
    assert world == VehicleWorld()
    assert "tailLight" not in done.lines[-1]
    assert "environment" in done.lines[-1]
    _, done = run("vw.environment.to_dict()\nvw.music.to_dict()", modules=["door"])
    assert done.error is not None
    assert done.error.code == "unknown_module"


def test_single_calls_are_checked_like_those_in_code() -> None:
    world = VehicleWorld()
    for arguments in ({"switch": "\ud800"}, {"switch": float("nan")}, {"switch": {1: 2}}, {"switch": object()}):
        executed = run_call(world, Call("tailLight", "switch", (), arguments))
        assert not executed.result.ok
    assert world == VehicleWorld()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("no code at all", ""),
        ("```python\na()\n```", "a()"),
        ("I do ```py\na()\n``` and\n~~~\nb()\n~~~", "a()\nb()"),
        ("```Python3\r\na()\r\n```\r\n", "a()"),
        ("```bash\nrm\n```\n```\na()\n```", "a()"),
        ("```python\na()", "a()"),
        ("````python\na()\n```\nb()\n````", "a()\n```\nb()"),
        ("1. so:\n   ```python\n   if x:\n       a()\n   ```", "if x:\n    a()"),
        ("```python\na()```", "a()"),
        ("```a()```", "a()"),
        ("```python a()```", "a()"),
        ("```json\n{}\n```", ""),
    ],
)
def test_code_is_taken_from_all_fences(message: str, code: str) -> None:
    assert extract_code(message).strip("\n") == code
