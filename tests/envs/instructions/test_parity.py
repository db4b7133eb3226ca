"""Our reading and verdicts beside the published ones, on every row in the folders named by `PALAESTRA_FIXTURES`."""

import functools
import json

import pytest

from palaestra.envs.instructions import UnparsedConstraint, check, load_published, parse, score_verdicts
from tests.fixtures import need_fixtures, need_rows

pytestmark = pytest.mark.parity
FOLDER = "muldimif/"


@functools.cache
def read(text, label):
    return parse(text, label)


def constraints():
    rows = need_rows(FOLDER + "constraints.jsonl")
    return [(row, read(row["text"], tuple(row["label"]))) for row in rows]


def entries():
    """Yield verdict row, index, and the typed constraint of every recorded verdict."""
    typed = {(row["task_id"], row["index"]): constraint for row, constraint in constraints()}
    for row in need_rows(FOLDER + "checker-verdicts.jsonl"):
        for index in range(len(row["verdicts"])):
            if (row["task_id"], index) in typed:
                yield row, index, typed[row["task_id"], index]


def share(values):
    values = list(values)
    if not values:
        pytest.skip("the rows hold none of these")
    return sum(values) / len(values)


def test_sentences_are_read():
    assert share(not isinstance(constraint, UnparsedConstraint) for _, constraint in constraints()) >= 0.98


def test_typed_forms_are_the_recorded_ones():
    checked = [(row["typed"], found) for row, found in constraints() if row["typed_check"] == "agrees_on_pass_and_fail"]
    assert (
        share({"kind": getattr(found, "kind", ""), **getattr(found, "params", {})} == typed for typed, found in checked)
        >= 0.97
    )


def test_strict_verdicts_where_an_independent_reading_agrees_with_the_published_one():
    found = [
        check(constraint, row["response"]).passed == bool(row["verdicts"][index])
        for row, index, constraint in entries()
        if row["independent_agrees"][index]
    ]
    assert share(found) >= 0.999


def test_published_verdicts():
    found = [
        check(constraint, row["response"], "published").passed == bool(row["verdicts"][index])
        for row, index, constraint in entries()
    ]
    assert share(found) >= 0.93


def test_published_scores():
    tables = 0
    for file in need_fixtures(FOLDER + "aggregate-scores.json"):
        needed = [file.with_name(name) for name in ("tasks.json", "checker-verdicts.jsonl")]
        if not all(one.exists() for one in needed):
            continue
        tasks = load_published(needed[0])
        rows = [json.loads(line) for line in needed[1].read_text(encoding="utf-8").splitlines()]
        for variant, expected in json.loads(file.read_text(encoding="utf-8")).items():
            assert score_verdicts(tasks, [row for row in rows if str(row["variant"]) == variant]) == expected
            tables += 1
    if not tables:
        pytest.skip("no folder has scores, tasks and verdicts together")
