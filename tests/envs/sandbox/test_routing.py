"""The look at the tree: what goes to CPython, what stays, and that monty still lacks what the tables say."""

import ast
import builtins
import contextlib
import json
import keyword
import subprocess
import sys
import tomllib
import warnings
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.sandbox.programs import program
from palaestra.envs import sandbox as package
from palaestra.envs.sandbox import Sandbox, known_equal
from palaestra.envs.sandbox.bindings import TooNested, walked
from palaestra.envs.sandbox.keeper import MODULES
from palaestra.envs.sandbox.meaning import Checker
from palaestra.envs.sandbox.routing import MAX_SOURCE_CHARS, has_odd_characters, needs_cpython, read_source, wrong_names

SAME = [
    "def f(a):\n    return sum(len(x) for x in a)",
    "def f(a):\n    return all(isinstance(x, str) for x in a)",
    "def f(a):\n    return all(isinstance(x, str) and x.strip() for x in a)",
    "def f(a):\n    return all(isinstance(x, int) and x > 0 for x in a)",
    "def f(a):\n    return any(x in ['b', 'c'] for x in a)",
    "import math, json\ndef f(a):\n    return json.dumps([math.sqrt(a)])",
    "from math import floor, pi\ndef f(a):\n    return floor(a * pi)",
    "from __future__ import annotations\ndef f(a: Anything):\n    return sorted(a, key=lambda x: -x)",
    "from typing import List, Optional\ndef f(a: List[str], b: Optional[dict] = None) -> str:\n    return a",
    "def f(a):\n    out = []\n    for i, x in enumerate(a):\n        print(i, x)\n        out.append(x)\n    return out",
    "def f(a):\n    return next(iter(a))",
    "def f(a):\n    total = 0\n    for x in a:\n        total += x['price']\n    return f'{total:.2f}'",
    "def f(a):\n    text = ''\n    for x in a:\n        text += x\n    return text[:3]",
    "def f(a):\n    try:\n        return a['x']\n    except (KeyError, TypeError):\n        raise ValueError('x') from None",
    "def f(a):\n    counts = {}\n    for w in a.split():\n        counts[w] = counts.get(w, 0) + 1\n    return counts",
    "def f(a):\n    if a in {'x', 'y'}:\n        return f'{len(a) / 3:.2f} {a}'\n    return {k: v for k, v in a.items()}",
]


