"""Tools that are data: what they find, what they say of wrong calls, and the same as Python source."""

import json
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.sandbox.routing import traces
from palaestra.envs.toolforge.build import build_many
from palaestra.envs.toolforge.stages.checks import SENTINEL, filled, refilled
from palaestra.envs.toolforge.stages.options import all_options
from palaestra.envs.toolforge.tables import calculate, plain_key, run_table, source_of, within_two
from palaestra.envs.tools.drawing import draw_arguments

ROW = ["Kéntal Brom", 48210, "2011-03-05", "archive", "confirmed", "north", 0.8]
NEAR = ["Kentol Brom", 51930, "2014-07-09", "survey", "provisional", "coast", 0.6]
FAR = ["Zasuri", 77001, "2020-01-31", "register", "confirmed", "inland", 0.9]
COLUMNS = ["entered", "source", "state", "office", "confidence"]


def spec(kind="int", shows=("entered",), keys=(("city", "text"),), rows=(ROW, NEAR, FAR), **options):
    """A look-up tool over three records."""
    table = {"kind": kind, "unit": "m", "units": {"m": 1.0, "km": 0.001}, "rows": {plain_key(row[0]): row for row in rows}}
    return {
        "does": "look_up",
        "field": "height",
        "parameters": [*(key[0] for key in keys), *all_options()],
        "options": options,
        "keys": [list(key) for key in keys],
        "attribute": None,
        "columns": COLUMNS,
        "shows": list(shows),
        "hints": 3,
        "deprecated": "",
        "labels": {"en": "city", "de": "Stadt"},
        "tables": {"height": table},
    }


@pytest.mark.parametrize("name", ["Kéntal Brom", "kental brom", "  KENTAL   BROM ", "Kental-Brom", "Kental, Brom!"])
def test_a_key_is_found_however_it_is_written(name):
    assert run_table(spec(), {"city": name}) == {"height": 48210, "entered": "2011-03-05"}


def test_similar_keys_are_hints_and_others_are_not():
    assert run_table(spec(), {"city": "Kentil Brom"}) == {"status": "not_found", "hint": ["Kéntal Brom", "Kentol Brom"]}
    assert run_table(spec(), {"city": "Brom"}) == {"status": "not_found", "hint": []}
    assert run_table({**spec(), "hints": 0}, {"city": "Kentil Brom"}) == {"status": "not_found"}


@pytest.mark.parametrize(
    ("form", "argument"),
    [("text", "Zasuri"), ("object", {"name": "Zasuri"}), ("list", ["nobody", "Zasuri"])],
)
def test_keys_come_in_several_forms(form, argument):
    assert run_table(spec(keys=[("city", form)]), {"city": argument})["height"] == 77001


def test_a_pair_is_found():
    rows = {"ama|bero": ["Ama, Bero", 412], "bero|ama": ["Bero, Ama", 412]}
    one = spec(keys=[("pair", "pair")], shows=())
    one["tables"]["height"]["rows"] = rows
    assert run_table(one, {"pair": ["Bero", "AMA"]}) == {"height": 412}
    two = {**one, "keys": [["a", "text"], ["b", "text"]], "parameters": ["a", "b"]}
    assert run_table(two, {"a": "Ama", "b": "Bero"}) == {"height": 412}
    assert "status" in run_table(one, {"pair": ["Ama"]})


