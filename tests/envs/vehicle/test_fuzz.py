import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.calls.language import extract_code, run_call, run_code
from palaestra.envs.vehicle.calls.schemas import call_of_tool
from palaestra.envs.vehicle.car.call_result import ERROR_CODES, Refusal
from palaestra.envs.vehicle.car.car import Profile
from palaestra.envs.vehicle.car.tables import MODULES, SEATS, car_tables
from palaestra.envs.vehicle.world import VehicleWorld
from palaestra.envs.vehicle.writes import Write, apply_writes, extract_writes, format_writes, parse_writes
from palaestra.types import ToolCall

T = TypeVar("T")
START = VehicleWorld()
TABLES = car_tables()
FUNCTIONS = [(module.name, name) for module in TABLES.modules.values() for name in module.functions]
PARAMS = sorted({p.name for module in TABLES.modules.values() for f in module.functions.values() for p in f.params})
WORDS = sorted({w for module in TABLES.modules.values() for f in module.functions.values() for p in f.params for w in p.enum})
LEAVES = sorted(START.state.values)
LISTS = sorted(START.state.lists)
REFERENCES = sorted(START.state.refs)


def many(count: int) -> Any:
    return settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


ANY_TEXT = st.text(st.characters(), max_size=60)  # lone surrogates, null characters and all
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 120),
    st.sampled_from([10**30, -(10**400), 2**63, 0.1, -0.0, 1e308, float("nan"), float("inf"), -float("inf")]),
    st.floats(),
    st.sampled_from([*SEATS, *WORDS]),
    st.text(st.characters(), max_size=8),
)
VALUES: st.SearchStrategy[Any] = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(
        st.sampled_from(["id", "title", "value", "type", "volume", "x", "", "name", "frequency_value"]), SCALARS, max_size=3
    ),
    st.lists(st.dictionaries(st.sampled_from(["id", "is_favorite", "index", "location"]), SCALARS, max_size=3), max_size=2),
)
NAMES = st.one_of(
    st.sampled_from([*MODULES, "environment", "vw", "value", "doors", "#len", "__class__", "volume", *SEATS]),
    ANY_TEXT,
    st.integers(-2, 3),
)
PATHS = st.one_of(
    st.sampled_from(LEAVES),
    st.sampled_from(LISTS + REFERENCES + [path.rpartition(".")[0] for path in LEAVES]),
    st.builds(
        "{}[{}]{}".format, st.sampled_from(LISTS), st.integers(-4, 4), st.sampled_from(["", ".title", ".id", ".x", "[0]"])
    ),
    st.builds("{}.{}".format, st.sampled_from(REFERENCES), st.sampled_from(["title", "city", "name", "destination", "#len"])),
    st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts))),
    st.builds("{}{}".format, st.sampled_from(LEAVES), ANY_TEXT),
    ANY_TEXT,
)
TOKENS = """
vw . ( ) [ ] { } = == : , ; \\ ' " # * ** + - / // % @ & | ~ ^ < > ! ? ` ``` for in if else elif not and or x
y print len range str int True False None lambda import def class while with try yield await global del pass
break continue return __class__ __globals__ __import__ exec eval open .format f'{x}' 0 1 9999999999 1e999 0x1f
1_0 1j b'' ... := get_modules get_module_API to_dict ok data
"""
CODE_PARTS = st.one_of(
    st.sampled_from([*TOKENS.split(), "\n", " "]),
    st.sampled_from([f"vw.{module}.{name}" for module, name in FUNCTIONS]),
    st.sampled_from([f"vw[{module!r}]" for module in MODULES]),
    st.sampled_from([f"{name}=" for name in PARAMS]),
    st.sampled_from([repr(word) for word in [*WORDS, *SEATS]]),
    st.text(st.characters(), max_size=3),
)
CODE = st.lists(CODE_PARTS, max_size=25).map(lambda parts: " ".join(parts))
NASTY = [
    "(" * 500 + ")" * 500,
    "[" * 100_000,
    "-" * 20_000 + "1",
    "not " * 5_000 + "x",
    "x" + ".a" * 10_000,
    "x" + "[0]" * 5_000,
    "f" + "()" * 5_000,
    "1" + "+1" * 20_000,
    "x = " + "[" * 90 + "]" * 90,
    "if 1:\n" + "".join(" " * depth + "if 1:\n" for depth in range(1, 99)) + " " * 99 + "pass",
    "if 0: pass\n" + "elif 0: pass\n" * 3_000,
    "9" * 10_000,
    "x = 9 ** 9 ** 9",
    "x = 10 ** 15\nfor i in range(50): x = x * x",
    "'a' * 10 ** 9",
    "x = 'a' * 3\n[0] * 10 ** 9",
    "x = 'ab'\nfor i in range(60): x = x + x",
    "x = [1, 2]\nfor i in range(60): x = [x, x, x]",
    "x = {'a': 1}\nfor i in range(60): x = {'a': x, 'b': x}",
    "x = [[1, 2], [3]]\nfor i in range(60): x = x + x\nx == x",
    "for i in range(10 ** 12): pass",
    "for i in range(2000):\n for j in range(2000):\n  for k in range(2000): pass",
    "[a for a in range(9) for b in range(9)]",
    "{a: a for a in [1]}",
    "(a for a in [1])",
    "'{0.__class__.__mro__}'.format(1)",
    "f'{vw.__class__}'",
    "f'{1:{1:{1}}}'",
    "'%s' % vw",
    "().__class__.__bases__[0].__subclasses__()",
    "vw.__class__",
    "vw.__init__.__globals__['os'].system('true')",
    "vw.door.__class__()",
    "vw.door.__init__()",
    "vw.environment.__dict__",
    "vw['__class__']['__init__'] = 1",
    "vw.__class__ = 1",
    "__import__('os').system('true')",
    "eval('1')",
    "exec('import os')",
    "open('/etc/passwd').read()",
    "globals()",
    "getattr(vw, 'door')",
    "print(__builtins__)",
    "(lambda: 1)()",
    "x = print\nx('a')",
    "len = 5\nlen([1])",
    "vw.door.to_dict().update({})",
    "x = vw.door.to_dict()\nx['doors'] = 1",
    "round(5, -10 ** 9)",
    "round(1.5, 10 ** 9)",
    "int('9' * 5000)",
    "str([1] * 5000)",
    "sorted([1, 'a', None])",
    "max([])",
    "min()",
    "range(1, 2, 0)",
    "range('a')",
    "{[]: 1}",
    "{1: 2}[{}]",
    "1 if vw else 2",
    "print(*[1])",
    "a, *b = [1, 2]",
    "for vw in [1]: pass",
    "for x.y in [1]: pass",
    "x\x00y",
    "'\x00'",
    "\ufeffvw.tailLight.switch(True)",
    "# -*- coding: utf-7 -*-\n+AHg-",
    "\ud800",
    "'\ud800'",
    "'\\ud800'",
    "'\\N{BULLET}' + '\\x'",
    "'\\d' if 1else 2",
    "vw.tailLight.switch(True) if 0x1for x in y",
    "\x0c\x0b\x1c\x85\u2028",
    "\t x\n        y\n\tz",
    "\\",
    "'''",
    "`rm`",
    "async def f(): await x",
    "match x:\n case 1: pass",
    "type X = int",
    "print(" * 60 + "1" + ")" * 60,
    "get_module_API(modules=" + "[" * 60 + "]" * 60 + ")",
    "get_module_API(modules=['door'] + ['door'])",
    "vw.tailLight.switch(switch=True, switch=False)",
    "vw.tailLight.switch(True, switch=False)",
    '{"a": ' * 3_000 + "1" + "}" * 3_000,
    "[" * 3_000 + "]" * 3_000,
    '{"environment.volume": 1e999}',
    '{"environment.volume": -Infinity}',
    '{"environment.volume": ' + "9" * 5_000 + "}",
    '{"\\ud800": 1}',
    '{"environment.timestamp": "\\udc00"}',
    '{"environment": ' * 50 + "1" + "}" * 50,
    '{"' + "value." * 80 + '": 1}',
    '{"' + "[" * 300 + '": 1}',
    '{"music._tracks[99999999999999999999]": null}',
    '{"music._tracks[-99999999]": null}',
    '{"music._tracks[+999999999]": {"id": "1"}}',
    '[{"op": [], "path": {}, "value": 1}]',
    '[{"op": "set", "path": "environment.volume", "value": {"value": {"value": {"value": 5}}}}]',
    "vw['music']['_tracks'][" + "9" * 400 + "] = 1",
    "vw['environment']['volume'] = " + "-" * 3_000 + "1",
    "vw" + "['value']" * 30 + " = 1",
    "vw['music']['_tracks'] = [{'id': '1'}] * 3",
    "vw['music']['_tracks'] = " + repr([{"id": "1"}] * 1_500),
    "vw['environment']['timestamp'] = 'x' * 10 ** 9",
]