@pytest.mark.parametrize("source", SAME)
def test_what_means_the_same_stays_in_monty(source):
    assert needs_cpython(source) == ()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def f():\n    yield 1", "yield"),
        ("class E(ValueError): pass", "a class"),
        ("async def f(): pass", "async"),
        ("def f(a):\n    del a[0]", "del"),
        ("import calendar", "import calendar"),
        ("import collections.abc", "import collections"),
        ("from collections import OrderedDict", "collections.OrderedDict"),
        ("import os", "import os"),
        ("import nothing_of_the_kind", "import nothing_of_the_kind"),
        ("import re", "import re"),
        ("import random", "import random"),
        ("import datetime", "import datetime"),
        (
            "def f(a):\n    d = {'k': a}\n    for x in zip(a, a):\n        d['k'].append(1)",
            "a loop that changes what it walks",
        ),
        ("def f(a):\n    return [a.pop() for x in reversed(a)]", "a loop that changes what it walks"),
        ("def f(a, b):\n    d = {a: 1}\n    return {**d, **{b: 2}}", "keys of unknown kind"),
        ("def f(a):\n    return (x for x in a)", "a generator is kept"),
        ("def f(a):\n    g = map(str, a)\n    return list(g) + list(g)", "an iterator is kept"),
        ("def f(a):\n    return next(x for x in a)", "a generator is kept"),
        ("def f(a):\n    for x in (int(y) for y in a):\n        return x", "a lazy loop"),
        ("def f(a):\n    for x in map(int, a):\n        return x", "a lazy loop"),
        ("def f(a):\n    for x in zip(a, (int(y) for y in a)):\n        return x", "an iterator is kept"),
        ("def f(a):\n    return any(1 / x for x in a)", "any() of items"),
        ("def f(a):\n    return all(map(int, a))", "all() of items"),
        ("def f(a):\n    return any(x.strip() for x in a)", "any() of items"),
        ("def f(a):\n    return sum(x[0] for x in a)", "sum() of items"),
        ("def f(a):\n    return min(g(x) for x in a)", "min() of items"),
        ("def f(a):\n    b = []\n    b.extend(int(x) for x in a)", "a generator is kept"),
        ("def f(a):\n    for i, x in enumerate(a):\n        a.remove(x)", "a loop that changes what it walks"),
        ("def f(a):\n    for i, x in enumerate(a):\n        a[i] = 1", "a loop that changes what it walks"),
        ("def f(a):\n    b = a\n    for i, x in enumerate(a):\n        b.append(x)", "a loop that changes what it walks"),
        (
            "def f():\n    b = []\n    c = b\n    for x in reversed(c):\n        b.append(x)",
            "a loop that changes what it walks",
        ),
        ("def g(b): b.append(1)\ndef f(a):\n    for x in zip(a, a):\n        g(a)", "a loop that changes what it walks"),
        ("def f(a):\n    return sorted(a, key=str.lower)", "a function as a value"),
        ("def f(a):\n    add = a.append\n    add(1)", ".append"),
        ("def f(a):\n    return a.bit_length()", ".bit_length()"),
        ("def f(a):\n    return a.__class__", "dunder names"),
        ("def f(a):\n    return callable(a)", "callable"),
        ("def f():\n    raise SystemExit(1)", "SystemExit"),
        ("def f():\n    return 1j * 1j", "bytes and complex numbers"),
        ("def f(a):\n    return a ** 0.5", "other operators"),
        ("def f(a):\n    return pow(a, -1, 7)", "pow"),
        ("def f(a):\n    return round(a, 2)", "round() with 2 arguments"),
        ("def f(a):\n    return list(set(a))", "the order of a set"),
        ("def f(a):\n    return {x for x in a}", "the order of a set"),
        ("def f(a):\n    for x in {3, 1}:\n        return x", "the order of a set"),
        ("def f(a):\n    return {1: a, True: a}", "keys of unknown kind"),
        ("def f(a):\n    d = {}\n    d[a] = 1\n    return d", "keys of unknown kind"),
        ("def f(a):\n    return {x: 1 for x in a}", "keys of unknown kind"),
        ("def f(a):\n    return a[1:]", "a slice of something else"),
        ("def f(a):\n    return f'{a:.2f}'", "a format of something else than a number"),
        ("def f(a):\n    return '%s' % a", "% of something else than a number"),
        ("def f(a):\n    return '{:>5}'.format(a)", "other formats"),
        ("def f(a):\n    return float(a)", "float() of something that could be not a number"),
        (
            "def f(a):\n    try:\n        return int(a)\n    except ValueError as e:\n        return str(e)",
            "the words of an exception",
        ),
        ("def f(a):\n    raise ValueError(a)", "an exception with something else than a text"),
        ("def f(a):\n    raise ValueError('a', 'b')", "an exception with something else than a text"),
        ("def f(a):\n    try:\n        g()\n    except:\n        return 1", "other exceptions"),
        ("def f(a):\n    return f(a - 1)", "recursion"),
        ("def f(a):\n    return g(a)\ndef g(a):\n    return f(a)", "recursion"),
        ("@g\ndef f(a): pass", "a decorator"),
        ("def f(a, /): pass", "parameters by place only"),
        ("def f(a: Anything): pass", "an annotation that could fail"),
        ("def f(a):\n    return a is 1", "identity"),
        ("def f(a):\n    return 'abc'.find('', 9)", "find() with 2 arguments"),
        ("def f(a):\n    return sorted([1], reverse=a)", "an order that is not known"),
        ("def f(a):\n    a *= 2\n    return a", "*= of what may be a list"),
        ("def f(a):\n    return '\\ud800'", "half of a pair of surrogates"),
        ("def f(a):\n    a += {}\n    return a", "+= of something else than a list"),
        ("def f(a):\n    b = []\n    b += 'xy'\n    return b", "+= of something else than a list"),
        ("import json\ndef f(a):\n    return json.dumps(a, default=str)", "json.dumps(default=)"),
        ("import json\ndef f(a):\n    return json.loads(a)", "json.loads"),
        ("def f(a):\n    b = a.items()\n    return list(b)", "a view is kept"),
        ("def f(a):\n    a.b = 1", "attributes that are set"),
        ("def f(a):\n    return '٣'", "characters that versions of Unicode tell apart"),
        ("from datetime import datetime\ndef f(a):\n    return datetime.strptime(a, '%Y')", "datetime.datetime"),
    ],
)
def test_what_could_mean_something_else_goes_to_cpython(source, reason):
    assert any(told.startswith(reason) for told in needs_cpython(source)), needs_cpython(source)


