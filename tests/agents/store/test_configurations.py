"""What is stored of a run's configuration depends on its content alone: equal ones are equal to the byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.store.store import RunStore

leaves = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=4), max_leaves=8
)


def reordered(value: Any) -> Any:
    """The same value with the keys of every object the other way round."""
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunStore]:
    with RunStore(Path(tmp_path_factory.mktemp("runs"))) as opened:
        yield opened


def text_of(store: RunStore, run_id: str) -> str:
    return str(store._connection.execute("SELECT config FROM runs WHERE run_id = ?", (run_id,)).fetchone()[0])


@given(st.dictionaries(st.text(max_size=3), values, min_size=2, max_size=5))
def test_the_order_of_keys_decides_nothing(store: RunStore, config: dict[str, Any]) -> None:
    one, other = store.create_run(config), store.create_run(reordered(config))
    assert list(reordered(config)) != list(config)
    assert text_of(store, one) == text_of(store, other)
    assert store.config(one) == store.config(other) == config
    store.set_config(one, {})
    assert text_of(store, one) == "{}"
    store.set_config(one, reordered(config))
    assert text_of(store, one) == text_of(store, other)
    for run_id in (one, other):
        store.delete_run(run_id)


def test_keys_stand_in_their_order(store: RunStore) -> None:
    run_id = store.create_run({"b": {"d": 1, "c": [2, {"z": 3, "y": 4}]}, "a": 5})
    assert text_of(store, run_id) == '{"a": 5, "b": {"c": [2, {"y": 4, "z": 3}], "d": 1}}'
    store.set_config(run_id, {"y": 1, "x": 2})
    assert text_of(store, run_id) == '{"x": 2, "y": 1}'