def unharmed(world: VehicleWorld) -> bool:
    """Whether a world is sound: it has the leaves of the start, in their types, and can be shown and copied."""
    return world.state.values.keys() == START.state.values.keys() and world.copy() == world


def check_code(text: str, profile: Profile = "fixed") -> None:
    world = VehicleWorld(profile)
    done = run_code(world, text)
    done.feedback.encode("utf-8")
    assert "Traceback" not in done.feedback
    assert "palaestra" not in done.feedback or "palaestra" in text  # a name of the text's own may be quoted
    if done.error is not None:
        assert done.error.code in ERROR_CODES
        assert done.error.message
    for executed in done.calls:
        assert executed.result.ok or (executed.result.error is not None and executed.result.error.code in ERROR_CODES)
    if not any(executed.result.ok for executed in done.calls):
        assert profile == "published" or world.state == START.state
    assert unharmed(world)


def refusal_or(work: Callable[[], T]) -> T | Refusal:
    """Return what work gives, or a proper refusal."""
    try:
        return work()
    except Refusal as refusal:
        found = refusal
    assert found.code in ERROR_CODES
    assert found.message.encode("utf-8")
    return found


def check_writes(text: str) -> None:
    world = VehicleWorld()
    writes = refusal_or(lambda: parse_writes(text))
    if not isinstance(writes, Refusal):
        check_applied(world, writes)