EFFECTS = {
    "language": ({"language": "de"}, {"kind": "Stadt"}),
    "unit": ({"unit": "km"}, {"height": 48.21}),
    "date_format": ({"date_format": "day_first"}, {"entered": "05.03.2011"}),
    "entered_from": ({"entered_from": "2012-01-01"}, {"status": "not_found"}),
    "entered_until": ({"entered_until": "2010-12-31"}, {"status": "not_found"}),
    "source": ({"source": "survey"}, {"status": "not_found"}),
    "state": ({"state": "provisional"}, {"status": "not_found"}),
    "office": ({"office": "south"}, {"status": "not_found"}),
    "number_format": ({"number_format": "grouped"}, {"height": "48,210"}),
    "match": ({"match": "exact"}, {"status": "not_found"}),
    "with_entered": ({"with_entered": True}, {"entered": "2011-03-05"}),
    "with_source": ({"with_source": True}, {"source": "archive"}),
    "with_office": ({"with_office": True}, {"office": "north"}),
    "with_records": ({"with_records": True}, {"records": 3}),
    "significant_digits": ({"significant_digits": 2}, {"height": 48000}),
    "scale": ({"scale": 0.5}, {"height": 24105.0}),
    "min_confidence": ({"min_confidence": 0.9}, {"status": "not_found"}),
    "show": ({"show": ["state"]}, {"state": "confirmed"}),
    "period": ({"period": {"from": "2012-01-01", "until": "2015-01-01"}}, {"status": "not_found"}),
}
MISSING = {
    "on_missing": ({"on_missing": "null"}, {"height": None}),
    "hints": ({"hints": False}, {"status": "not_found", "hint": []}),
    "max_hints": ({"max_hints": 1}, {"status": "not_found", "hint": ["Kéntal Brom"]}),
}


def test_every_option_has_an_effect_that_is_tested():
    assert {*EFFECTS, *MISSING, "letter_case"} == {*all_options()}


@pytest.mark.parametrize("name", EFFECTS)
def test_an_option_changes_the_result(name):
    arguments, expected = EFFECTS[name]
    plain = run_table(spec(shows=()), {"city": "kental brom"})
    result = run_table(spec(shows=("entered",) if name == "date_format" else ()), {"city": "kental brom", **arguments})
    assert result != plain
    assert {key: result[key] for key in expected} == expected


@pytest.mark.parametrize("name", MISSING)
def test_an_option_changes_what_is_said_of_a_missing_record(name):
    arguments, expected = MISSING[name]
    plain = run_table(spec(), {"city": "Kentil Brom"})
    assert run_table(spec(), {"city": "Kentil Brom", **arguments}) == expected != plain


def test_letters_are_written_as_asked():
    rows = [["Ama", "Bero Lun"], ["Zasuri", "Kim"]]
    assert run_table(spec("entity", rows=rows), {"city": "Ama", "letter_case": "upper"}) == {"height": "BERO LUN"}
    assert run_table(spec("entity", rows=rows), {"city": "Ama", "letter_case": "lower"}) == {"height": "bero lun"}


def test_a_deprecated_tool_always_says_so():
    old = {**spec(), "deprecated": "get_height"}
    for arguments in ({}, {"city": "Zasuri"}, {"x": 1}):
        assert run_table(old, arguments) == {"status": "error", "message": "This tool is deprecated; use get_height."}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["city", "operation", "values", "first", "second", "decimals", *all_options(), "other"])


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, JSON, max_size=5), st.sampled_from(["text", "object", "list", "pair"]))
def test_no_call_raises(arguments, form):
    for one in (
        spec(keys=[("city", form)]),
        {"does": "calculate", "field": "result", "parameters": [*arguments], "options": {}},
    ):
        assert isinstance(json.loads(json.dumps(run_table(one, arguments))), dict)


@settings(max_examples=100, deadline=None)
@given(st.text("qxzw", min_size=9, max_size=20))
def test_messages_repeat_no_argument(text):
    for arguments in ({"city": text}, {"city": [text]}, {"city": "Zasuri", text: 1}, {"city": "Zasuri", "scale": text}):
        assert text not in json.dumps(run_table(spec(), arguments))


def distance(one, other):
    """Levenshtein's distance, by its definition."""

    @cache
    def d(i, j):
        if not i or not j:
            return i + j
        return min(d(i - 1, j) + 1, d(i, j - 1) + 1, d(i - 1, j - 1) + (one[i - 1] != other[j - 1]))

    return d(len(one), len(other))


