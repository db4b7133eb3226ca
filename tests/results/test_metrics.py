import math
import re

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.errors import ConfigError
from palaestra.results.metrics import (
    RESERVED,
    SHARE,
    Metric,
    declared_by,
    in_order,
    is_number,
    last_metrics,
    number,
    plain_number,
    problems,
)
from palaestra.types import Message, Outcome, Step
from tests.envs.miniature import CounterEnv, MeasuredEnv

names = st.from_regex(r"[a-z][a-z0-9_]{0,39}", fullmatch=True).filter(lambda name: name not in RESERVED)
metrics = st.builds(
    Metric, names, st.sampled_from(["higher", "lower", ""]), st.sampled_from(["", SHARE, "s"]), lead=st.booleans()
)


@pytest.mark.parametrize("name", ["", "Wer", "1st", "word error", "a" * 41, "ä", "a\n"])
def test_a_name_that_is_not_usable_is_refused(name):
    with pytest.raises(ConfigError, match="cannot be used"):
        Metric(name)


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_figures_of_every_environment_are_not_metrics_of_one(name):
    with pytest.raises(ConfigError, match="every environment has"):
        Metric(name)


def test_a_direction_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="'higher', 'lower' or ''"):
        Metric("wer", "up")


@given(st.lists(metrics, max_size=6), st.sets(names | st.text(max_size=5), max_size=6))
def test_what_was_measured_is_listed_once_with_leads_first(declared, measured):
    found = in_order(declared, measured)
    assert sorted(metric.name for metric in found) == sorted(measured)
    assert [metric.lead for metric in found] == sorted((metric.lead for metric in found), reverse=True)
    first = {metric.name: metric for metric in reversed(declared)}
    for metric in found:
        assert metric == first[metric.name] if metric.name in first else (metric.better, metric.unit) == ("", "")


def test_leads_and_the_rest_each_stay_in_the_order_of_their_declaration():
    declared = [Metric("z"), Metric("b", lead=True), Metric("y"), Metric("a", lead=True)]
    assert [m.name for m in in_order(declared, ["a", "b", "q", "y", "z"])] == ["b", "a", "z", "y", "q"]


def test_values_are_shown_in_their_unit():
    assert Metric("a", unit=SHARE).shown(0.4567) == "45.7 %"
    assert Metric("a", unit="s").shown(1.5) == "1.500 s"
    assert Metric("a").shown(3) == "3"
    assert Metric("a", unit="s").shown(math.nan) == Metric("a").shown_range(-math.inf, math.inf) == "-"
    assert Metric("a", unit=SHARE).shown_range(0.25, 0.5) == "25.0 - 50.0 %"
    assert Metric("a", unit="s").shown_range(1, 2.5) == "1 - 2.500 s"
    assert Metric("a").shown_range(1, 2) == "1 - 2"
    assert (Metric("word_error_rate", "lower").title, Metric("a", "lower").arrow) == ("Word error rate", "↓")


@given(st.floats(-1e300, 1e300))
def test_a_number_is_shown_to_three_digits_of_its_own(value):
    shown = float(number(value).replace(",", ""))
    assert shown == pytest.approx(value, rel=5e-2, abs=1e-12)
    assert re.fullmatch(r"-?[\d,]+(\.\d+)?(e[+-]\d+)?", number(value))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (-3.0, "-3"),
        (999_999.0, "999999"),
        (1e6, "1,000,000.0"),
        (-1e6, "-1,000,000.0"),
        (1234.56, "1,234.6"),
        (100.04, "100.0"),
        (9_999_999.5, "9,999,999.5"),
        (1e7, "1.00e+07"),
        (99.99, "99.990"),
        (-0.01, "-0.010"),
        (0.00999, "9.99e-03"),
        (math.inf, "-"),
        (math.nan, "-"),
    ],
)
def test_a_number_is_written_by_its_size(value, shown):
    assert number(value) == shown


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int64(3)])
def test_numbers_are_numbers(value):
    assert is_number(value)


@pytest.mark.parametrize("value", [True, np.True_, None, "1", math.nan, -math.inf, np.float64("nan"), [1]])
def test_what_is_no_number_is_none(value):
    assert not is_number(value)


def test_the_last_value_of_each_metric_counts():
    infos = [{"metrics": {"a": 1, "b": 2.5}}, {}, {"metrics": {"a": 3.0, "c": math.nan, "d": "no number"}}, {"metrics": 7}]
    found = last_metrics(Step("", Message("assistant", ""), info=info) for info in infos)
    assert found == {"a": 3.0, "b": 2.5}


def test_problems_say_what_is_wrong():
    declared = (Metric("wer", unit=SHARE), Metric("seconds"))
    assert problems(declared, {"wer": 0.5, "seconds": 12}) == []
    found = problems(declared, {"wer": 1.5, "seconds": math.nan, "other": 1})
    assert [text.split(";")[0] for text in found] == [
        "metric 'wer' is 1.5",
        "metric 'seconds' is nan",
        "metric 'other' is given but not declared",
    ]


def test_declarations_are_found_through_wrappers_and_nothing_else_is_taken_for_one():
    wrapped = gymnasium.wrappers.TimeLimit(MeasuredEnv(), 5)
    assert declared_by(wrapped) == MeasuredEnv.metrics
    assert declared_by(CounterEnv()) == ()
    env = CounterEnv()
    env.metrics = {"loss": 1}
    assert declared_by(env) == ()


def test_of_one_name_the_first_declaration_counts():
    first, last = Metric("m", "lower", unit="s", about="first"), Metric("m", "higher", lead=True)
    assert in_order([first, last], ["m"]) == [first]
    assert in_order([last, first], ["m"]) == [last]


@given(st.text(max_size=5))
def test_undeclared_metrics_of_any_name_have_a_title(name):
    [metric] = in_order([], [name])
    assert metric.title


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[31m", "\ud800", "x" * 101, 3, None])
def test_a_metric_has_a_name_that_can_be_shown(name):
    step = Step("", Message("assistant", ""), info={"metrics": {name: 1.0, "good": 2.0}})
    assert last_metrics([step]) == {"good": 2.0}
    assert "no name that can be shown" in problems([], {name: 1.0})[0]
    with pytest.raises(ValueError, match="expected printable text"):
        Outcome(1.0, True, metrics={name: 1.0})
    assert Outcome.from_json({"score": 1.0, "success": True, "metrics": {name: 1.0, "good": 2.0}}).metrics == {"good": 2.0}


def test_the_largest_numbers_are_shown_briefly():
    assert Metric("m", unit="s").shown(1e308) == "1.00e+308 s"
    assert Metric("m", unit=SHARE).shown(1e300) == "1.00e+302 %"
    assert not is_number(10**400)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int8", "int64", "uint64"])
@pytest.mark.parametrize("make", [lambda kind: np.dtype(kind).type(1), lambda kind: np.array(1, kind)])
def test_numbers_of_numpy_are_numbers(kind, make):
    assert is_number(make(kind))
    assert plain_number(make(kind)) == 1
    assert type(plain_number(make(kind))) in (int, float)


@pytest.mark.parametrize(
    "value",
    [np.bool_(True), np.array(True), np.float32("nan"), np.array(np.inf), np.array([1.0]), np.array("1")],
)
def test_what_numpy_has_besides_is_not(value):
    assert not is_number(value)
