"""The look at the tree: what goes to CPython, what stays, and that monty still lacks what the tables say."""

import ast
import builtins
import importlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs import sandbox as package
from palaestra.envs.sandbox import Sandbox, monty_lacks
from palaestra.envs.sandbox.keeper import MODULES
from palaestra.envs.sandbox.routing import needs_cpython, read_source, wrong_names


@pytest.mark.parametrize(
    "source",
    [
        "def f(a):\n    return sum(x for x in a)",
        "def f(a):\n    return all(isinstance(x, str) for x in a)",
        "import math, json, re\ndef f(a):\n    return math.sqrt(a)",
        "from datetime import datetime\ndef f(a):\n    return datetime.strptime(a, '%Y-%m-%d').isoformat()",
        "import datetime\ndef f():\n    return str(datetime.date.today())",
        "from __future__ import annotations\ndef f(a):\n    return sorted(a, key=lambda x: -x)",
        "def f(a):\n    for i, x in enumerate(a):\n        print(i, x)\n    return dict(zip(a, a))",
        "def f(a):\n    return next(iter(a))",
        "class P:\n    def __init__(self, a):\n        self.a = a\ndef f(a):\n    return P(a).a",
        "def f(a):\n    try:\n        return a['x']\n    except (KeyError, TypeError) as error:\n        return str(error)",
        "import nothing_of_the_kind\ndef f(): pass",  # the same error in both
    ],
)
def test_what_means_the_same_stays_in_monty(source):
    assert needs_cpython(source) == ()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def f():\n    yield 1", "yield"),
        ("class E(ValueError): pass", "class inheritance"),
        ("async def f(): pass", "async"),
        ("def f(a):\n    del a[0]", "del"),
        ("import calendar", "import calendar"),
        ("import collections.abc", "collections.abc"),
        ("from collections import OrderedDict", "collections.OrderedDict"),
        ("import collections as c\nc.OrderedDict()", "collections.OrderedDict"),
        ("import os", "import os"),
        ("import pytz", "import pytz"),
        ("def f(a):\n    return (x for x in a)", "a generator is kept"),
        ("def f(a):\n    g = map(str, a)\n    return list(g) + list(g)", "an iterator is kept"),
        ("def f(a):\n    return next(x for x in a)", "next()"),
        ("import itertools\ndef f():\n    return sum(i for i in itertools.count())", "an endless iterator"),
        ("def f(a):\n    return any(1 / x for x in a)", "any() that stops early"),
        ("def f(a):\n    return all(map(g, a))", "all() that stops early"),
        ("def f(a):\n    for i, x in enumerate(a):\n        a.remove(x)", "a loop that changes what it walks"),
        ("def f(a):\n    for i, x in enumerate(a):\n        a[i] = 1", "a loop that changes what it walks"),
        ("def f(a):\n    return sorted(a, key=str.lower)", "str.lower"),
        ("def f(a):\n    add = a.append\n    add(1)", "a method as a value"),
        ("def f(a):\n    return a.bit_length()", ".bit_length"),
        ("def f(a):\n    return a.__class__", "dunder names"),
        ("def f(a):\n    return callable(a)", "callable"),
        ("def f():\n    raise SystemExit(1)", "SystemExit"),
        ("def f():\n    return 1j * 1j", "complex numbers"),
        ("from datetime import datetime\ndef f(a):\n    return datetime.strptime(a, '%d %b')", "strptime without a year"),
        ("from datetime import datetime\ndef f(a, b):\n    return datetime.strptime(a, b)", "strptime without a year"),
    ],
)
def test_what_could_mean_something_else_goes_to_cpython(source, reason):
    assert any(told.startswith(reason) for told in needs_cpython(source)), needs_cpython(source)


def test_names_that_the_source_defines_itself_are_its_own():
    assert needs_cpython("def callable(a):\n    return a\ndef f(a):\n    return callable(a)") == ()
    assert needs_cpython("def f(object):\n    return object") == ()


def test_parameters_are_read_from_the_tree():
    source = "def f(a, b=1, *, c, d=2, **rest): pass\ndef g(a, /, b): pass\n@h\ndef i(a): pass\ndef j(): pass\nj = 1\n"
    functions = read_source(source).functions
    assert set(functions) == {"f", "g"}
    assert wrong_names(functions["f"], frozenset("ac")) == ""
    assert wrong_names(functions["f"], frozenset(("a", "c", "anything"))) == ""
    assert wrong_names(functions["f"], frozenset("a")) == "Wrong arguments; missing: c."
    assert wrong_names(functions["g"], frozenset("ab")) == "Wrong arguments; unexpected: a."


HARD = {
    "nested lists": "x = " + "[" * 5000 + "]" * 5000,
    "nested calls": "x = " + "f(" * 5000 + ")" * 5000,
    "attributes": "x = a" + ".b" * 50_000,
    "sums": "x = 1" + " + 1" * 50_000,
    "signs": "x = " + "-" * 90_000 + "1",
    "nots": "x = " + "not " * 40_000 + "1",
    "lambdas": "x = " + "lambda: " * 20_000 + "1",
    "conditions": "x = " + "1 if 1 else " * 15_000 + "1",
    "powers": "x = 1" + " ** 1" * 30_000,
    "blocks": "".join(" " * i + "if 1:\n" for i in range(90)) + " " * 90 + "pass",
    "strings": "x = " + "f'{" * 100 + "1" + "}'" * 100,
    "digits": "x = " + "9" * 100_000,
    "null": "x = '\0'",
    "surrogate": "x = '\ud800'",
    "subscripts": "x = a" + "[0]" * 50_000,
    "elifs": "if 1: pass\n" + "elif 1: pass\n" * 10_000,
}