@settings(max_examples=300, deadline=None)
@given(st.text("ab", max_size=7), st.text("ab", max_size=7))
def test_within_two_is_an_edit_distance_of_at_most_two(one, other):
    assert within_two(one, other) == (distance(one, other) <= 2)


@pytest.mark.parametrize(
    ("operation", "values", "expected"),
    [
        ("sum", [1, 2, 3], 6),
        ("sum", [0.1, 0.2], 0.3),
        ("difference", [3, 10], 7),
        ("product", [3, 5, 2], 30),
        ("ratio", [10, 4], 2.5),
        ("largest", [3, 9, 5], 9),
        ("smallest", [3.5, 9], 3.5),
    ],
)
def test_operations(operation, values, expected):
    found = calculate(operation, values)
    assert (found, type(found)) == (expected, type(expected))
    one = {"does": "calculate", "field": "result", "parameters": ["operation", "values"], "options": {}}
    assert run_table(one, {"operation": operation, "values": values}) == {"result": expected}


@pytest.mark.parametrize(
    "arguments",
    [
        {"operation": "ratio", "values": [1, 0]},
        {"operation": "ratio", "values": [1, 2, 3]},
        {"operation": "sum", "values": []},
        {"operation": "sum", "values": ["1", 2]},
        {"operation": "power", "values": [1, 2]},
        {"operation": "sum"},
    ],
)
def test_operations_that_cannot_be_done_are_told_as_data(arguments):
    one = {"does": "calculate", "field": "result", "parameters": ["operation", "values"], "options": {}}
    assert run_table(one, arguments)["status"] == "error"


def test_days_are_counted_in_any_order_and_with_both_ends():
    one = {
        "does": "count_days",
        "field": "days",
        "parameters": ["first", "second", "inclusive"],
        "options": {"inclusive": False},
    }
    assert run_table(one, {"first": "1900-03-01", "second": "1900-02-27"}) == {"days": 2}
    assert run_table(one, {"first": "1900-02-27", "second": "1900-03-01", "inclusive": True}) == {"days": 3}
    assert run_table(one, {"first": "1900-02-30", "second": "1900-03-01"})["status"] == "error"


def called(source, name, arguments):
    """The result of a function of our own source."""
    namespace = {}
    exec(compile(source, name, "exec"), namespace)
    assert [key for key in namespace if not key.startswith("__")] == [name]
    return namespace[name](**arguments)


def test_the_source_of_a_tool_answers_as_its_table():
    """Golden, sentinel and 50 drawn calls of every tool of one instance of each kind."""
    import numpy as np

    rng = np.random.default_rng(5)
    instances = [*build_many("paper_like", scenario="parallel_multi_hop", count=2), *build_many("easy", count=1)]
    for instance in instances:
        golden = {}
        for node in instance.nodes:
            golden.setdefault(node.tool, []).append(node.golden_args)
        for tool in instance.tools:
            name, schema = tool["function"]["name"], tool["function"]["parameters"]
            data = instance.impl[name].spec
            source = source_of(name, schema, data)
            assert "__" not in source
            calls = [*golden.get(name, []), filled(schema, SENTINEL), filled(schema, instance.question)]
            for _ in range(50):
                arguments = draw_arguments(schema, rng)
                if golden.get(name) and rng.random() < 0.6:
                    arguments |= golden[name][0]
                calls.append(arguments)
            calls += [refilled(call, SENTINEL) for call in golden.get(name, [])]
            for arguments in calls:
                assert called(source, name, arguments) == run_table(data, arguments)


@pytest.mark.parametrize("preset", ["tiny", "easy", "paper_like", "stress"])
def test_exported_sources_leave_no_trace_and_so_keep_their_worker(preset):
    for instance in build_many(preset, count=3):
        for tool in instance.tools:
            function = tool["function"]
            source = source_of(function["name"], function["parameters"], instance.impl[function["name"]].spec)
            assert traces(source) == ()