OTHER_CONSTRUCTS = [
    "f(**a)", "f(*a)", "b = a ** 2", "b = a @ a", "b = a | a", "b = a & 1", "b = a ^ 1", "b = a << 1", "b = a >> 1", "b = ~a",
    "b = (c := a)", "b = b'x'", "b = ...", "with a: pass", "with a as b: pass", "match a:\n  case _: pass", "del a", "a.b = 1",
    "async def g(): pass", "class C: pass", "class C(Exception): pass", "b = lambda: 1", "b = {x for x in a}", "b = {*a}",
    "try: pass\nexcept* ValueError: pass", "a **= 2", "a |= a", "b = [x async for x in a]", "raise a", "b = yield",
    "b = f'{a!a}'",
]  # fmt: skip


@pytest.mark.parametrize("line", OTHER_CONSTRUCTS)
def test_a_construct_that_is_not_on_the_list_goes_to_cpython(line):
    lines = line.replace("\n", "\n    ")
    assert needs_cpython(f"async def g():\n    {lines}" if "async for" in line else f"def f(a):\n    {lines}\n")


@pytest.mark.parametrize("name", [name for name in dir(builtins) if name not in known_equal.BUILTINS])
def test_a_built_in_that_is_not_on_the_list_goes_to_cpython(name):
    if name.isidentifier() and not keyword.iskeyword(name):
        assert needs_cpython(f"def f(a):\n    return {name}(a)\n"), name


def test_names_that_the_source_defines_itself_are_its_own():
    assert needs_cpython("def compute(a):\n    return a\ndef f(a):\n    return compute(a)") == ()
    assert needs_cpython("def f(object, type, input):\n    return [object, type, input]") == ()
    assert needs_cpython("def f(list):\n    return list(1)") == ("a call of a value",)
    assert needs_cpython("def len(a):\n    return a") == ("a function by the name of something else",)


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
    "attributes": "x = a" + ".b" * 24_000,
    "sums": "x = 1" + " + 1" * 12_000,
    "signs": "x = " + "-" * 45_000 + "1",
    "nots": "x = " + "not " * 12_000 + "1",
    "lambdas": "x = " + "lambda: " * 6_000 + "1",
    "conditions": "x = " + "1 if 1 else " * 4_000 + "1",
    "powers": "x = 1" + " ** 1" * 9_000,
    "blocks": "".join(" " * i + "if 1:\n" for i in range(90)) + " " * 90 + "pass",
    "strings": "x = " + "f'{" * 100 + "1" + "}'" * 100,
    "digits": "x = " + "9" * 49_000,
    "null": "x = '\0'",
    "surrogate": "x = '\ud800'",
    "subscripts": "x = a" + "[0]" * 16_000,
    "elifs": "if 1: pass\n" + "elif 1: pass\n" * 3_500,
}