def test_sources_made_to_break_the_parser_are_read_or_refused():
    """In a process of its own: an interpreter that overflows its stack ends."""
    program = (
        "import sys, json\nfrom palaestra.envs.sandbox.routing import read_source\n"
        "for source in json.load(sys.stdin):\n    read_source(source)\nprint('alive')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(list(HARD.values())), capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "alive", done.stderr[-500:]


@given(st.text(max_size=60))
def test_any_text_can_be_read(text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_source(text)
        read_source("x = '\\w" + text.replace("'", "").replace("\n", "") + "'")


SLOW = {
    "zips": "x = " + "zip(" * 90 + ", ".join(["a"] * 30_000) + ")" * 90,
    "generators": "x = " + "sum(y for y in " * 60 + ", ".join(["a"] * 30_000) + ")" * 60,
    "loops": "".join(" " * i + "for x in zip(a, b):\n" for i in range(90)) + " " * 90 + "; ".join(["c"] * 30_000),
}


@pytest.mark.parametrize("name", sorted(SLOW))
def test_a_source_made_to_be_looked_at_for_long_is_not(name, monkeypatch):
    counted = 0
    walk = ast.walk

    def counting(node):
        nonlocal counted
        for part in walk(node):
            counted += 1
            yield part

    monkeypatch.setattr(ast, "walk", counting)
    facts = read_source(SLOW[name])
    assert facts is None or "too nested to be looked at" in facts.needs_cpython
    assert counted < 60 * 90_000


def test_reading_a_source_needs_no_executor():
    assert needs_cpython("def f(:") == ()
    assert read_source("def f(:") is None


def _answers(lines):
    """Return which lines run in monty without a complaint about a name that is not there."""
    failed = "('AttributeError', 'ImportError', 'ModuleNotFoundError', 'NameError', 'NotImplementedError')"
    source = "import datetime, re, collections, decimal\ndef f():\n    return 1\n"
    found = []
    with Sandbox("monty", timeout_s=30) as sandbox:
        for line in lines:
            result = sandbox.load(f"{source}{line}\n").call("f")
            found.append(result.ok or result.content not in failed)
    return found


@pytest.mark.parametrize("module", sorted(monty_lacks.MODULES))
def test_monty_lacks_the_names_of_modules_that_the_table_says(module, need_monty):
    public = [name for name in getattr(importlib.import_module(module), "__all__", ()) if not name.startswith("_")]
    names = sorted({*public, *monty_lacks.MODULES[module]})
    answers = _answers([f"from {module} import {name}" for name in names])
    lacking = {name for name, present in zip(names, answers, strict=True) if not present}
    assert lacking == {name for name in names if name in monty_lacks.MODULES[module]}


def test_monty_lacks_the_builtins_that_the_table_says(need_monty):
    names = [name for name in dir(builtins) if not name.startswith("_") and name not in ("copyright", "credits", "license")]
    names = [name for name in names if name not in ("exit", "quit", "object", "complex", "PythonFinalizationError")]
    for name, present in zip(names, _answers(names), strict=True):
        assert present == (name not in monty_lacks.BUILTINS), name


VALUES = ("'a'", "b'a'", "[1]", "{'a': 1}", "{1}", "1", "1.5", "datetime.datetime(2020, 1, 1)", "re.compile('a')")


def test_monty_lacks_the_attributes_that_the_table_says(need_monty):
    scope = {name: importlib.import_module(name) for name in ("datetime", "re")}
    missing = set()
    for value in VALUES:
        kind = ast.literal_eval(value) if value[0] not in "dr" else _made(value, scope)
        names = [name for name in dir(kind) if not name.startswith("_")]
        lines = [f"({value}).{name}" + "()" * callable(getattr(kind, name)) for name in names]
        missing |= {name for name, present in zip(names, _answers(lines), strict=True) if not present}
    known_elsewhere = {"max", "min", "count", "index", "start", "combine", "now", "today", "strptime", "fromisoformat"}
    known_elsewhere |= {"hex", "fromhex", "groups", "expandtabs"}
    assert missing - known_elsewhere <= monty_lacks.ATTRIBUTES


def _made(value, scope):
    """Return an object of a class of the standard library."""
    return scope["datetime"].datetime(2020, 1, 1) if value.startswith("datetime") else scope["re"].compile("a")


RUNS_FOREIGN_TEXT = {"exec", "eval", "compile", "__import__"}


@pytest.mark.parametrize("path", sorted(Path(package.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_no_foreign_text_is_run_in_this_process(path):
    """`keeper_main` is data: it is the program of another process, in the sandbox."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & RUNS_FOREIGN_TEXT
    named |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & {
        "exec",
        "eval",
        "run_code",
        "exec_module",
    }
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    if path.stem == "keeper_main":
        assert {"exec", "compile"} <= named
        return
    assert named == set()
    assert "palaestra.envs.sandbox.keeper_main" not in imported
    assert not imported & {"pickle", "marshal", "runpy", "code", "codeop"}


def test_the_allowlist_has_no_module_that_reaches_outside():
    assert not set(MODULES) & {
        "os",
        "sys",
        "io",
        "socket",
        "subprocess",
        "ctypes",
        "importlib",
        "builtins",
        "pathlib",
        "gc",
        "inspect",
    }