def check_applied(world: VehicleWorld, writes: list[Write]) -> None:
    before = world.copy()
    result = apply_writes(world, writes)
    assert result.ok is not bool(result.errors)
    assert all(error.code in ERROR_CODES and error.message for error in result.errors)
    if not world.as_published:
        assert result.ok or world == before
        assert unharmed(world)
    assert {change.path for change in result.changes} == {change.path for change in before.difference(world)}


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_nasty_texts_do_no_harm_in_any_language(text: str) -> None:
    for form in (text, f"vw.tailLight.switch(True)\n{text}", f"x = {text}", f"print({text})", f"```python\n{text}\n```"):
        check_code(form)
        check_writes(form)
        check_writes(f"vw.environment.volume = {form}")
        check_code(extract_code(form))
        check_writes(extract_writes(form))


@many(1_500)
@given(ANY_TEXT)
@example("palaestra;")
def test_any_text_as_code(text: str) -> None:
    check_code(text)
    extract_code(text)


@many(2_200)
@given(CODE)
def test_any_pieces_of_code(text: str) -> None:
    check_code(text)


@many(1_200)
@given(st.sampled_from(FUNCTIONS), st.lists(VALUES, max_size=2), st.dictionaries(st.sampled_from(PARAMS), VALUES, max_size=4))
def test_any_arguments_of_any_function(function: tuple[str, str], args: list[Any], kwargs: dict[str, Any]) -> None:
    world = VehicleWorld()
    executed = run_call(world, Call(*function, tuple(args), kwargs))
    executed.line.encode("utf-8")
    assert executed.result.ok or (executed.result.error is not None and executed.result.error.code in ERROR_CODES)
    assert executed.result.ok or world == START
    assert unharmed(world)


@many(700)
@given(CODE)
def test_any_pieces_of_code_in_the_published_profile(text: str) -> None:
    check_code(text, "published")


@many(1_000)
@given(ANY_TEXT | CODE)
def test_any_text_as_writes(text: str) -> None:
    check_writes(text)


@many(1_500)
@given(st.lists(st.builds(Write, st.sampled_from(["set", "add", "remove"]), PATHS, VALUES), min_size=1, max_size=2))
def test_any_write(writes: list[Write]) -> None:
    check_applied(VehicleWorld(), writes)
    check_applied(VehicleWorld("published"), writes)


@many(600)
@given(PATHS, VALUES, st.booleans())
def test_any_path_and_value_as_assignment(path: str, value: Any, dotted: bool) -> None:
    steps = path.split(".")
    target = "vw." + path if dotted else "vw" + "".join(f"[{step!r}]" for step in steps)
    check_writes(f"{target} = {value!r}")


@many(500)
@given(st.dictionaries(PATHS, VALUES, min_size=1, max_size=2))
def test_any_map(data: dict[str, Any]) -> None:
    check_writes(json.dumps(data, ensure_ascii=False))


@many(500)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "op": st.sampled_from(["set", "add", "remove", "move", 1]),
                "path": PATHS | SCALARS,
                "value": VALUES,
                "x": SCALARS,
            },
        ),
        min_size=1,
        max_size=2,
    )
)
def test_any_operations(data: list[dict[str, Any]]) -> None:
    check_writes(json.dumps(data))


@many(500)
@given(st.sampled_from(LEAVES), VALUES)
def test_any_value_for_any_leaf_is_written_or_refused(path: str, value: Any) -> None:
    world = VehicleWorld()
    check_applied(world, [Write("set", path, value)])
    written = world.state.values[path]
    row = TABLES.properties.get(path)
    if row is not None and world != START:
        assert type(written) in {"bool": (bool,), "int": (int,), "float": (int, float)}.get(row.type, (str, type(None)))
        assert not row.enum or written is None or written in row.enum
        assert not isinstance(written, int | float) or row.low is None or row.low <= written
        assert not isinstance(written, int | float) or row.high is None or written <= row.high


@many(400)
@given(
    st.sampled_from(["door__carcontrol_carDoor_switch", "tailLight__switch"]) | ANY_TEXT,
    st.dictionaries(ANY_TEXT, VALUES, max_size=2),
)
def test_any_tool_call(name: str, arguments: dict[str, Any]) -> None:
    call = refusal_or(lambda: call_of_tool(TABLES, ToolCall(name, arguments)))
    if not isinstance(call, Refusal):
        run_call(VehicleWorld(), call).line.encode("utf-8")


def test_what_is_written_out_survives_any_text() -> None:
    for value in ("'", '"', "\\", "\n", "```", "~~~", "%s", "{x}", "ä÷😀", "\u2028", "#", "</x>"):
        writes = [Write("set", "environment.timestamp", value)]
        for syntax in ("python", "map", "operations"):
            assert parse_writes(format_writes(writes, syntax)) == writes  # type: ignore[arg-type]
