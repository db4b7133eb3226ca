"""Random programs for the comparison of the sandbox's executors: constructs that were found to differ, and plain ones.

`program(seed)` gives a source that defines `f(a, b, c)`, and arguments for it. The pieces are put together without regard to
types, so that most programs fail somewhere: which exception, caught where, is compared as well.
"""

from __future__ import annotations

import random
import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from palaestra.envs.sandbox.routing import needs_cpython

NUMBERS = (0, 1, -1, 2, 7, 10**20, 2**53 + 1, True, False, 0.0, -0.0, 0.1, 2.5, 2.675, 1e16, 1e-7, 1e300, 123456789.125)

_FORMS: dict[str, Any] = tomllib.loads(Path(__file__).with_name("forms.toml").read_text(encoding="utf-8"))


_CAUGHT = ("Exception", "Exception", "(TypeError, AttributeError)", "(ValueError, KeyError)", "LookupError", "TypeError")


def program(seed: int) -> tuple[str, list[dict[str, Any]]]:
    """Return a random source and three sets of arguments.

    Args:
        seed: Of both. Every second program is made of the forms alone that may run in monty by themselves.
    """
    chance = random.Random(seed)
    forms = tame_forms() if seed % 2 else _FORMS
    body = [f"x, acc, d = {_expression(chance, forms, 0)}, [], {{}}"]
    for _ in range(chance.randint(1, 6)):
        statement = _filled(chance, forms, chance.choice(forms["statements"]), 1)
        if chance.random() < 0.7:  # or nearly every program would end here
            inner = statement.replace("\n", "\n    ")
            statement = f"try:\n    {inner}\nexcept {chance.choice(_CAUGHT)}:\n    acc.append({chance.randint(0, 9)})"
        body.append(statement)
    body.append(
        chance.choice(("return [x, acc, d]", "return acc", "return {'x': x, 'acc': acc}", "return str(x)", "return d"))
    )
    return _source(body), [{name: _value(chance, 2) for name in "abc"} for _ in range(3)]


@lru_cache(maxsize=1)
def tame_forms() -> dict[str, list[str]]:
    """Return the forms that may run in monty by themselves."""
    tame: dict[str, list[str]] = {}
    for name, before in (("atoms", "x = "), ("expressions", "x = "), ("statements", "")):
        sources = {form: _source(["x, acc, d = 1, [], {}", before + form.format(*"aaaaaa")]) for form in _FORMS[name]}
        tame[name] = [form for form, source in sources.items() if not needs_cpython(source)]
    return tame


def _source(body: list[str]) -> str:
    """Return a source with the definitions that the lines of its function need."""
    lines = "\n".join(body).replace("\n", "\n    ")
    source = f"def f(a, b, c):\n    {lines}\n"
    tops = [top for name, top in _FORMS["tops"].items() if re.search(rf"\b{name}\b", source)]
    return "".join(tops) + source


def _expression(chance: random.Random, forms: dict[str, list[str]], depth: int) -> str:
    """Return a random expression."""
    if depth > 2 or chance.random() < 0.55:
        return chance.choice(forms["atoms"])
    return _filled(chance, forms, chance.choice(forms["expressions"]), depth + 1)


def _filled(chance: random.Random, forms: dict[str, list[str]], form: str, depth: int) -> str:
    """Return a form with expressions in its places."""
    return form.format(*(_expression(chance, forms, depth) for _ in range(form.count("{}") + 2)))


def _value(chance: random.Random, depth: int) -> Any:
    """Return a random argument."""
    kind = chance.randrange(10 if depth else 5)
    if kind < 2:
        return chance.choice(_FORMS["texts"])
    if kind < 4:
        return chance.choice(NUMBERS)
    if kind == 4:
        return None
    if kind < 8:
        return [_value(chance, depth - 1) for _ in range(chance.randint(0, 3))]
    return {chance.choice(("k", "p", "a", "10")): _value(chance, depth - 1) for _ in range(chance.randint(0, 3))}
