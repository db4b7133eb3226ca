"""Numbers that people set for agents, backends and rollouts: finite and in range, or one error before anything starts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.backends.endpoint import Endpoint
from palaestra.agents.backends.limits import Budget, RateLimit
from palaestra.agents.backends.registry import make_backend
from palaestra.agents.backends.reliable import RetryPolicy
from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.context import ContextPolicy
from palaestra.agents.core import Sampling
from palaestra.agents.llm import LLMAgent
from palaestra.agents.ranges import MAX_COUNT, check_range, shortened
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.errors import ConfigError, ModelError

ODD = (-1, math.inf, -math.inf, math.nan, True, "x", [1], 10**400, 1e300)
SERVER = {"name": "s", "model": "m", "base_url": "http://127.0.0.1:9/v1"}


def numeric(kind: type) -> list[str]:
    """Return the fields of a dataclass that are numbers."""
    return [one.name for one in fields(kind) if str(one.type).split(" ")[0] in ("int", "float")]


def sampled(**options: Any) -> LLMAgent:
    return LLMAgent(ScriptedBackend([]), sampling=Sampling(**options))


MAKERS: list[tuple[str, Callable[..., Any]]] = [
    *((name, lambda **one: Endpoint(**SERVER, **one)) for name in numeric(Endpoint)),
    *((name, RetryPolicy) for name in numeric(RetryPolicy) if name != "seed"),
    *((name, RateLimit) for name in numeric(RateLimit)),
    *((name, Budget) for name in numeric(Budget)),
    *((name, ContextPolicy) for name in numeric(ContextPolicy)),
    *((name, sampled) for name in numeric(Sampling) if name != "seed"),
    *((name, RolloutEngine) for name in ("concurrency", "env_workers", "episode_timeout_s")),
    ("step_timeout_s", lambda **one: RolloutEngine(env_workers=1, **one)),
    *((name, lambda **one: make_backend("http://127.0.0.1:9/v1#m", **one)) for name in ("concurrency", "context_window")),
]


def test_the_numbers_of_every_class_are_tried() -> None:
    names = [name for name, _ in MAKERS]
    assert len(names) >= 25
    assert {"max_connections", "read_timeout_s", "deadline_s", "tokens_per_minute", "keep_chars", "env_workers"} <= {*names}


@pytest.mark.parametrize(("name", "make"), MAKERS)
@pytest.mark.parametrize("odd", ODD, ids=[str(odd)[:8] for odd in ODD])
def test_a_number_that_means_nothing_is_one_error_with_its_name(name: str, make: Callable[..., Any], odd: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        make(**{name: odd})
    text = str(caught.value)
    assert name in text
    assert "expected a" in text
    assert len(text) < 500
    assert "\n" not in text


@given(
    value=st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=3)),
    low=st.integers(-5, 5),
    span=st.integers(0, 5),
    whole=st.booleans(),
    above=st.booleans(),
)
def test_exactly_the_numbers_of_the_range_are_taken(value: Any, low: int, span: int, whole: bool, above: bool) -> None:
    high = low + span
    kinds = (int,) if whole else (int, float)
    taken = type(value) in kinds and (low < value if above else low <= value) and value <= high
    if taken:
        check_range("x", value, low=low, high=high, whole=whole, above=above)
    else:
        with pytest.raises(ConfigError, match="x is "):
            check_range("x", value, low=low, high=high, whole=whole, above=above)


def test_none_is_taken_where_it_stands_for_something() -> None:
    check_range("x", None, optional="no limit")
    with pytest.raises(
        ConfigError, match="x is 0; expected a number above 0 and at most 1000000000000000, or None for no limit"
    ):
        check_range("x", 0, above=True, optional="no limit")
    check_range("x", MAX_COUNT)


def test_numbers_of_any_length_are_shown() -> None:
    assert shortened(10**5000) == "a number of thousands of digits"
    assert shortened(5) == "5"
    assert len(shortened("y" * 1000)) < 200


def test_waits_end_in_doubling_whatever_the_number_of_the_retry() -> None:
    import random

    policy = RetryPolicy(retries=10**6, longest_wait_s=7.0)
    for retry in (0, 5, 1023, 1024, 10**6):
        assert 0.0 <= policy.wait_s(retry, ModelError("x"), random.Random(0)) <= 7.0
