"""Tables of prices: what they hold, which entry counts, and what an answer costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.backends.prices import MAX_BYTES, Price, PriceTable
from palaestra.errors import ConfigError, MissingDataError
from palaestra.types import Usage

TABLE = {
    "currency": "EUR",
    "models": {
        "big": {"prompt": 2, "completion": 8, "cached": 0.5},
        "big-*": {"prompt": 3.0, "completion": 9.0},
        "*": {"prompt": 0, "completion": 0},
        "b*": {"prompt": 5, "completion": 6},
        "a*": {"prompt": 7, "completion": 7},
    },
}


def test_an_answer_costs_what_each_kind_of_token_costs() -> None:
    assert Price(2.0, 8.0, 0.5).cost(Usage(1, 0, 3_000_000, 1_000_000, 500_000)) == 2 * 2.0 + 0.5 + 4.0
    assert Price(2.0, 8.0, 0.5).cost(Usage(1)) == 0.0


@pytest.mark.parametrize(
    ("names", "prompt"),
    [
        (("big",), 2.0),
        (("bigger",), 5.0),
        (("big-1",), 3.0),
        (("x", "big"), 2.0),
        (("a1", "b1"), 5.0),
        (("other",), 0.0),
        (("BIG",), 0.0),
    ],
)
def test_an_exact_entry_counts_and_else_the_longest_pattern(names: tuple[str, ...], prompt: float) -> None:
    found = PriceTable.load(TABLE).find(*names)
    assert found is not None
    assert found.prompt == prompt


def test_a_table_is_read_from_a_mapping_or_a_file(tmp_path: Path) -> None:
    table = PriceTable.load(TABLE)
    assert PriceTable.load(table) is table
    assert table.currency == "EUR"
    assert table.prices["big"] == Price(2.0, 8.0, 0.5)
    assert table.prices["big-*"] == Price(3.0, 9.0, 3.0), "what is cached costs as much where nothing else is said"
    path = tmp_path / "prices.toml"
    path.write_text('[models."big"]\nprompt = 2\ncompletion = 8\ncached = 0.5\n')
    for source in (path, str(path)):
        read = PriceTable.load(source)
        assert (read.currency, dict(read.prices)) == ("USD", {"big": Price(2.0, 8.0, 0.5)})
    assert read.find("small") is None


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "There are no [models.NAME] sections in the price table"),
        ({"models": {}}, "There are no [models.NAME] sections in the price table"),
        ({"models": [1]}, "There are no [models.NAME] sections in the price table"),
        ({"model": {}}, "In the price table: Unknown key 'model'"),
        ({"models": {"m": 3}}, "[models.'m'] of the price table is 3; expected prices"),
        ({"models": {"m": {"prompt": 1}}}, "In [models.'m'] of the price table: completion is missing"),
        ({"models": {"m": {"completion": 1}}}, "In [models.'m'] of the price table: prompt is missing"),
        ({"models": {"m": {"prompt": -1, "completion": 1}}}, "prompt is -1; expected a price per million tokens, 0 or more"),
        ({"models": {"m": {"prompt": 1, "completion": True}}}, "completion is True; expected"),
        ({"models": {"m": {"prompt": "1", "completion": 1}}}, "prompt is '1'; expected"),
        ({"models": {"m": {"prompt": 1, "completion": float("nan")}}}, "completion is nan; expected"),
        ({"models": {"m": {"prompt": 1, "completion": 1, "cashed": 1}}}, "Unknown key 'cashed'. Did you mean 'cached'?"),
    ],
)
def test_a_wrong_table_says_where_and_what(table: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PriceTable.load(table)
    assert said in str(caught.value)


def test_a_file_that_is_none_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    with pytest.raises(MissingDataError, match="No price table at"):
        PriceTable.load(path)
    path.write_text("models = [")
    with pytest.raises(ConfigError, match="is not TOML"):
        PriceTable.load(path)
    path.write_text("#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError):
        PriceTable.load(path)
    path.write_text("[models]\nm = 3\n")
    with pytest.raises(ConfigError, match=r"\[models\.'m'\] of '.*prices\.toml' is 3"):
        PriceTable.load(path)