def test_sources_made_to_break_the_parser_are_read_or_refused():
    """In a process of its own: an interpreter that overflows its stack ends."""
    assert max(map(len, HARD.values())) <= MAX_SOURCE_CHARS
    program = (
        "import sys, json\nfrom palaestra.envs.sandbox.routing import read_source\n"
        "for source in json.load(sys.stdin):\n    read_source(source)\nprint('alive')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(list(HARD.values())), capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "alive", done.stderr[-500:]


class Counted(list):
    """A list that counts how many of its items were walked over."""

    walked = 0

    def __iter__(self):
        Counted.walked += len(self)
        return super().__iter__()


@pytest.mark.parametrize("line", ["x += x", "x = x", "x += 'a' + x", "x = [x]", "x, y = y, x", "d[x] = x", "d[x] += len(x)"])
def test_looking_at_a_name_that_is_bound_often_counts_as_often(line):
    tree = walked(ast.parse("def f(d):\n    x = y = 1\n" + f"    {line}\n" * 1500))
    looks = 30 * len(tree.nodes)
    checker = Checker(tree, looks)
    checker.values.update({name: Counted(values) for name, values in checker.values.items()})
    Counted.walked = 0
    with contextlib.suppress(TooNested):
        list(checker.reasons())
    assert Counted.walked <= 3 * (looks + len(tree.nodes))


@pytest.mark.parametrize("module", ["calls", "meaning", "traces", "keeper_main"])
def test_a_tree_is_walked_as_the_library_does(module):
    tree = ast.parse(Path(package.__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
    seen = walked(tree)
    assert seen.nodes == list(ast.walk(tree))
    assert seen.parent == {id(child): node for node in seen.nodes for child in ast.iter_child_nodes(node)}


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
    assert facts is None or facts.needs_cpython
    assert counted < 60 * 90_000


def test_reading_a_source_needs_no_executor():
    assert needs_cpython("def f(:") == ()
    assert read_source("def f(:") is None


PROGRAMS = 150


@pytest.mark.parametrize("part", range(4))
def test_random_programs_give_the_same_by_the_list_as_in_cpython(part, need_monty, need_process):
    """Both ways of `auto`: what monty answers, and what is made again in CPython."""
    ran, wrong = Counter(), []
    with Sandbox(timeout_s=60) as either, Sandbox("process", timeout_s=60) as cpython:
        for seed in range(part * PROGRAMS, (part + 1) * PROGRAMS):
            source, arguments = program(seed)
            if read_source(source) is None or needs_cpython(source):
                continue
            first, second = either.load(source), cpython.load(source)
            for given_ones in arguments:
                mine, right = first.call("f", given_ones), second.call("f", given_ones)
                ran[mine.executor] += 1
                if (mine.status, mine.content) != (right.status, right.content):
                    wrong.append((seed, given_ones, mine, right))
    assert wrong == []
    assert ran["monty"] > 20


FOOLING = tomllib.loads(Path(__file__).with_name("fooling.toml").read_text(encoding="utf-8"))["sources"]
GIVEN = [{"a": [3, 1, "x"], "b": 1, "c": True}, {"a": {"p": 1}, "b": True, "c": 1}, {"a": "text", "b": None, "c": "ü"}]


@pytest.fixture(scope="module")
def both(need_both):
    with Sandbox(timeout_s=60) as either, Sandbox("process", timeout_s=60) as cpython:
        yield either, cpython


@pytest.mark.parametrize("name", sorted(FOOLING))
def test_sources_made_to_fool_the_list_give_the_same(name, both):
    programs = [sandbox.load(FOOLING[name]) for sandbox in both]
    for given_ones in GIVEN:
        mine, right = (program.call("f", given_ones) for program in programs)
        assert (mine.status, mine.content, mine.prints) == (right.status, right.content, right.prints), given_ones


CHARACTERS = """
def f(low, high):
    out = []
    for number in range(low, high):
        s = chr(number)
        line = [repr(s), s.lower(), s.upper(), s.title(), s.capitalize(), s.casefold(), s.swapcase(), s.isdigit(), s.isalpha(),
                s.isalnum(), s.isspace(), s.isdecimal(), s.split(), s.strip(), s.splitlines(), ('a' + s + 'b').split()]
        for kind in (int, float):
            try:
                line.append(str(kind(s)))
            except ValueError:
                line.append('')
        out.append(line)
    return out
"""


@pytest.mark.parametrize("low", [0, 0x1000, 0x2000, 0xA000, 0x10000, 0x1D000, 0x1F000])
def test_texts_of_plain_characters_are_the_same_in_both(low, need_monty, need_process):
    arguments = {"low": low, "high": low + 0x1000}
    with (
        Sandbox("monty", timeout_s=60, output_chars=9_000_000) as one,
        Sandbox("process", timeout_s=60, output_chars=9_000_000) as other,
    ):
        pairs = zip(*[sandbox.load(CHARACTERS).call("f", arguments).value() for sandbox in (one, other)], strict=True)
    differ = [chr(low + place) for place, (mine, right) in enumerate(pairs) if mine != right]
    assert [character for character in differ if not has_odd_characters(character)] == []


def test_arguments_with_odd_characters_and_doubtful_results_go_to_cpython(need_monty, need_process):
    with Sandbox(timeout_s=60) as sandbox:
        program = sandbox.load("def f(a):\n    return int(a)\n")
        assert [program.call("f", {"a": a}).executor for a in ("3", "٣")] == ["monty", "process"]
        assert program.call("f", {"a": "٣"}).content == "3"
        assert program.call("f", {"a": "x"}).executor == "process"  # an error
        close = sandbox.load("def f(a):\n    return a / 835.4\n").call("f", {"a": 9.82871233055753e17})
        assert (close.content, close.executor) == (repr(9.82871233055753e17 / 835.4), "process")
        kept = sandbox.load("def f(a):\n    return int(a)\n", stateful=True)
        assert kept.call("f", {"a": "x"}).executor == "monty"  # its state is there


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
