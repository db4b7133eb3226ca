import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.envs.instructions import InstructionDataError, Task, Verdict, parse, score, score_verdicts
from palaestra.results.statistics import wilson_interval

TEXTS = ("At most 3 words", "At most 2 sentences", "Include the keyword 'lake'", "Be kind")


def task(name, pattern="listing", level=2, texts=TEXTS[:3]):
    return Task(name, ({"role": "user", "content": "?"},), tuple(map(parse, texts)), pattern, level)


def test_tables_by_hand():
    tasks = [task("a"), task("b", "example", 1)]
    rows = [{"task_id": "a", "verdicts": [1, 1, 0]}, {"task_id": "b", "verdicts": [True, True, Verdict(True, "")]}]
    scores = score_verdicts(tasks, rows)
    assert scores["Overall"] == {"passed": 1, "total": 2, "rate": 0.5}
    assert scores["constraint_pattern_list"] == {
        "Listing": {"passed": 0, "total": 1, "rate": 0.0},
        "Example": {"passed": 1, "total": 1, "rate": 1.0},
    }
    assert scores["constraint_category_list"]["Length"] == {"passed": 2, "total": 2, "rate": 1.0}
    assert scores["constraint_category_second_list"]["Content_Keywords"]["passed"] == 1
    assert scores["constraint_difficulty_list"]["Level 1"]["rate"] == 1.0
    assert scores.soft == pytest.approx((2 / 3 + 1) / 2)
    assert scores.constraints == {"passed": 5, "total": 6, "rate": 5 / 6}
    assert scores.overall.interval == wilson_interval(1, 2)


def test_unknown_is_left_out_or_failed_and_never_passed():
    tasks = [task("a", texts=(TEXTS[0], TEXTS[3])), task("b", texts=(TEXTS[3],))]
    rows = [{"task_id": "a", "verdicts": [1, None]}, {"task_id": "b", "verdicts": [None]}]
    left_out, failed = score_verdicts(tasks, rows), score_verdicts(tasks, rows, on_unparsed="fail")
    assert (left_out["Overall"]["passed"], left_out["Overall"]["total"], left_out.undecided) == (1, 1, 1)
    assert (failed["Overall"]["passed"], failed["Overall"]["total"], failed.undecided) == (0, 2, 0)
    assert left_out.unparsed == failed.unparsed == 2


def test_answers_are_checked_and_scored():
    tasks = [task("a"), task("b")]
    scores = score(tasks, {"a": "The lake."})
    assert scores["Overall"]["passed"] == 1
    assert scores.document()["Overall"].keys() == {"passed", "total", "rate", "low", "high"}
    with pytest.raises(InstructionDataError, match="'c'"):
        score(tasks, {"c": ""})


@given(st.lists(st.lists(st.sampled_from([True, False]), min_size=3, max_size=3), max_size=8))
def test_rates_agree_with_one_another(verdicts):
    scores = score_verdicts([task("a")], [{"task_id": "a", "verdicts": row} for row in verdicts])
    assert scores["Overall"]["passed"] == sum(map(all, verdicts))
    assert sum(rate["total"] for rate in scores["constraint_category_second_list"].values()) == 3 * len(verdicts)
    low, high = scores.overall.interval
    assert low <= scores.overall.rate <= high
    assert scores.overall.rate <= scores.soft + 1e-9 <= 1 + 1e-9


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"task_id": "z", "verdicts": [1]}, "'z'"),
        ({"task_id": "a", "verdicts": [1]}, "a list of 3"),
        ({"task_id": "a", "verdicts": [1, 1, 2]}, "a verdict is '2'"),
        ({"task_id": "a", "verdicts": [1, 1, "1"]}, "a verdict is '1'"),
        ({"verdicts": [1, 1, 1]}, "None"),
    ],
)
def test_broken_rows_are_named(row, said):
    with pytest.raises(InstructionDataError, match=said):
        score_verdicts([task("a")], [row])
