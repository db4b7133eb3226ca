"""Cards: the verdict follows from the points, and they are JSON both ways."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.audit.card import Card, Figure, Point
from palaestra.errors import UsageError

verdicts = st.sampled_from(["pass", "warn", "fail", "not judged"])
points = st.builds(Point, st.text(min_size=1), verdicts, st.text())
figures = st.builds(Figure, st.none() | st.floats(0, 1), st.none() | st.floats(), st.integers(0, 9))


def card(points=(), floors=None):
    return Card("tests/Some-v0", {"a": 1}, "test", 3, 0, floors or {}, {"success": 1.0, "return": math.nan}, points)


@given(st.lists(points))
def test_the_verdict_is_the_worst_and_what_was_not_judged_is_never_passed(found):
    names = {point.verdict for point in found}
    expected = "fail" if "fail" in names else "pass" if names == {"pass"} else "warn"
    assert card(found).verdict == expected


@given(st.lists(points), st.dictionaries(st.text(min_size=1), figures))
def test_a_card_is_strict_json_both_ways(found, floors):
    text = json.dumps(card(found, floors).to_json(), allow_nan=False)
    again = Card.from_json(json.loads(text))
    assert json.dumps(again.to_json(), allow_nan=False) == text


@pytest.mark.parametrize("data", [{}, [], {"env": "x"}, {**card().to_json(), "points": [{"name": "a", "verdict": "perfect"}]}])
def test_what_is_no_card_is_refused(data):
    with pytest.raises(UsageError, match="not an audit card"):
        Card.from_json(data)
